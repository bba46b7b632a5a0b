//! Continuous updates: write amplification and disk space.

use std::path::Path;
use std::time::Duration;

use logkv::{Compact, Options, Store, Sync};

use crate::harness::{
    Outcome, Size, VALUE, VALUE_LEN, figure, files_len, key, random, ratio, row, shuffled, timed, written_len,
};

/// The length of a record with the keys and values of this program.
const RECORD_LEN: u64 = 152;
/// The average count of updates per key.
const ROUNDS: u64 = 5;
/// The count of updates between two measurements of the disk.
const MEASURE_EVERY: u64 = 20_000;
const SEGMENT_HEADER_LEN: u64 = 64;

pub(crate) fn run(dir: &Path, size: Size) -> Outcome {
    let live_len = if size.is_quick { 24 << 20 } else { 256 << 20 };
    let segment_len = if size.is_quick { 4 << 20 } else { 64 << 20 };
    let count = live_len / RECORD_LEN;
    let options = Options::new().sync(Sync::Never).segment_len_max(segment_len);
    let store = Store::open_with(dir, options)?;
    shuffled(count).try_for_each(|n| store.put(key(n), VALUE).map(|_| ()))?;
    let disk =
        || -> Outcome<f64> { Ok(files_len(dir, &[".seg", ".hint", "KEYDIR"])? as f64 / live_len as f64) };
    let segments = || -> Outcome<f64> { Ok(files_len(dir, &[".seg"])? as f64 / live_len as f64) };
    let written_before = written_len();
    let mut disk_max = 0_f64;
    let mut segments_max = 0_f64;
    let updates = ROUNDS * count;
    let ((), took) = timed(|| {
        for (index, n) in (0..updates).zip(random(count)) {
            store.put(key(n), VALUE)?;
            if index % MEASURE_EVERY == 0 {
                disk_max = disk_max.max(disk()?);
                segments_max = segments_max.max(segments()?);
            }
        }
        Ok(())
    })?;
    row("put over a random key, with compaction in the background", updates, took);
    let at_end = disk()?;
    let ((), took) = timed(|| until_idle(&store))?;
    let put_len = updates * (key(0).len() + VALUE_LEN) as u64;
    let written = (written_len() - written_before) as f64;
    figure("until the background was idle", took.as_secs_f64(), "s");
    ratio("bytes written against bytes of keys and values put", written / put_len as f64);
    ratio("bytes written against bytes of records put", written / (updates * RECORD_LEN) as f64);
    ratio("segments against live records, at most", segments_max);
    ratio("segments against live records, at rest", segments()?);
    ratio("with hints and KEYDIR, at most", disk_max);
    ratio("with hints and KEYDIR, after the last put", at_end);
    ratio("with hints and KEYDIR, at rest", disk()?);
    store.compact(&Compact::All)?;
    let stats = store.stats()?;
    let least = stats.live_len + stats.segment_count * SEGMENT_HEADER_LEN;
    ratio(
        "segments against live records and headers, all compacted",
        files_len(dir, &[".seg"])? as f64 / least as f64,
    );
    ratio("with hints and KEYDIR, all compacted", disk()?);
    Ok(())
}

/// Waits until no compaction is due and nothing was written for a while.
fn until_idle(store: &Store) -> Outcome {
    let mut written = u64::MAX;
    while written != written_len() || !store.compaction_plan(&Compact::Due)?.runs.is_empty() {
        written = written_len();
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
