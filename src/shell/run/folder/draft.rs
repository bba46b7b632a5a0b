//! A file written atomically: its name leads to the complete new file, or to the old one.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Gid, Mode, Stat, Uid};

use super::Folder;

/// The mode of a file that replaces no other file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewMode {
    /// Read and write for all, limited by the umask.
    Umask,
    /// As `Umask`. Root also gives the file to the owner and the group of the directory.
    OfDirectory,
    /// Readable for all and writable for the owner, whatever the umask. Root also gives the file to
    /// the owner and the group of the directory.
    Readable,
}

/// A file that is written under a temporary name. It is removed unless it is renamed to its own
/// name.
///
/// [`Draft::new`] keeps the read, write and execute bits of a replaced file of this user. A
/// replaced file of another user gets at most the bits of a new file, and root gives it to that
/// user if the directory belongs to them. [`NewMode`] gives the mode of a file that replaces none.
#[derive(Debug)]
pub struct Draft {
    folder: Folder,
    name: OsString,
    draft: OsString,
    file: File,
    is_in_place: bool,
}

impl Draft {
    /// Creates a draft for `name` in `folder`. The name must be free or lead to a regular file.
    pub fn new(folder: Folder, name: OsString, new: NewMode) -> io::Result<Self> {
        let replaced = folder.stat(&name)?;
        if replaced.as_ref().is_some_and(|replaced| !super::is_regular(replaced)) {
            return Err(io::Error::other("it is not a regular file"));
        }
        let heir = if replaced.is_none() { heir(&folder, new)? } else { None };
        let is_closed = heir.is_some() || new == NewMode::Readable;
        let (draft, file) = folder.create_unknown(mode_at_first(replaced.as_ref(), is_closed))?;
        let made = Self { folder, name, draft, file, is_in_place: false };
        match heir {
            Some(directory) => made.give(&directory, new)?,
            None => made.take_over(replaced.as_ref(), new)?,
        }
        Ok(made)
    }

    /// Creates a draft for the backup `path`, for its owner only. Its name is `path` with
    /// `.unfinished` added, and it is locked, so that the next process can take it over from a
    /// killed one. If the name is taken by another kind of file, the draft gets a random name.
    pub fn of_backup(path: &Path) -> io::Result<Self> {
        let (folder, name) = Folder::of(path)?;
        let mut draft = name.clone();
        draft.push(".unfinished");
        let (draft, file) = match claim(&folder, &draft)? {
            Some(file) => (draft, file),
            None => folder.create_unknown(OWNER_ONLY)?,
        };
        // The draft of a killed process has content.
        file.set_len(0)?;
        match file.set_permissions(Permissions::from_mode(OWNER_ONLY)) {
            // The file system has no modes.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            set => set?,
        }
        Ok(Self { folder, name, draft, file, is_in_place: false })
    }

    /// Returns the file to write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes the file durable, and renames it to its name.
    pub fn put_in_place(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.rename()?;
        // Without this sync, a power cut could undo the rename.
        self.folder.sync()
    }

    /// Renames the file to its name. A power cut can undo that.
    pub fn publish(mut self) -> io::Result<()> {
        self.rename()
    }

    fn rename(&mut self) -> io::Result<()> {
        self.folder.rename(&self.draft, &self.file, &self.name)?;
        self.is_in_place = true;
        Ok(())
    }

