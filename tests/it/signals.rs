//! SIGTERM, and SIGHUP from a closed terminal, end a session like Ctrl-D: the store is closed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use logkv::{Batch, Store};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::common::{
    binary, open, piped, program, program_of_system, quick, scratch, send, unclosed_store, wait_until,
};
use crate::person::Person;

const PROMPT: &str = "logkv d>";
/// The signals with their exit codes.
const ENDING: [(Signal, i32); 2] = [(Signal::TERM, 143), (Signal::HUP, 129)];

/// Starts the program with pipes for its standard streams, and with no signal ignored.
fn started(dir: &Path, args: &[&str]) -> Child {
    let mut command = program_of_system("env", dir);
    piped(command.arg("--default-signal=HUP,TERM,INT").arg(binary()).args(args))
}

fn lines(child: &mut Child) -> BufReader<ChildStdout> {
    BufReader::new(child.stdout.take().expect("is piped"))
}

fn next(lines: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).expect("can be read");
    line
}

/// Opens the store, and checks that its last writer closed it.
fn closed(dir: &Path) -> Store {
    let store = Store::open_with(dir.join("d"), quick()).expect("opens");
    let report = store.open_report();
    assert!(!report.unclean && report.skipped.is_empty(), "the store was not closed: {report:?}");
    store
}

fn with_many_keys(dir: &Path) {
    let store = open(&dir.join("d"));
    let mut batch = Batch::new();
    for number in 0..50_000 {
        batch.put(format!("key{number:05}"), "value");
    }
    store.write(&batch).expect("is written");
    store.close().expect("is closed");
}

#[test]
fn a_signal_ends_a_script_that_waits_for_a_line_and_closes_the_store() {
    for (signal, code) in ENDING {
        let dir = scratch();
        let mut child = started(dir.path(), &["d"]);
        let mut stdin = child.stdin.take().expect("is piped");
        let mut lines = lines(&mut child);
        stdin.write_all(b"put a 1\nget a\n").expect("reads");
        assert_eq!(next(&mut lines), "1\n");
        // Lines that are unread when the signal arrives, and later lines, must not run.
        send(&child, signal);
        assert_eq!(child.wait().expect("exits").code(), Some(code));
        drop(stdin);
        assert_eq!(closed(dir.path()).len(), 1);
    }
}

#[test]
fn a_signal_ends_a_waiting_command_and_closes_the_store() {
    for (signal, code) in ENDING {
        for args in [&["d", "tail", "-f"][..], &["d", "-c", "tail -f", "-c", "put b 2"]] {
            let dir = scratch();
            open(&dir.path().join("d")).put("a", "1").expect("is written");
            let mut child = started(dir.path(), args);
            assert!(next(&mut lines(&mut child)).contains('a'), "{args:?}");
            send(&child, signal);
            assert_eq!(child.wait().expect("exits").code(), Some(code), "{args:?}");
            assert_eq!(closed(dir.path()).len(), 1, "{args:?}");
        }
    }
}

#[test]
fn a_signal_ends_a_waiting_import_which_keeps_its_rows_and_closes_the_store() {
    for (signal, code) in ENDING {
        let dir = scratch();
        let mut child = started(dir.path(), &["d", "import", "-"]);
        let mut stdin = child.stdin.take().expect("is piped");
        stdin.write_all(b"{\"key\":\"a\",\"value\":\"1\"}\n").expect("reads");
        let reading = || Store::open_with(dir.path().join("d"), quick().read_only(true));
        wait_until(|| reading().is_ok_and(|store| store.len() == 1));
        send(&child, signal);
        assert_eq!(child.wait().expect("exits").code(), Some(code));
        drop(stdin);
        assert_eq!(closed(dir.path()).len(), 1);
    }
}

#[test]
fn a_signal_ends_a_command_blocked_on_its_output_and_closes_the_store() {
    let dir = scratch();
    with_many_keys(dir.path());
    let mut child = started(dir.path(), &["d", "-c", "put a 1", "-c", "scan --all"]);
    // The program writes until the pipe is full, and blocks.
    let mut stdout = child.stdout.take().expect("is piped");
    stdout.read_exact(&mut [0; 16]).expect("writes");
    send(&child, Signal::TERM);
    assert_eq!(child.wait().expect("exits").code(), Some(143));
    assert_eq!(closed(dir.path()).len(), 50_001);
}

