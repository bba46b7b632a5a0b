//! Staging directories and files, removed unless they are committed.

mod contents;
mod entry;
mod file;
mod mark;

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use self::contents::{check_trusted, files};
use self::contents::{is_leftover, occupant};
pub(crate) use self::entry::DirectoryEntry;
pub(crate) use self::file::{StagedFile, create_file, remove_if_there};
pub(crate) use self::mark::{MARK, Mark};
use super::{Directory, Exclusion, FileSystem, Guarded, LockOutcome, PathKind, StoreFile};
use crate::engine::base::error::{Error, Result};

/// Added to the final name.
const SUFFIX: &str = ".unfinished";

/// UNFINISHED marks the directory. LOCK is last: it keeps other processes from removing the directory.
const MARKS: &[StoreFile] = &[StoreFile::Unfinished, StoreFile::Lock];

/// A directory being filled. Dropping it before it is kept removes its files, and the directory if
/// it was made for this. It stays marked if that fails.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    directory: Arc<dyn Directory>,
    /// The files that mark it as unfinished, removed last, in this order.
    marks: &'static [StoreFile],
    /// Its place if it was made for this: then the directory is removed too.
    made_at: Option<DirectoryEntry>,
    is_kept: bool,
}

impl Unfinished {
    /// `directory`, at `path`. Its files may all be removed; `marks` mark it, now or soon. `made_at`
    /// is its place if it was made for this.
    pub(crate) fn of(
        directory: Arc<dyn Directory>,
        path: &Path,
        marks: &'static [StoreFile],
        made_at: Option<DirectoryEntry>,
    ) -> Self {
        Self { path: path.to_owned(), directory, marks, made_at, is_kept: false }
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
        self.sync()?;
        let files = self.files()?;
        let marks = self.marks.iter().filter(|mark| files.contains(mark));
        marks.copied().try_for_each(|mark| self.take(mark))?;
        match &self.made_at {
            Some(place) => place.remove(&*self.directory).map_err(Error::io("remove", &self.path)),
            None => Ok(()),
        }
    }

    /// Removes the store's files that are not its marks.
    fn clear(&self) -> Result<()> {
        let files = self.files()?;
        if files.contains(&StoreFile::Manifest) {
            // Otherwise a crash could leave a store that has lost segments.
            self.take(StoreFile::Manifest)?;
            self.sync()?;
        }
        let is_left = |file: &StoreFile| *file != StoreFile::Manifest && !self.marks.contains(file);
        files.into_iter().filter(is_left).try_for_each(|file| self.take(file))
    }

    fn files(&self) -> Result<Vec<StoreFile>> {
        let files = files(&*self.directory).map_err(Error::io("read", &self.path))?;
        Ok(files.into_iter().flatten().collect())
    }

    fn take(&self, file: StoreFile) -> Result<()> {
        self.directory.remove(file).map_err(Error::io("remove", self.directory.path(file)))
    }

