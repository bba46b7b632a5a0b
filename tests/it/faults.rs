//! A file system that fails where a test wants it to, and what is told then. (Every call, in every way, fails in `simulated`.)

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{contents, files, killed, open, quick, scratch, wait_until};
use crate::hooked::{Call, Hook, Hooked, SyncGate};
use logkv::fs::StoreFile;
use logkv::{Batch, Error, Options, Store, Sync, Value};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Error(io::ErrorKind),
    /// A write that takes half of its bytes; other calls fail with EIO.
    Short,
}

/// When it goes wrong.
#[derive(Debug)]
pub(crate) struct Plan {
    fault: Fault,
    at_call: u64,
    from_then_on: bool,
    calls: AtomicU64,
    /// Whether the write under way is the short one.
    is_short: AtomicBool,
    /// Whether nothing fails any more.
    is_over: AtomicBool,
    /// The first call that failed.
    met: Mutex<Option<Call>>,
}

impl Plan {
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

    /// The fault that this call meets.
    fn next(&self, call: Call) -> Option<Fault> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let is_hit = number == self.at_call || (self.from_then_on && number > self.at_call);
        if !is_hit || self.is_over.load(Ordering::SeqCst) {
            return None;
        }
        self.met.lock().expect("no panic").get_or_insert(call);
        Some(self.fault)
    }

    /// How many calls there have been.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// The first call that failed, if one did.
    pub(crate) fn met(&self) -> Option<Call> {
        *self.met.lock().expect("no panic")
    }

    /// From now on nothing fails.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

impl Hook for Plan {
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
fn a_failed_fsync_is_not_tried_again_and_poisons_the_log_for_good() {
    let dir = scratch();
    let plan = |at_call| Plan::new(Fault::Error(io::ErrorKind::Other), at_call, false);
    // The calls before it: MANIFEST of the new store, the first segment, MANIFEST again, and two puts.
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
    assert_eq!(store.get("b").expect("reads"), None, "what is not durable is not seen");
    assert_eq!(store.get("a").expect("reads").as_deref(), Some(&b"1"[..]), "reads go on");
    for refused in
        [store.put("c", "3").map(drop), store.sync(), store.delete("a").map(drop), store.rotate().map(drop)]
    {
        assert!(matches!(refused, Err(Error::Poisoned { .. })));
    }
    assert!(store.close().is_err(), "closing says that it is not clean");
}

#[test]
fn submitted_writes_that_do_not_fit_on_the_disk_are_told_to_each_who_waits_and_the_next_ones_succeed() {
    for sync in [Sync::Always, Sync::Never] {
        let dir = scratch();
        let plan = |at_call| Plan::new(Fault::Error(io::ErrorKind::StorageFull), at_call, false);
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
        let first = lost.next().expect("three").wait();
        assert!(matches!(first, Err(Error::Io { .. })), "{first:?}");
        let kept = store.submit(Batch::new().put("d", "kept")).expect("submits");
        for pending in lost {
            let outcome = pending.wait();
            assert!(matches!(outcome, Err(Error::NotWritten { .. })), "{outcome:?}");
        }
        assert_eq!(kept.wait().expect("there is room again").map(|commit| commit.last.0), Some(2));
        store.close().expect("closes");
        let expected = [("d", "kept"), ("first", "1")];
        assert_eq!(
            contents(&open(dir.path())),
            expected.map(|(key, value)| (key.into(), value.into())).into()
        );
    }
}

/// A disk on which a write that is too long for it ends in the middle.
#[derive(Debug, Default)]
struct AlmostFull {
    /// What still fits, once it is known; nothing fits after it.
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
fn a_write_that_is_said_not_to_be_there_is_not_there_after_a_kill_although_all_of_it_was_in_the_file() {
    let dir = scratch();
    let disk = Arc::new(AlmostFull::default());
    let options = Options::new().sync(Sync::Never).file_system(Arc::new(Hooked(Arc::clone(&disk))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("first", "1").expect("a put");
    let submit = |key: &str| store.submit(Batch::new().put(key, "1")).expect("submits");
    let lost = ["lost1", "lost2"].map(submit);
    // The first of the two fits, and half of the second.
    let len = store.get_entry("first").expect("reads").expect("it is there").meta.len as usize;
    *disk.room.lock().expect("no panic") = Some(len + len / 2);
    for pending in lost {
        let outcome = pending.wait();
        assert!(matches!(outcome, Err(Error::Io { .. } | Error::NotWritten { .. })), "{outcome:?}");
    }
    let dir = killed(store, dir.path());
    assert_eq!(contents(&open(dir.path())), [(b"first".to_vec(), b"1".to_vec())].into());
}

#[test]
fn a_log_that_failed_and_was_closed_writes_nothing_when_it_is_read() {
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
        store.put("b", "2").expect("a put that is held back");
        gate.set_shut(false);
        assert!(sync.join().expect("no panic").is_err());
    });
    assert!(store.clone().close().is_err(), "it failed");
    // The lock is let go: whoever opens it now owns these files.
    let heir = open(dir.path());
    let before = files(dir.path());
    let _ = store.get("a");
    assert!(files(dir.path()) == before, "a closed handle wrote into a store that another one has open");
    drop(heir);
}

/// As a full disk does it: bytes are written, the call fails, and the writer cuts them off again. Between the two
/// somebody reads.
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
fn a_value_that_a_read_only_handle_gave_does_not_change_when_the_writers_write_fails() {
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
    // A reader that saw nothing is right, too.
    if let Some(value) = reader.seen.lock().expect("no panic").as_deref() {
        assert_eq!(value, b"some value", "bytes behind a shared reference changed (a page on: SIGBUS)");
    };
}
