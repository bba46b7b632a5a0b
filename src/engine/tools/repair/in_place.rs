//! A repair in place: the new store is made beside the damaged one, then the two exchange names.
//!
//! A crash leaves a whole store under the store's name: the old one or the new one. The other is
//! beside it. Before the exchange, that is the new store, in a directory marked as unfinished,
//! which the next repair removes. After the exchange, it is the old store, which the next repair
//! moves to the path given for it.

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

/// The suffix of the directory in which the new store is made.
const SUFFIX: &str = ".repairing";

/// Repairs the store in `path` in place. Makes the new store as [`copy`](super::copy) does, in a
/// directory with `.repairing` added to the name. Then the two exchange names atomically, and the
/// damaged store is moved unchanged to `damaged_to`, a free path in the same parent directory. The
/// remains of an interrupted repair are removed or moved to `damaged_to` first. The new store gets
/// the owner and the mode of the old one.
///
/// # Errors
/// As [`copy`](super::copy). [`Error::Io`] also if the exchange fails, for example because `path`
/// is a mount point or a symbolic link, or because the names changed meanwhile. The error says
/// which store has which name. The next call finishes the repair.
pub fn in_place(
    path: &Path,
    damaged_to: &Path,
    options: &Options,
    observe: &mut dyn FnMut(RepairProgress) -> ControlFlow<()>,
) -> Result<RepairReport> {
    let directory = log_files::enter(path, options)?;
    let places = RepairPlaces::new(path, damaged_to, options)?;
    // Locking overwrites LOCK, which is the mark.
    let is_marked = unfinished::MARK.is_set(&*directory);
    let lock = held(directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))?)?;
    if is_marked {
        places.finish(&*directory, options.trust)?;
    }
    unfinished::clear_unfinished(&places.new_store, options.trust)?;
    if places.damaged.kind()? != PathKind::Missing {
        return Err(in_the_way(damaged_to, "it exists, and the damaged store needs that name"));
    }
    let mut repair = Repair::new(Arc::clone(&directory), path, options, observe)?;
    let made = repair.make_in(&places.new_store)?;
    let refused = |error| Error::io("give the store's name to", places.new_store.path())(error);
    // If LOCK was replaced, another process may be writing to the store.
    if let Some(reason) = lock.lost().map_err(refused)? {
        return Err(refused(io::Error::other(reason)));
    }
    // From here on, no error may remove this directory: it may be the only whole store.
    let made = made.keep();
    places.store.exchange(&*directory, &places.new_store, &*made).map_err(refused)?;
    sync_names(&places.new_store)?;
    places.move_damaged(&*directory)?;
    unfinished::unmark(&*made)?;
    Ok(repair.report)
}

/// Finishes a repair of the store in `path` that was interrupted after the exchange: moves the
/// damaged store to `damaged_to`. Returns whether that was necessary.
///
/// # Errors
/// As [`in_place`].
pub fn settle(path: &Path, damaged_to: &Path, options: &Options) -> Result<bool> {
    let directory = log_files::enter(path, options)?;
    // A store that was not under repair stays untouched, including LOCK.
    Ok(unfinished::MARK.is_set(&*directory) && {
        let _lock = held(directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))?)?;
        RepairPlaces::new(path, damaged_to, options)?.finish(&*directory, options.trust)?
    })
}

/// The places of a repair in place, all in one parent directory.
struct RepairPlaces {
    store: DirectoryEntry,
    /// The new store until the exchange, then the damaged one.
    new_store: DirectoryEntry,
    /// The damaged store after the repair.
    damaged: DirectoryEntry,
}

impl RepairPlaces {
    fn new(path: &Path, damaged_to: &Path, options: &Options) -> Result<Self> {
        let store = DirectoryEntry::of(path, &*options.file_system)?;
        let name = damaged_to.file_name().filter(|_| damaged_to.parent() == store.path().parent());
        let name =
            name.ok_or_else(|| in_the_way(damaged_to, "it is not in the directory that holds the store"))?;
        Ok(Self { new_store: store.with_suffix(SUFFIX), damaged: store.beside(name), store })
    }

    /// Moves the damaged store that the marked `directory` has replaced, then removes the mark.
    /// Returns whether there was such a store.
    fn finish(&self, directory: &dyn Directory, trusts_all: bool) -> Result<bool> {
        let left = match self.new_store.kind()? {
            PathKind::Directory => Some(self.new_store.open(trusts_all)?),
            PathKind::Missing | PathKind::Other(_) => None,
        };
        let left = left.filter(|left| !unfinished::is_unfinished(&**left));
        if let Some(left) = &left {
            self.move_damaged(&**left)?;
        }
        // This is durable: a mark that a power cut brought back would stay in the store.
        unfinished::unmark(directory)?;
        Ok(left.is_some())
    }

    /// Moves the damaged store `old`, which now has the name of the new store.
    fn move_damaged(&self, old: &dyn Directory) -> Result<()> {
        let renamed = self.new_store.rename(old, &self.damaged);
        renamed.map_err(Error::io("put aside", self.new_store.path()))?;
        sync_names(&self.new_store)
    }
}
