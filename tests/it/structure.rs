//! Rules for the code itself: layers, circles, sizes, the place of `unsafe`, the top level.

use std::fs;
use std::path::PathBuf;

use crate::imports::{Imports, sources};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The wings of `half` of `src`, lowest first, from the table in its module page.
fn wings_in_table(half: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("src").join(half).join("mod.rs")).expect("the page");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

/// Checks that each wing of `half` uses lower wings only.
fn check_wings(half: &str) {
    let table = wings_in_table(half);
    let imports = Imports::below(half);
    let mut unlisted = imports.wings();
    unlisted.retain(|wing| !table.iter().any(|row| row == wing));
    assert_eq!(unlisted.into_iter().collect::<Vec<_>>(), Vec::<&str>::new(), "wings missing in the table");
    let height = |wing: &str| table.iter().position(|row| row == wing).expect("a wing");
    let arrows = imports.between_wings();
    let upward: Vec<_> = arrows.iter().filter(|(from, to, _)| height(to) > height(from)).collect();
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn no_wing_uses_a_higher_one() {
    check_wings("engine");
    check_wings("shell");
}

#[test]
fn no_files_form_an_import_circle() {
    for half in ["engine", "shell"] {
        let circles = Imports::below(half).circles();
        assert!(circles.is_empty(), "{half}: {circles:?}");
    }
}

#[test]
fn the_engine_knows_nothing_of_the_shell() {
    for (path, text) in sources(&root().join("src/engine")) {
        assert!(!text.contains("shell::"), "{}", path.display());
        for name in ["clap", "rustyline", "comfy_table", "owo_colors"] {
            assert!(!text.contains(name), "{} names {name}", path.display());
        }
    }
}

#[test]
fn unsafe_stands_in_one_file() {
    let word = concat!("un", "safe");
    let is_part_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    for (path, text) in sources(&root().join("src")) {
        let has_it = text.split(|c| !is_part_of_a_name(c)).any(|name| name == word);
        assert_eq!(has_it, path.ends_with("engine/fs/mmap.rs"), "{}", path.display());
    }
}

#[test]
fn the_top_level_holds_only_the_allowed_names() {
    let allowed = ["Cargo.toml", "Cargo.lock", "src", "tests", "snapshots", "README.md", "LICENSE"];
    // Build output, and the stores of README's sessions.
    let ignored = fs::read_to_string(root().join(".gitignore")).expect("a list");
    let ignored: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('/')).collect();
    let is_ignored = |name: &str| {
        ignored.iter().any(|&entry| match entry.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == entry,
        })
    };
    for entry in fs::read_dir(root()).expect("the project") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || allowed.contains(&&*name) || is_ignored(&name), "{name}");
    }
}

#[test]
fn direct_dependencies_are_few_and_each_has_a_reason() {
    const COUNT_MAX: usize = 32;
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let mut sections = manifest.split("\n[");
    let section = sections.find_map(|section| section.strip_prefix("dependencies]\n")).expect("a section");
    let lines: Vec<_> = section.lines().collect();
    let is_dependency = |line: &str| line.starts_with(char::is_alphabetic) && line.contains(" = ");
    for pair in lines.windows(2).filter(|pair| is_dependency(pair[1])) {
        assert!(pair[0].starts_with("# "), "no comment gives the reason for {}", pair[1]);
    }
    let count = lines.iter().filter(|line| is_dependency(line)).count();
    assert!((1..=COUNT_MAX).contains(&count), "{count} direct dependencies");
}

/// Checks that no file of `folder` is longer than `max` lines.
fn check_file_lengths(folder: &str, max: usize) {
    let files = sources(&root().join(folder)).into_iter().map(|(path, text)| (path, text.lines().count()));
    let long: Vec<_> = files.filter(|(_, lines)| *lines > max).collect();
    assert!(long.is_empty(), "more than {max} lines: {long:#?}");
}

#[test]
fn files_are_short_enough_to_read() {
    check_file_lengths("src", 400);
    check_file_lengths("tests", 450);
}

