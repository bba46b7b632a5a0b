//! From opened segments to the index: each becomes rows, by its hint or by reading it, and the rows are put in, in log
//! order. Large stores use every core: first a segment each, then a part of the index each.

use std::num::NonZero;
use std::ops::Range;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::FoundDamage;
use super::load::{Load, Loaded};
use crate::engine::base::error::Result;
use crate::engine::base::ids::Seqno;
use crate::engine::base::sync::{AtomicU64, AtomicUsize, Mutex, start_scoped, thread};
use crate::engine::format::codec::Compressed;
use crate::engine::keydir::shard_of;
use crate::engine::options::OpenProgress;
use crate::engine::segment::{
    Bodies, Scanner, Segment, SortedRecords, SortedRows, Sorter, Step, StoreContext,
};
use crate::engine::state::Replay;

/// Below so many bytes of log one thread is done before a second has begun.
const PARALLEL_LEN_MIN: u64 = 16 << 20;

/// What a segment comes to.
#[derive(Default)]
struct Prepared {
    runs: Vec<SortedRows>,
    /// SortedRows of records before this byte are in the index already.
    from: u64,
    /// Records of every kind in the whole segment.
    record_count: u64,
    /// What those of their values come to that are compressed.
    compressed: Compressed,
    last_seq: Seqno,
    damage: Vec<FoundDamage>,
}

impl Load<'_> {
    /// Puts the records of all segments into the index.
    pub(super) fn index(&mut self, loaded: &[Loaded]) -> Result<()> {
        let total_len = loaded.iter().map(Loaded::uncovered_len).sum();
        // Asking how many cores there are reads files: it takes longer than opening a small store.
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
            self.tell(loaded, &prepared.damage);
        }
        self.replay(loaded, &prepared, threads)
    }

    /// SortedRows of every segment, some at a time.
    fn prepare(&self, loaded: &[Loaded], threads: usize, total_len: u64) -> Result<Vec<Prepared>> {
        let (next, done_len) = (AtomicUsize::new(0), AtomicU64::new(0));
        let outcomes: Vec<Mutex<Option<Result<Prepared>>>> =
            loaded.iter().map(|_| Mutex::default()).collect();
        let work = || {
            while let Some((loaded, outcome)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                loaded.get(index).zip(outcomes.get(index))
            } {
                let prepared = prepare(&self.home, loaded, self.writes_hints());
                *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(prepared);
                let len = loaded.uncovered_len();
                let done_len = done_len.fetch_add(len, Ordering::Relaxed) + len;
                self.report_progress(OpenProgress { done_len, total_len });
            }
        };
        share(threads, |_| {
            work();
            Ok(())
        })?;
        let outcomes = outcomes
            .into_iter()
            .filter_map(|outcome| outcome.into_inner().unwrap_or_else(PoisonError::into_inner));
        outcomes.collect()
    }

    /// Puts the rows in: in log order, each thread those of its shards.
    fn replay(&self, loaded: &[Loaded], prepared: &[Prepared], threads: usize) -> Result<()> {
        let set = self.state.segments();
        let replay = Replay { context: &self.home, set: &set, keydir: &self.state.keydir, counts: true };
        share(threads, |thread| {
            for (Loaded { segment, .. }, prepared) in loaded.iter().zip(prepared) {
                for rows in &prepared.runs {
                    let part = prepared.from..segment.limit();
                    replay.rows(segment, rows, part, |hash| shard_of(hash) % threads == thread)?;
                }
            }
            Ok(())
        })
    }
}

/// Does `part_count` parts of the work in as many threads as the system allows; this thread does
/// the rest.
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
        let start = |_| start_scoped(scope, work_on).inspect_err(tell_no_thread).ok();
        let others: Vec<_> = (1..part_count).map_while(start).collect();
        let ours = work_on();
        let theirs =
            others.into_iter().map(|other| other.join().expect("a panic in opening is a bug of ours"));
        std::iter::once(ours).chain(theirs).collect()
    })
}

