//! Scripts, sessions of several lines, and binary keys and values.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use logkv::{Batch, Store};

use crate::common::{
    binary, copy_of, interrupt, open, piped, program_of_system, quick, scratch, segment_path,
};
use crate::transcript::Transcript;

/// A key and a value that are not UTF-8.
const KEY: &[u8] = b"k\xff\xfe \x01";
const VALUE: &[u8] = b"\x80line\nline\ttab\xff";

#[test]
fn a_batch_is_reported_in_every_mode_and_readable_before_the_commit() {
    let mut transcript = Transcript::new();
    let script = b"begin\nput a 1\nput b 2\ndel a\nget a b\ncount\nkeys --long\ncommit\nget a b\nbegin\nput \
        c 3\nrollback\ncount\ncommit\nrollback\nbegin\nbegin\nput d 4\n";
    for mode in ["table", "plain", "json"] {
        transcript.run_with(&format!("-m {mode} --width 80 {mode}"), script);
    }
    transcript.compare("shell-batch");
}

#[test]
fn scripts_can_run_scripts_and_quit_ends_them_all() {
    let mut transcript = Transcript::new();
    let write = |name: &str, text: &str| fs::write(transcript.path(name), text).expect("writes a file");
    write("outer", "put a 1\nread inner\ncount\n");
    write("inner", "put b 2\nfrob\nput c 3\n");
    write("leaves", "put d 4\nquit\nput e 5\n");
    write("reads-leaves", "read leaves\nput f 6\n");
    write("fails", "frob\nput g 7\n");
    transcript.run("d -f outer").run("d -f reads-leaves").run("d -m json keys");
    transcript.run("--json d keys").run("d -c 'read outer' -c count").run("-e d -c 'read leaves' -c count");
    transcript.run("--bail d -c 'read fails' -c count").run("d -c 'bail on' -c 'read fails' -c count");
    transcript.run("d -f outer -c count").run("d -f outer get a").run("d -c count get a");
    transcript.run_with("d -f -", b"count\nquit\ncount\n").run_with("d -c 'get a'", b"get b\n");
    transcript.run("d clear").run("d quit").run("d -c clear -c q -c count").run("d -c '.mode json' -c '\\q'");
    transcript.compare("shell-nesting");
}

#[test]
fn an_error_appears_after_the_results_of_the_lines_before_it() {
    let transcript = Transcript::new();
    fs::write(transcript.path("script"), "put a 1\nput '' 2\nput b 3\n").expect("writes a file");
    let said = File::create(transcript.path("said")).expect("creates a file");
    let mut command = transcript.command(&["-q", "-m", "table", "d", "-f", "script"]);
    command.stdout(said.try_clone().expect("duplicates the handle")).stderr(said);
    assert_eq!(command.status().expect("the program runs").code(), Some(1));
    let said = fs::read_to_string(transcript.path("said")).expect("was written");
    let starts: Vec<_> = said.lines().map(|line| line.get(..2).unwrap_or_default()).collect();
    assert_eq!(starts, ["OK", "sc", "OK"], "{said}");
}

