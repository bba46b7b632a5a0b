//! Small stores with every byte damaged: never a panic, never a wrong value, never more lost than what was hit.

use std::fs;

use crate::common::{copy_of, open, quick, rewrite_manifest, scratch, segment_path, small_store};
use logkv::{Error, Store};

const EXPECTED: [(&str, Option<&str>); 4] =
    [("one", Some("1")), ("two", Some("twenty-two")), ("three", None), ("four", Some("4444"))];

#[test]
fn a_damaged_byte_of_any_segment_never_gives_a_wrong_value_and_costs_at_most_one_key() {
    let dir = small_store();
    for id in 1..=3 {
        let whole = fs::read(segment_path(dir.path(), id)).expect("the segment");
        for at in 0..whole.len() {
            for mask in [0x01, 0x80, 0xff] {
                let copy = copy_of(dir.path());
                let mut bytes = whole.clone();
                bytes[at] ^= mask;
                fs::write(segment_path(copy.path(), id), &bytes).expect("the damage");
                let store = match Store::open_with(copy.path(), quick()) {
                    Ok(store) => store,
                    Err(error) => panic!("segment {id} byte {at}: {}", error.sentence()),
                };
                assert!(!store.open_report().damage.is_empty(), "segment {id} byte {at}: told");
                let mut hit = 0;
                for (key, expected) in EXPECTED {
                    match store.get(key) {
                        Ok(value) if value.as_deref() == expected.map(str::as_bytes) => {}
                        Ok(Some(value)) => {
                            // Without a hint nothing says which key a record whose key is damaged belongs to: the
                            // record before it shows. It is a value that the key once had, and the damage is told.
                            assert!(
                                ["22", "333"].map(str::as_bytes).contains(&&*value),
                                "segment {id} byte {at}: {key} = {value:?}"
                            );
                            hit += 1;
                        }
                        Ok(None) | Err(Error::Damaged { .. }) => hit += 1,
                        Err(error) => panic!("segment {id} byte {at}: {}", error.sentence()),
                    }
                }
                assert!(hit <= 1, "segment {id} byte {at}: {hit} keys hit");
                for entry in store.scan(..).expect("scans").flatten() {
                    let known = EXPECTED.iter().any(|(key, _)| entry.meta.key == key.as_bytes());
                    assert!(known, "segment {id} byte {at}: a key that never was: {:?}", entry.meta.key);
                }
            }
        }
    }
}

#[test]
fn a_damaged_or_cut_manifest_is_refused_whatever_the_byte() {
    let dir = small_store();
    let path = dir.path().join("MANIFEST");
    let whole = fs::read(&path).expect("MANIFEST");
    let changed = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    });
    let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
    for bytes in changed.chain(cut) {
        fs::write(&path, &bytes).expect("the damage");
        let outcome = Store::open_with(dir.path(), quick());
        assert!(matches!(outcome, Err(Error::ManifestDamaged { .. })), "{outcome:?}");
        assert_eq!(fs::read(&path).expect("MANIFEST"), bytes, "nothing was changed");
    }
}

#[test]
fn a_manifest_with_the_largest_numbers_is_an_error_and_not_a_panic() {
    for field in ["generation", "next_segment"] {
        let dir = scratch();
        open(dir.path()).close().expect("closes");
        rewrite_manifest(dir.path(), |line| match line.split_once(' ') {
            Some((name, _)) if name == field => format!("{name} {}", u64::MAX),
            _ => line.to_owned(),
        });
        let outcome = Store::open_with(dir.path(), quick()).and_then(|store| store.put("k", "v"));
        assert!(matches!(outcome, Err(Error::ManifestDamaged { .. })), "{field}: {outcome:?}");
    }
}
