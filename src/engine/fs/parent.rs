//! The parent of a store's directory. Names are looked up in its handle, and links are not
//! followed. So a user who changes these names, or names above, cannot redirect a call.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::dir::OsDirectory;
use super::handle::names_in;
use super::owner::give_directory;
use super::traits::{Directory, Parent, PathKind};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory of the operating system, accessed through its handle. The path is for messages.
#[derive(Debug)]
pub(super) struct OsParent {
    path: PathBuf,
    handle: File,
}

impl OsParent {
    /// Opens the parent directory of `path`. Missing parents are created.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let (above, _) = split(path)?;
        Ok(Self { path: above.to_owned(), handle: hold(above)? })
    }

    /// Creates the directory `name`.
    pub(super) fn make(&self, name: &OsStr, trusts_all: bool) -> io::Result<OsDirectory> {
        let directory = OsDirectory::new(self.path.join(name), make(&self.handle, name)?, trusts_all)?;
        // Another user who may change names here may have replaced it.
        match directory.distrust()?.is_none() && directory.names()?.is_empty() {
            true => Ok(directory),
            false => Err(moved()),
        }
    }

    /// Returns whether `name` leads to `directory`.
    fn is(&self, name: &OsStr, directory: BorrowedFd<'_>) -> io::Result<bool> {
        let held = rustix::fs::fstat(directory)?;
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => Ok((held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Checks that `name` leads to `directory`.
    fn check(&self, name: &OsStr, directory: &dyn Directory) -> io::Result<()> {
        match self.is(name, handle(directory)?)? {
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
            FileType::Symlink => {
                PathKind::Other(match rustix::fs::statat(&self.handle, name, AtFlags::empty()) {
                    Err(Errno::NOENT) => "a dangling symbolic link",
                    _ => "a symbolic link",
                })
            }
            _ => PathKind::Other("not a directory"),
        })
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        // The handle may be good only for lookups (`O_PATH`). A second one lists the names.
        names_in(&File::from(rustix::fs::openat(&self.handle, ".", DIRECTORY, Mode::empty())?))
    }

    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(self.make(name, false)?))
    }

    fn open(&self, name: &OsStr, trusts_all: bool) -> io::Result<Arc<dyn Directory>> {
        let handle = open_in(&self.handle, name)?;
        Ok(Arc::new(OsDirectory::new(self.path.join(name), handle, trusts_all)?))
    }

    fn rename(&self, directory: &dyn Directory, [from, to]: [&OsStr; 2]) -> io::Result<()> {
        self.check(from, directory)?;
        rename_to_free(&self.handle, from, to)?;
        self.check(to, directory)
    }

    fn exchange(&self, [old, new]: [&dyn Directory; 2], [old_name, new_name]: [&OsStr; 2]) -> io::Result<()> {
        self.check(old_name, old)?;
        self.check(new_name, new)?;
        give_directory(handle(new)?, handle(old)?)?;
        rustix::fs::renameat_with(&self.handle, old_name, &self.handle, new_name, RenameFlags::EXCHANGE)?;
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

/// Opens the directory at `path`. It and its parents are created if missing.
pub(super) fn hold(path: &Path) -> io::Result<File> {
    match rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => {}
        // The directory may be unreadable. This handle is enough to open its files.
        Err(Errno::ACCESS) => {
            let flags = DIRECTORY | OFlags::PATH;
            return Ok(File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?));
        }
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

/// Splits `path` into the directory above it and the name in it.
fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    Ok((above.unwrap_or(Path::new(".")), name))
}

/// Creates the directory `name` in `above`, durably.
fn make(above: &File, name: &OsStr) -> io::Result<File> {
    rustix::fs::mkdirat(above, name, Mode::RWXU)?;
    let made = open_in(above, name)?;
    above.sync_all()?;
    Ok(made)
}

/// Opens the directory `name` of `above`. Refuses a link.
fn open_in(above: &File, name: &OsStr) -> io::Result<File> {
    Ok(File::from(rustix::fs::openat(above, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?))
}

/// Renames the directory `from` to the free name `to`.
fn rename_to_free(parent: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
    match rustix::fs::renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag. Without it, a directory replaces only an empty one.
        Err(Errno::INVAL | Errno::NOSYS) => Ok(rustix::fs::renameat(parent, from, parent, to)?),
        renamed => Ok(renamed?),
    }
}

fn handle(directory: &dyn Directory) -> io::Result<BorrowedFd<'_>> {
    directory.handle().ok_or(ErrorKind::Unsupported.into())
}

fn moved() -> io::Error {
    io::Error::other("another process has replaced the file of this name")
}
