//! The expected contents of a store: a map with expiry times.

use std::collections::BTreeMap;

/// Live keys and values.
pub(super) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// The expected contents at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) map: Map,
    /// The expiry times of keys in the map.
    ends: BTreeMap<Vec<u8>, u64>,
    pub(super) now_ms: u64,
}

impl World {
    /// An empty store at time `now_ms`.
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

    /// Returns whether the key existed.
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

    /// Advances the time, and removes expired keys.
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

    /// Adds to a key. Returns the sum, or `None` if the value is no number or the sum overflows.
    pub(super) fn incr(&mut self, key: &[u8], by: i64) -> Option<i64> {
        let number: i64 = match self.map.get(key) {
            Some(value) => std::str::from_utf8(value).ok()?.parse().ok()?,
            None => 0,
        };
        let sum = number.checked_add(by)?;
        self.map.insert(key.into(), sum.to_string().into_bytes());
        Some(sum)
    }

    /// Sets the expiry of a key. Returns whether it exists.
    pub(super) fn expire(&mut self, key: &[u8], expires_ms: u64) -> bool {
        let is_there = self.map.contains_key(key);
        if is_there {
            self.ends.insert(key.into(), expires_ms);
        }
        is_there
    }

    /// Removes the expiry of a key. Returns whether it had one.
    pub(super) fn persist(&mut self, key: &[u8]) -> bool {
        self.ends.remove(key).is_some()
    }
}
