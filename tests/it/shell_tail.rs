//! The shell's feed of the log: `tail`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use logkv::{ManualClock, Store};

use crate::common::quick;
use crate::hooked::{SteadyRandom, hooked};
use crate::person::{CTRL_C, Person};
use crate::transcript::{Transcript, command};

const MODES: [&str; 3] = ["table", "plain", "json"];

#[test]
fn the_last_records_are_shown_in_every_mode() {
    for mode in MODES {
        let mut transcript = Transcript::new();
        let script = b"put user:1 alice user:2 bob\nbegin\nput user:1 'Alice Cooper'\ndel user:2\nput \
            user:3 ''\ncommit\nput \"tab\\there\" \"\\xff\" --ttl 100d\nput long \
            0123456789012345678901234567890123456789012345678901234567890123456789\n";
        transcript.run_with("-m plain d", script);
        for line in
            ["tail", "tail -n 2", "tail --from 4", "tail --from 2 --lines 1", "tail --from 99", "tail -n 0"]
        {
            transcript.run(&format!("-m {mode} --width 80 d {line}"));
        }
        transcript.run(&format!("-m {mode} --width 80 --ascii d tail -n 5"));
        transcript.run(&format!("-r -m {mode} --width 80 d tail -n 1"));
        transcript.compare(&format!("shell-tail-{mode}"));
    }
}

#[test]
fn tail_reports_compacted_and_damaged_records_and_refuses_wrong_arguments() {
    let mut transcript = Transcript::new();
    transcript.run_with("-m plain d", b"put k 1\nput k 2\nput l 1\ncompact --all\n");
    transcript.run("d tail --from 1").run("--json d tail --from 1").run("d tail");
    for line in
        ["tail k", "tail --from k", "tail --from 101x", "tail -n -1", "tail --from", "tail --backwards"]
    {
        transcript.run(&format!("d {line}"));
    }
    for cursor in
        ["4@", "@6b1f0c5e8d7a4b32", "4@6b1f0c5e8d7a4b3", "4@6b1f0c5e8d7a4b3x", "0x4@6b1f0c5e8d7a4b32"]
    {
        transcript.run(&format!("d tail --from {cursor}"));
    }
    for line in ["get k --at 3@6b1f0c5e8d7a4b32", "diff 3@6b1f0c5e8d7a4b32", "diff 1 0@6b1f0c5e8d7a4b32"] {
        transcript.run(&format!("d {line}"));
    }
    transcript.run("nowhere tail");
    // Random numbers are fixed, since checksums depend on the salt of the segment.
    let steady = hooked(SteadyRandom::default());
    let options = quick().clock(Arc::new(ManualClock::at(1_767_225_600_000))).file_system(steady);
    let store = Store::open_with(transcript.path("e"), options).expect("opens");
    store.put("k", "1").expect("a put");
    store.put("l", "1").expect("a put");
    store.close().expect("closes");
    let path = transcript.path("e/000001.seg");
    let mut bytes = std::fs::read(&path).expect("a segment");
    // The body of the first record, after the segment header of 64 bytes.
    bytes[64 + 40] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    transcript.run("-r e tail --from 1");
    transcript.compare("shell-tail-refusals");
}

