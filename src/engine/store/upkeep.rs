//! Compaction, statistics and clearing of a [`Store`].

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
    /// Returns the segments that a compaction would rewrite, with the reasons. Reads counters, and
    /// record headers only in segments where a record may have expired.
    ///
    /// # Errors
    /// [`Error::NoSuchSegment`](crate::Error::NoSuchSegment) and
    /// [`Error::NotCompactable`](crate::Error::NotCompactable) for a named segment, and
    /// [`Error::Io`](crate::Error::Io).
    pub fn compaction_plan(&self, what: &Compact) -> Result<CompactionPlan> {
        self.reveal()?;
        self.view().compactor.plan(what)
    }

    /// Passes to `report`, in log order, what a compaction would do with each record of `run`,
    /// which is one of `plan`'s runs. Reads and checks the segments of the run, and changes
    /// nothing. Uses [`CompactionPlan::at_ms`] for expiry.
    ///
    /// # Errors
    /// [`Error::NoSuchSegment`](crate::Error::NoSuchSegment),
    /// [`Error::Damaged`](crate::Error::Damaged), [`Error::Cancelled`](crate::Error::Cancelled) if
    /// `report` returned `Break`, and [`Error::Io`](crate::Error::Io).
    pub fn compaction_decisions(
        &self,
        plan: &CompactionPlan,
        run: &CompactionRun,
        report: &mut dyn FnMut(Decided) -> ControlFlow<()>,
    ) -> Result<Tallies> {
        self.reveal()?;
        self.view().compactor.decisions(run, plan.at_ms, report)
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
    /// [`Error::Damaged`](crate::Error::Damaged) if a record of a named segment is damaged; other
    /// damaged segments are listed in [`CompactionReport::left`].
    /// [`Error::ReadOnly`](crate::Error::ReadOnly), [`Error::Closed`](crate::Error::Closed),
    /// [`Error::Poisoned`](crate::Error::Poisoned), [`Error::Full`](crate::Error::Full) and
    /// [`Error::Io`](crate::Error::Io): the current run changed nothing, and completed runs stay.
    /// [`Error::NotWritten`](crate::Error::NotWritten): the outcome of the current run is unknown,
    /// and nothing is lost.
    pub fn compact(&self, what: &Compact) -> Result<CompactionReport> {
        self.compact_with(what, &mut |_| ControlFlow::Continue(()))
    }

    /// Works as [`Store::compact`], and passes events to `observe`, often enough for a progress
    /// bar. If `observe` returns `Break`, the compaction stops and removes the output of the
    /// current run. `observe` may close the store, which also stops the compaction.
    ///
    /// # Errors
    /// As [`Store::compact`]. [`Error::Cancelled`](crate::Error::Cancelled) if `observe` returned
    /// `Break` before the last run was committed; the completed runs stay, and each had a
    /// [`CompactionEvent::Done`]. [`Error::WithinCompaction`](crate::Error::WithinCompaction) for a
    /// compaction that `observe` starts itself.
    pub fn compact_with(
        &self,
        what: &Compact,
        observe: &mut dyn FnMut(CompactionEvent<'_>) -> ControlFlow<()>,
    ) -> Result<CompactionReport> {
        self.reveal()?;
        self.view().compactor.compact(what, observe)
    }

    /// Returns the background compaction runs since the last call, oldest first, and at most the
    /// last thousand. Does no I/O.
    #[must_use]
    pub fn background_compactions(&self) -> Vec<RunReport> {
        self.view().compactor.take_background_reports()
    }

    /// Returns the time used for expiry, in milliseconds since 1970. It never goes back while the
    /// store is open.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.view().opened.state.now_ms()
    }

    /// Returns the time of the store's clock, in milliseconds since 1970. A time to live counts
    /// from it. It is behind [`Store::now_ms`] if the clock was set back.
    #[must_use]
    pub fn clock_ms(&self) -> u64 {
        self.0.options.clock.now_ms()
    }

    /// Returns the totals of the store. Costs a pass over the list of segments, and over the record
    /// headers of segments with expired records. The first call after an open also reads the
    /// headers of segments that may have expired records.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
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

    /// Returns the memory use of the store. Reads counters only.
    #[must_use]
    pub fn memory(&self) -> MemoryStats {
        let view = self.view();
        let keydir = &view.opened.state.keydir;
        let keydir_len = keydir.memory_len();
        let keydir_mapped_len = keydir.mapped_len();
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

    /// Returns the counters since the store was opened, with its totals. Costs as much as
    /// [`Store::stats`].
    ///
    /// # Errors
    /// As [`Store::stats`].
    pub fn metrics(&self) -> Result<Metrics> {
        let view = self.view();
        Ok(Metrics::of(&view.opened.state.meter, self.stats_of(&view)?, view.opened.report.took))
    }

    /// Removes every key, and returns their number. A failure or a crash leaves all keys or none.
    /// Snapshots and scans keep their view, and a feed of [`changes`](Store::changes) reports that
    /// all earlier records are gone. The cost is that of removing the files; the call writes
    /// nothing for each key.
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
    /// As [`Store::rotate`]; [`Error::WithinTransaction`](crate::Error::WithinTransaction) inside a
    /// transaction and [`Error::WithinCompaction`](crate::Error::WithinCompaction) inside the
    /// observer of a compaction: nothing was changed.
    /// [`Error::NotWritten`](crate::Error::NotWritten): the next open finds all keys, or none.
    pub fn clear(&self) -> Result<u64> {
        let _held = self.0.transaction_lock.shared()?;
        self.view().compactor.clear()
    }

    /// Returns the totals of the expired records that are not compacted away.
    fn expired(&self, view: &View) -> Result<Expired> {
        let state = &view.opened.state;
        let now_ms = self.now_ms();
        state.segments().iter().try_fold(Expired::default(), |sum, segment| {
            let Expired { count, len } = state.expired(segment, now_ms)?;
            Ok(Expired { count: sum.count + count, len: sum.len + len })
        })
    }

    /// Returns the figures of each segment, in log order.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
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
