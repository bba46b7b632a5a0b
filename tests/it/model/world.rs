//! What a store should be: a map, in which keys may have an end.

use std::collections::BTreeMap;

/// Keys and values that are there.
pub(super) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A store as it should be, at some time.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) map: Map,
    /// When keys of the map expire.
    ends: BTreeMap<Vec<u8>, u64>,
    pub(super) now_ms: u64,
}

impl World {
    /// An empty one, at this time.
    pub(super) fn at(now_ms: u64) -> Self {
        Self { now_ms, ..Self::default() }
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8], expires_ms: Option<u64>) {
        self.map.insert(key.into(), value.into());
        match expires_ms {
            Some(expires_ms) => self.ends.insert(key.into(), expires_ms),
            None => self.ends.remove(key),
        };
    }

    /// Whether the key was there.
    pub(super) fn delete(&mut self, key: &[u8]) -> bool {
        self.ends.remove(key);
        self.map.remove(key).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.ends.clear();
        self.map.clear();
    }

    pub(super) fn expires_ms(&self, key: &[u8]) -> Option<u64> {
        self.ends.get(key).copied()
    }

    /// Time goes on, and with it what ends by then.
    pub(super) fn advance_to(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        let Self { map, ends, .. } = self;
        ends.retain(|key, expires_ms| {
            let goes_on = *expires_ms > now_ms;
            if !goes_on {
                map.remove(key);
            }
            goes_on
        });
    }

    /// The sum, if the key's value is a number and there is room for it; it is there then.
    pub(super) fn incr(&mut self, key: &[u8], by: i64) -> Option<i64> {
        let number: i64 = match self.map.get(key) {
            Some(value) => std::str::from_utf8(value).ok()?.parse().ok()?,
            None => 0,
        };
        let sum = number.checked_add(by)?;
        self.map.insert(key.into(), sum.to_string().into_bytes());
        Some(sum)
    }

    /// Whether the key is there; it ends then.
    pub(super) fn expire(&mut self, key: &[u8], expires_ms: u64) -> bool {
        let is_there = self.map.contains_key(key);
        if is_there {
            self.ends.insert(key.into(), expires_ms);
        }
        is_there
    }

    /// Whether the key had an end.
    pub(super) fn persist(&mut self, key: &[u8]) -> bool {
        self.ends.remove(key).is_some()
    }
}
