//! Counters and timers of a store.
//!
//! Each thread has a cell of its own for every counter, and only that thread writes to it. Counting
//! takes a few nanoseconds, however many threads read at the same time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thread_local::ThreadLocal;

use crate::engine::base::sync::{LockRank, Mutex};

/// One get in this many of a thread is timed. Reading the clock twice takes about as long as a get.
const GETS_PER_TIMED: u64 = 64;

/// The counters.
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

/// The counters of one thread. The alignment keeps the counters of two threads out of one cache
/// line. It spans two lines, because some processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cells([AtomicU64; COUNTS]);

impl Cells {
    /// Adds `by`. Returns the count before.
    #[inline]
    fn add(&self, count: Count, by: u64) -> u64 {
        // No other thread writes here, so the count does not change in between.
        let cell = &self.0[count as usize];
        let before = cell.load(Ordering::Relaxed);
        cell.store(before.wrapping_add(by), Ordering::Relaxed);
        before
    }

    /// Counts the outcome of a get.
    #[inline]
    fn add_found<T, E>(&self, found: &Result<Option<T>, E>) {
        match found {
            Ok(Some(_)) => drop(self.add(Count::Hits, 1)),
            Ok(None) => {}
            Err(_) => drop(self.add(Count::ReadErrors, 1)),
        }
    }
}

/// A distribution of values: a histogram with an error of at most one percent.
#[derive(Clone, Debug)]
pub struct Distribution {
    histogram: hdrhistogram::Histogram<u64>,
    sum: u64,
}

impl Distribution {
    /// An hour, in nanoseconds. Larger values are recorded as this one.
    const VALUE_MAX: u64 = 3_600_000_000_000;
    const DIGITS: u8 = 2;

    fn new() -> Self {
        let histogram =
            hdrhistogram::Histogram::new(Self::DIGITS).expect("hdrhistogram supports up to five digits");
        Self { histogram, sum: 0 }
    }

    fn record(&mut self, value: u64) {
        let value = value.min(Self::VALUE_MAX);
        self.histogram.record(value).expect("the histogram resizes itself");
        self.sum = self.sum.saturating_add(value);
    }

    /// Returns the number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Returns the sum of the values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Returns the largest value; 0 if there is none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.histogram.max()
    }

    /// Returns the value that the share `quantile` of all values does not exceed: 0.5 gives the
    /// median. 0 if there are no values.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    /// Returns the number of values up to `value`.
    #[must_use]
    pub fn count_up_to(&self, value: u64) -> u64 {
        self.histogram.count_between(0, value)
    }
}

/// A distribution that threads add values to.
#[derive(Debug)]
pub(crate) struct Histogram(Mutex<Distribution>);

impl Histogram {
    fn new() -> Self {
        Self(Mutex::new(LockRank::Leaf, Distribution::new()))
    }

    pub(crate) fn record(&self, value: u64) {
        self.0.lock().record(value);
    }

    /// Records the time since `started`, in nanoseconds.
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

/// The counters and timers of a store since it was opened.
pub(crate) struct Meter {
    cells: ThreadLocal<Cells>,
    /// The duration of gets, of one in [`GETS_PER_TIMED`].
    pub(crate) gets: Histogram,
    /// The duration of writes that the caller waits for.
    pub(crate) writes: Histogram,
    /// The duration of the log's syncs.
    pub(crate) syncs: Histogram,
    /// The number of records that each sync made durable.
    pub(crate) synced: Histogram,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let [gets, writes, syncs, synced] = [(); 4].map(|()| Histogram::new());
        Self { cells: ThreadLocal::new(), gets, writes, syncs, synced }
    }

    /// Adds `by` to a counter.
    pub(crate) fn add(&self, count: Count, by: u64) {
        self.cells.get_or_default().add(count, by);
    }

    /// Runs the get `read`, and counts and times it.
    ///
    /// # Errors
    /// Those of `read`.
    #[inline]
    pub(crate) fn get<T, E>(&self, read: impl FnOnce() -> Result<Option<T>, E>) -> Result<Option<T>, E> {
        let cells = self.cells.get_or_default();
        let nth = cells.add(Count::Gets, 1);
        let started = nth.is_multiple_of(GETS_PER_TIMED).then(Instant::now);
        let found = read();
        cells.add_found(&found);
        if let Some(started) = started {
            self.gets.record_since(started);
        }
        found
    }

    /// Counts a get that has returned `found`. Returns `found`.
    ///
    /// # Errors
    /// The error in `found`.
    pub(crate) fn count_get<T, E>(&self, found: Result<Option<T>, E>) -> Result<Option<T>, E> {
        let cells = self.cells.get_or_default();
        cells.add(Count::Gets, 1);
        cells.add_found(&found);
        found
    }

    /// Runs `write`, and counts and times it.
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

    /// Returns the count of all threads.
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
    fn counts_of_parallel_threads_add_up_also_after_the_threads_have_ended() {
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
    fn gets_are_counted_by_their_outcome_and_one_of_many_is_timed() {
        let meter = Meter::new();
        for n in 0..=GETS_PER_TIMED {
            meter.get(|| Ok::<_, Infallible>((n == 3).then_some(n))).expect("it cannot fail");
        }
        meter.get(|| Err::<Option<()>, _>("no")).expect_err("it fails");
        let total = |count| meter.total(count);
        assert_eq!((total(Count::Gets), total(Count::Hits), total(Count::ReadErrors)), (66, 1, 1));
        assert_eq!(meter.gets.so_far().count(), 2);
    }

    #[test]
    fn a_distribution_has_an_error_of_at_most_one_percent() {
        let histogram = Histogram::new();
        (1..=1000).for_each(|value| histogram.record(value * 1000));
        histogram.record(u64::MAX);
        let seen = histogram.so_far();
        assert_eq!(seen.count(), 1001);
        assert_eq!(seen.sum(), 500_500_000 + Distribution::VALUE_MAX);
        for (seen, exact) in [(seen.quantile(0.5), 501_000), (seen.max(), Distribution::VALUE_MAX)] {
            assert!(seen.abs_diff(exact) <= exact / 100, "{seen} for {exact}");
        }
        assert!(seen.count_up_to(250_000).abs_diff(250) <= 3, "{}", seen.count_up_to(250_000));
        assert_eq!((seen.count_up_to(999), seen.count_up_to(u64::MAX)), (0, 1001));
    }
}
