//! The session: the state that commands share.

mod answer;
mod ask;
mod batch;
mod call;
mod compacted;
mod damage;
mod follow;
mod open;
mod settings;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use logkv::{Options, SegmentId, Store};

pub use self::settings::{Origin, Settings, Timer};

use super::compactions::Compactions;
use super::config::Config;
use super::metrics_file::MetricsFile;
use super::write::mutation::Mutation;
use super::write::pipeline::Pipeline;
use super::write::transaction::Transaction;
use crate::shell::lang::command::{self, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::report::LinePlace;
use crate::shell::lang::words::plain::Plain;
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::output::Output;
use crate::shell::term::pager::Pager;
use crate::shell::term::progress::Progress;
use crate::shell::term::style::{self, Look};
use crate::shell::term::tally::Tally;

/// A row of the table of commands.
pub type Command = command::Command<Run>;

/// A parsed call of a command.
pub type Invocation = command::Invocation<Run>;

/// The function of a command.
pub type RunFn = fn(&mut Session, &Invocation) -> Result<Outcome, Failure>;

/// The function of a command whose arguments are only keys.
pub type KeysFn = fn(&mut Session, &[Cow<'_, [u8]>]) -> Result<Outcome, Failure>;

/// The way in which a command runs.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// By a function.
    Itself(RunFn),
    /// By a function; a second one runs a plain line of keys without the parser.
    Keys {
        /// Runs any call.
        run: RunFn,
        /// Runs a call with these keys and no flags.
        plain: KeysFn,
    },
    /// By a write. It is committed at once, pipelined in a script, or queued for `commit`.
    Write {
        /// Reads the write from the arguments, without side effects.
        read: fn(&mut Session, &Invocation) -> Result<CommandRequest, Failure>,
        /// The meaning of a plain line, which is read without the parser.
        plain: Option<Plain>,
    },
    /// By a function, on the open batch.
    Batch {
        /// Runs the command.
        run: RunFn,
        /// Whether the command commits the batch.
        commits: bool,
    },
}

/// The request of a call of a write command.
#[derive(Debug)]
pub enum CommandRequest {
    /// A write.
    Write(Mutation),
    /// Something else, such as a search, that this function runs.
    Itself(RunFn),
}

impl Run {
    /// Returns whether the command writes keys or controls a batch. Only such commands are allowed
    /// in an imported script.
    pub fn writes(self) -> bool {
        matches!(self, Self::Write { .. } | Self::Batch { .. })
    }
}

/// The failure in the acknowledgement of a line.
#[derive(Debug)]
struct Refused {
    code: u8,
    message: String,
}

/// The state that commands share.
#[derive(Debug)]
pub struct Session {
    /// The results. Public, because a command writes them while it borrows other parts.
    pub out: Output,
    commands: &'static [Command],
    err_look: Look,
    settings: Settings,
    config: Config,
    interrupt: Interrupt,
    origin: Origin,
    /// Whether the commands come from the standard input.
    reads_stdin: bool,
    transaction: Option<Transaction>,
    pipeline: Pipeline,
    history: Vec<String>,
    pager: Option<Pager>,
    tally: Tally,
    failure_count: u64,
    /// The number of failures before the current script, or before `bail on`. They do not end a
    /// script.
    forgiven_count: u64,
    depth: usize,
    /// The position of the current command in its script.
    place: LinePlace,
    /// The first failure of the current line, for its acknowledgement.
    refused: Option<Refused>,
    /// Whether lines arrived after the last refresh of a read-only store.
    is_stale: bool,
    compactions: Compactions,
    /// Damage in the log that commands have met.
    met_damage: BTreeSet<(SegmentId, u64)>,
    /// The last line of the script that was acknowledged.
    acknowledged: u64,
    /// The message of the last failure. A close that fails for the same reason is not reported.
    last_message: String,
    /// The time that the current command has waited for answers from the user.
    asked: Duration,
    metrics_file: Option<MetricsFile>,
    dir: PathBuf,
    store: Option<Store>,
    /// The bar of an open or a refresh that reads much of the log.
    opening: Option<Arc<Progress>>,
    /// The options of a store that is not opened before the first write.
    unopened: Option<Options>,
}

impl Session {
    /// Returns a session on the directory `dir`. The store is not open yet.
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
            failure_count: 0,
            forgiven_count: 0,
            depth: 0,
            place: LinePlace::Nowhere,
            refused: None,
            acknowledged: 0,
            is_stale: false,
            compactions: Compactions::default(),
            met_damage: BTreeSet::new(),
            last_message: String::new(),
            asked: Duration::ZERO,
            metrics_file: None,
            dir,
            store: None,
            opening: None,
            unopened: None,
        }
    }

    /// Returns the rows of all commands, in the order of `help`.
    pub fn commands(&self) -> &'static [Command] {
        self.commands
    }

    /// Returns the directory of the store, as the user gave it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the look of messages on the standard error.
    pub fn err_look(&self) -> Look {
        self.err_look
    }

    /// Returns the settings that a command can change.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the settings for a command that changes them.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Applies the setting `color` to results and messages.
    pub fn follow_color(&mut self) {
        self.out.look.color = self.settings.color.decide(self.out.is_terminal);
        self.err_look.color = self.settings.color.decide(io::stderr().is_terminal());
    }

    /// Applies the current width of the terminal, which may have been resized.
    pub fn follow_width(&mut self) {
        let width = self.settings.width.unwrap_or_else(style::terminal_width);
        self.out.look.width = width;
        self.err_look.width = width;
    }

    /// Returns the options, and the source of each.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sets the options.
    pub fn set_config(&mut self, config: Config) {
        self.config = config;
    }

    /// Returns the state of Ctrl-C, and of the signals that end the session.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Reacts to `interrupt` from now on, also while results are written.
    pub fn heed(&mut self, interrupt: Interrupt) {
        self.out.heed(interrupt.clone());
        self.interrupt = interrupt;
    }

    /// Returns the origin of the commands.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Sets the origin of the commands that follow.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// Returns whether the commands come from a terminal, so that questions can be asked.
    pub fn is_interactive(&self) -> bool {
        self.origin == Origin::Person
    }

    /// Returns whether the commands come from the standard input. In that case no command can read
    /// a value from it.
    pub fn reads_stdin(&self) -> bool {
        self.reads_stdin
    }

    /// Marks the standard input as the source of the commands.
    pub fn set_reads_stdin(&mut self) {
        self.reads_stdin = true;
    }

    /// Returns the number of open scripts that run within another.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Runs a script within another. `is_stdin` says whether it is the standard input.
    pub fn nested<T>(&mut self, is_stdin: bool, run: impl FnOnce(&mut Self) -> T) -> T {
        self.depth += 1;
        let result = self.reading(is_stdin, run);
        self.depth -= 1;
        result
    }

    /// Runs an import of a script: its commands ask no questions.
    pub fn as_script<T>(&mut self, is_stdin: bool, run: impl FnOnce(&mut Self) -> T) -> T {
        let origin = std::mem::replace(&mut self.origin, Origin::Script);
        let result = self.reading(is_stdin, run);
        self.origin = origin;
        result
    }

    fn reading<T>(&mut self, is_stdin: bool, run: impl FnOnce(&mut Self) -> T) -> T {
        let reads_stdin = self.reads_stdin;
        self.reads_stdin |= is_stdin;
        let result = run(self);
        self.reads_stdin = reads_stdin;
        result
    }

    /// Sets the position of the current command.
    pub(super) fn set_place(&mut self, place: LinePlace) {
        self.place = place;
    }

    /// Returns the writes that were submitted and not yet acknowledged.
    pub(super) fn pipeline(&mut self) -> &mut Pipeline {
        &mut self.pipeline
    }

    /// Returns the lines typed so far, oldest first. Only the REPL has any.
    pub fn history(&self) -> &[String] {
        &self.history
    }

    /// Sets the lines of earlier sessions.
    pub fn set_history(&mut self, lines: Vec<String>) {
        self.history = lines;
    }

    /// Adds a line to the history.
    pub fn push_history(&mut self, line: &str) {
        self.history.push(line.to_owned());
    }

    /// Returns the pager for long results. Only the REPL has one.
    pub fn pager(&self) -> Option<&Pager> {
        self.pager.as_ref()
    }

    /// Sends long results to a pager from now on.
    pub fn use_pager(&mut self) {
        self.pager = Some(Pager::new(self.interrupt.clone()));
    }

    /// Returns a progress bar, labelled `what`, such as `compacting`.
    pub fn progress(&self, what: &'static str) -> Progress {
        Progress::new(what, self.err_look, !self.settings.quiet)
    }
}
