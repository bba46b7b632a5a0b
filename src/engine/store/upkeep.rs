//! What keeps a [`Store`] small, and its figures.

use std::ops::ControlFlow;

use super::Store;
use super::view::View;
use crate::engine::base::error::Result;
use crate::engine::metrics::Metrics;
use crate::engine::metrics::stats::{MemoryStats, SegmentStats, Stats};
use crate::engine::segment::{Expired, file};
use crate::engine::upkeep::compaction::{
    Compact, CompactionEvent, CompactionPlan, CompactionReport, CompactionRun, Decided, RunReport, Tallies,
};

impl Store {
    /// What a compaction would take, and why. Looks at figures, and at the headers of records where one may have expired.
    ///
    /// # Errors
    /// What the operating system says,
    /// [`Error::NoSuchSegment`](crate::Error::NoSuchSegment) and
    /// [`Error::NotCompactable`](crate::Error::NotCompactable) for segments that were named.
    pub fn compaction_plan(&self, what: &Compact) -> Result<CompactionPlan> {
        self.reveal()?;
        self.view().compactor.plan(what)
    }

    /// Reports what a compaction would do with each record of `run`, one of `plan`'s runs, in log
    /// order. Reads and checks the run's segments, and changes nothing. It judges at
    /// [`CompactionPlan::at_ms`].
    ///
    /// # Errors
    /// [`Error::NoSuchSegment`](crate::Error::NoSuchSegment), [`Error::Damaged`](crate::Error::Damaged),
    /// [`Error::Cancelled`](crate::Error::Cancelled) when `tell` returned `Break`, and [`Error::Io`](crate::Error::Io).
    pub fn compaction_decisions(
        &self,
        plan: &CompactionPlan,
        run: &CompactionRun,
        tell: &mut dyn FnMut(Decided) -> ControlFlow<()>,
    ) -> Result<Tallies> {
        self.reveal()?;
        self.view().compactor.decisions(run, plan.at_ms, tell)
    }

