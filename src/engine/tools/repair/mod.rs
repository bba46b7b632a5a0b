//! Repair: a new store from the intact records of a damaged one.
//!
//! A repair only reads the files of the old store. It copies intact segments, and writes the intact
//! records of other segments into new ones, in the order of their sequence numbers, which they
//! keep. MANIFEST is derived from the old one or, if that cannot be read, from the segment headers.
//! Opening the new store reads and checks all of it before the repair succeeds.

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
/// empty and not inside `from`. Changes no file in `from`. `observe` receives the progress, and
/// cancels with `Break`. Only the segment size, the file system and [`Options::trust`] of `options`
/// are used.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`] and [`Error::Untrusted`] for either directory;
/// [`Error::Locked`] if a writer has the old store open; [`Error::Unsupported`] for data of a later
/// version; [`Error::Cancelled`] if `observe` returned `Break`; [`Error::Io`], also if `to` is not
/// empty. After an error, the new files in `to` are removed if possible.
pub fn copy(
    from: &Path,
    to: &Path,
    options: &Options,
    observe: &mut dyn FnMut(RepairProgress) -> ControlFlow<()>,
) -> Result<RepairReport> {
    let directory = log_files::enter(from, options)?;
    let _lock = match directory.lock_if_there() {
        // If LOCK cannot be read, a writer cannot be detected. The old store is only read anyway.
        Err(_) => None,
        Ok(outcome) => outcome.map(held).transpose()?,
    };
    let mut repair = Repair::new(directory, from, options, observe)?;
    let made = repair.make_in(&DirectoryEntry::behind_links(to, &*options.file_system)?)?;
    unfinished::unmark(&**made.directory())?;
    made.keep();
    Ok(repair.report)
}
