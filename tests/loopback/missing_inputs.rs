//! What only a join needs is gone on the next boot, or cannot be read: a joined node needs nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::join_builder::{Way, path};
use crate::support::api::{Api, Reply, Route, Setup, TOKEN};
use crate::support::node::{BOOTSTRAP_CONF, KUBELET_CONF, Node};
use crate::support::pki::Authority;

/// A way in, with what it is told in a file that may go, and the web server that has to stay.
type Made = (Way, PathBuf, Option<Api>);

/// Its name, how it is made, and words of what a machine is told that is no node yet.
type Kind = (&'static str, fn(Way) -> Made, &'static str);

/// Every kind of thing that may be gone.
const KINDS: [Kind; 15] = [
    ("--token-file", |way| pinned(way, "--token-file"), "--token-file: /"),
    ("--discovery-token-file", |way| pinned(way, "--discovery-token-file"), "--discovery-token-file: /"),
    ("--config", with_config, "--config: /"),
    ("nodestrap.token", |way| credential(way, "nodestrap.token"), "bootstrap token not set"),
    ("nodestrap.join", |way| credential(way, "nodestrap.join"), "API server address not set"),
    ("nodestrap.config", |way| credential(way, "nodestrap.config"), "API server address not set"),
    (
        "--discovery-file",
        |way| {
            let file = way.file("discovery.conf", &way.kubeconfig(&format!("{{token: {TOKEN}}}")));
            (way.with(&["--discovery-file", path(&file)]), file, None)
        },
        "--discovery-file: /",
    ),
    (
        "--cluster-info",
        |way| {
            let (info, token) = (way.file("info", &way.config_map().to_string()), way.file("token", TOKEN));
            let pin = way.api.authority.pin();
            let words = ["--cluster-info", path(&info), "--token-file", path(&token), HASH, &pin];
            (way.with(&words), info, None)
        },
        "--cluster-info: /",
    ),
    (
        "--certificate-authority",
        |way| {
            let ca = way.api.authority.pem();
            let way = way.by_the_operators_word(&ca);
            let file = way.node.beside("ca.pem");
            (way, file, None)
        },
        "--certificate-authority: /",
    ),
    (
        "--bearer-token-file",
        |way| {
            let ca = way.api.authority.pem();
            let way = way.by_the_operators_word(&ca);
            let file = way.node.beside("token");
            (way, file, None)
        },
        "--bearer-token-file: /",
    ),
    ("--discovery-ca", behind_url, "--discovery-ca: /"),
    ("certificate-authority", |way| with_file_of_a_kubeconfig(way, 0), "its certificate-authority"),
    ("tokenFile", |way| with_file_of_a_kubeconfig(way, 1), "its tokenFile"),
    ("client-certificate", |way| with_file_of_a_kubeconfig(way, 2), "its client-certificate"),
    ("client-key", |way| with_file_of_a_kubeconfig(way, 3), "its client-key"),
];

const HASH: &str = "--discovery-token-ca-cert-hash";

fn pinned(way: Way, flag: &str) -> Made {
    let (endpoint, pin, token) = (way.api.endpoint(), way.api.authority.pin(), way.file("token", TOKEN));
    let other = way.file("other", TOKEN);
    let way = way.with(&[&endpoint, HASH, &pin, flag, path(&token)]);
    let way =
        if flag == "--token-file" { way } else { way.with(&["--tls-bootstrap-token-file", path(&other)]) };
    (way, token, None)
}

fn with_config(way: Way) -> Made {
    let file = way.file("join.yaml", &way.configuration());
    (way.with(&["--config", path(&file)]), file, None)
}

fn credential(way: Way, name: &str) -> Made {
    let folder = way.node.beside("credentials");
    fs::create_dir(&folder).expect("a folder");
    let text = match name {
        "nodestrap.token" => format!("{TOKEN}\n"),
        "nodestrap.join" => way.join_line(),
        _ => way.configuration(),
    };
    let file = folder.join(name);
    fs::write(&file, text).expect("a credential");
    let (endpoint, pin) = (way.api.endpoint(), way.api.authority.pin());
    let way = way.variable("CREDENTIALS_DIRECTORY", path(&folder).to_owned());
    let way = if name == "nodestrap.token" { way.with(&[&endpoint, HASH, &pin]) } else { way };
    (way, file, None)
}

