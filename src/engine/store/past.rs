//! A [`Store`] as it was.

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
    /// Every record of `key` that is still in the log, the oldest first, each read when it is asked for.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// store.put("k", "first")?;
    /// store.put("k", "second")?;
    /// store.delete("k")?;
    /// let values: Vec<_> = store.versions("k")?.map(|version| Ok(version?.value)).collect::<logkv::Result<_>>()?;
    /// assert_eq!(values[0].as_deref(), Some(&b"first"[..]));
    /// assert_eq!(values[2], None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What the operating system says.
    pub fn versions(&self, key: impl AsRef<[u8]>) -> Result<Versions> {
        let (frozen, last_seq) = self.present()?;
        Ok(Versions::of(&frozen, last_seq, key.as_ref()))
    }

    /// The store as it was at `at`, to be read whatever happens meanwhile. A record's number costs nothing to find; a time
    /// costs a look at the header of every record that was written since.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn at(&self, at: At) -> Result<Past> {
        self.at_with(at, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`Store::at`]; passes the count of records read to `observe`, and stops if that returns
    /// `Break`.
    ///
    /// # Errors
    /// As [`Store::at`], and [`Error::Cancelled`](crate::Error::Cancelled) when `observe` returned
    /// `Break`.
    pub fn at_with(&self, at: At, observe: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<Past> {
        let (frozen, last_seq) = self.present()?;
        let now_ms = self.now_ms();
        Ok(Past::new(Arc::new(frozen), last_seq, at, now_ms, &mut Search::new(observe))?)
    }

    /// What `key` was at `at`; `None` when it was not there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// use logkv::At;
    /// let first = store.put("k", "first")?.last;
    /// store.put("k", "second")?;
    /// assert_eq!(store.get_at("k", At::Seq(first))?.expect("it was there").value, b"first");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::CompactedAway`](crate::Error::CompactedAway) or [`Error::GivenUp`](crate::Error::GivenUp) when that cannot
    /// be told any more, [`Error::Damaged`](crate::Error::Damaged), and what the operating system says.
    pub fn get_at(&self, key: impl AsRef<[u8]>, at: At) -> Result<Option<Entry>> {
        self.at(at)?.get(key)
    }

    /// What is different at `to` from what it was at `from`, by key. `None` means now. Reads every record that is still in
    /// the log.
    ///
    /// # Errors
    /// [`Error::CompactedAway`](crate::Error::CompactedAway) or [`Error::GivenUp`](crate::Error::GivenUp) when that cannot
    /// be told any more, and what the operating system says.
    pub fn diff(&self, from: At, to: Option<At>) -> Result<Differences> {
        self.diff_with(from, to, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`Store::diff`]; while it searches for the two points, it passes the count of records
    /// read to `observe`, and stops if that returns `Break`.
    ///
    /// # Errors
    /// As [`Store::diff`], and [`Error::Cancelled`](crate::Error::Cancelled) when `observe`
    /// returned `Break`.
    pub fn diff_with(
        &self,
        from: At,
        to: Option<At>,
        observe: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Differences> {
        let (frozen, last_seq) = self.present()?;
        let (frozen, mut search) = (Arc::new(frozen), Search::new(observe));
        // Both at one time: otherwise a key that expires in between would differ although nothing
        // was written.
        let now_ms = self.now_ms();
        let mut past = |at| Past::new(Arc::clone(&frozen), last_seq, at, now_ms, &mut search);
        let (from, to) = (past(from)?, past(to.unwrap_or(At::Seq(last_seq)))?);
        Differences::new(from, to)
    }

    /// A change feed: the records of the log from `from` on, a [`Cursor`] or a bare number, in log
    /// order, and those appended later. It can continue after a restart, from [`Changes::cursor`],
    /// or after a [`Snapshot`](crate::Snapshot), from its cursor. Each record is returned as
    /// written, even if it has been replaced since.
    ///
    /// Of a store that is open for writing here, what its readers see is given, and the store is open until this is dropped,
    /// too. Of one that is open read-only, whatever the writer, another process, puts into the files, within some
    /// milliseconds: its reads show the store as it was opened or last [refreshed](Store::refresh), and this what has come since. A power cut may take what is
    /// given so, until the writer has synced it; and should a write fail half-way on a full disk, what had been given of it may be
    /// taken back, and its numbers given out again.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// # use std::time::Duration;
    /// store.put("k", "first")?;
    /// let mut changes = store.changes(logkv::Seqno(1));
    /// assert_eq!(changes.next().expect("a record")?.meta.key, b"k");
    /// assert!(changes.next().is_none());
    /// store.delete("k")?;
    /// assert!(changes.wait(Duration::from_secs(1))?);
    /// assert_eq!(changes.next().expect("the next one")?.value, None);
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

    /// As [`Store::changes`], from the last `count` records on that are in the log by now. Reads the headers of the segments
    /// that it goes back through.
    ///
    /// # Errors
    /// What the operating system says, and [`Error::ManifestDamaged`](crate::Error::ManifestDamaged).
    pub fn recent_changes(&self, count: u64) -> Result<Changes> {
        self.recent_changes_with(count, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`Store::recent_changes`]; passes the count of records read to `observe`, and stops if
    /// that returns `Break`.
    ///
    /// # Errors
    /// As [`Store::recent_changes`], and [`Error::Cancelled`](crate::Error::Cancelled) when
    /// `observe` returned `Break`.
    pub fn recent_changes_with(
        &self,
        count: u64,
        observe: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Changes> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(self.changes(Seqno(0)).recent(count, &mut Search::new(observe))?)
    }

    /// What readers see now, and the number of its newest record.
    pub(super) fn present(&self) -> Result<(Frozen, Seqno)> {
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
