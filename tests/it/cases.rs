//! Sequences that stores of this kind have got wrong before, by their number in the list of cases.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use crate::common::{copy_of, files, killed, open, quick, record_crc, scratch, segment_path, value};
use logkv::{Batch, Damage, Error, ManualClock, Options, Store, Sync};
use tempfile::TempDir;

/// A store that a killed process left with 128 keys in its active segment, all durable, and that segment's length.
fn with_128_keys() -> (TempDir, usize) {
    let dir = scratch();
    let store = Store::open_with(dir.path(), Options::new()).expect("opens");
    let mut batch = Batch::new();
    for n in 0..127 {
        batch.put(format!("key{n}"), format!("value{n}"));
    }
    store.write(&batch).expect("a batch");
    // By itself, so that it says that the 127 were durable.
    store.put("key127", "value127").expect("a put");
    let dir = killed(store, dir.path());
    let len = fs::read(segment_path(dir.path(), 1)).expect("the segment").len();
    (dir, len)
}

fn assert_128_keys(store: &Store, what: &str) {
    for n in 0..128 {
        assert_eq!(value(store, &format!("key{n}")), Some(format!("value{n}")), "{what}");
    }
}

#[test]
fn case_08_whatever_a_crash_leaves_behind_the_last_record_costs_nothing_before_it() {
    let whole_record = {
        let dir = scratch();
        let store = open(dir.path());
        store.put("torn", "a value of a torn record").expect("a put");
        store.close().expect("closes");
        fs::read(segment_path(dir.path(), 1)).expect("the segment")[64..].to_vec()
    };
    let mut wrong_checksum = whole_record.clone();
    wrong_checksum[40] ^= 1;
    let mut bad_then_good = wrong_checksum.clone();
    bad_then_good.extend_from_slice(&whole_record);
    let tails: [(&str, &[u8]); 7] = [
        ("zeros", &[0; 4096]),
        ("half a header", &whole_record[..16]),
        ("a header only", &whole_record[..32]),
        ("header and key", &whole_record[..40]),
        ("all but the last byte", &whole_record[..whole_record.len() - 1]),
        ("a wrong checksum", &wrong_checksum),
        ("a bad record, then one of another place", &bad_then_good),
    ];
    for (what, tail) in tails {
        let (dir, len) = with_128_keys();
        let path = segment_path(dir.path(), 1);
        let mut bytes = fs::read(&path).expect("the segment");
        bytes.extend_from_slice(tail);
        fs::write(&path, bytes).expect("the tail");
        for round in 0..2 {
            let store = open(dir.path());
            assert_128_keys(&store, what);
            let torn = store.open_report().torn;
            assert_eq!(torn.map(|torn| torn.len), (round == 0).then_some(tail.len() as u64), "{what}");
            assert_eq!(store.open_report().damage, [], "{what}");
        }
        assert_eq!(
            fs::read(&path).expect("the segment").len(),
            len,
            "{what}: cut where the last record ends"
        );
        let store = open(dir.path());
        let commit = store.put("new", "after the crash").expect("a put");
        assert!(commit.last.0 > 128, "{what}: no number is given out twice");
        store.close().expect("closes");
        let store = open(dir.path());
        assert_128_keys(&store, what);
        assert_eq!(value(&store, "new").as_deref(), Some("after the crash"), "{what}");
    }
}

#[test]
fn case_11_a_flipped_bit_in_a_sealed_record_costs_that_record_alone() {
    let dir = scratch();
    let store = open(dir.path());
    let keys = ["alpha", "bravo", "charlie"];
    for key in keys {
        store.put(key, format!("the value of {key}")).expect("a put");
    }
    store.rotate().expect("rotates");
    let hit = store.get_entry("bravo").expect("reads").expect("is there").meta;
    store.close().expect("closes");
    let whole = fs::read(segment_path(dir.path(), 1)).expect("the segment");
    let record = hit.location.offset as usize..(hit.location.offset + hit.len) as usize;
    for byte in record.clone() {
        let copy = copy_of(dir.path());
        let mut bytes = whole.clone();
        bytes[byte] ^= 0x40;
        fs::write(segment_path(copy.path(), 1), &bytes).expect("the damage");
        let store = open(copy.path());
        for key in ["alpha", "charlie"] {
            assert_eq!(value(&store, key), Some(format!("the value of {key}")), "byte {byte}");
        }
        let bravo = store.get("bravo");
        let in_value = byte >= record.start + 40;
        match bravo {
            Ok(None) => assert!(!in_value, "byte {byte}: its key cannot be told without its own bytes"),
            Ok(Some(wrong)) => panic!("byte {byte}: {wrong:?} was given out"),
            Err(Error::Damaged { segment, offset, .. }) => {
                assert_eq!((segment.0, offset), (1, hit.location.offset), "byte {byte}");
            }
            Err(other) => panic!("byte {byte}: {other}"),
        }
        let told = &store.open_report().damage;
        assert_eq!(told.len(), 1, "byte {byte}: told once, when it is met");
        assert_eq!(told[0].at, hit.location, "byte {byte}");
    }
}

