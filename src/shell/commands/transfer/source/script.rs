//! The writing commands of a script.

use super::item::{BeforeWait, ImportItem};
use super::text::{TextReader, TextRows};
use crate::shell::commands::transfer::rows::{ImportRow, script};
use crate::shell::lang::command;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::parse::parse_line;
use crate::shell::lang::words::{Lexer, open_quote};
use crate::shell::run::session::{Command, Run};

/// A script with one command per line. A quote may continue on the next line.
pub struct ScriptRows {
    commands: &'static [Command],
    /// Quotes that no further line closes. Searching the rest of the script again for each line
    /// would be slow.
    unclosed: Vec<char>,
}

impl ScriptRows {
    /// Creates the reader of a script of `commands`.
    pub fn new(commands: &'static [Command]) -> Self {
        Self { commands, unclosed: Vec::new() }
    }

    /// Parses a line that is not a plain put or del.
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

    /// Appends lines to the command until its quote is closed. Appends none if no line closes it.
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
                // Parsing the whole command again after each line would take quadratic time.
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

/// Returns the rows of a plain line, which are none for a comment. Returns `None` if the line needs
/// the parser.
fn plain(commands: &'static [Command], line: &[u8]) -> Option<Vec<ImportRow<'static>>> {
    if line.starts_with(b"#") {
        return Some(Vec::new());
    }
    let mut words = Lexer::new(line);
    let command = command::find(commands, &words.next()?.bytes)?;
    let Run::Write { plain: Some(plain), .. } = command.run else { return None };
    script::read(words, plain)
}
