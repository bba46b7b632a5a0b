//! `keys`, `scan` and `count`: list and count keys.

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
    Flag { name: "limit", short: None, takes: Takes::Number, doc: "Shows at most this many" },
    Flag { name: "all", short: None, takes: Takes::Nothing, doc: "Shows all keys" },
    Flag {
        name: "long",
        short: None,
        takes: Takes::Nothing,
        doc: "Shows the location, length, sequence number and time of each record, and the expiry",
    },
    Flag { name: "reverse", short: None, takes: Takes::Nothing, doc: "Lists from the last key to the first" },
    Flag {
        name: "null",
        short: Some('0'),
        takes: Takes::Nothing,
        doc: "Prints raw keys and values, each followed by a NUL byte, for xargs -0",
    },
];

const SIGNATURE: &str = "[PATTERN|--prefix KEY] [--from KEY] [--to KEY] [--limit N] [--all] [--long] \
     [--reverse] [--at SEQ|TIME] [-0|--null]";

pub const KEYS: Command = Command {
    name: "keys",
    aliases: &["ls", "list"],
    group: Group::Data,
    signature: SIGNATURE,
    summary: "Lists the keys in order",
    help: "Prints the keys in byte order.\n\n\
           In a pattern, * matches any bytes, ? one byte, [abc] or [a-z] one byte of a set, [^a] or [!a] \
           one byte outside a set, and \\x the byte x. The pattern matches the whole key: user:* lists \
           the keys that start with user:, and so does --prefix user:.\n\n\
           Mode table shows the first 40 keys without --all or --limit.\n\n\
           -0 works in modes plain and raw. It prints each key unescaped and ends it with a NUL byte \
           instead of a line break, as xargs -0 and sort -z read it. A key that contains a NUL byte is \
           an error, and the others follow.\n\n\
           With --long, mode plain has key, segment, offset, length, seq, time and expiry, separated by \
           tabs; times are milliseconds since 1970. Mode json has the same fields.",
    examples: &[
        Example { line: "keys", does: "lists the keys" },
        Example { line: "keys 'user:*' --limit 10", does: "lists ten keys that start with user:" },
        Example {
            line: "keys --from b --to d --reverse",
            does: "lists from the last key before d down to b",
        },
        Example { line: "keys --long", does: "shows the location of each record" },
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
    summary: "Lists the keys and values in order",
    help: "Lists as keys does, with the values. Mode plain separates key and value by a tab. With -0 a \
           NUL byte ends each key and each value: xargs -0 -n 2 reads pairs.",
    examples: &[
        Example { line: "scan 'user:*'", does: "shows the keys that start with user: and their values" },
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
    summary: "Counts the keys",
    help: "Prints the number of keys, or of those that match a pattern or start with a prefix. Without \
           either it takes no time, but includes expired keys that no compaction has removed. count '*' \
           checks each key.",
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

/// The number of rows that table mode shows without `--all` and `--limit`.
const ROWS_SHOWN: u64 = 40;

fn list(session: &mut Session, invocation: &Invocation, values: bool) -> Result<Outcome, Failure> {
    let walk = walk(invocation, values)?;
    let limit = match invocation.number("limit")? {
        None if session.out.is_table() && !invocation.has("all") => None,
        None => Some(u64::MAX),
        limit => limit,
    };
    let long = invocation.has("long");
    let nul = invocation.has("null");
    if nul {
        check_null(&session.out, invocation)?;
    }
    let at = point_asked_for(session, invocation)?;
    let mut rows = match at {
        Some(_) if walk.reverse => return Err(Failure::usage("--at and --reverse exclude each other")),
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
        // A truncated table needs no pager.
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
        let footer = format!("{} {shown}; --all shows all, --limit N the first N", look.ellipsis());
        for line in wrap(&footer, look.width).lines() {
            writeln!(session.out, "{}", look.paint(line, hue::DIM))?;
        }
    }
    session.shown_all(damage)
}

/// Suggests appending `*` to a pattern without a match.
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

/// The terminal width from which times have milliseconds.
const WIDTH_OF_MILLIS: usize = 100;

/// Writes a row. With `long_at_ms`, the present time, it has all fields of the record.
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

/// Adds the fields of the record. A key of the open batch has no record yet.
fn write_long(to: &mut Answer<'_>, row: &OverlayEntry, now_ms: u64) {
    let entry = row.record.as_ref();
    let expires_ms = row.expires_ms;
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

/// Quotes the start of a value, as much as a cell may show.
pub fn quote_start(value: &[u8]) -> String {
    const CELL_LEN_MAX: usize = 1024;
    quote(&value[..value.len().min(CELL_LEN_MAX)])
}

/// Fails if `--null` does not fit the mode, the terminal or `--long`.
fn check_null(out: &Output, invocation: &Invocation) -> Result<(), Failure> {
    let why = match out.mode {
        _ if invocation.has("long") => "-0 prints only keys and values, and excludes --long",
        Mode::Table | Mode::Json => "-0 works only in modes plain and raw",
        Mode::Plain if out.is_terminal => "-0 prints raw bytes; on a terminal it needs mode raw",
        Mode::Plain | Mode::Raw => return Ok(()),
    };
    Err(Failure::usage(why).at(invocation.name.clone()))
}

/// Prints a key, and its value if requested, each followed by a NUL byte. Reports a key or value
/// that contains NUL as a failure, because a reader would see two.
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
    session.fail_in_part(&failure.hint("without -0 it is printed with escapes"));
    Ok(())
}

/// Returns the present rows of `walk`, with the open batch applied.
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

/// Counts the remaining rows.
pub fn count(rows: &mut view::Rows, damage: &mut Option<Failure>) -> Result<u64, Failure> {
    let mut count = 0;
    while rows.next_sound(damage)?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Returns a walk over all keys that match `glob`.
pub fn matching(glob: Glob) -> Walk {
    Walk { glob: Some(glob), from: None, to: None, reverse: false, values: false }
}
