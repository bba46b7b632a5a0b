//! Brings a read-only [`Store`] up to date.

use super::Store;
use super::view::{Refreshed, ViewRef};
use crate::engine::base::error::Result;

impl Store {
    /// Brings a read-only store up to date with the files, to which another process may write. Reads then see every
    /// write acknowledged before this call, and maybe later writes, some of which a power cut would lose. Without
    /// it reads show the store as it was opened. Writes that the writer still buffers under
    /// [`Sync::Buffered`](crate::Sync::Buffered) are in no file yet. A batch is seen whole or not at all; an unfinished
    /// or torn write is not seen. Snapshots, scans and values keep their view. All handles switch to the new state at
    /// the same moment.
    ///
    /// A store that is open for writing is always up to date: nothing is done, and `changed` is false.
    ///
    /// If nothing changed, this takes some microseconds, at any size. Otherwise it reads the new records and copies a
    /// list of the segments; the first time it also checks the index mapped from KEYDIR, 8 bytes a key. After a
    /// compaction or a clear by the writer, a restore or a repair, it costs as much as opening.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use logkv::{Options, Store};
    /// let writer = Store::open(dir.path())?;
    /// let reader = Store::open_with(dir.path(), Options::new().read_only(true))?;
    /// writer.put("k", "v")?;
    /// assert_eq!(reader.get("k")?, None);
    /// assert!(reader.refresh()?.changed);
    /// assert_eq!(reader.get("k")?.expect("it was put"), b"v");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As a read-only [`Store::open_with`]: [`Error::Missing`](crate::Error::Missing) when the directory is gone, and so on.
    /// Reads then keep the earlier view. Damage of single records is not an error; the result reports it.
    pub fn refresh(&self) -> Result<Refreshed> {
        self.0.views.refresh(&self.0.path, &self.0.options)
    }

    /// The current view.
    #[inline]
    pub(super) fn view(&self) -> ViewRef<'_> {
        self.0.views.now()
    }
}
