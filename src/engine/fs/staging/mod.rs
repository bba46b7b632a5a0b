//! Staging directories and files, which are removed unless they are committed.

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

/// The suffix of a staging directory's name.
const SUFFIX: &str = ".unfinished";

/// The files that mark a staging directory. LOCK is removed last, because it keeps other processes
/// from removing the directory.
const MARKS: &[StoreFile] = &[StoreFile::Unfinished, StoreFile::Lock];

/// A directory that is being filled. Unless it is kept, dropping it removes its files, and the
/// directory if it was created for this. If that fails, it stays marked.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    directory: Arc<dyn Directory>,
    /// The files that mark it as unfinished. They are removed last, in this order.
    marks: &'static [StoreFile],
    /// Its entry if it was created for this. The directory is then removed, too.
    made_at: Option<DirectoryEntry>,
    is_kept: bool,
}

impl Unfinished {
    /// Returns the unfinished `directory` at `path`. All its files may be removed. `marks` mark it,
    /// now or soon. `made_at` is its entry if it was created for this.
    pub(crate) fn of(
        directory: Arc<dyn Directory>,
        path: &Path,
        marks: &'static [StoreFile],
        made_at: Option<DirectoryEntry>,
    ) -> Self {
        Self { path: path.to_owned(), directory, marks, made_at, is_kept: false }
    }

    /// Returns the directory.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// Keeps the directory and returns it.
    pub(crate) fn keep(mut self) -> Arc<dyn Directory> {
        self.is_kept = true;
        Arc::clone(&self.directory)
    }

    /// Removes its files, and the directory if it was created for this.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub(crate) fn remove(mut self) -> Result<()> {
        self.is_kept = true;
        self.take_away()
    }

    fn take_away(&self) -> Result<()> {
        self.clear()?;
        // The marks stay until the removal of everything else is durable.
        self.sync()?;
        let files = self.files()?;
        let marks = self.marks.iter().filter(|mark| files.contains(mark));
        marks.copied().try_for_each(|mark| self.take(mark))?;
        match &self.made_at {
            Some(entry) => entry.remove(&*self.directory).map_err(Error::io("remove", &self.path)),
            None => Ok(()),
        }
    }

    /// Removes the files of the store that are not marks.
    fn clear(&self) -> Result<()> {
        let files = self.files()?;
        if files.contains(&StoreFile::Manifest) {
            // Otherwise a crash could leave a store without some of its segments.
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

/// A directory that is being filled. Its MANIFEST is written last.
///
/// A missing directory is created beside its path and renamed when it is complete. If the process
/// is killed, the directory stays, with a mark, and the next process that fills the same path
/// removes it. After the mark is removed and before the rename, it is a complete store, and no
/// process removes it.
///
/// An existing directory is filled in place, because it may be a mount point, its parent may be
/// read-only, and other processes may have it open. If the process is killed, the directory stays,
/// with a mark and without a MANIFEST, so that it is not a store. The next process that fills it
/// removes the remains.
#[derive(Debug)]
pub(crate) struct Staging {
    /// The directory, locked so that no other process clears it. The lock survives the rename.
    made: Unfinished,
    /// Its final entry; `None` if it is filled in place.
    entry: Option<DirectoryEntry>,
}

impl Staging {
    /// Returns an empty, marked directory for `path`, which is missing or a vacant directory. Links
    /// are followed. An existing directory must be trusted, unless `trusts_all`.
    ///
    /// # Errors
    /// [`Error::Occupied`] if `path` is anything else, or if another process is filling it;
    /// [`Error::Untrusted`]; errors of the operating system.
    pub(crate) fn of(path: &Path, file_system: &Arc<dyn FileSystem>, trusts_all: bool) -> Result<Self> {
        let entry = DirectoryEntry::behind_links(path, &**file_system)?;
        match entry.kind()? {
            PathKind::Missing => Self::beside(entry, &**file_system),
            PathKind::Directory => Self::inside(&entry, trusts_all),
            PathKind::Other(what) => Err(Error::occupied(path, format!("it is {what}"))),
        }
    }

    fn beside(entry: DirectoryEntry, file_system: &dyn FileSystem) -> Result<Self> {
        clear_leftovers(&entry)?;
        let (draft, directory) = create(&entry, file_system)?;
        let directory = locked(&directory, draft.path())?;
        let path = draft.path().to_owned();
        let made = Unfinished::of(directory, &path, MARKS, Some(draft));
        let staging = Self { made, entry: Some(entry) };
        MARK.set(&**staging.directory())?;
        Ok(staging)
    }

    fn inside(entry: &DirectoryEntry, trusts_all: bool) -> Result<Self> {
        let directory = entry.open(trusts_all)?;
        let path = entry.path();
        // Taking the lock creates a file. An occupied directory must stay unchanged.
        check_vacant(&*directory, path)?;
        check_trusted(&*directory, path, trusts_all)?;
        let directory = locked(&directory, path)?;
        check_vacant(&*directory, path)?;
        let made = Unfinished::of(directory, path, MARKS, None);
        // The mark of the killed process stays until its remains are gone.
        made.clear()?;
        made.sync()?;
        if made.files()?.contains(&StoreFile::Unfinished) {
            made.take(StoreFile::Unfinished)?;
        }
        MARK.set(&**made.directory())?;
        Ok(Self { made, entry: None })
    }

    /// Returns the directory.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        self.made.directory()
    }

    /// Gives the directory, which is complete and durable with its MANIFEST, its final name.
    ///
    /// # Errors
    /// Errors of the operating system. The directory is removed unless it was already renamed.
    pub(crate) fn put_in_place(self) -> Result<()> {
        let Self { made, entry: Some(entry) } = self else { return self.unmark() };
        made.take(StoreFile::Unfinished)?;
        made.sync()?;
        let error = |error| Error::io("put the new directory at", entry.path())(error);
        let draft = made.made_at.as_ref().expect("a directory with a final entry was created for this");
        draft.rename(&**made.directory(), &entry).map_err(error)?;
        made.keep();
        entry.sync().map_err(error)
    }

    /// Removes the mark. If this fails, the directory is a store nevertheless, since it has a
    /// MANIFEST.
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

/// Locks `directory` and returns it guarded by the lock.
fn locked(directory: &Arc<dyn Directory>, path: &Path) -> Result<Arc<dyn Directory>> {
    match directory.lock().map_err(Error::io("write to", path))? {
        LockOutcome::Held(lock) => Ok(Guarded::of(directory, &Exclusion::new(lock))),
        LockOutcome::HeldBy { .. } => Err(at_work(path)),
    }
}

fn check_vacant(directory: &dyn Directory, path: &Path) -> Result<()> {
    match occupant(directory).map_err(Error::io("read", path))? {
        Some(what) => Err(Error::occupied(path, format!("it is not empty, and holds {what}"))),
        None => Ok(()),
    }
}

/// Creates a staging directory for `entry`. [`SUFFIX`] is added to the name, and random digits if
/// that name is taken.
fn create(
    entry: &DirectoryEntry,
    file_system: &dyn FileSystem,
) -> Result<(DirectoryEntry, Arc<dyn Directory>)> {
    let mut draft = entry.with_suffix(SUFFIX);
    loop {
        match draft.create() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let mut random = [0; 8];
                let filled = file_system.random(&mut random);
                filled.map_err(Error::io("read", "the system's random numbers"))?;
                draft = entry.with_suffix(&format!("{SUFFIX}-{:016x}", u64::from_le_bytes(random)));
            }
            made => return made.map_err(Error::io("create", entry.path())).map(|made| (draft, made)),
        }
    }
}

