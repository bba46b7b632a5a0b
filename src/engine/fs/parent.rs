//! The directory that holds other directories. Names are looked up in its handle, and no link is followed: whoever may change
//! these names, or those above them, leads nothing elsewhere.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::dir::{OsDirectory, names_in};
use super::owner::give_directory;
use super::{Directory, PathKind};
use crate::engine::plant::{Plant, planted};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory that holds directories, held open: it stays the same one when names above it change. Names are those of its
/// entries, and no symbolic link is followed. What is renamed or removed is a directory that is open: when its name has become
/// that of something else meanwhile, the call fails.
pub trait Parent: Send + Sync + fmt::Debug {
    /// What `name` is.
    ///
    /// # Errors
    /// What the operating system says, but for "not found", which is [`PathKind::Missing`].
    fn kind(&self, name: &OsStr) -> io::Result<PathKind>;

    /// The names in it, in no order.
    ///
    /// # Errors
    /// What the operating system says.
    fn names(&self) -> io::Result<Vec<OsString>>;

    /// Makes and opens the directory `name`, which is not there, readable by the owner alone; durable when it returns.
    ///
    /// # Errors
    /// What the operating system says; `AlreadyExists` when something has the name.
    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>>;

    /// Opens the directory `name`. `trusts_all` is as in [`FileSystem::open_trusted_directory`](super::FileSystem::open_trusted_directory).
    ///
    /// # Errors
    /// What the operating system says.
    fn open(&self, name: &OsStr, trusts_all: bool) -> io::Result<Arc<dyn Directory>>;

    /// Gives `directory`, whose name is the first one, the second one, in one step. Nothing has that, or the empty directory
    /// `replaced`, whose owner and mode `directory` and its files are given before.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(
        &self,
        directory: &dyn Directory,
        names: [&OsStr; 2],
        replaced: Option<&dyn Directory>,
    ) -> io::Result<()>;

    /// Gives each of two directories, an old one and a new one, the other's name, in one step. Before, the new one and its
    /// files are given the owner and the mode of the old one.
    ///
    /// # Errors
    /// What the operating system says; `Unsupported` where there is no such step.
    fn exchange(&self, directories: [&dyn Directory; 2], names: [&OsStr; 2]) -> io::Result<()>;

    /// Removes `directory`, which is empty, and has this name.
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

/// A directory of the operating system, held by its handle. The path is for messages alone.
#[derive(Debug)]
pub(super) struct OsParent {
    path: PathBuf,
    handle: File,
}

impl OsParent {
    /// The directory that holds `path`; it and those above it are made if they are missing.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let (above, _) = split(path)?;
        Ok(Self { path: above.to_owned(), handle: hold(above)? })
    }

    /// Makes the directory `name`.
    pub(super) fn make(&self, name: &OsStr, trusts_all: bool) -> io::Result<OsDirectory> {
        let directory = OsDirectory::new(self.path.join(name), make(&self.handle, name)?, trusts_all)?;
        // Somebody who may change names here may have put another one in its place already.
        match directory.distrust()?.is_none() && directory.names()?.is_empty() {
            true => Ok(directory),
            false => Err(moved()),
        }
    }

    /// Whether `name` is that of `directory`.
    fn is(&self, name: &OsStr, directory: BorrowedFd<'_>) -> io::Result<bool> {
        let held = rustix::fs::fstat(directory)?;
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => Ok((held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// # Errors
    /// When `name` is not that of `directory`.
    fn check(&self, name: &OsStr, directory: &dyn Directory) -> io::Result<()> {
        match planted(Plant::NameNotCompared) || self.is(name, handle(directory)?)? {
            true => Ok(()),
            false => Err(moved()),
        }
    }
}

impl Parent for OsParent {
    fn kind(&self, name: &OsStr) -> io::Result<PathKind> {
        let found = match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(PathKind::Missing),
            found => found?,
        };
        Ok(match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => PathKind::Directory,
            FileType::RegularFile => PathKind::Other("a file"),
            FileType::Symlink => PathKind::Other("a symbolic link"),
            _ => PathKind::Other("not a directory"),
        })
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        names_in(&self.handle)
    }

    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(self.make(name, false)?))
    }

    fn open(&self, name: &OsStr, trusts_all: bool) -> io::Result<Arc<dyn Directory>> {
        let handle = open_in(&self.handle, name)?;
        Ok(Arc::new(OsDirectory::new(self.path.join(name), handle, trusts_all)?))
    }

    fn rename(
        &self,
        directory: &dyn Directory,
        [from, to]: [&OsStr; 2],
        replaced: Option<&dyn Directory>,
    ) -> io::Result<()> {
        self.check(from, directory)?;
        match replaced {
            Some(replaced) => {
                give_directory(handle(directory)?, handle(replaced)?)?;
                self.check(to, replaced)?;
                // A directory replaces nothing but an empty one.
                rustix::fs::renameat(&self.handle, from, &self.handle, to)?;
            }
            None => rename_to_free(&self.handle, from, to)?,
        }
        self.check(to, directory)
    }

    fn exchange(&self, [old, new]: [&dyn Directory; 2], [old_name, new_name]: [&OsStr; 2]) -> io::Result<()> {
        self.check(old_name, old)?;
        self.check(new_name, new)?;
        let (receiver, giver) = (handle(new)?, handle(old)?);
        match planted(Plant::OwnerGivenByPath) {
            true => give_directory(File::open(self.path.join(new_name))?.as_fd(), giver)?,
            false => give_directory(receiver, giver)?,
        }
        let (one, other) = (old_name, new_name);
        rustix::fs::renameat_with(&self.handle, one, &self.handle, other, RenameFlags::EXCHANGE)?;
        self.check(old_name, new)?;
        self.check(new_name, old)
    }

    fn remove(&self, directory: &dyn Directory, name: &OsStr) -> io::Result<()> {
        self.check(name, directory)?;
        Ok(rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

/// The directory at `path`. It is made if it is missing, and so are those above it.
pub(super) fn hold(path: &Path) -> io::Result<File> {
    match rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => {}
        opened => return Ok(File::from(opened?)),
    }
    let (above, name) = split(path)?;
    let above = hold(above)?;
    match make(&above, name) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open_in(&above, name),
        made => made,
    }
}

/// The directory above `path`, and the name in it.
fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    Ok((above.unwrap_or(Path::new(".")), name))
}

/// Makes the directory `name` in `above`, durably.
fn make(above: &File, name: &OsStr) -> io::Result<File> {
    rustix::fs::mkdirat(above, name, Mode::RWXU)?;
    let made = open_in(above, name)?;
    above.sync_all()?;
    Ok(made)
}

/// Opens the directory `name` of `above`, and no link to one.
fn open_in(above: &File, name: &OsStr) -> io::Result<File> {
    let follow = if planted(Plant::LinkFollowed) { OFlags::empty() } else { OFlags::NOFOLLOW };
    Ok(File::from(rustix::fs::openat(above, name, DIRECTORY | follow, Mode::empty())?))
}

/// Gives the directory `from` the name `to`, which nothing has.
fn rename_to_free(parent: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
    match rustix::fs::renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag. A directory replaces nothing but an empty one.
        Err(Errno::INVAL | Errno::NOSYS) => Ok(rustix::fs::renameat(parent, from, parent, to)?),
        renamed => Ok(renamed?),
    }
}

fn handle(directory: &dyn Directory) -> io::Result<BorrowedFd<'_>> {
    directory.handle().ok_or(ErrorKind::Unsupported.into())
}

fn moved() -> io::Error {
    io::Error::other("another process has put something else under this name meanwhile")
}
