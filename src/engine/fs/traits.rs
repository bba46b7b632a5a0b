//! The traits through which the engine uses directories and files.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mmap::Mapping;
use super::names::StoreFile;
use super::watch::{Unwatched, Watch};

/// Makes and opens directories.
pub trait FileSystem: Send + Sync + fmt::Debug {
    /// What `path` is.
    ///
    /// # Errors
    /// What the operating system says, but for "not found", which is [`PathKind::Missing`].
    fn kind(&self, path: &Path) -> io::Result<PathKind>;

    /// Creates and opens the directory `path`, and creates missing parents, accessible to the owner
    /// alone. They are durable on return. `trusts_all` is as in
    /// [`FileSystem::open_trusted_directory`].
    ///
    /// # Errors
    /// What the operating system says.
    fn create_directory(&self, path: &Path, trusts_all: bool) -> io::Result<Arc<dyn Directory>>;

    /// Fills `bytes` at random: the identity of a store, the salt of a segment. A test makes it predictable.
    ///
    /// # Errors
    /// What the operating system says.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;

    /// Opens the directory `path`, which is there.
    ///
    /// # Errors
    /// What the operating system says.
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>>;

    /// As [`FileSystem::open_directory`], for who trusts it with all it holds: its files are opened whoever owns them or may
    /// write to them.
    ///
    /// # Errors
    /// What the operating system says.
    fn open_trusted_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        self.open_directory(path)
    }

    /// The parent directory of `path`, where directories are made, renamed and removed. Missing
    /// parents are created.
    ///
    /// # Errors
    /// What the operating system says; `Unsupported` if the file system cannot do this.
    fn parent(&self, path: &Path) -> io::Result<Arc<dyn Parent>> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The path behind the links at the end of `path`, each of which belongs to this user or root: no
    /// other user may choose what is written.
    ///
    /// # Errors
    /// What the operating system says; `PermissionDenied` for a link of another user.
    fn chosen_path(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    /// The path by which all who name the same directory name it: absolute, without links. What is missing at its end stays
    /// as it is.
    ///
    /// # Errors
    /// What the operating system says.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Nothing.
    Missing,
    /// A directory.
    Directory,
    /// Something else: in words.
    Other(&'static str),
}

/// An open directory of directories. It stays the same one when names above it change. Names are
/// those of its entries, and symbolic links are not followed. A directory to rename or remove is
/// passed open: the call fails if its name leads to something else by then.
pub trait Parent: Send + Sync + fmt::Debug {
    /// The kind of the file `name`.
    ///
    /// # Errors
    /// What the operating system says, but for "not found", which is [`PathKind::Missing`].
    fn kind(&self, name: &OsStr) -> io::Result<PathKind>;

    /// The names in it, in no order.
    ///
    /// # Errors
    /// What the operating system says.
    fn names(&self) -> io::Result<Vec<OsString>>;

    /// Creates and opens the new directory `name`, accessible to the owner alone; durable on
    /// return.
    ///
    /// # Errors
    /// What the operating system says; `AlreadyExists` if the name is taken.
    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>>;

    /// Opens the directory `name`. `trusts_all` is as in
    /// [`FileSystem::open_trusted_directory`].
    ///
    /// # Errors
    /// What the operating system says.
    fn open(&self, name: &OsStr, trusts_all: bool) -> io::Result<Arc<dyn Directory>>;

    /// Renames `directory` from the first name to the second, which is free, atomically.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(&self, directory: &dyn Directory, names: [&OsStr; 2]) -> io::Result<()>;

    /// Exchanges the names of two directories, an old one and a new one, atomically. The new one
    /// and its files get the owner and mode of the old one first.
    ///
    /// # Errors
    /// What the operating system says; `Unsupported` if the file system cannot exchange names.
    fn exchange(&self, directories: [&dyn Directory; 2], names: [&OsStr; 2]) -> io::Result<()>;

    /// Removes the empty `directory`, which has this name.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove(&self, directory: &dyn Directory, name: &OsStr) -> io::Result<()>;

    /// Makes names made, changed and removed so far durable.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync(&self) -> io::Result<()>;
}

/// A directory that holds a store. Files are named by [`StoreFile`] alone, never by text found on disk. It stays the same
/// directory when it is renamed, or the process changes its own; when another one takes its place, its lock is lost.
pub trait Directory: Send + Sync + fmt::Debug {
    /// Why what it holds should not be trusted, if it should not: another user owns it, or everybody may write to it.
    ///
    /// # Errors
    /// What the operating system says.
    fn distrust(&self) -> io::Result<Option<String>>;

    /// The names in it, in no order.
    ///
    /// # Errors
    /// What the operating system says.
    fn names(&self) -> io::Result<Vec<OsString>>;

    /// Opens a regular file; symbolic links, FIFOs and devices are refused, to write also files that have another name
    /// (hard links), and, unless all is trusted, files that are trusted less than the directory: of another owner than the directory's, this
    /// process's user or root, or open to everybody's writes when the directory is not.
    ///
    /// # Errors
    /// What the operating system says; `InvalidInput` when it is no regular file, or is to be written and has another name;
    /// `PermissionDenied` when it is not trusted.
    fn open(&self, file: StoreFile, access: Access) -> io::Result<Arc<dyn File>>;

    /// Links `file` of the directory `from`, on the same file system, under its name here. The file
    /// then has two names, and must never be written to again. The name must be free.
    ///
    /// # Errors
    /// What the operating system says; `Unsupported` where a file has one name.
    fn link(&self, from: &dyn Directory, file: StoreFile) -> io::Result<()> {
        let _ = (from, file);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Gives `from` the name `to`, in place of what had it.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()>;

    /// Removes the name `file`.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove(&self, file: StoreFile) -> io::Result<()>;

    /// Makes names made, changed and removed so far durable.
    ///
    /// # Errors
    /// What the operating system says; `NotFound` if the directory itself was removed.
    fn sync(&self) -> io::Result<()>;

    /// Takes the writer's lock, on the directory itself and on LOCK, until the result is dropped.
    /// It is refused even if this process holds it.
    ///
    /// # Errors
    /// What the operating system says; an error if the directory or LOCK was replaced since it was
    /// opened.
    fn lock(&self) -> io::Result<LockOutcome>;

    /// Takes the lock without changing any file; `None` if LOCK is missing, since then no writer is
    /// open.
    ///
    /// # Errors
    /// What the operating system says.
    fn lock_if_there(&self) -> io::Result<Option<LockOutcome>> {
        self.lock().map(Some)
    }

    /// What tells when its files change. Where nothing does, one has to look again and again.
    ///
    /// # Errors
    /// What the operating system says.
    fn watch(&self) -> io::Result<Box<dyn Watch>> {
        Ok(Box::new(Unwatched))
    }

    /// Whether the path that it was opened by still leads to it: another directory may have taken its place.
    ///
    /// # Errors
    /// What the operating system says.
    fn is_in_place(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// The operating system's handle of the directory, if it has one.
    fn handle(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The device it is on, and the bytes that may still be written there; `None` if the system does
    /// not say.
    fn room(&self) -> Option<Room> {
        None
    }

    /// The file's path, for messages.
    fn path(&self, file: StoreFile) -> PathBuf;
}

/// The room in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The device. Files of one device can be linked to each other.
    pub device: u64,
    /// Bytes that this user may still write.
    pub free_len: u64,
}

/// What came of asking for the lock.
#[derive(Debug)]
pub enum LockOutcome {
    /// It is held until this is dropped.
    Held(Box<dyn Lock>),
    /// Somebody else has it.
    HeldBy {
        /// The holder, if it can be read.
        pid: Option<u32>,
    },
}

/// A lock that is let go when it is dropped.
pub trait Lock: Send + Sync + fmt::Debug {
    /// Why the lock no longer excludes other writers, if it does not: another directory is at the
    /// store's path, or LOCK was removed or replaced.
    ///
    /// # Errors
    /// What the operating system says.
    fn lost(&self) -> io::Result<Option<String>>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read; it must be there.
    Read,
    /// To read and write; it must be there.
    Write,
    /// To read and write; it must not exist. Root gives it the directory's owner, and the
    /// directory's group gets the read and write access that it has to the directory.
    Create,
    /// As [`Access::Create`], for a file that replaces or describes this one. If this file exists
    /// and is trusted, the new one gets its mode and, from root, its owner.
    Replace(StoreFile),
}

impl Access {
    /// Whether this creates the file.
    #[must_use]
    pub fn is_new(self) -> bool {
        matches!(self, Self::Create | Self::Replace(_))
    }
}

/// An open file.
#[expect(clippy::len_without_is_empty, reason = "nobody asks a file whether it is empty")]
pub trait File: Send + Sync + fmt::Debug {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Its identity among all existing files (device and inode number); `None` if the file system
    /// has none.
    ///
    /// # Errors
    /// What the operating system says.
    fn identity(&self) -> io::Result<Option<(u64, u64)>> {
        Ok(None)
    }

    /// The offset of the next data from `at` on. The bytes before it are a hole, which reads as
    /// zeros. After the last data it is any offset at or after the file's end; `at` if unknown.
    fn next_data(&self, at: u64) -> u64 {
        at
    }

    /// The offset of the next hole from `at` on; any offset at or after the file's end if there is none, or if unknown.
    fn next_hole(&self, at: u64) -> u64 {
        let _ = at;
        u64::MAX
    }

    /// Reads at `at` into `buffer`; fewer bytes than asked for, or none, at the file's end.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes at `at`; how many of the bytes were written.
    ///
    /// # Errors
    /// What the operating system says.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;

    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable (`fdatasync`).
    ///
    /// # Errors
    /// What the operating system says; `NotFound` if the file has lost its name, since nobody can
    /// find its bytes again. After an error the bytes may be lost even if a second call succeeds.
    fn sync(&self) -> io::Result<()>;

    /// Asks the system to forget its cached copy, so that the next read comes from the disk. Advice only.
    fn drop_cache(&self);

    /// A mapping of the first `len` bytes, which may be more than the file has yet; `None` where there are no
    /// mappings, and reading goes through [`File::read_at`]. It must show what [`File::write_at`] wrote: a file system
    /// that passes a mapping on, and not the writes, has reads of the mapping killed (SIGBUS).
    ///
    /// # Errors
    /// What the operating system says.
    fn map(&self, len: u64) -> io::Result<Option<Mapping>>;
}
