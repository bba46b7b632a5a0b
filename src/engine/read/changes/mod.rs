//! The change feed: the records of the log in order, and new ones as they are appended.
//!
//! The feed returns a batch only when the whole batch is visible. Records lost by compaction are an
//! error; the feed never skips them silently.

mod source;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::source::{FeedPosition, FeedSource, SegmentView};
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

/// The number of records that are gathered together, unless a batch has more.
const GATHERED_COUNT: usize = 1024;
/// The least time between two wakeups, so that a busy writer does not wake the feed for each write.
const WAKEUP_INTERVAL_MIN: Duration = Duration::from_millis(5);

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key and the facts of the record.
    pub meta: KeyEntry,
    /// The new value; `None` if the key was deleted.
    pub value: Option<Value>,
    /// Whether the next change belongs to the same batch. A compacted record is in a batch of its
    /// own.
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

/// A change feed; see [`Store::changes`](crate::Store::changes).
///
/// The iterator ends at the end of the log, and continues when records are appended:
/// [`Changes::wait`] waits for them. A damaged record is one error, and the next records follow. If
/// records after the start were compacted away, the feed returns [`Error::CompactedAway`] once, and
/// then the remaining records; after a clear no record remains. If a repair may have given up
/// records, that error is [`Error::GivenUp`]. For a cursor of another lineage every call returns
/// [`Error::OtherLineage`], and for a cursor beyond the end of the log [`Error::BeyondEnd`]. Expiry
/// appends no record; see [`KeyEntry::expires_ms`].
#[derive(Debug)]
pub struct Changes {
    source: FeedSource,
    lineage: Lineage,
    /// The start of the feed, until it is checked against this log.
    unchecked: Option<Cursor>,
    position: FeedPosition,
    /// The first record of the batch that was returned in part.
    batch: Option<Seqno>,
    /// Records up to this number were reported missing.
    reported_missing: Seqno,
    reading: Option<SegmentReader>,
    /// Items of that segment that were gathered and not yet returned: whole batches.
    gathered: VecDeque<LogItem>,
    /// The end of the last wait.
    woken: Option<Instant>,
}

/// The segment that is being read.
#[derive(Debug)]
struct SegmentReader {
    view: SegmentView,
    /// The offset up to which items were gathered.
    at: u64,
}

/// A record or damage, with its offset.
#[derive(Debug)]
enum LogItem {
    Record(u64),
    Damaged(u64, Box<Damage>),
}

impl Changes {
    /// Follows a store that is open for writing in this process.
    pub(crate) fn of_log(state: Arc<State>, log: Arc<Log>, from: Cursor) -> Self {
        let lineage = state.context.lineage;
        Self::new(FeedSource::own(state, log), lineage, from)
    }

    /// Follows the files of a store that another process may write.
    pub(crate) fn of_files(context: &StoreContext, from: Cursor) -> Self {
        Self::new(FeedSource::files(context), context.lineage, from)
    }

    /// Starts at the last `count` records of the log.
    pub(crate) fn recent(mut self, count: usize, search: &mut Search<'_>) -> Result<Self, Stop> {
        let first = self.source.seq_from_end(count.max(1), search)?;
        let behind = |seq: Seqno| if count > 0 { seq } else { seq.plus(1) };
        // An empty log starts at the next record.
        self.position.next = first.map_or(Seqno(0), behind);
        // Records that are gone are not among the last ones.
        let (_, history) = self.source.next_segment(&mut self.position)?;
        self.reported_missing = history.missing();
        Ok(self)
    }

    fn new(source: FeedSource, lineage: Lineage, from: Cursor) -> Self {
        Self {
            source,
            lineage,
            unchecked: Some(from),
            position: FeedPosition { next: from.seq, done: None },
            batch: None,
            reported_missing: Seqno(0),
            reading: None,
            gathered: VecDeque::new(),
            woken: None,
        }
    }

    /// Checks that the log contains the start.
    fn check_start(&mut self) -> Result<()> {
        let Some(cursor) = self.unchecked else { return Ok(()) };
        if cursor.lineage.is_some_and(|lineage| lineage != self.lineage) {
            return Err(Error::OtherLineage { cursor, lineage: self.lineage });
        }
        self.source.check_reached(cursor.seq)?;
        self.unchecked = None;
        Ok(())
    }

    /// Waits until the log may have new records. Returns `false` after `timeout`. A write by this
    /// or another process ends the wait within milliseconds.
    ///
    /// # Errors
    /// [`Error::OtherLineage`], [`Error::BeyondEnd`], [`Error::Closed`] if the store was closed,
    /// and [`Error::Io`].
    pub fn wait(&mut self, timeout: Duration) -> Result<bool> {
        if !self.gathered.is_empty() {
            return Ok(true);
        }
        self.check_start()?;
        if let Some(woken) = self.woken {
            std::thread::sleep(
                (woken + WAKEUP_INTERVAL_MIN).saturating_duration_since(Instant::now()).min(timeout),
            );
        }
        let waited = self.source.wait(timeout);
        self.woken = Some(Instant::now());
        waited
    }

