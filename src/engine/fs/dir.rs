//! A directory of the operating system, and its lock.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, Metadata, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::file::OsFile;
use super::watch::{Inotify, Unwatched, Watch};
use super::{Access, Directory, File, FileSystem, Lock, LockOutcome, PathKind, StoreFile};
use crate::engine::plant::{Plant, unless};

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFileSystem;

impl FileSystem for OsFileSystem {
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Ok(PathKind::Directory),
            Ok(metadata) if metadata.is_file() => Ok(PathKind::Other("a file")),
            Ok(_) => Ok(PathKind::Other("not a directory")),
            // A dangling symbolic link is something, and nothing can be created behind it unseen.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
                Ok(PathKind::Missing)
            }
            Err(error) => Err(error),
        }
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> =
            path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
        for path in missing.into_iter().rev() {
            DirBuilder::new().mode(0o700).create(path)?;
            sync_parent(path)?;
        }
        Ok(())
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::from)
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(OsDirectory::open(path, false)?))
    }

    fn open_trusted_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(OsDirectory::open(path, true)?))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        give_to_owner_of(one, other)?;
        Ok(rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }

    fn rename_directory(&self, from: &Path, to: &Path) -> io::Result<()> {
        // A directory replaces nothing but an empty one.
        Ok(rustix::fs::renameat(CWD, from, CWD, to)?)
    }

    fn sync_beside(&self, path: &Path) -> io::Result<()> {
        sync_parent(path)
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        let path = std::path::absolute(path)?;
        for there in path.ancestors() {
            match there.canonicalize() {
                Ok(real) => {
                    let missing = path.strip_prefix(there).expect("an ancestor is a prefix");
                    // An empty end would add a slash, and make a file a directory.
                    return Ok(real.components().chain(missing.components()).collect());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }
}

/// Why a file is trusted less than the directory it is in, which was found to be trusted, or is to be. Who owns such a file
/// or may write to it could change, under a mapping, what was checked; and could read what is appended.
fn less_trusted(file: &Metadata, directory: &Metadata) -> Option<String> {
    const ROOT: u32 = 0;
    let (owner, me) = (file.uid(), rustix::process::geteuid().as_raw());
    if is_open_to_all(directory) {
        None
    } else if is_open_to_all(file) {
        Some("everybody may write to it, and not to its directory".to_owned())
    } else if ![me, directory.uid(), ROOT].contains(&owner) {
        Some(format!("it belongs to another user (uid {owner}, yours is {me})"))
    } else {
        None
    }
}

fn is_open_to_all(metadata: &Metadata) -> bool {
    const OTHERS_WRITE: u32 = 0o002;
    metadata.mode() & OTHERS_WRITE != 0
}

/// Gives the directory `new` and all in it the owner of `old`, and the directory its mode, too.
fn give_to_owner_of(old: &Path, new: &Path) -> io::Result<()> {
    let (old, was) = (old.metadata()?, new.metadata()?);
    if (old.uid(), old.gid()) != (was.uid(), was.gid()) {
        for entry in std::fs::read_dir(new)? {
            lchown(entry?.path(), Some(old.uid()), Some(old.gid()))?;
        }
        lchown(new, Some(old.uid()), Some(old.gid()))?;
    }
    std::fs::set_permissions(new, old.permissions())
}

/// Makes the name of `path` durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Whether there is a hard link to an open file, which may be anywhere.
fn has_other_names(file: &std::fs::File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() > 1)
}

/// Something has the name of a file of the store, and is none.
fn no_file(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Everything goes through the handle: the path is for messages alone.
#[derive(Debug)]
struct OsDirectory {
    path: PathBuf,
    handle: std::fs::File,
    /// Whether files are opened that are trusted less than the directory.
    trusts_all: bool,
}

impl OsDirectory {
    fn open(path: &Path, trusts_all: bool) -> io::Result<Self> {
        // DIRECTORY: a FIFO that took this name meanwhile would be waited for.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = std::fs::File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
        Ok(Self { path: path.to_owned(), handle, trusts_all })
    }

    fn open_regular(&self, file: StoreFile, flags: OFlags) -> io::Result<std::fs::File> {
        // NONBLOCK: opening a FIFO would wait for its other end for ever.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let (name, mode) = (file.to_string(), Mode::RUSR | Mode::WUSR);
        let opened = retry_on_intr(|| rustix::fs::openat(&self.handle, &name, flags, mode));
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
            Some(format!("belongs to another user (uid {owner}, yours is {me})"))
        } else if is_open_to_all(&metadata) {
            Some("can be written to by everybody".to_owned())
        } else {
            None
        })
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, file: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        let opened = self.open_regular(file, flags)?;
        if access == Access::Write && has_other_names(&opened)? {
            let reason =
                "it has another name elsewhere (a hard link), whose bytes would change with it: copy it";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        Ok(Arc::new(OsFile(opened)))
    }

    fn link(&self, from: &Path, to: StoreFile) -> io::Result<()> {
        // Without a flag a symbolic link is linked, and not what it leads to; opening it is refused then.
        Ok(rustix::fs::linkat(CWD, from, &self.handle, to.to_string(), AtFlags::empty())?)
    }

    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, from.to_string(), &self.handle, to.to_string())?)
    }

    fn remove(&self, file: StoreFile) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.handle, file.to_string(), AtFlags::empty())?)
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        let mut file = self.open_regular(StoreFile::Lock, OFlags::RDWR | OFlags::CREATE)?;
        // flock, not a POSIX lock: it refuses a second open in this very process, and is let go when the process
        // dies. The file is never unlinked: two processes could each hold a lock on a file of that name.
        match unless(Plant::LockNotTaken, || file.try_lock()) {
            Ok(()) => {
                // The pid is a courtesy for the message of the next one, and not worth failing for on a full disk; nor
                // is it worth the bytes of a file that somebody else knows under another name.
                let names_holder = !has_other_names(&file)?;
                if names_holder {
                    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
                }
                Ok(LockOutcome::Held(Box::new(OsLock { file, process: std::process::id(), names_holder })))
            }
            Err(TryLockError::WouldBlock) => Ok(LockOutcome::HeldBy { pid: holder(file) }),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn lock_if_there(&self) -> io::Result<Option<LockOutcome>> {
        let file = match self.open_regular(StoreFile::Lock, OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => {
                let lock = OsLock { file, process: std::process::id(), names_holder: false };
                Ok(Some(LockOutcome::Held(Box::new(lock))))
            }
            Err(TryLockError::WouldBlock) => Ok(Some(LockOutcome::HeldBy { pid: holder(file) })),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn watch(&self) -> io::Result<Box<dyn Watch>> {
        Ok(match Inotify::of(&self.handle) {
            Ok(inotify) => Box::new(inotify),
            Err(error) => {
                // There are only so many of them, and /proc may be missing.
                tracing::debug!(%error, "nothing tells that files change");
                Box::new(Unwatched)
            }
        })
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.path.join(file.to_string())
    }
}

/// The process that has locked `lock`, as it says itself.
fn holder(lock: std::fs::File) -> Option<u32> {
    let mut text = String::new();
    let _ = lock.take(32).read_to_string(&mut text);
    text.trim().parse().ok()
}

/// The open LOCK file.
#[derive(Debug)]
struct OsLock {
    file: std::fs::File,
    /// A forked child shares the lock, and must not let it go.
    process: u32,
    /// Whether it holds the pid.
    names_holder: bool,
}

impl Lock for OsLock {}

impl Drop for OsLock {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            return;
        }
        // A closed store looks the same whoever had it open. Failing to clear the pid harms nobody.
        if self.names_holder {
            let _ = self.file.set_len(0);
        }
        // A child forked a moment ago, and not yet at its `exec`, has this file open too: closing alone would leave
        // the lock with it.
        let _ = self.file.unlock();
    }
}
