//! A compaction that is interrupted, or fails, at each of its calls, and the recovery after that.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use logkv::fs::StoreFile;
use logkv::{Compact, Error, Options, Store, Sync};
use tempfile::TempDir;

use super::recorder::{Files, Moment, Recorder, write_down};
use crate::common::{
    Map, assert_is, contents, copy_of, files, leftovers, open, quick, scratch, sealed, segment_path, skipped,
};
use crate::faults::{Fault, FaultPlan};
use crate::hooked::{Call, Hooked};
use crate::machine::Mount;
use crate::recount::Recounted;

/// Tiny segments, every write durable, no background work, and KEYDIR written at close.
fn options() -> Options {
    quick().sync(Sync::Always).segment_len_max(400).checkpoint_records(1)
}

/// A closed store of many small segments with replaced and deleted keys, and its contents. Two
/// ranges of segments have dead records, and the range between them has none.
fn with_dead() -> (TempDir, Map) {
    let dir = scratch();
    let store = Store::open_with(dir.path(), options()).expect("opens");
    for n in 0..8 {
        store.put(format!("early{n}"), "a value").expect("a put");
        store.put(format!("between{n}"), [b'b'; 60]).expect("a put");
    }
    for n in 0..8 {
        store.put(format!("kept{n}"), [b'k'; 300]).expect("a put");
    }
    for n in (0..8).step_by(2) {
        store.put(format!("early{n}"), "another").expect("a put");
        store.delete(format!("early{}", n + 1)).expect("a delete");
    }
    store.put("last", "1").expect("a put");
    store.close().expect("closes");
    let store = Store::open_with(dir.path(), options()).expect("opens");
    let map = contents(&store);
    store.close().expect("closes");
    (dir, map)
}

