//! Reads at a point of the log: snapshots, scans, history, and the change feed.

pub(crate) mod changes;
pub(crate) mod history;
pub(crate) mod merge;
pub(crate) mod scan;
pub(crate) mod snapshot;
