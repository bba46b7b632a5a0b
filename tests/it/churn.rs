//! Compaction over a long time: disk space, the address space, tombstones, damage, and readers of other processes.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use logkv::{Compact, CompactionPolicy, Error, Options, ReadWith, SegmentId, SegmentState, Store, Sync};

use crate::common::{
    Map, Random, assert_counted, assert_is, contents, copy_of, files, hint_path, leftovers, open, quick,
    remove_derived, scratch, sealed, segment_path, wait_until,
};
use crate::hooked::{FreeSyncs, hooked};

/// As a store is by default, but that nothing is synced.
fn automatic() -> Options {
    Options::new().sync(Sync::Never).file_system(hooked(FreeSyncs))
}

/// Waits until nothing is due any more and every sealed segment has its hint.
fn wait_until_idle(store: &Store) {
    wait_until(|| {
        let is_done = store
            .segments()
            .expect("segments")
            .iter()
            .all(|segment| segment.has_hint || segment.state == SegmentState::Active);
        is_done && store.compaction_plan(&Compact::Due).expect("a plan").runs.is_empty()
    });
}

fn segments_len(dir: &Path) -> u64 {
    let segments = files(dir).into_iter().filter(|(name, _)| name.ends_with(".seg"));
    segments.map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn a_store_that_is_overwritten_takes_at_most_twice_its_live_bytes_and_all_of_it_compacted_little_more_than_those()
 {
    const KEYS: u64 = 4000;
    let mut random = Random::announced();
    let dir = scratch();
    let store = Store::open_with(dir.path(), automatic().segment_len_max(64 << 10)).expect("opens");
    for n in 0..6 * KEYS {
        let key = if n < KEYS { n } else { random.below(KEYS) };
        store.put(format!("key{key:05}"), vec![b'v'; 50 + random.below(100) as usize]).expect("a put");
    }
    wait_until_idle(&store);
    let stats = store.stats().expect("stats");
    let share = stats.disk_len as f64 / stats.live_len as f64;
    println!("{} B on disk, {} B live: {share:.3}", stats.disk_len, stats.live_len);
    assert_eq!(stats.key_count, KEYS);
    assert!(share < 2.2, "{share}");
    assert_counted(&store, "when idle");
    store.compact(&Compact::All).expect("compacts");
    let stats = store.stats().expect("stats");
    let needed = stats.live_len + 64 * stats.segment_count;
    let share = segments_len(dir.path()) as f64 / needed as f64;
    println!("{} B in segments, {needed} B needed: {share:.4}", segments_len(dir.path()));
    assert!((1.0..1.01).contains(&share), "{share}");
    assert_eq!(stats.dead_len, 0);
    assert_counted(&store, "when all is compacted");
    assert_eq!(leftovers(dir.path()), [""; 0]);
}

#[test]
fn figures_equal_a_recount_after_random_writes_beside_the_background() {
    let mut random = Random::announced();
    let dir = scratch();
    let policy = CompactionPolicy { dead_percent: 20, small_count: 2, ..Default::default() };
    let options = automatic().segment_len_max(2 << 10).compaction(policy).checkpoint_records(100);
    let mut map = Map::new();
    for round in 0..4 {
        let store = Store::open_with(dir.path(), options.clone()).expect("opens");
        for _ in 0..2000 {
            let key = format!("key{}", random.below(100)).into_bytes();
            match random.below(10) {
                0..3 => assert_eq!(store.delete(&key).expect("a delete"), map.remove(&key).is_some()),
                3 if random.below(20) == 0 => drop(store.rotate().expect("rotates")),
                _ => {
                    let value = vec![b'v'; random.below(60) as usize];
                    store.put(&key, &value).expect("a put");
                    map.insert(key, value);
                }
            }
        }
        wait_until_idle(&store);
        assert_is(&store, &map, &format!("round {round}"));
        store.close().expect("closes");
        assert_eq!(leftovers(dir.path()), [""; 0]);
    }
    assert_is(&open(dir.path()), &map, "reopened");
}

/// In each round two segments are made and two removed, whose places in the address space the next ones get.
#[test]
fn values_stay_right_while_places_of_removed_segments_are_dealt_out_again_under_snapshots_and_readers() {
    const KEYS: u64 = 8;
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().segment_len_max(u64::MAX)).expect("opens");
    let round_done = AtomicU64::new(0);
    let is_done = AtomicBool::new(false);
    let name = |key: u64| format!("key{key}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                for key in 0..KEYS {
                    let before = round_done.load(Ordering::SeqCst);
                    let Some(value) = store.get(name(key)).expect("reads") else {
                        assert!(before < KEYS, "key {key} is missing after round {before}");
                        continue;
                    };
                    let [of, round] = [&value[..8], &value[8..]]
                        .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
                    assert_eq!(of, key, "the value of another key");
                    // It is written every eighth round.
                    assert!(round + KEYS > before, "key {key} is {round} after round {before}");
                }
            }
        });
        let mut held = None;
        for round in 1..=1200_u64 {
            let key = round % KEYS;
            store.put(name(key), [key, round].map(u64::to_le_bytes).concat()).expect("a put");
            round_done.store(round, Ordering::SeqCst);
            store.rotate().expect("rotates");
            store
                .compact(&Compact::All)
                .unwrap_or_else(|error| panic!("round {round}: {}", error.sentence()));
            if round % 40 == 0 {
                if let Some((snapshot, map)) =
                    held.replace((store.snapshot().expect("a snapshot"), contents(&store)))
                {
                    let shown: Map = crate::common::shown(snapshot.scan(..).expect("scans"));
                    assert!(shown == map, "the snapshot that was held until round {round}");
                }
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.len(), KEYS);
    assert_counted(&store, "at the end");
}

