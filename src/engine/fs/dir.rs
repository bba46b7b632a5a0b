//! The directory of a store in the file system of the operating system.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::file::OsFile;
use super::handle::names_in;
use super::lock::{Flock, OsLock, holder};
use super::names::StoreFile;
use super::owner::Ownership;
use super::traits::{Access, Directory, File, Lock, LockOutcome, Room};
use super::trust::{belongs_to_another, is_open_to_all, less_trusted};
use super::watch::{Inotify, Unwatched, Watch};

/// Returns whether the open file has more than one name (hard links), in any directory.
fn has_other_names(file: &std::fs::File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() > 1)
}

/// Returns the error for a file that has the name of a store's file but is not a regular file.
fn no_file(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// A directory, accessed through its handle. The path is for messages, and for the lock, which is
/// lost when the path leads to another directory.
#[derive(Debug)]
pub(super) struct OsDirectory {
    path: PathBuf,
    /// The absolute path at the time of opening: the process may change its working directory.
    absolute_path: PathBuf,
    handle: Arc<std::fs::File>,
    /// Whether to open files that are trusted less than the directory.
    trusts_all: bool,
}

impl OsDirectory {
    pub(super) fn new(path: PathBuf, handle: std::fs::File, trusts_all: bool) -> io::Result<Self> {
        Ok(Self { absolute_path: std::path::absolute(&path)?, path, handle: Arc::new(handle), trusts_all })
    }

    pub(super) fn open(path: &Path, trusts_all: bool) -> io::Result<Self> {
        // Without DIRECTORY, opening a FIFO of this name would block.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = std::fs::File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
        Self::new(path.to_owned(), handle, trusts_all)
    }

    /// Opens the directory a second time, because a lock belongs to one open file.
    fn reopened(&self) -> io::Result<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&*self.handle, ".", flags, Mode::empty())?.into())
    }

    /// Returns the outcome if another process has the lock. Its pid is read from LOCK.
    fn held(&self) -> LockOutcome {
        let file = self.open_regular(StoreFile::Lock, OFlags::RDONLY);
        LockOutcome::HeldBy { pid: file.ok().and_then(holder) }
    }

    /// Creates the new file `file`. It gets the owner and mode of `replaced` if that exists and is
    /// trusted, or else those that the directory gives.
    fn create(&self, file: StoreFile, replaced: Option<StoreFile>) -> io::Result<std::fs::File> {
        let made = self.open_regular(file, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        let directory = self.handle.metadata()?;
        let replaced = replaced.and_then(|replaced| self.regular(replaced));
        let replaced = replaced.filter(|old| self.trusts_all || less_trusted(old, &directory).is_none());
        let ownership = match replaced {
            Some(old) => Ownership::of_replaced(&old),
            None => Ownership::in_directory(&directory),
        };
        let given = ownership.apply_to(&made);
        if given.is_err() {
            // Otherwise the next attempt would find the file. It is empty, so nothing is lost.
            let _ = self.remove(file);
        }
        given.map(|()| made)
    }

    /// Returns the metadata of `file`, if it is a regular file.
    fn regular(&self, file: StoreFile) -> Option<Metadata> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = rustix::fs::openat(&*self.handle, file.to_string(), flags, Mode::empty());
        let found = std::fs::File::from(found.ok()?).metadata().ok()?;
        found.is_file().then_some(found)
    }

    /// Opens or creates LOCK.
    fn lock_file(&self) -> io::Result<std::fs::File> {
        loop {
            match self.open_regular(StoreFile::Lock, OFlags::RDWR) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
            match self.create(StoreFile::Lock, None) {
                // Another process was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made,
            }
        }
    }

    fn open_regular(&self, file: StoreFile, flags: OFlags) -> io::Result<std::fs::File> {
        // Without NONBLOCK, opening a FIFO would block.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let name = file.to_string();
        let mode = Mode::RUSR | Mode::WUSR;
        let opened = retry_on_intr(|| rustix::fs::openat(&*self.handle, &name, flags, mode));
        let opened = std::fs::File::from(opened.map_err(|error| match error {
            Errno::LOOP => no_file("it is a symbolic link"),
            Errno::NXIO => no_file("it is a socket"),
            Errno::ISDIR => no_file("it is a directory"),
            error => error.into(),
        })?);
        let metadata = opened.metadata()?;
        match FileType::from_raw_mode(metadata.mode()) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(no_file("it is a directory")),
            FileType::Fifo => return Err(no_file("it is a FIFO")),
            _ => return Err(no_file("it is a device")),
        }
        match less_trusted(&metadata, &self.handle.metadata()?).filter(|_| !self.trusts_all) {
            Some(reason) => Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)),
            None => Ok(opened),
        }
    }
}

