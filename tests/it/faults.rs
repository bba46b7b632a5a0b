//! A file system that fails: every call of a script of operations, in every way, once or from then on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{open, scratch};
use logkv::fs::{
    Access, Directory, File, FileSystem, LockOutcome, Mapping, OsFileSystem, PathKind, StoreFile,
};
use logkv::{Batch, Error, Options, Store, Sync};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Error(io::ErrorKind),
    /// A write that takes half of its bytes; other calls fail with EIO.
    Short,
}

/// When it goes wrong.
#[derive(Debug)]
struct Plan {
    fault: Fault,
    at_call: u64,
    from_then_on: bool,
    calls: AtomicU64,
}

impl Plan {
    /// The fault that this call meets.
    fn next(&self) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let is_hit = call == self.at_call || (self.from_then_on && call > self.at_call);
        is_hit.then_some(self.fault)
    }

    fn check(&self) -> io::Result<()> {
        match self.next() {
            None => Ok(()),
            Some(Fault::Error(kind)) => Err(kind.into()),
            Some(Fault::Short) => Err(io::ErrorKind::Other.into()),
        }
    }

    fn was_met(&self) -> bool {
        self.calls.load(Ordering::SeqCst) > self.at_call
    }
}

#[derive(Clone, Debug)]
struct FaultyFileSystem(Arc<Plan>);

impl FileSystem for FaultyFileSystem {
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        OsFileSystem.kind(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.0.check()?;
        OsFileSystem.create_directory(path)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        OsFileSystem.random(bytes)
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(FaultyDirectory(OsFileSystem.open_directory(path)?, Arc::clone(&self.0))))
    }
}

#[derive(Debug)]
struct FaultyDirectory(Arc<dyn Directory>, Arc<Plan>);

impl Directory for FaultyDirectory {
    fn names(&self) -> io::Result<Vec<OsString>> {
        self.0.names()
    }

    fn open(&self, file: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        if access == Access::Create {
            self.1.check()?;
        }
        Ok(Arc::new(FaultyFile(self.0.open(file, access)?, Arc::clone(&self.1))))
    }

    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()> {
        self.1.check()?;
        self.0.rename(from, to)
    }

    fn remove(&self, file: StoreFile) -> io::Result<()> {
        self.1.check()?;
        self.0.remove(file)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.check()?;
        self.0.sync()
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        self.0.lock()
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.0.path(file)
    }
}

#[derive(Debug)]
struct FaultyFile(Arc<dyn File>, Arc<Plan>);

impl File for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        match self.1.next() {
            None => self.0.write_at(bytes, at),
            Some(Fault::Short) => self.0.write_at(&bytes[..bytes.len().div_ceil(2)], at),
            Some(Fault::Error(kind)) => Err(kind.into()),
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.1.check()?;
        self.0.truncate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.check()?;
        self.0.sync()
    }

    fn drop_cache(&self) {
        self.0.drop_cache();
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.0.map(len)
    }
}

