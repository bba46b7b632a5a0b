//! The errors of the library, with a sentence for each.

mod damage;

use std::io;
use std::path::{Path, PathBuf};

pub use damage::Damage;

use super::batch::Expiry;
use super::cursor::Cursor;
use super::escape::{Grouped, Visible};
use super::ids::{Lineage, Location, SegmentId, Seqno};

/// The result of an operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed. `Display` gives a sentence, the fields are for programs, and `source`
/// is the cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A call of the operating system failed.
    #[error("cannot {action} {}", Visible::path(path))]
    Io {
        /// What the call was for, as a verb: `open`, `write`, `fsync`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The path has no store, and the options say not to create one.
    #[error("there is no store at {}", Visible::path(path))]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The path exists and is not a store's directory. Nothing in it was changed.
    #[error("{} is not a logkv store: {reason}", Visible::path(path))]
    Foreign {
        /// The path.
        path: PathBuf,
        /// Why it is not a store.
        reason: String,
    },
    /// A backup or a restore into this directory was interrupted. Nothing in it was changed.
    #[error(
        "{} is not a store yet: a backup or a restore into it was interrupted; run it again, \
         or remove the directory",
        Visible::path(path)
    )]
    Unfinished {
        /// The path.
        path: PathBuf,
    },
    /// Another user could change the directory, so its contents are not trusted.
    #[error("{} {reason}; it is opened only if it is trusted explicitly", Visible::path(path))]
    Untrusted {
        /// The path.
        path: PathBuf,
        /// The reason: another owner, or write access for everybody.
        reason: String,
    },
    /// The path for something new is occupied. Nothing there was changed.
    #[error("cannot write into {}: {reason}", Visible::path(path))]
    Occupied {
        /// The path.
        path: PathBuf,
        /// What occupies it.
        reason: String,
    },
    /// The source of a restore is not a backup of a store. Nothing was created.
    #[error("this is not a backup: {reason}")]
    NotABackup {
        /// The reason: what it is, or what it holds.
        reason: String,
    },
    /// The backup differs from what was written. Nothing was created.
    #[error("the backup cannot be restored: {reason}")]
    BackupDamaged {
        /// The damage.
        reason: String,
    },
    /// Another writer has the store open.
    #[error("{} has this store open; try --read-only", holder(*pid))]
    Locked {
        /// The process ID in LOCK; `None` if it cannot be read.
        pid: Option<u32>,
    },
    /// The files have a format that this version of logkv does not support.
    #[error("{what} has format {found}, which this version cannot read (it reads {supported})")]
    Unsupported {
        /// The file.
        what: String,
        /// The version or the unknown feature in the file.
        found: String,
        /// The supported versions.
        supported: String,
    },
    /// MANIFEST cannot be parsed.
    #[error("MANIFEST is damaged: {reason}; the segments are untouched")]
    ManifestDamaged {
        /// The damage, with its line.
        reason: String,
    },
    /// MANIFEST lists a segment whose file is missing.
    #[error("segment {segment} is listed in MANIFEST, and its file is missing")]
    SegmentMissing {
        /// The segment.
        segment: SegmentId,
    },
    /// Bytes of a segment differ from what was written. All other records stay readable.
    #[error("segment {segment} is damaged at byte {offset} ({offset:#x}): {damage}")]
    Damaged {
        /// The segment.
        segment: SegmentId,
        /// The first byte of the damaged record, or of the damaged range.
        offset: u64,
        /// The damage.
        damage: Damage,
    },
    /// Damage in the active segment before a record that was durable. It is not the torn tail of a
    /// crash. Opening the store for writing would cut off the records after it.
    #[error(
        "segment {segment} is damaged at byte {offset} ({offset:#x}), before records that were durable \
         (record {witness}); nothing was changed: open it with --read-only to read the rest"
    )]
    Rot {
        /// The active segment.
        segment: SegmentId,
        /// The first byte that is not a valid record.
        offset: u64,
        /// The number of the durable record.
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
        /// The limit in force, in bytes (see
        /// [`Options::value_len_max`](crate::Options::value_len_max)).
        limit: u64,
    },
    /// A compressed value is larger than the read limit. It may be intact.
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
        /// The value's length in bytes, from its record.
        len: u64,
        /// The limit in force, in bytes (see
        /// [`Options::value_read_max`](crate::Options::value_read_max)).
        limit: u64,
    },
    /// An expiry is later than [`Expiry::AT_MS_MAX`].
    #[error("a key expires at most {} ms after 1970, or never; this expiry is later", Expiry::AT_MS_MAX)]
    ExpiryTooLate,
    /// A batch is larger than a segment can be.
    #[error("a batch takes at most {} bytes; this one takes {}", Grouped(*limit), Grouped(*len))]
    BatchLength {
        /// The batch's length in the log, in bytes.
        len: u64,
        /// The length of the largest segment, in bytes.
        limit: u64,
    },
    /// The log has no addresses left for another segment.
    #[error("the store is full: its log has reached 8 TiB or 131,072 segments")]
    Full,
    /// No number is left for another record or segment. No store counts that far: the number was
    /// written into MANIFEST by hand. Nothing was written, and the store stays readable.
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
    /// A write to a store that is open read-only.
    #[error("the store was opened read-only")]
    ReadOnly,
    /// The store was closed, or belongs to the parent of this forked process.
    #[error("the store is closed in this process")]
    Closed,
    /// An earlier write or sync failed, and the bytes on disk are unknown. This handle accepts no
    /// more writes.
    #[error("the store accepts only reads after a failed write: {cause}; close the store, and open it again")]
    Poisoned {
        /// The sentence of the earlier error.
        cause: String,
    },
    /// The write was accepted, but appending it to the log failed, perhaps together with earlier
    /// writes. Nothing of it was written.
    #[error("nothing was written: {cause}")]
    NotWritten {
        /// The sentence of the error that caused this one.
        cause: String,
    },
    /// The thread that has a transaction open on the store tried to write outside it, which would
    /// wait for itself.
    #[error("a transaction is open on this store in this thread: write through it")]
    WithinTransaction,
    /// The thread that is compacting the store tried to clear or compact it.
    #[error("this thread is running a compaction: try again after it")]
    WithinCompaction,
    /// The progress callback returned [`Break`](std::ops::ControlFlow::Break). Unfinished work is
    /// removed. Work that was reported as finished stays.
    #[error("cancelled before it finished")]
    Cancelled,
    /// The value to add to is not a number.
    #[error("the value is not a whole number from -2^63 to 2^63-1")]
    NotANumber,
    /// The sum needs more than 64 bits.
    #[error("the sum of {number} and {by} does not fit in 64 bits")]
    NumberOverflow {
        /// The value.
        number: i64,
        /// The number to add.
        by: i64,
    },
    /// Compaction has removed this part of the history.
    #[error("that part of the history was compacted away; it is complete from number {whole_from} on")]
    CompactedAway {
        /// The first number from which the history is complete.
        whole_from: Seqno,
    },
    /// A repair may have lost records of this part of the history.
    #[error(
        "a repair may have given up records of that part of the history; \
         it is complete from number {whole_from} on"
    )]
    GivenUp {
        /// The first number from which the history is complete.
        whole_from: Seqno,
    },
    /// A cursor belongs to another lineage. Its number may name another record in this log.
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
    /// A feed starts beyond the end of the log.
    #[error(
        "record {seq} is beyond the log's end: its next record is number {next}; this log is older than \
         the one that gave the number; rebuild from a snapshot and continue from its cursor"
    )]
    BeyondEnd {
        /// The number of the start.
        seq: Seqno,
        /// The number of the log's next record.
        next: Seqno,
    },
    /// The store has no such segment.
    #[error("there is no segment {segment}")]
    NoSuchSegment {
        /// The segment's number.
        segment: SegmentId,
    },
    /// The segment cannot be compacted.
    #[error("segment {segment} cannot be compacted: {reason}")]
    NotCompactable {
        /// The segment.
        segment: SegmentId,
        /// The reason.
        reason: &'static str,
    },
    /// The write may or may not be in the log. Some of its bytes may have been written, and the
    /// write or the sync failed.
    #[error("the outcome of this write is unknown: {cause}; reopen the store to find out")]
    OutcomeUnknown {
        /// The sentence of the error that caused this one.
        cause: String,
    },
}

