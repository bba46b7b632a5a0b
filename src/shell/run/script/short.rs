//! The short ways of the lines that long scripts are made of: a write is waited for with those behind it.

use logkv::{Batch, Op, Pending};

use crate::shell::commands::get;
use crate::shell::commands::reply::{Reply, distinct, submit_of};
use crate::shell::lang::command;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::parse::parse_line;
use crate::shell::lang::report::Place;
use crate::shell::lang::words::{Lexer, Style};
use crate::shell::run::session::{Session, Timer};
use crate::shell::term::output::Mode;

/// What became of a line.
pub(super) enum Ran {
    /// Nothing: it is for somebody else.
    Not,
    /// All that is said of it was said.
    Told,
    /// Nothing: the script ends before it.
    Over,
    /// It is told with the writes that are on their way.
    Sent,
}

/// Runs a `put`, `del` or `get` without flags, which is what long scripts are made of: its words are taken from the
/// line without a copy, and writes are waited for later. [`Ran::Not`]: it is something else, and nothing was done.
pub(super) fn quick(session: &mut Session, line: &[u8], place: impl Fn() -> Place) -> Ran {
    if session.transaction.is_some() || session.settings.timer == Timer::On {
        return Ran::Not;
    }
    let mut words = Lexer::new(line);
    let command = words.next().and_then(|name| command::find(session.commands, &name.bytes));
    let result = match command.map(|command| command.name) {
        Some("put") => {
            let mut batch = session.pipeline.take_batch();
            if !read_pairs(words, &mut batch) {
                session.pipeline.give_batch(batch);
                return Ran::Not;
            }
            // Only people are told how many.
            let is_told = batch.len() > 1 && session.out.is_table();
            let keys = if is_told { distinct(batch.iter().map(key_of)) } else { 1 };
            submit(session, batch, line.len(), Reply::Put { keys }, place())
        }
        Some("del") => {
            let mut batch = session.pipeline.take_batch();
            if !read_keys(words, |key| {
                batch.delete(key);
            }) || batch.is_empty()
            {
                session.pipeline.give_batch(batch);
                return Ran::Not;
            }
            let reply = Reply::Delete { named: batch.len() };
            submit(session, batch, line.len(), reply, place())
        }
        Some("get") => {
            let mut keys = 0;
            if !read_keys(words.clone(), |_| keys += 1) || keys == 0 {
                return Ran::Not;
            }
            if !settle(session) {
                return Ran::Over;
            }
            session.place = place();
            let keys: Vec<_> = words.map(|key| key.bytes).collect();
            let told = session.catch_up().and_then(|()| get::get(session, &keys));
            session.settle(told, b"", &place());
            return Ran::Told;
        }
        _ => return Ran::Not,
    };
    result.unwrap_or_else(|failure| {
        // The results of the lines above come first.
        if !settle(session) {
            return Ran::Over;
        }
        session.fail(&failure, b"", &place());
        Ran::Told
    })
}

fn key_of(op: Op<'_>) -> &[u8] {
    match op {
        Op::Put { key, .. } | Op::Delete { key, .. } => key,
    }
}

/// Waits for the writes that are on their way, which the next command is to see; whether it may be run: where a script ends
/// at the first error, one of them may have been that.
pub(super) fn settle(session: &mut Session) -> bool {
    session.drain();
    !session.is_over()
}

fn submit(
    session: &mut Session,
    batch: Batch,
    len: usize,
    reply: Reply,
    place: Place,
) -> Result<Ran, Failure> {
    let submitted = session.store().and_then(|store| Ok(store.submit(&batch)?));
    session.pipeline.give_batch(batch);
    send((submitted?, reply), session.out.mode, len, place, session);
    Ok(Ran::Sent)
}

/// Has a write waited for with those before it and after it.
fn send(submitted: (Pending, Reply), mode: Mode, len: usize, place: Place, session: &mut Session) {
    // Where it ends the script that a key may have been lost, nothing is done before that is known.
    let is_awaited = session.settings.bail
        && !matches!(submitted.1, Reply::Put { .. })
        && session.is_damaged().unwrap_or(false);
    session.pipeline.push(submitted, mode, len, place);
    if is_awaited || session.pipeline.is_full() {
        session.drain();
    }
}

