//! Decides which records of a run are kept, for a compaction and for its dry run.
//!
//! The rule: if a dead put of a key is kept, in the output or in an older segment, then the record
//! that hides it is kept, too. Otherwise a deleted key returns when the index is rebuilt from the
//! segments. Four facts ensure the rule:
//!
//! 1. One compaction uses one time, so it treats the first and the last record of a run alike.
//! 2. The log only grows during a run. Only a compaction changes older segments, and there is one
//!    at a time. A published record is never taken back. A newer record of the key hides all
//!    records of the run, and it is durable before the run is replaced.
//! 3. Without a newer record, each decision sees the same versions of a key, so
//!    [`KeyHistory::keeps`] answers the same. The last version is kept if any other version in the
//!    run is ([`Decider::retain`]).
//! 4. The last version is also kept if a segment before the run may hold the key
//!    ([`Decider::decide_hiding`]). A filter may claim a key that is not there, but never misses
//!    one.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::plan::CompactionRun;
use super::report::{Decision, Dropped, Kept};
use super::retention::{KeyHistory, Retention, VersionFacts};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::record::Kind;
use crate::engine::options::CompactionPolicy;
use crate::engine::segment::{Bodies, Scanned, Scanner, Segment};
use crate::engine::state::{KeyVersions, State, address_of};

/// Decides about the records of one run.
pub(super) struct Decider<'a> {
    state: &'a State,
    run: Vec<Arc<Segment>>,
    /// The segments before the run, nearest first. They may hold puts that a tombstone hides.
    older: Vec<Arc<Segment>>,
    /// The start of the compaction, in milliseconds since 1970.
    at_ms: u64,
    grace_ms: u64,
    /// `None` if no history is kept.
    retention: Option<Retention>,
}

/// The decision about a record, and its effect on the history of its key.
pub(super) struct Outcome {
    pub(super) decision: Decision,
    /// The end of the record's life; `None` if it was not looked up.
    pub(super) ended: Option<Ended>,
    /// Whether the record is kept only as history.
    pub(super) is_history: bool,
}

/// The end of a record's life: its replacement, delete or expiry.
#[derive(Clone, Copy, Default)]
pub(super) struct Ended {
    /// The number of the record that replaced it, or its own.
    pub(super) seq: Seqno,
    /// In milliseconds since 1970.
    pub(super) time_ms: u64,
}

impl Outcome {
    fn of(decision: Decision) -> Self {
        Self { decision, ended: None, is_history: false }
    }
}

pub(super) fn is_tombstone(record: &Scanned<'_>) -> bool {
    record.header.kind() == Kind::Delete
}

impl<'a> Decider<'a> {
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

    /// Returns the segments of the run, in log order.
    pub(super) fn run(&self) -> &[Arc<Segment>] {
        &self.run
    }

    /// Passes every record of `segment` with its outcome to `take`, until `take` returns `Break`.
    pub(super) fn records(
        &self,
        segment: &Segment,
        mut take: impl FnMut(&Scanned<'_>, Outcome) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        // Reading through a mapping would count the whole segment as memory of this process.
        let windowed = segment.windowed(&self.state.context)?;
        let mut scanner = Scanner::new(&windowed, Bodies::Checked);
        // A segment with damage stays as it is: a copy of a damaged record would look intact, and
        // without a copy the loss would go unnoticed.
        let keep_segment = |error: &Error| {
            if matches!(error, Error::Damaged { .. }) {
                segment.mark_unfit();
            }
        };
        while let Some(record) = scanner.next_intact().inspect_err(keep_segment)? {
            let outcome = self.retain(&record, self.decide(segment, &record)?)?;
            if take(&record, outcome)?.is_break() {
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
                // A later record of this key hides the same older puts.
                if self.state.replaceable(hash, key)?.is_some() {
                    return Ok(Decision::Drop(Dropped::TombstoneReplaced));
                }
                self.decide_hiding(hash, key, Dropped::TombstoneDone)
            }
            Kind::Put => self.decide_put(segment, record, hash),
        }
    }

    fn decide_put(&self, segment: &Segment, record: &Scanned<'_>, hash: u64) -> Result<Decision> {
        let candidates = self.state.keydir.candidates(hash)?;
        let here = address_of(segment, record.at);
        // The index alone decides the reason: one deleted key in 16 million counts as replaced.
        let is_there = candidates.iter().next().is_some();
        if candidates.iter().all(|candidate| candidate != here) {
            return Ok(Decision::Drop(if is_there { Dropped::Replaced } else { Dropped::Deleted }));
        }
        let now_ms = self.at_ms;
        match record.frame.expires_ms(record.bytes) {
            Some(expires_ms) if expires_ms.saturating_add(self.grace_ms) <= now_ms => {
                self.decide_hiding(hash, record.key(), Dropped::Expired)
            }
            Some(expires_ms) if expires_ms <= now_ms => Ok(Decision::Keep(Kept::Expired)),
            _ => Ok(Decision::Keep(Kept::Live)),
        }
    }

    /// Changes `decision` if the policy keeps the record as history.
    fn retain(&self, record: &Scanned<'_>, decision: Decision) -> Result<Outcome> {
        let Some(retention) = self.retention else { return Ok(Outcome::of(decision)) };
        match decision {
            Decision::Keep(Kept::Tombstone { .. }) if record.header.kind() == Kind::Put => {}
            Decision::Drop(_) => {}
            Decision::Keep(_) => return Ok(Outcome::of(decision)),
        }
        let first = self.run.first().map(|first| first.id);
        let versions = KeyVersions::of(&self.state.context, self.state.segments(), record.key(), first);
        // A damaged record gives no version. Its segment stays as it is.
        let intact = versions.filter(|version| !matches!(version, Err(Error::Damaged { .. })));
        let versions = intact.map(|version| Ok(VersionFacts::of(&version?))).collect::<Result<_>>()?;
        let history = KeyHistory { versions, now_ms: self.at_ms, retention };
        let Some(at) = history.position(record.header.seq) else { return Ok(Outcome::of(decision)) };
        let is_delete = record.header.kind() == Kind::Delete;
        let is_last = at + 1 == history.versions.len();
        // If a kept put lost the record that hides it, the put would return.
        let hides_kept = (is_last || is_delete) && (0..at).any(|older| history.keeps(older));
        if history.keeps(at) || hides_kept {
            let kept = if is_last && !is_delete { Kept::Expired } else { Kept::Version };
            return Ok(Outcome { decision: Decision::Keep(kept), ended: None, is_history: true });
        }
        // After a final delete or expiry, the key has no value with or without this record.
        let seq = history.versions.get(at + 1).map_or(record.header.seq, |next| next.seq);
        let ended = Ended { seq, time_ms: history.ended_ms(at) };
        Ok(Outcome { decision, ended: Some(ended), is_history: false })
    }

    /// Keeps a record that hides older puts while an older segment may hold one.
    fn decide_hiding(&self, hash: u64, key: &[u8], else_dropped: Dropped) -> Result<Decision> {
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