/// Removes the staging directories that killed processes left for `entry`. Anything else with such
/// a name is ignored.
fn clear_leftovers(entry: &DirectoryEntry) -> Result<()> {
    for name in entry.names()?.iter().filter(|name| is_of_draft(name, entry.name())) {
        let draft = entry.beside(name);
        // Another user may have created it. A directory that cannot be examined is not removed.
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

/// Returns whether [`create`] may have given this name to a staging directory for `wanted`.
fn is_of_draft(name: &OsStr, wanted: &OsStr) -> bool {
    let is_random =
        |rest: &[u8]| rest.len() == 17 && rest[0] == b'-' && rest[1..].iter().all(u8::is_ascii_hexdigit);
    let name = name.as_encoded_bytes().strip_prefix(wanted.as_encoded_bytes());
    let rest = name.and_then(|name| name.strip_prefix(SUFFIX.as_bytes()));
    rest.is_some_and(|rest| rest.is_empty() || is_random(rest))
}

/// Returns whether `path` is missing or a vacant directory.
///
/// # Errors
/// [`Error::Occupied`] if it is not a directory; errors of the operating system.
pub(crate) fn is_free(path: &Path, file_system: &dyn FileSystem) -> Result<bool> {
    match file_system.kind(path).map_err(Error::io("open", path))? {
        PathKind::Missing => Ok(true),
        PathKind::Other(what) => Err(Error::occupied(path, format!("it is {what}"))),
        PathKind::Directory => {
            let directory = file_system.open_directory(path).map_err(Error::io("open", path))?;
            Ok(occupant(&*directory).map_err(Error::io("read", path))?.is_none())
        }
    }
}

fn at_work(path: &Path) -> Error {
    Error::occupied(path, "another process is working in it")
}
