//! Writes the output segments of a run.

use std::ops::Range;
use std::sync::Arc;

use super::decide::{self, Ended, Outcome};
use super::plan::Settings;
use super::report::{Decision, Dropped, Kept, Tallies};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::base::stop::Failure;
use crate::engine::format::codec::Compressed;
use crate::engine::format::hint::HintRow;
use crate::engine::format::manifest::{History, SegmentExtent, SegmentLine};
use crate::engine::format::record::Kind;
use crate::engine::format::record::new::NewRecord;
use crate::engine::format::segment_header::{HEADER_LEN, Layout};
use crate::engine::fs::StoreFile;
use crate::engine::keydir::Address;
use crate::engine::log::Log;
use crate::engine::log::replace::Reserved;
use crate::engine::options::CompactionPolicy;
use crate::engine::segment::hint;
use crate::engine::segment::{Identity, Scanned, Segment, SegmentWriter, Sorter, StoreContext};
use crate::engine::state::{Moved, State, address_of};

/// The least number of writes before versions kept for their number are checked again.
const WRITES_MIN: u64 = 1024;

/// The number of staged bytes at which the output is written.
const FLUSH_LEN: usize = 1 << 20;

/// The output of a run: segments with the kept records, which no MANIFEST lists yet.
pub(super) struct RunOutput<'a> {
    state: &'a State,
    log: &'a Log,
    settings: &'a Settings,
    /// When the compaction began, in milliseconds since 1970.
    now_ms: u64,
    /// The finished segments, in log order. Mapped ones have no open file, since there may be many.
    outputs: Vec<Arc<Segment>>,
    /// The segment that records are appended to.
    last: Option<SegmentWriter>,
    /// The hint rows of that segment.
    sorter: Sorter,
    /// The sequence numbers that the run covers.
    seqs: Range<Seqno>,
    moved: Vec<Moved>,
    records: Tallies,
    /// The history lost by this compaction.
    forgotten: History,
    /// Whether a record was dropped without looking up the record that replaced it.
    forgets_until_now: bool,
    /// Whether the last segment holds dead records that are kept as history.
    keeps_versions: bool,
}

impl<'a> RunOutput<'a> {
    pub(super) fn new(
        state: &'a State,
        log: &'a Log,
        settings: &'a Settings,
        run: &[Arc<Segment>],
        now_ms: u64,
    ) -> Self {
        let first = run.first().map_or(Seqno(0), |first| first.base_seq);
        let end = run.last().map_or(Seqno(0), |last| last.seq_end);
        Self {
            state,
            log,
            settings,
            now_ms,
            outputs: Vec::new(),
            last: None,
            sorter: Sorter::default(),
            seqs: first..end,
            moved: Vec::new(),
            records: Tallies::default(),
            forgotten: History::default(),
            forgets_until_now: false,
            keeps_versions: false,
        }
    }

    /// Counts `record` of `segment`, and copies it if `outcome` keeps it.
    pub(super) fn take(&mut self, segment: &Segment, record: &Scanned<'_>, outcome: &Outcome) -> Result<()> {
        let decision = outcome.decision;
        let len = record.frame.len;
        self.records.add(decision, len);
        let hash = self.state.hash(record.key());
        let kept = match decision {
            Decision::Keep(kept) => Some(kept),
            Decision::Drop(_) => None,
        };
        let placed = kept.map(|kept| self.put(record, hash, kept, outcome.is_history)).transpose()?;
        let was_live = matches!(decision, Decision::Keep(Kept::Live | Kept::Expired))
            || record.header.kind() == Kind::Put
                && matches!(
                    decision,
                    Decision::Keep(Kept::Tombstone { .. }) | Decision::Drop(Dropped::Expired)
                );
        let loses_its_value = was_live && matches!(kept, Some(Kept::Tombstone { .. }));
        if kept.is_none() || loses_its_value {
            self.forget(record, outcome);
        }
        if was_live {
            // Dropping an expired record, or turning it into a tombstone, removes its key from the
            // index.
            let to = placed.filter(|_| matches!(kept, Some(Kept::Live | Kept::Expired)));
            self.moved.push(Moved { hash, from: address_of(segment, record.at), to, len });
        }
        Ok(())
    }

