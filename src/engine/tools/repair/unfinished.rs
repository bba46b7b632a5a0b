//! The directory that a repair fills. A mark in LOCK tells an unfinished repair from other
//! directories until the store is complete.

use std::io;
use std::path::Path;

use crate::engine::base::error::{Error, Result};
use crate::engine::fs::staging::{DirectoryEntry, Mark, Unfinished, files};
use crate::engine::fs::{Access, Directory, PathKind, StoreFile};

/// The content of LOCK while the store is incomplete. It names no process.
pub(super) const MARK: Mark = Mark { file: StoreFile::Lock, text: b"an unfinished repair\n" };

const MARKS: &[StoreFile] = &[StoreFile::Lock];

/// Creates the directory at `place`, or takes the empty one there, and marks it.
///
/// # Errors
/// [`Error::Foreign`], [`Error::Untrusted`], and [`Error::Io`], also if the directory is not empty.
pub(super) fn make(place: &DirectoryEntry, trusts_all: bool) -> Result<Unfinished> {
    let path = place.path();
    let (directory, is_made) = match place.kind()? {
        PathKind::Missing => (place.create().map_err(Error::io("create", path))?, true),
        PathKind::Directory => match place.open_empty(trusts_all)? {
            Some(empty) => (empty, false),
            None => {
                let reason = match is_unfinished(&*place.open(trusts_all)?) {
                    true => "an interrupted repair left it; remove it first",
                    false => "it is not empty",
                };
                return Err(in_the_way(path, reason));
            }
        },
        PathKind::Other(what) => {
            let reason = format!("it is {what}");
            return Err(Error::Foreign { path: path.to_owned(), reason });
        }
    };
    let made = Unfinished::of(directory, path, MARKS, is_made.then(|| place.clone()));
    MARK.set(&**made.directory())?;
    Ok(made)
}

/// Returns the error for a directory that cannot be used because of `reason`.
pub(super) fn in_the_way(path: &Path, reason: &str) -> Error {
    Error::io("make a store in", path)(io::Error::new(io::ErrorKind::AlreadyExists, reason))
}

/// Removes the directory at `place` if an interrupted repair left it.
///
/// # Errors
/// [`Error::Io`], also if anything else is at `place`.
pub(super) fn clear_unfinished(place: &DirectoryEntry, trusts_all: bool) -> Result<()> {
    match place.kind()? {
        PathKind::Missing => return Ok(()),
        PathKind::Directory => {}
        PathKind::Other(_) => return Err(in_the_way(place.path(), "it exists and is not a directory")),
    }
    let directory = place.open(trusts_all)?;
    if !is_unfinished(&*directory) {
        return Err(in_the_way(place.path(), "it exists and is no unfinished repair"));
    }
    Unfinished::of(directory, place.path(), MARKS, Some(place.clone())).remove()
}

/// Returns whether an interrupted repair left `directory`: it is marked and holds only files that a
/// repair writes, or LOCK is its only file.
pub(super) fn is_unfinished(directory: &dyn Directory) -> bool {
    let Ok(files) = files(directory) else { return false };
    let files: Option<Vec<_>> = files.into_iter().collect();
    let is_a_repairs = |file: &StoreFile| match file {
        StoreFile::Lock | StoreFile::Manifest | StoreFile::ManifestNew | StoreFile::Config => true,
        StoreFile::Segment(_) => true,
        StoreFile::Hint(_) | StoreFile::Keydir | StoreFile::KeydirNew | StoreFile::Unfinished => false,
    };
    files.is_some_and(|files| {
        let has_nothing = files.iter().all(|file| *file == StoreFile::Lock);
        has_nothing || (files.iter().all(is_a_repairs) && MARK.is_set(directory))
    })
}

/// Removes the mark durably.
pub(super) fn unmark(directory: &dyn Directory) -> Result<()> {
    let path = || directory.path(StoreFile::Lock);
    let file = directory.open(StoreFile::Lock, Access::Write).map_err(Error::io("open", path()))?;
    file.truncate(0).map_err(Error::io("write", path()))?;
    file.sync().map_err(Error::io("fsync", path()))
}

/// Makes the names in the parent directory of `place` durable.
pub(super) fn sync_names(place: &DirectoryEntry) -> Result<()> {
    place.sync().map_err(Error::io("fsync the directory that holds", place.path()))
}
