//! Where the node's files lie, when the kubelet is told other places.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::api::{Api, Route};
use crate::support::join::Join;
use crate::support::node::{BOOTSTRAP_CONF, CA, KUBELET, KUBELET_CONF, Node};

const PLACES: &str =
    "--kubeconfig /srv/k/kubeconfig --cert-dir /srv/certs/pki --ca-cert-path /srv/ca/cluster.crt";
const FLAGS: &str = "var/lib/kubelet/kubeadm-flags.env";

fn elsewhere<'a>(node: &'a Node, api: &Api) -> Join<'a> {
    node.join(api).with_cert().args(PLACES)
}

/// Files and links below the root, without the dates.
fn undated(node: &Node) -> Vec<String> {
    let is_date = |c: char| c.is_ascii_digit() || c == '-';
    node.files()
        .iter()
        .map(|file| match file.split_once("-2") {
            Some((start, rest)) => [start, "-DATE", rest.trim_start_matches(is_date)].concat(),
            None => file.clone(),
        })
        .collect()
}

#[test]
fn all_files_lie_where_they_are_wanted() {
    let (api, node) = (Api::start(), Node::new());
    api.cluster(|cluster| cluster.approves_serving = true);
    elsewhere(&node, &api)
        .args("--with-serving-cert --san n1 --keep-bootstrap-kubeconfig")
        .run()
        .expect("joined");
    let certs = "srv/certs/pki";
    assert_eq!(
        undated(&node),
        [
            BOOTSTRAP_CONF,
            "srv/ca/cluster.crt",
            "srv/certs/pki/kubelet-client-DATE.pem",
            "srv/certs/pki/kubelet-client-current.pem",
            "srv/certs/pki/kubelet-server-DATE.pem",
            "srv/certs/pki/kubelet-server-current.pem",
            "srv/k/kubeconfig",
        ]
    );
    let conf = node.read("srv/k/kubeconfig");
    assert!(conf.contains("    client-certificate: /srv/certs/pki/kubelet-client-current.pem\n"), "{conf}");
    assert!(conf.contains("    client-key: /srv/certs/pki/kubelet-client-current.pem\n"), "{conf}");
    let link = fs::read_link(node.at(certs).join("kubelet-client-current.pem")).expect("a link");
    assert!(link.starts_with("/srv/certs/pki"), "{}", link.display());
    assert_eq!([node.mode("srv/k/kubeconfig"), node.mode("srv/ca/cluster.crt")], [0o600, 0o644]);
    assert_eq!(["srv/k", "srv/ca", certs].map(|directory| node.mode(directory)), [0o755; 3]);

    let requests = api.requests().len();
    elsewhere(&node, &api).args("--with-serving-cert --san n1").run().expect("already-joined");
    assert_eq!(api.requests().len(), requests);
    assert!(!node.has(BOOTSTRAP_CONF), "no longer needed");
    node.joins(&api);
    assert!(node.has(CA), "the usual places know nothing of the others");
}

#[test]
fn a_file_in_the_kubelets_directory_does_not_open_it() {
    let (api, node) = (Api::start(), Node::new());
    node.join(&api).args("--ca-cert-path /var/lib/kubelet/a/b/ca.crt").run().expect("prepared");
    assert_eq!(node.mode(KUBELET), 0o700);
    assert_eq!(node.read("var/lib/kubelet/a/b/ca.crt"), api.authority.pem());
}

