//! Reads of the past: the store as it was at a point of the log.
//!
//! The log is the history of the store: at record *S*, a key has the value of its newest record up
//! to *S*. Compaction drops records, and MANIFEST records which numbers are affected ([`History`]).
//! A read of incomplete history is an error; it never shows a key as absent.

pub(crate) mod diff;
mod moment;
mod newest;

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use self::newest::NewestRecords;
use super::scan::{Entry, KeyEntry};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::base::stop::{Search, Stop};
use crate::engine::format::manifest::History;
use crate::engine::format::record::Kind;
use crate::engine::segment::Record;
use crate::engine::segment::value::Value;
use crate::engine::state::KeyVersions;
use crate::engine::state::frozen::Frozen;

/// A point of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The point after this record. Keys that have expired since then are absent.
    Seq(Seqno),
    /// The point after the last record written at or before this time, in milliseconds since 1970.
    /// Keys that had expired at that time are absent; keys that expired later are present. If the
    /// clock was set back, the last such record in log order counts. If that record may have been
    /// compacted away, the read is an error.
    Time(u64),
}

/// One record of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The key and the facts of the record.
    pub meta: KeyEntry,
    /// The value; `None` if the record is a delete.
    pub value: Option<Value>,
}

impl Version {
    fn of(record: Record) -> Result<Self> {
        if record.header.kind() == Kind::Delete {
            return Ok(Self { meta: KeyEntry::of(&record), value: None });
        }
        let Entry { meta, value } = Entry::of(record)?;
        Ok(Self { meta, value: Some(value) })
    }
}

/// An iterator over the records of one key that are still in the log, oldest first. Each record is
/// read when the iterator reaches it. A damaged record that may belong to the key is an error.
///
/// It holds a snapshot, so later writes and compactions change nothing.
pub struct Versions {
    records: KeyVersions,
    last_seq: Seqno,
    history: History,
}

impl Versions {
    pub(crate) fn of(frozen: &Frozen, last_seq: Seqno, key: &[u8]) -> Self {
        Self { records: frozen.versions(key), last_seq, history: frozen.history() }
    }

    /// Returns the last number up to which records may have been compacted away, or `None` if no
    /// record was.
    #[must_use]
    pub fn dropped_to(&self) -> Option<Seqno> {
        Some(self.history.dropped).filter(|seq| *seq > Seqno(0))
    }

    /// Returns the last number up to which a repair may have given up records, or `None` if no
    /// repair did.
    #[must_use]
    pub fn given_up_to(&self) -> Option<Seqno> {
        Some(self.history.given_up).filter(|seq| *seq > Seqno(0))
    }
}

impl Iterator for Versions {
    type Item = Result<Version>;

    fn next(&mut self) -> Option<Self::Item> {
        let last_seq = self.last_seq;
        let is_visible =
            |version: &Result<Record>| version.as_ref().map_or(true, |record| record.header.seq <= last_seq);
        Some(self.records.find(is_visible)?.and_then(Version::of))
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Versions").field("history", &self.history).finish_non_exhaustive()
    }
}

/// The store as it was at a point of the log.
///
/// It holds a snapshot, so later writes and compactions change nothing.
#[derive(Clone, Debug)]
pub struct Past {
    frozen: Arc<Frozen>,
    seq: Seqno,
    /// Whether the caller gave the number. If the point was found by time, records between it and
    /// that time may have been dropped.
    is_number: bool,
    /// The time used for expiry.
    at_ms: u64,
    /// Whether the history at this point is complete.
    is_whole: bool,
}

impl Past {
    /// Finds the point `at` of the log in `frozen`, whose newest record is `last_seq`. A point
    /// given by number uses `now_ms` for expiry.
    pub(crate) fn new(
        frozen: Arc<Frozen>,
        last_seq: Seqno,
        at: At,
        now_ms: u64,
        search: &mut Search<'_>,
    ) -> Result<Self, Stop> {
        let history = frozen.history();
        let (seq, at_ms, is_whole) = match at {
            At::Seq(seq) => {
                let seq = seq.min(last_seq);
                (seq, now_ms, seq >= history.whole_from)
            }
            At::Time(at_ms) => {
                let (seq, next) = moment::last_before(frozen.segments(), at_ms, last_seq, search)?;
                // If a record after the point is in the incomplete part of the history, the clock
                // was set back, and the last record up to this time may have been dropped.
                let is_in_order = next.is_none_or(|next| next > history.whole_from);
                (seq, at_ms, at_ms >= history.whole_from_ms && is_in_order)
            }
        };
        let is_number = matches!(at, At::Seq(_));
        Ok(Self { frozen, seq, is_number, at_ms, is_whole: is_whole || history.missing() == Seqno(0) })
    }

