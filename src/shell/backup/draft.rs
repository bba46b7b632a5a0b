//! The file that an archive is written to, until it is whole.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// A file that is not yet what it is to be, and is removed unless it becomes that.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    file: File,
    is_in_place: bool,
}

impl Unfinished {
    /// An empty one beside `path`, which no other has while this lives. One that was killed leaves it to the next.
    pub fn beside(path: &Path) -> io::Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".unfinished");
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        let no_link = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link.cast_signed());
        loop {
            let file = options.open(&path)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    let message = "another backup is being made there";
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
                }
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) => {}
            }
            // Another one may have put it in its place before it let the lock go: then it is no draft any more.
            let (ours, there) = (file.metadata()?, fs::symlink_metadata(&path));
            if !ours.is_file() || ours.nlink() > 1 || ours.uid() != rustix::process::geteuid().as_raw() {
                let message = "what has the name of its draft is no draft of yours";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
            }
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                // Left by one that was killed, it holds something.
                file.set_len(0)?;
                file.set_permissions(Permissions::from_mode(0o600))?;
                return Ok(Self { path, file, is_in_place: false });
            }
        }
    }

    /// What is written to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it, durable, the name `path`.
    pub fn put_in_place(mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        self.is_in_place = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Its name may be another one's when it was put in its place.
        if !self.is_in_place {
            let _ = fs::remove_file(&self.path);
        }
    }
}
