//! System calls on the store's files that fail in turn. `strace` returns an error in place of each
//! call. A run without faults lists the calls.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use logkv::{Batch, Store};
use regex::Regex;
use tempfile::TempDir;

use crate::common::{binary, copy_of, killed, open, quick, scratch, skipped};
use crate::machine::works;
use crate::scripted::{Contents, CutOff, Step, is_good, texts};

/// The steps of a program that makes every kind of call: recovery of a killed store, writes, a
/// seal, a compaction, a sync, and closing.
fn steps() -> Vec<Step> {
    vec![
        Step::change("one", Some("1")),
        Step::upkeep("rotate"),
        Step::change("one", None),
        Step::change("two", Some("22")),
        Step::upkeep("rotate"),
        Step::upkeep("compact --all"),
        Step::change("large", Some(&"v".repeat(100_000))),
        Step::change("two", Some("twenty-two")),
        Step::upkeep("sync"),
    ]
}

/// A store with a sealed and an active segment, as a killed process leaves it.
fn left_behind() -> (TempDir, Contents) {
    let dir = scratch();
    let store = open(dir.path());
    store.put("zero", "0").expect("a put");
    store.put("two", "2").expect("a put");
    store.rotate().expect("rotates");
    store.write(Batch::new().put("three", "3").delete("zero")).expect("a batch");
    let before = texts(&store);
    (killed(store, dir.path()), before)
}

/// A directory in which the program runs repeatedly on copies of one store.
struct Bench {
    dir: TempDir,
    left: TempDir,
    before: Contents,
    read_with: &'static str,
}

impl Bench {
    fn new(read_with: &'static str) -> Self {
        let (left, before) = left_behind();
        Self { dir: scratch(), left, before, read_with }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn trace(&self) -> String {
        fs::read_to_string(self.dir.path().join("trace")).expect("strace wrote a trace")
    }

    /// Runs the script under `strace` with `args`, on a new copy of the store.
    fn run(&self, args: &[String]) -> Output {
        drop(fs::remove_dir_all(self.store()));
        fs::rename(copy_of(self.left.path()).keep(), self.store()).expect("renames");
        let script: String = steps().into_iter().map(|step| step.lines).collect();
        let script_path = self.dir.path().join("script");
        fs::write(&script_path, script).expect("writes a file");
        Command::new("strace")
            .args(["-f", "-qq", "-o", "trace"])
            .args(args)
            .arg(binary())
            .args(["--json", "--bail", "--quiet", "--compaction", "off", "--read-with", self.read_with])
            .args(["store", "-f", "script"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("strace works")
    }

    /// The names of the system calls on the store's files, and the paths of the files.
    fn calls(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let output = self.run(&["-y".to_owned()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let store = regex::escape(&self.store().to_string_lossy());
        let path = Regex::new(&format!("<({store}[^> ]*)>")).expect("a pattern");
        let name = Regex::new(r"(?m)^\d+ +(\w+)\((.*)$").expect("a pattern");
        let trace = self.trace();
        let paths: BTreeSet<_> = path.captures_iter(&trace).map(|found| found[1].to_owned()).collect();
        let names: BTreeSet<_> = name
            .captures_iter(&trace)
            .filter(|call| path.is_match(&call[2]))
            .map(|call| call[1].to_owned())
            .collect();
        for name in ["openat", "pwrite64", "fdatasync", "fsync", "ftruncate", "renameat", "unlinkat"] {
            assert!(names.contains(name), "{name} is missing in {names:?}");
        }
        (names, paths)
    }

    /// Checks the output and the remaining store after a failed call.
    fn assert_kept(&self, output: &Output, what: &str) {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let answers = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.signal(), None, "{what}: {errors}");
        let code = output.status.code().expect("exited by itself");
        assert!([0, 1, 3, 4].contains(&code), "{what}: exit code {code}: {errors}");
        assert_eq!(code == 0, errors.is_empty(), "{what}: exit code {code}: {errors}");
        assert!(code == 0 || errors.contains("error: "), "{what}: {errors}");
        let cut = CutOff::new(steps(), answers.lines().filter(|answer| is_good(answer)).count(), errors);
        let store = Store::open_with(self.store(), quick());
        let store = store.unwrap_or_else(|error| panic!("{what}: {}", error.sentence()));
        assert_eq!(store.open_report().damage, [], "{what}");
        let found = texts(&store);
        let taken = cut.taken(&self.before, cut.acknowledged, &found);
        let most = cut.acknowledged.max(last_unknown(&cut.errors));
        let is_agreed = taken.is_some_and(|taken| taken <= most);
        assert!(
            is_agreed,
            "{what}: {} acknowledged, {taken:?} there: {answers}{}",
            cut.acknowledged, cut.errors
        );
        store.put("after", "it writes on").expect("a put");
        store.close().expect("closes");
    }
}

/// The line of the last step that may or may not have been done. All other failed steps were not
/// done.
fn last_unknown(errors: &str) -> usize {
    let unknown =
        Regex::new(r"script:(\d+): error: the outcome of this write is unknown").expect("a pattern");
    unknown.captures_iter(errors).map(|found| found[1].parse().expect("a number")).max().unwrap_or(0)
}

/// Makes each wanted call fail with `error`, one in each run, and checks the result.
fn fail_in_turn(read_with: &'static str, error: &str, is_wanted: impl Fn(&str) -> bool) {
    if !works("strace", &["-f", "-o", "/dev/null", "true"]) {
        return skipped("injected errors", "there is no strace, or it may not trace");
    }
    let bench = Bench::new(read_with);
    let (mut names, paths) = bench.calls();
    names.retain(|name| is_wanted(name));
    let mut count = 0;
    for name in &names {
        for nth in 1.. {
            let mut args = vec!["--seccomp-bpf".to_owned(), "-e".to_owned(), format!("trace={name}")];
            args.extend(["-e".to_owned(), format!("inject={name}:error={error}:when={nth}")]);
            args.extend(paths.iter().flat_map(|path| ["-P".to_owned(), path.clone()]));
            let output = bench.run(&args);
            if !bench.trace().contains("(INJECTED)") {
                // Each call happens at least once, since the run without faults listed it.
                assert!(nth > 1, "{name} never failed");
                break;
            }
            count += 1;
            bench.assert_kept(&output, &format!("call {nth} of {name} says {error}"));
        }
    }
    println!("{count} calls failed with {error}: {names:?}");
}

#[test]
fn a_system_call_that_fails_with_eio_leaves_the_old_or_the_new_state() {
    fail_in_turn("mmap", "EIO", |_| true);
}

#[test]
fn a_system_call_that_fails_with_enospc_leaves_the_old_or_the_new_state() {
    fail_in_turn("mmap", "ENOSPC", |_| true);
}

#[test]
fn a_system_call_that_fails_with_eintr_leaves_the_old_or_the_new_state() {
    fail_in_turn("mmap", "EINTR", |_| true);
}

#[test]
fn a_read_that_fails_without_mappings_is_reported_in_one_sentence() {
    fail_in_turn("pread", "EIO", |name| name == "pread64");
}
