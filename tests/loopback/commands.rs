//! The commands beside `join`: what they print, what they refuse, and that they write nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::{Value, json};

use crate::support::api::{Api, TOKEN, jws};
use crate::support::node::{BOOTSTRAP_CONF, CA, KUBELET_CONF, Node};
use crate::support::pki::{Authority, DAY, valid};
use crate::support::run::{self, Finished};

pub const SECRET: &str = "0123456789abcdef";

/// Runs a command with a report beside the node's root; nothing below the root may change.
fn nodestrap(node: &Node, line: &str) -> Finished {
    let report = node.beside("report.json");
    let mut words: Vec<_> = line.split_whitespace().map(Into::into).collect();
    // Before what may be wrong.
    words.splice(1..1, ["--report".into(), report.clone().into()]);
    let before = node.tree();
    let run = run::start(&words, &node.root(), Some(report), vec![SECRET.to_owned()]).finish();
    assert_eq!(node.tree(), before, "something was written");
    run
}

fn write(node: &Node, name: &str, text: &str) -> String {
    let path = node.beside(name);
    fs::write(&path, text).expect("a file beside the root");
    path.display().to_string()
}

#[test]
fn ca_hash_prints_each_pin_in_order() {
    let (node, east, west) = (Node::new(), Authority::new("east"), Authority::new("west"));
    let file = write(&node, "ca.crt", &format!("# east\n{}{}", east.pem(), west.pem()));
    let run = nodestrap(&node, &format!("ca-hash {file}"));
    run.expect("hashed");
    assert_eq!(run.stdout, format!("{}\n{}\n", east.pin(), west.pin()));
    assert_eq!((run.stderr.as_str(), &run.report()["caHashes"]), ("", &json!([east.pin(), west.pin()])));
}

#[test]
fn ca_hash_takes_standard_input_and_nothing_but_certificates() {
    let (node, authority) = (Node::new(), Authority::new("east"));
    let file = write(&node, "ca.crt", &authority.pem());
    let output = run::command()
        .args(["ca-hash", "-"])
        .stdin(fs::File::open(file).expect("the file"))
        .output()
        .expect("a run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", authority.pin()));
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let cases = [
        ("empty", String::new()),
        ("text", "no PEM\n".to_owned()),
        ("torn", authority.pem()[..100].to_owned()),
        ("key", authority.pem() + key),
        ("der", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
        ("many", authority.pem().repeat(33)),
        ("large", "x".repeat(2 << 20)),
    ];
    for (name, text) in cases {
        let file = write(&node, name, &text);
        let run = nodestrap(&node, &format!("ca-hash {file}"));
        run.expect("usage").says(&[&file]);
        assert_eq!(run.stdout, "", "{name}");
    }
    nodestrap(&node, "ca-hash /nonexistent/ca.crt").expect("usage").says(&["/nonexistent/ca.crt"]);
}

#[test]
fn a_command_takes_its_own_words_only() {
    let node = Node::new();
    let empty = write(&node, "info.json", "{}");
    let (bare, unpinned) =
        (format!("verify --cluster-info {empty}"), "--discovery-token abcdef.0123456789abcdef");
    let unpinned = format!("{bare} {unpinned}");
    for (line, words) in [
        ("ca-hash", "FILE"),
        ("ca-hash a b", "one FILE"),
        ("ca-hash a --root /x", "--root"),
        ("ca-hash a --FILE b", "unknown option"),
        ("check /x", "flags only"),
        ("check --with-client-cert", "--with-client-cert"),
        ("check --root /nonexistent/image", "/nonexistent/image"),
        ("verify localhost:1", "flags only"),
        ("verify --token abcdef.0123456789abcdef", "--cluster-info"),
        (bare.as_str(), "token not set"),
        (unpinned.as_str(), "pin not set"),
        ("verify --cluster-info /nonexistent", "/nonexistent"),
    ] {
        let run = nodestrap(&node, line);
        run.expect("usage").says(&[words]);
        assert_eq!(run.stdout, "", "{line}");
    }
    let help = run::command().arg("--help").output().expect("a run").stdout;
    assert!(String::from_utf8_lossy(&help).lines().count() < 100, "two screens");
    for command in ["ca-hash", "verify", "check"] {
        let own = run::command().args([command, "--help"]).output();
        assert_eq!(own.expect("a run").stdout, help, "{command}");
    }
}

