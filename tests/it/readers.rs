//! Read-only opens beside a compacting writer.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use logkv::{Batch, Compact, CompactionEvent, CompactionPolicy, CompactionStage, ReadWith, Store};

use crate::common::{Map, contents, open, quick, scratch, segment_path};
use crate::damaged_runs::with_five_segments;

#[test]
fn a_read_only_open_is_a_snapshot_beside_a_writer_and_continuous_compaction() {
    const KEYS: u64 = 30;
    for read_with in [ReadWith::Mmap, ReadWith::Pread] {
        let dir = scratch();
        let policy = CompactionPolicy { dead_percent: 1, ..Default::default() };
        let options =
            quick().background(true).segment_len_max(1500).compaction(policy).checkpoint_records(10);
        let store = Store::open_with(dir.path(), options).expect("opens");
        let write = |round: u64| {
            let mut batch = Batch::new();
            for key in 0..KEYS {
                if key % 3 == round % 3 {
                    batch.delete(format!("key{key}"));
                } else {
                    batch.put(format!("key{key}"), round.to_string());
                }
            }
            store.write(&batch).expect("a batch");
        };
        write(0);
        let is_done = AtomicBool::new(false);
        let opened = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut held: Vec<(Store, Map)> = Vec::new();
                let mut count = 0;
                let mut last = 0;
                while !is_done.load(Ordering::Relaxed) {
                    let options = quick().read_only(true).read_with(read_with);
                    let reader = match Store::open_with(dir.path(), options) {
                        Ok(reader) => reader,
                        Err(error) => panic!("open {count}: {}", error.sentence()),
                    };
                    assert_eq!(reader.open_report().damage, []);
                    let map = contents(&reader);
                    let rounds: Vec<u64> = map
                        .values()
                        .map(|value| String::from_utf8_lossy(value).parse().expect("a round"))
                        .collect();
                    assert_eq!((map.len() as u64, reader.len()), (KEYS * 2 / 3, KEYS * 2 / 3));
                    assert!(rounds.iter().all(|&round| round == rounds[0]), "{rounds:?}");
                    assert!(rounds[0] >= last, "an older state followed a newer one");
                    last = rounds[0];
                    count += 1;
                    held.push((reader, map));
                    if held.len() == 4 {
                        // Its files were removed long ago.
                        let (reader, map) = held.remove(0);
                        assert!(contents(&reader) == map, "the view of the reader changed");
                    }
                }
                count
            });
            for round in 1..700 {
                write(round);
                if round % 100 == 0 {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            is_done.store(true, Ordering::Relaxed);
            reader.join().expect("no panic")
        });
        assert!(opened > 10, "{read_with:?}: opened {opened} times");
    }
}

#[test]
fn a_reader_opened_before_a_compaction_still_reads_after_the_removal() {
    for read_with in [ReadWith::Mmap, ReadWith::Pread] {
        let dir = with_five_segments();
        let reader =
            Store::open_with(dir.path(), quick().read_only(true).read_with(read_with)).expect("opens");
        let writer = open(dir.path());
        let map = contents(&writer);
        // Also between commit and removal, when both the old and the new files exist.
        let mut among = None;
        let compacted = writer.compact_with(&Compact::All, &mut |event| {
            if matches!(event, CompactionEvent::Reached(CompactionStage::Committed, _)) {
                let options = quick().read_only(true).read_with(read_with);
                among = Some(Store::open_with(dir.path(), options).expect("opens"));
            }
            ControlFlow::Continue(())
        });
        assert_eq!(compacted.expect("compacts").runs.len(), 1);
        assert!((1..=5).all(|id| !segment_path(dir.path(), id).exists()), "the inputs still exist");
        writer.delete("again").expect("a delete");
        for reader in [reader, among.expect("was committed")] {
            assert!(contents(&reader) == map, "{read_with:?}");
            for (key, value) in &map {
                assert_eq!(
                    reader.get(key).expect("reads").as_deref(),
                    Some(value.as_slice()),
                    "{read_with:?}"
                );
            }
        }
    }
}
