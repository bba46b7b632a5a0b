//! Sizes at, around and above each threshold of the code. A list of the thresholds:
//!
//! | threshold | what it bounds |
//! |---|---|
//! | 64 B | values that are compressed |
//! | 4 KiB | a record read at once without a mapping; the samples that a backup compares |
//! | 64 KiB | submitted writes that are written together |
//! | 256 KiB | the window of a pass without a mapping; the compression contexts that are kept |
//! | 1 MiB | the first buffer of a decompression; a chunk of a backup, repair or restore; staged output |
//! | 16 MiB | the log from which several threads open a store |
//! | 64 MiB | a page of the address space (`reopened`) |
//! | 262,144 rows | rows replayed together |
//! | 1,024 records | locations swapped under the log's lock; records that a feed reads ahead |
//! | 4 to 32 rows | rows that a scan prefetches |
//! | 64 keys | keys looked up together |
//! | 40 rows, 256 KiB, 4,096 keys | a page, a read, and a batch of deletes in the shell (`lines`) |
//! | 64 Ki writes, 8 MiB | writes that share a sync (`shell_scripts`, `shell_transfer`) |

use std::collections::BTreeMap;
use std::fs;

use logkv::{Batch, Compact, Compression, Error, ReadWith, SegmentId, Seqno, Store};

use crate::backup::{archived, back_up, contents_of_new, keep_going, place, restore_archive, restored};
use crate::common::{
    Map, Random, assert_is, contents, copy_of, files, open, quick, remove_derived, scratch, segment_path,
};
use crate::recount::Recounted;
use crate::repair::repaired;
use crate::verify::verified;

/// The length of a record without its value, for keys of up to 8 bytes.
const RECORD_LEN: usize = 32 + 8;

fn bytes(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(len).collect()
}

/// Puts a value for each record length around each threshold (one word less to one word more), and
/// one well above.
fn fill(store: &Store, random: &mut Random) -> Map {
    let mut map = Map::new();
    for threshold in [4 << 10, 64 << 10, 256 << 10, 1 << 20] {
        for record_len in [threshold - 8, threshold, threshold + 8, threshold + 4096, threshold * 3 / 2] {
            for len in [record_len - RECORD_LEN - 1, record_len - RECORD_LEN] {
                let key = format!("k{}", map.len());
                let value = bytes(random, len);
                store.put(&key, &value).expect("a put");
                // Moves the next record to another offset in its window.
                store.put("small", "1").expect("a put");
                map.insert(key.into_bytes(), value);
            }
        }
    }
    map.insert(b"small".to_vec(), b"1".to_vec());
    map
}

#[test]
fn records_of_every_length_around_the_read_write_and_copy_lengths_read_back() {
    let mut random = Random::seeded(1);
    let dir = scratch();
    let store = open(dir.path());
    let map = fill(&store, &mut random);
    assert_is(&store, &map, "written");
    store.rotate().expect("rotates");
    fill(&store, &mut random);
    let map = {
        let mut last = map;
        last.extend(contents(&store));
        last
    };
    store.close().expect("closes");
    remove_derived(dir.path());
    for read_with in [ReadWith::Mmap, ReadWith::Pread] {
        let options = quick().read_with(read_with);
        let store = Store::open_with(dir.path(), options.clone().read_only(true)).expect("opens");
        assert_is(&store, &map, &format!("read with {read_with:?}"));
        drop(store);
        let copy = copy_of(dir.path());
        let store = Store::open_with(copy.path(), options.segment_len_max(4 << 20)).expect("opens");
        store.compact_recounted(&Compact::All).expect("compacts");
        assert_is(&store, &map, &format!("compacted, read with {read_with:?}"));
        store.close().expect("closes");
        remove_derived(copy.path());
        assert_is(&open(copy.path()), &map, "compacted, without derived files");
    }
    let mut submitted = Vec::new();
    let store = open(dir.path());
    for (key, value) in &map {
        submitted.push(store.submit(Batch::new().put(key, value)).expect("submits"));
    }
    submitted.into_iter().for_each(|pending| assert!(pending.wait().expect("is acknowledged").is_some()));
    assert_is(&store, &map, "submitted one after another");
}

