//! Every output for terminals, at several widths, with and without colours, and in ASCII.

use std::path::Path;

use tempfile::TempDir;
use unicode_width::UnicodeWidthStr;

use logkv::Expiry;

use crate::common::{open, program, scratch};

/// A store with records of every fate, in two segments.
fn with_every_fate() -> TempDir {
    let dir = scratch();
    let store = open(&dir.path().join("d"));
    let put = |key: &str, value: &str| {
        store.put(key, value).expect("is written");
    };
    put("user:1", "alice");
    put("user:1", "Alice Cooper");
    put("user:2", "bob");
    put(&format!("a:long:key:{}", "of:parts:".repeat(12)), &"and a long value ".repeat(20));
    put("expired", "1");
    store.delete("user:2").expect("is written");
    store.expire("expired", Expiry::At(1)).expect("is written");
    store.rotate().expect("is sealed");
    put("user:1", "Alicia");
    store.close().expect("is closed");
    dir
}

const COMMANDS: &[&str] = &[
    "keys",
    "keys --long",
    "keys --all --long",
    "scan",
    "scan --long",
    "stats",
    "stats --memory",
    "segments",
    "dump-segment 1",
    "dump-segment 1 --hex",
    "dump-segment 1 --only expired",
    "versions user:1",
    "diff 2",
    "tail",
    "verify",
    "compact --dry-run --all",
    "help",
];

/// The output of the commands above and of the help of every command.
fn shown(dir: &Path, args: &[&str]) -> Vec<(String, String)> {
    let run = |line: &str| {
        let mut command = program(dir);
        command.args(["-m", "table"]).args(args).arg("d").args(line.split(' '));
        String::from_utf8(command.output().expect("runs").stdout).expect("text")
    };
    let names = program(dir).args(["-m", "json", "d", "help"]).output().expect("runs").stdout;
    let names = String::from_utf8(names).expect("text");
    let name = |line: &str| line.split('"').nth(3).expect("a name").to_owned();
    let helps = names.lines().map(|line| format!("help {}", name(line)));
    let lines = COMMANDS.iter().map(|line| (*line).to_owned()).chain(helps);
    lines.map(|line| (line.clone(), run(&line))).collect()
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let dir = with_every_fate();
    for width in [60, 80, 120] {
        for ascii in [&[][..], &["--ascii"]] {
            let width_text = width.to_string();
            let args = [&["--width", &width_text][..], ascii].concat();
            for (line, text) in shown(dir.path(), &args) {
                // Examples in the help must stay copyable.
                let mut lines = text.lines().take_while(|line| *line != "Examples");
                let wide = lines.find(|line| line.width() > width);
                assert_eq!(wide, None, "{line} at {width} columns");
            }
        }
    }
}

#[test]
fn ascii_mode_has_only_ascii_and_colours_change_no_character() {
    let dir = with_every_fate();
    for (line, text) in shown(dir.path(), &["--width", "80", "--ascii"]) {
        assert!(text.is_ascii(), "{line}: {text}");
    }
    let colour = regex::Regex::new("\u{1b}\\[[0-9;]*m").expect("a pattern");
    let stable = |line: &str| line != "stats --memory";
    let bare = shown(dir.path(), &["--width", "80"]);
    let coloured = shown(dir.path(), &["--width", "80", "--color", "always"]);
    for ((line, bare), (_, coloured)) in bare.into_iter().zip(coloured).filter(|((line, _), _)| stable(line))
    {
        let text = colour.replace_all(&coloured, "");
        let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(trimmed(&text), trimmed(&bare), "{line}");
    }
}

#[test]
fn a_table_names_the_columns_it_omits_and_truncates_text_without_changing_it() {
    let dir = with_every_fate();
    let at = |width: &str, line: &str| {
        let mut command = program(dir.path());
        command.args(["-m", "table", "--width", width, "d"]).args(line.split(' '));
        String::from_utf8(command.output().expect("runs").stdout).expect("text")
    };
    for (line, width, said) in [
        ("keys --long", "60", "no room for time (UTC), expires in: a wider terminal or\n--json shows them\n"),
        ("segments", "60", "no room for records, tombs, hint: a wider terminal or --json\nshows them\n"),
        ("dump-segment 1", "80", "  no room for time: a wider terminal or --json shows it\n"),
        ("versions user:1", "80", "no room for record, size, kind: a wider terminal or --json shows them\n"),
    ] {
        let narrow = at(width, line);
        assert!(narrow.contains(said), "{narrow}");
        assert!(!at("140", line).contains("no room for"), "{line}");
    }
    let list = at("80", "dump-segment 1");
    assert!(list.contains("dead  repl… 1:0x000070") && list.contains("dead  repl… 2:0x000040"), "{list}");
    assert!(list.contains("dead  dele… ") && list.contains("tomb  hides 1:") && list.contains("  expired\n"));
}
