//! Discovery files whose user is known by a client certificate.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use rcgen::KeyPair;
use rustls::version::{TLS12, TLS13};

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, Route, Setup, TOKEN};
use crate::support::node::BOOTSTRAP_CONF;
use crate::support::pki::{Authority, pem_text};
use crate::support::scratch::Scratch;

const GROUP: &str = "system:bootstrappers";

/// A join to a cluster that knows a client certificate, and that certificate with its key.
fn builder() -> (JoinBuilder, String, String) {
    let builder = JoinBuilder::new();
    let (certificate, key) = builder.api.authority.client(GROUP, "image");
    knows(&builder.api, &certificate);
    (builder, certificate, key)
}

/// Has the cluster know this certificate, and no token.
fn knows(api: &Api, certificate: &str) {
    let der = pem::parse(certificate).expect("PEM").into_contents();
    api.cluster(|cluster| {
        cluster.bootstrapper = Some(der);
        cluster.token_is_valid = false;
    });
}

/// A new RSA key in PKCS#8.
fn rsa(bits: u32) -> String {
    let command = format!("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits}");
    let mut words = command.split(' ');
    let mut openssl = Command::new(words.next().expect("a program"));
    let output = openssl.args(words).output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("PEM")
}

/// The same key in PKCS#1, as Go writes it (RFC 5958, section 2: what is inside has its length in two bytes).
fn pkcs1(key: &str) -> String {
    let der = pem::parse(key).expect("PEM").into_contents();
    pem_text("RSA PRIVATE KEY", &der[26..])
}

/// The user as a kubeconfig has him, with both embedded.
fn embedded(certificate: &str, key: &str) -> String {
    let [certificate, key] = [certificate, key].map(|text| BASE64_STANDARD.encode(text));
    format!("{{client-certificate-data: {certificate}, client-key-data: {key}}}")
}

#[test]
fn a_client_certificate_requests_the_certificate() {
    for flag in ["--discovery-file", "--bootstrap-kubeconfig"] {
        for form in ["embedded", "files", "one file"] {
            let (builder, certificate, key) = builder();
            let user = match form {
                "embedded" => embedded(&certificate, &key),
                "files" => {
                    builder.file("c.pem", &certificate);
                    builder.file("k.pem", &key);
                    "{client-certificate: c.pem, client-key: k.pem}".to_owned()
                }
                _ => {
                    builder.file("both.pem", &format!("{certificate}{key}"));
                    "{client-certificate: both.pem, client-key: both.pem}".to_owned()
                }
            };
            let file = builder.file("discovery.conf", &builder.kubeconfig(&user));
            let builder = builder.with(&[flag, path(&file)]);
            builder.joins();
            assert_eq!(builder.api.routes(), [Route::Create, Route::Watch], "{flag} {form}");
            assert_eq!(builder.api.credentials_seen(), 0, "no token beside it");
            let certificate = pem::parse(&certificate).expect("PEM").into_contents();
            assert!(
                builder.api.requests().iter().all(|request| request.client.as_ref() == Some(&certificate))
            );
        }
    }
}

/// kubeadm's default is RSA-2048, which Go writes in PKCS#1, and OpenSSL in PKCS#8.
#[test]
fn an_rsa_key_requests_the_certificate_over_both_versions_of_tls() {
    for (bits, version, in_pkcs1) in
        [(2048, &TLS13, true), (2048, &TLS12, false), (3072, &TLS12, true), (4096, &TLS13, false)]
    {
        let mut builder = JoinBuilder::new();
        builder.api = Api::with(Setup { versions: Box::leak(Box::new([version])), ..Setup::default() });
        let pkcs8 = rsa(bits);
        let pair = KeyPair::from_pem(&pkcs8).expect("a key");
        let certificate = builder.api.authority.client_of(&pair, GROUP, "image");
        knows(&builder.api, &certificate);
        let key = if in_pkcs1 { pkcs1(&pkcs8) } else { pkcs8 };
        let file = builder.file("discovery.conf", &builder.kubeconfig(&embedded(&certificate, &key)));

        // What the kubelet could finish with has the key as it was, and is taken as well.
        let builder = builder.without("--with-client-cert").with(&["--discovery-file", path(&file)]);
        assert_eq!(builder.run().code, Some(0), "RSA-{bits}");
        let text = builder.node.read(BOOTSTRAP_CONF);
        assert!(text.ends_with(&format!("client-key-data: {}\n", BASE64_STANDARD.encode(&key))));
        builder.with(&["--with-client-cert"]).joins();
    }
}

#[test]
fn a_token_beside_it_is_shown_too_and_the_operators_token_stands_alone() {
    let (builder, certificate, key) = builder();
    let user = embedded(&certificate, &key).replace('}', &format!(", token: {TOKEN}}}"));
    let file = builder.file("discovery.conf", &builder.kubeconfig(&user));
    let builder = builder.with(&["--discovery-file", path(&file)]);
    builder.joins();
    assert!(
        builder.api.credentials_seen() == 2
            && builder.api.requests().iter().all(|request| request.client.is_some())
    );

    let (builder, certificate, key) = self::builder();
    builder.api.cluster(|cluster| cluster.token_is_valid = true);
    let file = builder.file("discovery.conf", &builder.kubeconfig(&embedded(&certificate, &key)));
    let token = builder.file("token", TOKEN);
    let builder =
        builder.with(&["--discovery-file", path(&file), "--tls-bootstrap-token-file", path(&token)]);
    builder.joins();
    assert!(builder.api.requests().iter().all(|request| request.client.is_none()));
}

