//! Files of the user, reached through open directories. The file that was checked is the file that
//! is read or replaced, even if another user renames files meanwhile.

pub mod draft;
pub mod target;
pub mod trusted;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use logkv::fs::StoreFile;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

#[cfg(test)]
mod tests;

use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::interrupt::WriteInterrupted;

/// Enough to look up names in a directory that may not be listed.
#[cfg(target_os = "linux")]
const LOOK_UP: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const LOOK_UP: OFlags = OFlags::RDONLY;

/// The maximum length of a chain of links, as in the kernel.
const LINKS_MAX: usize = 40;

/// An open directory.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// The file that a path leads to, as a destination for writing.
#[derive(Debug)]
pub enum TargetPath {
    /// A regular file, or a free name.
    File(Folder, OsString),
    /// A pipe, a terminal or a device.
    Special(Special),
}

/// A file that is not regular, and is written to directly.
#[derive(Debug)]
pub struct Special {
    folder: Folder,
    name: OsString,
    /// Whether the name is a link of this user, such as those in `/dev/fd`.
    is_link: bool,
    /// Whether it is a pipe, which may have no reader yet.
    is_pipe: bool,
}

impl Special {
    /// Opens the file for writing. Waits for the reader of a named pipe, until Ctrl-C.
    pub fn open(&self, interrupt: &Interrupt) -> io::Result<File> {
        const LOOK_INTERVAL: Duration = Duration::from_millis(20);
        let no_link = if self.is_link { OFlags::empty() } else { OFlags::NOFOLLOW };
        // A blocking open would wait for the reader, and the system would restart it after a
        // signal.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | no_link;
        let file = loop {
            match self.folder.open_file(&self.name, flags, Mode::empty()) {
                Err(error) if self.is_pipe && error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                    if interrupt.is_set() {
                        return Err(io::Error::other(WriteInterrupted));
                    }
                    interrupt.pause(LOOK_INTERVAL);
                }
                opened => break opened?,
            }
        };
        rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
        // The file was not regular when the path was examined.
        if is_regular(&rustix::fs::fstat(&file)?) { Err(changed()) } else { Ok(file) }
    }
}

