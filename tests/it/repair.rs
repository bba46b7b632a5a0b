//! `logkv::repair` keeps every intact record and reports the rest.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use logkv::inspect::{self, Item, Range};
use logkv::repair::{self, Now, Reason, RepairReport};
use logkv::verify::Fault;
use logkv::{Batch, Compact, Damage, Error, SegmentId, Store};
use tempfile::TempDir;

use crate::common::{
    contents, copy_of, files, killed, log_files, open, quick, remove_derived, scratch, segment_path,
    small_store, unclosed_store,
};
use crate::recount::Recounted;
use crate::salvage::{map_of, survivors, written};
use crate::verify::verified;

/// Repairs the store at `dir` into a new directory, and verifies the result.
pub(crate) fn repaired(dir: &Path) -> (TempDir, RepairReport) {
    let to = scratch();
    let before = files(dir);
    let report = repair::copy(dir, to.path(), &quick(), &mut |_| ControlFlow::Continue(()))
        .unwrap_or_else(|error| panic!("{}", error.sentence()));
    assert!(files(dir) == before, "the repair changed the damaged store");
    let (verdict, findings) = verified(to.path());
    assert!(verdict.is_intact(), "{findings:?} {report:?}");
    (to, report)
}

#[test]
fn a_repair_copies_an_intact_store_byte_for_byte() {
    let dir = small_store();
    let (to, report) = repaired(dir.path());
    let segments = |dir: &Path| {
        log_files(dir).into_iter().filter(|(name, _)| name.ends_with(".seg")).collect::<Vec<_>>()
    };
    assert_eq!(segments(to.path()), segments(dir.path()));
    assert_eq!((report.copied.len(), report.record_count, report.given_up.len()), (3, 6, 0));
    let store = open(to.path());
    assert_eq!(contents(&store), contents(&open(dir.path())));
    let commit = store.put("after", "repair").expect("a put");
    assert!(commit.last.0 > 6, "a number was reused");
}

#[test]
fn a_changed_byte_costs_only_its_record() {
    let with_hints = small_store();
    open(with_hints.path()).close().expect("closes");
    let without = copy_of(with_hints.path());
    remove_derived(without.path());
    let records = written(with_hints.path());
    for (dir, has_hints) in [(with_hints, true), (without, false)] {
        for id in 1..=3 {
            let others =
                || records.iter().filter(|(other, _)| **other != id).flat_map(|(_, records)| records);
            let len = fs::read(segment_path(dir.path(), id)).expect("the segment").len();
            for at in 0..len {
                let copy = copy_of(dir.path());
                let path = segment_path(copy.path(), id);
                let mut bytes = fs::read(&path).expect("the segment");
                bytes[at] ^= 0x41;
                let left = survivors(&records[&id], &bytes);
                fs::write(&path, &bytes).expect("the damage");
                let (to, report) = repaired(copy.path());
                let what = format!("segment {id} byte {at}: {report:?}");
                assert_eq!(
                    contents(&open(to.path())),
                    map_of(others().chain(left.iter().copied())),
                    "{what}"
                );
                assert_eq!(report.record_count, (others().count() + left.len()) as u64, "{what}");
                match &report.given_up[..] {
                    // A record's header checksum, or a segment header.
                    [] => assert_eq!(left.len(), records[&id].len(), "{what}"),
                    [one] => {
                        assert!(one.range.contains(&(at as u64)) && one.segment == SegmentId(id), "{what}");
                        assert_eq!(one.seqs.end.0 - one.seqs.start.0, 1, "{what}");
                        // An intact header or a hint identifies the key of the record.
                        let is_header = matches!(at as u64 - one.range.start, 8..32);
                        let is_known = (has_hints && id < 3) || !is_header;
                        assert_eq!(one.lost.len(), usize::from(is_known), "{what}");
                    }
                    _ => panic!("{what}"),
                }
            }
        }
    }
}

