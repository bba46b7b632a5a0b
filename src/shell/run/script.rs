//! Scripts: one command per line, from the standard input, a file, or `-c`.

mod short;

use std::io::{self, Write};
use std::rc::Rc;

use self::short::{LineRun, later, quick, settle};
use super::session::{Origin, Session};
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::{Failure, plain_words};
use crate::shell::lang::report::LinePlace;
use crate::shell::lang::words::{open_quote, visible};
use crate::shell::term::input::{Input, Readiness, escaped_len_max, pair_len_max};
use crate::shell::term::output::Output;
use crate::shell::term::units;

/// Runs all lines of `inputs`. Messages call them `name`. Returns [`Outcome::Quit`] if a line quits
/// the shell. A command cannot continue in the next input.
pub fn run(session: &mut Session, inputs: Vec<Input>, name: &str) -> Outcome {
    let mut inputs = inputs.into_iter();
    let Some(input) = inputs.next() else { return Outcome::Done };
    let mut script = Script { input, file: Rc::from(name), number: 0, next_number: 1, is_answered: true };
    session.forgive_failures();
    let origin = session.origin();
    if origin == Origin::OneShot {
        // `logkv DIR read FILE`: in a script a missing key is a result, not a failure.
        session.set_origin(Origin::Script);
    }
    let outcome = loop {
        if session.is_over() {
            break Outcome::Done;
        }
        match script.step(session) {
            Ok(Some(Outcome::Quit)) => break Outcome::Quit,
            Ok(Some(_)) => continue,
            Ok(None) => {}
            Err(failure) => {
                session.drain();
                session.fail(&failure, b"", &script.place());
                script.answered(session);
            }
        }
        match inputs.next() {
            Some(input) => script.input = input,
            None => break Outcome::Done,
        }
    };
    session.drain();
    session.set_origin(origin);
    outcome
}

struct Script {
    input: Input,
    file: Rc<str>,
    /// The first line of the current command, from 1.
    number: u64,
    /// The line after the current command.
    next_number: u64,
    /// Whether the current line was acknowledged, or will be with the submitted writes.
    is_answered: bool,
}

impl Script {
    fn place(&self) -> LinePlace {
        if self.number == 0 {
            return LinePlace::Nowhere;
        }
        LinePlace::Line { file: Rc::clone(&self.file), number: self.number }
    }

    /// Ends the answer to the current line.
    fn answered(&mut self, session: &mut Session) {
        if !self.is_answered {
            session.acknowledge(&self.place());
            self.is_answered = true;
        }
    }

    /// Runs the next command. Returns `None` at the end of the input or of the script. A failure
    /// ends the script.
    fn step(&mut self, session: &mut Session) -> Result<Option<Outcome>, Failure> {
        loop {
            match self.read(session, Input::advance)? {
                NextLine::Whole => {}
                NextLine::TooLong => {
                    self.pass_over(session)?;
                    return Ok(Some(Outcome::Done));
                }
                NextLine::End => return Ok(None),
            }
            if session.interrupt().is_set() {
                return Err(Failure::interrupted());
            }
            self.number = self.next_number;
            self.next_number += 1;
            self.is_answered = false;
            let line = self.input.line();
            if !line.starts_with(b"#") && !line.iter().all(u8::is_ascii_whitespace) {
                break;
            }
            if session.acknowledges() {
                if !settle(session) {
                    return Ok(None);
                }
                self.answered(session);
            }
        }
        if session.settings().echo {
            self.finish_quote(session)?;
            if !settle(session) {
                return Ok(None);
            }
            echo(&mut session.out, self.input.line())?;
        }
        let mut ran = quick(session, self.input.line(), || self.place());
        if let LineRun::Not = ran {
            self.finish_quote(session)?;
            if session.is_over() {
                return Ok(None);
            }
            ran = later(session, self.input.line(), || self.place());
        }
        let mut outcome = Outcome::Done;
        match ran {
            LineRun::Sent => self.is_answered = true,
            LineRun::Done => self.answered(session),
            LineRun::Not if settle(session) => {
                if session.acknowledges() {
                    // The command may take long, and the reader must not wait for earlier results.
                    session.flush();
                }
                // The failure was reported and counted, and the script continues.
                outcome = session.interpret(self.input.line(), &self.place()).unwrap_or(Outcome::Done);
                if outcome == Outcome::Quit && !session.is_interactive() {
                    session.forget_batch(Some(&self.place()));
                }
                self.answered(session);
            }
            LineRun::Not | LineRun::Over => return Ok(None),
        }
        Ok(Some(outcome))
    }

