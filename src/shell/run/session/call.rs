//! The run of one command: its outcome, its hints, its time.

use std::time::{Duration, Instant};

use super::{Invocation, Session};
use crate::shell::lang::command::{Outcome, YES};
use crate::shell::lang::parse;
use crate::shell::lang::report::LinePlace;
use crate::shell::run::advice;
use crate::shell::run::metrics_file::MetricsFile;
use crate::shell::term::output::Mode;
use crate::shell::term::pager::Pager;
use crate::shell::term::tally::Tally;
use crate::shell::term::units;

impl Session {
    /// Runs one line, and prints its hints and its time. Returns its outcome, or `None` after a
    /// failure, which was reported and counted.
    pub fn interpret(&mut self, line: &[u8], place: &LinePlace) -> Option<Outcome> {
        match parse::parse_line(self.commands, line) {
            Ok(Some(invocation)) => self.call(&invocation, line, place),
            Ok(None) => Some(Outcome::Done),
            Err(failure) => {
                self.drain();
                self.in_json(parse::asks_json(line), |session| session.fail(&failure, line, place));
                None
            }
        }
    }

    /// Runs one parsed command as [`Session::interpret`] does. `line` is its text.
    pub fn call(&mut self, invocation: &Invocation, line: &[u8], place: &LinePlace) -> Option<Outcome> {
        // The command must see the submitted writes.
        self.drain();
        let started = Instant::now();
        self.asked = Duration::ZERO;
        let read_before = self.read_for();
        self.place.clone_from(place);
        let had_batch = self.transaction.is_some();
        let always_yes = self.settings.yes;
        self.settings.yes |= invocation.has(YES.name);
        let outcome = self.in_json(invocation.json, |session| {
            let result = session.follow_for(invocation);
            let result = result.and_then(|()| session.perform(invocation));
            session.settle(result, line, place)
        });
        self.settings.yes = always_yes;
        if let Some(transaction) = self.transaction.as_mut().filter(|_| !had_batch) {
            transaction.begun = Some(place.clone());
        }
        // In a script any word may be intended.
        if outcome.is_some() && *place == LinePlace::Nowhere {
            self.advise(invocation, line);
        }
        self.print_time(started.elapsed(), read_before);
        if let Some(why) = self.metrics_file.as_ref().and_then(MetricsFile::trouble) {
            self.note(&format!("warning: {why}"));
        }
        outcome
    }

    /// Prints hints about a typed line that may not mean what the user expects.
    fn advise(&mut self, invocation: &Invocation, line: &[u8]) {
        // The words of a one-shot command were split by another shell.
        let odd = if self.is_interactive() { advice::odd_word(self.commands, line) } else { None };
        let is_table = self.out.is_table();
        let option = if is_table { advice::option_hint(self.commands, invocation, line) } else { None };
        for hint in odd.into_iter().chain(option) {
            self.flush();
            self.note(&format!("hint: {hint}"));
        }
    }

    /// Runs `run`, with results in JSON if `is_asked`.
    pub fn in_json<T>(&mut self, is_asked: bool, run: impl FnOnce(&mut Self) -> T) -> T {
        let mode = self.out.mode;
        if is_asked {
            self.out.mode = Mode::Json;
        }
        let done = run(self);
        if is_asked {
            self.out.mode = mode;
        }
        done
    }

    /// Returns whether no more lines of the current script may run.
    pub fn is_over(&self) -> bool {
        let bails = self.settings.bail && self.failure_count > self.forgiven_count;
        bails || self.tally.broken_pipe || self.tally.interrupted.is_some()
    }

    /// Returns the time that the user has spent in the pager.
    fn read_for(&self) -> Duration {
        self.pager.as_ref().map_or(Duration::ZERO, Pager::waited)
    }

    /// Prints the time of a command, without the time that it waited for the user.
    fn print_time(&mut self, took: Duration, read_before: Duration) {
        let took = took.saturating_sub(self.asked + self.read_for().saturating_sub(read_before));
        if self.settings.timer.shows(took) {
            self.flush();
            self.note(&format!("({})", units::elapsed(took, self.err_look.ascii)));
        }
    }

    /// Excludes the failures so far from those that end a script under `bail on`.
    pub fn forgive_failures(&mut self) {
        self.forgiven_count = self.failure_count;
    }

    /// Returns the exit code of the program.
    pub fn exit_code(&self) -> u8 {
        self.tally.code()
    }

    /// Clears the exit code: the user of a REPL has seen each failure.
    pub fn forget_tally(&mut self) {
        self.tally = Tally::default();
    }

    /// Returns whether the reader of the results is gone.
    pub fn has_broken_pipe(&self) -> bool {
        self.tally.broken_pipe
    }

    /// Forgets that the reader is gone: it was a pager, and the next command starts a new one.
    pub fn forgive_broken_pipe(&mut self) {
        self.tally.broken_pipe = false;
    }
}
