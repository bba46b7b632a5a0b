//! A program that drives logkv through a pipe: it gets an answer to each line, recognises the end
//! of the answer, and learns which lines failed.

mod client;
mod flags;
mod streams;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::thread;

use serde_json::Value;

use crate::common::{interrupt, open, piped, scratch, segment_path};
use crate::person::Person;
use crate::transcript::Transcript;

/// A store of three keys, the second of which has a damaged value.
fn with_damage(transcript: &Transcript) {
    let store = open(&transcript.path("damaged"));
    for key in ["a", "b", "c"] {
        store.put(key, "value").expect("is written");
    }
    store.close().expect("is closed");
    let path = segment_path(&transcript.path("damaged"), 1);
    let mut bytes = fs::read(&path).expect("can be read");
    let at = bytes.windows(5).enumerate().filter(|(_, part)| part == b"value").nth(1).expect("a value").0;
    bytes[at] ^= 1;
    fs::write(&path, bytes).expect("can be written");
}

/// `text` without checksums of records, which vary.
fn without_checksums(text: &str) -> String {
    regex::Regex::new(r"\b(stored|computed) [0-9a-f]{8}")
        .expect("a pattern")
        .replace_all(text, "$1")
        .into_owned()
}

#[test]
fn each_failure_is_a_json_object_in_order() {
    let mut transcript = Transcript::new();
    fs::write(transcript.path("inner"), "count\nfrob\n").expect("writes a file");
    fs::write(transcript.path("rows.tsv"), "k\tv\nbad\n").expect("writes a file");
    transcript.run_with(
        "--json d",
        b"put a 1\nfrob\nput a 'x' --ttl soon\nget nokey\nincr a x\nput t text\nincr t\nput u 1\nget a --at \
        99999\nread inner\nimport rows.tsv\nput \"b\"c\nbegin\nput v 1\nfrob\ncommit\nput 'open\nover \
        lines\n",
    );
    transcript
        .run("--json d -c 'get a' -c frob -c 'get a'")
        .run("--json d -f inner")
        .run("--bail --json d -f inner");
    for line in [
        "--json d frob",
        "--json d get",
        "d get a --json --frob",
        "d get a --at 99999 --json",
        "nowhere get a --json",
        "--json --frob d get a",
        "-m json --width 3 d get a",
        "--json",
        "--json --sync often d get a",
        "--json --sync often d -c 'get a'",
        "--json --config - d get a",
        "--json - get a",
        "d -c 'frob --json' -c 'get a --json'",
        "--json d -c 'output out' -c frob -c output -c count",
    ] {
        transcript.run(line);
    }
    let out = fs::read_to_string(transcript.path("out")).expect("was written");
    assert_eq!(out, "{\"error\":\"unknown command frob\",\"kind\":\"usage\",\"code\":1,\"line\":2}\n");
    transcript.compare("shell-pipe-failures");
}

#[test]
fn damage_is_reported_in_order_and_hides_no_later_result() {
    let transcript = Transcript::new();
    with_damage(&transcript);
    let run = |line: &str| {
        let args: Vec<_> = line.split(' ').collect();
        let output = transcript.command(&args).output().expect("runs");
        let objects: Vec<Value> = output
            .stdout
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        (objects, output.status.code())
    };
    for (line, count, damaged_at) in [
        ("--json damaged get a b c", 3, 1),
        ("--json damaged get a b c --at 3", 3, 1),
        ("--json damaged scan", 3, 2),
        ("--json damaged export", 3, 2),
        ("--json -r damaged tail --from 1", 3, 1),
        ("--json damaged verify", 3, 2),
        ("--json damaged dump-segment 1 --values none", 5, 4),
    ] {
        let (objects, code) = run(line);
        assert_eq!((objects.len(), code), (count, Some(4)), "{line}: {objects:#?}");
        for (at, object) in objects.iter().enumerate() {
            let is_error = at == damaged_at;
            assert_eq!(object["kind"] == "damaged" && object["code"] == 4, is_error, "{line}: {objects:#?}");
            assert_eq!(object["error"].is_string(), is_error, "{line}");
        }
    }
    let mut child = piped(&mut transcript.command(&["--ack", "damaged"]));
    child
        .stdin
        .take()
        .expect("is piped")
        .write_all(b"get a b c\nget c\ntail --from 1\n")
        .expect("reads its input");
    let output = child.wait_with_output().expect("exits");
    let said = without_checksums(&String::from_utf8_lossy(&output.stdout));
    let lines: Vec<_> = said.lines().filter(|line| !line.contains('\t')).collect();
    assert!(lines[2].starts_with("ERR 4 ") && lines[5].starts_with("ERR 4 "), "{said}");
    assert_eq!([lines[0], lines[1], lines[3], lines[4]], ["value", "value", "value", "OK"], "{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("-:1: error: ") && errors.contains("-:3: error: "),
        "each command of a call has its line: {errors}"
    );
}

