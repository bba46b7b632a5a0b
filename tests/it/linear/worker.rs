//! A thread that makes random calls and records them.

use std::sync::atomic::{AtomicU64, Ordering};

use logkv::{At, Batch, Commit, Error, Scan, Seqno, Snapshot, Store};

use super::history::{Call, Change, KEYS, Keys, Outcome, Write};
use crate::common::Random;

/// A clock that never shows the same time twice.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    fn now(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A thread's part of a history.
pub(crate) struct Worker<'a> {
    store: &'a Store,
    clock: &'a Clock,
    random: Random,
    calls: Vec<Call>,
    /// Snapshots to be read later, each with its invocation and return time.
    kept: Vec<(u64, u64, Snapshot)>,
}

fn name(key: usize) -> String {
    format!("key{key}")
}

/// The number in a value.
fn number_of(value: &[u8]) -> u64 {
    let digits = value.split(|&byte| byte == b':').next().expect("split returns at least one piece");
    std::str::from_utf8(digits).expect("digits").parse().expect("a number")
}

/// The state of all keys in `scan`.
pub(crate) fn state_of(scan: Scan) -> Keys {
    let mut keys = [None; KEYS];
    for entry in scan {
        let entry = entry.expect("reads");
        let key = (0..KEYS).find(|&key| name(key).as_bytes() == &*entry.meta.key);
        keys[key.expect("a known key")] = Some(number_of(&entry.value));
    }
    keys
}

impl<'a> Worker<'a> {
    pub(crate) fn new(store: &'a Store, clock: &'a Clock, random: Random) -> Self {
        Self { store, clock, random, calls: Vec::new(), kept: Vec::new() }
    }

    /// Makes `count` calls, and returns them.
    pub(crate) fn work(mut self, count: u64) -> Vec<Call> {
        for _ in 0..count {
            self.call();
            if self.kept.len() > self.random.below(20) as usize {
                self.look_back();
            }
        }
        while !self.kept.is_empty() {
            self.look_back();
        }
        self.calls
    }

    fn call(&mut self) {
        match self.random.below(21) {
            0..5 => self.read(),
            5..9 => self.put(),
            9..11 => self.delete(),
            11..13 => self.put_on_condition(),
            13..15 => self.write_batch(),
            15 => self.submit_two(),
            16..18 => self.scan(),
            18..20 => self.snapshot(),
            _ => self.transact(),
        }
    }

    fn key(&mut self) -> usize {
        self.random.below(KEYS as u64) as usize
    }

    /// A unique number: the time.
    fn value(&mut self) -> (u64, String) {
        let number = self.clock.now();
        (number, format!("{number}:{}", "v".repeat(self.random.below(100) as usize)))
    }

    /// Clears the store. No other thread compacts, so that a query of the past returns the number
    /// of the clear.
    pub(crate) fn clear(&mut self) {
        let invoked = self.clock.now();
        let count = self.store.clear().expect("clears");
        if count == 0 {
            return self.note(invoked, Outcome::Saw([None; KEYS]));
        }
        let returned = self.clock.now();
        let past = self.store.get_at("never there", At::Seq(Seqno(0)));
        let Err(Error::CompactedAway { whole_from }) = past else { panic!("{past:?} of a cleared store") };
        let (changes, deleted) = ((0..KEYS).map(|key| (key, None)).collect(), count as usize);
        let write = Write { changes, last: whole_from.0, deleted, because: None, read: Vec::new() };
        self.calls.push(Call { invoked, returned, outcome: Outcome::Wrote(write) });
    }

    /// The calls of this worker.
    pub(crate) fn calls(self) -> Vec<Call> {
        self.calls
    }

    fn note(&mut self, invoked: u64, outcome: Outcome) {
        let returned = self.clock.now();
        self.calls.push(Call { invoked, returned, outcome });
    }

    fn read(&mut self) {
        let key = self.key();
        let is_value_read = self.random.below(4) > 0;
        let invoked = self.clock.now();
        if is_value_read {
            let value = self.store.get(name(key)).expect("reads");
            self.note(invoked, Outcome::Read(key, value.map(|value| number_of(&value))));
        } else {
            let is_there = self.store.contains(name(key)).expect("reads");
            self.note(invoked, Outcome::Met(key, is_there));
        }
    }

    fn put(&mut self) {
        let (key, (number, value)) = (self.key(), self.value());
        let invoked = self.clock.now();
        let commit = self.store.put(name(key), value).expect("a put");
        self.note(invoked, wrote(vec![(key, Some(number))], commit, None));
    }

