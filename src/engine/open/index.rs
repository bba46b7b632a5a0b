//! Indexes loaded segments. Each segment gives sorted rows, from its hint or from its records, and
//! the rows go into the index in log order. For large stores, every core first prepares one segment
//! at a time, and then fills one part of the index.

use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::Ordering;

use super::load::{Load, LoadedSegment};
use super::opened::FoundDamage;
use crate::engine::base::error::Result;
use crate::engine::base::ids::Seqno;
use crate::engine::base::sync::{AtomicU64, AtomicUsize, LockRank, Mutex, start_scoped, thread};
use crate::engine::format::codec::Compressed;
use crate::engine::keydir::shard_of;
use crate::engine::options::OpenProgress;
use crate::engine::segment::{
    Bodies, Scanner, Segment, SortedRecords, SortedRows, Sorter, Step, StoreContext,
};
use crate::engine::state::Replay;

/// Below this many bytes of log, one thread is done before a second one has started.
const PARALLEL_LEN_MIN: u64 = 16 << 20;

/// The rows and totals of one segment.
#[derive(Default)]
struct PreparedSegment {
    rows: Option<SortedRows>,
    /// The index already has the records before this byte.
    from: u64,
    /// Records of every kind in the whole segment.
    record_count: u64,
    compressed: Compressed,
    last_seq: Seqno,
    damage: Vec<FoundDamage>,
}

impl Load<'_> {
    /// Indexes the records of all segments.
    pub(super) fn index(&mut self, loaded: &[LoadedSegment]) -> Result<()> {
        let total_len = loaded.iter().map(LoadedSegment::uncovered_len).sum();
        // Counting the cores reads files, which takes longer than opening a small store.
        let threads = match total_len {
            PARALLEL_LEN_MIN.. => std::thread::available_parallelism().map_or(1, NonZero::get),
            _ => 1,
        };
        let prepared = self.prepare(loaded, threads, total_len)?;
        for (loaded, prepared) in loaded.iter().zip(&prepared) {
            let covered_count = loaded.covered.map_or(0, |covered| covered.record_count);
            if let Some(covered) = &loaded.covered {
                loaded.segment.set_usage(covered);
            }
            loaded.segment.usage.set_records(prepared.record_count, prepared.compressed);
            self.report.record_count += prepared.record_count.saturating_sub(covered_count);
            self.last_seq = self.last_seq.max(prepared.last_seq);
            self.report_damage(loaded, &prepared.damage);
        }
        self.replay(loaded, &prepared, threads)
    }

    /// Prepares all segments in parallel.
    fn prepare(
        &self,
        loaded: &[LoadedSegment],
        threads: usize,
        total_len: u64,
    ) -> Result<Vec<PreparedSegment>> {
        let next = AtomicUsize::new(0);
        let done_len = AtomicU64::new(0);
        let outcomes: Vec<Mutex<Option<Result<PreparedSegment>>>> =
            loaded.iter().map(|_| Mutex::new(LockRank::Leaf, None)).collect();
        let work = || {
            while let Some((loaded, outcome)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                loaded.get(index).zip(outcomes.get(index))
            } {
                let prepared = prepare(&self.context, loaded, self.writes_hints());
                *outcome.lock() = Some(prepared);
                let len = loaded.uncovered_len();
                let done_len = done_len.fetch_add(len, Ordering::Relaxed) + len;
                self.report_progress(OpenProgress { done_len, total_len });
            }
        };
        share(threads, |_| {
            work();
            Ok(())
        })?;
        let outcomes = outcomes.into_iter().filter_map(|outcome| outcome.into_inner());
        outcomes.collect()
    }

    /// Puts the rows into the index in log order. Each thread fills its own shards.
    fn replay(&self, loaded: &[LoadedSegment], prepared: &[PreparedSegment], threads: usize) -> Result<()> {
        let set = self.state.segments();
        let replay = Replay { context: &self.context, set: &set, keydir: &self.state.keydir, counts: true };
        share(threads, |thread| {
            for (LoadedSegment { segment, .. }, prepared) in loaded.iter().zip(prepared) {
                if let Some(rows) = &prepared.rows {
                    let part = prepared.from..segment.limit();
                    replay.rows(segment, rows, part, |hash| shard_of(hash) % threads == thread)?;
                }
            }
            Ok(())
        })
    }
}

