//! Compaction over a long time: disk space, statistics, the address space, tombstones.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use logkv::{Compact, CompactionPolicy, Options, SEGMENT_LEN_MAX_DEFAULT, SegmentState, Store, Sync};

use crate::common::{
    Map, Random, assert_counted, assert_is, contents, files, leftovers, open, quick, remove_derived, scratch,
    sealed, wait_until,
};
use crate::dozing::Dozer;
use crate::hooked::{FreeSyncs, hooked};
use crate::recount::{Recounted, recount};

/// The default options, without syncs.
fn automatic() -> Options {
    Options::new().sync(Sync::Never).file_system(hooked(FreeSyncs))
}

/// Seals the active segment, which starts the background, and waits until nothing is due and each
/// sealed segment has its hint.
fn wait_until_idle(store: &Store) {
    store.rotate().expect("rotates");
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
fn an_overwritten_store_takes_at_most_twice_its_live_bytes_and_little_more_when_compacted() {
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
    store.compact_recounted(&Compact::All).expect("compacts");
    let stats = store.stats().expect("stats");
    let needed = stats.live_len + 64 * stats.segment_count;
    let share = segments_len(dir.path()) as f64 / needed as f64;
    println!("{} B in segments, {needed} B needed: {share:.4}", segments_len(dir.path()));
    assert!((1.0..1.01).contains(&share), "{share}");
    assert_eq!(stats.dead_len, 0);
    assert_counted(&store, "after compacting all");
    assert_eq!(leftovers(dir.path()), [""; 0]);
}

#[test]
fn statistics_equal_a_recount_after_random_writes_beside_the_background() {
    let mut random = Random::announced();
    let dir = scratch();
    let policy = CompactionPolicy { dead_percent: 20, ..Default::default() };
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

/// Each round makes two segments and removes two. Later segments get their address space.
fn churn_under_snapshots_and_readers(segment_len_max: u64) {
    const KEYS: u64 = 8;
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().segment_len_max(segment_len_max)).expect("opens");
    let round_done = AtomicU64::new(0);
    let is_done = AtomicBool::new(false);
    let name = |key: u64| format!("key{key}");
    // A get of many keys locates all of them in one segment set before it reads any. In between,
    // the test suspends the reader.
    let keys: Vec<_> = (0..64).map(|n| name(n % KEYS)).collect();
    let looks = [(); 2].map(|()| AtomicU64::new(0));
    let read = |looks: &AtomicU64| {
        while !is_done.load(Ordering::Relaxed) {
            let before = round_done.load(Ordering::SeqCst);
            let values = store.get_many(&keys).expect("gets");
            looks.fetch_add(1, Ordering::Relaxed);
            for (key, value) in (0..KEYS).cycle().zip(values) {
                let Some(value) = value.expect("reads") else {
                    assert!(before < KEYS, "key {key} is missing after round {before}");
                    continue;
                };
                let [of, round] = [&value[..8], &value[8..]]
                    .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
                assert_eq!(of, key, "a get returned the value of another key");
                // Each key is written in every eighth round.
                assert!(round + KEYS > before, "key {key} is {round} after round {before}");
            }
        }
    };
    std::thread::scope(|scope| {
        // A suspended reader continues in a log whose address space others reuse.
        let readers = looks.each_ref().map(|looks| Dozer::spawn(scope, || read(looks)));
        let mut looks_at_doze = [0; 2];
        let mut held = None;
        for round in 1..=600_u64 {
            let key = round % KEYS;
            // A reader suspended again before it moves would never move.
            for ((reader, looks), at_doze) in readers.iter().zip(&looks).zip(&mut looks_at_doze) {
                let looks = looks.load(Ordering::Relaxed);
                if *at_doze != looks {
                    *at_doze = looks;
                    reader.suspend();
                }
            }
            store.put(name(key), [key, round].map(u64::to_le_bytes).concat()).expect("a put");
            round_done.store(round, Ordering::SeqCst);
            store.rotate().expect("rotates");
            store
                .compact(&Compact::All)
                .unwrap_or_else(|error| panic!("round {round}: {}", error.sentence()));
            if round % 40 == 0 {
                recount(&store);
            }
            if round % 40 == 0
                && let Some((snapshot, map)) =
                    held.replace((store.snapshot().expect("a snapshot"), contents(&store)))
            {
                let shown: Map = crate::common::shown(snapshot.scan(..).expect("scans"));
                assert!(shown == map, "the snapshot held until round {round} changed");
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.len(), KEYS);
    assert_counted(&store, "at the end");
}

#[test]
fn values_stay_correct_under_readers_while_address_space_is_reused() {
    // With the default, each segment takes one page, which the next but one gets again. With the
    // maximum, pages come back after a while.
    for segment_len_max in [SEGMENT_LEN_MAX_DEFAULT, u64::MAX] {
        churn_under_snapshots_and_readers(segment_len_max);
    }
}

/// A closed store of many small segments with random puts and deletes of few keys, and its
/// contents.
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
            store.compact_recounted(&Compact::Segments(run.clone())).expect("compacts");
            assert_is(&store, &map, &format!("{what}, {run:?} compacted"));
            store.close().expect("closes");
        }
        let store = open(dir.path());
        store.compact_recounted(&Compact::Segments(sealed(&store))).expect("compacts");
        assert_is(&store, &map, "after compacting all");
        assert_eq!(store.stats().expect("stats").tombstone_count, 0, "no older record needs a tombstone");
        assert_eq!(store.stats().expect("stats").dead_len, 0);
    }
}

#[test]
fn compacting_a_store_without_live_keys_frees_all_its_segments() {
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
        store.compact_recounted(&Compact::All).expect("compacts");
        assert_eq!(store.segments().expect("segments"), []);
        assert_eq!(segments_len(dir.path()), 0);
        store.close().expect("closes");
        let store = open(dir.path());
        assert_is(&store, &Map::new(), "reopened");
        assert!(store.put("new", "").expect("a put").last.0 > last.0 + 1, "a number was reused");
    }
}
