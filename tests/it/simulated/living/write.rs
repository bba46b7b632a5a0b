//! Writes, recorded before they are issued and when they are acknowledged.

use std::sync::Arc;

use logkv::{Batch, Commit, Error, Expiry, Op, Store, Sync};

use super::Living;
use crate::simulated::life::{Map, Moment};
use crate::simulated::look::Trouble;
use crate::simulated::plan::{Change, end_of, key};

impl Living {
    /// Records that `changes` will be issued.
    fn issue(&mut self, changes: &[Change]) -> Batch {
        let Moment { map, last_seq } = self.life.moments[self.mark.issued].clone();
        let (mut map, mut batch) = (Map::clone(&map), Batch::new());
        for (place, (number, len)) in changes.iter().enumerate() {
            let key = key(*number);
            match len {
                Some(len) => {
                    // Each value of a life is unique.
                    let mut value =
                        format!("{:x}.{}.{place}:", self.life.start.seed, self.life.moments.len());
                    value.extend(std::iter::repeat_n('v', *len as usize));
                    match end_of(*len) {
                        Some(at_ms) => batch.put_expiring(&key, &value, Expiry::At(at_ms)),
                        None => batch.put(&key, &value),
                    };
                    map.insert(key, value.into_bytes());
                }
                None => {
                    batch.delete(&key);
                    map.remove(&key);
                }
            }
        }
        self.expect(Moment { map: Arc::new(map), last_seq });
        batch
    }

    /// Records that `moment` will be issued.
    fn expect(&mut self, moment: Moment) {
        self.life.moments.push(moment);
        self.mark.issued = self.life.moments.len() - 1;
        self.take_mark();
    }

    /// Clears the store. Afterwards it is empty, or unchanged with every acknowledged write.
    pub(super) fn clear(&mut self) -> Result<(), Trouble> {
        let Moment { map, last_seq } = self.life.moments[self.mark.issued].clone();
        self.expect(Moment { map: Arc::default(), last_seq });
        match self.store().clear() {
            Ok(count) if count != map.len() as u64 => {
                Err(format!("{} keys existed, but {count} were cleared", map.len()).into())
            }
            Ok(_) => {
                self.mark.acknowledged = self.mark.issued;
                self.all_durable(|_| Ok(()))
            }
            // The contents stay visible, and the next open finds them or nothing.
            Err(error @ Error::NotWritten { .. }) => {
                self.expect(Moment { map, last_seq });
                self.check_poisoned()?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Records that moment `at` was acknowledged.
    pub(super) fn acknowledge(&mut self, at: usize, commit: Option<Commit>) -> Result<(), Trouble> {
        self.mark.acknowledged = at;
        match self.life.setting.sync {
            Sync::Always => (self.mark.durable, self.mark.written) = (at, at),
            Sync::Every(_) | Sync::Never => self.mark.written = at,
            Sync::Buffered(_) => {}
        }
        if let Some(commit) = commit {
            let before = self.life.moments[at - 1].last_seq;
            if commit.first.0 <= before {
                return Err(format!("number {} follows {before}", commit.first).into());
            }
            self.life.moments[at..].iter_mut().for_each(|moment| moment.last_seq = commit.last.0);
            if let Some((before, last)) = self.commits.last()
                && last.location.segment != commit.location.segment
            {
                // The record is in a sealed segment, and sealing syncs.
                self.mark.durable = self.mark.durable.max(*before);
                self.mark.written = self.mark.written.max(*before);
            }
            self.commits.push((at, commit));
        }
        self.take_mark();
        Ok(())
    }

    pub(super) fn write(
        &mut self,
        changes: &[Change],
        write: impl FnOnce(&Store, &Batch) -> logkv::Result<Option<Commit>>,
    ) -> Result<(), Trouble> {
        let batch = self.issue(changes);
        let commit = write(self.store(), &batch)?;
        self.acknowledge(self.mark.issued, commit)
    }

    /// Checks that a cancelled transaction leaves nothing.
    pub(super) fn refrain(&mut self, changes: &[Change]) -> Result<(), Trouble> {
        let mut batch = Batch::new();
        for (number, _) in changes {
            batch.put(key(*number), "cancelled");
        }
        match transact(self.store(), &batch, false) {
            Err(Error::WithinTransaction) => self.is_as_expected(),
            outcome => outcome.map(drop).map_err(Trouble::from),
        }
    }

    pub(super) fn delete(&mut self, number: u64) -> Result<(), Trouble> {
        let was_there = self.now().contains_key(&key(number));
        self.issue(&[(number, None)]);
        match self.store().delete(key(number))? {
            was_deleted if was_deleted == was_there => self.acknowledge(self.mark.issued, None),
            was_deleted => {
                Err(format!("the key existed: {was_there}, and the delete returned {was_deleted}").into())
            }
        }
    }

    pub(super) fn submit(&mut self, changes: &[Change]) -> Result<(), Trouble> {
        let mut waiting = Vec::new();
        let mut refusal = None;
        for change in changes {
            let batch = self.issue(std::slice::from_ref(change));
            match self.store().submit(&batch) {
                Ok(pending) => waiting.push((self.mark.issued, pending)),
                Err(error) => {
                    refusal = Some(error);
                    break;
                }
            }
        }
        if let (Sync::Always, Some((number, Some(_))), None) =
            (self.life.setting.sync, changes.last(), &refusal)
            && let Ok(seen) = self.store().get(key(*number))
            // A value that was visible must survive.
            && seen.as_deref() == self.now().get(&key(*number)).map(Vec::as_slice)
        {
            self.mark.durable = self.mark.issued;
            self.take_mark();
        }
        let mut outcomes: Vec<_> = waiting.into_iter().map(|(at, pending)| (at, pending.wait())).collect();
        outcomes.extend(refusal.map(|error| (self.mark.issued, Err(error))));
        self.record_in_order(outcomes)
    }
}

/// Applies `batch` in a transaction, which commits or is cancelled.
pub(super) fn transact(store: &Store, batch: &Batch, goes_through: bool) -> logkv::Result<Option<Commit>> {
    store.transact(|transaction| {
        for op in batch.iter() {
            match op {
                Op::Put { key, value, expiry: Some(expiry) } => transaction.put_expiring(key, value, expiry),
                Op::Put { key, value, expiry: None } => transaction.put(key, value),
                Op::Delete { key } => transaction.delete(key),
            }
        }
        if goes_through { Ok(None) } else { Err(Error::WithinTransaction) }
    })
}
