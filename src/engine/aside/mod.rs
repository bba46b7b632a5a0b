//! Layer 3: staging directories, removed unless they are committed.

mod place;

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

pub(crate) use self::place::Place;
use super::fs::{Access, Directory, Exclusion, FileSystem, Guarded, LockOutcome, PathKind, StoreFile};
use super::plant::{Plant, planted};
use crate::error::{Error, Result};

/// Added to the final name.
const SUFFIX: &str = ".unfinished";

/// A directory being filled. Dropping it before it is kept removes its files, and the directory if
/// it was made for this. It stays marked if that fails.
#[derive(Debug)]
pub(crate) struct Unfinished {
    place: Place,
    directory: Arc<dyn Directory>,
    /// The files that mark it as unfinished, removed last, in this order.
    marks: &'static [StoreFile],
    /// Whether the directory itself is removed, too.
    is_made: bool,
    is_kept: bool,
}

impl Unfinished {
    /// `directory`, at `place`. Its files may all be removed; `marks` mark it, now or soon.
    pub(crate) fn of(
        directory: Arc<dyn Directory>,
        place: Place,
        marks: &'static [StoreFile],
        is_made: bool,
    ) -> Self {
        Self { place, directory, marks, is_made, is_kept: false }
    }

    /// Where files are put.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// Keeps the directory, and returns it.
    pub(crate) fn keep(mut self) -> Arc<dyn Directory> {
        self.is_kept = true;
        Arc::clone(&self.directory)
    }

    /// Removes its files, and the directory if it was made for this.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn remove(mut self) -> Result<()> {
        self.is_kept = true;
        self.take_away()
    }

    fn take_away(&self) -> Result<()> {
        self.clear()?;
        // The marks are removed after everything else is durably gone.
        self.directory.sync().map_err(Error::io("fsync", self.place.path()))?;
        let files = self.files()?;
        let marks = self.marks.iter().filter(|mark| files.contains(mark));
        marks.copied().try_for_each(|mark| self.take(mark))?;
        match self.is_made {
            true => self.place.remove(&*self.directory).map_err(Error::io("remove", self.place.path())),
            false => Ok(()),
        }
    }

    /// Removes the store's files that are not its marks.
    fn clear(&self) -> Result<()> {
        let files = self.files()?;
        files.into_iter().filter(|file| !self.marks.contains(file)).try_for_each(|file| self.take(file))
    }

    fn files(&self) -> Result<Vec<StoreFile>> {
        let files = files(&*self.directory).map_err(Error::io("read", self.place.path()))?;
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

/// A staging directory beside its final place, renamed to it when it is complete. A process that is
/// killed leaves it, with a file that marks it, and the next one for the same place removes it.
/// Between the removal of that file and the rename it is a complete store, and is left alone.
#[derive(Debug)]
pub(crate) struct Aside {
    /// Locked, so that no other process clears it. The lock survives the rename.
    made: Unfinished,
    /// Its final place.
    place: Place,
    /// The empty directory at that place.
    replaced: Option<Arc<dyn Directory>>,
}

impl Aside {
    /// An empty directory beside `path`, which is missing or an empty directory. An empty directory
    /// must be trusted, unless all is: the new one takes over its owner and mode.
    ///
    /// # Errors
    /// [`Error::Occupied`] when `path` is anything else, or another process is creating it;
    /// [`Error::Untrusted`]; what the operating system says.
    pub(crate) fn of(path: &Path, file_system: &Arc<dyn FileSystem>, trusts_all: bool) -> Result<Self> {
        if path.file_name().is_none() {
            return Err(occupied(path, "it has no name that another directory could take"));
        }
        let place = Place::of(path, &**file_system)?;
        let replaced = match place.kind()? {
            PathKind::Missing => None,
            PathKind::Other(what) => return Err(occupied(path, &format!("it is {what}"))),
            PathKind::Directory => {
                Some(place.open_empty(trusts_all)?.ok_or_else(|| occupied(path, "it is not empty"))?)
            }
        };
        clear_leftovers(&place)?;
        let (draft, directory) = create(&place, &**file_system)?;
        let exclusion = match directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))? {
            LockOutcome::Held(lock) => Exclusion::new(lock),
            LockOutcome::HeldBy { .. } => return Err(at_work(draft.path())),
        };
        // LOCK is last: it keeps other processes from removing the directory.
        let marks = &[StoreFile::Unfinished, StoreFile::Lock];
        let directory = Guarded::of(&directory, &exclusion);
        let aside = Self { made: Unfinished::of(directory, draft, marks, true), place, replaced };
        aside.mark()?;
        Ok(aside)
    }

    /// Creates the file that marks the directory.
    fn mark(&self) -> Result<()> {
        let directory = self.directory();
        let made = directory.open(StoreFile::Unfinished, Access::Create).map(drop);
        made.map_err(Error::io("create", directory.path(StoreFile::Unfinished)))
    }

    /// Where files are put.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        self.made.directory()
    }

    /// Its path before the rename.
    pub(crate) fn path(&self) -> &Path {
        self.made.place.path()
    }

    /// Renames the directory, whose files are durable, to its final name.
    ///
    /// # Errors
    /// What the operating system says; the directory is removed, unless it was renamed already.
    pub(crate) fn put_in_place(self) -> Result<()> {
        self.made.take(StoreFile::Unfinished)?;
        self.directory().sync().map_err(Error::io("fsync", self.path()))?;
        let error = |error| Error::io("put the new directory at", self.place.path())(error);
        let replaced = self.replaced.as_deref();
        self.made.place.rename(&**self.directory(), &self.place, replaced).map_err(error)?;
        self.made.keep();
        self.place.sync().map_err(error)
    }
}