    /// Compacts, and returns when the compaction is done. Reads go on, and writes pause for moments
    /// only. Needs disk space for the output of one run, at most 64 MiB or one segment, before it
    /// frees any.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// for round in 0..10 {
    ///     store.put("counter", round.to_string())?;
    /// }
    /// let report = store.compact(&logkv::Compact::All)?;
    /// assert_eq!(report.runs[0].records.replaced.count, 9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged): a record of a segment that was named is not as it was written. Of others
    /// that is no error: [`CompactionReport::left`] tells of them. [`Error::ReadOnly`](crate::Error::ReadOnly),
    /// [`Error::Closed`](crate::Error::Closed), [`Error::Poisoned`](crate::Error::Poisoned),
    /// [`Error::Full`](crate::Error::Full) and [`Error::Io`](crate::Error::Io): nothing of the run was changed, and
    /// runs that were done before stay done. [`Error::NotWritten`](crate::Error::NotWritten): the outcome is unknown,
    /// and nothing is lost.
    pub fn compact(&self, what: &Compact) -> Result<CompactionReport> {
        self.compact_with(what, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`Store::compact`]; tells `observe` how it goes, often enough for a progress bar, and stops, without a trace of the
    /// run at hand, when that returns `Break`. `observe` may close the store, which stops it, too.
    ///
    /// # Errors
    /// As [`Store::compact`]; [`Error::Cancelled`](crate::Error::Cancelled) when `observe` said so before the last run was
    /// committed: those that were done before stay done, each told by [`CompactionEvent::Done`].
    /// [`Error::WithinCompaction`](crate::Error::WithinCompaction) for a compaction that `observe` itself asks for.
    pub fn compact_with(
        &self,
        what: &Compact,
        observe: &mut dyn FnMut(CompactionEvent<'_>) -> ControlFlow<()>,
    ) -> Result<CompactionReport> {
        self.reveal()?;
        self.view().compactor.compact(what, observe)
    }

    /// The runs of background compaction since the last call: the oldest first, and at most the last thousand.
    /// Takes no disk access.
    #[must_use]
    pub fn background_compactions(&self) -> Vec<RunReport> {
        self.view().compactor.take_unasked()
    }

    /// The time by the store's clock, in milliseconds since 1970: what expires is gone when it comes to that. It never goes
    /// back while the store is open.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.view().opened.state.now_ms()
    }

    /// The present reading of the store's clock, in milliseconds since 1970. A time to live counts
    /// from it. It may be behind [`Store::now_ms`] if the clock was set back.
    #[must_use]
    pub fn clock_ms(&self) -> u64 {
        self.0.options.clock.now_ms()
    }

    /// Figures of the whole store. Costs a pass over the segments; and over the headers of the records of those in which
    /// something has expired, or, the first time after the store was opened, may have.
    ///
    /// # Errors
    /// What the operating system says, when writes were held back.
    pub fn stats(&self) -> Result<Stats> {
        self.stats_of(&self.view())
    }

    fn stats_of(&self, view: &View) -> Result<Stats> {
        let segments = self.segments_of(view)?;
        let expired = self.expired(view)?;
        let (last_seq, durable_seq) = match &self.0.log {
            Some(log) => log.progress().map(|(last, durable)| (last, Some(durable)))?,
            None => (view.opened.last_seq, None),
        };
        Ok(Stats {
            last_seq,
            durable_seq,
            key_count: view.opened.state.keydir.count(),
            keydir_len: view.opened.state.keydir.memory_len(),
            damage_count: view.opened.report.damage.len() as u64,
            expired_count: expired.count,
            expired_len: expired.len,
            ..Stats::sum(&segments)
        })
    }

    /// What the store takes of memory now. Looks at figures alone.
    #[must_use]
    pub fn memory(&self) -> MemoryStats {
        let view = self.view();
        let keydir = &view.opened.state.keydir;
        let (keydir_len, keydir_mapped_len) = (keydir.memory_len(), keydir.mapped_len());
        let keydir_used_len = keydir.used_len();
        let mut memory =
            MemoryStats { keydir_len, keydir_mapped_len, keydir_used_len, ..MemoryStats::default() };
        for segment in view.opened.state.segments().iter() {
            let (hint_len, order_len) = segment.order_len();
            memory.hint_mapped_len += hint_len;
            memory.order_len += order_len;
            memory.segment_mapped_len += segment.mapped_len();
        }
        memory
    }

    /// What the store has done since it was opened, and what it is now. Costs what [`Store::stats`] does.
    ///
    /// # Errors
    /// As [`Store::stats`].
    pub fn metrics(&self) -> Result<Metrics> {
        let view = self.view();
        Ok(Metrics::of(&view.opened.state.meter, self.stats_of(&view)?, view.opened.report.took))
    }

    /// Removes every key; how many there were. All of them or, when it fails, none; a crash leaves all or none, too. Snapshots
    /// and scans go on showing what they showed, and a feed of [`changes`](Store::changes) tells that everything up to here is
    /// gone. It takes as long as removing the files: nothing is written for a key.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// store.put("a", "1")?;
    /// store.put("b", "2")?;
    /// assert_eq!(store.clear()?, 2);
    /// assert!(store.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::rotate`], and [`Error::WithinTransaction`](crate::Error::WithinTransaction) and
    /// [`Error::WithinCompaction`](crate::Error::WithinCompaction) in the thread of one:
    /// nothing was changed. [`Error::NotWritten`](crate::Error::NotWritten): the next open finds everything, or nothing.
    pub fn clear(&self) -> Result<u64> {
        let _held = self.0.transaction_lock.shared()?;
        self.view().compactor.clear()
    }

    /// What has expired by now and was not compacted away.
    fn expired(&self, view: &View) -> Result<Expired> {
        let (state, now_ms) = (&view.opened.state, self.now_ms());
        state.segments().iter().try_fold(Expired::default(), |sum, segment| {
            let Expired { count, len } = state.expired(segment, now_ms)?;
            Ok(Expired { count: sum.count + count, len: sum.len + len })
        })
    }

    /// Figures of each segment, in log order.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn segments(&self) -> Result<Vec<SegmentStats>> {
        self.segments_of(&self.view())
    }

    fn segments_of(&self, view: &View) -> Result<Vec<SegmentStats>> {
        self.reveal()?;
        let hinted = file::hinted(&*view.opened.directory)?.into_iter().collect();
        let figures = |active| {
            let segments = view.opened.state.segments();
            segments.iter().map(|segment| SegmentStats::of(segment, active, &hinted)).collect()
        };
        match &self.0.log {
            Some(log) => log.while_at_rest(figures),
            None => Ok(figures(view.opened.unsealed)),
        }
    }
}
