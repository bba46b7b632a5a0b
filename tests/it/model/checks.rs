//! Comparisons of a store with its model.

use std::ops::Bound;

use logkv::{Overlay, Snapshot};

use super::pair::Pair;
use super::world::{Map, World};

impl Pair {
    pub(super) fn check_scan(&self, from: &[u8], to: &[u8]) {
        check_scan(&self.store().snapshot().expect("a snapshot"), &self.world.map, from, to);
    }

    pub(super) fn check_all(&self) {
        for (snapshot, count, world) in &self.snapshots {
            assert_eq!(snapshot.len(), *count);
            for (key, value) in &world.map {
                assert_eq!(snapshot.get(key).expect("reads").as_deref(), Some(value.as_slice()));
            }
            check_scan(snapshot, &world.map, &[], &[0xff; 301]);
        }
        self.check_gets();
        self.check_scan(&[], &[0xff; 301]);
        self.check_figures();
        self.history.check_log(self.store(), self.world.now_ms);
    }

    /// Gets each key alone, and all keys at once.
    fn check_gets(&self) {
        let keys: Vec<_> = (0..12).map(|n| vec![b'k', n]).collect();
        let many = self.store().get_many(&keys).expect("reads");
        for (key, at_once) in keys.iter().zip(many) {
            let entry = self.store().get_entry(key).expect("reads");
            assert_eq!(at_once.expect("reads"), entry.as_ref().map(|entry| entry.value.clone()));
            assert_eq!(entry.as_ref().map(|entry| &*entry.value), self.world.map.get(key).map(Vec::as_slice));
            assert_eq!(entry.and_then(|entry| entry.meta.expires_ms), self.world.expires_ms(key), "{key:?}");
        }
    }

    /// Compares the statistics with a recount. An expired key counts as live until it is compacted.
    fn check_figures(&self) {
        let stats = self.store().stats().expect("stats");
        let live: u64 = self.store().keys(..).expect("keys").map(|key| key.expect("reads").len).sum();
        assert_eq!(stats.live_len, live + stats.expired_len);
        assert_eq!(self.store().len(), self.world.map.len() as u64 + stats.expired_count);
        for segment in self.store().segments().expect("segments") {
            let totals = self.store().inspect(segment.id).expect("inspects").totals;
            let live = (totals.live_count + totals.expired_count, totals.live_len + totals.expired_len);
            let counted = (live.0, live.1, totals.tombstone_count, totals.record_count);
            let kept = (segment.live_count, segment.live_len, segment.tombstone_count, segment.record_count);
            assert_eq!(kept, counted, "the counters differ from a recount of the file");
        }
    }
}

/// Checks that a transaction sees its own writes.
pub(super) fn check_within(transaction: &mut Overlay, world: &World) {
    let pairs = transaction.scan(..).expect("scans").map(|pair| pair.expect("reads"));
    let pairs: Map = pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    assert!(pairs == world.map);
    for key in world.map.keys() {
        let found = transaction.get_with_expiry(key).expect("reads");
        assert_eq!(found.map(|(_, expires_ms)| expires_ms), Some(world.expires_ms(key)));
    }
}

/// Checks that the snapshot holds the entries of `map` from `from` to `to`, in both directions and
/// from both ends.
pub(super) fn check_scan(store: &Snapshot, map: &Map, from: &[u8], to: &[u8]) {
    let (from, to) = if from <= to { (from, to) } else { (to, from) };
    let range = (Bound::Included(from), Bound::Excluded(to));
    let expected: Vec<_> =
        map.iter().filter(|(key, _)| from <= key.as_slice() && key.as_slice() < to).collect();
    let entry = |entry: logkv::Result<logkv::Entry>| entry.expect("reads");
    let forward: Vec<_> = store.scan(range).expect("scans").map(entry).collect();
    assert!(
        forward
            .iter()
            .map(|entry| (&*entry.meta.key, &*entry.value))
            .eq(expected.iter().map(|(k, v)| (&***k, &***v)))
    );
    let backward: Vec<_> =
        store.keys(range).expect("keys").rev().map(|key| key.expect("reads").key.to_vec()).collect();
    assert!(backward.iter().eq(expected.iter().rev().map(|(key, _)| *key)));
    let mut keys = store.keys(range).expect("keys").map(|key| key.expect("reads").key.to_vec());
    let mut left = expected.iter().map(|(key, _)| (*key).clone());
    for step in 0..=expected.len() {
        let is_front = (step * 7 + from.len()) % 3 != 0;
        let pair = if is_front { (keys.next(), left.next()) } else { (keys.next_back(), left.next_back()) };
        assert_eq!(pair.0, pair.1);
    }
}
