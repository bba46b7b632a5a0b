//! Points of the log, as `--at` and others name them.

use std::ops::ControlFlow;

use logkv::{At, Cursor, Error, Past, Seqno};

use crate::shell::lang::command::{Flag, Takes};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::times::{self, MOMENTS};
use crate::shell::lang::words::{Word, is_digits, quote, shown};
use crate::shell::run::session::{Invocation, Session};
use crate::shell::term::interrupt::Interrupt;

/// The flag that looks back.
pub const AT: Flag = Flag {
    name: "at",
    short: None,
    takes: Takes::Time,
    doc: "As it was after this record (a number), at this time (2030-01-31T12:00Z), or so long ago (10m)",
};

/// That the record whose number is `word` is not written yet.
pub fn not_yet(word: &Word, next: Seqno) -> Failure {
    let text = format!("there is no record {} yet: the next one is {next}", shown(&word.bytes));
    Failure::command(text).at(word.span.clone()).hint(format!("a time is written {MOMENTS}"))
}

/// The point of the log that `word` names.
pub fn point(session: &Session, word: &Word) -> Result<At, Failure> {
    let text = str::from_utf8(&word.bytes).unwrap_or_default();
    if is_digits(text) {
        let last = session.store()?.at(At::Seq(Seqno(u64::MAX)))?.seq();
        return match text.parse() {
            Ok(number) if number <= last.0 => Ok(At::Seq(Seqno(number))),
            _ => {
                // The number before it may also have no record: some are skipped after a crash.
                Err(not_yet(word, last.plus(1)))
            }
        };
    }
    let now_ms = session.store()?.now_ms();
    if let Some(ago) = times::duration(text) {
        let ago_ms = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        return Ok(At::Time(now_ms.saturating_sub(ago_ms)));
    }
    if let Some(ms) = times::moment(text, now_ms) {
        return Ok(At::Time(ms));
    }
    let failure = |given: &str| {
        let text = format!("a point in the log is a record's number, {MOMENTS}, not {given}");
        Failure::usage(text).at(word.span.clone())
    };
    Err(match text.parse::<Cursor>().ok().filter(|cursor| cursor.lineage.is_some()) {
        Some(cursor) => {
            let hint = format!("{} is the last number before this cursor", cursor.seq.previous());
            failure("a cursor").hint(hint)
        }
        None => failure(&shown(&word.bytes)),
    })
}

/// The point of the log that `--at` names; `None` where it is not given. In a batch there is none.
pub fn point_asked_for(session: &Session, invocation: &Invocation) -> Result<Option<At>, Failure> {
    let Some(word) = invocation.value("at") else { return Ok(None) };
    if session.has_batch() {
        return Err(
            Failure::command("--at looks at the log, and the batch is not in it").at(word.span.clone())
        );
    }
    point(session, word).map(Some)
}

/// The store as it was at `at`, unless Ctrl-C ends the search for that point.
pub fn past(session: &Session, at: At) -> Result<Past, Failure> {
    let store = session.store()?;
    searching(session.interrupt(), |observe| store.at_with(at, observe))
}

/// The failure of a get of `key` in the past.
pub fn gone(error: Error, key: &[u8]) -> Failure {
    match error {
        Error::CompactedAway { .. } | Error::GivenUp { .. } => {
            let hint = format!("versions {} shows what is left", quote(key));
            Failure::from(error).hint(hint)
        }
        error => Failure::of_key(&error, key),
    }
}

/// The result of `search`, which reports how many records it has looked at. Ctrl-C ends it with a failure.
pub fn searching<T>(
    interrupt: &Interrupt,
    search: impl FnOnce(&mut dyn FnMut(u64) -> ControlFlow<()>) -> logkv::Result<T>,
) -> Result<T, Failure> {
    let mut count = 0;
    let found = search(&mut |seen_count| {
        count = seen_count;
        interrupt.flow()
    });
    found.map_err(|error| match error {
        Error::Cancelled => Failure::interrupted_after(count),
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_ends_at_the_record_at_which_it_is_pressed_and_gives_what_it_finds_else() {
        let interrupt = Interrupt::default();
        let search = |observe: &mut dyn FnMut(u64) -> ControlFlow<()>| {
            let is_cancelled = (1..=9).any(|count| observe(count).is_break());
            if is_cancelled { Err(Error::Cancelled) } else { Ok("found") }
        };
        assert_eq!(searching(&interrupt, search).ok(), Some("found"));
        let pressed = searching(&interrupt, |observe| {
            search(&mut |count| {
                if count == 5 {
                    interrupt.press();
                }
                observe(count)
            })
        });
        assert_eq!(pressed.expect_err("it was pressed").message, "interrupted after 5 records");
    }
}
