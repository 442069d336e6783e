//! The files of a node's identity, in the order in which they are written: the key before it is used;
//! bootstrap-kubelet.conf where it is needed; certificate and key, and their link; kubelet.conf last, the commit point.

use std::io;

use super::layout::{current, pending_key};
use super::{BOOTSTRAP, KUBERNETES, Layout, NodeFiles, path, timestamp, unwritable};
use crate::credentials::Credentials;
use crate::csr::{CertificateKind, IssuedCertificate};
use crate::disk::Staged;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::key::Key;
use crate::kubeconfig;
use crate::secret::Secret;
use crate::trust::TrustedCluster;

impl NodeFiles {
    /// Writes bootstrap-kubelet.conf as kubeadm writes it, where it is not there already. With it, ca.crt and its own
    /// configuration a kubelet can finish alone. If that fails, what was there before is still there.
    pub fn write_bootstrap(&self, cluster: &TrustedCluster, credentials: &Credentials) -> Result<()> {
        let server = cluster.server().as_str();
        let text = kubeconfig::bootstrap(server, &cluster.ca().base64(), &credentials.embedded());
        self.write(
            &self.directory(KUBERNETES, 0o755)?,
            KUBERNETES,
            BOOTSTRAP,
            0o600,
            text.expose().as_bytes(),
        )
    }

    /// The key of the pending request: the one on disk, or a new one that is durable when this returns.
    ///
    /// A file that is not a key, such as a torn one, is replaced: a kubelet would stop at it. So is one that is not this
    /// user's alone: others would know the node's key.
    pub fn pending_key(&self, kind: &CertificateKind) -> Result<Key> {
        let certificates = self.layout.certificates.as_str();
        let directory = self.directory(certificates, 0o755)?;
        directory.remove_temp().map_err(|e| self.unwritable(certificates, e))?;
        let name = pending_key(kind);
        let path = path(certificates, &name);
        let found = directory.read_private(&name).map_err(|e| self.unreadable(&path, e))?.map(Secret::new);
        if found.is_none() && directory.has(&name).map_err(|e| self.unreadable(&path, e))? {
            let path = self.shown(&path);
            self.warn(format!("other users could read the key in {path}; creating a new one"));
        }
        let key = match found.and_then(|bytes| Key::from_pem(bytes.expose())) {
            Some(key) => key,
            None => Key::generate()?,
        };
        self.write(&directory, certificates, &name, 0o600, key.pem().expose().as_bytes())?;
        Ok(key)
    }

    /// Forgets the key of a request that is unusable.
    pub fn discard_pending_key(&self, kind: &CertificateKind) -> Result<()> {
        let name = pending_key(kind);
        self.removing(self.layout.certificates.as_str(), &name, |directory| directory.remove(&name))
    }

    /// Stores a pair as the kubelet's FileStore does. Returns where it is.
    ///
    /// The name carries the time at which the certificate begins, in UTC: the same certificate has the same name again in
    /// the run after a crash, which finds the file instead of leaving it beside another one. The kubelet takes its local
    /// time, which at first boot may be wrong.
    /// If it fails, what was there before is still complete.
    pub fn write_pair(
        &self,
        kind: &CertificateKind,
        key: &Key,
        certificate: &IssuedCertificate,
    ) -> Result<String> {
        let certificates = self.layout.certificates.as_str();
        let directory = self.directory(certificates, 0o755)?;
        let name = format!("{}-{}.pem", kind.file_prefix, timestamp(certificate.leaf().not_before));
        let pair = Secret::new(format!("{}{}", certificate.pem(), key.pem().expose()));
        let stored = path(certificates, &name);
        directory.replace(&name, 0o600, pair.expose().as_bytes()).map_err(|e| self.unwritable(&stored, e))?;
        let (link, current) = (current(kind), self.current(kind));
        directory.link(&link, &stored).and_then(|()| directory.sync()).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => {
                let what = format!("{current} is a file, expected a symbolic link");
                Error::new(Step::Files, ErrorKind::Files, what).with_help("remove it, then run again")
            }
            _ => self.unwritable(&current, e),
        })?;
        Ok(stored)
    }

    /// Writes kubelet.conf, which leads to the client's pair, but for its name: with that it commits the identity.
    /// If it fails, what was there before is still complete.
    pub fn stage_kubelet_conf(&self, cluster: &TrustedCluster) -> Result<KubeletConf> {
        let pair = self.current(CertificateKind::CLIENT);
        let text = kubeconfig::kubelet(cluster.server().as_str(), &cluster.ca().base64(), &pair);
        let conf = &self.layout.kubeconfig;
        let directory = self.directory(conf.directory(), 0o755)?;
        let staged = directory.stage(conf.name(), 0o600, text.as_bytes());
        let path = self.shown(conf.as_str());
        staged.map_err(|e| unwritable(&path, e)).map(|staged| KubeletConf { staged, path })
    }

    /// Makes the identity durable that an interrupted run has left. The key's first file tells of one: without an
    /// interruption it goes when all else is durable.
    pub fn finish_interrupted(&self) -> Result<()> {
        let Layout { kubeconfig, certificates, ca } = &self.layout;
        let at = certificates.as_str();
        let key = pending_key(CertificateKind::CLIENT);
        match self.root.directory(at, None).and_then(|directory| directory.has(&key)) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(self.unreadable(&path(at, &key), e)),
        }
        [at, ca.directory(), kubeconfig.directory()].into_iter().try_for_each(|at| self.sync(at))
    }

    /// Removes what a joined node does not need: the key's first file, and the bootstrap kubeconfig unless it is to be
    /// kept.
    pub fn clean_up(&self, keep_bootstrap: bool) -> Result<()> {
        self.tidy(self.layout.certificates.as_str(), &pending_key(CertificateKind::CLIENT))?;
        if keep_bootstrap { Ok(()) } else { self.remove_bootstrap() }
    }

    /// Removes the bootstrap kubeconfig with its token, as kubeadm does for a node that has joined
    /// (`cmd/kubeadm/app/cmd/phases/join/kubelet.go`).
    pub fn remove_bootstrap(&self) -> Result<()> {
        self.tidy(KUBERNETES, BOOTSTRAP)
    }

    /// Removes `name` from the directory `at`, and what may be a part of it. What a power cut brings back, the next run
    /// removes: nobody waits for the disk here.
    fn tidy(&self, at: &str, name: &str) -> Result<()> {
        self.removing(at, name, |directory| {
            directory.remove_temp()?;
            directory.unlink(name).map(|_| ())
        })
    }

    /// The path of the link to the pair in use.
    pub(super) fn current(&self, kind: &CertificateKind) -> String {
        path(self.layout.certificates.as_str(), &current(kind))
    }
}

/// kubelet.conf, complete and durable but for its name.
#[derive(Debug)]
pub struct KubeletConf {
    staged: Staged,
    path: String,
}

impl KubeletConf {
    /// Commits the identity: the pair and its link must be there.
    /// If it fails, what was there before is still complete.
    pub fn commit(self) -> Result<()> {
        self.staged.commit().map_err(|e| unwritable(&self.path, e))
    }
}
