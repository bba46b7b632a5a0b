//! A [`Store`] in key order, and at one moment.

use std::ops::RangeBounds;

use super::Store;
use crate::engine::base::error::Result;
use crate::engine::read::scan::{Keys, Scan};
use crate::engine::read::snapshot::Snapshot;

impl Store {
    /// A snapshot of the store as it is now. Later writes do not change it. The cost does not depend on the store's size.
    ///
    /// # Errors
    /// What the operating system says, when writes were held back; [`Error::Closed`](crate::Error::Closed) in a fork of
    /// the store's process.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let (frozen, last_seq) = self.present()?;
        Ok(Snapshot::new(frozen, last_seq))
    }

    /// The keys of `range` in ascending byte order, from both ends, as they are now. Each segment is searched for the
    /// range's ends; then keys are read as they are asked for. What was written since somebody last asked, and is not
    /// sealed, is read and sorted first.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// use std::ops::Bound;
    /// # for key in ["a", "b", "c"] { store.put(key, "")?; }
    /// let from_b = (Bound::Included(&b"b"[..]), Bound::Unbounded);
    /// let keys: Vec<_> = store.keys(from_b)?.map(|entry| Ok(entry?.key.to_vec())).collect::<logkv::Result<_>>()?;
    /// assert_eq!(keys, [b"b", b"c"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What the operating system says.
    pub fn keys(&self, range: impl RangeBounds<[u8]>) -> Result<Keys> {
        self.snapshot()?.keys(range)
    }

    /// As [`Store::keys`], with the values.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn scan(&self, range: impl RangeBounds<[u8]>) -> Result<Scan> {
        self.snapshot()?.scan(range)
    }

    /// The keys that start with `prefix`, in ascending byte order.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn keys_with_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Keys> {
        self.snapshot()?.keys_with_prefix(prefix)
    }

    /// As [`Store::keys_with_prefix`], with the values.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Scan> {
        self.snapshot()?.scan_prefix(prefix)
    }
}
