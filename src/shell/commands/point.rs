//! Points of the log, as arguments name them.

use std::ops::ControlFlow;

use logkv::{At, Cursor, Error, Past, Seqno};

use crate::shell::lang::command::{Flag, Takes};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::times::{self, MOMENTS};
use crate::shell::lang::words::{Word, is_digits, quote, shown};
use crate::shell::run::session::{Invocation, Session};
use crate::shell::term::interrupt::Interrupt;

/// The flag that reads the store as of an earlier point.
pub const AT: Flag = Flag {
    name: "at",
    short: None,
    takes: Takes::Time,
    doc: "Reads the store as of a sequence number, a time (2030-01-31T12:00Z) or a duration ago (10m)",
};

/// Creates the failure for a sequence number after the end of the log.
pub fn not_yet(word: &Word, next: Seqno) -> Failure {
    let text = format!("there is no record {} yet: the next one is {next}", shown(&word.bytes));
    Failure::command(text).at(word.span.clone()).hint(format!("a time has the form {MOMENTS}"))
}

/// Parses `word` as a point of the log.
pub fn point(session: &Session, word: &Word) -> Result<At, Failure> {
    let text = str::from_utf8(&word.bytes).unwrap_or_default();
    if is_digits(text) {
        let last = session.store()?.at(At::Seq(Seqno(u64::MAX)))?.seq();
        return match text.parse() {
            Ok(number) if number <= last.0 => Ok(At::Seq(Seqno(number))),
            _ => Err(not_yet(word, last.plus(1))),
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

/// Returns the point that `--at` names, or `None` without the flag. Fails in an open batch.
pub fn point_asked_for(session: &Session, invocation: &Invocation) -> Result<Option<At>, Failure> {
    let Some(word) = invocation.value("at") else { return Ok(None) };
    if session.has_batch() {
        return Err(
            Failure::command("--at reads the log, which does not hold the open batch").at(word.span.clone())
        );
    }
    point(session, word).map(Some)
}

/// Returns the store as of `at`. Ctrl-C cancels the search for that point.
pub fn past(session: &Session, at: At) -> Result<Past, Failure> {
    let store = session.store()?;
    searching(session.interrupt(), |observe| store.at_with(at, observe))
}

/// Creates the failure of a read of `key` at an earlier point.
pub fn gone(error: Error, key: &[u8]) -> Failure {
    match error {
        Error::CompactedAway { .. } | Error::GivenUp { .. } => {
            let hint = format!("versions {} shows the remaining records", quote(key));
            Failure::from(error).hint(hint)
        }
        error => Failure::of_key(&error, key),
    }
}

/// Runs `search`, which reports the number of records read so far. Ctrl-C cancels it.
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
    fn an_interrupted_search_reports_the_number_of_records_read() {
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
        assert_eq!(pressed.expect_err("the search is interrupted").message, "interrupted after 5 records");
    }
}