/// Does `part_count` parts of the work in up to as many threads. If the system allows fewer
/// threads, they do the remaining parts.
fn share(part_count: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work_on = || -> Result<()> {
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                part if part < part_count => work(part)?,
                _ => return Ok(()),
            }
        }
    };
    thread::scope(|scope| {
        let start = |_| start_scoped(scope, work_on).inspect_err(log_missing_thread).ok();
        let others: Vec<_> = (1..part_count).map_while(start).collect();
        let ours = work_on();
        let theirs = others.into_iter().map(|other| other.join().expect("indexing a segment does not panic"));
        std::iter::once(ours).chain(theirs).collect()
    })
}

fn log_missing_thread(error: &std::io::Error) {
    tracing::warn!(%error, "cannot start another thread; opening goes on with fewer");
}

impl LoadedSegment {
    fn uncovered_len(&self) -> u64 {
        self.segment.len().saturating_sub(self.covered.map_or(0, |covered| covered.len))
    }
}

/// Returns the rows of one segment that the index lacks, from its hint or from its records.
fn prepare(context: &StoreContext, loaded: &LoadedSegment, writes_hints: bool) -> Result<PreparedSegment> {
    let LoadedSegment { segment, is_sealed, covered, .. } = loaded;
    let from = covered.map_or(0, |covered| covered.len);
    // If a sealed file was cut off where KEYDIR ends, its hint still has the rest.
    let end = if *is_sealed { segment.limit() } else { segment.len() };
    if let Some(covered) = covered
        && from >= end
    {
        let record_count = covered.record_count;
        let compressed = covered.compressed();
        return Ok(PreparedSegment { record_count, compressed, ..PreparedSegment::default() });
    }
    if *is_sealed && let Some(hinted) = segment.hinted(context) {
        let SortedRecords { rows, record_count, compressed, last_seq } = hinted;
        let record_count = record_count.into();
        let rows = Some(rows);
        return Ok(PreparedSegment { rows, from, record_count, compressed, last_seq, damage: Vec::new() });
    }
    let (sorted, damage) = sort(context, segment, from)?;
    let known = covered.map_or_else(Default::default, |covered| (covered.record_count, covered.compressed()));
    let record_count = known.0 + u64::from(sorted.record_count);
    let compressed = known.1.plus(sorted.compressed);
    if covered.is_none() {
        let is_whole = *is_sealed && damage.is_empty() && segment.len() == segment.limit();
        let places = damage.iter().map(|found| found.at.offset..found.at.offset + found.len).collect();
        keep(context, segment, (&sorted, places), writes_hints && is_whole);
    }
    let SortedRecords { rows, last_seq, .. } = sorted;
    Ok(PreparedSegment { rows: Some(rows), from, record_count, compressed, last_seq, damage })
}

/// Keeps the sorted rows and the damaged ranges for later reads: in a hint if possible, otherwise
/// in memory.
fn keep(
    context: &StoreContext,
    segment: &Segment,
    (sorted, damaged): (&SortedRecords, Vec<Range<u64>>),
    writes_hint: bool,
) {
    let hint = writes_hint.then(|| segment.write_hint(context, sorted)).transpose();
    match hint {
        Ok(Some(hint)) => segment.take_hint(hint),
        Ok(None) => segment.take_sorted(sorted.rows.clone(), damaged),
        // A hint is derived: the store works without it.
        Err(error) => {
            tracing::warn!(segment = segment.id.0, error = error.sentence(), "no hint could be written");
            segment.take_sorted(sorted.rows.clone(), damaged);
        }
    }
}

/// Reads and checks a segment from byte `from` on.
fn sort(context: &StoreContext, segment: &Segment, from: u64) -> Result<(SortedRecords, Vec<FoundDamage>)> {
    // Reading through a mapping would count the whole segment as memory of this process.
    let windowed = segment.windowed(context)?;
    let mut sorter = Sorter::default();
    let mut damage = Vec::new();
    let mut scanner = Scanner::new(&windowed, Bodies::Checked).starting_at(from);
    loop {
        let found = match scanner.next()? {
            None => return Ok((sorter.finish(), damage)),
            Some(Step::Record(record)) => {
                sorter.add_scanned(context, &record);
                record.damage.map(|damage| (record.at, record.frame.len, damage))
            }
            Some(Step::Bad { at, len, damage }) => Some((at, len, damage)),
        };
        damage.extend(found.map(|(at, len, damage)| FoundDamage { at: segment.location(at), len, damage }));
    }
}
