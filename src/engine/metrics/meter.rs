//! What is counted and timed while a store is used.
//!
//! A counter has a cell in each thread, which that thread alone writes to: counting costs a get a few nanoseconds, however
//! many threads read at the same time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thread_local::ThreadLocal;

use crate::engine::base::sync::{LockRank, Mutex};

/// Of so many gets in a thread one is timed: reading the clock twice takes about as long as a get.
const GETS_A_TIMED_ONE: u64 = 64;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Gets,
    Hits,
    Puts,
    Deletes,
    Batches,
    WrittenLen,
    CompactionRuns,
    CompactionReadLen,
    CompactionWrittenLen,
    Checkpoints,
    ReadErrors,
    WriteErrors,
    SyncErrors,
    BackgroundErrors,
}

const COUNTS: usize = Count::BackgroundErrors as usize + 1;

/// One thread's part of all counts. Two threads never share a cache line (of which some processors fetch two).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cells([AtomicU64; COUNTS]);

impl Cells {
    /// Adds; what it was before.
    #[inline]
    fn add(&self, count: Count, by: u64) -> u64 {
        // No other thread writes here, so nothing gets between the two.
        let cell = &self.0[count as usize];
        let before = cell.load(Ordering::Relaxed);
        cell.store(before.wrapping_add(by), Ordering::Relaxed);
        before
    }

    /// Counts what came of a get.
    #[inline]
    fn add_found<T, E>(&self, found: &Result<Option<T>, E>) {
        match found {
            Ok(Some(_)) => drop(self.add(Count::Hits, 1)),
            Ok(None) => {}
            Err(_) => drop(self.add(Count::ReadErrors, 1)),
        }
    }
}

/// How values are distributed: how many there were of which size. Sizes are known to within a hundredth.
#[derive(Clone, Debug)]
pub struct Distribution {
    histogram: hdrhistogram::Histogram<u64>,
    sum: u64,
}

impl Distribution {
    /// What a value counts as at most: an hour, in nanoseconds.
    const VALUE_MAX: u64 = 3_600_000_000_000;
    const DIGITS: u8 = 2;

    fn new() -> Self {
        let histogram = hdrhistogram::Histogram::new(Self::DIGITS).expect("it offers up to five digits");
        Self { histogram, sum: 0 }
    }

    fn record(&mut self, value: u64) {
        let value = value.min(Self::VALUE_MAX);
        self.histogram.record(value).expect("an hour's place in the table is a few thousand");
        self.sum = self.sum.saturating_add(value);
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest; 0 when there was none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.histogram.max()
    }

    /// The value that the share `quantile` of all was not above: 0.5 is the median. 0 when there was none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    /// How many were not above `value`.
    #[must_use]
    pub fn count_up_to(&self, value: u64) -> u64 {
        self.histogram.count_between(0, value)
    }
}

/// A distribution that grows.
#[derive(Debug)]
pub(crate) struct Histogram(Mutex<Distribution>);

impl Histogram {
    fn new() -> Self {
        Self(Mutex::new(LockRank::Leaf, Distribution::new()))
    }

    pub(crate) fn record(&self, value: u64) {
        self.0.lock().record(value);
    }

    /// Records how long ago `started` was, in nanoseconds.
    pub(crate) fn record_since(&self, started: Instant) {
        self.record(nanos(started.elapsed()));
    }

    pub(crate) fn so_far(&self) -> Distribution {
        self.0.lock().clone()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a store has counted and timed since it was opened.
pub(crate) struct Meter {
    cells: ThreadLocal<Cells>,
    /// How long gets took, one in [`GETS_A_TIMED_ONE`].
    pub(crate) gets: Histogram,
    /// How long writes took that were waited for.
    pub(crate) writes: Histogram,
    /// How long syncs of the log took.
    pub(crate) syncs: Histogram,
    /// How many records each of them made durable.
    pub(crate) synced: Histogram,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let [gets, writes, syncs, synced] = [(); 4].map(|()| Histogram::new());
        Self { cells: ThreadLocal::new(), gets, writes, syncs, synced }
    }

    /// Counts `by` more.
    pub(crate) fn add(&self, count: Count, by: u64) {
        self.cells.get_or_default().add(count, by);
    }

    /// Counts and times a get, which `look` is.
    ///
    /// # Errors
    /// Those of `look`.
    #[inline]
    pub(crate) fn get<T, E>(&self, look: impl FnOnce() -> Result<Option<T>, E>) -> Result<Option<T>, E> {
        let cells = self.cells.get_or_default();
        let nth = cells.add(Count::Gets, 1);
        let started = nth.is_multiple_of(GETS_A_TIMED_ONE).then(Instant::now);
        let found = look();
        cells.add_found(&found);
        if let Some(started) = started {
            self.gets.record_since(started);
        }
        found
    }

    /// Counts a get that is over.
    ///
    /// # Errors
    /// The one that it ended in.
    pub(crate) fn count_get<T, E>(&self, found: Result<Option<T>, E>) -> Result<Option<T>, E> {
        let cells = self.cells.get_or_default();
        cells.add(Count::Gets, 1);
        cells.add_found(&found);
        found
    }

    /// Counts and times a write that is waited for, which `write` is.
    ///
    /// # Errors
    /// Those of `write`.
    pub(crate) fn write<T, E>(&self, write: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let started = Instant::now();
        let written = write();
        self.writes.record_since(started);
        if written.is_err() {
            self.add(Count::WriteErrors, 1);
        }
        written
    }

    /// What all threads counted.
    pub(crate) fn total(&self, count: Count) -> u64 {
        let of_thread = |cells: &Cells| cells.0[count as usize].load(Ordering::Relaxed);
        self.cells.iter().map(of_thread).fold(0, u64::wrapping_add)
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn what_threads_count_at_the_same_time_is_all_counted_also_when_they_are_gone() {
        let meter = Meter::new();
        for _ in 0..3 {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..1000).for_each(|_| meter.add(Count::Puts, 2)));
                }
            });
        }
        assert_eq!((meter.total(Count::Puts), meter.total(Count::Gets)), (24_000, 0));
    }

    #[test]
    fn gets_are_counted_by_what_came_of_them_and_one_of_many_is_timed() {
        let meter = Meter::new();
        for n in 0..=GETS_A_TIMED_ONE {
            meter.get(|| Ok::<_, Infallible>((n == 3).then_some(n))).expect("it cannot fail");
        }
        meter.get(|| Err::<Option<()>, _>("no")).expect_err("it fails");
        let total = |count| meter.total(count);
        assert_eq!((total(Count::Gets), total(Count::Hits), total(Count::ReadErrors)), (66, 1, 1));
        assert_eq!(meter.gets.so_far().count(), 2);
    }

    #[test]
    fn a_distribution_knows_its_values_to_within_a_hundredth() {
        let gauged = Histogram::new();
        (1..=1000).for_each(|value| gauged.record(value * 1000));
        gauged.record(u64::MAX);
        let seen = gauged.so_far();
        assert_eq!(seen.count(), 1001);
        assert_eq!(seen.sum(), 500_500_000 + Distribution::VALUE_MAX);
        for (seen, exact) in [(seen.quantile(0.5), 501_000), (seen.max(), Distribution::VALUE_MAX)] {
            assert!(seen.abs_diff(exact) <= exact / 100, "{seen} for {exact}");
        }
        assert!(seen.count_up_to(250_000).abs_diff(250) <= 3, "{}", seen.count_up_to(250_000));
        assert_eq!((seen.count_up_to(999), seen.count_up_to(u64::MAX)), (0, 1001));
    }
}
