//! What commands share: the store, the open transaction, the output, the settings.

mod answer;
mod ask;
mod compacted;
mod damage;
mod follow;
mod settings;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use logkv::{Error, Options, Overlay, SegmentId, Store, Value};

pub use self::settings::{Origin, Settings, Timer};

use super::advice;
use super::compactions::Compactions;
use super::config::Config;
use super::folder::is_of_store;
use super::metrics_file::MetricsFile;
use super::write::mutation::Mutation;
use super::write::pipeline::Pipeline;
use super::write::transaction::Transaction;
use crate::shell::lang::command::{self, Outcome, YES};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::parse;
use crate::shell::lang::report::{self, LinePlace};
use crate::shell::lang::words::plain::Plain;
use crate::shell::lang::words::visible;
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::output::{Mode, Output};
use crate::shell::term::pager::Pager;
use crate::shell::term::progress::Progress;
use crate::shell::term::style::{self, Look};
use crate::shell::term::tally::Tally;
use crate::shell::term::units;

/// A row of the table of commands.
pub type Command = command::Command<Run>;

/// A call of a command.
pub type Invocation = command::Invocation<Run>;

/// Does the work of a command from start to end.
pub type RunFn = fn(&mut Session, &Invocation) -> Result<Outcome, Failure>;

/// Does the work of a command for these keys.
pub type KeysFn = fn(&mut Session, &[Cow<'_, [u8]>]) -> Result<Outcome, Failure>;

/// How a command does its work.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// By itself.
    Itself(RunFn),
    /// By itself; `plain` does it for a line with keys and nothing else.
    Keys {
        /// The command itself.
        run: RunFn,
        /// It, for these keys.
        plain: KeysFn,
    },
    /// By what it writes, which is waited for at once or together with the writes behind it, or is left to `commit`.
    Write {
        /// Reads what it writes from its words. Reading changes nothing.
        read: fn(&mut Session, &Invocation) -> Result<Asked, Failure>,
        /// What the words of a line without flags are, where the parser is not needed for them.
        plain: Option<Plain>,
    },
    /// By itself, on the batch that `begin` opens.
    Batch {
        /// The command itself.
        run: RunFn,
        /// Whether it writes the batch.
        commits: bool,
    },
}

/// What a command that may write was asked for.
#[derive(Debug)]
pub enum Asked {
    /// This write.
    Write(Mutation),
    /// Something else, which this does.
    Itself(RunFn),
}

impl Run {
    /// Whether it sets or removes keys, or is about a batch: what a script that is imported may hold.
    pub fn writes(self) -> bool {
        matches!(self, Self::Write { .. } | Self::Batch { .. })
    }
}

/// The first failure of a line of a script, as its acknowledgement has it.
#[derive(Debug)]
struct Refused {
    code: u8,
    message: String,
}

/// The state of the shell.
#[derive(Debug)]
pub struct Session {
    /// The commands, in the order of `help`.
    pub commands: &'static [Command],
    /// Results.
    pub out: Output,
    /// How messages on the standard error look.
    pub err_look: Look,
    /// What can be changed while it runs.
    pub settings: Settings,
    /// The options, and where each comes from.
    pub config: Config,
    /// Ctrl-C.
    pub interrupt: Interrupt,
    /// Who gives the commands.
    pub origin: Origin,
    /// Whether the commands come from the standard input.
    pub reads_stdin: bool,
    /// The batch between `begin` and `commit`.
    pub transaction: Option<Transaction>,
    /// Writes of a script that are not yet acknowledged.
    pub pipeline: Pipeline,
    /// The lines typed so far, oldest first; empty but in the REPL.
    pub history: Vec<String>,
    /// What long results of the REPL go through.
    pub pager: Option<Pager>,
    /// What has gone wrong so far.
    pub tally: Tally,
    /// How many commands have failed so far.
    pub failures: u64,
    /// How many had when the present script began, or `bail on` was said: those do not end it.
    pub failures_forgiven: u64,
    /// How many scripts deep `read` is.
    pub depth: usize,
    /// Where the present command was given.
    pub place: LinePlace,
    /// What the present line of the script is answered with, once something of it has failed.
    refused: Option<Refused>,
    /// Whether lines came in since it was last seen what another process wrote.
    lags: bool,
    /// Which segments gave way to which.
    pub compacted: Compactions,
    /// Where commands have met damage in the log.
    met_damage: BTreeSet<(SegmentId, u64)>,
    /// The last line of the script that was acknowledged.
    acknowledged: u64,
    /// The last failure that was told.
    told: String,
    /// How long the present command waited for a person's answer.
    asked: Duration,
    /// Keeps the file of metrics while the store is open.
    keeper: Option<MetricsFile>,
    dir: PathBuf,
    store: Option<Store>,
    /// What the store shows when it reads much of its files.
    opening: Option<Arc<Progress>>,
    /// How the store is opened, where that waits until there is something to write.
    unopened: Option<Options>,
}

impl Session {
    /// A session on the directory `dir`, not yet opened.
    pub fn new(
        commands: &'static [Command],
        dir: PathBuf,
        out: Output,
        err_look: Look,
        settings: Settings,
        origin: Origin,
    ) -> Self {
        Self {
            commands,
            out,
            err_look,
            settings,
            config: Config::default(),
            interrupt: Interrupt::default(),
            origin,
            reads_stdin: false,
            transaction: None,
            pipeline: Pipeline::default(),
            history: Vec::new(),
            pager: None,
            tally: Tally::default(),
            failures: 0,
            failures_forgiven: 0,
            depth: 0,
            place: LinePlace::Nowhere,
            refused: None,
            acknowledged: 0,
            lags: false,
            compacted: Compactions::default(),
            met_damage: BTreeSet::new(),
            told: String::new(),
            asked: Duration::ZERO,
            keeper: None,
            dir,
            store: None,
            opening: None,
            unopened: None,
        }
    }

    /// Opens the store, and tells what opening found.
    pub fn open(&mut self, options: Options) -> Result<(), Failure> {
        let opened = self.open_store(options)?;
        self.take(opened.map_err(|error| Failure::open(&error))?)
    }

    /// As [`Session::open`], for who only reads: read-only when another process has the store, which is told.
    pub fn open_to_read(&mut self, options: Options) -> Result<(), Failure> {
        let opened = match self.open_store(options.clone())? {
            Err(error @ Error::Locked { .. }) => {
                if !self.settings.quiet {
                    let why = error.to_string().replacen("; try --read-only", "", 1);
                    self.note(&format!("note: {why}: opening it read-only"));
                }
                self.open_store(options.read_only(true).create(false))?
            }
            opened => opened,
        };
        self.take(opened.map_err(|error| Failure::open(&error))?)
    }

    fn open_store(&mut self, options: Options) -> Result<logkv::Result<Store>, Failure> {
        let progress = Arc::new(self.progress("reading the log"));
        let seen = Arc::clone(&progress);
        let options = options.on_open_progress(Arc::new(move |at| seen.at(at.done_len, at.total_len)));
        // Opening looks at no flag; and a crash in it is an ordinary one.
        let opened = self.interrupt.ending(|| progress.clear(), || Store::open_with(&self.dir, options));
        let opened = opened.map_err(Failure::no_watch)?;
        // The store keeps its options, and so the bar.
        progress.clear();
        self.opening = Some(progress);
        Ok(opened)
    }

    /// The changes that wait for `commit`, in an open batch.
    pub fn overlay(&self) -> Option<&Overlay> {
        self.transaction.as_ref().map(|transaction| &transaction.overlay)
    }

    /// The batch between `begin` and `commit`.
    pub fn open_batch(&mut self) -> Result<&mut Transaction, Failure> {
        let none_open = || Failure::command("no batch is open").hint("begin opens one");
        self.transaction.as_mut().ok_or_else(none_open)
    }

    /// What the open batch makes of `key`, and until when: `Some(None)` where the key is gone with it.
    pub fn change_of(&self, key: &[u8]) -> Option<Option<(Value, Option<u64>)>> {
        self.overlay()?.change_of(key)
    }

    /// Goes on with the open `store`.
    fn take(&mut self, store: Store) -> Result<(), Failure> {
        if !self.settings.quiet {
            if store.open_report().created {
                let dir = visible(self.dir.as_os_str().as_encoded_bytes());
                self.note(&format!("note: new store in {dir}"));
            }
            for note in report::opening(&store.open_report(), store.is_read_only()) {
                self.note(&note);
            }
        }
        self.keep_metrics(&store)?;
        self.interrupt.guard(store.clone());
        self.store = Some(store);
        Ok(())
    }

    /// Leaves the opening to the command, which may have nothing to write: then no store is made.
    pub fn open_later(&mut self, options: Options) {
        self.unopened = Some(options);
    }

    /// The store, opened now if that was left to the command.
    pub fn make_store(&mut self) -> Result<Store, Failure> {
        if let Some(options) = self.unopened.take() {
            self.open(options)?;
        }
        self.store()
    }

    /// Begins to keep the file of metrics, if there is to be one.
    fn keep_metrics(&mut self, store: &Store) -> Result<(), Failure> {
        let Some(path) = self.config.metrics_file.clone() else { return Ok(()) };
        let interval = self.config.metrics_interval;
        let named = path.clone();
        if path.as_os_str() == "-" {
            let failure = Failure::usage("--metrics-file takes a file, not the standard output");
            return Err(failure.hint("stats --prometheus prints the metrics"));
        }
        if is_of_store(&self.dir, &path) {
            return Err(Failure::usage("--metrics-file names a file of the store itself"));
        }
        let keeper = MetricsFile::keep(path, interval, store.clone());
        let keeper = keeper.map_err(|error| Failure {
            kind: Kind::Open,
            ..Failure::file("start a thread for", &named, &error)
        })?;
        self.keeper = Some(keeper);
        Ok(())
    }

    /// The open store.
    pub fn store(&self) -> Result<Store, Failure> {
        self.store.clone().ok_or_else(|| Failure::command("no store is open"))
    }

    /// What becomes of a command that has shown all there is, but for `damage`: where the store has damaged places, nobody
    /// knows whether keys are missing.
    pub fn shown_all(&self, damage: Option<Failure>) -> Result<Outcome, Failure> {
        match (damage, self.is_damaged()?) {
            (Some(damage), _) => Err(self.naming_key(damage)),
            (None, false) => Ok(Outcome::Done),
            (None, true) => Ok(Outcome::Damaged),
        }
    }

    /// A bar for what may take long, told what it is: `compacting`.
    pub fn progress(&self, what: &'static str) -> Progress {
        Progress::new(what, self.err_look, !self.settings.quiet)
    }

    /// The store's directory, as it was given.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether nothing may be written.
    pub fn is_read_only(&self) -> bool {
        self.store.as_ref().is_some_and(Store::is_read_only)
    }

    /// Fails where the store is only read: before anybody is asked, or anything is read that would be written.
    pub fn check_writes(&self) -> Result<(), Failure> {
        if self.is_read_only() { Err(logkv::Error::ReadOnly.into()) } else { Ok(()) }
    }

    /// Takes the terminal's width for what comes next: its window may have been resized.
    pub fn follow_width(&mut self) {
        let width = self.settings.width.unwrap_or_else(style::terminal_width);
        self.out.look.width = width;
        self.err_look.width = width;
    }

    /// Whether it has the store open, and may write to it.
    pub fn is_writing(&self) -> bool {
        self.store.as_ref().is_some_and(|store| !store.is_read_only())
    }

    /// Whether a person answers questions.
    pub fn is_interactive(&self) -> bool {
        self.origin == Origin::Person
    }

    /// Runs one line from start to end: the command, its errors, its time. Gives back what it came to, or `None`
    /// when it failed, which has been told and counted.
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

    /// Runs a command from start to end, as [`Session::interpret`] does. `line` is what it was called by.
    pub fn call(&mut self, invocation: &Invocation, line: &[u8], place: &LinePlace) -> Option<Outcome> {
        // The command must see the writes that are on their way.
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
        self.tell_time(started.elapsed(), read_before);
        if let Some(why) = self.keeper.as_ref().and_then(MetricsFile::trouble) {
            self.note(&format!("warning: {why}"));
        }
        outcome
    }

    /// Adds hints to the result of a typed line, if it may have been meant differently.
    fn advise(&mut self, invocation: &Invocation, line: &[u8]) {
        // Another shell has split the words of a one-shot command.
        let odd = if self.is_interactive() { advice::odd_word(self.commands, line) } else { None };
        let is_table = self.out.is_table();
        let option = if is_table { advice::option_hint(self.commands, invocation, line) } else { None };
        for hint in odd.into_iter().chain(option) {
            self.flush();
            self.note(&format!("hint: {hint}"));
        }
    }

    /// What `run` comes to, whose results are JSON if `is_asked`, whatever the mode.
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

    /// Whether no more lines of the present script are to be run.
    pub fn is_over(&self) -> bool {
        let bails = self.settings.bail && self.failures > self.failures_forgiven;
        bails || self.tally.broken_pipe || self.tally.interrupted.is_some()
    }

    /// How long a person has read in the pager so far.
    fn read_for(&self) -> Duration {
        self.pager.as_ref().map_or(Duration::ZERO, Pager::waited)
    }

    /// Tells how long a command took, without the time that a person took over it.
    fn tell_time(&mut self, took: Duration, read_before: Duration) {
        let took = took.saturating_sub(self.asked + self.read_for().saturating_sub(read_before));
        if self.settings.timer.tells(took) {
            self.flush();
            self.note(&format!("({})", units::elapsed(took, self.err_look.ascii)));
        }
    }

    /// Waits for all writes, and closes the store.
    pub fn close(&mut self) {
        self.drain();
        self.flush();
        if let Some(why) = self.keeper.take().and_then(MetricsFile::finish) {
            self.note(&format!("warning: {why}"));
        }
        self.interrupt.release();
        if let Some(store) = self.store.take()
            && let Err(error) = store.close()
            && !matches!(&error, Error::Poisoned { cause } if self.told.contains(cause))
        {
            self.fail(&error.into(), b"", &LinePlace::Nowhere);
        }
    }
}