    /// Records that the history of the key of `record` is no longer complete.
    fn forget(&mut self, record: &Scanned<'_>, outcome: &Outcome) {
        let dropped = record.header.seq;
        // A record without a known end has ended by now, or at its own time if that is later
        // because the clock was ahead and has been corrected.
        let now = Ended { time_ms: record.header.time_ms, ..Ended::default() };
        let Ended { seq: whole_from, time_ms: whole_from_ms } = outcome.ended.unwrap_or(now);
        let forgotten = History { dropped, whole_from, whole_from_ms, ..History::default() };
        self.forgotten = self.forgotten.with(forgotten);
        self.forgets_until_now |= outcome.ended.is_none();
    }

    /// Returns the history lost by this compaction, as of now: a dropped record may have been
    /// replaced during the copy.
    pub(super) fn forgotten(&self) -> History {
        if !self.forgets_until_now {
            return self.forgotten;
        }
        let whole_from = self.log.appended();
        let whole_from_ms = self.state.now_ms();
        self.forgotten.with(History { whole_from, whole_from_ms, ..History::default() })
    }

    /// Appends a kept record to the output. Returns its new address.
    fn put(&mut self, record: &Scanned<'_>, hash: u64, kept: Kept, is_history: bool) -> Result<Address> {
        let seq = record.header.seq;
        self.make_room(record.frame.len, seq)?;
        let output = self.last.as_mut().expect("make_room opened a segment");
        let becomes_tombstone = matches!(kept, Kept::Tombstone { .. });
        let is_tombstone = becomes_tombstone || decide::is_tombstone(record);
        let at = stage(output, record, becomes_tombstone);
        let len = output.len() - at;
        if output.staged_len() >= FLUSH_LEN {
            output.flush().map_err(|Failure { error, .. }| error)?;
        }
        let usage = &output.segment.usage;
        // A tombstone has no value.
        let compressed = if is_tombstone { Compressed::default() } else { record.compressed() };
        usage.add_record(compressed);
        self.sorter.count(compressed);
        if is_tombstone {
            usage.add_tombstone(len);
        }
        // If an expired record kept as history were not counted here, its segment would be due
        // again at once, and be compacted forever.
        if is_tombstone || is_history || kept == Kept::Unknown {
            usage.add_needed(len);
        }
        self.keeps_versions |= is_history;
        match kept {
            Kept::Unknown => self.sorter.skip(seq),
            _ => self.sorter.add(record.key(), HintRow { hash, at, len, is_tombstone }, seq),
        }
        Ok(address_of(&output.segment, at))
    }

