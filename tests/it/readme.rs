//! README and the manual are true: their sessions run, and their tables and drawings agree with the
//! program and the library.
//!
//! In a `console` block, a line that starts with `$ ` is a command. The lines up to the next
//! command are its complete output, from both streams. Rules:
//! - The sessions of a page run one after another, in one directory that contains the project's
//!   `tests`.
//! - A `logkv` without an output mode runs as on a terminal of 100 columns.
//! - A line `…` matches any number of lines.
//! - Values that differ between runs are masked: dates, times, milliseconds since 1970, checksums
//!   (eight hexadecimal digits), the memory of the index, and the bytes of checksums and times in
//!   the hex view.
//!
//! The library's example is a documentation test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use logkv::layout::{
    Field, HINT_FIELDS, HINT_ROW_FIELDS, KEYDIR_FIELDS, KEYDIR_SEGMENT_FIELDS, KEYDIR_SHARD_FIELDS,
    RECORD_FIELDS, SEGMENT_FIELDS,
};
use logkv::{Error, Expiry, SEGMENT_LEN_MAX_BOUNDS, SEGMENT_LEN_MAX_DEFAULT, VALUE_LEN_MAX_DEFAULT};
use regex::Regex;

use crate::common::{open, program, scratch};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// The path and text of README and of each page of the manual.
fn pages() -> Vec<(String, String)> {
    let guide = fs::read_dir(root().join("src/guide")).expect("the manual");
    let guide = guide.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut paths: Vec<_> = guide.map(|name| format!("src/guide/{name}")).collect();
    paths.extend(["README.md", "tests/README.md", "tests/bench/README.md"].map(str::to_owned));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// The text of all blocks of a kind.
fn blocks(readme: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    let texts = readme.split(&fence).skip(1);
    texts.map(|text| text.split_once("```").expect("a block ends").0.to_owned()).collect()
}

/// The rows of the table whose first header cell is `name`, as cells.
fn table(readme: &str, name: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = readme.lines().skip_while(|line| !line.starts_with(&format!("| {name} |")));
    let rows: Vec<_> = rows.skip(2).take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(!rows.is_empty(), "no table of {name}");
    rows
}

/// Masks values that differ between runs.
fn masked(text: &str) -> String {
    let rules = [
        (r"(?m)^( 0x[0-9a-f]+ [+][0-9a-f]+) .* (hcrc|rcrc|time_ms) ", "$1 … $2 "),
        (r"\d{4}-\d\d-\d\d", "DATE"),
        (r"\d\d:\d\d:\d\d(\.\d{3})?", "TIME"),
        (r"\b\d{13}\b", "MS"),
        (r"\b[0-9a-f]{8}\b", "CHECKSUM"),
        (r"index in memory .*", "index in memory"),
    ];
    rules.iter().fold(text.to_owned(), |text, (pattern, with)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, *with).into_owned()
    })
}

/// Whether `seen` matches `shown`, where a line `…` matches any number of lines.
fn matches(shown: &[&str], seen: &[&str]) -> bool {
    match shown.split_first() {
        None => seen.is_empty(),
        Some((&"…", rest)) => (0..=seen.len()).any(|from| matches(rest, &seen[from..])),
        Some((line, rest)) => seen.first() == Some(line) && matches(rest, &seen[1..]),
    }
}

/// The commands of a block, each with its output.
fn session(block: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command, Vec::new())),
            (None, Some((_, shown))) => shown.push(line),
            (None, None) => panic!("a session starts with {line} and not with a command"),
        }
    }
    commands
}

/// A directory for the sessions of a page, with the program in its path.
fn stage() -> tempfile::TempDir {
    let dir = scratch();
    symlink(root().join("tests"), dir.path().join("tests")).expect("is a link");
    fs::create_dir(dir.path().join("bin")).expect("a directory");
    let logkv = dir.path().join("bin/logkv");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in\n*' -m '* | *' --json '*) exec '{0}' --width 100 \"$@\" ;;\n\
         *) exec '{0}' -m table --width 100 \"$@\" ;;\nesac\n",
        env!("CARGO_BIN_EXE_logkv")
    );
    fs::write(&logkv, script).expect("a script");
    fs::set_permissions(&logkv, fs::Permissions::from_mode(0o755)).expect("permissions");
    dir
}

