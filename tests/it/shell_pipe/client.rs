//! A client that sends lines and reads one acknowledgement for each.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Random, scratch};
use crate::transcript::{Transcript, command};

/// A running program and its client.
struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    is_json: bool,
    /// The numbers of lines sent and acknowledged.
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
        let stdout = BufReader::new(child.stdout.take().expect("is piped"));
        Self { child, stdin, stdout, is_json: mode == "json", sent: 0, heard: 0 }
    }

    /// Sends `lines` while a second thread reads the answers.
    fn send(&mut self, lines: &[Line]) {
        let text: Vec<u8> = lines.iter().flat_map(|line| [&line.text[..], b"\n"].concat()).collect();
        let mut stdin = self.stdin.take().expect("is open");
        let sender = thread::spawn(move || {
            stdin.write_all(&text).expect("the program reads");
            stdin
        });
        self.sent += lines.len() as u64;
        lines.iter().for_each(|line| self.hear(line));
        self.stdin = Some(sender.join().expect("the sender finishes"));
        assert_eq!(self.heard, self.sent);
    }

    /// Reads the answer to `line`, which ends with its only acknowledgement.
    fn hear(&mut self, line: &Line) {
        self.heard += 1;
        let shown = line.text.escape_ascii();
        let mut error = None;
        loop {
            let mut answer = Vec::new();
            self.stdout.read_until(b'\n', &mut answer).expect("can be read");
            assert!(answer.ends_with(b"\n"), "the program ended before it had answered {shown}");
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
                let refusal = error.as_ref().map(|error| (&error["error"], &error["code"], &error["line"]));
                let refused =
                    object["error"].is_string().then(|| (&object["error"], &object["code"], &object["ack"]));
                assert_eq!(refusal, refused, "{shown}");
                object["ok"].as_bool().expect("has an ok field")
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
        // A batch left open at the end would be an error.
        self.send(&[Line { text: b"rollback".to_vec(), is_good: None }]);
        drop(self.stdin.take());
        let mut rest = String::new();
        self.stdout.read_line(&mut rest).expect("text");
        let code = self.child.wait().expect("exits").code();
        assert!(rest.is_empty() && code == Some(1), "{rest}{code:?}");
    }
}

/// A line of a script, and whether it succeeds. `None` if that depends on other lines.
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

/// A random line. No value looks like an acknowledgement.
fn random_line(random: &mut Random) -> Line {
    // The result of these depends on an open batch.
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
            client.send(&[random_line(&mut random)]);
        }
        client.end();
    }
}

#[test]
fn a_client_that_sends_1_000_lines_ahead_gets_all_acknowledgements_in_order() {
    for mode in ["json", "plain", "raw"] {
        let (dir, mut random) = (scratch(), Random::announced());
        let mut client = Client::start(&dir, mode, "always");
        client.send(&[Line { text: b"put text words".to_vec(), is_good: Some(true) }]);
        for _ in 0..LINES / 1000 {
            let lines: Vec<_> = (0..1000).map(|_| random_line(&mut random)).collect();
            client.send(&lines);
        }
        client.end();
    }
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
