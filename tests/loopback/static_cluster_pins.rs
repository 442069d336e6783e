//! Pins where no API server delivers the CAs: nobody vouches for a certificate whose key is not pinned.

use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::KeyPair;

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, Reply, Route, Setup, TOKEN, jws};
use crate::support::node::{BOOTSTRAP_CONF, Node};
use crate::support::pki::{Authority, pem_text, pin_of};

/// A way in, and how it is gone with these CAs; the web server on it has to stay.
type Case = (&'static str, fn(JoinBuilder, &str) -> (JoinBuilder, Option<Api>));

/// A kubeconfig with these CAs.
fn kubeconfig(builder: &JoinBuilder, bundle: &str) -> String {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    let text = builder.kubeconfig(&format!("{{token: {TOKEN}}}"));
    text.replace(&encode(&builder.api.authority.pem()), &encode(bundle))
}

/// A signed cluster-info with these CAs.
fn cluster_info(builder: &JoinBuilder, bundle: &str) -> String {
    let server = format!("https://{}", builder.api.endpoint());
    builder.api.cluster(|cluster| cluster.publish(&jws::kubeconfig(bundle, &server)));
    builder.config_map().to_string()
}

/// Has a file behind a URL.
fn behind_url(builder: JoinBuilder, flag: &str, text: String) -> (JoinBuilder, Option<Api>) {
    let web = Api::with(Setup { authority: Arc::new(Authority::new("web")), ..Setup::default() });
    web.on(Route::Other, move |_, _, _| Some(Reply::text(200, "text/plain", &text)));
    let ca = builder.file("web.pem", &web.authority.pem());
    let url = format!("https://{}/a", web.endpoint());
    (builder.with(&[flag, &url, "--discovery-ca", path(&ca)]), Some(web))
}

/// Every method by which no API server delivers the CAs.
const WAYS: [Case; 6] = [
    ("--server", |builder, bundle| (builder.by_the_operators_word(bundle), None)),
    ("--discovery-file FILE", |builder, bundle| {
        let file = builder.file("discovery.conf", &kubeconfig(&builder, bundle));
        (builder.with(&["--discovery-file", path(&file)]), None)
    }),
    ("--discovery-file URL", |builder, bundle| {
        let text = kubeconfig(&builder, bundle);
        behind_url(builder, "--discovery-file", text)
    }),
    ("--bootstrap-kubeconfig", |builder, bundle| {
        let file = builder.file("bootstrap.conf", &kubeconfig(&builder, bundle));
        (builder.with(&["--bootstrap-kubeconfig", path(&file)]), None)
    }),
    ("--cluster-info FILE", |builder, bundle| {
        let (file, token) =
            (builder.file("info", &cluster_info(&builder, bundle)), builder.file("token", TOKEN));
        (builder.with(&["--cluster-info", path(&file), "--token-file", path(&token)]), None)
    }),
    ("--cluster-info URL", |builder, bundle| {
        let (text, token) = (cluster_info(&builder, bundle), builder.file("token", TOKEN));
        behind_url(builder.with(&["--token-file", path(&token)]), "--cluster-info", text)
    }),
];

/// Tries each method with these CAs and flags, and asserts that the cluster is not even dialled.
fn refused(code: i32, words: &str, bundle: impl Fn(&Authority) -> String + Sync, flags: &[&str]) {
    crate::support::all(
        &WAYS,
        |case| case.0.to_owned(),
        |(_, make)| {
            let builder = JoinBuilder::new();
            let bundle = bundle(&builder.api.authority);
            let pin = builder.api.authority.pin();
            let flags: Vec<&str> =
                flags.iter().map(|flag| if *flag == "PIN" { &pin } else { *flag }).collect();
            let (builder, _web) = make(builder, &bundle);
            let builder = builder.with(&flags).with(&["--discovery-timeout", "3s"]);
            builder.is_refused(code, words);
            assert_eq!(builder.api.connections().len(), 0);
        },
    );
}

const HASH: &str = "--discovery-token-ca-cert-hash";

#[test]
fn a_pin_of_another_ca_holds_on_every_way() {
    let other = Authority::new("other").pin();
    for more in [&["--pin-every-ca"][..], &["--discovery-token-unsafe-skip-ca-verification"], &[]] {
        refused(5, "are not pinned: found sha256:", Authority::pem, &[&[HASH, &other], more].concat());
    }
}

#[test]
fn each_certificate_must_be_pinned_on_every_way_and_the_missing_key_is_named() {
    let added = Authority::new("kubernetes");
    let words = format!("are not pinned: found {}", added.pin());
    refused(5, &words, |ca| ca.pem() + &added.pem(), &[HASH, "PIN"]);
    refused(5, &words, |ca| added.pem() + &ca.pem(), &[HASH, "PIN"]);

    // A leaf, too, even one that the pinned CA has signed: as a clientCAFile it would be a chain by itself.
    let key = KeyPair::generate().expect("a key");
    let words = format!("are not pinned: found {}", pin_of(&key));
    let with_leaf =
        |ca: &Authority| ca.pem() + &pem_text("CERTIFICATE", &ca.server_of(&key, &["x"], |_| {}).chain[0]);
    refused(5, &words, with_leaf, &[HASH, "PIN"]);
}

#[test]
fn what_is_no_pin_is_a_usage_error_on_every_way() {
    for bad in ["sha256:xyz", "", "sha1:00", "PIN,sha256:xyz", "hunter2"] {
        let bad = bad.replace("PIN", &Authority::new("other").pin());
        refused(2, "expects sha256: and 64 hex digits", Authority::pem, &[HASH, &bad]);
        JoinBuilder::new().with(&[HASH, &bad]).is_refused(2, "expects sha256: and 64 hex digits");
    }
    refused(2, "--discovery-token-ca-cert-hash", Authority::pem, &["--pin-every-ca"]);
}

#[test]
fn what_is_no_pin_is_a_usage_error_from_wherever_it_comes() {
    let configuration = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  bootstrapToken:\n    \
         caCertHashes: ['sha256:xyz']\n";
    for case in 0..4 {
        let builder = JoinBuilder::new();
        let file = builder.file("discovery.conf", &kubeconfig(&builder, &builder.api.authority.pem()));
        let (line, own) =
            ("kubeadm join --discovery-token-ca-cert-hash sha256:xyz", ["--discovery-file", path(&file)]);
        let builder = match case {
            0 => builder.variable("NODESTRAP_JOIN", line.to_owned()).with(&own),
            1 => builder.variable("NODESTRAP_CONFIG", configuration.to_owned()).with(&own),
            2 => {
                let config = builder.file("join.yaml", configuration);
                builder.with(&["--config", path(&config)]).with(&own)
            }
            _ => {
                let folder = builder.node.beside("credentials");
                fs::create_dir(&folder).expect("a folder");
                fs::write(folder.join("nodestrap.join"), line).expect("a credential");
                builder.variable("CREDENTIALS_DIRECTORY", path(&folder).to_owned()).with(&own)
            }
        };
        builder.is_refused(2, "expects sha256: and 64 hex digits");
        builder.with(&["--print-config"]).is_refused(2, "expects sha256: and 64 hex digits");
    }
}

#[test]
fn every_way_is_good_with_a_pin_for_each_certificate() {
    let added = Authority::new("kubernetes");
    for flag in ["--dry-run=false", "--pin-every-ca"] {
        crate::support::all(
            &WAYS,
            |case| case.0.to_owned(),
            |(_, make)| {
                let builder = JoinBuilder::new();
                let bundle = builder.api.authority.pem() + &added.pem();
                let pins = [added.pin(), builder.api.authority.pin()].join(",");
                let (builder, _web) = make(builder, &bundle);
                builder.with(&[HASH, &pins, flag]).joins();
            },
        );
    }
}

/// A join line from a weaker source cannot switch off the pin that the image brings.
#[test]
fn a_pin_holds_from_wherever_it_comes() {
    let pin = Authority::new("image").pin();
    let kind = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n";
    let pinned = format!("{kind}  bootstrapToken:\n    caCertHashes: ['{pin}']\n");
    for case in 0..4 {
        let builder = JoinBuilder::new();
        let file = builder.file("discovery.conf", &kubeconfig(&builder, &builder.api.authority.pem()));
        let line = format!("kubeadm join --discovery-file {}", path(&file));
        let builder = match case {
            0 => builder.with(&[HASH, &pin]).variable("NODESTRAP_JOIN", line),
            1 => {
                let config = builder.file("join.yaml", &pinned);
                builder.variable("NODESTRAP_JOIN", line).with(&["--config", path(&config)])
            }
            2 => {
                builder.variable("NODESTRAP_CONFIG", pinned.clone()).with(&["--discovery-file", path(&file)])
            }
            _ => {
                let config = builder.file("join.yaml", &pinned);
                let file = format!("{kind}  file:\n    kubeConfigPath: {}\n", path(&file));
                builder.variable("NODESTRAP_CONFIG", file).with(&["--config", path(&config)])
            }
        };
        builder.is_refused(5, "are not pinned");
        assert_eq!(builder.api.connections().len(), 0);
    }
}

#[test]
fn a_prepared_node_needs_a_pin_for_each_ca_that_was_prepared() {
    let (builder, new) = (JoinBuilder::new(), Authority::new("kubernetes"));
    let bundle = builder.api.authority.pem() + &new.pem();
    cluster_info(&builder, &bundle);
    builder.node.join(&builder.api).run().expect("prepared");
    let seen = builder.api.requests().len();
    let (file, pin) = (builder.node.at(BOOTSTRAP_CONF), builder.api.authority.pin());
    let builder = builder.with(&["--bootstrap-kubeconfig", path(&file), HASH, &pin]);
    let output = builder.run();
    let said = output.stderr;
    assert!(output.code == Some(5) && said.contains(&new.pin()), "{said}");
    assert_eq!(builder.api.requests().len(), seen);
    let both = new.pin();
    builder.with(&[HASH, &both]).joins();
}

#[test]
fn what_is_no_pin_is_a_usage_error_on_a_joined_node() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    node.join(&api).pins(&["sha256:xyz".to_owned()]).run().expect("usage");
}
