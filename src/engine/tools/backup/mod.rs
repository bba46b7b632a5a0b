//! Backup and restore. A backup is the log as of one moment, in a directory or an archive.
//!
//! A backup holds the segments unchanged and a MANIFEST of its own that lists all of them as
//! sealed. Nothing is ever appended to a copy, so two stores from one backup cannot give a segment
//! two different ends. Hints and KEYDIR are derived, and rebuilt if missing. MANIFEST is put in
//! place last and marks the directory as a backup. The first write to the directory as a store
//! removes that mark, and later backups refuse the directory.
//!
//! A backup reads and checks each segment once, when it adds it. A restore checks every byte before
//! it writes MANIFEST.

mod archive;
mod directory;
mod members;
mod progress;
mod report;
mod restore;
mod source;
mod space;

pub(crate) use archive::into_archive;
pub(crate) use directory::into_directory;
pub use report::{BackupProgress, BackupReport, RestoreReport};
pub use restore::{restore, restore_archive};
pub(crate) use source::BackupSource;
