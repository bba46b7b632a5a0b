//! What can go wrong, in sentences.

mod damage;

use std::io;
use std::path::PathBuf;

pub use damage::Damage;

use super::batch::Expiry;
use super::cursor::Cursor;
use super::escape::{Grouped, Visible};
use super::ids::{Lineage, Location, SegmentId, Seqno};

/// The result of anything a store does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed. `Display` is a sentence for people; the fields are for programs; `source` is the cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action} {}", Visible::path(path))]
    Io {
        /// What was tried, as a verb: `open`, `write`, `fsync`.
        action: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no store at this path, and it was not to be created.
    #[error("there is no store at {}", Visible::path(path))]
    Missing {
        /// The path that was to be opened.
        path: PathBuf,
    },
    /// The path is there, but is not a store's directory; nothing in it was touched.
    #[error("{} is not a logkv store: {reason}", Visible::path(path))]
    Foreign {
        /// The path that was to be opened.
        path: PathBuf,
        /// Why it is taken for something else.
        reason: String,
    },
    /// A backup or a restore into this directory was interrupted. Nothing in it was touched.
    #[error(
        "{} is not a store yet: a backup or a restore into it was interrupted; run it again, or remove the directory",
        Visible::path(path)
    )]
    Unfinished {
        /// The path that was to be opened.
        path: PathBuf,
    },
    /// The directory could be changed by someone else, so what it holds is not trusted.
    #[error("{} {reason}; it is opened only when it is to be trusted", Visible::path(path))]
    Untrusted {
        /// The path that was to be opened.
        path: PathBuf,
        /// Whose it is, or who may write to it.
        reason: String,
    },
    /// A place that something was to be made in is taken; what is there stays as it is.
    #[error("nothing is put into {}: {reason}", Visible::path(path))]
    Occupied {
        /// The place.
        path: PathBuf,
        /// What is there.
        reason: String,
    },
    /// The source of a restore is not a backup of a store. Nothing was made.
    #[error("this is not a backup: {reason}")]
    NotABackup {
        /// What it is or holds.
        reason: String,
    },
    /// The backup differs from what was written. Nothing was made.
    #[error("the backup cannot be restored: {reason}")]
    BackupDamaged {
        /// What is wrong with it.
        reason: String,
    },
    /// Another writer has the store open.
    #[error("{} has this store open; try --read-only", holder(*pid))]
    Locked {
        /// The holder, as it wrote itself into LOCK; `None` when that cannot be read.
        pid: Option<u32>,
    },
    /// The files were written by a version of logkv that this one cannot read.
    #[error("{what} has format {found}, which this version cannot read (it reads {supported})")]
    Unsupported {
        /// The file.
        what: String,
        /// The version, or the unknown feature, that it names.
        found: String,
        /// What would have been read.
        supported: String,
    },
    /// MANIFEST cannot be read as one.
    #[error("MANIFEST is damaged: {reason}; the segments are untouched")]
    ManifestDamaged {
        /// What is wrong with it, and in which line.
        reason: String,
    },
    /// MANIFEST lists a segment whose file is not there.
    #[error("segment {segment} is listed in MANIFEST, and its file is missing")]
    SegmentMissing {
        /// The segment.
        segment: SegmentId,
    },
    /// A segment's bytes are not what was written. Only the record named is lost; all others stay readable.
    #[error("segment {segment} is damaged at byte {offset} ({offset:#x}): {damage}")]
    Damaged {
        /// The segment.
        segment: SegmentId,
        /// The first byte of the damaged record, or of the damaged range.
        offset: u64,
        /// What is wrong there.
        damage: Damage,
    },
    /// The active segment has a hole that had been made durable: not a crash's torn tail, but rot. Opening for
    /// writing would cut off the records behind it.
    #[error(
        "segment {segment} is damaged at byte {offset} ({offset:#x}), before records that were durable (record {witness}); \
         nothing was changed: open it with --read-only to read the rest"
    )]
    Rot {
        /// The active segment.
        segment: SegmentId,
        /// The first byte that is not a valid record.
        offset: u64,
        /// The number of the later record that proves it.
        witness: Seqno,
    },
    /// A key is empty, or longer than 65,535 bytes.
    #[error("a key has 1 to 65,535 bytes; this one has {}", Grouped(*len as u64))]
    KeyLength {
        /// The key's length in bytes.
        len: usize,
    },
    /// A value is longer than the store's limit.
    #[error("a value has at most {} bytes here; this one has {}", Grouped(*limit), Grouped(*len as u64))]
    ValueLength {
        /// The value's length in bytes.
        len: usize,
        /// The limit in force, in bytes (see [`Options::value_len_max`](crate::Options::value_len_max)).
        limit: u64,
    },
    /// A compressed value is larger than the read limit. It is not known to be damaged.
    #[error(
        "the value at byte {offset} ({offset:#x}) of segment {segment} decompresses to {} bytes; \
         the limit here is {}",
        Grouped(*len), Grouped(*limit)
    )]
    ValueTooLarge {
        /// The segment.
        segment: SegmentId,
        /// The first byte of its record.
        offset: u64,
        /// The value's length in bytes, as its record says.
        len: u64,
        /// The limit in force, in bytes (see [`Options::value_read_max`](crate::Options::value_read_max)).
        limit: u64,
    },
    /// An expiry is later than [`Expiry::AT_MS_MAX`].
    #[error("a key expires at most {} ms after 1970, or never; this expiry is later", Expiry::AT_MS_MAX)]
    ExpiryTooLate,
    /// A batch is larger than a segment can be.
    #[error("a batch takes at most {} bytes; this one takes {}", Grouped(*limit), Grouped(*len))]
    BatchLength {
        /// What the batch would take, in bytes.
        len: u64,
        /// The largest segment, in bytes.
        limit: u64,
    },
    /// The log has no room for another segment's pages.
    #[error("the store is full: its log has reached 8 TiB or 131,072 segments")]
    Full,
    /// No number is left for another record or segment. No store reaches this by counting: somebody wrote
    /// the number into MANIFEST. Nothing was written, and the store stays readable.
    #[error(
        "nothing was written: {counter} in MANIFEST is {number}, and no number is left after it; \
         `logkv repair` makes a store that continues from its records' numbers"
    )]
    NumbersSpent {
        /// The counter's name in MANIFEST.
        counter: &'static str,
        /// Its value.
        number: u64,
    },
    /// A write was asked of a store opened read-only.
    #[error("the store was opened read-only")]
    ReadOnly,
    /// The store was closed through another handle, or belongs to the process that this one was forked from.
    #[error("the store is closed in this process")]
    Closed,
    /// An earlier write or sync failed, and what is on disk is no longer known: this handle writes no more.
    #[error("the store takes no more writes, and reads go on: {cause}; close the store, and open it again")]
    Poisoned {
        /// The failure, as it was told when it happened.
        cause: String,
    },
    /// The write had been taken, and could not be put into the log with those before it: it is not there.
    #[error("nothing was written: {cause}")]
    NotWritten {
        /// What failed.
        cause: String,
    },
    /// A write was asked of the store by the thread whose transaction is open on it, and would have to wait for its end.
    #[error("a transaction is open on this store in this thread: write through it")]
    WithinTransaction,
    /// A thread that is compacting the store tried to clear or compact it.
    #[error("this thread is running a compaction: try again after it")]
    WithinCompaction,
    /// The progress callback returned [`Break`](std::ops::ControlFlow::Break) before the end. Unfinished work
    /// is removed. Finished work stays, and was reported to the callback.
    #[error("cancelled before it finished")]
    Cancelled,
    /// A value that was to be added to is no number.
    #[error("the value is not a whole number from -2^63 to 2^63-1")]
    NotANumber,
    /// A sum is no number of 64 bits any more.
    #[error("{number} and {by} add up to more than 64 bits hold")]
    NumberOverflow {
        /// The value.
        number: i64,
        /// What was to be added.
        by: i64,
    },
    /// What was asked of the past cannot be told any more.
    #[error("that part of the history was compacted away; it is complete from number {whole_from} on")]
    CompactedAway {
        /// From this number on the log knows what every key was.
        whole_from: Seqno,
    },
    /// A repair may have given up records of this part of the history.
    #[error(
        "a repair may have given up records of that part of the history; it is complete from number {whole_from} on"
    )]
    GivenUp {
        /// From this number on the log knows what every key was.
        whole_from: Seqno,
    },
    /// A feed's cursor belongs to another lineage: its number may name another record here.
    #[error(
        "cursor {cursor} belongs to another lineage; this log's is {lineage}: the store was restored \
         or repaired since, or it is another store; rebuild from a snapshot and continue from its cursor"
    )]
    OtherLineage {
        /// The cursor.
        cursor: Cursor,
        /// The log's lineage.
        lineage: Lineage,
    },
    /// A feed's start is beyond the log's end.
    #[error(
        "record {seq} is beyond the log's end: its next record is number {next}; this log is older than \
         the one that gave the number; rebuild from a snapshot and continue from its cursor"
    )]
    BeyondEnd {
        /// The number that was asked for.
        seq: Seqno,
        /// The number of the log's next record.
        next: Seqno,
    },
    /// There is no such segment.
    #[error("there is no segment {segment}")]
    NoSuchSegment {
        /// The number that was asked for.
        segment: SegmentId,
    },
    /// A segment that was named cannot be compacted.
    #[error("segment {segment} cannot be compacted: {reason}")]
    NotCompactable {
        /// The segment.
        segment: SegmentId,
        /// Why not.
        reason: &'static str,
    },
    /// The write may or may not be in the log: its bytes were written, and making them durable failed.
    #[error("the outcome of this write is unknown: {cause}; reopen the store to find out")]
    OutcomeUnknown {
        /// What failed.
        cause: String,
    },
}

