//! `export` and `import` in every format and mode: round trips and refusals.

pub(crate) mod foreign;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::Arc;

use logkv::{Batch, Expiry, ManualClock, Store};

use self::foreign::write_bitcask;
use crate::common::{
    Map, Random, contents, interrupt, open, piped, program, program_of_system, quick, scratch, segment_path,
    value, wait_until,
};
use crate::hooked::{SteadyRandom, hooked};
use crate::transcript::Transcript;

/// 2026-01-31T05:56:40Z.
const NOON_S: u32 = 1_769_839_000;

/// A store `d` with a few keys, some of them not UTF-8.
fn with_store() -> Transcript {
    let transcript = Transcript::new();
    let clock = Arc::new(ManualClock::at(u64::from(NOON_S) * 1000));
    let options = quick().clock(clock).file_system(hooked(SteadyRandom::default()));
    let store = Store::open_with(transcript.path("d"), options).expect("opens");
    for (key, value) in [
        (&b"user:1"[..], &b"Alice Cooper"[..]),
        (b"user:2", b"b\to\nb \"quoted\" \\ "),
        (b"user:3", b""),
        (b"\xff\x00 \x1b[2J", b"\x80\xe2\x80\xae"),
        (b"-f", "caf\u{e9} \u{65e5}\u{672c}".as_bytes()),
    ] {
        store.put(key, value).expect("a put");
    }
    store.close().expect("closes");
    transcript
}

const MODES: [&str; 4] = ["-m table --width 80", "-m table --width 40 --ascii", "-m plain", "-m json"];

#[test]
fn an_export_prints_every_format_and_reports_in_every_mode() {
    let mut transcript = with_store();
    for format in ["jsonl", "json", "csv", "tsv", "script"] {
        transcript.run(&format!("d export --format {format}"));
    }
    for mode in MODES {
        transcript.run(&format!("{mode} d export rows.tsv -y"));
    }
    transcript.run("d export - --prefix user: --from user:2").run("d export --glob '*:[13]' --format tsv");
    transcript
        .run("d export --to user:")
        .run_with("d", b"begin\nput user:2 mine\ndel user:3\nexport - --prefix user:\n");
    transcript.run_with("-m table d", b"output rows\nexport --format script\noutput\nread rows\n");
    for line in [
        "d export nodir/rows",
        "d export d/MANIFEST",
        "d export --format xml",
        "d export --glob 'a*' --prefix b",
        "d export a b",
        "d export rows.tsv",
        "d export rows.parquet",
        "d export rows.tar.zst",
        "d export rows.parquet --format csv",
        "nowhere export",
    ] {
        transcript.run(line);
    }
    transcript.compare("shell-export");
}

