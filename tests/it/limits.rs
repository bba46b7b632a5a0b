//! Calls that a limit, a container, an old kernel or a sandbox refuses: threads, descriptors,
//! optional calls. The store works without them, or names the one it needs.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::common::{
    binary, files, hint_path, open, piped, program, program_of_system, scratch, segment_path, skipped,
    small_store,
};
use crate::machine::works;

/// The exit code, the standard output and the standard error.
pub(crate) type ProgramOutput = (Option<i32>, String, String);

pub(crate) fn said(output: &Output) -> ProgramOutput {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn ok(out: &str) -> ProgramOutput {
    (Some(0), out.to_owned(), String::new())
}

/// Runs `command` to its end.
pub(crate) fn run(command: &mut Command) -> ProgramOutput {
    said(&command.stdin(Stdio::null()).output().expect("starts"))
}

pub(crate) fn logkv(dir: &Path, args: &[&str]) -> ProgramOutput {
    run(program(dir).args(args))
}

/// Runs `logkv` in `dir` while each of `calls` fails with `error`.
fn refused(dir: &Path, calls: &str, error: &str, args: &[&str]) -> ProgramOutput {
    let mut command = program_of_system("strace", dir);
    let inject = format!("inject={calls}:error={error}");
    command.args(["-f", "-qqq", "-o", "/dev/null", "-e", &inject]).arg(binary()).args(args);
    run(&mut command)
}

fn has_strace(test: &str) -> bool {
    let has_it = works("strace", &["-f", "-o", "/dev/null", "true"]);
    if !has_it {
        skipped(test, "there is no strace, or it may not trace");
    }
    has_it
}

/// A store `store` where `a` is `1`, with a log long enough to be read by several threads.
fn large_store() -> TempDir {
    let dir = scratch();
    let store = open(&dir.path().join("store"));
    for n in 0..20 {
        store.put(format!("k{n:02}"), vec![b'v'; 1 << 20]).expect("a put");
        if n % 5 == 4 {
            store.rotate().expect("rotates");
        }
    }
    store.put("a", "1").expect("a put");
    store.close().expect("closes");
    crate::common::remove_derived(&dir.path().join("store"));
    dir
}

#[test]
fn a_store_can_be_read_and_written_without_threads() {
    if !has_strace("threads that cannot be started") {
        return;
    }
    let dir = large_store();
    let at = dir.path();
    assert_eq!(refused(at, "clone,clone3", "EAGAIN", &["store", "get", "a"]), ok("1\n"));
    crate::common::remove_derived(&at.join("store"));
    assert_eq!(refused(at, "clone,clone3", "EAGAIN", &["store", "put", "b", "2"]), ok(""));
    assert_eq!(refused(at, "clone,clone3", "EAGAIN", &["store", "count"]), ok("22\n"));
    assert_eq!(refused(at, "clone,clone3", "EAGAIN", &["store", "dump-segment", "1"]).0, Some(0));
    assert_eq!(logkv(at, &["store", "get", "b"]), ok("2\n"));
}

#[test]
fn a_required_thread_that_cannot_start_is_an_error_of_open() {
    if !has_strace("threads that cannot be started") {
        return;
    }
    let dir = large_store();
    let before = files(&dir.path().join("store"));
    let args = ["--sync", "100ms", "store", "put", "b", "2"];
    let (code, out, err) = refused(dir.path(), "clone,clone3", "EAGAIN", &args);
    let sentence = "error: cannot start a thread for the background sync: Resource temporarily unavailable\n";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(3), "", sentence));
    let segments = |files: Vec<(String, Vec<u8>)>| {
        files.into_iter().filter(|(name, _)| name.ends_with(".seg")).collect::<Vec<_>>()
    };
    assert!(segments(files(&dir.path().join("store"))) == segments(before), "nothing was written");
    let args = ["--metrics-file", "metrics.prom", "store", "get", "a"];
    let (code, _, err) = refused(dir.path(), "clone,clone3", "EAGAIN", &args);
    let sentence = "error: cannot start a thread for metrics.prom: Resource temporarily unavailable\n";
    assert_eq!((code, err.as_str()), (Some(3), sentence));
}

