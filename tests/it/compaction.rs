//! Compactions that are closed, nested, cancelled or throttled.

use std::any::Any;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logkv::fs::StoreFile;
use logkv::{Compact, CompactionEvent, CompactionPolicy, CompactionStage, Error, Options, Store};

use crate::common::{open, quick, scratch, segment_path, value, wait_until};
use crate::hooked::{Call, FreeSyncs, Hook, Hooked, SyncGate, hooked};
use crate::recount::Recounted;

#[test]
fn a_compaction_whose_observer_closes_the_store_removes_no_file_of_the_next_writer() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("a", "1").expect("a put");
    store.put("a", "2").expect("a put");
    let mut next = None;
    let outcome = store.compact_with(&Compact::All, &mut |event| {
        if let CompactionEvent::Reached(CompactionStage::Copied, _) = event {
            store.clone().close().expect("closes");
            // This open removes the unlisted segment, so that the next segment gets the same id.
            open(dir.path()).close().expect("closes");
            let writer = open(dir.path());
            writer.put("b", "precious").expect("a put");
            next = Some(writer);
        }
        ControlFlow::Continue(())
    });
    assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    next.expect("reaches the stage").close().expect("closes");
    let store = open(dir.path());
    assert_eq!(value(&store, "a").as_deref(), Some("2"));
    assert_eq!(value(&store, "b").as_deref(), Some("precious"));
}

#[test]
fn a_compaction_started_by_an_observer_is_refused_and_the_running_one_completes() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick()).expect("opens");
    store.put("a", "1").expect("a put");
    store.put("a", "2").expect("a put");
    let mut inner = Vec::new();
    let report = store.compact_with(&Compact::All, &mut |_| {
        inner.push(store.compact(&Compact::All));
        ControlFlow::Continue(())
    });
    assert_eq!(report.expect("compacts").runs.len(), 1);
    let is_refused = |outcome: &Result<_, Error>| matches!(outcome, Err(Error::WithinCompaction));
    assert!(!inner.is_empty() && inner.iter().all(is_refused), "{inner:?}");
}

#[test]
fn a_compacted_segment_keeps_its_space_until_its_last_reader_is_dropped() {
    type Hold = fn(&Store) -> Box<dyn Any>;
    let holds: [Hold; 3] = [
        |store| Box::new(store.get("k").expect("gets")),
        |store| Box::new(store.snapshot().expect("a snapshot")),
        |store| Box::new(store.scan(..).expect("a scan")),
    ];
    for hold in holds {
        let dir = scratch();
        let store = open(dir.path());
        store.put("k", "1").expect("a put");
        store.rotate().expect("rotates");
        let held = hold(&store);
        store.put("k", "2").expect("a put");
        store.compact_recounted(&Compact::All).expect("compacts");
        let removed = format!("{} (deleted)", segment_path(dir.path(), 1).display());
        let is_mapped = || {
            let mappings = fs::read_to_string("/proc/self/maps").expect("a process has mappings");
            mappings.lines().any(|line| line.ends_with(&removed))
        };
        assert!(is_mapped(), "the file has no name, but exists");
        drop(held);
        assert!(!is_mapped(), "no reader remains");
    }
}

#[test]
fn compacting_all_drops_the_tombstones_of_the_records_it_drops() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().segment_len_max(4000)).expect("opens");
    let keys: Vec<_> = (0..60).map(|n| n.to_string()).collect();
    for key in &keys {
        store.put(key, "1").expect("a put");
    }
    store.rotate().expect("rotates");
    for key in &keys {
        store.delete(key).expect("a delete");
    }
    store.put("live", vec![1; 1000]).expect("a put");
    let graves = store.rotate().expect("rotates").expect("a segment");
    let report = store.compact_recounted(&Compact::Segments(vec![graves])).expect("compacts");
    assert_eq!(report.runs[0].records.tombstones.count, 60, "the older puts still exist");
    store.compact_recounted(&Compact::All).expect("compacts");
    assert_eq!(store.stats().expect("stats").dead_len, 0);
}

