//! The real file system with a hook around each call that changes something. A hook can make calls
//! fail, wait, or behave predictably.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use logkv::fs::{
    Access, Directory, File, FileSystem, LockOutcome, Mapping, OsFileSystem, Parent, PathKind, Room,
    StoreFile,
};

/// A call that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create(StoreFile),
    Write(StoreFile),
    Truncate,
    Sync(StoreFile),
    SyncDirectory,
    Rename(StoreFile, StoreFile),
    Remove(StoreFile),
    /// Links a file of another directory.
    Link(StoreFile),
    RenameDirectory,
}

/// The test's influence on the calls.
pub(crate) trait Hook: Send + Sync + fmt::Debug + 'static {
    /// Runs before each call that takes a name, including calls that change nothing.
    fn step(&self) {}

    /// Runs before the call. An error replaces the call.
    fn before(&self, _call: Call) -> io::Result<()> {
        Ok(())
    }

    /// Runs after the call. An error replaces the result.
    fn after(&self, _call: Call) -> io::Result<()> {
        Ok(())
    }

    /// Runs before `file` is opened for reading.
    fn opens(&self, _file: StoreFile) {}

    /// Runs before bytes of `file` are read. An error replaces the read.
    fn read(&self, _file: StoreFile, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    /// Whether syncs reach the disk. Thousands of syncs take a minute and matter only in a power
    /// cut.
    fn syncs(&self) -> bool {
        true
    }

    /// The number of bytes that a write of `len` bytes accepts.
    fn take(&self, len: usize) -> usize {
        len
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        OsFileSystem.random(bytes)
    }
}

/// Random numbers that are the same in every run, for golden files.
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

/// Syncs that return at once and make nothing durable.
#[derive(Debug)]
pub(crate) struct FreeSyncs;

impl Hook for FreeSyncs {
    fn syncs(&self) -> bool {
        false
    }
}

/// A disk on which some bytes of a file are unreadable.
#[derive(Debug)]
pub(crate) struct BadSectors {
    pub(crate) file: StoreFile,
    pub(crate) range: Range<u64>,
}

impl Hook for BadSectors {
    fn read(&self, file: StoreFile, range: Range<u64>) -> io::Result<()> {
        let is_hit = file == self.file && range.start < self.range.end && self.range.start < range.end;
        if is_hit { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    }
}

/// Blocks syncs of segments while it is shut.
#[derive(Debug, Default)]
pub(crate) struct SyncGate {
    is_shut: Mutex<bool>,
    opened: Condvar,
    /// The number of syncs that have started.
    arrivals: AtomicU64,
    fails_syncs: AtomicBool,
}

impl SyncGate {
    pub(crate) fn set_shut(&self, is_shut: bool) {
        *self.is_shut.lock().expect("no panic") = is_shut;
        self.opened.notify_all();
    }

    /// Makes all later syncs fail.
    pub(crate) fn fail_syncs(&self) {
        self.fails_syncs.store(true, Ordering::SeqCst);
    }

    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::SeqCst)
    }

    /// Blocks until the gate is open.
    pub(crate) fn wait_for_opening(&self) -> io::Result<()> {
        self.arrivals.fetch_add(1, Ordering::SeqCst);
        let guard = self.is_shut.lock().expect("no panic");
        drop(self.opened.wait_while(guard, |is_shut| *is_shut).expect("no panic"));
        if self.fails_syncs.load(Ordering::SeqCst) {
            Err(io::Error::other("the disk is gone"))
        } else {
            Ok(())
        }
    }
}

impl Hook for SyncGate {
    fn before(&self, call: Call) -> io::Result<()> {
        match call {
            Call::Sync(StoreFile::Segment(_)) => self.wait_for_opening(),
            _ => Ok(()),
        }
    }
}

/// Runs a call between the hook's `before` and `after`.
fn around<H: Hook, T>(hook: &H, call: Call, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    hook.before(call)?;
    let done = act()?;
    hook.after(call)?;
    Ok(done)
}

fn sync<H: Hook>(hook: &H, call: Call, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    around(hook, call, || if hook.syncs() { act() } else { Ok(()) })
}

#[derive(Debug)]
pub(crate) struct Hooked<H>(pub(crate) Arc<H>);

/// The real file system with `hook` around its calls.
pub(crate) fn hooked<H: Hook>(hook: H) -> Arc<Hooked<H>> {
    Arc::new(Hooked(Arc::new(hook)))
}

impl<H: Hook> FileSystem for Hooked<H> {
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        self.0.step();
        OsFileSystem.kind(path)
    }

    fn create_directory(&self, path: &Path, trusts_all: bool) -> io::Result<Arc<dyn Directory>> {
        self.0.step();
        Ok(self.directory(OsFileSystem.create_directory(path, trusts_all)?))
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.0.step();
        self.0.random(bytes)
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        self.0.step();
        Ok(self.directory(OsFileSystem.open_directory(path)?))
    }

    fn open_trusted_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        self.0.step();
        Ok(self.directory(OsFileSystem.open_trusted_directory(path)?))
    }

    fn parent(&self, path: &Path) -> io::Result<Arc<dyn Parent>> {
        self.0.step();
        let inner = OsFileSystem.parent(path)?;
        Ok(Arc::new(HookedParent { inner, file_system: Self(Arc::clone(&self.0)) }))
    }

    fn chosen_path(&self, path: &Path) -> io::Result<PathBuf> {
        OsFileSystem.chosen_path(path)
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        self.0.step();
        OsFileSystem.real_path(path)
    }
}