#[test]
fn segments_of_several_chunks_are_copied_and_archived_whole() {
    let mut random = Random::seeded(2);
    for chunk_count in 1..4 {
        for len in [(chunk_count << 20) - 8, chunk_count << 20, (chunk_count << 20) + 8] {
            let dir = scratch();
            let store = open(dir.path());
            // The length of the segment includes its header.
            store.put("first", bytes(&mut random, 1000)).expect("a put");
            let rest = len - 64 - (RECORD_LEN + 1000) - RECORD_LEN;
            store.put("last", bytes(&mut random, rest)).expect("a put");
            assert_eq!(fs::metadata(segment_path(dir.path(), 1)).expect("the segment").len(), len as u64);
            let map = contents(&store);
            // The active segment is copied, not linked.
            let (place, copy) = place();
            back_up(&store, &copy);
            assert_eq!(restored(&copy), map, "a backup of {len} bytes");
            let new = place.path().join("new");
            restore_archive(&archived(&store), &new).unwrap_or_else(|error| panic!("{}", error.sentence()));
            assert_eq!(contents_of_new(&new), map, "an archive of {len} bytes");
            store.close().expect("closes");
            let (mended, report) = repaired(dir.path());
            assert_eq!((report.given_up.len(), contents(&open(mended.path()))), (0, map), "repaired");
        }
    }
}

#[test]
fn a_backup_extends_a_segment_only_if_it_is_the_same_to_its_end_at_any_length() {
    // Lengths of the segment when the two histories diverge. The first and the last 4 KiB are
    // compared.
    for len in [256, 4096 - 8, 4096, 4096 + 8, 8192 - 8, 8192, 8192 + 8, 20_000, 100_000] {
        let dir = scratch();
        let store = open(dir.path());
        store.put("common", bytes(&mut Random::seeded(3), len - 64 - RECORD_LEN)).expect("a put");
        store.close().expect("closes");
        let twin = copy_of(dir.path());
        let (_place, copy) = place();
        let (store, twin) = (open(dir.path()), open(twin.path()));
        let assert_refused = |what: &str| {
            let before = files(&copy);
            let error = twin.backup(&copy, &mut keep_going).expect_err("the histories differ");
            assert!(matches!(error, Error::Occupied { .. }), "{len}, {what}: {error}");
            assert!(files(&copy) == before, "{len}, {what}");
        };
        store.put("k", "mine").expect("a put");
        back_up(&store, &copy);
        twin.put("k", "your").expect("a put");
        assert_refused("as long as the backup");
        // The next backup of the same history extends the segment.
        store.put("more", bytes(&mut Random::seeded(4), len)).expect("a put");
        back_up(&store, &copy);
        assert_eq!(restored(&copy), contents(&store), "{len}");
        twin.put("more", bytes(&mut Random::seeded(5), len)).expect("a put");
        assert_refused("as long as the longer backup");
        twin.put("again", bytes(&mut Random::seeded(5), len)).expect("a put");
        assert_refused("longer than the backup");
        assert_eq!(restored(&copy), contents(&store), "{len}");
    }
}

#[test]
fn a_hole_of_zeros_of_any_length_around_the_window_costs_only_the_records_in_it() {
    const WINDOW_LEN: usize = 256 << 10;
    for over in (0..160).step_by(8) {
        let len = WINDOW_LEN - 80 + over;
        let dir = scratch();
        let store = open(dir.path());
        store.put("before", "1").expect("a put");
        let hole =
            store.put("hole", bytes(&mut Random::seeded(6), len - RECORD_LEN)).expect("a put").location;
        for key in ["behind", "last"] {
            store.put(key, "1").expect("a put");
        }
        store.rotate().expect("rotates");
        store.close().expect("closes");
        remove_derived(dir.path());
        let path = segment_path(dir.path(), 1);
        let mut segment = fs::read(&path).expect("the segment");
        segment[hole.offset as usize..][..len].fill(0);
        fs::write(&path, segment).expect("the hole");
        for read_with in [ReadWith::Mmap, ReadWith::Pread] {
            let options = quick().read_only(true).read_with(read_with);
            let store = Store::open_with(dir.path(), options).expect("opens");
            let found = &store.open_report().damage;
            assert_eq!((found.len(), found[0].at, found[0].len), (1, hole, len as u64), "{found:?}");
            let keys: Vec<_> = contents(&store).into_keys().collect();
            assert_eq!(keys, [&b"before"[..], b"behind", b"last"], "a hole of {len}, {read_with:?}");
        }
        let findings = verified(dir.path()).1;
        assert!(
            findings
                .iter()
                .any(|finding| finding.range.as_ref().is_some_and(|range| range.start == hole.offset)),
            "{findings:?}"
        );
        let (mended, report) = repaired(dir.path());
        assert_eq!(report.given_up.len(), 1, "{report:?}");
        assert_eq!(contents(&open(mended.path())).len(), 3, "repaired, a hole of {len}");
    }
}

