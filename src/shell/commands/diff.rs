//! `diff`: shows the changes between two points of the log.

use std::io::{self};

use logkv::{Difference, Entry};
use unicode_width::UnicodeWidthStr;

use super::keys::quote_start;
use super::point::{point, searching};
use crate::shell::lang::answer::FieldValue;
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::fit::clip;
use crate::shell::term::moment::Moment;
use crate::shell::term::output::Output;
use crate::shell::term::style::Look;
use crate::shell::term::units;

pub const DIFF: Command = Command {
    name: "diff",
    aliases: &[],
    group: Group::Inspect,
    signature: "FROM [TO]",
    summary: "Shows the changes between two points of the log",
    help: "Shows the keys that differ between FROM and TO (by default now): + is a new key, - a deleted \
           one, and ~ a key with another value or expiry. A changed expiry is shown after the values. A \
           point is a sequence number, a time or a duration ago, as for --at.\n\n\
           diff fails if compaction has dropped records that it needs.\n\n\
           Mode plain has the sign, the key and the values, separated by tabs. If one of the values \
           expires, the expiry of each follows: milliseconds since 1970, or - for never.",
    examples: &[
        Example { line: "diff 120", does: "shows the changes since record 120" },
        Example { line: "diff 10m", does: "shows the changes of the last ten minutes" },
        Example { line: "diff 2026-11-22T10:00Z 2026-11-22T11:00Z", does: "shows the changes of that hour" },
    ],
    flags: &[],
    args: &[ArgKind::Point],
    arity: Arity::between(1, 2),
    needs: Needs::Reading,
    run: Run::Itself(run_diff),
};

fn run_diff(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let points = invocation.args.iter().map(|word| point(session, word)).collect::<Result<Vec<_>, _>>()?;
    let from = points[0];
    let to = points.get(1).copied();
    let store = session.store()?;
    let mut differences = searching(session.interrupt(), |observe| store.diff_with(from, to, observe))?;
    let mut damage = None;
    let mut count = 0;
    let mut seen_count = 0;
    while let Some(seen) = differences.next_key() {
        session.interrupt().check(seen_count)?;
        seen_count += 1;
        match seen {
            Ok(Some(difference)) => {
                count += 1;
                write_difference(&mut session.out, &difference)?;
            }
            Ok(None) => {}
            Err(error) => drop(damage.get_or_insert(Failure::from(error))),
        }
    }
    session.out.say(|_| units::count(count, "difference"))?;
    session.shown_all(damage)
}

fn write_difference(out: &mut Output, difference: &Difference) -> io::Result<()> {
    let Difference { before, after, gone } = difference;
    let sides: Vec<&Entry> = before.iter().chain(after).collect();
    let key = sides.first().map(|entry| &*entry.meta.key).unwrap_or_default();
    let sign = match (before, after) {
        (None, Some(_)) => "+",
        (Some(_), Some(_)) => "~",
        (_, None) => "-",
    };
    let mut answer = out.answer();
    answer.say(|look| line(look, sign, key, &sides)).plain("sign", sign).field("key", key);
    for (name, side) in [("before", before), ("after", after)] {
        match side {
            Some(entry) => answer.field(name, &*entry.value),
            None => answer.json(name, FieldValue::Nothing),
        };
    }
    let has_expiry = sides.iter().any(|side| side.meta.expires_ms.is_some());
    for (name, side) in [("before_expires_ms", before), ("after_expires_ms", after)] {
        let expires_ms = side.as_ref().and_then(|entry| entry.meta.expires_ms);
        match side {
            Some(_) if has_expiry => {
                answer.field_as(name, expires_ms, expires_ms.map_or("-".into(), FieldValue::Number))
            }
            _ => answer.json(name, expires_ms),
        };
    }
    let last = after.as_ref().map(|after| &after.meta).or(gone.as_ref().map(|gone| &gone.meta));
    answer.json("seq", last.map(|meta| meta.seq.0)).json("time_ms", last.map(|meta| meta.time_ms)).end()?;
    Ok(())
}

/// Returns a line of table mode: `~ key  old → new  expires never → 2030-01-31 12:00:00`. If only
/// the expiry changed, the value appears once.
fn line(look: Look, sign: &str, key: &[u8], sides: &[&Entry]) -> String {
    let arrow = if look.ascii { " -> " } else { " → " };
    let mut values: Vec<_> = sides.iter().map(|side| quote_start(&side.value)).collect();
    let mut expiry = String::new();
    if let [before, after] = sides
        && before.meta.expires_ms != after.meta.expires_ms
    {
        let ends = [before, after].map(|side| side.meta.expires_ms.map(|ms| Moment::of(ms).seconds_full()));
        let [before_end, after_end] = ends.map(|end| end.unwrap_or_else(|| "never".to_owned()));
        expiry = format!("  expires {before_end}{arrow}{after_end}");
        if before.value == after.value {
            values.pop();
        }
    }
    // Each part is clipped separately, so that a long one does not hide the parts after it.
    let clipped = |text: &str, room: usize| clip(text, room, look.ellipsis());
    let room = look.width.saturating_sub(expiry.width() + 4);
    let value_room = values.iter().map(|value| value.width()).sum::<usize>() + arrow.width();
    let key = quote_start(key);
    let key = clipped(&key, share(room, &key, value_room, 3));
    let room = room.saturating_sub(key.width());
    let shown = match &values[..] {
        [before, after] => {
            let room = room.saturating_sub(arrow.width());
            let before = clipped(before, share(room, before, after.width(), 2));
            let after = clipped(after, room.saturating_sub(before.width()));
            format!("{before}{arrow}{after}")
        }
        values => clipped(&values.concat(), room),
    };
    clipped(&format!("{sign} {key}  {shown}{expiry}"), look.width)
}

/// Returns the width in which `text` is shown beside a text of width `rest`: the part of `room`
/// that `rest` leaves, or `room / part` if that is more, and never more than `text` needs.
fn share(room: usize, text: &str, rest: usize, part: usize) -> usize {
    text.width().min((room / part).max(room.saturating_sub(rest)))
}