/// The line of a `verify` over this ConfigMap.
fn verify(node: &Node, api: &Api, info: &Value) -> String {
    let (info, token) = (write(node, "info.json", &info.to_string()), write(node, "token", TOKEN));
    let pin = api.authority.pin();
    format!("verify --cluster-info {info} --token-file {token} --discovery-token-ca-cert-hash {pin}")
}

fn config_map(api: &Api) -> Value {
    api.cluster(|cluster| json!({"kind": "ConfigMap", "data": cluster.published}))
}

#[test]
fn verify_tells_server_and_cas_and_asks_nobody() {
    let (api, node) = (Api::start(), Node::new());
    let beside = Authority::with("old", |params| valid(params, -9 * DAY, -DAY));
    let server = format!("https://{}", api.endpoint());
    api.cluster(|cluster| cluster.publish(&jws::kubeconfig(&(api.authority.pem() + &beside.pem()), &server)));
    let line = verify(&node, &api, &config_map(&api));
    let run = nodestrap(&node, &format!("{line},{}", beside.pin()));
    run.expect("verified");
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, format!("server: {server}").as_str()), "{lines:#?}");
    let expected = format!("ca: {} CN=kubernetes, valid from 20", api.authority.pin());
    assert!(lines[1].starts_with(&expected) && lines[1].ends_with('Z'), "{lines:#?}");
    assert!(lines[2].starts_with(&format!("ca: {} CN=old, ", beside.pin())), "{lines:#?}");
    assert!(lines[2].contains("; not valid now: CN="), "{lines:#?}");
    let report = run.report();
    assert_eq!((&report["server"], &report["requests"]), (&json!(server), &json!(0)));
    assert_eq!(report["caHashes"], json!([api.authority.pin(), beside.pin()]));
    assert_eq!(api.connections().len(), 0);
    for more in ["", " --pin-every-ca"] {
        nodestrap(&node, &format!("{line}{more}")).expect("not-trusted").says(&[&beside.pin()]);
    }
}

#[test]
fn verify_fails_as_a_join_would() {
    type Change = fn(&mut Value);
    let cases: [(&str, &str, Change); 8] = [
        ("not-published", "no signature for token abcdef, nor for any other", |info| {
            info["data"] = json!({"kubeconfig": "x"});
        }),
        ("not-published", "no signature for token abcdef, only for 012345, fedcba\n", |info| {
            let [one, other] = ["fedcba", "012345"].map(|id| format!("jws-kubeconfig-{id}"));
            info["metadata"] = json!({"managedFields": [{"fieldsV1": {"f:data": {format!("f:{one}"): {}}}}]});
            info["data"] = json!({"kubeconfig": "x", one: "y", other: "z", "jws-kubeconfig-\u{1b}[31m": "z"});
        }),
        ("not-published", "only for 000000, 000001, 000002, 000003\n", |info| {
            let signed = (0..8000).map(|id| (format!("jws-kubeconfig-{id:06}"), json!("x")));
            info["data"] = signed.chain([("kubeconfig".to_owned(), json!("x"))]).collect();
        }),
        ("not-published", "no kubeconfig", |info| info["data"] = Value::Null),
        ("not-trusted", "does not match the secret of token", |info| {
            let text =
                info["data"]["kubeconfig"].as_str().expect("text").replace("localhost", "evil.example");
            info["data"]["kubeconfig"] = json!(text);
        }),
        ("not-trusted", "its kubeconfig is invalid", |info| {
            let hostile = "\u{1b}[31m: [[[[";
            info["data"] = json!({"kubeconfig": hostile, "jws-kubeconfig-abcdef": jws::sign(TOKEN, hostile)});
        }),
        ("usage", "not a ConfigMap", |info| *info = json!([])),
        ("usage", "not a ConfigMap", |info| *info = json!({"data": [1]})),
    ];
    for (outcome, words, change) in cases {
        let (api, node) = (Api::start(), Node::new());
        let mut info = config_map(&api);
        change(&mut info);
        let run = nodestrap(&node, &verify(&node, &api, &info));
        run.expect(outcome).says(&[words]);
        run.check(run.stdout.is_empty() && !run.stderr.contains('\u{1b}'), "nothing of it is shown");
    }
    let (api, node) = (Api::start(), Node::new());
    let line = verify(&node, &api, &config_map(&api));
    let other = Authority::new("other").pin();
    nodestrap(&node, &line.replace(&api.authority.pin(), &other)).expect("not-trusted").says(&["not pinned"]);
    let expired = Authority::with("old", |params| valid(params, -9 * DAY, -DAY));
    api.cluster(|cluster| cluster.publish(&jws::kubeconfig(&expired.pem(), "https://localhost:1")));
    let line = verify(&node, &api, &config_map(&api)).replace(&api.authority.pin(), &expired.pin());
    nodestrap(&node, &line).expect("clock").says(&["CN=old"]);
}

