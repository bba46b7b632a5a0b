//! Layer 3: a directory in which something is made: of one that never becomes whole nothing stays, or what is known again.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fs::{Access, Directory, Exclusion, FileSystem, Guarded, LockOutcome, PathKind, StoreFile};
use crate::error::{Error, Result};

/// What is added to the name of the place.
const SUFFIX: &str = ".unfinished";

/// A directory that is being filled. What is dropped before it is kept is emptied, and goes if it was made for that; what cannot
/// be removed stays marked.
#[derive(Debug)]
pub(crate) struct Unfinished {
    file_system: Arc<dyn FileSystem>,
    path: PathBuf,
    directory: Arc<dyn Directory>,
    /// The files that say what it is: they go last, in this order.
    marks: &'static [StoreFile],
    /// Whether the directory itself goes with what is in it.
    is_made: bool,
    is_kept: bool,
}

impl Unfinished {
    /// `directory`, which is at `path`, has nothing in it but what may be removed, and is marked by `marks` or will be.
    pub(crate) fn of(
        directory: Arc<dyn Directory>,
        path: &Path,
        file_system: &Arc<dyn FileSystem>,
        marks: &'static [StoreFile],
        is_made: bool,
    ) -> Self {
        let (file_system, path) = (Arc::clone(file_system), path.to_owned());
        Self { file_system, path, directory, marks, is_made, is_kept: false }
    }

    /// Where files are put.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// Lets it stay, and gives it away.
    pub(crate) fn keep(mut self) -> Arc<dyn Directory> {
        self.is_kept = true;
        Arc::clone(&self.directory)
    }

    /// Removes what is there.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn remove(mut self) -> Result<()> {
        self.is_kept = true;
        self.take_away()
    }

    fn take_away(&self) -> Result<()> {
        self.clear()?;
        // What says what this is goes when all that needs it is gone for good.
        self.directory.sync().map_err(Error::io("fsync", &self.path))?;
        let files = self.files()?;
        let marks = self.marks.iter().filter(|mark| files.contains(mark));
        marks.copied().try_for_each(|mark| self.take(mark))?;
        match self.is_made {
            true => self.file_system.remove_directory(&self.path).map_err(Error::io("remove", &self.path)),
            false => Ok(()),
        }
    }

    /// Removes the store's files that are not its marks.
    fn clear(&self) -> Result<()> {
        let files = self.files()?;
        files.into_iter().filter(|file| !self.marks.contains(file)).try_for_each(|file| self.take(file))
    }

    fn files(&self) -> Result<Vec<StoreFile>> {
        let files = files(&*self.directory).map_err(Error::io("read", &self.path))?;
        Ok(files.into_iter().flatten().collect())
    }

    fn take(&self, file: StoreFile) -> Result<()> {
        self.directory.remove(file).map_err(Error::io("remove", self.directory.path(file)))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = self.take_away()
        {
            tracing::warn!(error = error.sentence(), "an unfinished directory stays");
        }
    }
}

/// A directory that is made beside the place it is to take, under a name of its own, and takes it when it is whole. One that is
/// killed leaves the directory, with a file in it that says what it is, and the next one to the same place clears and takes it;
/// between that file's end and the new name there is a whole store, which nobody takes for less.
#[derive(Debug)]
pub(crate) struct Aside {
    /// Locked, which keeps others from clearing what is at work. The lock stays with the directory when that is renamed.
    made: Unfinished,
    /// Where it is to be.
    place: PathBuf,
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
        let exclusion = match directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))? {
            LockOutcome::Held(lock) => Exclusion::new(lock),
            LockOutcome::HeldBy { .. } => return Err(occupied(&path, "somebody is at work in it")),
        };
        // LOCK last of all: until then nobody else begins here.
        let marks = &[StoreFile::Unfinished, StoreFile::Lock];
        let directory = Guarded::of(&directory, &exclusion);
        let aside = Self { made: Unfinished::of(directory, &path, file_system, marks, true), place };
        aside.made.clear()?;
        aside.mark()?;
        Ok(aside)
    }

    /// Makes the file that says what this is.
    fn mark(&self) -> Result<()> {
        let directory = self.directory();
        match directory.open(StoreFile::Unfinished, Access::Create) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(Error::io("create", directory.path(StoreFile::Unfinished))(error))
            }
            _ => Ok(()),
        }
    }

    /// Where files are put.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        self.made.directory()
    }

    /// Its path until it is in place.
    pub(crate) fn path(&self) -> &Path {
        &self.made.path
    }

    /// Gives the directory, whose files are durable, the name that it was made for.
    ///
    /// # Errors
    /// What the operating system says; nothing is left behind, unless it is in place already.
    pub(crate) fn put_in_place(self) -> Result<()> {
        self.made.take(StoreFile::Unfinished)?;
        self.directory().sync().map_err(Error::io("fsync", self.path()))?;
        let error = |error| Error::io("put what was made in its place,", &self.place)(error);
        let file_system = Arc::clone(&self.made.file_system);
        file_system.rename_directory(self.path(), &self.place).map_err(error)?;
        self.made.keep();
        file_system.sync_beside(&self.place).map_err(error)
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

/// What `directory` holds: `None` for each name that is none of a store's.
///
/// # Errors
/// What the operating system says.
pub(crate) fn files(directory: &dyn Directory) -> io::Result<Vec<Option<StoreFile>>> {
    Ok(directory.names()?.iter().map(|name| StoreFile::parse(name)).collect())
}

/// Refuses to clear what may be somebody's: anything but what is left where one of these was killed.
fn check_leftover(path: &Path, directory: &dyn Directory) -> Result<()> {
    let files = files(directory).map_err(Error::io("read", path))?;
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
