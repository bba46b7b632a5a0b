//! A store with its model, and the steps that change both.

use std::collections::VecDeque;
use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use logkv::{
    Batch, Changes, Compact, Cursor, Error, Expiry, Options, Overlay, PutOptions, SegmentState, Snapshot,
    Store, repair,
};
use tempfile::TempDir;

use super::checks::{check_scan, check_within};
use super::history::{History, Retention};
use super::step::{Change, Jumps, Operation, Step};
use super::world::World;
use crate::backup;
use crate::common::{copy_of, killed, scratch};
use crate::moving::MovingClock;
use crate::recount::recount;

const START_MS: u64 = 1_000_000;

fn batch_of(changes: &[Change], life: Option<u64>) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in changes {
        match (value, life) {
            (Some(value), Some(life)) => batch.put_expiring(key, value, of_life(life)),
            (Some(value), None) => batch.put(key, value),
            (None, _) => batch.delete(key),
        };
    }
    batch
}

pub(super) fn of_life(life: u64) -> Expiry {
    Expiry::In(Duration::from_millis(life))
}

/// Whether the sum failed because the value is no number or the result is too large.
pub(super) fn is_no_sum(outcome: &logkv::Result<i64>) -> bool {
    matches!(outcome, Err(Error::NotANumber | Error::NumberOverflow { .. }))
}

/// A store and its expected contents.
pub(super) struct Pair {
    dir: TempDir,
    options: Options,
    clock: Arc<MovingClock>,
    /// `None` only while the store is replaced.
    store: Option<Store>,
    pub(super) world: World,
    /// The history of all writes.
    pub(super) history: History,
    /// A feed of new writes. `None` only while the store is replaced.
    feed: Option<Changes>,
    /// The position where the last feed ended.
    cursor: Cursor,
    /// Snapshots, each with its number of keys and its expected contents.
    pub(super) snapshots: VecDeque<(Snapshot, u64, World)>,
    /// The directory for backups.
    backups: TempDir,
    /// The newest number returned by a write.
    last_seq: u64,
}

impl Pair {
    pub(super) fn new(options: Options, retention: Retention, clock: Arc<MovingClock>) -> Self {
        clock.set(START_MS);
        let dir = scratch();
        let store = Store::open_with(dir.path(), options.clone()).expect("opens");
        let (world, history) = (World::at(START_MS), History::new(retention));
        let feed = store.changes(history.next_seq());
        let (cursor, feed, store) = (feed.cursor(), Some(feed), Some(store));
        let (snapshots, backups) = (VecDeque::new(), scratch());
        Self { dir, options, clock, store, world, history, feed, cursor, snapshots, backups, last_seq: 0 }
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().expect("is open between steps")
    }

    fn commit(&mut self, commit: Option<logkv::Commit>) {
        if let Some(commit) = commit {
            assert!(commit.first.0 > self.last_seq, "numbers increase");
            self.last_seq = commit.last.0;
        }
    }

