//! Disks of joined nodes, odd now and then.

use std::fs;
use std::os::unix::fs::symlink;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nodestrap::testing::kubeconfig;

use super::corruption::Corruption;
use super::random::Random;
use crate::support::node::{CA, CURRENT, KUBELET_CONF, Node, PKI};
use crate::support::pki::{Authority, DAY, valid};

const PAIR: &str = "var/lib/kubelet/pki/kubelet-client-2026-01-02-03-04-05.pem";

/// A disk, by what was done to it.
pub type Traits = Vec<&'static str>;

pub fn has(traits: &Traits, name: &str) -> bool {
    traits.contains(&name)
}

/// A certificate and its key, odd now and then.
fn pair(random: &mut Random, authority: &Authority, traits: &mut Traits) -> (String, String) {
    let name = if random.once_in(12) {
        traits.push("another node's");
        "system:node:n2"
    } else {
        "system:node:n1"
    };
    let (mut certificate, mut key) = authority.client("system:nodes", name);
    match random.below(16) {
        0 => {
            traits.push("out of time");
            let window = if random.once_in(2) { (-20 * DAY, -DAY) } else { (DAY, 20 * DAY) };
            (certificate, key) = authority
                .client_with("system:nodes", name, |request| valid(&mut request.params, window.0, window.1));
        }
        1 => {
            traits.push("another's key");
            key = authority.client("system:nodes", name).1;
        }
        2 => {
            traits.push("its CA behind it");
            certificate += &authority.pem();
        }
        3 => {
            traits.push("an expired CA behind it");
            certificate += &Authority::with("old", |params| valid(params, -20 * DAY, -DAY)).pem();
        }
        4 => {
            traits.push("headers");
            certificate = certificate.replacen("-----\n", "-----\na: b\n\n", 1);
        }
        _ => {}
    }
    (certificate, key)
}

/// Puts what a joined node has on a disk, and something else now and then.
pub fn draw(random: &mut Random, authority: &Authority) -> (Node, Traits) {
    let (node, mut traits) = (Node::new(), Traits::new());
    let (certificate, key) = pair(random, authority, &mut traits);
    let mut ca = authority.pem().into_bytes();
    if random.once_in(12) {
        traits.push("a damaged CA");
        ca = Corruption::pem(random, &ca);
    }
    let link = format!("/{CURRENT}");
    let mut conf = kubeconfig::kubelet("https://api.example:6443", &BASE64_STANDARD.encode(&ca), &link);
    let mut text = if random.once_in(6) { key.clone() + &certificate } else { certificate.clone() + &key };
    match random.below(12) {
        0 => {
            traits.push("a damaged kubeconfig");
            conf = random.slips(&conf);
        }
        1 => {
            traits.push("a damaged kubeconfig");
            conf = Corruption::yaml(random, &conf);
        }
        2 => {
            let data = |text: &str| BASE64_STANDARD.encode(text);
            conf = conf
                .replace(
                    &format!("client-certificate: {link}"),
                    &format!("client-certificate-data: {}", data(&certificate)),
                )
                .replace(&format!("client-key: {link}"), &format!("client-key-data: {}", data(&key)));
        }
        3 => conf = conf.replace(&link, "../../var/lib/kubelet/pki/kubelet-client-current.pem"),
        4 => {
            traits.push("a damaged pair");
            text = String::from_utf8_lossy(&Corruption::pem(random, text.as_bytes())).into_owned();
        }
        5 => {
            traits.push("a damaged pair");
            text.truncate(random.below(text.len()));
        }
        6 => {
            traits.push("another server");
            let server = random.pick(&SERVERS);
            traits.push(server);
            conf = conf.replace("server: https://api.example:6443", &format!("server: {server}"));
        }
        7 => {
            traits.push("another field");
            let (behind, field) = FIELDS[random.below(FIELDS.len())];
            traits.push(field);
            conf = conf.replace(behind, &format!("{field}\n    {behind}"));
        }
        _ => {}
    }
    node.write(KUBELET_CONF, conf);
    if !random.once_in(12) {
        node.write(CA, &ca);
    }
    node.write(PAIR, &text);
    let target = format!("/{PAIR}");
    let place = |name: &str| node.at(&format!("{PKI}/{name}"));
    match random.below(16) {
        0 => traits.push("no link"),
        1 => {
            traits.push("a link that was not renamed");
            symlink(target, place("kubelet-client-updated.pem")).expect("a link");
        }
        2 => {
            traits.push("a link that leads nowhere");
            symlink("/var/lib/kubelet/pki/none.pem", node.at(CURRENT)).expect("a link");
        }
        3 => symlink(PAIR.rsplit('/').next().expect("a name"), node.at(CURRENT)).expect("a link"),
        4 => node.write(CURRENT, &text),
        5 => {
            traits.push("two files");
            fs::write(place("kubelet-client.crt"), &certificate).expect("a file");
            fs::write(place("kubelet-client.key"), &key).expect("a file");
        }
        _ => symlink(target, node.at(CURRENT)).expect("a link"),
    }
    (node, traits)
}

/// What may stand for the API server.
const SERVERS: [&str; 26] = [
    "",
    "''",
    "~",
    "api.example",
    "api.example:6443",
    "10.0.0.1:6443",
    "//api.example",
    "http://api.example:6443",
    "HTTPS://api.example",
    "https:api.example",
    "https:/api.example",
    "https://",
    "https://:6443",
    "https:///path",
    "https://api.example/",
    "https://api.example:6443/k8s/clusters/c-1",
    "https://api.example?q=1",
    "'https://api.example#f'",
    "https://user@api.example",
    "https://api.example:port",
    "https://api example",
    "https://[fd00::1]:6443",
    "https://fd00::1:6443",
    "https://api.example/%zz",
    "unix:///run/api.sock",
    "ftp://api.example",
];

/// Fields that a kubelet.conf seldom has, each before another.
const FIELDS: [(&str, &str); 11] = [
    ("server:", "insecure-skip-tls-verify: true"),
    ("server:", "insecure-skip-tls-verify: false"),
    ("server:", "certificate-authority: /etc/kubernetes/pki/ca.crt"),
    ("server:", "certificate-authority: none.crt"),
    ("server:", "tls-server-name: api.example"),
    ("server:", "proxy-url: http://proxy.example:3128"),
    ("client-key:", "client-certificate-data: LS0tLS1CRUdJTg=="),
    ("client-key:", "client-key-data: LS0tLS1CRUdJTg=="),
    ("client-key:", "token: abc"),
    ("client-key:", "tokenFile: /none"),
    ("client-key:", "username: n1"),
];
