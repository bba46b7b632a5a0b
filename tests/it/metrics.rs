//! The store's counters and timers, their export to Prometheus, and the engine's log.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use logkv::fs::StoreFile;
use logkv::{Batch, Compact, Error, Metrics, Options, Store, Sync};

use crate::common::{hint_path, open, program, quick, scratch, skipped, wait_until};
use crate::hooked::{Call, Hook, Hooked};
use crate::person::Person;
use crate::recount::Recounted;

fn metrics(store: &Store) -> Metrics {
    store.metrics().expect("metrics")
}

#[test]
fn the_metrics_equal_the_work_of_the_store() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().sync(Sync::Always)).expect("opens");
    store.put("a", "1").expect("a put");
    store.put("a", "2").expect("a put");
    let mut batch = Batch::new();
    batch.put("b", "1").put("c", "1").delete("a").delete("never there");
    store.write(&batch).expect("a batch");
    store.transact(|transaction| transaction.incr("b", 1)).expect("a transaction");
    for key in ["b", "c", "a"] {
        store.get(key).expect("reads");
    }
    store.contains("b").expect("reads");
    store.get_entry("nothing").expect("reads");
    store.get_many(&["b", "c", "nothing"]).expect("reads");
    let seen = metrics(&store);
    assert_eq!((seen.put_count, seen.delete_count, seen.batch_count), (5, 1, 4));
    assert_eq!((seen.get_count, seen.hit_count, seen.miss_count), (9, 6, 3));
    assert_eq!(seen.written_len, seen.stats.live_len + seen.stats.dead_len);
    assert_eq!((seen.get_ns.count(), seen.write_ns.count(), seen.sync_ns.count()), (1, 3, 4));
    assert_eq!((seen.synced_count.sum(), seen.synced_count.max()), (6, 3));
    assert_eq!((seen.compaction_run_count, seen.checkpoint_count, seen.write_error_count), (0, 0, 0));

    let report = store.compact_recounted(&Compact::All).expect("compacts");
    let [run] = report.runs.as_slice() else { panic!("{report:?}") };
    let seen = metrics(&store);
    assert_eq!(seen.compaction_run_count, 1);
    assert_eq!((seen.compaction_read_len, seen.compaction_written_len), (run.before_len, run.after_len));
    assert_eq!(seen.compaction_freed_len(), run.before_len - run.after_len);
    assert_eq!(seen.stats, store.stats().expect("statistics"));
    assert_eq!(seen.open_took, store.open_report().took);
}

#[test]
fn gets_of_all_threads_are_counted_and_every_64th_is_timed() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("there", "1").expect("a put");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..640 {
                    store.get(if n % 2 == 0 { "there" } else { "missing" }).expect("reads");
                }
            });
        }
    });
    let seen = metrics(&store);
    assert_eq!((seen.get_count, seen.hit_count, seen.miss_count), (2560, 1280, 1280));
    // A new thread may continue the count of one that has ended.
    assert_eq!(seen.get_ns.count(), 40);
}

#[test]
fn one_sync_of_many_writes_counts_as_one_group() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().sync(Sync::Always)).expect("opens");
    let submit = |n: u32| {
        let mut batch = Batch::new();
        batch.put(n.to_string(), "v");
        store.submit(&batch).expect("submits")
    };
    let pending: Vec<_> = (0..10).map(submit).collect();
    assert_eq!(metrics(&store).put_count, 0, "the writes are not visible yet");
    for pending in pending {
        pending.wait().expect("waits");
    }
    let seen = metrics(&store);
    assert_eq!((seen.put_count, seen.synced_count.count(), seen.synced_count.sum()), (10, 1, 10));
}

/// A disk whose syncs fail when the flag is set.
#[derive(Debug, Default)]
struct SyncsFail(AtomicBool);

