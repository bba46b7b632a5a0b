//! Files that only this user or root can have created. The path is checked name by name.
//!
//! `sudo` may keep the home directory of another user. Without the check, the commands in that
//! user's files would run with this user's rights, and files would be written through that user's
//! links.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Folder, LINKS_MAX, owned};

/// The access to a file. Only this user can access the files and directories that are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read. A missing file is not created.
    Read,
    /// Read and write. A missing file is created, with its directories.
    Write,
}

/// Opens the file at the absolute `path`. Returns `None` if it is missing and `access` is `Read`.
/// Fails if another user could have created it, or a directory or a link on its path.
pub fn trusted(path: &Path, access: Access) -> io::Result<Option<File>> {
    let mut walk = Walk::new(path)?;
    let name = match walk.go(access == Access::Write) {
        Ok(name) => name,
        Err(error) if error.kind() == io::ErrorKind::NotFound && access == Access::Read => return Ok(None),
        Err(error) => return Err(error),
    };
    const OWNER_ONLY: u32 = 0o600;
    let flags = match access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::RDWR | OFlags::CREATE,
    };
    match walk.folder.regular(&name, flags, Mode::from_raw_mode(OWNER_ONLY)) {
        Ok(file) => {
            check(&rustix::fs::fstat(&file)?).map_err(io::Error::other)?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && access == Access::Read => Ok(None),
        Err(error) => Err(error),
    }
}

/// A walk along a path.
struct Walk {
    folder: Folder,
    /// The path of `folder`, for messages.
    at: PathBuf,
    /// The remaining names.
    names: VecDeque<OsString>,
    links: usize,
}

impl Walk {
    fn new(path: &Path) -> io::Result<Self> {
        let root = PathBuf::from("/");
        Ok(Self { folder: Folder::open(&root)?, at: root, names: names(path), links: 0 })
    }

    /// Walks to the parent directory of the last name, and returns that name. `makes` creates
    /// missing directories.
    fn go(&mut self, makes: bool) -> io::Result<OsString> {
        self.check_folder()?;
        loop {
            let name = self.names.pop_front().ok_or(Errno::ISDIR)?;
            match self.folder.stat(&name)? {
                Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                    self.follow(&name, &stat)?;
                }
                _ if self.names.is_empty() => return Ok(name),
                Some(_) => self.enter(name)?,
                None if makes => {
                    const OWNER_ONLY: u32 = 0o700;
                    match rustix::fs::mkdirat(&self.folder.0, &name, Mode::from_raw_mode(OWNER_ONLY)) {
                        Ok(()) | Err(Errno::EXIST) => self.enter(name)?,
                        Err(error) => return Err(error.into()),
                    }
                }
                None => return Err(Errno::NOENT.into()),
            }
        }
    }

    fn enter(&mut self, name: OsString) -> io::Result<()> {
        self.folder = self.folder.directory(&name)?;
        self.at.push(name);
        self.check_folder()
    }

    fn follow(&mut self, name: &OsString, link: &Stat) -> io::Result<()> {
        let at = self.at.join(name);
        owned(link).map_err(|why| io::Error::other(format!("{} is a link, and {why}", at.display())))?;
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        let target = self.folder.link(name)?;
        if target.is_absolute() {
            (self.at, self.folder) = (PathBuf::from("/"), Folder::open(Path::new("/"))?);
        }
        for name in names(&target).into_iter().rev() {
            self.names.push_front(name);
        }
        Ok(())
    }

    /// Checks the directory: its owner, and every user who can write to it, controls its names.
    fn check_folder(&self) -> io::Result<()> {
        let stat = rustix::fs::fstat(&self.folder.0)?;
        // In a sticky directory such as /tmp only the owner of a file can rename it.
        const STICKY: u32 = 0o1000;
        let checked = if stat.st_mode & STICKY == 0 { check(&stat) } else { owned(&stat) };
        checked.map_err(|why| io::Error::other(format!("of its directory {}, {why}", self.at.display())))
    }
}

/// Returns the names of a path, in order.
fn names(path: &Path) -> VecDeque<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

/// Fails if another user could have created or changed the file with `stat`.
fn check(stat: &Stat) -> Result<(), String> {
    const OTHERS_WRITE: u32 = 0o002;
    owned(stat)?;
    if stat.st_mode & OTHERS_WRITE != 0 { Err("everybody may write to it".to_owned()) } else { Ok(()) }
}
