//! Layer 3: a directory that is made beside the place it is to take, under a name of its own, and takes it when it is whole.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fs::{Access, Directory, FileSystem, Lock, LockOutcome, PathKind, StoreFile};
use crate::error::{Error, Result};

/// What is added to the name of the place.
const SUFFIX: &str = ".unfinished";

/// A directory on its way. What is dropped before [`Aside::put_in_place`] leaves nothing behind; what is killed leaves the
/// directory, with a file in it that says what it is, and the next one to the same place clears and takes it.
#[derive(Debug)]
pub(crate) struct Aside {
    file_system: Arc<dyn FileSystem>,
    /// Where it is made.
    path: PathBuf,
    /// Where it is to be.
    place: PathBuf,
    directory: Arc<dyn Directory>,
    /// Keeps others from clearing what is at work. It stays with the directory when that is renamed.
    #[expect(dead_code, reason = "it is held as long as this lives")]
    lock: Box<dyn Lock>,
    is_in_place: bool,
}

impl Aside {
    /// An empty directory beside `place`, which is missing or empty.
    ///
    /// # Errors
    /// [`Error::Occupied`] when `place` is not, or something else has the other name; what the operating system says.
    pub(crate) fn of(place: &Path, file_system: &Arc<dyn FileSystem>) -> Result<Self> {
        // Without a slash at its end, to which a suffix would make a name inside.
        let place: PathBuf = place.components().collect();
        if !is_free(&place, &**file_system)? {
            return Err(occupied(&place, "it is not empty"));
        }
        let Some(name) = place.file_name() else {
            return Err(occupied(&place, "it has no name that another directory could take"));
        };
        let mut name = name.to_owned();
        name.push(SUFFIX);
        let path = place.with_file_name(name);
        if file_system.kind(&path).map_err(Error::io("open", &path))? == PathKind::Missing {
            file_system.create_directory(&path).map_err(Error::io("create", &path))?;
        }
        let directory = file_system.open_directory(&path).map_err(Error::io("open", &path))?;
        // Somebody may have put it there, to have what is made in it.
        if let Some(reason) = directory.distrust().map_err(Error::io("open", &path))? {
            return Err(occupied(&path, &format!("it {reason}")));
        }
        check_leftover(&path, &*directory)?;
        let lock = match directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))? {
            LockOutcome::Held(lock) => lock,
            LockOutcome::HeldBy { .. } => return Err(occupied(&path, "somebody is at work in it")),
        };
        let file_system = Arc::clone(file_system);
        let aside = Self { file_system, path, place, directory, lock, is_in_place: false };
        aside.clear(&[StoreFile::Lock, StoreFile::Unfinished])?;
        aside.mark()?;
        Ok(aside)
    }

    /// Makes the file that says what this is.
    fn mark(&self) -> Result<()> {
        match self.directory.open(StoreFile::Unfinished, Access::Create) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(Error::io("create", self.directory.path(StoreFile::Unfinished))(error))
            }
            _ => Ok(()),
        }
    }

    /// Where files are put.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// Its path until it is in place.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the directory, whose files are durable, the name that it was made for.
    ///
    /// # Errors
    /// What the operating system says; nothing is left behind, unless it is in place already.
    pub(crate) fn put_in_place(mut self) -> Result<()> {
        let mark = StoreFile::Unfinished;
        self.directory.remove(mark).map_err(Error::io("remove", self.directory.path(mark)))?;
        self.directory.sync().map_err(Error::io("fsync", &self.path))?;
        let error = |error| Error::io("put what was made in its place,", &self.place)(error);
        self.file_system.rename_directory(&self.path, &self.place).map_err(error)?;
        self.is_in_place = true;
        self.file_system.sync_beside(&self.place).map_err(error)
    }

    /// Removes all files but `kept`.
    fn clear(&self, kept: &[StoreFile]) -> Result<()> {
        let names = self.directory.names().map_err(Error::io("read", &self.path))?;
        let files = names.iter().filter_map(|name| StoreFile::parse(name));
        for file in files.filter(|file| !kept.contains(file)) {
            self.directory.remove(file).map_err(Error::io("remove", self.directory.path(file)))?;
        }
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if self.is_in_place {
            return;
        }
        // What says what this is goes after all that needs it, and LOCK last: until then nobody else begins here.
        let kept = [StoreFile::Lock, StoreFile::Unfinished];
        let cleared = (0..=2).rev().try_for_each(|count| self.clear(&kept[..count]));
        let removed = cleared.and_then(|()| {
            self.file_system.remove_directory(&self.path).map_err(Error::io("remove", &self.path))
        });
        if let Err(error) = removed {
            tracing::warn!(error = error.sentence(), "an unfinished directory stays");
        }
    }
}

/// Whether nothing, or an empty directory, has the name `place`.
///
/// # Errors
/// [`Error::Occupied`] when it is no directory, and what the operating system says.
pub(crate) fn is_free(place: &Path, file_system: &dyn FileSystem) -> Result<bool> {
    match file_system.kind(place).map_err(Error::io("open", place))? {
        PathKind::Missing => Ok(true),
        PathKind::Other(what) => Err(occupied(place, &format!("it is {what}"))),
        PathKind::Directory => {
            let directory = file_system.open_directory(place).map_err(Error::io("open", place))?;
            Ok(directory.names().map_err(Error::io("read", place))?.is_empty())
        }
    }
}

/// Refuses to clear what may be somebody's: anything but what is left where one of these was killed.
fn check_leftover(path: &Path, directory: &dyn Directory) -> Result<()> {
    let names = directory.names().map_err(Error::io("read", path))?;
    let files: Vec<_> = names.iter().map(|name| StoreFile::parse(name)).collect();
    // A directory that is killed before it could be marked, or when all else was removed from it, holds LOCK alone.
    let is_marked = files.contains(&Some(StoreFile::Unfinished));
    let is_ours = |file: &Option<StoreFile>| file.is_some_and(|file| is_marked || file == StoreFile::Lock);
    match files.iter().all(is_ours) {
        true => Ok(()),
        false => {
            Err(occupied(path, "it is not what an interrupted backup or restore leaves; remove it first"))
        }
    }
}

fn occupied(path: &Path, reason: &str) -> Error {
    Error::Occupied { path: path.to_owned(), reason: reason.to_owned() }
}
