//! The node's own files, which an image, another program or a torn write may have left.

use std::path::{Path, PathBuf};
use std::{fs, io};

use nodestrap::testing::csr::CertificateTemplate;
use nodestrap::testing::node::{Layout, NodeFiles, NodeState};
use nodestrap::testing::trust::share_a_key;
use nodestrap::testing::x509::Certificate;

use super::{fixtures, is_one_line, locks, transport};

/// Stands between the files; it is in no text.
const SEPARATOR: u8 = 0xff;

pub const KUBELET_CONF: &str = "etc/kubernetes/kubelet.conf";
const FILES: [&str; 4] = [
    KUBELET_CONF,
    "var/lib/kubelet/pki/kubelet-client-current.pem",
    "etc/kubernetes/pki/ca.crt",
    "var/lib/kubelet/pki/kubelet.crt",
];

/// A directory of this process for one run, empty.
pub fn root() -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id()).replace(|c: char| !c.is_ascii_digit(), "");
    let root = std::env::temp_dir().join(format!("nodestrap-fuzz-{}-{thread}", std::process::id()));
    locks::forget(&root);
    match fs::remove_dir_all(&root) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => panic!("{}: {e}", root.display()),
        _ => fs::create_dir_all(&root).expect("a directory"),
    }
    root
}

/// kubelet.conf, the pair, ca.crt and the kubelet's own certificate. To look at them changes nothing; an identity is one
/// only with a key that is the certificate's, in time, for this node.
pub fn identity(data: &[u8]) -> bool {
    let root = root();
    for (name, content) in FILES.iter().zip(data.split(|byte| *byte == SEPARATOR)) {
        if !content.is_empty() {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, content).expect("a file");
        }
    }
    let before = contents(&root);
    let taken = judge(&root);
    assert_eq!(contents(&root), before, "a look has changed something");
    let _ = fs::remove_dir_all(&root);
    taken
}

/// Whether there is an identity.
fn judge(root: &Path) -> bool {
    let (node, now) = (fixtures::node(), fixtures::now());
    let files = NodeFiles::open(root, Layout::default()).expect("a directory");
    let Ok(state) = files.state(&node, now).map_err(|error| is_one_line(&error.to_string())) else {
        return false;
    };
    let _ = files.stored(&CertificateTemplate::client(&node), now);
    if let Err(error) = files.refuse_other_identity(&state, &node) {
        is_one_line(&error.to_string());
    }
    for replace in [false, true] {
        match files.replacement(&fixtures::authorities(), &state, &node, replace) {
            Ok(replacement) => assert!(replacement.paths().count() <= FILES.len()),
            Err(error) => is_one_line(&error.to_string()),
        }
    }
    if let NodeState::Unusable(unusable) = &state {
        is_one_line(&unusable.problem.to_string());
    }
    let NodeState::Joined(identity) = state else { return false };
    let leaf = identity.certificate();
    assert_eq!(leaf.subject, node.subject());
    assert!(leaf.not_after >= now);
    let stored = Certificate::chain_from_pem(&fs::read(root.join(FILES[2])).expect("ca.crt"));
    let (stored, known) = (stored.expect("certificates"), identity.authorities());
    let (own, behind) = known.split_at(known.len() - stored.len());
    assert!(behind.iter().map(|ca| &ca.der).eq(stored.iter().map(|ca| &ca.der)));
    assert!(share_a_key(own, &stored));
    if let Err(error) = identity.dial(&transport::deaf()) {
        is_one_line(&error.to_string());
    }
    true
}

fn contents(root: &Path) -> Vec<Option<Vec<u8>>> {
    FILES.iter().map(|name| fs::read(root.join(name)).ok()).collect()
}
