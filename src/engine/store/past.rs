//! History and change feeds of a [`Store`].

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Store;
use crate::engine::base::cursor::Cursor;
use crate::engine::base::error::Result;
use crate::engine::base::ids::Seqno;
use crate::engine::base::stop::Search;
use crate::engine::read::changes::Changes;
use crate::engine::read::history::diff::Differences;
use crate::engine::read::history::{At, Past, Versions};
use crate::engine::read::scan::Entry;
use crate::engine::state::frozen::Frozen;

impl Store {
    /// Returns the records of `key` that are still in the log, oldest first. The iterator reads
    /// each record when it reaches it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// store.put("k", "first")?;
    /// store.put("k", "second")?;
    /// store.delete("k")?;
    /// let values = store.versions("k")?.map(|version| version.map(|version| version.value));
    /// let values: Vec<_> = values.collect::<logkv::Result<_>>()?;
    /// assert_eq!(values[0].as_deref(), Some(&b"first"[..]));
    /// assert_eq!(values[2], None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn versions(&self, key: impl AsRef<[u8]>) -> Result<Versions> {
        let (frozen, last_seq) = self.freeze()?;
        Ok(Versions::of(&frozen, last_seq, key.as_ref()))
    }

    /// Returns the store as it was at `at`. Later writes do not change it. Finding a sequence
    /// number costs nothing. Finding a time reads the header of every record written after it.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn at(&self, at: At) -> Result<Past> {
        self.at_with(at, &mut |_| ControlFlow::Continue(()))
    }

    /// Works as [`Store::at`], passes the number of records read to `observe`, and stops if
    /// `observe` returns `Break`.
    ///
    /// # Errors
    /// As [`Store::at`], and [`Error::Cancelled`](crate::Error::Cancelled) if `observe` returned
    /// `Break`.
    pub fn at_with(&self, at: At, observe: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<Past> {
        let (frozen, last_seq) = self.freeze()?;
        let now_ms = self.now_ms();
        Ok(Past::new(Arc::new(frozen), last_seq, at, now_ms, &mut Search::new(observe))?)
    }

    /// Returns the entry of `key` at `at`, or `None` if the key was absent.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// use logkv::At;
    /// let first = store.put("k", "first")?.last;
    /// store.put("k", "second")?;
    /// assert_eq!(store.get_at("k", At::Seq(first))?.expect("was present").value, b"first");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::CompactedAway`](crate::Error::CompactedAway) or
    /// [`Error::GivenUp`](crate::Error::GivenUp) if the history of `key` is incomplete,
    /// [`Error::Damaged`](crate::Error::Damaged), and [`Error::Io`](crate::Error::Io).
    pub fn get_at(&self, key: impl AsRef<[u8]>, at: At) -> Result<Option<Entry>> {
        self.at(at)?.get(key)
    }

    /// Returns the keys that differ between `from` and `to`, in ascending byte order. `None` as
    /// `to` means now. Reads every record that is still in the log.
    ///
    /// # Errors
    /// [`Error::CompactedAway`](crate::Error::CompactedAway) or
    /// [`Error::GivenUp`](crate::Error::GivenUp) if the history is incomplete, and
    /// [`Error::Io`](crate::Error::Io).
    pub fn diff(&self, from: At, to: Option<At>) -> Result<Differences> {
        self.diff_with(from, to, &mut |_| ControlFlow::Continue(()))
    }

    /// Works as [`Store::diff`]. While it searches for the two points, it passes the number of
    /// records read to `observe`, and stops if `observe` returns `Break`.
    ///
    /// # Errors
    /// As [`Store::diff`], and [`Error::Cancelled`](crate::Error::Cancelled) if `observe` returned
    /// `Break`.
    pub fn diff_with(
        &self,
        from: At,
        to: Option<At>,
        observe: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Differences> {
        let (frozen, last_seq) = self.freeze()?;
        let frozen = Arc::new(frozen);
        let mut search = Search::new(observe);
        // Both points use one time: otherwise a key that expires in between would differ without a
        // write.
        let now_ms = self.now_ms();
        let mut past = |at| Past::new(Arc::clone(&frozen), last_seq, at, now_ms, &mut search);
        let from = past(from)?;
        let to = past(to.unwrap_or(At::Seq(last_seq)))?;
        Differences::new(from, to)
    }

    /// Returns a change feed: the records of the log from `from` on, in log order, and new records
    /// as they are appended. `from` is a [`Cursor`] or a sequence number. A feed can continue after
    /// a restart, from [`Changes::cursor`], or after a [`Snapshot`](crate::Snapshot), from its
    /// cursor. Each record is returned as written, even if a later one replaced it.
    ///
    /// If the store is open for writing, the feed returns what readers of the store see, and keeps
    /// the store open. If the store is read-only, the feed returns what the writer, another
    /// process, has written to the files, within milliseconds and without a
    /// [refresh](Store::refresh). A power cut may lose such records until the writer syncs them. If
    /// a write fails halfway on a full disk, its records may disappear again, and later records may
    /// have their numbers.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// # use std::time::Duration;
    /// store.put("k", "first")?;
    /// let mut changes = store.changes(logkv::Seqno(1));
    /// assert_eq!(changes.next().expect("has a record")?.meta.key, b"k");
    /// assert!(changes.next().is_none());
    /// store.delete("k")?;
    /// assert!(changes.wait(Duration::from_secs(1))?);
    /// assert_eq!(changes.next().expect("has another record")?.value, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn changes(&self, from: impl Into<Cursor>) -> Changes {
        let from = from.into();
        match &self.0.log {
            Some(log) => Changes::of_log(Arc::clone(&self.view().opened.state), Arc::clone(log), from),
            None => Changes::of_files(&self.view().opened.state.context, from),
        }
    }

    /// Returns a change feed that starts with the last `count` records of the log. Reads the record
    /// headers of the segments that hold them.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) and
    /// [`Error::ManifestDamaged`](crate::Error::ManifestDamaged).
    pub fn recent_changes(&self, count: u64) -> Result<Changes> {
        self.recent_changes_with(count, &mut |_| ControlFlow::Continue(()))
    }

    /// Works as [`Store::recent_changes`], passes the number of records read to `observe`, and
    /// stops if `observe` returns `Break`.
    ///
    /// # Errors
    /// As [`Store::recent_changes`], and [`Error::Cancelled`](crate::Error::Cancelled) if `observe`
    /// returned `Break`.
    pub fn recent_changes_with(
        &self,
        count: u64,
        observe: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Changes> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(self.changes(Seqno(0)).recent(count, &mut Search::new(observe))?)
    }

    /// Freezes the current state. Returns it with the number of its newest record.
    pub(super) fn freeze(&self) -> Result<(Frozen, Seqno)> {
        self.reveal()?;
        match &self.0.log {
            Some(log) => log.freeze(),
            None => {
                let view = self.view();
                Ok((view.opened.state.freeze(), view.opened.last_seq))
            }
        }
    }
}
