//! Terminal escapes from every source of text, in no output.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use logkv::{Store, Visible};
use tempfile::TempDir;

use crate::common::{program, quick, rewrite_manifest, scratch, segment_path};
use crate::person::Person;

/// ESC, CSI, OSC, DEL, C1, bidirectional and zero-width characters, a byte order mark, a line
/// break, and invalid UTF-8.
const HOSTILE: &[u8] =
    b"k\x1b[2J\x1b]0;t\x07\x7f\xc2\x9b2J\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8b\xef\xbb\xbf\r\n\x9b\xff";

/// The same without the characters that paths, TOML or variables cannot hold.
const HOSTILE_TEXT: &str = "k\u{1b}[2J\u{1b}]0;t\u{7}\u{7f}\u{9b}2J\u{202e}\u{2066}\u{200b}";

fn hostile_name(before: &str) -> OsString {
    OsString::from_vec([before.as_bytes(), HOSTILE].concat())
}

/// A store of hostile keys and values in a directory with a hostile name: live, replaced, deleted
/// and damaged records, and a batch.
fn hostile_store() -> (TempDir, PathBuf) {
    let place = scratch();
    let dir = place.path().join(hostile_name("d"));
    let store = Store::open_with(&dir, quick()).expect("opens");
    for index in 0..8u8 {
        let key = [HOSTILE, &[b'0' + index]].concat();
        store.put(&key, HOSTILE).expect("a put");
        store.put(&key, HOSTILE.repeat(20)).expect("a put");
    }
    store.delete([HOSTILE, b"3"].concat()).expect("a delete");
    store.rotate().expect("rotates");
    store.put("plain", HOSTILE).expect("a put");
    // UTF-8, so that JSON has it as a string and not in base64.
    store.put(HOSTILE_TEXT, HOSTILE_TEXT).expect("a put");
    store.close().expect("closes");
    (place, dir)
}

fn assert_harmless(output: &Output, what: &str) {
    for (bytes, name) in [(&output.stdout, "stdout"), (&output.stderr, "stderr")] {
        let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
        let bad = text.chars().find(|&c| c != '\n' && c != '\t' && !Visible::is(c));
        assert_eq!(bad, None, "{what}: {name}: {text:?}");
    }
}

/// The names of all commands, from the help.
fn commands(dir: &Path) -> Vec<String> {
    let output = program(dir).args([".", "help", "--json"]).output().expect("runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let names = text.lines().filter_map(|line| line.split("\"command\":\"").nth(1)?.split('"').next());
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 25, "{text}");
    names
}

fn run(command: &mut Command, dir: &Path, args: &[&OsStr]) -> Output {
    let child = command.arg(dir).args(args).stdin(Stdio::null());
    child.output().expect("runs")
}

#[test]
fn no_command_prints_an_unescaped_control_character() {
    let (place, dir) = hostile_store();
    let mut bytes = fs::read(segment_path(&dir, 1)).expect("the segment");
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    fs::write(segment_path(&dir, 1), bytes).expect("damage");
    let live = OsString::from_vec([HOSTILE, b"1"].concat());
    let [first, hostile, missing] = [OsStr::new("1"), OsStr::from_bytes(HOSTILE), &*hostile_name("./")];
    let names = commands(place.path());
    for mode in ["table", "json"] {
        for name in &names {
            let name = OsStr::new(name);
            let calls: [&[&OsStr]; 6] = [
                &[name],
                &[name, &live],
                &[name, first],
                &[name, hostile, hostile, hostile],
                &[name, missing],
                &[name, OsStr::new("--to"), hostile],
            ];
            for args in calls {
                let mut command = program(place.path());
                let output = run(command.args(["-m", mode, "--color", "never"]), &dir, args);
                assert_harmless(&output, &format!("{mode} {args:?}"));
            }
        }
    }
}

#[test]
fn no_flag_of_a_command_prints_an_unescaped_control_character() {
    let (place, dir) = hostile_store();
    let live = OsString::from_vec([HOSTILE, b"1"].concat());
    for line in [
        "dump-segment 1 --values full",
        "dump-segment 1 --hex",
        "dump-segment 1 --only dead --values full",
        "scan --limit 3",
        "keys --limit 3 --reverse",
        "compact 1 --dry-run",
        "compact --all --dry-run",
        "verify 1 77",
        "segments",
        "stats",
    ] {
        let words: Vec<&OsStr> = line.split(' ').map(OsStr::new).collect();
        for mode in ["table", "json"] {
            let output = run(program(place.path()).args(["-m", mode]), &dir, &words);
            assert_harmless(&output, &format!("{mode} {line}"));
        }
    }
    for flag in ["--glob", "--prefix", "--key", "-o", "--file", "--nonsense", "--from"] {
        for name in ["get", "keys", "scan", "del", "put", "dump-segment", "count"] {
            let args = [name.as_ref(), flag.as_ref(), live.as_os_str()];
            let output = run(program(place.path()).args(["-m", "table"]), &dir, &args);
            assert_harmless(&output, &format!("{name} {flag}"));
        }
    }
}