    /// Gives the draft the owner, group and mode of the replaced file, within the limits that
    /// [`Draft`] describes.
    fn take_over(&self, replaced: Option<&Stat>, new: NewMode) -> io::Result<()> {
        let made = rustix::fs::fstat(&self.file)?;
        let default = if new == NewMode::Readable { READABLE } else { made.st_mode & PERMISSIONS };
        let me = rustix::process::geteuid();
        let Some(replaced) = replaced else { return self.set_mode(&made, default) };
        let is_own = replaced.st_uid == me.as_raw();
        let is_theirs = me.is_root() && rustix::fs::fstat(&self.folder.0)?.st_uid == replaced.st_uid;
        let owner = (is_theirs && !is_own).then(|| Uid::from_raw(replaced.st_uid));
        let kept = replaced.st_mode & PERMISSIONS;
        let mut mode = if is_own { kept } else { kept & default };
        let group = Gid::from_raw(replaced.st_gid);
        if owner.is_some() || is_own && made.st_gid != replaced.st_gid {
            // If the group cannot be changed, the draft's group must get no more rights than all
            // users.
            if rustix::fs::fchown(&self.file, owner, Some(group)).is_err() {
                mode &= !GROUP | (mode & OTHERS) << 3;
            }
        }
        self.set_mode(&made, mode)
    }

    /// Gives the file to the owner of `directory`, and its group the access that it has in the
    /// directory.
    fn give(&self, directory: &Stat, new: NewMode) -> io::Result<()> {
        const GROUP_ENTERS: u32 = 0o010;
        const GROUP_FILE: u32 = 0o060;
        let is_let_in = directory.st_mode & GROUP_ENTERS != 0;
        let for_group = if is_let_in { directory.st_mode & GROUP_FILE } else { 0 };
        let for_all = if new == NewMode::Readable { READABLE } else { OWNER_ONLY };
        let owner = Uid::from_raw(directory.st_uid);
        let group = Gid::from_raw(directory.st_gid);
        rustix::fs::fchown(&self.file, Some(owner), None)?;
        let is_in_group = rustix::fs::fchown(&self.file, None, Some(group)).is_ok();
        self.set_mode(
            &rustix::fs::fstat(&self.file)?,
            if is_in_group { for_all | for_group } else { for_all },
        )
    }

    fn set_mode(&self, made: &Stat, mode: u32) -> io::Result<()> {
        if made.st_mode & PERMISSIONS != mode {
            rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode))?;
        }
        Ok(())
    }
}

const PERMISSIONS: u32 = 0o777;
const GROUP: u32 = 0o070;
const OTHERS: u32 = 0o007;
const READABLE: u32 = 0o644;
const OWNER_ONLY: u32 = 0o600;

/// Returns the status of `folder` if its owner gets a new file that this process creates there.
fn heir(folder: &Folder, new: NewMode) -> io::Result<Option<Stat>> {
    if new == NewMode::Umask || !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    Ok(Some(rustix::fs::fstat(&folder.0)?).filter(|directory| !Uid::from_raw(directory.st_uid).is_root()))
}

/// Returns the initial mode of a draft. It grants no access that the final mode denies, and if
/// `is_closed`, access for the owner only.
fn mode_at_first(replaced: Option<&Stat>, is_closed: bool) -> u32 {
    const NEW: u32 = 0o666;
    let is_own = |stat: &Stat| stat.st_uid == rustix::process::geteuid().as_raw();
    match replaced {
        None if is_closed => OWNER_ONLY,
        None => NEW,
        Some(replaced) if is_own(replaced) => replaced.st_mode & OWNER_ONLY,
        Some(replaced) => replaced.st_mode & NEW,
    }
}

/// Opens and locks the draft `name`. Returns `None` if it is not a draft of this user.
fn claim(folder: &Folder, name: &OsStr) -> io::Result<Option<File>> {
    loop {
        let Some(file) = folder.open_or_make(name, OWNER_ONLY)? else { return Ok(None) };
        let ours = file.metadata()?;
        if ours.nlink() > 1 || ours.uid() != rustix::process::geteuid().as_raw() {
            return Ok(None);
        }
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let message = "another backup is being written there";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
            }
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => {}
        }
        // The process that held the lock may have renamed the file: it is now a finished backup.
        if folder.holds(name, &file)? {
            return Ok(Some(file));
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After the rename, the temporary name may belong to another process.
        if !self.is_in_place {
            self.folder.remove(&self.draft, &self.file);
        }
    }
}
