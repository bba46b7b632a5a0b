//! `stats`, `segments`, `dump-segment`.

use std::io::Write;

use crate::shell::command::{ArgKind, Arity, Command, Example, Group, Invocation, Needs, Outcome};
use crate::shell::failure::Failure;
use crate::shell::json::Object;
use crate::shell::output::Mode;
use crate::shell::session::Session;
use crate::shell::style::{Look, hue};
use crate::shell::table::{Column, Squeeze, Table};
use crate::shell::units;
use crate::shell::xray;
use logkv::{SegmentState, SegmentStats, Stats};

pub const STATS: Command = Command {
    name: "stats",
    aliases: &["info"],
    group: Group::Inspect,
    signature: "",
    summary: "Figures of the whole store",
    help: "Prints how many keys there are, what their records take, how much of the log is \
           dead, and what the index takes in memory. Mode plain has name, tab, value; mode \
           json one object; all lengths are bytes.",
    examples: &[Example { line: "stats", does: "prints the figures" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Store,
    run: run_stats,
};

pub const SEGMENTS: Command = Command {
    name: "segments",
    aliases: &[],
    group: Group::Inspect,
    signature: "",
    summary: "The files of the log, and how much of each is alive",
    help: "Prints a line a segment, in log order: its length, records, and how much of it is \
           live and dead. The last one is active, and is appended to; the others are final.",
    examples: &[Example { line: "segments", does: "lists the segments" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Store,
    run: run_segments,
};

pub const DUMP_SEGMENT: Command = Command {
    name: "dump-segment",
    aliases: &["dump"],
    group: Group::Inspect,
    signature: "SEG [--from OFFSET] [--limit N] [--tail N] [--record N] [--key PATTERN] \
                [--only live|dead|tomb|expired|bad] [--values none|preview|full] [--hex]",
    summary: "A segment record by record, and why each is alive or dead",
    help: "Prints a line a record: where it is, what it holds, whether its checksum is right, \
           and whether it is live; of a dead one, which record killed it. Then a map of the \
           segment's bytes and their sums. Works also on a store that does not open. \
           In mode table the first 40 are shown, and the command that goes on. \
           --hex shows every byte, field by field.",
    examples: &[
        Example { line: "dump-segment 3", does: "shows the records of 000003.seg" },
        Example { line: "dump-segment 3 --only dead --limit 10", does: "shows ten dead records" },
        Example { line: "dump-segment 3 --record 0 --hex", does: "shows every byte of the first record" },
    ],
    flags: xray::FLAGS,
    args: &[ArgKind::Segment],
    arity: Arity::exactly(1),
    needs: Needs::Files,
    run: xray::run,
};

/// A figure of [`Stats`]: its name in modes plain and json, its name for people, and how these read it.
struct Figure {
    name: &'static str,
    title: &'static str,
    /// `None` when it is not known.
    of: fn(&Stats) -> Option<u64>,
    show: fn(u64) -> String,
}

const FIGURES: &[Figure] = &[
    Figure { name: "keys", title: "keys", of: |stats| Some(stats.key_count), show: units::thousands },
    Figure { name: "live_bytes", title: "live", of: |stats| Some(stats.live_len), show: units::bytes },
    // Tombstones are told apart, here and wherever bytes are added up for a person.
    Figure {
        name: "dead_bytes",
        title: "dead",
        of: |stats| Some(stats.dead_len.saturating_sub(stats.tombstone_len)),
        show: units::bytes,
    },
    Figure { name: "disk_bytes", title: "on disk", of: |stats| Some(stats.disk_len), show: units::bytes },
    Figure {
        name: "segments",
        title: "segments",
        of: |stats| Some(stats.segment_count),
        show: units::thousands,
    },
    Figure {
        name: "records",
        title: "records",
        of: |stats| Some(stats.record_count),
        show: units::thousands,
    },
    Figure {
        name: "tombstones",
        title: "tombstones",
        of: |stats| Some(stats.tombstone_count),
        show: units::thousands,
    },
    Figure {
        name: "tombstone_bytes",
        title: "in tombstones",
        of: |stats| Some(stats.tombstone_len),
        show: units::bytes,
    },
    Figure { name: "seq", title: "last record", of: |stats| Some(stats.last_seq.0), show: units::thousands },
    Figure {
        name: "durable_seq",
        title: "durable up to",
        of: |stats| stats.durable_seq.map(|seq| seq.0),
        show: units::thousands,
    },
    Figure {
        name: "keydir_bytes",
        title: "index in memory",
        of: |stats| Some(stats.keydir_len),
        show: units::bytes,
    },
    Figure {
        name: "damaged_ranges",
        title: "damaged ranges",
        of: |stats| Some(stats.damage_count),
        show: units::thousands,
    },
];

const FIGURE_COLUMNS: &[Column] = &[Column::text("figure", hue::DIM), Column::text("amount", hue::PLAIN)];

fn run_stats(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    let stats = session.store()?.stats()?;
    let out = &mut session.out;
    match out.mode {
        Mode::Table => {
            let mut table = Table::new(FIGURE_COLUMNS, out.look).headless();
            for figure in FIGURES {
                let amount = (figure.of)(&stats).map_or_else(|| "unknown".to_owned(), figure.show);
                table.row(vec![figure.title.to_owned(), amount]);
            }
            table.write(out)?;
            if stats.live_len + stats.dead_len > 0 {
                let look = out.look;
                let bar = bar(stats.live_len, stats.dead_len, look.width.saturating_sub(16).min(60), look);
                writeln!(
                    out,
                    "{bar} {} live",
                    units::percent(stats.live_len, stats.live_len + stats.dead_len)
                )?;
            }
        }
        Mode::Plain | Mode::Raw => {
            for figure in FIGURES {
                let amount = (figure.of)(&stats).map_or_else(String::new, |amount| amount.to_string());
                writeln!(out, "{}\t{amount}", figure.name)?;
            }
        }
        Mode::Json => {
            let mut object = Object::new(out);
            for figure in FIGURES {
                object.field(figure.name, (figure.of)(&stats))?;
            }
            object.end()?;
        }
    }
    // What is damaged was told when the store was opened.
    Ok(if stats.damage_count > 0 { Outcome::Damaged } else { Outcome::Done })
}

/// A bar of `width` columns: live bytes full, dead ones shaded. What there is of either is seen.
fn bar(live: u64, dead: u64, width: usize, look: Look) -> String {
    let (full, shade) = if look.ascii { ("#", ".") } else { ("█", "░") };
    let exact = u128::from(live) * width as u128 / u128::from((live + dead).max(1));
    let live_width = usize::try_from(exact).unwrap_or(width);
    let least = usize::from(live > 0);
    let most = width.saturating_sub(usize::from(dead > 0)).max(least);
    let live_width = live_width.clamp(least, most);
    let live = look.paint(full.repeat(live_width), hue::GOOD);
    let dead = look.paint(shade.repeat(width.saturating_sub(live_width)), hue::DIM);
    format!("{live}{dead}")
}

const SEGMENT_COLUMNS: &[Column] = &[
    Column::number("segment", hue::PLAIN),
    Column::text("state", hue::PLAIN),
    Column::number("size", hue::PLAIN),
    Column::number("records", hue::PLAIN).squeezed(Squeeze::Leaves(3)),
    Column::number("live", hue::GOOD).squeezed(Squeeze::Leaves(1)),
    Column::number("dead", hue::DIM).squeezed(Squeeze::Leaves(2)),
    Column::number("tombs", hue::PLAIN).squeezed(Squeeze::Leaves(4)),
    Column::text("live/dead", hue::GOOD),
];

fn run_segments(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    let segments = session.store()?.segments()?;
    let out = &mut session.out;
    let mut table = Table::new(SEGMENT_COLUMNS, out.look);
    for segment in &segments {
        match out.mode {
            Mode::Table => table.row(segment_cells(segment, out.look)),
            Mode::Plain | Mode::Raw => {
                let fields = segment_fields(segment).map(|(_, number)| number.to_string()).join("\t");
                writeln!(out, "{}\t{}\t{fields}", segment.id, state(segment))?;
            }
            Mode::Json => {
                let mut object = Object::new(out);
                object.field("segment", segment.id.0)?.field("state", state(segment))?;
                for (name, number) in segment_fields(segment) {
                    object.field(name, number)?;
                }
                object.end()?;
            }
        }
    }
    table.write(&mut session.out)?;
    Ok(Outcome::Done)
}

fn state(segment: &SegmentStats) -> &'static str {
    match segment.state {
        SegmentState::Active => "active",
        SegmentState::Sealed => "sealed",
    }
}

fn segment_fields(segment: &SegmentStats) -> [(&'static str, u64); 9] {
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

fn segment_cells(segment: &SegmentStats, look: Look) -> Vec<String> {
    const BAR_WIDTH: usize = 12;
    let plain = Look { color: false, ..look };
    vec![
        segment.id.to_string(),
        state(segment).to_owned(),
        units::bytes(segment.len),
        units::thousands(segment.record_count),
        units::bytes(segment.live_len),
        units::bytes(segment.dead_len.saturating_sub(segment.tombstone_len)),
        units::thousands(segment.tombstone_count),
        // The table colours the cell as a whole.
        bar(segment.live_len, segment.dead_len, BAR_WIDTH, plain),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_what_little_there_is_of_either() {
        let look = Look { color: false, ascii: true, width: 80 };
        assert_eq!(bar(1, 1, 4, look), "##..");
        assert_eq!(bar(1, 1_000_000, 4, look), "#...");
        assert_eq!(bar(1_000_000, 1, 4, look), "###.");
        assert_eq!(bar(5, 0, 4, look), "####");
        assert_eq!(bar(0, 5, 4, look), "....");
        assert_eq!(bar(u64::MAX / 2, u64::MAX / 2, 4, look), "##..");
    }
}