#[test]
fn a_compaction_that_flushes_its_output_several_times_loses_no_row() {
    let mut random = Random::seeded(7);
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick()).expect("opens");
    let mut map = Map::new();
    // Each value is a word longer than the last, so that the staged megabyte ends at many different
    // values.
    for n in 0..700 {
        let (key, value) = (format!("key{n:04}"), bytes(&mut random, 4000 + 8 * n));
        store.put(&key, &value).expect("a put");
        map.insert(key.into_bytes(), value);
    }
    store.put("dead", "1").expect("a put");
    store.delete("dead").expect("a delete");
    store.compact_recounted(&Compact::All).expect("compacts");
    assert_is(&store, &map, "compacted");
    store.close().expect("closes");
    let store = open(dir.path());
    assert_is(&store, &map, "opened with hints");
    for (key, _) in map.iter().step_by(50) {
        assert_eq!(store.versions(key).expect("reads").count(), 1);
    }
}

#[test]
fn a_compaction_of_more_records_than_one_swap_moves_them_all() {
    for count in [1023, 1024, 1025, 2047, 2048, 2049, 5000] {
        let dir = scratch();
        let store = open(dir.path());
        let (mut batch, mut map) = (Batch::new(), Map::new());
        for n in 0..count {
            let key = format!("key{n:05}");
            batch.put(&key, "old").put(&key, "value");
            map.insert(key.into_bytes(), b"value".to_vec());
        }
        store.write(&batch).expect("a batch");
        store.rotate().expect("rotates");
        let snapshot = store.snapshot().expect("a snapshot");
        store.compact_recounted(&Compact::All).expect("compacts");
        assert_is(&store, &map, &format!("{count} records"));
        assert_eq!(snapshot.keys(..).expect("scans").filter(Result::is_ok).count(), count);
        store.compact_recounted(&Compact::All).expect("compacts");
        store.close().expect("closes");
        assert_is(&open(dir.path()), &map, &format!("{count} records, reopened"));
    }
}

#[test]
fn many_records_of_one_key_replay_to_the_last_one_without_keydir_and_hints() {
    const ROWS_AT_ONCE: usize = 1 << 18;
    let dir = scratch();
    let store = open(dir.path());
    // More rows than a block, and more than 16 MiB, so that several threads replay. The other keys
    // spread over many shards.
    let others: BTreeMap<_, _> =
        (0..500).map(|n| (format!("a{n}"), n)).chain((0..500).map(|n| (format!("z{n}"), n))).collect();
    let mut written = 0;
    while written < ROWS_AT_ONCE + 10 {
        let mut batch = Batch::new();
        for _ in 0..10_000 {
            written += 1;
            batch.put("hot", format!("version {written:08} of it"));
        }
        store.write(&batch).expect("a batch");
    }
    for (key, n) in &others {
        store.put(key, n.to_string()).expect("a put");
    }
    store.rotate().expect("rotates");
    store.put("hot too", "1").expect("a put");
    let map = contents(&store);
    assert_eq!(map.len(), 1002);
    store.close().expect("closes");
    remove_derived(dir.path());
    let store = open(dir.path());
    assert_eq!(store.open_report().record_count, written as u64 + 1001);
    assert_is(&store, &map, "from the records");
    store.close().expect("closes");
    let is_map = |store: &Store| {
        let hot = map.get(&b"hot"[..]).map(Vec::as_slice);
        store.get("hot").expect("reads").as_deref() == hot && contents(store) == map
    };
    let store = open(dir.path());
    assert!(is_map(&store), "from the hint");
    store.compact_recounted(&Compact::Segments(vec![SegmentId(1)])).expect("compacts");
    assert!(is_map(&store), "compacted");
}

