//! Reads that last: a snapshot, a scan, the past, the feed of changes.

pub(crate) mod changes;
pub(crate) mod history;
mod merge;
pub(crate) mod scan;
pub(crate) mod snapshot;
