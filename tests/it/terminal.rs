//! The REPL on a real terminal.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use logkv::Expiry;
use tempfile::TempDir;

use crate::common::{open, quick, scratch, segment_path, value, wait_until};
use crate::person::{CTRL_C, CTRL_D, CTRL_R, Person};

const PROMPT: &str = "logkv d>";

/// A user after the first prompt.
fn person(dir: &TempDir) -> Person {
    let mut person = Person::at(dir.path(), &["d"], &[]);
    person.sees_at_end(PROMPT);
    person
}

#[test]
fn a_first_session_writes_reads_and_exits_with_0() {
    let dir = scratch();
    let mut person = person(&dir);
    person.sees("note: new store in d\n").sees("0 keys in d").enters("put user:1 alice").sees("OK");
    person.enters("get user:1 user:2").sees("\nalice\n(nil)\n").sees_at_end(PROMPT);
    person.types(CTRL_D);
    assert_eq!(person.sees_it_end(), Some(0));
    assert_eq!(value(&open(&dir.path().join("d")), "user:1").as_deref(), Some("alice"));
}

#[test]
fn the_help_flag_of_a_command_works_at_the_prompt() {
    let dir = scratch();
    let mut person = person(&dir);
    // A short help page, since the start of a long one scrolls away.
    person
        .enters("persist a --help")
        .sees("persist KEY")
        .sees("Removes the expiry of a key.")
        .sees_at_end(PROMPT);
    person.types("persist a --h\t").sees("persist a --he").types(CTRL_C).sees_at_end(PROMPT);
}

#[test]
fn an_error_shows_its_position_and_the_session_continues() {
    let dir = scratch();
    let mut person = person(&dir);
    person.enters("gte a").sees("error: ").sees("did you mean get?").sees_at_end(PROMPT);
    person.enters("put a \"\\q\"").sees("^^").sees_at_end(PROMPT).enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
}

#[test]
fn the_tab_key_completes_commands_and_live_keys() {
    let dir = scratch();
    open(&dir.path().join("d")).put("user:1001", "x").expect("is written");
    let mut person = person(&dir);
    person.types("dump\t").sees("> dump-segment SEG [--from N]");
    person.types(CTRL_C).sees_at_end(PROMPT);
    person.types("get us\t").sees("> get user:1001").types("\r").sees("\nx\n");
}

#[test]
fn the_tab_key_completes_the_common_prefix_and_lists_as_many_keys_as_fit() {
    let dir = scratch();
    let store = open(&dir.path().join("d"));
    for number in 0..1_000 {
        store.put(format!("key:{number:04}"), "x").expect("is written");
    }
    store.put("kez", "x").expect("is written");
    store.put("keyless", "x").expect("is written");
    store.expire("keyless", Expiry::At(1)).expect("is written");
    store.put(format!("long {}", "x".repeat(200)), "x").expect("is written");
    store.put(format!("long {}y", "x".repeat(200)), "x").expect("is written");
    store.close().expect("is closed");
    let mut person = person(&dir);
    person.types("get k\t").sees("… 892 more").sees("> get ke [KEY…]");
    person.types("y\t").sees("… 891 more").sees("> get key:0 [KEY…]");
    assert!(!person.screen().contains("keyless"), "an expired key is listed: {}", person.screen());
    // No confirmation is pending: typing edits the line, and Ctrl-C clears it.
    person.types("1").sees("> get key:01 [KEY…]");
    person.types(CTRL_C).sees_at_end(PROMPT);
    person.types("get lo\t").sees("y\"\n").sees("\nlogkv d> get \"long xxx");
    person.types(CTRL_C).sees_at_end(PROMPT);
    // In a batch, completion includes the batch's puts and excludes its deletes.
    person.enters("begin").enters("put kew 1").enters("del kez").sees_at_end("d*>");
    person.types("get ke\t").sees("kew").sees("> get ke [KEY…]");
    person.types("z\t").types(CTRL_C).sees_at_end("d*>");
}