    /// Extends the current command until its last quote is closed.
    fn finish_quote(&mut self, session: &mut Session) -> Result<(), Failure> {
        // With acknowledgements the sender waits before the next line, except for `-c`, which is
        // complete.
        let is_whole = &*self.file == "-c";
        if session.acknowledges() && !is_whole {
            return Ok(());
        }
        while let Some((quote, at)) = open_quote(self.input.line()) {
            loop {
                let len = self.input.line().len();
                let read = self.read(session, Input::extend)?;
                if session.is_over() {
                    return Ok(());
                }
                if read != NextLine::Whole {
                    // Report the line with the opening quote, which may be far above.
                    let opened = self.input.line()[..at].iter().filter(|&&byte| byte == b'\n').count();
                    self.number += opened as u64;
                    // The following lines may be part of a value, and must not run.
                    return Err(match read {
                        NextLine::TooLong => too_long(session).hint(format!(
                            "the quote {quote} that opens here is not closed by then, and the \
                             script ends here"
                        )),
                        _ => Failure::usage(format!(
                            "the quote {quote} that opens in this line is never closed"
                        )),
                    });
                }
                // With acknowledgements, lines are numbered by their answers.
                self.next_number += u64::from(!session.acknowledges());
                // Searching the whole command again for each line would take quadratic time.
                if self.input.line()[len..].contains(&(quote as u8)) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Moves to the next line with `go_on`, and reads as much as needed.
    fn read(&mut self, session: &mut Session, go_on: fn(&mut Input) -> bool) -> Result<NextLine, Failure> {
        while !go_on(&mut self.input) {
            if self.input.is_at_end() || session.is_over() {
                return Ok(NextLine::End);
            }
            if self.input.unread_len() > line_len_max(session.config().options.value_len_max) {
                return Ok(NextLine::TooLong);
            }
            self.fill(session)?;
        }
        Ok(NextLine::Whole)
    }

    /// Reports that the next line is too long, and skips it in bounded memory.
    fn pass_over(&mut self, session: &mut Session) -> Result<(), Failure> {
        self.number = self.next_number;
        self.next_number += 1;
        self.is_answered = false;
        if !settle(session) {
            return Ok(());
        }
        session.fail(&too_long(session), b"", &self.place());
        self.answered(session);
        while !session.is_over() {
            self.input.forget();
            self.fill(session)?;
            if self.input.advance() || self.input.is_at_end() {
                break;
            }
        }
        Ok(())
    }

    /// Reads more input. First acknowledges and prints everything if the read would block: the
    /// sender may wait for that.
    fn fill(&mut self, session: &mut Session) -> Result<(), Failure> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted => Failure::interrupted(),
            _ => Failure::command(format!("cannot read the script: {}", plain_words(&error))),
        };
        // An endless line never blocks, so Ctrl-C is checked here.
        if session.interrupt().is_set() {
            return Err(Failure::interrupted());
        }
        if self.input.readiness().map_err(failed)? == Readiness::Blocks {
            session.drain();
            session.flush();
            if session.is_over() {
                return Ok(());
            }
            self.input.wait(session.interrupt()).map_err(failed)?;
        }
        self.input.fill().map_err(failed)?;
        session.mark_stale();
        Ok(())
    }
}

/// The result of reading the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextLine {
    /// A line.
    Whole,
    /// A line that is too long.
    TooLong,
    /// The end of the input, or of the script.
    End,
}

fn too_long(session: &Session) -> Failure {
    let len_max = units::bytes(line_len_max(session.config().options.value_len_max));
    Failure::usage(format!("a command of more than {len_max} is not read"))
}

/// Returns the maximum length of a command, in bytes: that of a key and a value with every byte
/// escaped, with room for names and flags. Without a limit an endless line would take all memory.
fn line_len_max(value_len_max: u64) -> u64 {
    // `\x01`
    const ESCAPE_LEN: u64 = 4;
    escaped_len_max(pair_len_max(value_len_max), ESCAPE_LEN)
}

/// Prints the lines of a command before its result. Escapes them on a terminal; in JSON they are an
/// object.
fn echo(out: &mut Output, lines: &[u8]) -> io::Result<()> {
    if out.answer().json("echo", lines).end()? {
        return Ok(());
    }
    if !out.is_terminal {
        out.write_all(lines)?;
        return out.write_all(b"\n");
    }
    for line in lines.split(|&byte| byte == b'\n') {
        writeln!(out, "{}", visible(line.strip_suffix(b"\r").unwrap_or(line)))?;
    }
    Ok(())
}