#[test]
fn the_readable_part_of_a_damaged_store_is_exported() {
    let mut transcript = with_store();
    let path = segment_path(&transcript.path("d"), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    // A byte of the value of user:1.
    bytes[64 + 40] ^= 1;
    fs::write(&path, bytes).expect("the segment");
    transcript.run("-q -m table d export rows.tsv").run("-q d export --format tsv");
    transcript.compare("shell-export-damaged");
    assert_eq!(fs::read_to_string(transcript.path("rows.tsv")).expect("was created").lines().count(), 4);
}

#[test]
fn an_import_reports_each_rejected_row_in_every_mode() {
    let mut transcript = Transcript::new();
    let write = |name: &str, text: &str| fs::write(transcript.path(name), text).expect("writes a file");
    write(
        "good.jsonl",
        "{\"key\":\"a\",\"value\":\"1\"}\n\n{\"key\":\"b\",\"value_b64\":\"/w==\",\"seq\":7}\n",
    );
    write(
        "bad.jsonl",
        "{\"key\":\"c\",\"value\":\"3\"}\n{\"key\":\"\",\"value\":\"x\"}\nnonsense\n{\"key\":\"d\"}\n",
    );
    write("rows.tsv", "k\\t1\tv\\x00\nno tab\nk2\tv2\r\n");
    write(
        "rows.script",
        "# comment\nput x 1 y 2\ndel a\nget x\nput z 'open\nput x 1 --nx\nput t 1 --ttl 100d\nput t 1 --ttl \
        soon\n",
    );
    write("rows.txt", "k3\tv3\n");
    write("rows.resp", "*3\r\n");
    write("long.tsv", &format!("short\t1\nlong\t{}\nlast\t2\n", "x".repeat(2_000_000)));
    for (number, mode) in MODES.iter().enumerate() {
        for name in ["good.jsonl", "bad.jsonl", "rows.tsv", "rows.script"] {
            transcript.run(&format!("{mode} s{number} import {name}"));
        }
    }
    transcript
        .run("s0 scan")
        .run("s0 ttl t x")
        .run("-m table s import rows.txt --format tsv")
        .run("-m table s import rows.txt");
    transcript.run_with("-m table s import -", b"{\"key\":\"in\",\"value\":\"stdin\"}\n");
    transcript.run_with("-m table s import - --format tsv", b"in\tagain");
    transcript.run("--value-limit 1KiB --segment-size 64KiB t import long.tsv").run("t scan");
    for line in [
        "s import rows.resp",
        "s import nofile",
        "s import",
        "s import good.jsonl --format resp",
        "s import - --format bitcask",
        "s import s",
        "s import s --format jsonl",
        "-r s import good.jsonl",
        "-r nowhere import good.jsonl",
        "s -c 'import -'",
        "s -c begin -c 'import good.jsonl'",
    ] {
        transcript.run(line);
    }
    transcript.compare("shell-import");
}

/// A file `rows.tsv` of 1,020 rows, half of them without a tab.
fn half_bad() -> Transcript {
    let transcript = Transcript::new();
    let rows: String = (0..1020).map(|n| format!("good {n}\t1\nbad {n}\n")).collect();
    fs::write(transcript.path("rows.tsv"), rows).expect("writes a file");
    transcript
}

#[test]
fn every_rejected_row_is_printed_if_there_is_no_terminal() {
    let transcript = half_bad();
    for mode in ["table", "plain", "json"] {
        let args = ["-q", "-m", mode, mode, "import", "rows.tsv"];
        let output = transcript.command(&args).output().expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = (0..1020)
            .map(|n| format!("rows.tsv:{}: rejected: it has no tab between a key and a value\n", 2 * n + 2));
        let expected = expected.chain(["error: 1,020 rows were rejected; 1,020 went in\n".to_owned()]);
        assert_eq!(said, expected.collect::<String>());
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn a_terminal_shows_the_first_rejected_rows_and_how_to_keep_all() {
    let transcript = half_bad();
    let mut person = crate::person::Person::at(transcript.dir.path(), &["d", "import", "rows.tsv"], &[]);
    person.sees("rows.tsv:40: rejected: it has no tab between a key and a value");
    person.sees("1,000 more; --rejects FILE keeps them all");
}

#[test]
fn the_rejects_file_has_the_place_and_reason_of_each_row_and_the_row_unchanged() {
    let transcript = half_bad();
    let import = |args: &[&str]| {
        let output = transcript.command(args).output().expect("the program runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    let (code, said) = import(&["-q", "d", "import", "rows.tsv", "--rejects", "bad"]);
    assert_eq!((code, said.lines().count()), (Some(1), 22), "{said}");
    assert!(said.contains("\n… and 1,000 more; bad has them all\nerror: 1,020 rows were "), "{said}");
    let kept = fs::read_to_string(transcript.path("bad")).expect("was created");
    let expected = (0..1020)
        .map(|n| format!("rows.tsv:{}\tit has no tab between a key and a value\tbad {n}\n", 2 * n + 2));
    assert_eq!(kept, expected.collect::<String>());
    // Without a rejected row, the file becomes empty.
    fs::write(transcript.path("rows.tsv"), "k\tv\n").expect("writes a file");
    let (code, said) = import(&["-q", "d", "import", "rows.tsv", "--rejects", "bad"]);
    assert!(
        code == Some(1) && said.starts_with("error: will not replace bad: confirmation needs a terminal\n"),
        "{said}"
    );
    assert_eq!(
        import(&["-q", "d", "import", "rows.tsv", "--rejects", "bad", "-y"]),
        (Some(0), String::new())
    );
    assert_eq!(fs::read(transcript.path("bad")).expect("was created"), b"");
}

#[test]
fn an_import_that_cannot_read_its_input_or_report_creates_nothing() {
    let mut transcript = Transcript::new();
    fs::write(transcript.path("rows.tsv"), "k\tv\nno tab\n").expect("writes a file");
    fs::create_dir(transcript.path("empty")).expect("creates a directory");
    write_bitcask(&transcript.path("riak"));
    fs::remove_file(transcript.path("riak/10.bitcask.data")).expect("exists");
    fs::create_dir(transcript.path("riak/10.bitcask.data")).expect("creates a directory");
    let before = fs::read_dir(transcript.dir.path()).expect("can be read").count();
    for line in [
        "new import nofile",
        "new import empty",
        "new import riak",
        "new import .",
        "new import rows.tsv --rejects rows.tsv",
        "new import rows.tsv --rejects nodir/bad",
        "new put k --file nofile",
        "new put k 1 --ttl soon",
        "new read nofile",
    ] {
        transcript.run(line);
    }
    std::os::unix::fs::symlink("rows.tsv", transcript.path("link")).expect("a link can be made");
    transcript.run("new import rows.tsv --rejects link");
    let after = fs::read_dir(transcript.dir.path()).expect("can be read").count();
    assert_eq!(after, before + 1, "only the link was made");
    transcript.compare("shell-import-nothing");
}

#[test]
fn expired_rows_are_counted_and_hide_older_values() {
    let mut transcript = Transcript::new();
    let rows = "{\"key\":\"a\",\"value\":\"new\",\"expires_ms\":1}\n\
        {\"key\":\"b\",\"value\":\"new\",\"expires_ms\":4102444800000}\n";
    fs::write(transcript.path("rows.jsonl"), rows).expect("writes a file");
    fs::write(transcript.path("one.tsv"), "c\tnew\t1\n").expect("writes a file");
    for (number, mode) in MODES.iter().enumerate() {
        transcript.run(&format!("s{number} put a old"));
        transcript.run(&format!("{mode} s{number} import rows.jsonl"));
        transcript.run(&format!("{mode} s{number} import one.tsv")).run(&format!("s{number} keys"));
    }
    transcript.compare("shell-import-expired");
}

#[test]
fn a_row_with_an_expiry_out_of_range_is_rejected_and_costs_no_other_row() {
    let mut transcript = Transcript::new();
    let rows = "{\"key\":\"a\",\"value\":\"1\",\"expires_ms\":9007199254740991}\n\
        {\"key\":\"b\",\"value\":\"1\",\"expires_ms\":9007199254740992}\n\
        {\"key\":\"c\",\"value\":\"1\",\"expires_ms\":18446744073709551615}\n\
        {\"key\":\"d\",\"value\":\"1\"}\n";
    fs::write(transcript.path("rows.jsonl"), rows).expect("writes a file");
    fs::write(transcript.path("rows.tsv"), "e\t1\t9007199254740992\nf\t1\n").expect("writes a file");
    let script = "put g 1 --ttl 9007199254740\nput h 1 --ttl 9007199254741\nput i 1\n";
    fs::write(transcript.path("rows.script"), script).expect("writes a file");
    for file in ["rows.jsonl", "rows.tsv", "rows.script --format script"] {
        transcript.run(&format!("d import {file}"));
    }
    transcript.run("d keys").run("d export --format resp --prefix a").compare("shell-import-too-late");
}

/// Random keys and values, many of which need escapes in some format.
pub(crate) fn any_pairs(random: &mut Random, count: u64) -> Map {
    const AWKWARD: &[u8] = b"\t\n\r\\\"' {}:#-.\x00\x1b\x7f\xc2\x9b\xe2\x80\xae\xff";
    let bytes = |random: &mut Random, len: u64| -> Vec<u8> {
        let byte = |random: &mut Random| match random.below(2) {
            0 => AWKWARD[random.below(AWKWARD.len() as u64) as usize],
            _ => random.next() as u8,
        };
        (0..len).map(|_| byte(random)).collect()
    };
    let pair = |random: &mut Random| {
        let (key_len, value_len) = (random.below(20) + 1, random.below(60));
        (bytes(random, key_len), bytes(random, value_len))
    };
    let mut map: Map = (0..count).map(|_| pair(random)).collect();
    map.extend((0..=u8::MAX).map(|byte| (vec![byte], vec![byte])));
    map
}

#[test]
fn every_format_restores_any_keys_and_values() {
    let dir = scratch();
    let pairs = any_pairs(&mut Random::announced(), 3000);
    let store = Store::open_with(dir.path().join("from"), quick()).expect("opens");
    for (key, value) in &pairs {
        store.put(key, value).expect("a put");
    }
    store.close().expect("closes");
    let run = |args: &[&str]| {
        let output = program(dir.path()).args(args).output().expect("the program runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for ending in ["jsonl", "json", "csv", "tsv", "script", "jsonl.gz", "csv.zst", "json.GZ", "script.zst"] {
        let (file, to) = (format!("rows.{ending}"), format!("to-{ending}"));
        run(&["from", "export", &file]);
        run(&["--sync", "never", &to, "import", &file]);
        assert!(contents(&open(&dir.path().join(to))) == pairs, "{ending}");
    }
    // The script format runs as a script.
    run(&["--sync", "never", "run", "-f", "rows.script"]);
    assert!(contents(&open(&dir.path().join("run"))) == pairs);
}

#[test]
fn an_imported_key_keeps_its_expiry() {
    /// 2100-01-01.
    const THEN: u64 = 4_102_444_800_000;
    let transcript = with_store();
    let store = open(&transcript.path("d"));
    let mut batch = Batch::new();
    batch.put_expiring("offer", "half price", Expiry::At(THEN));
    store.write(&batch).expect("a put");
    store.close().expect("closes");
    let run = |args: &[&str]| {
        let output = transcript.command(args).output().expect("the program runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).expect("text")
    };
    for format in ["jsonl", "json", "csv", "tsv", "script"] {
        let file = format!("rows.{format}");
        assert_eq!(run(&["d", "export", &file]), "");
        run(&[format, "import", &file]);
        let store = open(&transcript.path(format));
        let entry = store.get_entry("offer").expect("reads").expect("exists");
        assert_eq!((&*entry.value, entry.meta.expires_ms), (&b"half price"[..], Some(THEN)), "{format}");
        assert_eq!(store.get_entry("user:1").expect("reads").expect("exists").meta.expires_ms, None);
    }
    // The script sets absolute times.
    run(&["ran", "-f", "rows.script"]);
    let entry = open(&transcript.path("ran")).get_entry("offer").expect("reads").expect("exists");
    assert_eq!(entry.meta.expires_ms, Some(THEN));
}

#[test]
fn more_rows_than_share_a_sync_are_imported_from_a_pipe() {
    const COUNT: u64 = 70_000;
    let dir = scratch();
    let mut child = program(dir.path())
        .args(["--json", "store", "import", "-", "--format", "tsv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let rows: String = (0..COUNT).map(|n| format!("key{n}\tvalue{n}\n")).collect();
    child.stdin.take().expect("is piped").write_all(rows.as_bytes()).expect("the program reads");
    let output = child.wait_with_output().expect("exits");
    let said = "{\"imported\":70000,\"deleted\":0,\"expired\":0,\"not_set\":0,\"rejected\":0,\
        \"format\":\"tsv\",\"format_from\":\"flag\",\"files\":[\"-\"]}\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), said);
    let store = open(&dir.path().join("store"));
    assert_eq!((store.len(), value(&store, "key69999").as_deref()), (COUNT, Some("value69999")));
}

#[test]
fn an_interrupt_stops_an_import_after_the_current_row_and_keeps_the_rows_before() {
    let dir = scratch();
    let mut child = piped(program(dir.path()).args([
        "-q",
        "store",
        "import",
        "-",
        "--format",
        "tsv",
        "--rejects",
        "bad",
    ]));
    let mut stdin = child.stdin.take().expect("is piped");
    stdin.write_all(b"a\t1\nb\t2\nno tab\n").expect("the program reads");
    // Before the import waits for more, it makes durable what it has.
    wait_until(|| {
        let options = quick().read_only(true);
        Store::open_with(dir.path().join("store"), options).is_ok_and(|store| store.len() == 2)
    });
    interrupt(&child);
    let mut said = Vec::new();
    let stderr = BufReader::new(child.stderr.take().expect("is piped"));
    said.extend(stderr.lines().map(|line| line.expect("text")));
    let why = "-:3: rejected: it has no tab between a key and a value";
    let ended = "error: interrupted: 2 rows went in, and 1 was rejected; bad has the rows rejected so far";
    assert_eq!(said, [why, ended]);
    assert!(fs::read_to_string(dir.path().join("bad")).is_ok_and(|kept| kept.ends_with("\tno tab\n")));
    assert_eq!(child.wait().expect("exits").code(), Some(130));
    drop(stdin);
    assert_eq!(open(&dir.path().join("store")).len(), 2);
}

#[test]
fn output_for_redis_is_refused_on_a_terminal_and_a_broken_pipe_is_no_failure() {
    let transcript = with_store();
    let command = format!("{} d export --format resp | head -c 4", env!("CARGO_BIN_EXE_logkv"));
    let mut shell = program_of_system("sh", transcript.dir.path());
    let output = shell.args(["-c", &format!("set -e; {command}")]).output().expect("a shell");
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"*3\r\n"[..], &b""[..]));
    let mut person =
        crate::person::Person::at(transcript.dir.path(), &["d", "export", "--format", "resp"], &[]);
    person.sees("error: resp cannot be written to a terminal");
}
