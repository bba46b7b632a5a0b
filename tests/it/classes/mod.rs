//! Classes of mistakes that a suite misses because it never varies something: fixed cases, with
//! nothing left to chance. The table in `main.rs` lists them with their tests and deliberate
//! mistakes.

mod beside;
mod covered;
mod leftovers;
mod lines;
mod reopened;
mod sizes;

use std::fs;
use std::path::Path;

/// The source of the module of `test`, given as `module::name`.
fn module_of(test: &str) -> (String, &str) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let (module, name) = test.rsplit_once("::").expect("a module and a name");
    let path = tests.join(module.replace("::", "/"));
    let file = if path.is_dir() { path.join("mod.rs") } else { path.with_extension("rs") };
    (fs::read_to_string(file).expect("a module"), name)
}

#[test]
fn every_class_of_the_index_has_the_tests_and_the_mistakes_that_it_names() {
    let index = include_str!("../main.rs");
    let rows: Vec<_> = index.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1).collect();
    assert!(rows.len() >= 6, "{rows:?}");
    for row in rows {
        let cells: Vec<_> = row.trim_end_matches(" |").split(" | ").collect();
        let [class, tests, mistakes] = cells[..] else { panic!("{row}") };
        assert!(!class.is_empty());
        for test in tests.split(", ").map(|test| test.trim_matches('`')) {
            let (text, name) = module_of(test);
            assert!(text.contains(&format!("fn {name}")), "{test} is not there");
        }
        let patches = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutants");
        for mistake in mistakes.split(", ").map(|mistake| mistake.trim_matches('`')) {
            assert!(patches.join(mistake).with_extension("patch").exists(), "{mistake} is no patch");
        }
    }
}
