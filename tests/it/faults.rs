//! A file system that fails at a chosen call, and the errors that callers get. (`simulated` makes
//! every call fail in every way.)

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{contents, files, killed, open, quick, scratch, wait_until};
use crate::hooked::{Call, Hook, Hooked, SyncGate};
use logkv::fs::StoreFile;
use logkv::{Batch, Error, Options, Store, Sync, Value};

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Error(io::ErrorKind),
    /// A write accepts half of its bytes. Other calls fail with EIO.
    Short,
}

/// The calls that fail.
#[derive(Debug)]
pub(crate) struct FaultPlan {
    fault: Fault,
    at_call: u64,
    from_then_on: bool,
    calls: AtomicU64,
    /// Whether the current write is the short one.
    is_short: AtomicBool,
    /// Whether calls succeed again.
    is_over: AtomicBool,
    /// The first call that failed.
    met: Mutex<Option<Call>>,
}

impl FaultPlan {
    pub(crate) fn new(fault: Fault, at_call: u64, from_then_on: bool) -> Self {
        Self {
            fault,
            at_call,
            from_then_on,
            calls: AtomicU64::new(0),
            is_short: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            met: Mutex::default(),
        }
    }

    /// The fault of this call.
    fn next(&self, call: Call) -> Option<Fault> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let is_hit = number == self.at_call || (self.from_then_on && number > self.at_call);
        if !is_hit || self.is_over.load(Ordering::SeqCst) {
            return None;
        }
        self.met.lock().expect("no panic").get_or_insert(call);
        Some(self.fault)
    }

    /// The number of calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn met(&self) -> Option<Call> {
        *self.met.lock().expect("no panic")
    }

    /// Makes all later calls succeed.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

impl Hook for FaultPlan {
    fn before(&self, call: Call) -> io::Result<()> {
        match (self.next(call), call) {
            (None, _) => Ok(()),
            (Some(Fault::Error(kind)), _) => Err(kind.into()),
            (Some(Fault::Short), Call::Write(_)) => {
                self.is_short.store(true, Ordering::SeqCst);
                Ok(())
            }
            (Some(Fault::Short), _) => Err(io::ErrorKind::Other.into()),
        }
    }

    fn syncs(&self) -> bool {
        false
    }

    fn take(&self, len: usize) -> usize {
        if self.is_short.swap(false, Ordering::SeqCst) { len.div_ceil(2) } else { len }
    }
}

