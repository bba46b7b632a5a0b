//! Staged files, which are renamed when they are complete.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::engine::base::error::{Error, Result};
use crate::engine::fs::{Access, Directory, File, StoreFile, write_all_at};

/// A file that is written under the name `draft`. It is removed unless it is renamed to `name`.
#[derive(Debug)]
pub(crate) struct StagedFile<'a> {
    directory: &'a dyn Directory,
    draft: StoreFile,
    name: StoreFile,
    file: Arc<dyn File>,
    is_in_place: bool,
}

impl<'a> StagedFile<'a> {
    /// Creates the file. Replaces the one that a killed process may have left under the name
    /// `draft`.
    pub(crate) fn new(directory: &'a dyn Directory, draft: StoreFile, name: StoreFile) -> Result<Self> {
        remove_if_there(directory, draft).map_err(Error::io("remove", directory.path(draft)))?;
        match directory.open(draft, Access::Replace(name)) {
            Ok(file) => Ok(Self { directory, draft, name, file, is_in_place: false }),
            Err(error) => {
                // It may have been created before the call failed.
                let _ = directory.remove(draft);
                Err(Error::io("create", directory.path(draft))(error))
            }
        }
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> &dyn File {
        &*self.file
    }

    /// Writes `bytes` at `at`.
    pub(crate) fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        write_all_at(&*self.file, bytes, at).map_err(self.error("write"))
    }

    /// Makes its bytes durable. Otherwise the rename could be durable before them.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync().map_err(self.error("fsync"))
    }

    /// Renames the file to its name, and replaces the file there. The new name is durable after a
    /// sync of the directory.
    pub(crate) fn put_in_place(mut self) -> Result<()> {
        self.directory.rename(self.draft, self.name).map_err(self.error("rename"))?;
        self.is_in_place = true;
        Ok(())
    }

    fn error(&self, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        Error::io(action, self.directory.path(self.draft))
    }
}

impl Drop for StagedFile<'_> {
    fn drop(&mut self) {
        if !self.is_in_place {
            // It takes space on a disk that may be full. If this fails, the next staged file
            // replaces it.
            let _ = self.directory.remove(self.draft);
        }
    }
}

/// Creates the file `name` with `bytes`, durably. The name is durable after a sync of the
/// directory.
pub(crate) fn create_file(directory: &dyn Directory, name: StoreFile, bytes: &[u8]) -> Result<()> {
    let path = || directory.path(name);
    let file = directory.open(name, Access::Create).map_err(Error::io("create", path()))?;
    write_all_at(&*file, bytes, 0).map_err(Error::io("write", path()))?;
    file.sync().map_err(Error::io("fsync", path()))
}

/// Removes the file `name`, if it exists.
pub(crate) fn remove_if_there(directory: &dyn Directory, name: StoreFile) -> io::Result<()> {
    match directory.remove(name) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
