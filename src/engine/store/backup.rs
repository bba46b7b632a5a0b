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
    /// Makes a backup in directory `to`: a new one when that is missing or empty, and the next one when it holds a backup of
    /// this store. It holds every write that was acknowledged before the call, each batch whole or not at all, and goes
    /// on beside writes and compactions. Nothing is written to the store: a read-only one can be backed up as well, as it
    /// was when it was opened.
    ///
    /// Sealed segments are hard links where the file system allows it, and copies elsewhere; the one that is written to is
    /// always a copy. Whatever is new is read and checked on the way; what an earlier backup had taken already stays. Until the
    /// new MANIFEST is in its place, durable, the earlier backup is as it was. The result is a store of its own that can be
    /// opened, read-only as long as further backups are to be put there.
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
    /// [`Error::Occupied`](crate::Error::Occupied) when `to` holds anything else, or is in the store's own directory;
    /// [`Error::Untrusted`](crate::Error::Untrusted) when it belongs to another user, unless it was opened with
    /// [`Options::trust`](crate::Options::trust);
    /// [`Error::Damaged`](crate::Error::Damaged) when a record is not as it was written: what could not be restored is no
    /// backup, and `repair` makes a store of what is intact; [`Error::Closed`](crate::Error::Closed),
    /// [`Error::Poisoned`](crate::Error::Poisoned) and [`Error::Io`](crate::Error::Io);
    /// [`Error::Cancelled`](crate::Error::Cancelled) when `observe`, which receives the progress,
    /// returned `Break`. The files in `to` are unchanged.
    pub fn backup(
        &self,
        to: impl AsRef<Path>,
        observe: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupReport> {
        backup::into_directory(&self.source()?, (self.dir(), to.as_ref()), &self.0.options, observe)
    }

    /// Writes a backup to `out`, as an archive in the format of `tar`, in one pass and a mebibyte of memory. It is not
    /// compressed: what `out` leads to may do that.
    ///
    /// # Errors
    /// As [`Store::backup`]; what was written is no backup then.
    pub fn backup_archive(
        &self,
        out: &mut dyn Write,
        observe: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupReport> {
        backup::into_archive(&self.source()?, out, &*self.0.options.clock, observe)
    }

    /// The log as it is now.
    fn source(&self) -> Result<BackupSource> {
        self.reveal()?;
        let view = self.view();
        let cut = match &self.0.log {
            Some(log) => log.cut()?,
            None => {
                let segments = view.opened.state.segments();
                let whole = |segment: &Arc<_>| (Arc::clone(segment), segment_len(segment));
                let (last_seq, history) = (view.opened.last_seq, segments.history);
                Cut { last_seq, history, segments: segments.iter().map(whole).collect() }
            }
        };
        BackupSource::new(&view.opened.state.context, cut)
    }
}

/// How long a segment of a store that nobody writes to should be.
fn segment_len(segment: &Segment) -> u64 {
    if segment.is_sealed() { segment.limit() } else { segment.len() }
}
