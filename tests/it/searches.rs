//! Searches of the past can be cancelled, and read no more than necessary.

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use logkv::fs::StoreFile;
use logkv::{At, Error, ReadWith, Seqno, Store};

use crate::common::{open, quick, scratch};
use crate::hooked::{Hook, hooked};

/// Receives the progress of a search, and may cancel it.
type Observe<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

#[test]
fn a_search_for_a_point_of_the_log_stops_at_the_record_where_it_is_cancelled() {
    const SEGMENTS: u64 = 3;
    const RECORDS: u64 = 10;
    let dir = scratch();
    let store = open(dir.path());
    for _ in 0..SEGMENTS {
        for n in 0..RECORDS {
            store.put(format!("key{n}"), "v").expect("a put");
        }
        store.rotate().expect("rotates");
    }
    let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
    let long_ago = At::Time(0);
    for store in [&store, &reader] {
        for last in 1..=SEGMENTS * RECORDS {
            let stopped = |search: &dyn Fn(Observe<'_>) -> Result<(), Error>| {
                let mut seen = Vec::new();
                let found = search(&mut |count| {
                    seen.push(count);
                    if count < last { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                assert!(matches!(found, Err(Error::Cancelled)), "{found:?}");
                assert_eq!(seen, (1..=last).collect::<Vec<_>>());
            };
            stopped(&|observe| store.at_with(long_ago, observe).map(drop));
            stopped(&|observe| store.diff_with(long_ago, None, observe).map(drop));
            stopped(&|observe| store.recent_changes_with(u64::MAX, observe).map(drop));
        }
        assert_eq!(store.at(long_ago).expect("reads").seq(), Seqno(0));
        assert_eq!(store.recent_changes(2).expect("reads").count(), 2);
    }
}

#[test]
fn iterating_key_by_key_also_steps_over_keys_without_a_result() {
    let dir = scratch();
    let store = open(dir.path());
    for key in ["a", "b", "c"] {
        store.put(key, "1").expect("a put");
    }
    store.delete("a").expect("a delete");
    store.put("c", "2").expect("a put");
    let (middle, now) = (At::Seq(Seqno(4)), At::Seq(Seqno(5)));
    let mut differences = store.diff(middle, Some(now)).expect("is known");
    let steps = std::iter::from_fn(|| differences.next_key()).map(|step| step.expect("reads").is_some());
    assert_eq!(steps.collect::<Vec<_>>(), [false, false, true]);
    let mut keys = store.at(now).expect("is known").scan(..).expect("is known");
    let steps = std::iter::from_fn(|| keys.next_key()).map(|step| step.expect("reads").is_some());
    assert_eq!(steps.collect::<Vec<_>>(), [false, true, true]);
}

/// Counts the bytes read from segments.
#[derive(Debug, Default)]
struct SegmentReadCounter(Arc<AtomicU64>);

impl Hook for SegmentReadCounter {
    fn read(&self, file: StoreFile, range: Range<u64>) -> io::Result<()> {
        if let StoreFile::Segment(_) = file {
            self.0.fetch_add(range.end - range.start, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[test]
fn the_first_version_is_returned_before_the_others_are_read() {
    const COUNT: u64 = 1000;
    const LEN: u64 = 1000;
    let read_len = Arc::default();
    let dir = scratch();
    let options =
        quick().read_with(ReadWith::Pread).file_system(hooked(SegmentReadCounter(Arc::clone(&read_len))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    for _ in 0..COUNT {
        store.put("k", vec![b'v'; LEN as usize]).expect("a put");
    }
    // Sorts the records once.
    assert_eq!(store.versions("k").expect("reads").count() as u64, COUNT);
    let before = read_len.load(Ordering::Relaxed);
    let mut versions = store.versions("k").expect("reads");
    let first = versions.next().expect("has some").expect("reads");
    assert_eq!(first.meta.seq, Seqno(1));
    let for_first = read_len.load(Ordering::Relaxed) - before;
    assert!(for_first < COUNT * LEN / 10, "{for_first} bytes were read");
    assert_eq!(versions.count() as u64, COUNT - 1);
}
