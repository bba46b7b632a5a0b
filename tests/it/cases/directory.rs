//! The directory, its files, and values that may be written.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use logkv::{Compact, Error, ManualClock, Store, Sync};

use crate::common::{files, killed, open, quick, scratch, segment_path, skipped, value};
use crate::recount::Recounted;

#[test]
fn case_12_a_clock_that_steps_back_does_not_revive_an_old_value() {
    let dir = scratch();
    let clock = Arc::new(ManualClock::at(2_000_000));
    let store = Store::open_with(dir.path(), quick().clock(clock.clone())).expect("opens");
    store.put("k", "v1").expect("a put");
    clock.set(1_000_000);
    store.put("k", "v2").expect("a put");
    assert_eq!(value(&store, "k").as_deref(), Some("v2"));
    store.close().expect("closes");
    assert_eq!(value(&open(dir.path()), "k").as_deref(), Some("v2"));
}

#[test]
fn case_13_opening_and_closing_without_a_write_changes_no_byte() {
    let names = ["empty", "closed", "sealed", "killed"];
    for (name, checkpoint) in names.into_iter().flat_map(|name| [(name, 1), (name, u64::MAX)]) {
        let dir = scratch();
        let open = |dir: &Path| {
            Store::open_with(dir, quick().checkpoint_records(checkpoint)).expect("the store opens")
        };
        let store = open(dir.path());
        if name != "empty" {
            store.put("k", "v").expect("a put");
        }
        if name == "sealed" {
            store.rotate().expect("rotates");
        }
        let dir = if name == "killed" {
            killed(store, dir.path())
        } else {
            store.close().expect("closes");
            dir
        };
        // The first open after a kill recovers. Later opens change nothing.
        open(dir.path()).close().expect("closes");
        let before = files(dir.path());
        let has_keydir = before.iter().any(|(name, _)| name == "KEYDIR");
        assert_eq!(has_keydir, name != "empty" && checkpoint == 1, "{name}");
        for _ in 0..10 {
            open(dir.path()).close().expect("closes");
            assert!(files(dir.path()) == before, "{name}, KEYDIR after {checkpoint} records");
        }
    }
}

#[test]
fn case_14_leftovers_of_dead_processes_do_not_block_an_open_and_a_live_writer_does() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "v").expect("a put");
    store.close().expect("closes");

    fs::write(segment_path(dir.path(), 99), "").expect("an empty segment");
    let store = open(dir.path());
    assert_eq!(
        store.open_report().orphans_removed.len(),
        1,
        "an empty segment with the highest id is an orphan"
    );
    drop(store);
    assert!(!segment_path(dir.path(), 99).exists());

    for lock in ["", "1\n", "not a number"] {
        fs::write(dir.path().join("LOCK"), lock).expect("a LOCK");
        assert_eq!(value(&open(dir.path()), "k").as_deref(), Some("v"), "LOCK with {lock:?}");
    }

    let living = open(dir.path());
    match Store::open_with(dir.path(), quick()) {
        Err(Error::Locked { pid }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("a second writer was not refused: {other:?}"),
    }
    let beside = Store::open_with(dir.path(), quick().read_only(true)).expect("opens beside the writer");
    assert_eq!(value(&beside, "k").as_deref(), Some("v"));
    drop(living);
    open(dir.path());
}

