//! Backup — the log up to one moment, in a directory or in an archive, and a store made of it again.
//!
//! A backup holds the segments as they are and a MANIFEST of their own, in which all are sealed: nothing is ever appended to
//! a copy, so two stores that come of one backup never give the same segment different ends. What is derived from the log is
//! made anew where it is missing. MANIFEST is put in place last and says that this is a backup; the first write to it as to a
//! store takes that out, and from then on no backup is put there.
//!
//! A backup reads and checks each segment once, when it adds it. Restoring checks every byte of all of them before it
//! writes MANIFEST.

mod archive;
mod course;
mod directory;
mod members;
mod report;
mod restore;
mod room;
mod source;

pub(crate) use archive::into_archive;
pub(crate) use directory::into_directory;
pub use report::{BackupProgress, BackupReport, RestoreReport};
pub use restore::{restore, restore_archive};
pub(crate) use source::Source;