    fn sync(&self) -> Result<()> {
        self.directory.sync().map_err(Error::io("fsync", &self.path))
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

/// A directory being filled, whose MANIFEST is written last.
///
/// A missing one is made beside its place, and renamed when it is complete. A process that is killed
/// leaves it, with a file that marks it, and the next one for the same place removes it. Between the
/// removal of that file and the rename it is a complete store, and is left alone.
///
/// One that exists is filled where it is: it may be a mount point, its parent may be read-only, and
/// other processes may have it open. A killed process leaves it marked and without MANIFEST, which is
/// not a store, and the next one for the same directory removes the remains.
#[derive(Debug)]
pub(crate) struct Staging {
    /// Locked, so that no other process clears it. The lock survives the rename.
    made: Unfinished,
    /// Its final place; `None` if it is there.
    place: Option<DirectoryEntry>,
}

impl Staging {
    /// An empty directory for `path`, which is missing or a vacant directory. Links are followed.
    /// A directory that exists must be trusted, unless all is.
    ///
    /// # Errors
    /// [`Error::Occupied`] when `path` is anything else, or another process is creating it;
    /// [`Error::Untrusted`]; what the operating system says.
    pub(crate) fn of(path: &Path, file_system: &Arc<dyn FileSystem>, trusts_all: bool) -> Result<Self> {
        let place = DirectoryEntry::behind_links(path, &**file_system)?;
        match place.kind()? {
            PathKind::Missing => Self::beside(place, &**file_system),
            PathKind::Directory => Self::inside(&place, trusts_all),
            PathKind::Other(what) => Err(occupied(path, &format!("it is {what}"))),
        }
    }

    fn beside(place: DirectoryEntry, file_system: &dyn FileSystem) -> Result<Self> {
        clear_leftovers(&place)?;
        let (draft, directory) = create(&place, file_system)?;
        let directory = locked(&directory, draft.path())?;
        let path = draft.path().to_owned();
        let made = Unfinished::of(directory, &path, MARKS, Some(draft));
        let staging = Self { made, place: Some(place) };
        MARK.set(&**staging.directory())?;
        Ok(staging)
    }

    fn inside(place: &DirectoryEntry, trusts_all: bool) -> Result<Self> {
        let (directory, path) = (place.open(trusts_all)?, place.path());
        // Before the lock, which is itself a file: an occupied directory must stay untouched.
        check_vacant(&*directory, path)?;
        check_trusted(&*directory, path, trusts_all)?;
        let directory = locked(&directory, path)?;
        check_vacant(&*directory, path)?;
        let made = Unfinished::of(directory, path, MARKS, None);
        // The remains of a killed process go before their mark is made anew.
        made.clear()?;
        made.sync()?;
        if made.files()?.contains(&StoreFile::Unfinished) {
            made.take(StoreFile::Unfinished)?;
        }
        MARK.set(&**made.directory())?;
        Ok(Self { made, place: None })
    }

    /// Where files are put.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        self.made.directory()
    }

    /// Gives the directory, which is complete and durable with its MANIFEST, its final name.
    ///
    /// # Errors
    /// What the operating system says; the directory is removed, unless it was renamed already.
    pub(crate) fn put_in_place(self) -> Result<()> {
        let Self { made, place: Some(place) } = self else { return self.unmark() };
        made.take(StoreFile::Unfinished)?;
        made.sync()?;
        let error = |error| Error::io("put the new directory at", place.path())(error);
        let draft = made.made_at.as_ref().expect("it was made beside its place");
        draft.rename(&**made.directory(), &place).map_err(error)?;
        made.keep();
        place.sync().map_err(error)
    }

    /// Removes the mark. With its MANIFEST the directory is a store, even if this fails.
    fn unmark(self) -> Result<()> {
        let path = self.made.path.clone();
        let directory = self.made.keep();
        let removed = directory.remove(StoreFile::Unfinished).and_then(|()| directory.sync());
        if let Err(error) = removed {
            tracing::warn!(path = %path.display(), %error, "the mark of an unfinished directory stays");
        }
        Ok(())
    }
}

/// `directory`, changed only while this process has its lock.
fn locked(directory: &Arc<dyn Directory>, path: &Path) -> Result<Arc<dyn Directory>> {
    match directory.lock().map_err(Error::io("write to", path))? {
        LockOutcome::Held(lock) => Ok(Guarded::of(directory, &Exclusion::new(lock))),
        LockOutcome::HeldBy { .. } => Err(at_work(path)),
    }
}

fn check_vacant(directory: &dyn Directory, path: &Path) -> Result<()> {
    match occupant(directory).map_err(Error::io("read", path))? {
        Some(what) => Err(occupied(path, &format!("it is not empty, and holds {what}"))),
        None => Ok(()),
    }
}

/// Makes a staging directory for `place`: its name has [`SUFFIX`] added, and random digits if that
/// name is taken.
fn create(
    place: &DirectoryEntry,
    file_system: &dyn FileSystem,
) -> Result<(DirectoryEntry, Arc<dyn Directory>)> {
    let mut draft = place.with_suffix(SUFFIX);
    loop {
        match draft.create() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let mut random = [0; 8];
                let filled = file_system.random(&mut random);
                filled.map_err(Error::io("read", "the system's random numbers"))?;
                draft = place.with_suffix(&format!("{SUFFIX}-{:016x}", u64::from_le_bytes(random)));
            }
            made => return made.map_err(Error::io("create", place.path())).map(|made| (draft, made)),
        }
    }
}

/// Removes the staging directories that killed processes left for `place`. Anything else with such
/// a name is left alone, and blocks nothing.
fn clear_leftovers(place: &DirectoryEntry) -> Result<()> {
    for name in place.names()?.iter().filter(|name| is_of_draft(name, place.name())) {
        let draft = place.beside(name);
        // Another user may have made it. A directory that cannot be examined is not removed.
        let Ok(directory) = draft.open(false) else { continue };
        if !directory.distrust().is_ok_and(|reason| reason.is_none()) || !is_leftover(&*directory) {
            continue;
        }
        match directory.lock() {
            Ok(LockOutcome::Held(_lock)) => {
                let path = draft.path().to_owned();
                if let Err(error) = Unfinished::of(directory, &path, MARKS, Some(draft)).remove() {
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

/// Whether `path` is missing or a vacant directory.
///
/// # Errors
/// [`Error::Occupied`] when it is not a directory, and what the operating system says.
pub(crate) fn is_free(path: &Path, file_system: &dyn FileSystem) -> Result<bool> {
    match file_system.kind(path).map_err(Error::io("open", path))? {
        PathKind::Missing => Ok(true),
        PathKind::Other(what) => Err(occupied(path, &format!("it is {what}"))),
        PathKind::Directory => {
            let directory = file_system.open_directory(path).map_err(Error::io("open", path))?;
            Ok(occupant(&*directory).map_err(Error::io("read", path))?.is_none())
        }
    }
}

fn at_work(path: &Path) -> Error {
    occupied(path, "another process is working in it")
}

fn occupied(path: &Path, reason: &str) -> Error {
    Error::Occupied { path: path.to_owned(), reason: reason.to_owned() }
}