#[test]
fn case_11_a_bit_that_flips_under_an_open_store_is_an_error_of_that_key_wherever_it_is() {
    // With `pread` every get sees the file as it is now.
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().read_with(logkv::ReadWith::Pread)).expect("opens");
    for key in ["alpha", "bravo", "charlie"] {
        store.put(key, format!("the value of {key}")).expect("a put");
    }
    store.rotate().expect("rotates");
    let hit = store.get_entry("bravo").expect("reads").expect("is there").meta;
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).expect("the segment");
    // The first four bytes are the header's own checksum, which a get does not need.
    for byte in hit.location.offset + 4..hit.location.offset + hit.len {
        let mut bytes = whole.clone();
        bytes[byte as usize] ^= 0x10;
        fs::write(&path, &bytes).expect("the damage");
        let damaged = store.get("bravo");
        assert!(matches!(damaged, Err(Error::Damaged { .. })), "byte {byte}: {damaged:?}");
        assert_eq!(value(&store, "alpha").as_deref(), Some("the value of alpha"));
        assert_eq!(value(&store, "charlie").as_deref(), Some("the value of charlie"));
    }
}

#[test]
fn case_12_a_clock_that_steps_back_does_not_bring_an_old_value_back() {
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
    for name in ["empty", "closed", "sealed", "killed"] {
        let dir = scratch();
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
        // The first open after a kill has something to do; from then on there is nothing.
        open(dir.path()).close().expect("closes");
        let before = files(dir.path());
        for _ in 0..10 {
            open(dir.path()).close().expect("closes");
            assert_eq!(files(dir.path()), before, "{name}");
        }
    }
}

#[test]
fn case_14_leftovers_of_other_processes_do_not_stop_an_open_and_a_living_writer_does() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "v").expect("a put");
    store.close().expect("closes");

    fs::write(segment_path(dir.path(), 99), "").expect("an empty segment");
    let store = open(dir.path());
    assert_eq!(
        store.open_report().orphans_removed.len(),
        1,
        "an empty segment of the highest id is an orphan"
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
    let beside =
        Store::open_with(dir.path(), quick().read_only(true)).expect("a reader goes beside a writer");
    assert_eq!(value(&beside, "k").as_deref(), Some("v"));
    drop(living);
    open(dir.path());
}

#[test]
fn case_15_values_of_every_kind_come_back_exactly_also_through_recovery() {
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
            assert!(store.get(key).expect("reads").expect("is there") == **bytes, "{key} {when}");
        }
    };
    check(&store, "in the store that wrote it");
    let crashed = killed(store, dir.path());
    check(&open(crashed.path()), "after a kill");
    check(&open(dir.path()), "after a clean close");
}

#[test]
fn case_18_a_batch_that_is_cut_anywhere_is_not_there_at_all() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("before", "kept").expect("a put");
    let start = fs::read(segment_path(dir.path(), 1)).expect("the segment").len();
    let mut batch = Batch::new();
    batch.put("a", "1").put("b", "2").delete("before");
    store.write(&batch).expect("a batch");
    let dir = killed(store, dir.path());
    let whole = fs::read(segment_path(dir.path(), 1)).expect("the segment");
    for len in start..=whole.len() {
        let copy = copy_of(dir.path());
        fs::write(segment_path(copy.path(), 1), &whole[..len]).expect("the cut");
        let is_whole = len == whole.len();
        // A reader first: it must not show what the writer will cut off.
        for options in [quick().read_only(true), quick()] {
            let store = Store::open_with(copy.path(), options).expect("opens");
            assert_eq!(value(&store, "before").is_some(), !is_whole, "cut at {len}");
            assert_eq!(value(&store, "a").is_some(), is_whole, "cut at {len}");
            assert_eq!(value(&store, "b").is_some(), is_whole, "cut at {len}");
        }
    }
}