impl Directory for OsDirectory {
    fn distrust(&self) -> io::Result<Option<String>> {
        let metadata = self.handle.metadata()?;
        let owner = metadata.uid();
        let me = rustix::process::geteuid().as_raw();
        Ok(if owner != me {
            Some(belongs_to_another(owner, me))
        } else if is_open_to_all(&metadata) {
            Some("can be written to by everybody".to_owned())
        } else {
            None
        })
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        names_in(&self.handle)
    }

    fn open(&self, file: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        let opened = match access {
            Access::Read => self.open_regular(file, OFlags::RDONLY)?,
            Access::Write => self.open_regular(file, OFlags::RDWR)?,
            Access::Create => self.create(file, None)?,
            Access::Replace(replaced) => self.create(file, Some(replaced))?,
        };
        if access == Access::Write && has_other_names(&opened)? {
            let reason =
                "it has another name elsewhere (a hard link), whose bytes would change with it: copy it";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        Ok(Arc::new(OsFile { file: opened, directory: Arc::clone(&self.handle), name: file }))
    }

    fn link(&self, from: &dyn Directory, file: StoreFile) -> io::Result<()> {
        let from = from.handle().ok_or(io::ErrorKind::Unsupported)?;
        let name = file.to_string();
        // Without flags a symbolic link itself is linked. Opening the new name refuses it.
        Ok(rustix::fs::linkat(from, &name, &*self.handle, &name, AtFlags::empty())?)
    }

    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()> {
        Ok(rustix::fs::renameat(&*self.handle, from.to_string(), &*self.handle, to.to_string())?)
    }

    fn remove(&self, file: StoreFile) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&*self.handle, file.to_string(), AtFlags::empty())?)
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()?;
        // Names in a removed directory are never durable.
        match self.handle.metadata()?.nlink() {
            0 => Err(io::Error::new(io::ErrorKind::NotFound, "it was removed")),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        let directory = self.reopened()?;
        if let Flock::HeldByAnother = Flock::take_directory(&directory) {
            return Ok(self.held());
        }
        // LOCK is never unlinked. If it were, two processes could each lock a file of that name.
        let file = self.lock_file()?;
        if let Flock::HeldByAnother = Flock::take(&file)? {
            return Ok(self.held());
        }
        // The process ID is not written into a file with hard links.
        let has_other_names = has_other_names(&file)?;
        let mut lock = OsLock::new(directory, self.absolute_path.clone(), file);
        // The directory or LOCK may have been replaced since they were opened.
        if let Some(reason) = lock.lost()? {
            return Err(io::Error::other(reason));
        }
        if !has_other_names {
            lock.name_holder();
        }
        Ok(LockOutcome::Held(Box::new(lock)))
    }

    fn lock_if_there(&self) -> io::Result<Option<LockOutcome>> {
        let directory = self.reopened()?;
        if let Flock::HeldByAnother = Flock::take_directory(&directory) {
            return Ok(Some(self.held()));
        }
        let file = match self.open_regular(StoreFile::Lock, OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        Ok(Some(match Flock::take(&file)? {
            Flock::HeldByAnother => self.held(),
            Flock::Held => {
                let lock = OsLock::new(directory, self.absolute_path.clone(), file);
                LockOutcome::Held(Box::new(lock))
            }
        }))
    }

    fn watch(&self) -> io::Result<Box<dyn Watch>> {
        Ok(match Inotify::of(&self.handle) {
            Ok(inotify) => Box::new(inotify),
            Err(error) => {
                // The number of watches is limited, and /proc may be missing.
                tracing::debug!(%error, "changes of files are polled for");
                Box::new(Unwatched)
            }
        })
    }

    fn is_in_place(&self) -> io::Result<bool> {
        let held = self.handle.metadata()?;
        match self.absolute_path.metadata() {
            Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn handle(&self) -> Option<BorrowedFd<'_>> {
        Some(self.handle.as_fd())
    }

    fn room(&self) -> Option<Room> {
        let found = rustix::fs::fstat(&*self.handle).ok()?;
        let space = rustix::fs::fstatvfs(&*self.handle).ok()?;
        // A file system that does not count its space reports zero blocks.
        let free_len = space.f_bavail.saturating_mul(space.f_frsize);
        (space.f_blocks > 0).then_some(Room { device: found.st_dev, free_len })
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.path.join(file.to_string())
    }
}