/// Runs a write that has flags, or depends on what is there, and waits for it later: it goes by what is on its way, and what it
/// says is said after that. [`Ran::Not`]: it is something else, or wrong, and nothing was done.
pub(super) fn later(session: &mut Session, line: &[u8], place: impl Fn() -> Place) -> Ran {
    if session.transaction.is_some() || session.settings.timer == Timer::On {
        return Ran::Not;
    }
    let command = Lexer::new(line).next().and_then(|name| command::find(session.commands, &name.bytes));
    if command.and_then(submit_of).is_none() {
        return Ran::Not;
    }
    let Ok(Some(invocation)) = parse_line(session.commands, line) else { return Ran::Not };
    // `put --help` is a call of help.
    let Some(submit) = submit_of(invocation.command) else { return Ran::Not };
    match submit(session, &invocation) {
        Ok(submitted) => {
            let mode = if invocation.json { Mode::Json } else { session.out.mode };
            send(submitted, mode, line.len(), place(), session);
            Ran::Sent
        }
        Err(failure) => {
            if !settle(session) {
                return Ran::Over;
            }
            session.in_json(invocation.json, |session| session.fail(&failure, line, &place()));
            Ran::Told
        }
    }
}

/// Whether the words are KEY VALUE pairs and nothing else, which are then in `batch`.
fn read_pairs(words: Lexer<'_>, batch: &mut Batch) -> bool {
    let mut key = None;
    let all_plain = all_plain(words, |bytes| match key.take() {
        None => key = Some(bytes),
        Some(key) => {
            batch.put(key, bytes);
        }
    });
    all_plain && key.is_none() && !batch.is_empty()
}

/// Whether the words are keys and nothing else; `take` gets each.
fn read_keys(words: Lexer<'_>, mut take: impl FnMut(&[u8])) -> bool {
    all_plain(words, |bytes| take(&bytes))
}

/// Hands the words over for as long as they are well formed, and neither flags nor a dash.
fn all_plain<'a>(mut words: Lexer<'a>, mut take: impl FnMut(std::borrow::Cow<'a, [u8]>)) -> bool {
    words.all(|word| {
        let is_plain = word.error.is_none() && !(word.style == Style::Bare && word.bytes.starts_with(b"-"));
        if is_plain {
            take(word.bytes);
        }
        is_plain
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shell::commands::TABLE;

    fn pairs(line: &str) -> Option<usize> {
        let mut batch = Batch::new();
        read_pairs(Lexer::new(line.as_bytes()), &mut batch).then(|| batch.len())
    }

    #[test]
    fn only_pairs_without_flags_dashes_and_errors_are_taken_quickly() {
        assert_eq!(pairs("a 1 'b c' \"2\\n\""), Some(2));
        for line in ["", "a", "a 1 b", "--nx a 1", "a -", "a \"\\q\"", "a 'open", "-- a"] {
            assert_eq!(pairs(line), None, "{line}");
        }
        assert_eq!(pairs("a '-'"), Some(1));
    }

    proptest! {
        #[test]
        fn what_is_taken_quickly_is_what_the_parser_makes_of_it(line in r#"([-a-c"'\\x0=]{0,4} {0,2}){0,6}"#) {
            let mut batch = Batch::new();
            if read_pairs(Lexer::new(line.as_bytes()), &mut batch) {
                let call = parse_line(TABLE, format!("put {line}").as_bytes()).expect("it is understood");
                let call = call.expect("there are words");
                let pairs = batch.iter().flat_map(|op| match op {
                    Op::Put { key, value, .. } => [key, value],
                    Op::Delete { .. } => unreachable!("pairs are put"),
                });
                prop_assert!(pairs.eq(call.args.iter().map(|word| word.bytes.as_slice())));
                prop_assert!(call.flags.is_empty() && !call.json);
            }
            let mut keys = Vec::new();
            if read_keys(Lexer::new(line.as_bytes()), |key| keys.push(key.to_vec())) && !keys.is_empty() {
                let call = parse_line(TABLE, format!("get {line}").as_bytes()).expect("it is understood");
                let call = call.expect("there are words");
                prop_assert!(keys.iter().eq(call.args.iter().map(|word| &word.bytes)));
                prop_assert!(call.flags.is_empty() && !call.json);
            }
        }
    }
}
