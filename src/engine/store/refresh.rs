//! Brings a read-only [`Store`] up to date.

use super::Store;
use super::view::{Refreshed, ViewRef};
use crate::engine::base::error::Result;

impl Store {
    /// Brings a read-only store up to date with its files, which another process may write.
    ///
    /// Reads then see every write acknowledged before this call, and possibly later writes, some of
    /// which a power cut would lose. Without a refresh, reads show the store as it was opened.
    /// Writes that the writer buffers under [`Sync::Buffered`](crate::Sync::Buffered) are in no
    /// file yet. Reads see a whole batch or nothing of it, and no torn write. Snapshots, scans and
    /// values keep their view. All handles switch to the new state together.
    ///
    /// A store that is open for writing is always up to date: the call does nothing, and `changed`
    /// is false.
    ///
    /// Without changes, the cost is a few microseconds at any size. Otherwise the call reads the
    /// new records and copies the list of segments. The first time, it also checks the index mapped
    /// from KEYDIR, 8 bytes a key. After a compaction, clear, restore or repair it costs as much as
    /// an open.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use logkv::{Options, Store};
    /// let writer = Store::open(dir.path())?;
    /// let reader = Store::open_with(dir.path(), Options::new().read_only(true))?;
    /// writer.put("k", "v")?;
    /// assert_eq!(reader.get("k")?, None);
    /// assert!(reader.refresh()?.changed);
    /// assert_eq!(reader.get("k")?.expect("is present"), b"v");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As a read-only [`Store::open_with`], such as [`Error::Missing`](crate::Error::Missing) if
    /// the directory is gone. Reads keep the earlier view. A damaged record is not an error; the
    /// result reports it.
    pub fn refresh(&self) -> Result<Refreshed> {
        self.0.views.refresh(&self.0.path, &self.0.options)
    }

    #[inline]
    pub(super) fn view(&self) -> ViewRef<'_> {
        self.0.views.now()
    }
}