#[test]
fn case_15_values_of_every_kind_read_back_after_recovery_and_compaction() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("first", "so that there is a segment").expect("a put");
    store.rotate().expect("rotates");
    let whole_segment = fs::read(segment_path(dir.path(), 1)).expect("the segment");
    let values: [(&str, Vec<u8>); 5] = [
        ("empty", Vec::new()),
        ("zeros", vec![0; 10_000]),
        ("a segment of this store", whole_segment.repeat(3)),
        ("every byte", (0..=255).collect()),
        ("64 MiB", vec![0xa5; 64 << 20]),
    ];
    for (key, bytes) in &values {
        store.put(key, bytes).expect("a put");
    }
    let check = |store: &Store, when: &str| {
        for (key, bytes) in &values {
            assert!(store.get(key).expect("reads").expect("exists") == **bytes, "{key} {when}");
        }
    };
    check(&store, "in the store that wrote it");
    let crashed = killed(store, dir.path());
    check(&open(crashed.path()), "after a kill");
    let store = open(dir.path());
    check(&store, "after a clean close");
    let all: Vec<_> = store.segments().expect("segments").iter().map(|segment| segment.id).collect();
    store.rotate().expect("rotates");
    let report = store.compact_recounted(&Compact::Segments(all.clone())).expect("compacts");
    let compacted: Vec<_> = report.runs.into_iter().flat_map(|run| run.inputs).collect();
    assert_eq!(compacted, all, "compaction copied every value");
    check(&store, "after compaction");
    store.close().expect("closes");
    check(&open(dir.path()), "after compaction and reopening");
}

#[test]
fn case_21_oversized_lengths_are_refused_before_anything_is_written() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().value_len_max(1000)).expect("opens");
    let before = files(dir.path());
    for (key_len, value_len) in [(0, 1), (65_536, 1), (1, 1001)] {
        assert!(store.put(vec![b'k'; key_len], vec![b'v'; value_len]).is_err());
    }
    assert_eq!(files(dir.path()), before, "no segment was made");
}

fn refused(path: &Path) -> Error {
    Store::open_with(path, quick()).map(|_| ()).expect_err("is refused")
}

#[test]
fn case_24_a_path_that_is_no_store_is_refused_in_one_sentence_and_unchanged() {
    let dir = scratch();
    let file = dir.path().join("file");
    fs::write(&file, "text").expect("a file");
    assert!(refused(&file).sentence().ends_with("is not a logkv store: it is a file"));

    let link = dir.path().join("loop");
    symlink(&link, &link).expect("a loop");
    assert!(
        refused(&link).sentence().contains("too many levels of symbolic links")
            || refused(&link).sentence().contains("Too many levels")
    );

    let dangling = dir.path().join("dangling");
    symlink(dir.path().join("nowhere"), &dangling).expect("is a link");
    assert!(refused(&dangling).sentence().contains("it is a dangling symbolic link"));

    let full = dir.path().join("full");
    fs::create_dir(&full).expect("a directory");
    fs::write(full.join("holiday.jpg"), "a picture").expect("a file");
    assert!(refused(&full).sentence().contains("it holds other files (holiday.jpg) and no MANIFEST"));
    assert_eq!(files(&full).len(), 1, "a file was added");

    let open_to_all = dir.path().join("open");
    fs::create_dir(&open_to_all).expect("a directory");
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o777)).expect("permissions");
    assert!(matches!(refused(&open_to_all), Error::Untrusted { .. }));
    assert_eq!(files(&open_to_all).len(), 0);
    Store::open_with(&open_to_all, quick().trust(true)).expect("opens with trust");

    let headless = dir.path().join("headless");
    fs::create_dir(&headless).expect("a directory");
    fs::write(segment_path(&headless, 1), "a segment without its MANIFEST").expect("a file");
    assert!(matches!(refused(&headless), Error::ManifestDamaged { .. }));
    assert_eq!(files(&headless).len(), 1);
}

#[test]
fn case_24_the_directory_of_another_user_is_refused_unless_trusted() {
    let dir = scratch();
    if std::os::unix::fs::chown(dir.path(), Some(12_345), None).is_err() {
        skipped("the directory of another user", "giving a directory away needs root");
        return;
    }
    assert!(matches!(refused(dir.path()), Error::Untrusted { .. }));
    assert_eq!(files(dir.path()).len(), 0, "a file was made in it");
    Store::open_with(dir.path(), quick().trust(true).sync(Sync::Never)).expect("opens with trust");
}
