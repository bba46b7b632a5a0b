//! The new segments of a run, while they are made.

use std::ops::Range;
use std::sync::Arc;

use super::Compactor;
use super::decide::{self, Ended, Verdict};
use super::report::{Decision, Dropped, Kept, Tallies};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::base::stop::Failure;
use crate::engine::format::codec::Compressed;
use crate::engine::format::hint::Row;
use crate::engine::format::manifest::{Extent, History, SegmentLine};
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

/// What is written at least before versions that were kept for their number are looked at again.
const WRITES_MIN: u64 = 1024;

/// What is staged before it is written.
const FLUSH_LEN: usize = 1 << 20;

/// Records that were kept, in new segments that no MANIFEST lists yet.
pub(super) struct Copy<'a> {
    state: &'a State,
    log: &'a Log,
    segment_len_max: u64,
    policy: &'a CompactionPolicy,
    /// When the compaction began, in milliseconds since 1970.
    now_ms: u64,
    /// Those that are finished, in log order: their files are closed where they are mapped, for there may be many.
    outputs: Vec<Arc<Segment>>,
    /// The one that records go to.
    last: Option<SegmentWriter>,
    /// The rows of that one.
    sorter: Sorter,
    /// The least number that the next output may hold, and more than any it holds: its neighbours'.
    seqs: Range<Seqno>,
    moved: Vec<Moved>,
    records: Tallies,
    /// What of the past goes with what was dropped.
    forgotten: History,
    /// Whether something was dropped of which nobody has looked up what came after.
    forgets_until_now: bool,
    /// Whether something dead is in the last output for those who look back.
    keeps_versions: bool,
}