#[test]
fn case_21_lengths_that_cannot_be_are_refused_before_anything_is_written() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().value_len_max(1000)).expect("opens");
    let before = files(dir.path());
    for (key_len, value_len) in [(0, 1), (65_536, 1), (1, 1001)] {
        assert!(store.put(vec![b'k'; key_len], vec![b'v'; value_len]).is_err());
    }
    assert_eq!(files(dir.path()), before, "not even a segment was made");
}

#[test]
fn case_22_a_header_that_claims_4_gib_is_damage_and_nothing_of_that_size_is_allocated() {
    // The claim is under a right checksum, as a liar would write it. Reading goes through `pread`, which allocates.
    let dir = scratch();
    let store = open(dir.path());
    store.put("a", "1").expect("a put");
    store.put("b", "2").expect("a put");
    store.rotate().expect("rotates");
    store.close().expect("closes");
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    let salt = bytes[56..60].to_vec();
    let at = 64;
    bytes[at + 24..at + 28].copy_from_slice(&u32::MAX.to_le_bytes());
    let hcrc = record_crc(&salt, at, &bytes[at + 8..at + 32]);
    bytes[at..at + 4].copy_from_slice(&hcrc);
    fs::write(&path, bytes).expect("the claim");
    let options = quick().read_with(logkv::ReadWith::Pread);
    let store = Store::open_with(dir.path(), options).expect("opens");
    let damage = &store.open_report().damage;
    assert!(matches!(damage[0].damage, Damage::Truncated { wants: 4_294_967_336, .. }), "{damage:?}");
    assert_eq!(value(&store, "b").as_deref(), Some("2"), "what follows is read");
    let peak = peak_memory_kib();
    assert!(peak < 2 << 20, "{peak} KiB");
}

/// The most memory this process ever had, in KiB. All tests of this program share it, and one of them holds 64 MiB values.
fn peak_memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn refused(path: &Path) -> Error {
    Store::open_with(path, quick()).map(|_| ()).expect_err("must be refused")
}

#[test]
fn case_24_what_is_no_store_is_refused_with_a_sentence_and_not_touched() {
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
    symlink(dir.path().join("nowhere"), &dangling).expect("a link");
    assert!(matches!(refused(&dangling), Error::Io { .. }));

    let full = dir.path().join("full");
    fs::create_dir(&full).expect("a directory");
    fs::write(full.join("holiday.jpg"), "a picture").expect("a file");
    assert!(refused(&full).sentence().contains("it holds other files (holiday.jpg) and no MANIFEST"));
    assert_eq!(files(&full).len(), 1, "nothing was added");

    let open_to_all = dir.path().join("open");
    fs::create_dir(&open_to_all).expect("a directory");
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o777)).expect("permissions");
    assert!(matches!(refused(&open_to_all), Error::Untrusted { .. }));
    assert_eq!(files(&open_to_all).len(), 0);
    Store::open_with(&open_to_all, quick().trust(true)).expect("opens when it is trusted");

    let headless = dir.path().join("headless");
    fs::create_dir(&headless).expect("a directory");
    fs::write(segment_path(&headless, 1), "a segment without its MANIFEST").expect("a file");
    assert!(matches!(refused(&headless), Error::ManifestDamaged { .. }));
    assert_eq!(files(&headless).len(), 1);
}

#[test]
fn case_24_another_users_directory_is_refused_unless_it_is_trusted() {
    let dir = scratch();
    if std::os::unix::fs::chown(dir.path(), Some(12_345), None).is_err() {
        eprintln!("SKIPPED: giving a directory away needs root");
        return;
    }
    assert!(matches!(refused(dir.path()), Error::Untrusted { .. }));
    assert_eq!(files(dir.path()).len(), 0, "nothing was made in it");
    Store::open_with(dir.path(), quick().trust(true).sync(Sync::Never)).expect("opens when it is trusted");
}
