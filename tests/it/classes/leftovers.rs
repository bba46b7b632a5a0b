//! Repair without MANIFEST, with the leftovers of a compaction: inputs, outputs, subsets of them,
//! staged files.

use std::fs;
use std::io;
use std::sync::Arc;

use logkv::fs::StoreFile;
use logkv::{Compact, SegmentId, Store};
use tempfile::TempDir;

use crate::cases::recorder::{Files, Moment, Recorder, write_down};
use crate::cases::steps;
use crate::common::{Map, contents, killed, open, quick, remove_derived, scratch, segment_path, value};
use crate::hooked::{Call, Hook, Hooked};
use crate::recount::Recounted;
use crate::repair::repaired;

/// Repairs `files` without MANIFEST, and checks the result.
fn assert_repairs(files: &Files, map: &Map, what: &str) {
    let mut files = files.clone();
    files.remove("MANIFEST");
    if !files.keys().any(|name| name.ends_with(".seg")) {
        return;
    }
    let dir = write_down(&files);
    let (to, report) = repaired(dir.path());
    assert!(report.manifest_lost.is_some(), "{what}");
    let found = contents(&open(to.path()));
    let back: Vec<_> = found.keys().filter(|key| !map.contains_key(*key)).collect();
    assert!(found == *map, "{what}: {} of {} keys, and these came back: {back:?}", found.len(), map.len());
}