pub const CONFIG: &str = "var/lib/kubelet/config.yaml";
pub const GOOD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nrotateCertificates: true\n\
                    authentication:\n  x509:\n    clientCAFile: /etc/kubernetes/pki/ca.crt\n";

/// Checks the node's root as an image, and returns level and path of each finding.
pub fn check(node: &Node) -> (Finished, Vec<String>) {
    let run = nodestrap(node, &format!("check --root {}", node.root().display()));
    let findings = run.report()["findings"].as_array().expect("findings").clone();
    let text = |finding: &Value, field: &str| finding[field].as_str().expect("text").to_owned();
    let line = |f: &Value| {
        let [level, path, message, help] = ["level", "path", "message", "help"].map(|field| text(f, field));
        format!("{level}: {path}: {message}; {help}")
    };
    assert_eq!(
        run.stdout.lines().map(str::to_owned).collect::<Vec<_>>(),
        findings.iter().map(line).collect::<Vec<_>>()
    );
    let is_error = findings.iter().any(|finding| finding["level"] == "error");
    run.expect(if is_error { "files" } else { "checked" });
    let short = findings.iter().map(|f| format!("{} {}", text(f, "level"), text(f, "path"))).collect();
    (run, short)
}

#[test]
fn a_good_image_has_no_findings() {
    for id in [None, Some(""), Some("uninitialized\n")] {
        let node = Node::new();
        node.write(CONFIG, GOOD);
        node.write("etc/kubernetes/manifests/.keep", "");
        node.write("etc/nodestrap/join.yaml", "kind: JoinConfiguration\n");
        if let Some(id) = id {
            node.write("etc/machine-id", id);
        }
        let (run, found) = check(&node);
        assert_eq!((found, run.stdout.as_str(), run.stderr.as_str()), (Vec::new(), "", ""));
    }
}

#[test]
fn a_joined_node_is_no_image() {
    let (api, node) = (Api::start(), Node::new());
    node.join(&api)
        .with_cert()
        .args("--keep-bootstrap-kubeconfig --with-kubelet-config")
        .run()
        .expect("joined");
    let (run, found) = check(&node);
    run.says(&["the image has 4 errors"]);
    let pair = node.pair();
    assert_eq!(
        found,
        [
            format!("error /{BOOTSTRAP_CONF}"),
            format!("error /{KUBELET_CONF}"),
            format!("error /{pair}"),
            "error /var/lib/kubelet/pki/kubelet-client-current.pem".to_owned(),
            format!("warning /{CA}"),
        ]
    );
}

