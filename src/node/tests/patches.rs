//! Patches for the kubelet's configuration, as they lie on the disk.

use std::os::unix::fs::symlink;

use super::*;
use crate::limits;

const MAX_PODS: &str = "/etc/patches/kubeletconfiguration";

/// What is found, in its order.
fn found(node: &Node, directory: &str) -> std::result::Result<String, String> {
    let patches = node.files().patches(directory).map_err(|e| e.to_string())?;
    Ok(format!("{patches:?}"))
}

#[test]
fn patches_are_found_in_kubeadms_order_links_and_directories_among_them() {
    let node = Node::new("patches-order");
    for (name, number) in [
        ("kubeletconfiguration1.yaml", 4),
        ("kubeletconfiguration0.d/kubeletconfiguration.json", 1),
        ("kubeletconfiguration0.d/a/kubeletconfiguration.yaml", 0),
        ("kubeletconfiguration0.yaml", 2),
        ("kubeletconfiguration00.yaml", 3),
    ] {
        node.write(&format!("etc/patches/{name}"), format!("maxPods: {number}\n"));
    }
    node.write("etc/patches/kubeletconfiguration3.yaml", "");
    node.write("etc/patches/etcd0.yaml", "a: [");
    node.write("elsewhere/target", "maxPods: 5\n");
    symlink("/elsewhere/target", node.at("etc/patches/kubeletconfiguration2+merge.yaml")).unwrap();
    // A directory behind a link is not entered, by kubeadm either.
    symlink("/etc/patches", node.at("etc/patches/link")).unwrap();
    let found = found(&node, "/etc/patches").unwrap();
    let numbers: Vec<_> = found.split("maxPods\": Number(").skip(1).map(|rest| &rest[..1]).collect();
    assert_eq!(numbers, ["0", "1", "2", "3", "4", "5"], "{found}");
    assert!(found.contains(r#"skipped: ["etcd0.yaml", "link"]"#), "{found}");
}

#[test]
fn a_linked_directory_is_followed_with_a_slash_only() {
    let node = Node::new("patches-linked");
    node.write("real/kubeletconfiguration.yaml", "maxPods: 1\n");
    symlink("real", node.at("linked")).unwrap();
    assert!(found(&node, "/linked").unwrap_err().contains("/linked is a symbolic link"));
    assert!(found(&node, "/linked/").unwrap().contains("/linked/kubeletconfiguration.yaml"));
    assert!(found(&node, "/none").unwrap_err().contains("/none not found"));
    assert!(found(&node, "/real/kubeletconfiguration.yaml").unwrap_err().contains("is not a directory"));
}

#[test]
fn what_is_no_patch_or_too_much_is_refused() {
    let refused = |test: &str, prepare: &dyn Fn(&Node), problem: &str| {
        let node = Node::new(&format!("patches-{test}"));
        node.write("etc/patches/README", "");
        prepare(&node);
        let error = found(&node, "/etc/patches").unwrap_err();
        assert!(error.contains(problem), "{error}");
    };
    let file = format!("{}.yaml", &MAX_PODS[1..]);
    refused(
        "type",
        &|node| node.write(&format!("{}+x.yaml", &MAX_PODS[1..]), ""),
        "json, merge or strategic",
    );
    refused("yaml", &|node| node.write(&file, "a: ["), "syntax error");
    refused("nowhere", &|node| symlink("/none", node.at(&file)).unwrap(), "leads nowhere");
    refused("linked", &|node| symlink("/etc", node.at(&file)).unwrap(), "not a regular file");
    refused("pipe", &|node| drop(UnixListener::bind(node.at(&file)).unwrap()), "not a regular file");
    refused(
        "open",
        &|node| {
            node.write(&file, "maxPods: 1\n");
            std::fs::set_permissions(node.at(&file), PermissionsExt::from_mode(0o666)).unwrap();
        },
        "other users can write to the patch",
    );
    refused(
        "open-directory",
        &|node| {
            std::fs::set_permissions(node.at("etc/patches"), PermissionsExt::from_mode(0o777)).unwrap();
        },
        "other users can write to it",
    );
    refused(
        "many",
        &|node| {
            (0..=limits::PATCH_FILES).for_each(|n| node.write(&format!("etc/patches/{n}"), ""));
        },
        "holds too many files",
    );
    refused("deep", &|node| node.write(&format!("etc/patches/{}x", "d/".repeat(40)), ""), "lies too deep");
}
