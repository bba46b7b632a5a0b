//! Reads a line, runs it, and begins anew.

use std::io::{self, Write};

use logkv::Visible;
use rustyline::config::{ColorMode, CompletionType};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};
use unicode_width::UnicodeWidthStr;

use super::history::{self, History, LINES_MAX};
use super::lines::Lines;
use super::prompt::{CONTINUED, prompt};
use super::{Assistant, StoreKeys};
use crate::shell::command::Outcome;
use crate::shell::failure::{Failure, plain_words};
use crate::shell::folder::{Access, trusted};
use crate::shell::input::Input;
use crate::shell::pager::Pager;
use crate::shell::report::Place;
use crate::shell::session::Session;
use crate::shell::style::hue;
use crate::shell::tally::Tally;
use crate::shell::words::visible;
use crate::shell::{logging, script, units};

/// Runs what a person types until they leave. `with_init`: the init file first.
pub fn run(session: &mut Session, with_init: bool) -> Result<(), Failure> {
    let mut repl = Repl::new(session)?;
    welcome(session)?;
    if !with_init || run_init(session) == Outcome::Done {
        while repl.turn(session)? {}
    }
    if session.transaction.is_some() {
        session.note("note: the open batch was not committed, and is dropped");
    }
    // What failed was told to the person it concerns: leaving is no failure.
    session.tally = Tally::default();
    Ok(())
}

struct Repl {
    editor: Editor<Assistant, DefaultHistory>,
    /// `None` where lines are not kept.
    history: Option<History>,
    lines: Lines,
    pager: Pager,
}

