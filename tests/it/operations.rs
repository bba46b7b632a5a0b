//! Work of an operator: emptying a store, writing an options file, listing the first of many keys.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use logkv::{Batch, Store};

use crate::common::{contents, open, program, quick, scratch, segment_path};
use crate::person::Person;
use crate::transcript::Transcript;

/// A closed store with five keys in two segments.
fn with_store() -> Transcript {
    let transcript = Transcript::new();
    let store = open(&transcript.path("d"));
    for n in 0..5 {
        store.put(format!("key{n}"), "value").expect("a put");
        if n == 2 {
            store.rotate().expect("rotates");
        }
    }
    store.close().expect("closes");
    transcript
}

#[test]
fn all_keys_are_deleted_only_after_confirmation() {
    let mut transcript = with_store();
    for line in [
        "d del --all",
        "d del --all key1 -y",
        "d del --all --glob '*' -y",
        "-r d del --all -y",
        "d count",
        "-m table d del --all -y",
        "d count",
        "--json d del --all -y",
        "d put again 1",
        "-y d del --all",
        "d count",
    ] {
        transcript.run(line);
    }
    transcript.run_with("-y d", b"put a 1\nput b 2\nbegin\nput c 3\ndel --all\nrollback\ncount\n");
    transcript.run_with("-m table -y d", b"begin\nput c 3\ndel --all\ncommit\ncount\n");
    transcript.compare("shell-del-all");
    assert!(!segment_path(&transcript.path("d"), 1).exists(), "the files still exist");
}

#[test]
fn the_prompt_asks_with_the_number_of_keys_before_it_deletes_all() {
    let transcript = with_store();
    let mut person = Person::at(transcript.dir.path(), &["d"], &[]);
    person.sees_at_end("logkv d>").enters("del --all").sees("delete all 5 keys? [y/N]");
    person.enters("n").sees("nothing was deleted").sees_at_end("logkv d>");
    person.enters("del --all").sees_at_end("[y/N]").enters("y").sees("deleted 5 of 5").enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
    assert!(contents(&open(&transcript.path("d"))).is_empty());
}

#[test]
fn an_options_file_is_written_as_a_template_and_never_overwrites_one() {
    let mut transcript = with_store();
    for line in [
        "-r d config --init",
        "--no-create new config --init",
        "d config --init",
        "-m table new config --init",
    ] {
        transcript.run(line);
    }
    for line in ["d config --init", "--json e config --init", "d config --inti", "new put a 1", "d get key1"]
    {
        transcript.run(line);
    }
    fs::create_dir(transcript.path("notes")).expect("a directory");
    fs::write(transcript.path("notes/notes.txt"), "mine").expect("a file");
    transcript.run("notes config --init").run("notes/notes.txt config --init");
    assert!(!transcript.path("notes/logkv.toml").exists());
    transcript.compare("shell-config-init");
    let path = transcript.path("d/logkv.toml");
    assert_eq!(fs::metadata(&path).expect("exists").permissions().mode() & 0o777, 0o600);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::assert_snapshot!("config-init", fs::read_to_string(&path).expect("the file"));
    });
}

#[test]
fn metrics_are_printed_in_the_prometheus_format_only() {
    let mut transcript = with_store();
    transcript
        .run("d stats --prometheus --json")
        .run("d stats --promethus")
        .run("nowhere stats --prometheus");
    transcript.compare("shell-prometheus");
}

#[test]
fn the_first_of_many_keys_are_listed_at_once() {
    let dir = scratch();
    let store = Store::open_with(dir.path().join("d"), quick()).expect("opens");
    for thousand in 0..200 {
        let mut batch = Batch::new();
        for n in 0..1000 {
            batch.put(format!("key:{:09}", thousand * 1000 + n), "v");
        }
        store.write(&batch).expect("a batch");
    }
    store.close().expect("closes");
    let started = Instant::now();
    let mut child = program(dir.path())
        .args(["d", "keys"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("is piped"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("a line");
    drop(lines);
    let output = child.wait_with_output().expect("exits");
    assert_eq!(
        (first.as_str(), output.stderr.as_slice(), output.status.code()),
        ("key:000000000\n", &[][..], Some(0))
    );
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
