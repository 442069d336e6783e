//! Raw bytes where TLS, or a proxy's answer, should be.

use std::sync::Arc;
use std::time::Duration;

use nodestrap::testing::error::ErrorKind;
use nodestrap::testing::http::{Endpoint, Proxies, Unverified};

use super::{fixtures, is_one_line, transport};

/// No bytes are an answer to a handshake whose keys nobody chose before, nor to a request for a tunnel with such a
/// handshake in it.
pub fn wire(data: &[u8]) -> bool {
    for proxy in [None, Some("http://user:password@proxy.example.org:3128")] {
        let mut system = transport::raw(data);
        let lookup = |name: &str| proxy.filter(|_| name == "HTTPS_PROXY").map(str::to_owned);
        system.proxies = Arc::new(Proxies::from_environment(lookup));
        let endpoint = Endpoint::parse("api.example.org:6443").expect("an endpoint");
        let peers = Unverified::to_each(&system, &[endpoint]).expect("a usable proxy");
        let error = peers[0].get("/", Duration::from_secs(5)).expect_err("bytes without a key");
        assert!(matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::NotTrusted), "{error}");
        assert_eq!((system.traffic.requests(), system.traffic.handshakes()), (0, 0));
        is_one_line(&error.to_string());
        assert!(!error.to_string().contains("password@"), "{error}");
        peers[0].check_chain(&roots()).expect_err("no chain was shown");
    }
    true
}

fn roots() -> nodestrap::testing::http::Roots {
    fixtures::authorities().roots(fixtures::now(), "").expect("a root")
}