impl Repl {
    fn new(session: &mut Session) -> Result<Self, Failure> {
        let look = session.out.look;
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .max_history_size(LINES_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(|error| broken(&error))?
            .history_ignore_space(true)
            // A list fits the screen, so there is no question that Ctrl-C would not leave.
            .completion_prompt_limit(usize::MAX)
            // Whether there are colours is decided already. Without this it would not ask how to show a line.
            .color_mode(ColorMode::Forced)
            .build();
        let mut editor = Editor::with_config(config).map_err(|error| broken(&error))?;
        if session.tells_events() {
            logging::print_above(editor.create_external_printer().map_err(|error| broken(&error))?);
        }
        let keys = StoreKeys { store: None, transaction: None };
        editor.set_helper(Some(Assistant { look, keys, pending: String::new(), prompt_width: 0 }));
        let mut repl = Self { editor, history: None, lines: Lines::default(), pager: Pager::new() };
        repl.load_history(session);
        Ok(repl)
    }

    /// One prompt, and the lines that come of it. `false`: the person leaves.
    fn turn(&mut self, session: &mut Session) -> Result<bool, Failure> {
        match self.read(session) {
            Ok(text) => {
                let lines = self.lines.add(&text);
                Ok(lines.iter().all(|line| self.run_line(session, line)))
            }
            // A typed line that was not run is discarded, as with Ctrl-D. The terminal may be gone.
            Err(_) if session.interrupt.is_ending() => Ok(false),
            Err(ReadlineError::Interrupted) => {
                self.lines.clear();
                Ok(true)
            }
            Err(ReadlineError::Eof) => Ok(false),
            Err(error) => Err(broken(&error)),
        }
    }

    fn read(&mut self, session: &mut Session) -> rustyline::Result<String> {
        let look = session.out.look;
        let pending = self.lines.pending().to_owned();
        let text = if pending.is_empty() {
            prompt(session.dir(), session.is_read_only(), session.transaction.is_some(), &look)
        } else {
            (CONTINUED.to_owned(), look.paint(CONTINUED, hue::DIM))
        };
        if let Some(assistant) = self.editor.helper_mut() {
            assistant.look = look;
            assistant.pending = pending;
            assistant.prompt_width = text.0.width();
            assistant.keys =
                StoreKeys { store: session.store().ok(), transaction: session.transaction.take() };
        }
        let line = session.interrupt.breaking(|| self.editor.readline(&text));
        if let Some(assistant) = self.editor.helper_mut() {
            session.transaction = assistant.keys.transaction.take();
        }
        line?
    }

    /// Runs one line. `false`: it says to leave, or there is no one to talk to.
    fn run_line(&mut self, session: &mut Session, line: &str) -> bool {
        if line.trim().is_empty() {
            return true;
        }
        self.remember(session, line);
        session.interrupt.clear();
        session.follow_width();
        let is_paged = session.settings.pager && session.out.is_terminal;
        if is_paged {
            if session.out.redirect(Box::new(self.pager.clone()), true).is_err() {
                return false;
            }
            // Not before: redirecting flushes, and what is flushed is no longer held back.
            self.pager.begin();
        }
        let outcome = session.interpret(line.as_bytes(), &Place::Nowhere);
        session.flush();
        if is_paged && self.pager.was_left() {
            session.tally.broken_pipe = false;
        }
        outcome != Some(Outcome::Quit) && !session.tally.broken_pipe && !session.interrupt.is_ending()
    }

    /// Loads the lines of earlier sessions, except those that would control the terminal when
    /// recalled.
    fn load_history(&mut self, session: &mut Session) {
        let Some(path) = history::path() else { return };
        match History::open(path.clone()) {
            Ok((history, mut lines)) => {
                lines.retain(|line| line.chars().all(is_shown));
                for line in &lines {
                    let Ok(_) = self.editor.add_history_entry(line) else { break };
                }
                session.history = lines;
                self.history = Some(history);
            }
            Err(error) => session.note(&Failure::file("keep the history in", &path, &error).message),
        }
    }

    /// Keeps a line at once: a shell that is killed must not lose the others.
    fn remember(&mut self, session: &mut Session, line: &str) {
        if !line.chars().all(is_shown) {
            return;
        }
        let Ok(true) = self.editor.add_history_entry(line) else { return };
        session.history.push(line.to_owned());
        if let Some(history) = &self.history
            && let Err(error) = history.append(line)
        {
            self.forget(session, &error);
        }
    }

    /// Goes on without a history file, and says so once.
    fn forget(&mut self, session: &Session, error: &io::Error) {
        if let Some(History { path, .. }) = self.history.take() {
            let (path, error) = (visible(path.as_os_str().as_encoded_bytes()), plain_words(error));
            session.note(&format!("note: the history in {path} cannot be used: {error}; lines are not kept"));
        }
    }
}

/// Whether a line of the history may have `c`; a line that went on has its line breaks.
fn is_shown(c: char) -> bool {
    c == '\n' || c == '\t' || Visible::is(c)
}

fn broken(error: &ReadlineError) -> Failure {
    Failure::command(format!("the terminal cannot be used: {error}"))
}

/// Version, number of keys, and where to go from here.
fn welcome(session: &mut Session) -> Result<(), Failure> {
    if session.settings.quiet {
        return Ok(());
    }
    let keys = session.store().map(|store| units::count(store.len(), "key"))?;
    let dir = visible(session.dir().as_os_str().as_encoded_bytes());
    let program = session.out.look.paint(concat!("logkv ", env!("CARGO_PKG_VERSION")), hue::HEAD);
    writeln!(session.out, "{program}: {keys} in {dir}")?;
    writeln!(
        session.out,
        "{}",
        session.out.look.paint("help lists the commands; Tab completes; Ctrl-D leaves", hue::DIM)
    )?;
    session.flush();
    Ok(())
}

/// Runs the init file, where there is one.
fn run_init(session: &mut Session) -> Outcome {
    let Some(path) = history::init_path() else { return Outcome::Done };
    let name = path.to_string_lossy();
    let input = match trusted(&path, Access::Read) {
        Ok(None) => return Outcome::Done,
        Ok(Some(file)) => Input::file(file),
        Err(error) => Err(error),
    };
    let outcome = match input {
        Ok(input) => script::run(session, input, &name),
        Err(error) => {
            session.note(&Failure::file("read", &path, &error).message);
            Outcome::Done
        }
    };
    session.flush();
    outcome
}
