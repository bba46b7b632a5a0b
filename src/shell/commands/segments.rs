//! `segments`: lists the segments of the log.

use std::io::{self};

use crate::shell::commands::compact::percent_dead;
use crate::shell::lang::command::{Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::run::segments;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::bar::bar;
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::output::Output;
use crate::shell::term::style::{Look, hue};
use crate::shell::term::units;
use logkv::{Compact, CompactionPlan, CompactionPolicy, CompactionReason, SegmentState, SegmentStats};

pub const SEGMENTS: Command = Command {
    name: "segments",
    aliases: &[],
    group: Group::Inspect,
    signature: "",
    summary: "Lists the segments of the log",
    help: "Prints one line a segment, in log order: its length, its records, and its live and dead bytes. \
           The last segment is active and grows. The others are sealed.\n\n\
           Due is the reason that compact would take the segment: its dead share or dead bytes, small \
           (as are its neighbours), or along (with a due neighbour).\n\n\
           A sealed segment has a hint, which makes opening fast. A missing hint is written again.\n\n\
           Mode plain has segment, state, bytes, base_seq, records, live, live_bytes, dead_bytes, \
           tombstones, tombstone_bytes, created_ms, hint, due and damaged, separated by tabs; mode json \
           has the same names. There, due is dead_share, dead_bytes, small or neighbour. damaged counts \
           the damaged ranges that opening or a command of this session has found.",
    examples: &[Example { line: "segments", does: "lists the segments" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Reading,
    run: Run::Itself(run_segments),
};

fn run_segments(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    let store = session.store()?;
    let segments = store.segments()?;
    let plan = store.compaction_plan(&Compact::Due)?;
    let damage = session.known_damage();
    let policy = session.config().options.compaction.clone();
    let out = &mut session.out;
    let mut table = Table::new(&[], out.look);
    for segment in &segments {
        // Without damage the table has no such column.
        let damaged = damage.iter().filter(|at| at.segment == segment.id).count() as u64;
        let damaged = (!damage.is_empty()).then_some(damaged);
        write_segment(out, &mut table, segment, DueReason::of(segment, &plan, &policy), damaged)?;
    }
    table.end(&mut session.out)?;
    if segments.is_empty() {
        session.out.say(|_| "no segments yet: the first write creates one")?;
    }
    segments::write_damage(&mut session.out, &damage)?;
    Ok(if damage.is_empty() { Outcome::Done } else { Outcome::Damaged })
}

/// Formats the number of damaged ranges, or nothing without any.
fn damage_text(damaged: u64) -> String {
    if damaged > 0 { units::count(damaged, "range") } else { String::new() }
}

/// The reason why compaction would take a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DueReason {
    /// The share of dead bytes, in percent.
    DeadShare(u64),
    /// The number of dead bytes.
    DeadBytes(u64),
    /// The segment and its neighbours are small.
    Small,
    /// A neighbour is due.
    Neighbour,
}

impl DueReason {
    /// Returns the reason for `segment` in `plan`, which follows `policy`, or `None` if the plan
    /// does not include it.
    fn of(segment: &SegmentStats, plan: &CompactionPlan, policy: &CompactionPolicy) -> Option<Self> {
        let run = plan.runs.iter().find(|run| run.segments.contains(&segment.id))?;
        let percent = match (run.reason, run.segments.as_slice()) {
            // The plan's share excludes tombstones that are still needed.
            (CompactionReason::DeadShare { percent }, [_]) => percent,
            _ => percent_dead(segment),
        };
        Some(if percent >= u64::from(policy.dead_percent) {
            Self::DeadShare(percent)
        } else if segment.dead_len >= policy.dead_len {
            Self::DeadBytes(segment.dead_len)
        } else if run.reason == CompactionReason::Small {
            Self::Small
        } else {
            Self::Neighbour
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::DeadShare(_) => "dead_share",
            Self::DeadBytes(_) => "dead_bytes",
            Self::Small => "small",
            Self::Neighbour => "neighbour",
        }
    }

    fn brief(self) -> String {
        match self {
            Self::DeadShare(percent) => format!("{percent}% dead"),
            Self::DeadBytes(len) => format!("{} dead", units::bytes(len)),
            Self::Small => "small".to_owned(),
            Self::Neighbour => "along".to_owned(),
        }
    }
}

fn state(segment: &SegmentStats) -> &'static str {
    match segment.state {
        SegmentState::Active => "active",
        SegmentState::Sealed => "sealed",
    }
}

/// Writes the row of a segment. `damaged` is `None` if no segment is damaged.
fn write_segment(
    out: &mut Output,
    table: &mut Table,
    segment: &SegmentStats,
    due: Option<DueReason>,
    damaged: Option<u64>,
) -> io::Result<()> {
    const BAR_WIDTH: usize = 10;
    let dead_len = segment.dead_len.saturating_sub(segment.tombstone_len);
    let mut row = out.row(table);
    row.cell(Column::number("segment", hue::PLAIN), |_| segment.id.to_string())
        .field("segment", segment.id.0);
    row.cell(Column::text("state", hue::PLAIN), |_| state(segment)).field("state", state(segment));
    row.cell(Column::number("size", hue::PLAIN), |_| units::bytes(segment.len)).field("bytes", segment.len);
    row.field("base_seq", segment.base_seq.0);
    row.cell(Column::number("records", hue::PLAIN).leaves(3), |_| units::thousands(segment.record_count));
    row.field("records", segment.record_count).field("live", segment.live_count);
    row.cell(Column::number("live", hue::GOOD).leaves(1), |_| units::bytes(segment.live_len));
    row.field("live_bytes", segment.live_len);
    row.cell(Column::number("dead", hue::DIM).leaves(2), |_| units::bytes(dead_len));
    row.field("dead_bytes", dead_len);
    row.cell(Column::number("tombs", hue::PLAIN).leaves(4), |_| units::thousands(segment.tombstone_count));
    row.field("tombstones", segment.tombstone_count).field("tombstone_bytes", segment.tombstone_len);
    row.field("created_ms", segment.created_ms);
    let hint = if segment.has_hint { "yes" } else { "no" };
    row.cell(Column::text("hint", hue::PLAIN).leaves(5), |_| hint).field("hint", segment.has_hint);
    row.cell(Column::text("live/dead", hue::GOOD).leaves(0), |look| {
        // The table colours the whole cell.
        bar(segment.live_len, segment.dead_len, BAR_WIDTH, Look { color: false, ..look })
    });
    row.cell(Column::text("due", hue::VALUE), |_| due.map(DueReason::brief).unwrap_or_default());
    row.field("due", due.map(DueReason::name));
    if let Some(damaged) = damaged {
        row.cell(Column::text("damage", hue::BAD), |_| damage_text(damaged));
    }
    row.field("damaged", damaged.unwrap_or(0)).end()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::term::output::Mode;
    use logkv::{CompactionRun, SegmentId, Seqno};

    #[test]
    fn the_help_lists_all_fields_in_order() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be created");
        let look = Look { color: false, ascii: false, width: 80 };
        let sink = Box::new(file.reopen().expect("the file exists"));
        let mut out = Output::new(sink, Mode::Json, look, false);
        write_segment(&mut out, &mut Table::new(&[], look), &segment(1, 0, 0), None, None)
            .expect("the file takes the row");
        io::Write::flush(&mut out).expect("the file takes the row");
        let line = std::fs::read_to_string(file.path()).expect("the row is text");
        let names: Vec<_> = line.split(['{', ',']).filter_map(|field| field.split('"').nth(1)).collect();
        let (last, names) = names.split_last().expect("the row has fields");
        assert!(SEGMENTS.help.contains(&format!("{} and {last}", names.join(", "))), "{line}");
    }

    fn segment(id: u64, live_len: u64, dead_len: u64) -> SegmentStats {
        SegmentStats {
            id: SegmentId(id),
            state: SegmentState::Sealed,
            base_seq: Seqno(1),
            len: 64 + live_len + dead_len,
            record_count: 1,
            live_count: 1,
            live_len,
            dead_len,
            tombstone_count: 0,
            tombstone_len: 0,
            raw_len: 0,
            stored_len: 0,
            created_ms: 0,
            has_hint: true,
        }
    }

    fn plan(segments: &[u64], reason: CompactionReason) -> CompactionPlan {
        let segments = segments.iter().copied().map(SegmentId).collect();
        CompactionPlan {
            at_ms: 0,
            runs: vec![CompactionRun { segments, reason, read_len: 0, write_len_max: 0 }],
        }
    }

    #[test]
    fn each_segment_of_a_run_has_its_own_reason() {
        let policy = CompactionPolicy { dead_len: 4000, ..CompactionPolicy::default() };
        let due = |id, live_len, dead_len, reason| {
            DueReason::of(&segment(id, live_len, dead_len), &plan(&[1, 2], reason), &policy)
        };
        let half = CompactionReason::DeadShare { percent: 60 };
        assert_eq!(due(1, 40, 60, half), Some(DueReason::DeadShare(60)));
        assert_eq!(due(2, 70, 30, half), Some(DueReason::Neighbour));
        assert_eq!(due(2, 9000, 4000, half), Some(DueReason::DeadBytes(4000)));
        assert_eq!(due(2, 100, 0, CompactionReason::Small), Some(DueReason::Small));
        assert_eq!(due(3, 0, 100, half), None);
    }
}
