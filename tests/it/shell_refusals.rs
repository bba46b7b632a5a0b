//! Refusals: one sentence, the documented exit code, and no change.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::common::{files, open, piped, skipped};
use crate::transcript::Transcript;

/// A closed store with one key.
fn with_store() -> Transcript {
    let transcript = Transcript::new();
    let store = open(&transcript.path("d"));
    store.put("a", "1").expect("is written");
    store.close().expect("is closed");
    transcript
}

#[test]
fn a_second_writer_is_refused_and_a_reader_is_not() {
    let mut transcript = Transcript::new();
    let store = open(&transcript.path("d"));
    store.put("a", "1").expect("is written");
    for line in ["d put a 2", "d get a", "d -c count", "d rotate"] {
        transcript.run(line);
    }
    transcript.run_with("d", b"put a 2\n");
    for line in ["-r d get a", "-r d -c count -c 'put a 2'", "d dump-segment 1 --values none", "d config"] {
        transcript.run(line);
    }
    assert_eq!(store.get("a").expect("is readable").as_deref(), Some(&b"1"[..]));
    transcript.compare("shell-locked");
}

#[test]
fn every_write_through_a_read_only_open_is_refused() {
    let mut transcript = with_store();
    let before = files(&transcript.path("d"));
    for command in [
        "put a 2",
        "put a 2 --nx",
        "put b 2 --xx",
        "put b -",
        "del a",
        "del nokey",
        "del --glob '*' -y",
        "del --all",
        "del --prefix a",
        "put a --file nofile",
        "import nofile",
        "begin",
        "rotate",
        "sync",
    ] {
        transcript.run(&format!("-r d {command}"));
    }
    transcript.run_with("-r d", b"begin\nput a 2\ncommit\nget a\n");
    for command in ["get a", "keys", "scan", "count", "stats", "segments", "exists a"] {
        transcript.run(&format!("-r -m plain d {command}"));
    }
    assert_eq!(files(&transcript.path("d")), before);
    transcript.compare("shell-read-only");
}

#[test]
fn an_empty_directory_name_is_a_usage_error() {
    let output = Transcript::new().command(&["", "put", "a", "1"]).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the name of the directory is empty"));
}

#[test]
fn only_commands_that_write_create_a_missing_directory() {
    let mut transcript = Transcript::new();
    for command in [
        "get a",
        "exists a",
        "del a",
        "keys",
        "count",
        "stats",
        "segments",
        "dump-segment 1",
        "sync",
        "commit",
    ] {
        transcript.run(&format!("d {command}"));
    }
    for line in ["d help mode", "d config", "d version", "-r d -c count", "--no-create d -c 'put a 1'"] {
        transcript.run(line);
    }
    assert!(!transcript.path("d").exists(), "the refused command made the directory");
    transcript.run("d -c count").run("e put a 1");
    transcript.run_with("f", b"count\n");
    for dir in ["d", "e", "f"] {
        let mode = fs::metadata(transcript.path(dir)).expect("was created").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{dir}");
    }
    transcript.compare("shell-missing");
}

#[test]
fn a_directory_that_holds_something_else_is_refused_and_unchanged() {
    let mut transcript = Transcript::new();
    fs::create_dir(transcript.path("notes")).expect("creates a directory");
    fs::write(transcript.path("notes/notes.txt"), "mine").expect("writes a file");
    let before = files(&transcript.path("notes"));
    for command in ["get a", "put a 1", "keys", "dump-segment 1", "-c count"] {
        transcript.run(&format!("notes {command}"));
    }
    transcript.run_with("notes", b"put a 1\n").run("-r notes get a");
    assert_eq!(files(&transcript.path("notes")), before);
    transcript.compare("shell-foreign");
}