#[test]
fn a_key_that_lost_its_newest_record_is_reported_as_older_as_gone_or_as_unaffected() {
    let dir = small_store();
    open(dir.path()).close().expect("closes");
    // The last byte of a record is in its value or its padding.
    let now_of = |id: u64, record: u64| {
        let copy = copy_of(dir.path());
        let inspection = inspect::segment(copy.path(), &quick(), SegmentId(id)).expect("the segment");
        let item = inspection.items(Range { record: Some(record), ..Range::default() }).next();
        let Some(Ok(Item::Record(item))) = item else { panic!("no such record") };
        let path = segment_path(copy.path(), id);
        let mut bytes = fs::read(&path).expect("the segment");
        bytes[(item.location.offset + item.len - 1) as usize] ^= 1;
        fs::write(&path, bytes).expect("the damage");
        let (_, report) = repaired(copy.path());
        let lost = &report.given_up[0].lost[0];
        assert_eq!(lost.key.as_deref(), Some(&item.key[..]));
        (lost.now, lost.is_delete)
    };
    assert_eq!(now_of(1, 0), (Now::Absent, false), "one");
    let Now::Newer(newer) = now_of(1, 1).0 else { panic!("two was written again") };
    assert_eq!(newer.0, 4);
    let Now::Older(older) = now_of(2, 0).0 else { panic!("two had another value") };
    assert_eq!(older.0, 2);
    let (Now::Older(undone), true) = now_of(2, 1) else { panic!("the delete of three") };
    assert_eq!(undone.0, 3);
}

#[test]
fn without_manifest_a_repair_orders_the_segments_by_their_headers() {
    let dir = small_store();
    let expected = contents(&open(dir.path()));
    for manifest in [None, Some(&b"garbage"[..])] {
        let copy = copy_of(dir.path());
        let path = copy.path().join("MANIFEST");
        match manifest {
            None => fs::remove_file(path).expect("exists"),
            Some(bytes) => fs::write(path, bytes).expect("the damage"),
        }
        assert!(Store::open_with(copy.path(), quick()).is_err());
        let (to, report) = repaired(copy.path());
        assert!(report.manifest_lost.is_some() && report.given_up.is_empty());
        assert_eq!(contents(&open(to.path())), expected);
    }
}

#[test]
fn records_in_two_segments_are_kept_once_in_the_order_of_their_numbers() {
    let dir = small_store();
    let inputs = copy_of(dir.path());
    let store = open(dir.path());
    let expected = contents(&store);
    store.compact_recounted(&Compact::All).expect("compacts");
    store.close().expect("closes");
    // As after a crash between the new MANIFEST and the removal of the inputs, with MANIFEST lost.
    for (name, bytes) in files(inputs.path()) {
        if name.ends_with(".seg") && !dir.path().join(&name).exists() {
            fs::write(dir.path().join(name), bytes).expect("an input");
        }
    }
    fs::remove_file(dir.path().join("MANIFEST")).expect("exists");
    let (to, report) = repaired(dir.path());
    assert!(report.duplicate_count > 0, "{report:?}");
    assert_eq!(contents(&open(to.path())), expected);
}

#[test]
fn a_missing_segment_is_given_up_by_name_and_its_hint_identifies_its_keys() {
    let dir = small_store();
    open(dir.path()).close().expect("closes");
    fs::remove_file(segment_path(dir.path(), 2)).expect("exists");
    assert!(Store::open_with(dir.path(), quick()).is_err());
    let (to, report) = repaired(dir.path());
    let [given_up] = &report.given_up[..] else { panic!("{report:?}") };
    assert_eq!((given_up.segment, &given_up.reason), (SegmentId(2), &Reason::Missing));
    assert_eq!(given_up.lost.len(), 2);
    let store = open(to.path());
    assert_eq!(store.get("two").expect("reads").as_deref(), Some(&b"22"[..]), "the older value");
    assert_eq!(store.get("three").expect("reads").as_deref(), Some(&b"333"[..]), "its delete is lost");
}