#[test]
fn further_signals_during_the_close_lose_nothing() {
    let dir = scratch();
    with_many_keys(dir.path());
    let mut child = started(dir.path(), &["d"]);
    let mut stdin = child.stdin.take().expect("is piped");
    let mut lines = lines(&mut child);
    stdin.write_all(b"put a 1\nget a\n").expect("reads");
    assert_eq!(next(&mut lines), "1\n");
    while child.try_wait().expect("has permission").is_none() {
        send(&child, Signal::TERM);
        send(&child, Signal::HUP);
    }
    let code = child.wait().expect("exited").code();
    assert!(matches!(code, Some(143 | 129)), "{code:?}");
    assert_eq!(closed(dir.path()).len(), 50_001);
}

#[test]
fn a_signal_ignored_by_the_parent_stays_ignored() {
    for (ignored, sent) in [("HUP", vec![Signal::HUP]), ("HUP,TERM", vec![Signal::HUP, Signal::TERM])] {
        let dir = scratch();
        let mut command = program_of_system("env", dir.path());
        let mut child = piped(command.arg(format!("--ignore-signal={ignored}")).arg(binary()).arg("d"));
        let mut stdin = child.stdin.take().expect("is piped");
        let mut lines = lines(&mut child);
        stdin.write_all(b"put a 1\nget a\n").expect("reads");
        assert_eq!(next(&mut lines), "1\n");
        sent.into_iter().for_each(|signal| send(&child, signal));
        stdin.write_all(b"put a 2\nget a\n").expect("reads");
        assert_eq!(next(&mut lines), "2\n");
        drop(stdin);
        assert_eq!(child.wait().expect("exits").code(), Some(0));
    }
}

#[test]
fn a_signal_at_the_prompt_closes_the_store_and_discards_the_typed_line() {
    for (signal, _) in ENDING {
        let dir = scratch();
        let mut person = Person::at(dir.path(), &["d"], &[]);
        person.sees_at_end(PROMPT).enters("put a 1").sees("OK").sees_at_end(PROMPT);
        person.types("put b 2").sees("put b 2").sends(signal);
        assert_eq!(person.sees_it_end(), Some(0));
        assert_eq!(closed(dir.path()).len(), 1);
    }
}

#[test]
fn a_signal_ends_the_running_command_and_the_session() {
    for (signal, _) in ENDING {
        let dir = scratch();
        let mut person = Person::at(dir.path(), &["d"], &[]);
        person.sees_at_end(PROMPT).enters("put a 1").sees("OK").sees_at_end(PROMPT);
        person.enters("tail -f").sees("PUT   a                      1").sends(signal);
        assert_eq!(person.sees_it_end(), Some(0));
        assert_eq!(closed(dir.path()).len(), 1);
    }
}

#[test]
fn closing_the_terminal_window_closes_the_store() {
    let dir = scratch();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let mut window = File::from(openpt(flags).expect("a terminal can be opened"));
    grantpt(&window).and_then(|()| unlockpt(&window)).expect("is unlocked");
    let name = ptsname(&window, Vec::new()).expect("has a name");
    let terminal = File::options().read(true).write(true).open(name.to_str().expect("text")).expect("opens");
    let side = || Stdio::from(terminal.try_clone().expect("reopens"));
    let mut command = Command::new("setsid");
    command.args(["--ctty", "env", "--default-signal=HUP"]).arg(binary()).arg("d");
    command.current_dir(dir.path()).env_clear().envs([
        ("PATH", "/usr/bin:/bin"),
        ("TERM", "xterm"),
        ("NO_COLOR", "1"),
    ]);
    let mut child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("starts");
    drop(command);
    drop(terminal);
    let mut seen = String::new();
    let mut wait_for = |window: &mut File, text: &str| {
        let mut buffer = [0; 1024];
        while !seen.contains(text) {
            let len = window.read(&mut buffer).expect("the terminal is open");
            seen.push_str(&String::from_utf8_lossy(&buffer[..len]));
        }
    };
    wait_for(&mut window, PROMPT);
    window.write_all(b"put a 1\r").expect("accepts input");
    wait_for(&mut window, "OK");
    drop(window);
    assert_eq!(child.wait().expect("exits").code(), Some(0));
    assert_eq!(closed(dir.path()).len(), 1);
}

