//! What only a join needs is gone on the next boot, or cannot be read: a joined node needs nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, Reply, Route, Setup, TOKEN};
use crate::support::node::{BOOTSTRAP_CONF, KUBELET_CONF, Node};
use crate::support::pki::Authority;

/// A way in, with what it is told in a file that may go, and the web server that has to stay.
type Made = (JoinBuilder, PathBuf, Option<Api>);

/// Its name, how it is made, and words of what a machine is told that is no node yet.
type Kind = (&'static str, fn(JoinBuilder) -> Made, &'static str);

/// Every kind of thing that may be gone.
const KINDS: [Kind; 15] = [
    ("--token-file", |builder| pinned(builder, "--token-file"), "--token-file: /"),
    (
        "--discovery-token-file",
        |builder| pinned(builder, "--discovery-token-file"),
        "--discovery-token-file: /",
    ),
    ("--config", with_config, "--config: /"),
    ("nodestrap.token", |builder| credential(builder, "nodestrap.token"), "bootstrap token not set"),
    ("nodestrap.join", |builder| credential(builder, "nodestrap.join"), "API server address not set"),
    ("nodestrap.config", |builder| credential(builder, "nodestrap.config"), "API server address not set"),
    (
        "--discovery-file",
        |builder| {
            let file = builder.file("discovery.conf", &builder.kubeconfig(&format!("{{token: {TOKEN}}}")));
            (builder.with(&["--discovery-file", path(&file)]), file, None)
        },
        "--discovery-file: /",
    ),
    (
        "--cluster-info",
        |builder| {
            let (info, token) =
                (builder.file("info", &builder.config_map().to_string()), builder.file("token", TOKEN));
            let pin = builder.api.authority.pin();
            let words = ["--cluster-info", path(&info), "--token-file", path(&token), HASH, &pin];
            (builder.with(&words), info, None)
        },
        "--cluster-info: /",
    ),
    (
        "--certificate-authority",
        |builder| {
            let ca = builder.api.authority.pem();
            let builder = builder.by_the_operators_word(&ca);
            let file = builder.node.beside("ca.pem");
            (builder, file, None)
        },
        "--certificate-authority: /",
    ),
    (
        "--bearer-token-file",
        |builder| {
            let ca = builder.api.authority.pem();
            let builder = builder.by_the_operators_word(&ca);
            let file = builder.node.beside("token");
            (builder, file, None)
        },
        "--bearer-token-file: /",
    ),
    ("--discovery-ca", behind_url, "--discovery-ca: /"),
    ("certificate-authority", |builder| with_file_of_a_kubeconfig(builder, 0), "its certificate-authority"),
    ("tokenFile", |builder| with_file_of_a_kubeconfig(builder, 1), "its tokenFile"),
    ("client-certificate", |builder| with_file_of_a_kubeconfig(builder, 2), "its client-certificate"),
    ("client-key", |builder| with_file_of_a_kubeconfig(builder, 3), "its client-key"),
];

const HASH: &str = "--discovery-token-ca-cert-hash";

fn pinned(builder: JoinBuilder, flag: &str) -> Made {
    let (endpoint, pin, token) =
        (builder.api.endpoint(), builder.api.authority.pin(), builder.file("token", TOKEN));
    let other = builder.file("other", TOKEN);
    let builder = builder.with(&[&endpoint, HASH, &pin, flag, path(&token)]);
    let builder = if flag == "--token-file" {
        builder
    } else {
        builder.with(&["--tls-bootstrap-token-file", path(&other)])
    };
    (builder, token, None)
}

fn with_config(builder: JoinBuilder) -> Made {
    let file = builder.file("join.yaml", &builder.configuration());
    (builder.with(&["--config", path(&file)]), file, None)
}

fn credential(builder: JoinBuilder, name: &str) -> Made {
    let folder = builder.node.beside("credentials");
    fs::create_dir(&folder).expect("a folder");
    let text = match name {
        "nodestrap.token" => format!("{TOKEN}\n"),
        "nodestrap.join" => builder.join_line(),
        _ => builder.configuration(),
    };
    let file = folder.join(name);
    fs::write(&file, text).expect("a credential");
    let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
    let builder = builder.variable("CREDENTIALS_DIRECTORY", path(&folder).to_owned());
    let builder = if name == "nodestrap.token" { builder.with(&[&endpoint, HASH, &pin]) } else { builder };
    (builder, file, None)
}

