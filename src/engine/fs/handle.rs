//! Names in an open directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, fstat, statat};
use rustix::io::Errno;

use super::names::StoreFile;

/// Returns the names in `handle`, in any order.
pub(super) fn names_in(handle: &File) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(handle)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Returns whether `name` in `directory` is the open file `file`; `false` if the directory was
/// removed.
pub(super) fn has_name(directory: &File, name: StoreFile, file: &File) -> io::Result<bool> {
    let opened = fstat(file)?;
    match statat(directory, name.to_string(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
