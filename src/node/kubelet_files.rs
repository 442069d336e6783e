//! The files that a kubelet of kubeadm's packages reads beside its identity.

use rustix::fs::FileType;

use super::layout::KUBELET;
use super::{NodeFiles, path};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::kubelet::{KubeletFiles, RESOLVED, RUNTIMES};

/// The kubelet's `--config` (`cmd/kubeadm/app/constants`, `KubeletConfigurationFileName`). As kubeadm writes them, all
/// three may be read by everybody.
pub(crate) const CONFIG: &str = "config.yaml";
/// `KubeletInstanceConfigurationFileName`.
const INSTANCE: &str = "instance-config.yaml";
/// `KubeletEnvFileName`.
const FLAGS: &str = "kubeadm-flags.env";

impl NodeFiles {
    /// Writes the kubelet's configuration and flags, where they are not there already.
    /// If it fails, what was there before is still there.
    pub fn write_kubelet_files(&self, files: &KubeletFiles) -> Result<()> {
        let directory = self.directory(KUBELET, 0o700)?;
        let texts = [
            (INSTANCE, files.instance.as_ref()),
            (CONFIG, files.config.as_ref()),
            (FLAGS, Some(&files.flags)),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                self.write(&directory, KUBELET, name, 0o644, text.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Whether the kubelet's flags, and `with_config` its configuration, are there, whatever they say: an administrator may
    /// have changed them since.
    pub fn has_kubelet_files(&self, with_config: bool) -> Result<bool> {
        for name in [FLAGS, CONFIG].into_iter().take(1 + usize::from(with_config)) {
            let path = path(KUBELET, name);
            if self.root.read(&path).map_err(|e| self.unreadable(&path, e))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The socket of the container runtime on this disk, or where containerd's will be, as kubeadm looks for it
    /// (`cmd/kubeadm/app/util/runtime`, `DetectCRISocket`; it dials, which says nothing about an image).
    ///
    /// # Errors
    /// A usage error when there are several.
    pub fn cri_socket(&self) -> Result<String> {
        let found: Vec<&str> = RUNTIMES
            .into_iter()
            .filter(|path| self.root.has(path, FileType::Socket).unwrap_or_default())
            .collect();
        match found[..] {
            [] => Ok(url(RUNTIMES[0])),
            [only] => Ok(url(only)),
            [..] => {
                let found = found.join(", ");
                let what = format!("several container runtimes found ({found})");
                Err(Error::new(Step::Options, ErrorKind::Usage, what)
                    .with_help("choose one with --cri-socket"))
            }
        }
    }

    /// Whether systemd-resolved has written its list of name servers, which kubeadm takes from its unit's state.
    pub fn has_systemd_resolved(&self) -> Result<bool> {
        self.root.has(RESOLVED, FileType::RegularFile).map_err(|e| self.unreadable(RESOLVED, e))
    }
}

fn url(path: &str) -> String {
    format!("unix://{path}")
}