#[test]
fn no_argument_variable_or_script_is_printed_unescaped() {
    let (place, dir) = hostile_store();
    let script = place.path().join(hostile_name("script"));
    fs::write(&script, [b"get ", HOSTILE, b"\nput \"\\q", HOSTILE, b"\n", HOSTILE, b" a\n"].concat())
        .expect("a script");
    let hostile = OsStr::from_bytes(HOSTILE);
    let flags =
        ["-f", "-c", "-m", "--sync", "--config", "--color", "--width", "--segment-size", "--nonsense"];
    for flag in flags {
        let mut command = program(place.path());
        let output = command.args(["-m", "table"]).arg(flag).arg(hostile).arg(&dir).output().expect("runs");
        assert_harmless(&output, flag);
    }
    let output = program(place.path()).args(["-m", "table", "-f"]).arg(&script).arg(&dir).output();
    let output = output.expect("runs");
    assert_harmless(&output, "a script");
    assert_eq!(output.status.code(), Some(1));
    for name in ["LOGKV_DIR", "LOGKV_SYNC", "LOGKV_VALUE_LIMIT", "LOGKV_TRUST", "TERM", "PAGER"] {
        let mut command = program(place.path());
        assert_harmless(&run(command.env(name, hostile), &dir, &["stats".as_ref()]), name);
    }
    let misspelt = OsString::from_vec(b"LOGKV_SYNC\x1b".to_vec());
    let mut command = program(place.path());
    assert_harmless(&run(command.env(misspelt, "never"), &dir, &["stats".as_ref()]), "a name");
}

#[test]
fn no_file_of_the_directory_is_printed_unescaped() {
    let escaped: String = HOSTILE_TEXT.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    for toml in [
        HOSTILE_TEXT.to_owned(),
        format!("\"{escaped}\" = 1"),
        format!("sync = \"{escaped}\""),
        format!("sync = [\"{escaped}\"]"),
    ] {
        let (place, dir) = hostile_store();
        fs::write(dir.join("logkv.toml"), toml).expect("options");
        let output = run(&mut program(place.path()), &dir, &["config".as_ref()]);
        assert_harmless(&output, "logkv.toml");
        assert_eq!(output.status.code(), Some(2));
    }
    let (place, dir) = hostile_store();
    fs::write(dir.join(hostile_name("stranger")), "").expect("a file");
    rewrite_manifest(&dir, |line| match line.strip_prefix("segment") {
        Some(_) => format!("segment {HOSTILE_TEXT}"),
        None => line.to_owned(),
    });
    let mut refused = 0;
    let damaged = ["get plain", "verify", "dump-segment 1", "stats", "repair --to repaired", "segments"];
    for line in damaged {
        let words: Vec<&OsStr> = line.split(' ').map(OsStr::new).collect();
        for mode in ["table", "plain", "json"] {
            let output = run(program(place.path()).args(["-m", mode]), &dir, &words);
            assert_harmless(&output, line);
            refused += u32::from(!output.status.success());
        }
    }
    assert!(refused >= 12, "only {refused} commands found the MANIFEST damaged");
    fs::remove_file(dir.join("MANIFEST")).expect("is removed");
    for line in damaged {
        let words: Vec<&OsStr> = line.split(' ').map(OsStr::new).collect();
        assert_harmless(&run(&mut program(place.path()), &dir, &words), line);
    }
}

#[test]
fn a_history_line_with_control_characters_is_dropped() {
    let place = scratch();
    let state = place.path().join("state");
    fs::create_dir_all(state.join("logkv")).expect("a directory");
    fs::write(state.join("logkv/history"), format!("#V2\nget harmless\nget {HOSTILE_TEXT}\n"))
        .expect("history");
    let state = state.to_str().expect("text").to_owned();
    let mut person = Person::at(place.path(), &["d"], &[("XDG_STATE_HOME", state.as_str())]);
    person.sees_at_end("logkv d>").types("\x1b[A").sees("logkv d> get harmless");
}

#[test]
fn a_history_that_is_a_fifo_is_reported_and_not_waited_for() {
    let place = scratch();
    fs::create_dir_all(place.path().join("state/logkv")).expect("a directory");
    let fifo = place.path().join("state/logkv/history");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("a FIFO");
    let state = place.path().join("state").to_str().expect("text").to_owned();
    let mut person = Person::at(place.path(), &["d"], &[("XDG_STATE_HOME", state.as_str())]);
    person.sees("cannot keep the history").sees_at_end("logkv d>");
}
