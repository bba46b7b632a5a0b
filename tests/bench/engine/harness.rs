//! What every room needs: keys, clocks, rows, and a look at this process's own memory and writes.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use logkv::{CompactionPolicy, Options, Store, Sync};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

pub(crate) const VALUE_LEN: usize = 100;
pub(crate) const VALUE: [u8; VALUE_LEN] = [b'v'; VALUE_LEN];

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// A tenth of everything, in small segments.
    pub(crate) is_quick: bool,
    /// Keys in a store, unless said otherwise.
    pub(crate) count: u64,
    /// Another number of keys for the largest index.
    pub(crate) keys: Option<u64>,
}

pub(crate) fn key(n: u64) -> [u8; 12] {
    let mut key = *b"key000000000";
    for (place, digit) in key.iter_mut().skip(3).rev().zip(0..9) {
        *place = b'0' + (n / 10_u64.pow(digit) % 10) as u8;
    }
    key
}

/// The numbers below `count` in an order without locality; `count` and the step have no common divisor.
pub(crate) fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |n| (n * 7_368_787) % count)
}

/// Numbers below `count` that look drawn, the same ones every time (Marsaglia, "Xorshift RNGs", 2003).
pub(crate) fn drawn(count: u64) -> impl Iterator<Item = u64> {
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

/// Prints one row, and gives back the time of one operation in nanoseconds.
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

/// How long single operations took, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    /// Does `work` once for each of `inputs`.
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

    /// The latency that this share of the operations, in thousandths, did not exceed, in microseconds.
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

/// Options without a sync and without compaction in the background.
pub(crate) fn plain() -> Options {
    Options::new().sync(Sync::Never).compaction(by_hand())
}

/// The default policy, on command alone.
pub(crate) fn by_hand() -> CompactionPolicy {
    CompactionPolicy { automatic: false, ..CompactionPolicy::default() }
}

/// Waits until every sealed segment has its hint, as long as that takes.
pub(crate) fn await_hints(store: &Store) -> Outcome {
    let lacks_hint =
        |segment: &logkv::SegmentStats| segment.state == logkv::SegmentState::Sealed && !segment.has_hint;
    while store.segments()?.iter().any(lacks_hint) {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The files of the store in `dir` whose names end in one of `endings`: the bytes in them.
pub(crate) fn files_len(dir: &Path, endings: &[&str]) -> Outcome<u64> {
    let mut len = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if endings.iter().any(|ending| name.to_string_lossy().ends_with(ending)) {
            // A file may go between the look at its name and the look at its length.
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

/// The number behind `field` in a file of /proc/self; zero where there is no such file.
fn of_this_process(file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(Path::new("/proc/self").join(file)).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The processor time that this process has taken so far, in all threads, in seconds; zero where it is not known.
pub(crate) fn processor_secs() -> f64 {
    /// The system counts hundredths, whatever its clock.
    const TICKS_A_SEC: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the program's name, which may hold anything: user time is the 12th field, system time the 13th.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_A_SEC
}

/// Bytes that this process has written to files so far.
pub(crate) fn written_len() -> u64 {
    of_this_process("io", "wchar:")
}

/// Memory of this process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Its own.
    pub(crate) anon: u64,
    /// Pages of mapped files, which the system takes back when it needs them.
    pub(crate) file: u64,
    /// The most that both together ever were.
    pub(crate) peak: u64,
}

impl Memory {
    pub(crate) fn now() -> Self {
        let kib = |field| of_this_process("status", field) * 1024;
        Self { anon: kib("RssAnon:"), file: kib("RssFile:"), peak: kib("VmHWM:") }
    }
}
