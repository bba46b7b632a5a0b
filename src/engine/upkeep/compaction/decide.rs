//! What becomes of each record of a run: the one place that decides, for the compaction and for its dry run.
//!
//! The rule: if any dead put of a key is kept, in the output or in an older segment, then the record that hides it is kept.
//! Otherwise a deleted key returns as soon as the index is built from the segments. Four facts carry it:
//!
//! 1. One compaction uses one time, so a put at a run's front and a delete at its back are judged alike.
//! 2. The log only grows while a run is judged: older segments change in no other way than by a compaction, and there is one
//!    at a time; a record that was seen is never taken back. If a newer record of the key comes meanwhile, it hides all of
//!    the run, and it is durable before the run is replaced.
//! 3. Without a newer record, all versions of a key that are judged are the same each time, and so [`Past::keeps`] gives one
//!    answer for each: the last one is kept if any other one of the run is ([`Judge::retain`]).
//! 4. The last one is kept, too, if a segment before the run may hold the key ([`Judge::hides`]): a filter errs in this
//!    direction only, with its hint or without.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::plan::CompactionRun;
use super::report::{Decision, Dropped, Kept};
use super::retention::{Past, Retention, Version};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::record::Kind;
use crate::engine::options::CompactionPolicy;
use crate::engine::segment::{Bodies, Scanned, Scanner, Segment};
use crate::engine::state::{KeyVersions, State, address_of};

/// Decides over the records of one run.
pub(super) struct Judge<'a> {
    state: &'a State,
    run: Vec<Arc<Segment>>,
    /// The segments before the run, nearest first: tombstones are kept for their sake.
    older: Vec<Arc<Segment>>,
    /// When the compaction began, in milliseconds since 1970.
    at_ms: u64,
    grace_ms: u64,
    /// How much of the past is kept; `None`: nothing.
    retention: Option<Retention>,
}

/// What becomes of a record, and what the log can tell of its key when it is gone.
pub(super) struct Verdict {
    pub(super) decision: Decision,
    /// When it ceased to be what its key is; `None` where nobody has looked.
    pub(super) ended: Option<Ended>,
    /// Whether the record is kept only as a part of the past.
    pub(super) is_history: bool,
}

/// When a record ceased to be what its key is.
#[derive(Clone, Copy, Default)]
pub(super) struct Ended {
    /// At the record of this number, or at once.
    pub(super) seq: Seqno,
    /// In milliseconds since 1970.
    pub(super) time_ms: u64,
}

impl Verdict {
    fn of(decision: Decision) -> Self {
        Self { decision, ended: None, is_history: false }
    }
}

