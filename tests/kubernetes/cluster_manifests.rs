//! `image/cluster`: what its README says is done to a cluster that has nothing of kubeadm's, command by command.

use std::{env, fs, process::Command};

use crate::harness::{
    cluster::{Cluster, Options},
    components::programs,
};
use crate::kubelet_check;
use crate::support::{
    node::Node,
    process::{run, try_run, wait_for},
    repository::program,
};

pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/cluster");

/// The commands of the README: for once, for each token, and for JWTs.
pub fn commands() -> [String; 3] {
    let readme = fs::read_to_string(format!("{FOLDER}/README.md")).unwrap();
    let mut blocks = readme.split("   ```sh\n").skip(1).map(|rest| {
        let block = rest.split("   ```\n").next().expect("a first part");
        block.lines().map(|line| line.trim_start_matches("   ")).collect::<Vec<_>>().join("\n")
    });
    let found = [(); 3].map(|()| blocks.next().expect("three blocks"));
    assert!(blocks.next().is_none(), "each block is run");
    found
}

/// What the commands for once need to know of this cluster.
pub fn values(cluster: &Cluster) -> String {
    format!("server=https://{} ca={}\n", cluster.address(), cluster.scratch.file("pki/ca.crt"))
}

/// Commands with these values instead of the README's.
pub fn with_values(values: &str, commands: &str) -> String {
    let (_, rest) = commands.split_once('\n').expect("the values come first");
    format!("{values}{rest}")
}

/// Runs commands in the folder, with `kubectl` for this cluster and `nodestrap`: what they print.
pub fn shell(cluster: &Cluster, script: &str) -> String {
    let own = program();
    let tools = [programs(), own.parent().unwrap()].map(|folder| folder.display().to_string()).join(":");
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script]).current_dir(FOLDER);
    bash.env("PATH", format!("{tools}:{}", env::var("PATH").unwrap()));
    bash.env("KUBECONFIG", cluster.scratch.file("super-admin.conf")).env("HOME", cluster.scratch.path());
    run(&mut bash)
}

/// Joins, with nothing but the printed command, and the kubelet renews the certificate; who has no token of the group gets
/// nowhere.
#[test]
fn a_cluster_without_kubeadm_is_joined_as_its_readme_says() {
    let cluster = Cluster::start(Options {
        algorithm: "ECDSA-P256",
        published: false,
        signing_duration: "1m",
        controllers: "*,bootstrapsigner,tokencleaner",
        ..Options::default()
    });
    let [once, token, _] = commands();
    let values = values(&cluster);
    let once = with_values(&values, &once);
    shell(&cluster, &once);
    // Once more, as somebody does who is not sure.
    shell(&cluster, &once);
    let arguments = join_arguments(&cluster, &format!("{values}{token}"));

    let node = Node::named("without-kubeadm");
    node.join_with(&arguments).run().expect("joined");
    node.assert_joined(&cluster);
    fs::create_dir_all(node.at("/var/lib/kubelet")).unwrap();
    kubelet_check::rotates_in_place(&cluster, &node, || {});

    // Nobody has got anything else by it.
    let info = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
    let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    for (user, group, path, may) in [
        ("system:anonymous", "system:unauthenticated", info, true),
        ("system:anonymous", "system:unauthenticated", "/api/v1/namespaces/kube-public/configmaps", false),
        ("system:anonymous", "system:unauthenticated", requests, false),
        ("system:bootstrap:aaaaaa", "system:bootstrappers", requests, false),
        ("system:bootstrap:aaaaaa", "system:bootstrappers:worker", requests, true),
        ("system:bootstrap:aaaaaa", "system:bootstrappers:worker", "/api/v1/secrets", false),
        ("system:bootstrap:aaaaaa", "system:bootstrappers:worker", "/api/v1/nodes", false),
    ] {
        let mut command = cluster.tool("kubectl");
        let answer = try_run(command.args(["get", "--raw", path, "--as", user, "--as-group", group]));
        assert_eq!(answer.is_ok(), may, "{user} {path}: {answer:?}");
        assert!(answer.map_or_else(|refusal| refusal.contains("forbidden"), |_| may), "{user} {path}");
    }

    // A token of another group is signed for, and refused when it creates a CSR.
    let manifest = cluster.scratch.file("token.yaml");
    let text = fs::read_to_string(format!("{FOLDER}/token.yaml")).unwrap();
    fs::write(&manifest, text.replace("system:bootstrappers:worker", "system:bootstrappers:other")).unwrap();
    let other = join_arguments(&cluster, &format!("{values}{}", token.replace("token.yaml", &manifest)));
    let node = Node::named("of-another-group");
    node.join_with(&other).run().expect("refused");
}

/// Makes a token with these commands and waits until cluster-info is signed for it: the arguments of the printed command,
/// and that for the certificate.
fn join_arguments(cluster: &Cluster, script: &str) -> Vec<String> {
    let printed = shell(cluster, script);
    let line = printed.lines().last().expect("a command");
    let words: Vec<_> = line.split(' ').collect();
    let ["nodestrap", "join", arguments @ ..] = &words[..] else { panic!("{printed}") };
    let signature = format!("jws-kubeconfig-{}", arguments[2].split('.').next().expect("an ID"));
    wait_for("the signature", || {
        let info = cluster.json(&["get", "configmap", "cluster-info", "--namespace=kube-public"]);
        info["data"].get(&signature).map(|_| ())
    });
    [arguments, &["--with-client-cert"]].concat().into_iter().map(str::to_owned).collect()
}
