//! Who waits for whom: a file system whose syncs take until the test lets them go.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use logkv::fs::StoreFile;
use logkv::{Options, Store};

use crate::common::{scratch, value};
use crate::hooked::{Call, Hook, Hooked};

/// A gate that syncs of segments have to pass.
#[derive(Debug, Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
    /// Syncs that came to the gate.
    arrivals: AtomicU64,
}

impl Gate {
    fn set_shut(&self, is_shut: bool) {
        *self.is_shut.lock().expect("no panic") = is_shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        self.arrivals.fetch_add(1, Ordering::SeqCst);
        let guard = self.is_shut.lock().expect("no panic");
        drop(self.opened.wait_while(guard, |is_shut| *is_shut).expect("no panic"));
    }

    fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::SeqCst)
    }
}

impl Hook for Gate {
    fn before(&self, call: Call) -> io::Result<()> {
        if let Call::Sync(StoreFile::Segment(_)) = call {
            self.pass();
        }
        Ok(())
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

#[test]
fn readers_and_writers_go_on_during_a_sync_and_nothing_is_seen_before_it_is_durable() {
    let dir = scratch();
    let gate = Arc::new(Gate::default());
    let options = Options::new().file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("k", "old").expect("a put");
    gate.set_shut(true);
    let before = gate.arrivals();
    std::thread::scope(|scope| {
        scope.spawn(|| store.put("k", "new").expect("a put"));
        wait_until(|| gate.arrivals() > before);
        // The sync is under way and takes until the gate opens; these calls return all the same.
        assert_eq!(value(&store, "k").as_deref(), Some("old"));
        assert_eq!(store.scan(..).expect("scans").count(), 1);
        let appended = store.submit(logkv::Batch::new().put("other", "1")).expect("submits");
        assert_eq!(value(&store, "other"), None);
        gate.set_shut(false);
        appended.wait().expect("waits");
        assert_eq!(value(&store, "other").as_deref(), Some("1"));
    });
    assert_eq!(value(&store, "k").as_deref(), Some("new"));
}

#[test]
fn writers_that_wait_at_the_same_time_share_one_sync() {
    let dir = scratch();
    let gate = Arc::new(Gate::default());
    let options = Options::new().file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("first", "").expect("a put");
    gate.set_shut(true);
    let before = gate.arrivals();
    std::thread::scope(|scope| {
        scope.spawn(|| store.put("leader", "").expect("a put"));
        wait_until(|| gate.arrivals() > before);
        for n in 0..7 {
            let store = &store;
            scope.spawn(move || store.put(format!("follower{n}"), "").expect("a put"));
        }
        // Their records are in the file, though nobody may see them yet.
        wait_until(|| store.stats().expect("stats").last_seq.0 == 9);
        gate.set_shut(false);
    });
    assert_eq!(store.len(), 9);
    assert_eq!(gate.arrivals() - before, 2, "one sync for the first, one for the seven who came meanwhile");
}
