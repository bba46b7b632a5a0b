//! Shared parts of the benchmarks: keys, timing, output, and the memory and writes of this process.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use logkv::{CompactionPolicy, Options, Store, Sync};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

pub(crate) const VALUE_LEN: usize = 100;
pub(crate) const VALUE: [u8; VALUE_LEN] = [b'v'; VALUE_LEN];

/// The amount of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Whether to do a tenth of the work, in small segments.
    pub(crate) is_quick: bool,
    /// The count of keys in a store by default.
    pub(crate) count: u64,
    /// The count of keys in the largest index, if given.
    pub(crate) keys: Option<u64>,
}

pub(crate) fn key(n: u64) -> [u8; 12] {
    let mut key = *b"key000000000";
    for (byte, digit) in key.iter_mut().skip(3).rev().zip(0..9) {
        *byte = b'0' + (n / 10_u64.pow(digit) % 10) as u8;
    }
    key
}

/// Returns the numbers below `count` in an order without locality. `count` and the step must have
/// no common divisor.
pub(crate) fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |n| (n * 7_368_787) % count)
}

/// Returns pseudorandom numbers below `count`, the same in every run (Marsaglia, "Xorshift RNGs",
/// 2003).
pub(crate) fn random(count: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % count
    })
}

pub(crate) fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Duration)> {
    let start = Instant::now();
    let result = work()?;
    Ok((result, start.elapsed()))
}

/// Prints one row. Returns the time per operation in nanoseconds.
pub(crate) fn row(what: &str, count: u64, took: Duration) -> f64 {
    let ns = took.as_nanos() as f64 / count as f64;
    println!("{what:<56} {:>12.0} /s {ns:>12.0} ns", 1e9 / ns);
    ns
}

pub(crate) fn ratio(what: &str, ratio: f64) {
    println!("  {what:<54} {ratio:>12.2} x");
}

pub(crate) fn figure(what: &str, figure: f64, unit: &str) {
    println!("{what:<56} {figure:>12.2} {unit}");
}

pub(crate) fn title(what: &str) {
    println!("\n{what}");
}

/// The latencies of single operations in nanoseconds, sorted.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    /// Runs `work` once for each of `inputs`.
    pub(crate) fn of<I>(
        inputs: impl IntoIterator<Item = I>,
        mut work: impl FnMut(I) -> Outcome,
    ) -> Outcome<Self> {
        let mut latencies = Self::default();
        for input in inputs {
            let ((), took) = timed(|| work(input))?;
            latencies.0.push(u64::try_from(took.as_nanos())?);
        }
        latencies.0.sort_unstable();
        Ok(latencies)
    }

    /// Returns a quantile, given in thousandths, in microseconds.
    pub(crate) fn at(&self, thousandths: usize) -> f64 {
        let index = (self.0.len() * thousandths / 1000).min(self.0.len().saturating_sub(1));
        self.0.get(index).map_or(f64::NAN, |&ns| ns as f64 / 1e3)
    }

    pub(crate) fn print(&self, what: &str) {
        let [median, high, max] = [500, 999, 1000].map(|thousandths| self.at(thousandths));
        println!(
            "{what:<56} p50 {median:>8.2} us  p99.9 {high:>8.1} us  max {max:>9.1} us  ({} times)",
            self.0.len()
        );
    }
}

/// Returns options without syncs and without automatic compaction.
pub(crate) fn plain() -> Options {
    Options::new().sync(Sync::Never).compaction(by_hand())
}

/// Returns the default policy without automatic compaction.
pub(crate) fn by_hand() -> CompactionPolicy {
    CompactionPolicy { automatic: false, ..CompactionPolicy::default() }
}

/// Waits until every sealed segment has its hint.
pub(crate) fn await_hints(store: &Store) -> Outcome {
    let lacks_hint =
        |segment: &logkv::SegmentStats| segment.state == logkv::SegmentState::Sealed && !segment.has_hint;
    while store.segments()?.iter().any(lacks_hint) {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Returns the total length of the files in `dir` whose names end in one of `endings`.
pub(crate) fn files_len(dir: &Path, endings: &[&str]) -> Outcome<u64> {
    let mut len = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if endings.iter().any(|ending| name.to_string_lossy().ends_with(ending)) {
            // A compaction may remove the file after its name was read.
            len += entry.metadata().map_or(0, |metadata| metadata.len());
        }
    }
    Ok(len)
}

/// Removes the files of the store in `dir` whose names end in `ending`.
pub(crate) fn remove_files(dir: &Path, ending: &str) -> Outcome {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(ending) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Returns the number after `field` in a file of /proc/self, or 0 on systems without it.
fn of_this_process(file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(Path::new("/proc/self").join(file)).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Returns the CPU time of all threads of this process in seconds, or 0 on systems without /proc.
pub(crate) fn cpu_secs() -> f64 {
    /// Linux reports hundredths of a second, whatever its clock.
    const TICKS_PER_SEC: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name in parentheses may hold anything. After it, user and system time are the
    // 12th and 13th fields.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SEC
}

/// Returns the count of bytes that this process has written to files.
pub(crate) fn written_len() -> u64 {
    of_this_process("io", "wchar:")
}

/// The memory of this process in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Anonymous memory.
    pub(crate) anon: u64,
    /// Pages of mapped files, which the system can reclaim.
    pub(crate) file: u64,
    /// The peak of both together.
    pub(crate) peak: u64,
}

impl Memory {
    pub(crate) fn now() -> Self {
        let kib = |field| of_this_process("status", field) * 1024;
        Self { anon: kib("RssAnon:"), file: kib("RssFile:"), peak: kib("VmHWM:") }
    }
}
