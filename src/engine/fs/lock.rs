//! The writer's lock: on the directory itself, and on the file LOCK in it.
//!
//! The lock on the directory lasts as long as it is held, whatever becomes of LOCK. LOCK names the holder, keeps out earlier
//! versions, which lock nothing else, and is all there is where directories cannot be locked, as on NFS.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process;

use super::file::has_name;
use super::{Lock, StoreFile};
use crate::engine::plant::{Plant, planted};

/// What came of locking a file.
pub(super) enum Flock {
    Held,
    HeldByAnother,
}

impl Flock {
    /// Locks `file` with `flock`, which another open of it is refused, in this very process, too. A POSIX lock is not.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn take(file: &File) -> io::Result<Self> {
        match file.try_lock() {
            _ if planted(Plant::LockNotTaken) => Ok(Self::Held),
            Ok(()) => Ok(Self::Held),
            Err(TryLockError::WouldBlock) => Ok(Self::HeldByAnother),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Locks `directory`, where the file system can do that.
    pub(super) fn take_directory(directory: &File) -> Self {
        if planted(Plant::DirectoryNotLocked) {
            return Self::Held;
        }
        Self::take(directory).unwrap_or_else(|error| {
            tracing::debug!(%error, "the directory itself cannot be locked: LOCK alone keeps others out");
            Self::Held
        })
    }
}

/// The process that has locked `lock`, as it says itself.
pub(super) fn holder(lock: File) -> Option<u32> {
    let mut text = String::new();
    let _ = lock.take(32).read_to_string(&mut text);
    text.trim().parse().ok()
}

/// The lock of a directory.
#[derive(Debug)]
pub(super) struct OsLock {
    /// The directory, opened for this lock alone.
    directory: File,
    /// Its path when it was opened, made absolute.
    path: PathBuf,
    /// LOCK.
    file: File,
    /// A forked child shares the lock, and must not let it go.
    process: u32,
    /// Whether LOCK holds the pid.
    names_holder: bool,
}

impl OsLock {
    /// The lock on `directory`, at `path`, and its `file` LOCK, both of which are locked.
    pub(super) fn new(directory: File, path: PathBuf, file: File) -> Self {
        Self { directory, path, file, process: process::id(), names_holder: false }
    }

    /// Writes the pid into LOCK: a courtesy for the message of the next one, and not worth failing for on a full disk.
    pub(super) fn name_holder(&mut self) {
        self.names_holder = true;
        let _ = self.file.set_len(0).and_then(|()| writeln!(self.file, "{}", self.process));
    }
}

impl Lock for OsLock {
    fn lost(&self) -> io::Result<Option<String>> {
        let held = self.directory.metadata()?;
        if !has_name(&self.directory, StoreFile::Lock, &self.file)? {
            let reason = match held.nlink() {
                0 => "its directory was removed",
                _ => "LOCK was removed or replaced, and another process may be writing there",
            };
            return Ok(Some(reason.to_owned()));
        }
        // A directory that was only renamed has no path that is known here. It stays locked.
        let is_replaced =
            self.path.metadata().is_ok_and(|found| (found.dev(), found.ino()) != (held.dev(), held.ino()));
        Ok(is_replaced.then(|| "another directory has taken the place of the one that was opened".to_owned()))
    }
}

impl Drop for OsLock {
    fn drop(&mut self) {
        if process::id() != self.process {
            return;
        }
        // A closed store looks the same whoever had it open. Failing to clear the pid harms nobody.
        if self.names_holder {
            let _ = self.file.set_len(0);
        }
        // A child forked a moment ago, and not yet at its `exec`, has these files open too: closing alone would leave
        // the lock with it.
        for file in [&self.file, &self.directory] {
            let _ = file.unlock();
        }
    }
}
