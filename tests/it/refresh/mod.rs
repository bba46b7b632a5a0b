//! A read-only store that follows the writer of its directory.

mod concurrent;

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use logkv::{Batch, Compact, Error, ReadWith, Store};

use crate::common::{assert_is, contents, killed, open, quick, scratch, segment_path, value};
use crate::recount::Recounted;

const BOTH: [ReadWith; 2] = [ReadWith::Mmap, ReadWith::Pread];

fn reader(dir: &Path, read_with: ReadWith) -> Store {
    Store::open_with(dir, quick().read_only(true).read_with(read_with)).expect("opens beside the writer")
}

/// Refreshes a store without damage. Returns whether there was something new.
fn refreshed(store: &Store) -> bool {
    let refreshed = store.refresh().unwrap_or_else(|error| panic!("{}", error.sentence()));
    assert_eq!(refreshed.damage, []);
    refreshed.changed
}

/// Refreshes `reader`, and checks that it equals `writer`.
fn follows(reader: &Store, writer: &Store, what: &str) {
    assert!(refreshed(reader), "{what}");
    assert_is(reader, &contents(writer), what);
    assert!(!refreshed(reader), "{what}: a second refresh found changes");
    let (ours, theirs) = (reader.stats().expect("stats"), writer.stats().expect("stats"));
    let figures =
        |stats: &logkv::Stats| (stats.key_count, stats.live_len, stats.dead_len, stats.segment_count);
    assert_eq!(figures(&ours), figures(&theirs), "{what}");
    assert_eq!(ours.last_seq, theirs.last_seq, "{what}");
}

#[test]
fn a_refresh_shows_every_kind_of_write() {
    for read_with in BOTH {
        let dir = scratch();
        let writer = open(dir.path());
        writer.put("a", "1").expect("a put");
        let reader = reader(dir.path(), read_with);
        assert!(!refreshed(&reader), "nothing changed since the open");
        writer.put("b", "2").expect("a put");
        assert_eq!(value(&reader, "b"), None, "nothing is visible before the refresh");
        follows(&reader, &writer, "a put");
        writer.delete("a").expect("a delete");
        follows(&reader, &writer, "a delete");
        writer.write(Batch::new().put("c", "3").put("b", "4").delete("c")).expect("a batch");
        follows(&reader, &writer, "a batch");
        writer.rotate().expect("rotates");
        follows(&reader, &writer, "a sealed segment");
        for key in ["d", "e", "f"] {
            writer.put(key, "5").expect("a put");
            writer.put("b", key).expect("a put");
            writer.rotate().expect("rotates");
        }
        writer.put("g", "6").expect("a put");
        follows(&reader, &writer, "new segments");
        writer.compact_recounted(&Compact::All).expect("compacts");
        follows(&reader, &writer, "a compaction");
        writer.put("h", "7").expect("a put");
        writer.rotate().expect("rotates");
        writer.put("h", "8").expect("a put");
        follows(&reader, &writer, "writes after a compaction");
        writer.clear().expect("a clear");
        follows(&reader, &writer, "a clear");
        writer.put("i", "9").expect("a put");
        follows(&reader, &writer, "a write after a clear");
    }
}

#[test]
fn a_refresh_follows_one_writer_after_another_after_every_kind_of_close() {
    for read_with in BOTH {
        let dir = scratch();
        let writer = Store::open_with(dir.path(), quick().checkpoint_records(1)).expect("opens");
        for key in 0..300 {
            writer.put(format!("key{key}"), "1").expect("a put");
        }
        writer.close().expect("closes");
        let reader = reader(dir.path(), read_with);
        assert!(!refreshed(&reader));
        let map = contents(&reader);
        let writer = Store::open_with(dir.path(), quick().segment_len_max(4096)).expect("opens");
        refreshed(&reader);
        assert_is(&reader, &map, "opened and not written to");
        for key in 200..500 {
            writer.put(format!("key{key}"), "22").expect("a put");
        }
        follows(&reader, &writer, "a write to the closed segment");
        let map = contents(&writer);
        writer.close().expect("closes");
        refreshed(&reader);
        assert_is(&reader, &map, "closed");
        let writer = open(dir.path());
        writer.put("last", "3").expect("a put");
        follows(&reader, &writer, "the next writer");
    }
}

