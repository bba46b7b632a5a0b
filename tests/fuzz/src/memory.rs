//! A directory in memory, which is fast to create and to compare.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logkv::SegmentId;
use logkv::fs::{
    Access, Directory, File, FileSystem, Lock, LockOutcome, Mapping, OsFileSystem, PathKind, StoreFile,
};
use tempfile::TempDir;

/// The files of a directory, sorted by name.
pub type Image = Vec<(StoreFile, Vec<u8>)>;

/// Returns the bytes of a file.
#[must_use]
pub fn file(image: &Image, name: StoreFile) -> Option<&Vec<u8>> {
    image.iter().find(|(known, _)| *known == name).map(|(_, bytes)| bytes)
}

/// Returns the bytes of a file.
///
/// # Panics
/// If the file is missing.
pub fn file_mut(image: &mut Image, name: StoreFile) -> &mut Vec<u8> {
    let found = image.iter_mut().find(|(known, _)| *known == name);
    found.map(|(_, bytes)| bytes).unwrap_or_else(|| panic!("{name} is missing"))
}

type Bytes = Arc<Mutex<Vec<u8>>>;

/// A directory that holds a store. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    files: Mutex<HashMap<StoreFile, Bytes>>,
    is_locked: AtomicBool,
    /// The count of calls that changed a file or a name.
    change_count: AtomicU64,
    /// The next "random" byte. The bytes are the same in every run, so that inputs are
    /// reproducible.
    random: AtomicU8,
}

impl Memory {
    /// Creates a directory with the files of `image`.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let memory = Self::default();
        let files = image.iter().map(|(name, bytes)| (*name, Arc::new(Mutex::new(bytes.clone()))));
        memory.files().extend(files);
        memory
    }

    /// Returns the current files without LOCK.
    #[must_use]
    pub fn image(&self) -> Image {
        let files = self.files();
        let known = files.iter().filter(|(name, _)| **name != StoreFile::Lock);
        let mut image: Image = known.map(|(name, bytes)| (*name, lock(bytes).clone())).collect();
        image.sort_by_key(|(name, _)| name.to_string());
        image
    }

    /// Returns the count of calls that changed a file or a name.
    #[must_use]
    pub fn change_count(&self) -> u64 {
        self.0.change_count.load(Ordering::SeqCst)
    }

    fn files(&self) -> MutexGuard<'_, HashMap<StoreFile, Bytes>> {
        lock(&self.0.files)
    }

    fn count_change(&self) {
        self.0.change_count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Locks `mutex`, even after a panic: the store is dropped during unwinding.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FileSystem for Memory {
    fn kind(&self, _path: &Path) -> io::Result<PathKind> {
        Ok(PathKind::Directory)
    }

    fn create_directory(&self, _path: &Path, _trusts_all: bool) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(self.clone()))
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            *byte = self.0.random.fetch_add(0x1d, Ordering::Relaxed);
        }
        Ok(())
    }

    fn open_directory(&self, _path: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(self.clone()))
    }
}

impl Directory for Memory {
    fn distrust(&self) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        Ok(self.files().keys().map(|name| name.to_string().into()).collect())
    }

    fn open(&self, name: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        let mut files = self.files();
        let bytes = match (files.get(&name), access) {
            (Some(_), Access::Create | Access::Replace(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, Access::Create | Access::Replace(_)) => {
                self.count_change();
                Arc::clone(files.entry(name).or_default())
            }
            (found, Access::Read | Access::Write) => Arc::clone(found.ok_or(io::ErrorKind::NotFound)?),
        };
        Ok(Arc::new(MemoryFile { memory: self.clone(), bytes, access }))
    }

    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()> {
        let mut files = self.files();
        let bytes = files.remove(&from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to, bytes);
        self.count_change();
        Ok(())
    }

    fn remove(&self, name: StoreFile) -> io::Result<()> {
        self.files().remove(&name).ok_or(io::ErrorKind::NotFound)?;
        self.count_change();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        if self.0.is_locked.swap(true, Ordering::SeqCst) {
            return Ok(LockOutcome::HeldBy { pid: None });
        }
        self.count_change();
        Ok(LockOutcome::Held(Box::new(MemoryLock(self.clone()))))
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        Path::new("memory").join(file.to_string())
    }
}

#[derive(Debug)]
struct MemoryLock(Memory);

impl Lock for MemoryLock {
    fn lost(&self) -> io::Result<Option<String>> {
        // No other process can replace LOCK in memory.
        Ok(None)
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.0.is_locked.store(false, Ordering::SeqCst);
    }
}

/// An open file. It stays valid if it is renamed or removed.
#[derive(Debug)]
struct MemoryFile {
    memory: Memory,
    bytes: Bytes,
    access: Access,
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.bytes).len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let bytes = lock(&self.bytes);
        let rest = bytes.get(at as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, from: &[u8], at: u64) -> io::Result<usize> {
        let mut bytes = lock(&self.bytes);
        let (at, end) = (at as usize, at as usize + from.len());
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[at..end].copy_from_slice(from);
        self.memory.count_change();
        Ok(from.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        lock(&self.bytes).resize(len as usize, 0);
        self.memory.count_change();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let has_name = self.memory.files().values().any(|bytes| Arc::ptr_eq(bytes, &self.bytes));
        if has_name { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn drop_cache(&self) {}

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        // A mapping must show later writes, and this one maps a copy.
        if self.access == Access::Read { map_copy(&lock(&self.bytes), len).map(Some) } else { Ok(None) }
    }
}

/// The file system in memory of Linux. Short-lived files need no disk.
const IN_MEMORY: &str = "/dev/shm";

/// The directory of mapped files. A mapping needs a real file, which is unlinked at once.
struct Mapped {
    directory: Arc<dyn Directory>,
    /// Removes the directory when it is dropped.
    _dir: TempDir,
}

thread_local! {
    static MAPPED: Mapped = {
        let dir = tempfile::tempdir_in(IN_MEMORY).or_else(|_| tempfile::tempdir());
        let dir = dir.expect("a temporary directory");
        let directory = OsFileSystem.open_directory(dir.path()).expect("the new directory opens");
        Mapped { directory, _dir: dir }
    };
}

fn map_copy(bytes: &[u8], len: u64) -> io::Result<Mapping> {
    const NAME: StoreFile = StoreFile::Segment(SegmentId(1));
    MAPPED.with(|Mapped { directory, .. }| {
        let file = directory.open(NAME, Access::Create)?;
        let written = file.write_at(bytes, 0);
        directory.remove(NAME)?;
        // The file is small enough for one write.
        assert_eq!(written?, bytes.len());
        file.map(len)?.ok_or(io::ErrorKind::Unsupported.into())
    })
}
