//! The short ways of the lines that long scripts are made of: a write is waited for with those behind it.

use logkv::Pending;

use crate::shell::lang::command;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::parse::parse_line;
use crate::shell::lang::report::LinePlace;
use crate::shell::lang::words::{Lexer, plain};
use crate::shell::run::session::{Asked, Run, Session, Timer};
use crate::shell::run::write::mutation::{Mutation, Reply};
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

/// Runs a line of plain words, which is what long scripts are made of: its words are taken from the line without a call of
/// the parser, and writes are waited for later. [`Ran::Not`]: it is something else, and nothing was done.
pub(super) fn quick(session: &mut Session, line: &[u8], place: impl Fn() -> LinePlace) -> Ran {
    if session.has_batch() || session.settings().timer == Timer::On {
        return Ran::Not;
    }
    let mut words = Lexer::new(line);
    let command = words.next().and_then(|name| command::find(session.commands(), &name.bytes));
    match command.map(|command| command.run) {
        Some(Run::Write { plain: Some(plain), .. }) => {
            let mut batch = session.pipeline().take_batch();
            let write = match plain::read(words, plain, &mut batch) {
                Some(()) => Mutation::of_plain(plain, batch),
                None => {
                    session.pipeline().give_batch(batch);
                    return Ran::Not;
                }
            };
            let submitted = write.submit(session);
            session.pipeline().give_batch(write.into_batch());
            let mode = session.out.mode;
            sent(session, submitted, mode, b"", line.len(), place)
        }
        Some(Run::Keys { plain: run, .. }) => {
            let keys: Option<Vec<_>> = words.map(plain::bytes).collect();
            let Some(keys) = keys.filter(|keys| !keys.is_empty()) else { return Ran::Not };
            if !settle(session) {
                return Ran::Over;
            }
            session.set_place(place());
            let told = session.catch_up().and_then(|()| run(session, &keys));
            session.settle(told, b"", &place());
            Ran::Told
        }
        _ => Ran::Not,
    }
}

/// Waits for the writes that are on their way, which the next command is to see; whether it may be run: where a script ends
/// at the first error, one of them may have been that.
pub(super) fn settle(session: &mut Session) -> bool {
    session.drain();
    !session.is_over()
}

/// Has a write waited for with those before it and after it; or tells why it could not be submitted, for `told_line`.
fn sent(
    session: &mut Session,
    submitted: Result<(Pending, Reply), Failure>,
    mode: Mode,
    told_line: &[u8],
    len: usize,
    place: impl Fn() -> LinePlace,
) -> Ran {
    match submitted {
        Ok(submitted) => {
            // Where it ends the script that a key may have been lost, nothing is done before that is known.
            let is_awaited = session.settings().bail
                && !matches!(submitted.1, Reply::Put { .. })
                && session.is_damaged().unwrap_or(false);
            session.pipeline().push(submitted, mode, len, place());
            if is_awaited || session.pipeline().is_full() {
                session.drain();
            }
            Ran::Sent
        }
        // The results of the lines above come first.
        Err(_) if !settle(session) => Ran::Over,
        Err(failure) => {
            session.in_json(mode == Mode::Json, |session| session.fail(&failure, told_line, &place()));
            Ran::Told
        }
    }
}

/// Runs a write that has flags, or depends on what is there, and waits for it later: it goes by what is on its way, and what it
/// says is said after that. [`Ran::Not`]: it is something else, or wrong, and nothing was done.
pub(super) fn later(session: &mut Session, line: &[u8], place: impl Fn() -> LinePlace) -> Ran {
    if session.has_batch() || session.settings().timer == Timer::On {
        return Ran::Not;
    }
    let command = Lexer::new(line).next().and_then(|name| command::find(session.commands(), &name.bytes));
    if !command.is_some_and(|command| matches!(command.run, Run::Write { .. })) {
        return Ran::Not;
    }
    let Ok(Some(invocation)) = parse_line(session.commands(), line) else { return Ran::Not };
    // `put --help` is a call of help.
    let Run::Write { read, .. } = invocation.command.run else { return Ran::Not };
    let submitted = match read(session, &invocation) {
        Ok(Asked::Itself(_)) => return Ran::Not,
        Ok(Asked::Write(write)) => write.submit(session),
        Err(failure) => Err(failure),
    };
    let mode = if invocation.json { Mode::Json } else { session.out.mode };
    sent(session, submitted, mode, line, line.len(), place)
}
