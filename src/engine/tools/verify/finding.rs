//! The findings of a verification, and its report.

use std::io;

use crate::engine::base::error::{Damage, words};
use crate::engine::base::escape::Grouped;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::fs::StoreFile;

/// A fault or a note about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: StoreFile,
    /// The affected bytes, or `None` for the whole file.
    pub range: Option<std::ops::Range<u64>>,
    /// The key of the affected record, if it can be read. The key itself may be damaged.
    pub key: Option<Vec<u8>>,
    /// The fault.
    pub fault: Fault,
}

/// The severity of a finding, from harmless to damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Harmless: a crash or a running writer causes it.
    Note,
    /// Not readable for this user or with these limits. The bytes are neither intact nor damaged.
    Refused,
    /// Damage of a file that is derived from the log. No record is lost.
    Derived,
    /// Damage of the log.
    Damage,
}

/// The fault of a finding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// MANIFEST cannot be used. The log is taken from the segment headers.
    #[error("it cannot be used ({0}); the segment headers are used instead")]
    Manifest(String),
    /// A number in MANIFEST is larger than a store can reach.
    #[error(
        "its {what} is {number}, which no store reaches; near 2^61 the store accepts no more writes; \
         `logkv repair` makes a store that continues from the numbers of its records"
    )]
    NumberTooLarge {
        /// The name of the number in MANIFEST.
        what: &'static str,
        /// The number.
        number: u64,
    },
    /// KEYDIR lists a record beyond the end of the log.
    #[error("it lists record {said}, which is beyond the end of the log; the next open rebuilds it")]
    KeydirAhead {
        /// The last sequence number in KEYDIR.
        said: Seqno,
    },
    /// MANIFEST lists a segment whose file is missing.
    #[error("MANIFEST lists it, but the file is missing")]
    Missing,
    /// The system returned an error for the bytes.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// The system returned an error for a part of a record or of damaged bytes.
    #[error("some of its bytes cannot be read, so it cannot be checked")]
    PartlyUnreadable,
    /// The user may not read the file, another user could change it, or memory is short.
    #[error("it was not looked at: {0}")]
    Denied(String),
    /// The file holds another segment of this store.
    #[error("it holds segment {0} of this store, so its records were not checked")]
    AnotherSegment(SegmentId),
    /// The file holds a segment of another store.
    #[error("it is a segment of another store, so its records were not checked")]
    AnotherStore,
    /// The name of a store's file belongs to something that is not a regular file.
    #[error("{0}, not a file of the store")]
    NotAFile(String),
    /// Something that is not a regular file has the name of a file that opening the store needs.
    #[error("{0} and blocks opening the store")]
    InTheWay(String),
    /// The header of the segment is damaged.
    #[error("its header is damaged: {0}")]
    Header(Damage),
    /// The header of the segment and MANIFEST disagree.
    #[error("its header says {what} {header}, but MANIFEST says {manifest}")]
    Disagree {
        /// The field.
        what: &'static str,
        /// The value in the header.
        header: String,
        /// The value in MANIFEST.
        manifest: String,
    },
    /// The file has a format that this version does not read.
    #[error("it has format {0}, which this version cannot read")]
    Unsupported(String),
    /// The file is too short.
    #[error("it should have {} bytes, but has {}", Grouped(*wants), Grouped(*has))]
    CutShort {
        /// The length in MANIFEST, in bytes.
        wants: u64,
        /// The length of the file, in bytes.
        has: u64,
    },
    /// A record is damaged, or bytes hold no readable record.
    #[error("{0}")]
    Record(Damage),
    /// The sequence number of a record belongs to a later segment.
    #[error("its number is {seq}, but segment {next} starts at {base_seq}")]
    Overlap {
        /// The record's sequence number.
        seq: Seqno,
        /// The next segment.
        next: SegmentId,
        /// The lowest sequence number of that segment.
        base_seq: Seqno,
    },
    /// The next write would reuse the sequence number of a record.
    #[error("its number is {seq}, but MANIFEST gives {next_seq} to the next record")]
    NumberTaken {
        /// The record's sequence number.
        seq: Seqno,
        /// The next sequence number in MANIFEST.
        next_seq: Seqno,
    },
    /// A sealed segment ends inside a batch.
    #[error("its batch has no end")]
    UnfinishedBatch,
    /// Bytes near the end of the log are damaged although they were durable. The store does not
    /// open for writing.
    #[error("it was durable, as record {witness} proves; the store does not open for writing")]
    DurableDamage {
        /// The sequence number of the later record that proves it.
        witness: Seqno,
    },
    /// The checksum of a hint or KEYDIR is wrong, or its format is unknown.
    #[error("it is damaged; the next open rebuilds it")]
    DerivedDamaged,
    /// A hint is incomplete: a writer is writing it or died while writing it.
    #[error("it is incomplete; the next open rebuilds it, unless a writer is writing it now")]
    Unfinished,
    /// The system returned an error for a hint or KEYDIR.
    #[error("it cannot be read ({0}); no record is lost")]
    DerivedUnreadable(String),
    /// A row of a hint differs from the segment.
    #[error("its row {0} differs from the segment")]
    HintRow(u64),
    /// The filter of a hint denies a key that the segment holds.
    #[error("its filter denies the key of row {0}, which the segment holds")]
    HintFilter(u64),
    /// A count differs from the log.
    #[error("{what}: it says {said}, but the log has {counted}")]
    Count {
        /// The name of the count.
        what: &'static str,
        /// The count in the file.
        said: u64,
        /// The count in the log.
        counted: u64,
    },
    /// Parts of KEYDIR have wrong checksums, or slots out of order.
    #[error("damaged, and rebuilt when needed: {}", parts(*first, *count))]
    KeydirPart {
        /// The number of the first part.
        first: usize,
        /// The number of parts.
        count: usize,
    },
    /// Parts of KEYDIR differ from the log.
    #[error("different from the log: {}", parts(*first, *count))]
    KeydirEntries {
        /// The number of the first part.
        first: usize,
        /// The number of parts.
        count: usize,
    },
    /// A derived file belongs to another log or to an older state of this one.
    #[error("it does not match the log as it is now, so it is not used")]
    Stale,
    /// The log ends in an unfinished write.
    #[error("an unfinished write; the next open for writing cuts it off, unless a writer is at work")]
    Torn,
    /// The log ends in an unfinished write, with intact records after it. A crash causes this, and
    /// so does damage in the last writes that were synced together.
    #[error(
        "an unfinished write, or damage in the last writes that were synced together; the next open for \
         writing cuts it off with the intact records in it ({}), which repair keeps",
        Grouped(*intact_count)
    )]
    TornBefore {
        /// The number of intact records.
        intact_count: u64,
    },
    /// Bytes follow the end that MANIFEST lists.
    #[error("MANIFEST does not list these bytes, so nothing reads them")]
    Surplus,
    /// MANIFEST does not list the segment.
    #[error("MANIFEST does not list it; the next open for writing removes it if it belongs to this store")]
    Orphan,
    /// The segment holds records that are newer than MANIFEST.
    #[error(
        "it holds newer records than MANIFEST, which is an old copy; the store does not open for writing"
    )]
    Newer,
    /// The segment holds no record, in a log without MANIFEST.
    #[error("it holds no record")]
    Empty,
    /// The segment cannot be read, in a log without MANIFEST.
    #[error("neither its header nor its records tell how to read it, so all of it is lost")]
    Unknown,
    /// An interrupted replacement of a file left it.
    #[error("an interrupted replacement left it; the next one removes it")]
    Leftover,
    /// KEYDIR could not be compared with the log.
    #[error("it was not compared with the log, which is damaged or ends before the part that it covers")]
    NotCompared,
}

