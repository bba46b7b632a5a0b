//! Snapshots and ordered scans of a [`Store`].

use std::ops::RangeBounds;

use super::Store;
use crate::engine::base::error::Result;
use crate::engine::read::scan::{Keys, Scan};
use crate::engine::read::snapshot::Snapshot;

impl Store {
    /// Takes a snapshot of the store. Later writes do not change it. The cost does not depend on
    /// the size of the store.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) from writing buffered records, and
    /// [`Error::Closed`](crate::Error::Closed) in a fork of the store's process.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let (frozen, last_seq) = self.freeze()?;
        Ok(Snapshot::new(frozen, last_seq))
    }

    /// Returns the current keys of `range` in ascending byte order, as a double-ended iterator.
    /// Searches each segment for the ends of the range, and reads keys when the iterator reaches
    /// them. First sorts the keys appended to the active segment since the last scan.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// use std::ops::Bound;
    /// # for key in ["a", "b", "c"] { store.put(key, "")?; }
    /// let from_b = (Bound::Included(&b"b"[..]), Bound::Unbounded);
    /// let keys = store.keys(from_b)?.map(|entry| entry.map(|entry| entry.key.to_vec()));
    /// let keys: Vec<_> = keys.collect::<logkv::Result<_>>()?;
    /// assert_eq!(keys, [b"b", b"c"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::snapshot`].
    pub fn keys(&self, range: impl RangeBounds<[u8]>) -> Result<Keys> {
        self.snapshot()?.keys(range)
    }

    /// Returns the current keys and values of `range`, as [`Store::keys`].
    ///
    /// # Errors
    /// As [`Store::snapshot`].
    pub fn scan(&self, range: impl RangeBounds<[u8]>) -> Result<Scan> {
        self.snapshot()?.scan(range)
    }

    /// Returns the keys that start with `prefix`, in ascending byte order.
    ///
    /// # Errors
    /// As [`Store::snapshot`].
    pub fn keys_with_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Keys> {
        self.snapshot()?.keys_with_prefix(prefix)
    }

    /// Returns the keys that start with `prefix`, with their values, in ascending byte order.
    ///
    /// # Errors
    /// As [`Store::snapshot`].
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Scan> {
        self.snapshot()?.scan_prefix(prefix)
    }
}
