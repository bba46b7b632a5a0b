//! The loop that reads lines and runs them.

use std::io::{self, Write};

use logkv::Visible;
use rustyline::error::ReadlineError;
use unicode_width::UnicodeWidthStr;

use super::assistant::{Assistant, StoreKeys};
use super::history::{self, History};
use super::keyboard::Keyboard;
use super::lines::Lines;
use super::prompt::{continued, prompt};
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::{Failure, plain_words};
use crate::shell::lang::report::LinePlace;
use crate::shell::lang::words::{self, visible};
use crate::shell::run::folder::trusted::{Access, trusted};
use crate::shell::run::script;
use crate::shell::run::session::Session;
use crate::shell::term::input::Input;
use crate::shell::term::output::Mode;
use crate::shell::term::pager::Manner;
use crate::shell::term::style::{ColorChoice, hue, is_dumb};
use crate::shell::term::units;

/// Runs typed lines until the user leaves. `with_init` runs the init file first.
pub fn run(session: &mut Session, with_init: bool) -> Result<(), Failure> {
    let mut repl = Repl::new(session)?;
    welcome(session)?;
    if !with_init || run_init(session) == Outcome::Done {
        while repl.turn(session)? {}
    }
    if session.has_batch() {
        session.note("note: the open batch was not committed, and is dropped");
    }
    // The user has seen every failure, so the program exits with 0.
    session.forget_tally();
    Ok(())
}

struct Repl {
    keyboard: Keyboard,
    /// `None` if lines are not saved.
    history: Option<History>,
    lines: Lines,
}

impl Repl {
    fn new(session: &mut Session) -> Result<Self, Failure> {
        let keys = StoreKeys { store: None, overlay: None };
        let look = session.out.look;
        let assistant = Assistant { look, keys, pending: String::new(), prompt_width: 0 };
        let mut keyboard = Keyboard::new(assistant).map_err(|error| broken(&error))?;
        if session.config().logs_events() {
            keyboard.print_events_above().map_err(|error| broken(&error))?;
        }
        session.use_pager();
        let mut repl = Self { keyboard, history: None, lines: Lines::default() };
        repl.load_history(session);
        Ok(repl)
    }

