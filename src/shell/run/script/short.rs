//! Short paths for the common lines of long scripts: their writes are pipelined.

use logkv::Pending;

use crate::shell::lang::command;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::parse::parse_line;
use crate::shell::lang::report::LinePlace;
use crate::shell::lang::words::{Lexer, plain};
use crate::shell::run::session::{CommandRequest, Run, Session, Timer};
use crate::shell::run::write::mutation::{Mutation, Reply};
use crate::shell::term::output::Mode;

/// The result of a short path.
pub(super) enum LineRun {
    /// The line needs the normal path. Nothing was done.
    Not,
    /// The line was run, and its result printed.
    Done,
    /// The script has ended before the line.
    Over,
    /// The write was submitted. Its result is printed with those of other writes.
    Sent,
}

/// Runs a line of plain words without the parser, and pipelines its write. Returns [`LineRun::Not`]
/// for other lines.
pub(super) fn quick(session: &mut Session, line: &[u8], place: impl Fn() -> LinePlace) -> LineRun {
    if session.has_batch() || session.settings().timer == Timer::On {
        return LineRun::Not;
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
                    return LineRun::Not;
                }
            };
            let submitted = write.submit(session);
            session.pipeline().give_batch(write.into_batch());
            let mode = session.out.mode;
            sent(session, submitted, mode, b"", line.len(), place)
        }
        Some(Run::Keys { plain: run, .. }) => {
            let keys: Option<Vec<_>> = words.map(plain::bytes).collect();
            let Some(keys) = keys.filter(|keys| !keys.is_empty()) else { return LineRun::Not };
            if !settle(session) {
                return LineRun::Over;
            }
            session.set_place(place());
            let result = session.catch_up().and_then(|()| run(session, &keys));
            session.settle(result, b"", &place());
            LineRun::Done
        }
        _ => LineRun::Not,
    }
}

/// Waits for the submitted writes, which the next command must see. Returns whether it may run:
/// with `bail`, a failed write ends the script.
pub(super) fn settle(session: &mut Session) -> bool {
    session.drain();
    !session.is_over()
}

/// Adds a write to the pipeline, or reports why it could not be submitted. `failed_line` is the
/// text for that report.
fn sent(
    session: &mut Session,
    submitted: Result<(Pending, Reply), Failure>,
    mode: Mode,
    failed_line: &[u8],
    len: usize,
    place: impl Fn() -> LinePlace,
) -> LineRun {
    match submitted {
        Ok(submitted) => {
            // With `bail`, a write that may have lost a key to damage must end the script before
            // the next line.
            let is_awaited = session.settings().bail
                && !matches!(submitted.1, Reply::Put { .. })
                && session.is_damaged().unwrap_or(false);
            session.pipeline().push(submitted, mode, len, place());
            if is_awaited || session.pipeline().is_full() {
                session.drain();
            }
            LineRun::Sent
        }
        // The results of earlier lines come first.
        Err(_) if !settle(session) => LineRun::Over,
        Err(failure) => {
            session.in_json(mode == Mode::Json, |session| session.fail(&failure, failed_line, &place()));
            LineRun::Done
        }
    }
}

/// Pipelines a write that has flags or depends on the current value. Returns [`LineRun::Not`] for
/// other lines, and for lines with an error.
pub(super) fn later(session: &mut Session, line: &[u8], place: impl Fn() -> LinePlace) -> LineRun {
    if session.has_batch() || session.settings().timer == Timer::On {
        return LineRun::Not;
    }
    let command = Lexer::new(line).next().and_then(|name| command::find(session.commands(), &name.bytes));
    if !command.is_some_and(|command| matches!(command.run, Run::Write { .. })) {
        return LineRun::Not;
    }
    let Ok(Some(invocation)) = parse_line(session.commands(), line) else { return LineRun::Not };
    // `put --help` runs `help`.
    let Run::Write { read, .. } = invocation.command.run else { return LineRun::Not };
    let submitted = match read(session, &invocation) {
        Ok(CommandRequest::Itself(_)) => return LineRun::Not,
        Ok(CommandRequest::Write(write)) => write.submit(session),
        Err(failure) => Err(failure),
    };
    let mode = if invocation.json { Mode::Json } else { session.out.mode };
    sent(session, submitted, mode, line, line.len(), place)
}