#[test]
fn a_user_without_free_threads_can_read_and_write() {
    const SOMEBODY: u32 = 54_321;
    if !geteuid().is_root() || !works("setpriv", &["--version"]) || !works("prlimit", &["--version"]) {
        return skipped("a limit of processes", "the limit exempts root, and needs setpriv and prlimit");
    }
    let dir = large_store();
    let store = dir.path().join("store");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    fs::copy(binary(), dir.path().join("logkv")).expect("a copy");
    for (name, _) in files(&store) {
        chown(store.join(name), Some(SOMEBODY), Some(SOMEBODY)).expect("root has permission");
    }
    chown(&store, Some(SOMEBODY), Some(SOMEBODY)).expect("root has permission");
    let as_somebody = |args: &[&str]| {
        let mut command = program_of_system("setpriv", dir.path());
        command.args(["--reuid", "54321", "--regid", "54321", "--clear-groups"]);
        run(command.args(["prlimit", "--nproc=1:1", "./logkv"]).args(args))
    };
    assert_eq!(as_somebody(&["store", "get", "a"]), ok("1\n"));
    assert_eq!(as_somebody(&["store", "put", "b", "2"]), ok(""));
    assert_eq!(as_somebody(&["store", "get", "b"]), ok("2\n"));
    assert_eq!(as_somebody(&["--sync", "1s", "store", "get", "b"]).0, Some(3));
}

#[test]
fn an_optional_system_call_may_fail() {
    if !has_strace("calls that are refused") {
        return;
    }
    for (calls, errors) in [
        ("madvise", &["EINVAL", "EPERM"][..]),
        ("fadvise64", &["ENOSYS", "EPERM", "ESPIPE"]),
        ("getrandom", &["ENOSYS"]),
        ("statx", &["ENOSYS", "EPERM"]),
        ("inotify_init1", &["EMFILE", "ENOSYS"]),
        ("inotify_add_watch", &["ENOSPC"]),
        ("sched_getaffinity,sched_getaffinity", &["EPERM"]),
        ("prlimit64", &["EPERM"]),
        ("copy_file_range,sendfile,splice", &["ENOSYS", "EPERM", "EXDEV"]),
        ("sigaltstack", &["EPERM"]),
    ] {
        for error in errors {
            let dir = scratch();
            let what = format!("{calls} says {error}");
            let script = "put a 1\nput b 2\nrotate\ncompact --all\ntail\nbackup copy\nexport out\n";
            fs::write(dir.path().join("script"), script).expect("a script");
            let (code, _, err) =
                refused(dir.path(), calls, error, &["-q", "-m", "plain", "store", "-f", "script"]);
            assert_eq!((code, err.as_str()), (Some(0), ""), "{what}");
            assert_eq!(refused(dir.path(), calls, error, &["store", "verify"]).0, Some(0), "{what}");
            assert_eq!(refused(dir.path(), calls, error, &["store", "get", "b"]), ok("2\n"), "{what}");
            assert_eq!(refused(dir.path(), calls, error, &["new", "restore", "copy"]).0, Some(0), "{what}");
        }
    }
}

#[test]
fn a_file_system_without_modes_can_hold_a_store_and_its_backups() {
    if !has_strace("modes that are refused") {
        return;
    }
    let dir = scratch();
    // Files in these directories need another mode than they are created with.
    for name in ["store", "new"] {
        fs::create_dir(dir.path().join(name)).expect("a directory");
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o750))
            .expect("has permission");
    }
    for args in [
        &["-q", "store", "put", "a", "1"][..],
        &["-q", "store", "backup", "copy"],
        &["-q", "store", "backup", "copy.tar.zst"],
        &["-q", "new", "restore", "copy.tar.zst"],
    ] {
        let (code, _, err) = refused(dir.path(), "fchmod,fchmodat", "EOPNOTSUPP", args);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{args:?}");
    }
    assert_eq!(logkv(dir.path(), &["new", "get", "a"]), ok("1\n"));
}

#[test]
fn a_lock_that_the_file_system_refuses_is_reported() {
    if !has_strace("a lock that is refused") {
        return;
    }
    let dir = small_store();
    let before = files(dir.path());
    for error in ["ENOLCK", "EOPNOTSUPP"] {
        let (code, out, err) = refused(dir.path(), "flock", error, &[".", "put", "a", "1"]);
        assert_eq!((code, out.as_str()), (Some(3), ""), "{err}");
        assert!(err.starts_with("error: cannot lock ./LOCK: "), "{err}");
        assert_eq!(refused(dir.path(), "flock", error, &["-r", ".", "get", "one"]), ok("1\n"));
    }
    assert_eq!(files(dir.path()), before);
}

/// A store `store` with one sealed segment, the key `one`, and a value of 100 KiB.
pub(crate) fn sealed_store() -> TempDir {
    let dir = scratch();
    let store = open(&dir.path().join("store"));
    store.put("large", vec![b'v'; 100 << 10]).expect("a put");
    store.put("one", "1").expect("a put");
    store.rotate().expect("rotates");
    store.put("two", "2").expect("a put");
    store.close().expect("closes");
    dir
}