#[test]
fn a_policy_that_counts_every_segment_as_small_terminates() {
    let dir = scratch();
    let policy = CompactionPolicy { small_percent: 100, ..CompactionPolicy::default() };
    let options = quick().segment_len_max(1000).compaction(policy);
    let store = Store::open_with(dir.path(), options).expect("opens");
    for n in 0..4 {
        store.put(n.to_string(), [1; 600]).expect("a put");
        store.rotate().expect("rotates");
    }
    let mut moments = 0;
    let report = store.compact_with(&Compact::Due, &mut |_| {
        moments += 1;
        if moments > 100 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    report.expect("completes");
}

#[test]
fn a_command_does_not_wait_for_a_throttled_compaction() {
    let dir = scratch();
    let policy = CompactionPolicy { rate: Some(1), ..CompactionPolicy::default() };
    let store = Store::open_with(dir.path(), quick().background(true).compaction(policy)).expect("opens");
    for n in 0..1000 {
        store.put(n.min(400).to_string(), "value").expect("a put");
    }
    store.rotate().expect("rotates");
    wait_until(|| segment_path(dir.path(), 2).exists());
    let started = Instant::now();
    store.compact_recounted(&Compact::All).expect("compacts");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(store.stats().expect("stats").dead_len, 0);
}

/// Blocks the removal of segments while it is shut.
#[derive(Debug, Default)]
struct RemovalGate(SyncGate);

impl Hook for RemovalGate {
    fn before(&self, call: Call) -> io::Result<()> {
        match call {
            Call::Remove(StoreFile::Segment(_)) => self.0.wait_for_opening(),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_background_compaction_is_reported_before_its_files_are_removed() {
    let (dir, gate) = (scratch(), Arc::new(RemovalGate::default()));
    let options = quick().background(true).file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    for value in ["1", "2"] {
        store.put("a", value).expect("a put");
    }
    gate.0.set_shut(true);
    store.rotate().expect("rotates");
    wait_until(|| gate.0.arrivals() > 0);
    let is_there = segment_path(dir.path(), 1).exists();
    let runs = store.background_compactions();
    gate.0.set_shut(false);
    assert!(is_there && runs.len() == 1, "a reader that misses segment 1 could not say why: {runs:?}");
}

#[test]
fn a_compaction_of_large_values_reports_progress_and_can_be_cancelled_between_them() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick()).expect("opens");
    for n in 0..10 {
        store.put(n.to_string(), vec![n; 2 << 20]).expect("a put");
    }
    let segment = store.rotate().expect("rotates").expect("a segment");
    let mut progress_count = 0;
    let what = Compact::Segments(vec![segment]);
    let report = store.compact_with(&what, &mut |event| {
        progress_count += u32::from(matches!(event, CompactionEvent::Progress { .. }));
        if progress_count == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(report, Err(Error::Cancelled)), "{report:?}");
}

#[test]
fn a_compaction_into_many_segments_keeps_few_files_open() {
    let dir = scratch();
    let options = Options::new().background(false).file_system(hooked(FreeSyncs)).segment_len_max(1 << 20);
    let store = Store::open_with(dir.path(), options.clone()).expect("opens");
    for n in 0..500 {
        store.put(n.to_string(), [1; 400]).expect("a put");
    }
    store.close().expect("closes");
    let store = Store::open_with(dir.path(), options.segment_len_max(500)).expect("opens");
    let whole = store.rotate().expect("rotates").expect("a segment");
    let mut open_max = 0;
    let report = store.compact_with(&Compact::Segments(vec![whole]), &mut |_| {
        let links = fs::read_dir("/proc/self/fd")
            .expect("Linux")
            .filter_map(|entry| entry.ok()?.path().read_link().ok());
        open_max = open_max.max(links.filter(|file| file.starts_with(dir.path())).count());
        ControlFlow::Continue(())
    });
    assert_eq!(report.expect("compacts").runs[0].outputs.len(), 500);
    assert!(open_max < 20, "{open_max} files");
}