impl Error {
    /// [`Error::GivenUp`] if `by_repair`, else [`Error::CompactedAway`].
    pub(crate) fn gone(whole_from: Seqno, by_repair: bool) -> Self {
        if by_repair { Self::GivenUp { whole_from } } else { Self::CompactedAway { whole_from } }
    }

    /// Whether the bytes on disk are not what was written (the shell's exit code 4).
    #[must_use]
    pub fn is_corruption(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Rot { .. }
                | Self::ManifestDamaged { .. }
                | Self::SegmentMissing { .. }
                | Self::BackupDamaged { .. }
        )
    }

    /// The whole story in one line: this error, and what caused it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        causes.fold(self.to_string(), |story, cause| {
            let cause = cause.downcast_ref().map_or_else(|| cause.to_string(), words);
            format!("{story}: {cause}")
        })
    }

    /// Makes an [`Error::Io`] of what the operating system said.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// The error for `damage` in the value of the record at `location`.
    pub(crate) fn of_value(location: Location, damage: Damage) -> Self {
        let Location { segment, offset } = location;
        match damage {
            Damage::TooLarge { len, limit } => Self::ValueTooLarge { segment, offset, len, limit },
            damage => Self::Damaged { segment, offset, damage },
        }
    }

    /// The damage `damage` at `location`.
    pub(crate) fn damaged(location: Location, damage: Damage) -> Self {
        Self::Damaged { segment: location.segment, offset: location.offset, damage }
    }
}

/// What the operating system said, without the number that Rust appends to it.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("another process (pid {pid})"))
}

#[cfg(test)]
mod tests;
