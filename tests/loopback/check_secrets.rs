//! Secrets in an image, wherever `check` looks for them: found, told by path, never shown; and what is none.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::fs::{CWD, Mode, mkfifoat};

use super::commands::{CONFIG, GOOD, SECRET, check};
use crate::support::api::{Api, TOKEN};
use crate::support::node::{BOOTSTRAP_CONF, CA, KUBELET_CONF, Node};

const KEY: &str = include_str!("../vectors/sec1-p256.pem");
const PKCS8: &str = include_str!("../vectors/pkcs8-p256.pem");

/// A signed token of a service account: a bearer that an image must not hold either.
fn jwt() -> String {
    let part = |text: &str| BASE64_STANDARD.encode(text).replace(['=', '+', '/'], "");
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"RS256","kid":"k"}"#),
        part(r#"{"iss":"kubernetes"}"#),
        "aB3_".repeat(40)
    )
}

fn base64(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// A good image.
fn image() -> Node {
    let node = Node::new();
    node.write(CONFIG, GOOD);
    node
}

/// Asserts that each of these is found by itself, on this level, and that no secret is shown.
fn each_is_found(level: &str, cases: &[(&str, String)]) {
    crate::support::all(
        cases,
        |case| format!("{}: {}", case.0, case.1),
        |(path, content)| {
            let node = image();
            node.write(path, content);
            let (run, found) = check(&node);
            assert_eq!(found, [format!("{level} /{path}")], "{content}");
            run.check(
                !run.stdout.contains(SECRET) && !run.stdout.contains("MHcCAQEE"),
                "no content is shown",
            );
        },
    );
}

#[test]
fn what_lies_too_deep_to_be_checked_is_an_error() {
    for (depth, found) in [(15, true), (16, false), (40, false)] {
        let node = image();
        node.write(&format!("etc/kubernetes/{}token", "d/".repeat(depth)), TOKEN);
        let (run, findings) = check(&node);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!(run.stdout.contains("holds a token"), found, "{depth}: {}", run.stdout);
        assert_eq!(run.stdout.contains("too deep"), !found, "{depth}: {}", run.stdout);
    }
}

#[test]
fn the_secret_of_a_bootstrap_token_is_found() {
    let manifest = "kind: Secret\ntype: bootstrap.kubernetes.io/token\nstringData:\n  token-id: abcdef\n  \
                    token-secret: 0123456789abcdef\n";
    each_is_found("error", &[("etc/kubernetes/addons/token.yaml", manifest.to_owned())]);
}

#[test]
fn a_secret_where_nodestrap_reads_settings_is_a_warning() {
    let line =
        format!("kubeadm join api.example:6443 --token {TOKEN} --discovery-token-ca-cert-hash sha256:0");
    each_is_found(
        "warning",
        &[
            ("etc/default/nodestrap", format!("NODESTRAP_ARGS=\"--token {TOKEN}\"\n")),
            ("etc/default/nodestrap", format!("NODESTRAP_JOIN='{line}'\n")),
            ("etc/sysconfig/nodestrap", format!("NODESTRAP_JOIN={line}")),
            ("etc/nodestrap/join", line.clone()),
            (
                "etc/nodestrap/deep/er/join.yaml",
                format!("discovery:\n  bootstrapToken:\n    token: \"{TOKEN}\"\n"),
            ),
            ("etc/nodestrap/bearer", jwt()),
            ("etc/nodestrap/client.pem", KEY.to_owned()),
            (
                "etc/nodestrap/bootstrap.conf",
                "kind: Config\nusers:\n- name: a\n  user:\n    token: of-no-shape-at-all\n".to_owned(),
            ),
            ("etc/credstore/nodestrap.token", TOKEN.to_owned()),
            ("run/credstore/nodestrap.join", line.clone()),
            ("usr/lib/credstore/nodestrap.token", format!("{TOKEN}\n")),
            ("usr/local/lib/credstore/nodestrap.config", format!("tlsBootstrapToken: {TOKEN}\n")),
            // By mistake: what is encrypted there has no shape.
            ("etc/credstore.encrypted/nodestrap.token", TOKEN.to_owned()),
        ],
    );
}

#[test]
fn a_secret_in_units_seeds_and_boot_entries_is_a_warning() {
    let join = format!("kubeadm join api.example:6443 --token {TOKEN}");
    let argument = format!("root=/dev/vda1 ro quiet nodestrap.join=api.example:6443 nodestrap.token={TOKEN}");
    let ignition = |source: &str| {
        format!(
            r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{"files":[{{"path":"/etc/x","contents":{{"source":"{source}"}}}}]}}}}"#
        )
    };
    let drop_in = "10-token.conf";
    each_is_found(
        "warning",
        &[
            (
                &format!("etc/systemd/system/nodestrap.service.d/{drop_in}"),
                format!("[Service]\nSetCredential=nodestrap.token:{TOKEN}\n"),
            ),
            (
                &format!("usr/lib/systemd/system/nodestrap.service.d/{drop_in}"),
                format!("[Service]\nEnvironment=\"NODESTRAP_JOIN={join}\"\n"),
            ),
            (
                "etc/systemd/system/join.service",
                format!("[Service]\nExecStart=/usr/bin/nodestrap join api.example:6443 --token={TOKEN}\n"),
            ),
            (
                "usr/local/lib/systemd/system/other.service",
                format!(
                    "[Service]\nSetCredential=nodestrap.join:kubeadm\\x20join\\x20a:1\\x20--token\\x20{TOKEN}\n"
                ),
            ),
            ("etc/systemd/system.conf.d/env.conf", format!("[Manager]\nDefaultEnvironment=T={TOKEN}\n")),
            ("etc/environment", format!("NODESTRAP_JOIN='{join}'\n")),
            ("etc/kernel/cmdline", argument.clone()),
            ("usr/lib/kernel/cmdline", argument.clone()),
            ("etc/cmdline.d/nodestrap.conf", argument.clone()),
            ("etc/dracut.conf.d/nodestrap.conf", format!("kernel_cmdline=\"{argument}\"\n")),
            ("etc/default/grub", format!("GRUB_CMDLINE_LINUX=\"{argument}\"\n")),
            ("etc/default/grub.d/50-cloud.cfg", format!("GRUB_CMDLINE_LINUX=\"{argument}\"\n")),
            ("etc/grub.d/40_custom", format!("linux /vmlinuz {argument}\n")),
            ("boot/loader/entries/0123-6.1.conf", format!("title Linux\noptions {argument}\n")),
            ("boot/efi/loader/entries/a.conf", format!("options {argument}\n")),
            ("efi/loader/entries/a.conf", format!("options {argument}\n")),
            ("boot/grub/grub.cfg", format!("  linux /vmlinuz {argument}\n")),
            ("boot/grub2/grub.cfg", format!("  linux /vmlinuz {argument}\n")),
            ("boot/efi/EFI/debian/grub.cfg", format!("  linux /vmlinuz {argument}\n")),
            ("boot/extlinux/extlinux.conf", format!("  append {argument}\n")),
            ("boot/firmware/cmdline.txt", argument.clone()),
            (
                "boot/loader/entries/b.conf",
                format!("options systemd.set_credential_binary=nodestrap.token:{}\n", base64(TOKEN)),
            ),
            ("var/lib/cloud/seed/nocloud/user-data", format!("#cloud-config\nruncmd:\n- {join}\n")),
            ("var/lib/cloud/seed/nocloud-net/user-data", format!("#!/bin/sh\n{join}\n")),
            (
                "var/lib/cloud/instances/i-1/user-data.txt",
                format!(
                    "#cloud-config\nwrite_files:\n- path: /etc/nodestrap/join\n  encoding: b64\n  content: {}\n",
                    base64(&join)
                ),
            ),
            ("etc/cloud/cloud.cfg.d/99-join.cfg", format!("bootcmd:\n- [sh, -c, \"{join}\"]\n")),
            ("boot/firmware/user-data", format!("#cloud-config\nruncmd:\n- {join}\n")),
            ("var/lib/waagent/ovf-env.xml", format!("<CustomData>{}</CustomData>", base64(&join))),
            ("usr/lib/ignition/base.d/10.ign", ignition(&format!("data:,{}", join.replace(' ', "%20")))),
            ("boot/ignition/config.ign", ignition(&format!("data:;base64,{}", base64(&join)))),
            (
                "usr/share/oem/config.ign",
                ignition(&format!("data:text/plain,{}%0A", join.replace(' ', "%20"))),
            ),
            ("combustion/script", format!("#!/bin/bash\n{join}\n")),
            ("combustion/split", format!("#!/bin/bash\n{}\n", join.replace("0123", "01\\\n23"))),
            ("var/log/installer/autoinstall-user-data", format!("late-commands:\n- {join}\n")),
            ("root/anaconda-ks.cfg", format!("%post\n{join}\n%end\n")),
            ("var/log/cloud-init-output.log", format!("+ {join}\n")),
            ("var/lib/flatcar-install/user_data", format!("#!/bin/bash\n{join}\n")),
            ("root/.bash_history", format!("{join}\n")),
            ("root/.kube/config", format!("client-key-data: {}\n", base64(KEY))),
            ("var/lib/cloud/seed/nocloud/meta-data", format!("key: |\n  {}\n", KEY.replace('\n', "\n  "))),
            (
                "etc/systemd/system/a.service.d/bearer.conf",
                format!("[Service]\nEnvironment=BEARER={}\n", jwt()),
            ),
        ],
    );
}