fn say(dir: &Path, command: &str) -> String {
    let path = format!("{}:/usr/bin:/bin", dir.join("bin").display());
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(dir)
        .env_clear()
        .env("PATH", path)
        .output()
        .expect("a shell");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_session_shows_the_real_output() {
    let mut count = 0;
    for (path, page) in pages() {
        let dir = stage();
        for block in blocks(&page, "console") {
            for (command, shown) in session(&block) {
                let seen = say(dir.path(), command);
                let seen_masked = masked(&seen);
                let shown = masked(&shown.join("\n"));
                let lines = |text| str::lines(text).collect::<Vec<_>>();
                assert!(
                    matches(&lines(&shown), &lines(&seen_masked)),
                    "$ {command}\n{seen}\n{path} shows\n{shown}"
                );
                count += 1;
            }
        }
    }
    assert!(count > 50, "{count} commands");
}

#[test]
fn every_block_with_output_is_compared() {
    for (path, page) in pages() {
        for kind in page.lines().filter_map(|line| line.strip_prefix("```")).step_by(2) {
            assert!(
                ["console", "text", "rust", "sh"].contains(&kind),
                "no test compares the {kind:?} blocks in {path}"
            );
        }
        // These take hours, or need more than a test machine has.
        for line in blocks(&page, "sh").iter().flat_map(|block| block.lines()) {
            let starts = ["cargo ", "mkdir ", "RUSTC_BOOTSTRAP=1 cargo ", "    target/"];
            assert!(starts.iter().any(|start| line.starts_with(start)), "{path}: {line} is no command");
        }
    }
}

#[test]
fn the_exit_codes_equal_those_of_help() {
    let dir = scratch();
    let help = program(dir.path()).args(["--help"]).output().expect("the program runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let (_, listed) = help.split_once("Exit codes:").expect("help has exit codes");
    let number = Regex::new(r"\b\d+\b").expect("a pattern");
    let numbers = |text: &str| {
        let mut numbers: Vec<_> = number.find_iter(text).map(|found| found.as_str().to_owned()).collect();
        numbers.sort();
        numbers
    };
    let codes: Vec<_> =
        table(&read("src/guide/shell.md"), "exit code").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(numbers(listed), numbers(&codes.join(" ")));
}

/// The value of the limit `what`.
fn limit<'a>(rows: &'a [Vec<String>], what: &str) -> &'a str {
    let row = rows.iter().find(|row| row[0] == what);
    &row.unwrap_or_else(|| panic!("no limit {what}"))[1]
}