/// The files at each moment of a compaction of the whole store, and the store's contents.
pub(crate) fn compacted() -> (Vec<Moment>, Map) {
    let (dir, map) = with_dead();
    let recorder = Arc::new(Recorder::new(dir.path()));
    let options = options().file_system(Arc::new(Hooked(Arc::clone(&recorder))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    let first = recorder.count();
    let report = store.compact_recounted(&Compact::All).expect("compacts");
    assert!(report.runs.len() >= 2 && report.runs.iter().any(|run| run.outputs.len() > 1), "{report:?}");
    let moments = recorder.moments_from(first);
    assert!(moments.len() > 40, "{}", moments.len());
    (moments, map)
}

/// Checks that the store opens with the contents of `map`, keeps them when reopened, and can be
/// compacted.
fn assert_recovers(dir: &Path, map: &Map, what: &str) {
    for times in ["once", "twice"] {
        let before = (times == "twice").then(|| files(dir));
        let store =
            Store::open_with(dir, options()).unwrap_or_else(|error| panic!("{what}: {}", error.sentence()));
        let report = store.open_report();
        assert!(report.damage.is_empty() && report.torn.is_none(), "{what}: {report:?}");
        assert_is(&store, map, what);
        store.close().expect("closes");
        let mut leftovers = leftovers(dir);
        // The next files of these names overwrite them.
        leftovers.retain(|name| name != "MANIFEST.new" && name != "KEYDIR.new");
        assert_eq!(leftovers, [""; 0], "{what}");
        assert!(before.is_none_or(|before| before == files(dir)), "{what}: the second open changed files");
    }
    let store = Store::open_with(dir, options()).expect("opens");
    store.compact_recounted(&Compact::All).expect("compacts");
    assert_is(&store, map, what);
    store.close().expect("closes");
    assert_is(&open(dir), map, what);
    assert_eq!(leftovers(dir), [""; 0], "{what}");
}

/// [`assert_recovers`], also after the recovery is interrupted at each of its calls.
fn assert_recovers_anyhow(left: &Files, map: &Map, what: &str) {
    let dir = write_down(left);
    let recorder = Arc::new(Recorder::new(dir.path()));
    let options = options().file_system(Arc::new(Hooked(Arc::clone(&recorder))));
    drop(
        Store::open_with(dir.path(), options).unwrap_or_else(|error| panic!("{what}: {}", error.sentence())),
    );
    for moment in recorder.moments_from(0) {
        let what = format!("{what}; and the recovery before {:?}", moment.call);
        assert_recovers(write_down(&moment.killed).path(), map, &what);
        assert_recovers(write_down(&moment.disk.durable).path(), map, &format!("{what}, its power cut"));
    }
}

#[test]
fn case_06_a_compaction_killed_at_any_call_loses_nothing() {
    let (moments, map) = compacted();
    for (number, moment) in moments.iter().enumerate() {
        let what = format!("killed before call {number}, {:?}", moment.call);
        assert_recovers(write_down(&moment.killed).path(), &map, &what);
        if number % 20 == 0 {
            assert_recovers_anyhow(&moment.killed, &map, &what);
        }
    }
}

#[test]
fn case_06_a_power_cut_at_any_call_of_a_compaction_loses_nothing() {
    let (moments, map) = compacted();
    let mut seen = Vec::new();
    for (number, moment) in moments.iter().enumerate() {
        if seen.contains(&moment.disk.durable) {
            continue;
        }
        let what = format!("power cut before call {number}, {:?}", moment.call);
        assert_recovers(write_down(&moment.disk.durable).path(), &map, &what);
        if seen.len() % 9 == 0 {
            assert_recovers_anyhow(&moment.disk.durable, &map, &what);
        }
        // More than the durable part may have reached the disk: names, and half of the other bytes.
        let mut torn = moment.killed.clone();
        for (name, bytes) in torn.iter_mut().filter(|(name, _)| !moment.disk.durable.contains_key(*name)) {
            let is_synced = name.ends_with(".new") || name.ends_with(".seg");
            bytes.truncate(if is_synced { bytes.len() / 2 } else { bytes.len() - 1 });
        }
        if torn.get("MANIFEST") == moment.disk.durable.get("MANIFEST") {
            assert_recovers(
                write_down(&torn).path(),
                &map,
                &format!("{what}, with all names and half of the bytes"),
            );
        }
        seen.push(moment.disk.durable.clone());
    }
    assert!(seen.len() > 8, "{} states of the disk", seen.len());
}

#[test]
fn case_06_a_power_cut_loses_no_record_whose_older_version_a_compaction_dropped() {
    let (dir, mut map) = with_dead();
    let recorder = Arc::new(Recorder::new(dir.path()));
    // New writes are durable only when the compaction syncs them.
    let options = options().sync(Sync::Never).segment_len_max(1 << 20);
    let options = options.file_system(Arc::new(Hooked(Arc::clone(&recorder))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    let mut maps = vec![map.clone()];
    for n in 0..8 {
        store.put(format!("between{n}"), "replaced").expect("a put");
        map.insert(format!("between{n}").into_bytes(), b"replaced".to_vec());
        maps.push(map.clone());
        store.delete(format!("kept{n}")).expect("a delete");
        map.remove(format!("kept{n}").as_bytes());
        maps.push(map.clone());
    }
    let first = recorder.count();
    store.compact_recounted(&Compact::Segments(sealed(&store))).expect("compacts");
    for (number, moment) in recorder.moments_from(first).iter().enumerate() {
        let what = format!("power cut before call {number}, {:?}", moment.call);
        let cut = write_down(&moment.disk.durable);
        let found = contents(&open(cut.path()));
        assert!(maps.contains(&found), "{what}: the contents equal no moment of the log");
        assert_recovers(cut.path(), &found, &what);
    }
}

/// Cuts the power at each moment of the recovery after a kill. `found` are the possible contents.
fn assert_recovers_from_both(left: &Moment, found: &[Map], what: &str) {
    let dir = write_down(&left.killed);
    let recorder = Arc::new(Recorder::on(dir.path(), left.disk.clone()));
    let options = options().file_system(Arc::new(Hooked(Arc::clone(&recorder))));
    let store = Store::open_with(dir.path(), options);
    let recovered = contents(&store.unwrap_or_else(|error| panic!("{what}: {}", error.sentence())));
    assert!(found.contains(&recovered), "{what}: {recovered:?}");
    let mut before = None;
    for moment in recorder.moments_from(0) {
        if moment.call.is_some()
            && before.replace(moment.disk.durable.clone()).as_ref() == Some(&moment.disk.durable)
        {
            continue;
        }
        let what = format!("{what}; and the power cut before {:?} of the recovery", moment.call);
        let cut = write_down(&moment.disk.durable);
        let now = contents(&open(write_down(&moment.disk.durable).path()));
        assert!(found.contains(&now), "{what}: {now:?}");
        // Contents shown by an open must stay.
        assert!(moment.call.is_some() || now == recovered, "{what}: {now:?} after {recovered:?}");
        assert_recovers(cut.path(), &now, &what);
    }
}

#[test]
fn case_06_a_power_cut_during_the_recovery_of_a_killed_compaction_loses_nothing() {
    let (moments, map) = compacted();
    let is_commit = |moment: &&Moment| {
        let manifest = |files: &Files| files.get("MANIFEST").cloned();
        manifest(&moment.killed) != manifest(&moment.disk.durable)
    };
    let mut commits = 0;
    for (number, moment) in moments.iter().enumerate().filter(|(_, moment)| is_commit(moment)) {
        assert_recovers_from_both(
            moment,
            std::slice::from_ref(&map),
            &format!("killed before call {number}"),
        );
        commits += 1;
    }
    assert!(commits >= 2, "the new MANIFEST was not durable at {commits} moments");
}

#[test]
fn a_power_cut_in_or_after_the_recovery_of_a_killed_writer_leaves_a_state_of_the_log() {
    let dir = scratch();
    let recorder = Arc::new(Recorder::new(dir.path()));
    let options = quick().file_system(Arc::new(Hooked(Arc::clone(&recorder))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    let mut maps = vec![Map::new()];
    for n in 0..6_u8 {
        store.put([n], "never synced").expect("a put");
        let mut map = maps.last().expect("a first map").clone();
        map.insert(vec![n], b"never synced".to_vec());
        maps.push(map);
    }
    let moments = recorder.moments_from(0);
    drop(store);
    let last = moments.last().expect("a last moment");
    assert_recovers_from_both(last, &maps, "killed");
}

/// The number of calls before a compaction of a copy of `dir`.
fn calls_of_open(dir: &Path) -> u64 {
    let copy = copy_of(dir);
    let plan = Arc::new(FaultPlan::new(Fault::Short, u64::MAX, false));
    let options = options().file_system(Arc::new(Hooked(Arc::clone(&plan))));
    let _store = Store::open_with(copy.path(), options).expect("opens");
    plan.calls()
}

/// Makes call number `at_call` of a compaction fail. Returns whether there was such a call.
fn try_fault(dir: &Path, map: &Map, (fault, at_call, from_then_on): (Fault, u64, bool)) -> bool {
    let copy = copy_of(dir);
    let dir = copy.path();
    let plan = Arc::new(FaultPlan::new(fault, at_call, from_then_on));
    let options = options().file_system(Arc::new(Hooked(Arc::clone(&plan))));
    let store = Store::open_with(dir, options).expect("opens");
    let outcome = store.compact_recounted(&Compact::All);
    let Some(call) = plan.met() else { return false };
    let what = format!("{fault:?} at {call:?} (call {at_call}), from then on: {from_then_on}");
    plan.end();
    match &outcome {
        // Derived files are optional, and the next open removes a file that could not be removed.
        Ok(_) => assert!(
            matches!(call, Call::Remove(_) | Call::SyncDirectory)
                || matches!(call, Call::Create(StoreFile::Hint(_)) | Call::Write(StoreFile::Hint(_)))
                || (fault == Fault::Short && !from_then_on),
            "{what}: the fault had no effect"
        ),
        Err(error) => assert!(error.sentence().contains("cannot "), "{what}: {}", error.sentence()),
    }
    assert_is(&store, map, &what);
    let mut map = map.clone();
    match store.put("probe", "after the failure") {
        Ok(_) => drop(map.insert(b"probe".to_vec(), b"after the failure".to_vec())),
        Err(Error::Poisoned { .. }) => assert!(outcome.is_err(), "{what}: the failure was not reported"),
        Err(error) => panic!("{what}: {}", error.sentence()),
    }
    if map.contains_key(&b"probe"[..]) {
        if !from_then_on && !matches!(call, Call::Remove(_)) {
            assert_eq!(leftovers(dir), [""; 0], "{what}");
        }
        store
            .compact_recounted(&Compact::All)
            .unwrap_or_else(|error| panic!("{what}, again: {}", error.sentence()));
        assert_is(&store, &map, &format!("{what}, and compacted again"));
        store.close().expect("closes");
    } else {
        assert!(store.close().is_err(), "{what}: the failed store closed cleanly");
    }
    assert_recovers(dir, &map, &what);
    true
}

#[test]
fn case_06_a_compaction_with_a_failed_call_reports_it_and_loses_nothing() {
    let (dir, map) = with_dead();
    let first = calls_of_open(dir.path());
    for fault in [Fault::Error(io::ErrorKind::Other), Fault::Error(io::ErrorKind::StorageFull), Fault::Short]
    {
        for from_then_on in [false, true] {
            let met = (first..).take_while(|&call| try_fault(dir.path(), &map, (fault, call, from_then_on)));
            assert!(met.count() > 40);
        }
    }
}

#[test]
fn case_23_a_full_disk_fails_a_compaction_and_nothing_else() {
    let dir = scratch();
    let Some(disk) = Mount::new(dir.path(), "disk", &["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs"])
    else {
        return skipped("a compaction on a full disk", "mounting a small tmpfs needs root");
    };
    let path = disk.0.join("store");
    let store = Store::open_with(&path, quick()).expect("opens");
    for round in [b'a', b'b'] {
        for n in 0..100 {
            store.put(format!("key{n}"), [round; 500]).expect("a put");
        }
        for n in 100..120 {
            store.put(format!("key{n}"), [round; 500]).expect("a put");
        }
    }
    store.rotate().expect("rotates");
    let map = contents(&store);
    let mut filler = fs::File::create(disk.0.join("filler")).expect("a file");
    while filler.write_all(&[0; 512]).is_ok() {}
    let before = files(&path);
    for _ in 0..3 {
        let error = store.compact_recounted(&Compact::All).expect_err("the disk is full");
        assert!(error.sentence().ends_with("No space left on device"), "{}", error.sentence());
        assert!(files(&path) == before, "files were changed or left behind");
        assert_is(&store, &map, "on a full disk");
    }
    drop(filler);
    fs::remove_file(disk.0.join("filler")).expect("exists");
    store.put("key0", "new").expect("has free space");
    store.compact_recounted(&Compact::All).expect("has free space");
    assert!(!segment_path(&path, 1).exists(), "segment 1 was not compacted");
    let mut map = map;
    map.insert(b"key0".to_vec(), b"new".to_vec());
    assert_is(&store, &map, "with free space again");
    store.close().expect("closes");
    assert_is(&open(&path), &map, "reopened");
}