#[test]
fn an_overwritten_segment_is_given_up_and_a_renamed_one_is_kept() {
    let dir = small_store();
    open(dir.path()).close().expect("closes");
    let [first, second] = [1, 2].map(|id| segment_path(dir.path(), id));
    let of_first = fs::read(&first).expect("a segment");
    let of_second = fs::read(&second).expect("a segment");
    fs::write(&second, &of_first).expect("is overwritten");
    let (_, report) = repaired(dir.path());
    let [given_up] = &report.given_up[..] else { panic!("{report:?}") };
    assert_eq!(
        (given_up.segment, &given_up.reason, given_up.lost.len()),
        (SegmentId(2), &Reason::Replaced, 2)
    );
    assert!(!report.is_whole());
    fs::write(&first, &of_second).expect("exchanges the names");
    let (_, report) = repaired(dir.path());
    assert_eq!(report.given_up, []);
}

#[test]
fn a_damaged_log_that_refuses_a_writer_accepts_one_after_a_repair() {
    let dir = unclosed_store();
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[70] ^= 1;
    bytes.extend([1; 13]);
    fs::write(&path, bytes).expect("the damage");
    assert!(matches!(Store::open_with(dir.path(), quick()), Err(Error::Rot { .. })));
    let (to, report) = repaired(dir.path());
    assert_eq!((report.given_up.len(), report.torn_len), (1, 13));
    assert_eq!(open(to.path()).len(), 4);
}

#[test]
fn intact_records_after_an_unprovable_hole_are_reported_by_verify_and_open_and_kept_by_repair() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick()).expect("opens");
    for n in 0..5 {
        store.put(format!("key {n}"), "value").expect("a put");
    }
    store.write(Batch::new().put("begun", "1").put("half of it", "2")).expect("a batch");
    let dir = killed(store, dir.path());
    let path = segment_path(dir.path(), 1);
    let items = || {
        let segment = inspect::segment(dir.path(), &quick(), SegmentId(1)).expect("a segment");
        segment.items(Range::default()).map(|item| item.expect("an item")).collect::<Vec<_>>()
    };
    let place = |item: &Item| match item {
        Item::Record(record) => record.location.offset as usize,
        other => panic!("{other:?}"),
    };
    let places: Vec<_> = items().iter().map(place).collect();
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[places[1] + 40] ^= 1;
    bytes.truncate(places[6]);
    fs::write(&path, bytes).expect("the damage");
    let (report, findings) = verified(dir.path());
    let faults: Vec<_> = findings.iter().map(|finding| &finding.fault).collect();
    assert_eq!((faults, report.damage_count), (vec![&Fault::TornBefore { intact_count: 3 }], 1));
    let last = items().pop().expect("an item");
    let is_told =
        matches!(last, Item::Torn { damage: Damage::RecordChecksum { .. }, records: 0, behind: 3, .. });
    assert!(is_told, "{last:?}");
    let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
    assert_eq!(reader.open_report().torn.map(|torn| torn.intact_count), Some(3));
    let (to, report) = repaired(dir.path());
    assert_eq!((open(to.path()).len(), report.given_up.len()), (4, 1));
    let store = Store::open_with(dir.path(), quick()).expect("opens");
    let torn = store.open_report().torn.expect("was truncated");
    assert_eq!((store.len(), torn.at.offset, torn.intact_count), (1, places[1] as u64, 3));
}

#[test]
fn a_repair_in_place_keeps_the_damaged_store_under_another_name() {
    let dir = scratch();
    let (path, aside) = (dir.path().join("store"), dir.path().join("store.damaged"));
    fs::rename(copy_of(small_store().path()).keep(), &path).expect("a store");
    let segment = segment_path(&path, 1);
    let mut bytes = fs::read(&segment).expect("the segment");
    bytes[80] ^= 1;
    fs::write(segment, bytes).expect("the damage");
    fs::write(path.join("logkv.toml"), "sync = \"never\"\n").expect("options");
    let damaged = log_files(&path);
    let go_on = &mut |_| ControlFlow::Continue(());
    let report = repair::in_place(&path, &aside, &quick(), go_on).expect("repairs");
    assert_eq!(report.given_up.len(), 1);
    let mut old = log_files(&aside);
    old.retain(|(name, _)| name != "LOCK");
    assert!(damaged.iter().filter(|(name, _)| name != "LOCK").eq(&old));
    assert!(path.join("logkv.toml").exists());
    assert_eq!(open(&path).len(), 2, "two and four");
    let again = repair::in_place(&path, &aside, &quick(), go_on);
    assert!(matches!(again, Err(Error::Io { .. })), "the kept store was overwritten");
}

