//! Results longer than the screen, limited terminals, and the time that a user spends in the pager.

use std::fs;

use tempfile::TempDir;

use crate::common::{open, program, scratch};
use crate::person::{CTRL_C, CTRL_D, Person};

const PROMPT: &str = "logkv d>";

/// A store with `count` keys.
fn with_keys(count: usize) -> TempDir {
    let dir = scratch();
    let store = open(&dir.path().join("d"));
    for number in 0..count {
        store.put(format!("key{number:05}"), "value").expect("is written");
    }
    store.close().expect("is closed");
    dir
}

/// A user with this pager, after the first prompt.
fn with_pager(dir: &TempDir, pager: &str, env: &[(&str, &str)]) -> Person {
    let env: Vec<_> = env.iter().copied().chain([("PAGER", pager)]).collect();
    let mut person = Person::at(dir.path(), &["d"], &env);
    person.sees_at_end(PROMPT);
    person
}

#[test]
fn no_pager_shows_raw_escape_sequences() {
    let dir = with_keys(100);
    // Shows an escape as ^[.
    let mut person = with_pager(&dir, "cat -v", &[]);
    person.enters("scan --all").sees("key00099  value").sees_at_end(PROMPT);
    assert!(!person.screen().contains("^["), "{}", person.screen());
    drop(person);
    let mut person = with_pager(&dir, "cat -v", &[]);
    person.enters("color always").sees_at_end(PROMPT).enters("scan --all").sees("^[").sees_at_end(PROMPT);
    // The program tells less to pass colours on.
    let says_options = "cat >/dev/null; echo options $LESS; true";
    drop(person);
    let mut person = with_pager(&dir, says_options, &[]);
    person.enters("scan --all").sees("options FRX\n").sees_at_end(PROMPT);
    drop(person);
    let mut person = with_pager(&dir, says_options, &[("LESS", "S")]);
    person.enters("scan --all").sees("options -R S\n").sees_at_end(PROMPT);
}

#[test]
fn a_pager_that_cannot_run_loses_no_output() {
    // Less and more than a pipe holds.
    for count in [100, 20_000] {
        let dir = with_keys(count);
        let last = format!("key{:05}  value", count - 1);
        for pager in ["no-such-pager", "false"] {
            let mut person = with_pager(&dir, pager, &[]);
            person.enters("scan --all").sees(&last).sees_at_end(PROMPT);
            person.enters("count").sees_at_end(PROMPT);
            assert!(!person.screen().contains("error:"), "{}", person.screen());
        }
        let mut person = with_pager(&dir, "head -2", &[]);
        person.enters("clear").sees_at_end(PROMPT).enters("scan --all").sees("value\n──");
        person.sees_at_end(PROMPT).enters("count").sees_at_end(PROMPT);
        assert!(!person.screen().contains(&last), "extra output: {}", person.screen());
    }
}

#[test]
fn followed_output_and_single_pages_are_not_paged_and_an_empty_pager_pages_nothing() {
    let dir = with_keys(100);
    let mut person = with_pager(&dir, "sed s/^/paged:/", &[]);
    person.enters("tail -f --from 1").sees("key00099").types(CTRL_C).sees("interrupted").sees_at_end(PROMPT);
    for elided in ["keys", "scan", "scan key* --long", "dump-segment 1"] {
        person.enters(elided).sees_at_end(PROMPT);
    }
    person.enters("rotate").sees_at_end(PROMPT).enters("compact --all --dry-run").sees_at_end(PROMPT);
    assert!(!person.screen().contains("paged:"), "{}", person.screen());
    for whole in ["scan --all", "scan --limit 50", "dump-segment 1 --limit 100", "dump-segment 1 --hex"] {
        person.enters("clear").enters(whole).sees("paged:").sees_at_end(PROMPT);
    }
    drop(person);
    for none in ["", "cat", " "] {
        let mut person = with_pager(&dir, none, &[]);
        person.enters("scan --all").sees("key00099").sees_at_end(PROMPT);
        assert!(person.sees_colours());
    }
}

#[test]
fn time_in_the_pager_does_not_count_as_time_of_the_command() {
    let dir = with_keys(100);
    let mut person = with_pager(&dir, "cat >/dev/null; sleep 3", &[]);
    person.enters("timer on").sees_at_end(PROMPT).enters("clear").enters("scan --all").sees("s)\n");
    let screen = person.screen();
    let shown = screen.lines().filter_map(|line| line.strip_prefix('(')).next_back().expect("a time");
    let seconds = shown.strip_suffix(" s)").map_or(0.0, |seconds| seconds.parse().expect("a number"));
    assert!(seconds < 3.0, "{screen}");

    person.sees_at_end(PROMPT).enters("get key00001").sees("value\n(").sees_at_end(PROMPT);
    let screen = person.screen();
    assert!(!screen.contains("(0 "), "the time was subtracted from the next command: {screen}");
}

#[test]
fn a_locale_without_utf_8_gets_ascii_tables() {
    let dir = with_keys(100);
    let shown = |env: &[(&str, &str)], args: &[&str]| {
        let mut command = program(dir.path());
        command.envs(env.iter().copied()).args(["-m", "table"]).args(args).args(["d", "segments"]);
        let output = command.output().expect("runs");
        String::from_utf8(output.stdout).expect("text").is_ascii()
    };
    assert!(!shown(&[], &[]), "without a locale, a terminal accepts UTF-8");
    assert!(shown(&[("LC_ALL", "C"), ("LANG", "C.UTF-8")], &[]));
    assert!(shown(&[("LC_CTYPE", "POSIX"), ("LANG", "C.UTF-8")], &[]));
    assert!(shown(&[("LANG", "de_DE.ISO-8859-1")], &[]));
    assert!(!shown(&[("LC_ALL", ""), ("LC_CTYPE", "C.UTF-8"), ("LANG", "C")], &[]));
    assert!(!shown(&[("LC_ALL", "C")], &["--ascii=false"]));
    assert!(shown(&[("LC_ALL", "C.UTF-8")], &["--ascii"]));
}

#[test]
fn a_dumb_terminal_gets_a_prompt_without_escape_sequences() {
    let dir = with_keys(100);
    let mut person = Person::at(dir.path(), &["d"], &[("TERM", "dumb"), ("PAGER", "sed s/^/paged:/")]);
    person.sees("help lists the commands; Ctrl-D leaves").sees_at_end(PROMPT);
    person.enters("put a 1").sees("OK").sees_at_end(PROMPT).enters("put b 'two").sees_at_end("   '..>");
    person.enters("lines'").sees("OK").sees_at_end(PROMPT).enters("get a b").sees("1\n\"two\\nlines\"\n");
    person.enters("begin").sees_at_end("logkv d*>").enters("rollback").sees_at_end(PROMPT);
    person.types("get").types(CTRL_C).sees_at_end(PROMPT).enters("frob").sees("error: ").sees_at_end(PROMPT);
    person.enters("scan --all").sees("key00099").sees_at_end(PROMPT).enters("clear").sees_at_end(PROMPT);
    assert!(!person.screen().contains("paged:"), "{}", person.screen());
    person.enters("del --glob key*").sees("[y/N]").enters("y").sees("deleted 100").sees_at_end(PROMPT);
    assert!(!person.sees_escapes());
    let history = dir.path().join(".local/state/logkv/history");
    assert!(fs::read_to_string(history).expect("is kept").contains("put a 1"));
    person.types(CTRL_D);
    assert_eq!(person.sees_it_end(), Some(0));
}
