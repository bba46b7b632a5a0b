//! `keys`, `scan`, `count`.

use std::io::{self, Write};

use logkv::OverlayEntry;

use super::point::{AT, past, point_asked_for};
use super::words::{PREFIX, keys_asked};
use crate::shell::lang::answer::{Answer, FieldValue};
use crate::shell::lang::command::{ArgKind, Arity, Example, Flag, Group, Needs, Outcome, Takes};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::glob::Glob;
use crate::shell::lang::words::quote;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::run::view::{self, Walk};
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::fit::wrap;
use crate::shell::term::moment::Moment;
use crate::shell::term::output::{Mode, Output};
use crate::shell::term::style::{Look, hue};
use crate::shell::term::units;

const FLAGS: &[Flag] = &[
    AT,
    PREFIX,
    Flag { name: "from", short: None, takes: Takes::Key, doc: "Starts at this key" },
    Flag { name: "to", short: None, takes: Takes::Key, doc: "Stops before this key" },
    Flag { name: "limit", short: None, takes: Takes::Number, doc: "Shows this many at most" },
    Flag { name: "all", short: None, takes: Takes::Nothing, doc: "Shows all, however many" },
    Flag {
        name: "long",
        short: None,
        takes: Takes::Nothing,
        doc: "Shows each key's record: where it is, its length, number and time, and when it expires",
    },
    Flag { name: "reverse", short: None, takes: Takes::Nothing, doc: "Goes from the last key to the first" },
    Flag {
        name: "null",
        short: Some('0'),
        takes: Takes::Nothing,
        doc: "Prints keys and values as they are, each with a NUL byte behind it, for xargs -0",
    },
];

const SIGNATURE: &str = "[PATTERN|--prefix KEY] [--from KEY] [--to KEY] [--limit N] [--all] [--long] [--reverse] [--at SEQ|TIME] \
     [-0|--null]";

pub const KEYS: Command = Command {
    name: "keys",
    aliases: &["ls", "list"],
    group: Group::Data,
    signature: SIGNATURE,
    summary: "The keys, in order",
    help: "Prints the keys in byte order.\n\n\
           In a pattern, * stands for any bytes, ? for one byte, [abc] or [a-z] for one byte of a set, \
           [^a] or [!a] for one byte outside it, and \\x for x itself. The pattern covers the whole \
           key: user:* lists the keys that start with user:, and so does --prefix user:.\n\n\
           Mode table shows the first 40, unless --all or --limit says otherwise.\n\n\
           -0 works in modes plain and raw: each key is printed unescaped and ends with a NUL byte, \
           without a line break, as xargs -0 and sort -z read it. A key that contains a NUL byte is an \
           error, and the others follow.\n\n\
           With --long, mode plain has key, segment, offset, length, seq, milliseconds since 1970 and \
           when the key expires, separated by tabs; mode json the same.",
    examples: &[
        Example { line: "keys", does: "lists the keys" },
        Example { line: "keys 'user:*' --limit 10", does: "lists ten keys that start with user:" },
        Example {
            line: "keys --from b --to d --reverse",
            does: "lists from the last key before d down to b",
        },
        Example { line: "keys --long", does: "shows where each key's record is" },
        Example { line: "keys 'user:*' -0", does: "ends each key with a NUL byte, for xargs -0" },
    ],
    flags: FLAGS,
    args: &[ArgKind::Glob],
    arity: Arity::between(0, 1),
    needs: Needs::Reading,
    run: Run::Itself(|session, invocation| list(session, invocation, false)),
};

pub const SCAN: Command = Command {
    name: "scan",
    aliases: &[],
    group: Group::Data,
    signature: SIGNATURE,
    summary: "The keys and their values, in order",
    help: "As keys, with the values; mode plain separates key and value by a tab. With -0 a NUL byte \
           ends each key and each value: xargs -0 -n 2 takes pairs.",
    examples: &[
        Example { line: "scan 'user:*'", does: "shows all keys that start with user:, with their values" },
        Example { line: "scan --limit 3 --reverse", does: "shows the last three" },
    ],
    flags: FLAGS,
    args: &[ArgKind::Glob],
    arity: Arity::between(0, 1),
    needs: Needs::Reading,
    run: Run::Itself(|session, invocation| list(session, invocation, true)),
};

pub const COUNT: Command = Command {
    name: "count",
    aliases: &["dbsize"],
    group: Group::Data,
    signature: "[PATTERN|--prefix KEY]",
    summary: "How many keys there are",
    help: "Prints the number of keys, or of those that match a pattern or start with a prefix. Without \
           either it costs nothing, but keys that have expired count until a compaction frees their \
           space; count '*' looks at each key.",
    examples: &[
        Example { line: "count", does: "counts all keys, at once" },
        Example { line: "count 'user:*'", does: "counts the keys that start with user:" },
    ],
    flags: &[PREFIX],
    args: &[ArgKind::Glob],
    arity: Arity::between(0, 1),
    needs: Needs::Reading,
    run: Run::Itself(run_count),
};

