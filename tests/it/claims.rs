//! Files that claim more than they hold: memory for a value, terabytes of holes, an endless line.
//! The bytes on disk or an option limit what is read, and Ctrl-C works.

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use crate::common::{
    binary, crc32, piped, program, program_of_system, rewrite_manifest, scratch, segment_path, skipped,
};
use crate::hooked::{Hook, hooked};
use crate::limits::{ProgramOutput, ok, run, said, sealed_store};

/// A store whose value `big` is compressed to some kilobytes and takes `len` bytes of memory.
fn bomb(len: usize) -> TempDir {
    let dir = scratch();
    let options = crate::common::quick().compression(logkv::Compression::Zstd { level: 3 });
    let store = logkv::Store::open_with(dir.path().join("store"), options.value_len_max(u64::MAX));
    let store = store.expect("the store opens");
    store.put("a", "1").expect("a put");
    store.put("big", vec![0; len]).expect("a put");
    store.put("c", "3").expect("a put");
    store.rotate().expect("rotates");
    store.close().expect("closes");
    dir
}

#[test]
fn a_compressed_value_over_the_limit_is_refused_with_its_place_and_costs_nothing_else() {
    let dir = bomb(300 << 20);
    let limited = |args: &[&str]| {
        let script = "ulimit -v 250000 && exec \"$0\" \"$@\"";
        run(program_of_system("sh", dir.path()).args(["-c", script]).arg(binary()).args(args))
    };
    let sentence = "error: the value at byte 112 (0x70) of segment 1 decompresses to 314,572,800 bytes; the \
        limit here is 67,108,864\nhint: --read-limit 314572800 reads it, and takes that much memory\n";
    for read_with in ["mmap", "pread"] {
        let with =
            |args: &[&'static str]| [&["-m", "plain", "--read-with", read_with, "store"], args].concat();
        let (code, out, err) = limited(&with(&["get", "big"]));
        assert_eq!((code, out.as_str(), err.as_str()), (Some(1), "", sentence));
        let (code, out, err) = limited(&with(&["scan"]));
        assert_eq!((code, out.as_str(), err.as_str()), (Some(1), "a\t1\nc\t3\n", sentence));
        assert_eq!(limited(&with(&["get", "c"])), ok("3\n"));
        assert_eq!(limited(&with(&["keys"])).1, "a\nbig\nc\n");
    }
    for args in [
        &["--json", "store", "dump-segment", "1"][..],
        &["store", "versions", "a"],
        &["store", "export", "-"],
    ] {
        let (code, _, err) = limited(args);
        assert!([Some(0), Some(1)].contains(&code), "{args:?}: {err}");
    }
    let (code, out, err) = limited(&["-m", "plain", "store", "verify"]);
    assert_eq!((code, err.as_str()), (Some(3), ""), "{out}");
    assert!(out.starts_with("refused\t000001.seg\t"), "{out}");
    // A higher limit reads it, and a value that may be written may be read.
    for option in ["--read-limit", "--value-limit"] {
        let got = program(dir.path()).args([option, "300MiB", "-m", "raw", "store", "get", "big"]).output();
        assert!(got.expect("starts").stdout == vec![0; 300 << 20], "{option}");
    }
    // Copies of the store keep the value.
    for (args, name) in
        [(&["store", "backup", "copy"][..], "copy"), (&["store", "repair", "--to", "new"], "new")]
    {
        let (code, _, err) = limited(args);
        assert_eq!(code, Some(0), "{args:?}: {err}");
        let got =
            program(dir.path()).args(["--read-limit", "300MiB", "-m", "raw", name, "get", "big"]).output();
        let of_backup = name == "copy";
        assert!(of_backup || got.expect("starts").stdout == vec![0; 300 << 20], "{name}");
    }
    assert_eq!(limited(&["restored", "restore", "copy"]).0, Some(0));
}

/// Runs `command` and returns its output. Kills it after a minute.
fn run_in_a_minute(command: &mut Command) -> ProgramOutput {
    let mut child = piped(command);
    drop(child.stdin.take());
    let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a process");
    let (ended, watch) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if watch
                .recv_timeout(std::time::Duration::from_secs(60))
                .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                // The program may have ended by itself.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let output = child.wait_with_output().expect("exits");
        drop(ended);
        said(&output)
    })
}

/// A store `store` whose last segment has `len` bytes, almost all of them a hole.
fn sparse_store(len: u64) -> TempDir {
    let dir = sealed_store();
    let store = dir.path().join("store");
    let last = segment_path(&store, 2);
    fs::OpenOptions::new().write(true).open(last).and_then(|file| file.set_len(len)).expect("is sparse");
    dir
}

