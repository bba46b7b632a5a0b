//! Records that are in the log and not yet seen by readers, in log order.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::engine::base::ids::Seqno;
use crate::engine::format::record::Kind;
use crate::engine::keydir::Address;
use crate::engine::state::{Replaced, Unpublished};

/// A record that was appended to the active segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appended {
    pub(super) record: Unpublished,
    pub(super) seq: Seqno,
    /// Its offset in the active segment: sealing publishes all that is pending first.
    pub(super) at: u64,
    /// The place in the queue of the record before it with the same hash.
    shadows: Option<u64>,
}

impl Appended {
    /// What a later record of the same key replaces: this one, if it is a put.
    pub(super) fn as_replaced(&self) -> Option<Replaced> {
        let Unpublished { address, len, kind, expires_ms, .. } = self.record;
        (kind == Kind::Put).then_some(Replaced { address, len, expires_ms })
    }
}

/// The queue, and for each hash in it its newest record.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queue: VecDeque<Appended>,
    /// How many records have left the queue: places are counted from the first record ever, so that they stay valid.
    gone: u64,
    newest: HashMap<u64, u64, BuildHasherDefault<AsIs>>,
}

impl Pending {
    /// The place that the next record gets.
    pub(super) fn end(&self) -> u64 {
        self.gone + self.queue.len() as u64
    }

    pub(super) fn push(&mut self, record: Unpublished, seq: Seqno, at: u64) {
        let shadows = self.newest.insert(record.hash, self.end());
        self.queue.push_back(Appended { record, seq, at, shadows });
    }

    /// Ends the batch of the newest record with it.
    pub(super) fn end_batch(&mut self) {
        if let Some(last) = self.queue.back_mut() {
            last.record.more = false;
        }
    }

    /// The records with this hash, newest first.
    pub(super) fn with_hash(&self, hash: u64) -> impl Iterator<Item = &Appended> {
        let newest = self.newest.get(&hash).copied();
        std::iter::successors(newest.and_then(|place| self.get(place)), |record| {
            record.shadows.and_then(|place| self.get(place))
        })
    }

    fn get(&self, place: u64) -> Option<&Appended> {
        self.queue.get(usize::try_from(place.checked_sub(self.gone)?).ok()?)
    }

    /// Takes the first record, if its number is at most `last`.
    pub(super) fn pop(&mut self, last: Seqno) -> Option<Unpublished> {
        let first = *self.queue.front().filter(|first| first.seq <= last)?;
        self.queue.pop_front();
        if self.newest.get(&first.record.hash) == Some(&self.gone) {
            self.newest.remove(&first.record.hash);
        }
        self.gone += 1;
        Some(first.record)
    }

    /// What records replace has moved: `places` says from where to where, `None` that it is gone.
    pub(super) fn repoint(&mut self, places: &HashMap<Address, Option<Address>>) {
        for appended in &mut self.queue {
            if let Some(replaced) = &mut appended.record.replaced
                && let Some(place) = places.get(&replaced.address)
            {
                appended.record.replaced = place.map(|address| Replaced { address, ..*replaced });
            }
        }
    }

    /// The first record that readers do not see.
    pub(super) fn first(&self) -> Option<&Appended> {
        self.queue.front()
    }

    /// Takes back the records from place `end` on.
    pub(super) fn truncate(&mut self, end: u64) {
        while self.end() > end {
            let Some(last) = self.queue.pop_back() else { return };
            match last.shadows.filter(|&place| place >= self.gone) {
                Some(place) => self.newest.insert(last.record.hash, place),
                None => self.newest.remove(&last.record.hash),
            };
        }
    }
}

/// A hasher for what is a hash already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
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
        let (address, kind) = (Address(address), Kind::Put);
        Unpublished {
            hash,
            address,
            len: 40,
            kind,
            expires_ms: None,
            more: false,
            compressed: Compressed::default(),
            replaced: None,
        }
    }

    fn addresses(pending: &Pending, hash: u64) -> Vec<u64> {
        pending.with_hash(hash).map(|appended| appended.record.address.0).collect()
    }

    #[test]
    fn records_leave_in_order_and_those_taken_back_were_never_there() {
        let mut pending = Pending::default();
        for (seq, hash) in [(1, 7), (2, 8), (3, 7), (4, 7)] {
            pending.push(record(hash, seq), Seqno(seq), seq * 40);
        }
        assert_eq!(addresses(&pending, 7), [4, 3, 1]);
        pending.truncate(3);
        assert_eq!(addresses(&pending, 7), [3, 1]);
        assert_eq!(pending.pop(Seqno(2)).map(|record| record.address), Some(Address(1)));
        assert_eq!(addresses(&pending, 7), [3]);
        assert_eq!(pending.pop(Seqno(2)).map(|record| record.address), Some(Address(2)));
        assert!(pending.pop(Seqno(2)).is_none(), "the third is not due yet");
        pending.truncate(2);
        assert!(pending.queue.is_empty());
        assert!(addresses(&pending, 7).is_empty() && addresses(&pending, 8).is_empty());
    }
}
