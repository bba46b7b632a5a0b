//! Compaction as it will look from outside: figures and decisions, and no file is changed.

use std::ops::{ControlFlow, RangeBounds};

use super::super::compaction::{
    Compact, CompactionEvent, CompactionPlan, CompactionReport, CompactionRun, CompactionStage, Decided,
    Decision, Dropped, Kept, RunReport, SegmentUse, Tallies, pick, pick_all, pick_these,
};
use super::super::inspect::{Fate, Item, Range};
use super::super::location::SegmentId;
use super::super::scan::{Entry, Keys, Scan};
use super::super::stats::{SegmentState, SegmentStats};
use super::super::value::Value;
use super::Store;
use crate::error::{Error, Result};

impl Store {
    /// What would be compacted.
    ///
    /// # Errors
    /// [`Error::NoSuchSegment`], [`Error::NotCompactable`].
    pub fn compaction_plan(&self, what: &Compact) -> Result<CompactionPlan> {
        let segments = self.segments()?;
        if let Compact::Segments(wanted) = what {
            for &segment in wanted {
                let found = segments.iter().find(|known| known.id == segment);
                match found.ok_or(Error::NoSuchSegment { segment })?.state {
                    SegmentState::Sealed => {}
                    SegmentState::Active => {
                        let reason = "it is still written to".to_owned();
                        return Err(Error::NotCompactable { segment, reason });
                    }
                }
            }
        }
        let uses: Vec<_> = segments.iter().map(use_of).collect();
        let (policy, len_max) = (&self.0.options.compaction, self.0.options.segment_len_max);
        Ok(match what {
            Compact::Due => pick(&uses, policy, len_max),
            Compact::All => pick_all(&uses, policy, len_max),
            Compact::Segments(wanted) => pick_these(&uses, policy, wanted),
        })
    }

    /// What a compaction would do with each record of a run of the plan, in log order.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn compaction_decisions(
        &self,
        run: &CompactionRun,
        tell: &mut dyn FnMut(Decided) -> ControlFlow<()>,
    ) -> Result<Tallies> {
        let mut tallies = Tallies::default();
        for &id in &run.segments {
            for item in self.inspect(id)?.items(Range::default()) {
                let Item::Record(record) = item? else { continue };
                let Some(decision) = decide(record.fate, run) else { continue };
                tallies.add(decision, record.len);
                let decided = Decided {
                    at: record.location,
                    len: record.len,
                    seq: record.seq,
                    key: record.key,
                    is_tombstone: record.kind == crate::inspect::Kind::Delete,
                    decision,
                };
                if tell(decided).is_break() {
                    return Ok(tallies);
                }
            }
        }
        Ok(tallies)
    }

    /// As [`Store::compact_with`], without being watched.
    ///
    /// # Errors
    /// As [`Store::compact_with`].
    pub fn compact(&self, what: &Compact) -> Result<CompactionReport> {
        self.compact_with(what, &mut |_| ControlFlow::Continue(()))
    }

    /// Compacts; `observe` may cancel.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], and as [`Store::compaction_plan`].
    pub fn compact_with(
        &self,
        what: &Compact,
        observe: &mut dyn FnMut(CompactionEvent<'_>) -> ControlFlow<()>,
    ) -> Result<CompactionReport> {
        self.log()?;
        let active = self.segments()?.into_iter().next_back();
        if *what == Compact::All && active.is_some_and(|segment| segment.dead_len > 0) {
            self.rotate()?;
        }
        let plan = self.compaction_plan(what)?;
        let mut report = CompactionReport::default();
        for run in &plan.runs {
            if !self.play(run, &plan, &mut report, observe)? {
                report.is_cancelled = true;
                break;
            }
        }
        Ok(report)
    }

    fn play(
        &self,
        run: &CompactionRun,
        plan: &CompactionPlan,
        report: &mut CompactionReport,
        observe: &mut dyn FnMut(CompactionEvent<'_>) -> ControlFlow<()>,
    ) -> Result<bool> {
        use CompactionStage::{Committed, Copied, Planned, Removed, Synced};
        if observe(CompactionEvent::Reached(Planned, run)).is_break() {
            return Ok(false);
        }
        let total_len = plan.runs.iter().map(|run| run.read_len).sum();
        let (mut done_len, mut is_cancelled) = (0, false);
        let records = self.compaction_decisions(run, &mut |decided| {
            done_len += decided.len;
            let flow = observe(CompactionEvent::Progress { done_len, total_len });
            is_cancelled = flow.is_break();
            flow
        })?;
        let is_cancelled = is_cancelled
            || [Copied, Synced].iter().any(|&stage| observe(CompactionEvent::Reached(stage, run)).is_break());
        if is_cancelled {
            return Ok(false);
        }
        let goes_on = observe(CompactionEvent::Reached(Committed, run)).is_continue();
        let segments = self.segments()?;
        let before = segments.iter().filter(|segment| run.segments.contains(&segment.id));
        let last = segments.last().map_or(0, |segment| segment.id.0);
        let kept = records.kept();
        report.runs.push(RunReport {
            inputs: run.segments.clone(),
            outputs: if kept.count > 0 { vec![SegmentId(last + 1)] } else { Vec::new() },
            before_len: before.map(|segment| segment.len).sum(),
            after_len: if kept.count > 0 { 64 + kept.len } else { 0 },
            records,
        });
        Ok(observe(CompactionEvent::Reached(Removed, run)).is_continue() && goes_on)
    }

    /// The store as it is now.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.reveal()?;
        Ok(Snapshot(self.clone()))
    }
}