#[test]
fn a_mapped_file_truncated_by_another_process_ends_the_program_with_a_message() {
    for command in
        ["get large", "export out", "backup copy", "backup copy.tar", "verify", "scan", "versions one"]
    {
        let dir = sealed_store();
        let mut child = piped(program(dir.path()).args(["-m", "plain", "store"]));
        let mut stdin = child.stdin.take().expect("is piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("is piped"));
        stdin.write_all(b"get one\n").expect("the program reads");
        let mut answer = String::new();
        stdout.read_line(&mut answer).expect("the program answers");
        assert_eq!(answer, "1\n");
        let path = segment_path(&dir.path().join("store"), 1);
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(0))
            .expect("is truncated");
        drop(stdin.write_all(format!("{command}\n").as_bytes()));
        drop(stdin);
        let (code, _, err) = said(&child.wait_with_output().expect("exits"));
        assert_eq!(code, Some(4), "{command}: {err}");
        if command != "verify" {
            let path = path.canonicalize().expect("exists");
            let sentence = format!(
                "error: cannot read {}: another process cut it short while it was open, or its disk failed\n\
                 hint: --read-with pread maps nothing; verify says what is damaged\n",
                path.display()
            );
            assert_eq!(err, sentence, "{command}");
        }
        drop(fs::remove_file(hint_path(&dir.path().join("store"), 1)));
    }
}

#[test]
fn a_bus_error_from_another_process_ends_the_program_as_usual() {
    use std::os::unix::process::ExitStatusExt;
    let dir = sealed_store();
    let mut child = piped(program(dir.path()).args(["-m", "plain", "store"]));
    let mut stdin = child.stdin.take().expect("is piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("is piped"));
    stdin.write_all(b"get one\n").expect("the program reads");
    stdout.read_line(&mut String::new()).expect("the program answers");
    let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::BUS).expect("exists");
    let output = child.wait_with_output().expect("exits");
    assert_eq!(output.status.signal(), Some(libc::SIGBUS));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Opens the store at `dir` without mappings and with at most four open segments.
fn open_few(dir: &Path) -> logkv::Store {
    let options = crate::common::quick().read_with(logkv::ReadWith::Pread).open_files_max(4);
    logkv::Store::open_with(dir, options).expect("the store opens")
}

/// The number of open files below `dir`.
fn open_below(dir: &Path) -> usize {
    let dir = dir.canonicalize().expect("exists");
    let all = fs::read_dir("/proc/self/fd").expect("/proc");
    all.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()).filter(|path| path.starts_with(&dir)).count()
}

#[test]
fn a_store_without_mappings_keeps_few_files_open_and_reads_compacted_segments() {
    let dir = scratch();
    let store = open_few(dir.path());
    for n in 0..40 {
        store.put(format!("k{n}"), format!("{n}")).expect("a put");
        store.put("all", format!("{n}")).expect("a put");
        store.rotate().expect("rotates");
    }
    let read_all = |get: &dyn Fn(&str) -> Option<String>| {
        for n in (0..40).chain((0..40).rev()) {
            assert_eq!(get(&format!("k{n}")), Some(format!("{n}")));
        }
    };
    read_all(&|key| crate::common::value(&store, key));
    // The directory, LOCK, the active segment, and the open sealed segments.
    assert!(open_below(dir.path()) <= 8, "{}", open_below(dir.path()));
    let snapshot = store.snapshot().expect("a snapshot");
    store.compact(&logkv::Compact::All).expect("compacts");
    store.delete("k7").expect("a delete");
    let text = |value: logkv::Value| String::from_utf8_lossy(&value).into_owned();
    read_all(&|key| snapshot.get(key).expect("reads").map(text));
    drop(snapshot);
    assert!(open_below(dir.path()) <= 8, "{}", open_below(dir.path()));
    store.close().expect("closes");
    let store = open_few(dir.path());
    assert_eq!((crate::common::value(&store, "k8"), store.len()), (Some("8".to_owned()), 40));
}

#[test]
fn a_reader_without_mappings_can_read_cleared_records() {
    let dir = scratch();
    let store = open_few(dir.path());
    for n in 0..20 {
        store.put(format!("k{n}"), format!("{n}")).expect("a put");
        store.rotate().expect("rotates");
    }
    let (snapshot, mut feed) = (store.snapshot().expect("a snapshot"), store.changes(logkv::Seqno(1)));
    assert!(feed.next().is_some_and(|change| change.is_ok()));
    store.clear().expect("clears");
    store.put("after", "1").expect("a put");
    let seen =
        snapshot.scan(..).expect("scans").map(|entry| entry.expect("reads").value.len()).sum::<usize>();
    assert_eq!((seen, snapshot.len()), (30, 20));
    drop(snapshot);
    let gone = feed.next();
    assert!(matches!(gone, Some(Err(logkv::Error::CompactedAway { .. }))), "{gone:?}");
    assert_eq!(feed.map(|change| change.expect("reads").meta.key.to_vec()).collect::<Vec<_>>(), [b"after"]);
    assert!(open_below(dir.path()) <= 8, "{}", open_below(dir.path()));
}

