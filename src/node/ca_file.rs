//! ca.crt beside the CAs of a cluster: compared as certificates, so that line ends, comments, order and repetition do not
//! count.

use super::{NodeFiles, refusal};
use crate::error::Result;
use crate::limits;
use crate::trust::{CaBundle, TrustedCluster};
use crate::x509::Certificate;

/// What ca.crt holds, as a kubelet reads it.
#[derive(Debug)]
pub(super) enum CaFile {
    /// There is no such file, or there is nothing in it: a write that was interrupted leaves an empty file.
    Nothing,
    /// Certificates, and nothing that a kubelet could not read.
    Certificates(Vec<Certificate>),
    /// Certificates, where others could have written them.
    Writable(Vec<Certificate>),
    /// Something else.
    Garbage,
}

/// What a join makes of ca.crt.
#[derive(Debug)]
pub(super) enum CaState {
    /// There is none.
    Missing,
    /// It holds the cluster's certificates.
    Same,
    /// It holds other certificates, whose keys are all the cluster's: a CA was renewed, added, or has gone.
    Renewed,
    /// It holds a key that is not the cluster's, or no certificate.
    Other {
        /// The clause that says so.
        problem: String,
        /// Whether it holds none of the cluster's keys.
        elsewhere: bool,
    },
}

impl NodeFiles {
    /// ca.crt, whosever it is.
    pub(super) fn ca(&self) -> Result<CaFile> {
        let path = self.layout.ca.as_str();
        let (bytes, is_safe) = self.examine(path, |_| false)?.unwrap_or_default();
        let bytes = bytes.expose();
        Ok(match Certificate::chain_from_pem(bytes) {
            Some(certificates) if is_safe => CaFile::Certificates(certificates),
            Some(certificates) => CaFile::Writable(certificates),
            None if bytes.trim_ascii().is_empty() => CaFile::Nothing,
            None => CaFile::Garbage,
        })
    }

    /// Holds ca.crt against the CAs of the cluster, which is trusted.
    pub(super) fn compare_ca(&self, cluster: &CaBundle) -> Result<CaState> {
        let (found, keeps) = match self.ca()? {
            CaFile::Nothing => return Ok(CaState::Missing),
            CaFile::Garbage => {
                return Ok(CaState::Other { problem: self.no_certificates(), elsewhere: true });
            }
            CaFile::Certificates(found) => (found, true),
            CaFile::Writable(found) => (found, false),
        };
        let own = cluster.certificates();
        let strays: Vec<_> =
            found.iter().filter(|ca| own.iter().all(|own| own.spki != ca.spki)).map(named).collect();
        if strays.is_empty() {
            // It is written again, so that it is nobody else's any more.
            if !keeps {
                return Ok(CaState::Missing);
            }
            let are_in = |these: &[Certificate], those: &[Certificate]| {
                these.iter().all(|one| those.iter().any(|other| other.der == one.der))
            };
            let is_same = are_in(&found, own) && are_in(own, &found);
            return Ok(if is_same { CaState::Same } else { CaState::Renewed });
        }
        let shown = strays.iter().take(limits::CERTIFICATES).map(String::as_str).collect::<Vec<_>>();
        let problem = format!(
            "{} holds CA keys that are not the cluster's: {}",
            self.shown(self.layout.ca.as_str()),
            shown.join(", ")
        );
        Ok(CaState::Other { problem, elsewhere: strays.len() == found.len() })
    }

    /// Writes ca.crt as kubeadm writes it, unless it holds the same certificates already. One with a key that is not the
    /// cluster's is an error, and stays. If it fails, what was there before is still there.
    pub fn write_ca(&self, cluster: &TrustedCluster) -> Result<()> {
        let ca = &self.layout.ca;
        match self.compare_ca(cluster.ca())? {
            CaState::Missing | CaState::Renewed => {
                let directory = self.directory(ca.directory(), 0o755)?;
                self.write(&directory, ca.directory(), ca.name(), 0o644, cluster.ca().pem())
            }
            // The run that has written it may have ended before its name was durable.
            CaState::Same => self.sync(ca.directory()),
            CaState::Other { problem, .. } => Err(refusal(&problem)),
        }
    }

    /// What is said of a ca.crt that is no such file.
    pub(super) fn no_certificates(&self) -> String {
        format!("{} does not hold valid PEM certificates", self.shown(self.layout.ca.as_str()))
    }
}

/// A CA as people find it again: whom it names, and its pin.
fn named(ca: &Certificate) -> String {
    format!("{} ({})", ca.subject, ca.pin())
}