/// Whether a record is a delete.
pub(super) fn is_tombstone(record: &Scanned<'_>) -> bool {
    record.header.kind() == Kind::Delete
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        state: &'a State,
        run: &CompactionRun,
        policy: &CompactionPolicy,
        at_ms: u64,
    ) -> Result<Self> {
        let set = state.segments();
        let wanted: HashSet<_> = run.segments.iter().copied().collect();
        let is_in_run = |segment: &&Arc<Segment>| wanted.contains(&segment.id);
        let segments: Vec<_> = set.iter().filter(is_in_run).cloned().collect();
        let found: HashSet<_> = segments.iter().map(|segment| segment.id).collect();
        if let Some(&segment) = run.segments.iter().find(|id| !found.contains(id)) {
            return Err(Error::NoSuchSegment { segment });
        }
        let mut older: Vec<_> = set.iter().take_while(|segment| !is_in_run(segment)).cloned().collect();
        older.reverse();
        let grace_ms = u64::try_from(policy.expiry_grace.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { state, run: segments, older, at_ms, grace_ms, retention: Retention::of(policy) })
    }

    /// The segments of the run, in log order.
    pub(super) fn run(&self) -> &[Arc<Segment>] {
        &self.run
    }

    /// Gives `take` every record of `segment`, checked, with what becomes of it, until it breaks off.
    pub(super) fn records(
        &self,
        segment: &Segment,
        mut take: impl FnMut(&Scanned<'_>, Verdict) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        // Through a window: a mapping would count as this process's memory, all of it.
        let windowed = segment.windowed(&self.state.context)?;
        let mut scanner = Scanner::new(&windowed, Bodies::Checked);
        // A copy of a damaged record would look sound, and without one its loss would go unnoticed: the segment stays.
        let stays = |error: &Error| {
            if matches!(error, Error::Damaged { .. }) {
                segment.mark_unfit();
            }
        };
        while let Some(record) = scanner.next_intact().inspect_err(stays)? {
            let verdict = self.retain(&record, self.decide(segment, &record)?)?;
            if take(&record, verdict)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn decide(&self, segment: &Segment, record: &Scanned<'_>) -> Result<Decision> {
        let key = record.key();
        let hash = self.state.hash(key);
        match record.header.kind() {
            Kind::Other(_) => Ok(Decision::Keep(Kept::Unknown)),
            Kind::Delete => {
                // Whatever came later for this key hides what is older, too, and stays as long as that is needed.
                if self.state.replaceable(hash, key)?.is_some() {
                    return Ok(Decision::Drop(Dropped::TombstoneReplaced));
                }
                self.hides(hash, key, Dropped::TombstoneDone)
            }
            Kind::Put => self.decide_put(segment, record, hash),
        }
    }

    fn decide_put(&self, segment: &Segment, record: &Scanned<'_>, hash: u64) -> Result<Decision> {
        let candidates = self.state.keydir.candidates(hash)?;
        let here = address_of(segment, record.at);
        // Told by the index alone: of 16 million keys that were deleted, one shows as replaced.
        let is_there = candidates.iter().next().is_some();
        if candidates.iter().all(|candidate| candidate != here) {
            return Ok(Decision::Drop(if is_there { Dropped::Replaced } else { Dropped::Deleted }));
        }
        let now_ms = self.at_ms;
        match record.frame.expires_ms(record.bytes) {
            Some(expires_ms) if expires_ms.saturating_add(self.grace_ms) <= now_ms => {
                self.hides(hash, record.key(), Dropped::Expired)
            }
            Some(expires_ms) if expires_ms <= now_ms => Ok(Decision::Keep(Kept::Expired)),
            _ => Ok(Decision::Keep(Kept::Live)),
        }
    }

    /// What becomes of a record that the store does not need, or needs without its value, where some of the past is kept.
    fn retain(&self, record: &Scanned<'_>, decision: Decision) -> Result<Verdict> {
        let Some(retention) = self.retention else { return Ok(Verdict::of(decision)) };
        match decision {
            Decision::Keep(Kept::Tombstone { .. }) if record.header.kind() == Kind::Put => {}
            Decision::Drop(_) => {}
            Decision::Keep(_) => return Ok(Verdict::of(decision)),
        }
        let first = self.run.first().map(|first| first.id);
        let versions = KeyVersions::of(&self.state.context, self.state.segments(), record.key(), first);
        // What is damaged tells nothing: its segment stays as it is.
        let told = versions.filter(|version| !matches!(version, Err(Error::Damaged { .. })));
        let versions = told.map(|version| Ok(Version::of(&version?))).collect::<Result<_>>()?;
        let past = Past { versions, now_ms: self.at_ms, retention };
        let Some(at) = past.position(record.header.seq) else { return Ok(Verdict::of(decision)) };
        let is_delete = record.header.kind() == Kind::Delete;
        let is_last = at + 1 == past.versions.len();
        // What hides a put stays with it: else that would be back.
        let hides_kept = (is_last || is_delete) && (0..at).any(|older| past.keeps(older));
        if past.keeps(at) || hides_kept {
            let kept = if is_last && !is_delete { Kept::Expired } else { Kept::Version };
            return Ok(Verdict { decision: Decision::Keep(kept), ended: None, is_history: true });
        }
        // Where a delete or an expiry was the last word, there is nothing after it, with it or without.
        let seq = past.versions.get(at + 1).map_or(record.header.seq, |next| next.seq);
        let ended = Ended { seq, time_ms: past.ended_ms(at) };
        Ok(Verdict { decision, ended: Some(ended), is_history: false })
    }

    /// A record that hides older puts stays while a segment outside the run may hold one.
    fn hides(&self, hash: u64, key: &[u8], else_dropped: Dropped) -> Result<Decision> {
        let needed_by = self.needed_by(hash, key)?;
        Ok(needed_by
            .map_or(Decision::Drop(else_dropped), |needed_by| Decision::Keep(Kept::Tombstone { needed_by })))
    }

    fn needed_by(&self, hash: u64, key: &[u8]) -> Result<Option<SegmentId>> {
        for older in &self.older {
            if older.may_hold(&self.state.context, hash, key)? {
                return Ok(Some(older.id));
            }
        }
        Ok(None)
    }
}
