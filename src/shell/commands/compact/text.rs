//! The words for compactions, for people and for programs.

use logkv::{
    CompactionReason, CompactionReport, CompactionRun, CompactionStage, Decision, Dropped, Kept, LeftAlone,
    Location, SegmentId, SegmentStats, Tallies,
};

use crate::shell::run::segments;
use crate::shell::term::units;

/// Returns the dead share of a segment's records, in percent of their bytes.
pub fn percent_dead(segment: &SegmentStats) -> u64 {
    let body_len = segment.live_len.saturating_add(segment.dead_len);
    segment.dead_len.saturating_mul(100).checked_div(body_len).unwrap_or(0)
}

/// Returns the length of the file that a compaction writes, or 0 if it keeps no record.
pub fn len_after(tallies: &Tallies, header_len: u64) -> u64 {
    let kept = tallies.kept();
    if kept.count > 0 { header_len + kept.len } else { 0 }
}

/// Returns the reason for a run as one word.
pub fn reason_name(reason: CompactionReason) -> &'static str {
    match reason {
        CompactionReason::Asked => "asked",
        CompactionReason::DeadShare { .. } => "dead_share",
        CompactionReason::DeadBytes { .. } => "dead_bytes",
        CompactionReason::Small => "small",
    }
}

/// Returns the reason for a run.
pub fn reason(run: &CompactionRun) -> String {
    let whose = if run.segments.len() == 1 { "it" } else { "one" };
    match run.reason {
        CompactionReason::Asked => "asked for".to_owned(),
        CompactionReason::DeadShare { percent } => format!("{percent}% of {whose} is dead"),
        CompactionReason::DeadBytes { len } => format!("{} of {whose} are dead", units::bytes(len)),
        CompactionReason::Small => "they are small".to_owned(),
    }
}

/// Returns the decision about a record and its reason, one word each.
pub fn decision_names(decision: Decision) -> (&'static str, &'static str) {
    match decision {
        Decision::Keep(kept) => ("keep", kept_name(kept)),
        Decision::Drop(dropped) => ("drop", dropped_name(dropped)),
    }
}

fn kept_name(kept: Kept) -> &'static str {
    match kept {
        Kept::Live => "live",
        Kept::Tombstone { .. } => "tombstone",
        Kept::Expired => "expired",
        Kept::Version => "version",
        Kept::Unknown => "unknown",
    }
}

fn dropped_name(dropped: Dropped) -> &'static str {
    match dropped {
        Dropped::Replaced => "replaced",
        Dropped::Deleted => "deleted",
        Dropped::Expired => "expired",
        Dropped::TombstoneReplaced => "tombstone_replaced",
        Dropped::TombstoneDone => "tombstone_done",
    }
}

/// Returns the reason for a decision.
pub fn why(decision: Decision) -> String {
    match decision {
        Decision::Keep(Kept::Live) => "live".to_owned(),
        Decision::Keep(Kept::Tombstone { needed_by }) => format!("segment {needed_by} may have a put of it"),
        Decision::Keep(Kept::Expired) => "expired a short time ago".to_owned(),
        Decision::Keep(Kept::Version) => "dead, kept for history".to_owned(),
        Decision::Keep(Kept::Unknown) => "of a newer format".to_owned(),
        Decision::Drop(Dropped::Replaced) => "replaced".to_owned(),
        Decision::Drop(Dropped::Deleted) => "deleted".to_owned(),
        Decision::Drop(Dropped::Expired) => "expired".to_owned(),
        Decision::Drop(Dropped::TombstoneReplaced) => "a later record of its key".to_owned(),
        Decision::Drop(Dropped::TombstoneDone) => "hides nothing".to_owned(),
    }
}

/// Describes the part of a cancelled compaction that was done.
pub fn done_before(report: &CompactionReport) -> String {
    match report.runs.len() {
        0 => "nothing was compacted".to_owned(),
        1 => "the run above was finished, and nothing else was compacted".to_owned(),
        count => format!("the {count} runs above were finished, and nothing else was compacted"),
    }
}

/// Explains why a segment was not compacted.
pub fn left_alone(left: &LeftAlone) -> String {
    let segment = left.segment;
    match &left.met {
        Some((offset, damage)) => {
            let at = Location { segment, offset: *offset };
            format!("segment {segment} stays as it is: at {at} {damage}")
        }
        None => format!("segment {segment} stays as it is: it is damaged; verify shows the damage"),
    }
}

/// Describes the part of a compaction that was done around the damaged segment `damaged`.
pub fn done_around(damaged: SegmentId, done: &[SegmentId]) -> String {
    let rest = match done {
        [] => "nothing was compacted".to_owned(),
        [_] => format!("{} was compacted", segments::names(done)),
        _ => format!("{} were compacted", segments::names(done)),
    };
    format!("segment {damaged} stays as it is; {rest}")
}

/// The words for a stage of a compaction.
#[derive(Debug)]
pub struct StageText {
    pub name: &'static str,
    /// The present state.
    pub now: &'static str,
    /// The result of a crash at this stage.
    pub crash: &'static str,
    /// The next step. `None` at the end.
    pub next: Option<&'static str>,
    /// Whether the compaction can still be cancelled.
    pub can_cancel: bool,
}

/// Returns the words for `stage`.
pub fn stage(stage: CompactionStage) -> &'static StageText {
    match stage {
        CompactionStage::Planned => &StageText {
            name: "planned",
            now: "nothing is compacted yet",
            crash: "a crash here changes nothing",
            next: Some("copies the needed records into new files"),
            can_cancel: true,
        },
        CompactionStage::Copied => &StageText {
            name: "copied",
            now: "the needed records are in new files, which MANIFEST does not list yet",
            crash: "a crash here leaves orphans, which the next open removes",
            next: Some("makes the new files durable (fsync)"),
            can_cancel: true,
        },
        CompactionStage::Synced => &StageText {
            name: "synced",
            now: "the new files are durable",
            crash: "a crash here still leaves only orphans, which the next open removes",
            next: Some("commits (replaces MANIFEST)"),
            can_cancel: true,
        },
        CompactionStage::Committed => &StageText {
            name: "committed",
            now: "MANIFEST lists the new files in place of the old ones",
            crash: "a crash here leaves the old files as orphans, which the next open removes",
            next: Some("removes the old files"),
            can_cancel: false,
        },
        CompactionStage::Removed => &StageText {
            name: "removed",
            now: "the old files are gone",
            crash: "a crash here has no effect",
            next: None,
            can_cancel: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_names_the_segments_compacted_around_damage() {
        let hint = |done: &[u64]| {
            done_around(SegmentId(5), &done.iter().copied().map(SegmentId).collect::<Vec<_>>())
        };
        assert_eq!(hint(&[]), "segment 5 stays as it is; nothing was compacted");
        assert_eq!(hint(&[4]), "segment 5 stays as it is; segment 4 was compacted");
        assert_eq!(hint(&[1, 2, 9]), "segment 5 stays as it is; segments 1 to 2, 9 were compacted");
    }
}
