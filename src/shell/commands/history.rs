//! `versions` and `diff`, and the point of the log that `--at` names.

use std::io::{self, Write};

use logkv::{At, Difference, Entry, Error, Seqno, Version};

use super::get::{missing, not_there, print_entry};
use super::words::{HEX, arguments, moment_of};
use crate::shell::command::{
    ArgKind, Arity, Command, Example, Flag, Group, Invocation, Needs, Outcome, Takes,
};
use crate::shell::failure::Failure;
use crate::shell::grid::clip;
use crate::shell::json::Object;
use crate::shell::output::{Mode, Output};
use crate::shell::session::Session;
use crate::shell::style::hue;
use crate::shell::table::{Column, Squeeze, Table};
use crate::shell::units;
use crate::shell::words::{Word, quote};
use crate::shell::xray::Moment;

/// The flag that looks back.
pub const AT: Flag = Flag {
    name: "at",
    short: None,
    takes: Takes::Time,
    doc: "As it was after this record (a number), at this time (2030-01-31T12:00Z), or so long ago (10m)",
};

pub const VERSIONS: Command = Command {
    name: "versions",
    aliases: &["log"],
    group: Group::Inspect,
    signature: "KEY [--hex]",
    summary: "Every record of a key that is still in the log",
    help: "Shows the records of the key, the oldest first, and what became of each. Compaction drops what was \
           replaced, unless --keep-versions or --keep-for says how much of the past is kept; it is told where there \
           may have been others.",
    examples: &[Example { line: "versions user:1", does: "shows what user:1 was" }],
    flags: &[HEX],
    args: &[ArgKind::Key],
    arity: Arity::exactly(1),
    needs: Needs::Store,
    run: run_versions,
};

pub const DIFF: Command = Command {
    name: "diff",
    aliases: &[],
    group: Group::Inspect,
    signature: "FROM [TO]",
    summary: "What changed between two points of the log",
    help: "Shows the keys that are something else at TO (now, unless it is given) than they were at FROM: + was set, \
           - is gone, ~ has another value. Points are as for --at: the number of a record, a time, or so long ago. \
           What compaction has dropped cannot be compared: then it says so.",
    examples: &[
        Example { line: "diff 120", does: "shows what changed since record 120" },
        Example { line: "diff 10m", does: "shows what changed in the last ten minutes" },
        Example { line: "diff 2026-11-22T10:00Z 2026-11-22T11:00Z", does: "shows what changed in that hour" },
    ],
    flags: &[],
    args: &[ArgKind::Number],
    arity: Arity::between(1, 2),
    needs: Needs::Store,
    run: run_diff,
};

/// The point of the log that `word` names.
pub fn point(session: &Session, word: &Word) -> Result<At, Failure> {
    let text = str::from_utf8(&word.bytes).unwrap_or_default();
    if let Ok(number) = text.parse() {
        let last = session.store()?.at(At::Seq(Seqno(u64::MAX)))?.seq();
        if number > last.0 {
            let text = format!("there is no record {number} yet: the log ends at record {last}");
            let failure = Failure::command(text).at(word.span.clone());
            return Err(failure.hint("a time is written 2030-01-31T12:00Z, or 10m ago"));
        }
        return Ok(At::Seq(Seqno(number)));
    }
    if let Ok(ago) = humantime::parse_duration(text) {
        let now_ms = session.store()?.now_ms();
        let ago_ms = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        return Ok(At::Time(now_ms.saturating_sub(ago_ms)));
    }
    let refused = |_| {
        let given = quote(&word.bytes);
        let text = format!("a point of the log is a record's number, 2030-01-31T12:00Z or 10m, not {given}");
        Failure::usage(text).at(word.span.clone())
    };
    moment_of(word, "--at").map(At::Time).map_err(refused)
}