/// Names `count` parts of KEYDIR, starting with number `first`.
fn parts(first: usize, count: usize) -> String {
    if count == 1 {
        format!("part {first}")
    } else {
        format!("{} parts, from part {first} on", Grouped(count as u64))
    }
}

impl Fault {
    /// Returns the severity.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Stale
            | Self::Torn
            | Self::Surplus
            | Self::Orphan
            | Self::Empty
            | Self::Unfinished
            | Self::Leftover
            | Self::NotAFile(_)
            | Self::NotCompared => Severity::Note,
            Self::Denied(_) | Self::InTheWay(_) | Self::Record(Damage::TooLarge { .. }) => Severity::Refused,
            Self::DerivedDamaged
            | Self::DerivedUnreadable(_)
            | Self::HintRow(_)
            | Self::HintFilter(_)
            | Self::Count { .. }
            | Self::KeydirPart { .. }
            | Self::KeydirAhead { .. }
            | Self::KeydirEntries { .. } => Severity::Derived,
            Self::Manifest(_)
            | Self::NumberTooLarge { .. }
            | Self::Missing
            | Self::Unreadable(_)
            | Self::PartlyUnreadable
            | Self::AnotherSegment(_)
            | Self::AnotherStore
            | Self::Unknown
            | Self::Newer
            | Self::Header(_)
            | Self::Disagree { .. }
            | Self::Unsupported(_)
            | Self::CutShort { .. }
            | Self::Record(_)
            | Self::Overlap { .. }
            | Self::NumberTaken { .. }
            | Self::UnfinishedBatch
            | Self::TornBefore { .. }
            | Self::DurableDamage { .. } => Severity::Damage,
        }
    }

    /// Returns the fault of a segment that could not be read.
    pub(super) fn of_segment(error: &io::Error) -> Self {
        let why = words(error);
        if is_refusal(error) { Self::Denied(why) } else { Self::Unreadable(why) }
    }

    /// Returns the fault of a hint or KEYDIR that could not be read.
    pub(super) fn of_derived(error: &io::Error) -> Self {
        let why = words(error);
        if is_not_a_file(error) {
            Self::NotAFile(why)
        } else if is_refusal(error) {
            Self::Denied(why)
        } else {
            Self::DerivedUnreadable(why)
        }
    }
}