/// Makes a staging directory for `place`: its name has [`SUFFIX`] added, and random digits if that
/// name is taken.
fn create(place: &Place, file_system: &dyn FileSystem) -> Result<(Place, Arc<dyn Directory>)> {
    let mut draft = place.with_suffix(SUFFIX);
    loop {
        match draft.create() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !planted(Plant::PlantedDraftBlocks) => {
                let mut random = [0; 8];
                let filled = file_system.random(&mut random);
                filled.map_err(Error::io("read", "the system's random numbers"))?;
                draft = place.with_suffix(&format!("{SUFFIX}-{:016x}", u64::from_le_bytes(random)));
            }
            made => return made.map_err(Error::io("create", draft.path())).map(|made| (draft, made)),
        }
    }
}

/// Removes the staging directories that killed processes left for `place`. Anything else with such
/// a name is left alone, and blocks nothing.
fn clear_leftovers(place: &Place) -> Result<()> {
    for name in place.names()?.iter().filter(|name| is_of_draft(name, place.name())) {
        let draft = place.beside(name);
        // Another user may have made it. A directory that cannot be examined is not removed.
        let Ok(directory) = draft.open(false) else { continue };
        if !directory.distrust().is_ok_and(|reason| reason.is_none()) || !is_leftover(&*directory) {
            continue;
        }
        match directory.lock() {
            Ok(LockOutcome::Held(_lock)) => {
                let marks = &[StoreFile::Unfinished, StoreFile::Lock];
                if let Err(error) = Unfinished::of(directory, draft, marks, true).remove() {
                    tracing::warn!(error = error.sentence(), "the remains of a killed run stay");
                }
            }
            Ok(LockOutcome::HeldBy { .. }) => return Err(at_work(draft.path())),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Whether [`create`] may have made `name` for `wanted`.
fn is_of_draft(name: &OsStr, wanted: &OsStr) -> bool {
    let is_random =
        |rest: &[u8]| rest.len() == 17 && rest[0] == b'-' && rest[1..].iter().all(u8::is_ascii_hexdigit);
    let name = name.as_encoded_bytes().strip_prefix(wanted.as_encoded_bytes());
    let rest = name.and_then(|name| name.strip_prefix(SUFFIX.as_bytes()));
    rest.is_some_and(|rest| rest.is_empty() || is_random(rest))
}

/// Whether `place` is missing or an empty directory.
///
/// # Errors
/// [`Error::Occupied`] when it is not a directory, and what the operating system says.
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

/// The files in `directory`: `None` for each name that no store's file has.
///
/// # Errors
/// What the operating system says.
pub(crate) fn files(directory: &dyn Directory) -> io::Result<Vec<Option<StoreFile>>> {
    Ok(directory.names()?.iter().map(|name| StoreFile::parse(name)).collect())
}

/// Whether a killed process left this, and it holds nothing else.
fn is_leftover(directory: &dyn Directory) -> bool {
    let Ok(files) = files(directory) else { return false };
    // If the process was killed before the mark was made, or after all else was removed, LOCK is
    // the only file.
    let is_marked = files.contains(&Some(StoreFile::Unfinished));
    files.iter().all(|file| file.is_some_and(|file| is_marked || file == StoreFile::Lock))
}

fn at_work(path: &Path) -> Error {
    occupied(path, "another process is working in it")
}

fn occupied(path: &Path, reason: &str) -> Error {
    Error::Occupied { path: path.to_owned(), reason: reason.to_owned() }
}
