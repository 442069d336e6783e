//! Signatures of cluster-info, by code of its own, so that a mistake in the program is not repeated here.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::hmac;

/// The signature that kube-controller-manager publishes for a token over these bytes.
pub fn sign(token: &str, kubeconfig: &str) -> String {
    let (id, secret) = token.split_once('.').expect("a token with a dot");
    with_header(&header(id), secret, kubeconfig)
}

/// The header that the signer writes.
pub fn header(id: &str) -> String {
    format!(r#"{{"alg":"HS256","kid":"{id}"}}"#)
}

/// A signature that is right for whatever header it has.
pub fn with_header(header: &str, secret: &str, kubeconfig: &str) -> String {
    let header = BASE64_URL_SAFE_NO_PAD.encode(header);
    let signed = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(kubeconfig));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{header}..{}", BASE64_URL_SAFE_NO_PAD.encode(mac))
}

/// The kubeconfig of cluster-info, as kubeadm writes it.
pub fn kubeconfig(ca_pem: &str, server: &str) -> String {
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {}\n    server: {server}\n  \
         name: \"\"\ncontexts: null\ncurrent-context: \"\"\nkind: Config\nusers: null\n",
        BASE64_STANDARD.encode(ca_pem)
    )
}
