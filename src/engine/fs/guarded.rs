//! A directory that is changed only while its lock is held.

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::names::StoreFile;
use super::traits::{Access, Directory, File, Lock, LockOutcome, Room};
use super::watch::Watch;
use crate::engine::base::sync::{LockRank, Mutex, OnceLock};

/// The right to change a directory. It ends when the lock is released or lost.
#[derive(Debug)]
pub(crate) struct Exclusion {
    /// `None` after its release.
    lock: Mutex<Option<Box<dyn Lock>>>,
    /// Why the lock was lost. A lost lock is never trusted again: another writer may have changed
    /// the directory in between.
    lost: OnceLock<String>,
}

impl Exclusion {
    /// Returns the right that `lock` gives.
    pub(crate) fn new(lock: Box<dyn Lock>) -> Arc<Self> {
        Arc::new(Self { lock: Mutex::new(LockRank::Leaf, Some(lock)), lost: OnceLock::new() })
    }

    /// Checks that the directory may be changed.
    ///
    /// # Errors
    /// If the lock was released or lost; errors of the operating system.
    pub(crate) fn check(&self) -> io::Result<()> {
        let lock = self.lock.lock();
        match &*lock {
            None => return Err(io::Error::other("the store is closed")),
            Some(_) if self.lost.get().is_some() => {}
            Some(lock) => {
                if let Some(reason) = lock.lost()? {
                    tracing::error!(%reason, "the store takes no more writes");
                    self.lost.get_or_init(|| reason);
                }
            }
        }
        let advice = |reason| io::Error::other(format!("{reason}; close the store, and open it again"));
        self.lost.get().map_or(Ok(()), |reason| Err(advice(reason)))
    }

    /// Returns why the lock was lost, if a check has found that.
    pub(crate) fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Releases the lock. Later changes of the directory are refused.
    pub(crate) fn release(&self) {
        *self.lock.lock() = None;
    }
}

/// A directory that checks its lock before a file is created, opened for writing, renamed or
/// removed.
#[derive(Debug)]
pub(crate) struct Guarded {
    inner: Arc<dyn Directory>,
    exclusion: Arc<Exclusion>,
}

impl Guarded {
    /// Returns `inner`, guarded by `exclusion`.
    pub(crate) fn of(inner: &Arc<dyn Directory>, exclusion: &Arc<Exclusion>) -> Arc<dyn Directory> {
        Arc::new(Self { inner: Arc::clone(inner), exclusion: Arc::clone(exclusion) })
    }
}

impl Directory for Guarded {
    fn distrust(&self) -> io::Result<Option<String>> {
        self.inner.distrust()
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        self.inner.names()
    }

    fn open(&self, file: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        if access != Access::Read {
            self.exclusion.check()?;
        }
        self.inner.open(file, access)
    }

    fn link(&self, from: &dyn Directory, file: StoreFile) -> io::Result<()> {
        self.exclusion.check()?;
        self.inner.link(from, file)
    }

    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()> {
        self.exclusion.check()?;
        self.inner.rename(from, to)
    }

    fn remove(&self, file: StoreFile) -> io::Result<()> {
        self.exclusion.check()?;
        self.inner.remove(file)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        self.inner.lock()
    }

    fn lock_if_there(&self) -> io::Result<Option<LockOutcome>> {
        self.inner.lock_if_there()
    }

    fn watch(&self) -> io::Result<Box<dyn Watch>> {
        self.inner.watch()
    }

    fn is_in_place(&self) -> io::Result<bool> {
        self.inner.is_in_place()
    }

    fn handle(&self) -> Option<BorrowedFd<'_>> {
        self.inner.handle()
    }

    fn room(&self) -> Option<Room> {
        self.inner.room()
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.inner.path(file)
    }
}
