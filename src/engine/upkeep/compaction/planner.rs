//! Plans compactions from the current figures of the segments.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::plan::{Compact, CompactionPlan, CompactionRun, SegmentUse, Settings, pick, pick_all, pick_these};
use super::report::LeftAlone;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::segment_header::Layout;
use crate::engine::segment::Segment;
use crate::engine::state::State;

/// Plans the compactions of one state.
#[derive(Debug)]
pub(super) struct Planner {
    pub(super) state: Arc<State>,
    pub(super) settings: Settings,
}

/// The inputs of a plan, read once, so that a clock that steps in between changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlanInputs {
    /// In milliseconds since 1970.
    pub(super) now_ms: u64,
    /// The sequence number of the newest record appended.
    pub(super) appended: Seqno,
    pub(super) expired_len: ExpiredLen,
}

/// How the planner learns the length of the expired records of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpiredLen {
    /// From the record headers, for a compaction that a caller asked for.
    FromHeaders,
    /// From counters, kept while records are written or filled by an earlier scan. They cover only
    /// segments whose expiring records have all expired, but reading them costs the background no
    /// I/O.
    FromCounters,
}

impl Planner {
    /// Plans what `what` selects.
    ///
    /// # Errors
    /// `NoSuchSegment` and `NotCompactable` for a segment named in `what`.
    pub(super) fn plan(&self, what: &Compact, inputs: &PlanInputs) -> Result<CompactionPlan> {
        let set = self.state.segments();
        let uses = set.iter().map(|segment| self.use_of(segment, inputs)).collect::<Result<Vec<_>>>()?;
        let runs = match what {
            Compact::Due => pick(&uses, &self.settings),
            Compact::All => pick_all(&uses, &self.settings),
            Compact::Segments(ids) => {
                for &id in ids {
                    let segment = set.iter().find(|segment| segment.id == id);
                    check_fit(segment.ok_or(Error::NoSuchSegment { segment: id })?)?;
                }
                pick_these(&uses, &self.settings, ids)
            }
        };
        Ok(CompactionPlan { at_ms: inputs.now_ms, runs })
    }

    /// Plans the rest of [`Compact::All`], from segment `first` on.
    pub(super) fn plan_from(&self, first: Option<SegmentId>, inputs: &PlanInputs) -> Result<CompactionPlan> {
        let set = self.state.segments();
        let segments = set.iter().skip_while(|segment| Some(segment.id) != first);
        let uses = segments.map(|segment| self.use_of(segment, inputs)).collect::<Result<Vec<_>>>()?;
        Ok(CompactionPlan { at_ms: inputs.now_ms, runs: pick_all(&uses, &self.settings) })
    }

    /// Returns the segment after `run`.
    pub(super) fn behind(&self, run: &CompactionRun) -> Option<SegmentId> {
        let set = self.state.segments();
        set.iter().map(|segment| segment.id).skip_while(|id| Some(id) != run.segments.last()).nth(1)
    }

    /// Returns whether the active segment holds dead or expired records.
    pub(super) fn is_active_dirty(&self, inputs: &PlanInputs) -> Result<bool> {
        let set = self.state.segments();
        let active = set.iter().next_back().filter(|last| !last.is_sealed());
        let active = active.map(|last| self.use_of(last, inputs)).transpose()?;
        Ok(active.is_some_and(|active| active.body_len + active.expired_len > active.live_len))
    }

    /// Adds to `left` the segments with dead bytes that were known to be damaged before.
    pub(super) fn add_known_damaged(&self, left: &mut Vec<LeftAlone>, inputs: &PlanInputs) -> Result<()> {
        let inputs = PlanInputs { expired_len: ExpiredLen::FromCounters, ..*inputs };
        for segment in self.state.segments().iter().filter(|segment| segment.is_unfit()) {
            let usage = self.use_of(segment, &inputs)?;
            let is_damaged = segment.layout == Layout::current(segment.layout.records.salt);
            let is_listed = left.iter().any(|left| left.segment == segment.id);
            if is_damaged && !is_listed && usage.body_len > usage.live_len {
                left.push(LeftAlone { segment: segment.id, met: None });
            }
        }
        Ok(())
    }

    fn use_of(&self, segment: &Segment, inputs: &PlanInputs) -> Result<SegmentUse> {
        let grace_ms = u64::try_from(self.settings.policy.expiry_grace.as_millis()).unwrap_or(u64::MAX);
        let expired_by_ms = inputs.now_ms.saturating_sub(grace_ms);
        let usage = &segment.usage;
        Ok(SegmentUse {
            id: segment.id,
            body_len: segment.len().saturating_sub(segment.layout.header_len.into()),
            live_len: usage.live_len(),
            expired_len: match inputs.expired_len {
                ExpiredLen::FromHeaders => self.state.expired(segment, expired_by_ms)?.len,
                ExpiredLen::FromCounters => segment.expired_len(expired_by_ms),
            },
            tombstone_len: usage.tombstone_len.load(Ordering::Relaxed),
            needed_len: usage.needed_len(inputs.now_ms, inputs.appended),
            is_fit: check_fit(segment).is_ok(),
        })
    }
}

/// Checks that `segment` can be compacted.
fn check_fit(segment: &Segment) -> Result<()> {
    let reason = match (segment.is_sealed(), segment.is_unfit()) {
        (false, _) => "it is the log's end; `rotate` seals it",
        (true, true) => "it is damaged, or of another version's layout, and stays as it is",
        (true, false) => return Ok(()),
    };
    Err(Error::NotCompactable { segment: segment.id, reason })
}
