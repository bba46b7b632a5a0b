//! The source of typed lines.

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

/// Where lines come from.
pub enum Keyboard {
    /// A terminal on which a line can be edited.
    Edited(Box<Editor<Assistant, DefaultHistory>>),
    /// A terminal that can only print, as a shell inside an editor.
    Dumb(Input),
}

impl Keyboard {
    /// The terminal that is the standard input and output, with the help of `assistant`.
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
            // A list fits the screen, so there is no question that Ctrl-C would not leave.
            .completion_prompt_limit(usize::MAX)
            // Whether there are colours is decided already. Without this it would not ask how to show a line.
            .color_mode(ColorMode::Forced)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(assistant));
        Ok(Self::Edited(Box::new(editor)))
    }

    /// Prints the engine's log messages above the line being typed.
    pub fn tell_above(&mut self) -> rustyline::Result<()> {
        if let Self::Edited(editor) = self {
            logging::print_above(editor.create_external_printer()?);
        }
        Ok(())
    }

    /// The helper for completion, hints and highlighting.
    pub fn assistant(&mut self) -> Option<&mut Assistant> {
        match self {
            Self::Edited(editor) => editor.helper_mut(),
            Self::Dumb(_) => None,
        }
    }

    /// Adds a line to the history. Returns whether to keep it: it differs from the last one, and does not start with a
    /// blank.
    pub fn remember(&mut self, line: &str) -> bool {
        match self {
            Self::Edited(editor) => editor.add_history_entry(line).unwrap_or(false),
            Self::Dumb(_) => !line.starts_with(' '),
        }
    }

    /// The next line, after the prompt: without and with colours.
    pub fn read(&mut self, prompt: &(String, String), interrupt: &Interrupt) -> rustyline::Result<String> {
        match self {
            Self::Edited(editor) => interrupt.breaking(|| editor.readline(prompt))?,
            Self::Dumb(input) => {
                interrupt.clear();
                write!(io::stdout(), "{}", prompt.0)?;
                io::stdout().flush()?;
                let line = next_line(input, interrupt);
                if line.is_err() {
                    // The cursor is behind the prompt.
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
