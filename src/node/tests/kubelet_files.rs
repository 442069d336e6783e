//! The kubelet's own files, and what of the machine they depend on.

use super::*;

#[test]
fn the_kubelets_files_are_there_together_or_not() {
    let node = Node::new("kubelet");
    let [config, instance] = ["config\n", "instance\n"].map(|text| Some(text.to_owned()));
    let files = KubeletFiles { config, instance, flags: "flags\n".to_owned() };
    assert!(!node.files().has_kubelet_files(true).unwrap());
    node.files().write_kubelet_files(&files).unwrap();
    assert!(node.files().has_kubelet_files(true).unwrap());
    assert_eq!(node.mode("var/lib/kubelet"), 0o700);
    for (name, expected) in [
        ("config.yaml", "config\n"),
        ("instance-config.yaml", "instance\n"),
        ("kubeadm-flags.env", "flags\n"),
    ] {
        let path = format!("var/lib/kubelet/{name}");
        assert_eq!((node.read(&path), node.mode(&path)), (expected.into(), 0o644));
    }
    for name in ["config.yaml", "kubeadm-flags.env"] {
        let (path, aside) = (node.at(&format!("var/lib/kubelet/{name}")), node.at("aside"));
        std::fs::rename(&path, &aside).unwrap();
        assert!(!node.files().has_kubelet_files(true).unwrap());
        std::fs::create_dir(&path).unwrap();
        assert_files(node.files().has_kubelet_files(true), name);
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn a_container_runtime_is_known_by_its_socket() {
    let node = Node::new("runtime");
    let runtimes = crate::kubelet::RUNTIMES;
    let url = |path: &str| format!("unix://{path}");
    assert_eq!(node.files().cri_socket().unwrap(), url(runtimes[0]));
    let bind = |path: &str| {
        let at = node.at(path.trim_start_matches('/'));
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        UnixListener::bind(at).unwrap()
    };
    let _second = bind(runtimes[1]);
    assert_eq!(node.files().cri_socket().unwrap(), url(runtimes[1]));
    let _first = bind(runtimes[0]);
    let error = node.files().cri_socket().unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("--cri-socket"), "{error}");
}

#[test]
fn the_list_of_name_servers_is_systemd_resolveds_where_there_is_one() {
    let node = Node::new("resolved");
    assert!(!node.files().has_systemd_resolved().unwrap());
    node.write(crate::kubelet::RESOLVED.trim_start_matches('/'), "");
    assert!(node.files().has_systemd_resolved().unwrap());
}
