//! A store of many segments: no work of the whole store is repeated for each segment.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use logkv::{Compact, CompactionPolicy, Options, SegmentId, Store};
use tempfile::TempDir;

use crate::allocated::asked_for;
use crate::common::{copy_of, killed, quick, remove_derived, scratch, segment_path};
use crate::hooked::{FreeSyncs, Hooked};
use crate::verify::verified;

fn options() -> Options {
    let by_hand = CompactionPolicy { automatic: false, ..CompactionPolicy::default() };
    quick()
        .compaction(by_hand)
        .file_system(Arc::new(Hooked(Arc::new(FreeSyncs))))
        .checkpoint_records(u64::MAX)
}

fn open(dir: &Path, options: Options) -> Store {
    Store::open_with(dir, options).expect("opens")
}

/// A closed store of `count` segments with one record each, with hints and without KEYDIR.
fn store_of(count: u64) -> TempDir {
    let dir = scratch();
    let store = open(dir.path(), options());
    for n in 0..count {
        store.put(format!("key{n:06}"), "value").expect("a put");
        store.rotate().expect("rotates");
    }
    store.close().expect("closes");
    open(dir.path(), options()).close().expect("closes");
    dir
}

/// A copy of such a store whose writer was killed after the last segment.
fn killed_store(dir: &Path) -> TempDir {
    let copy = copy_of(dir);
    let store = open(copy.path(), options());
    store.put("last", "value").expect("a put");
    killed(store, copy.path())
}

/// An operation on the whole store.
type Work = fn(&Path);

#[test]
fn the_memory_for_operations_grows_linearly_with_the_number_of_segments() {
    let works: [(&str, Work); 8] = [
        ("open for reading", |dir| drop(open(dir, options().read_only(true)))),
        ("open for writing", |dir| drop(open(dir, options()))),
        ("open without hints", |dir| {
            remove_derived(dir);
            drop(open(dir, options()));
        }),
        ("open with KEYDIR, and write it", |dir| {
            for _ in 0..2 {
                open(dir, options().checkpoint_records(1)).close().expect("closes");
            }
            assert!(dir.join("KEYDIR").exists());
        }),
        ("open what a KEYDIR covers a part of", |dir| {
            let manifest = fs::read(dir.join("MANIFEST")).expect("MANIFEST");
            open(dir, options().checkpoint_records(1)).close().expect("closes");
            fs::write(dir.join("MANIFEST"), manifest).expect("MANIFEST");
            drop(open(dir, options()));
        }),
        ("open after a kill", |dir| {
            let dir = killed_store(dir);
            drop(open(dir.path(), options()));
        }),
        ("verify", |dir| {
            open(dir, options().checkpoint_records(1)).close().expect("closes");
            assert!(verified(dir).0.is_intact());
        }),
        ("compact", |dir| {
            open(dir, options()).compact(&Compact::All).expect("compacts");
        }),
    ];
    let stores = [store_of(400), store_of(800)];
    for (what, work) in works {
        let [half, all] = [&stores[0], &stores[1]].map(|store| {
            let copy = copy_of(store.path());
            asked_for(|| work(copy.path())).1
        });
        assert!(all * 10 < half * 25, "{what}: {half} bytes for 400 segments, and {all} for twice as many");
    }
}

#[test]
fn opening_a_killed_store_reports_a_missing_segment() {
    let dir = killed_store(store_of(20).path());
    fs::remove_file(segment_path(dir.path(), 7)).expect("exists");
    let error = Store::open_with(dir.path(), options()).expect_err("a segment is missing");
    assert!(matches!(error, logkv::Error::SegmentMissing { segment: SegmentId(7) }), "{error}");
}