impl Hook for SyncsFail {
    fn before(&self, call: Call) -> io::Result<()> {
        match call {
            Call::Sync(StoreFile::Segment(_)) if self.0.load(Ordering::Relaxed) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

#[test]
fn a_failure_is_counted_where_it_occurred() {
    let (dir, disk) = (scratch(), Arc::new(SyncsFail::default()));
    let options =
        Options::new().background(false).value_len_max(2).file_system(Arc::new(Hooked(Arc::clone(&disk))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("a", "1").expect("a put");
    disk.0.store(true, Ordering::Relaxed);
    store.put("k", "too long").expect_err("is too long");
    assert!(matches!(store.put("k", "v"), Err(Error::OutcomeUnknown { .. })));
    let seen = metrics(&store);
    assert_eq!((seen.write_error_count, seen.sync_error_count, seen.put_count), (2, 1, 1));
    assert_eq!((seen.write_ns.count(), seen.sync_ns.count(), seen.synced_count.count()), (3, 2, 1));

    let dir = scratch();
    let store = open(dir.path());
    let location = store.put("k", "v").expect("a put").location;
    let path = crate::common::segment_path(dir.path(), location.segment.0);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[location.offset as usize + 40] ^= 1;
    fs::write(&path, bytes).expect("the damage");
    store.get("k").expect_err("is damaged");
    let seen = metrics(&store);
    assert_eq!((seen.get_count, seen.read_error_count, seen.hit_count, seen.miss_count), (1, 1, 0, 0));
}

fn run(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    program(dir).args(args).envs(env.iter().copied()).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("text")
}

#[test]
fn promtool_accepts_the_exported_metrics() {
    let dir = scratch();
    run(dir.path(), &["d", "-c", "put a 1", "-c", "get a"], &[]);
    let output = run(dir.path(), &["d", "-c", "put a 2", "-c", "stats --prometheus"], &[]);
    let mut check = match Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(check) => check,
        Err(error) => return skipped("promtool_accepts_the_exported_metrics", &error.to_string()),
    };
    check.stdin.take().expect("is piped").write_all(&output.stdout).expect("reads");
    let found = check.wait_with_output().expect("exits");
    assert!(found.status.success(), "{}{}", text(&found.stdout), text(&found.stderr));
    assert_eq!((text(&found.stdout), text(&found.stderr)), ("", ""));
}

/// The value of the series `name` in the file at `path`. The file is complete whenever it exists.
fn in_file(path: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    assert!(text.ends_with('\n') && text.contains("\n# TYPE logkv_damaged_ranges gauge\n"), "{text}");
    let lines = text.lines().map(str::to_owned);
    lines.into_iter().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with('{').then(|| rest.rsplit(' ').next().unwrap_or_default().to_owned())
    })
}

#[test]
fn a_metrics_file_is_updated_while_the_program_runs_and_is_correct_at_its_end() {
    let dir = scratch();
    let path = dir.path().join("m.prom");
    let mut child = program(dir.path())
        .args(["--metrics-file", "m.prom", "--metrics-interval", "10ms", "d"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("is piped");
    for n in ["1", "2"] {
        stdin.write_all(b"put a 1\n").expect("reads");
        wait_until(|| in_file(&path, "logkv_puts_total").as_deref() == Some(n));
    }
    drop(stdin);
    assert!(child.wait().expect("exits").success());

    let args = ["--metrics-file", "m.prom", "--metrics-interval", "1h", "d", "put", "b", "1"];
    assert!(run(dir.path(), &args, &[]).status.success());
    assert_eq!(in_file(&path, "logkv_puts_total").as_deref(), Some("1"));
    assert_eq!(in_file(&path, "logkv_keys").as_deref(), Some("2"));
    let store = dir.path().join("d").canonicalize().expect("the store");
    let text = fs::read_to_string(&path).expect("the file");
    assert!(text.contains(&format!("logkv_keys{{store=\"{}\"}} 2", store.display())), "{text}");
    let names: Vec<_> =
        crate::common::files(dir.path().join("d").as_path()).into_iter().map(|f| f.0).collect();
    assert!(names.iter().all(|name| !name.contains("prom")), "{names:?}");
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 2, "other files are left");
}

#[test]
fn a_metrics_file_that_cannot_be_written_is_reported_once_and_nothing_else_fails() {
    let dir = scratch();
    let args = ["--metrics-file", "no/m.prom", "--metrics-interval", "1ms", "-q", "d"];
    let lines = ["-c", "put a 1", "-c", "put b 2", "-c", "get a"];
    let output = run(dir.path(), &[&args[..], &lines].concat(), &[]);
    assert_eq!(text(&output.stderr), "warning: cannot write no/m.prom: No such file or directory\n");
    assert_eq!((text(&output.stdout), output.status.code()), ("1\n", Some(0)));

    for (path, env) in [("d/MANIFEST", None), ("d/000009.seg", Some(("LOGKV_METRICS_FILE", "d/000009.seg")))]
    {
        let flag = ["--metrics-file", path];
        let args = if env.is_some() { &[][..] } else { &flag[..] };
        let env: Vec<_> = env.into_iter().collect();
        let output = run(dir.path(), &[args, &["d", "get", "a"]].concat(), &env);
        let said = text(&output.stderr);
        assert!(said.contains("--metrics-file names a file of the store itself"), "{said}");
        assert_eq!(output.status.code(), Some(2));
    }
    fs::write(dir.path().join("d/logkv.toml"), "metrics-file = \"m.prom\"\n").expect("a file");
    let output = run(dir.path(), &["d", "get", "a"], &[]);
    assert!(text(&output.stderr).contains("cannot set metrics-file for its own directory"));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_engine_logs_at_the_requested_level() {
    let dir = scratch();
    let said = |args: &[&str], env: &[(&str, &str)]| {
        let output = run(dir.path(), &[args, &["-q", "d", "-c", "put a 1", "-c", "rotate"]].concat(), env);
        assert_eq!(output.status.code(), Some(0));
        text(&output.stderr).to_owned()
    };
    assert_eq!(said(&[], &[]), "");
    assert_eq!(said(&["--log", "warn"], &[]), "");
    let info = said(&[], &[("LOGKV_LOG", "info")]);
    assert!(
        info.contains(" INFO open{path=d read_only=false}: logkv::engine::open: opened segments="),
        "{info}"
    );
    assert!(!info.contains("a segment was sealed"), "{info}");
    let part = said(&["--log", "logkv::engine::log=debug"], &[("LOGKV_LOG", "trace")]);
    assert!(part.contains("DEBUG logkv::engine::log") && part.contains("a segment was sealed"), "{part}");
    assert!(!part.contains("opened"), "{part}");
    for bad in ["loud", "info,debgu", "logkv=loud"] {
        let output = run(dir.path(), &["d", "get", "a"], &[("LOGKV_LOG", bad)]);
        let said = text(&output.stderr);
        assert!(
            said.starts_with(&format!("error: LOGKV_LOG cannot be {bad}; it takes off, error, ")),
            "{said}"
        );
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn a_log_event_appears_above_the_line_being_typed() {
    let dir = scratch();
    let mut person = Person::at(dir.path(), &["--log", "trace", "--sync", "500ms", "d"], &[]);
    person.sees("opened").sees_at_end("logkv d>");
    person.enters("put a 1").sees("a segment was started").sees_at_end("logkv d>");
    // The background sync happens while the user types.
    person.types("get").sees("synced records=1").sees("logkv d> get KEY");
    let screen = person.screen();
    assert!(screen.find("synced") < screen.find("logkv d> get"), "{screen}");
    person.types(" a\r").sees("\n1\n").enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
}

#[test]
fn a_metrics_file_that_is_no_regular_file_is_not_replaced() {
    let dir = scratch();
    fs::write(dir.path().join("notes"), "mine").expect("a file");
    symlink("notes", dir.path().join("link.prom")).expect("is a link");
    symlink("/dev/null", dir.path().join("device.prom")).expect("is a link");
    for name in ["link.prom", "device.prom"] {
        let mut program = program(dir.path());
        let output = program.args(["--metrics-file", name, "d", "put", "a", "1"]).output().expect("runs");
        let said = text(&output.stderr);
        assert!(said.contains(&format!("cannot write {name}: it is not a regular file")), "{said}");
        assert!(dir.path().join(name).is_symlink(), "{name}");
    }
    assert_eq!(fs::read(dir.path().join("notes")).expect("exists"), b"mine");
}

#[test]
fn memory_is_reported_as_allocated_or_mapped() {
    const KEYS: u64 = 20_000;
    let dir = scratch();
    let path = dir.path().join("d");
    let store = Store::open_with(&path, quick().checkpoint_records(1)).expect("opens");
    let empty = store.memory();
    assert_eq!((empty.keydir_mapped_len, empty.order_len, empty.segment_mapped_len), (0, 0, 0));
    for n in 0..KEYS {
        store.put(format!("key{n}"), "value").expect("a put");
    }
    let grown = store.memory().keydir_len - empty.keydir_len;
    assert!((8 * KEYS..24 * KEYS).contains(&grown), "{grown} bytes for {KEYS} keys");
    assert_eq!(store.scan(..).expect("scans").count() as u64, KEYS);
    assert_eq!(store.memory().order_len, 16 * KEYS);
    store.rotate().expect("rotates");
    store.close().expect("closes");
    let store = Store::open_with(&path, quick().background(true)).expect("opens");
    // Iterating in key order builds the order that no hint has.
    assert_eq!(store.keys(..).expect("keys").count() as u64, KEYS);
    wait_until(|| hint_path(&path, 1).exists());
    store.close().expect("closes");
    let store = Store::open_with(&path, quick()).expect("opens");
    assert_eq!(store.scan(..).expect("scans").count() as u64, KEYS);
    let memory = store.memory();
    assert_eq!((memory.keydir_len, memory.order_len), (empty.keydir_len, 0));
    let len = |name: &str| fs::metadata(path.join(name)).expect("exists").len();
    assert!((8 * KEYS..len("KEYDIR")).contains(&memory.keydir_mapped_len), "{memory:?}");
    let files = (len("000001.hint"), store.stats().expect("statistics").disk_len);
    assert_eq!((memory.hint_mapped_len, memory.segment_mapped_len), files);
    store.close().expect("closes");
    let output = run(dir.path(), &["-m", "json", "d", "stats", "--memory"], &[]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("an object");
    assert_eq!(report["segment_mapped_bytes"], files.1);
    assert!(report["process_peak_bytes"].as_u64() >= report["process_bytes"].as_u64(), "{report}");
    assert!(report["process_bytes"].as_u64() > Some(100_000), "{report}");
    let refused =
        program(dir.path()).args(["d", "stats", "--memory", "--prometheus"]).output().expect("runs");
    assert_eq!(refused.status.code(), Some(2));
}
