//! A repair in place: the new store is made beside the damaged one, and the two change places.
//!
//! A crash leaves, under the store's name, the old one or the new one, whole, and the other beside it: the new one, until it
//! has changed places, in a directory that is marked as unfinished; the old one as it was. Who comes next removes the first
//! and gives the second the name that it was to have.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::report::{RepairProgress, RepairReport};
use super::run::{Repair, held};
use super::unfinished::{self, in_the_way, sync_names};
use crate::engine::base::error::{Error, Result};
use crate::engine::files::log_files;
use crate::engine::fs::staging::DirectoryEntry;
use crate::engine::fs::{Directory, PathKind, StoreFile};
use crate::engine::options::Options;

/// What is added to the name of a store for that of the directory in which its repair goes on.
const SUFFIX: &str = ".repairing";

/// Repairs the store in `path` in place. [`copy`](super::copy) makes the new store beside it, in a
/// directory with `.repairing` added to its name; then the two exchange names atomically. The
/// damaged store is moved to `aside`, unchanged: a free path in the same parent directory. The
/// remains of a killed repair of this store are removed or moved aside first. The new store has the
/// owner and the mode of the old one.
///
/// # Errors
/// As [`copy`](super::copy). [`Error::Io`] also if the exchange fails: `path` is a mount point or a
/// symbolic link, for example, or the names changed. The error says which store has which name, and
/// the next call finishes the repair.
pub fn in_place(
    path: &Path,
    aside: &Path,
    options: &Options,
    observe: &mut dyn FnMut(RepairProgress) -> ControlFlow<()>,
) -> Result<RepairReport> {
    let directory = log_files::enter(path, options)?;
    let places = Places::of(path, aside, options)?;
    // Read before the lock is taken, which overwrites it.
    let is_marked = unfinished::MARK.is_set(&*directory);
    let lock = held(directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))?)?;
    if is_marked {
        places.finish(&*directory, options.trust)?;
    }
    unfinished::clear_unfinished(&places.making, options.trust)?;
    if places.aside.kind()? != PathKind::Missing {
        return Err(in_the_way(aside, "it is there, and the damaged store is to be kept under that name"));
    }
    let mut repair = Repair::of(Arc::clone(&directory), path, options, observe)?;
    let made = repair.make_in(&places.making)?;
    let refused = |error| Error::io("give the store's name to", places.making.path())(error);
    // LOCK may have been replaced, and another process may write there.
    if let Some(reason) = lock.lost().map_err(refused)? {
        return Err(refused(io::Error::other(reason)));
    }
    // From here on nothing removes that directory, whichever of the two it is.
    let made = made.keep();
    places.store.exchange(&*directory, &places.making, &*made).map_err(refused)?;
    sync_names(&places.making)?;
    places.put_aside(&*directory)?;
    unfinished::unmark(&*made)?;
    Ok(repair.report)
}

/// Ends what a repair of the store in `path` was killed in after the new store had taken the place of the old one: that gets
/// the name `aside`. Whether there was such a one.
///
/// # Errors
/// As [`in_place`].
pub fn settle(path: &Path, aside: &Path, options: &Options) -> Result<bool> {
    let directory = log_files::enter(path, options)?;
    // Nothing of a store that was never repaired is touched, not even its lock.
    Ok(unfinished::MARK.is_set(&*directory) && {
        let _lock = held(directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))?)?;
        Places::of(path, aside, options)?.finish(&*directory, options.trust)?
    })
}

/// The names of a repair, all in the store's parent directory.
struct Places {
    store: DirectoryEntry,
    /// The new store.
    making: DirectoryEntry,
    /// The damaged store, after the repair.
    aside: DirectoryEntry,
}

impl Places {
    fn of(path: &Path, aside: &Path, options: &Options) -> Result<Self> {
        let store = DirectoryEntry::of(path, &*options.file_system)?;
        let name = aside.file_name().filter(|_| aside.parent() == store.path().parent());
        let name =
            name.ok_or_else(|| in_the_way(aside, "it is not in the directory that holds the store"))?;
        Ok(Self { making: store.with_suffix(SUFFIX), aside: store.beside(name), store })
    }

    /// Moves aside the store that `directory`, which is marked, has replaced, and removes the mark.
    /// Returns whether there was one.
    fn finish(&self, directory: &dyn Directory, trusts_all: bool) -> Result<bool> {
        let left = match self.making.kind()? {
            PathKind::Directory => Some(self.making.open(trusts_all)?),
            PathKind::Missing | PathKind::Other(_) => None,
        };
        let left = left.filter(|left| !unfinished::is_unfinished(&**left));
        if let Some(left) = &left {
            self.put_aside(&**left)?;
        }
        // Durably: a mark that returned after a power cut would stay with the store.
        unfinished::unmark(directory)?;
        Ok(left.is_some())
    }

    /// Moves `old`, which has the new store's former name, aside.
    fn put_aside(&self, old: &dyn Directory) -> Result<()> {
        let renamed = self.making.rename(old, &self.aside);
        renamed.map_err(Error::io("put aside", self.making.path()))?;
        sync_names(&self.making)
    }
}