#[test]
fn a_sparse_store_of_terabytes_is_read_as_fast_as_its_bytes_on_disk() {
    const LEN: u64 = 7 << 40;
    let dir = scratch();
    if fs::File::create(dir.path().join("probe")).and_then(|file| file.set_len(LEN)).is_err() {
        return skipped("a sparse store of 7 TiB", "the file system has no files of that length");
    }
    for args in [
        &["store", "verify"][..],
        &["-r", "store", "get", "one"],
        &["store", "dump-segment", "2"],
        &["store", "backup", "copy"],
        &["store", "repair", "--to", "new"],
        &["new", "restore", "store"],
        &["store", "get", "two"],
    ] {
        for manifest in ["closed", "sealed", "none"] {
            let dir = sparse_store(LEN);
            let store = dir.path().join("store");
            match manifest {
                "none" => fs::remove_file(store.join("MANIFEST")).expect("exists"),
                "sealed" => rewrite_manifest(&store, |line| match line.split_once(" closed ") {
                    Some((start, _)) => format!("{start} sealed {LEN}"),
                    None => line.to_owned(),
                }),
                _ => {}
            }
            let (code, out, err) = run_in_a_minute(program(dir.path()).args(["-m", "plain"]).args(args));
            assert!(code.is_some_and(|code| code < 5), "{args:?} {manifest}: {code:?} {out}{err}");
        }
    }
}

/// A store whose first segment has a hole of 4 GiB.
fn store_with_a_hole() -> TempDir {
    let dir = sealed_store();
    let store = dir.path().join("store");
    let segment = fs::OpenOptions::new().write(true).open(segment_path(&store, 1));
    segment.and_then(|file| file.set_len(SPARSE_LEN)).expect("is sparse");
    rewrite_manifest(&store, |line| match line.split_once(" sealed ") {
        Some((start, _)) => format!("{start} sealed {SPARSE_LEN}"),
        None => line.to_owned(),
    });
    crate::common::remove_derived(&store);
    dir
}

/// The largest multiple of 8 that is a valid segment length.
const SPARSE_LEN: u64 = (1 << 32) - 8;

#[test]
fn a_sparse_segment_is_not_mapped() {
    let dir = store_with_a_hole();
    let store = logkv::Store::open_with(dir.path().join("store"), crate::common::quick()).expect("opens");
    let mapped_len = store.memory().segment_mapped_len;
    assert!(mapped_len < SPARSE_LEN, "{mapped_len}");
}

#[test]
fn commands_that_read_a_whole_sparse_segment_skip_its_holes() {
    for args in [
        &["store", "compact", "--all"][..],
        &["-r", "store", "export", "-"],
        &["store", "stats"],
        &["store", "segments"],
        &["store", "tail"],
        &["store", "scan"],
    ] {
        let dir = store_with_a_hole();
        // Reading the hole would take 4 GiB of memory and a minute.
        let script = "ulimit -t 10 && exec \"$0\" \"$@\"";
        let mut command = program_of_system("sh", dir.path());
        command.args(["-c", script]).arg(binary()).args(["-m", "plain"]).args(args);
        let (code, out, err) = run_in_a_minute(&mut command);
        assert!(matches!(code, Some(0 | 4)), "{args:?}: {code:?} {out}{err}");
    }
}

#[test]
fn a_value_that_claims_more_than_the_read_limit_is_an_error_with_its_place() {
    let dir = bomb(4 << 20);
    let path = dir.path().join("store");
    for read_with in [logkv::ReadWith::Mmap, logkv::ReadWith::Pread] {
        let options =
            crate::common::quick().read_with(read_with).value_len_max(1 << 20).value_read_max(2 << 20);
        let store = logkv::Store::open_with(&path, options.clone()).expect("the store opens");
        let refused = store.get("big").map(drop).expect_err("is too large");
        let place = (logkv::SegmentId(1), 112);
        assert!(
            matches!(refused, logkv::Error::ValueTooLarge { segment, offset, len, limit }
                if (segment, offset) == place && (len, limit) == (4 << 20, 2 << 20)),
            "{refused}"
        );
        assert!(!refused.is_corruption());
        let outcomes: Vec<_> = store.scan(..).expect("scans").map(|entry| entry.is_ok()).collect();
        assert_eq!(outcomes, [true, false, true]);
        let is_compressed = |store: &logkv::Store| {
            let inspection = store.inspect(logkv::SegmentId(1)).expect("inspects");
            let item =
                inspection.items(logkv::inspect::Range { record: Some(1), ..Default::default() }).next();
            match item.expect("a second record").expect("is read") {
                logkv::inspect::Item::Record(record) => {
                    (record.is_compressed(), record.value == record.stored)
                }
                item => panic!("{item:?}"),
            }
        };
        assert_eq!(is_compressed(&store), (false, true));
        store.close().expect("closes");
        let report = logkv::verify::store(&path, &options, &[], &mut |_| ControlFlow::Continue(()));
        let report = report.expect("exists");
        assert_eq!((report.refused_count, report.damage_count), (1, 0));
        let store = logkv::Store::open_with(&path, options.value_read_max(4 << 20)).expect("the store opens");
        assert!(store.get("big").expect("is read").expect("exists").iter().all(|&byte| byte == 0));
        assert_eq!(is_compressed(&store), (true, false));
        store.close().expect("closes");
    }
}