/// Returns whether another user, or a process with more memory, could read the bytes.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::OutOfMemory)
}

/// Returns whether the name belongs to something that is not a regular file.
pub(super) fn is_not_a_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The number of segments that were read.
    pub segment_count: u64,
    /// The length of those segments in bytes.
    pub len: u64,
    /// The number of intact records.
    pub record_count: u64,
    /// The length of the torn tail in bytes.
    pub torn_len: u64,
    /// The number of hints that were compared with their segments.
    pub hint_count: u64,
    /// The number of keys that KEYDIR was compared with. `None` if this log has no KEYDIR, or not
    /// all of the log was read.
    pub keydir_keys: Option<u64>,
    /// The number of harmless findings.
    pub note_count: u64,
    /// The number of files and records that could not be checked for lack of permission or memory.
    pub refused_count: u64,
    /// The number of findings in files that are derived from the log.
    pub derived_count: u64,
    /// The number of findings in the log.
    pub damage_count: u64,
}

impl VerifyReport {
    /// Returns whether every byte was checked and is intact.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        !self.is_damaged() && self.refused_count == 0
    }

    /// Returns whether a checked byte is damaged.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.derived_count > 0 || self.damage_count > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_digit_groups_and_part_numbers_have_none() {
        let parts = Fault::KeydirPart { first: 1234, count: 5678 };
        assert_eq!(parts.to_string(), "damaged, and rebuilt when needed: 5,678 parts, from part 1234 on");
        let torn = Fault::TornBefore { intact_count: 1234 }.to_string();
        assert!(torn.contains("(1,234)"), "{torn}");
    }
}