impl<H: Hook> Hooked<H> {
    fn directory(&self, inner: Arc<dyn Directory>) -> Arc<dyn Directory> {
        Arc::new(HookedDirectory { inner, hook: Arc::clone(&self.0) })
    }
}

#[derive(Debug)]
struct HookedParent<H> {
    inner: Arc<dyn Parent>,
    file_system: Hooked<H>,
}

impl<H: Hook> Parent for HookedParent<H> {
    fn kind(&self, name: &OsStr) -> io::Result<PathKind> {
        self.file_system.0.step();
        self.inner.kind(name)
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        self.file_system.0.step();
        self.inner.names()
    }

    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>> {
        self.file_system.0.step();
        Ok(self.file_system.directory(self.inner.create(name)?))
    }

    fn open(&self, name: &OsStr, trusts_all: bool) -> io::Result<Arc<dyn Directory>> {
        self.file_system.0.step();
        Ok(self.file_system.directory(self.inner.open(name, trusts_all)?))
    }

    fn rename(&self, directory: &dyn Directory, names: [&OsStr; 2]) -> io::Result<()> {
        self.file_system.0.step();
        let rename = || self.inner.rename(directory, names);
        around(&*self.file_system.0, Call::RenameDirectory, rename)
    }

    fn exchange(&self, directories: [&dyn Directory; 2], names: [&OsStr; 2]) -> io::Result<()> {
        self.file_system.0.step();
        self.inner.exchange(directories, names)
    }

    fn remove(&self, directory: &dyn Directory, name: &OsStr) -> io::Result<()> {
        self.file_system.0.step();
        self.inner.remove(directory, name)
    }

    fn sync(&self) -> io::Result<()> {
        self.file_system.0.step();
        self.inner.sync()
    }
}

#[derive(Debug)]
struct HookedDirectory<H> {
    inner: Arc<dyn Directory>,
    hook: Arc<H>,
}

impl<H: Hook> Directory for HookedDirectory<H> {
    fn distrust(&self) -> io::Result<Option<String>> {
        self.hook.step();
        self.inner.distrust()
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        self.hook.step();
        self.inner.names()
    }

    fn open(&self, name: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        self.hook.step();
        let open = || self.inner.open(name, access);
        if access == Access::Read {
            self.hook.opens(name);
        }
        let inner = if access.is_new() { around(&*self.hook, Call::Create(name), open)? } else { open()? };
        Ok(Arc::new(HookedFile { inner, name, hook: Arc::clone(&self.hook) }))
    }

    fn link(&self, from: &dyn Directory, file: StoreFile) -> io::Result<()> {
        self.hook.step();
        around(&*self.hook, Call::Link(file), || self.inner.link(from, file))
    }

    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()> {
        self.hook.step();
        around(&*self.hook, Call::Rename(from, to), || self.inner.rename(from, to))
    }

    fn remove(&self, file: StoreFile) -> io::Result<()> {
        self.hook.step();
        around(&*self.hook, Call::Remove(file), || self.inner.remove(file))
    }

    fn sync(&self) -> io::Result<()> {
        self.hook.step();
        sync(&*self.hook, Call::SyncDirectory, || self.inner.sync())
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        self.hook.step();
        self.inner.lock()
    }

    fn is_in_place(&self) -> io::Result<bool> {
        self.inner.is_in_place()
    }

    fn lock_if_there(&self) -> io::Result<Option<LockOutcome>> {
        self.hook.step();
        self.inner.lock_if_there()
    }

    fn room(&self) -> Option<Room> {
        self.inner.room()
    }

    fn handle(&self) -> Option<BorrowedFd<'_>> {
        // The caller is in the middle of a call on the parent directory.
        self.hook.step();
        self.inner.handle()
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

    fn identity(&self) -> io::Result<Option<(u64, u64)>> {
        self.inner.identity()
    }

    fn next_data(&self, at: u64) -> u64 {
        self.inner.next_data(at)
    }

    fn next_hole(&self, at: u64) -> u64 {
        self.inner.next_hole(at)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.hook.read(self.name, at..at + buffer.len() as u64)?;
        self.inner.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        around(&*self.hook, Call::Write(self.name), || {
            self.inner.write_at(&bytes[..self.hook.take(bytes.len())], at)
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        around(&*self.hook, Call::Truncate, || self.inner.truncate(len))
    }

    fn sync(&self) -> io::Result<()> {
        sync(&*self.hook, Call::Sync(self.name), || self.inner.sync())
    }

    fn drop_cache(&self) {
        self.inner.drop_cache();
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.inner.map(len)
    }
}
