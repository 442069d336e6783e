//! The files of an identity, as they are written and removed.

use super::*;

#[test]
fn a_file_with_a_secret_is_the_users_alone() {
    let (node, cluster) = (Node::new("bootstrap"), cluster(CA));
    let credentials = Credentials::from(Secret::new("abcdef.0123456789abcdef".to_owned()));
    let inode = || std::fs::metadata(node.at(BOOTSTRAP_CONF)).unwrap().ino();
    node.files().write_bootstrap(&cluster, &credentials).unwrap();
    assert!(String::from_utf8(node.read(BOOTSTRAP_CONF)).unwrap().contains("abcdef.0123456789abcdef"));
    assert_eq!(node.mode(BOOTSTRAP_CONF), 0o600);
    let before = inode();
    node.files().write_bootstrap(&cluster, &credentials).unwrap();
    assert_eq!(inode(), before);
    std::fs::set_permissions(node.at(BOOTSTRAP_CONF), PermissionsExt::from_mode(0o644)).unwrap();
    node.files().write_bootstrap(&cluster, &credentials).unwrap();
    assert_eq!(node.mode(BOOTSTRAP_CONF), 0o600);
}

#[test]
fn a_key_is_found_again_until_it_is_discarded() {
    let node = Node::new("key");
    node.files().discard_pending_key(CertificateKind::CLIENT).unwrap();
    let first = node.files().pending_key(CertificateKind::CLIENT).unwrap();
    assert_eq!((node.mode(KEY_TMP), node.mode(PKI), node.mode("var/lib/kubelet")), (0o600, 0o755, 0o700));
    assert_eq!(node.read(KEY_TMP), first.pem().expose().as_bytes());
    node.write(&format!("{PKI}/.nodestrap.new"), "half a fi");
    let serving = node.files().pending_key(CertificateKind::SERVING).unwrap();
    let again = node.files().pending_key(CertificateKind::CLIENT).unwrap();
    assert!(again.spki() == first.spki() && serving.spki() != first.spki());
    let server = "var/lib/kubelet/pki/kubelet-server.key.tmp";
    assert_eq!(node.names(), [KEY_TMP, server], "what a crash has left is cleared away");
    node.files().discard_pending_key(CertificateKind::CLIENT).unwrap();
    assert_eq!(node.names(), [server]);
    for torn in ["", &KEY[..100], NODE] {
        node.write(KEY_TMP, torn);
        let key = node.files().pending_key(CertificateKind::CLIENT).unwrap();
        assert_eq!(node.read(KEY_TMP), key.pem().expose().as_bytes());
    }
    std::fs::remove_file(node.at(KEY_TMP)).unwrap();
    std::fs::create_dir(node.at(KEY_TMP)).unwrap();
    assert_files(
        node.files().pending_key(CertificateKind::CLIENT).map(drop),
        "/kubelet-client.key.tmp cannot be read",
    );
    assert_files(
        node.files().discard_pending_key(CertificateKind::CLIENT),
        "/kubelet-client.key.tmp cannot be removed",
    );
}

#[test]
fn kubelet_conf_has_its_name_when_it_is_committed() {
    let (node, cluster) = (Node::new("commit"), cluster(CA));
    drop(node.files().stage_kubelet_conf(&cluster).unwrap());
    assert_eq!(node.names(), [""; 0]);
    let staged = node.files().stage_kubelet_conf(&cluster).unwrap();
    assert!(!node.at(CONF).exists());
    staged.commit().unwrap();
    assert_eq!((node.names(), node.mode(CONF)), (vec![CONF.to_owned()], 0o600));
    let text = String::from_utf8(node.read(CONF)).unwrap();
    for part in ["https://192.0.2.1:6443", &cluster.ca().base64(), &format!("/{PAIR}")] {
        assert!(text.contains(part), "{text}");
    }
    std::fs::remove_file(node.at(CONF)).unwrap();
    std::fs::create_dir(node.at(CONF)).unwrap();
    let staged = node.files().stage_kubelet_conf(&cluster).unwrap();
    assert_files(staged.commit(), "/etc/kubernetes/kubelet.conf cannot be written");
}

#[test]
fn what_is_not_needed_any_more_goes() {
    let node = Node::new("clean");
    node.files().finish_interrupted().and_then(|()| node.files().clean_up(false)).unwrap();
    for file in [CA_CRT, CONF, BOOTSTRAP_CONF, KEY_TMP, PAIR] {
        node.write(file, "");
    }
    node.write(&format!("{PKI}/.nodestrap.new"), "");
    node.files().finish_interrupted().and_then(|()| node.files().clean_up(true)).unwrap();
    assert_eq!(node.names(), [BOOTSTRAP_CONF, CONF, CA_CRT, PAIR]);
    node.write("etc/kubernetes/.nodestrap.new", "");
    node.files().finish_interrupted().and_then(|()| node.files().clean_up(false)).unwrap();
    assert_eq!(node.names(), [CONF, CA_CRT, PAIR]);
}

#[test]
fn what_is_in_the_way_is_told() {
    let node = Node::new("way");
    node.write(PKI, "a file");
    assert_files(node.files().finish_interrupted(), "/kubelet-client.key.tmp cannot be read");
    assert_files(node.files().clean_up(true), "/kubelet-client.key.tmp cannot be removed");
    assert_files(
        node.files().pending_key(CertificateKind::CLIENT).map(drop),
        "/var/lib/kubelet/pki cannot be opened",
    );
    // Of an interrupted run, whose directories are gone.
    let node = Node::new("gone");
    node.write(KEY_TMP, KEY);
    assert_files(node.files().finish_interrupted(), "directory /etc/kubernetes/pki cannot be synced");
}

#[test]
fn the_kubelets_own_directory_is_closed_wherever_the_pairs_lie() {
    for (number, (pki, closed)) in
        [("/var/lib/kubelet/a/b", true), ("/var/lib/kubelets/a", false)].iter().enumerate()
    {
        let node = Node::new(&format!("below-{number}"));
        let layout = Layout { certificates: NodePath::parse(pki).unwrap(), ..Layout::default() };
        let files = NodeFiles::open(&node.at(""), layout).unwrap();
        files.pending_key(CertificateKind::CLIENT).unwrap();
        assert_eq!(node.at("var/lib/kubelet").exists(), *closed);
        let parent = pki.rsplit_once('/').unwrap().0;
        assert_eq!(node.mode(parent.trim_start_matches('/')), 0o755);
        if *closed {
            assert_eq!(node.mode("var/lib/kubelet"), 0o700);
        }
    }
}
