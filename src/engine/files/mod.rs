//! A directory's files as they are found.

pub(crate) mod found_segment;
pub(crate) mod log_files;
pub(crate) mod manifest_file;
pub(crate) mod tail;
