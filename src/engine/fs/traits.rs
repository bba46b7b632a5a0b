//! The traits of file systems, directories and files, through which the engine does all its I/O.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mmap::Mapping;
use super::names::StoreFile;
use super::watch::{Unwatched, Watch};

/// A file system.
pub trait FileSystem: Send + Sync + fmt::Debug {
    /// Returns the kind of file at `path`.
    ///
    /// # Errors
    /// Errors of the operating system, except "not found", which is [`PathKind::Missing`].
    fn kind(&self, path: &Path) -> io::Result<PathKind>;

    /// Creates and opens the directory `path`, and creates its missing parents, with access for the
    /// owner alone. They are durable on return. `trusts_all` as in
    /// [`FileSystem::open_trusted_directory`].
    ///
    /// # Errors
    /// Errors of the operating system.
    fn create_directory(&self, path: &Path, trusts_all: bool) -> io::Result<Arc<dyn Directory>>;

    /// Fills `bytes` with random bytes, for the identity of a store or the salt of a segment.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;

    /// Opens the existing directory `path`.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>>;

    /// Opens the existing directory `path` for a caller that trusts all its files, whoever owns
    /// them or may write to them.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn open_trusted_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        self.open_directory(path)
    }

    /// Opens the parent directory of `path`, in which directories are created, renamed and removed.
    /// Missing parents are created.
    ///
    /// # Errors
    /// Errors of the operating system; `Unsupported` if the file system cannot do this.
    fn parent(&self, path: &Path) -> io::Result<Arc<dyn Parent>> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Follows the links at the end of `path`. Each must belong to this user or root, so that no
    /// other user chooses where files are written.
    ///
    /// # Errors
    /// Errors of the operating system; `PermissionDenied` for a link of another user.
    fn chosen_path(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    /// Returns the absolute path without links. Names that do not exist stay at its end.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
}

/// The kind of file at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// No file.
    Missing,
    /// A directory.
    Directory,
    /// Another kind of file, in words.
    Other(&'static str),
}

/// An open directory in which directories of stores are created, renamed and removed. It stays the
/// same directory when names above it change. All names are names of its entries, and symbolic
/// links are not followed. A directory to rename or remove is passed open: the call fails if its
/// name leads to another file.
pub trait Parent: Send + Sync + fmt::Debug {
    /// Returns the kind of the file `name`.
    ///
    /// # Errors
    /// Errors of the operating system, except "not found", which is [`PathKind::Missing`].
    fn kind(&self, name: &OsStr) -> io::Result<PathKind>;

    /// Returns the names in the directory, in any order.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn names(&self) -> io::Result<Vec<OsString>>;

    /// Creates and opens the new directory `name`, with access for the owner alone. It is durable
    /// on return.
    ///
    /// # Errors
    /// Errors of the operating system; `AlreadyExists` if the name is taken.
    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>>;

    /// Opens the directory `name`. `trusts_all` as in [`FileSystem::open_trusted_directory`].
    ///
    /// # Errors
    /// Errors of the operating system.
    fn open(&self, name: &OsStr, trusts_all: bool) -> io::Result<Arc<dyn Directory>>;

    /// Renames `directory` from the first name to the second, which is free. Atomic.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn rename(&self, directory: &dyn Directory, names: [&OsStr; 2]) -> io::Result<()>;

    /// Exchanges the names of an old and a new directory. Atomic. The new directory and its files
    /// first get the owner and mode of the old ones.
    ///
    /// # Errors
    /// Errors of the operating system; `Unsupported` if the file system cannot exchange names.
    fn exchange(&self, directories: [&dyn Directory; 2], names: [&OsStr; 2]) -> io::Result<()>;

    /// Removes the empty `directory`, whose name is `name`.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn remove(&self, directory: &dyn Directory, name: &OsStr) -> io::Result<()>;

    /// Makes all earlier changes of names durable.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn sync(&self) -> io::Result<()>;
}

/// The open directory of a store. Files are named only by [`StoreFile`], never by text from disk.
/// It stays the same directory when it is renamed or when the process changes its working
/// directory. When another directory takes its path, its lock is lost.
pub trait Directory: Send + Sync + fmt::Debug {
    /// Returns why the directory is not trusted: another user owns it, or everybody may write to
    /// it. `None` if it is trusted.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn distrust(&self) -> io::Result<Option<String>>;

    /// Returns the names in the directory, in any order.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn names(&self) -> io::Result<Vec<OsString>>;

    /// Opens a regular file. Refuses symbolic links, FIFOs and devices, and for writing also files
    /// with hard links. Unless all files are trusted, also refuses a file that is trusted less than
    /// the directory: one that belongs neither to the owner of the directory nor to this user or
    /// root, or one that everybody may write to in a directory that not everybody may write to.
    ///
    /// # Errors
    /// Errors of the operating system; `InvalidInput` if it is not a regular file, or is opened for
    /// writing and has hard links; `PermissionDenied` if it is not trusted.
    fn open(&self, file: StoreFile, access: Access) -> io::Result<Arc<dyn File>>;

