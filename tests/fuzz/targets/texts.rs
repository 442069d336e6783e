//! YAML and what is read from it.

use serde_json::Value;

use nodestrap::testing::discovery::{KubeconfigSource, StaticCluster};
use nodestrap::testing::http::ServerUrl;
use nodestrap::testing::kubeconfig::{self, Kubeconfig};
use nodestrap::testing::kubelet::{self, Machine, Patches};
use nodestrap::testing::limits;
use nodestrap::testing::log::Log;
use nodestrap::testing::yaml;

use super::{fixtures, text};

/// What is made of YAML is JSON, means the same when it is read as YAML again, and is not much longer than the text; and
/// a text that is JSON means what JSON says.
pub fn yaml(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let Ok(json) = yaml::to_json(text) else { return false };
    assert!(json.len() <= 6 * text.len() + 16, "{} bytes of {}", json.len(), text.len());
    serde_json::from_str::<serde::de::IgnoredAny>(&json).unwrap_or_else(|e| panic!("{e}: {json:?}"));
    if json.len() <= limits::YAML_BYTES {
        assert_eq!(yaml::to_json(&json).as_deref(), Ok(json.as_str()));
    }
    if let (Ok(meant), Ok(read)) = (serde_json::from_str::<Value>(text), serde_json::from_str(&json)) {
        assert!(is_same(&meant, &read), "{meant} was read as {read}");
    }
    true
}

/// Numbers with an exponent are texts here.
fn is_same(json: &Value, yaml: &Value) -> bool {
    match (json, yaml) {
        (Value::Number(number), Value::String(text)) => {
            let (one, two) = (number.as_f64().unwrap_or_default(), text.parse().unwrap_or(f64::NAN));
            // serde_json is off by the last bit now and then.
            (one - two).abs() <= one.abs() * 1e-12
        }
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| is_same(one, two))
        }
        (Value::Object(one), Value::Object(two)) => {
            let in_two =
                |(key, value): (&String, &Value)| two.get(key).is_some_and(|two| is_same(value, two));
            one.len() == two.len() && one.iter().all(in_two)
        }
        (one, two) => one == two,
    }
}

/// A cluster and its credentials, once they are taken, survive being written into bootstrap-kubelet.conf.
pub fn kubeconfig(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let Ok(config) = Kubeconfig::parse(text) else { return false };
    let _ = (config.discovery_cluster().is_ok(), config.current().is_some());
    let url = ServerUrl::parse("https://files.example.org/kubeconfig").expect("a URL");
    let Ok(taken) = KubeconfigSource::fetched(&url).read_fetched(text, None) else { return false };
    // What no header can carry, a join refuses before it writes.
    if taken.credentials.bearer(&Log::silent()).is_err() {
        return false;
    }
    let written = write(&taken);
    let again = KubeconfigSource::fetched(&url).read_fetched(&written, None);
    let again = again.unwrap_or_else(|e| panic!("{e}: {written}"));
    assert_eq!(again.server, taken.server);
    assert_eq!(again.ca.pem(), taken.ca.pem());
    assert_eq!(again.credentials.embedded().token, taken.credentials.embedded().token);
    assert_eq!(again.credentials.embedded().pair, taken.credentials.embedded().pair);
    assert_eq!(write(&again), written);
    true
}

fn write(taken: &StaticCluster) -> String {
    let (server, ca) = (taken.server.as_str(), taken.ca.base64());
    kubeconfig::bootstrap(server, &ca, &taken.credentials.embedded()).expose().clone()
}

/// The machine's config.yaml differs from the cluster's in what kubeadm sets too, and in nothing else.
pub fn kubelet_config(data: &[u8]) -> bool {
    const SET: [&str; 3] = ["containerRuntimeEndpoint", "rotateCertificates", "resolvConf"];
    let Some(text) = text(data) else { return false };
    let node = fixtures::node();
    let mut taken = false;
    for resolved in [false, true] {
        let (cri_socket, ca) = ("unix:///run/containerd/containerd.sock", "/etc/kubernetes/pki/ca.crt");
        let machine = Machine {
            node: &node,
            hostname: None,
            cri_socket,
            has_systemd_resolved: resolved,
            ca,
            path_flags: &[],
            patches: &Patches::default(),
        };
        let Ok(made) = kubelet::for_machine(text, &machine) else { continue };
        let (before, after) =
            (yaml::tree(text).expect("it was read"), yaml::tree(&made).expect("it is read"));
        let mut after: Value = after.clone();
        assert_eq!(
            (&after[SET[0]], &after[SET[1]]),
            (&Value::from(cri_socket), &Value::from(true)),
            "{made}"
        );
        let mut before: Value = before.clone();
        for map in [&mut before, &mut after] {
            let map = map.as_object_mut().expect("a map");
            map.retain(|key, _| !SET[..if resolved { 3 } else { 2 }].contains(&key.as_str()));
        }
        assert_eq!(before, after, "{made}");
        assert_eq!(kubelet::for_machine(&made, &machine).ok(), Some(made));
        taken = true;
    }
    taken
}