#[test]
fn a_repair_that_fails_or_is_cancelled_leaves_nothing() {
    let dir = small_store();
    let base = scratch();
    let to = base.path().join("new");
    let report = repair::copy(dir.path(), &to, &quick(), &mut |_| ControlFlow::Break(()));
    assert!(matches!(report, Err(Error::Cancelled)) && !to.exists(), "{report:?}");

    let store = open(dir.path());
    let go_on = &mut |_| ControlFlow::Continue(());
    assert!(matches!(repair::copy(dir.path(), &to, &quick(), go_on), Err(Error::Locked { .. })));
    store.close().expect("closes");
    let onto_itself = repair::copy(dir.path(), dir.path(), &quick(), go_on);
    assert!(matches!(onto_itself, Err(Error::Io { .. })), "{onto_itself:?}");
    let nothing = repair::copy(base.path(), &to, &quick(), go_on);
    assert!(matches!(nothing, Err(Error::Missing { .. })), "{nothing:?}");
    assert!(!to.exists());
}

#[test]
fn a_manifest_of_another_store_is_ignored_and_the_segments_are_used() {
    let (dir, other) = (small_store(), small_store());
    let expected = contents(&open(dir.path()));
    fs::copy(other.path().join("MANIFEST"), dir.path().join("MANIFEST")).expect("a copy");
    assert!(!verified(dir.path()).0.is_intact());
    let (to, report) = repaired(dir.path());
    assert!(report.manifest_lost.is_some() && report.given_up.is_empty() && !report.is_whole());
    assert_eq!(contents(&open(to.path())), expected);
}

#[test]
fn without_manifest_the_numbers_of_a_missing_segment_are_reported() {
    let dir = small_store();
    for gone in [dir.path().join("MANIFEST"), segment_path(dir.path(), 2)] {
        fs::remove_file(gone).expect("exists");
    }
    let (_, report) = repaired(dir.path());
    let [gap] = &report.gaps[..] else { panic!("{report:?}") };
    assert_eq!((gap.start.0, gap.end.0, report.is_whole()), (4, 6, false));
}

#[test]
fn a_segment_that_cannot_be_opened_costs_only_itself() {
    let dir = small_store();
    let path = segment_path(dir.path(), 2);
    fs::remove_file(&path).expect("exists");
    fs::create_dir(&path).expect("a directory");
    let to = scratch();
    let report = repair::copy(dir.path(), to.path(), &quick(), &mut |_| ControlFlow::Continue(()));
    let report = report.unwrap_or_else(|error| panic!("{}", error.sentence()));
    let [given_up] = &report.given_up[..] else { panic!("{report:?}") };
    assert!(matches!(given_up.reason, Reason::Unreadable(_)), "{report:?}");
    assert_eq!(open(to.path()).len(), 4, "one, two, three and four");
}

/// Changes a byte of segment `id` of the store in `dir`.
fn change(dir: &Path, id: u64, at: usize) {
    let path = segment_path(dir, id);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("the damage");
}

/// The numbers and keys of the records of the store at `dir`, in log order.
fn numbered_keys(dir: &Path) -> Vec<(u64, Vec<u8>)> {
    let store = open(dir);
    let segments = store.segments().expect("segments");
    let mut found = Vec::new();
    for segment in segments {
        let inspection = store.inspect(segment.id).expect("inspects");
        for item in inspection.items(Range::default()) {
            if let Item::Record(record) = item.expect("reads") {
                found.push((record.seq.0, record.key.to_vec()));
            }
        }
    }
    found
}

