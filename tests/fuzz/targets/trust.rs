//! The trust decision over cluster-info.

use std::time::Duration;

use serde_json::{Value, json};

use nodestrap::testing::discovery;
use nodestrap::testing::error::{ErrorKind, Result};
use nodestrap::testing::http::{Endpoint, Unverified};
use nodestrap::testing::trust::{ClusterInfo, Pins, SignedCluster, UnverifiedClusterInfo};
use nodestrap::testing::yaml;

use super::{fixtures, is_one_line, text, transport};

#[path = "../../support/api/jws.rs"]
#[allow(unused, clippy::all, clippy::pedantic, reason = "of the tests' API server")]
pub mod jws;

/// Nothing is trusted but what the reference would have signed with the token, and it has a key that is pinned.
pub fn cluster_info(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let Ok(info) = ClusterInfo::from_text(text, "abcdef") else { return false };
    let Some(signed) = judge(info) else { return false };
    let map: Value = serde_json::from_str(text).unwrap_or_else(|_| {
        let json = yaml::entries(text, "data", &["kubeconfig", "jws-kubeconfig-abcdef"]);
        serde_json::from_str(&json.expect("it was read")).expect("JSON")
    });
    let kubeconfig = map["data"]["kubeconfig"].as_str().expect("a kubeconfig");
    assert_eq!(map["data"]["jws-kubeconfig-abcdef"], jws::sign(fixtures::TOKEN, kubeconfig));
    assert!(signed.ca().pins().contains(&fixtures::pin()));
    true
}

/// What the reference has signed is never refused for its signature, and always with one bit flipped, in the content as
/// in the signature.
pub fn signed(data: &[u8]) -> bool {
    let Some(text) = text(data).filter(|text| !text.is_empty()) else { return false };
    let signature = jws::sign(fixtures::TOKEN, text);
    let taken = judge(published(text, &signature));
    if let Some(signed) = &taken {
        assert!(signed.ca().pins().contains(&fixtures::pin()));
        assert!(signed.server().as_str().starts_with("https://"));
    }
    let outcome = decide(published(text, &signature));
    assert!(!is_refused_by_signature(&outcome), "a right signature was refused");
    // Which bit, the content decides: over many inputs all of them.
    let sum = data.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    for (text, signature) in
        [(flipped(text, sum), Some(signature.clone())), (Some(text.to_owned()), flipped(&signature, sum))]
    {
        if let (Some(text), Some(signature)) = (text, signature) {
            let outcome = decide(published(&text, &signature));
            assert!(is_refused_by_signature(&outcome), "{signature} over {text:?} is not that: {outcome:?}");
        }
    }
    taken.is_some()
}

/// An answer to the question for cluster-info, over connections to the server that it names and to another endpoint, for
/// which that server's certificate is not. With a pin, the endpoint that was dialled must be one of the cluster's; without
/// one, the signature is enough to go over to the server that is named.
pub fn connection(data: &[u8]) -> bool {
    let mut taken = 0;
    for (endpoint, pins, trusted) in [
        (fixtures::ENDPOINT, fixtures::pins(), true),
        (fixtures::ENDPOINT, Pins::None, true),
        ("other.example.org:6443", fixtures::pins(), false),
        ("other.example.org:6443", Pins::None, true),
    ] {
        let (system, other) = transport::server(data);
        let endpoint = Endpoint::parse(endpoint).expect("an endpoint");
        let peer = Unverified::to_each(&system, &[endpoint]).expect("no proxy").swap_remove(0);
        let Ok(info) = discovery::cluster_info(&peer, "abcdef", Duration::from_secs(5)) else { continue };
        let info = UnverifiedClusterInfo { info, token: fixtures::token(), pins };
        let Ok(signed) = info.verify(fixtures::now()) else { continue };
        let outcome = signed.trust_via(peer);
        assert_eq!(outcome.is_ok(), trusted, "{outcome:?}");
        assert!(outcome.is_ok_and(|cluster| cluster.server().as_str() == fixtures::URL) == trusted);
        assert!(other.requests().iter().all(|request| !request.contains(fixtures::SECRET)));
        taken += 1;
    }
    taken == 4
}

/// The text with one bit flipped, where that leaves a text.
fn flipped(text: &str, sum: usize) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let at = sum % (8 * bytes.len());
    bytes[at / 8] ^= 1 << (at % 8);
    String::from_utf8(bytes).ok()
}

fn published(kubeconfig: &str, signature: &str) -> ClusterInfo {
    let map = json!({"data": {"kubeconfig": kubeconfig, "jws-kubeconfig-abcdef": signature}});
    ClusterInfo::from_json(map.to_string().as_bytes(), "abcdef").expect("a ConfigMap")
}

fn decide(info: ClusterInfo) -> Result<SignedCluster> {
    let (token, pins) = (fixtures::token(), fixtures::pins());
    UnverifiedClusterInfo { info, token, pins }.verify(fixtures::now())
}

fn judge(info: ClusterInfo) -> Option<SignedCluster> {
    decide(info).map_err(|error| is_one_line(&error.to_string())).ok()
}

fn is_refused_by_signature(outcome: &Result<SignedCluster>) -> bool {
    outcome.as_ref().is_err_and(|error| {
        error.kind() == ErrorKind::NotTrusted
            && error.to_string().contains("the signature of cluster-info does not")
    })
}