#[test]
fn refusals_name_the_files_where_they_lie() {
    let (here, there, node) = (Api::start(), Api::start(), Node::new());
    node.write("srv/ca/cluster.crt", there.authority.pem());
    elsewhere(&node, &here)
        .run()
        .expect("files")
        .says(&["/srv/ca/cluster.crt holds CA keys that are not the cluster's: CN=kubernetes (sha256:"]);
    elsewhere(&node, &here).args("--replace").run().expect("joined");
    let run = elsewhere(&node, &here).name("n2").run();
    run.expect("files").says(&["/srv/k/kubeconfig belongs to", "this node is n2"]);
    elsewhere(&node, &here).name("n2").args("--replace").run().expect("joined");
    let old: Vec<_> = undated(&node).into_iter().filter(|file| file.contains(".old-DATE")).collect();
    assert_eq!(
        old,
        [
            "srv/ca/cluster.crt.old-DATE",
            "srv/certs/pki/kubelet-client-current.pem.old-DATE",
            "srv/k/kubeconfig.old-DATE"
        ]
        .map(str::to_owned)
    );
    let pairs = node.files().into_iter().filter(|file| file.contains("kubelet-client-2")).count();
    assert_eq!(pairs, 2, "the old one moved aside, and the new one: {:#?}", node.tree());
}

#[test]
fn names_inside_a_kubeconfig_are_relative_to_it() {
    let (api, node) = (Api::start(), Node::new());
    elsewhere(&node, &api).run().expect("joined");
    let conf = node.read("srv/k/kubeconfig").replace("/srv/certs", "../certs");
    node.write("srv/k/kubeconfig", conf);
    elsewhere(&node, &api).run().expect("already-joined");
}

#[test]
fn a_planted_link_does_not_lead_out_of_the_root() {
    let (api, node) = (Api::start(), Node::new());
    let outside = node.beside("outside");
    fs::create_dir(&outside).expect("a directory outside");
    symlink(&outside, node.at("srv")).expect("a planted link");
    let run = elsewhere(&node, &api).run();
    run.check(run.code == Some(0) || run.code == Some(10), "joined inside the root, or refused");
    assert_eq!(fs::read_dir(&outside).expect("the directory").count(), 0);
}

#[test]
fn no_path_leads_out_or_into_another() {
    let (api, node) = (Api::start(), Node::new());
    for args in [
        "--kubeconfig kubelet.conf",
        "--kubeconfig /a/../../kubelet.conf",
        "--cert-dir ./pki",
        "--cert-dir /pki/",
        "--ca-cert-path /..",
        "--ca-cert-path /etc/kubernetes/kubelet.conf",
        "--cert-dir /etc/kubernetes/pki/ca.crt",
        "--kubeconfig /etc/kubernetes/bootstrap-kubelet.conf",
    ] {
        node.join(&api)
            .with_cert()
            .args(args)
            .run()
            .expect("usage")
            .says(&[args.split(' ').next().expect("a flag")]);
        node.is_untouched_by(&api);
    }
    assert!(api.requests().is_empty());
}

#[test]
fn a_join_configuration_says_where_the_ca_lies_and_the_kubelets_arguments_the_rest() {
    let (api, node) = (Api::start(), Node::new());
    let file = node.beside("join.yaml");
    let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ncaCertPath: /srv/ca/cluster.crt\n\
                nodeRegistration:\n  kubeletExtraArgs: [{name: cert-dir, value: /srv/certs/pki}]\n";
    fs::write(&file, text).expect("a file");
    let config = format!("--config {} --with-kubelet-config", file.display());
    let run = node.join(&api).with_cert().args(&config).run();
    run.expect("joined")
        .says(&["warning: kubelet: clientCAFile is /etc/kubernetes/pki/ca.crt", "/srv/ca/cluster.crt"]);
    assert!(node.has("srv/ca/cluster.crt") && node.has("srv/certs/pki/kubelet-client-current.pem"));
    assert!(node.has(KUBELET_CONF) && !node.has(CA));
    let flags = node.read(FLAGS);
    assert_eq!(flags.matches("--cert-dir=/srv/certs/pki").count(), 1, "{flags}");

    let (api, node) = (Api::start(), Node::new());
    elsewhere(&node, &api).args("--with-kubelet-config").run().expect("joined");
    let flags = "KUBELET_KUBEADM_ARGS=\"--cert-dir=/srv/certs/pki --hostname-override=n1 --kubeconfig=/srv/k/kubeconfig\"\n";
    assert_eq!(node.read(FLAGS), flags);
    assert_eq!(api.count(Route::KubeletConfig), 1);
}
