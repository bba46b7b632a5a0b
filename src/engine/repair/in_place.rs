//! A repair in place: the new store is made beside the damaged one, and the two change places.
//!
//! A crash leaves, under the store's name, the old one or the new one, whole, and the other beside it: the new one, until it
//! has changed places, in a directory that is marked as unfinished; the old one as it was. Who comes next removes the first
//! and gives the second the name that it was to have.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::room::{self, in_the_way, sync_names};
use super::{Repair, RepairProgress, RepairReport, held};
use crate::engine::fs::{Directory, FileSystem, Lock, PathKind, StoreFile};
use crate::engine::options::Options;
use crate::engine::survey;
use crate::error::{Error, Result};

/// What is added to the name of a store for that of the directory in which its repair goes on.
const SUFFIX: &str = ".repairing";

/// Repairs the store in `path` where it is, as [`copy`](super::copy) does: the new store is made beside it, in a directory of
/// its name and `.repairing`, and then the two change places in one step. What was there is in `aside` afterwards, as it was;
/// nothing of that name may be there. What a repair of this store that was killed has left beside it is removed or put
/// aside first.
///
/// # Errors
/// As [`copy`](super::copy). [`Error::Io`] also when the two cannot change places, for `path` is a mount point, perhaps: what
/// is under which name is as the error says then, and the next call sees to it.
pub fn in_place(
    path: &Path,
    aside: &Path,
    options: &Options,
    observe: &mut dyn FnMut(RepairProgress) -> ControlFlow<()>,
) -> Result<RepairReport> {
    let (directory, lock) = enter(path, aside, options)?;
    let (file_system, making) = (&*options.file_system, making(path));
    room::clear_unfinished(&options.file_system, &making)?;
    if !matches!(file_system.kind(aside), Ok(PathKind::Missing)) {
        return Err(in_the_way(aside, "it is there, and the damaged store is to be kept under that name"));
    }
    let mut repair = Repair::of(directory, path, options, observe)?;
    let made = repair.make_in(&making)?;
    let refused = |error| Error::io("give the store's name to", &making)(error);
    // Another directory may have taken the place of the damaged one, which was read through its handle.
    if let Some(reason) = lock.lost().map_err(refused)? {
        return Err(refused(io::Error::other(reason)));
    }
    // Whichever of the two is under that name from here on: nothing removes it.
    let made = made.keep();
    file_system.exchange(path, &making).map_err(refused)?;
    sync_names(file_system, &making)?;
    put_aside(file_system, &making, aside)?;
    room::unmark(&*made)?;
    Ok(repair.report)
}

/// Ends what a repair of the store in `path` was killed in after the new store had taken the place of the old one: that gets
/// the name `aside`. Whether there was such a one.
///
/// # Errors
/// As [`in_place`].
pub fn settle(path: &Path, aside: &Path, options: &Options) -> Result<bool> {
    let directory = survey::enter(path, options)?;
    // Nothing of a store that was never repaired is touched, not even its lock.
    Ok(room::is_marked(&*directory) && {
        let _lock = held(directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))?)?;
        finish(path, aside, &*directory, &*options.file_system)?
    })
}

/// The directory `path`, kept from writers, and without a trace of a repair that was killed after the exchange.
fn enter(path: &Path, aside: &Path, options: &Options) -> Result<(Arc<dyn Directory>, Box<dyn Lock>)> {
    let directory = survey::enter(path, options)?;
    // Before the lock is taken, which writes over it.
    let is_marked = room::is_marked(&*directory);
    let lock = held(directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))?)?;
    if is_marked {
        finish(path, aside, &*directory, &*options.file_system)?;
    }
    Ok((directory, lock))
}

/// Puts aside what the store in `path`, which is marked, has taken the place of, and takes the mark away. Whether there was
/// something.
fn finish(
    path: &Path,
    aside: &Path,
    directory: &dyn Directory,
    file_system: &dyn FileSystem,
) -> Result<bool> {
    let making = making(path);
    let is_left = match file_system.kind(&making).map_err(Error::io("open", &making))? {
        PathKind::Directory => {
            let left = file_system.open_directory(&making).map_err(Error::io("open", &making))?;
            !room::is_unfinished(&*left)
        }
        PathKind::Missing | PathKind::Other(_) => false,
    };
    if is_left {
        put_aside(file_system, &making, aside)?;
    }
    // For good: a mark that a power cut brings back would go with the store when it is put aside itself.
    room::unmark(directory)?;
    Ok(is_left)
}

fn put_aside(file_system: &dyn FileSystem, making: &Path, aside: &Path) -> Result<()> {
    file_system.rename_directory(making, aside).map_err(Error::io("put aside", making))?;
    sync_names(file_system, making)
}

/// Where the store that is to take the place of the one in `path` is made.
fn making(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}
