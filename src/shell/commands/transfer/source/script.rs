//! The lines of a script that write.

use super::item::{BeforeWait, ImportItem};
use super::text::{TextReader, TextRows};
use crate::shell::commands::transfer::rows::{ImportRow, script};
use crate::shell::lang::command;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::parse::parse_line;
use crate::shell::lang::words::{Lexer, open_quote};
use crate::shell::run::session::{Command, Run};

/// A script, a command a line. A quote may go on in the next line, as where it is run.
pub struct ScriptRows {
    commands: &'static [Command],
    /// The quotes that no line closes any more: nobody looks through the rest of the script for each line again.
    unclosed: Vec<char>,
}

impl ScriptRows {
    /// A script of these `commands`.
    pub fn new(commands: &'static [Command]) -> Self {
        Self { commands, unclosed: Vec::new() }
    }

    /// What a line is that is more than a plain put or del.
    fn call(
        &mut self,
        reader: &mut TextReader,
        before_wait: BeforeWait<'_>,
    ) -> Result<ImportItem<'static>, Failure> {
        self.finish_quote(reader, before_wait)?;
        Ok(match parse_line(self.commands, reader.input.line()) {
            Ok(Some(invocation)) if invocation.command.run.writes() => ImportItem::Call(Box::new(invocation)),
            Ok(Some(invocation)) => {
                let name = invocation.command.name;
                ImportItem::Rejected(format!("{name} writes nothing; read FILE runs every line"))
            }
            Ok(None) => ImportItem::Rows(Vec::new()),
            Err(failure) => ImportItem::Rejected(failure.message),
        })
    }

    /// Takes lines into the present command until its last quote is closed; none if nothing closes it.
    fn finish_quote(&mut self, reader: &mut TextReader, before_wait: BeforeWait<'_>) -> Result<(), Failure> {
        let first_len = reader.input.line_len();
        while let Some((quote, _)) = open_quote(reader.input.line()) {
            loop {
                let len = reader.input.line().len();
                let is_closed_nowhere = self.unclosed.contains(&quote);
                if is_closed_nowhere || !reader.extend(before_wait)? {
                    if !is_closed_nowhere {
                        self.unclosed.push(quote);
                    }
                    reader.input.shorten(first_len);
                    reader.line_count = 1;
                    return Ok(());
                }
                // Looking at the whole command again for each line would take quadratic time.
                if reader.input.line()[len..].contains(&(quote as u8)) {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl TextRows for ScriptRows {
    fn next<'a>(
        &'a mut self,
        reader: &'a mut TextReader,
        before_wait: BeforeWait<'_>,
    ) -> Result<Option<ImportItem<'a>>, Failure> {
        match reader.next_line(before_wait, |line| line.iter().all(u8::is_ascii_whitespace))? {
            None => return Ok(None),
            Some(Err(why)) => return Ok(Some(ImportItem::Rejected(why))),
            Some(Ok(())) => {}
        }
        match plain(self.commands, reader.input.line()) {
            Some(rows) => Ok(Some(ImportItem::Rows(rows))),
            None => self.call(reader, before_wait).map(Some),
        }
    }
}

/// What a plain line writes; a line that starts with `#` is nothing. `None`: it is for the parser.
fn plain(commands: &'static [Command], line: &[u8]) -> Option<Vec<ImportRow<'static>>> {
    if line.starts_with(b"#") {
        return Some(Vec::new());
    }
    let mut words = Lexer::new(line);
    let command = command::find(commands, &words.next()?.bytes)?;
    let Run::Write { plain: Some(plain), .. } = command.run else { return None };
    script::read(words, plain)
}
