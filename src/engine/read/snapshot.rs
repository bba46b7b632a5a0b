//! A store as it was at one moment.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::scan::{Entry, Keys, Scan};
use crate::engine::base::cursor::Cursor;
use crate::engine::base::error::Result;
use crate::engine::base::ids::Seqno;
use crate::engine::segment::Record;
use crate::engine::segment::value::Value;
use crate::engine::state::frozen::Frozen;

/// A store as it was at one moment: reads see that moment, whatever is written, sealed and compacted meanwhile.
///
/// Making one copies no key and no part of the index, at any size; while it lives, a part of the index that is written to is
/// copied first, and files that are compacted away keep their disk space. Records still expire. One
/// call, even a whole scan, judges expiry at one time. Clones are handles to the same
/// snapshot, which stays good after the store was closed.
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

    /// The snapshot shows the effect of every record up to this number, and of none after it. No
    /// record may have the number itself: it was compacted away, or skipped after a crash.
    #[must_use]
    pub fn seq(&self) -> Seqno {
        self.last_seq
    }

    /// [`Store::changes`](crate::Store::changes) continues from here after the snapshot, without
    /// gaps or repeats.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// store.put("k", "before")?;
    /// let snapshot = store.snapshot()?;
    /// store.put("k", "after")?;
    /// let change = store.changes(snapshot.cursor()).next().expect("the second put")?;
    /// assert_eq!(change.value.as_deref(), Some(&b"after"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { seq: self.last_seq.plus(1), lineage: Some(self.frozen.state.context.lineage) }
    }

    /// As [`Store::get`](crate::Store::get).
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) when the key's record is not as it was written, and what the operating
    /// system says.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.frozen.find(key.as_ref())?.map(Record::into_value).transpose()
    }

    /// As [`Store::get_entry`](crate::Store::get_entry).
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        self.frozen.find(key.as_ref())?.map(Entry::of).transpose()
    }

    /// Whether `key` was there.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.frozen.find(key.as_ref())?.is_some())
    }

    /// The number of keys there were.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.frozen.count()
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Store::keys`](crate::Store::keys).
    ///
    /// # Errors
    /// What the operating system says.
    pub fn keys(&self, range: impl RangeBounds<[u8]>) -> Result<Keys> {
        Keys::new(Arc::clone(&self.frozen), &range)
    }

    /// As [`Store::scan`](crate::Store::scan).
    ///
    /// # Errors
    /// What the operating system says.
    pub fn scan(&self, range: impl RangeBounds<[u8]>) -> Result<Scan> {
        Scan::new(Arc::clone(&self.frozen), &range)
    }

    /// As [`Store::keys_with_prefix`](crate::Store::keys_with_prefix).
    ///
    /// # Errors
    /// What the operating system says.
    pub fn keys_with_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Keys> {
        let end = prefix_end(prefix.as_ref());
        self.keys((Bound::Included(prefix.as_ref()), bound_before(end.as_deref())))
    }

    /// As [`Store::scan_prefix`](crate::Store::scan_prefix).
    ///
    /// # Errors
    /// What the operating system says.
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Scan> {
        let end = prefix_end(prefix.as_ref());
        self.scan((Bound::Included(prefix.as_ref()), bound_before(end.as_deref())))
    }
}

/// The first key after all those that start with `prefix`; `None` when there can be none.
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
    fn the_end_of_a_prefix_is_the_next_key_without_it() {
        assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_end(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(prefix_end(b"\xff"), None);
        assert_eq!(prefix_end(b""), None);
    }
}