/// Random puts and deletes of few keys over many small segments, closed; and what it holds.
fn with_many_tombstones(random: &mut Random) -> (tempfile::TempDir, Map) {
    let dir = scratch();
    let store = open(dir.path());
    let mut map = Map::new();
    for n in 0..60_u64 {
        let key = format!("key{}", random.below(6)).into_bytes();
        if random.below(2) == 0 {
            map.remove(&key);
            store.delete(&key).expect("a delete");
        } else {
            map.insert(key.clone(), n.to_string().into_bytes());
            store.put(&key, n.to_string()).expect("a put");
        }
        if random.below(3) == 0 {
            store.rotate().expect("rotates");
        }
    }
    store.rotate().expect("rotates");
    store.close().expect("closes");
    (dir, map)
}

#[test]
fn a_tombstone_outlives_every_older_put() {
    let mut random = Random::announced();
    for arrangement in 0..25 {
        let (dir, map) = with_many_tombstones(&mut random);
        for step in 0..12 {
            if random.below(2) == 0 {
                remove_derived(dir.path());
            }
            let options = quick().checkpoint_records([1, u64::MAX][random.below(2) as usize]);
            let store = Store::open_with(dir.path(), options).expect("opens");
            let what = format!("arrangement {arrangement}, step {step}");
            assert_is(&store, &map, &what);
            let all = sealed(&store);
            if all.is_empty() {
                break;
            }
            let first = random.below(all.len() as u64) as usize;
            let count = 1 + random.below(4) as usize;
            let run: Vec<_> = all.into_iter().skip(first).take(count).collect();
            store.compact(&Compact::Segments(run.clone())).expect("compacts");
            assert_is(&store, &map, &format!("{what}, {run:?} compacted"));
            store.close().expect("closes");
        }
        let store = open(dir.path());
        store.compact(&Compact::Segments(sealed(&store))).expect("compacts");
        assert_is(&store, &map, "all compacted");
        assert_eq!(store.stats().expect("stats").tombstone_count, 0, "nothing older holds their keys");
        assert_eq!(store.stats().expect("stats").dead_len, 0);
    }
}

