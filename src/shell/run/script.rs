//! Scripts: one command a line, from the standard input, a file, or `-c`.

mod short;

use std::io::{self, Write};
use std::rc::Rc;

use self::short::{Ran, later, quick, settle};
use super::session::{Origin, Session};
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::{Failure, plain_words};
use crate::shell::lang::report::LinePlace;
use crate::shell::lang::words::{open_quote, visible};
use crate::shell::term::input::{Input, Readiness, escaped_len_max, pair_len_max};
use crate::shell::term::output::Output;
use crate::shell::term::units;

/// Runs all lines of `inputs`, which errors call `name`. [`Outcome::Quit`] when a line says so. No command goes on from one
/// input into the next.
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
    /// The line where the present command starts, from 1.
    number: u64,
    /// The line after the present command.
    next_number: u64,
    /// Whether the answer to the present line has its end, or gets it with the writes that are on their way.
    is_answered: bool,
}

impl Script {
    fn place(&self) -> LinePlace {
        if self.number == 0 {
            return LinePlace::Nowhere;
        }
        LinePlace::Line { file: Rc::clone(&self.file), number: self.number }
    }

    /// Ends the answer to the present line.
    fn answered(&mut self, session: &mut Session) {
        if !self.is_answered {
            session.acknowledge(&self.place());
            self.is_answered = true;
        }
    }

    /// Runs the next command; `None` when there is none, or it is not to be run. An error here ends the script.
    fn step(&mut self, session: &mut Session) -> Result<Option<Outcome>, Failure> {
        loop {
            match self.read(session, Input::advance)? {
                Read::Whole => {}
                Read::TooLong => {
                    self.pass_over(session)?;
                    return Ok(Some(Outcome::Done));
                }
                Read::End => return Ok(None),
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
        if let Ran::Not = ran {
            self.finish_quote(session)?;
            if session.is_over() {
                return Ok(None);
            }
            ran = later(session, self.input.line(), || self.place());
        }
        let mut outcome = Outcome::Done;
        match ran {
            Ran::Sent => self.is_answered = true,
            Ran::Told => self.answered(session),
            Ran::Not if settle(session) => {
                if session.acknowledges() {
                    // It may take long, and nobody is to wait for what was done before it.
                    session.flush();
                }
                // A failure was told and counted; the script goes on.
                outcome = session.interpret(self.input.line(), &self.place()).unwrap_or(Outcome::Done);
                if outcome == Outcome::Quit && !session.is_interactive() {
                    session.forget_batch(Some(&self.place()));
                }
                self.answered(session);
            }
            Ran::Not | Ran::Over => return Ok(None),
        }
        Ok(Some(outcome))
    }

    /// Takes lines into the present command until its last quote is closed.
    fn finish_quote(&mut self, session: &mut Session) -> Result<(), Failure> {
        // All of a -c is there; who waits for the answer to a line does not send the next one.
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
                if read != Read::Whole {
                    // Named is the line where it opened, which may be far above the end.
                    let opened = self.input.line()[..at].iter().filter(|&&byte| byte == b'\n').count();
                    self.number += opened as u64;
                    // What follows may be the rest of a value, and is not run.
                    return Err(match read {
                        Read::TooLong => too_long(session).hint(format!("the quote {quote} that opens here is not closed by then, and the script ends here")),
                        _ => Failure::usage(format!("the quote {quote} that opens in this line is never closed")),
                    });
                }
                // With acknowledgements what is counted are those.
                self.next_number += u64::from(!session.acknowledges());
                // Looking at the whole command again for each line would take quadratic time.
                if self.input.line()[len..].contains(&(quote as u8)) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Goes on by a line, reading as much as that takes.
    fn read(&mut self, session: &mut Session, go_on: fn(&mut Input) -> bool) -> Result<Read, Failure> {
        while !go_on(&mut self.input) {
            if self.input.is_at_end() || session.is_over() {
                return Ok(Read::End);
            }
            if self.input.unread_len() > line_len_max(session.config().options.value_len_max) {
                return Ok(Read::TooLong);
            }
            self.fill(session)?;
        }
        Ok(Read::Whole)
    }

    /// Tells that the next line is too long, and goes to its end, holding little of it.
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

    /// Reads more. Before that would wait, all that was done is acknowledged and told: the other end of the pipe
    /// may be waiting for it.
    fn fill(&mut self, session: &mut Session) -> Result<(), Failure> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted => Failure::interrupted(),
            _ => Failure::command(format!("cannot read the script: {}", plain_words(&error))),
        };
        // Input without a pause, such as an endless line, never reaches a wait.
        if session.interrupt().is_set() {
            return Err(Failure::interrupted());
        }
        if self.input.readiness().map_err(failed)? == Readiness::Waits {
            session.drain();
            session.flush();
            if session.is_over() {
                return Ok(());
            }
            self.input.wait(session.interrupt()).map_err(failed)?;
        }
        self.input.fill().map_err(failed)?;
        session.hear();
        Ok(())
    }
}

/// What came of a look for the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// There is one.
    Whole,
    /// There is one, and it makes the command longer than is read.
    TooLong,
    /// There is none.
    End,
}

fn too_long(session: &Session) -> Failure {
    let len_max = units::bytes(line_len_max(session.config().options.value_len_max));
    Failure::usage(format!("a command of more than {len_max} is not read"))
}

/// The longest command that is read, in bytes: a record with each byte of it escaped, and some more for names and flags.
/// Without a limit a line without an end would take all memory.
fn line_len_max(value_len_max: u64) -> u64 {
    // `\x01`
    const ESCAPE_LEN: u64 = 4;
    escaped_len_max(pair_len_max(value_len_max), ESCAPE_LEN)
}

/// Shows the lines of a command before its result; on a terminal without the bytes that would drive it, and in JSON as an object.
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