/// Without `--with-client-cert` all is there that a kubelet needs, whatever becomes of the discovery file.
#[test]
fn the_bootstrap_kubeconfig_embeds_it() {
    let (mut builder, certificate, key) = builder();
    builder.file("c.pem", &certificate);
    builder.file("k.pem", &key);
    let file =
        builder.file("discovery.conf", &builder.kubeconfig("{client-certificate: c.pem, client-key: k.pem}"));
    builder = builder.without("--with-client-cert").with(&["--discovery-file", path(&file)]);
    assert_eq!(builder.run().code, Some(0));
    assert_eq!(builder.api.connections().len(), 0);
    let text = builder.node.read(BOOTSTRAP_CONF);
    let [certificate, key] = [certificate, key].map(|text| BASE64_STANDARD.encode(text));
    let user = format!("  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n");
    assert!(text.ends_with(&user), "the user is that one alone");
    assert_eq!(builder.node.mode(BOOTSTRAP_CONF), 0o600);

    let file = builder.node.at(BOOTSTRAP_CONF);
    let discovery =
        builder.arguments.iter().position(|word| word == "--discovery-file").expect("it was given");
    builder.arguments.truncate(discovery);
    builder.with(&["--bootstrap-kubeconfig", path(&file), "--with-client-cert"]).joins();
}

#[test]
fn one_that_is_not_known_is_refused() {
    let (builder, _, _) = builder();
    let (certificate, key) = Authority::new("another cluster").client(GROUP, "image");
    let file = builder.file("discovery.conf", &builder.kubeconfig(&embedded(&certificate, &key)));
    let builder = builder.with(&["--discovery-file", path(&file)]);
    let output = builder.run();
    let said = output.stderr;
    assert_eq!(output.code, Some(6), "{said}");
    assert!(said.contains("lacks permission"), "{said}");
}

#[test]
fn it_is_shown_to_no_server_that_does_not_verify() {
    let (builder, certificate, key) = builder();
    let stranger = Authority::new("stranger");
    let text = builder.kubeconfig(&embedded(&certificate, &key));
    let [ours, other] = [builder.api.authority.pem(), stranger.pem()].map(|pem| BASE64_STANDARD.encode(pem));
    let file = builder.file("discovery.conf", &text.replace(&ours, &other));
    let builder = builder.with(&["--discovery-file", path(&file)]);
    assert_eq!(builder.run().code, Some(5));
    assert!(builder.api.requests().is_empty());
    assert!(builder.api.connections().iter().all(|connection| !connection.client_certificate));
}

const RSA_CLIENT: &str = include_str!("../vectors/rsa-client.pem");

/// A certificate with its key, by openssl.
fn self_signed(key: &str) -> (String, String) {
    let directory = Scratch::new();
    let command = format!("req -x509 -newkey {key} -nodes -keyout key -out certificate -subj /CN=image");
    let output = Command::new("openssl").args(command.split(' ')).current_dir(directory.path()).output();
    assert!(output.expect("openssl").status.success());
    let read = |name| fs::read_to_string(directory.path().join(name)).expect("a file");
    (read("certificate"), read("key"))
}

#[test]
fn pairs_that_cannot_be_used_are_refused_by_name() {
    let (builder, certificate, key) = builder();
    let (_, other) = builder.api.authority.client(GROUP, "image");
    let pkcs8 = key.replace("EC PRIVATE", "PRIVATE");
    let encrypted = key.replace("EC PRIVATE", "ENCRYPTED PRIVATE");
    let (small, p384) = (self_signed("rsa:1024"), self_signed("ec -pkeyopt ec_paramgen_curve:P-384"));
    for (certificate, key, words) in [
        (certificate.as_str(), other.as_str(), "does not match its client certificate"),
        (&certificate, &pkcs8, "PKCS#8"),
        (&certificate, &encrypted, "encrypted"),
        (&certificate, "", "a client certificate without a key"),
        (&certificate, "hunter2", "not a PEM EC PRIVATE KEY"),
        (&key, &key, "not a PEM certificate"),
        (
            RSA_CLIENT,
            "-----BEGIN RSA PRIVATE KEY-----\nQQ==\n-----END RSA PRIVATE KEY-----\n",
            "RSA PRIVATE KEY of type RSA",
        ),
        (RSA_CLIENT, include_str!("../vectors/rsa-2048.pem"), "does not match its client certificate"),
        (RSA_CLIENT, &key, "not a PEM RSA PRIVATE KEY of type RSA"),
        (
            &small.0,
            &small.1,
            "is for a key of type RSA-1024, nodestrap supports P-256, and RSA of 2048 to 4096 bits",
        ),
        (
            &p384.0,
            &p384.1,
            "is for a key of type P-384, nodestrap supports P-256, and RSA of 2048 to 4096 bits",
        ),
    ] {
        let builder = JoinBuilder::new();
        let file = builder.file("discovery.conf", &builder.kubeconfig(&embedded(certificate, key)));
        let builder = builder.with(&["--discovery-file", path(&file)]);
        builder.is_refused(2, words);
        let said = builder.run().stderr;
        assert!(
            !said.contains("hunter2") && !said.contains(key.lines().nth(1).unwrap_or("hunter2")),
            "{said}"
        );
    }
}

#[test]
fn a_token_that_no_header_can_carry_is_refused() {
    for token in ["a\\n    exec: b", "a\\\"", "a\\\\", "a b", "\u{e4}", "token\\n"] {
        let builder = JoinBuilder::new();
        let file = builder.file("discovery.conf", &builder.kubeconfig(&format!("{{token: \"{token}\"}}")));
        builder.with(&["--discovery-file", path(&file)]).is_refused(2, "its token has characters");
    }
}
