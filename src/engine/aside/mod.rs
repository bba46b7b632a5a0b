//! Layer 3: a directory in which something is made: of one that never becomes whole nothing stays, or what is known again.

mod place;

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

pub(crate) use self::place::Place;
use super::fs::{Access, Directory, Exclusion, FileSystem, Guarded, LockOutcome, PathKind, StoreFile};
use super::plant::{Plant, planted};
use crate::error::{Error, Result};

/// What is added to the name of the place.
const SUFFIX: &str = ".unfinished";

/// A directory that is being filled. What is dropped before it is kept is emptied, and goes if it was made for that; what cannot
/// be removed stays marked.
#[derive(Debug)]
pub(crate) struct Unfinished {
    place: Place,
    directory: Arc<dyn Directory>,
    /// The files that say what it is: they go last, in this order.
    marks: &'static [StoreFile],
    /// Whether the directory itself goes with what is in it.
    is_made: bool,
    is_kept: bool,
}

impl Unfinished {
    /// `directory`, which is at `place`, has nothing in it but what may be removed, and is marked by `marks` or will be.
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

/// A directory that is made beside the place it is to take, under a name of its own, and takes it when it is whole. One that is
/// killed leaves the directory, with a file in it that says what it is, and the next one to the same place removes it;
/// between that file's end and the new name there is a whole store, which nobody takes for less.
#[derive(Debug)]
pub(crate) struct Aside {
    /// Locked, which keeps others from clearing what is at work. The lock stays with the directory when that is renamed.
    made: Unfinished,
    /// Where it is to be.
    place: Place,
    /// The empty directory that is there.
    replaced: Option<Arc<dyn Directory>>,
}

impl Aside {
    /// An empty directory beside `path`, which is missing or an empty directory. Whose that is, and who may do what in it,
    /// holds for what takes its place: it has to be trusted, or all is.
    ///
    /// # Errors
    /// [`Error::Occupied`] when `path` is anything else, or somebody makes something there; [`Error::Untrusted`]; what the
    /// operating system says.
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
        // LOCK last of all: until then nobody else removes it.
        let marks = &[StoreFile::Unfinished, StoreFile::Lock];
        let directory = Guarded::of(&directory, &exclusion);
        let aside = Self { made: Unfinished::of(directory, draft, marks, true), place, replaced };
        aside.mark()?;
        Ok(aside)
    }

    /// Makes the file that says what this is.
    fn mark(&self) -> Result<()> {
        let directory = self.directory();
        let made = directory.open(StoreFile::Unfinished, Access::Create).map(drop);
        made.map_err(Error::io("create", directory.path(StoreFile::Unfinished)))
    }

    /// Where files are put.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        self.made.directory()
    }

    /// Its path until it is in place.
    pub(crate) fn path(&self) -> &Path {
        self.made.place.path()
    }

    /// Gives the directory, whose files are durable, the name that it was made for.
    ///
    /// # Errors
    /// What the operating system says; nothing is left behind, unless it is in place already.
    pub(crate) fn put_in_place(self) -> Result<()> {
        self.made.take(StoreFile::Unfinished)?;
        self.directory().sync().map_err(Error::io("fsync", self.path()))?;
        let error = |error| Error::io("put what was made in its place,", self.place.path())(error);
        let replaced = self.replaced.as_deref();
        self.made.place.rename(&**self.directory(), &self.place, replaced).map_err(error)?;
        self.made.keep();
        self.place.sync().map_err(error)
    }
}

/// Makes a directory for what is to be at `place`: under its name and [`SUFFIX`], or, where something has that, under one that
/// nobody can foresee.
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

/// Removes what was left where one was killed that was to be at `place`. Anything else that has such a name stays, and is in
/// nobody's way.
fn clear_leftovers(place: &Place) -> Result<()> {
    for name in place.names()?.iter().filter(|name| is_of_draft(name, place.name())) {
        let draft = place.beside(name);
        // Somebody may have put it there, and what cannot be looked at is not removed either.
        let Ok(directory) = draft.open(false) else { continue };
        if !directory.distrust().is_ok_and(|reason| reason.is_none()) || !is_leftover(&*directory) {
            continue;
        }
        match directory.lock() {
            Ok(LockOutcome::Held(_lock)) => {
                let marks = &[StoreFile::Unfinished, StoreFile::Lock];
                if let Err(error) = Unfinished::of(directory, draft, marks, true).remove() {
                    tracing::warn!(error = error.sentence(), "what was left of a killed one stays");
                }
            }
            Ok(LockOutcome::HeldBy { .. }) => return Err(at_work(draft.path())),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Whether `name` is one that [`create`] gives for `wanted`.
fn is_of_draft(name: &OsStr, wanted: &OsStr) -> bool {
    let is_random =
        |rest: &[u8]| rest.len() == 17 && rest[0] == b'-' && rest[1..].iter().all(u8::is_ascii_hexdigit);
    let name = name.as_encoded_bytes().strip_prefix(wanted.as_encoded_bytes());
    let rest = name.and_then(|name| name.strip_prefix(SUFFIX.as_bytes()));
    rest.is_some_and(|rest| rest.is_empty() || is_random(rest))
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

/// Whether this is left where one was killed, and nothing that may be somebody's.
fn is_leftover(directory: &dyn Directory) -> bool {
    let Ok(files) = files(directory) else { return false };
    // A directory that is killed before it could be marked, or when all else was removed from it, holds LOCK alone.
    let is_marked = files.contains(&Some(StoreFile::Unfinished));
    files.iter().all(|file| file.is_some_and(|file| is_marked || file == StoreFile::Lock))
}

fn at_work(path: &Path) -> Error {
    occupied(path, "somebody is at work in it")
}

fn occupied(path: &Path, reason: &str) -> Error {
    Error::Occupied { path: path.to_owned(), reason: reason.to_owned() }
}
