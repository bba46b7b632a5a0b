//! Arbitrary bytes in place of a store's files: the fuzzer's properties, on random inputs and on
//! each input of its corpus.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

#[expect(unreachable_pub, reason = "it is also the library of the fuzzer's programs")]
#[path = "../fuzz/src/lib.rs"]
pub(crate) mod properties;

use properties::{PROPERTIES, Property, invariants};

/// The number of random inputs for each property.
const CASES: u32 = 256;

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = fuzz_dir().join("corpus").join(name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries.map(|entry| fs::read(entry.expect("an entry").path()).expect("an input")).collect()
}

/// Inputs of `corpus` with a few bytes changed, removed or inserted, and some inputs unlike any
/// other.
fn inputs(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0..3_u8, prop::collection::vec(any::<u8>(), 1..9));
    let changed = (prop::sample::select(corpus), prop::collection::vec(change, 0..5)).prop_map(
        |(mut input, changes)| {
            for (index, what, bytes) in changes {
                let at = index.index(input.len() + 1);
                let overwritten = if what == 0 { 0 } else { bytes.len().min(input.len() - at) };
                let new = if what == 1 { Vec::new() } else { bytes };
                input.splice(at..at + overwritten, new);
            }
            input
        },
    );
    prop_oneof![4 => changed, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

/// Checks property `name` on its corpus and on random inputs.
fn check(name: &str) {
    let (_, property): &(&str, Property) =
        PROPERTIES.iter().find(|(known, _)| *known == name).expect("the property exists");
    let corpus = corpus(name);
    corpus.iter().for_each(|input| property(input));
    let failures = FileFailurePersistence::SourceParallel("proptest-regressions");
    let config = Config {
        cases: CASES,
        source_file: Some(file!()),
        failure_persistence: Some(Box::new(failures)),
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&inputs(corpus), |input| {
        property(&input);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{name}: {failure}"));
}

#[test]
fn the_properties_hold_for_the_intact_sample_stores() {
    invariants::check_samples();
}

#[test]
fn arbitrary_records_in_a_segment_violate_no_property() {
    check("records");
}

#[test]
fn an_arbitrary_manifest_violates_no_property() {
    check("manifest");
}

#[test]
fn an_arbitrary_hint_violates_no_property() {
    check("hint");
}

#[test]
fn arbitrary_edits_of_keydir_violate_no_property() {
    check("keydir");
}

#[test]
fn arbitrary_edits_of_all_files_violate_no_property() {
    check("directory");
}

#[test]
fn a_repaired_store_is_intact_and_holds_no_invented_record_whatever_the_edits() {
    check("repair");
}

#[test]
fn every_property_has_a_fuzz_target_a_corpus_and_a_test() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(fuzz_dir().join(folder)).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
    };
    let with_others = |others: &[&str]| -> BTreeSet<String> {
        PROPERTIES.iter().map(|(name, _)| *name).chain(others.iter().copied()).map(str::to_owned).collect()
    };
    // The properties of the shell's parsers and their tests are in the shell.
    assert_eq!(names("targets"), with_others(&["allocator", "import", "words"]));
    assert_eq!(names("corpus"), with_others(&["import", "words"]));
    let (here, manifest) = (include_str!("any_bytes.rs"), include_str!("../fuzz/Cargo.toml"));
    for (name, _) in PROPERTIES {
        assert!(here.contains(&format!("check(\"{name}\");")), "{name} has no test");
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is no target in tests/fuzz/Cargo.toml"
        );
    }
    let len: u64 = names("corpus").iter().flat_map(|name| corpus(name)).map(|input| input.len() as u64).sum();
    assert!(len < 200 << 10, "the corpora have {len} bytes, minimise them");
}
