//! A kubeconfig that the token has signed, and that is no plain kubeconfig, or leads where no cluster is.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use crate::suite::{Case, Expect, JOINED, Stage, waits};
use crate::support::api::Api;
use crate::support::pki::{Authority, pem_text};

const fn refused(problem: &'static str) -> Expect {
    waits("not-trusted", problem)
}

const NOT_READ: Expect = refused(
    "cluster-info is signed with the token, but its kubeconfig is invalid; correct ConfigMap kube-public",
);
const OF_NO_USE: Expect = refused(
    "cluster-info is signed with the token, but its kubeconfig is unusable; correct ConfigMap kube-public",
);
const NO_URL: Expect =
    refused("but its server is not an https:// URL with host, port and path; correct ConfigMap kube-public");
const NO_DATA: Expect = refused("but CA data holds ");
const NO_PEM: Expect = refused("but CA data is not valid ");

/// Makes the text of the server's URL and the CA's data.
type Text = (&'static str, Expect, fn(&str, &str) -> String);

fn plain(server: &str, data: &str) -> String {
    named("''", server, data)
}

fn named(name: &str, server: &str, data: &str) -> String {
    format!("clusters:\n{}", entry(name, server, data))
}

fn entry(name: &str, server: &str, data: &str) -> String {
    format!("- name: {name}\n  cluster:\n    server: {server}\n    certificate-authority-data: {data}\n")
}

/// With this before it.
fn behind(text: &str, server: &str, data: &str) -> String {
    format!("{text}{}", plain(server, data))
}

const YAML: [Text; 48] = [
    ("plain", JOINED, plain),
    ("as JSON", JOINED, |s, d| {
        format!(
            r#"{{"clusters":[{{"name":"","cluster":{{"server":"{s}","certificate-authority-data":"{d}"}}}}]}}"#
        )
    }),
    ("quoted, with escapes", JOINED, |s, d| plain(&format!("\"{}\"", s.replace("//", "\\x2f\\u002F")), d)),
    ("line ends of DOS", JOINED, |s, d| plain(s, d).replace('\n', "\r\n")),
    ("line ends of old Macintoshes", JOINED, |s, d| plain(s, d).replace('\n', "\r")),
    ("a comment of 900 KB", JOINED, |s, d| behind(&format!("# {}\n", "x".repeat(900_000)), s, d)),
    ("a scalar of 900 KB", JOINED, |s, d| behind(&format!("x: {}\n", "x".repeat(900_000)), s, d)),
    ("a name that YAML 1.1 takes for false", NOT_READ, |s, d| named("no", s, d)),
    ("the mark of a document's beginning", JOINED, |s, d| behind("---\n", s, d)),
    ("the mark of a document's end", JOINED, |s, d| plain(s, d) + "...\n"),
    ("its version", JOINED, |s, d| behind("%YAML 1.2\n---\n", s, d)),
    ("more than a megabyte", NOT_READ, |s, d| behind(&format!("# {}\n", "x".repeat(1_100_000)), s, d)),
    ("an anchor", NOT_READ, |s, d| behind("x: &x 1\n", s, d)),
    ("an alias", NOT_READ, |s, d| behind("x: &x [a]\ny: *x\n", s, d)),
    ("an alias to nothing", NOT_READ, |s, d| behind("y: *x\n", s, d)),
    ("an alias to itself", NOT_READ, |s, d| behind("x: &x [*x]\n", s, d)),
    ("a billion laughs", NOT_READ, |s, d| {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..9 {
            let _ = writeln!(text, "a{n}: &a{n} [{}]", vec![format!("*a{}", n - 1); 9].join(","));
        }
        behind(&text, s, d)
    }),
    ("a merge key", NOT_READ, |s, d| behind("x: {<<: {a: 1}}\n", s, d)),
    ("a merge key with an alias", NOT_READ, |s, d| behind("x: &x {a: 1}\ny: {<<: *x}\n", s, d)),
    ("a tag of YAML's", NOT_READ, |s, d| behind("x: !!binary QQ==\n", s, d)),
    ("a tag for a text", NOT_READ, |s, d| plain(&format!("!!str {s}"), d)),
    ("a tag of one's own", NOT_READ, |s, d| behind("x: !secret y\n", s, d)),
    ("a tag of Python's", NOT_READ, |s, d| behind("x: !!python/object/apply:os.system [id]\n", s, d)),
    ("a tag's abbreviation", NOT_READ, |s, d| behind("%TAG ! tag:evil.test,2000:\n---\nx: !y z\n", s, d)),
    ("a key twice", NOT_READ, |s, d| plain(s, d) + "    server: https://evil.test\n"),
    ("an unknown key twice", NOT_READ, |s, d| behind("x: 1\nx: 2\n", s, d)),
    ("a key twice in braces", NOT_READ, |s, d| behind("x: {a: 1, a: 2}\n", s, d)),
    ("a key twice, once quoted", NOT_READ, |s, d| plain(s, d) + "    \"server\": https://evil.test\n"),
    ("the clusters twice", NOT_READ, |s, d| plain(s, d) + &plain("https://evil.test", d)),
    ("a key that is a list", NOT_READ, |s, d| behind("? [a]\n: b\n", s, d)),
    ("a key that is a map", NOT_READ, |s, d| behind("? {a: 1}\n: b\n", s, d)),
    ("deeper than any kubeconfig", NOT_READ, |s, d| {
        behind(&format!("x: {}{}\n", "[".repeat(100), "]".repeat(100)), s, d)
    }),
    ("very deep", NOT_READ, |s, d| {
        behind(&format!("x: {}{}\n", "[".repeat(20_000), "]".repeat(20_000)), s, d)
    }),
    ("very deep, by lines", NOT_READ, |s, d| {
        let lines = (0..200).map(|n| [&" ".repeat(n), "x:\n"].concat()).collect::<String>();
        behind(&lines, s, d)
    }),
    ("very deep, by dashes", NOT_READ, |s, d| behind(&format!("x:\n  {}x\n", "- ".repeat(20_000)), s, d)),
    ("very many nodes", NOT_READ, |s, d| behind(&format!("x: [{}]\n", "0,".repeat(200_000)), s, d)),
    ("very many keys", NOT_READ, |s, d| {
        behind(&(0..100_000).map(|n| n.to_string() + ":\n").collect::<String>(), s, d)
    }),
    ("two documents", NOT_READ, |s, d| plain(s, d) + "---\nx: 1\n"),
    ("ten thousand documents", NOT_READ, |s, d| plain(s, d) + &"---\n".repeat(10_000)),
    ("a version that there is not", JOINED, |s, d| behind("%YAML 9.9\n---\n", s, d)),
    ("a byte order mark in its middle", NOT_READ, |s, d| plain(s, d) + "\u{feff}: 1\n\u{feff}: 2\n"),
    ("NUL in it", NOT_READ, |s, d| behind("x: a\0b\n", s, d)),
    ("tabs before keys", NOT_READ, |s, d| plain(s, d).replace("    server", "\tserver")),
    ("a bracket that is not closed", NOT_READ, |s, d| plain(s, d) + "x: [\n"),
    ("a quote that is not closed", NOT_READ, |s, d| plain(s, d) + "x: \"\n"),
    ("an escape that there is not", NOT_READ, |s, d| behind("x: \"\\q\"\n", s, d)),
    ("half a surrogate", NOT_READ, |s, d| behind("x: \"\\ud800\"\n", s, d)),
    ("only words", NOT_READ, |_, _| "words\n".to_owned()),
];

const CONTENT: [Text; 21] = [
    ("nothing", OF_NO_USE, |_, _| "# nothing\n".to_owned()),
    ("a list", NOT_READ, |_, _| "- clusters\n".to_owned()),
    ("another kind", NOT_READ, |s, d| behind("kind: Secret\n", s, d)),
    ("another version", NOT_READ, |s, d| behind("apiVersion: v2\n", s, d)),
    ("no cluster", OF_NO_USE, |_, _| "clusters: null\n".to_owned()),
    ("clusters that are a map", NOT_READ, |s, _| {
        format!("clusters: {{a: {{cluster: {{server: '{s}'}}}}}}\n")
    }),
    ("a cluster without a name, and without a CA", NO_DATA, |s, _| {
        format!("clusters: [{{cluster: {{server: '{s}'}}}}]\n")
    }),
    ("a name that is a number", NOT_READ, |s, d| named("1", s, d)),
    ("a server that is a list", NOT_READ, |s, d| plain(&format!("['{s}']"), d)),
    ("two clusters, none chosen", OF_NO_USE, |s, d| named("a", s, d) + &entry("b", s, d)),
    ("two clusters of one name", NOT_READ, |s, d| named("a", s, d) + &entry("a", s, d)),
    ("a cluster elsewhere, and the one without a name", JOINED, |s, d| {
        named("a", "https://evil.test", d) + &entry("''", s, d)
    }),
    ("a current context that there is not", OF_NO_USE, |s, d| {
        named("a", s, d) + &entry("b", s, d) + "current-context: x\n"
    }),
    ("no verification wished", JOINED, |s, d| plain(s, d) + "    insecure-skip-tls-verify: true\n"),
    ("a proxy", JOINED, |s, d| plain(s, d) + "    proxy-url: http://127.0.0.1:9\n"),
    ("another name for the server", JOINED, |s, d| plain(s, d) + "    tls-server-name: evil.test\n"),
    ("a CA of this machine", NO_DATA, |s, _| plain(s, "''") + "    certificate-authority: /etc/passwd\n"),
    ("a user with a token", JOINED, |s, d| plain(s, d) + "users: [{name: u, user: {token: t}}]\n"),
    ("a user by a program", JOINED, |s, d| {
        plain(s, d) + "users: [{name: u, user: {exec: {command: /bin/false, apiVersion: v1}}}]\n"
    }),
    ("a user by a file of this machine", JOINED, |s, d| {
        plain(s, d) + "users: [{name: u, user: {tokenFile: /etc/shadow}}]\n"
    }),
    ("a hundred clusters elsewhere", JOINED, |s, d| {
        let others = (0..100).map(|n| entry(&format!("c{n}"), "https://evil.test", "QQ=="));
        plain(s, d) + &others.collect::<String>()
    }),
];

/// Servers that are none.
const SERVERS: [(&str, &str); 15] = [
    ("none", "''"),
    ("without TLS", "http://localhost:6443"),
    ("with a scheme in capitals", "HTTPS://localhost:6443"),
    ("of files", "file:///etc/passwd"),
    ("without a scheme", "localhost:6443"),
    ("with a user", "https://user:password@localhost:6443"),
    ("with a query", "https://localhost:6443/?a=b"),
    ("with a fragment", "'https://localhost:6443/#a'"),
    ("with a space", "'https://localhost:6443/ a'"),
    ("with a line break and a header", "\"https://localhost:6443/\\r\\nX: y\""),
    ("with a NUL", "\"https://localhost:6443/\\0\""),
    ("with port 0", "https://localhost:0"),
    ("with a port beyond all ports", "https://localhost:65536"),
    ("with letters beyond ASCII", "https://löcalhost:6443"),
    ("with an interface", "https://[fe80::1%25eth0]:6443"),
];

/// What stands for CA data, made of the CA's PEM.
type Data = (&'static str, Expect, fn(&str) -> String);

fn encoded(pem: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(pem)
}

const DATA: [Data; 23] = [
    ("nothing", NO_DATA, |_| "''".to_owned()),
    ("no base64", NO_PEM, |_| "'%%%'".to_owned()),
    ("base64 in lines", JOINED, |pem| format!("\"{}\"", encoded(pem).replacen('L', "L\\n", 9))),
    ("base64 without padding", NO_PEM, |pem| {
        let padded = ["", "\n", "\n\n"]
            .map(|end| encoded(pem.to_owned() + end))
            .into_iter()
            .find(|text| text.ends_with('='));
        padded.expect("one of them is").trim_end_matches('=').to_owned()
    }),
    ("base64 of URLs", NO_PEM, |pem| BASE64_URL_SAFE_NO_PAD.encode(format!("{pem}\u{3ff}\u{3ff}\u{7ff}"))),
    ("words", NO_DATA, |_| encoded("not a PEM certificate")),
    ("DER", NO_DATA, |pem| encoded(pem::parse(pem).expect("PEM").contents())),
    ("PEM itself", NO_PEM, |pem| format!("|\n      {}", pem.replace('\n', "\n      "))),
    ("line ends of DOS", JOINED, |pem| encoded(pem.replace('\n', "\r\n"))),
    ("no line break at its end", JOINED, |pem| encoded(pem.trim_end())),
    ("words around it", JOINED, |pem| encoded(format!("subject=CN = kubernetes\n{pem}# end\n"))),
    ("half of it", refused("but CA data"), |pem| encoded(&pem[..pem.len() / 2])),
    ("another end", refused("but CA data"), |pem| encoded(pem.replace("END CERTIFICATE", "END KEY"))),
    ("a certificate in another's dress", NO_DATA, |pem| {
        encoded(pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"))
    }),
    ("a private key beside it", NO_DATA, |pem| {
        encoded(pem.to_owned() + &pem_text("EC PRIVATE KEY", &[0x30, 0]))
    }),
    ("a public key beside it", NO_DATA, |pem| encoded(pem.to_owned() + &pem_text("PUBLIC KEY", &[0x30, 0]))),
    ("a revocation list beside it", NO_DATA, |pem| {
        encoded(pem.to_owned() + &pem_text("X509 CRL", &[0x30, 0]))
    }),
    ("a certificate beside it that is none", NO_DATA, |pem| {
        encoded(pem.to_owned() + &pem_text("CERTIFICATE", b"x"))
    }),
    ("bytes behind its end", NO_DATA, |pem| {
        let der = pem::parse(pem).expect("PEM").into_contents();
        encoded(pem_text("CERTIFICATE", &[der, vec![0; 2]].concat()))
    }),
    ("a certificate of 70 KB", NO_DATA, |pem| {
        encoded(pem.to_owned() + &pem_text("CERTIFICATE", &[0x30; 70_000]))
    }),
    ("itself thirty-two times", JOINED, |pem| encoded(pem.repeat(32))),
    ("itself thirty-three times", NO_DATA, |pem| encoded(pem.repeat(33))),
    ("six hundred kilobytes of words", JOINED, |pem| encoded(format!("{}{pem}", "words\n".repeat(100_000)))),
];

fn signed(
    name: String,
    expect: Expect,
    text: impl Fn(&str, &Authority) -> String + Send + Sync + 'static,
) -> Case {
    Case::new(name, expect, move || {
        let api = Api::start();
        let text = text(&format!("https://{}", api.endpoint()), &api.authority);
        api.cluster(|cluster| cluster.publish(&text));
        if expect.says.is_empty() { Stage::with_trusted(api) } else { Stage::with_untrusted(api) }
    })
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, expect, text) in YAML.into_iter().chain(CONTENT) {
        cases.push(signed(name.to_owned(), expect, move |server, ca| text(server, &encoded(ca.pem()))));
    }
    for (name, server) in SERVERS {
        cases
            .push(signed(format!("a server {name}"), NO_URL, move |_, ca| plain(server, &encoded(ca.pem()))));
    }
    for (name, expect, data) in DATA {
        cases.push(signed(format!("CA data: {name}"), expect, move |server, ca| {
            plain(server, &data(&ca.pem()))
        }));
    }
    cases
}