    fn delete(&mut self) {
        let key = self.key();
        let mut batch = Batch::new();
        batch.delete(name(key));
        let invoked = self.clock.now();
        match self.store.write(&batch).expect("a batch") {
            Some(commit) => self.note(invoked, wrote(vec![(key, None)], commit, Some((key, true)))),
            None => self.note(invoked, Outcome::Met(key, false)),
        }
    }

    fn put_on_condition(&mut self) {
        let (key, (number, value)) = (self.key(), self.value());
        let wants_it_there = self.random.below(2) == 0;
        let invoked = self.clock.now();
        let commit = match wants_it_there {
            true => self.store.put_if_present(name(key), value),
            false => self.store.put_if_absent(name(key), value),
        };
        match commit.expect("a put") {
            Some(commit) => {
                let because = Some((key, wants_it_there));
                self.note(invoked, wrote(vec![(key, Some(number))], commit, because));
            }
            None => self.note(invoked, Outcome::Met(key, !wants_it_there)),
        }
    }

    /// A batch with at least one put.
    fn batch(&mut self) -> (Batch, Vec<Change>) {
        let (mut batch, mut changes) = (Batch::new(), Vec::new());
        for index in 0..2 + self.random.below(4) {
            let key = self.key();
            if index > 0 && self.random.below(3) == 0 {
                batch.delete(name(key));
                changes.push((key, None));
            } else {
                let (number, value) = self.value();
                batch.put(name(key), value);
                changes.push((key, Some(number)));
            }
        }
        (batch, changes)
    }

    fn write_batch(&mut self) {
        let (batch, changes) = self.batch();
        let invoked = self.clock.now();
        let commit = self.store.write(&batch).expect("a batch").expect("writes a record");
        self.note(invoked, wrote(changes, commit, None));
    }

    /// Submits two writes, which are then pending at the same time.
    fn submit_two(&mut self) {
        let mut submitted = Vec::new();
        for _ in 0..2 {
            let (batch, changes) = self.batch();
            let invoked = self.clock.now();
            submitted.push((invoked, changes, self.store.submit(&batch).expect("submits")));
        }
        for (invoked, changes, pending) in submitted {
            let commit = pending.wait().expect("waits").expect("writes a record");
            self.note(invoked, wrote(changes, commit, None));
        }
    }

    /// Reads two keys, and writes one of them or moves a value between them.
    fn transact(&mut self) {
        let ([from, to], (number, text)) = ([self.key(), self.key()], self.value());
        let moves = self.random.below(2) == 0;
        let invoked = self.clock.now();
        let done = self.store.transact(|transaction| {
            // The transaction excludes other writes until it ends.
            let before = self.store.stats()?.last_seq.0;
            let mut read = Vec::new();
            for key in [from, to] {
                let value = transaction.get(name(key))?;
                read.push((key, value.map(|value| number_of(&value))));
            }
            transaction.put(name(to), text);
            let mut changes = vec![(to, Some(number))];
            if moves && from != to && read[0].1.is_some() {
                transaction.delete(name(from));
                changes.push((from, None));
            }
            let (last, deleted) = (before + changes.len() as u64, changes.len() - 1);
            Ok::<_, logkv::Error>(Write { changes, last, deleted, because: None, read })
        });
        self.note(invoked, Outcome::Wrote(done.expect("a transaction")));
    }

    fn scan(&mut self) {
        let invoked = self.clock.now();
        let scan = self.store.scan(..).expect("scans");
        // The moment of a scan is its creation, however long it is read.
        let returned = self.clock.now();
        self.calls.push(Call { invoked, returned, outcome: Outcome::Saw(state_of(scan)) });
    }

    fn snapshot(&mut self) {
        let invoked = self.clock.now();
        let snapshot = self.store.snapshot().expect("a snapshot");
        self.kept.push((invoked, self.clock.now(), snapshot));
    }

    /// Reads an earlier snapshot by a scan and by gets, which must agree.
    fn look_back(&mut self) {
        let index = self.random.below(self.kept.len() as u64) as usize;
        let (invoked, returned, snapshot) = self.kept.swap_remove(index);
        let seen = state_of(snapshot.scan(..).expect("scans"));
        let read = |key| snapshot.get(name(key)).expect("reads").map(|value| number_of(&value));
        assert_eq!(std::array::from_fn(read), seen);
        assert_eq!(snapshot.len(), seen.iter().flatten().count() as u64);
        self.calls.push(Call { invoked, returned, outcome: Outcome::Saw(seen) });
    }
}

fn wrote(changes: Vec<Change>, commit: Commit, because: Option<(usize, bool)>) -> Outcome {
    Outcome::Wrote(Write { changes, last: commit.last.0, deleted: commit.deleted, because, read: Vec::new() })
}
