//! A compaction that is stopped, or fails, at each of its calls of the file system; and a recovery of what that left.

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
use crate::faults::{Fault, Plan};
use crate::hooked::{Call, Hooked};
use crate::machine::Mount;
use crate::recount::Recounted;

/// Tiny segments, every write durable as far as the store knows, nothing unasked, and KEYDIR on closing.
fn options() -> Options {
    quick().sync(Sync::Always).segment_len_max(400).checkpoint_records(1)
}

/// A store of many small segments with replaced and deleted keys, closed; and what it holds. Two stretches of it have
/// something to free, and one between them has not.
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

/// What a compaction of all of the store leaves behind at each moment, and what the store holds.
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

/// The store opens, is the map, is the same when it is opened again, and can be compacted to the end.
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
        // The next new ones take their places.
        leftovers.retain(|name| name != "MANIFEST.new" && name != "KEYDIR.new");
        assert_eq!(leftovers, [""; 0], "{what}");
        assert!(
            before.is_none_or(|before| before == files(dir)),
            "{what}: the second open changed something"
        );
    }
    let store = Store::open_with(dir, options()).expect("opens");
    store.compact_recounted(&Compact::All).expect("compacts");
    assert_is(&store, map, what);
    store.close().expect("closes");
    assert_is(&open(dir), map, what);
    assert_eq!(leftovers(dir), [""; 0], "{what}");
}

/// The same, and also when the recovery is stopped at any of its calls.
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
fn case_06_a_compaction_that_is_killed_anywhere_has_lost_nothing() {
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
fn case_06_a_power_cut_anywhere_in_a_compaction_has_lost_nothing() {
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
        // More may have reached the disk than was made durable: names, and some of the bytes.
        let mut torn = moment.killed.clone();
        for (name, bytes) in torn.iter_mut().filter(|(name, _)| !moment.disk.durable.contains_key(*name)) {
            let is_synced = name.ends_with(".new") || name.ends_with(".seg");
            bytes.truncate(if is_synced { bytes.len() / 2 } else { bytes.len() - 1 });
        }
        if torn.get("MANIFEST") == moment.disk.durable.get("MANIFEST") {
            assert_recovers(write_down(&torn).path(), &map, &format!("{what}, with names and halves"));
        }
        seen.push(moment.disk.durable.clone());
    }
    assert!(seen.len() > 8, "{} states of the disk", seen.len());
}

#[test]
fn case_06_a_power_cut_takes_nothing_for_whose_sake_a_compaction_dropped_an_older_record() {
    let (dir, mut map) = with_dead();
    let recorder = Arc::new(Recorder::new(dir.path()));
    // What is written now is not durable, until the compaction needs it to be.
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
        assert!(maps.contains(&found), "{what}: what is there is no moment of the log");
        assert_recovers(cut.path(), &found, &what);
    }
}

/// The power goes at each moment of the recovery of what a kill left; `found` is what the store may hold then.
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
        // What an open has shown stays.
        assert!(moment.call.is_some() || now == recovered, "{what}: {now:?}, and it was {recovered:?}");
        assert_recovers(cut.path(), &now, &what);
    }
}

#[test]
fn case_06_a_power_cut_in_the_recovery_of_a_killed_compaction_has_lost_nothing() {
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
    assert!(commits >= 2, "{commits} moments at which the new MANIFEST was not durable");
}

#[test]
fn a_power_cut_in_or_after_the_recovery_of_a_killed_writer_leaves_a_moment_of_the_log() {
    let dir = scratch();
    let recorder = Arc::new(Recorder::new(dir.path()));
    let options = quick().file_system(Arc::new(Hooked(Arc::clone(&recorder))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    let mut maps = vec![Map::new()];
    for n in 0..6_u8 {
        store.put([n], "never synced").expect("a put");
        let mut map = maps.last().expect("the first").clone();
        map.insert(vec![n], b"never synced".to_vec());
        maps.push(map);
    }
    let moments = recorder.moments_from(0);
    drop(store);
    let last = moments.last().expect("the one after the last call");
    assert_recovers_from_both(last, &maps, "killed");
}

/// How many calls come before a compaction of a copy of `dir`.
fn calls_of_open(dir: &Path) -> u64 {
    let copy = copy_of(dir);
    let plan = Arc::new(Plan::new(Fault::Short, u64::MAX, false));
    let options = options().file_system(Arc::new(Hooked(Arc::clone(&plan))));
    let _store = Store::open_with(copy.path(), options).expect("opens");
    plan.calls()
}

/// Lets call number `at_call` of a compaction fail; whether there was such a call.
fn try_fault(dir: &Path, map: &Map, (fault, at_call, from_then_on): (Fault, u64, bool)) -> bool {
    let copy = copy_of(dir);
    let dir = copy.path();
    let plan = Arc::new(Plan::new(fault, at_call, from_then_on));
    let options = options().file_system(Arc::new(Hooked(Arc::clone(&plan))));
    let store = Store::open_with(dir, options).expect("opens");
    let outcome = store.compact_recounted(&Compact::All);
    let Some(call) = plan.met() else { return false };
    let what = format!("{fault:?} at {call:?} (call {at_call}), from then on: {from_then_on}");
    plan.end();
    match &outcome {
        // What is derived can be done without, and a file that stays is removed by the next open.
        Ok(_) => assert!(
            matches!(call, Call::Remove(_) | Call::SyncDirectory)
                || matches!(call, Call::Create(StoreFile::Hint(_)) | Call::Write(StoreFile::Hint(_)))
                || (fault == Fault::Short && !from_then_on),
            "{what}: it went unnoticed"
        ),
        Err(error) => assert!(error.sentence().contains("cannot "), "{what}: {}", error.sentence()),
    }
    assert_is(&store, map, &what);
    let mut map = map.clone();
    match store.put("probe", "after the failure") {
        Ok(_) => drop(map.insert(b"probe".to_vec(), b"after the failure".to_vec())),
        Err(Error::Poisoned { .. }) => assert!(outcome.is_err(), "{what}: it was not told"),
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
        assert!(store.close().is_err(), "{what}: it is not closed cleanly");
    }
    assert_recovers(dir, &map, &what);
    true
}

#[test]
fn case_06_a_compaction_whose_calls_fail_says_so_and_loses_nothing() {
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
fn case_23_a_full_disk_stops_a_compaction_and_nothing_else() {
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
        let error = store.compact_recounted(&Compact::All).expect_err("there is no room");
        assert!(error.sentence().ends_with("No space left on device"), "{}", error.sentence());
        assert!(files(&path) == before, "something was changed or left");
        assert_is(&store, &map, "on a full disk");
    }
    drop(filler);
    fs::remove_file(disk.0.join("filler")).expect("it is there");
    store.put("key0", "new").expect("there is room again");
    store.compact_recounted(&Compact::All).expect("there is room again");
    assert!(!segment_path(&path, 1).exists(), "it was compacted");
    let mut map = map;
    map.insert(b"key0".to_vec(), b"new".to_vec());
    assert_is(&store, &map, "with room again");
    store.close().expect("closes");
    assert_is(&open(&path), &map, "reopened");
}
