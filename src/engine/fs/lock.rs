//! The writer's lock, on the directory and on the file LOCK in it.
//!
//! The lock on the directory remains if LOCK is deleted. LOCK names the holder. The lock on LOCK
//! keeps out earlier versions, which lock nothing else, and it is the only lock on file systems
//! that cannot lock directories, such as NFS.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process;

use super::handle::has_name;
use super::names::StoreFile;
use super::traits::Lock;

/// The result of locking a file.
pub(super) enum Flock {
    Held,
    HeldByAnother,
}

impl Flock {
    /// Locks `file` with `flock`. Unlike a POSIX lock, it excludes other opens of the file in this
    /// process, too.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub(super) fn take(file: &File) -> io::Result<Self> {
        match file.try_lock() {
            Ok(()) => Ok(Self::Held),
            Err(TryLockError::WouldBlock) => Ok(Self::HeldByAnother),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Locks `directory`, if the file system supports it.
    pub(super) fn take_directory(directory: &File) -> Self {
        Self::take(directory).unwrap_or_else(|error| {
            tracing::debug!(%error, "the directory itself cannot be locked: LOCK alone keeps others out");
            Self::Held
        })
    }
}

/// Returns the process ID in LOCK.
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
    /// Its absolute path at the time of opening.
    path: PathBuf,
    /// LOCK.
    file: File,
    /// The process that took the lock. A forked child shares the lock and must not release it.
    process: u32,
    /// Whether LOCK holds the process ID.
    names_holder: bool,
}

impl OsLock {
    /// Returns the lock on `directory`, at `path`, and on its `file` LOCK. Both are locked.
    pub(super) fn new(directory: File, path: PathBuf, file: File) -> Self {
        Self { directory, path, file, process: process::id(), names_holder: false }
    }

    /// Writes the process ID into LOCK. It is only for messages, so a full disk is not an error.
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
        // The new path of a renamed directory is unknown. It stays locked.
        let is_replaced =
            self.path.metadata().is_ok_and(|found| (found.dev(), found.ino()) != (held.dev(), held.ino()));
        Ok(is_replaced.then(|| "another directory has replaced the one that was opened".to_owned()))
    }
}

impl Drop for OsLock {
    fn drop(&mut self) {
        if process::id() != self.process {
            return;
        }
        // LOCK of a closed store is empty. A failure to empty it is harmless.
        if self.names_holder {
            let _ = self.file.set_len(0);
        }
        // A forked child that has not reached `exec` shares these open files. If they were only
        // closed here, the child would keep the lock.
        for file in [&self.file, &self.directory] {
            let _ = file.unlock();
        }
    }
}
