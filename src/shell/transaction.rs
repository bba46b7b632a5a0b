//! The batch between `begin` and `commit`: what would be, seen by the commands of this shell alone.

use std::collections::BTreeMap;
use std::ops::Bound;

use logkv::Batch;

use super::report::Place;

/// Puts and deletes that wait for `commit`; the last word on a key wins.
#[derive(Debug, Default)]
pub struct Transaction {
    /// `None` deletes the key.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Where it was begun.
    pub begun: Option<Place>,
}

impl Transaction {
    /// Sets `key`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.changes.insert(key.into(), Some(value.into()));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: &[u8]) {
        self.changes.insert(key.into(), None);
    }

    /// What the batch says of `key`: its new value, `Some(None)` when it is removed, `None` when it says nothing.
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.changes.get(key).map(Option::as_deref)
    }

    /// All that it says of the keys between two bounds, in key order.
    pub fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        // BTreeMap::range panics on bounds that cross.
        let is_inside = |key: &[u8]| {
            let above = match from {
                Bound::Included(from) => key >= from,
                Bound::Excluded(from) => key > from,
                Bound::Unbounded => true,
            };
            above
                && match to {
                    Bound::Included(to) => key <= to,
                    Bound::Excluded(to) => key < to,
                    Bound::Unbounded => true,
                }
        };
        self.changes.iter().filter(|(key, _)| is_inside(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// The number of keys it changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// It, as the store takes it.
    pub fn to_batch(&self) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in &self.changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            };
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_key_wins() {
        let mut transaction = Transaction::default();
        transaction.put(b"a", b"1");
        transaction.delete(b"a");
        transaction.delete(b"b");
        transaction.put(b"b", b"2");
        assert_eq!(transaction.get(b"a"), Some(None));
        assert_eq!(transaction.get(b"b"), Some(Some(&b"2"[..])));
        assert_eq!(transaction.get(b"c"), None);
        assert_eq!((transaction.len(), transaction.to_batch().len()), (2, 2));
    }

    #[test]
    fn bounds_that_cross_hold_nothing() {
        let mut transaction = Transaction::default();
        transaction.put(b"b", b"1");
        assert_eq!(transaction.range(Bound::Included(b"z"), Bound::Excluded(b"a")), []);
        assert_eq!(transaction.range(Bound::Included(b"b"), Bound::Unbounded).len(), 1);
        assert_eq!(transaction.range(Bound::Unbounded, Bound::Excluded(b"b")), []);
    }
}
