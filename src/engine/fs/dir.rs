//! A directory of the operating system, and its lock.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::file::OsFile;
use super::{Access, Directory, File, FileSystem, Lock, LockOutcome, PathKind, StoreFile};

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFileSystem;

impl FileSystem for OsFileSystem {
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            // A dangling symbolic link is something, and nothing can be created behind it unseen.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
                return Ok(PathKind::Missing);
            }
            Err(error) => return Err(error),
        };
        if !metadata.is_dir() {
            return Ok(PathKind::Other(if metadata.is_file() { "a file" } else { "not a directory" }));
        }
        let owner = metadata.uid();
        let me = rustix::process::geteuid().as_raw();
        let untrusted = if owner != me {
            Some(format!("belongs to another user (uid {owner}, yours is {me})"))
        } else if metadata.mode() & 0o002 != 0 {
            Some("can be written to by everybody".to_owned())
        } else {
            None
        };
        Ok(PathKind::Directory { untrusted })
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        match path.parent() {
            Some(parent) if parent != Path::new("") => std::fs::File::open(parent)?.sync_all(),
            _ => std::fs::File::open(".")?.sync_all(),
        }
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::from)
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        let handle = std::fs::File::open(path)?;
        Ok(Arc::new(OsDirectory { path: path.to_owned(), handle }))
    }
}

#[derive(Debug)]
struct OsDirectory {
    path: PathBuf,
    handle: std::fs::File,
}

impl OsDirectory {
    fn open_regular(&self, file: StoreFile, options: &mut OpenOptions) -> io::Result<std::fs::File> {
        // NONBLOCK: opening a FIFO would wait for its other end for ever.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let flags = i32::try_from(flags.bits()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let opened = options.custom_flags(flags).mode(0o600).open(self.path(file))?;
        if !opened.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(opened)
    }
}

impl Directory for OsDirectory {
    fn names(&self) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn open(&self, file: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        match access {
            Access::Read => options.read(true),
            Access::Write => options.read(true).write(true),
            Access::Create => options.read(true).write(true).create_new(true),
        };
        Ok(Arc::new(OsFile(self.open_regular(file, &mut options)?)))
    }

    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, file: StoreFile) -> io::Result<()> {
        std::fs::remove_file(self.path(file))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        let mut options = OpenOptions::new();
        let mut file = self.open_regular(StoreFile::Lock, options.read(true).write(true).create(true))?;
        // flock, not a POSIX lock: it refuses a second open in this very process, and is let go when the process
        // dies. The file is never unlinked: two processes could each hold a lock on a file of that name.
        match file.try_lock() {
            Ok(()) => {
                // The pid is a courtesy of the next one's message: a full disk must not keep a store from being read.
                let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
                Ok(LockOutcome::Held(Box::new(OsLock(file))))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The pid is a courtesy of the message: a LOCK that cannot be read locks all the same.
                let _ = file.take(32).read_to_string(&mut text);
                Ok(LockOutcome::HeldBy { pid: text.trim().parse().ok() })
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.path.join(file.to_string())
    }
}

/// The open LOCK file.
#[derive(Debug)]
struct OsLock(std::fs::File);

impl Lock for OsLock {}

impl Drop for OsLock {
    fn drop(&mut self) {
        // A closed store looks the same whoever had it open. Failing to clear the pid harms nobody.
        let _ = self.0.set_len(0);
        // A child forked a moment ago, and not yet at its `exec`, has this file open too: closing alone would leave
        // the lock with it.
        let _ = self.0.unlock();
    }
}