/// The point of the log that `--at` names; `None` where it is not given. In a batch there is none.
pub fn point_asked_for(session: &Session, invocation: &Invocation) -> Result<Option<At>, Failure> {
    let Some(word) = invocation.value("at") else { return Ok(None) };
    if session.transaction.is_some() {
        return Err(
            Failure::command("--at looks at the log, and the batch is not in it").at(word.span.clone())
        );
    }
    point(session, word).map(Some)
}

/// Prints what each key was at `at`.
pub fn get_at(session: &mut Session, keys: &[Vec<u8>], at: At) -> Result<Outcome, Failure> {
    let past = session.store()?.at(at)?;
    let mut worst = Outcome::Done;
    for key in keys {
        worst = worst.max(match past.get(key).map_err(|error| gone(error, key))? {
            Some(entry) => print_entry(&mut session.out, key, &entry)?,
            None => not_there(session, key)?,
        });
    }
    Ok(worst)
}

/// The failure of a get of `key` in the past.
fn gone(error: Error, key: &[u8]) -> Failure {
    match error {
        Error::CompactedAway { .. } => {
            let hint = format!("versions {} shows what is left", quote(key));
            Failure::from(error).hint(hint)
        }
        error => error.into(),
    }
}

const COLUMNS: &[Column] = &[
    Column::number("seq", hue::PLAIN),
    Column::text("time (UTC)", hue::PLAIN).squeezed(Squeeze::Leaves(1)),
    Column::text("record", hue::PLAIN),
    Column::number("size", hue::PLAIN).squeezed(Squeeze::Leaves(2)),
    Column::text("kind", hue::PLAIN),
    Column::text("value", hue::VALUE).squeezed(Squeeze::Cuts),
    Column::text("state", hue::PLAIN),
];

/// What became of a version.
struct Fate {
    /// For people: `dead  replaced by 3:0x00003a`.
    text: String,
    /// For programs.
    name: &'static str,
    /// The record that ended it.
    by: Option<logkv::Location>,
}

impl Fate {
    fn of(version: &Version, next: Option<&Version>, now_ms: u64) -> Self {
        let is_past = version.meta.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms);
        let by = next.map(|next| next.meta.location);
        let (name, text) = match (next, by) {
            (Some(next), Some(by)) if next.value.is_some() => ("replaced", format!("dead  replaced by {by}")),
            (Some(_), Some(by)) => ("deleted", format!("dead  deleted by {by}")),
            _ if version.value.is_none() => ("tombstone", "tomb".to_owned()),
            _ if is_past => ("expired", "exp".to_owned()),
            _ => ("live", "LIVE".to_owned()),
        };
        Self { text, name, by }
    }
}

fn run_versions(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let [key] = arguments(invocation)?.try_into().expect("the table asks for one");
    let store = session.store()?;
    let (found, now_ms) = (store.versions(&key)?, store.now_ms());
    if found.versions.is_empty() {
        tell_dropped(session, found.dropped_to)?;
        return missing(session, &key);
    }
    let mut table = Table::new(COLUMNS, session.out.look);
    let mut damage = None;
    let mut versions = found.versions.into_iter().peekable();
    let mut count = 0;
    while let Some(version) = versions.next() {
        session.interrupt.check(count)?;
        count += 1;
        match version {
            Ok(version) => {
                let next = versions.peek().and_then(|next| next.as_ref().ok());
                let fate = Fate::of(&version, next, now_ms);
                write_version(&mut session.out, &mut table, &version, &fate)?;
            }
            // The others are told first.
            Err(error) => drop(damage.get_or_insert(Failure::from(error))),
        }
    }
    table.write(&mut session.out)?;
    tell_dropped(session, found.dropped_to)?;
    damage.map_or(Ok(Outcome::Done), Err)
}