#[test]
fn tail_continues_from_a_printed_cursor_and_reports_a_restored_store() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = |args: &[&str]| {
        let output = command(dir.path(), args).output().expect("runs");
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
        (out, err, output.status.code().expect("a code"))
    };
    let cursors = |out: &str| -> Vec<String> {
        let objects = out.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        objects.filter_map(|object: serde_json::Value| Some(object["cursor"].as_str()?.to_owned())).collect()
    };
    let note = |cursor: &str| format!("note: `tail --from {cursor}` continues from here\n");
    run(&["d", "put", "a", "1", "b", "2"]);
    let backup = cursors(&run(&["--json", "d", "backup", "copy"]).0);
    let export = cursors(&run(&["--json", "d", "export", "rows.jsonl"]).0);
    let tail = cursors(&run(&["--json", "d", "tail"]).0);
    let printed = run(&["--json", "d", "export"]);
    assert_eq!((printed.0.lines().count(), printed.1), (2, note(&tail[0])), "no row is a cursor");
    assert_eq!(run(&["-q", "--json", "d", "export"]), (printed.0, String::new(), 0));
    assert_eq!((&backup, &export), (&tail, &tail), "all three print the same cursor");
    let [from] = tail.as_slice() else { panic!("one batch has one cursor: {tail:?}") };
    assert_eq!(cursors(&run(&["--json", "d", "tail", "--from", from]).0), tail, "no later record");
    run(&["d", "put", "c", "3"]);
    let (out, err, code) = run(&["-m", "plain", "d", "tail", "--from", from]);
    assert!(code == 0 && out.lines().count() == 1 && out.ends_with("PUT\tc\t3\n"), "{out}{err}");
    // The cursor in the message can be typed back.
    let cursor_of_note = err.split('`').nth(1).expect("a command").split(' ').next_back().expect("a cursor");
    assert_eq!(run(&["-m", "plain", "d", "tail", "--from", cursor_of_note]).0, "");
    run(&["e", "restore", "copy"]);
    run(&["e", "put", "c", "another", "d", "4"]);
    for from in [cursor_of_note, from.as_str()] {
        for args in [&["e", "tail"][..], &["-r", "e", "tail", "-f"]] {
            let (out, err, code) = run(&[args, &["--from", from]].concat());
            assert!(code == 1 && out.is_empty() && err.lines().count() == 1, "{out}{err}");
            assert!(err.contains("another lineage") && err.contains("rebuild from"), "{err}");
        }
    }
    let (_, err, code) = run(&["-r", "e", "tail", "-f", "--from", "101"]);
    assert!(code == 1 && err.contains("the next one is 5") && err.contains("rebuild from"), "{err}");
}

/// A program that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut command: Command) -> Running {
    Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts"))
}

#[test]
fn tail_follows_another_process_until_its_own_output_is_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = start(command(dir.path(), &["d"]));
    let mut input = writer.0.stdin.take().expect("is piped");
    let mut answers = BufReader::new(writer.0.stdout.take().expect("is piped"));
    let mut tell = |line: &str| {
        // The answer of `exists` comes after the acknowledgement of the line before it.
        writeln!(input, "{line}\nexists nothing").and_then(|()| input.flush()).expect("reads its input");
        answers.read_line(&mut String::new()).expect("answers");
    };
    tell("put a 1");
    let mut reader = start(command(dir.path(), &["-r", "-m", "plain", "d", "tail", "-f", "--from", "1"]));
    let mut lines = BufReader::new(reader.0.stdout.take().expect("is piped")).lines();
    let mut next = || {
        let line = lines.next().expect("a line").expect("text");
        let (_, record) = line.rsplit_once(":0x").expect("a place");
        record.split('\t').skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(next(), "PUT a 1");
    for (line, records) in [
        ("put b 2", &["PUT b 2"][..]),
        ("rotate", &[]),
        ("del a", &["DEL a -"]),
        ("begin\nput c 3\ndel b\ncommit", &["DEL b -", "PUT c 3"]),
        ("compact --all", &[]),
        ("put d 4", &["PUT d 4"]),
    ] {
        tell(line);
        records.iter().for_each(|record| assert_eq!(next(), *record, "{line}"));
    }
    drop(lines);
    // Without further writes, the program must notice by itself that its output is closed.
    assert_eq!(reader.0.wait().expect("exits").code(), Some(0));
}

#[test]
fn ctrl_c_ends_a_followed_tail_and_the_session_continues() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut person = Person::at(dir.path(), &["d"], &[]);
    person
        .sees_at_end("logkv d>")
        .enters("put a 1")
        .sees("OK")
        .enters("tail -f")
        .sees("PUT   a                      1");
    person.types(CTRL_C).sees("interrupted after 1 record").sees_at_end("logkv d>");
    person.enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
}

#[test]
fn a_followed_tail_reports_a_missing_directory_and_a_lack_of_file_watches() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = crate::common::open(&dir.path().join("d"));
    store.put("a", "1").expect("a put");
    let mut reader = start(command(dir.path(), &["-r", "d", "tail", "-f", "--from", "1"]));
    let mut lines = BufReader::new(reader.0.stdout.take().expect("is piped"));
    lines.read_line(&mut String::new()).expect("has started");
    std::fs::rename(dir.path().join("d"), dir.path().join("e")).expect("is renamed");
    assert_eq!(reader.0.wait().expect("exits").code(), Some(1));
    let full = std::fs::File::options().write(true).open("/dev/full").expect("exists");
    let mut reader = command(dir.path(), &["-r", "e", "tail", "-f", "--from", "1"]);
    let ended = reader.stdout(full).stderr(Stdio::null()).status().expect("exits");
    assert_eq!(ended.code(), Some(1));
}