#[test]
fn a_failed_fsync_is_not_retried_and_all_later_writes_fail() {
    let dir = scratch();
    let plan = |at_call| FaultPlan::new(Fault::Error(io::ErrorKind::Other), at_call, false);
    // The earlier syncs: MANIFEST of the new store, the first segment, MANIFEST again, and two
    // puts.
    let fsync_of_second_put = {
        let plan = Arc::new(plan(u64::MAX));
        let options = Options::new().file_system(Arc::new(Hooked(Arc::clone(&plan))));
        let dir = scratch();
        let store = Store::open_with(dir.path(), options).expect("opens");
        store.put("a", "1").expect("a put");
        store.put("b", "2").expect("a put");
        plan.calls() - 1
    };
    let options = Options::new().file_system(Arc::new(Hooked(Arc::new(plan(fsync_of_second_put)))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("a", "1").expect("a put");
    assert!(matches!(store.put("b", "2"), Err(Error::OutcomeUnknown { .. })));
    assert_eq!(store.get("b").expect("reads"), None, "a write that is not durable is not visible");
    assert_eq!(store.get("a").expect("reads").as_deref(), Some(&b"1"[..]), "reads still work");
    for refused in
        [store.put("c", "3").map(drop), store.sync(), store.delete("a").map(drop), store.rotate().map(drop)]
    {
        assert!(matches!(refused, Err(Error::Poisoned { .. })));
    }
    assert!(store.close().is_err(), "closing reports that the log is not clean");
}

#[test]
fn no_sync_starts_beside_another_whose_failure_it_would_miss() {
    let (dir, gate) = (scratch(), Arc::new(SyncGate::default()));
    let options = quick().sync(Sync::Always).file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("first", "").expect("a put");
    let before = gate.arrivals();
    gate.set_shut(true);
    std::thread::scope(|scope| {
        scope.spawn(|| store.put("second", "").expect("a put"));
        wait_until(|| gate.arrivals() > before);
        scope.spawn(|| store.rotate().expect("rotates"));
        std::thread::sleep(Duration::from_millis(50));
        let arrivals = gate.arrivals();
        gate.set_shut(false);
        assert_eq!(arrivals, before + 1, "two syncs ran in parallel");
    });
}

#[test]
fn each_submitted_write_that_does_not_fit_on_the_disk_fails_and_later_writes_succeed() {
    for sync in [Sync::Always, Sync::Never] {
        let dir = scratch();
        let plan = |at_call| FaultPlan::new(Fault::Error(io::ErrorKind::StorageFull), at_call, false);
        let calls_of_open_and_put = {
            let dir = scratch();
            let plan = Arc::new(plan(u64::MAX));
            let options = Options::new().sync(sync).file_system(Arc::new(Hooked(Arc::clone(&plan))));
            let store = Store::open_with(dir.path(), options).expect("opens");
            store.put("first", "1").expect("a put");
            plan.calls()
        };
        let file_system = Arc::new(Hooked(Arc::new(plan(calls_of_open_and_put))));
        let options = Options::new().sync(sync).file_system(file_system);
        let store = Store::open_with(dir.path(), options.clone()).expect("opens");
        store.put("first", "1").expect("a put");
        let lost: Vec<_> = ["a", "b", "c"]
            .iter()
            .map(|key| store.submit(Batch::new().put(key, "lost")).expect("submits"))
            .collect();
        let mut lost = lost.into_iter();
        let first = lost.next().expect("an item").wait();
        assert!(matches!(first, Err(Error::Io { .. })), "{first:?}");
        let kept = store.submit(Batch::new().put("d", "kept")).expect("submits");
        for pending in lost {
            let outcome = pending.wait();
            assert!(matches!(outcome, Err(Error::NotWritten { .. })), "{outcome:?}");
        }
        assert_eq!(kept.wait().expect("has free space").map(|commit| commit.last.0), Some(2));
        store.close().expect("closes");
        let expected = [("d", "kept"), ("first", "1")];
        assert_eq!(
            contents(&open(dir.path())),
            expected.map(|(key, value)| (key.into(), value.into())).into()
        );
    }
}

/// A full disk that accepts the beginning of a write.
#[derive(Debug, Default)]
struct AlmostFull {
    /// The remaining bytes, once the test sets them.
    room: Mutex<Option<usize>>,
}

impl Hook for AlmostFull {
    fn before(&self, call: Call) -> io::Result<()> {
        let is_full = *self.room.lock().expect("no panic") == Some(0);
        if is_full && matches!(call, Call::Write(_)) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn take(&self, len: usize) -> usize {
        let mut room = self.room.lock().expect("no panic");
        let taken = room.map_or(len, |room| room.min(len));
        *room = room.map(|room| room - taken);
        taken
    }
}

#[test]
fn a_write_reported_as_failed_is_absent_after_a_kill_although_its_bytes_were_in_the_file() {
    let dir = scratch();
    let disk = Arc::new(AlmostFull::default());
    let options = Options::new().sync(Sync::Never).file_system(Arc::new(Hooked(Arc::clone(&disk))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("first", "1").expect("a put");
    let submit = |key: &str| store.submit(Batch::new().put(key, "1")).expect("submits");
    let lost = ["lost1", "lost2"].map(submit);
    // The disk has room for the first record and half of the second.
    let len = store.get_entry("first").expect("reads").expect("exists").meta.len as usize;
    *disk.room.lock().expect("no panic") = Some(len + len / 2);
    for pending in lost {
        let outcome = pending.wait();
        assert!(matches!(outcome, Err(Error::Io { .. } | Error::NotWritten { .. })), "{outcome:?}");
    }
    let dir = killed(store, dir.path());
    assert_eq!(contents(&open(dir.path())), [(b"first".to_vec(), b"1".to_vec())].into());
}

#[test]
fn a_closed_log_that_failed_writes_nothing_on_a_read() {
    let dir = scratch();
    let gate = Arc::new(SyncGate::default());
    let options =
        Options::new().sync(Sync::Buffered(1 << 20)).file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("a", "1").expect("a put");
    gate.set_shut(true);
    gate.fail_syncs();
    let before = gate.arrivals();
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| store.sync());
        wait_until(|| gate.arrivals() > before);
        store.put("b", "2").expect("buffers a put");
        gate.set_shut(false);
        assert!(sync.join().expect("no panic").is_err());
    });
    assert!(store.clone().close().is_err(), "it failed");
    // The lock is free, and the next writer owns the files.
    let heir = open(dir.path());
    let before = files(dir.path());
    let _ = store.get("a");
    assert!(files(dir.path()) == before, "a closed handle wrote to a store that another handle has open");
    drop(heir);
}

/// A full disk: bytes are written, the call fails, and the writer truncates the file. Between the
/// two, a reader reads.
#[derive(Debug)]
struct ReaderAtAFullDisk {
    dir: PathBuf,
    is_full: AtomicBool,
    seen: Mutex<Option<Value>>,
}

impl Hook for ReaderAtAFullDisk {
    fn after(&self, call: Call) -> io::Result<()> {
        if !matches!(call, Call::Write(StoreFile::Segment(_))) || !self.is_full.swap(false, Ordering::SeqCst)
        {
            return Ok(());
        }
        let reader = Store::open_with(&self.dir, quick().read_only(true)).expect("opens read-only");
        *self.seen.lock().expect("no panic") = reader.get("k").expect("reads");
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn a_value_from_a_read_only_handle_does_not_change_when_a_write_fails() {
    let dir = scratch();
    let reader = Arc::new(ReaderAtAFullDisk {
        dir: dir.path().to_owned(),
        is_full: AtomicBool::new(false),
        seen: Mutex::default(),
    });
    let options = quick().file_system(Arc::new(Hooked(Arc::clone(&reader))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("first", "1").expect("a put");
    reader.is_full.store(true, Ordering::SeqCst);
    store.put("k", "some value").expect_err("the disk is full");
    // The reader may also have seen no value.
    if let Some(value) = reader.seen.lock().expect("no panic").as_deref() {
        assert_eq!(
            value, b"some value",
            "bytes behind a shared reference changed (a page further, this is SIGBUS)"
        );
    };
}