#[test]
fn with_bail_a_script_ends_at_an_answer_that_damage_makes_uncertain() {
    for line in
        ["exists x", "get x", "scan", "stats", "del x", "incr x", "put x 1 --nx", "put x 1 --xx", "persist x"]
    {
        let transcript = Transcript::new();
        with_damage(&transcript);
        let mut child = piped(&mut transcript.command(&["--ack", "--bail", "damaged"]));
        let script = format!("put first 1\n{line}\nput second 2\n");
        child.stdin.take().expect("is piped").write_all(script.as_bytes()).expect("reads its input");
        let output = child.wait_with_output().expect("exits");
        let said = String::from_utf8_lossy(&output.stdout);
        let ends: Vec<_> = said.lines().filter(|line| *line == "OK" || line.starts_with("ERR 4 ")).collect();
        assert_eq!((ends.len(), ends[0], output.status.code()), (2, "OK", Some(4)), "{line}: {said}");
        let found = transcript.command(&["damaged", "get", "second"]).output().expect("runs");
        assert!(found.stdout.is_empty(), "{line}");
    }
}

#[test]
fn json_mode_at_the_prompt_prints_the_object_and_the_sentence() {
    let dir = scratch();
    let mut person = Person::at(dir.path(), &["--json", "d"], &[]);
    person.sees_at_end("logkv d>").enters("frob");
    person.sees(r#"{"error":"unknown command frob","kind":"usage","code":1}"#).sees("hint: help lists");
    person.sees_at_end("logkv d>").enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
}

#[test]
fn an_acknowledgement_ends_each_answer_in_every_mode() {
    let mut transcript = Transcript::new();
    fs::write(transcript.path("inner"), "count\nfrob\nput in 1\nput 'two\nlines' 2\n")
        .expect("writes a file");
    let script = b"put a 1\n\n# a comment\nfrob\nget nokey\nput 'open\nget a\nput k \"\\q\"\nread inner\n\
        put nl \"x\\n\"\nget nl\nbegin\nput b 2\ncommit\nbegin\nput b 3\nfrob\ncommit\nincr a\nincr a x\n\
        put a 1 --nx\nget a --json\nfrob --json\noutput out\ncount\noutput\nmode json\ncount\nquit\n\
        put never 1\n";
    for mode in ["plain", "raw", "json"] {
        transcript.run_with(&format!("--ack -m {mode} {mode}"), script);
        assert_eq!(
            fs::read(transcript.path("out")).expect("was written").iter().filter(|&&b| b == b'\n').count(),
            1
        );
    }
    transcript.run_with("--ack --bail d", b"put a 1\nfrob\nput b 1\n");
    transcript.run_with("--ack --echo --json d", b"put a 1\nget a");
    transcript.run("--ack d -c 'get a' -c frob").run("--ack d -f inner").run("--ack d get a").run("--ack d");
    transcript.run_with("--ack d", b"begin\nput a 1\n");
    transcript.compare("shell-pipe-ack");
}

#[test]
fn a_results_file_that_cannot_be_written_fails_once_and_results_return_to_standard_output() {
    let transcript = Transcript::new();
    let run = |args: &[&str], script: &[u8]| {
        let mut child = piped(&mut transcript.command(args));
        child.stdin.take().expect("is piped").write_all(script).expect("reads its input");
        let output = child.wait_with_output().expect("exits");
        let [said, errors] =
            [output.stdout, output.stderr].map(|said| String::from_utf8(said).expect("text"));
        (said, errors.lines().filter(|line| line.contains("error: ")).count(), output.status.code())
    };
    let script = b"output /dev/full\nput a 1\nget a\noutput out\nput b 2\nget b\noutput\nget b\n";
    let why = "cannot write results to /dev/full: No space left on device; the commands were \
        executed, and results go to the standard output again";
    let (said, error_count, code) = run(&["--ack", "-m", "plain", "d"], script);
    assert_eq!(said, format!("OK\nOK\nERR 1 {why}\nOK\nOK\nOK\nOK\n2\nOK\n"));
    assert_eq!((error_count, code), (1, Some(1)));
    assert_eq!(fs::read(transcript.path("out")).expect("was written"), b"2\n");
    // The write before the failure is in the store, and the failure is one object.
    let (said, error_count, code) = run(&["--ack", "--json", "e"], script);
    let error = format!(r#"{{"error":"{why}","kind":"failed","code":1,"line":2}}"#);
    let refused = format!(r#"{{"ack":2,"ok":false,"code":1,"error":"{why}"}}"#);
    assert!(said.contains(&format!("\n{error}\n{refused}\n")), "{said}");
    assert_eq!((said.matches("\"error\"").count(), said.matches("\"ok\":true}").count()), (2, 7), "{said}");
    assert_eq!((error_count, code), (1, Some(1)));
    assert!(said.contains(r#"{"key":"a","value":"1""#), "{said}");
    // Without acknowledgements, more results are lost before the failure is noticed, at the end of
    // the script at the latest.
    for (mode, count) in [("plain", 0), ("json", 1)] {
        let (said, error_count, code) = run(&["-m", mode, mode], script);
        assert_eq!((said.matches("/dev/full").count(), error_count, code), (count, 1, Some(1)), "{said}");
        assert!(said.contains('2'), "{said}");
        assert_eq!(transcript.answer(&["-m", "plain", mode, "count"]).1, "2\n");
    }
    // A result longer than the buffer fails immediately.
    let long = format!("put a {}\noutput /dev/full\nget a\nget a\n", "v".repeat(200_000));
    let (said, error_count, code) = run(&["--ack", "-m", "plain", "l"], long.as_bytes());
    assert!(
        said.starts_with(&format!("OK\nOK\nERR 1 {why}\nvvv")) && said.ends_with("v\nOK\n"),
        "{error_count} errors"
    );
    assert_eq!((error_count, code), (1, Some(1)));
}

#[test]
fn an_error_that_ends_the_script_names_its_own_line_and_no_acknowledged_one() {
    let transcript = Transcript::new();
    let args = ["-c", "begin", "-c", "put x 1", "-c", "quit"];
    let (code, said) = transcript.answer(&[&["-m", "plain", "--ack", "d"], &args[..]].concat());
    assert_eq!(
        (code, said.as_str()),
        (Some(1), "OK\nOK\nERR 1 the batch was not committed; 1 change discarded\n")
    );
    let (_, said) = transcript.answer(&[&["--json", "--ack", "d"], &args[..]].concat());
    let ends: Vec<_> = said.lines().rev().take(2).collect();
    assert!(ends[0].starts_with(r#"{"ack":3,"ok":false,"code":1,"#), "{said}");
    assert!(ends[1].ends_with(r#""line":3}"#), "{said}");
    let (_, said) = transcript.answer(&[&["--json", "--ack", "d"], &args[..4]].concat());
    assert!(said.ends_with("\"kind\":\"failed\",\"code\":1}\n"), "a line was answered twice: {said}");
    fs::write(transcript.path("leaves"), "put x 1\nquit\n").expect("a script");
    let (_, said) = transcript.answer(&["-m", "plain", "--ack", "d", "-c", "begin", "-c", "read leaves"]);
    assert!(said.starts_with("OK\nERR 1 the batch"), "{said}");
    let mut child = piped(&mut transcript.command(&["--json", "--ack", "d"]));
    let mut stdin = child.stdin.take().expect("is piped");
    stdin.write_all(b"count\n").expect("reads its input");
    let mut answers = BufReader::new(child.stdout.take().expect("is piped")).lines();
    let mut next = || answers.next().expect("answers").expect("text");
    assert_eq!([next(), next()], [r#"{"count":0}"#, r#"{"ack":1,"ok":true}"#]);
    interrupt(&child);
    assert_eq!(next(), r#"{"error":"interrupted","kind":"interrupted","code":130}"#);
    assert_eq!(child.wait().expect("exits").code(), Some(130));
}

#[test]
fn a_failed_open_is_an_answer() {
    let transcript = Transcript::new();
    let args = ["--ack", "-m", "plain", "--no-create", "d"];
    let (code, said) = transcript.answer(&args);
    assert!(said.starts_with("ERR 3 ") && said.lines().count() == 1 && code == Some(3), "{said}");
    let (code, said) = transcript.answer(&["--ack", "--json", "--no-create", "d"]);
    assert!(said.starts_with(r#"{"error":"#) && said.lines().count() == 1 && code == Some(3), "{said}");
}

#[test]
fn with_acknowledgements_output_is_for_programs() {
    let mut transcript = Transcript::new();
    transcript.run("--ack -m table d").run("--ack -m plain d -c 'mode table' -c mode");
    let dir = scratch();
    let mut person = Person::at(dir.path(), &["--ack", "d"], &[]);
    person.enters("get nobody").sees("not found: nobody").enters("mode").sees("plain");
    transcript.compare("shell-pipe-ack-table");
}

#[test]
fn each_c_flag_is_one_command_with_one_acknowledgement_even_with_line_breaks() {
    let transcript = Transcript::new();
    let lines = ["put \"a\nb\" 1", "get 'a\nb'", "put 'open", "count"];
    let args: Vec<_> = lines.iter().flat_map(|line| ["-c", *line]).collect();
    let (_, said) = transcript.answer(&[&["-m", "plain", "--ack", "d"], args.as_slice()].concat());
    let open = "ERR 1 the quote ' that opens in this line is never closed";
    assert_eq!(said, format!("OK\n1\nOK\n{open}\n1\nOK\n"));
    let (_, said) = transcript.answer(&[&["--json", "--ack", "d"], args.as_slice()].concat());
    let acks: Vec<_> = said.lines().filter(|line| line.starts_with("{\"ack\"")).collect();
    assert!(acks.len() == 4 && acks[3] == r#"{"ack":4,"ok":true}"#, "{said}");
    let (code, said) = transcript.answer(&[&["-m", "plain", "d"], args.as_slice()].concat());
    assert_eq!((code, said.as_str()), (Some(1), "1\n1\n"));
}

#[test]
fn a_long_word_is_truncated_in_every_message() {
    /// The word with its position, a hint and a caret.
    const LEN_MAX: usize = 1200;
    let transcript = Transcript::new();
    let help = transcript.answer(&["-m", "json", "d", "help"]).1;
    let objects = help.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let flag = regex::Regex::new(r"--[a-z-]+").expect("a pattern");
    let mut script = Vec::new();
    for object in objects {
        let [name, usage] = ["command", "usage"].map(|field| object[field].as_str().expect("text"));
        if ["help", "read", "tail", "quit", "tour", "restore"].contains(&name) {
            continue;
        }
        for word in [[b'x'; 20_000], [b'9'; 20_000], [0xff; 20_000]] {
            let mut add = |parts: &[&[u8]]| script.extend([&parts.join(&b' '), b"\n".as_slice()].concat());
            add(&[name.as_bytes(), &word]);
            add(&[name.as_bytes(), b"a", b"b", b"c", &word]);
            add(&[name.as_bytes(), &[b"--".as_slice(), &word].concat()]);
            for flag in flag.find_iter(usage).map(|flag| flag.as_str().as_bytes()) {
                add(&[name.as_bytes(), flag, &word]);
                add(&[name.as_bytes(), b"a", flag, &word]);
            }
        }
    }
    script.extend([b"frob".as_slice(), &[0xff; 1 << 20], b"\nget ", &[b'x'; 1 << 20], b"\n"].concat());
    fs::write(transcript.path("script"), script).expect("a script");
    let output = transcript.command(&["-q", "--json", "d", "-f", "script"]).output().expect("runs");
    let [said, errors] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).expect("text"));
    let objects = said.lines().filter(|line| line.starts_with("{\"error\""));
    assert!(objects.clone().count() > 100);
    let long = objects.chain(errors.lines()).filter(|line| line.len() > LEN_MAX);
    let long: Vec<_> = long.map(|line| format!("{} bytes: {}", line.len(), &line[..200])).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn a_line_that_is_too_long_gets_one_acknowledgement_and_the_next_line_runs() {
    let transcript = Transcript::new();
    let mut child = piped(&mut transcript.command(&["--ack", "--value-limit", "1", "d"]));
    let mut stdin = child.stdin.take().expect("is piped");
    let sender = thread::spawn(move || {
        let long = [b'a'; 2_000_000];
        drop(stdin.write_all(&[b"count\nput ".as_slice(), &long, b"\nput a 1\nget a\n", &long].concat()));
    });
    let output = child.wait_with_output().expect("exits");
    sender.join().expect("exits");
    let said = String::from_utf8_lossy(&output.stdout);
    let refused = "ERR 1 a command of more than 1.2 MiB is not read\n";
    assert_eq!(said, format!("0\nOK\n{refused}OK\n1\nOK\n{refused}"));
}