impl<'a> Copy<'a> {
    pub(super) fn new(
        state: &'a State,
        log: &'a Log,
        run: &[Arc<Segment>],
        compactor: &'a Compactor,
        now_ms: u64,
    ) -> Self {
        let first = run.first().map_or(Seqno(0), |first| first.base_seq);
        let end = run.last().map_or(Seqno(0), |last| last.seq_end);
        Self {
            state,
            log,
            segment_len_max: compactor.segment_len_max,
            policy: compactor.policy(),
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

    /// Copies `record` of `segment`, if it is kept.
    pub(super) fn take(&mut self, segment: &Segment, record: &Scanned<'_>, verdict: &Verdict) -> Result<()> {
        let (decision, len) = (verdict.decision, record.frame.len);
        self.records.add(decision, len);
        let hash = self.state.hash(record.key());
        let kept = match decision {
            Decision::Keep(kept) => Some(kept),
            Decision::Drop(_) => None,
        };
        let placed = kept.map(|kept| self.put(record, hash, kept, verdict.is_history)).transpose()?;
        let was_live = matches!(decision, Decision::Keep(Kept::Live | Kept::Expired))
            || record.header.kind() == Kind::Put
                && matches!(
                    decision,
                    Decision::Keep(Kept::Tombstone { .. }) | Decision::Drop(Dropped::Expired)
                );
        let loses_its_value = was_live && matches!(kept, Some(Kept::Tombstone { .. }));
        if kept.is_none() || loses_its_value {
            self.forget(record, verdict);
        }
        if was_live {
            // An expired record that is dropped, or becomes a tombstone, takes its key out of the index.
            let to = placed.filter(|_| matches!(kept, Some(Kept::Live | Kept::Expired)));
            self.moved.push(Moved { hash, from: address_of(segment, record.at), to, len });
        }
        Ok(())
    }

    /// Takes note that `record` is not there any more for those who look back.
    fn forget(&mut self, record: &Scanned<'_>, verdict: &Verdict) {
        let dropped = record.header.seq;
        // Without a known end, it ended by now, or at its own time if that is later: the clock may
        // have been ahead and corrected.
        let now = Ended { time_ms: record.header.time_ms, ..Ended::default() };
        let Ended { seq: whole_from, time_ms: whole_from_ms } = verdict.ended.unwrap_or(now);
        let forgotten = History { dropped, whole_from, whole_from_ms, ..History::default() };
        self.forgotten = self.forgotten.with(forgotten);
        self.forgets_until_now |= verdict.ended.is_none();
    }

    /// The history lost with the dropped records. It is as of now: a dropped record may have been
    /// replaced during the copy.
    pub(super) fn forgotten(&self) -> History {
        if !self.forgets_until_now {
            return self.forgotten;
        }
        let (whole_from, whole_from_ms) = (self.log.appended(), self.state.now_ms());
        self.forgotten.with(History { whole_from, whole_from_ms, ..History::default() })
    }

    /// Puts a kept record into the output; its address there.
    fn put(&mut self, record: &Scanned<'_>, hash: u64, kept: Kept, is_history: bool) -> Result<Address> {
        let seq = record.header.seq;
        self.make_room(record.frame.len, seq)?;
        let output = self.last.as_mut().expect("there is room in it");
        let becomes_tombstone = matches!(kept, Kept::Tombstone { .. });
        let is_tombstone = becomes_tombstone || decide::is_tombstone(record);
        let at = stage(output, record, becomes_tombstone);
        let len = output.len() - at;
        if output.staged_len() >= FLUSH_LEN {
            output.flush().map_err(|Failure { error, .. }| error)?;
        }
        let usage = &output.segment.usage;
        // A tombstone has no value any more.
        let compressed = if is_tombstone { Compressed::default() } else { record.compressed() };
        usage.add_record(compressed);
        self.sorter.count(compressed);
        if is_tombstone {
            usage.add_tombstone(len);
        }
        // If an expired record that belongs to the past were not counted here, its segment would be
        // due again at once, and be compacted for ever.
        if is_tombstone || is_history || kept == Kept::Unknown {
            usage.add_needed(len);
        }
        self.keeps_versions |= is_history;
        match kept {
            Kept::Unknown => self.sorter.skip(seq),
            _ => self.sorter.add(record.key(), Row { hash, at, len, is_tombstone }, seq),
        }
        Ok(address_of(&output.segment, at))
    }

    /// Makes sure that the last output has room for a record of `len` bytes and number `seq`.
    fn make_room(&mut self, len: u64, seq: Seqno) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| last.len() + len <= self.segment_len_max) {
            return Ok(());
        }
        self.finish()?;
        let base_seq = if self.outputs.is_empty() { self.seqs.start } else { seq };
        let capacity = self.segment_len_max.max(HEADER_LEN as u64 + len);
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

    /// Ends the last output, makes it durable, and writes its hint.
    pub(super) fn finish(&mut self) -> Result<()> {
        let Some(last) = &mut self.last else { return Ok(()) };
        // Another writer may have the directory by now, and a hint for a segment of this number.
        self.log.check()?;
        last.flush().map_err(|Failure { error, .. }| error)?;
        last.sync()?;
        last.segment.seal();
        if std::mem::take(&mut self.keeps_versions) {
            let CompactionPolicy { keep_versions, keep_for, .. } = self.policy;
            let keep_for_ms = u64::try_from(keep_for.as_millis()).unwrap_or(u64::MAX);
            let until_ms = self.now_ms.saturating_add(keep_for_ms);
            // By then each key has been written once more, on an average.
            let until_seq = self.log.appended().plus(self.state.keydir.count().max(WRITES_MIN));
            let until_ms = (!keep_for.is_zero()).then_some(until_ms);
            last.segment.usage.need_until(until_ms, (*keep_versions > 1).then_some(until_seq));
        }
        let sorted = std::mem::take(&mut self.sorter).finish();
        match last.segment.write_hint(&self.state.context, &sorted) {
            Ok(hint) => last.segment.take_hint(hint),
            // It is derived, and can be done without.
            Err(error) => tracing::warn!(error = error.sentence(), "no hint could be written"),
        }
        self.outputs.extend(self.last.take().map(|last| last.segment));
        Ok(())
    }

    /// Makes the names of the outputs durable.
    pub(super) fn make_durable(&self) -> Result<()> {
        let directory = &self.state.context.directory;
        let path = || directory.path(StoreFile::Manifest);
        directory.sync().map_err(Error::io("fsync the directory of", path()))
    }

    /// The outputs, and what MANIFEST is to say of them.
    pub(super) fn segments(&self) -> Vec<(SegmentLine, Arc<Segment>)> {
        let line = |segment: &Segment| SegmentLine {
            id: segment.id,
            base_seq: segment.base_seq,
            layout: segment.layout,
            extent: Extent::Sealed(segment.len()),
        };
        self.outputs.iter().map(|output| (line(output), Arc::clone(output))).collect()
    }

    /// Where the records went that were live when they were copied.
    pub(super) fn moved(&self) -> &[Moved] {
        &self.moved
    }

    /// What became of the records.
    pub(super) fn records(&self) -> &Tallies {
        &self.records
    }

    /// Leaves no trace. What cannot be removed is an orphan, which the next open removes.
    pub(super) fn undo(&self) {
        let home = &self.state.context;
        for output in self.outputs.iter().chain(self.last.as_ref().map(|last| &last.segment)) {
            let (Identity { id, first_page, .. }, path) = (output.identity, &output.path);
            let remove = || {
                let removed = home.directory.remove(StoreFile::Segment(id));
                removed.and_then(|()| hint::remove(home, id)).map_err(Error::io("remove", path))
            };
            if let Err(error) = self.log.withdraw(first_page, remove) {
                let error = error.sentence();
                tracing::warn!(segment = id.0, error, "what a compaction began stays until the next open");
            }
        }
    }
}

/// Stages `record` as it is, or as a tombstone in its place; where it will stand.
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