#[test]
fn a_feed_of_more_records_than_it_reads_ahead_returns_each_once_and_batches_whole() {
    for batch_len in [1, 3, 1023, 1024, 1025, 2049] {
        let dir = scratch();
        let store = open(dir.path());
        let mut seq = 0;
        while seq < 4200 {
            let mut batch = Batch::new();
            for _ in 0..batch_len {
                seq += 1;
                batch.put(format!("key{seq}"), "1");
            }
            store.write(&batch).expect("a batch");
            if seq / 1500 != (seq - batch_len) / 1500 {
                store.rotate().expect("rotates");
            }
        }
        for from in [1, 2, 1024, 1025, 1026, seq] {
            let changes = store.changes(Seqno(from)).map(|change| change.expect("reads"));
            let found: Vec<_> = changes.map(|change| (change.meta.seq.0, change.goes_on)).collect();
            let expected: Vec<_> = (from..=seq).map(|seq| (seq, seq % batch_len != 0)).collect();
            assert_eq!(found, expected, "batches of {batch_len}, from {from}");
        }
    }
}

#[test]
fn a_scan_from_both_ends_returns_each_key_once_for_any_number_of_prefetched_rows() {
    let dir = scratch();
    let store = open(dir.path());
    let key = |count: usize, n: usize| format!("{count:03}/{n:03}");
    let counts =
        [1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 27, 28, 29, 31, 32, 33, 59, 60, 61, 63, 64, 65, 130];
    for count in counts {
        for n in 0..count {
            // Dead rows among the live ones.
            (0..n % 3).for_each(|_| assert!(store.put(key(count, n), "old").is_ok()));
            store.put(key(count, n), "1").expect("a put");
            store.put(key(count, n) + "dead", "1").expect("a put");
        }
        (0..count).for_each(|n| assert!(store.delete(key(count, n) + "dead").expect("a delete")));
    }
    for is_sealed in [false, true] {
        for count in counts {
            // The number of entries taken from one end before one from the other end.
            for (ahead, back) in [(1, 0), (0, 1), (1, 1), (3, 1), (1, 5)] {
                let mut keys = store.keys_with_prefix(format!("{count:03}/")).expect("scans");
                let (mut front, mut behind) = (Vec::new(), Vec::new());
                loop {
                    let was = front.len() + behind.len();
                    front.extend(keys.by_ref().take(ahead).map(|entry| entry.expect("reads").key.to_vec()));
                    behind.extend(
                        keys.by_ref().rev().take(back).map(|entry| entry.expect("reads").key.to_vec()),
                    );
                    if front.len() + behind.len() == was {
                        break;
                    }
                }
                behind.reverse();
                let found: Vec<_> = front.into_iter().chain(behind).collect();
                let expected: Vec<_> = (0..count).map(|n| key(count, n).into_bytes()).collect();
                assert_eq!(found, expected, "{count} keys, {ahead} and {back}, sealed {is_sealed}");
            }
        }
        store.rotate().expect("rotates");
    }
}

#[test]
fn a_get_of_many_keys_finds_all_around_each_batch_of_the_lookup() {
    let dir = scratch();
    let store = open(dir.path());
    for n in 0..200 {
        store.put(format!("key{n}"), n.to_string()).expect("a put");
    }
    for count in [0, 1, 63, 64, 65, 127, 128, 129, 200] {
        let keys: Vec<_> = (0..count).map(|n| format!("key{}", n * 7 % 220)).collect();
        let many = store.get_many(&keys).expect("reads");
        let many: Vec<_> = many.into_iter().map(|found| found.expect("reads").map(|v| v.to_vec())).collect();
        let each: Vec<_> =
            keys.iter().map(|key| store.get(key).expect("reads").map(|value| value.to_vec())).collect();
        assert_eq!(many, each, "{count} keys");
    }
}

#[test]
fn values_that_expand_far_beyond_their_stored_length_read_back_whole() {
    let kinds: [fn(usize) -> Vec<u8>; 2] =
        [|len| vec![0; len], |len| b"the same again and ".iter().copied().cycle().take(len).collect()];
    for compression in [Compression::Lz4, Compression::Zstd { level: 1 }] {
        let dir = scratch();
        let store = Store::open_with(dir.path(), quick().compression(compression)).expect("opens");
        let mut map = Map::new();
        for around in [64, 4096, 256 << 10, 1 << 20, 2 << 20, 8 << 20] {
            for (kind, make) in kinds.iter().enumerate() {
                for len in [around - 1, around, around + 1] {
                    let key = format!("{kind}/{len}");
                    let value = make(len);
                    store.put(&key, &value).expect("a put");
                    map.insert(key.into_bytes(), value);
                }
            }
        }
        assert_is(&store, &map, &format!("{compression:?}"));
        store.close().expect("closes");
        let options = quick().read_with(ReadWith::Pread);
        assert_is(&Store::open_with(dir.path(), options).expect("opens"), &map, &format!("{compression:?}"));
    }
}
