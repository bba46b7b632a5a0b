//! The files of a store directory as found: MANIFEST, the segments, and the tail of the log.

pub(crate) mod found_segment;
pub(crate) mod log_files;
pub(crate) mod manifest_file;
pub(crate) mod tail;
