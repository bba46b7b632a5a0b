//! The store as it was at some point of the log — what compaction has left of it.
//!
//! The log is its own history: a key was, at record *S*, what its newest record up to *S* says. Compaction drops records, and
//! MANIFEST says which numbers that concerns ([`History`]): what cannot be told any more is an error, and never shown as
//! absent.

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
    /// After this record; what has expired since is not there.
    Seq(Seqno),
    /// After the last record that was written at or before this time, in milliseconds since 1970; what had expired then is not
    /// there, and what has expired since is. Where a clock was set back, the last such record in the log's order counts;
    /// if it may have been compacted away, that is an error.
    Time(u64),
}

/// One record of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The key, and what the record says of itself.
    pub meta: KeyEntry,
    /// The value; `None`: the key was deleted.
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

/// Every record of one key that is still in the log, the oldest first, each read when it is asked for. In the place of one that
/// is damaged, and may be of this key, comes its error.
///
/// It holds a snapshot: what is written, compacted or closed meanwhile changes nothing.
pub struct Versions {
    records: KeyVersions,
    last_seq: Seqno,
    history: History,
}

impl Versions {
    pub(crate) fn of(frozen: &Frozen, last_seq: Seqno, key: &[u8]) -> Self {
        Self { records: frozen.versions(key), last_seq, history: frozen.history() }
    }

    /// Others with numbers up to this one may have been compacted away; `None`: nothing ever was.
    #[must_use]
    pub fn dropped_to(&self) -> Option<Seqno> {
        Some(self.history.dropped).filter(|seq| *seq > Seqno(0))
    }

    /// A repair may have given up other records with numbers up to this one; `None`: none ever did.
    #[must_use]
    pub fn given_up_to(&self) -> Option<Seqno> {
        Some(self.history.given_up).filter(|seq| *seq > Seqno(0))
    }
}

impl Iterator for Versions {
    type Item = Result<Version>;

    fn next(&mut self) -> Option<Self::Item> {
        let last_seq = self.last_seq;
        let is_seen =
            |version: &Result<Record>| version.as_ref().map_or(true, |record| record.header.seq <= last_seq);
        Some(self.records.find(is_seen)?.and_then(Version::of))
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Versions").field("history", &self.history).finish_non_exhaustive()
    }
}

/// The store as it was at some point of the log.
///
/// It holds a snapshot: what is written, compacted or closed meanwhile changes nothing.
#[derive(Clone, Debug)]
pub struct Past {
    frozen: Arc<Frozen>,
    seq: Seqno,
    /// Whether that was asked for: behind a record that is found by its time others may have been dropped.
    is_number: bool,
    /// The time at which expiry is looked at.
    at_ms: u64,
    /// Whether the log tells all of it.
    is_whole: bool,
}

impl Past {
    /// The point `at` of the log in `frozen`, whose newest record is `last_seq`. Expiry at a number
    /// is judged at `now_ms`.
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
                // If a record after the point is in the incomplete part of the history, a clock was
                // set back: the last record up to this time may have been dropped.
                let is_in_order = next.is_none_or(|next| next > history.whole_from);
                (seq, at_ms, at_ms >= history.whole_from_ms && is_in_order)
            }
        };
        let is_number = matches!(at, At::Seq(_));
        Ok(Self { frozen, seq, is_number, at_ms, is_whole: is_whole || history.missing() == Seqno(0) })
    }

    /// The number of the newest record that counts: 0 before the first one.
    #[must_use]
    pub fn seq(&self) -> Seqno {
        self.seq
    }

    /// What `key` was; `None` when it was not there.
    ///
    /// # Errors
    /// [`Error::CompactedAway`] or [`Error::GivenUp`] when that cannot be told, [`Error::Damaged`] when the record that says it, or may, is not as
    /// it was written, and what the operating system says.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        let (mut last, mut later_count) = (None, 0);
        for version in self.frozen.versions(key.as_ref()) {
            match version {
                Ok(record) if record.header.seq > self.seq => later_count += 1,
                // Damage may be any version's: what comes before it is no answer.
                version => (last, later_count) = (Some(version), 0),
            }
        }
        let last = last.transpose()?;
        let is_told = match &last {
            // Nothing has come after it, so nothing that did can be missing. A delete may stand for a put that has expired.
            // Nor can anything be missing between a record and the point that is its number.
            Some(record) if self.tells(record, later_count) => true,
            Some(record) => record.header.seq > self.frozen.history().missing() || self.is_whole,
            None => self.is_whole,
        };
        if !is_told {
            return Err(self.gone());
        }
        last.filter(|record| self.is_there(record)).map(Entry::of).transpose()
    }

    /// The keys of `range` and their values, in ascending byte order. Reads every record of the range that is still in the
    /// log.
    ///
    /// # Errors
    /// [`Error::CompactedAway`] or [`Error::GivenUp`] when not all of it can be told, and what the operating system says.
    pub fn scan(&self, range: impl RangeBounds<[u8]>) -> Result<PastScan> {
        self.check_whole()?;
        Ok(PastScan { records: NewestRecords::new(&self.frozen, &range)?, past: self.clone() })
    }

    /// Whether `record`, the newest of its key up to this point, with `later_count` behind it, says what the key was, whatever
    /// has been dropped.
    fn tells(&self, record: &Record, later_count: usize) -> bool {
        let is_this_point = self.is_number && record.header.seq == self.seq;
        record.header.kind() == Kind::Put && (later_count == 0 || is_this_point)
    }

    /// Whether `record` put something that was there.
    fn is_there(&self, record: &Record) -> bool {
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

/// The keys and values of a [`Past`], in ascending byte order. A record that cannot be read is an error in between.
#[derive(Debug)]
pub struct PastScan {
    records: NewestRecords,
    past: Past,
}

impl PastScan {
    /// Looks at the next key: what it was, if it was there; `None` behind the last key. Who takes them so can stop also where
    /// no key was there for long.
    pub fn next_key(&mut self) -> Option<Result<Option<Entry>>> {
        let newest = match self.records.next([self.past.seq])? {
            Ok([newest]) => newest,
            Err(error) => return Some(Err(error)),
        };
        Some(newest.filter(|record| self.past.is_there(record)).map(Entry::of).transpose())
    }
}

impl Iterator for PastScan {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        std::iter::from_fn(|| self.next_key()).find_map(Result::transpose)
    }
}
