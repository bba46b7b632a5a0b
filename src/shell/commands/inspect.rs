//! `stats`, `dump-segment`, `verify`.

use std::io::Write;

use crate::shell::bar::bar;
use crate::shell::command::{ArgKind, Arity, Command, Example, Group, Invocation, Needs, Outcome};
use crate::shell::failure::Failure;
use crate::shell::json::Object;
use crate::shell::output::Mode;
use crate::shell::session::Session;
use crate::shell::style::hue;
use crate::shell::table::{Column, Table};
use crate::shell::units;
use crate::shell::verify;
use crate::shell::xray;
use logkv::Stats;

pub const STATS: Command = Command {
    name: "stats",
    aliases: &["info"],
    group: Group::Inspect,
    signature: "",
    summary: "Figures of the whole store",
    help: "Prints how many keys there are, what their records take, how much of the log is \
           dead, and what the index takes in memory. Keys that have expired count until a compaction \
           gives back their room. Mode plain has name, tab, value; mode \
           json one object; all lengths are bytes.",
    examples: &[Example { line: "stats", does: "prints the figures" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Store,
    run: run_stats,
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
           --hex shows every byte, field by field. \
           SEG may also be a data file of another store, N.bitcask.data of Riak's bitcask or segment_N.log of the \
           Go program logkv-store, which is shown in that format's own terms; DIR need not be a store then.",
    examples: &[
        Example { line: "dump-segment 3", does: "shows the records of 000003.seg" },
        Example { line: "dump-segment 3 --only dead --limit 10", does: "shows ten dead records" },
        Example { line: "dump-segment 3 --record 0 --hex", does: "shows every byte of the first record" },
        Example { line: "dump-segment riak/7.bitcask.data", does: "shows a data file of Riak's bitcask" },
    ],
    flags: xray::FLAGS,
    args: &[ArgKind::Segment],
    arity: Arity::exactly(1),
    needs: Needs::Files,
    run: xray::run,
};

pub const VERIFY: Command = Command {
    name: "verify",
    aliases: &["check"],
    group: Group::Inspect,
    signature: "[SEG…]",
    summary: "Checks every byte of the files, and says what is wrong",
    help: "Reads the files alone, and writes nothing: it works on a store that does not open, and beside a \
           writer. It checks every checksum, the order of the log, each hint against its segment, and KEYDIR \
           against the log. Damage is in the log itself; derived is in a hint or KEYDIR, which are made \
           anew; a note costs nothing. Exit code 4 when there is damage of either kind. \
           Mode plain has severity, file, offset, length, key and text, separated by tabs, and ok when \
           nothing is wrong; mode json an object a finding, and a summary.",
    examples: &[
        Example { line: "verify", does: "checks everything" },
        Example { line: "verify 3", does: "checks 000003.seg and its hint" },
    ],
    flags: &[],
    args: &[ArgKind::Segment],
    arity: Arity::at_least(0),
    needs: Needs::Directory,
    run: verify::run,
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
    Figure {
        name: "expired",
        title: "expired",
        of: |stats| Some(stats.expired_count),
        show: units::thousands,
    },
    Figure {
        name: "expired_bytes",
        title: "in expired",
        of: |stats| Some(stats.expired_len),
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
