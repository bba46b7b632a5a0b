//! Reading of typed lines, with rustyline or from a dumb terminal.

use std::io::{self, Write};

use rustyline::Editor;
use rustyline::config::{ColorMode, CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;

use super::assistant::Assistant;
use super::history::LINES_MAX;
use crate::shell::run::logging;
use crate::shell::term::input::Input;
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::style::is_dumb;

/// The source of typed lines.
pub enum Keyboard {
    /// A terminal with line editing.
    Edited(Box<Editor<Assistant, DefaultHistory>>),
    /// A terminal without escape sequences, such as a shell window of an editor.
    Dumb(Input),
}

impl Keyboard {
    /// Returns the terminal at the standard input and output.
    pub fn new(assistant: Assistant) -> rustyline::Result<Self> {
        if is_dumb() {
            return Ok(Self::Dumb(Input::stdin()?));
        }
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .max_history_size(LINES_MAX)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            // By default rustyline asks before it shows a long list. Here lists fit the screen.
            .completion_prompt_limit(usize::MAX)
            // Colours are decided elsewhere. Without this, rustyline would not call the
            // highlighter.
            .color_mode(ColorMode::Forced)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(assistant));
        Ok(Self::Edited(Box::new(editor)))
    }

    /// Prints the engine's log messages above the line being typed.
    pub fn print_events_above(&mut self) -> rustyline::Result<()> {
        if let Self::Edited(editor) = self {
            logging::print_above(editor.create_external_printer()?);
        }
        Ok(())
    }

    /// Returns the helper for completions, hints and colours.
    pub fn assistant(&mut self) -> Option<&mut Assistant> {
        match self {
            Self::Edited(editor) => editor.helper_mut(),
            Self::Dumb(_) => None,
        }
    }

    /// Adds a line to the history. Returns `false` if it repeats the last line or starts with a
    /// blank.
    pub fn remember(&mut self, line: &str) -> bool {
        match self {
            Self::Edited(editor) => editor.add_history_entry(line).unwrap_or(false),
            Self::Dumb(_) => !line.starts_with(' '),
        }
    }

    /// Reads the next line. `prompt` has the prompt without and with colours.
    pub fn read(&mut self, prompt: &(String, String), interrupt: &Interrupt) -> rustyline::Result<String> {
        match self {
            Self::Edited(editor) => interrupt.breaking(|| editor.readline(prompt))?,
            Self::Dumb(input) => {
                interrupt.clear();
                write!(io::stdout(), "{}", prompt.0)?;
                io::stdout().flush()?;
                let line = next_line(input, interrupt);
                if line.is_err() {
                    // Ends the line with the prompt.
                    writeln!(io::stdout())?;
                }
                line
            }
        }
    }
}

fn next_line(input: &mut Input, interrupt: &Interrupt) -> rustyline::Result<String> {
    while !input.advance() {
        if input.is_at_end() {
            return Err(ReadlineError::Eof);
        }
        match input.wait(interrupt) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return Err(ReadlineError::Interrupted);
            }
            waited => waited?,
        }
        input.fill()?;
    }
    str::from_utf8(input.line())
        .map(str::to_owned)
        .map_err(|_| ReadlineError::Io(io::Error::from(io::ErrorKind::InvalidData)))
}