#[test]
fn the_tab_key_opens_a_quote_only_for_keys_that_need_one() {
    let dir = scratch();
    let store = open(&dir.path().join("d"));
    store.put("a b", "x").expect("is written");
    store.put("key:1", "y").expect("is written");
    store.close().expect("is closed");
    let mut person = person(&dir);
    person.types("get \t").sees("\"a b\"  key:1").sees("> get KEY… [--at");
    person.types("key:1\r").sees("> get key:1\ny\n").sees_at_end(PROMPT);
    person.types("get \"\\x\t").types("7a\"\r").sees("> get \"\\x7a\"\n(nil)\n").sees_at_end(PROMPT);
}

#[test]
fn an_echoed_line_is_escaped_and_ctrl_c_ends_a_wait_for_a_fifo() {
    let dir = scratch();
    fs::write(dir.path().join("script"), "put \u{1b}[2Jk '1\n2'\nread fifo\n").expect("writes a file");
    let made = Command::new("mkfifo").arg(dir.path().join("fifo")).status().expect("mkfifo runs");
    assert!(made.success());
    let mut person = Person::at(dir.path(), &["-e", "d", "-f", "script"], &[]);
    person.sees("put \\x1b[2Jk '1\n2'\n").sees("read fifo").types(CTRL_C).sees("interrupted");
    assert_eq!(person.sees_it_end(), Some(130));
}

#[test]
fn ctrl_c_at_the_prompt_clears_the_line_and_runs_nothing() {
    let dir = scratch();
    let mut person = person(&dir);
    person.types("put a 1").sees("put a 1").types(CTRL_C).sees_at_end(PROMPT);
    person.enters("count").sees("\n0\n").sees_at_end(PROMPT);
}

/// Starts `command` with its results going to an unread pipe, so that it blocks.
fn start_blocked(person: &mut Person, dir: &TempDir, command: &str) -> File {
    let pipe = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is installed");
    assert!(made.success(), "a pipe can be made");
    person.enters("output pipe");
    // Opening one end waits for the other.
    let reader = File::open(&pipe).expect("opens the other end");
    person.sees_at_end(PROMPT).enters(command);
    reader
}

fn with_many_keys() -> TempDir {
    let dir = scratch();
    let store = open(&dir.path().join("d"));
    let mut batch = logkv::Batch::new();
    for number in 0..50_000 {
        batch.put(format!("key{number:05}"), "value");
    }
    store.write(&batch).expect("is written");
    store.close().expect("is closed");
    dir
}

/// Reads a first piece, which proves that the command runs. The rest exceeds pipes and buffers.
fn wait_until_running(pipe: &mut File) {
    pipe.read_exact(&mut [0; 16]).expect("prints results");
}

#[test]
fn ctrl_c_stops_a_command_and_leaves_the_store_intact() {
    let dir = with_many_keys();
    let mut person = person(&dir);
    let mut pipe = start_blocked(&mut person, &dir, "scan --all");
    wait_until_running(&mut pipe);
    // The terminal shows ^C once the signal is sent.
    person.types(CTRL_C).sees("^C");
    let reader = std::thread::spawn(move || pipe.read_to_end(&mut Vec::new()));
    person.sees("interrupted after ").sees_at_end(PROMPT).enters("output");
    reader.join().expect("the reader ends").expect("the reader ends");
    person.enters("count").sees("\n50,000\n").sees_at_end(PROMPT);
    person.types(CTRL_D);
    assert_eq!(person.sees_it_end(), Some(0));
    assert_eq!(open(&dir.path().join("d")).len(), 50_000);
}

