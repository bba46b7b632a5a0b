//! The log as a feed — its records in order, and those that come.
//!
//! The log is what others make feeds of: here it is given as it is. A batch is given when it is there as a whole; what
//! compaction has dropped is told, and never passed over in silence.

mod source;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::source::{Part, Source, Wanted};
use super::scan::{Entry, KeyEntry};
use crate::engine::base::cursor::Cursor;
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::{Lineage, Seqno};
use crate::engine::base::stop::{Search, Stop};
use crate::engine::format::manifest::History;
use crate::engine::format::record::Kind;
use crate::engine::log::Log;
use crate::engine::segment::value::Value;
use crate::engine::segment::{Bodies, Record, Scanner, Step, StoreContext};
use crate::engine::state::State;

/// How many records are found at a time, if no batch has more.
const GATHERED_COUNT: usize = 1024;
/// The least time between two ends of a wait: who writes without a pause does not wake a follower at each write.
const PACE: Duration = Duration::from_millis(5);

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key, and what the record says of itself.
    pub meta: KeyEntry,
    /// What the key was set to; `None`: it was deleted.
    pub value: Option<Value>,
    /// Whether the next change belongs to the same batch. Compaction takes batches apart: what is in the log alone is whole
    /// by then.
    pub goes_on: bool,
}

impl Change {
    fn of(record: Record) -> Result<Self> {
        let goes_on = record.header.flag.has_more();
        if record.header.kind() == Kind::Delete {
            return Ok(Self { meta: KeyEntry::of(&record), value: None, goes_on });
        }
        let Entry { meta, value } = Entry::of(record)?;
        Ok(Self { meta, value: Some(value), goes_on })
    }
}

/// The records of the log in its order, from some number on, and those that come: see [`Store::changes`](crate::Store::changes).
///
/// The iterator ends at the end of the log, and continues when records are appended:
/// [`Changes::wait`] waits for them. A damaged record is one error, and the next records follow. If
/// records from the start on were compacted away, [`Error::CompactedAway`] comes first, once, and
/// the remaining records follow. After a clear none are left. It is [`Error::GivenUp`] if a repair
/// may have given them up. A cursor of another lineage is [`Error::OtherLineage`], and one beyond
/// the log's end is [`Error::BeyondEnd`], on every call. Expiry writes no record: see
/// [`KeyEntry::expires_ms`].
#[derive(Debug)]
pub struct Changes {
    source: Source,
    /// The log's lineage.
    lineage: Lineage,
    /// The start, until it is checked against this log.
    unchecked: Option<Cursor>,
    wanted: Wanted,
    /// The first record of a batch that was returned in part.
    batch: Option<Seqno>,
    /// Records up to this number were reported missing.
    told: Seqno,
    reading: Option<Reading>,
    /// What was found of the segment that is read, and not given yet: whole batches.
    found: VecDeque<Found>,
    /// When the last wait ended.
    woken: Option<Instant>,
}

/// The segment that is read, and where what was found ends.
#[derive(Debug)]
struct Reading {
    part: Part,
    at: u64,
}

/// What stands at a place of the log.
#[derive(Debug)]
enum Found {
    Record(u64),
    Damaged(u64, Box<Damage>),
}

impl Changes {
    /// Of a store that is open for writing.
    pub(crate) fn of_log(state: Arc<State>, log: Arc<Log>, from: Cursor) -> Self {
        let lineage = state.context.lineage;
        Self::new(Source::own(state, log), lineage, from)
    }

    /// Of the files at `home`.
    pub(crate) fn of_files(home: &StoreContext, from: Cursor) -> Self {
        Self::new(Source::files(home), home.lineage, from)
    }

    /// From the last `count` records on, and not from the first.
    pub(crate) fn recent(mut self, count: usize, search: &mut Search<'_>) -> Result<Self, Stop> {
        let first = self.source.seq_from_end(count.max(1), search)?;
        let behind = |seq: Seqno| if count > 0 { seq } else { seq.plus(1) };
        // An empty log starts at the next record.
        self.wanted.next = first.map_or(Seqno(0), behind);
        // What is not in the log is none of its last records.
        let (_, history) = self.source.next_part(&mut self.wanted)?;
        self.told = history.missing();
        Ok(self)
    }

    fn new(source: Source, lineage: Lineage, from: Cursor) -> Self {
        Self {
            source,
            lineage,
            unchecked: Some(from),
            wanted: Wanted { next: from.seq, done: None },
            batch: None,
            told: Seqno(0),
            reading: None,
            found: VecDeque::new(),
            woken: None,
        }
    }

    /// Checks that the start is in this log.
    fn check_start(&mut self) -> Result<()> {
        let Some(cursor) = self.unchecked else { return Ok(()) };
        if cursor.lineage.is_some_and(|lineage| lineage != self.lineage) {
            return Err(Error::OtherLineage { cursor, lineage: self.lineage });
        }
        self.source.check_reached(cursor.seq)?;
        self.unchecked = None;
        Ok(())
    }