fn use_of(segment: &SegmentStats) -> SegmentUse {
    SegmentUse {
        id: segment.id,
        body_len: segment.live_len + segment.dead_len,
        live_len: segment.live_len,
        tombstone_len: segment.tombstone_len,
        is_fit: segment.state == SegmentState::Sealed,
        are_tombstones_needed: false,
    }
}

fn decide(fate: Fate, run: &CompactionRun) -> Option<Decision> {
    Some(match fate {
        Fate::Live => Decision::Keep(Kept::Live),
        Fate::ReplacedBy(_) => Decision::Drop(Dropped::Replaced),
        Fate::DeletedBy(_) => Decision::Drop(Dropped::Deleted),
        Fate::Tombstone { hides: Some(put) } if !run.segments.contains(&put.segment) => {
            Decision::Keep(Kept::Tombstone { needed_by: put.segment })
        }
        Fate::Tombstone { .. } => Decision::Drop(Dropped::TombstoneDone),
        Fate::TombstoneReplacedBy(_) => Decision::Drop(Dropped::TombstoneReplaced),
        Fate::Expired => Decision::Drop(Dropped::Expired),
        Fate::Skipped => Decision::Keep(Kept::Unknown),
        Fate::Damaged => return None,
    })
}

/// The store as it was at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot(Store);

impl Snapshot {
    /// As [`Store::get`].
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.0.get(key)
    }

    /// As [`Store::get_entry`].
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        self.0.get_entry(key)
    }

    /// As [`Store::contains`].
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.0.contains(key)
    }

    /// As [`Store::keys`].
    ///
    /// # Errors
    /// As [`Store::keys`].
    pub fn keys(&self, range: impl RangeBounds<[u8]>) -> Result<Keys> {
        self.0.keys(range)
    }

    /// As [`Store::scan`].
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub fn scan(&self, range: impl RangeBounds<[u8]>) -> Result<Scan> {
        self.0.scan(range)
    }

    /// As [`Store::keys_with_prefix`].
    ///
    /// # Errors
    /// As [`Store::keys`].
    pub fn keys_with_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Keys> {
        self.0.keys_with_prefix(prefix)
    }

    /// As [`Store::scan_prefix`].
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Scan> {
        self.0.scan_prefix(prefix)
    }

    /// As [`Store::len`].
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// As [`Store::is_empty`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
