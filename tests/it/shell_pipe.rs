//! A program on the other end of the pipe: it gets an answer to each line, knows where that ends, and what failed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use rustix::fs::{CWD, FileType, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{
    Random, binary, copy_of, interrupt, open, piped, program_of_system, scratch, segment_path, skipped,
    wait_until,
};
use crate::machine::works;
use crate::person::Person;
use crate::shell_transfer::bitcask_record;
use crate::transcript::{Transcript, command};

/// A store with three keys, the second of which has a damaged value.
fn with_damage(transcript: &Transcript) {
    let store = open(&transcript.path("damaged"));
    for key in ["a", "b", "c"] {
        store.put(key, "value").expect("it is written");
    }
    store.close().expect("it is closed");
    let path = segment_path(&transcript.path("damaged"), 1);
    let mut bytes = fs::read(&path).expect("it can be read");
    let at = bytes.windows(5).enumerate().filter(|(_, part)| part == b"value").nth(1).expect("a value").0;
    bytes[at] ^= 1;
    fs::write(&path, bytes).expect("it can be written");
}

/// `text`, in which no checksum of a record is: it is another one each time.
fn without_checksums(text: &str) -> String {
    regex::Regex::new(r"\b(stored|computed) [0-9a-f]{8}")
        .expect("a pattern")
        .replace_all(text, "$1")
        .into_owned()
}

