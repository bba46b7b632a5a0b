//! What a verification finds, in sentences.

use std::io;

use crate::engine::base::error::{Damage, words};
use crate::engine::base::escape::Grouped;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::fs::StoreFile;

/// Something that is not as it should be, or that is worth a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file it was found in.
    pub file: StoreFile,
    /// The bytes it is about; `None` when it is about the whole file.
    pub range: Option<std::ops::Range<u64>>,
    /// The key that stands there, as far as it can be read: it may be what is damaged.
    pub key: Option<Vec<u8>>,
    /// What it is.
    pub fault: Fault,
}

/// How much a finding costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing: it is how a crash, or a writer at work, leaves things.
    Note,
    /// Somebody says no: what is not to be read is neither intact nor damaged.
    Refused,
    /// Bytes are not as they were written, of a file that is made anew from the log: no record is lost.
    Derived,
    /// The log is not as it was written.
    Damage,
}

/// What a finding is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// MANIFEST cannot be used: the segments' own headers say what the log is.
    #[error("it cannot be used ({0}): the segments' headers are followed instead")]
    Manifest(String),
    /// A number in MANIFEST that no store reaches by counting.
    #[error(
        "its {what} is {number}, which no store reaches by counting; near 2^61 the store takes no more writes; \
         `logkv repair` makes a store that continues from its records' numbers"
    )]
    NumberTooLarge {
        /// What MANIFEST calls it.
        what: &'static str,
        /// What it is.
        number: u64,
    },
    /// KEYDIR lists a record beyond the log's end.
    #[error(
        "it lists record {said}, which is beyond the log's end: it is not used, and the next open rebuilds it"
    )]
    KeydirAhead {
        /// The number that KEYDIR has.
        said: Seqno,
    },
    /// A segment that is not there.
    #[error("it is listed in MANIFEST, and its file is missing")]
    Missing,
    /// The system does not give the bytes.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// A record, or a stretch between two, of which the system gives a part.
    #[error("bytes of it cannot be read, and it cannot be checked")]
    PartlyUnreadable,
    /// A file that this user may not read, that is trusted less than its directory, or that there is no memory for.
    #[error("it was not looked at: {0}")]
    Denied(String),
    /// The file of another segment, under the name of this one.
    #[error("it holds segment {0} of this store, and its records were not checked")]
    AnotherSegment(SegmentId),
    /// The file of another store's segment.
    #[error("it is a segment of another store, and its records were not checked")]
    AnotherStores,
    /// Something that is no file of a store, under the name of one.
    #[error("{0}, and no file of the store")]
    NotAFile(String),
    /// Something that is no file, where the store needs one to be opened.
    #[error("{0}, and in the way of opening the store")]
    InTheWay(String),
    /// A segment's header.
    #[error("its header is damaged: {0}")]
    Header(Damage),
    /// Two files that say different things.
    #[error("its header says {what} {header}, and MANIFEST {manifest}")]
    Disagree {
        /// The field.
        what: &'static str,
        /// As the header has it.
        header: String,
        /// As MANIFEST has it.
        manifest: String,
    },
    /// A format that this version does not read.
    #[error("it has format {0}, which this version cannot read")]
    Unsupported(String),
    /// The file ends too early.
    #[error("it should have {} bytes, and has {}", Grouped(*wants), Grouped(*has))]
    CutShort {
        /// The bytes that MANIFEST tells of.
        wants: u64,
        /// The bytes that are there.
        has: u64,
    },
    /// A record, or a stretch of bytes in which no record can be made out.
    #[error("{0}")]
    Record(Damage),
    /// A record whose number belongs to a later segment.
    #[error("its number is {seq}, and segment {next} begins with {base_seq}")]
    Overlap {
        /// The record's number.
        seq: Seqno,
        /// The segment that follows.
        next: SegmentId,
        /// Where that one's numbers begin.
        base_seq: Seqno,
    },
    /// The next write would get a number that is taken.
    #[error("its number is {seq}, and MANIFEST would give {next_seq} to the next one")]
    NumberTaken {
        /// The record's number.
        seq: Seqno,
        /// MANIFEST's `next_seq`.
        next_seq: Seqno,
    },
    /// A sealed segment that ends inside a batch.
    #[error("its batch has no end")]
    UnfinishedBatch,
    /// The log's end has a hole in what had been durable: it does not open for writing.
    #[error("it had been durable, as record {witness} proves: the store does not open for writing")]
    Rot {
        /// The number of the later record.
        witness: Seqno,
    },
    /// A hint or KEYDIR whose checksum is wrong, or that no known version writes.
    #[error("it is not as it was written; the next open makes it anew")]
    DerivedDamaged,
    /// A hint that a writer is at work on, or died with.
    #[error("its writing was not finished; the next open makes it anew, unless a writer is at it")]
    Unfinished,
    /// The system does not give a hint's or KEYDIR's bytes.
    #[error("it cannot be read ({0}); nothing is lost with it")]
    DerivedUnreadable(String),
    /// A hint that says something else than its segment.
    #[error("its row {0} is not what the segment holds")]
    HintRow(u64),
    /// A filter that denies what is there.
    #[error("its filter denies a key that the segment holds, of row {0}")]
    HintFilter(u64),
    /// A count that does not agree with the data.
    #[error("{what}: it says {said}, and the log {counted}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// As the file has it.
        said: u64,
        /// As the log has it.
        counted: u64,
    },
    /// Parts of KEYDIR whose checksums are wrong or whose slots are out of order.
    #[error("not as written, and rebuilt when needed: {}", parts(*first, *count))]
    KeydirPart {
        /// The number of the first.
        first: usize,
        /// How many they are.
        count: usize,
    },
    /// Parts of KEYDIR that disagree with the log.
    #[error("not what the log says: {}", parts(*first, *count))]
    KeydirEntries {
        /// The number of the first.
        first: usize,
        /// How many they are.
        count: usize,
    },
    /// A derived file of another log, or of an older state of this one.
    #[error("it is not about the log as it is now, and not used")]
    Stale,
    /// The unfinished end of the log.
    #[error("an unfinished write: the next open for writing cuts it off, unless a writer is at it")]
    Torn,
    /// As [`Fault::Torn`], with intact records behind it: a crash may leave that, and so does damage in what was synced last.
    #[error(
        "an unfinished write, or damage in the last writes that were synced together: the next open for writing cuts it off, \
         with the intact records in it ({}), which repair keeps",
        Grouped(*intact_count)
    )]
    TornBefore {
        /// How many.
        intact_count: u64,
    },
    /// Bytes that MANIFEST does not know of.
    #[error("MANIFEST does not tell of these bytes, and nothing reads them")]
    Surplus,
    /// A segment that MANIFEST does not list.
    #[error("MANIFEST does not list it: the next open for writing removes it, if it is this store's")]
    Orphan,
    /// A segment that MANIFEST would list, were it not an older one.
    #[error(
        "it holds newer records than MANIFEST knows of, which is an old one: the store does not open for writing"
    )]
    Newer,
    /// A segment that was just begun, in a log without MANIFEST.
    #[error("it holds no record")]
    Empty,
    /// A segment of a log without MANIFEST that tells nothing of itself.
    #[error("neither its header nor two records of it tell how it is to be read: all of it is lost")]
    Unknown,
    /// Left by an interrupted replacement of a file.
    #[error("an interrupted replacement left it; the next one removes it")]
    Leftover,
    /// KEYDIR was left out.
    #[error("it was not compared with the log, which is damaged, or ends before what this knows of")]
    NotCompared,
}