/// One step of the script.
#[derive(Clone, Copy, Debug)]
enum Step {
    Put(&'static str, &'static str),
    Delete(&'static str),
    Batch,
    Rotate,
    Sync,
}

const SCRIPT: [Step; 12] = [
    Step::Put("a", "1"),
    Step::Put("b", "2"),
    Step::Delete("a"),
    Step::Batch,
    Step::Rotate,
    Step::Put("a", "3"),
    Step::Put("long", "a value that does not fit into what is left of this very small segment"),
    Step::Delete("b"),
    Step::Sync,
    Step::Put("b", "4"),
    Step::Batch,
    Step::Put("last", "5"),
];

type Model = BTreeMap<&'static str, &'static str>;

fn apply(step: Step, model: &mut Model) {
    match step {
        Step::Put(key, value) => drop(model.insert(key, value)),
        Step::Delete(key) => drop(model.remove(key)),
        Step::Batch => {
            model.remove("b");
            model.extend([("x", "batch"), ("y", "batch")]);
        }
        Step::Rotate | Step::Sync => {}
    }
}

fn run(step: Step, store: &Store) -> logkv::Result<()> {
    match step {
        Step::Put(key, value) => store.put(key, value).map(drop),
        Step::Delete(key) => store.delete(key).map(drop),
        Step::Batch => store.write(Batch::new().put("x", "batch").delete("b").put("y", "batch")).map(drop),
        Step::Rotate => store.rotate().map(drop),
        Step::Sync => store.sync(),
    }
}

fn contents(store: &Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let entries = store.scan(..).expect("scans").map(|entry| entry.expect("reads"));
    entries.map(|entry| (entry.meta.key.to_vec(), entry.value.to_vec())).collect()
}

fn bytes_of(model: &Model) -> BTreeMap<Vec<u8>, Vec<u8>> {
    model.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// Runs the script with the plan's fault, and checks what is seen, and what a reopen finds. Whether the fault was met.
fn try_fault(plan: Plan, sync: Sync) -> bool {
    let dir = scratch();
    let what = format!("{plan:?} under {sync:?}");
    let plan = Arc::new(plan);
    let file_system = Arc::new(FaultyFileSystem(Arc::clone(&plan)));
    let options = Options::new().sync(sync).segment_len_max(400).file_system(file_system);
    let mut model = Model::new();
    // What a reopen may find besides: the model after a step whose outcome is unknown.
    let mut maybe: Option<Model> = None;
    if let Ok(store) = Store::open_with(dir.path(), options) {
        for step in SCRIPT {
            let mut after = model.clone();
            apply(step, &mut after);
            match run(step, &store) {
                Ok(()) => model = after,
                Err(Error::OutcomeUnknown { .. }) => maybe = Some(after),
                Err(_) => {}
            }
            assert_eq!(
                contents(&store),
                bytes_of(&model),
                "{what}, after {step:?}: reads go on and see the model"
            );
        }
        // Closing may fail, too; the next open then recovers.
        let _ = store.close();
    }
    let found = contents(&open(dir.path()));
    let is_allowed = found == bytes_of(&model) || maybe.is_some_and(|maybe| found == bytes_of(&maybe));
    assert!(is_allowed, "{what}: a reopen found {found:?}, the model is {model:?}");
    plan.was_met()
}

#[test]
fn case_19_a_call_that_fails_leaves_the_old_or_the_new_and_a_reopen_agrees() {
    use io::ErrorKind::{Interrupted, Other, StorageFull};
    let faults = [Fault::Error(Other), Fault::Error(StorageFull), Fault::Error(Interrupted), Fault::Short];
    for sync in [Sync::Always, Sync::Never] {
        for fault in faults {
            for from_then_on in [false, true] {
                // An interrupted write is tried again: for ever, if it never stops.
                if from_then_on && matches!(fault, Fault::Error(Interrupted)) {
                    continue;
                }
                let met = (0..).map(|at_call| {
                    try_fault(Plan { fault, at_call, from_then_on, calls: AtomicU64::new(0) }, sync)
                });
                let count = met.take_while(|&met| met).count();
                assert!(count > 30, "only {count} calls were made to fail");
            }
        }
    }
}

#[test]
fn a_failed_fsync_is_not_tried_again_and_poisons_the_log_for_good() {
    let dir = scratch();
    let calls = |at_call| Plan {
        fault: Fault::Error(io::ErrorKind::Other),
        at_call,
        from_then_on: false,
        calls: AtomicU64::new(0),
    };
    // The calls before it: MANIFEST of the new store, the first segment, MANIFEST again, and two puts.
    let fsync_of_second_put = {
        let plan = Arc::new(calls(u64::MAX));
        let options = Options::new().file_system(Arc::new(FaultyFileSystem(Arc::clone(&plan))));
        let dir = scratch();
        let store = Store::open_with(dir.path(), options).expect("opens");
        store.put("a", "1").expect("a put");
        store.put("b", "2").expect("a put");
        plan.calls.load(Ordering::SeqCst) - 1
    };
    let options =
        Options::new().file_system(Arc::new(FaultyFileSystem(Arc::new(calls(fsync_of_second_put)))));
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
        let plan = |at_call| Plan {
            fault: Fault::Error(io::ErrorKind::StorageFull),
            at_call,
            from_then_on: false,
            calls: AtomicU64::new(0),
        };
        let calls_of_open_and_put = {
            let dir = scratch();
            let plan = Arc::new(plan(u64::MAX));
            let options =
                Options::new().sync(sync).file_system(Arc::new(FaultyFileSystem(Arc::clone(&plan))));
            let store = Store::open_with(dir.path(), options).expect("opens");
            store.put("first", "1").expect("a put");
            plan.calls.load(Ordering::SeqCst)
        };
        let file_system = Arc::new(FaultyFileSystem(Arc::new(plan(calls_of_open_and_put))));
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
        assert_eq!(contents(&open(dir.path())), bytes_of(&Model::from(expected)));
    }
}
