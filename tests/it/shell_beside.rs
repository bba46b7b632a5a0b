//! The program beside another process with the store open: commands that only read run, and see all
//! earlier writes.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::common::{open, piped, scratch};
use crate::person::Person;
use crate::transcript::{Transcript, command};

#[test]
fn beside_a_writer_a_read_only_command_runs_and_any_other_is_refused() {
    let mut transcript = Transcript::new();
    let writer = open(&transcript.path("d"));
    writer.put("user:1", "alice").expect("a put");
    writer.put("user:2", "bob").expect("a put");
    std::fs::write(transcript.path("script"), "get user:1\n").expect("a script");
    for line in [
        "get user:1",
        "-q -m plain d get user:1",
        "get nobody",
        "exists user:2",
        "ttl user:1",
        "keys",
        "scan",
        "count",
        "stats",
        "segments",
        "dump-segment 1",
        "versions user:1",
        "diff 1",
        "tail",
        "verify",
        "backup copy",
        "export",
        "compact --all --dry-run",
        "--json d get user:2",
        "-r -m plain d get user:1",
        "put user:3 carol",
        "del user:1",
        "incr n",
        "expire user:1 1h",
        "persist user:1",
        "compact",
        "rotate",
        "import script",
        "read script",
        "-c 'get user:1'",
        "-f script",
    ] {
        let (options, rest) = line.split_once(" d ").unwrap_or(("-m plain", line));
        transcript.run(&format!("{options} --width 80 d {rest}"));
    }
    drop(writer);
    transcript.run("d get user:1").compare("shell-beside");
}

#[test]
fn each_line_of_a_read_only_session_sees_the_writes_before_it() {
    let dir = scratch();
    let writer = open(&dir.path().join("d"));
    writer.put("k", "first").expect("a put");
    let mut child = command(dir.path(), &["-q", "-r", "d"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("is piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("is piped"));
    let mut ask = |line: &str| {
        writeln!(stdin, "{line}").expect("the program reads");
        let mut reply = String::new();
        stdout.read_line(&mut reply).expect("the program answers");
        reply.trim_end().to_owned()
    };
    for round in 0..40 {
        writer.put("k", round.to_string()).expect("a put");
        match round {
            10 => drop(writer.rotate().expect("rotates")),
            20 => drop(writer.clear().expect("a clear")),
            _ => {}
        }
        writer.put("k", format!("round {round}")).expect("a put");
        // The fast path for simple lines, and the general one.
        assert_eq!(ask("get k"), format!("round {round}"));
        assert_eq!(ask("scan"), format!("k\t\"round {round}\""));
        assert_eq!(ask("tail -n 1").split('\t').next_back(), Some(format!("\"round {round}\"").as_str()));
    }
    drop(stdin);
    assert!(child.wait().expect("the program ends").success());
}

#[test]
fn each_command_of_a_read_only_shell_shows_the_latest_writes() {
    let dir = scratch();
    let store = dir.path().join("d");
    let writer = open(&store);
    writer.put("k", "first").expect("a put");
    let mut person = Person::at(dir.path(), &["-r", "d"], &[]);
    person.sees_at_end("logkv d(ro)>").enters("get k").sees("\nfirst\n").sees_at_end("logkv d(ro)>");
    writer.put("k", "second").expect("a put");
    person.enters("get k").sees("\nsecond\n").sees_at_end("logkv d(ro)>");
    writer.rotate().expect("rotates");
    writer.put("k", "third").expect("a put");
    person.enters("get k").sees("\nthird\n").sees_at_end("logkv d(ro)>");
    drop(writer);
    std::fs::rename(&store, dir.path().join("elsewhere")).expect("renames");
    person.enters("get k").sees("error: there is no store at d").sees_at_end("logkv d(ro)>");
    person.enters("mode plain").sees("mode plain\n").sees_at_end("logkv d(ro)>");
    person.enters("help quit").sees("Leaves the shell").sees_at_end("logkv d(ro)>");
    std::fs::rename(dir.path().join("elsewhere"), &store).expect("renames back");
    person.enters("count").sees("\n1\n").sees_at_end("logkv d(ro)>");
    std::fs::rename(&store, dir.path().join("elsewhere")).expect("renames");
    person.enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
}

#[test]
fn each_line_of_a_reader_is_an_error_while_the_store_is_missing() {
    let dir = scratch();
    let (store, elsewhere) = (dir.path().join("d"), dir.path().join("elsewhere"));
    open(&store).put("k", "value").expect("a put");
    let mut child = piped(&mut command(dir.path(), &["-q", "-r", "--ack", "d"]));
    let mut stdin = child.stdin.take().expect("is piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("is piped"));
    let mut ask = |lines: &str, answer: &str| {
        stdin.write_all(lines.as_bytes()).expect("the program reads");
        for line in answer.lines() {
            let mut reply = String::new();
            stdout.read_line(&mut reply).expect("the program answers");
            assert_eq!(reply.trim_end(), line, "{lines}");
        }
    };
    ask("get k\n", "value\nOK");
    std::fs::rename(&store, &elsewhere).expect("renames");
    let gone = "ERR 3 there is no store at d";
    ask("get k\nscan\nget k\n", &format!("{gone}\n{gone}\n{gone}"));
    ask("# nothing\nversion\nmode plain\n", &format!("OK\nlogkv {}\nOK\nOK", env!("CARGO_PKG_VERSION")));
    std::fs::rename(&elsewhere, &store).expect("renames back");
    ask("get k\n", "value\nOK");
    ask("count\n", "1\nOK");
    std::fs::rename(&store, &elsewhere).expect("renames");
    ask("quit\n", "OK");
    let output = child.wait_with_output().expect("exits");
    assert_eq!(output.status.code(), Some(3));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in 2..=4 {
        assert!(errors.contains(&format!("-:{line}: error: there is no store at d")), "{errors}");
    }
}
