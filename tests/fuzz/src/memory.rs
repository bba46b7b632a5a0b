//! A directory in memory: quickly made of files, and quickly compared with what they were.

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

/// The files of a directory, in the order of their names.
pub type Image = Vec<(StoreFile, Vec<u8>)>;

/// The bytes of one file of an image.
#[must_use]
pub fn file(image: &Image, name: StoreFile) -> Option<&Vec<u8>> {
    image.iter().find(|(known, _)| *known == name).map(|(_, bytes)| bytes)
}

/// The bytes of one file of an image, which is there.
///
/// # Panics
/// When it is not there.
pub fn file_mut(image: &mut Image, name: StoreFile) -> &mut Vec<u8> {
    let found = image.iter_mut().find(|(known, _)| *known == name);
    found.map(|(_, bytes)| bytes).unwrap_or_else(|| panic!("{name} is there"))
}

type Bytes = Arc<Mutex<Vec<u8>>>;

/// A directory that holds a store. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    files: Mutex<HashMap<StoreFile, Bytes>>,
    is_locked: AtomicBool,
    /// Calls that changed a file or a name.
    change_count: AtomicU64,
    /// The next of the "random" bytes: they are the same in every run, so that an input means the same to each.
    random: AtomicU8,
}

impl Memory {
    /// A directory with these files.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let memory = Self::default();
        let files = image.iter().map(|(name, bytes)| (*name, Arc::new(Mutex::new(bytes.clone()))));
        memory.files().extend(files);
        memory
    }

    /// Its files as they are now, but for the lock.
    #[must_use]
    pub fn image(&self) -> Image {
        let files = self.files();
        let known = files.iter().filter(|(name, _)| **name != StoreFile::Lock);
        let mut image: Image = known.map(|(name, bytes)| (*name, lock(bytes).clone())).collect();
        image.sort_by_key(|(name, _)| name.to_string());
        image
    }

    /// How many calls changed something so far.
    #[must_use]
    pub fn change_count(&self) -> u64 {
        self.0.change_count.load(Ordering::SeqCst)
    }

    fn files(&self) -> MutexGuard<'_, HashMap<StoreFile, Bytes>> {
        lock(&self.0.files)
    }

    fn note_change(&self) {
        self.0.change_count.fetch_add(1, Ordering::SeqCst);
    }
}

/// A panic of the engine is told by itself, and its store is dropped after that.
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
                self.note_change();
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
        self.note_change();
        Ok(())
    }

    fn remove(&self, name: StoreFile) -> io::Result<()> {
        self.files().remove(&name).ok_or(io::ErrorKind::NotFound)?;
        self.note_change();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        if self.0.is_locked.swap(true, Ordering::SeqCst) {
            return Ok(LockOutcome::HeldBy { pid: None });
        }
        self.note_change();
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
        // There is no file LOCK here, and no other directory.
        Ok(None)
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.0.is_locked.store(false, Ordering::SeqCst);
    }
}

/// Stays the same file when its name goes to another one, or away.
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
        self.memory.note_change();
        Ok(from.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        lock(&self.bytes).resize(len as usize, 0);
        self.memory.note_change();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let has_name = self.memory.files().values().any(|bytes| Arc::ptr_eq(bytes, &self.bytes));
        if has_name { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn drop_cache(&self) {}

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        // A mapping has to show what is written later, and this one is of a copy.
        if self.access == Access::Read { map_copy(&lock(&self.bytes), len).map(Some) } else { Ok(None) }
    }
}

/// Where Linux has a file system in memory: files that live for a moment need no disk.
const IN_MEMORY: &str = "/dev/shm";

/// Where mappings are made: they are always ones of real files, which are unlinked at once.
struct Mapped {
    directory: Arc<dyn Directory>,
    /// Removes the directory at the end.
    _dir: TempDir,
}

thread_local! {
    static MAPPED: Mapped = {
        let dir = tempfile::tempdir_in(IN_MEMORY).or_else(|_| tempfile::tempdir()).expect("a temporary directory");
        Mapped { directory: OsFileSystem.open_directory(dir.path()).expect("it was just made"), _dir: dir }
    };
}

fn map_copy(bytes: &[u8], len: u64) -> io::Result<Mapping> {
    const NAME: StoreFile = StoreFile::Segment(SegmentId(1));
    MAPPED.with(|Mapped { directory, .. }| {
        let file = directory.open(NAME, Access::Create)?;
        let written = file.write_at(bytes, 0);
        directory.remove(NAME)?;
        // One write takes it all: it is far smaller than what a file system takes at once.
        assert_eq!(written?, bytes.len());
        file.map(len)?.ok_or(io::ErrorKind::Unsupported.into())
    })
}