/// Names `count` parts of KEYDIR, of which the first has number `first`.
fn parts(first: usize, count: usize) -> String {
    if count == 1 {
        format!("its part {first}")
    } else {
        format!("{} of its parts, from part {first} on", Grouped(count as u64))
    }
}

impl Fault {
    /// How much it costs.
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
            | Self::AnotherStores
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
            | Self::Rot { .. } => Severity::Damage,
        }
    }
}

/// What was looked at, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Segments that were read.
    pub segment_count: u64,
    /// Their bytes.
    pub len: u64,
    /// Records that are as they were written.
    pub record_count: u64,
    /// Bytes of the unfinished end of the log.
    pub torn_len: u64,
    /// Hints that were compared with their segments.
    pub hint_count: u64,
    /// Keys that KEYDIR was compared with; `None` where there is no KEYDIR of this log, or not all of it was read.
    pub keydir_keys: Option<u64>,
    /// Findings that cost nothing.
    pub note_count: u64,
    /// What was not looked at, because somebody says no.
    pub refused_count: u64,
    /// Findings in files that are made anew.
    pub derived_count: u64,
    /// Findings in the log.
    pub damage_count: u64,
}

impl VerifyReport {
    /// Whether all bytes were looked at and are as they were written.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        !self.is_damaged() && self.refused_count == 0
    }

    /// Whether bytes that were looked at are not as they were written.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.derived_count > 0 || self.damage_count > 0
    }
}

/// What it means for a segment that its file cannot be read.
pub(super) fn unreadable(error: &io::Error) -> Fault {
    let why = words(error);
    if is_no_damage(error) { Fault::Denied(why) } else { Fault::Unreadable(why) }
}

/// What it means for a file that is made anew from the log that it cannot be read.
pub(super) fn derived_unreadable(error: &io::Error) -> Fault {
    let why = words(error);
    if is_no_file(error) {
        Fault::NotAFile(why)
    } else if is_no_damage(error) {
        Fault::Denied(why)
    } else {
        Fault::DerivedUnreadable(why)
    }
}

/// Whether it says nothing of the bytes: somebody else, or with more memory, could read them.
pub(super) fn is_no_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::OutOfMemory)
}

/// Whether something else than a regular file has the name.
pub(super) fn is_no_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_and_the_numbers_of_what_is_counted_are_not() {
        let parts = Fault::KeydirPart { first: 1234, count: 5678 };
        assert_eq!(
            parts.to_string(),
            "not as written, and rebuilt when needed: 5,678 of its parts, from part 1234 on"
        );
        let torn = Fault::TornBefore { intact_count: 1234 }.to_string();
        assert!(torn.contains("(1,234)"), "{torn}");
    }
}
