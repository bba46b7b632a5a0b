//! Damaged bytes.

use std::fs;

use logkv::{Damage, Error, Store};
use tempfile::TempDir;

use crate::common::{copy_of, open, quick, record_crc, remove_derived, scratch, segment_path, value};

/// A sealed segment of three keys, and its hint.
fn three_sealed() -> TempDir {
    let dir = scratch();
    let store = open(dir.path());
    for key in KEYS {
        store.put(key, value_of(key)).expect("a put");
    }
    store.rotate().expect("rotates");
    store.close().expect("closes");
    // Opening writes the hint.
    open(dir.path()).close().expect("closes");
    dir
}

const KEYS: [&str; 3] = ["alpha", "bravo", "charlie"];

fn value_of(key: &str) -> String {
    format!("the value of {key}")
}

#[test]
fn case_10_a_truncated_sealed_segment_reports_the_loss_and_shows_the_rest() {
    let dir = three_sealed();
    let store = open(dir.path());
    let ends = KEYS.map(|key| {
        let meta = store.get_entry(key).expect("reads").expect("exists").meta;
        meta.location.offset + meta.len
    });
    drop(store);
    let whole = fs::read(segment_path(dir.path(), 1)).expect("the segment");
    for has_hint in [true, false] {
        for len in 0..whole.len() {
            let copy = copy_of(dir.path());
            fs::write(segment_path(copy.path(), 1), &whole[..len]).expect("the cut");
            if !has_hint {
                remove_derived(copy.path());
            }
            let what = format!("cut at {len}, with a hint: {has_hint}");
            let store = open(copy.path());
            assert!(!store.open_report().damage.is_empty(), "{what}");
            for (key, end) in KEYS.into_iter().zip(ends) {
                match store.get(key) {
                    Ok(Some(found)) => assert_eq!(
                        (found.as_ref(), end <= len as u64),
                        (value_of(key).as_bytes(), true),
                        "{what}"
                    ),
                    // The hint lists the key.
                    Ok(None) => assert!(end > len as u64 && !has_hint, "{what}: {key}"),
                    Err(Error::Damaged { segment, .. }) => {
                        assert!(end > len as u64 && segment.0 == 1, "{what}: {key}");
                    }
                    Err(other) => panic!("{what}: {other}"),
                }
            }
            let shown = store.scan(..).expect("scans").flatten().count();
            assert_eq!(shown, ends.iter().filter(|&&end| end <= len as u64).count(), "{what}: no phantom");
        }
    }
}

#[test]
fn case_11_a_flipped_bit_in_a_sealed_record_costs_that_record_only() {
    let dir = three_sealed();
    let hit = open(dir.path()).get_entry("bravo").expect("reads").expect("exists").meta;
    let whole = fs::read(segment_path(dir.path(), 1)).expect("the segment");
    let record = hit.location.offset as usize..(hit.location.offset + hit.len) as usize;
    for (byte, has_hint) in record.clone().flat_map(|byte| [(byte, true), (byte, false)]) {
        let copy = copy_of(dir.path());
        let mut bytes = whole.clone();
        bytes[byte] ^= 0x40;
        fs::write(segment_path(copy.path(), 1), &bytes).expect("the damage");
        if !has_hint {
            remove_derived(copy.path());
        }
        let what = format!("byte {}, with a hint: {has_hint}", byte - record.start);
        let store = open(copy.path());
        for key in ["alpha", "charlie"] {
            assert_eq!(value(&store, key), Some(value_of(key)), "{what}");
        }
        let in_checksum_of_header = byte < record.start + 4;
        let in_value = byte >= record.start + 40;
        match store.get("bravo") {
            Ok(Some(found)) => {
                assert_eq!(found, value_of("bravo").as_bytes(), "{what}");
                assert!(has_hint && in_checksum_of_header, "{what}: a get does not read the header checksum");
            }
            Ok(None) => {
                assert!(!has_hint && !in_value, "{what}: without a hint the key is unknown");
            }
            Err(Error::Damaged { segment, offset, .. }) => {
                assert_eq!((segment.0, offset), (1, hit.location.offset), "{what}");
            }
            Err(other) => panic!("{what}: {other}"),
        }
        // With a hint, no one has read the record yet.
        let reported: Vec<_> = store.open_report().damage.iter().map(|damage| damage.at).collect();
        assert_eq!(reported, if has_hint { vec![] } else { vec![hit.location] }, "{what}");
    }
}

#[test]
fn case_11_a_bit_that_flips_under_an_open_store_is_an_error_of_its_key_wherever_it_is() {
    // With `pread`, every get reads the current file.
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().read_with(logkv::ReadWith::Pread)).expect("opens");
    for key in ["alpha", "bravo", "charlie"] {
        store.put(key, format!("the value of {key}")).expect("a put");
    }
    store.rotate().expect("rotates");
    let hit = store.get_entry("bravo").expect("reads").expect("exists").meta;
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).expect("the segment");
    // A get does not read the header checksum in the first four bytes.
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
fn case_22_a_header_that_claims_4_gib_is_damage_and_allocates_no_such_memory() {
    // The claim has a correct checksum. `pread` allocates a buffer for each read.
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
    assert_eq!(value(&store, "b").as_deref(), Some("2"), "the next record is read");
    let peak = peak_memory_kib();
    assert!(peak < 2 << 20, "{peak} KiB");
}

/// The peak memory of this process, in KiB. All tests share it, and one of them holds 64 MiB
/// values.
fn peak_memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}
