//! The contents of a directory that is about to be filled or removed.

use std::io;
use std::path::Path;

use super::mark::MARK;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::escape::Visible;
use crate::engine::fs::{Access, Directory, StoreFile, is_of_file_system};

/// Returns the files in `directory`, without those that a file system has at its root. A name that
/// no file of a store has gives `None`.
///
/// # Errors
/// Errors of the operating system.
pub(crate) fn files(directory: &dyn Directory) -> io::Result<Vec<Option<StoreFile>>> {
    let names = directory.names()?.into_iter().filter(|name| !is_of_file_system(name));
    Ok(names.map(|name| StoreFile::parse(&name)).collect())
}

/// Checks that no other user can change `directory`, unless `trusts_all`.
///
/// # Errors
/// [`Error::Untrusted`]; errors of the operating system.
pub(crate) fn check_trusted(directory: &dyn Directory, path: &Path, trusts_all: bool) -> Result<()> {
    match directory.distrust().map_err(Error::io("open", path))? {
        Some(reason) if !trusts_all => Err(Error::Untrusted { path: path.to_owned(), reason }),
        _ => Ok(()),
    }
}

/// Describes the contents of `directory`. Returns `None` if it is empty, or holds only the files
/// that a file system has at its root or that a killed process left.
pub(super) fn occupant(directory: &dyn Directory) -> io::Result<Option<String>> {
    let names: Vec<_> = directory.names()?.into_iter().filter(|name| !is_of_file_system(name)).collect();
    let files: Vec<_> = names.iter().map(|name| StoreFile::parse(name)).collect();
    if files.contains(&Some(StoreFile::Manifest)) {
        return Ok(Some("a store".to_owned()));
    }
    if files.iter().all(Option::is_some) && MARK.is_set(directory) {
        return Ok(None);
    }
    let is_in_the_way = |file: &Option<StoreFile>| match file {
        Some(StoreFile::Lock) => false,
        // The process may have been killed before the mark was complete.
        Some(file @ StoreFile::Unfinished) => {
            let len = directory.open(*file, Access::Read).and_then(|file| file.len());
            !len.is_ok_and(|len| len <= MARK.text.len() as u64)
        }
        _ => true,
    };
    let other = names.iter().zip(&files).find(|(_, file)| is_in_the_way(file));
    Ok(other.map(|(name, _)| Visible(name.as_encoded_bytes()).to_string()))
}

/// Returns whether `directory` holds only files that a killed process left.
pub(super) fn is_leftover(directory: &dyn Directory) -> bool {
    let Ok(files) = files(directory) else { return false };
    // LOCK is the only file if the process was killed before it created the mark, or after it
    // removed everything else.
    let is_marked = files.contains(&Some(StoreFile::Unfinished));
    files.iter().all(|file| file.is_some_and(|file| is_marked || file == StoreFile::Lock))
}
