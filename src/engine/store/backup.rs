//! Backups of a [`Store`].

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::Store;
use crate::engine::base::error::Result;
use crate::engine::log::view::Cut;
use crate::engine::segment::Segment;
use crate::engine::tools::backup::{self, BackupProgress, BackupReport, BackupSource};

impl Store {
    /// Makes a backup in directory `to`: a new backup if `to` is missing or empty, or an update of
    /// an earlier backup of this store.
    ///
    /// The backup holds every write acknowledged before the call, and each batch whole or not at
    /// all. It runs beside writes and compactions, and writes nothing to the store. A read-only
    /// store can be backed up as it was opened.
    ///
    /// Sealed segments are hard links if the file system supports them, and copies otherwise. The
    /// active segment is always a copy. The backup reads and checks all new records, and keeps the
    /// segments of the earlier backup. The earlier backup is unchanged until the new MANIFEST is
    /// durable. The result is a store. After a write to it, it takes no further backups, so open it
    /// read-only.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// # let dir = tempfile::tempdir()?;
    /// # let (data, copy, new) = (dir.path().join("data"), dir.path().join("copy"), dir.path().join("new"));
    /// let store = logkv::Store::open(&data)?;
    /// store.put("k", "v")?;
    /// store.backup(&copy, &mut |_| ControlFlow::Continue(()))?;
    /// store.put("k", "later")?;
    /// let options = logkv::Options::new();
    /// logkv::backup::restore(&copy, &new, &options, &mut |_| ControlFlow::Continue(()))?;
    /// assert_eq!(logkv::Store::open(&new)?.get("k")?.as_deref(), Some(&b"v"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Occupied`](crate::Error::Occupied) if `to` holds other files, or is inside the
    /// store's directory; [`Error::Untrusted`](crate::Error::Untrusted) if another user owns `to`,
    /// unless [`Options::trust`](crate::Options::trust) is set;
    /// [`Error::Damaged`](crate::Error::Damaged) if a record is damaged (`repair` makes a store of
    /// the intact records); [`Error::Closed`](crate::Error::Closed),
    /// [`Error::Poisoned`](crate::Error::Poisoned) and [`Error::Io`](crate::Error::Io);
    /// [`Error::Cancelled`](crate::Error::Cancelled) if `observe`, which receives the progress,
    /// returned `Break`. The files in `to` are unchanged.
    pub fn backup(
        &self,
        to: impl AsRef<Path>,
        observe: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupReport> {
        backup::into_directory(&self.source()?, (self.dir(), to.as_ref()), &self.0.options, observe)
    }

    /// Writes a backup to `out` as a tar archive, in one pass and with 1 MiB of memory. The archive
    /// is not compressed.
    ///
    /// # Errors
    /// As [`Store::backup`]. The archive is then incomplete.
    pub fn backup_archive(
        &self,
        out: &mut dyn Write,
        observe: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupReport> {
        backup::into_archive(&self.source()?, out, &*self.0.options.clock, observe)
    }

    /// Returns the current log.
    fn source(&self) -> Result<BackupSource> {
        self.reveal()?;
        let view = self.view();
        let cut = match &self.0.log {
            Some(log) => log.cut()?,
            None => {
                let segments = view.opened.state.segments();
                let whole = |segment: &Arc<_>| (Arc::clone(segment), segment_len(segment));
                let last_seq = view.opened.last_seq;
                let history = segments.history;
                Cut { last_seq, history, segments: segments.iter().map(whole).collect() }
            }
        };
        BackupSource::new(&view.opened.state.context, cut)
    }
}

/// Returns the length that a segment of a read-only store should have.
fn segment_len(segment: &Segment) -> u64 {
    if segment.is_sealed() { segment.limit() } else { segment.len() }
}