    /// Applies a step, and records the writes that the feed returns.
    pub(super) fn step(&mut self, step: &Step) {
        self.apply(step);
        self.history.follow(self.feed.as_mut().expect("is open between steps"), &self.world);
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Put(key, value) => {
                let commit = self.store().put(key, value).expect("a put");
                self.commit(Some(commit));
                self.world.put(key, value, None);
            }
            Step::PutIfAbsent(key, value) => self.put_if(key, value, false),
            Step::PutIfPresent(key, value) => self.put_if(key, value, true),
            Step::Delete(key) => {
                let was_there = self.store().delete(key).expect("a delete");
                assert_eq!(was_there, self.world.delete(key));
            }
            Step::Operation(act) => self.act(act),
            Step::Transact(acts, goes_through) => self.transact(acts, *goes_through),
            Step::Swap(key, is_right, new) => self.swap(key, *is_right, new.as_deref()),
            Step::Batch(changes, life) => {
                let commit = self.store().write(&batch_of(changes, *life)).expect("a batch");
                self.commit(commit);
                self.change(changes, *life);
            }
            Step::Submit(changes) => {
                let submit = |change| {
                    self.store().submit(&batch_of(std::slice::from_ref(change), None)).expect("submits")
                };
                let pending: Vec<_> = changes.iter().map(submit).collect();
                for pending in pending {
                    let commit = pending.wait().expect("waits");
                    self.commit(commit);
                }
                self.change(changes, None);
            }
            Step::Scan(from, to) => self.check_scan(from, to),
            Step::Wait(millis) => self.wait(*millis),
            Step::Rotate => drop(self.store().rotate().expect("rotates")),
            Step::Compact(first, count, jumps) => self.under(*jumps, |pair| pair.compact(*first, *count)),
            Step::CompactDue(jumps) => self.under(*jumps, |pair| pair.compact_what(&Compact::Due)),
            Step::CompactAll(jumps) => self.under(*jumps, |pair| pair.compact_what(&Compact::All)),
            Step::Snapshot => self.snapshot(),
            Step::Sync => self.store().sync().expect("syncs"),
            Step::Clear => self.clear(),
            Step::LookBack(seqs, ago_ms) => {
                self.history.check_past(self.store(), self.world.now_ms, *seqs, *ago_ms);
            }
            Step::BackUp(is_directory, jumps) => self.back_up(*is_directory, *jumps),
            Step::Repair(jumps) => self.repair(*jumps),
            Step::Reopen => {
                self.stop_feed();
                self.store.take().expect("open").close().expect("closes");
                self.open();
            }
            Step::Crash => self.crash(),
        }
    }

    fn stop_feed(&mut self) {
        self.cursor = self.feed.take().expect("is open between steps").cursor();
    }

    fn crash(&mut self) {
        self.stop_feed();
        let store = self.store.take().expect("open");
        // A killed process loses writes that this policy buffers.
        store.sync().expect("syncs");
        self.dir = killed(store, self.dir.path());
        self.open();
    }

    fn clear(&mut self) {
        let counted = self.store().len();
        assert_eq!(self.store().clear().expect("clears"), counted);
        self.world.clear();
        self.history.clear(self.feed.as_mut().expect("is open between steps"), self.world.now_ms);
        assert_eq!(self.store().len(), 0);
    }

    fn put_if(&mut self, key: &[u8], value: &[u8], wants_it_there: bool) {
        let commit = match wants_it_there {
            true => self.store().put_if_present(key, value),
            false => self.store().put_if_absent(key, value),
        };
        let commit = commit.expect("a put");
        let holds = self.world.map.contains_key(key) == wants_it_there;
        assert_eq!(commit.is_some(), holds);
        self.commit(commit);
        if holds {
            self.world.put(key, value, None);
        }
    }

    fn change(&mut self, changes: &[Change], life: Option<u64>) {
        let expires_ms = life.map(|life| self.ends_after(life));
        for (key, value) in changes {
            match value {
                Some(value) => self.world.put(key, value, expires_ms),
                None => drop(self.world.delete(key)),
            }
        }
    }

    fn ends_after(&self, life: u64) -> u64 {
        self.world.now_ms.saturating_add(life)
    }

    fn act(&mut self, act: &Operation) {
        let store = self.store().clone();
        match act {
            Operation::Put(key, value) => drop(store.put(key, value).expect("a put")),
            Operation::PutExpiring(key, value, life) => {
                let options = PutOptions::new().ttl(Duration::from_millis(*life));
                assert!(store.put_with(key, value, options).expect("a put").is_some());
            }
            Operation::Delete(key) => {
                assert_eq!(store.delete(key).expect("a delete"), self.world.map.contains_key(key));
            }
            Operation::Incr(key, by) => {
                let outcome = store.incr(key, *by);
                let sum = self.world.clone().incr(key, *by);
                assert!(outcome.as_ref().ok() == sum.as_ref() && (sum.is_some() || is_no_sum(&outcome)));
            }
            Operation::Expire(key, life) => {
                let was_there = store.expire(key, of_life(*life)).expect("a put");
                assert_eq!(was_there, self.world.map.contains_key(key));
            }
            Operation::Persist(key) => {
                let would_have = store.persist(key).expect("a put");
                assert_eq!(would_have, self.world.expires_ms(key).is_some());
            }
        }
        self.apply_to_world(act);
    }

    /// Applies the operation to the model.
    fn apply_to_world(&mut self, act: &Operation) {
        match act {
            Operation::Put(key, value) => self.world.put(key, value, None),
            Operation::PutExpiring(key, value, life) => {
                let expires_ms = self.ends_after(*life);
                self.world.put(key, value, Some(expires_ms));
            }
            Operation::Delete(key) => drop(self.world.delete(key)),
            Operation::Incr(key, by) => drop(self.world.incr(key, *by)),
            Operation::Expire(key, life) => {
                let expires_ms = self.ends_after(*life);
                self.world.expire(key, expires_ms);
            }
            Operation::Persist(key) => drop(self.world.persist(key)),
        }
    }

    fn transact(&mut self, acts: &[Operation], goes_through: bool) {
        let store = self.store().clone();
        let before = self.world.clone();
        let outcome = store.transact(|transaction| {
            for act in acts {
                within(transaction, act);
                self.apply_to_world(act);
                check_within(transaction, &self.world);
            }
            if goes_through { Ok(()) } else { Err(Error::NotANumber) }
        });
        assert_eq!(outcome.is_ok(), goes_through, "{outcome:?}");
        if !goes_through {
            self.world = before;
        }
    }

    fn swap(&mut self, key: &[u8], is_right: bool, new: Option<&[u8]>) {
        let there = self.world.map.get(key).cloned();
        let expected = match (is_right, &there) {
            (true, there) => there.clone(),
            (false, Some(value)) => Some([value.as_slice(), b"x"].concat()),
            (false, None) => Some(Vec::new()),
        };
        let is_done = self.store().compare_and_swap(key, expected.as_deref(), new).expect("a swap");
        assert_eq!(is_done, is_right);
        match new {
            Some(new) if is_done => self.world.put(key, new, None),
            None if is_done => drop(self.world.delete(key)),
            _ => {}
        }
    }

    fn wait(&mut self, millis: u64) {
        let now_ms = self.world.now_ms + millis;
        self.clock.set(now_ms);
        self.advance_to(now_ms);
    }

    fn advance_to(&mut self, now_ms: u64) {
        self.world.advance_to(now_ms);
        self.snapshots.iter_mut().for_each(|(_, _, world)| world.advance_to(now_ms));
    }

    fn snapshot(&mut self) {
        if self.snapshots.len() == 3 {
            self.snapshots.pop_front();
        }
        let snapshot = self.store().snapshot().expect("a snapshot");
        self.snapshots.push_back((snapshot, self.store().len(), self.world.clone()));
    }

    fn compact(&self, first: usize, count: usize) {
        let segments = self.store().segments().expect("segments");
        let sealed = segments.iter().filter(|segment| segment.state == SegmentState::Sealed);
        let run: Vec<_> = sealed.map(|segment| segment.id).skip(first).take(count).collect();
        self.compact_what(&Compact::Segments(run));
    }

    fn compact_what(&self, what: &Compact) {
        self.store().compact_with(what, &mut |_| ControlFlow::Continue(())).expect("compacts");
    }

    /// Runs `act` while the clock jumps by up to `span_ms` at each reading. Afterwards compares the
    /// index with the files, and continues from the latest time shown.
    fn under(&mut self, Jumps { seed, span_ms }: Jumps, act: impl FnOnce(&Self)) {
        self.clock.jump(seed, span_ms);
        act(self);
        let now_ms = self.clock.settle();
        self.advance_to(now_ms);
        recount(self.store());
    }

    /// Repairs a copy of the intact store. The result must hold everything.
    fn repair(&mut self, jumps: Jumps) {
        let new = self.backups.path().join("repaired");
        // A copy as a killed process would leave it, since the writer has the directory open.
        self.store().sync().expect("syncs");
        let left = copy_of(self.dir.path());
        let options = self.options.clone();
        self.under(jumps, |_| {
            let report = repair::copy(left.path(), &new, &options, &mut |_| ControlFlow::Continue(()));
            report.expect("repairs");
        });
        let store = Store::open_with(&new, self.options.clone().read_only(true)).expect("opens");
        recount(&store);
        check_scan(&store.snapshot().expect("a snapshot"), &self.world.map, &[], &[0xff; 301]);
        drop(store);
        fs::remove_dir_all(new).expect("has permission");
    }

    /// Backs up and restores. The result must have the same contents and history.
    fn back_up(&mut self, is_directory: bool, jumps: Jumps) {
        let (copy, new) = (self.backups.path().join("copy"), self.backups.path().join("new"));
        self.under(jumps, |pair| {
            let restored = if is_directory {
                backup::back_up(pair.store(), &copy);
                backup::restore(&copy, &new)
            } else {
                backup::restore_archive(&backup::archived(pair.store()), &new)
            };
            restored.expect("restores");
        });
        let store = Store::open_with(&new, self.options.clone().read_only(true)).expect("opens");
        assert_eq!(store.len(), self.store().len());
        let cursor = self.store().snapshot().expect("a snapshot").cursor();
        assert_eq!(cursor.lineage, self.feed.as_ref().expect("is open between steps").cursor().lineage);
        let refused = store.changes(cursor).next().expect("an item").expect_err("the lineage differs");
        assert!(matches!(refused, Error::OtherLineage { .. }), "{refused}");
        check_scan(&store.snapshot().expect("a snapshot"), &self.world.map, &[], &[0xff; 301]);
        self.history.check_log(&store, self.world.now_ms);
        self.history.check_past(&store, self.world.now_ms, [u64::MAX / 2, u64::MAX], 1000);
        drop(store);
        fs::remove_dir_all(new).expect("has permission");
    }

    fn open(&mut self) {
        let store = Store::open_with(self.dir.path(), self.options.clone()).expect("opens");
        assert_eq!(store.open_report().damage, []);
        assert_eq!(store.open_report().torn, None);
        self.feed = Some(store.changes(self.cursor));
        self.store = Some(store);
        self.check_all();
    }
}

/// Applies to a transaction the operation that [`Pair::act`] applies to the store.
fn within(transaction: &mut Overlay, act: &Operation) {
    match act {
        Operation::Put(key, value) => transaction.put(key, value),
        Operation::PutExpiring(key, value, life) => transaction.put_expiring(key, value, of_life(*life)),
        Operation::Delete(key) => transaction.delete(key),
        Operation::Incr(key, by) => {
            let outcome = transaction.incr(key, *by);
            assert!(outcome.is_ok() || is_no_sum(&outcome));
        }
        Operation::Expire(key, life) => drop(transaction.expire(key, of_life(*life)).expect("reads")),
        Operation::Persist(key) => drop(transaction.persist(key).expect("reads")),
    }
}