    /// Shows one prompt, and runs the lines typed there. Returns `false` if the user leaves.
    fn turn(&mut self, session: &mut Session) -> Result<bool, Failure> {
        session.report_background();
        match self.read(session) {
            Ok(text) => {
                let lines = self.lines.add(&text);
                Ok(lines.iter().all(|line| self.run_line(session, line)))
            }
            // A typed line that did not run is dropped, as with Ctrl-D. The terminal may be gone.
            Err(_) if session.interrupt().is_ending() => Ok(false),
            Err(ReadlineError::Interrupted) => {
                self.lines.clear();
                Ok(true)
            }
            Err(ReadlineError::Eof) => Ok(false),
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                session.note("error: the line is not UTF-8 and was not run; \"\\xHH\" writes any byte");
                Ok(true)
            }
            Err(error) => Err(broken(&error)),
        }
    }

    fn read(&mut self, session: &mut Session) -> rustyline::Result<String> {
        let look = session.out.look;
        let pending = self.lines.pending().to_owned();
        let text = match words::open_quote(pending.as_bytes()) {
            None => prompt(session.dir(), session.is_read_only(), session.has_batch(), &look),
            Some((quote, _)) => (continued(quote), look.paint(continued(quote), hue::DIM)),
        };
        if let Some(assistant) = self.keyboard.assistant() {
            assistant.look = look;
            assistant.pending = pending;
            assistant.prompt_width = text.0.width();
            assistant.keys = StoreKeys { store: session.store().ok(), overlay: session.overlay().cloned() };
        }
        let line = self.keyboard.read(&text, session.interrupt());
        if let Some(assistant) = self.keyboard.assistant() {
            // Otherwise a change of the batch would copy it.
            assistant.keys.overlay = None;
        }
        line
    }

    /// Runs one line. Returns `false` if the session ends, or the output has no reader.
    fn run_line(&mut self, session: &mut Session, line: &str) -> bool {
        if line.trim().is_empty() {
            return true;
        }
        self.remember(session, line);
        session.interrupt().clear();
        session.follow_width();
        let pager = session.pager().cloned().filter(|_| session.settings().pager && session.out.is_terminal);
        if let Some(pager) = &pager {
            if session.out.flush().is_err() {
                return false;
            }
            session.out.redirect(Box::new(pager.clone()), None, true);
            // After the flush above: a flush ends the buffering of the pager.
            pager.begin(manner(session));
        }
        let outcome = session.interpret(line.as_bytes(), &LinePlace::Nowhere);
        if session.out.is_terminal {
            // The prompt would overwrite a line without an end. The flush reports a write error.
            let _ = session.out.own_line();
        }
        session.flush();
        if pager.is_some_and(|pager| pager.was_left()) {
            session.forgive_broken_pipe();
        }
        outcome != Some(Outcome::Quit) && !session.has_broken_pipe() && !session.interrupt().is_ending()
    }

    /// Loads the lines of earlier sessions, except those with control characters.
    fn load_history(&mut self, session: &mut Session) {
        let Some(path) = history::path() else { return };
        match History::open(path.clone()) {
            Ok((history, mut lines)) => {
                lines.retain(|line| line.chars().all(is_shown));
                for line in &lines {
                    self.keyboard.remember(line);
                }
                session.set_history(lines);
                self.history = Some(history);
            }
            Err(error) => session.note(&Failure::file("keep the history in", &path, &error).message),
        }
    }

    /// Saves a line at once, so that a kill loses no earlier line.
    fn remember(&mut self, session: &mut Session, line: &str) {
        if !line.chars().all(is_shown) {
            return;
        }
        let is_repeated = session.history().last().is_some_and(|last| last == line);
        if !self.keyboard.remember(line) || is_repeated {
            return;
        }
        session.push_history(line);
        if let Some(history) = &self.history
            && let Err(error) = history.append(line)
        {
            self.forget(session, &error);
        }
    }

    /// Continues without a history file, and reports that once.
    fn forget(&mut self, session: &Session, error: &io::Error) {
        if let Some(History { path, .. }) = self.history.take() {
            let path = visible(path.as_os_str().as_encoded_bytes());
            let error = plain_words(error);
            session.note(&format!("note: the history in {path} cannot be used: {error}; lines are not kept"));
        }
    }
}

/// Returns the properties of the next command's results.
fn manner(session: &Session) -> Manner {
    let wants_colours = session.settings().color == ColorChoice::Always;
    // Raw values may have escape sequences of their own.
    let is_bare_enough = session.out.mode != Mode::Raw && !wants_colours;
    Manner { is_bare_enough, is_ascii: session.out.look.ascii }
}

/// Returns whether a line of the history may have `c`. A command of several lines has line breaks.
fn is_shown(c: char) -> bool {
    c == '\n' || c == '\t' || Visible::is(c)
}

fn broken(error: &ReadlineError) -> Failure {
    Failure::command(format!("the terminal cannot be used: {error}"))
}

/// Prints the version, the number of keys and the first commands to try.
fn welcome(session: &mut Session) -> Result<(), Failure> {
    if session.settings().quiet {
        return Ok(());
    }
    let keys = session.store().map(|store| units::count(store.len(), "key"))?;
    let dir = visible(session.dir().as_os_str().as_encoded_bytes());
    let program = session.out.look.paint(concat!("logkv ", env!("CARGO_PKG_VERSION")), hue::HEAD);
    writeln!(session.out, "{program}: {keys} in {dir}")?;
    let completes = if is_dumb() { "" } else { "Tab completes; " };
    let ways = format!("help lists the commands; {completes}Ctrl-D leaves");
    writeln!(session.out, "{}", session.out.look.paint(ways, hue::DIM))?;
    session.flush();
    Ok(())
}

/// Runs the init file, if it exists.
fn run_init(session: &mut Session) -> Outcome {
    let Some(path) = history::init_path() else { return Outcome::Done };
    let name = path.to_string_lossy();
    let input = match trusted(&path, Access::Read) {
        Ok(None) => return Outcome::Done,
        Ok(Some(file)) => Input::file(file),
        Err(error) => Err(error),
    };
    let outcome = match input {
        Ok(input) => script::run(session, vec![input], &name),
        Err(error) => {
            session.note(&Failure::file("read", &path, &error).message);
            Outcome::Done
        }
    };
    session.flush();
    outcome
}
