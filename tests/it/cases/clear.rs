//! A clear that is interrupted at each of its calls.

use std::io;
use std::sync::Arc;

use logkv::fs::StoreFile;
use logkv::{Compact, Error, Options, ReadWith, Store, Sync};
use tempfile::TempDir;

use super::recorder::{Files, Recorder, write_down};
use crate::common::{Map, assert_is, contents, copy_of, files, leftovers, quick, rewrite_manifest, scratch};
use crate::faults::{Fault, FaultPlan};
use crate::hooked::{Call, Hooked};
use crate::recount::Recounted;

fn options() -> Options {
    quick().sync(Sync::Always).segment_len_max(400).checkpoint_records(1)
}

/// A closed store of several segments with hints and KEYDIR, and its contents.
fn filled() -> (TempDir, Map) {
    let dir = scratch();
    let store = Store::open_with(dir.path(), options()).expect("opens");
    for n in 0..20 {
        store.put(format!("key{n}"), [b'v'; 60]).expect("a put");
    }
    store.delete("key3").expect("a delete");
    let map = contents(&store);
    store.close().expect("closes");
    (dir, map)
}

/// Checks that the store in `left` holds all of `map` or nothing, keeps it when reopened, and
/// accepts writes. Returns whether it holds nothing.
fn assert_all_or_nothing(left: &Files, map: &Map, what: &str) -> bool {
    let dir = write_down(left);
    let store = Store::open_with(dir.path(), options())
        .unwrap_or_else(|error| panic!("{what}: {}", error.sentence()));
    assert!(store.open_report().damage.is_empty(), "{what}: {:?}", store.open_report());
    let is_empty = store.is_empty();
    assert_is(&store, if is_empty { const { &Map::new() } } else { map }, what);
    store.close().expect("closes");
    let mut left = leftovers(dir.path());
    // The next files of these names overwrite them.
    left.retain(|name| name != "MANIFEST.new" && name != "KEYDIR.new");
    assert_eq!(left, [""; 0], "{what}");
    let store = Store::open_with(dir.path(), options()).expect("opens");
    assert_eq!(store.is_empty(), is_empty, "{what}");
    store.put("after", "1").expect("a put");
    store.compact_recounted(&Compact::All).expect("compacts");
    assert_eq!(store.len(), 1 + if is_empty { 0 } else { map.len() as u64 }, "{what}");
    is_empty
}

#[test]
fn a_clear_that_is_interrupted_leaves_all_keys_or_none() {
    let (dir, map) = filled();
    let recorder = Arc::new(Recorder::new(dir.path()));
    let hooked = options().file_system(Arc::new(Hooked(Arc::clone(&recorder))));
    let store = Store::open_with(dir.path(), hooked).expect("opens");
    store.put("last", "of the active segment").expect("a put");
    let map = map.into_iter().chain([(b"last".to_vec(), b"of the active segment".to_vec())]).collect();
    let first = recorder.count();
    assert_eq!(store.clear().expect("clears"), 20);
    let moments = recorder.moments_from(first);
    let is_commit = |call| matches!(call, Some(Call::Rename(_, StoreFile::Manifest)));
    let commit = moments.iter().position(|moment| is_commit(moment.call)).expect("commits");
    for (number, moment) in moments.iter().enumerate() {
        let what = format!("before call {number}, {:?}", moment.call);
        let is_empty = assert_all_or_nothing(&moment.killed, &map, &format!("killed {what}"));
        assert_eq!(is_empty, number > commit, "killed {what}");
        assert_all_or_nothing(&moment.disk.durable, &map, &format!("power cut {what}"));
    }
    let done = moments.last().expect("a last moment");
    assert!(assert_all_or_nothing(&done.disk.durable, &map, "a completed clear survives a power cut"));
}

