//! Any bytes whatever in place of a store's: the fuzzer's properties, at random and with each input of its corpus.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

#[expect(unreachable_pub, reason = "it is also the library of the fuzzer's programs")]
#[path = "../fuzz/src/lib.rs"]
pub(crate) mod properties;

use properties::{PROPERTIES, Property, laws};

/// How many inputs are drawn for each property.
const CASES: u32 = 256;

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The inputs in the corpus of property `name`.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = fuzz_dir().join("corpus").join(name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries.map(|entry| fs::read(entry.expect("an entry").path()).expect("an input")).collect()
}

/// Inputs like those of `corpus`, with a few bytes changed, taken out or put in; and some that are like nothing.
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

/// Runs property `name` on its corpus and at random.
fn check(name: &str) {
    let (_, property): &(&str, Property) =
        PROPERTIES.iter().find(|(known, _)| *known == name).expect("there is such a property");
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
fn the_laws_hold_for_the_sample_stores_as_they_are() {
    laws::hold_for_the_samples();
}

#[test]
fn any_records_in_a_segment_break_no_law() {
    check("records");
}

#[test]
fn any_manifest_breaks_no_law() {
    check("manifest");
}

#[test]
fn any_hint_breaks_no_law() {
    check("hint");
}

#[test]
fn any_edit_of_keydir_breaks_no_law() {
    check("keydir");
}

#[test]
fn any_edits_of_all_files_break_no_law() {
    check("directory");
}

#[test]
fn a_repair_of_files_with_any_edits_is_intact_and_makes_nothing_up() {
    check("repair");
}

#[test]
fn every_property_has_a_program_a_corpus_and_a_test_here() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(fuzz_dir().join(folder)).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
    };
    let with_others = |others: &[&str]| -> BTreeSet<String> {
        PROPERTIES.iter().map(|(name, _)| *name).chain(others.iter().copied()).map(str::to_owned).collect()
    };
    // What the shell reads has its property and its tests there.
    assert_eq!(names("targets"), with_others(&["allocator", "import", "words"]));
    assert_eq!(names("corpus"), with_others(&["import", "words"]));
    let (here, manifest) = (include_str!("any_bytes.rs"), include_str!("../fuzz/Cargo.toml"));
    for (name, _) in PROPERTIES {
        assert!(here.contains(&format!("check(\"{name}\");")), "{name} has no test");
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is no program of tests/fuzz/Cargo.toml"
        );
    }
    let len: u64 = names("corpus").iter().flat_map(|name| corpus(name)).map(|input| input.len() as u64).sum();
    assert!(len < 200 << 10, "the corpora have {len} bytes; minimise them");
}