#[test]
fn every_file_of_a_long_import_shows_its_progress() {
    const ROWS_MAX: usize = 200;
    let dir = scratch();
    fs::write(dir.path().join("first.tsv"), "a\t1\n").expect("writes a file");
    let second = dir.path().join("second.tsv");
    let made = Command::new("mkfifo").arg(&second).status().expect("mkfifo is installed");
    assert!(made.success(), "a pipe can be made");
    let mut person = Person::at(dir.path(), &["d", "import", "first.tsv", "second.tsv"], &[]);
    let mut pipe = File::options().write(true).open(&second).expect("opens the other end");
    person.sees("first.tsv");
    let mut rows = 0;
    // The bar appears with the first row after half a second.
    while rows < ROWS_MAX && !person.screen().contains("importing") {
        pipe.write_all(b"b\t2\n").expect("is read");
        rows += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(pipe);
    assert!(rows < ROWS_MAX, "{}", person.screen());
    assert_eq!(person.sees_it_end(), Some(0));
}

#[test]
fn lines_typed_while_a_command_runs_run_afterwards_in_order() {
    let dir = with_many_keys();
    let mut person = person(&dir);
    let mut pipe = start_blocked(&mut person, &dir, "scan --all");
    wait_until_running(&mut pipe);
    person.types("output\rput ahead 1\rget ahead\rcount").sees("count");
    let reader = std::thread::spawn(move || pipe.read_to_end(&mut Vec::new()));
    person.sees("\nOK\n").sees("\n1\n").sees("> count [PATTERN]");
    person.types(" ahe*\r").sees("> count ahe*\n1\n");
    reader.join().expect("the reader ends").expect("the reader ends");
}

#[test]
fn an_open_quote_continues_in_the_next_line() {
    let dir = scratch();
    let mut person = person(&dir);
    person.enters("put a \"one").sees_at_end("   \"..>").enters("two\"").sees("OK");
    person.enters("get a").sees("\"one\\ntwo\"");
}

#[test]
fn the_history_is_kept_for_the_next_session_and_readable_by_its_owner_only() {
    let dir = scratch();
    let mut first = person(&dir);
    first.enters("put a 1").sees("OK").sees_at_end(PROMPT);
    first.enters("count").sees("\n1\n").sees_at_end(PROMPT).enters("count").sees("\n1\n");
    first.sees_at_end(PROMPT).enters(" put secret 2").sees("secret 2\nOK\n").sees_at_end(PROMPT);
    first.types(CTRL_D);
    assert_eq!(first.sees_it_end(), Some(0));
    let path = dir.path().join(".local/state/logkv/history");
    let kept = fs::read_to_string(&path).expect("is kept");
    assert_eq!(kept.lines().filter(|line| *line == "count").count(), 1, "{kept}");
    assert!(kept.contains("put a 1") && !kept.contains("secret"), "{kept}");
    let mode = fs::metadata(&path).expect("exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut second = person(&dir);
    second.types(CTRL_R).types("put").sees("put a 1").types("\r").sees("OK");
}

#[test]
fn the_prompt_shows_read_only_mode_and_an_open_batch() {
    let dir = scratch();
    let mut writer = person(&dir);
    writer.enters("put a 1").sees("OK").enters("begin").sees_at_end("logkv d*>");
    writer.enters("put a 2").sees("OK, with commit");
    let mut reader = Person::at(dir.path(), &["-r", "d"], &[]);
    reader.sees_at_end("logkv d(ro)>").enters("get a").sees("\n1\n");
    reader.enters("put a 3").sees("error: ").sees_at_end("logkv d(ro)>");
    writer.enters("commit").sees("committed 1 change").sees_at_end(PROMPT);
}

#[test]
fn a_background_compaction_is_reported_once_before_the_next_prompt_unless_quiet() {
    for quiet in [false, true] {
        let dir = scratch();
        let args: &[&str] = if quiet { &["-q", "d"] } else { &["d"] };
        let mut person = Person::at(dir.path(), args, &[]);
        person.sees_at_end(PROMPT).enters("put a 1").sees("OK").enters("put a 2").sees_at_end(PROMPT);
        person.enters("rotate").sees("sealed segment 1").sees_at_end(PROMPT);
        wait_until(|| !segment_path(&dir.path().join("d"), 1).exists());
        person.enters("count").sees("\n1\n").sees_at_end(PROMPT);
        let notes = person.screen().matches("note: compacted 1 into 2, 48 B freed\n").count();
        assert_eq!(notes, usize::from(!quiet), "{}", person.screen());
        person.enters("count").sees_at_end(PROMPT);
        assert_eq!(person.screen().matches("note: compacted").count(), notes, "{}", person.screen());
        person.enters("dump 1").sees("error: there is no segment 1: it was compacted into 2\n");
        person.sees("hint: there is only segment 2\n").sees_at_end(PROMPT);
    }
}

#[test]
fn the_init_file_runs_at_the_start() {
    let dir = scratch();
    let config = dir.path().join("config/logkv");
    fs::create_dir_all(&config).expect("creates a directory");
    fs::write(config.join("init"), "put from init\nmode json\n").expect("writes a file");
    let config = dir.path().join("config");
    let env = [("XDG_CONFIG_HOME", config.to_str().expect("the path is UTF-8"))];
    let mut person = Person::at(dir.path(), &["d"], &env);
    person.sees_at_end(PROMPT).enters("get from").sees("{\"key\":\"from\",\"value\":\"init\"");
    person.sees_at_end(PROMPT).types(CTRL_D);
    assert_eq!(person.sees_it_end(), Some(0));
    let mut person = Person::at(dir.path(), &["--no-init", "d"], &env);
    person.sees_at_end(PROMPT).enters("get from").sees("\ninit\n");
}

#[test]
fn escapes_in_keys_and_values_do_not_reach_the_terminal() {
    let dir = scratch();
    let evil = "\x1b[2J\x1b]0;owned\x07\x1b[31m";
    let store = logkv::Store::open_with(dir.path().join("d"), quick()).expect("a new store opens");
    store.put(format!("k{evil}"), format!("v{evil}")).expect("is written");
    store.close().expect("is closed");
    let mut person = Person::at_terminal(dir.path(), &["--color", "never", "d"], &[], (60, 80));
    let shown = r#""k\x1b[2J\x1b]0;owned\x07\x1b[31m""#;
    person.sees_at_end(PROMPT).enters("keys").sees(shown).enters("scan").sees(r#""v\x1b[2J"#);
    person.enters("dump-segment 1 --values full").sees("1 record · 1 live").sees_at_end(PROMPT);
    // Completed, and printed.
    person
        .types("get k\t")
        .sees(&format!("> get {shown} [KEY…]"))
        .types("\r")
        .sees(r#""v\x1b[2J\x1b]0;owned"#);
    person.enters(&format!("nokey{evil}").replace('\x1b', "")).sees("error: ");
    assert!(person.screen().contains("1 key in d"), "the screen was cleared");
    assert!(!person.sees_colours(), "the text was coloured");
}

#[test]
fn colours_are_for_terminals_unless_the_user_turned_them_off() {
    let dir = scratch();
    let mut colorful = person(&dir);
    colorful.enters("put a 1").sees("OK").sees_at_end(PROMPT);
    assert!(colorful.sees_colours());
    colorful.types(CTRL_D);
    assert_eq!(colorful.sees_it_end(), Some(0));
    let mut plain = Person::at(dir.path(), &["d"], &[("NO_COLOR", "1")]);
    for line in ["scan", "stats", "segments", "dump-segment 1", "help put", "frob"] {
        plain.sees_at_end(PROMPT).enters(line);
    }
    plain.sees("error: ").sees_at_end(PROMPT);
    assert!(!plain.sees_colours());
}

#[test]
fn a_table_follows_the_width_of_the_window() {
    let dir = scratch();
    let mut person = Person::at_terminal(dir.path(), &["d"], &[], (40, 100));
    let value = "v".repeat(90);
    person.sees_at_end(PROMPT).enters(&format!("put a {value}")).sees("OK").sees_at_end(PROMPT);
    person.enters("clear").enters("scan").sees(&format!("a    {}", &value[..90])).sees_at_end(PROMPT);
    person.resizes((40, 60)).enters("clear").enters("scan").sees(&format!("a    {}…", &value[..54]));
}