    /// Returns the cursor from which a later feed continues: after the last record returned, or at
    /// the start of its batch if the batch was returned in part.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let seq = self.batch.unwrap_or(self.position.next);
        Cursor { seq, lineage: Some(self.lineage) }
    }

    /// Gathers more items. Returns whether the log has any.
    fn gather(&mut self) -> Result<bool> {
        self.check_start()?;
        loop {
            match &mut self.reading {
                Some(reading) => self.source.refresh(&mut reading.view)?,
                None => {
                    // Uses the old position: the next segment may start after the missing records.
                    let next = self.position.next;
                    let (view, history) = self.source.next_segment(&mut self.position)?;
                    self.reading =
                        view.map(|view| SegmentReader { at: view.segment.layout.header_len.into(), view });
                    self.report_missing(next, history)?;
                }
            }
            let Some(reading) = &mut self.reading else { return Ok(false) };
            let is_done = reading.gather(self.position.next, &mut self.gathered)?;
            if is_done {
                self.position.done = Some(reading.view.segment.id);
            }
            if !self.gathered.is_empty() {
                return Ok(true);
            }
            if !is_done {
                return Ok(false);
            }
            self.reading = None;
        }
    }

    /// Fails once if a record from `next` on was compacted away or given up by a repair.
    fn report_missing(&mut self, next: Seqno, history: History) -> Result<()> {
        let missing = history.missing();
        if missing < next || missing <= self.reported_missing {
            return Ok(());
        }
        self.reported_missing = missing;
        Err(Error::gone(missing.plus(1), history.given_up > history.dropped))
    }

    fn read_item(&mut self, item: LogItem) -> Result<Change> {
        let segment = &self.reading.as_ref().expect("gathered items belong to a segment").view.segment;
        match item {
            LogItem::Record(at) => {
                let record = segment.read(at)?;
                self.position.next = record.header.seq.plus(1);
                self.batch = match record.header.flag.has_more() {
                    true => self.batch.or(Some(record.header.seq)),
                    false => None,
                };
                Change::of(record)
            }
            LogItem::Damaged(at, damage) => Err(Error::damaged(segment.location(at), *damage)),
        }
    }
}

impl Iterator for Changes {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.gathered.is_empty() {
            match self.gather() {
                Ok(true) => {}
                Ok(false) => {
                    // A feed that continues here must not report the missing records again.
                    self.position.next = self.position.next.max(self.reported_missing.plus(1));
                    self.source.end_pass();
                    return None;
                }
                Err(error) => return Some(Err(error)),
            }
        }
        let item = self.gathered.pop_front()?;
        Some(self.read_item(item))
    }
}

impl SegmentReader {
    /// Moves past the next whole batches, and adds their records from `next` on to `found`. Returns
    /// whether the segment is sealed and read to its end.
    fn gather(&mut self, next: Seqno, found: &mut VecDeque<LogItem>) -> Result<bool> {
        let SegmentView { segment, is_final, last_seq } = &self.view;
        let mut scanner = Scanner::new(segment, Bodies::Checked).starting_at(self.at).growing(!is_final);
        let end = scanner.end();
        // The batch that is not complete yet.
        let mut batch = Vec::new();
        while found.len() < GATHERED_COUNT {
            let (item, goes_on, behind) = match scanner.next()? {
                None => {
                    // If damage destroyed the end of a batch, the rest of the batch is still
                    // returned.
                    if *is_final {
                        found.extend(batch);
                        self.at = end;
                    }
                    return Ok(*is_final);
                }
                Some(Step::Record(record)) => {
                    let behind = record.at + record.frame.len;
                    let item = match record.damage {
                        _ if record.header.seq > *last_seq => return Ok(false),
                        Some(damage) => Some(LogItem::Damaged(record.at, damage.into())),
                        // A newer version of logkv wrote this record, of a kind that older versions
                        // may skip.
                        None if matches!(record.header.kind(), Kind::Other(_)) => None,
                        None => (record.header.seq >= next).then_some(LogItem::Record(record.at)),
                    };
                    (item, record.header.flag.has_more(), behind)
                }
                Some(Step::Bad { at, len, damage }) => {
                    (Some(LogItem::Damaged(at, damage.into())), false, at + len)
                }
            };
            batch.extend(item);
            if !goes_on {
                found.extend(batch.drain(..));
                self.at = behind;
            }
        }
        Ok(false)
    }
}
