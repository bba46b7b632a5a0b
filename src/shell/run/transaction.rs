//! The batch between `begin` and `commit`: what would be, seen by the commands of this shell alone.

use std::collections::BTreeMap;
use std::ops::Bound;

use logkv::{Batch, Error, Expiry, Store};

use crate::shell::lang::report::Place;

/// Puts and deletes that wait for `commit`; the last word on a key wins.
#[derive(Debug)]
pub struct Transaction {
    /// The store, whose clock says what has expired.
    store: Store,
    changes: BTreeMap<Vec<u8>, Change>,
    /// Where it was begun.
    pub begun: Option<Place>,
    /// Whether a line of a script has failed in it: then all of it is not what was meant.
    pub has_failed: bool,
}

/// What a key is to be; `None` deletes it.
pub type Change = Option<Put>;

/// A value that a key is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The value.
    pub value: Vec<u8>,
    /// When it expires, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

impl Transaction {
    /// One on `store`, that changes nothing yet.
    pub fn new(store: Store) -> Self {
        Self { store, changes: BTreeMap::new(), begun: None, has_failed: false }
    }

    /// Sets `key`, until `expiry`: a time from now counts from here, not from `commit`.
    pub fn put(&mut self, key: &[u8], value: &[u8], expiry: Option<Expiry>) -> Result<(), Error> {
        let expires_ms = expiry.map(|expiry| expiry.at_ms(self.store.clock_ms()));
        if expires_ms.is_some_and(|expires_ms| expires_ms > Expiry::AT_MS_MAX) {
            return Err(Error::ExpiryTooLate);
        }
        self.changes.insert(key.into(), Some(Put { value: value.into(), expires_ms }));
        Ok(())
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: &[u8]) {
        self.changes.insert(key.into(), None);
    }

    /// What the batch says of `key`: its new value, `Some(None)` when it is removed or has expired, `None` when it says
    /// nothing.
    pub fn get(&self, key: &[u8]) -> Option<Option<&Put>> {
        let change = self.changes.get(key)?;
        Some(change.as_ref().filter(|put| !is_past(put, self.store.now_ms())))
    }

    /// All that it says of the keys between two bounds, in key order.
    pub fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Vec<(Vec<u8>, Change)> {
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
        let now_ms = self.store.now_ms();
        let current = |change: &Change| change.clone().filter(|put| !is_past(put, now_ms));
        let inside = self.changes.iter().filter(|(key, _)| is_inside(key));
        inside.map(|(key, change)| (key.clone(), current(change))).collect()
    }

    /// The number of keys it changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// It, as the store takes it.
    pub fn to_batch(&self) -> Batch {
        let mut batch = Batch::new();
        for (key, change) in &self.changes {
            match change {
                Some(Put { value, expires_ms: None }) => batch.put(key, value),
                Some(Put { value, expires_ms: Some(at_ms) }) => {
                    batch.put_expiring(key, value, Expiry::At(*at_ms))
                }
                None => batch.delete(key),
            };
        }
        batch
    }
}

fn is_past(put: &Put, now_ms: u64) -> bool {
    put.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use logkv::{ManualClock, Options};
    use tempfile::TempDir;

    use super::*;

    fn begun(clock: ManualClock) -> (TempDir, Arc<ManualClock>, Transaction) {
        let (dir, clock) = (tempfile::tempdir().expect("a directory can be made"), Arc::new(clock));
        let options = Options::new().clock(clock.clone());
        let store = Store::open_with(dir.path(), options).expect("a store can be made");
        (dir, clock, Transaction::new(store))
    }

    #[test]
    fn the_last_word_on_a_key_wins() {
        let (_dir, _, mut transaction) = begun(ManualClock::at(1000));
        transaction.put(b"a", b"1", None).expect("it can be kept");
        transaction.delete(b"a");
        transaction.delete(b"b");
        transaction.put(b"b", b"2", None).expect("it can be kept");
        assert_eq!(transaction.get(b"a"), Some(None));
        assert_eq!(transaction.get(b"b"), Some(Some(&Put { value: b"2".to_vec(), expires_ms: None })));
        assert_eq!(transaction.get(b"c"), None);
        assert_eq!((transaction.len(), transaction.to_batch().len()), (2, 2));
    }

    #[test]
    fn a_put_that_expires_before_commit_is_seen_as_gone_from_then_on() {
        let (_dir, clock, mut transaction) = begun(ManualClock::at(1000));
        transaction.put(b"a", b"1", Some(Expiry::In(Duration::from_millis(500)))).expect("it can be kept");
        assert_eq!(transaction.get(b"a").flatten().and_then(|put| put.expires_ms), Some(1500));
        let all = |transaction: &Transaction| transaction.range(Bound::Unbounded, Bound::Unbounded);
        assert!(all(&transaction)[0].1.is_some());
        clock.set(1500);
        assert_eq!(transaction.get(b"a"), Some(None));
        assert_eq!(all(&transaction), [(b"a".to_vec(), None)]);
    }

    #[test]
    fn bounds_that_cross_hold_nothing() {
        let (_dir, _, mut transaction) = begun(ManualClock::at(1000));
        transaction.put(b"b", b"1", None).expect("it can be kept");
        assert_eq!(transaction.range(Bound::Included(b"z"), Bound::Excluded(b"a")), []);
        assert_eq!(transaction.range(Bound::Included(b"b"), Bound::Unbounded).len(), 1);
        assert_eq!(transaction.range(Bound::Unbounded, Bound::Excluded(b"b")), []);
    }
}