#[test]
fn values_and_snapshots_keep_their_view_and_all_handles_see_the_refresh() {
    for read_with in BOTH {
        let dir = scratch();
        let writer = open(dir.path());
        for key in ["a", "b", "c"] {
            writer.put(key, "old").expect("a put");
        }
        writer.rotate().expect("rotates");
        writer.put("a", "old too").expect("a put");
        let reader = reader(dir.path(), read_with);
        let other_handle = reader.clone();
        let (snapshot, map) = (reader.snapshot().expect("a snapshot"), contents(&reader));
        let taken = reader.get("b").expect("reads").expect("exists");
        let mut scan = reader.scan(..).expect("scans");
        let first = scan.next().expect("a key").expect("reads");
        for round in 0..3 {
            for key in ["a", "b", "c", "d"] {
                writer.put(key, round.to_string()).expect("a put");
            }
            writer.rotate().expect("rotates");
            assert!(refreshed(&reader));
            writer.compact_recounted(&Compact::All).expect("compacts");
            assert!(refreshed(&reader));
            assert_eq!(contents(&other_handle), contents(&writer));
        }
        assert_eq!(crate::common::shown(snapshot.scan(..).expect("scans")), map);
        assert_eq!(snapshot.get("a").expect("reads").as_deref(), Some(&b"old too"[..]));
        assert_eq!((&*taken, &*first.value, scan.count()), (&b"old"[..], &b"old too"[..], 2));
    }
}

#[test]
fn a_store_open_for_writing_has_nothing_to_refresh() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "v").expect("a put");
    assert!(!refreshed(&store));
    assert_eq!(value(&store, "k").as_deref(), Some("v"));
}

#[test]
fn a_refresh_during_a_write_shows_whole_batches_only() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("first", "1").expect("a put");
    let path = segment_path(dir.path(), 1);
    let mut states = vec![(fs::metadata(&path).expect("a segment").len() as usize, contents(&store))];
    for batch in [
        Batch::new().put("a", "x").put("b", "a value that is somewhat longer").put("c", ""),
        Batch::new().delete("a"),
        Batch::new().put("b", "y").delete("c").put("d", "z"),
    ] {
        store.write(batch).expect("a batch");
        states.push((fs::metadata(&path).expect("a segment").len() as usize, contents(&store)));
    }
    let bytes = fs::read(&path).expect("the segment");
    let killed = killed(store, dir.path());
    let path = segment_path(killed.path(), 1);
    for step in [1, 8, 40] {
        fs::write(&path, &bytes[..states[0].0]).expect("keeps the first record");
        let reader = reader(killed.path(), ReadWith::Mmap);
        for len in (states[0].0..=bytes.len()).step_by(step) {
            fs::write(&path, &bytes[..len]).expect("a part of the file");
            refreshed(&reader);
            let (_, map) = states.iter().rev().find(|(end, _)| *end <= len).expect("the first one");
            assert_is(&reader, map, &format!("{len} bytes, by {step}"));
        }
    }
}

#[test]
fn a_refresh_shows_the_write_that_replaced_a_truncated_one() {
    let place = scratch();
    let writer = open(place.path());
    writer.put("k", "first").expect("a put");
    let path = segment_path(place.path(), 1);
    let len = fs::metadata(&path).expect("a segment").len();
    writer.put("k", "cut off").expect("a put");
    let cut = fs::read(&path).expect("the segment");
    let reader = reader(place.path(), ReadWith::Mmap);
    assert_eq!(value(&reader, "k").as_deref(), Some("cut off"));
    // The same length, another value, correct checksums.
    let other = with_other_value(&cut, len as usize, b"instead");
    let mut file = OpenOptions::new().write(true).open(&path).expect("the segment");
    file.seek(SeekFrom::Start(0)).expect("seeks");
    file.write_all(&other).expect("replaces the write");
    assert!(refreshed(&reader));
    assert_eq!(value(&reader, "k").as_deref(), Some("instead"));
    // Truncated, and not replaced.
    file.set_len(len).expect("truncates");
    assert!(refreshed(&reader));
    assert_eq!(value(&reader, "k").as_deref(), Some("first"));
}