#[test]
fn an_unreadable_file_is_named_with_the_reason() {
    let transcript = with_store();
    let set = |name: &str, mode| {
        fs::set_permissions(transcript.path(name), Permissions::from_mode(mode)).expect("has permission");
    };
    fs::write(transcript.path("script"), "count\n").expect("writes a file");
    set("script", 0o000);
    set("d", 0o000);
    set("", 0o755);
    // Root can read everything, so that the program runs as another user.
    let is_root = rustix::process::geteuid().is_root();
    let program = env!("CARGO_BIN_EXE_logkv");
    let as_nobody = |args: &[&str]| {
        let mut command = if is_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
            command
        } else {
            Command::new(program)
        };
        command.args(args).current_dir(transcript.dir.path()).env_clear().env("PATH", "/usr/bin:/bin");
        command.output()
    };
    match as_nobody(&["--version"]) {
        Ok(output) if output.status.success() => {}
        _ => {
            skipped("unreadable files", &format!("other users may not run {program}"));
            return;
        }
    }
    let mut seen = String::new();
    for line in ["d get a", "-r d count", "d put a 1", "d -f script", "new put a 1"] {
        let args: Vec<_> = ["--trust"].into_iter().chain(line.split(' ')).collect();
        let output = as_nobody(&args).expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        seen.push_str(&format!("{line}: {said}{:?}\n", output.status.code()));
    }
    assert_eq!(
        seen,
        "d get a: error: cannot open d: Permission denied\nSome(3)\n\
         -r d count: error: cannot open d: Permission denied\nSome(3)\n\
         d put a 1: error: cannot open d: Permission denied\nSome(3)\n\
         d -f script: error: cannot read script: Permission denied\nSome(1)\n\
         new put a 1: error: cannot create new: Permission denied\nSome(3)\n"
    );
}

#[test]
fn an_unknown_flag_or_command_gets_the_closest_match_as_a_suggestion() {
    let mut transcript = with_store();
    for line in [
        "--jsno d keys",
        "--sinc never d keys",
        "--read-onyl d keys",
        "--mode tabel d keys",
        "--color allways d keys",
        "d keys --lmit 3",
        "d keys --revers",
        "d get a --otput f",
        "d scna",
        "d dump-segmnt 1",
        "d qiut",
        "d zzzzzz",
        "d help scna",
        "d mode jsno",
        "d dump-segment 1 --only lvie",
    ] {
        transcript.run(line);
    }
    transcript.compare("shell-suggestions");
}

#[test]
fn a_malformed_word_gets_a_caret() {
    let mut transcript = with_store();
    let script = concat!(
        "put a \"\\q\"\n",
        "put a \"\\x4\"\n",
        "put a \"\\xZZ\" b\n",
        "put \"a\"b c\n",
        "put 'it's' c\n",
        "put 日本 \"\\q\"\n",
        "put a 'open\n",
    );
    transcript.run_with("d", script.as_bytes());
    for line in script.lines() {
        let line = line.replace('\'', "’");
        transcript.run(&format!("d -c '{line}'"));
    }
    transcript.run("d get a");
    transcript.compare("shell-words");
}

#[test]
fn results_are_never_written_into_a_file_of_the_store() {
    let mut transcript = with_store();
    let dir = transcript.path("d");
    std::os::unix::fs::symlink(dir.join("MANIFEST"), transcript.path("innocent"))
        .expect("a link can be made");
    let before = files(&dir);
    for line in [
        "d -c 'output d/000001.seg' -c 'get a'",
        "d get a -o d/MANIFEST",
        "d get a -o innocent",
        "d get a -o d/000009.seg",
    ] {
        transcript.run(line);
        assert!(files(&dir) == before, "{line} changed the store");
    }
    transcript.run("d get a -o d-elsewhere");
    assert_eq!(fs::read(transcript.path("d-elsewhere")).expect("was written"), b"1");
    transcript.compare("shell-output-into-store");
}

#[test]
fn every_command_rejects_surplus_and_missing_arguments() {
    let mut transcript = with_store();
    let before = files(&transcript.path("d"));
    let help = transcript.command(&["-m", "json", "d", "help"]).output().expect("runs").stdout;
    let commands: Vec<serde_json::Value> =
        help.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert!(commands.len() > 40, "{} commands", commands.len());
    for command in &commands {
        let [name, usage] = ["command", "usage"].map(|field| command[field].as_str().expect("a string"));
        transcript.run(&format!("d {name} --nonsense"));
        let mut words = usage.split(' ').skip(1).take_while(|word| *word != "|");
        if words.next().is_some_and(|word| word.starts_with(char::is_uppercase)) {
            transcript.run(&format!("d {name}"));
        }
        if usage == name {
            transcript.run(&format!("-m json d {name} more"));
        }
    }
    assert_eq!(files(&transcript.path("d")), before);
    transcript.compare("shell-misuse");
}

#[test]
fn a_missing_directory_named_like_a_command_is_refused_and_not_created() {
    let mut transcript = Transcript::new();
    for line in [
        "stats",
        "-r stats",
        "--json STATS",
        "get 'a b' c",
        "log --json",
        "quit",
        "help -c count",
        "keys -f -",
        "put a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j 10 k 11 l 12 m 13",
    ] {
        transcript.run(line);
    }
    transcript.run_with("info", b"put a 1\n").run_with("ls ls", b"");
    assert_eq!(fs::read_dir(transcript.dir.path()).expect("a directory").count(), 0, "a file was made");
    // An existing directory, or a path, is accepted.
    transcript.run("./stats -c count").run("stats").run("stats put a 1").run("stats count");
    transcript.compare("shell-command-as-dir");
}

