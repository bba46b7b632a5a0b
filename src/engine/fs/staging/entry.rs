//! Entries of a directory that is held open, where directories are created, renamed and removed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::contents::{check_trusted, files};
use crate::engine::base::error::{Error, Result};
use crate::engine::fs::{Directory, FileSystem, Parent, PathKind};

/// A name in a directory that is held open. It may exist or not. The path is for messages.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryEntry {
    parent: Arc<dyn Parent>,
    name: OsString,
    path: PathBuf,
}

impl DirectoryEntry {
    /// Returns the entry at `path`. Its parent directory is created if it is missing.
    ///
    /// # Errors
    /// [`Error::Io`], also for a path without a last name, such as `/`.
    pub(crate) fn of(path: &Path, file_system: &dyn FileSystem) -> Result<Self> {
        Self::found(path, path, file_system)
    }

    /// Returns the entry that `path` leads to. Links at its end are followed if they belong to this
    /// user or root, so that no other user chooses which directory is filled.
    ///
    /// # Errors
    /// Those of [`DirectoryEntry::of`].
    pub(crate) fn behind_links(path: &Path, file_system: &dyn FileSystem) -> Result<Self> {
        let chosen = file_system.chosen_path(path).map_err(Error::io("open", path))?;
        Self::found(path, &chosen, file_system)
    }

    /// Returns the entry at `real`, with the path `path` for messages.
    fn found(path: &Path, real: &Path, file_system: &dyn FileSystem) -> Result<Self> {
        let error = Error::io("open the directory of", path);
        let of = || -> io::Result<Self> {
            // A suffix after a trailing slash would name a file inside. `.` is resolved to a name.
            let mut real: PathBuf = real.components().collect();
            if real.file_name().is_none() {
                real = file_system.real_path(&real)?;
            }
            let name = real.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
            Ok(Self { parent: file_system.parent(&real)?, name, path: path.components().collect() })
        };
        of().map_err(error)
    }

    /// Returns the entry with this name in the same directory.
    pub(crate) fn beside(&self, name: &OsStr) -> Self {
        let path = self.path.with_file_name(name);
        Self { parent: Arc::clone(&self.parent), name: name.to_owned(), path }
    }

    /// Returns the entry in the same directory with `suffix` added to the name.
    pub(crate) fn with_suffix(&self, suffix: &str) -> Self {
        let mut name = self.name.clone();
        name.push(suffix);
        self.beside(&name)
    }

    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the kind of the file.
    pub(crate) fn kind(&self) -> Result<PathKind> {
        self.parent.kind(&self.name).map_err(Error::io("open", &self.path))
    }

    /// Returns all names in the same directory.
    pub(crate) fn names(&self) -> Result<Vec<OsString>> {
        self.parent.names().map_err(Error::io("read the directory of", &self.path))
    }

    /// Creates the directory.
    pub(crate) fn create(&self) -> io::Result<Arc<dyn Directory>> {
        self.parent.create(&self.name)
    }

    /// Opens the directory.
    pub(crate) fn open(&self, trusts_all: bool) -> Result<Arc<dyn Directory>> {
        self.parent.open(&self.name, trusts_all).map_err(Error::io("open", &self.path))
    }

    /// Opens the directory, or returns `None` if it is not empty.
    ///
    /// # Errors
    /// [`Error::Untrusted`] if it belongs to another user or everybody may write to it, unless
    /// `trusts_all`.
    pub(crate) fn open_empty(&self, trusts_all: bool) -> Result<Option<Arc<dyn Directory>>> {
        let directory = self.open(trusts_all)?;
        if !files(&*directory).map_err(Error::io("read", &self.path))?.is_empty() {
            return Ok(None);
        }
        check_trusted(&*directory, &self.path, trusts_all)?;
        Ok(Some(directory))
    }

    /// Renames `directory`, which has this entry, to the free entry `to` in the same directory.
    pub(crate) fn rename(&self, directory: &dyn Directory, to: &Self) -> io::Result<()> {
        self.parent.rename(directory, [&self.name, &to.name])
    }

    /// Exchanges `old`, which has this entry, with `new`, which has the entry `other`.
    pub(crate) fn exchange(&self, old: &dyn Directory, other: &Self, new: &dyn Directory) -> io::Result<()> {
        self.parent.exchange([old, new], [&self.name, &other.name])
    }

    /// Removes the empty `directory`, which has this entry.
    pub(crate) fn remove(&self, directory: &dyn Directory) -> io::Result<()> {
        self.parent.remove(directory, &self.name)
    }

    /// Makes the names in the same directory durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.parent.sync()
    }
}
