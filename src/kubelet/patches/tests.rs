use super::*;
use serde_json::Map;

/// A map that a YAML text has.
pub(super) fn map(text: &str) -> Map<String, Value> {
    yaml::tree(text).unwrap().as_object().unwrap().clone()
}

/// One text for what is the same.
pub(super) fn shown(map: Map<String, Value>) -> String {
    Value::Object(map).to_string()
}

const CONFIG: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nclusterDNS:\n- 10.96.0.10\n\
                      containerRuntimeEndpoint: unix:///run/c.sock\nkind: KubeletConfiguration\n";

fn patches(files: &[(&str, &str)]) -> Result<Patches> {
    let mut patches = Patches::default();
    for (path, text) in files {
        match PatchType::of(path)? {
            Some(patch_type) => patches.add(path, patch_type, text.as_bytes())?,
            None => patches.skip(path),
        }
    }
    Ok(patches)
}

fn apply(files: &[(&str, &str)]) -> std::result::Result<String, String> {
    let patches = patches(files).map_err(|e| e.to_string())?;
    let cluster = CONFIG.replace("unix:///run/c.sock", "\"\"");
    patches.apply(CONFIG.to_owned(), &cluster, "unix:///run/c.sock").map_err(|e| e.to_string())
}

#[test]
fn a_name_says_what_a_file_is_for() {
    use PatchType::{Json, Merge, Strategic};
    for (name, expected) in [
        ("kubeletconfiguration.yaml", Some(Strategic)),
        ("kubeletconfiguration.json", Some(Strategic)),
        ("/a+json/kubeletconfiguration0-x_y.yaml", Some(Strategic)),
        ("kubeletconfiguration+strategic.yaml", Some(Strategic)),
        ("kubeletconfiguration9+merge.yaml", Some(Merge)),
        ("kubeletconfiguration+json.json", Some(Json)),
        ("kubeletconfigurationjson.yaml", Some(Strategic)),
        // kubeadm's expression has no end.
        ("kubeletconfiguration+jsonx.yaml", Some(Json)),
        ("kubeletconfiguration.x+json.yaml", Some(Strategic)),
        ("kubeletconfiguration.yaml.json", Some(Strategic)),
        ("kubeletconfiguration\n+json.yaml", Some(Strategic)),
        ("kubeletconfiguration.yml", None),
        ("kubeletconfiguration", None),
        ("kubeletconfiguration.yaml~", None),
        ("kubeletconfiguration\n.yaml", None),
        (".yaml", None),
        ("xkubeletconfiguration.yaml", None),
        ("Kubeletconfiguration.yaml", None),
        ("kubelet.yaml", None),
        ("kube-apiserver0+merge.yaml", None),
        ("etcd.json", None),
        ("unknown+unknown.yaml", None),
    ] {
        assert_eq!(PatchType::of(name).unwrap(), expected, "{name:?}");
    }
    for name in [
        "kubeletconfiguration+.yaml",
        "kubeletconfiguration+patch.yaml",
        "kubeletconfiguration++json.yaml",
        "kubeletconfiguration0+Json.yaml",
        "etcd+x.yaml",
    ] {
        assert!(PatchType::of(name).unwrap_err().to_string().contains("json, merge or strategic"), "{name}");
    }
}

#[test]
fn patches_are_applied_in_their_order_and_the_socket_wins() {
    let made = apply(&[
        ("/p/kubeletconfiguration+json.yaml", "- {op: add, path: /clusterDNS/-, value: 10.0.0.1}\n"),
        (
            "/p/kubeletconfiguration0.json",
            "{\"maxPods\": 50, \"containerRuntimeEndpoint\": \"unix:///other\"}",
        ),
        (
            "/p/kubeletconfiguration1+merge.yaml",
            "---\n# nothing\n---\nmaxPods: 60\n---\nmaxPods: 70\nevictionHard: {a: 5%, b: ~}\n",
        ),
        ("/p/sub/kubeletconfiguration.yaml", "$deleteFromPrimitiveList/clusterDNS: [10.96.0.10]\n"),
    ]);
    let expected = "apiVersion: kubelet.config.k8s.io/v1beta1\nclusterDNS:\n- 10.0.0.1\n\
                    containerRuntimeEndpoint: unix:///run/c.sock\nevictionHard:\n  a: 5%\n\
                    kind: KubeletConfiguration\nmaxPods: 70\n";
    assert_eq!(made.unwrap(), expected);
}

#[test]
fn patches_see_the_clusters_socket() {
    let test =
        "- {op: test, path: /containerRuntimeEndpoint, value: ''}\n- {op: add, path: /maxPods, value: 1}\n";
    let made = apply(&[("kubeletconfiguration+json.yaml", test)]).unwrap();
    assert!(made.contains("maxPods: 1") && made.contains("Endpoint: unix:///run/c.sock\n"), "{made}");
}

#[test]
fn without_a_patch_the_text_stays_as_it_is() {
    for files in [&[][..], &[("etcd.yaml", "a: 1")], &[("kubeletconfiguration.yaml", "# nothing\n")]] {
        assert_eq!(apply(files).as_deref(), Ok(CONFIG), "{files:?}");
    }
}

#[test]
fn what_was_applied_and_what_was_not_is_told_in_one_line() {
    assert_eq!(patches(&[]).unwrap().summary(), None);
    let file = "/p/kubeletconfiguration.yaml";
    let found = patches(&[(file, "a: 1\n---\nb: 1\n"), ("etcd.yaml", ""), ("READ\nME", "")]).unwrap();
    let told = "patches applied: /p/kubeletconfiguration.yaml; skipped, not for kubeletconfiguration: etcd.yaml, READ ME";
    assert_eq!(found.summary().as_deref(), Some(told));
    let all = patches(&[(file, "a: 1\n")]).unwrap().summary();
    assert_eq!(all.as_deref(), Some("patches applied: /p/kubeletconfiguration.yaml"));
    let none = patches(&[("etcd.yaml", "")]).unwrap().summary().unwrap();
    assert!(none.starts_with("patches applied: none; skipped"), "{none}");
}

#[test]
fn a_patch_that_cannot_be_applied_is_named() {
    let name = |suffix: &str| format!("/p/kubeletconfiguration{suffix}.yaml");
    for (suffix, text, problem) in [
        ("", "a: [\n", "invalid YAML, line"),
        ("", "- a\n", "expected a map"),
        ("+merge", "a\n", "expected a map"),
        ("+json", "a: 1\n", "expected a list of operations"),
        ("+json", "- {op: remove, path: /maxPods}\n", "operation 1: a path leads nowhere"),
        ("+json", "- {op: replace, path: '', value: []}\n", "not a KubeletConfiguration"),
        ("", "$patch: merge\n", "$patch is neither replace nor delete"),
        ("", "$patch: delete\n", "not a KubeletConfiguration"),
        ("+merge", "kind: ~\n", "not a KubeletConfiguration"),
        ("", &["a: ", &"x".repeat(limits::YAML_BYTES)].concat(), "longer than 1 MiB together"),
    ] {
        let error = apply(&[(&name(suffix), text)]).unwrap_err();
        let start = format!("options: patch {} is unusable: ", name(suffix));
        assert!(error.starts_with(&start) && error.contains(problem), "{error}");
    }
    assert!(patches(&[]).unwrap().add("/p", PatchType::Merge, b"\xff").is_err());
}
