//! The administrator's patches on the node's disk, found as kubeadm finds them: `filepath.Walk` over the directory, names
//! in their order, sub-directories in their place among them (`cmd/kubeadm/app/util/patches`, `getPatchSetsFromPath`).

use rustix::fs::FileType;

use super::{NodeFiles, path};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::kubelet::{PatchType, Patches};
use crate::limits;

impl NodeFiles {
    /// Reads the patches below `directory`, an absolute path. Files may be symbolic links; `directory` may be one only with
    /// a slash behind it, as the system has it.
    ///
    /// # Errors
    /// A usage error when there is no such directory, when a name or a text is none of a patch, and when there are too many
    /// of them; [`ErrorKind::Files`] when they cannot be read, or when others can write to them.
    pub fn patches(&self, directory: &str) -> Result<Patches> {
        let mut patches = Patches::default();
        match self.root.kind(directory).map_err(|e| self.unreadable(directory, e))? {
            Some(FileType::Directory) => {
                self.walk(directory, limits::PATCH_DEPTH, &mut { limits::PATCH_FILES }, &mut patches)?;
                Ok(patches)
            }
            Some(FileType::Symlink) => Err(self.refused(directory, "is a symbolic link")),
            Some(_) => Err(self.refused(directory, "is not a directory")),
            None => Err(self.refused(directory, "not found")),
        }
    }

    /// Adds what is in `directory`, with at most `depth` directories in each other, and `files` of any kind.
    fn walk(&self, directory: &str, depth: u32, files: &mut usize, patches: &mut Patches) -> Result<()> {
        let directory = directory.trim_end_matches('/');
        for name in self.root.names(directory).map_err(|e| self.unreadable(directory, e))? {
            *files = files.checked_sub(1).ok_or_else(|| self.refused(directory, "holds too many files"))?;
            let name = name.to_string_lossy();
            let file = path(directory, &name);
            if self.root.kind(&file).map_err(|e| self.unreadable(&file, e))? == Some(FileType::Directory) {
                let depth = depth.checked_sub(1).ok_or_else(|| self.refused(&file, "lies too deep"))?;
                self.walk(&file, depth, files, patches)?;
                continue;
            }
            let Some(patch_type) = PatchType::of(&self.shown(&file))? else {
                patches.skip(&name);
                continue;
            };
            let found = self.root.examine(&file).map_err(|e| self.unreadable(&file, e))?;
            let found = found.ok_or_else(|| self.refused(&file, "is a link that leads nowhere"))?;
            if !found.is_safe {
                return Err(Error::new(
                    Step::Files,
                    ErrorKind::Files,
                    format!("other users can write to the patch {}", self.shown(&file)),
                )
                .with_help("check who wrote it, then leave it to root alone: chown root, chmod go-w"));
            }
            patches.add(&self.shown(&file), patch_type, &found.bytes)?;
        }
        Ok(())
    }

    fn refused(&self, place: &str, problem: &str) -> Error {
        Error::new(Step::Options, ErrorKind::Usage, format!("patches: {} {problem}", self.shown(place)))
            .with_help("correct --patches or patches.directory, a directory below --root")
    }
}