    /// Returns the number of the newest record at this point, or 0 before the first record.
    #[must_use]
    pub fn seq(&self) -> Seqno {
        self.seq
    }

    /// Returns the entry of `key`, or `None` if the key was absent.
    ///
    /// # Errors
    /// [`Error::CompactedAway`] or [`Error::GivenUp`] if the history of `key` is incomplete;
    /// [`Error::Damaged`] if a damaged record may be the version at this point; and [`Error::Io`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        let mut last = None;
        let mut later_count = 0;
        for version in self.frozen.versions(key.as_ref()) {
            match version {
                Ok(record) if record.header.seq > self.seq => later_count += 1,
                // A damaged record may be any version, so no earlier record is an answer.
                version => (last, later_count) = (Some(version), 0),
            }
        }
        let last = last.transpose()?;
        let is_certain = match &last {
            Some(record) if self.is_certain(record, later_count) => true,
            Some(record) => record.header.seq > self.frozen.history().missing() || self.is_whole,
            None => self.is_whole,
        };
        if !is_certain {
            return Err(self.gone());
        }
        last.filter(|record| self.is_present(record)).map(Entry::of).transpose()
    }

    /// Returns the keys and values of `range`, in ascending byte order. Reads every record of the
    /// range that is still in the log.
    ///
    /// # Errors
    /// [`Error::CompactedAway`] or [`Error::GivenUp`] if the history at this point is incomplete,
    /// and [`Error::Io`].
    pub fn scan(&self, range: impl RangeBounds<[u8]>) -> Result<PastScan> {
        self.check_whole()?;
        Ok(PastScan { records: NewestRecords::new(&self.frozen, &range)?, past: self.clone() })
    }

    /// Returns whether `record` is the version at this point, whatever was dropped. It is the
    /// newest intact record of its key up to this point, and `later_count` records follow it.
    ///
    /// A put is certain if no record follows it, since compaction never drops the newest record of
    /// a key and keeps an older one. A put is also certain if the point is its number. A delete is
    /// not: compaction turns expired puts into deletes.
    fn is_certain(&self, record: &Record, later_count: usize) -> bool {
        let is_this_point = self.is_number && record.header.seq == self.seq;
        record.header.kind() == Kind::Put && (later_count == 0 || is_this_point)
    }

    /// Returns whether `record` is a put that had not expired.
    fn is_present(&self, record: &Record) -> bool {
        record.header.kind() == Kind::Put && !record.is_past(self.at_ms)
    }

    fn check_whole(&self) -> Result<()> {
        if self.is_whole { Ok(()) } else { Err(self.gone()) }
    }

    fn gone(&self) -> Error {
        let History { dropped, given_up, whole_from, .. } = self.frozen.history();
        Error::gone(whole_from, given_up > dropped)
    }
}

/// The keys and values of a [`Past`], in ascending byte order. An unreadable record is one error,
/// and the next keys follow.
#[derive(Debug)]
pub struct PastScan {
    records: NewestRecords,
    past: Past,
}

impl PastScan {
    /// Examines the next key, or returns `None` after the last one. Gives `Some(Ok(None))` for an
    /// absent key, so that the caller can stop a search through many absent keys.
    pub fn next_key(&mut self) -> Option<Result<Option<Entry>>> {
        let newest = match self.records.next([self.past.seq])? {
            Ok([newest]) => newest,
            Err(error) => return Some(Err(error)),
        };
        Some(newest.filter(|record| self.past.is_present(record)).map(Entry::of).transpose())
    }
}

impl Iterator for PastScan {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        std::iter::from_fn(|| self.next_key()).find_map(Result::transpose)
    }
}