fn behind_url(way: Way) -> Made {
    let web = Api::with(Setup { authority: std::sync::Arc::new(Authority::new("web")), ..Setup::default() });
    let text = way.kubeconfig(&format!("{{token: {TOKEN}}}"));
    web.on(Route::Other, move |_, _, _| Some(Reply::text(200, "text/plain", &text)));
    let ca = way.file("web.pem", &web.authority.pem());
    let url = format!("https://{}/a", web.endpoint());
    (way.with(&["--discovery-file", &url, "--discovery-ca", path(&ca)]), ca, Some(web))
}

/// A kubeconfig that names files, of which one goes.
fn with_file_of_a_kubeconfig(way: Way, which: usize) -> Made {
    let (certificate, key) = way.api.authority.client("system:bootstrappers", "image");
    let der = pem::parse(&certificate).expect("PEM").into_contents();
    way.api.cluster(|cluster| cluster.bootstrapper = Some(der));
    let files = [
        way.file("ca.pem", &way.api.authority.pem()),
        way.file("token", TOKEN),
        way.file("client.pem", &certificate),
        way.file("client.key", &key),
    ];
    let user = match which {
        2 | 3 => "{client-certificate: client.pem, client-key: client.key}",
        _ => "{tokenFile: token}",
    };
    let text = format!(
        "clusters: [{{name: c, cluster: {{server: 'https://{}', certificate-authority: ca.pem}}}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\nusers: [{{name: u, user: {user}}}]\n",
        way.api.endpoint()
    );
    let file = way.file("bootstrap.conf", &text);
    (way.with(&["--bootstrap-kubeconfig", path(&file)]), files[which].clone(), None)
}

/// What becomes of a file.
fn become_nothing(file: &Path, kind: &str) {
    fs::remove_file(file).expect("a file to remove");
    match kind {
        "gone" => {}
        "a directory" => fs::create_dir(file).expect("a directory"),
        "a link that leads nowhere" => {
            std::os::unix::fs::symlink("nowhere", file).expect("a link");
        }
        _ => fs::write(file, "").expect("an empty file"),
    }
}

fn is_joined_already(way: &Way) -> String {
    let (requests, connections) = (way.api.requests().len(), way.api.connections().len());
    let output = way.run();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{:?}: {said}", way.arguments);
    assert!(said.contains("already joined: n1"), "{said}");
    assert_eq!((way.api.requests().len(), way.api.connections().len()), (requests, connections));
    said
}

#[test]
fn a_joined_node_misses_nothing_that_only_a_join_needs() {
    let cases: Vec<_> = KINDS
        .iter()
        .flat_map(|kind| ["gone", "a directory", "a link that leads nowhere", "empty"].map(|end| (kind, end)))
        .collect();
    crate::support::all(
        &cases,
        |(kind, end)| format!("{} {end}", kind.0),
        |((_, make, words), end)| {
            let (way, file, _web) = make(Way::new());
            way.joins();
            become_nothing(&file, end);
            is_joined_already(&way);

            // A machine that is no node is told what is missing, and nothing else happens.
            let (way, file, _web) = make(Way::new());
            become_nothing(&file, end);
            let is_there = matches!(*end, "a directory" | "empty");
            let in_a_credential = words.contains("not set");
            way.is_refused(2, if is_there && in_a_credential { "the credential nodestrap." } else { words });
        },
    );
}