/// Rows of a table that are shown without being asked for.
const ROWS_SHOWN: u64 = 40;

fn list(session: &mut Session, invocation: &Invocation, values: bool) -> Result<Outcome, Failure> {
    let walk = walk(invocation, values)?;
    let limit = match invocation.number("limit")? {
        None if session.out.is_table() && !invocation.has("all") => None,
        None => Some(u64::MAX),
        limit => limit,
    };
    let (long, nul) = (invocation.has("long"), invocation.has("null"));
    if nul {
        check_null(&session.out, invocation)?;
    }
    let at = point_asked_for(session, invocation)?;
    let mut rows = match at {
        Some(_) if walk.reverse => return Err(Failure::usage("--at goes forward only, not with --reverse")),
        Some(at) => walk.rows_of_past(&past(session, at)?, session.interrupt())?,
        None => rows(session, &walk)?,
    };
    let now_ms = session.store()?.now_ms();
    let mut table = Table::new(&[], session.out.look);
    let mut damage = None;
    let mut count = 0;
    while count < limit.unwrap_or(ROWS_SHOWN) {
        let Some(row) = rows.next_sound(&mut damage)? else {
            break;
        };
        count += 1;
        if nul {
            print_null(session, &row)?;
        } else {
            write_row(&mut session.out, &mut table, &row, long.then_some(now_ms))?;
        }
    }
    let goes_on = limit.is_none() && rows.next_sound(&mut damage)?.is_some();
    if goes_on {
        // What is cut to a page is not paged as well.
        session.out.flush()?;
    }
    table.end(&mut session.out)?;
    match limit {
        _ if count > 0 => {}
        Some(0) => session.out.say(|_| "no keys are shown: --limit is 0")?,
        _ => {
            session.out.say(|_| "no keys")?;
            suggest_more(session, invocation, &walk)?;
        }
    }
    if goes_on {
        let shown = if walk.is_whole() && !session.has_batch() && at.is_none() {
            format!("{ROWS_SHOWN} of {}", units::count(session.store()?.len(), "key"))
        } else {
            format!("the first {ROWS_SHOWN}")
        };
        let look = session.out.look;
        let footer = format!("{} {shown}; --all shows all, --limit N so many", look.ellipsis());
        for line in wrap(&footer, look.width).lines() {
            writeln!(session.out, "{}", look.paint(line, hue::DIM))?;
        }
    }
    session.shown_all(damage)
}

/// Suggests a pattern with `*` for one without it that matched no key.
fn suggest_more(session: &mut Session, invocation: &Invocation, walk: &Walk) -> Result<(), Failure> {
    let (Some(word), Some(glob)) = (invocation.args.first(), walk.glob.as_ref().and_then(Glob::lengthened))
    else {
        return Ok(());
    };
    if !session.out.is_table() {
        return Ok(());
    }
    let longer = Walk { glob: Some(glob), values: false, ..walk.clone() };
    if rows(session, &longer)?.next_sound(&mut None)?.is_some() {
        let pattern = quote(&[&word.bytes, &b"*"[..]].concat());
        session.flush();
        session.note(&format!("hint: did you mean {pattern}?"));
    }
    Ok(())
}

fn walk(invocation: &Invocation, values: bool) -> Result<Walk, Failure> {
    Ok(Walk {
        glob: keys_asked(invocation, invocation.args.first())?,
        from: invocation.value("from").map(|word| word.bytes.clone()),
        to: invocation.value("to").map(|word| word.bytes.clone()),
        reverse: invocation.has("reverse"),
        values,
    })
}

/// On a screen of fewer columns times have no milliseconds.
const WIDTH_OF_MILLIS: usize = 100;

/// Writes a row. `long_at_ms`: with all about its record, at that time.
fn write_row(
    out: &mut Output,
    table: &mut Table,
    row: &OverlayEntry,
    long_at_ms: Option<u64>,
) -> io::Result<()> {
    let mut to = out.row(table);
    to.cell(Column::text("key", hue::KEY).cut(), |_| quote(&row.key)).field("key", FieldValue::Raw(&row.key));
    if let Some(value) = row.value.as_deref() {
        to.json("value", value);
    }
    if let Some(now_ms) = long_at_ms {
        write_long(&mut to, row, now_ms);
    }
    if let Some(value) = row.value.as_deref() {
        to.cell(Column::text("value", hue::VALUE).cut(), |_| quote_start(value));
        to.plain("value", FieldValue::Raw(value));
    }
    to.end()?;
    Ok(())
}

