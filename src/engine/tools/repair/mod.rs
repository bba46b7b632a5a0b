//! Repair — a new store of every record of a damaged one that is intact.
//!
//! It reads the old store's files alone and changes nothing in them. Segments that are whole are copied; of others, what
//! is intact goes into new segments, in the order of the records' numbers, which stay. MANIFEST is made anew, from the old
//! one or, where that cannot be read, from the segments' headers. Then the new store is opened, which reads and checks all
//! of it, before it is said to be one.

mod in_place;
mod loss;
mod make;
mod memory;
mod report;
mod run;
mod source;
mod target;
mod unfinished;
mod walk;

use std::ops::ControlFlow;
use std::path::Path;

pub use in_place::{in_place, settle};
pub use report::{GivenUp, Lost, Now, Reason, RepairProgress, RepairReport};

use self::run::{Repair, held};
#[cfg(doc)]
use crate::engine::base::error::Error;
use crate::engine::base::error::Result;
use crate::engine::files::log_files;
use crate::engine::fs::staging::DirectoryEntry;
use crate::engine::options::Options;

/// Copies the intact records of the store in `from` to a new store in `to`, which is missing or
/// empty, and not inside `from`. No file in `from` is changed. `observe` receives the progress, and
/// cancels with `Break`. Of `options`, only the segment size, the file system and
/// [`Options::trust`] are used.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`], also for `to`, [`Error::Locked`] when a writer has the old
/// store open, [`Error::Unsupported`] for data of a later version, [`Error::Cancelled`] when
/// `observe` returned `Break`, and [`Error::Io`], also when `to` is not empty. New files in `to`
/// are removed, if possible.
pub fn copy(
    from: &Path,
    to: &Path,
    options: &Options,
    observe: &mut dyn FnMut(RepairProgress) -> ControlFlow<()>,
) -> Result<RepairReport> {
    let directory = log_files::enter(from, options)?;
    let _lock = match directory.lock_if_there() {
        // Where LOCK cannot even be read, who writes there cannot be asked. The old store is read alone.
        Err(_) => None,
        Ok(outcome) => outcome.map(held).transpose()?,
    };
    let mut repair = Repair::of(directory, from, options, observe)?;
    let made = repair.make_in(&DirectoryEntry::behind_links(to, &*options.file_system)?)?;
    unfinished::unmark(&**made.directory())?;
    made.keep();
    Ok(repair.report)
}
