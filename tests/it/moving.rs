//! Operations on a clock that moves: each reads the clock once, and uses that time throughout.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logkv::{
    At, Batch, Clock, Compact, CompactionPolicy, Decision, Error, Expiry, Options, PutOptions, Seqno, Store,
    Sync,
};
use tempfile::TempDir;

use crate::common::{Random, quick, remove_derived, scratch, value, wait_until};
use crate::hooked::{Hooked, SyncGate};
use crate::recount::{Recounted, recount};

/// The movement of a clock at each reading.
#[derive(Debug)]
enum Pace {
    Still,
    /// Forward by this number of milliseconds.
    On(u64),
    /// Randomly, up to this number of milliseconds in either direction.
    Jumping(Random, u64),
}

#[derive(Debug)]
struct Hands {
    now_ms: u64,
    pace: Pace,
    /// The latest time shown since the clock began to move.
    latest_ms: u64,
}

/// A clock that can move at each reading.
#[derive(Debug)]
pub(crate) struct MovingClock(Mutex<Hands>);

impl MovingClock {
    /// A clock that stands still at `now_ms`.
    pub(crate) fn at(now_ms: u64) -> Self {
        Self(Mutex::new(Hands { now_ms, pace: Pace::Still, latest_ms: now_ms }))
    }