#[test]
fn the_limits_equal_those_of_the_code() {
    const GIB: u64 = 1 << 30;
    let guarantees = read("src/guide/guarantees.md");
    let rows = table(&guarantees, "what is limited");
    let dir = scratch();
    let store = open(dir.path());
    let key = vec![b'k'; 65_535];
    store.put(&key, "v").expect("a put");
    assert!(matches!(store.put([&key[..], b"k"].concat(), "v"), Err(Error::KeyLength { len: 65_536 })));
    assert!(matches!(store.put("", "v"), Err(Error::KeyLength { len: 0 })));
    assert_eq!(limit(&rows, "a key"), "1 to 65,535 bytes");
    let in_code =
        |path: &str, line: &str| assert_eq!(count_in(path, &regex::escape(line)), 1, "{line} in {path}");
    in_code("src/engine/fs/mmap.rs", "MappingLimit::new(1 << 15)");
    in_code("src/engine/fs/pool.rs", "open_files_max() / 4");
    in_code("src/engine/state/set.rs", "const PAGE_LEN: u64 = 64 << 20;");
    in_code("src/engine/options.rs", "const CHECKPOINT_RECORDS_DEFAULT: u64 = 4096;");
    in_code("src/engine/upkeep/checkpoint.rs", "const SHARE_AT_CLOSE: u64 = 2048;");
    assert_eq!((VALUE_LEN_MAX_DEFAULT, SEGMENT_LEN_MAX_DEFAULT), (64 << 20, 64 << 20));
    assert_eq!(SEGMENT_LEN_MAX_BOUNDS.1, 4 * GIB - 8);
    assert_eq!(Expiry::AT_MS_MAX, (1 << 53) - 1);
    for (what, is) in [
        ("a value", "64 MiB;"),
        ("a segment", "64 MiB, or `--segment-size`, up to 4 GiB less 8 bytes;"),
        ("a log", "8 TiB and 131,072 segments:"),
        ("an expiry", "2^53 - 1 milliseconds after 1970"),
        ("a compressed value that is read", "`--read-limit`, or 64 times its size on disk"),
        ("memory mappings of a process", "32,768,"),
        ("open files", "a mapped segment needs none; those without a mapping share a quarter of `ulimit -n`"),
    ] {
        assert!(limit(&rows, what).starts_with(is), "{what}");
    }
    assert_eq!(with_commas(1 << 17), "131,072");
    assert!(Error::Full.to_string().ends_with("8 TiB or 131,072 segments"), "{}", Error::Full);
    assert!(
        guarantees.contains("at most 4,096 records, or a 2,048th of the keys"),
        "the guide gives the number of records that an open reads"
    );
}

/// The JSON objects in the output of a command. Their strings contain no quotes, so that [`field`]
/// finds a field by its name.
fn objects(command: &str) -> Vec<String> {
    let dir = scratch();
    let mut program = program(dir.path());
    program.args(["--json", "store"]).args(command.split(' '));
    let output = program.output().expect("the program runs");
    assert!(output.status.success(), "{command}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

fn field<'a>(object: &'a str, name: &str) -> &'a str {
    let (_, rest) =
        object.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name} in {object}"));
    let end = if rest.starts_with('[') { rest.find(']') } else { rest[1..].find('"').map(|at| at + 1) };
    rest[..end.expect("exits")].trim_start_matches(['[', '"'])
}

#[test]
fn the_table_of_commands_equals_that_of_help() {
    let expected: Vec<_> = objects("help")
        .iter()
        .map(|object| {
            let aliases = field(object, "aliases").replace('"', "");
            let names =
                [field(object, "command")].into_iter().chain(aliases.split(',')).filter(|n| !n.is_empty());
            let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
            vec![names.join(", "), field(object, "summary").to_owned()]
        })
        .collect();
    assert_eq!(table(&read("README.md"), "command"), expected);
}

#[test]
fn the_error_kinds_equal_those_of_help() {
    let kinds: Vec<_> = table(&read("src/guide/shell.md"), "kind")
        .iter()
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    let help = objects("help");
    let about_mode = help.iter().find(|object| field(object, "command") == "mode").expect("exists");
    assert!(about_mode.contains(&format!("kind ({})", kinds.join(", "))), "{about_mode}");
}