#[test]
fn ctrl_c_stops_the_output_of_a_large_value() {
    const LEN: usize = 32 << 20;
    let dir = bomb(LEN);
    for args in [
        &["-m", "plain", "store", "scan"][..],
        &["-m", "plain", "store", "get", "big"],
        &["-m", "raw", "store", "get", "big"],
        &["-m", "json", "store", "get", "big"],
        &["--json", "store", "dump-segment", "1"],
        &["store", "export", "-"],
        &["store", "export", "--format", "tsv", "-"],
        &["store", "export", "--format", "script", "-"],
        &["store", "export", "--format", "resp", "-"],
        &["store", "export", "fifo"],
    ] {
        if args.contains(&"fifo") {
            rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("fifo"), 0o600.into()).expect("a fifo");
        }
        let mut child = piped(program(dir.path()).args(args));
        let mut stdout: Box<dyn Read> = if args.contains(&"fifo") {
            Box::new(fs::File::open(dir.path().join("fifo")).expect("is opened"))
        } else {
            Box::new(child.stdout.take().expect("is piped"))
        };
        // The program is in the middle of the value, and blocked on the full pipe.
        stdout.read_exact(&mut [0; 4096]).expect("writes");
        crate::common::interrupt(&child);
        let len = std::io::copy(&mut stdout, &mut std::io::sink()).expect("is read");
        drop(child.stdin.take());
        let (code, _, err) = said(&child.wait_with_output().expect("exits"));
        assert_eq!(code, Some(130), "{args:?}: {err}");
        assert!(len < LEN as u64, "{args:?}: {len} bytes came after Ctrl-C");
    }
}

/// Counts the bytes read from files.
#[derive(Debug, Default)]
struct ReadCounter(AtomicU64);

impl Hook for ReadCounter {
    fn read(&self, _: logkv::fs::StoreFile, range: std::ops::Range<u64>) -> std::io::Result<()> {
        self.0.fetch_add(range.end - range.start, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn the_holes_of_a_sparse_store_are_not_read() {
    const READ_MAX: u64 = 64 << 20;
    let dir = sparse_store(7 << 30);
    let hook = hooked(ReadCounter::default());
    let options = crate::common::quick().file_system(hook.clone());
    let report = logkv::verify::store(&dir.path().join("store"), &options, &[], &mut |_| match hook
        .0
        .0
        .load(Ordering::Relaxed)
    {
        0..READ_MAX => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    });
    let report = report.expect("was not cancelled");
    assert!(hook.0.0.load(Ordering::Relaxed) < READ_MAX, "{report:?}");
    assert_eq!(report.record_count, 3);
}

#[test]
fn a_sparse_import_file_is_one_rejected_row_and_ctrl_c_stops_it() {
    const LEN: u64 = 1 << 40;
    let dir = scratch();
    let mut bitcask = crc32(b"\0\0\0\x07\0\x01\0\0\0\x01kv").to_be_bytes().to_vec();
    bitcask.extend_from_slice(b"\0\0\0\x07\0\x01\0\0\0\x01kv");
    for (name, record) in
        [("1.bitcask.data", &bitcask[..]), ("segment_1.log", b"\x07\0\0\0\x01\0\0\0\x01\0\0\0kv")]
    {
        fs::write(dir.path().join(name), record).expect("a file");
        let file = fs::OpenOptions::new().write(true).open(dir.path().join(name));
        file.and_then(|file| file.set_len(LEN)).expect("is sparse");
        let (code, out, err) =
            run_in_a_minute(program(dir.path()).args(["-m", "plain", "new", "import", name]));
        assert_eq!(code, Some(1), "{err}");
        assert!(out.contains("imported\t1\n") && out.contains("rejected\t1\n"), "{out}");
        assert_eq!(err.lines().filter(|line| line.contains(": rejected: ")).count(), 1, "{err}");
        let (code, out, err) =
            run_in_a_minute(program(dir.path()).args(["-m", "plain", "new", "dump-segment", name]));
        assert_eq!((code, out.lines().count()), (Some(4), 2), "{err}");
    }
    // Endless lines.
    for args in
        [&["new", "import", "/dev/zero"][..], &["new", "-f", "/dev/zero"], &["new", "import", "lines"]]
    {
        let lines = fs::File::create(dir.path().join("lines")).expect("a file");
        lines.set_len(LEN).expect("is sparse");
        let mut child = piped(program(dir.path()).args(args));
        let pid = child.id();
        // The import has started once the file is open.
        let opened = || {
            let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
            let mut paths = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
            paths.any(|path| path.ends_with("zero") || path.ends_with("lines"))
        };
        crate::common::wait_until(|| opened() || child_is_gone(pid));
        crate::common::interrupt(&child);
        drop(child.stdin.take());
        let (code, _, err) = said(&child.wait_with_output().expect("exits"));
        // The line limit of a script may be reached before Ctrl-C.
        assert!(code == Some(130) || args.contains(&"-f") && code == Some(1), "{args:?}: {code:?} {err}");
    }
}

/// Whether process `pid` is a zombie.
fn child_is_gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}
