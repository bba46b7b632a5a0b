//! Pending records: appended but not yet visible, in log order.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::engine::base::ids::Seqno;
use crate::engine::format::record::Kind;
use crate::engine::keydir::Address;
use crate::engine::state::{Replaced, Unpublished};

/// A record that was appended to the active segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingRecord {
    pub(super) record: Unpublished,
    pub(super) seq: Seqno,
    /// Its offset in the active segment. Sealing publishes all pending records first.
    pub(super) at: u64,
    /// The position of the previous record with the same hash.
    previous: Option<u64>,
}

impl PendingRecord {
    /// Returns this record, if it is a put, as the one that a later record of the same key
    /// replaces.
    pub(super) fn as_replaced(&self) -> Option<Replaced> {
        let Unpublished { address, len, kind, expires_ms, .. } = self.record;
        (kind == Kind::Put).then_some(Replaced { address, len, expires_ms })
    }
}

/// The queue of pending records, and the newest record of each hash.
#[derive(Debug, Default)]
pub(super) struct PendingQueue {
    queue: VecDeque<PendingRecord>,
    /// The number of records that have left the queue. Positions count from the first record ever,
    /// so that they stay valid.
    popped: u64,
    newest: HashMap<u64, u64, BuildHasherDefault<IdentityHasher>>,
}

impl PendingQueue {
    /// Returns the position of the next record.
    pub(super) fn end(&self) -> u64 {
        self.popped + self.queue.len() as u64
    }

    pub(super) fn push(&mut self, record: Unpublished, seq: Seqno, at: u64) {
        let previous = self.newest.insert(record.hash, self.end());
        self.queue.push_back(PendingRecord { record, seq, at, previous });
    }

    /// Makes the newest record the end of its batch.
    pub(super) fn end_batch(&mut self) {
        if let Some(last) = self.queue.back_mut() {
            last.record.more = false;
        }
    }

    pub(super) fn with_hash(&self, hash: u64) -> impl Iterator<Item = &PendingRecord> {
        let newest = self.newest.get(&hash).copied();
        std::iter::successors(newest.and_then(|position| self.get(position)), |record| {
            record.previous.and_then(|position| self.get(position))
        })
    }

    fn get(&self, position: u64) -> Option<&PendingRecord> {
        self.queue.get(usize::try_from(position.checked_sub(self.popped)?).ok()?)
    }

    /// Removes and returns the first record, if its number is at most `last`.
    pub(super) fn pop(&mut self, last: Seqno) -> Option<Unpublished> {
        let first = *self.queue.front().filter(|first| first.seq <= last)?;
        self.queue.pop_front();
        if self.newest.get(&first.record.hash) == Some(&self.popped) {
            self.newest.remove(&first.record.hash);
        }
        self.popped += 1;
        Some(first.record)
    }

    /// Updates the addresses of replaced records that a compaction has moved. `None` means removed.
    pub(super) fn repoint(&mut self, places: &HashMap<Address, Option<Address>>) {
        for appended in &mut self.queue {
            if let Some(replaced) = &mut appended.record.replaced
                && let Some(position) = places.get(&replaced.address)
            {
                appended.record.replaced = position.map(|address| Replaced { address, ..*replaced });
            }
        }
    }

    /// Returns the first record that readers do not see.
    pub(super) fn first(&self) -> Option<&PendingRecord> {
        self.queue.front()
    }

    /// Removes the records from position `end` on.
    pub(super) fn truncate(&mut self, end: u64) {
        while self.end() > end {
            let Some(last) = self.queue.pop_back() else { return };
            match last.previous.filter(|&position| position >= self.popped) {
                Some(position) => self.newest.insert(last.record.hash, position),
                None => self.newest.remove(&last.record.hash),
            };
        }
    }
}

/// A hasher for keys that are hashes.
#[derive(Debug, Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::codec::Compressed;

    fn record(hash: u64, address: u64) -> Unpublished {
        Unpublished {
            hash,
            address: Address(address),
            len: 40,
            kind: Kind::Put,
            expires_ms: None,
            more: false,
            compressed: Compressed::default(),
            replaced: None,
        }
    }

    fn addresses(pending: &PendingQueue, hash: u64) -> Vec<u64> {
        pending.with_hash(hash).map(|appended| appended.record.address.0).collect()
    }

    #[test]
    fn records_leave_in_order_and_removed_ones_leave_no_trace() {
        let mut pending = PendingQueue::default();
        for (seq, hash) in [(1, 7), (2, 8), (3, 7), (4, 7)] {
            pending.push(record(hash, seq), Seqno(seq), seq * 40);
        }
        assert_eq!(addresses(&pending, 7), [4, 3, 1]);
        pending.truncate(3);
        assert_eq!(addresses(&pending, 7), [3, 1]);
        assert_eq!(pending.pop(Seqno(2)).map(|record| record.address), Some(Address(1)));
        assert_eq!(addresses(&pending, 7), [3]);
        assert_eq!(pending.pop(Seqno(2)).map(|record| record.address), Some(Address(2)));
        assert!(pending.pop(Seqno(2)).is_none(), "the number of the third is larger");
        pending.truncate(2);
        assert!(pending.queue.is_empty());
        assert!(addresses(&pending, 7).is_empty() && addresses(&pending, 8).is_empty());
    }
}