#[test]
fn each_thing_is_found_by_itself() {
    let token = format!("--token '{TOKEN}'");
    let without = |text: &str| GOOD.replace(text, "x: y");
    let cases: [(&str, &str, &str); 20] = [
        (KUBELET_CONF, "", "error"),
        (BOOTSTRAP_CONF, "", "error"),
        ("etc/kubernetes/admin.conf", "", "error"),
        ("var/lib/kubelet/pki/kubelet-client.key.tmp", "", "error"),
        ("var/lib/kubelet/pki/kubelet-server-current.pem", "", "error"),
        ("var/lib/kubelet/pki/.nodestrap.new", "", "error"),
        ("var/lib/kubelet/.nodestrap.new", "", "error"),
        ("etc/kubernetes/.nodestrap.new", "", "error"),
        ("etc/kubernetes/.nodestrap.staged", "", "error"),
        ("etc/kubernetes/pki/.nodestrap.new", "", "error"),
        ("etc/kubernetes/pki/sa.key", "", "error"),
        ("etc/kubernetes/pki/etcd/ca.key", "", "error"),
        (CA, "", "warning"),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n", "warning"),
        ("etc/nodestrap/join", &token, "warning"),
        ("etc/credstore/nodestrap.token", TOKEN, "warning"),
        (CONFIG, "kind: Pod\n", "warning"),
        (CONFIG, "a: [\n", "warning"),
        (CONFIG, &without("rotateCertificates: true"), "warning"),
        (CONFIG, &without("clientCAFile: /etc/kubernetes/pki/ca.crt"), "warning"),
    ];
    for (path, content, level) in cases {
        let node = Node::new();
        node.write(CONFIG, GOOD);
        node.write(path, content);
        assert_eq!(check(&node).1, [format!("{level} /{path}")], "{content}");
    }
    let node = Node::new();
    assert_eq!(check(&node).1, [format!("warning /{CONFIG}")], "an empty image");
    node.write("etc/kubernetes/kubelet.yaml", GOOD);
    assert_eq!(check(&node).1, Vec::<String>::new(), "another place for the configuration");
    let fetching = Node::new();
    fetching.write("etc/default/nodestrap", "NODESTRAP_ARGS=--node-name x\n#--with-kubelet-config\n");
    assert_eq!(check(&fetching).1, [format!("warning /{CONFIG}")], "a comment asks for nothing");
    fetching.write("etc/sysconfig/nodestrap", "NODESTRAP_ARGS=--with-kubelet-config\n");
    assert_eq!(check(&fetching).1, Vec::<String>::new(), "a join fetches the configuration");
    node.write("usr/bin/kubeadm", "");
    assert_eq!(check(&node).1, Vec::<String>::new(), "kubeadm does not touch that");
    node.write(CONFIG, GOOD);
    assert_eq!(check(&node).1, [format!("warning /{CONFIG}")], "kubeadm's upgrade replaces it");
}

#[test]
fn a_hostile_image_is_looked_at_from_inside_only() {
    let node = Node::new();
    node.write(CONFIG, GOOD);
    // What lies outside is a secret of the machine that builds the image.
    let outside = node.beside("outside");
    fs::create_dir_all(outside.join("pki")).expect("a directory outside");
    fs::write(outside.join("pki/sa.key"), "").expect("a key outside");
    fs::write(outside.join("kubelet.conf"), "").expect("an identity outside");
    fs::create_dir_all(node.at("etc/nodestrap")).expect("a directory");
    fs::create_dir_all(node.at("var/lib/kubelet")).expect("a directory");
    for target in [outside.as_path(), Path::new("../../../../outside")] {
        symlink(target, node.at("etc/kubernetes")).expect("a link");
        symlink(target.join("pki"), node.at("var/lib/kubelet/pki")).expect("a link");
        assert_eq!(check(&node).1, Vec::<String>::new(), "{}", target.display());
        fs::remove_file(node.at("etc/kubernetes")).expect("the link");
        fs::remove_file(node.at("var/lib/kubelet/pki")).expect("the link");
    }
    // Inside, links are followed; what cannot be looked at may hold anything.
    node.write("data/kubelet.conf", "");
    symlink("/data", node.at("etc/kubernetes")).expect("a link");
    assert_eq!(check(&node).1, ["error /etc/kubernetes/kubelet.conf"]);
    fs::remove_file(node.at("etc/kubernetes")).expect("the link");
    symlink("kubernetes", node.at("etc/kubernetes")).expect("a loop");
    node.write("var/lib/kubelet/pki", "a file");
    mkfifoat(CWD, node.at("etc/machine-id"), Mode::from_raw_mode(0o600)).expect("a FIFO");
    node.write("etc/nodestrap/large", vec![b'x'; 2 << 20]);
    node.write("etc/nodestrap/\u{1b}[31mred\u{202e}", TOKEN);
    node.write("etc/nodestrap/binary", [0xff, 0x00, 0xfe]);
    let (run, found) = check(&node);
    let expected = ["error /etc/kubernetes", "error /var/lib/kubelet/pki", "error /etc/machine-id"];
    for expected in
        expected.into_iter().chain(["error /etc/nodestrap/large", "warning /etc/nodestrap/ [31mred "])
    {
        assert!(found.iter().any(|line| line.trim_end() == expected.trim_end()), "{expected}: {found:#?}");
    }
    run.check(!run.stdout.contains(['\u{1b}', '\u{202e}']), "a name cannot write on the terminal");
    run.check(!run.stdout.contains("binary"), "bytes are no token");
}