#[test]
fn salvaged_records_keep_their_numbers_and_their_order() {
    let dir = small_store();
    let mut expected = numbered_keys(copy_of(dir.path()).path());
    change(dir.path(), 1, 64 + 32);
    let (to, report) = repaired(dir.path());
    assert_eq!(report.given_up.len(), 1, "{report:?}");
    expected.remove(0);
    assert_eq!(numbered_keys(to.path()), expected);
}

#[test]
fn a_batch_that_lost_any_part_is_reported_as_split() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("alone", "0").expect("a put");
    store.write(Batch::new().put("a", "1").put("b", "2").put("c", "3")).expect("a batch");
    store.rotate().expect("rotates");
    store.close().expect("closes");
    // Each record has 48 bytes. The first record is in no batch.
    for (number, is_split) in [(0, false), (1, true), (2, true), (3, true)] {
        let copy = copy_of(dir.path());
        change(copy.path(), 1, 64 + number * 48 + 33);
        let (_, report) = repaired(copy.path());
        let splits: Vec<_> = report.given_up.iter().map(|part| part.splits_batch).collect();
        assert_eq!(splits, [is_split], "record {number}: {report:?}");
    }
}

/// A directory with a damaged store `store`.
fn with_damaged() -> (TempDir, std::path::PathBuf) {
    let dir = scratch();
    let path = dir.path().join("store");
    fs::rename(copy_of(small_store().path()).keep(), &path).expect("a store");
    change(&path, 1, 80);
    (dir, path)
}

#[test]
fn a_directory_that_only_looks_like_a_killed_repair_stays() {
    let go_on = &mut |_| ControlFlow::Continue(());
    // A copied store, a regular file, and a directory with a user's file.
    let (dir, path) = with_damaged();
    let (making, aside) = (dir.path().join("store.repairing"), dir.path().join("store.damaged"));
    let plants: [&dyn Fn(); 3] = [
        &|| {
            fs::rename(copy_of(&path).keep(), &making).expect("a copy");
            drop(fs::remove_file(making.join("LOCK")));
        },
        &|| fs::write(&making, "text").expect("a file"),
        &|| {
            fs::create_dir(&making).expect("a directory");
            fs::write(making.join("LOCK"), "an unfinished repair\n").expect("a mark");
            fs::write(making.join("holiday.jpg"), "a picture").expect("a foreign file");
        },
    ];
    for plant in plants {
        plant();
        let before = |path: &Path| if path.is_dir() { files(path) } else { Vec::new() };
        let (old, other) = (log_files(&path), before(&making));
        let refused = repair::in_place(&path, &aside, &quick(), go_on).expect_err("the name is taken");
        assert!(refused.sentence().contains("store.repairing: it exists"), "{}", refused.sentence());
        let mut now = log_files(&path);
        now.retain(|file| old.contains(file) || file.0 != "LOCK");
        assert!(now == old && before(&making) == other && !aside.exists());
        if making.is_dir() {
            fs::remove_dir_all(&making).expect("has permission");
        } else {
            fs::remove_file(&making).expect("has permission");
        }
    }
}

#[test]
fn a_repair_to_another_directory_creates_no_lock_file_and_respects_an_existing_lock() {
    let (dir, path) = with_damaged();
    drop(fs::remove_file(path.join("LOCK")));
    let before = files(&path);
    let go_on = &mut |_| ControlFlow::Continue(());
    repair::copy(&path, &dir.path().join("new"), &quick(), go_on).expect("repairs");
    assert!(files(&path) == before && !path.join("LOCK").exists());
    let lock = fs::File::create(path.join("LOCK")).expect("a lock");
    lock.lock().expect("the lock is free");
    let refused = repair::copy(&path, &dir.path().join("newer"), &quick(), go_on);
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    assert!(!dir.path().join("newer").exists());
}
