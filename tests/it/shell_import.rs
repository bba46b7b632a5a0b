//! `import` of files of other programs: tables, documents, compressed files, scripts, and several
//! files at once.

use std::fs;
use std::io::{BufWriter, Write};
use std::process::Stdio;

use crate::common::{contents, open, program, program_of_system, scratch, value, wait_until};
use crate::person::Person;
use crate::transcript::Transcript;

/// A directory with these files.
pub(crate) fn with_files(files: &[(&str, &[u8])]) -> Transcript {
    let transcript = Transcript::new();
    for (name, bytes) in files {
        fs::write(transcript.path(name), bytes).expect("writes a file");
    }
    transcript
}

#[test]
fn skipped_fields_are_not_parsed_and_values_are_taken_verbatim() {
    let (digits, deep) = ("7".repeat(400), format!("{}{}", "[".repeat(200), "]".repeat(200)));
    let mut rows = String::new();
    for (at, other) in
        ["1e999", &digits, &deep, r#""\ud800""#, r#"{"\udfff":[1,2]}"#, "7.0"].iter().enumerate()
    {
        rows.push_str(&format!("{{\"seq\":{other},\"key\":\"other{at}\",\"value\":\"v\"}}\n"));
        rows.push_str(&format!("{{\"key\":\"value{at}\",\"value\":{}}}\n", other.replace("\\ud", "\\u0d")));
    }
    rows.push_str("{\"key\":17,\"value\":[1, 2.50]}\n{\"key\":true,\"value\":false}\n");
    rows.push_str("{\"key\":\"later\",\"value\":\"\",\"expires_ms\":4.1024448e12}\n");
    rows.push_str("{\"key\":null,\"value\":\"v\"}\n{\"key\":\"k\",\"value\":null}\n");
    rows.push_str("{\"key\":[1],\"value\":\"v\"}\n{\"key\":{},\"value\":\"v\"}\n");
    let mut transcript = with_files(&[("rows.jsonl", rows.as_bytes())]);
    transcript.run("-m table d import rows.jsonl").run("d get 17 true other3 value4 value5");
    let store = open(&transcript.path("d"));
    assert_eq!(store.len(), 15);
    assert_eq!((0..6).filter(|at| value(&store, &format!("other{at}")).as_deref() == Some("v")).count(), 6);
    assert_eq!(value(&store, "value1"), Some(digits));
    assert_eq!(value(&store, "value2"), Some(deep));
    let later = store.get_entry("later").expect("reads").expect("exists");
    assert_eq!((&*later.value, later.meta.expires_ms), (&b""[..], Some(4_102_444_800_000)));
    drop(store);
    transcript.compare("shell-import-fields");
}

#[test]
fn a_table_is_imported_with_any_field_as_the_key() {
    let mut transcript = with_files(&[
        (
            "t.jsonl",
            b"{\"id\": 7, \"name\": \"x\", \"tags\": [\"a\", 1e999]}\n{\"name\":\"y\"}\n{\"id\":8}\n",
        ),
        ("t.csv", b"\xef\xbb\xbfid,name,note\r\n7,\"a, b\",\"l1\nl2 \"\"q\"\"\"\r\n\r\n8,,=1+1\n9,x\n"),
        ("t.tsv", b"id\tname\n7\ta\\tb\n8\t\\N\n\\N\tx\n"),
        ("latin.csv", b"id,name\n7,caf\xe9\n"),
        ("semicolons.csv", b"id;name;note\r\n7;\"a; b\";1,5\r\n"),
        ("tabs.csv", b"id\tname\n7\t\"a\tb\"\n"),
        ("open.csv", b"id,name\n7,x\n8,\"y\n"),
        ("empty.csv", b""),
        ("put.script", b"put a 1\n"),
    ]);
    for (at, file) in ["t.jsonl", "t.csv", "t.tsv", "latin.csv", "open.csv", "semicolons.csv", "tabs.csv"]
        .into_iter()
        .enumerate()
    {
        transcript.run(&format!("-m table w{at} import {file} --key id")).run(&format!("w{at} scan"));
        transcript
            .run(&format!("-m table v{at} import {file} --key id --value name"))
            .run(&format!("v{at} scan"));
    }
    for line in [
        "n import t.csv",
        "n import t.csv --key nowhere",
        "n import t.csv --key id --value nowhere",
        "n import t.csv --value name",
        "n import empty.csv",
        "n import put.script --key id",
        "-r n import t.csv --key id",
    ] {
        transcript.run(line);
    }
    assert!(!transcript.path("n").exists(), "a failed import made a store");
    transcript.compare("shell-import-tables");
}

#[test]
fn a_multi_line_document_is_imported_by_rows_and_an_error_has_its_line() {
    let mut transcript = with_files(&[
        (
            "pretty.json",
            b"\xef\xbb\xbf\n [\n  {\n    \"key\": \"a]\\\"\",\n    \"value\": {\n      \"x\": [1]\n    }\n  \
            },\n  {\"value\": 1},\n  {\"key\": \"b\", \"value\": nope},\n  {\"key\": \"c\", \"value\": \
            \"3\"}\n]\n",
        ),
        ("jq.json", b"{\n  \"key\": \"a\",\n  \"value\": 1\n}\n{\n  \"key\": \"b\",\n  \"value\": 2\n}\n"),
        (
            "line.json",
            b"[{\"key\":\"a\",\"value\":1},{\"key\":\"b\",\"value\":2}][{\"key\":\"c\",\"value\":3}]",
        ),
        ("rows.json", b"{\"key\":\"a\",\"value\":1}\n{\"key\":\"b\",\"value\":2}\n"),
        ("none.json", b"[\n]\n"),
        ("comma.json", b"[\n{\"key\":\"a\",\"value\":1},\n]\n"),
        ("two.json", b"[\n{\"key\":\"a\",\"value\":1}\n{\"key\":\"b\",\"value\":1}\n]\n"),
        ("cut.json", b"[\n{\"key\":\"a\",\"value\":1},\n{\"key\":\"b\",\n"),
        ("open.json", b"[\n{\"key\":\"a\",\"value\":1}\n"),
        ("string.json", b"[\n{\"key\":\"a\",\"value\":1},\n{\"key\":\n\"b,\n\"value\":1}\n]\n"),
        ("bracket.json", b"[\n{\"key\":\"a\",\"value\":[1}\n]\n"),
        ("stray.json", b"[\n,{\"key\":\"a\",\"value\":1}\n]\n"),
    ]);
    for name in
        ["pretty", "jq", "line", "rows", "none", "comma", "two", "cut", "open", "string", "bracket", "stray"]
    {
        transcript.run(&format!("-m table {name} import {name}.json")).run(&format!("{name} scan"));
    }
    transcript.compare("shell-import-documents");
}

#[test]
fn importing_a_document_needs_memory_for_one_row() {
    const COUNT: usize = 40_000;
    let dir = scratch();
    let program = env!("CARGO_BIN_EXE_logkv");
    // The rows have 200 MB.
    let limited = format!("ulimit -v 150000; exec '{program}' --sync never --read-with pread d import -");
    let mut command = program_of_system("sh", dir.path());
    let command = command.args(["-c", &limited]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("a shell");
    let mut stdin = BufWriter::with_capacity(1 << 20, child.stdin.take().expect("is piped"));
    let padding = "x".repeat(5000);
    for n in 0..COUNT {
        let before = if n == 0 { "[" } else { "," };
        write!(stdin, "{before}{{\"pad\":\"{padding}\",\"key\":\"{n}\",\"value\":{n}}}").expect("is read");
    }
    stdin.write_all(b"]").expect("is read");
    drop(stdin);
    assert!(child.wait().expect("exits").success());
    assert_eq!(open(&dir.path().join("d")).len(), COUNT as u64);
}

/// `bytes` compressed by `program`.
fn packed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut command = program_of_system(program, std::path::Path::new("/"));
    let mut child = command.arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("is piped").write_all(bytes).expect("is read");
    child.wait_with_output().expect("exits").stdout
}

#[test]
fn compressed_files_are_recognised_by_their_contents_and_a_truncated_one_reports_its_rows() {
    let rows: String = (0..20_000).map(|n| format!("key{n},value{}\n", n * 7919)).collect();
    let (first, second) = (format!("key,value\n{rows}"), "z,last\n");
    let mut files = Vec::new();
    for (program, ending) in [("gzip", "gz"), ("zstd", "zst")] {
        let both = [packed(program, first.as_bytes()), packed(program, second.as_bytes())].concat();
        let cut = both[..both.len() / 2].to_vec();
        let mut hurt = both.clone();
        hurt[both.len() / 2] ^= 0x55;
        files.push((format!("whole.csv.{ending}"), both.clone()));
        files.push((format!("unnamed-{ending}.csv"), both));
        files.push((format!("cut.csv.{ending}"), cut));
        files.push((format!("hurt.csv.{ending}"), hurt));
        files.push((format!("empty.csv.{ending}"), Vec::new()));
    }
    files.push(("plain.csv.gz".to_owned(), b"key,value\na,1\n".to_vec()));
    let transcript = Transcript::new();
    let mut seen = String::new();
    for (name, bytes) in &files {
        fs::write(transcript.path(name), bytes).expect("writes a file");
        let output =
            transcript.command(&["-q", "--sync", "never", &format!("d-{name}"), "import", name]).output();
        let output = output.expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        seen.push_str(&format!("{name}: {:?} {said}", output.status.code()));
        if name.starts_with("whole") || name.starts_with("unnamed") {
            assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{name}");
            let store = open(&transcript.path(&format!("d-{name}")));
            assert_eq!((store.len(), value(&store, "z").as_deref()), (20_001, Some("last")));
        } else if name.starts_with("plain") {
            assert_eq!(output.status.code(), Some(0));
        } else {
            let kind = if name.ends_with("gz") { "gzip" } else { "zstd" };
            let why = if name.starts_with("hurt") { "stream is damaged: " } else { "stream does not end" };
            assert!(
                said.starts_with("error: ") && said.contains(&format!("its {kind} {why}")),
                "{name}: {said}"
            );
            assert_eq!(output.status.code(), Some(1), "{name}");
        }
        if name.starts_with("cut") {
            let count = open(&transcript.path(&format!("d-{name}"))).len();
            let expected = format!("{},{:03} rows went in", count / 1000, count % 1000);
            assert!(count > 1000 && said.contains(&expected), "{count}: {said}");
        }
        // Not even the header of a damaged file may be readable.
        let is_made = transcript.path(&format!("d-{name}")).exists();
        assert!(is_made != name.starts_with("empty") || name.starts_with("hurt"), "{seen}");
    }
}

#[test]
fn compressed_rows_from_a_pipe_are_imported_as_they_come() {
    let dir = scratch();
    let mut command = program(dir.path());
    let mut child = command
        .args(["d", "import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("is piped");
    let packed = packed("gzip", b"{\"key\":\"a\",\"value\":1}\n");
    stdin.write_all(&packed).expect("is read");
    // The rows are acknowledged while the pipe is still open.
    wait_until(|| {
        let options = crate::common::quick().read_only(true);
        logkv::Store::open_with(dir.path().join("d"), options).is_ok_and(|store| store.len() == 1)
    });
    stdin.write_all(&packed).expect("is read");
    drop(stdin);
    assert!(child.wait().expect("exits").success());
}

#[test]
fn several_files_are_imported_in_order_and_a_broken_one_does_not_stop_the_others() {
    let mut transcript = with_files(&[
        ("a.jsonl", b"{\"key\":\"a\",\"value\":\"first\"}\n{\"key\":\"b\",\"value\":1}\nnonsense\n"),
        ("b.csv", b"key,value\na,second\nc,3\n"),
        ("cut.json", b"[{\"key\":\"d\",\"value\":4},"),
        ("c.script", b"put a third\ndel b\n"),
    ]);
    for (number, mode) in ["-m table", "-m plain", "-m json"].iter().enumerate() {
        transcript
            .run(&format!("{mode} s{number} import a.jsonl b.csv cut.json c.script --rejects bad{number}"));
        transcript.run(&format!("s{number} scan"));
    }
    transcript
        .run("-m table t import b.csv c.script")
        .run("n import b.csv nofile")
        .run("n import b.csv a.parquet");
    transcript.run("n import n.csv --format resp");
    assert!(!transcript.path("n").exists(), "a failed import made a store");
    let bad = fs::read_to_string(transcript.path("bad0")).expect("was created");
    assert_eq!(bad, "a.jsonl:3\tit is not valid JSON at column 2: expected ident\tnonsense\n");
    transcript.compare("shell-import-several");
}

#[test]
fn importing_a_script_has_the_same_result_as_running_it() {
    let script = b"# comment\nput a 1 b 2\nput \"a b\" 'c d' --until 4102444800000\nput t 1 --until \
        2100-01-01\nput a no --nx\nput a yes --xx\nput n new --nx\nincr hits\nincr hits 41\nexpire t 100d\n\
        persist t\ndel b\nput long 'first\nsecond' \nbegin\nput in batch\nincr hits\ndel n\ncommit\nbegin\n\
        put gone 1\nrollback\nput '--until' 7\ndel -- -x\nput g1 1\nput g2 1\n";
    let mut transcript = with_files(&[
        ("good.script", script),
        (
            "bad.script",
            b"get a\nput a\nput z 'open\nput x 1\nput y 1 --ttl soon\nincr a\nput - -\nput k -\ndel --glob \
            x*\nbegin\nput w 1\nput w\ncommit\nput v 1\nfrobnicate\nexpire v --at 7\nput p 1 --until 7\n\
            begin\nput never 1\n",
        ),
    ]);
    transcript.run("-m table imported import good.script").run("-m table ran -f good.script");
    assert!(contents(&open(&transcript.path("imported"))) == contents(&open(&transcript.path("ran"))));
    transcript.run("imported scan").run("imported ttl t");
    transcript.run("-m table bad import bad.script").run("bad scan");
    transcript
        .run("-m table bad put q 1 --until 2100-01-01 --ttl 1h")
        .run("bad put q 1 --until 7")
        .run("bad get q");
    transcript.compare("shell-import-script");
}

#[test]
fn the_keys_of_one_line_are_imported_together_or_not_at_all() {
    let script = b"put old 1 older 1\nput a 1 \"\" 2\nput b 1 c 2 \"\" 3 \"\" 4\ndel old \"\"\nput d 1 e 2\n\
        put f 1 g 2 --until 18446744073709551615\nbegin\nput h 1 \"\" 2\ncommit\nbegin\ndel old older\n\
        commit\n";
    let mut transcript = with_files(&[("lines.script", script)]);
    transcript.run("-m table d import lines.script --rejects bad").run("d scan");
    let bad = fs::read_to_string(transcript.path("bad")).expect("was created");
    let lines: Vec<_> = bad.lines().filter_map(|line| line.splitn(3, '\t').nth(2)).collect();
    assert_eq!(
        lines,
        [
            "put a 1 \"\" 2",
            "put b 1 c 2 \"\" 3 \"\" 4",
            "del old \"\"",
            "put f 1 g 2 --until 18446744073709551615",
            "begin",
            "put h 1 \"\" 2",
            "commit"
        ],
        "a line is rejected once"
    );
    transcript.compare("shell-import-lines");
    // They are one batch, so that a crash leaves all of it or nothing.
    let (_, records) = transcript.answer(&["--json", "d", "tail"]);
    let goes_on = |key: &str| {
        let record = records.lines().find(|line| line.contains(&format!("\"key\":\"{key}\"")));
        record.expect("is in the log").contains("\"batch_goes_on\":true")
    };
    assert_eq!(["d", "e"].map(goes_on), [true, false], "{records}");
}

#[test]
fn a_full_disk_ends_a_script_and_a_wrong_line_costs_that_line() {
    let (conditional, plain): (String, String) =
        (0..2000).map(|n| (format!("put key{n} v --nx\n"), format!("put key{n} v\n"))).unzip();
    let batch = format!("put first 1\nbegin\n{plain}commit\nput after 1\n");
    let sums = format!("put after x\nincr after\nput '' 1 --nx\n{conditional}put after 1\n");
    let scripts = [("nx", &*conditional, 0), ("plain", &plain, 0), ("batch", &batch, 0), ("sums", &sums, 2)];
    for (name, script, rejected) in scripts {
        let transcript = with_files(&[("lines.script", script.as_bytes())]);
        let limited = "ulimit -f 64 && exec \"$0\" -q d import lines.script";
        let mut command = program_of_system("sh", transcript.dir.path());
        let output = command.args(["-c", limited, env!("CARGO_BIN_EXE_logkv")]).output().expect("runs");
        let err = String::from_utf8(output.stderr).expect("text");
        assert_eq!(
            (output.status.code(), err.matches("cannot write").count()),
            (Some(1), 1),
            "{name}: {err}"
        );
        assert_eq!(err.matches(": rejected: ").count(), rejected, "{name}: {err}");
        let (_, count) = transcript.answer(&["d", "count"]);
        let went_in: usize = count.trim().parse().expect("a number");
        let noun = if went_in == 1 { "row" } else { "rows" };
        assert!(err.contains(&format!("; {went_in} {noun} went in")), "{name}: {count}: {err}");
        let after = value(&open(&transcript.path("d")), "after");
        assert_ne!(after.as_deref(), Some("1"), "{name}: a later line was written");
    }
}

#[test]
fn a_del_with_an_invalid_key_does_not_change_the_open_batch() {
    let dir = scratch();
    let mut person = Person::at(dir.path(), &["d"], &[]);
    person.sees_at_end("logkv d>").enters("put a 1").sees("OK").enters("begin").sees_at_end("logkv d*>");
    person
        .enters("del a ''")
        .sees("a key has 1 to 65,535 bytes")
        .enters("commit")
        .sees("committed 0 changes");
    person.enters("get a").sees_at_end("1\nlogkv d>");
}

#[test]
fn replacing_a_file_needs_confirmation() {
    let transcript = with_files(&[("x.csv", b"mine\n"), ("bad", b"mine\n"), ("rows.tsv", b"k\tv\nno tab\n")]);
    let at = |name: &str| fs::read_to_string(transcript.path(name)).expect("exists");
    let mut person = Person::at(transcript.dir.path(), &["d"], &[]);
    person.sees_at_end("logkv d>").enters("put k v").sees("OK");
    for (line, file, said) in [
        ("export x.csv", "x.csv", "nothing was exported"),
        ("get k -o x.csv", "x.csv", "nothing was written"),
        ("import rows.tsv --rejects bad", "bad", "nothing was imported"),
    ] {
        person.enters(line).sees_at_end(&format!("replace {file}? [y/N]")).enters("n").sees(said);
        assert_eq!(at(file), "mine\n");
        person.sees_at_end("logkv d>");
    }
    person
        .enters("export x.csv")
        .sees_at_end("replace x.csv? [y/N]")
        .enters("y")
        .sees("exported 1 key to x.csv");
    person.sees_at_end("logkv d>").enters("get k -o x.csv").sees_at_end("replace x.csv? [y/N]");
    person.enters("y").sees("wrote 1 B");
    assert_eq!(at("x.csv"), "v");
}

#[test]
fn a_message_about_a_missing_column_truncates_long_and_many_columns() {
    let transcript = Transcript::new();
    fs::write(transcript.path("long.csv"), vec![b'x'; 500_000]).expect("a file");
    let many: Vec<_> = (0..5000).map(|n| format!("a column {n}")).collect();
    fs::write(transcript.path("many.tsv"), many.join("\t") + "\n").expect("a file");
    for (line, expected) in [
        ("import long.csv", "it has no column key; its columns are xxxxx"),
        ("import long.csv --key zz", "it has no column zz; its columns are xxxxx"),
        ("import many.tsv --key zz", r#"are "a column 0", "a column 1", "#),
        ("import many.tsv --key zz", r#""a column 19" and 4,980 more"#),
    ] {
        let args: Vec<_> = ["-q", "d"].into_iter().chain(line.split(' ')).collect();
        let output = transcript.command(&args).output().expect("runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(said.contains(expected) && said.len() < 600, "{line}: {}", &said[..said.len().min(600)]);
    }
}