fn behind_url(builder: JoinBuilder) -> Made {
    let web = Api::with(Setup { authority: std::sync::Arc::new(Authority::new("web")), ..Setup::default() });
    let text = builder.kubeconfig(&format!("{{token: {TOKEN}}}"));
    web.on(Route::Other, move |_, _, _| Some(Reply::text(200, "text/plain", &text)));
    let ca = builder.file("web.pem", &web.authority.pem());
    let url = format!("https://{}/a", web.endpoint());
    (builder.with(&["--discovery-file", &url, "--discovery-ca", path(&ca)]), ca, Some(web))
}

/// A kubeconfig that names files, of which one goes.
fn with_file_of_a_kubeconfig(builder: JoinBuilder, which: usize) -> Made {
    let (certificate, key) = builder.api.authority.client("system:bootstrappers", "image");
    let der = pem::parse(&certificate).expect("PEM").into_contents();
    builder.api.cluster(|cluster| cluster.bootstrapper = Some(der));
    let files = [
        builder.file("ca.pem", &builder.api.authority.pem()),
        builder.file("token", TOKEN),
        builder.file("client.pem", &certificate),
        builder.file("client.key", &key),
    ];
    let user = match which {
        2 | 3 => "{client-certificate: client.pem, client-key: client.key}",
        _ => "{tokenFile: token}",
    };
    let text = format!(
        "clusters: [{{name: c, cluster: {{server: 'https://{}', certificate-authority: ca.pem}}}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\nusers: [{{name: u, user: {user}}}]\n",
        builder.api.endpoint()
    );
    let file = builder.file("bootstrap.conf", &text);
    (builder.with(&["--bootstrap-kubeconfig", path(&file)]), files[which].clone(), None)
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

fn is_joined_already(builder: &JoinBuilder) -> String {
    let (requests, connections) = (builder.api.requests().len(), builder.api.connections().len());
    let output = builder.run();
    let said = output.stderr;
    assert_eq!(output.code, Some(0), "{:?}: {said}", builder.arguments);
    assert!(said.contains("already joined: n1"), "{said}");
    assert_eq!((builder.api.requests().len(), builder.api.connections().len()), (requests, connections));
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
            let (builder, file, _web) = make(JoinBuilder::new());
            builder.joins();
            become_nothing(&file, end);
            is_joined_already(&builder);

            // A machine that is no node is told what is missing, and nothing else happens.
            let (builder, file, _web) = make(JoinBuilder::new());
            become_nothing(&file, end);
            let is_there = matches!(*end, "a directory" | "empty");
            let in_a_credential = words.contains("not set");
            builder
                .is_refused(2, if is_there && in_a_credential { "the credential nodestrap." } else { words });
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
    let builder = JoinBuilder::new();
    builder.node.join(&builder.api).run().expect("prepared");
    let file = builder.node.at(BOOTSTRAP_CONF);
    let builder = builder.with(&["--bootstrap-kubeconfig", path(&file)]);
    builder.joins();
    assert!(!file.exists(), "it was removed");
    is_joined_already(&builder);
}

/// The name was in the configuration: what is left to say it is the identity.
#[test]
fn a_node_whose_configuration_is_gone_keeps_the_name_of_its_identity() {
    let builder = JoinBuilder::new().without("--node-name").without("n1");
    let text = builder.configuration() + "nodeRegistration: {name: n1}\n";
    let file = builder.file("join.yaml", &text);
    let builder = builder.with(&["--config", path(&file)]);
    builder.joins();
    fs::remove_file(&file).expect("a file");
    let said = is_joined_already(&builder);
    assert!(
        said.contains("warning: options: --config: /") && said.contains("as its certificate says"),
        "{said}"
    );

    // Whatever else says a name counts, and a clone of the image is refused.
    let clone = builder.with(&["--node-name", "n2"]);
    let output = clone.run();
    assert_eq!(output.code, Some(10), "{}", output.stderr);
    assert!(clone.node.has(KUBELET_CONF));
}

/// Where nothing is left that named it, the hostname decides, and a clone of the image is refused.
#[test]
fn a_clone_is_refused_where_nothing_is_left_that_said_a_name() {
    let (builder, file, _) = credential(JoinBuilder::new(), "nodestrap.join");
    builder.joins();
    fs::remove_file(&file).expect("a credential");
    let builder = builder.without("--node-name").without("n1");
    fs::create_dir_all(builder.node.at("etc")).expect("a folder");
    fs::write(builder.node.at("etc/hostname"), "n2\n").expect("a hostname");
    let output = builder.run();
    assert_eq!(output.code, Some(10), "{}", output.stderr);
    fs::write(builder.node.at("etc/hostname"), "n1\n").expect("a hostname");
    is_joined_already(&builder);
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
