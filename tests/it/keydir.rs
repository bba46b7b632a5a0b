//! The file KEYDIR, found damaged or of another time.

use std::fs;

use logkv::{Compact, CompactionPolicy, Options, Store};

use crate::common::{assert_counted, assert_is, contents, quick, scratch, segment_path, wait_until};

/// The bytes before the slots of a KEYDIR that covers one segment: header, rows of segments and shards, checksum.
const HEAD_LEN: usize = 64 + 64 + 1024 * 24 + 8;

fn eager() -> Options {
    quick().checkpoint_records(1)
}

fn lazy() -> Options {
    eager().checkpoint_records(u64::MAX)
}

#[test]
fn shards_of_keydir_that_are_damaged_leave_every_figure_right_that_is_counted_on_from_it() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), eager()).expect("opens");
    for key in ["a", "b", "c", "d"] {
        store.put(key, "1").expect("a put");
    }
    store.close().expect("closes");
    let store = Store::open_with(dir.path(), lazy()).expect("opens");
    store.put("a", "22").expect("a put");
    store.put("a", "222").expect("a put");
    store.rotate().expect("rotates");
    store.put("a", "2222").expect("a put");
    store.delete("b").expect("a delete");
    let map = contents(&store);
    store.close().expect("closes");
    let path = dir.path().join("KEYDIR");
    let mut bytes = fs::read(&path).expect("KEYDIR");
    for byte in bytes[HEAD_LEN..].iter_mut().step_by(8) {
        *byte ^= 0x10;
    }
    fs::write(&path, bytes).expect("the damage");
    for options in [lazy().read_only(true), lazy()] {
        let store = Store::open_with(dir.path(), options).expect("opens");
        assert_eq!(store.open_report().record_count, 4, "KEYDIR is used");
        assert_counted(&store, "opened");
        assert_is(&store, &map, "opened");
        if !store.is_read_only() {
            store.put("a", "last").expect("a put");
            store.delete("c").expect("a delete");
            assert_counted(&store, "written to");
        }
    }
}

#[test]
fn the_newest_number_is_that_of_a_record_that_is_there_when_keydir_knew_of_more() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), eager()).expect("opens");
    store.put("kept", "1").expect("a put");
    let path = segment_path(dir.path(), 1);
    let kept = fs::read(&path).expect("the segment");
    store.put("lost", "2").expect("a put");
    let manifest = fs::read(dir.path().join("MANIFEST")).expect("MANIFEST");
    store.close().expect("closes");
    // As after a power cut that took the end of the log, and not KEYDIR.
    fs::write(&path, kept).expect("the segment");
    fs::write(dir.path().join("MANIFEST"), manifest).expect("MANIFEST");
    for options in [lazy().read_only(true), lazy()] {
        let store = Store::open_with(dir.path(), options).expect("opens");
        assert_eq!(store.len(), 1);
        assert_eq!(store.stats().expect("stats").last_seq.0, 1);
    }
}

#[test]
fn a_store_whose_covered_segments_were_compacted_soon_has_a_keydir_again() {
    let dir = scratch();
    let policy = CompactionPolicy { automatic: false, ..CompactionPolicy::default() };
    let options = quick().checkpoint_records(1).background(true).compaction(policy).segment_len_max(4096);
    let store = Store::open_with(dir.path(), options).expect("opens");
    for n in 0..2000 {
        store.put(format!("key{}", n % 500), n.to_string()).expect("a put");
    }
    store.compact(&Compact::All).expect("compacts");
    store.put("last", "1").expect("a put");
    // As the next process finds it that opens after this one was killed.
    let opened = || Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
    wait_until(|| opened().open_report().record_count < 100);
    assert_is(&opened(), &contents(&store), "what a reader sees");
}