/// The lines of `text` that exceed their width: 110 columns, or 100 in the prose of a comment. Code
/// blocks, tables, drawings and links in comments may be as wide as code.
fn wide_lines(text: &str) -> Vec<(usize, &str)> {
    const CODE_WIDTH_MAX: usize = 110;
    const PROSE_WIDTH_MAX: usize = 100;
    let mut is_in_block = false;
    let mut wide = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let comment = line.trim_start().strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']));
        is_in_block ^= comment.is_some_and(|text| text.trim_start().starts_with("```"));
        let is_prose = !is_in_block && comment.is_some_and(|text| !text.contains(['|', '│', '─']));
        let is_link = line.contains("](") || line.contains("://");
        let max = if is_prose && !is_link { PROSE_WIDTH_MAX } else { CODE_WIDTH_MAX };
        if line.chars().count() > max {
            wide.push((number + 1, line));
        }
    }
    wide
}

#[test]
fn no_line_is_too_wide_to_read() {
    for (path, text) in [sources(&root().join("src")), sources(&root().join("tests"))].concat() {
        let wide = wide_lines(&text);
        assert!(wide.is_empty(), "{}: {wide:#?}", path.display());
    }
}

#[test]
fn readme_is_short_enough_to_read() {
    const LEN_MAX: u64 = 12 << 10;
    let len = fs::metadata(root().join("README.md")).expect("README").len();
    assert!(len <= LEN_MAX, "{len} bytes");
}

/// The number of compactions in each test file that are not followed by a recount, and the reason.
const WITHOUT_RECOUNT: &[(&str, usize, &str)] = &[
    ("backup/mod.rs", 1, "threads write beside it"),
    ("cases/clear.rs", 1, "its observer clears the store"),
    ("cases/midway.rs", 2, "its observer writes, and the test recounts at its end"),
    ("cancelled.rs", 1, "it is cancelled"),
    ("churn.rs", 1, "every fortieth of hundreds is recounted"),
    ("classes/covered.rs", 1, "the log is damaged"),
    ("compaction.rs", 6, "it is cancelled, or nested in another one"),
    ("concurrency.rs", 1, "threads write beside it"),
    ("damaged_runs.rs", 5, "the log is damaged"),
    ("exclusion.rs", 2, "the directory was replaced"),
    ("fork.rs", 2, "a fork has the store open"),
    ("linear/mod.rs", 1, "threads write beside it"),
    ("many_segments.rs", 1, "it measures a compaction of thousands of segments"),
    ("model/pair.rs", 1, "the model recounts when its clock stands still"),
    ("models.rs", 2, "the threads are models"),
    ("readers.rs", 1, "others read at each step"),
    ("recount.rs", 1, "it is the recount itself"),
    ("salvage/cases.rs", 1, "the log is damaged later"),
    ("salvage/mod.rs", 1, "the log is damaged later"),
    ("simulated/living/mod.rs", 4, "lives recount on their own disk"),
    ("swapped.rs", 1, "its directory was renamed"),
];

#[test]
fn tests_recount_the_files_after_each_compaction() {
    let tests = root().join("tests/it");
    let calls = [".compact(&Compact", ".compact(&what", ".compact(what", ".compact(&if", ".compact_with("];
    let mut wrong = Vec::new();
    for (path, text) in sources(&tests).into_iter().filter(|(path, _)| !path.ends_with("structure.rs")) {
        let found: usize = calls.iter().map(|call| text.matches(call).count()).sum();
        let name = path.strip_prefix(&tests).expect("is below the folder").to_string_lossy().into_owned();
        let allowed =
            WITHOUT_RECOUNT.iter().find(|(known, ..)| *known == name).map_or(0, |(_, count, _)| *count);
        if found != allowed {
            wrong.push(format!("{name}: {found} calls of compact, and not {allowed}"));
        }
    }
    assert!(wrong.is_empty(), "use compact_recounted instead of compact:\n{}", wrong.join("\n"));
}