fn write_version(out: &mut Output, table: &mut Table<'_>, version: &Version, fate: &Fate) -> io::Result<()> {
    let Version { meta, value } = version;
    let kind = if value.is_some() { "PUT" } else { "DEL" };
    match out.mode {
        Mode::Table => {
            let shown = value.as_ref().map_or_else(|| "–".to_owned(), |value| quote(value));
            let time = Moment::of(meta.time_ms).full();
            let size = units::bytes(meta.len);
            let record = meta.location.to_string();
            table.row(vec![
                meta.seq.to_string(),
                time,
                record,
                size,
                kind.to_owned(),
                shown,
                fate.text.clone(),
            ]);
            Ok(())
        }
        Mode::Plain | Mode::Raw => {
            let shown = value.as_ref().map_or_else(|| "-".to_owned(), |value| quote(value));
            writeln!(out, "{}\t{}\t{}\t{kind}\t{}\t{shown}", meta.seq, meta.time_ms, meta.location, fate.name)
        }
        Mode::Json => {
            let mut object = Object::new(out);
            object.bytes("key", &meta.key)?.bytes_if_any("value", value.as_deref())?;
            object.field("seq", meta.seq.0)?.field("time_ms", meta.time_ms)?;
            object.field("segment", meta.location.segment.0)?.field("offset", meta.location.offset)?;
            object.field("len", meta.len)?.field("expires_ms", meta.expires_ms)?.field("state", fate.name)?;
            object.field("by_segment", fate.by.map(|by| by.segment.0))?;
            object.field("by_offset", fate.by.map(|by| by.offset))?.end()
        }
    }
}

/// Says that there may have been other versions.
fn tell_dropped(session: &mut Session, dropped_to: Option<Seqno>) -> Result<(), Failure> {
    if let Some(seq) = dropped_to {
        session.flush();
        session.note(&format!(
            "note: records up to number {seq} were compacted away; others of this key may have been"
        ));
    }
    Ok(())
}

fn run_diff(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let points = invocation.args.iter().map(|word| point(session, word)).collect::<Result<Vec<_>, _>>()?;
    let store = session.store()?;
    let (mut damage, mut count) = (None, 0);
    for difference in store.diff(points[0], points.get(1).copied())? {
        session.interrupt.check(count)?;
        match difference {
            Ok(difference) => {
                count += 1;
                write_difference(&mut session.out, &difference)?;
            }
            Err(error) => drop(damage.get_or_insert(Failure::from(error))),
        }
    }
    if session.out.is_table() {
        writeln!(session.out, "{}", units::count(count, "difference"))?;
    }
    damage.map_or(Ok(Outcome::Done), Err)
}

fn write_difference(out: &mut Output, difference: &Difference) -> io::Result<()> {
    let Difference { before, after, gone } = difference;
    let key = before.iter().chain(after).map(|entry| &*entry.meta.key).next().unwrap_or_default();
    let value = |entry: &Entry| quote(&entry.value);
    let (sign, values) = match (before, after) {
        (None, Some(after)) => ('+', vec![value(after)]),
        (Some(before), Some(after)) => ('~', vec![value(before), value(after)]),
        (Some(before), None) => ('-', vec![value(before)]),
        (None, None) => ('-', Vec::new()),
    };
    match out.mode {
        Mode::Table => {
            let look = out.look;
            let arrow = if look.ascii { " -> " } else { " → " };
            let line = format!("{sign} {}  {}", quote(key), values.join(arrow));
            writeln!(out, "{}", clip(&line, look.width, look.ellipsis()))
        }
        Mode::Plain | Mode::Raw => writeln!(out, "{sign}\t{}\t{}", quote(key), values.join("\t")),
        Mode::Json => {
            let mut object = Object::new(out);
            object.bytes("key", key)?;
            for (name, entry) in [("before", before), ("after", after)] {
                object.bytes_if_any(name, entry.as_ref().map(|entry| &*entry.value))?;
            }
            let last = after.as_ref().map(|after| &after.meta).or(gone.as_ref().map(|gone| &gone.meta));
            object.field("seq", last.map(|meta| meta.seq.0))?;
            object.field("time_ms", last.map(|meta| meta.time_ms))?.end()
        }
    }
}
