//! `stats`: prints statistics of the store, its memory and its metrics.

use std::io::{self, Write};

use logkv::{MemoryStats, Stats};

use crate::shell::lang::command::{Arity, Example, Flag, Group, Needs, Outcome, Takes};
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::run::{metrics_file, segments};
use crate::shell::term::bar::bar;
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::output::Output;
use crate::shell::term::process::{self, Resident};
use crate::shell::term::style::hue;
use crate::shell::term::units;

pub const STATS: Command = Command {
    name: "stats",
    aliases: &["info"],
    group: Group::Inspect,
    signature: "[--memory] [--prometheus]",
    summary: "Prints statistics of the store",
    help: "Prints the number of keys, the live and dead bytes of the log, and the memory of the index.\n\n\
           Expired keys count until a compaction removes them.\n\n\
           --memory prints the memory of the store and, from the operating system, of the whole process. \
           The system can drop mapped pages when it needs memory.\n\n\
           --prometheus prints the metrics in the text format of Prometheus, with the counters and \
           timings of this process since it opened the store; --metrics-file keeps them in a file.\n\n\
           Mode plain has name, tab, value; mode json one object. Lengths are bytes.",
    examples: &[
        Example { line: "stats", does: "prints the statistics" },
        Example { line: "stats --memory", does: "prints the memory of the store and the process" },
        Example { line: "stats --prometheus", does: "prints the metrics for Prometheus" },
    ],
    flags: &[
        Flag {
            name: "memory",
            short: None,
            takes: Takes::Nothing,
            doc: "Prints the memory of the store and the process",
        },
        Flag {
            name: "prometheus",
            short: None,
            takes: Takes::Nothing,
            doc: "Prints the metrics in the text format of Prometheus",
        },
    ],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Reading,
    run: Run::Itself(run_stats),
};

/// A figure of `T`.
struct Figure<T> {
    /// The name in modes plain and json.
    name: &'static str,
    /// The name in mode table, or empty if another line has the figure.
    title: &'static str,
    /// Returns the figure, or `None` if it is unknown.
    of: fn(&T) -> Option<u64>,
    show: fn(u64) -> String,
}

/// Formats a sequence number without separators, so that it can be typed back.
fn number(seq: u64) -> String {
    seq.to_string()
}

