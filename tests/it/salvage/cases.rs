//! Chosen damage: lost headers, a lost or outdated MANIFEST, and files that belong elsewhere.

use std::fs;

use logkv::fs::StoreFile;
use logkv::repair::RepairReport;
use logkv::verify::Fault;
use logkv::{Compact, Error, SegmentId, Store};

use super::written;
use crate::common::{contents, copy_of, files, hint_path, open, quick, scratch, segment_path, small_store};
use crate::repair::repaired;
use crate::verify::verified;

#[test]
fn a_segment_header_lost_together_with_manifest_costs_no_record() {
    let dir = small_store();
    let expected = contents(&open(dir.path()));
    fs::remove_file(dir.path().join("MANIFEST")).expect("exists");
    for damage in [0..64, 0..8, 8..16, 16..32, 56..60] {
        let copy = copy_of(dir.path());
        for id in 1..=3 {
            let path = segment_path(copy.path(), id);
            let mut bytes = fs::read(&path).expect("the segment");
            // The only record of the third segment proves its own bytes, but not the salt.
            let is_sole = id == 3;
            if !is_sole || !(damage.contains(&0) || damage.contains(&56)) {
                bytes[damage.clone()].fill(0xee);
            }
            fs::write(path, bytes).expect("the damage");
        }
        let (report, findings) = verified(copy.path());
        let headers = findings.iter().filter(|found| matches!(found.fault, Fault::Header(_))).count();
        assert!(headers >= 2 && report.record_count == 6, "{damage:?}: {findings:?}");
        let (to, report) = repaired(copy.path());
        assert_eq!((report.given_up.len(), report.record_count), (0, 6), "{damage:?}: {report:?}");
        assert_eq!(contents(&open(to.path())), expected);
    }
}

#[test]
fn a_segment_without_a_readable_record_is_reported_as_given_up() {
    let dir = small_store();
    fs::remove_file(dir.path().join("MANIFEST")).expect("exists");
    let path = segment_path(dir.path(), 2);
    let len = fs::read(&path).expect("the segment").len();
    fs::write(path, vec![0xee; len]).expect("the damage");
    let (report, findings) = verified(dir.path());
    assert!(findings.iter().any(|found| found.file == StoreFile::Segment(SegmentId(2))), "{findings:?}");
    assert!(report.damage_count >= 2, "MANIFEST and the segment: {findings:?}");
    let (_, report) = repaired(dir.path());
    let given_up: Vec<_> = report.given_up.iter().map(|part| (part.segment, part.range.clone())).collect();
    assert_eq!(given_up, [(SegmentId(2), 0..len as u64)]);
}

#[test]
fn a_hole_in_a_leftover_input_of_a_compaction_costs_only_its_own_records() {
    let dir = small_store();
    let inputs = copy_of(dir.path());
    let store = open(dir.path());
    store.compact(&Compact::All).expect("compacts");
    store.close().expect("closes");
    for (name, bytes) in files(inputs.path()) {
        if name.ends_with(".seg") && !dir.path().join(&name).exists() {
            fs::write(dir.path().join(name), bytes).expect("an input");
        }
    }
    fs::remove_file(dir.path().join("MANIFEST")).expect("exists");
    // A hole in the first input, whose numbers the output also has. The output kept only its last
    // record.
    for (id, hole) in [(1, 64..104), (4, 64..104)] {
        let path = segment_path(dir.path(), id);
        let mut bytes = fs::read(&path).expect("a segment");
        bytes[hole].fill(0xee);
        fs::write(path, bytes).expect("the damage");
    }
    let records = |report: &RepairReport| report.record_count;
    let (_, report) = repaired(dir.path());
    assert!(records(&report) >= 5, "{report:?}");
    assert!(report.given_up.iter().all(|part| part.range == (64..112)), "{report:?}");
}

#[test]
fn a_listed_segment_replaced_by_one_of_another_store_is_given_up() {
    let (dir, other) = (small_store(), scratch());
    open(other.path()).put("stranger", "in a strange land").expect("a put");
    fs::copy(segment_path(other.path(), 1), segment_path(dir.path(), 1)).expect("replaces the segment");
    let (to, report) = repaired(dir.path());
    assert!(report.given_up.iter().any(|part| part.segment == SegmentId(1)), "{report:?}");
    assert_eq!(contents(&open(to.path())).len(), 2, "two and four");
}

#[test]
fn a_manifest_is_of_this_store_if_a_segment_without_header_has_the_salt_that_it_lists() {
    let (dir, other) = (small_store(), scratch());
    let expected = contents(&open(dir.path()));
    open(other.path()).put("stranger", "in a strange land").expect("a put");
    for id in written(dir.path()).into_keys() {
        let path = segment_path(dir.path(), id);
        let mut bytes = fs::read(&path).expect("a segment");
        bytes[..64].fill(0xee);
        fs::write(path, bytes).expect("the damage");
    }
    fs::copy(segment_path(other.path(), 1), segment_path(dir.path(), 99)).expect("adds a stranger");
    let (to, report) = repaired(dir.path());
    assert_eq!(contents(&open(to.path())), expected, "{report:?}");
}

#[test]
fn an_outdated_manifest_is_detected_and_a_repair_keeps_the_segments_it_lacks() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("old", "1").expect("a put");
    store.close().expect("closes");
    let manifest = fs::read(dir.path().join("MANIFEST")).expect("MANIFEST");
    let store = open(dir.path());
    for n in 0..3 {
        store.put(format!("new {n}"), "2").expect("a put");
        store.rotate().expect("rotates");
    }
    store.put("newest", "3").expect("a put");
    let expected = contents(&store);
    store.close().expect("closes");
    fs::write(dir.path().join("MANIFEST"), manifest).expect("restores the older file");
    let before = files(dir.path());
    let opened = Store::open_with(dir.path(), quick());
    assert!(matches!(opened, Err(Error::ManifestDamaged { .. })), "{opened:?}");
    let (report, findings) = verified(dir.path());
    let newer = findings.iter().filter(|found| found.fault == Fault::Newer).count();
    assert!(!report.is_intact() && newer == 3, "{findings:?}");
    let (to, report) = repaired(dir.path());
    assert_eq!((contents(&open(to.path())), report.given_up.len()), (expected, 0), "{report:?}");
    let mut after = files(dir.path());
    after.retain(|file| before.contains(file) || file.0 != "LOCK");
    assert!(after == before, "the open removed files");
}

#[test]
fn an_unfinished_hint_of_a_dead_writer_is_only_a_note() {
    let dir = small_store();
    open(dir.path()).close().expect("closes");
    let hint = hint_path(dir.path(), 1);
    let mut bytes = fs::read(&hint).expect("a hint");
    bytes[..96].fill(0);
    fs::write(&hint, &bytes[..bytes.len() - 3]).expect("truncates the hint");
    let (report, findings) = verified(dir.path());
    assert!(report.is_intact() && findings.len() == 1, "{findings:?}");
    assert_eq!(findings[0].fault, Fault::Unfinished);
}

#[test]
fn unreadable_options_and_foreign_files_are_left_out_by_name() {
    let dir = small_store();
    std::os::unix::fs::symlink("elsewhere", dir.path().join("logkv.toml")).expect("is a link");
    fs::write(dir.path().join("notes.txt"), "mine").expect("a file");
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    let to = scratch();
    let report = logkv::repair::copy(dir.path(), to.path(), &quick(), go_on).expect("repairs");
    assert!(report.options_lost.is_some());
    assert_eq!(report.strangers, ["notes.txt"]);
    assert_eq!(report.record_count, 6);
}