#[test]
fn a_token_or_a_key_among_the_nodes_files_is_an_error() {
    let user =
        |field: &str| format!("apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    {field}\n");
    each_is_found(
        "error",
        &[
            ("etc/kubernetes/join.yaml", format!("discovery:\n  bootstrapToken:\n    token: {TOKEN}\n")),
            ("etc/kubernetes/bootstrap.kubeconfig", user(&format!("token: {TOKEN}"))),
            ("etc/kubernetes/addons/deep/down/sa.kubeconfig", user(&format!("token: {}", jwt()))),
            ("etc/kubernetes/opaque.conf", user("token: of-no-shape-at-all")),
            ("etc/kubernetes/password.conf", user("password: hunter2")),
            ("etc/kubernetes/embedded.conf", user(&format!("client-key-data: {}", base64(KEY)))),
            (
                "etc/kubernetes/json.conf",
                format!(r#"{{"users":[{{"user":{{"client-key-data":"{}"}}}}]}}"#, base64(PKCS8)),
            ),
            ("etc/kubernetes/ssl/node.pem", KEY.to_owned()),
            ("etc/kubernetes/tokens/known_tokens.csv", "02b50b05283e98dd,kubelet-bootstrap,10001,x\n".to_owned()),
            (
                "etc/kubernetes/ssl/secrets_encryption.yaml",
                "kind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - secretbox:\n      \
                 keys:\n      - name: a\n        secret: c2VjcmV0\n"
                    .to_owned(),
            ),
            ("etc/kubernetes/pki/apiserver-kubelet-client.pem", format!("# both\n{PKCS8}")),
            ("etc/kubernetes/manifests/secret.yaml", format!("data:\n  token: {}\n", base64(TOKEN))),
            ("var/lib/kubelet/kubeconfig", user(&format!("client-key-data: {}", base64(KEY)))),
            ("var/lib/kubelet/bootstrap-kubeconfig", user(&format!("token: {TOKEN}"))),
            ("var/lib/kubelet/certs/kubelet-client-current.pem", KEY.to_owned()),
            // What `--replace` has set aside, by its name: it may lead to a key.
            ("etc/kubernetes/kubelet.conf.old-2026-11-30-15-00-00", "kind: Config\n".to_owned()),
            ("etc/kubernetes/kubelet.conf.old-2026-11-30-15-00-00-2", String::new()),
            ("var/lib/kubelet/kubeconfig.old-2026-11-30-15-00-00", String::new()),
            (
                "var/lib/kubelet/pki/kubelet-client-2026-11-30-15-00-00.pem.old-2026-11-30-15-00-01",
                KEY.to_owned(),
            ),
            ("etc/kubernetes/node-pki/kubelet-client.key.tmp.old-2026-11-30-15-00-00", KEY.to_owned()),
        ],
    );
    each_is_found("warning", &[("etc/kubernetes/pki/ca.crt.old-2026-11-30-15-00-00", String::new())]);
}

#[test]
fn what_is_compressed_is_told_where_seeds_lie() {
    let packed = |path: &str| {
        let node = image();
        node.write(path, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00");
        let (run, found) = check(&node);
        (run.stdout.clone(), found)
    };
    for path in ["var/lib/cloud/seed/nocloud/user-data", "user-data", "usr/share/oem/config.ign"] {
        let (said, found) = packed(path);
        assert_eq!(found, [format!("warning /{path}")]);
        assert!(said.contains("compressed, may hold a token or a key; look into it"), "{said}");
    }
    for path in ["boot/initrd.img-6.1", "var/log/installer/initial-status.gz"] {
        assert_eq!(packed(path).1, Vec::<String>::new());
    }
    each_is_found(
        "warning",
        &[(
            "var/lib/cloud/instances/i-1/user-data.txt",
            "#cloud-config\nwrite_files:\n- encoding: gz+b64\n  content: H4sIAAAAAAAAAwMAAAAAAAAAAAA=\n"
                .to_owned(),
        )],
    );
}

#[test]
fn what_replace_has_set_aside_is_found() {
    let (here, there, node) = (Api::start(), Api::start(), image());
    node.join(&there).with_cert().run().expect("joined");
    node.join(&here).with_cert().args("--replace").run().expect("joined");
    let (_, found) = check(&node);
    for file in node.files().iter().filter(|file| file.contains(".old-")) {
        let level = if file.contains("ca.crt") { "warning" } else { "error" };
        assert!(found.contains(&format!("{level} /{file}")), "{file}: {found:#?}");
    }
    assert!(found.contains(&format!("error /{KUBELET_CONF}")), "{found:#?}");
}

#[test]
fn what_is_no_secret_is_not_told() {
    let node = image();
    let api = Api::start();
    let certificate = api.authority.pem();
    for (path, content) in [
        ("etc/kubernetes/manifests/static.yaml", "kind: Pod\nmetadata:\n  name: token\n"),
        ("etc/kubernetes/front-proxy.crt", certificate.as_str()),
        ("etc/kubernetes/tokens/known_tokens.csv", ""),
        (
            "etc/kubernetes/encryption.yaml",
            "kind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - identity: {}\n",
        ),
        (
            "etc/kubernetes/nodes.conf",
            "server: https://master.productioncluster:6443\nnode: node01.cluster\n",
        ),
        ("etc/kubernetes/exec.conf", "kind: Config\nusers:\n- name: a\n  user:\n    exec: {command: aws}\n"),
        ("etc/kubernetes/file.conf", "kind: Config\nusers:\n- user:\n    tokenFile: /run/token\n"),
        ("var/lib/kubelet/cpu_manager_state", "{\"policyName\":\"none\",\"checksum\":1353318690}"),
        ("var/lib/kubelet/pods/1/volumes/token", TOKEN),
        ("etc/default/nodestrap", "NODESTRAP_ARGS=\"--token-file /run/token --node-name node01.example\"\n"),
        (
            "etc/credstore.encrypted/nodestrap.token",
            "Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAAC1Wt0W\nZ2b0h4Q5m0y7ZQ==\n",
        ),
        ("usr/lib/systemd/system/nodestrap.service", include_str!("../../image/systemd/nodestrap.service")),
        (
            "usr/lib/systemd/system/nodestrap.service.d/20.conf",
            include_str!("../../image/systemd/nodestrap.service.d/20-encrypted-token.conf"),
        ),
        (
            "etc/systemd/system/nodestrap-jwt-azure.service",
            include_str!("../../image/systemd/jwt/nodestrap-jwt-azure.service"),
        ),
        ("etc/default/nodestrap-jwt", "AUDIENCE=https://api.example.com\n"),
        (
            "usr/share/doc/nodestrap/examples/cloud-init/user-data",
            include_str!("../../image/cloud-init/user-data"),
        ),
        ("usr/share/doc/nodestrap/README.md", include_str!("../../README.md")),
        ("usr/share/doc/nodestrap/image/README.md", include_str!("../../image/README.md")),
        ("usr/share/doc/nodestrap/nodestrap.8.md", include_str!("../../image/man/nodestrap.8.md")),
        ("etc/kernel/cmdline", "root=UUID=0a1b2c3d-0000-4000-8000-0123456789ab ro quiet"),
        ("etc/kernel/secure-boot-private-key.pem", KEY),
        ("etc/cloud/cloud.cfg", "disable_root: true\ncloud_init_modules:\n - seed_random\n"),
        ("etc/cloud/templates/sources.list.debian.deb822.tmpl", "## template:jinja\nTypes: deb\n"),
        ("boot/grub/grub.cfg", "search --fs-uuid --set=root 0a1b2c3d\nlinux /vmlinuz root=UUID=0a1b ro\n"),
        ("var/lib/cloud/data/previous-hostname", "node01.example"),
    ] {
        node.write(path, content);
    }
    // Kernels are large, and units are masked with a device.
    node.write("boot/vmlinuz-6.1", vec![b'x'; 2 << 20]);
    symlink("/dev/null", node.at("usr/lib/systemd/system/masked.service")).expect("a link");
    mkfifoat(CWD, node.at("var/lib/kubelet/device.sock"), Mode::from_raw_mode(0o600)).expect("a FIFO");
    symlink("gone", node.at("etc/kubernetes/dangling.conf")).expect("a link");
    symlink(".", node.at("etc/kubernetes/again")).expect("a link");
    let (run, found) = check(&node);
    assert_eq!((found, run.stdout.as_str()), (Vec::new(), ""));
}

#[test]
fn links_are_followed_inside_an_image_and_nothing_is_told_twice() {
    let node = image();
    node.write("srv/secret", TOKEN);
    fs::create_dir_all(node.at("etc/nodestrap")).expect("a directory");
    fs::create_dir_all(node.at("etc/systemd/system/multi-user.target.wants")).expect("a directory");
    symlink("/srv/secret", node.at("etc/nodestrap/token")).expect("a link");
    node.write("usr/lib/systemd/system/join.service", format!("ExecStart=/bin/join {TOKEN}\n"));
    let wants = "etc/systemd/system/multi-user.target.wants/join.service";
    symlink("/usr/lib/systemd/system/join.service", node.at(wants)).expect("a link");
    symlink("usr/lib", node.at("lib")).expect("a link");
    assert_eq!(check(&node).1, ["warning /etc/nodestrap/token".to_owned(), format!("warning /{wants}")]);

    // What lies outside is a secret of the machine that builds the image.
    let node = image();
    let outside = node.beside("outside");
    fs::create_dir_all(&outside).expect("a directory outside");
    fs::write(outside.join("token"), TOKEN).expect("a file outside");
    for place in ["etc/kubernetes", "etc/nodestrap", "boot", "var/lib/cloud", "etc/systemd/system"] {
        fs::create_dir_all(node.at(place).parent().expect("a parent")).expect("a directory");
        for target in [outside.as_path(), Path::new("../../../../../outside")] {
            symlink(target, node.at(place)).expect("a link");
            assert_eq!(check(&node).1, Vec::<String>::new(), "{place}");
            fs::remove_file(node.at(place)).expect("the link");
        }
    }
}

#[test]
fn what_was_found_by_its_name_is_told_once() {
    let node = image();
    node.write(BOOTSTRAP_CONF, format!("users:\n- user:\n    token: {TOKEN}\n"));
    node.write("etc/kubernetes/pki/sa.key", KEY);
    node.write("var/lib/kubelet/pki/kubelet-client-current.pem", KEY);
    node.write(CA, "");
    let expected = [
        format!("error /{BOOTSTRAP_CONF}"),
        "error /var/lib/kubelet/pki/kubelet-client-current.pem".to_owned(),
        "error /etc/kubernetes/pki/sa.key".to_owned(),
        format!("warning /{CA}"),
    ];
    assert_eq!(check(&node).1, expected);
}