fn tell_no_thread(error: &std::io::Error) {
    tracing::warn!(%error, "cannot start another thread; opening goes on with fewer");
}

impl Loaded {
    /// Bytes of records that KEYDIR does not know.
    fn uncovered_len(&self) -> u64 {
        self.segment.len().saturating_sub(self.covered.map_or(0, |covered| covered.len))
    }
}

/// The rows of one segment that are not in the index yet: its hint's, or read and sorted.
fn prepare(home: &StoreContext, loaded: &Loaded, writes_hints: bool) -> Result<Prepared> {
    let Loaded { segment, is_sealed, covered, .. } = loaded;
    let from = covered.map_or(0, |covered| covered.len);
    // Of a sealed segment that was cut short where KEYDIR ends, the hint still knows the rest.
    let end = if *is_sealed { segment.limit() } else { segment.len() };
    if let Some(covered) = covered
        && from >= end
    {
        let (record_count, compressed) = (covered.record_count, covered.compressed());
        return Ok(Prepared { record_count, compressed, ..Prepared::default() });
    }
    if *is_sealed && let Some(hinted) = segment.hinted(home) {
        let SortedRecords { rows, record_count, compressed, last_seq } = hinted;
        let (runs, record_count) = (vec![rows], record_count.into());
        return Ok(Prepared { runs, from, record_count, compressed, last_seq, damage: Vec::new() });
    }
    let (sorted, damage) = sort(home, segment, from)?;
    let known = covered.map_or_else(Default::default, |covered| (covered.record_count, covered.compressed()));
    let record_count = known.0 + u64::from(sorted.record_count);
    let compressed = known.1.plus(sorted.compressed);
    if covered.is_none() {
        let is_whole = *is_sealed && damage.is_empty() && segment.len() == segment.limit();
        let places = damage.iter().map(|found| found.at.offset..found.at.offset + found.len).collect();
        keep(home, segment, (&sorted, places), writes_hints && is_whole);
    }
    let SortedRecords { rows, last_seq, .. } = sorted;
    Ok(Prepared { runs: vec![rows], from, record_count, compressed, last_seq, damage })
}

/// Keeps the sorted rows and the damage for later readers: in a hint if one may be written, else in
/// memory.
fn keep(
    home: &StoreContext,
    segment: &Segment,
    (sorted, damaged): (&SortedRecords, Vec<Range<u64>>),
    writes_hint: bool,
) {
    let hint = writes_hint.then(|| segment.write_hint(home, sorted)).transpose();
    match hint {
        Ok(Some(hint)) => segment.take_hint(hint),
        Ok(None) => segment.take_sorted(sorted.rows.clone(), damaged),
        // It is derived, and can be done without.
        Err(error) => {
            tracing::warn!(segment = segment.id.0, error = error.sentence(), "no hint could be written");
            segment.take_sorted(sorted.rows.clone(), damaged);
        }
    }
}

/// Reads and checks a segment from byte `from` on.
fn sort(home: &StoreContext, segment: &Segment, from: u64) -> Result<(SortedRecords, Vec<FoundDamage>)> {
    // Through a window: a mapping would count as this process's memory, all of it.
    let windowed = segment.windowed(home)?;
    let (mut sorter, mut damage) = (Sorter::default(), Vec::new());
    let mut scanner = Scanner::new(&windowed, Bodies::Checked).starting_at(from);
    loop {
        let found = match scanner.next()? {
            None => return Ok((sorter.finish(), damage)),
            Some(Step::Record(record)) => {
                sorter.add_scanned(home, &record);
                record.damage.map(|damage| (record.at, record.frame.len, damage))
            }
            Some(Step::Bad { at, len, damage }) => Some((at, len, damage)),
        };
        damage.extend(found.map(|(at, len, damage)| FoundDamage { at: segment.location(at), len, damage }));
    }
}
