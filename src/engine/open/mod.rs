//! Opens a store: turns the files of a directory into a state and, for writing, a log.

mod enter;
pub(crate) mod follow;
mod index;
mod load;
pub(crate) mod opened;
mod orphans;
pub(crate) mod read_only;
mod recover;
pub(crate) mod seen;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use self::opened::{Opened, OpenedAs};
use crate::engine::base::error::Result;
use crate::engine::base::escape::Visible;
use crate::engine::options::Options;

/// Opens the store at `path`.
///
/// # Errors
/// As [`Store::open_with`](crate::Store::open_with). An open that fails loses no record. It may
/// have created the store, or cut off a torn tail.
pub(crate) fn open(path: &Path, options: &Options) -> Result<(Opened, OpenedAs)> {
    let started = Instant::now();
    let _span =
        tracing::info_span!("open", path = %Visible::path(path), read_only = options.read_only).entered();
    let directory = enter::enter(path, options)?;
    let (mut opened, opened_as) = if options.read_only {
        let (opened, seen) = read_only::open_read_only(&directory, options, None)?;
        (opened, OpenedAs::Reader(seen))
    } else {
        recover::recover(path, &directory, options)?
    };
    Arc::make_mut(&mut opened.report).took = started.elapsed();
    log_events(&opened);
    Ok((opened, opened_as))
}

fn log_events(opened: &Opened) {
    let report = &opened.report;
    if report.unclean {
        tracing::info!(
            outgrown = report.outgrown,
            "the last writer did not close the store, another process has it open, or \
             its last segment has grown"
        );
    }
    if let Some(torn) = &report.torn {
        tracing::warn!(at = %torn.at, bytes = torn.len, "the log has a torn tail");
    }
    let segments = opened.state.segments().iter().len();
    let keys = opened.state.keydir.count();
    let indexed = report.record_count;
    let damaged = report.damage.len();
    tracing::info!(segments, keys, indexed, damaged, took = ?report.took, "opened");
}
