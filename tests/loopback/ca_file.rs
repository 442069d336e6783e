//! ca.crt as the program finds it: compared with the cluster as certificates, not as bytes.

use std::fs;
use std::os::unix::fs::symlink;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::api::{Api, Route, jws};
use crate::support::node::{CA, KUBELET_CONF, Node};
use crate::support::pki::Authority;

/// Has the API server publish these CAs.
fn publish(api: &Api, pem: &str) {
    let server = format!("https://localhost:{}", api.address().port());
    api.cluster(|cluster| cluster.publish(&jws::kubeconfig(pem, &server)));
}

/// Ways to write the same certificates.
fn spellings(pem: &str) -> Vec<(&'static str, String)> {
    vec![
        ("as published", pem.to_owned()),
        ("no last line break", pem.trim_end().to_owned()),
        ("CRLF", pem.replace('\n', "\r\n")),
        ("comments", format!("# CA of the cluster\nsubject=CN=kubernetes\n{pem}\n# the end")),
        ("twice", format!("{pem}{pem}")),
        ("blank lines", format!("\n\n{pem}\n\n")),
    ]
}

#[test]
fn the_same_certificates_in_other_bytes_are_left_alone() {
    let pem = Authority::new("kubernetes").pem();
    let names: Vec<_> = spellings(&pem).into_iter().map(|(name, _)| name).collect();
    crate::support::all(
        &names,
        |name| (*name).to_owned(),
        |name| {
            let (api, node) = (Api::start(), Node::new());
            let text =
                spellings(&api.authority.pem()).into_iter().find(|(own, _)| own == name).expect("it").1;
            node.write(CA, &text);
            node.joins(&api);
            assert_eq!(node.read(CA), text);
            node.join(&api).with_cert().run().expect("already-joined");
            node.join(&api).with_cert().args("--replace").run().expect("already-joined");
            assert_eq!(
                (node.read(CA), node.files().iter().any(|file| file.contains(".old-"))),
                (text, false)
            );
        },
    );
}

#[test]
fn the_order_of_certificates_does_not_count() {
    let (api, node, other) = (Api::start(), Node::new(), Authority::new("older"));
    publish(&api, &(api.authority.pem() + &other.pem()));
    let text = other.pem() + &api.authority.pem() + &other.pem();
    node.write(CA, &text);
    let pins = [api.authority.pin(), other.pin()];
    node.join(&api).pins(&pins).with_cert().run().expect("joined");
    assert_eq!(node.read(CA), text);
}

#[test]
fn other_certificates_of_the_same_keys_give_way_to_the_verified_ones() {
    type Leave = fn(&Api) -> String;
    let cases: [(&str, Leave); 3] = [
        ("renewed", |api| api.authority.renewed()),
        ("renewed, beside the old one", |api| api.authority.renewed() + &api.authority.pem()),
        ("empty, as an interrupted write leaves it", |_| String::new()),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(name, leave)| {
            let (api, node) = (Api::start(), Node::new());
            node.write(CA, leave(&api));
            let before = node.read(CA);
            let run = node.join(&api).with_cert().args("--dry-run").run();
            run.expect("dry-run");
            assert_eq!(node.read(CA), before, "a dry run writes nothing");
            let run = node.joins(&api);
            run.check(
                run.stderr.contains("has the cluster's CA keys in other certificates")
                    == name.starts_with('r'),
                "it is told",
            );
            assert_eq!((node.read(CA), node.mode(CA)), (api.authority.pem(), 0o644));
            assert!(node.files().iter().all(|file| !file.contains(".old-")), "nothing foreign was there");
        },
    );
}

#[test]
fn a_ca_that_the_cluster_has_added_is_written_too() {
    let (api, node, added) = (Api::start(), Node::new(), Authority::new("new"));
    let both = api.authority.pem() + &added.pem();
    publish(&api, &both);
    node.write(CA, api.authority.pem());
    node.join(&api).pins(&[api.authority.pin(), added.pin()]).with_cert().run().expect("joined");
    assert_eq!(node.read(CA), both);
}

