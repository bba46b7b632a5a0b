//! Owner and mode of new files. They are set through the file's handle, because its name may lead
//! to another file.

use std::ffi::OsStr;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

use rustix::fs::{Mode, OFlags};

use super::handle::names_in;

/// The mode bits of the owner's access, of the group, and of all permissions.
const OWNER: u32 = 0o600;
const GROUP: u32 = 0o070;
const PERMISSIONS: u32 = 0o777;
/// All bits of a mode.
const MODE: u32 = 0o7777;

/// The owner, group and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ownership {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Ownership {
    /// Returns the ownership of a file that replaces `old`. Setuid, setgid and sticky are dropped.
    pub(super) fn of_replaced(old: &Metadata) -> Self {
        Self { uid: old.uid(), gid: old.gid(), mode: old.mode() & PERMISSIONS }
    }

    /// Returns the ownership of a new file in `directory`. The directory's owner reads and writes
    /// it, and the group gets the access that it has to the directory.
    pub(super) fn in_directory(directory: &Metadata) -> Self {
        Self { uid: directory.uid(), gid: directory.gid(), mode: OWNER | group_bits(directory.mode()) }
    }

    /// Applies the ownership to `file`, which this process has created. Only root changes the
    /// owner. If the group cannot be set, the file keeps its own group, which gets no access.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub(super) fn apply_to(self, file: &File) -> io::Result<()> {
        let made = file.metadata()?;
        let is_root = rustix::process::geteuid().is_root();
        if is_root && made.uid() != self.uid {
            fchown(file, Some(self.uid), None)?;
        }
        let is_in_group = give_to_group(file, self.gid)?;
        let mode = if is_in_group { self.mode } else { self.mode & !GROUP };
        set_mode(file, mode)
    }
}

/// Gives `file` to the group `gid`. Returns `false` if that is not allowed: to a process outside of
/// the group, to root in a sandbox without the right, or in a container without that group.
fn give_to_group(file: &File, gid: u32) -> io::Result<bool> {
    if file.metadata()?.gid() == gid {
        return Ok(true);
    }
    match fchown(file, None, Some(gid)) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput) => {
            tracing::debug!(%error, gid, "a file keeps its own group");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Sets the mode of `file`. A file system without modes, such as a mounted NTFS, shows one mode for
/// all files.
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    if file.metadata()?.mode() & MODE == mode & MODE {
        return Ok(());
    }
    match file.set_permissions(Permissions::from_mode(mode)) {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        set => set,
    }
}

/// Gives the directory `new` the owner and mode of the directory `old`. A file in `new` gets those
/// of the file with the same name in `old`, or else those of a new file. A file with hard links is
/// unchanged.
///
/// # Errors
/// Errors of the operating system.
pub(super) fn give_directory(new: BorrowedFd<'_>, old: BorrowedFd<'_>) -> io::Result<()> {
    let new = File::from(new.try_clone_to_owned()?);
    let old = File::from(old.try_clone_to_owned()?);
    let made = new.metadata()?;
    let due = old.metadata()?;
    for name in names_in(&new)? {
        let file = open_in(&new, &name, OFlags::RDONLY)?;
        let found = file.metadata()?;
        if found.is_file() && found.nlink() == 1 && found.uid() == made.uid() {
            let replaced = open_in(&old, &name, OFlags::PATH).and_then(|file| file.metadata());
            match replaced.ok().filter(Metadata::is_file) {
                Some(replaced) => Ownership::of_replaced(&replaced),
                None => Ownership::in_directory(&due),
            }
            .apply_to(&file)?;
            file.sync_all()?;
        }
    }
    // Done last, because from now on the owner may change the contents of the directory.
    let is_in_group = give_to_group(&new, due.gid())?;
    let mode = if is_in_group { due.mode() } else { due.mode() & !GROUP };
    set_mode(&new, mode)?;
    if made.uid() != due.uid() {
        fchown(&new, Some(due.uid()), None)?;
    }
    new.sync_all()
}

/// Opens `name` in `directory`. Refuses a link.
fn open_in(directory: &File, name: &OsStr, flags: OFlags) -> io::Result<File> {
    // Without NONBLOCK, opening a FIFO would block.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?))
}

/// Returns the group's bits for a file in a directory of this mode: none unless the group may enter
/// it.
fn group_bits(directory_mode: u32) -> u32 {
    const GROUP_ENTERS: u32 = 0o010;
    const GROUP_READS_WRITES: u32 = 0o060;
    if directory_mode & GROUP_ENTERS == 0 { 0 } else { directory_mode & GROUP_READS_WRITES }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_gets_no_more_access_than_it_has_to_the_directory() {
        let modes = [
            (0o700, 0),
            (0o750, 0o040),
            (0o2750, 0o040),
            (0o770, 0o060),
            (0o775, 0o060),
            (0o710, 0),
            (0o730, 0o020),
            (0o760, 0),
            (0o707, 0),
        ];
        for (directory, group) in modes {
            assert_eq!(group_bits(directory), group, "{directory:o}");
        }
    }
}