/// The files at each moment of a compaction that drops puts and their deletes, each in a segment of
/// its own, and the contents of the store.
fn emptied() -> (Vec<Moment>, Map) {
    let dir = scratch();
    let store = open(dir.path());
    for n in 0..4 {
        store.put(format!("victim{n}"), "secret").expect("a put");
        store.put(format!("kept{n}"), "1").expect("a put");
        store.rotate().expect("rotates");
    }
    for n in 0..4 {
        store.delete(format!("victim{n}")).expect("a delete");
        store.rotate().expect("rotates");
    }
    store.put("last", "1").expect("a put");
    let map = contents(&store);
    store.close().expect("closes");
    let recorder = Arc::new(Recorder::new(dir.path()));
    let options = quick().file_system(Arc::new(Hooked(Arc::clone(&recorder))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    let first = recorder.count();
    let report = store.compact_recounted(&Compact::All).expect("compacts");
    assert_eq!(report.runs.len(), 1, "{report:?}");
    assert_eq!(report.runs[0].inputs.len(), 8, "{report:?}");
    (recorder.moments_from(first), map)
}

/// Compactions, each with the contents of the store.
fn compactions() -> [(Vec<Moment>, Map); 2] {
    [steps::compacted(), emptied()]
}

#[test]
fn a_repair_without_manifest_after_a_killed_compaction_keeps_every_key() {
    for (moments, map) in compactions() {
        for (number, moment) in moments.iter().enumerate() {
            let what = format!("killed before call {number}, {:?}", moment.call);
            assert_repairs(&moment.killed, &map, &what);
            if moment.disk.durable.contains_key("MANIFEST") {
                assert_repairs(&moment.disk.durable, &map, &format!("{what}, and a power cut"));
            }
        }
    }
}

#[test]
fn a_repair_without_manifest_after_a_killed_recovery_of_a_killed_compaction_keeps_every_key() {
    for (moments, map) in compactions() {
        // Before the first removal, when everything is committed, and in the middle of the
        // removals.
        let removes = |call: &Option<Call>| matches!(call, Some(Call::Remove(StoreFile::Segment(_))));
        let due: Vec<_> = moments.iter().filter(|moment| removes(&moment.call)).collect();
        for left in [due.first(), due.get(due.len() / 2)].into_iter().flatten() {
            let dir = write_down(&left.killed);
            let recorder = Arc::new(Recorder::new(dir.path()));
            let options = quick().file_system(Arc::new(Hooked(Arc::clone(&recorder))));
            let store = Store::open_with(dir.path(), options).expect("opens");
            assert!(!store.open_report().orphans_removed.is_empty());
            for moment in recorder.moments_from(0) {
                assert_repairs(&moment.killed, &map, &format!("the recovery before {:?}", moment.call));
            }
        }
    }
}

/// Refuses to remove one file.
#[derive(Debug)]
struct CannotRemove(StoreFile);

impl Hook for CannotRemove {
    fn before(&self, call: Call) -> io::Result<()> {
        match call {
            Call::Remove(file) if file == self.0 => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Ok(()),
        }
    }

    fn syncs(&self) -> bool {
        false
    }
}

/// A put, its delete, and another key, each in a segment of its own, all compacted. The file of
/// segment `held` was not removed.
fn compacted_but(held: u64) -> TempDir {
    let dir = scratch();
    let hook = Arc::new(CannotRemove(StoreFile::Segment(SegmentId(held))));
    let options = quick().file_system(Arc::new(Hooked(hook)));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("victim", "secret").expect("a put");
    store.rotate().expect("rotates");
    store.delete("victim").expect("a delete");
    store.rotate().expect("rotates");
    store.put("kept", "1").expect("a put");
    store.rotate().expect("rotates");
    store.compact_recounted(&Compact::All).expect("compacts");
    assert_eq!(value(&store, "victim"), None);
    assert!(segment_path(dir.path(), held).exists(), "the file could not be removed");
    killed(store, dir.path())
}

#[test]
fn a_deleted_key_stays_deleted_when_its_put_s_file_was_not_removed_and_manifest_is_lost() {
    for held in 1..=3 {
        let dir = compacted_but(held);
        assert_eq!(value(&open(dir.path()), "victim"), None, "with MANIFEST");
        let dir = compacted_but(held);
        fs::remove_file(dir.path().join("MANIFEST")).expect("exists");
        let (to, _) = repaired(dir.path());
        let store = open(to.path());
        assert_eq!(value(&store, "victim"), None, "segment {held} is left");
        assert_eq!(value(&store, "kept").as_deref(), Some("1"), "segment {held} is left");
    }
}

#[test]
fn without_manifest_the_log_ends_with_its_newest_segment_and_not_with_the_newest_file() {
    let dir = scratch();
    let store = open(dir.path());
    for n in 0..4 {
        store.put(format!("key{}", n % 2), n.to_string()).expect("a put");
    }
    store.rotate().expect("rotates");
    store.put("active", "1").expect("a put");
    // The output has a greater id than the active segment, but comes before it in the log.
    store.compact_recounted(&Compact::Segments(vec![SegmentId(1)])).expect("compacts");
    assert!(segment_path(dir.path(), 3).exists());
    let whole = fs::read(segment_path(dir.path(), 2)).expect("the active segment").len();
    store.put("torn", "a value that is cut off").expect("a put");
    let map = contents(&store);
    let dir = killed(store, dir.path());
    let path = segment_path(dir.path(), 2);
    let bytes = fs::read(&path).expect("the active segment");
    for len in whole..bytes.len() {
        fs::write(&path, &bytes[..len]).expect("is truncated");
        drop(fs::remove_file(dir.path().join("MANIFEST")));
        let (to, report) = repaired(dir.path());
        assert_eq!(report.torn_len, (len - whole) as u64, "{report:?}");
        assert_eq!(report.given_up, [], "an unfinished write is not reported as a loss");
        let mut expected = map.clone();
        expected.remove(&b"torn"[..]);
        assert_eq!(contents(&open(to.path())), expected, "cut to {len}");
    }
}

#[test]
fn staged_files_and_foreign_segments_are_no_part_of_a_repaired_store() {
    let (moments, map) = steps::compacted();
    let both = moments.iter().find(|moment| matches!(moment.call, Some(Call::Remove(StoreFile::Segment(_)))));
    let mut files = both.expect("the inputs were seen").killed.clone();
    let first = files.iter().find(|(name, _)| name.ends_with(".seg")).map(|(_, bytes)| bytes.clone());
    let first = first.expect("a segment");
    files.insert("MANIFEST.new".to_owned(), b"half of a manif".to_vec());
    files.insert("KEYDIR.new".to_owned(), vec![7; 100]);
    files.insert("000777.hint".to_owned(), vec![7; 100]);
    // Unfinished segments: only a header, half a header, nothing, zeros.
    for (id, bytes) in [(900, &first[..64]), (901, &first[..30]), (902, &[][..]), (903, &[0; 4096])] {
        files.insert(format!("{id:06}.seg"), bytes.to_vec());
    }
    let other = scratch();
    let stranger = open(other.path());
    stranger.put("stranger", "1").expect("a put");
    files.insert("000950.seg".to_owned(), fs::read(segment_path(other.path(), 1)).expect("a segment"));
    assert_repairs(&files, &map, "with unfinished and foreign segments");
}

#[test]
fn a_repair_without_manifest_gives_out_no_number_of_a_lost_record() {
    let dir = scratch();
    let store = open(dir.path());
    for n in 0..100 {
        store.put("k", n.to_string()).expect("a put");
    }
    let lost = store.put("z", "a lost value").expect("a put").last;
    // The output has gaps between its numbers, so fewer records fit into it than numbers.
    store.compact_recounted(&Compact::All).expect("compacts");
    store.close().expect("closes");
    remove_derived(dir.path());
    fs::remove_file(dir.path().join("MANIFEST")).expect("is lost");
    let path = segment_path(dir.path(), 2);
    let mut bytes = fs::read(&path).expect("the output");
    let at = bytes.windows(4).position(|bytes| bytes == b"lost").expect("the record");
    bytes[at] ^= 1;
    fs::write(&path, bytes).expect("the damage");
    let (to, report) = repaired(dir.path());
    let next = open(to.path()).put("new", "1").expect("a put").first;
    assert!(next > lost, "{next:?} is not beyond {lost:?}: {report:?}");
}