#[test]
fn a_store_whose_keys_were_all_deleted_is_empty_on_disk_when_it_is_compacted() {
    for has_hints in [true, false] {
        let dir = scratch();
        let store = Store::open_with(dir.path(), quick().segment_len_max(1000)).expect("opens");
        for n in 0..100 {
            store.put(format!("key{n}"), "value").expect("a put");
        }
        for n in 0..100 {
            store.delete(format!("key{n}")).expect("a delete");
        }
        store.close().expect("closes");
        if !has_hints {
            remove_derived(dir.path());
        }
        let store = open(dir.path());
        let last = store.put("last", "").expect("a put").last;
        store.delete("last").expect("a delete");
        store.compact(&Compact::All).expect("compacts");
        assert_eq!(store.segments().expect("segments"), []);
        assert_eq!(segments_len(dir.path()), 0);
        store.close().expect("closes");
        let store = open(dir.path());
        assert_is(&store, &Map::new(), "reopened");
        assert!(store.put("new", "").expect("a put").last.0 > last.0 + 1, "no number is given out twice");
    }
}

/// Five sealed segments, each with a live key of its own and a dead record, and hints.
fn with_five_segments() -> tempfile::TempDir {
    let dir = scratch();
    let store = open(dir.path());
    for n in 1..=5 {
        store.put("again", n.to_string()).expect("a put");
        store.put(format!("only{n}"), "there").expect("a put");
        store.put(format!("only{n}"), "and again").expect("a put");
        store.rotate().expect("rotates");
    }
    store.close().expect("closes");
    open(dir.path()).close().expect("closes");
    assert!((1..=5).all(|id| hint_path(dir.path(), id).exists()));
    dir
}

/// Changes a byte of record number `record` of segment `id`, which has records of 48, 48 and 56 bytes.
fn damage(dir: &Path, id: u64, record: u64, byte: u64) {
    let path = segment_path(dir, id);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[(64 + record * 48 + byte) as usize] ^= 0x10;
    fs::write(&path, bytes).expect("the damage");
}

#[test]
fn a_damaged_segment_stays_as_it_is_and_the_others_are_compacted_around_it() {
    let dir = with_five_segments();
    // In the header, the key and the value; of dead records and of a live one.
    for (record, byte) in [(0, 0), (0, 9), (0, 33), (0, 41), (1, 12), (1, 45), (2, 20), (2, 34), (2, 48)] {
        let copy = copy_of(dir.path());
        damage(copy.path(), 3, record, byte);
        let before = fs::read(segment_path(copy.path(), 3)).expect("the segment");
        let store = open(copy.path());
        let what = format!("byte {byte} of record {record}");
        assert_eq!(store.open_report().damage, [], "{what}: nobody has read it");
        let refused = store.compact(&Compact::Segments([2, 3, 4].map(SegmentId).to_vec()));
        let is_there = matches!(&refused, Err(Error::Damaged { segment, offset, .. })
            if segment.0 == 3 && *offset == 64 + record * 48);
        assert!(is_there, "{what}: {refused:?}");
        let told = store.compact(&Compact::Segments(vec![SegmentId(3)]));
        assert!(matches!(told, Err(Error::NotCompactable { .. })), "{what}: {told:?}");
        let plan = store.compaction_plan(&Compact::All).expect("a plan");
        let planned: Vec<Vec<u64>> =
            plan.runs.iter().map(|run| run.segments.iter().map(|id| id.0).collect()).collect();
        assert_eq!(planned, [[1, 2], [4, 5]], "{what}: it goes around");
        store.compact(&Compact::All).expect("compacts");
        assert_eq!(store.segments().expect("segments").len(), 3, "{what}");
        assert!(fs::read(segment_path(copy.path(), 3)).expect("the segment") == before, "{what}: it stays");
        for key in ["again", "only1", "only2", "only3", "only4", "only5"] {
            match store.get(key) {
                Ok(value) => assert!(value.is_some(), "{what}: {key}"),
                Err(Error::Damaged { segment, .. }) => assert_eq!((segment.0, key), (3, "only3"), "{what}"),
                Err(other) => panic!("{what}: {other}"),
            }
        }
        store.close().expect("closes");
        assert_eq!(leftovers(copy.path()), [""; 0], "{what}");
    }
}