#[test]
fn a_joined_node_needs_neither_token_nor_pin_nor_address() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let before = api.connections().len();
    let endpoint = api.endpoint();
    for words in [vec![], vec![endpoint.as_str()], vec![endpoint.as_str(), HASH, &api.authority.pin()]] {
        let run = node.join(&api).endpoint("").pins(&[]).token("").with_cert().args(&words.join(" ")).run();
        run.expect("already-joined");
        let serving = "--with-serving-cert --san n1 --serving-timeout 0s --dry-run";
        let run = node.join(&api).endpoint("").pins(&[]).token("").args(&words.join(" ")).args(serving).run();
        run.expect("already-joined");
    }
    assert_eq!(api.connections().len(), before);
}

/// The bootstrap kubeconfig that a run without `--with-client-cert` leaves is removed by the join that begins with it.
#[test]
fn a_prepared_node_joins_and_boots_again() {
    let way = Way::new();
    way.node.join(&way.api).run().expect("prepared");
    let file = way.node.at(BOOTSTRAP_CONF);
    let way = way.with(&["--bootstrap-kubeconfig", path(&file)]);
    way.joins();
    assert!(!file.exists(), "it was removed");
    is_joined_already(&way);
}

/// The name was in the configuration: what is left to say it is the identity.
#[test]
fn a_node_whose_configuration_is_gone_keeps_the_name_of_its_identity() {
    let way = Way::new().without("--node-name").without("n1");
    let text = way.configuration() + "nodeRegistration: {name: n1}\n";
    let file = way.file("join.yaml", &text);
    let way = way.with(&["--config", path(&file)]);
    way.joins();
    fs::remove_file(&file).expect("a file");
    let said = is_joined_already(&way);
    assert!(
        said.contains("warning: options: --config: /") && said.contains("as its certificate says"),
        "{said}"
    );

    // Whatever else says a name counts, and a clone of the image is refused.
    let clone = way.with(&["--node-name", "n2"]);
    let output = clone.run();
    assert_eq!(output.status.code(), Some(10), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(clone.node.has(KUBELET_CONF));
}

/// Where nothing is left that named it, the hostname decides, and a clone of the image is refused.
#[test]
fn a_clone_is_refused_where_nothing_is_left_that_said_a_name() {
    let (way, file, _) = credential(Way::new(), "nodestrap.join");
    way.joins();
    fs::remove_file(&file).expect("a credential");
    let way = way.without("--node-name").without("n1");
    fs::create_dir_all(way.node.at("etc")).expect("a folder");
    fs::write(way.node.at("etc/hostname"), "n2\n").expect("a hostname");
    let output = way.run();
    assert_eq!(output.status.code(), Some(10), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(way.node.at("etc/hostname"), "n1\n").expect("a hostname");
    is_joined_already(&way);
}

/// What is wrong in itself is wrong on a joined node too; what it needs for more than to stay is missed.
#[test]
fn a_joined_node_is_told_what_is_wrong_in_itself_and_what_it_needs() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let before = api.connections().len();
    let endpoint = api.endpoint();
    let two = format!("{endpoint} --discovery-file /nonexistent");
    let gone = format!("{endpoint} --token-file /nonexistent/token");
    for (words, text) in [
        ("h", "invalid API server address"),
        ("h:1 --token abcdef", "not a bootstrap token"),
        ("h:1 --discovery-token-ca-cert-hash sha256:xyz", "64 hex digits"),
        ("--server http://h", "--server expects an https:// URL"),
        ("--discovery-file http://h/a", "--discovery-file expects a file, or an https:// URL"),
        (two.as_str(), "are mutually exclusive"),
        ("h:1 --discovery-ca /nonexistent", "--discovery-ca is valid only"),
        ("h:1 --discovery-timeout soon", "expects a duration"),
        // It has the flags of the kubelet to fetch.
        (&format!("{gone} --with-kubelet-config"), "--token-file: /nonexistent/token: not found"),
        // Whether it is in the right cluster only that cluster can tell.
        (&format!("{gone} --replace"), "--token-file: /nonexistent/token: not found"),
    ] {
        let run = node.join(&api).endpoint("").pins(&[]).token("").with_cert().args(words).run();
        run.expect("usage").says(&[text]);
    }
    assert_eq!(api.connections().len(), before);
}