#[test]
fn each_failure_is_an_object_in_its_place_in_json() {
    let mut transcript = Transcript::new();
    fs::write(transcript.path("inner"), "count\nfrob\n").expect("a file can be written");
    fs::write(transcript.path("rows.tsv"), "k\tv\nbad\n").expect("a file can be written");
    transcript.run_with(
        "--json d",
        b"put a 1\nfrob\nput a 'x' --ttl soon\nget nokey\nincr a x\nput t text\nincr t\nput u 1\nget a --at 99999\n\
          read inner\nimport rows.tsv\nput \"b\"c\nbegin\nput v 1\nfrob\ncommit\nput 'open\nover lines\n",
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
    let out = fs::read_to_string(transcript.path("out")).expect("it was written");
    assert_eq!(out, "{\"error\":\"unknown command frob\",\"kind\":\"usage\",\"code\":1,\"line\":2}\n");
    transcript.compare("shell-pipe-failures");
}

#[test]
fn what_is_damaged_is_told_in_its_place_and_hides_nothing_behind_it() {
    let transcript = Transcript::new();
    with_damage(&transcript);
    let run = |line: &str| {
        let args: Vec<_> = line.split(' ').collect();
        let output = transcript.command(&args).output().expect("it runs");
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
        .expect("it is piped")
        .write_all(b"get a b c\nget c\ntail --from 1\n")
        .expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    let said = without_checksums(&String::from_utf8_lossy(&output.stdout));
    let lines: Vec<_> = said.lines().filter(|line| !line.contains('\t')).collect();
    assert!(lines[2].starts_with("ERR 4 ") && lines[5].starts_with("ERR 4 "), "{said}");
    assert_eq!([lines[0], lines[1], lines[3], lines[4]], ["value", "value", "value", "OK"], "{said}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("-:1: error: ") && told.contains("-:3: error: "),
        "a part of a command has its line: {told}"
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
        child.stdin.take().expect("it is piped").write_all(script.as_bytes()).expect("it listens");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout);
        let ends: Vec<_> = said.lines().filter(|line| *line == "OK" || line.starts_with("ERR 4 ")).collect();
        assert_eq!((ends.len(), ends[0], output.status.code()), (2, "OK", Some(4)), "{line}: {said}");
        let found = transcript.command(&["damaged", "get", "second"]).output().expect("it runs");
        assert!(found.stdout.is_empty(), "{line}");
    }
}

#[test]
fn a_person_in_mode_json_sees_the_object_and_the_sentence() {
    let dir = scratch();
    let mut person = Person::at(dir.path(), &["--json", "d"], &[]);
    person.sees_at_end("logkv d>").enters("frob");
    person.sees(r#"{"error":"unknown command frob","kind":"usage","code":1}"#).sees("hint: help lists");
    person.sees_at_end("logkv d>").enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
}

#[test]
fn an_acknowledgement_ends_the_answer_to_each_line_in_every_mode() {
    let mut transcript = Transcript::new();
    fs::write(transcript.path("inner"), "count\nfrob\nput in 1\nput 'two\nlines' 2\n")
        .expect("a file can be written");
    let script = b"put a 1\n\n# a comment\nfrob\nget nokey\nput 'open\nget a\nput k \"\\q\"\nread inner\nput nl \"x\\n\"\nget nl\n\
                   begin\nput b 2\ncommit\nbegin\nput b 3\nfrob\ncommit\nincr a\nincr a x\nput a 1 --nx\nget a --json\nfrob --json\n\
                   output out\ncount\noutput\nmode json\ncount\nquit\nput never 1\n";
    for mode in ["plain", "raw", "json"] {
        transcript.run_with(&format!("--ack -m {mode} {mode}"), script);
        assert_eq!(
            fs::read(transcript.path("out")).expect("it was written").iter().filter(|&&b| b == b'\n').count(),
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
fn a_file_that_takes_no_results_is_a_failure_once_and_leads_back_to_the_standard_output() {
    let transcript = Transcript::new();
    let run = |args: &[&str], script: &[u8]| {
        let mut child = piped(&mut transcript.command(args));
        child.stdin.take().expect("it is piped").write_all(script).expect("it listens");
        let output = child.wait_with_output().expect("it ends");
        let [said, told] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).expect("text"));
        (said, told.lines().filter(|line| line.contains("error: ")).count(), output.status.code())
    };
    let script = b"output /dev/full\nput a 1\nget a\noutput out\nput b 2\nget b\noutput\nget b\n";
    let why = "cannot write results to /dev/full: No space left on device; what was done is done, and results go to \
               the standard output again";
    let (said, told, code) = run(&["--ack", "-m", "plain", "d"], script);
    assert_eq!(said, format!("OK\nOK\nERR 1 {why}\nOK\nOK\nOK\nOK\n2\nOK\n"));
    assert_eq!((told, code), (1, Some(1)));
    assert_eq!(fs::read(transcript.path("out")).expect("it was written"), b"2\n");
    // The write that is told of went in, as is said; and its failure is one object.
    let (said, told, code) = run(&["--ack", "--json", "e"], script);
    let error = format!(r#"{{"error":"{why}","kind":"failed","code":1,"line":2}}"#);
    let refused = format!(r#"{{"ack":2,"ok":false,"code":1,"error":"{why}"}}"#);
    assert!(said.contains(&format!("\n{error}\n{refused}\n")), "{said}");
    assert_eq!((said.matches("\"error\"").count(), said.matches("\"ok\":true}").count()), (2, 7), "{said}");
    assert_eq!((told, code), (1, Some(1)));
    assert!(said.contains(r#"{"key":"a","value":"1""#), "{said}");
    // Without acknowledgements more is lost before that is seen, and it is told no later than where it ends.
    for (mode, count) in [("plain", 0), ("json", 1)] {
        let (said, told, code) = run(&["-m", mode, mode], script);
        assert_eq!((said.matches("/dev/full").count(), told, code), (count, 1, Some(1)), "{said}");
        assert!(said.contains('2'), "{said}");
        assert_eq!(transcript.answer(&["-m", "plain", mode, "count"]).1, "2\n");
    }
    // A result that is longer than what is held fails by itself.
    let long = format!("put a {}\noutput /dev/full\nget a\nget a\n", "v".repeat(200_000));
    let (said, told, code) = run(&["--ack", "-m", "plain", "l"], long.as_bytes());
    assert!(said.starts_with(&format!("OK\nOK\nERR 1 {why}\nvvv")) && said.ends_with("v\nOK\n"), "{told}");
    assert_eq!((told, code), (1, Some(1)));
}

#[test]
fn what_ends_the_script_is_told_in_its_line_and_of_no_line_that_was_acknowledged() {
    let transcript = Transcript::new();
    let args = ["-c", "begin", "-c", "put x 1", "-c", "quit"];
    let (code, said) = transcript.answer(&[&["-m", "plain", "--ack", "d"], &args[..]].concat());
    assert_eq!(
        (code, said.as_str()),
        (Some(1), "OK\nOK\nERR 1 the batch was not committed; 1 change forgotten\n")
    );
    let (_, said) = transcript.answer(&[&["--json", "--ack", "d"], &args[..]].concat());
    let ends: Vec<_> = said.lines().rev().take(2).collect();
    assert!(ends[0].starts_with(r#"{"ack":3,"ok":false,"code":1,"#), "{said}");
    assert!(ends[1].ends_with(r#""line":3}"#), "{said}");
    let (_, said) = transcript.answer(&[&["--json", "--ack", "d"], &args[..4]].concat());
    assert!(said.ends_with("\"kind\":\"failed\",\"code\":1}\n"), "no line is answered twice: {said}");
    fs::write(transcript.path("leaves"), "put x 1\nquit\n").expect("a script");
    let (_, said) = transcript.answer(&["-m", "plain", "--ack", "d", "-c", "begin", "-c", "read leaves"]);
    assert!(said.starts_with("OK\nERR 1 the batch"), "{said}");
    let mut child = piped(&mut transcript.command(&["--json", "--ack", "d"]));
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"count\n").expect("it listens");
    let mut answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut next = || answers.next().expect("it answers").expect("text");
    assert_eq!([next(), next()], [r#"{"count":0}"#, r#"{"ack":1,"ok":true}"#]);
    interrupt(&child);
    assert_eq!(next(), r#"{"error":"interrupted","kind":"interrupted","code":130}"#);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}

#[test]
fn a_store_that_does_not_open_is_an_answer() {
    let transcript = Transcript::new();
    let args = ["--ack", "-m", "plain", "--no-create", "d"];
    let (code, said) = transcript.answer(&args);
    assert!(said.starts_with("ERR 3 ") && said.lines().count() == 1 && code == Some(3), "{said}");
    let (code, said) = transcript.answer(&["--ack", "--json", "--no-create", "d"]);
    assert!(said.starts_with(r#"{"error":"#) && said.lines().count() == 1 && code == Some(3), "{said}");
}

#[test]
fn with_acknowledgements_results_are_for_programs() {
    let mut transcript = Transcript::new();
    transcript.run("--ack -m table d").run("--ack -m plain d -c 'mode table' -c mode");
    let dir = scratch();
    let mut person = Person::at(dir.path(), &["--ack", "d"], &[]);
    person.enters("get nobody").sees("not found: nobody").enters("mode").sees("plain");
    transcript.compare("shell-pipe-ack-table");
}

#[test]
fn one_line_of_the_call_is_one_command_with_one_acknowledgement_whatever_it_holds() {
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
fn a_long_word_is_cut_in_each_message_and_costs_no_time() {
    /// A message around a word, with its place, its advice and a caret.
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
    let output = transcript.command(&["-q", "--json", "d", "-f", "script"]).output().expect("it runs");
    let [said, told] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).expect("text"));
    let objects = said.lines().filter(|line| line.starts_with("{\"error\""));
    assert!(objects.clone().count() > 100);
    let long = objects.chain(told.lines()).filter(|line| line.len() > LEN_MAX);
    let long: Vec<_> = long.map(|line| format!("{} bytes: {}", line.len(), &line[..200])).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn a_line_that_is_too_long_is_acknowledged_once_and_the_next_one_runs() {
    let transcript = Transcript::new();
    let mut child = piped(&mut transcript.command(&["--ack", "--value-limit", "1", "d"]));
    let mut stdin = child.stdin.take().expect("it is piped");
    let sender = thread::spawn(move || {
        let long = [b'a'; 2_000_000];
        drop(stdin.write_all(&[b"count\nput ".as_slice(), &long, b"\nput a 1\nget a\n", &long].concat()));
    });
    let output = child.wait_with_output().expect("it ends");
    sender.join().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    let refused = "ERR 1 a command of more than 1.2 MiB is not read\n";
    assert_eq!(said, format!("0\nOK\n{refused}OK\n1\nOK\n{refused}"));
}

/// A program that waits for answers.
struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    is_json: bool,
    /// Lines sent, and lines acknowledged.
    sent: u64,
    heard: u64,
}

impl Client {
    fn start(dir: &TempDir, mode: &str, sync: &str) -> Self {
        let mut child = command(dir.path(), &["--ack", "-m", mode, "--sync", sync, "d"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, stdin, stdout, is_json: mode == "json", sent: 0, heard: 0 }
    }

    /// Sends `lines`, also while nobody reads the answers.
    fn send(&mut self, lines: &[Line]) {
        let text: Vec<u8> = lines.iter().flat_map(|line| [&line.text[..], b"\n"].concat()).collect();
        let mut stdin = self.stdin.take().expect("it is open");
        let sender = thread::spawn(move || {
            stdin.write_all(&text).expect("the program reads");
            stdin
        });
        self.sent += lines.len() as u64;
        lines.iter().for_each(|line| self.hear(line));
        self.stdin = Some(sender.join().expect("all was sent"));
        assert_eq!(self.heard, self.sent);
    }

    /// Reads the answer to `line` to its end, which is the only acknowledgement in it.
    fn hear(&mut self, line: &Line) {
        self.heard += 1;
        let shown = line.text.escape_ascii();
        let mut error = None;
        loop {
            let mut answer = Vec::new();
            self.stdout.read_until(b'\n', &mut answer).expect("it can be read");
            assert!(answer.ends_with(b"\n"), "it ended before it had answered {shown}");
            let is_ok = if self.is_json {
                let object: Value =
                    serde_json::from_slice(&answer).unwrap_or_else(|why| panic!("{shown}: {why}"));
                if object["ack"].is_null() {
                    if error.is_none() && object["error"].is_string() {
                        error = Some(object);
                    }
                    continue;
                }
                assert_eq!(object["ack"], self.heard, "{shown}");
                let told = error.as_ref().map(|error| (&error["error"], &error["code"], &error["line"]));
                let refused =
                    object["error"].is_string().then(|| (&object["error"], &object["code"], &object["ack"]));
                assert_eq!(told, refused, "{shown}");
                object["ok"].as_bool().expect("it says so")
            } else {
                match answer.as_slice() {
                    b"OK\n" => true,
                    answer if answer.starts_with(b"ERR 1 ") => false,
                    _ => continue,
                }
            };
            assert!(line.is_good.is_none_or(|is_good| is_good == is_ok), "{shown}: {is_ok}");
            return;
        }
    }

    fn end(mut self) {
        // A batch that is forgotten at the end would be told.
        self.send(&[Line { text: b"rollback".to_vec(), is_good: None }]);
        drop(self.stdin.take());
        let mut rest = String::new();
        self.stdout.read_line(&mut rest).expect("text");
        let code = self.child.wait().expect("it ends").code();
        assert!(rest.is_empty() && code == Some(1), "{rest}{code:?}");
    }
}

/// A line of a script, and whether it is carried out; `None`: nobody knows.
struct Line {
    text: Vec<u8>,
    is_good: Option<bool>,
}

/// Lines that succeed.
const GOOD: &[&str] = &[
    "",
    "   ",
    "# a comment",
    "get nobody",
    "exists a b nobody",
    "keys --limit 3",
    "scan --limit 2",
    "count",
    "version",
    "segments",
    "stats",
    "get text",
    "put text words",
    "put bytes \"\\x00\\xff\\n\\nx\"",
    "get bytes",
    "put x 1 y 2",
    "del x y nobody",
    "ttl text",
    "put x 1 --nx",
    "tail -n 2",
    "help get",
    "mode",
];

/// Lines that fail.
const BAD: &[&str] = &[
    "frob",
    "put a",
    "put a 'open",
    "put a \"open",
    "put \"a\"b c",
    "put a \"\\q\"",
    "put '' v",
    "put a 1 --ttl soon",
    "incr text",
    "incr a many",
    "get a --at 99999999",
    "get a --hxe",
    "get --hex 6",
    "del",
    "del --glob '*'",
    "read nofile",
    "output nodir/file",
    "help frob",
    "keys --limit -1",
    "keys --limit",
    "expire a then",
    "dump-segment 99",
    "compact 99",
    "import nofile",
    "put k -",
    "read -",
];

/// Some line, good or bad. No value is what an acknowledgement is.
fn some_line(random: &mut Random) -> Line {
    // A batch that was begun changes what these come to.
    const EITHER: &[&str] = &["begin", "commit", "rollback", "sync", "incr n 3", "expire n 1h", "persist n"];
    let of = |lines: &[&str], random: &mut Random| {
        lines[random.below(lines.len() as u64) as usize].as_bytes().to_vec()
    };
    match random.below(10) {
        0..4 => Line { text: of(GOOD, random), is_good: Some(true) },
        4..7 => Line { text: of(BAD, random), is_good: Some(false) },
        7 => Line { text: of(EITHER, random), is_good: None },
        8 => {
            let len = random.below(40) as usize;
            let bytes = std::iter::once(0xff).chain((0..len).map(|_| random.next() as u8));
            Line { text: bytes.filter(|&byte| byte != b'\n').collect(), is_good: Some(false) }
        }
        _ => {
            let (key, len) = (random.below(50), random.below(3000) as usize);
            Line { text: format!("put key{key} {}", "v".repeat(len + 1)).into_bytes(), is_good: Some(true) }
        }
    }
}

const LINES: u64 = 10_000;

#[test]
fn a_client_that_waits_for_each_acknowledgement_gets_one_for_each_of_10_000_lines() {
    for mode in ["json", "plain"] {
        let (dir, mut random) = (scratch(), Random::announced());
        let mut client = Client::start(&dir, mode, "never");
        client.send(&[Line { text: b"put text words".to_vec(), is_good: Some(true) }]);
        for _ in 0..LINES {
            client.send(&[some_line(&mut random)]);
        }
        client.end();
    }
}

#[test]
fn a_client_that_sends_1_000_lines_ahead_gets_all_acknowledgements_in_their_order() {
    for mode in ["json", "plain", "raw"] {
        let (dir, mut random) = (scratch(), Random::announced());
        let mut client = Client::start(&dir, mode, "always");
        client.send(&[Line { text: b"put text words".to_vec(), is_good: Some(true) }]);
        for _ in 0..LINES / 1000 {
            let lines: Vec<_> = (0..1000).map(|_| some_line(&mut random)).collect();
            client.send(&lines);
        }
        client.end();
    }
}

#[test]
fn a_key_or_value_ends_with_a_nul_byte_where_that_is_asked_for_and_xargs_reads_it() {
    let mut transcript = Transcript::new();
    transcript.run_with("d", b"put plain 1 'two words' \"line\\nbreak\" \"t\\tab\" \"\\xff\"\n");
    for mode in ["plain", "raw"] {
        let run = |args: &[&str]| {
            transcript.command(&[&["-m", mode, "d"], args].concat()).output().expect("it runs").stdout
        };
        assert_eq!(run(&["keys", "-0"]), b"plain\0t\tab\0two words\0", "{mode}");
        assert_eq!(run(&["keys", "--null", "t*", "--reverse"]), b"two words\0t\tab\0", "{mode}");
        assert_eq!(run(&["scan", "-0", "--limit", "2"]), b"plain\x001\0t\tab\0\xff\0", "{mode}");
    }
    let keys = transcript.command(&["d", "keys", "-0"]).output().expect("it runs").stdout;
    let mut xargs = program_of_system("xargs", transcript.dir.path());
    let mut child = piped(xargs.args(["-0", "-n", "1"]).arg(binary()).args(["d", "get"]));
    child.stdin.take().expect("it is piped").write_all(&keys).expect("it reads");
    assert_eq!(child.wait_with_output().expect("it ends").stdout, b"1\n\xff\nline\nbreak\n");
    transcript.run("d put --hex 6100 31 62 3000 63 33");
    transcript.run("d keys -0 --limit 3").run("d scan -0 --limit 4");
    transcript.run("-m table d keys -0").run("--json d scan -0").run("d keys -0 --long").run("d count -0");
    transcript.compare("shell-pipe-null");
    let mut person = Person::at(transcript.dir.path(), &["-m", "plain", "d"], &[]);
    person.sees_at_end("logkv d>").enters("keys -0").sees("on a terminal it needs mode raw");
    person.sees_at_end("logkv d>").enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
}

#[test]
fn a_dash_is_the_standard_input_or_output_wherever_a_file_is_named_or_is_refused() {
    let mut transcript = Transcript::new();
    fs::write(transcript.path("empty"), "").expect("a file can be written");
    transcript.run_with("d put v -", b"\x00\xff\nvalue").run_with("d put f --file -", b"from\nstdin");
    transcript
        .run("d get f -o -")
        .run("-m table d get f -o -")
        .run("--json d get f -o -")
        .run("d get nokey -o -");
    transcript.run("-m table d get nokey --output -").run("d get f v -o -");
    transcript
        .run_with("d read -", b"count\nfrob\nput k -\n")
        .run_with("d -f -", b"count\nread -\nimport -\n");
    transcript.run_with("d -c 'put c -' -c 'get c'", b"where commands do not come from");
    transcript.run_with("d -f empty", b"").run("d -c 'output -' -c count");
    transcript.run_with("d import - --format tsv --rejects -", b"k1\tone\nbad row\nk2\ttwo\n\xff\xfe\n");
    transcript.run_with("-m table d import - --format tsv --rejects -", b"bad row\n");
    transcript.run_with("--json d import - --format tsv --rejects -", b"bad row\n");
    transcript.run("d export - --prefix k").run("d repair --to -").run("--config - d get f").run("- put a 1");
    transcript.run("--metrics-file - d get f").run("d dump-segment -");
    assert!(!transcript.path("-").exists());
    // In quotes it is a file's name.
    transcript.run("d -c 'get f -o \"-\"'");
    assert_eq!(fs::read(transcript.path("-")).expect("it was written"), b"from\nstdin");
    transcript.compare("shell-pipe-dash");
    let output = transcript.command(&["d", "get", "v", "-o", "-"]).output().expect("it runs");
    assert_eq!(output.stdout, b"\x00\xff\nvalue");
    let mut person = Person::at(transcript.dir.path(), &["d"], &[]);
    person.sees_at_end("logkv d>").enters("get v -o -").sees("on a terminal it needs mode raw");
    // The prompt is not drawn over a value that has no line break at its end.
    person
        .sees_at_end("logkv d>")
        .enters("mode raw")
        .sees_at_end("logkv d>")
        .enters("get k1")
        .sees("\none\n");
    person.sees_at_end("logkv d>").enters("get k2 -o -").sees("\ntwo\n");
    person.sees_at_end("logkv d>").enters("import empty --rejects -").sees("does not write raw rows");
    person.sees_at_end("logkv d>").enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
}

/// `logkv` where nothing tells that files change: it cannot make an inotify.
fn unwatched(dir: &TempDir, args: &[&str]) -> Command {
    let mut command = program_of_system("strace", dir.path());
    command.args(["-f", "-qq", "-o", "trace", "-e", "trace=inotify_init1"]);
    command.args(["-e", "inject=inotify_init1:error=EMFILE"]).arg(binary()).args(args);
    command
}

#[test]
fn who_follows_without_being_told_hears_ctrl_c_and_that_nobody_reads() {
    if !works("strace", &["-V"]) {
        return skipped("who_follows_without_being_told_hears_ctrl_c", "there is no strace");
    }
    let dir = scratch();
    let store = open(&dir.path().join("d"));
    store.put("a", "1").expect("a put");
    let follow = |first: &str| {
        let mut command = unwatched(&dir, &["-r", "-m", "plain", "d", "tail", "-f", "--from", "1"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("it has begun");
        assert!(line.ends_with(first), "{line}");
        let trace = || fs::read_to_string(dir.path().join("trace")).unwrap_or_default();
        wait_until(|| trace().contains("EMFILE"));
        let pid =
            trace().split(' ').next().and_then(|pid| Pid::from_raw(pid.parse().ok()?)).expect("a number");
        (child, lines, pid)
    };
    let (mut child, lines, _) = follow("PUT\ta\t1\n");
    drop(lines);
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "nobody reads");
    fs::remove_file(dir.path().join("trace")).expect("it is there");
    let (child, mut lines, pid) = follow("PUT\ta\t1\n");
    store.put("b", "2").expect("a put");
    let mut line = String::new();
    lines.read_line(&mut line).expect("it goes on");
    assert!(line.ends_with("PUT\tb\t2\n"), "{line}");
    kill_process(pid, Signal::INT).expect("it is there");
    let output = child.wait_with_output().expect("it ends");
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: interrupted after 2 records"));
    assert_eq!(output.status.code(), Some(130));
}

#[test]
fn who_waits_for_the_reader_of_a_named_pipe_hears_ctrl_c() {
    for line in ["get a -o pipe", "export pipe", "output pipe", "import rows.tsv --rejects pipe"] {
        let dir = scratch();
        fs::write(dir.path().join("rows.tsv"), "bad\n").expect("a file");
        mknodat(CWD, dir.path().join("pipe"), FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        let mut child = piped(&mut command(dir.path(), &["--ack", "d"]));
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(format!("put a 1\ncount\n{line}\n").as_bytes()).expect("it listens");
        let mut answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut next = || answers.next().expect("it answers").expect("text");
        // What came before is passed on as it begins to wait.
        assert_eq!([next(), next(), next()], ["OK", "1", "OK"], "{line}");
        interrupt(&child);
        let said = next();
        assert!(said.starts_with("ERR 130 interrupted"), "{line}: {said}");
        assert_eq!(child.wait().expect("it ends").code(), Some(130), "{line}");
    }
}

#[test]
fn who_waits_for_the_writer_of_a_pipe_hears_ctrl_c() {
    const LINES: [&str; 9] = [
        "d put a --file pipe",
        "d put a -",
        "d read pipe",
        "d read -",
        "d -f pipe",
        "d import pipe",
        "d import -",
        "new restore pipe",
        "new restore -",
    ];
    for line in LINES {
        let dir = scratch();
        open(&dir.path().join("d")).close().expect("closes");
        mknodat(CWD, dir.path().join("pipe"), FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        let child = piped(&mut command(dir.path(), &line.split(' ').collect::<Vec<_>>()));
        wait_until(|| catches_ctrl_c(&child));
        interrupt(&child);
        assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(130), "{line}");
    }
}

/// Whether Ctrl-C would no longer end `child` by itself.
fn catches_ctrl_c(child: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it is there");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    u64::from_str_radix(caught.trim(), 16).expect("a mask") & 1 << (Signal::INT.as_raw() - 1) != 0
}

#[test]
fn writes_sent_ahead_share_a_sync_and_are_acknowledged_after_it() {
    const COUNT: u32 = 300;
    let transcript = Transcript::new();
    let lines: String = (0..COUNT).map(|n| format!("put k{n} v\n")).collect();
    fs::write(transcript.path("script"), lines + "stats --prometheus\n").expect("a file");
    let args = ["--ack", "--json", "--sync", "always", "d", "-f", "script"];
    let output = transcript.command(&args).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let syncs =
        said.lines().find_map(|line| line.strip_prefix("logkv_fsync_records_count")).expect("a count");
    let syncs: u32 = syncs.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a number");
    assert!(syncs <= 5, "{syncs} syncs");
    assert_eq!(said.matches("\"ok\":true}\n").count() as u32, COUNT + 1);
}

/// Each flag of each command: a call without it, and the same with it.
const FLAGS: &[(&str, &str, &str)] = &[
    ("get --at", "get a", "get a --at 1"),
    ("get --output", "get a", "get a --output out"),
    ("get --hex", "get 61", "get --hex 61"),
    ("get --yes", "get a -o rows.tsv", "get a -o rows.tsv -y"),
    ("put --file", "put n", "put n --file rows.tsv"),
    ("put --ttl", "put n 1", "put n 1 --ttl 1h"),
    ("put --until", "put n 1", "put n 1 --until 2100-01-01"),
    ("put --nx", "put a 9", "put a 9 --nx"),
    ("put --xx", "put n 9", "put n 9 --xx"),
    ("put --hex", "put 61 62", "put --hex 61 62"),
    ("del --glob", "del", "del --glob 'a*' -y"),
    ("del --prefix", "del", "del --prefix a -y"),
    ("count --prefix", "count", "count --prefix a"),
    ("del --all", "del", "del --all -y"),
    ("del --yes", "del --all", "del --all --yes"),
    ("del --hex", "del 62", "del --hex 62"),
    ("exists --hex", "exists 62", "exists --hex 62"),
    ("incr --hex", "incr 61", "incr --hex 61"),
    ("ttl --hex", "ttl 62", "ttl --hex 62"),
    ("expire --at", "expire a", "expire a --at 2100-01-01"),
    ("expire --hex", "expire 62 1h", "expire --hex 62 1h"),
    ("persist --hex", "persist 62", "persist --hex 62"),
    ("stats --memory", "stats", "stats --memory"),
    ("stats --prometheus", "stats", "stats --prometheus"),
    ("dump-segment --from", "dump-segment 1", "dump-segment 1 --from 0x70"),
    ("dump-segment --limit", "dump-segment 1", "dump-segment 1 --limit 1"),
    ("dump-segment --tail", "dump-segment 1", "dump-segment 1 --tail 1"),
    ("dump-segment --record", "dump-segment 1", "dump-segment 1 --record 1"),
    ("dump-segment --key", "dump-segment 1", "dump-segment 1 --key a"),
    ("dump-segment --only", "dump-segment 1", "dump-segment 1 --only dead"),
    ("dump-segment --values", "dump-segment 1", "dump-segment 1 --values none"),
    ("dump-segment --values", "dump-segment 1 --values full", "dump-segment 1 --values preview"),
    ("dump-segment --hex", "dump-segment 1", "dump-segment 1 --hex"),
    ("dump-segment --values", "dump-segment 7.bitcask.data", "dump-segment 7.bitcask.data --values none"),
    ("dump-segment --hex", "dump-segment 7.bitcask.data", "dump-segment 7.bitcask.data --hex"),
    ("versions --hex", "versions 62", "versions --hex 62"),
    ("tail --from", "tail", "tail --from 3"),
    ("tail --lines", "tail", "tail --lines 1"),
    ("compact --all", "compact", "compact --all"),
    ("compact --dry-run", "compact --all", "compact --all --dry-run"),
    ("compact --limit", "compact --all --dry-run", "compact --all --dry-run --limit 1"),
    ("compact --step", "compact --all", "compact --all --step"),
    ("backup --level", "backup x.tar.zst", "backup x.tar.zst --level 19"),
    ("backup --yes", "backup old.tar.zst", "backup old.tar.zst -y"),
    ("import --format", "import rows.tsv", "import rows.tsv --format jsonl"),
    ("import --rejects", "import bad.tsv", "import bad.tsv --rejects out"),
    ("import --key", "import rows.tsv", "import rows.tsv --key k1"),
    ("import --value", "import rows.tsv --key k1", "import rows.tsv --key k1 --value two"),
    ("import --yes", "import bad.tsv --rejects rows.tsv", "import bad.tsv --rejects rows.tsv --yes"),
    ("export --yes", "export rows.tsv", "export rows.tsv --yes"),
    ("export --format", "export", "export --format tsv"),
    ("export --glob", "export", "export --glob 'a*'"),
    ("export --prefix", "export", "export --prefix a"),
    ("export --from", "export", "export --from b"),
    ("export --to", "export", "export --to b"),
    ("repair --to", "repair", "repair --to new"),
    ("repair --in-place", "repair", "repair --in-place"),
    ("config --init", "config", "config --init"),
];

/// The flags of `keys` and `scan`.
const LISTING_FLAGS: &[(&str, &str)] = &[
    ("at", "--at 1"),
    ("prefix", "--prefix a"),
    ("from", "--from b"),
    ("to", "--to b"),
    ("limit", "--limit 1"),
    ("long", "--long"),
    ("reverse", "--reverse"),
    ("null", "-0"),
];

/// Flags that say what is so anyway where nobody pages or nothing is damaged, or that never end.
const UNTRIED: &[&str] = &["keys --all", "scan --all", "tail --follow", "repair --yes"];

/// What is seen of a call in mode `mode` in a copy of `store` and of the files `beside` it: what it says, the files that it leaves, and of a write the keys.
fn seen_in_copy(
    [store, beside]: [&TempDir; 2],
    mode: &str,
    line: &str,
) -> impl PartialEq + std::fmt::Debug + use<> {
    let dir = copy_of(beside.path());
    fs::rename(copy_of(store.path()).keep(), dir.path().join("d")).expect("both are temporary");
    let run = |args: &[&str]| {
        let output = command(dir.path(), args).stdin(Stdio::null()).output().expect("it runs");
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned())
    };
    let line = line.replace('\'', "");
    let words: Vec<_> = line.split(' ').collect();
    let said = run(&[&["-m", mode, "--width", "80", "d"], words.as_slice()].concat());
    let is_write = ["put", "del", "incr", "expire", "persist"].contains(&words[0]);
    let entries = fs::read_dir(dir.path()).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut left: Vec<_> = entries
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().map(ToOwned::to_owned), fs::read(&path).expect("it can be read")))
        .collect();
    left.sort();
    (said, left, is_write.then(|| run(&["d", "export"])))
}

#[test]
fn no_mode_ignores_a_flag() {
    let listings = ["keys", "scan"].into_iter().flat_map(|name| {
        let case = move |(flag, call): &(&str, &str)| {
            (format!("{name} --{flag}"), name.to_owned(), format!("{name} {call}"))
        };
        LISTING_FLAGS.iter().map(case)
    });
    let owned = |(flag, without, with): &(&str, &str, &str)| {
        ((*flag).to_owned(), (*without).to_owned(), (*with).to_owned())
    };
    let cases: Vec<_> = FLAGS.iter().map(owned).chain(listings).collect();
    let help = command(scratch().path(), &["-m", "json", "d", "help"]).output().expect("it runs").stdout;
    let flag = regex::Regex::new(r"--[a-z-]+").expect("a pattern");
    for line in help.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let object: Value = serde_json::from_slice(line).expect("JSON");
        let [name, usage] = ["command", "usage"].map(|field| object[field].as_str().expect("text"));
        for found in flag.find_iter(usage) {
            let flag = format!("{name} {}", found.as_str());
            let is_tried = cases.iter().any(|(tried, ..)| *tried == flag);
            assert!(is_tried || UNTRIED.contains(&flag.as_str()), "{flag} is not tried");
        }
    }
    let (store, beside) = (scratch(), scratch());
    let opened = open(store.path());
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("k", &"v".repeat(400)), ("61", "9")] {
        opened.put(key, value).expect("a put");
    }
    opened.rotate().expect("rotates");
    opened.close().expect("closes");
    fs::write(beside.path().join("rows.tsv"), "k1\tone\n").expect("a file");
    fs::write(beside.path().join("bad.tsv"), "bad\n").expect("a file");
    fs::write(beside.path().join("old.tar.zst"), "old").expect("a file");
    fs::write(beside.path().join("7.bitcask.data"), bitcask_record(1, b"key", b"value")).expect("a file");
    for mode in ["table", "plain", "json", "raw"] {
        for (flag, without, with) in &cases {
            let [without, with] = [without, with].map(|line| seen_in_copy([&store, &beside], mode, line));
            assert_ne!(without, with, "{flag} in mode {mode}");
        }
    }
}