#[test]
fn an_error_before_bail_on_does_not_end_the_script() {
    let transcript = Transcript::new();
    let script = "put a seen\nfrob\nbail on\nget a\nfrob\nget a\n";
    fs::write(transcript.path("script"), script).expect("writes a file");
    let output = transcript.command(&["d", "-f", "script"]).output().expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("seen").count(), 1, "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_key_that_the_batch_deletes_is_not_suggested() {
    let transcript = Transcript::new();
    let lines =
        ["-q", "-m", "table", "d", "-c", "put key 1", "-c", "begin", "-c", "del key", "-c", "get key"];
    let output = transcript.command(&[&lines[..], &["-c", "rollback"]].concat()).output();
    let output = output.expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn a_damaged_record_hides_no_other_key_and_makes_each_miss_uncertain() {
    let transcript = Transcript::new();
    let store = open(&transcript.path("d"));
    for key in ["user:1", "user:2", "user:3"] {
        store.put(key, "x").expect("is written");
    }
    store.close().expect("is closed");
    let path = segment_path(&transcript.path("d"), 1);
    let mut bytes = fs::read(&path).expect("can be read");
    // A byte of the first key.
    bytes[64 + 32] ^= 1;
    fs::write(&path, bytes).expect("can be written");
    let run = |args: &[&str]| {
        let output = transcript.command(args).output().expect("the program runs");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    };
    assert_eq!(run(&["d", "keys"]), ("user:2\nuser:3\n".to_owned(), Some(4)));
    let misses = [
        "get user:9",
        "get user:9 user:2",
        "get user:9 --json",
        "exists user:9",
        "ttl user:9",
        "del user:9 user:2",
        "incr user:9",
        "put user:9 1 --nx",
        "put user:9 1 --xx",
        "expire user:9 1h",
        "persist user:9",
    ];
    for line in misses {
        let copy = || copy_of(&transcript.path("d"));
        let expected = r#""kind":"damaged","code":4"#;
        let (said, code) = {
            let (copy, words) = (copy(), line.split(' '));
            let dir = copy.path().to_str().expect("text");
            run(&["--json", dir].into_iter().chain(words).collect::<Vec<_>>())
        };
        assert!(
            said.trim_end().ends_with('}') && said.contains(expected) && code == Some(4),
            "{line}: {said}"
        );
        for batch in [&[][..], &["-c", "begin"]] {
            let copy = copy();
            let dir = copy.path().to_str().expect("text");
            let lines = [&["--json", "--ack", dir], batch, &["-c", line, "-c", "rollback"]].concat();
            let (said, code) = run(&lines);
            let number = batch.len() / 2 + 1;
            let acked = format!(r#"{{"ack":{number},"ok":false,"code":4,"#);
            assert!(said.contains(expected) && said.contains(&acked) && code == Some(4), "{lines:?}: {said}");
        }
    }
    for line in ["get user:2", "exists user:2", "incr n 5", "put user:2 1 --xx", "del user:2"] {
        let copy = copy_of(&transcript.path("d"));
        let dir = copy.path().to_str().expect("text");
        assert_eq!(run(&["--ack", dir, "-c", "put n 1", "-c", line]).1, Some(0), "{line}");
    }
    assert!(
        !run(&["--bail", "d", "-c", "get user:9", "-c", "count"]).0.contains('2'),
        "a miss in a damaged store ends a script under --bail"
    );
}

#[test]
fn a_batch_left_open_by_a_script_is_reported_and_fails() {
    let transcript = Transcript::new();
    fs::write(transcript.path("script"), "begin\nput a 1\n").expect("writes a file");
    let output = transcript.command(&["d", "read", "script"]).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 change discarded"));
}

#[test]
fn an_endless_value_is_refused_without_filling_memory() {
    const LIMITED: &str = "ulimit -v 500000 && exec \"$0\" --read-with pread --value-limit 1MiB d \"$@\"";
    let dir = scratch();
    for line in [&["put", "a", "--file", "/dev/zero"][..], &["put", "a", "-"]] {
        let zeros = File::open("/dev/zero").expect("/dev/zero");
        let mut command = program_of_system("sh", dir.path());
        command.args(["-c", LIMITED]).arg(binary()).args(line);
        let output = command.stdin(zeros).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        let hinted = "error: the value is longer than the limit of 1,048,576 bytes\n\
                      hint: --value-limit raises it\n";
        assert_eq!(said, hinted);
    }
}

#[test]
fn results_go_into_a_file_until_output_is_reset() {
    let mut transcript = Transcript::new();
    transcript.run_with(
        "-m table --width 80 d",
        b"put a 1\noutput out\nscan\nfrob\noutput\ncount\noutput nodir/out\ncount\n",
    );
    let out = fs::read_to_string(transcript.path("out")).expect("was written");
    assert!(out.contains('1') && !out.contains("error"), "{out:?}");
    transcript.compare("shell-output");
}

#[test]
fn binary_keys_and_values_survive_every_kind_of_input_and_output() {
    let transcript = Transcript::new();
    let run = |args: &[&[u8]]| {
        let args: Vec<_> = args.iter().map(|arg| OsStr::from_bytes(arg)).collect();
        let output = transcript.command(&args).output().expect("the program runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    run(&[b"d", b"put", KEY, VALUE]);
    assert_eq!(run(&[b"d", b"get", KEY]), [VALUE, b"\n"].concat());
    assert_eq!(run(&[b"-m", b"raw", b"d", b"get", KEY]), VALUE);
    assert_eq!(run(&[b"d", b"keys"]), b"\"k\\xff\\xfe \\x01\"\n");
    assert_eq!(run(&[b"d", b"scan"]), b"\"k\\xff\\xfe \\x01\"\t\"\\x80line\\nline\\ttab\\xff\"\n");
    assert_eq!(run(&[b"d", b"get", b"--hex", b"6bfffe2001"]), [VALUE, b"\n"].concat());
    let json = String::from_utf8(run(&[b"--json", b"d", b"get", KEY])).expect("JSON is text");
    assert!(json.contains(r#""key_b64":"a//+IAE=","value_b64":"gGxpbmUKbGluZQl0YWL/""#), "{json}");
    fs::write(transcript.path("value"), b"\0\xff\0").expect("writes a file");
    run(&[b"d", b"put", b"f", b"--file", b"value"]);
    assert_eq!(run(&[b"-m", b"raw", b"d", b"get", b"f"]), b"\0\xff\0");
    // Printed words can be typed back.
    run(&[b"d", b"-c", b"put \"k\\xff\\xfe \\x01\" \"\\x00\\xfe\""]);
    assert_eq!(run(&[b"-m", b"raw", b"d", b"get", KEY]), b"\0\xfe");
    // Raw bytes in a script.
    fs::write(transcript.path("script"), b"put \xff\0 \xfe\0\nget \xff\0\n").expect("writes a file");
    assert_eq!(run(&[b"-m", b"raw", b"d", b"-f", b"script"]), b"\xfe\0");
}

#[test]
fn a_discarded_batch_is_reported_with_the_line_that_began_it() {
    let transcript = Transcript::new();
    fs::write(transcript.path("script"), "count\nbegin\nput a 1\n").expect("a script");
    let output = transcript.command(&["-q", "d", "-f", "script"]).output().expect("runs");
    let expected = "script:2: error: the batch was not committed; 1 change discarded\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_endless_line_is_abandoned_at_four_times_the_longest_record() {
    let transcript = Transcript::new();
    let zeros = fs::File::open("/dev/zero").expect("/dev/zero");
    let mut command = transcript.command(&["-q", "--value-limit", "1KiB", "d"]);
    let mut child = command.stdin(zeros).stderr(Stdio::piped()).spawn().expect("runs");
    let mut said = String::new();
    let mut errors = BufReader::new(child.stderr.take().expect("is piped"));
    errors.read_line(&mut said).expect("text");
    assert!(said.starts_with("-:1: error: a command of more than ") && said.len() < 100, "{said}");
    // The program keeps reading while the client sends.
    interrupt(&child);
    assert_eq!(child.wait().expect("exits").code(), Some(130));
    // An unclosed quote continues over all lines.
    let text = [b"count\nput k 'x".as_slice(), &b"0123456789\n".repeat(200_000)].concat();
    fs::write(transcript.path("script"), text).expect("a script");
    let output = transcript.command(&["--value-limit", "1KiB", "d", "-f", "script"]).output();
    let said = String::from_utf8_lossy(&output.expect("runs").stderr).into_owned();
    assert!(said.contains("error: a command of more than "), "{said}");
}

#[test]
fn an_empty_segment_list_is_announced_to_users_only() {
    let transcript = Transcript::new();
    for (mode, said) in
        [("table", "no segments yet: the first write creates one\n"), ("plain", ""), ("json", "")]
    {
        let output = transcript.command(&["-m", mode, "d", "-c", "segments"]).output().expect("runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), said);
    }
}

#[test]
fn an_interrupted_listing_reports_its_progress_and_exits_with_130() {
    const COUNT: u32 = 60_000;
    let transcript = Transcript::new();
    let store = Store::open_with(transcript.path("d"), quick()).expect("opens");
    let mut batch = Batch::new();
    for n in 0..COUNT {
        batch.put(format!("key{n:05}"), "v");
    }
    for _ in 0..COUNT {
        batch.put("again", "v");
    }
    store.write(&batch).expect("a batch");
    store.close().expect("closes");
    for listing in ["keys", "scan", "export", "dump-segment 1", "tail --from 1", "diff 0", "versions again"] {
        let mut args = vec!["-q", "-m", "plain", "d"];
        args.extend(listing.split(' '));
        let mut command = transcript.command(&args);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("is piped"));
        lines.read_line(&mut String::new()).expect("has started and is blocked on its output");
        interrupt(&child);
        let rest = lines.lines().count();
        let output = child.wait_with_output().expect("exits");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.starts_with("error: interrupted after ") && said.ends_with(" records\n"),
            "{listing}: {said}"
        );
        assert_eq!(output.status.code(), Some(130), "{listing}");
        assert!(rest < COUNT as usize, "{listing}: it went on to its end");
    }
}

#[test]
fn an_interrupted_search_of_the_log_reports_its_progress_and_exits_with_130() {
    const COUNT: u32 = 60_000;
    /// The interrupt may come before or between searches. Each try is later than the last, so that
    /// one of them hits a search.
    const TRIES: u32 = 20;
    const LATER: Duration = Duration::from_millis(20);
    let transcript = Transcript::new();
    let store = Store::open_with(transcript.path("d"), quick()).expect("opens");
    let mut batch = Batch::new();
    for n in 0..COUNT {
        batch.put(format!("key{n:05}"), "v");
    }
    store.write(&batch).expect("a batch");
    store.close().expect("closes");
    // Each of these reads every record, and shows at most one.
    for search in ["get nobody --at 1d", "keys --at 1d", "tail -n 1", "diff 1d 1d"] {
        let is_interruption =
            |said: &String| said.contains("error: interrupted after ") && said.ends_with(" records\n");
        let interrupted =
            (0..TRIES).map(|n| interrupted_within(&transcript, search, LATER * n)).find(is_interruption);
        assert!(interrupted.is_some(), "{search} was never interrupted");
    }
    assert_eq!(open(&transcript.path("d")).len(), u64::from(COUNT));
}

/// The standard error of a script that repeats `command` and is interrupted `after` its start.
fn interrupted_within(transcript: &Transcript, command: &str, after: Duration) -> String {
    const REPEATS: usize = 1000;
    let mut child = piped(&mut transcript.command(&["-m", "plain", "d"]));
    let mut stdin = child.stdin.take().expect("is piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("is piped"));
    stdin.write_all(b"exists nobody\n").expect("the program reads");
    stdout.read_line(&mut String::new()).expect("has started and answers");
    stdin.write_all(format!("{command}\n").repeat(REPEATS).as_bytes()).expect("the program reads");
    thread::sleep(after);
    interrupt(&child);
    io::copy(&mut stdout, &mut io::sink()).expect("exits");
    let output = child.wait_with_output().expect("exits");
    assert_eq!(output.status.code(), Some(130), "{command}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The number of syncs of a script of `line`s after `before`, and its output up to the statistics.
fn syncs_of(before: &str, line: impl Fn(u32) -> String, count: u32) -> (u32, String) {
    let transcript = Transcript::new();
    let lines: String = (0..count).map(|n| line(n) + "\n").collect();
    fs::write(transcript.path("script"), format!("{before}{lines}stats --prometheus\n")).expect("a file");
    let args = ["-q", "--json", "--sync", "always", "d", "-f", "script"];
    let output = transcript.command(&args).output().expect("the program runs");
    let (out, err) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    let (out, err) = (out.expect("text"), err.expect("text"));
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{line}", line = line(0));
    let (said, metrics) = out.split_once("# HELP").expect("statistics");
    let syncs = metrics.lines().find(|line| line.starts_with("logkv_fsync_records_count")).expect("a count");
    let syncs = syncs.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a number");
    (syncs, said.to_owned())
}

#[test]
fn the_writes_of_a_script_share_a_sync_whatever_the_command() {
    const COUNT: u32 = 300;
    let lines: [fn(u32) -> String; 8] = [
        |n| format!("put k{n} v"),
        |n| format!("put k{n} v --ttl 1h"),
        |n| format!("put k{n} v --nx"),
        |_| "put k v --nx".to_owned(),
        |_| "put there v --xx --json".to_owned(),
        |_| "expire there 1h".to_owned(),
        |n| format!("persist {}", if n % 2 == 0 { "there" } else { "k" }),
        |_| "incr n 2".to_owned(),
    ];
    for line in lines {
        let (syncs, said) = syncs_of("put there v --ttl 1h\n", line, COUNT);
        assert_eq!(said.lines().count() as u32, COUNT + 1, "{}", line(0));
        // A sync when the reader would wait for more, one at the end, and at most a few in between.
        assert!(syncs <= 5, "{syncs} syncs for {}", line(0));
    }
    let (_, said) = syncs_of("", lines[7], COUNT);
    let last = said.lines().last().expect("a sum");
    assert!(last.starts_with(r#"{"key":"n","ok":true,"sum":600,"seq":300,"segment":1,"#), "{last}");
}

#[test]
fn writes_that_share_a_sync_see_each_other_and_are_answered_in_order() {
    let mut transcript = Transcript::new();
    let script =
        b"put lock me --nx\nput lock you --nx\nput lock you --xx --json\nget lock\nincr n\nincr n 5\n\
        incr lock\nexpire n 100d\nincr n\nttl n\npersist n\npersist n\nttl n\ndel n\nincr n\npersist gone\n\
        expire gone 1h\nput n 1 --nx\nput a 1 b 2 --ttl 100d\nput a 1 b 2 --nx\nput a\ndel a\nput a 3 --xx\n\
        expire n soon\nget n a b\n";
    for mode in ["table", "plain", "json"] {
        transcript.run_with(&format!("--sync always -m {mode} {mode}"), script);
    }
    transcript.run_with("--sync always --bail b", b"incr n\nput n x --ttl 1h\nincr n\nput after 1\n");
    transcript.run("b keys");
    transcript.compare("shell-script-writes");
}
