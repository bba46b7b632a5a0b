//! The operating system's files with a hook before each call that changes something: to fail, to wait, to be predictable.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use logkv::fs::{
    Access, Directory, File, FileSystem, LockOutcome, Mapping, OsFileSystem, PathKind, StoreFile,
};

/// A call that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Write,
    Truncate,
    Sync(StoreFile),
    SyncDirectory,
    Rename,
    Remove,
}

/// What a test does to the calls.
pub(crate) trait Hook: Send + Sync + fmt::Debug + 'static {
    /// Called first; an error is the call's outcome.
    fn before(&self, _call: Call) -> io::Result<()> {
        Ok(())
    }

    /// How many of `len` bytes a write takes.
    fn take(&self, len: usize) -> usize {
        len
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        OsFileSystem.random(bytes)
    }
}

/// Random numbers that are the same in every run: golden files need them.
#[derive(Debug, Default)]
pub(crate) struct SteadyRandom(AtomicU8);

impl Hook for SteadyRandom {
    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            *byte = self.0.fetch_add(0x11, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Hooked<H>(pub(crate) Arc<H>);

/// The file system with `hook` in it.
pub(crate) fn hooked<H: Hook>(hook: H) -> Arc<Hooked<H>> {
    Arc::new(Hooked(Arc::new(hook)))
}

impl<H: Hook> FileSystem for Hooked<H> {
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        OsFileSystem.kind(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        OsFileSystem.create_directory(path)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.0.random(bytes)
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(HookedDirectory { inner: OsFileSystem.open_directory(path)?, hook: Arc::clone(&self.0) }))
    }
}

#[derive(Debug)]
struct HookedDirectory<H> {
    inner: Arc<dyn Directory>,
    hook: Arc<H>,
}

impl<H: Hook> Directory for HookedDirectory<H> {
    fn names(&self) -> io::Result<Vec<OsString>> {
        self.inner.names()
    }

    fn open(&self, name: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        if access == Access::Create {
            self.hook.before(Call::Create)?;
        }
        Ok(Arc::new(HookedFile { inner: self.inner.open(name, access)?, name, hook: Arc::clone(&self.hook) }))
    }

    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()> {
        self.hook.before(Call::Rename)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, file: StoreFile) -> io::Result<()> {
        self.hook.before(Call::Remove)?;
        self.inner.remove(file)
    }

    fn sync(&self) -> io::Result<()> {
        self.hook.before(Call::SyncDirectory)?;
        self.inner.sync()
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        self.inner.lock()
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.inner.path(file)
    }
}

#[derive(Debug)]
struct HookedFile<H> {
    inner: Arc<dyn File>,
    name: StoreFile,
    hook: Arc<H>,
}

impl<H: Hook> File for HookedFile<H> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.hook.before(Call::Write)?;
        self.inner.write_at(&bytes[..self.hook.take(bytes.len())], at)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.hook.before(Call::Truncate)?;
        self.inner.truncate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.hook.before(Call::Sync(self.name))?;
        self.inner.sync()
    }

    fn drop_cache(&self) {
        self.inner.drop_cache();
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.inner.map(len)
    }
}