impl Error {
    /// Returns [`Error::GivenUp`] if `by_repair`, else [`Error::CompactedAway`].
    pub(crate) fn gone(whole_from: Seqno, by_repair: bool) -> Self {
        if by_repair { Self::GivenUp { whole_from } } else { Self::CompactedAway { whole_from } }
    }

    /// Returns whether the error means that bytes on disk differ from what was written (the shell's
    /// exit code 4).
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

    /// Returns this error and its causes in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        causes.fold(self.to_string(), |story, cause| {
            let cause = cause.downcast_ref().map_or_else(|| cause.to_string(), words);
            format!("{story}: {cause}")
        })
    }

    /// Returns a function that turns an error of the operating system into [`Error::Io`].
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Returns [`Error::Occupied`] for `path`.
    pub(crate) fn occupied(path: &Path, reason: impl Into<String>) -> Self {
        Self::Occupied { path: path.to_owned(), reason: reason.into() }
    }

    /// Returns the error for `damage` to the value of the record at `location`.
    pub(crate) fn of_value(location: Location, damage: Damage) -> Self {
        let Location { segment, offset } = location;
        match damage {
            Damage::TooLarge { len, limit } => Self::ValueTooLarge { segment, offset, len, limit },
            damage => Self::Damaged { segment, offset, damage },
        }
    }

    /// Returns the error for `damage` at `location`.
    pub(crate) fn damaged(location: Location, damage: Damage) -> Self {
        Self::Damaged { segment: location.segment, offset: location.offset, damage }
    }
}

/// Returns the text of an error of the operating system, without the number that Rust appends.
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