#[test]
fn a_key_that_the_cluster_does_not_have_is_refused_by_its_name() {
    type Leave = fn(&Api, &Authority) -> String;
    let cases: [(&str, Leave); 3] = [
        ("alone", |_, other| other.pem()),
        ("behind the cluster's", |api, other| api.authority.pem() + &other.pem()),
        ("before a renewed one", |api, other| other.pem() + &api.authority.renewed()),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, leave)| {
            let (api, node, other) = (Api::start(), Node::new(), Authority::new("older"));
            let text = leave(&api, &other);
            node.write(CA, &text);
            let run = node.join(&api).with_cert().run();
            run.expect("files").says(&["ca.crt", "CN=older", &other.pin(), "--replace"]);
            run.check(!run.stderr.contains("another cluster"), "nobody knows that");
            run.check(
                !run.stderr.contains(&format!("({})", api.authority.pin())),
                "the cluster's own is no stray",
            );
            assert_eq!((node.read(CA), node.has(KUBELET_CONF)), (text.clone(), false));
            assert_eq!((api.credentials_seen(), api.routes()), (0, vec![Route::Discovery]));

            node.join(&api).with_cert().args("--replace").run().expect("joined");
            let aside: Vec<_> = node.files().into_iter().filter(|file| file.contains(".old-")).collect();
            assert!(
                matches!(&aside[..], [file] if node.read(file) == text && file.starts_with(CA)),
                "{aside:?}"
            );
            assert_eq!(node.read(CA), api.authority.pem());
        },
    );
}

#[test]
fn a_file_without_certificates_is_told() {
    for garbage in ["# the CA comes later\n", "-----BEGIN CERTIFICATE-----\nMIIB", "\0\0\0\0"] {
        let (api, node) = (Api::start(), Node::new());
        node.write(CA, garbage);
        let words = "/etc/kubernetes/pki/ca.crt does not hold valid PEM";
        node.join(&api).with_cert().run().expect("files").says(&[words, "--replace"]);
        assert_eq!((node.read(CA), api.credentials_seen()), (garbage.to_owned(), 0));
        node.join(&api).with_cert().args("--replace").run().expect("joined");
        // On a node that has joined, too.
        node.write(CA, garbage);
        let run = node.join(&api).with_cert().run();
        run.expect("files").says(&[words]);
        run.check(!run.stderr.contains("have no CA key in common"), "nobody knows that");
    }
}

#[test]
fn a_joined_node_stays_joined_through_every_step_of_a_rotation() {
    type Step = fn(old: &str, new: &str, renewed: &str) -> String;
    let cases: [(&str, Step); 6] = [
        ("appended", |old, new, _| format!("{old}{new}")),
        ("put before", |old, new, _| format!("{new}{old}")),
        ("renewed", |_, _, renewed| renewed.to_owned()),
        ("renewed and appended", |_, new, renewed| format!("{new}{renewed}")),
        ("no last line break", |old, _, _| old.trim_end().to_owned()),
        ("CRLF and a comment", |old, _, _| format!("# CA\r\n{}", old.replace('\n', "\r\n"))),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, step)| {
            let (api, node, new) = (Api::start(), Node::new(), Authority::new("new"));
            api.cluster(|cluster| cluster.approves_serving = true);
            node.joins(&api);
            let text = step(&api.authority.pem(), &new.pem(), &api.authority.renewed());
            let (pair, seen) = (node.read_pair(), api.requests().len());
            // In the file, and then in kubelet.conf while the file lags behind.
            node.write(CA, &text);
            for flags in ["", "--replace"] {
                node.join(&api).with_cert().args(flags).run().expect("already-joined");
            }
            assert_eq!(node.read(CA), text);
            node.write(CA, api.authority.pem());
            let conf = node.read(KUBELET_CONF);
            let (from, to) = (BASE64_STANDARD.encode(api.authority.pem()), BASE64_STANDARD.encode(&text));
            node.write(KUBELET_CONF, conf.replace(&from, &to));
            for flags in ["", "--replace"] {
                node.join(&api).with_cert().args(flags).run().expect("already-joined");
            }
            assert_eq!((node.read_pair(), api.requests().len()), (pair, seen), "read from the given file");
            // Such a node gets its serving certificate as well.
            node.join(&api).with_cert().args("--with-serving-cert --san n1").run().expect("joined");
        },
    );
}

#[test]
fn a_kubelet_conf_that_names_ca_crt_is_compared_with_itself() {
    let (api, node, new) = (Api::start(), Node::new(), Authority::new("new"));
    node.joins(&api);
    let data = format!("certificate-authority-data: {}", BASE64_STANDARD.encode(api.authority.pem()));
    let conf = node.read(KUBELET_CONF).replace(&data, "certificate-authority: pki/ca.crt");
    node.write(KUBELET_CONF, conf);
    node.write(CA, new.pem() + &api.authority.pem());
    node.join(&api).with_cert().run().expect("already-joined");
}

#[test]
fn a_renewed_ca_takes_the_place_of_a_link_and_not_of_its_target() {
    let (api, node) = (Api::start(), Node::new());
    let renewed = api.authority.renewed();
    node.write("srv/ca.pem", &renewed);
    fs::create_dir_all(node.at("etc/kubernetes/pki")).expect("a directory");
    symlink("/srv/ca.pem", node.at(CA)).expect("a link");
    node.joins(&api);
    assert_eq!((node.read(CA), node.read("srv/ca.pem")), (api.authority.pem(), renewed));
}
