//! The certificate signing requests of a cluster.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::cluster::Cluster;

const PREFIX: &str = "system:node:";

impl Cluster {
    /// The object's name of the one signing request for this node.
    pub fn request_of(&self, node: &str) -> String {
        let requests = self.json(&["get", "csr"]);
        let requests = requests["items"].as_array().expect("a list").iter();
        let mut names = requests
            .filter(|request| subject(request["spec"]["request"].as_str().expect("a request")) == node)
            .map(|request| request["metadata"]["name"].as_str().expect("a name").to_owned());
        let name = names.next().unwrap_or_else(|| panic!("no signing request for {node}"));
        assert!(names.next().is_none(), "more than one signing request for {node}");
        name
    }

    /// The node name in the subject of every signing request, in no order.
    pub fn signing_requests(&self) -> Vec<String> {
        let requests = self.json(&["get", "csr"]);
        let requests = requests["items"].as_array().expect("a list").iter();
        requests.map(|request| subject(request["spec"]["request"].as_str().expect("a request"))).collect()
    }
}

/// The node name in a PKCS#10 request: the rest of the string whose length stands before `system:node:`.
fn subject(request: &str) -> String {
    let text = STANDARD.decode(request).expect("base64");
    let block = pem::parse(text).expect("PEM");
    let der = block.contents();
    let start =
        der.windows(PREFIX.len()).position(|window| window == PREFIX.as_bytes()).expect("a node's name");
    let length = usize::from(der[start - 1]);
    String::from_utf8(der[start + PREFIX.len()..start + length].to_vec()).expect("a name")
}