impl Folder {
    /// Returns the directory at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = LOOK_UP | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(CWD, path, flags, Mode::empty())?))
    }

    /// Returns the parent directory of `path`, and the file's name in it.
    pub fn of(path: &Path) -> io::Result<(Self, OsString)> {
        Ok((Self::open(parent(path))?, name_of(path)?))
    }

    /// Returns the file that `path` leads to. A link at its end is followed only if it belongs to
    /// this user or root, so that no other user chooses the file to write.
    pub fn place(path: &Path) -> io::Result<TargetPath> {
        let (mut folder, mut name) = Self::of(path)?;
        for _ in 0..LINKS_MAX {
            let Some(stat) = folder.stat(&name)? else { return Ok(TargetPath::File(folder, name)) };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => return Ok(TargetPath::File(folder, name)),
                FileType::Directory => return Err(Errno::ISDIR.into()),
                FileType::Symlink => {
                    owned(&stat).map_err(|why| io::Error::other(format!("it is a link, and {why}")))?;
                    // The target may have no name, such as a pipe in /dev/fd.
                    let there = found(rustix::fs::statat(&folder.0, &name, AtFlags::empty()))?;
                    if let Some(there) = there.filter(|there| !is_regular(there)) {
                        let is_pipe = FileType::from_raw_mode(there.st_mode) == FileType::Fifo;
                        return Ok(TargetPath::Special(Special { folder, name, is_link: true, is_pipe }));
                    }
                    let target = folder.link(&name)?;
                    (folder, name) = (folder.enter(parent(&target))?, name_of(&target)?);
                }
                kind => {
                    let is_pipe = kind == FileType::Fifo;
                    return Ok(TargetPath::Special(Special { folder, name, is_link: false, is_pipe }));
                }
            }
        }
        Err(Errno::LOOP.into())
    }

    /// Returns the directory at `path`, relative to this one.
    fn enter(&self, path: &Path) -> io::Result<Self> {
        let flags = LOOK_UP | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(&self.0, path, flags, Mode::empty())?))
    }

    /// Returns the status of `name`, without following a link.
    pub fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        found(rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW))
    }

    /// Returns the target of the link `name`.
    fn link(&self, name: &OsStr) -> io::Result<PathBuf> {
        let target = rustix::fs::readlinkat(&self.0, name, Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// Opens the regular file `name` for reading. Fails for a link, and does not block on a pipe.
    pub fn read(&self, name: &OsStr) -> io::Result<File> {
        self.regular(name, OFlags::RDONLY, Mode::empty())
    }

    /// Opens the regular file at `path` for reading, and follows links, because the user has named
    /// it.
    pub fn read_path(path: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        checked(File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?))
    }

    /// Opens the regular file `name` for writing. Creates or truncates it.
    pub fn rewrite(&self, name: &OsStr) -> io::Result<File> {
        const NEW: u32 = 0o666;
        let file = self.regular(name, OFlags::WRONLY | OFlags::CREATE, Mode::from_raw_mode(NEW))?;
        file.set_len(0)?;
        Ok(file)
    }

    /// Opens the regular file `name`.
    fn regular(&self, name: &OsStr, flags: OFlags, mode: Mode) -> io::Result<File> {
        // An open of a pipe would wait for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = self.open_file(name, flags, mode).map_err(|error| match error.raw_os_error() {
            Some(number) if number == Errno::LOOP.raw_os_error() => {
                io::Error::other("it is a link, which is not followed")
            }
            _ => error,
        })?;
        checked(file)
    }

    fn open_file(&self, name: &OsStr, flags: OFlags, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, mode)?))
    }

    /// Returns the directory `name`. Fails for a link.
    pub fn directory(&self, name: &OsStr) -> io::Result<Self> {
        let flags = LOOK_UP | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Returns the names in the directory, in no order.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let file = self.open_file(OsStr::new("."), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let names = Dir::new(file)?.map(|entry| {
            let entry = entry?;
            Ok(OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
        });
        names.filter(|name| !name.as_ref().is_ok_and(|name| name == "." || name == "..")).collect()
    }

    /// Opens the regular file `name` for writing, or creates it. Returns `None` if the name is a
    /// link or another kind of file, or the file belongs to another user.
    pub fn open_or_make(&self, name: &OsStr, mode: u32) -> io::Result<Option<File>> {
        match self.regular(name, OFlags::RDWR | OFlags::CREATE, Mode::from_raw_mode(mode)) {
            Ok(file) => Ok(Some(file)),
            Err(error) => match self.stat(name)? {
                Some(stat) if !is_regular(&stat) || own(&stat).is_err() => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Creates a file with a random name.
    pub fn create_unknown(&self, mode: u32) -> io::Result<(OsString, File)> {
        const ATTEMPTS: u32 = 1000;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        for attempt in 0..ATTEMPTS {
            let name = OsString::from(format!(".logkv-{:016x}", RandomState::new().hash_one(attempt)));
            match self.open_file(&name, flags, Mode::from_raw_mode(mode)) {
                Ok(file) => return Ok((name, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::EXIST.into())
    }

    /// Returns whether `name` leads to `file`.
    pub fn holds(&self, name: &OsStr, file: &File) -> io::Result<bool> {
        let ours = rustix::fs::fstat(file)?;
        Ok(self.stat(name)?.is_some_and(|there| (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)))
    }

    /// Renames `file` from `from` to `to`, and replaces a file there.
    pub fn rename(&self, from: &OsStr, file: &File, to: &OsStr) -> io::Result<()> {
        if !self.holds(from, file)? {
            return Err(changed());
        }
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes `file` if `name` still leads to it.
    pub fn remove(&self, name: &OsStr, file: &File) {
        if self.holds(name, file).unwrap_or(false) {
            // Removal is best effort: the caller has no use for the error.
            let _ = rustix::fs::unlinkat(&self.0, name, AtFlags::empty());
        }
    }

    /// Makes the names in the directory durable.
    pub fn sync(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        self.open_file(OsStr::new("."), flags, Mode::empty())?.sync_all()
    }
}

/// Returns `file` if it is regular. It was opened in nonblocking mode.
fn checked(file: File) -> io::Result<File> {
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => {
            rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
            Ok(file)
        }
        FileType::Directory => Err(Errno::ISDIR.into()),
        _ => Err(io::Error::other("it is not a regular file")),
    }
}

/// Returns the status, or `None` if the name is free.
fn found(stat: rustix::io::Result<Stat>) -> io::Result<Option<Stat>> {
    match stat {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Returns the error for a name that leads to another file now.
fn changed() -> io::Error {
    io::Error::other("its name leads to another file now")
}

/// Fails if `stat` belongs to neither this user nor root.
fn own(stat: &Stat) -> Result<(), String> {
    const ROOT: u32 = 0;
    let owner = stat.st_uid;
    let me = rustix::process::geteuid().as_raw();
    if [me, ROOT].contains(&owner) {
        Ok(())
    } else {
        Err(format!("it belongs to another user (uid {owner}, yours is {me})"))
    }
}

/// Fails as [`own`] does, but accepts the id that all outside users share in a user namespace: root
/// is one of them.
fn owned(stat: &Stat) -> Result<(), String> {
    let number = |file| fs::read_to_string(file).ok()?.trim().parse::<u32>().ok();
    let is_all = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    own(stat).or_else(|why| {
        let is_outside = number("/proc/sys/fs/overflowuid") == Some(stat.st_uid)
            && fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !is_all(map));
        if is_outside { Ok(()) } else { Err(why) }
    })
}

/// Returns the parent directory of `path`.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the last name of `path`. Fails if the path ends in a slash.
fn name_of(path: &Path) -> io::Result<OsString> {
    let is_directory = path.as_os_str().as_bytes().ends_with(b"/");
    match path.file_name().filter(|_| !is_directory) {
        Some(name) => Ok(name.to_owned()),
        None if path.as_os_str().is_empty() => Err(Errno::NOENT.into()),
        None => Err(Errno::ISDIR.into()),
    }
}

/// Returns whether `path` leads to a file of the store in `dir`, or to a free name of one.
pub fn is_of_store(dir: &Path, path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let new = || folder.canonicalize().ok().zip(path.file_name()).map(|(folder, name)| folder.join(name));
    let Some(target) = path.canonicalize().ok().or_else(new) else { return false };
    let has_its_name = target.file_name().is_some_and(|name| StoreFile::parse(name).is_some());
    has_its_name && dir.canonicalize().is_ok_and(|dir| target.parent() == Some(&*dir))
}