#[test]
fn the_options_equal_those_of_config_and_help() {
    let dir = scratch();
    let help = program(dir.path()).args(["--width", "4000", "--help"]).output().expect("the program runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let (options, settings) = (objects("help options"), objects("config"));
    assert_eq!(options.len(), settings.len());
    for (option, setting) in options.iter().zip(&settings) {
        let name = field(option, "option");
        assert_eq!(name, field(setting, "option"));
        let default = field(option, "default");
        assert_eq!(default, field(setting, "value"), "{name}");
        let entry = format!("{} {} [default: {default}]", field(option, "usage"), field(option, "help"));
        assert!(help.contains(&entry), "{entry}");
    }
}

/// Draws fields, eight bytes in a row, each nine columns wide.
fn drawing(fields: &[Field]) -> String {
    const BYTE: usize = 9;
    let mut rows: Vec<String> = Vec::new();
    for field in fields {
        for at in field.at..field.at + field.len {
            if at.is_multiple_of(8) {
                rows.push(format!("{at:>4} "));
            }
            let row = rows.last_mut().expect("a row has been started");
            if at == field.at {
                let width = BYTE * field.len.min(8 - at % 8);
                row.push_str(&format!("|{:<1$}", field.name, width - 1));
            } else if at.is_multiple_of(8) {
                row.push_str(&format!("|{:<1$}", "", BYTE * 8 - 1));
            }
        }
    }
    rows.iter().map(|row| format!("{row}|\n")).collect()
}

#[test]
fn the_layout_drawings_equal_the_layouts_in_the_code() {
    let layouts = [
        SEGMENT_FIELDS,
        RECORD_FIELDS,
        HINT_FIELDS,
        HINT_ROW_FIELDS,
        KEYDIR_FIELDS,
        KEYDIR_SEGMENT_FIELDS,
        KEYDIR_SHARD_FIELDS,
    ];
    assert_eq!(blocks(&read("src/guide/bytes.md"), "text"), layouts.map(drawing));
}

#[test]
fn every_path_named_in_a_page_exists() {
    let pattern = Regex::new(r"`((src|tests|snapshots|\.ci)(/[\w./-]+)?)`").expect("a pattern");
    let mut count = 0;
    for (path, page) in pages() {
        for found in pattern.captures_iter(&page) {
            assert!(root().join(&found[1]).exists(), "{} in {path}", &found[1]);
            count += 1;
        }
    }
    assert!(count > 10, "{count} paths");
}

/// The first number that `pattern` captures in the file `path`.
fn number_in(path: &str, pattern: &str) -> usize {
    let text = fs::read_to_string(root().join(path)).expect("exists");
    let found = Regex::new(pattern).expect("a pattern").captures(&text);
    let number = found.unwrap_or_else(|| panic!("{pattern} in {path}"))[1].replace('_', "");
    number.parse().expect("a number")
}

/// The number of matches of `pattern` in the file `path`.
fn count_in(path: &str, pattern: &str) -> usize {
    let text = fs::read_to_string(root().join(path)).expect("exists");
    Regex::new(pattern).expect("a pattern").find_iter(&text).count()
}

/// Formats `number` as `1,000,000`.
fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[test]
fn the_counts_in_the_table_of_guarantees_equal_those_of_the_tests() {
    let in_run = |name: &str| number_in(".ci/run", &format!("{name}=([0-9]+)"));
    let kills = in_run("LOGKV_KILLS") * count_in("tests/it/killed.rs", r#"kill_writers\(""#);
    let cuts = in_run("LOGKV_DISK_CUTS") * count_in("tests/it/cuts.rs", r#"cut_writers\(""#);
    let faults = number_in("tests/it/simulated/faulty.rs", r"const FAULTS: u64 = ([0-9_]+);");
    let schedules = number_in("tests/it/models.rs", r#""LOGKV_SCHEDULES"\).map_or\(([0-9]+)"#)
        * ["tests/it/models.rs", "tests/it/models/feeds.rs"]
            .map(|room| count_in(room, r"#\[test\]"))
            .iter()
            .sum::<usize>();
    let expected = [
        ("`killed`", format!("{} kills", with_commas(kills))),
        ("`simulated`", format!("{} states", with_commas(in_run("LOGKV_CRASH_STATES")))),
        ("`cuts`", format!("{} cuts", with_commas(cuts))),
        ("`faulty`", format!("{} failing calls", with_commas(faults))),
        ("`models`", format!("{} schedules, by itself", with_commas(schedules))),
    ];
    let rows = table(&read("src/guide/guarantees.md"), "promise");
    for (room, count) in expected {
        let row = rows.iter().find(|row| row[1].contains(room));
        assert_eq!(row.map(|row| row[2].as_str()), Some(count.as_str()), "{room}");
    }
}