#[test]
fn the_number_of_descriptors_does_not_grow_with_the_segments() {
    let dir = scratch();
    let store = open(&dir.path().join("store"));
    for n in 0..200 {
        store.put(format!("k{n:03}"), format!("{n}")).expect("a put");
        store.rotate().expect("rotates");
    }
    store.close().expect("closes");
    let limited = |limit: &str, args: &[&str]| {
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        run(program_of_system("sh", dir.path()).args(["-c", &script]).arg(binary()).args(args))
    };
    assert_eq!(logkv(dir.path(), &["store", "verify"]).0, Some(0));
    for read_with in ["mmap", "pread"] {
        let with = |args: &[&'static str]| [&["--read-with", read_with, "store"], args].concat();
        assert_eq!(limited("40", &with(&["get", "k150"])), ok("150\n"));
        assert_eq!(limited("40", &with(&["verify"])), logkv(dir.path(), &["store", "verify"]), "{read_with}");
        let (code, out, err) = limited("40", &with(&["scan"]));
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert!(out.lines().count() >= 200, "{out}");
        for (args, name) in [(&["backup", "copy"][..], "copy"), (&["repair", "--to", "new"], "new")] {
            let (code, _, err) = limited("40", &with(args));
            assert_eq!((code, err.as_str()), (Some(0), ""), "{args:?}");
            fs::remove_dir_all(dir.path().join(name)).expect("was created");
        }
        assert_eq!(limited("40", &with(&["put", "new", "1"])), ok(""));
        // The program raises the soft limit to the hard limit.
        assert_eq!(limited("-S 20", &with(&["get", "k150"])), ok("150\n"));
    }
    assert_eq!(limited("40", &["--read-with", "pread", "store", "compact", "--all"]).0, Some(0));
    assert_eq!(limited("40", &["--read-with", "pread", "store", "count"]), ok("201\n"));
}

#[test]
fn a_limit_of_open_files_that_is_too_low_is_named() {
    let dir = scratch();
    let store = open(&dir.path().join("store"));
    for n in 0..30 {
        store.put(format!("k{n}"), format!("{n}")).expect("a put");
        store.rotate().expect("rotates");
    }
    store.close().expect("closes");
    crate::common::remove_derived(&dir.path().join("store"));
    let mut codes = Vec::new();
    for limit in ["8", "12", "16", "20", "40"] {
        for read_with in ["mmap", "pread"] {
            let script = "ulimit -n \"$0\" && exec \"$@\"";
            let mut command = program_of_system("sh", dir.path());
            command.args(["-c", script, limit]).arg(binary());
            let (code, out, err) = run(command.args(["--read-with", read_with, "-r", "store", "get", "k7"]));
            codes.push(code);
            if code == Some(0) {
                assert_eq!((out.as_str(), err.as_str()), ("7\n", ""));
            } else {
                assert!(err.contains("Too many open files"), "{limit} {read_with}: {err}");
                assert!(err.ends_with("hint: raise the limit of open files (ulimit -n)\n"), "{limit}: {err}");
            }
        }
    }
    assert!(codes[0] != Some(0) && codes[codes.len() - 2..] == [Some(0); 2], "{codes:?}");
}

#[test]
fn a_repair_in_place_without_rename_exchange_fails_and_changes_nothing() {
    if !has_strace("an exchange that is refused") {
        return;
    }
    for error in ["EINVAL", "ENOSYS", "EPERM"] {
        let dir = sealed_store();
        let store = dir.path().join("store");
        let mut bytes = fs::read(segment_path(&store, 1)).expect("the segment");
        bytes[200] ^= 1;
        fs::write(segment_path(&store, 1), bytes).expect("the damage");
        let before = files(&store);
        let args = ["-y", "store", "repair", "--in-place"];
        let (code, out, err) = refused(dir.path(), "renameat2", error, &args);
        let is_told = err.lines().filter(|line| line.starts_with("error: ")).count() == 1;
        assert!(matches!(code, Some(1 | 3)) && is_told, "{error}: {code:?} {out}{err}");
        assert!(files(&store) == before, "{error}: {out}{err}");
        assert!(err.contains("hint: repair --to DIR works on file systems"), "{err}");
        // The next repair removes the leftovers and succeeds.
        let (code, _, err) = logkv(dir.path(), &args);
        assert_eq!(code, Some(4), "a record is lost: {err}");
        assert_eq!(logkv(dir.path(), &["store", "get", "two"]), ok("2\n"));
    }
}