#[test]
fn a_recovery_is_reported_in_one_line_unless_quiet() {
    const NOTE: &str = "note: the last writer did not close the store: 5 records were read from the end \
        of the log, and nothing was cut off; the next record is number 1677723, because lost writes may \
        have used the numbers before it\n";
    let dir = scratch();
    for (args, expected) in [
        (&["d", "--json", "put", "a", "1"][..], NOTE),
        (&["-q", "d", "--json", "put", "a", "1"], ""),
        (&["d", "--json", "-c", "put a 1"], NOTE),
    ] {
        let store = dir.path().join("d");
        fs::rename(unclosed_store().keep(), &store).expect("renames");
        let output = program(dir.path()).args(args).output().expect("runs");
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected, "{args:?}");
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(answer.contains("\"seq\":1677723,"), "{answer}");
        // A later open does not report the skipped numbers again.
        let again = program(dir.path()).args(["d", "count"]).output().expect("runs");
        assert_eq!((again.stdout, again.stderr), (b"6\n".to_vec(), Vec::new()));
        fs::remove_dir_all(store).expect("is removed");
    }
    fs::rename(unclosed_store().keep(), dir.path().join("d")).expect("renames");
    let mut person = Person::at_terminal(dir.path(), &["d"], &[], (24, 200));
    person.sees("the last writer did not close the store: 5 records were read").sees_at_end(PROMPT);
}

#[test]
fn a_file_longer_than_at_the_close_is_reported_as_such() {
    let dir = scratch();
    let run = |line: &[&str]| {
        let output = program(dir.path()).args(line).output().expect("runs");
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
        (out, err)
    };
    run(&["d", "put", "a", "1"]);
    let mut file = File::options().append(true).open(dir.path().join("d/000001.seg")).expect("a segment");
    file.write_all(b"X").expect("is written");
    let (out, err) = run(&["d", "count"]);
    assert_eq!(out, "1\n");
    let expected = "note: the last segment is longer than when the store was closed: 0 records were read \
        after that end, and 1 B at 1:0x000070 was cut off";
    assert!(err.starts_with(expected) && err.lines().count() == 1, "{err}");
    assert_eq!(run(&["d", "count"]), ("1\n".to_owned(), String::new()));
}

#[test]
fn a_lost_lock_is_reported_once_for_each_command_and_not_at_the_end() {
    const REASON: &str = "LOCK was removed or replaced, and another process may be writing there; close the \
        store, and open it again";
    let dir = scratch();
    let mut child = started(dir.path(), &["-q", "d"]);
    let mut stdin = child.stdin.take().expect("is piped");
    stdin.write_all(b"put a 1\nget a\n").expect("reads");
    let mut answers = lines(&mut child);
    assert_eq!(next(&mut answers), "1\n");
    fs::remove_file(dir.path().join("d/LOCK")).expect("exists");
    stdin.write_all(b"rotate\nput b 2\n").expect("reads");
    drop(stdin);
    let output = child.wait_with_output().expect("exits");
    let expected = format!(
        "-:3: error: cannot write to ./d/MANIFEST: {REASON}\n-:4: error: the store accepts only reads after \
         a failed write: {REASON}\n"
    );
    assert_eq!(
        (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code()),
        (expected, Some(1))
    );
}

#[test]
fn a_repair_that_keeps_every_record_reports_no_unused_number_as_compacted() {
    let dir = scratch();
    fs::rename(unclosed_store().keep(), dir.path().join("d")).expect("renames");
    let run = |args: &[&str]| {
        let output = program(dir.path()).args(args).output().expect("runs");
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(run(&["d", "repair", "--to", "e"]).1, "");
    let (versions, errors) = run(&["-m", "plain", "e", "versions", "key 0"]);
    assert_eq!((versions.lines().count(), errors.as_str()), (1, ""));
    assert_eq!(run(&["e", "get", "key 4", "--at", "1000"]), ("value\n".to_owned(), String::new()));
    let (records, errors) = run(&["-q", "e", "tail", "--from", "1"]);
    assert_eq!((records.lines().count(), errors.as_str()), (5, ""));
    assert_eq!(run(&["-q", "e", "tail", "--from", "1000"]), (String::new(), String::new()));
}