#[test]
fn a_clear_with_a_failed_call_leaves_all_keys_or_none() {
    let (dir, map) = filled();
    let calls = |plan: &Arc<FaultPlan>, dir: &TempDir| {
        let options = options().file_system(Arc::new(Hooked(Arc::clone(plan))));
        Store::open_with(dir.path(), options)
    };
    let plan = Arc::new(FaultPlan::new(Fault::Error(io::ErrorKind::Other), u64::MAX, false));
    let copy = copy_of(dir.path());
    let store = calls(&plan, &copy).expect("opens");
    let opened = plan.calls();
    store.clear().expect("clears");
    let total = plan.calls();
    assert!(total > opened + 4, "{opened} and {total}");
    for at in opened..total {
        let copy = copy_of(dir.path());
        let plan = Arc::new(FaultPlan::new(Fault::Error(io::ErrorKind::Other), at, false));
        let store = calls(&plan, &copy).expect("opens");
        let what = format!("call {at}, {:?}", plan.met());
        match store.clear() {
            Ok(count) => {
                assert_eq!(count, map.len() as u64, "{what}");
                assert_is(&store, &Map::new(), &what);
            }
            Err(_) => assert_is(&store, &map, &what),
        }
        plan.end();
        drop(store);
        assert_all_or_nothing(&files(copy.path()).into_iter().collect(), &map, &what);
    }
}

#[test]
fn readers_keep_their_view_during_a_clear_and_numbers_continue() {
    for read_with in [ReadWith::Mmap, ReadWith::Pread] {
        let (dir, map) = filled();
        let store = Store::open_with(dir.path(), options().read_with(read_with)).expect("opens");
        let value = store.get("key1").expect("reads").expect("exists");
        let (snapshot, scan) = (store.snapshot().expect("a snapshot"), store.scan(..).expect("scans"));
        let last = store.stats().expect("statistics").last_seq;
        assert_eq!(store.clear().expect("clears"), map.len() as u64);
        assert_is(&store, &Map::new(), "cleared");
        assert_eq!(store.clear().expect("clears"), 0);
        // New records at the places of the old ones.
        for n in 0..20 {
            assert!(store.put(format!("key{n}"), [b'n'; 60]).expect("a put").first > last);
        }
        assert_eq!(*value, [b'v'; 60]);
        let seen = |scan: logkv::Scan| -> Map { crate::common::shown(scan) };
        assert!(seen(scan) == map && seen(snapshot.scan(..).expect("scans")) == map);
        assert_eq!(snapshot.get("key3").expect("reads").as_deref(), None);
        assert_eq!(store.len(), 20);
    }
}

#[test]
fn a_submitted_write_before_a_clear_is_acknowledged_and_the_clear_reports_its_result() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), options()).expect("opens");
    let mut batch = logkv::Batch::new();
    batch.put("submitted", "1");
    let pending = store.submit(&batch).expect("submits");
    store.clear().expect("clears");
    assert!(pending.wait().expect("was written before the clear").is_some());
    assert!(store.is_empty());
    let refused = store.transact(|transaction| {
        transaction.put("k", "v");
        store.clear().map(drop)
    });
    assert!(matches!(refused, Err(logkv::Error::WithinTransaction)), "{refused:?}");
    store.put("a", "1").expect("a put");
    store.put("a", "2").expect("a put");
    let mut refused = None;
    let observed = store.compact_with(&Compact::All, &mut |_| {
        refused = Some(store.clear());
        std::ops::ControlFlow::Continue(())
    });
    observed.expect("compacts");
    assert!(matches!(refused, Some(Err(logkv::Error::WithinCompaction))), "{refused:?}");
    assert_eq!(store.len(), 1);
    store.close().expect("closes");
    let reader = Store::open_with(dir.path(), options().read_only(true)).expect("opens");
    assert!(matches!(reader.clear(), Err(logkv::Error::ReadOnly)));
}

#[test]
fn at_the_last_number_writes_and_clears_are_refused_and_the_store_still_opens() {
    let (dir, map) = filled();
    rewrite_manifest(dir.path(), |line| match line.starts_with("next_seq ") {
        true => format!("next_seq {}", 1_u64 << 61),
        false => line.to_owned(),
    });
    for _ in 0..2 {
        let store = Store::open_with(dir.path(), options()).expect("opens");
        assert!(matches!(store.put("more", "1"), Err(Error::NumbersSpent { .. })));
        assert!(matches!(store.clear(), Err(Error::NumbersSpent { .. })));
        assert_is(&store, &map, "at the last number");
        store.close().expect("closes");
    }
}