#[test]
fn a_compaction_that_meets_damage_goes_on_with_the_other_segments_and_tells_of_it_at_the_end() {
    let policy = CompactionPolicy { dead_percent: 30, ..Default::default() };
    for what in [Compact::Due, Compact::All] {
        let dir = with_five_segments();
        damage(dir.path(), 3, 0, 41);
        let store = Store::open_with(dir.path(), quick().compaction(policy.clone())).expect("opens");
        let outcome = store.compact(&what);
        assert!(
            matches!(outcome, Err(Error::Damaged { segment: SegmentId(3), .. })),
            "{what:?}: {outcome:?}"
        );
        let left: Vec<_> = sealed(&store).into_iter().filter(|id| id.0 <= 5).collect();
        assert_eq!(left, [SegmentId(3)], "{what:?}");
        assert_eq!(store.compact(&what).expect("nothing is left to do").runs, [], "{what:?}");
        assert_counted(&store, "the figures of what is left");
    }
}

#[test]
fn the_background_goes_around_a_damaged_segment() {
    let dir = with_five_segments();
    damage(dir.path(), 3, 0, 41);
    let policy = CompactionPolicy { dead_percent: 1, ..Default::default() };
    let store = Store::open_with(dir.path(), automatic().compaction(policy)).expect("opens");
    // Something has to be sealed for it to look.
    store.put("new", "").expect("a put");
    store.rotate().expect("rotates");
    wait_until(|| sealed(&store).iter().all(|id| id.0 == 3 || id.0 > 6));
    assert!(sealed(&store).contains(&SegmentId(3)), "it stays");
    assert_eq!(store.get("again").expect("reads").expect("is there"), b"5");
    assert_eq!(store.len(), 7);
}

#[test]
fn a_read_only_open_sees_one_moment_beside_a_writer_that_compacts_all_the_time() {
    const KEYS: u64 = 30;
    for read_with in [ReadWith::Mmap, ReadWith::Pread] {
        let dir = scratch();
        let policy = CompactionPolicy { dead_percent: 1, neighbour_dead_percent: 0, ..Default::default() };
        let options = automatic().segment_len_max(1500).compaction(policy).checkpoint_records(10);
        let store = Store::open_with(dir.path(), options).expect("opens");
        let write = |round: u64| {
            let mut batch = logkv::Batch::new();
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
                    assert!(rounds[0] >= last, "what was seen once is seen again");
                    last = rounds[0];
                    count += 1;
                    held.push((reader, map));
                    if held.len() == 4 {
                        // Its files were removed long ago.
                        let (reader, map) = held.remove(0);
                        assert!(contents(&reader) == map, "it sees what it saw");
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
fn a_reader_that_was_opened_before_a_compaction_reads_on_when_the_files_are_gone() {
    for read_with in [ReadWith::Mmap, ReadWith::Pread] {
        let dir = with_five_segments();
        let reader =
            Store::open_with(dir.path(), quick().read_only(true).read_with(read_with)).expect("opens");
        let writer = open(dir.path());
        let map = contents(&writer);
        // Once between the commit and the removal, too: the new files are there, and the old ones.
        let mut among = None;
        let compacted = writer.compact_with(&Compact::All, &mut |event| {
            if matches!(event, logkv::CompactionEvent::Reached(logkv::CompactionStage::Committed, _)) {
                let options = quick().read_only(true).read_with(read_with);
                among = Some(Store::open_with(dir.path(), options).expect("opens"));
            }
            ControlFlow::Continue(())
        });
        assert_eq!(compacted.expect("compacts").runs.len(), 1);
        assert!((1..=5).all(|id| !segment_path(dir.path(), id).exists()), "they are gone");
        writer.delete("again").expect("a delete");
        for reader in [reader, among.expect("it was committed")] {
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
