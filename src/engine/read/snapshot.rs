//! Snapshots of a store.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::scan::{Entry, Keys, Scan};
use crate::engine::base::cursor::Cursor;
use crate::engine::base::error::Result;
use crate::engine::base::ids::Seqno;
use crate::engine::segment::Record;
use crate::engine::segment::value::Value;
use crate::engine::state::frozen::Frozen;

/// An unchanging view of a store.
///
/// Reads see the store as it was when the snapshot was taken, whatever is written or compacted
/// later. Taking a snapshot copies no key and no part of the index. While it exists, the first
/// write to an index shard copies that shard, and compacted files still take disk space. Records
/// still expire. One call, even a whole scan, uses one time for expiry. Clones are handles to the
/// same snapshot. A snapshot stays usable after the store is closed.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let store = logkv::Store::open(dir.path())?;
/// store.put("k", "before")?;
/// let snapshot = store.snapshot()?;
/// store.put("k", "after")?;
/// assert_eq!(snapshot.get("k")?.as_deref(), Some(&b"before"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    frozen: Arc<Frozen>,
    last_seq: Seqno,
}

impl Snapshot {
    pub(crate) fn new(frozen: Frozen, last_seq: Seqno) -> Self {
        Self { frozen: Arc::new(frozen), last_seq }
    }

    /// Returns the last sequence number that the snapshot includes. The record with that number may
    /// not exist: it was compacted away, or the number was skipped after a crash.
    #[must_use]
    pub fn seq(&self) -> Seqno {
        self.last_seq
    }

    /// Returns the cursor from which [`Store::changes`](crate::Store::changes) continues after this
    /// snapshot, without gaps or repeats.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// store.put("k", "before")?;
    /// let snapshot = store.snapshot()?;
    /// store.put("k", "after")?;
    /// let change = store.changes(snapshot.cursor()).next().expect("there is a second put")?;
    /// assert_eq!(change.value.as_deref(), Some(&b"after"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { seq: self.last_seq.plus(1), lineage: Some(self.frozen.state.context.lineage) }
    }

    /// Returns the value of `key`, as [`Store::get`](crate::Store::get).
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) if the record of `key` is damaged, and
    /// [`Error::Io`](crate::Error::Io).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.frozen.find(key.as_ref())?.map(Record::into_value).transpose()
    }

    /// Returns the value of `key` with its record, as
    /// [`Store::get_entry`](crate::Store::get_entry).
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        self.frozen.find(key.as_ref())?.map(Entry::of).transpose()
    }

    /// Returns whether the snapshot holds `key`.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.frozen.find(key.as_ref())?.is_some())
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.frozen.count()
    }

    /// Returns whether the snapshot holds no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the keys of `range`, as [`Store::keys`](crate::Store::keys).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn keys(&self, range: impl RangeBounds<[u8]>) -> Result<Keys> {
        Keys::new(Arc::clone(&self.frozen), &range)
    }

    /// Returns the keys and values of `range`, as [`Store::scan`](crate::Store::scan).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn scan(&self, range: impl RangeBounds<[u8]>) -> Result<Scan> {
        Scan::new(Arc::clone(&self.frozen), &range)
    }

    /// Returns the keys that start with `prefix`, as
    /// [`Store::keys_with_prefix`](crate::Store::keys_with_prefix).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn keys_with_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Keys> {
        let end = prefix_end(prefix.as_ref());
        self.keys((Bound::Included(prefix.as_ref()), bound_before(end.as_deref())))
    }

    /// Returns the keys that start with `prefix`, with their values.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Scan> {
        let end = prefix_end(prefix.as_ref());
        self.scan((Bound::Included(prefix.as_ref()), bound_before(end.as_deref())))
    }
}

/// Returns the first key after all keys that start with `prefix`, or `None` if no key can follow.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn bound_before(end: Option<&[u8]>) -> Bound<&[u8]> {
    end.map_or(Bound::Unbounded, Bound::Excluded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_after_all_keys_with_it() {
        assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_end(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(prefix_end(b"\xff"), None);
        assert_eq!(prefix_end(b""), None);
    }
}