const FIGURES: &[Figure<Stats>] = &[
    Figure { name: "keys", title: "keys", of: |stats| Some(stats.key_count), show: units::thousands },
    Figure { name: "live_bytes", title: "live", of: |stats| Some(stats.live_len), show: units::bytes },
    // Tombstones have a figure of their own.
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
    Figure { name: "raw_bytes", title: "", of: |stats| Some(stats.raw_len), show: units::bytes },
    Figure { name: "stored_bytes", title: "", of: |stats| Some(stats.stored_len), show: units::bytes },
    Figure { name: "seq", title: "last record", of: |stats| Some(stats.last_seq.0), show: number },
    Figure {
        name: "durable_seq",
        title: "durable up to",
        of: |stats| stats.durable_seq.map(|seq| seq.0),
        show: number,
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

/// Memory of the store and of the process.
struct InMemory {
    store: MemoryStats,
    process: Option<Resident>,
}

const MEMORY_FIGURES: &[Figure<InMemory>] = &[
    Figure {
        name: "keydir_bytes",
        title: "index",
        of: |memory| Some(memory.store.keydir_len),
        show: units::bytes,
    },
    Figure {
        name: "keydir_mapped_bytes",
        title: "index, mapped from KEYDIR",
        of: |memory| Some(memory.store.keydir_mapped_len),
        show: units::bytes,
    },
    Figure {
        name: "keydir_used_bytes",
        title: "index, in slots with keys",
        of: |memory| Some(memory.store.keydir_used_len),
        show: units::bytes,
    },
    Figure {
        name: "order_bytes",
        title: "order of records without a hint",
        of: |memory| Some(memory.store.order_len),
        show: units::bytes,
    },
    Figure {
        name: "hint_mapped_bytes",
        title: "hints, mapped",
        of: |memory| Some(memory.store.hint_mapped_len),
        show: units::bytes,
    },
    Figure {
        name: "segment_mapped_bytes",
        title: "segments, mapped",
        of: |memory| Some(memory.store.segment_mapped_len),
        show: units::bytes,
    },
    Figure {
        name: "process_bytes",
        title: "process",
        of: |memory| memory.process.map(|process| process.own_len),
        show: units::bytes,
    },
    Figure {
        name: "process_mapped_bytes",
        title: "process, of mapped files",
        of: |memory| memory.process.map(|process| process.mapped_len),
        show: units::bytes,
    },
    Figure {
        name: "process_peak_bytes",
        title: "process, peak",
        of: |memory| memory.process.map(|process| process.peak_len),
        show: units::bytes,
    },
];

const FIGURE_COLUMNS: &[Column] = &[Column::text("figure", hue::DIM), Column::text("amount", hue::PLAIN)];

fn run_stats(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    match (invocation.has("prometheus"), invocation.has("memory")) {
        (true, true) => {
            let failure = Failure::usage("stats takes either --memory or --prometheus");
            Err(failure.at(invocation.name.clone()))
        }
        (true, false) => run_prometheus(session, invocation),
        (false, true) => run_memory(session),
        (false, false) => run_figures(session),
    }
}

fn run_figures(session: &mut Session) -> Result<Outcome, Failure> {
    let mut stats = session.store()?.stats()?;
    let damage = session.known_damage();
    stats.damage_count = damage.len() as u64;
    let ratio = stats.compression_ratio().map(|ratio| {
        let [raw, stored] = [stats.raw_len, stats.stored_len].map(units::bytes);
        ("compression", format!("{ratio:.2} : 1, {raw} in {stored}"))
    });
    write_figures(&mut session.out, FIGURES, &stats, ratio)?;
    let out = &mut session.out;
    let live_len = stats.live_len;
    let dead_len = stats.dead_len;
    if live_len + dead_len > 0 {
        out.say(|look| {
            let bar = bar(live_len, dead_len, look.width.saturating_sub(16).min(60), look);
            format!("{bar} {} live", units::percent(live_len, live_len + dead_len))
        })?;
    }
    segments::write_damage(out, &damage)?;
    Ok(if stats.damage_count > 0 { Outcome::Damaged } else { Outcome::Done })
}

fn run_memory(session: &mut Session) -> Result<Outcome, Failure> {
    let store = session.store()?;
    let memory = InMemory { store: store.memory(), process: process::resident() };
    let keys = store.len();
    let index_len = memory.store.keydir_len + memory.store.keydir_mapped_len;
    // With few keys the tables are nearly empty, and the bytes per key mean nothing.
    const USED_PERCENT_LEAST: u64 = 25;
    let used_len = memory.store.keydir_used_len;
    let more = match used_len * 100 >= index_len * USED_PERCENT_LEAST {
        true if keys > 0 => Some(("index, per key", format!("{:.1} B", index_len as f64 / keys as f64))),
        _ => Some(("index, share in use", units::percent(used_len, index_len))),
    };
    write_figures(&mut session.out, MEMORY_FIGURES, &memory, more)?;
    Ok(Outcome::Done)
}

/// Writes the figures of `of`. `more` is a title and an amount for table mode.
fn write_figures<T>(
    out: &mut Output,
    figures: &[Figure<T>],
    of: &T,
    more: Option<(&str, String)>,
) -> io::Result<()> {
    let mut table = Table::new(FIGURE_COLUMNS, out.look).headless();
    let mut answer = out.figures_in(&mut table);
    for figure in figures {
        let amount = (figure.of)(of);
        answer.field(figure.name, amount);
        if !figure.title.is_empty() {
            answer.titled(figure.title, || amount.map_or_else(|| "unknown".to_owned(), figure.show));
        }
    }
    if let Some((title, amount)) = more {
        answer.titled(title, || amount);
    }
    answer.end()?;
    table.end(out)
}

fn run_prometheus(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    if invocation.json {
        let failure = Failure::usage("stats takes either --prometheus or --json");
        return Err(failure.at(invocation.name.clone()));
    }
    let text = metrics_file::text(&session.store()?)?;
    session.out.write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}
