//! A machine at its limits: a full disk, a file size limit, no memory, directories of other users,
//! signals, broken pipes. Each yields one sentence and an exit code, and changes nothing.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::common::{
    binary, files, interrupt, open, piped, program, program_of_system, scratch, segment_path, skipped, value,
};

/// The output of a program and its exit code.
#[derive(Debug, PartialEq, Eq)]
struct ProgramOutput {
    code: Option<i32>,
    out: String,
    err: String,
}

fn said(code: i32, out: &str, err: &str) -> ProgramOutput {
    ProgramOutput { code: Some(code), out: out.to_owned(), err: err.to_owned() }
}

/// Runs `command` with `input` on its standard input.
fn run(mut command: Command, input: &[u8]) -> ProgramOutput {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    // A program that rejects its arguments exits without reading.
    drop(child.stdin.take().expect("is piped").write_all(input));
    let output = child.wait_with_output().expect("exits");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    ProgramOutput { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `logkv` in `dir`.
fn logkv(dir: &Path, args: &[&str], input: &[u8]) -> ProgramOutput {
    let mut command = program(dir);
    command.args(args);
    run(command, input)
}

/// Runs `logkv` in `dir` under a limit of `ulimit`.
fn limited(dir: &Path, limit: &str, args: &[&str], input: &[u8]) -> ProgramOutput {
    let mut command = program_of_system("sh", dir);
    let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(binary()).args(args);
    run(command, input)
}

/// Whether a system command succeeded. It may need root or a package.
pub(crate) fn works(name: &str, args: &[&str]) -> bool {
    let status = Command::new(name).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A mount that is removed when the value is dropped.
pub(crate) struct Mount(pub(crate) PathBuf);

impl Mount {
    /// Mounts at a new directory `name` in `dir`. Returns `None` without permission.
    pub(crate) fn new(dir: &Path, name: &str, args: &[&str]) -> Option<Self> {
        let at = dir.join(name);
        fs::create_dir(&at).expect("creates a directory");
        Self::at(at, args)
    }

    /// Mounts at the directory `at`. Returns `None` without permission.
    pub(crate) fn at(at: PathBuf, args: &[&str]) -> Option<Self> {
        works("mount", &[args, &[&at.to_string_lossy()]].concat()).then_some(Self(at))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        works("umount", &[&self.0.to_string_lossy()]);
    }
}

/// A directory with a store `store`, where `a` is `1`.
fn with_store() -> TempDir {
    let dir = scratch();
    assert_eq!(logkv(dir.path(), &["-q", "store", "put", "a", "1"], b""), said(0, "", ""));
    dir
}

#[test]
fn a_write_that_does_not_fit_on_the_disk_fails_and_later_writes_succeed_when_space_is_free() {
    let dir = scratch();
    let Some(disk) = Mount::new(dir.path(), "disk", &["-t", "tmpfs", "-o", "size=128k", "tmpfs"]) else {
        return skipped("a full disk", "mounting a small tmpfs needs root");
    };
    assert_eq!(logkv(&disk.0, &["-q", "store", "put", "a", "1"], b""), said(0, "", ""));
    let segment = segment_path(&disk.0.join("store"), 1);
    let before = fs::read(&segment).expect("the segment");
    let full = said(1, "", "error: cannot write store/000001.seg: No space left on device\n");
    assert_eq!(logkv(&disk.0, &["store", "put", "b", "-"], &[b'b'; 200_000]), full);
    assert_eq!(fs::read(&segment).expect("the segment"), before);

    let mut filler = fs::File::create(disk.0.join("filler")).expect("a file");
    while filler.write_all(&[0; 512]).is_ok() {}
    let before = files(&disk.0.join("store"));
    let full = said(1, "", "error: cannot write store/MANIFEST.new: No space left on device\n");
    assert_eq!(logkv(&disk.0, &["store", "put", "b", "2"], b""), full);
    assert_eq!(files(&disk.0.join("store")), before);
    assert_eq!(logkv(&disk.0, &["store", "get", "a"], b""), said(0, "1\n", ""));
    assert_eq!(files(&disk.0.join("store")), before);

    // A file that a forked child of another test still has open keeps its space after removal, so
    // that the test truncates it.
    filler.set_len(0).expect("truncates");
    assert_eq!(logkv(&disk.0, &["store", "put", "b", "2"], b""), said(0, "", ""));
    assert_eq!(logkv(&disk.0, &["store", "scan"], b""), said(0, "a\t1\nb\t2\n", ""));
}

#[test]
fn a_repair_onto_a_full_disk_names_the_place_and_leaves_nothing() {
    let dir = scratch();
    let Some(disk) = Mount::new(dir.path(), "disk", &["-t", "tmpfs", "-o", "size=64k", "tmpfs"]) else {
        return skipped("a repair onto a full disk", "mounting a small tmpfs needs root");
    };
    let put = logkv(dir.path(), &["-q", "store", "put", "b", "-"], &[b'b'; 100_000]);
    assert_eq!(put, said(0, "", ""));
    let before = files(&dir.path().join("store"));
    let full = said(1, "", "error: cannot write disk/new/000001.seg: No space left on device\n");
    assert_eq!(logkv(dir.path(), &["store", "repair", "--to", "disk/new"], b""), full);
    assert!(files(&dir.path().join("store")) == before && !disk.0.join("new").exists());
}

#[test]
fn a_repair_with_little_memory_succeeds_or_reports_the_lack_of_memory() {
    let dir = scratch();
    let large = vec![b'b'; 12 << 20];
    for key in ["a", "b"] {
        assert_eq!(logkv(dir.path(), &["-q", "store", "put", key, "-"], &large), said(0, "", ""));
    }
    let path = segment_path(&dir.path().join("store"), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    *bytes.last_mut().expect("is not empty") ^= 1;
    fs::write(path, bytes).expect("the damage");
    for kib in [27_500, 30_000, 45_000, 60_000, 400_000] {
        for args in [&["store", "repair", "--to", "new"][..], &["store", "verify"]] {
            let seen = limited(dir.path(), &format!("-v {kib}"), args, b"");
            let is_told = seen.err.starts_with("error: cannot ") && seen.err.contains("memory")
                || seen.out.starts_with("refused\t000001.seg\t") && seen.out.contains("out of memory");
            let is_done = seen.code == Some(4) && seen.err.is_empty();
            assert!(is_done || ([Some(1), Some(3)].contains(&seen.code) && is_told), "{kib}: {seen:?}");
            assert!(is_done || kib < 400_000, "{kib}: {seen:?}");
            drop(fs::remove_dir_all(dir.path().join("new")));
        }
    }
}

#[test]
fn a_file_at_its_size_limit_is_truncated_to_its_last_record_and_the_script_continues() {
    let dir = with_store();
    let script = [b"put big ".to_vec(), vec![b'b'; 100_000], b"\nput b 2\n".to_vec()].concat();
    // In blocks of 512 bytes: 32 KiB, in the middle of the large value.
    let seen = limited(dir.path(), "-f 64", &["store"], &script);
    assert_eq!(seen, said(1, "", "-:1: error: cannot write store/000001.seg: File too large\n"));
    assert_eq!(logkv(dir.path(), &["store", "scan"], b""), said(0, "a\t1\nb\t2\n", ""));
}

#[test]
fn with_bail_no_line_runs_after_a_failed_write() {
    for next in ["rotate\n", "get a\n"] {
        let dir = with_store();
        let script = [b"put big ".to_vec(), vec![b'b'; 100_000], b"\n".to_vec(), next.into()].concat();
        let seen = limited(dir.path(), "-f 64", &["--bail", "store"], &script);
        let failed = "-:1: error: cannot write store/000001.seg: File too large\n";
        assert_eq!(seen, said(1, "", failed), "{next}");
    }
}

#[test]
fn with_bail_no_line_after_a_failed_write_is_answered() {
    let too_long = format!("put b {}\n", "b".repeat(9_000_000));
    for next in [
        "get a\n",
        "keys\n",
        "# a comment\nget a\n",
        "put c \"\\q\"\n",
        "get 'over\nlines'\n",
        "incr a x\n",
        "",
        &too_long,
    ] {
        for args in [
            &["--ack", "--bail", "--value-limit", "1MiB", "store"][..],
            &["--echo", "--ack", "--bail", "store"],
        ] {
            let dir = with_store();
            // The echo fits into a pipe, which is read after everything is written.
            let big = [b"put big ".to_vec(), vec![b'b'; 40_000], b"\n".to_vec()].concat();
            let seen = limited(dir.path(), "-f 64", args, &[&big, next.as_bytes()].concat());
            let refusal = "cannot write store/000001.seg: File too large\n";
            let echoed = if args[0] == "--echo" { &*String::from_utf8_lossy(&big) } else { "" };
            let answer = format!("{echoed}ERR 1 {refusal}");
            assert_eq!(seen, said(1, &answer, &format!("-:1: error: {refusal}")), "{next:.40}");
            assert_eq!(logkv(dir.path(), &["store", "scan"], b""), said(0, "a\t1\n", ""), "{next:.40}");
        }
    }
}

#[test]
fn with_bail_a_script_ends_at_a_failed_write_without_waiting_for_another_line() {
    let dir = with_store();
    let mut command = program_of_system("sh", dir.path());
    command.args(["-c", "ulimit -f 64 && exec \"$0\" --ack --bail store"]).arg(binary());
    let mut child = piped(&mut command);
    let mut stdin = child.stdin.take().expect("is piped");
    let big = [b"put big ".to_vec(), vec![b'b'; 100_000], b"\n".to_vec()].concat();
    stdin.write_all(&big).expect("the program reads");
    // The pipe stays open.
    let output = child.wait_with_output().expect("exits");
    drop(stdin);
    let answer = "ERR 1 cannot write store/000001.seg: File too large\n";
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stdout)), (Some(1), answer));
}

#[test]
fn a_header_that_claims_4_gib_is_reported_as_damage_even_with_little_memory() {
    let dir = with_store();
    for command in ["rotate", "sync"] {
        assert_eq!(logkv(dir.path(), &["store", command], b"").code, Some(0));
    }
    let path = segment_path(&dir.path().join("store"), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    let header = 64..96;
    let salt: [u8; 4] = bytes[56..60].try_into().expect("four bytes");
    bytes[header.start + 24..header.start + 28].copy_from_slice(&u32::MAX.to_le_bytes());
    let place = [&salt[..], &(header.start as u64).to_le_bytes()].concat();
    let hcrc = crc32c::crc32c_append(crc32c::crc32c(&place), &bytes[header.start + 8..header.end]);
    bytes[header.start..header.start + 4].copy_from_slice(&hcrc.to_le_bytes());
    fs::write(&path, &bytes).expect("the claim");
    for read_with in ["mmap", "pread"] {
        let args = ["--quiet", "--read-with", read_with, "store", "dump-segment", "1"];
        let seen = limited(dir.path(), "-v 400000", &args, b"");
        assert_eq!((seen.code, seen.err.as_str()), (Some(4), ""), "{}", seen.out);
        assert!(seen.out.contains("4,294,967,"), "{}", seen.out);
    }
}

#[test]
fn a_store_that_cannot_be_mapped_is_read_without_mappings() {
    let dir = with_store();
    let before = files(&dir.path().join("store"));
    assert_eq!(limited(dir.path(), "-v 60000", &["store", "get", "a"], b""), said(0, "1\n", ""));
    assert_eq!(files(&dir.path().join("store")), before);
    assert_eq!(limited(dir.path(), "-v 60000", &["store", "put", "b", "2"], b""), said(0, "", ""));
    assert_eq!(limited(dir.path(), "-v 60000", &["store", "scan"], b""), said(0, "a\t1\nb\t2\n", ""));
}

#[test]
fn a_directory_without_write_permission_is_read_only() {
    const SOMEBODY: u32 = 12_345;
    let dir = with_store();
    let path = dir.path().join("store");
    if !geteuid().is_root() || !works("setpriv", &["--version"]) {
        return skipped("a directory of another user", "becoming another user needs root, and setpriv");
    }
    chown(&path, Some(SOMEBODY), None).expect("root has permission");
    // Other users cannot enter temporary directories, and the build directory may be private.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    fs::copy(binary(), dir.path().join("logkv")).expect("a copy");
    for (name, _) in files(&path) {
        fs::set_permissions(path.join(&name), fs::Permissions::from_mode(0o444)).expect("permissions");
        chown(path.join(name), Some(SOMEBODY), None).expect("root has permission");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).expect("permissions");
    let before = files(&path);
    let as_somebody = |args: &[&str]| {
        let mut command = program_of_system("setpriv", dir.path());
        command.args(["--reuid", "12345", "--regid", "12345", "--clear-groups", "./logkv"]);
        command.args(args);
        run(command, b"")
    };
    let refused =
        said(3, "", "error: cannot lock store/LOCK: Permission denied\nhint: --read-only writes nothing\n");
    assert_eq!(as_somebody(&["store", "put", "a", "2"]), refused);
    assert_eq!(as_somebody(&["-r", "store", "get", "a"]), said(0, "1\n", ""));
    let refused = said(3, "", "error: cannot create new: Permission denied\n");
    assert_eq!(as_somebody(&["new", "put", "a", "1"]), refused);
    assert_eq!(files(&path), before);
    assert!(!dir.path().join("new").exists());
}

#[test]
fn a_store_on_a_read_only_file_system_opens_with_the_flag_only() {
    let dir = with_store();
    let source = dir.path().join("store").to_string_lossy().into_owned();
    let Some(mount) = Mount::new(dir.path(), "bound", &["--bind", &source]) else {
        return skipped("a read-only file system", "mounting needs root");
    };
    assert!(works("mount", &["-o", "remount,bind,ro", &mount.0.to_string_lossy()]), "the remount failed");
    let before = files(&mount.0);
    let refused = said(
        3,
        "",
        "error: cannot lock bound/LOCK: Read-only file system\nhint: --read-only writes nothing\n",
    );
    assert_eq!(logkv(dir.path(), &["bound", "put", "a", "2"], b""), refused);
    assert_eq!(logkv(dir.path(), &["-r", "bound", "get", "a"], b""), said(0, "1\n", ""));
    assert_eq!(files(&mount.0), before);
}

/// Whether MANIFEST says that the store was closed.
fn is_closed(store: &Path) -> bool {
    fs::read_to_string(store.join("MANIFEST")).expect("a MANIFEST").contains(" closed ")
}

#[test]
fn a_script_whose_reader_leaves_ends_silently_and_closes_the_store() {
    let dir = with_store();
    let puts: String = (0..20_000).map(|n| format!("put key{n:05} v\n")).collect();
    let script = format!("{puts}keys --all\nput last 1\n");
    fs::write(dir.path().join("script"), script).expect("writes a file");
    let mut child = program(dir.path())
        .args(["--sync", "never", "store", "-f", "script"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("is piped")).read_line(&mut line).expect("reads a key");
    let output = child.wait_with_output().expect("exits");
    assert_eq!((output.status.code(), output.stderr.as_slice(), line.as_str()), (Some(0), &b""[..], "a\n"));
    assert!(is_closed(&dir.path().join("store")));
    assert_eq!(open(&dir.path().join("store")).len(), 20_001);
}

#[test]
fn an_interrupt_ends_a_script_with_130_and_keeps_every_acknowledged_write() {
    // Once while the script waits for a line, and once during an endless script.
    for is_endless in [false, true] {
        let dir = with_store();
        let mut child = piped(program(dir.path()).args(["--json", "store"]));
        let mut stdin = child.stdin.take().expect("is piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("is piped"));
        let mut answer = String::new();
        stdin.write_all(b"put k0 v\n").expect("the program reads");
        stdout.read_line(&mut answer).expect("the program answers");
        let feeder = std::thread::spawn(move || {
            let mut numbers = 1..if is_endless { u64::MAX } else { 1 };
            // The pipe breaks when the program ends. Until then the script has no end.
            drop(numbers.try_for_each(|n| writeln!(stdin, "put k{n} v")));
            stdin
        });
        if is_endless {
            stdout.read_line(&mut answer).expect("the program answers");
        }
        interrupt(&child);
        stdout.read_to_string(&mut answer).expect("text");
        let output = child.wait_with_output().expect("exits");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(err.starts_with("-:") && err.ends_with(": error: interrupted\n"), "{err}");
        assert_eq!(output.status.code(), Some(130));
        feeder.join().expect("ends with the program");
        let acknowledged = answer.lines().filter(|line| line.starts_with("{\"ok\":true")).count();
        assert!(acknowledged > usize::from(is_endless), "{answer}");
        assert!(is_closed(&dir.path().join("store")));
        let store = open(&dir.path().join("store"));
        for n in 0..acknowledged {
            assert_eq!(value(&store, &format!("k{n}")).as_deref(), Some("v"), "k{n} of {acknowledged}");
        }
    }
}

#[test]
fn an_interrupt_ends_a_long_open_at_once_and_changes_nothing() {
    const COUNT: u64 = 200_000;
    let dir = scratch();
    let store = dir.path().join("store");
    let puts: String = (0..COUNT).map(|n| format!("put key{n:06} v\n")).collect();
    fs::write(dir.path().join("script"), puts).expect("writes a file");
    let written = program(dir.path()).args(["--sync", "never", "store", "-f", "script"]).status();
    assert!(written.expect("the program starts").success());
    fs::remove_file(store.join("KEYDIR")).expect("exists");
    let mut child = program(dir.path())
        .args(["store", "count"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // Opening first takes the lock, and writes the process id into it.
    let pid = child.id().to_string();
    while fs::read_to_string(store.join("LOCK")).expect("exists").trim() != pid {
        assert_eq!(child.try_wait().expect("is a child"), None, "the program is opening the store");
    }
    interrupt(&child);
    let output = child.wait_with_output().expect("exits");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(130), &b""[..]));
    assert_eq!(open(&store).len(), COUNT);
}

#[test]
fn a_long_script_of_large_values_needs_memory_for_its_keys_only() {
    let dir = scratch();
    let mut child = program(dir.path())
        .args(["--sync", "never", "store"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("is piped");
    let value = "v".repeat(700);
    let puts: String = (0..1000).map(|n| format!("put key{n:03}NNN {value}\n")).collect();
    for thousand in 0..200 {
        let puts = puts.replace("NNN", &format!("{thousand:03}"));
        stdin.write_all(puts.as_bytes()).expect("the program reads");
    }
    stdin.write_all(b"count\n").expect("the program reads");
    let mut count = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("is piped"));
    stdout.read_line(&mut count).expect("the program answers");
    assert_eq!(count, "200000\n");
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    drop(stdin);
    assert!(child.wait().expect("exits").success());
    // 140 MB were written, and are in the files.
    let stored: usize = files(&dir.path().join("store")).iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(stored > 140_000_000, "{stored} bytes are stored");
    assert!(peak_kib < 80 << 10, "{peak_kib} KiB");
}
