//! The lines of a script that write.

use super::reading::Reading;
use super::{BeforeWait, Source, Spot, Taken};
use crate::shell::commands::reply::writes;
use crate::shell::commands::transfer::rows::{Row, script};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::parse::parse_line;
use crate::shell::lang::words::open_quote;
use crate::shell::run::session::Command;

/// A script, a command a line. A quote may go on in the next line, as where it is run.
pub struct Script {
    commands: &'static [Command],
    reading: Reading,
    /// The quotes that no line closes any more: nobody looks through the rest of the script for each line again.
    unclosed: Vec<char>,
}

impl Script {
    /// The script that `reading` is, of these `commands`.
    pub fn new(commands: &'static [Command], reading: Reading) -> Self {
        Self { commands, reading, unclosed: Vec::new() }
    }

    /// What a line is that is more than a plain put or del.
    fn call(&mut self, before_wait: BeforeWait<'_>) -> Result<Taken<'_>, Failure> {
        self.finish_quote(before_wait)?;
        Ok(match parse_line(self.commands, self.reading.input.line()) {
            Ok(Some(invocation)) if writes(invocation.command) => Taken::Call(Box::new(invocation)),
            Ok(Some(invocation)) => {
                let name = invocation.command.name;
                Taken::Rejected(format!("{name} writes nothing; read FILE runs every line"))
            }
            Ok(None) => Taken::Rows(Vec::new()),
            Err(failure) => Taken::Rejected(failure.message),
        })
    }

    /// Takes lines into the present command until its last quote is closed; none if nothing closes it.
    fn finish_quote(&mut self, before_wait: BeforeWait<'_>) -> Result<(), Failure> {
        let first_len = self.reading.input.line_len();
        while let Some((quote, _)) = open_quote(self.reading.input.line()) {
            loop {
                let len = self.reading.input.line().len();
                let is_closed_nowhere = self.unclosed.contains(&quote);
                if is_closed_nowhere || !self.reading.extend(before_wait)? {
                    if !is_closed_nowhere {
                        self.unclosed.push(quote);
                    }
                    self.reading.input.shorten(first_len);
                    self.reading.line_count = 1;
                    return Ok(());
                }
                // Looking at the whole command again for each line would take quadratic time.
                if self.reading.input.line()[len..].contains(&(quote as u8)) {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Source for Script {
    fn next(&mut self, before_wait: BeforeWait<'_>) -> Result<Option<Taken<'_>>, Failure> {
        match self.reading.next_line(before_wait, |line| line.iter().all(u8::is_ascii_whitespace))? {
            None => return Ok(None),
            Some(Err(why)) => return Ok(Some(Taken::Rejected(why))),
            Some(Ok(())) => {}
        }
        match script::read(self.reading.input.line()) {
            Some(rows) => Ok(Some(Taken::Rows(rows.into_iter().map(Row::into_owned).collect()))),
            None => self.call(before_wait).map(Some),
        }
    }

    fn spot(&self) -> Spot {
        self.reading.spot()
    }

    fn line(&self) -> &[u8] {
        self.reading.line()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.reading.progress()
    }
}