#[test]
fn a_refresh_shows_a_write_that_replaced_a_torn_one_of_equal_length() {
    let place = scratch();
    let writer = open(place.path());
    writer.put("k", "first").expect("a put");
    let path = segment_path(place.path(), 1);
    let len = fs::metadata(&path).expect("a segment").len() as usize;
    writer.put("k", "instead").expect("a put");
    let whole = fs::read(&path).expect("the segment");
    let mut torn = whole.clone();
    // Garbage in place of the record's header.
    torn[len..len + 32].fill(0xa5);
    fs::write(&path, &torn).expect("tears the write");
    let reader = reader(place.path(), ReadWith::Mmap);
    assert_eq!(value(&reader, "k").as_deref(), Some("first"));
    assert!(!refreshed(&reader));
    OpenOptions::new().write(true).open(&path).expect("the segment").write_all(&whole).expect("writes");
    assert!(refreshed(&reader));
    assert_eq!(value(&reader, "k").as_deref(), Some("instead"));
}

/// A copy of the segment `bytes` with another value of the same length in the record at offset
/// `at`.
fn with_other_value(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let salt = bytes[56..60].to_vec();
    let value_at = at + 32 + 8;
    bytes[value_at..value_at + value.len()].copy_from_slice(value);
    let rcrc = crate::common::record_crc(&salt, at, &bytes[at + 8..]);
    bytes[at + 4..at + 8].copy_from_slice(&rcrc);
    bytes
}

#[test]
fn a_refresh_shows_a_replaced_directory_and_reports_a_missing_one() {
    let place = scratch();
    let [dir, other, aside] = ["store", "other", "aside"].map(|name| place.path().join(name));
    for (dir, text) in [(&dir, "one"), (&other, "two")] {
        let store = open(dir);
        store.put("k", text).expect("a put");
        store.close().expect("closes");
    }
    let reader = reader(&dir, ReadWith::Mmap);
    fs::rename(&dir, &aside).expect("renames");
    let error = reader.refresh().expect_err("the directory is missing");
    assert!(matches!(error, Error::Missing { .. }), "{error:?}");
    assert_eq!(value(&reader, "k").as_deref(), Some("one"), "nothing is visible before the refresh");
    fs::rename(&other, &dir).expect("renames");
    assert!(refreshed(&reader));
    assert_eq!(value(&reader, "k").as_deref(), Some("two"));
    let writer = open(&dir);
    writer.put("k", "three").expect("a put");
    follows(&reader, &writer, "the writer of the store that took the place");
}

#[test]
fn a_refresh_follows_a_repair_in_place() {
    let place = scratch();
    let dir = place.path().join("store");
    let store = open(&dir);
    for key in ["a", "b", "c"] {
        store.put(key, "value").expect("a put");
    }
    store.rotate().expect("rotates");
    store.close().expect("closes");
    flip(&segment_path(&dir, 1), 64 + 48 + 40);
    let reader = reader(&dir, ReadWith::Mmap);
    assert!(reader.get("b").is_err(), "it is damaged");
    let aside = place.path().join("aside");
    let repaired =
        logkv::repair::in_place(&dir, &aside, &quick(), &mut |_| std::ops::ControlFlow::Continue(()));
    repaired.expect("repairs");
    assert!(refreshed(&reader));
    assert_eq!(value(&reader, "b"), None);
    assert_eq!(value(&reader, "c").as_deref(), Some("value"));
    assert_eq!(reader.open_report().damage, []);
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a segment");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("writes");
}

#[test]
fn new_damage_is_reported_once_by_a_refresh() {
    let dir = scratch();
    let writer = Store::open_with(dir.path(), quick().background(false)).expect("opens");
    writer.put("a", "1").expect("a put");
    let reader = reader(dir.path(), ReadWith::Mmap);
    let at = fs::metadata(segment_path(dir.path(), 1)).expect("a segment").len();
    writer.put("b", "2").expect("a put");
    writer.put("c", "3").expect("a put");
    let mut file = OpenOptions::new().write(true).open(segment_path(dir.path(), 1)).expect("the segment");
    file.seek(SeekFrom::Start(at + 40)).expect("seeks");
    file.write_all(b"9").expect("damage");
    writer.rotate().expect("rotates");
    writer.put("d", "4").expect("a put");
    let found = reader.refresh().expect("refreshes");
    assert!(found.changed);
    assert_eq!(found.damage.iter().map(|found| found.at.offset).collect::<Vec<_>>(), [at]);
    assert_eq!(reader.open_report().damage, found.damage);
    assert!(matches!(reader.get("b"), Err(Error::Damaged { .. })));
    assert_eq!(value(&reader, "d").as_deref(), Some("4"));
    writer.put("e", "5").expect("a put");
    assert!(refreshed(&reader), "the refresh found nothing new");
    assert_eq!(reader.open_report().damage, found.damage);
    assert_eq!(reader.stats().expect("stats").damage_count, 1);
}