/// Adds all about the row's record; a key of the batch has none yet.
fn write_long(to: &mut Answer<'_>, row: &OverlayEntry, now_ms: u64) {
    let (entry, expires_ms) = (row.record.as_ref(), row.expires_ms);
    let place = entry.map(|entry| entry.location);
    let number = |name, rank| Column::number(name, hue::PLAIN).leaves(rank);
    to.cell(number("segment", 1), |look| or_none(place, look, |place| place.segment.to_string()));
    to.field("segment", place.map(|place| place.segment.0));
    to.cell(number("offset", 2), |look| or_none(place, look, |place| format!("{:#08x}", place.offset)));
    to.field("offset", place.map(|place| place.offset));
    to.cell(number("bytes", 3), |look| or_none(entry, look, |entry| units::thousands(entry.len)));
    to.field("len", entry.map(|entry| entry.len));
    to.cell(number("seq", 4), |look| or_none(entry, look, |entry| entry.seq.to_string()));
    to.field("seq", entry.map(|entry| entry.seq.0));
    to.cell(Column::text("time (UTC)", hue::DIM).leaves(5), |look| match entry {
        None => "with commit".to_owned(),
        Some(entry) if look.width < WIDTH_OF_MILLIS => Moment::of(entry.time_ms).seconds_full(),
        Some(entry) => Moment::of(entry.time_ms).full(),
    });
    to.field("time_ms", entry.map(|entry| entry.time_ms));
    to.cell(Column::text("expires in", hue::PLAIN).leaves(6), |look| {
        or_none(expires_ms, look, |expires_ms| units::duration(expires_ms.saturating_sub(now_ms)))
    });
    to.field("expires_ms", expires_ms);
}

fn or_none<T>(value: Option<T>, look: Look, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| look.none().to_owned(), show)
}

/// The start of a value, quoted: what a cell has no room for is not even looked at.
pub fn quote_start(value: &[u8]) -> String {
    const CELL_LEN_MAX: usize = 1024;
    quote(&value[..value.len().min(CELL_LEN_MAX)])
}

/// Refuses `--null` if the output could not be NUL-separated bytes.
fn check_null(out: &Output, invocation: &Invocation) -> Result<(), Failure> {
    let why = match out.mode {
        _ if invocation.has("long") => "-0 prints keys and values alone, without --long",
        Mode::Table | Mode::Json => "-0 works only in modes plain and raw",
        Mode::Plain if out.is_terminal => "-0 prints raw bytes; on a terminal it needs mode raw",
        Mode::Plain | Mode::Raw => return Ok(()),
    };
    Err(Failure::usage(why).at(invocation.name.clone()))
}

/// Prints a key, and its value if requested, each followed by a NUL byte. A key or value that contains NUL is left out,
/// because a reader would take it for two.
fn print_null(session: &mut Session, row: &OverlayEntry) -> Result<(), Failure> {
    let parts = || std::iter::once(&*row.key).chain(row.value.as_deref());
    let Some(part) = parts().position(|part| memchr::memchr(0, part).is_some()) else {
        for part in parts() {
            session.out.write_all(part)?;
            session.out.write_all(b"\0")?;
        }
        return Ok(());
    };
    let what = if part == 0 { "the key" } else { "the value of" };
    let key = quote(&row.key);
    let failure = Failure::command(format!("{what} {key} has a NUL byte, which would end it early"));
    session.fail_in_part(&failure.hint("without -0 it is printed escaped"));
    Ok(())
}

/// The keys of `walk` as this shell sees them now.
fn rows(session: &Session, walk: &Walk) -> Result<view::Rows, Failure> {
    let snapshot = session.store()?.snapshot()?;
    Ok(walk.rows(&snapshot, session.overlay(), session.interrupt())?)
}

fn run_count(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let walk = walk(invocation, false)?;
    let mut damage = None;
    let count = if walk.is_whole() && !session.has_batch() {
        session.store()?.len()
    } else {
        count(&mut rows(session, &walk)?, &mut damage)?
    };
    session.out.answer().say(|_| units::thousands(count)).field("count", count).end()?;
    if count == 0 {
        suggest_more(session, invocation, &walk)?;
    }
    session.shown_all(damage)
}

/// How many rows are left.
pub fn count(rows: &mut view::Rows, damage: &mut Option<Failure>) -> Result<u64, Failure> {
    let mut count = 0;
    while rows.next_sound(damage)?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// A walk over all keys that match `glob`.
pub fn matching(glob: Glob) -> Walk {
    Walk { glob: Some(glob), from: None, to: None, reverse: false, values: false }
}
