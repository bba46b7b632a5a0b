//! What compaction does, in words: for people, and for programs.

use logkv::{
    CompactionReason, CompactionReport, CompactionRun, CompactionStage, Decision, Dropped, Kept, LeftAlone,
    Location, SegmentId, SegmentStats, Tallies,
};

use crate::shell::run::segments;
use crate::shell::term::units;

/// How much of a segment's records is dead, in percent of their bytes.
pub fn percent_dead(segment: &SegmentStats) -> u64 {
    let body_len = segment.live_len.saturating_add(segment.dead_len);
    segment.dead_len.saturating_mul(100).checked_div(body_len).unwrap_or(0)
}

/// The bytes of the file that a compaction makes of records that come to `tallies`; none when nothing is kept.
pub fn len_after(tallies: &Tallies, header_len: u64) -> u64 {
    let kept = tallies.kept();
    if kept.count > 0 { header_len + kept.len } else { 0 }
}

/// Why a run was picked, in one word.
pub fn reason_name(reason: CompactionReason) -> &'static str {
    match reason {
        CompactionReason::Asked => "asked",
        CompactionReason::DeadShare { .. } => "dead_share",
        CompactionReason::DeadBytes { .. } => "dead_bytes",
        CompactionReason::Small => "small",
    }
}

/// Why a run was picked.
pub fn reason(run: &CompactionRun) -> String {
    let whose = if run.segments.len() == 1 { "it" } else { "one" };
    match run.reason {
        CompactionReason::Asked => "asked for".to_owned(),
        CompactionReason::DeadShare { percent } => format!("{percent}% of {whose} is dead"),
        CompactionReason::DeadBytes { len } => format!("{} of {whose} are dead", units::bytes(len)),
        CompactionReason::Small => "they are small".to_owned(),
    }
}

/// What becomes of a record and why, in one word each.
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

/// Why a record stays or goes.
pub fn why(decision: Decision) -> String {
    match decision {
        Decision::Keep(Kept::Live) => "live".to_owned(),
        Decision::Keep(Kept::Tombstone { needed_by }) => format!("segment {needed_by} may have a put of it"),
        Decision::Keep(Kept::Expired) => "expired a short time ago".to_owned(),
        Decision::Keep(Kept::Version) => "dead, and kept for those who look back".to_owned(),
        Decision::Keep(Kept::Unknown) => "of a newer format".to_owned(),
        Decision::Drop(Dropped::Replaced) => "replaced".to_owned(),
        Decision::Drop(Dropped::Deleted) => "deleted".to_owned(),
        Decision::Drop(Dropped::Expired) => "expired".to_owned(),
        Decision::Drop(Dropped::TombstoneReplaced) => "a later record of its key".to_owned(),
        Decision::Drop(Dropped::TombstoneDone) => "hides nothing any more".to_owned(),
    }
}

/// What was done before a compaction was broken off.
pub fn done_before(report: &CompactionReport) -> String {
    match report.runs.len() {
        0 => "nothing was compacted".to_owned(),
        1 => "what is told above was done before, and nothing else was compacted".to_owned(),
        count => format!("these {count} runs were done before, and nothing else was compacted"),
    }
}

/// Why a segment was left as it is.
pub fn left_alone(left: &LeftAlone) -> String {
    let segment = left.segment;
    match &left.met {
        Some((offset, damage)) => {
            let at = Location { segment, offset: *offset };
            format!("segment {segment} stays as it is: at {at} {damage}")
        }
        None => format!("segment {segment} stays as it is: there is damage in it; verify says what"),
    }
}

/// What was done around `damaged`, which stays as it is: the segments `done` are gone.
pub fn done_around(damaged: SegmentId, done: &[SegmentId]) -> String {
    let rest = match done {
        [] => "nothing was compacted".to_owned(),
        [_] => format!("{} was compacted", segments::names(done)),
        _ => format!("{} were compacted", segments::names(done)),
    };
    format!("segment {damaged} stays as it is; {rest}")
}

/// A stage of a compaction, in words.
#[derive(Debug)]
pub struct StageText {
    /// Its name.
    pub name: &'static str,
    /// How things are now.
    pub now: &'static str,
    /// What a crash at this moment would leave.
    pub crash: &'static str,
    /// What Enter does; `None` at the end.
    pub next: Option<&'static str>,
    /// Whether it can still be called off.
    pub can_cancel: bool,
}

/// `stage`, in words.
pub fn stage(stage: CompactionStage) -> &'static StageText {
    match stage {
        CompactionStage::Planned => &StageText {
            name: "planned",
            now: "nothing was compacted yet",
            crash: "a crash here leaves all as it is",
            next: Some("copies what is needed into new files"),
            can_cancel: true,
        },
        CompactionStage::Copied => &StageText {
            name: "copied",
            now: "what is needed is in new files, which no MANIFEST lists",
            crash: "a crash here leaves orphans, which the next open removes",
            next: Some("makes the new files durable (fsync)"),
            can_cancel: true,
        },
        CompactionStage::Synced => &StageText {
            name: "synced",
            now: "the new files are durable",
            crash: "a crash here still leaves orphans alone, which the next open removes",
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
            crash: "a crash here changes nothing any more",
            next: None,
            can_cancel: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_around_damage_is_told() {
        let told = |done: &[u64]| {
            done_around(SegmentId(5), &done.iter().copied().map(SegmentId).collect::<Vec<_>>())
        };
        assert_eq!(told(&[]), "segment 5 stays as it is; nothing was compacted");
        assert_eq!(told(&[4]), "segment 5 stays as it is; segment 4 was compacted");
        assert_eq!(told(&[1, 2, 9]), "segment 5 stays as it is; segments 1 to 2, 9 were compacted");
    }
}