    /// Starts a new segment unless the last one has room for a record of `len` bytes and number
    /// `seq`.
    fn make_room(&mut self, len: u64, seq: Seqno) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| last.len() + len <= self.settings.segment_len_max) {
            return Ok(());
        }
        self.finish()?;
        let base_seq = if self.outputs.is_empty() { self.seqs.start } else { seq };
        let capacity = self.settings.segment_len_max.max(HEADER_LEN as u64 + len);
        let Reserved { id, first_page, salt } = self.log.reserve(capacity)?;
        let layout = Layout::current(salt);
        let created_ms = self.now_ms;
        let identity = Identity { id, base_seq, layout, created_ms, seq_end: self.seqs.end, first_page };
        let StoreContext { directory, store, reading, .. } = &self.state.context;
        match SegmentWriter::create(&**directory, *store, identity, reading, capacity) {
            Ok(output) => {
                self.last = Some(output);
                Ok(())
            }
            Err(error) => {
                self.log.release(first_page)?;
                Err(error)
            }
        }
    }

    /// Seals the last segment, makes it durable, and writes its hint.
    pub(super) fn finish(&mut self) -> Result<()> {
        let Some(last) = &mut self.last else { return Ok(()) };
        // If this process lost the directory, another writer may have a segment with this id.
        self.log.check()?;
        last.flush().map_err(|Failure { error, .. }| error)?;
        last.sync()?;
        last.segment.seal();
        if std::mem::take(&mut self.keeps_versions) {
            let CompactionPolicy { keep_versions, keep_for, .. } = &self.settings.policy;
            let keep_for_ms = u64::try_from(keep_for.as_millis()).unwrap_or(u64::MAX);
            let until_ms = self.now_ms.saturating_add(keep_for_ms);
            // After this many writes, each key has been written once more on average.
            let until_seq = self.log.appended().plus(self.state.keydir.count().max(WRITES_MIN));
            let until_ms = (!keep_for.is_zero()).then_some(until_ms);
            last.segment.usage.need_until(until_ms, (*keep_versions > 1).then_some(until_seq));
        }
        let sorted = std::mem::take(&mut self.sorter).finish();
        match last.segment.write_hint(&self.state.context, &sorted) {
            Ok(hint) => last.segment.take_hint(hint),
            // A hint is derived: the store works without it.
            Err(error) => tracing::warn!(error = error.sentence(), "no hint could be written"),
        }
        self.outputs.extend(self.last.take().map(|last| last.segment));
        Ok(())
    }

    /// Makes the names of the output files durable.
    pub(super) fn make_durable(&self) -> Result<()> {
        let directory = &self.state.context.directory;
        let path = || directory.path(StoreFile::Manifest);
        directory.sync().map_err(Error::io("fsync the directory of", path()))
    }

    /// Returns the output segments with their lines for MANIFEST.
    pub(super) fn segments(&self) -> Vec<(SegmentLine, Arc<Segment>)> {
        let line = |segment: &Segment| SegmentLine {
            id: segment.id,
            base_seq: segment.base_seq,
            layout: segment.layout,
            extent: SegmentExtent::Sealed(segment.len()),
        };
        self.outputs.iter().map(|output| (line(output), Arc::clone(output))).collect()
    }

    /// Returns the old and new places of the records that were live when they were copied.
    pub(super) fn moved(&self) -> &[Moved] {
        &self.moved
    }

    pub(super) fn records(&self) -> &Tallies {
        &self.records
    }

    /// Removes the output files. A file that cannot be removed is an orphan for the next open.
    pub(super) fn undo(&self) {
        let home = &self.state.context;
        for output in self.outputs.iter().chain(self.last.as_ref().map(|last| &last.segment)) {
            let Identity { id, first_page, .. } = output.identity;
            let path = &output.path;
            let remove = || {
                let removed = home.directory.remove(StoreFile::Segment(id));
                removed.and_then(|()| hint::remove(home, id)).map_err(Error::io("remove", path))
            };
            if let Err(error) = self.log.withdraw(first_page, remove) {
                let error = error.sentence();
                tracing::warn!(
                    segment = id.0,
                    error,
                    "the output of a cancelled compaction stays until the next open"
                );
            }
        }
    }
}

/// Stages `record`, or a tombstone in its place. Returns its offset.
fn stage(output: &mut SegmentWriter, record: &Scanned<'_>, becomes_tombstone: bool) -> u64 {
    let tombstone = NewRecord {
        seq: record.header.seq,
        time_ms: record.header.time_ms,
        lag: record.header.lag,
        kind: Kind::Delete,
        more: false,
        expires_ms: None,
        key: record.key(),
        value: &[],
        codec: None,
    };
    match record.header.kind() {
        Kind::Put if becomes_tombstone => output.stage(&tombstone),
        _ => output.stage_copy(record.bytes),
    }
}
