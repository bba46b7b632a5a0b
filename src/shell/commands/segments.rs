//! `segments`.

use std::io::{self, Write};

use crate::shell::commands::compact::percent_dead;
use crate::shell::lang::command::{Arity, Command, Example, Group, Invocation, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::run::segments;
use crate::shell::run::session::Session;
use crate::shell::term::bar::bar;
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::json::Object;
use crate::shell::term::output::{Mode, Output};
use crate::shell::term::style::{Look, hue};
use crate::shell::term::units;
use logkv::{Compact, CompactionPlan, CompactionPolicy, CompactionReason, SegmentState, SegmentStats};

pub const SEGMENTS: Command = Command {
    name: "segments",
    aliases: &[],
    group: Group::Inspect,
    signature: "",
    summary: "The files of the log, and how much of each is alive",
    help: "Prints a line a segment, in log order: its length, its records, and how much of it is live \
           and dead. The last segment is active and grows; the others are final.\n\n\
           Due is what compact would take, and why: its dead share or bytes, that it is small and has \
           small neighbours, or that it goes along with a neighbour.\n\n\
           A sealed segment has a hint, which makes opening fast; a missing hint is made again.\n\n\
           Mode plain has segment, state, bytes, base_seq, records, live, live_bytes, dead_bytes, \
           tombstones, tombstone_bytes, created_ms, hint, due and damaged, separated by tabs; mode json \
           the same names. There, due is dead_share, dead_bytes, small or neighbour. Damaged counts the \
           damaged ranges that opening, or a command of this session, has found.",
    examples: &[Example { line: "segments", does: "lists the segments" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Reading,
    run: run_segments,
};

const COLUMNS: &[Column] = &[
    Column::number("segment", hue::PLAIN),
    Column::text("state", hue::PLAIN),
    Column::number("size", hue::PLAIN),
    Column::number("records", hue::PLAIN).leaves(3),
    Column::number("live", hue::GOOD).leaves(1),
    Column::number("dead", hue::DIM).leaves(2),
    Column::number("tombs", hue::PLAIN).leaves(4),
    Column::text("hint", hue::PLAIN).leaves(5),
    Column::text("live/dead", hue::GOOD).leaves(0),
    Column::text("due", hue::VALUE),
    Column::text("damage", hue::BAD),
];

fn run_segments(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    let store = session.store()?;
    let segments = store.segments()?;
    let plan = store.compaction_plan(&Compact::Due)?;
    let damage = session.known_damage();
    let out = &mut session.out;
    // Where nothing is damaged there is no column for it.
    let columns = if damage.is_empty() { &COLUMNS[..COLUMNS.len() - 1] } else { COLUMNS };
    let mut table = Table::new(columns, out.look);
    for segment in &segments {
        let damaged = damage.iter().filter(|at| at.segment == segment.id).count() as u64;
        let due = Due::of(segment, &plan, &session.compaction);
        match out.mode {
            Mode::Table => {
                let mut cells = cells(segment, due, out.look);
                cells.push(mark(damaged));
                cells.truncate(columns.len());
                table.row(out, cells)?;
            }
            Mode::Plain | Mode::Raw => write_plain(out, segment, due, damaged)?,
            Mode::Json => write_json(out, segment, due, damaged)?,
        }
    }
    table.end(&mut session.out)?;
    if segments.is_empty() && session.out.is_table() {
        writeln!(session.out, "no segments yet: the first write makes one")?;
    }
    segments::write_damage(&mut session.out, &damage)?;
    Ok(if damage.is_empty() { Outcome::Done } else { Outcome::Damaged })
}

/// What is known of a segment's damage.
fn mark(damaged: u64) -> String {
    if damaged > 0 { units::count(damaged, "range") } else { String::new() }
}

/// Why compaction would take a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// So many percent of it are dead.
    DeadShare(u64),
    /// So many bytes of it are dead.
    DeadBytes(u64),
    /// It is small, and so are its neighbours.
    Small,
    /// A neighbour is due.
    Neighbour,
}

impl Due {
    /// Why `plan`, made after `policy`, has `segment` compacted; `None` when it has not.
    fn of(segment: &SegmentStats, plan: &CompactionPlan, policy: &CompactionPolicy) -> Option<Self> {
        let run = plan.runs.iter().find(|run| run.segments.contains(&segment.id))?;
        let percent = match (run.reason, run.segments.as_slice()) {
            // It knows of tombstones that are needed.
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

fn fields(segment: &SegmentStats) -> [(&'static str, u64); 9] {
    [
        ("bytes", segment.len),
        ("base_seq", segment.base_seq.0),
        ("records", segment.record_count),
        ("live", segment.live_count),
        ("live_bytes", segment.live_len),
        ("dead_bytes", segment.dead_len.saturating_sub(segment.tombstone_len)),
        ("tombstones", segment.tombstone_count),
        ("tombstone_bytes", segment.tombstone_len),
        ("created_ms", segment.created_ms),
    ]
}

fn write_plain(out: &mut Output, segment: &SegmentStats, due: Option<Due>, damaged: u64) -> io::Result<()> {
    let fields = fields(segment).map(|(_, number)| number.to_string()).join("\t");
    let (hint, due) = (u8::from(segment.has_hint), due.map_or("", Due::name));
    writeln!(out, "{}\t{}\t{fields}\t{hint}\t{due}\t{damaged}", segment.id, state(segment))
}

fn write_json(out: &mut Output, segment: &SegmentStats, due: Option<Due>, damaged: u64) -> io::Result<()> {
    let mut object = Object::new(out);
    object.field("segment", segment.id.0)?.field("state", state(segment))?;
    for (name, number) in fields(segment) {
        object.field(name, number)?;
    }
    object.field("hint", segment.has_hint)?.field("due", due.map(Due::name))?;
    object.field("damaged", damaged)?.end()
}

fn cells(segment: &SegmentStats, due: Option<Due>, look: Look) -> Vec<String> {
    const BAR_WIDTH: usize = 10;
    let plain = Look { color: false, ..look };
    vec![
        segment.id.to_string(),
        state(segment).to_owned(),
        units::bytes(segment.len),
        units::thousands(segment.record_count),
        units::bytes(segment.live_len),
        units::bytes(segment.dead_len.saturating_sub(segment.tombstone_len)),
        units::thousands(segment.tombstone_count),
        if segment.has_hint { "yes".to_owned() } else { "no".to_owned() },
        // The table colours the cell as a whole.
        bar(segment.live_len, segment.dead_len, BAR_WIDTH, plain),
        due.map(Due::brief).unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_all_fields_in_their_order() {
        let segment = segment(1, 0, 0);
        let names = fields(&segment).map(|(name, _)| name).join(", ");
        assert!(
            SEGMENTS.help.contains(&format!("segment, state, {names}, hint, due and damaged")),
            "{names}"
        );
    }

    use logkv::{CompactionRun, SegmentId, Seqno};

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
    fn each_segment_of_a_run_is_told_its_own_reason() {
        let policy = CompactionPolicy { dead_len: 4000, ..CompactionPolicy::default() };
        let due = |id, live_len, dead_len, reason| {
            Due::of(&segment(id, live_len, dead_len), &plan(&[1, 2], reason), &policy)
        };
        let half = CompactionReason::DeadShare { percent: 60 };
        assert_eq!(due(1, 40, 60, half), Some(Due::DeadShare(60)));
        assert_eq!(due(2, 70, 30, half), Some(Due::Neighbour));
        assert_eq!(due(2, 9000, 4000, half), Some(Due::DeadBytes(4000)));
        assert_eq!(due(2, 100, 0, CompactionReason::Small), Some(Due::Small));
        assert_eq!(due(3, 0, 100, half), None);
    }
}
