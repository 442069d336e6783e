//! The one cluster of all targets: its time, its CA, its token, and a node's key. tests/fuzz/pki has the files.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nodestrap::testing::http::{ServerUrl, System};
use nodestrap::testing::key::Key;
use nodestrap::testing::node_name::NodeName;
use nodestrap::testing::trust::{CaBundle, Pin, Pins, Token, TrustedCluster};

pub const TOKEN: &str = "abcdef.0123456789abcdef";
/// The part of it that nobody may see.
pub const SECRET: &str = "0123456789abcdef";
/// The CA's certificate.
pub const CA: &str = include_str!("../pki/ca.pem");
/// The certificate of the API server at `localhost`, and its key.
pub const SERVER: &str = include_str!("../pki/server.pem");
pub const SERVER_KEY: &str = include_str!("../pki/server.key");
/// A client certificate for the node `n1` and the key of tests/vectors, as the cluster issues it.
pub const NODE: &str = include_str!("../pki/node.pem");
pub const KEY: &str = include_str!("../../vectors/sec1-p256.pem");
/// Where the API server is.
pub const ENDPOINT: &str = "localhost:6443";
pub const URL: &str = "https://localhost:6443";

/// 2050-01-01: all certificates are valid, and the program is made.
pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(701_280)
}

pub fn token() -> Token {
    Token::parse(TOKEN).expect("a token")
}

pub fn authorities() -> CaBundle {
    CaBundle::from_pem(CA.as_bytes().to_vec()).expect("a bundle")
}

pub fn pin() -> String {
    authorities().pins().swap_remove(0)
}

pub fn pins() -> Pins {
    Pins::AnyCa(vec![Pin::parse(&pin()).expect("a pin")])
}

pub fn cluster(system: &System) -> TrustedCluster {
    let server = ServerUrl::parse(URL).expect("a URL");
    TrustedCluster::configured(system, server, authorities(), &Pins::None, None, now()).expect("a cluster")
}

pub fn node() -> NodeName {
    NodeName::new("n1").expect("a name")
}

pub fn key() -> Key {
    Key::from_pem(KEY.as_bytes()).expect("a key")
}