    /// Links `file` of the directory `from`, on the same file system, under the same name here,
    /// which must be free. The file must not be written to any more.
    ///
    /// # Errors
    /// Errors of the operating system; `Unsupported` if the file system has no hard links.
    fn link(&self, from: &dyn Directory, file: StoreFile) -> io::Result<()> {
        let _ = (from, file);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Renames `from` to `to`, and replaces the file that had that name.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()>;

    /// Removes the name `file`.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn remove(&self, file: StoreFile) -> io::Result<()>;

    /// Makes all earlier changes of names durable.
    ///
    /// # Errors
    /// Errors of the operating system; `NotFound` if the directory itself was removed.
    fn sync(&self) -> io::Result<()>;

    /// Takes the writer's lock, on the directory and on LOCK, until the result is dropped. Returns
    /// [`LockOutcome::HeldBy`] even if this process itself holds it.
    ///
    /// # Errors
    /// Errors of the operating system; an error if the directory or LOCK was replaced after it was
    /// opened.
    fn lock(&self) -> io::Result<LockOutcome>;

    /// Takes the lock without changing any file. Returns `None` if LOCK is missing and the
    /// directory is not locked: no writer is open.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn lock_if_there(&self) -> io::Result<Option<LockOutcome>> {
        self.lock().map(Some)
    }

    /// Returns a watch of the directory's files. The default polls.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn watch(&self) -> io::Result<Box<dyn Watch>> {
        Ok(Box::new(Unwatched))
    }

    /// Returns whether the path by which it was opened still leads to this directory.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn is_in_place(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Returns the directory's file descriptor, if it has one.
    fn handle(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Returns the device and its free space, or `None` if the system does not report them.
    fn room(&self) -> Option<Room> {
        None
    }

    /// Returns the file's path, for messages.
    fn path(&self, file: StoreFile) -> PathBuf;
}

/// The device of a directory and its free space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The device. Only files of one device can be linked.
    pub device: u64,
    /// The bytes that this user can still write.
    pub free_len: u64,
}

/// The result of taking the lock.
#[derive(Debug)]
pub enum LockOutcome {
    /// The lock, held until this is dropped.
    Held(Box<dyn Lock>),
    /// Another process or handle has the lock.
    HeldBy {
        /// The process ID in LOCK, if it can be read.
        pid: Option<u32>,
    },
}

/// A lock that is released when it is dropped.
pub trait Lock: Send + Sync + fmt::Debug {
    /// Returns why the lock no longer excludes other writers: another directory is at the store's
    /// path, or LOCK was removed or replaced. `None` if the lock is intact.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn lost(&self) -> io::Result<Option<String>>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads an existing file.
    Read,
    /// Reads and writes an existing file.
    Write,
    /// Creates a file to read and write. Root gives it the owner of the directory. The directory's
    /// group gets the read and write access that it has to the directory.
    Create,
    /// Creates a file that replaces or describes this one. If this file exists and is trusted, the
    /// new one gets its mode and, from root, its owner.
    Replace(StoreFile),
}

impl Access {
    /// Returns whether this creates the file.
    #[must_use]
    pub fn is_new(self) -> bool {
        matches!(self, Self::Create | Self::Replace(_))
    }
}

/// An open file.
#[expect(clippy::len_without_is_empty, reason = "no caller needs to know whether a file is empty")]
pub trait File: Send + Sync + fmt::Debug {
    /// Returns the length in bytes.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn len(&self) -> io::Result<u64>;

    /// Returns the device and inode number, which no other file has; `None` if the file system has
    /// none.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn identity(&self) -> io::Result<Option<(u64, u64)>> {
        Ok(None)
    }

    /// Returns the offset of the next data at or after `at`. The bytes between are a hole, which
    /// reads as zeros. After the last data, returns any offset at or after the end; returns `at` if
    /// unknown.
    fn next_data(&self, at: u64) -> u64 {
        at
    }

    /// Returns the offset of the next hole at or after `at`. Without one, or if unknown, returns
    /// any offset at or after the end.
    fn next_hole(&self, at: u64) -> u64 {
        let _ = at;
        u64::MAX
    }

    /// Reads at `at` into `buffer`. Returns the number of bytes read, which may be lower than the
    /// length of `buffer`; 0 at the file's end.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes at `at`. Returns the number of bytes that were written.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;

    /// Truncates the file to `len` bytes.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable (`fdatasync`).
    ///
    /// # Errors
    /// Errors of the operating system; `NotFound` if the file has lost its name, since its bytes
    /// cannot be found again. After an error the bytes may be lost, even if a second call succeeds.
    fn sync(&self) -> io::Result<()>;

    /// Asks the system to drop its cached pages, so that the next read comes from the disk. Advice
    /// only.
    fn drop_cache(&self);

    /// Maps the first `len` bytes, which may be more than the file has. Returns `None` if the file
    /// system has no mappings; the file is then read by [`File::read_at`]. The mapping must show
    /// the bytes of [`File::write_at`]: a file system that forwards mappings but not writes causes
    /// SIGBUS.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn map(&self, len: u64) -> io::Result<Option<Mapping>>;
}
