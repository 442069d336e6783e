//! What keeps others out of the node's files: one run at a time, and a look at who else can change or read them.

use std::path::Path;
use std::time::Duration;

use super::{KUBELET, KUBERNETES, Layout, NodeFiles, failed};
use crate::clock::{Clock, Deadline};
use crate::disk::{Examined, Lock, Stranger};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::log::Log;
use crate::sanitize::reason;
use crate::secret::Secret;

/// How often a second run looks whether the first has ended.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

impl NodeFiles {
    /// Waits until no other run works on this root, and keeps others out while the lock is held: a file in the directory
    /// `runtime`. Where that cannot be used, which is logged, the root directory itself is locked: any user who can read it
    /// can keep it so.
    ///
    /// # Errors
    /// [`ErrorKind::Files`] when another run is still at work at the deadline.
    pub fn lock(&self, runtime: &Path, clock: &dyn Clock, deadline: Deadline, log: &Log) -> Result<Lock> {
        let mut place = Some(runtime);
        loop {
            match self.root.try_lock(place) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) if deadline.left(clock).is_some() => clock.sleep(LOCK_PAUSE),
                Ok(None) => {
                    let what = "another nodestrap process is still running on this root";
                    return Err(
                        Error::new(Step::Files, ErrorKind::Files, what).with_help("wait for it, or stop it")
                    );
                }
                Err(e) => {
                    let Some(runtime) = place.take() else {
                        let message = "cannot lock the root directory";
                        return Err(Error::new(Step::Files, ErrorKind::Files, message).caused_by(e));
                    };
                    let runtime = runtime.display();
                    log.info(&format!(
                        "lock: cannot use {runtime} ({}); locking the root directory instead, which any user can block",
                        reason(&e)
                    ));
                }
            }
        }
    }

    /// Checks the directories of the node's files, as far as they are there.
    ///
    /// # Errors
    /// [`ErrorKind::Files`] for one that other users can write to.
    pub fn check_directories(&self) -> Result<()> {
        let Layout { kubeconfig, certificates, ca } = &self.layout;
        for at in [KUBERNETES, kubeconfig.directory(), ca.directory(), KUBELET, certificates.as_str()] {
            match self.root.directory(at, None) {
                Err(e) if Stranger::of(&e).is_some() => return Err(failed(String::new(), "", e)),
                // Any other problem is reported where the directory is needed.
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes something for [`Self::log_findings`].
    pub(super) fn warn(&self, warning: String) {
        self.warnings.borrow_mut().push(warning);
    }

    /// Reads a file of the identity, and tells whether nobody else can have written it. Where it holds a secret, others
    /// that can read it are noted for [`Self::log_findings`]; not where they can write, too, for then nothing in it is
    /// believed.
    pub(super) fn examine(
        &self,
        path: &str,
        has_secret: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Option<(Secret<Vec<u8>>, bool)>> {
        let found = self.root.examine(path).map_err(|e| self.unreadable(path, e))?;
        Ok(found.map(|Examined { bytes, is_safe, exposed }| {
            if let Some(exposed) = exposed.filter(|_| is_safe && has_secret(&bytes)) {
                self.exposed.borrow_mut().push((path.to_owned(), exposed));
            }
            (Secret::new(bytes), is_safe)
        }))
    }

    /// Logs what was found so far and is not a reason to stop; and closes files with secrets that others can read, unless
    /// nothing is to be changed.
    pub fn log_findings(&self, closes: bool, log: &Log) {
        let warn = |text: &str| log.warn(&format!("files: {text}"));
        for stranger in self.root.new_strangers() {
            warn(&format!("{stranger}; {}", stranger.help()));
        }
        self.warnings.take().iter().for_each(|warning| warn(warning));
        for (path, file) in self.exposed.take() {
            let end = match closes.then(|| file.close()) {
                Some(Ok(())) => "its mode is 0600 now".to_owned(),
                Some(Err(e)) => format!("its mode cannot be set to 0600: {}", reason(&e)),
                None => "a run without --dry-run sets its mode to 0600".to_owned(),
            };
            let path = self.shown(&path);
            warn(&format!("{path} holds a secret that other users can read; {end}"));
        }
    }
}