    /// A clock that jumps at each reading, up to `span_ms` around `now_ms`.
    pub(crate) fn jumping(now_ms: u64, seed: u64, span_ms: u64) -> Self {
        let clock = Self::at(now_ms);
        clock.jump(seed, span_ms);
        clock
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the clock at `now_ms`.
    pub(crate) fn set(&self, now_ms: u64) {
        *self.hands() = Hands { now_ms, pace: Pace::Still, latest_ms: now_ms };
    }

    /// Makes the clock advance by `step_ms` at each reading.
    pub(crate) fn run(&self, step_ms: u64) {
        self.hands().pace = Pace::On(step_ms);
    }

    /// Makes the clock jump at each reading, up to `span_ms` around its time.
    pub(crate) fn jump(&self, seed: u64, span_ms: u64) {
        self.hands().pace = Pace::Jumping(Random::seeded(seed), span_ms);
    }

    /// Stops the clock at the latest time that it showed since it began to move, and returns that
    /// time.
    pub(crate) fn settle(&self) -> u64 {
        let latest_ms = self.hands().latest_ms;
        self.set(latest_ms);
        latest_ms
    }
}

impl Clock for MovingClock {
    fn now_ms(&self) -> u64 {
        let mut hands = self.hands();
        let Hands { now_ms, pace, latest_ms } = &mut *hands;
        let shown_ms = match pace {
            Pace::Still => *now_ms,
            Pace::On(step_ms) => {
                *now_ms += *step_ms;
                *now_ms
            }
            Pace::Jumping(random, span_ms) => {
                now_ms.saturating_sub(*span_ms) + random.below(2 * *span_ms + 1)
            }
        };
        *latest_ms = shown_ms.max(*latest_ms);
        shown_ms
    }
}

/// The time of all writes.
const WRITTEN_MS: u64 = 10_000;
/// How long old versions are kept.
const KEEP_MS: u64 = 1_000;
/// The time at which the retention of old versions ends and the expiring key expires.
const OVER_MS: u64 = WRITTEN_MS + KEEP_MS;
/// More than the number of clock readings in any operation. Starting at each of this many offsets
/// puts the deadline between any two readings.
const READINGS: u64 = 48;

fn options(clock: &Arc<MovingClock>, keep_versions: u64, keep_for_ms: u64) -> Options {
    let policy = CompactionPolicy {
        automatic: false,
        keep_versions,
        keep_for: Duration::from_millis(keep_for_ms),
        expiry_grace: Duration::ZERO,
        ..CompactionPolicy::default()
    };
    quick().clock(Arc::<MovingClock>::clone(clock)).compaction(policy)
}

/// A store with the writes of `write` in one sealed segment. Its clock reaches [`OVER_MS`] at
/// reading number `reading`.
fn store(
    options: impl FnOnce(&Arc<MovingClock>) -> Options,
    write: impl FnOnce(&Store),
    reading: u64,
) -> (TempDir, Arc<MovingClock>, Store) {
    let (dir, clock) = (scratch(), Arc::new(MovingClock::at(WRITTEN_MS)));
    let store = Store::open_with(dir.path(), options(&clock)).expect("opens");
    write(&store);
    store.rotate().expect("rotates");
    clock.set(OVER_MS - reading);
    clock.run(1);
    (dir, clock, store)
}

fn fill(store: &Store) {
    for n in 0..8 {
        store.put(format!("filler {n}"), "x").expect("a put");
    }
}

fn put_then_deleted(store: &Store) {
    store.put("victim", "secret").expect("a put");
    fill(store);
    store.delete("victim").expect("a delete");
}

fn put_then_expiring(store: &Store) {
    store.put("victim", "secret").expect("a put");
    fill(store);
    let ends = PutOptions::new().expiry(Some(Expiry::At(OVER_MS)));
    store.put_with("victim", "new", ends).expect("a put");
}

/// Checks that the value does not come back when the store opens without KEYDIR and hints.
fn stays_gone(dir: &TempDir, clock: &Arc<MovingClock>, store: Store) {
    store.close().expect("closes");
    remove_derived(dir.path());
    let store = Store::open_with(dir.path(), quick().clock(Arc::<MovingClock>::clone(clock))).expect("opens");
    assert_ne!(value(&store, "victim").as_deref(), Some("secret"));
    recount(&store);
}

#[test]
fn a_deleted_key_stays_deleted_when_its_retention_ends_during_compaction() {
    for reading in 0..READINGS {
        let (dir, clock, store) = store(|clock| options(clock, 1, KEEP_MS), put_then_deleted, reading);
        store.compact_recounted(&Compact::All).expect("compacts");
        stays_gone(&dir, &clock, store);
    }
}

#[test]
fn an_expiring_put_still_hides_the_value_it_replaced_when_it_expires_during_compaction() {
    for reading in 0..READINGS {
        let (dir, clock, store) = store(|clock| options(clock, 2, 0), put_then_expiring, reading);
        store.compact_recounted(&Compact::All).expect("compacts");
        stays_gone(&dir, &clock, store);
    }
}

#[test]
fn a_dry_run_judges_a_put_and_its_delete_at_one_time() {
    for reading in 0..READINGS {
        let (_dir, _clock, store) = store(|clock| options(clock, 1, KEEP_MS), put_then_deleted, reading);
        let plan = store.compaction_plan(&Compact::All).expect("a plan");
        let mut kept = Vec::new();
        for run in &plan.runs {
            let mut tell = |decided: logkv::Decided| {
                if &*decided.key == b"victim" {
                    kept.push(matches!(decided.decision, Decision::Keep(_)));
                }
                ControlFlow::Continue(())
            };
            store.compaction_decisions(&plan, run, &mut tell).expect("lists decisions");
        }
        assert!(matches!(kept[..], [] | [true, true] | [false, false]), "{kept:?} as of {}", plan.at_ms);
    }
}

#[test]
fn compaction_backup_and_restore_stay_correct_when_the_clock_jumps() {
    let mut random = Random::announced();
    for round in 0..24 {
        let (dir, clock, store) = store(|clock| options(clock, 2, KEEP_MS), put_then_deleted, 0);
        store.put("victim", "again").expect("a put");
        put_then_expiring(&store);
        store.delete("victim").expect("a delete");
        clock.set(OVER_MS);
        clock.jump(random.next(), 2 * KEEP_MS);
        match round % 2 {
            0 => drop(store.compact_recounted(&Compact::All).expect("compacts")),
            _ => {
                // Separate segments, so that a newer segment hides what an older one keeps.
                store.rotate().expect("rotates");
                for id in crate::common::sealed(&store) {
                    store.compact_recounted(&Compact::Segments(vec![id])).expect("compacts");
                }
            }
        }
        let archive = crate::backup::archived(&store);
        let (to, copy) = (scratch(), scratch());
        crate::backup::restore_archive(&archive, &to.path().join("new")).expect("restores");
        crate::backup::back_up(&store, &copy.path().join("copy"));
        for left in [to.path().join("new"), copy.path().join("copy")] {
            let options = options(&clock, 2, KEEP_MS).read_only(true);
            let left = Store::open_with(left, options).expect("opens");
            assert_eq!(value(&left, "victim"), None);
        }
        stays_gone(&dir, &clock, store);
    }
}

/// Puts two keys that expire together.
fn twins(store: &Store) {
    let mut batch = Batch::new();
    for key in ["a", "b"] {
        batch.put_expiring(key, "twin", Expiry::At(OVER_MS));
    }
    store.write(&batch).expect("a batch");
}

#[test]
fn keys_that_expire_together_disappear_together() {
    for reading in 0..READINGS {
        let (_dir, _clock, store) = store(|clock| options(clock, 1, 0), twins, reading);
        let scanned = store.keys(..).expect("keys").count();
        assert!(scanned == 0 || scanned == 2, "a scan returned {scanned} keys, started at reading {reading}");
        let many = store.get_many(&["a", "b"]).expect("reads");
        let found = many.into_iter().filter(|value| value.as_ref().is_ok_and(Option::is_some)).count();
        assert!(found == 0 || found == 2, "a get found {found} keys, started at reading {reading}");
    }
}

#[test]
fn a_transaction_sees_its_expiring_puts_disappear_together() {
    for reading in 0..READINGS {
        let (_dir, _clock, store) = store(|clock| options(clock, 1, 0), twins, reading);
        let seen: Result<usize, Error> = store.transact(|transaction| {
            for key in ["c", "d"] {
                transaction.put_expiring(key, "twin", Expiry::At(OVER_MS));
            }
            Ok(transaction.scan(..)?.count())
        });
        let seen = seen.expect("commits");
        assert!(seen == 0 || seen == 4, "the transaction saw {seen} keys, started at reading {reading}");
    }
}

#[test]
fn keys_of_one_batch_with_equal_lifetimes_expire_together() {
    let (_dir, _clock, store) = store(|clock| options(clock, 1, 0), fill, 0);
    let mut batch = Batch::new();
    for key in ["a", "b"] {
        batch.put_expiring(key, "twin", Expiry::In(Duration::from_secs(60)));
    }
    store.write(&batch).expect("a batch");
    let end = |key| store.get_entry(key).expect("reads").expect("exists").meta.expires_ms;
    assert_eq!(end("a"), end("b"));
}

#[test]
fn a_diff_over_a_span_without_writes_is_empty() {
    for reading in 0..READINGS {
        let (_dir, _clock, store) = store(|clock| options(clock, 1, 0), twins, reading);
        let found = store.diff(At::Seq(Seqno(2)), None).expect("both are known").count();
        assert_eq!(found, 0, "started at reading {reading}");
    }
}

/// The value of `key` at time `at_ms`, or an error if it is unknown.
fn at_time(store: &Store, key: &str, at_ms: u64) -> Result<Option<Vec<u8>>, Error> {
    Ok(store.get_at(key, At::Time(at_ms))?.map(|entry| entry.value.to_vec()))
}

#[test]
fn a_time_without_records_after_a_clock_change_is_reported_as_unknown() {
    let (dir, clock) = (scratch(), Arc::new(MovingClock::at(10)));
    let store = Store::open_with(dir.path(), options(&clock, 1, 1)).expect("opens");
    let put = |key: &str, at_ms, expiry: Option<u64>| {
        clock.set(at_ms);
        let options = PutOptions::new().expiry(expiry.map(Expiry::At));
        store.put_with(key, "value", options).expect("a put");
    };
    // The clock goes back twice, so that the records after `b` are the last ones of an earlier
    // time.
    put("a", 10, None);
    put("b", 100, None);
    put("c", 50, None);
    put("c", 20, Some(25));
    clock.set(300);
    store.compact_recounted(&Compact::All).expect("compacts");
    let found = at_time(&store, "b", 30);
    assert!(matches!(found, Ok(Some(_)) | Err(Error::CompactedAway { .. })), "{found:?}");
    assert!(matches!(at_time(&store, "b", 300), Ok(Some(_))), "the present is known");
}

#[test]
fn a_delete_made_while_the_clock_was_ahead_does_not_count_for_earlier_times() {
    let (dir, clock) = (scratch(), Arc::new(MovingClock::at(10)));
    let store = Store::open_with(dir.path(), options(&clock, 1, 0)).expect("opens");
    store.put("a", "value").expect("a put");
    clock.set(20);
    store.put("d", "value").expect("a put");
    clock.set(1_000);
    store.delete("d").expect("a delete");
    clock.set(50);
    store.compact_recounted(&Compact::All).expect("compacts");
    let found = at_time(&store, "d", 60);
    assert!(matches!(found, Ok(Some(_)) | Err(Error::CompactedAway { .. })), "{found:?}");
}

#[test]
fn a_segment_that_reaches_its_age_during_a_put_is_not_sealed_while_it_syncs() {
    const AGE_MS: u64 = 60_000;
    let (dir, clock, gate) = (scratch(), Arc::new(MovingClock::at(1_000_000)), Arc::new(SyncGate::default()));
    let options = Options::new()
        .sync(Sync::Always)
        .background(false)
        .segment_age_max(Some(Duration::from_millis(AGE_MS)))
        .clock(clock.clone())
        .file_system(Arc::new(Hooked(gate.clone())));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("first", "").expect("a put");
    let before = gate.arrivals();
    gate.set_shut(true);
    std::thread::scope(|scope| {
        scope.spawn(|| store.put("second", "").expect("a put"));
        wait_until(|| gate.arrivals() > before);
        // The segment reaches its age when the next put reads the clock again.
        clock.set(1_000_000 + AGE_MS - 2);
        clock.run(1);
        scope.spawn(|| store.put("third", "").expect("a put"));
        wait_until(|| clock.hands().latest_ms >= 1_000_000 + AGE_MS);
        // `stats` gets the lock when the put waits for the running sync, or when it seals the
        // segment beside it.
        let looked = scope.spawn(|| store.stats().expect("statistics"));
        wait_until(|| looked.is_finished() || gate.arrivals() > before + 1);
        let arrivals = gate.arrivals();
        gate.set_shut(false);
        assert_eq!(arrivals, before + 1, "of two parallel syncs, one might miss a failure");
    });
    assert_eq!(store.segments().expect("segments").len(), 1);
    store.put("fourth", "").expect("a put");
    assert_eq!(store.segments().expect("segments").len(), 2);
}

#[test]
fn an_expired_record_kept_as_history_is_compacted_once() {
    let with_past = |clock: &Arc<MovingClock>| options(clock, 1, u64::MAX);
    let write = |store: &Store| {
        let ends = PutOptions::new().expiry(Some(Expiry::At(WRITTEN_MS + 1)));
        store.put_with("k", "value", ends).expect("a put");
    };
    let (_dir, _clock, store) = store(with_past, write, 0);
    let runs = |store: &Store| store.compact_recounted(&Compact::Due).expect("compacts").runs.len();
    assert_eq!([runs(&store), runs(&store)], [1, 0]);
}