    /// Waits until there may be more to give; `false` when there was not within `timeout`. Sleeps meanwhile: a write of this
    /// process, or of another one, wakes it within some milliseconds.
    ///
    /// # Errors
    /// [`Error::OtherLineage`], [`Error::BeyondEnd`], [`Error::Closed`] when the store was closed, and what the operating
    /// system says.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool> {
        if !self.found.is_empty() {
            return Ok(true);
        }
        self.check_start()?;
        if let Some(woken) = self.woken {
            std::thread::sleep((woken + PACE).saturating_duration_since(Instant::now()).min(timeout));
        }
        let waited = self.source.wait(timeout);
        self.woken = Some(Instant::now());
        waited
    }

    /// A later feed continues from here: after the last record returned, but never inside a batch.
    /// If a batch was returned in part, this is its first record.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let seq = self.batch.unwrap_or(self.wanted.next);
        Cursor { seq, lineage: Some(self.lineage) }
    }

    /// Finds more; whether there is any.
    fn find(&mut self) -> Result<bool> {
        self.check_start()?;
        loop {
            match &mut self.reading {
                Some(reading) => self.source.renew(&mut reading.part)?,
                None => {
                    // What was dropped from there on is told, also where the next segment begins behind it.
                    let next = self.wanted.next;
                    let (part, history) = self.source.next_part(&mut self.wanted)?;
                    self.reading =
                        part.map(|part| Reading { at: part.segment.layout.header_len.into(), part });
                    self.tell_missing(next, history)?;
                }
            }
            let Some(reading) = &mut self.reading else { return Ok(false) };
            let is_done = reading.gather(self.wanted.next, &mut self.found)?;
            if is_done {
                self.wanted.done = Some(reading.part.segment.id);
            }
            if !self.found.is_empty() {
                return Ok(true);
            }
            if !is_done {
                return Ok(false);
            }
            self.reading = None;
        }
    }

    /// Fails, once, if a record from `next` on was compacted away or given up by a repair.
    fn tell_missing(&mut self, next: Seqno, history: History) -> Result<()> {
        let missing = history.missing();
        if missing < next || missing <= self.told {
            return Ok(());
        }
        self.told = missing;
        Err(Error::gone(missing.plus(1), history.given_up > history.dropped))
    }

    fn give(&mut self, found: Found) -> Result<Change> {
        let segment = &self.reading.as_ref().expect("what was found is of a segment").part.segment;
        match found {
            Found::Record(at) => {
                let record = segment.read(at)?;
                self.wanted.next = record.header.seq.plus(1);
                self.batch = match record.header.flag.has_more() {
                    true => self.batch.or(Some(record.header.seq)),
                    false => None,
                };
                Change::of(record)
            }
            Found::Damaged(at, damage) => Err(Error::damaged(segment.location(at), *damage)),
        }
    }
}

impl Iterator for Changes {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.found.is_empty() {
            match self.find() {
                Ok(true) => {}
                Ok(false) => {
                    // All remaining records were returned: a feed that continues here gets no
                    // error.
                    self.wanted.next = self.wanted.next.max(self.told.plus(1));
                    self.source.forget();
                    return None;
                }
                Err(error) => return Some(Err(error)),
            }
        }
        let found = self.found.pop_front()?;
        Some(self.give(found))
    }
}

impl Reading {
    /// Puts into `found` the whole batches that begin at its place, but for records before `next`, and moves behind them;
    /// whether the segment has nothing more, now or ever.
    fn gather(&mut self, next: Seqno, found: &mut VecDeque<Found>) -> Result<bool> {
        let Part { segment, is_final, last_seq } = &self.part;
        let mut scanner = Scanner::new(segment, Bodies::Checked).starting_at(self.at).growing(!is_final);
        let end = scanner.end();
        // The batch that is not known to be whole.
        let mut batch = Vec::new();
        while found.len() < GATHERED_COUNT {
            let (what, goes_on, behind) = match scanner.next()? {
                None => {
                    // Of a batch without its end, which is damage, the rest is there.
                    if *is_final {
                        found.extend(batch);
                        self.at = end;
                    }
                    return Ok(*is_final);
                }
                Some(Step::Record(record)) => {
                    let behind = record.at + record.frame.len;
                    let what = match record.damage {
                        _ if record.header.seq > *last_seq => return Ok(false),
                        Some(damage) => Some(Found::Damaged(record.at, damage.into())),
                        // Of a later version, and said to be nothing that matters here.
                        None if matches!(record.header.kind(), Kind::Other(_)) => None,
                        None => (record.header.seq >= next).then_some(Found::Record(record.at)),
                    };
                    (what, record.header.flag.has_more(), behind)
                }
                Some(Step::Bad { at, len, damage }) => {
                    (Some(Found::Damaged(at, damage.into())), false, at + len)
                }
            };
            batch.extend(what);
            if !goes_on {
                found.extend(batch.drain(..));
                self.at = behind;
            }
        }
        Ok(false)
    }
}
