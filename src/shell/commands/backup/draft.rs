//! The file that an archive is written to, until it is whole.

use std::ffi::OsString;
use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::shell::run::folder::Folder;

/// A file that is not yet what it is to be, and is removed unless it becomes that.
#[derive(Debug)]
pub struct Unfinished {
    folder: Folder,
    name: OsString,
    draft: OsString,
    file: File,
    is_in_place: bool,
}

/// An archive is accessible to its owner alone.
const MODE: u32 = 0o600;

impl Unfinished {
    /// An empty draft beside `path`, exclusive while this lives. A killed process leaves its draft
    /// to the next one. If something else has the name, the draft gets a random name.
    pub fn beside(path: &Path) -> io::Result<Self> {
        let (folder, name) = Folder::of(path)?;
        let mut draft = name.clone();
        draft.push(".unfinished");
        let (draft, file) = match claim(&folder, &draft)? {
            Some(file) => (draft, file),
            None => folder.create_unknown(MODE)?,
        };
        // A draft that a killed process left has contents.
        file.set_len(0)?;
        match file.set_permissions(Permissions::from_mode(MODE)) {
            // The file system keeps no modes.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            set => set?,
        }
        Ok(Self { folder, name, draft, file, is_in_place: false })
    }

    /// What is written to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes it durable, and renames it to its final name.
    pub fn put_in_place(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.folder.rename(&self.draft, &self.file, &self.name)?;
        self.is_in_place = true;
        self.folder.sync()
    }
}

/// The file of this name, locked; `None` if it is not a draft of this user.
fn claim(folder: &Folder, name: &OsString) -> io::Result<Option<File>> {
    loop {
        let Some(file) = folder.open_or_make(name, MODE)? else { return Ok(None) };
        let ours = file.metadata()?;
        if ours.nlink() > 1 || ours.uid() != rustix::process::geteuid().as_raw() {
            return Ok(None);
        }
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let message = "another backup is being made there";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
            }
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => {}
        }
        // Its holder may have renamed it before releasing the lock: then it is no longer a draft.
        if folder.holds(name, &file)? {
            return Ok(Some(file));
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Its name may be another one's when it was put in its place.
        if !self.is_in_place {
            self.folder.remove(&self.draft, &self.file);
        }
    }
}