#[test]
fn help_and_version_need_no_directory() {
    let mut transcript = Transcript::new();
    for line in
        ["version", "help help", "help frob", "help getr", "-m json help sync", "help put x", "? mode"]
    {
        transcript.run(line);
    }
    transcript.run("sync --help").run("-q sync -h").run("--json help --help").run("frob get");
    assert_eq!(fs::read_dir(transcript.dir.path()).expect("a directory").count(), 0, "a file was made");
    let said = |args: &[&str]| {
        let output = transcript.command(args).output().expect("the program runs");
        (String::from_utf8(output.stdout).expect("text"), output.status.code())
    };
    assert!(said(&["help"]).0.starts_with("Data\n  get "), "help lists the commands");
    assert_eq!(said(&["d", "--help"]), said(&["--help"]), "a flag before the command belongs to the program");
    assert_eq!(said(&["get", "--help"]), said(&["help", "get"]));
    transcript.compare("shell-help-alone");
}

#[test]
fn the_help_flag_of_a_command_explains_it_and_runs_nothing() {
    let transcript = Transcript::new();
    let said = |args: &[&str], input: &[u8]| {
        let mut child = piped(&mut transcript.command(args));
        child.stdin.take().expect("is piped").write_all(input).expect("the program reads");
        let output = child.wait_with_output().expect("exits");
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr)),
            (Some(0), "".into()),
            "{args:?}"
        );
        String::from_utf8(output.stdout).expect("text")
    };
    said(&["-q", "d", "put", "a", "1"], b"");
    let before = files(&transcript.path("d"));
    let table = said(&["--json", "d", "help"], b"");
    let names: Vec<_> = table.lines().filter_map(|line| line.split('"').nth(3)).collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        let help = said(&["d", "help", name], b"");
        assert!(help.starts_with(name), "{help}");
        for args in
            [&["d", name, "--help"][..], &["d", name, "a", "-h", "b"], &["d", "-c", &format!("{name} -h")]]
        {
            assert_eq!(said(args, b""), help, "{args:?}");
        }
        assert_eq!(said(&["d"], format!("{name} a --help --bogus\n").as_bytes()), help, "in a script");
    }
    assert_eq!(files(&transcript.path("d")), before);
    // After two dashes, or quoted, it is a key or a value.
    assert_eq!(said(&["d"], b"put -- -h --help\nput b \"-h\"\nget b -- -h\n"), "-h\n--help\n");
}

#[test]
fn a_new_store_is_announced_once_unless_quiet() {
    let transcript = Transcript::new();
    let said = |args: &[&str]| {
        let output = transcript.command(args).output().expect("the program runs");
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    fs::write(transcript.path("rows"), "").expect("writes a file");
    for (dir, command) in
        [("./dta", "put a 1"), ("b", "-c count"), ("c/", "import rows"), ("d", "read rows"), ("e", "-f -")]
    {
        let args: Vec<_> = std::iter::once(dir).chain(command.split(' ')).collect();
        assert_eq!(said(&args), format!("note: new store in {dir}\n"), "{args:?}");
        assert_eq!(said(&args), "", "{args:?}");
    }
    assert_eq!(said(&["-q", "f", "put", "a", "1"]), "");
}

#[test]
fn an_option_with_a_missing_or_negative_value_names_the_problem() {
    let transcript = Transcript::new();
    for row in [
        "segment-size",
        "sync",
        "value-limit",
        "compression",
        "keep-for",
        "keep-versions",
        "segment-age",
        "compaction",
    ] {
        for value in ["-1", "-1k", "--json"] {
            let flag = format!("--{row}");
            let output = transcript.command(&[&flag, value, "d", "keys"]).output().expect("runs");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.starts_with(&format!("error: {flag} cannot be \"{value}\"; it takes ")), "{said}");
        }
        let output = transcript.command(&["d", &format!("--{row}")]).output().expect("runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("a value is required"), "{output:?}");
    }
    let output = transcript.command(&["--width", "-1", "d", "keys"]).output().expect("runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("-1 is not in 20..=65535"), "{output:?}");
    assert!(!transcript.path("d").exists());
}
