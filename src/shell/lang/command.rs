//! The types of the command table.
//!
//! Parsing, help, completion, hints and the man page all read its rows; there is no second list of commands. The
//! table itself stands above, and is passed down to whoever reads lines.

use super::failure::Failure;
use super::words::{Word, shown};

/// What a command came to, when it did not fail. Its worst over a run decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It did what was asked.
    Done,
    /// A key that was asked for is not there: a result, which a one-shot `get` tells by exit code 1.
    Absent,
    /// It worked, and showed damaged bytes: exit code 4.
    Damaged,
    /// It worked, as far as it was let: exit code 3.
    Refused,
    /// The shell is to be left.
    Quit,
}

/// The section of `help` that a command stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Reads and writes keys.
    Data,
    /// Shows what the files hold.
    Inspect,
    /// Keeps the store in order.
    Maintain,
    /// Sets the shell itself; a leading `.` or `\` is taken before these.
    Shell,
}

impl Group {
    /// All groups, in the order of `help`.
    pub const ALL: [Self; 4] = [Self::Data, Self::Inspect, Self::Maintain, Self::Shell];

    /// The group's heading.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "Data",
            Self::Inspect => "Inspect",
            Self::Maintain => "Maintain",
            Self::Shell => "Shell",
        }
    }
}

/// What must be there before a command can run alone (a script and the REPL have the store open anyway).
#[derive(Clone, Copy, Debug)]
pub enum Needs {
    /// Nothing, not even DIR: `logkv help` works.
    Program,
    /// Nothing: it is about the shell.
    Nothing,
    /// The directory of a store, which is not opened.
    Directory,
    /// A store that exists, and is only read: while another process has it open, it is opened read-only.
    Reading,
    /// A store that exists.
    Store,
    /// A store, made when there is none: by the command itself, with `Session::make_store`, once it has what it writes.
    NewStore,
    /// The files of a store, even of one that does not open; no store if `unless` holds for the arguments.
    Files {
        /// Whether these arguments name a file of another store.
        unless: fn(&[Word]) -> bool,
    },
}

/// What an argument stands for, which decides how it is completed and coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// A key.
    Key,
    /// A value.
    Value,
    /// A pattern of keys.
    Glob,
    /// The number of a segment.
    Segment,
    /// The number of a sealed segment.
    Sealed,
    /// A path.
    File,
    /// The name of a command, or one of these words.
    Topic(&'static [&'static str]),
    /// A number.
    Number,
    /// A point of the log: a record's number or a moment.
    Point,
    /// How long something is to last.
    Duration,
    /// One of these words.
    Enum(&'static [&'static str]),
}

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: it is there or not.
    Nothing,
    /// A number, decimal or `0x…`.
    Number,
    /// A record's number or a cursor.
    Cursor,
    /// How long something is to last.
    Duration,
    /// A moment.
    Time,
    /// A key.
    Key,
    /// A pattern of keys.
    Glob,
    /// The name of a field, or column.
    Field,
    /// A path.
    File,
    /// The path of a directory.
    Directory,
    /// One of these words.
    Enum(&'static [&'static str]),
}

impl Takes {
    /// How help shows what follows.
    pub fn placeholder(self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Number => Some("N".to_owned()),
            Self::Cursor => Some("SEQ|CURSOR".to_owned()),
            Self::Duration => Some("DURATION".to_owned()),
            Self::Time => Some("TIME".to_owned()),
            Self::Key => Some("KEY".to_owned()),
            Self::Glob => Some("PATTERN".to_owned()),
            Self::Field => Some("FIELD".to_owned()),
            Self::File => Some("FILE".to_owned()),
            Self::Directory => Some("DIR".to_owned()),
            Self::Enum(words) => Some(words.join("|")),
        }
    }
}

/// One flag of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its name without the dashes.
    pub name: &'static str,
    /// Its one-letter form.
    pub short: Option<char>,
    /// What follows it.
    pub takes: Takes,
    /// One sentence for help.
    pub doc: &'static str,
}

impl Flag {
    /// A flag without a one-letter form.
    pub const fn long(name: &'static str, takes: Takes, doc: &'static str) -> Self {
        Self { name, short: None, takes, doc }
    }

    /// How it is given: `-o, --output FILE`.
    pub fn usage(&self) -> String {
        let short = self.short.map_or_else(String::new, |short| format!("-{short}, "));
        let value = self.takes.placeholder().map_or_else(String::new, |value| format!(" {value}"));
        format!("{short}--{}{value}", self.name)
    }
}

/// A line to try, and what it does.
#[derive(Debug)]
pub struct Example {
    /// The line as it would be typed.
    pub line: &'static str,
    /// What comes of it.
    pub does: &'static str,
}

/// The flag that every command takes, so that `logkv DIR stats --json` is what it looks like.
pub const JSON: Flag = Flag {
    name: "json",
    short: None,
    takes: Takes::Nothing,
    doc: "Prints the result in JSON, whatever the mode",
};

/// The flag that prints a command's help instead of running it.
pub const HELP: Flag = Flag {
    name: "help",
    short: Some('h'),
    takes: Takes::Nothing,
    doc: "Explains the command, and does nothing else",
};

/// The flag that answers a question with yes.
pub const YES: Flag = Flag { name: "yes", short: Some('y'), takes: Takes::Nothing, doc: "Does not ask" };

/// The flags that every command takes.
pub static COMMON: [Flag; 2] = [JSON, HELP];

/// The name of the flag that makes a command only read.
pub const DRY_RUN: &str = "dry-run";

/// How many arguments a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    /// The fewest.
    pub min: usize,
    /// The most; `None` when there is no limit.
    pub max: Option<usize>,
}

impl Arity {
    /// `count` arguments, no more and no fewer.
    pub const fn exactly(count: usize) -> Self {
        Self { min: count, max: Some(count) }
    }

    /// `min` to `max` arguments.
    pub const fn between(min: usize, max: usize) -> Self {
        Self { min, max: Some(max) }
    }

    /// `min` arguments or more.
    pub const fn at_least(min: usize) -> Self {
        Self { min, max: None }
    }
}

/// One command: a row of the table. `R` says how it runs, which the language does not look at.
#[derive(Debug)]
pub struct Command<R: 'static> {
    /// Its name, in lower case; any case is understood.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// The section of `help`.
    pub group: Group,
    /// Its arguments and flags as help and hints show them, without its name.
    pub signature: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What there is to know about it, in paragraphs.
    pub help: &'static str,
    /// Lines to try.
    pub examples: &'static [Example],
    /// Its flags.
    pub flags: &'static [Flag],
    /// What its arguments stand for; the last ones repeat when there are more (see [`Command::arg_kind`]).
    pub args: &'static [ArgKind],
    /// How many arguments it takes.
    pub arity: Arity,
    /// What must be there before it can run alone.
    pub needs: Needs,
    /// How it runs.
    pub run: R,
}

impl<R> Command<R> {
    /// What argument number `index` (from 0) stands for. `put` takes pairs: the whole list repeats, not its end.
    pub fn arg_kind(&self, index: usize) -> Option<ArgKind> {
        let fits = self.arity.max.is_none_or(|max| index < max);
        (fits && !self.args.is_empty()).then(|| self.args[index % self.args.len()])
    }

    /// Its flags, and those that every command takes.
    pub fn all_flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().chain(&COMMON)
    }

    /// The flag `--name`.
    pub fn flag(&self, name: &str) -> Option<&'static Flag> {
        self.all_flags().find(|flag| flag.name == name)
    }

    /// The flag `-short`.
    pub fn short_flag(&self, short: char) -> Option<&'static Flag> {
        self.all_flags().find(|flag| flag.short == Some(short))
    }

    /// Its name and aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Its name and signature: how it is called.
    pub fn usage(&self) -> String {
        format!("{} {}", self.name, self.signature).trim_end().to_owned()
    }
}

/// A command, and what it was called with.
#[derive(Debug)]
pub struct Invocation<R: 'static> {
    /// The row.
    pub command: &'static Command<R>,
    /// Where the command's name stands in the line.
    pub name: std::ops::Range<usize>,
    /// The arguments, without flags.
    pub args: Vec<Word>,
    /// The flags, in the order they were given.
    pub flags: Vec<GivenFlag>,
    /// Whether its result is wanted in JSON, whatever the mode.
    pub json: bool,
}

/// A flag, and the word that followed it.
#[derive(Clone, Debug)]
pub struct GivenFlag {
    /// The row's flag.
    pub flag: &'static Flag,
    /// What it was given.
    pub value: Option<Word>,
}

impl<R> Invocation<R> {
    /// Whether the flag `--name` was given.
    pub fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|given| given.flag.name == name)
    }

    /// What the flag `--name` was given; of several, the last.
    pub fn value(&self, name: &str) -> Option<&Word> {
        self.flags.iter().rev().find(|given| given.flag.name == name)?.value.as_ref()
    }

    /// The number that the flag `--name` was given.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        self.value(name).map(|word| number(word, &format!("--{name}"))).transpose()
    }
}

/// The number that `word` is: decimal, or hexadecimal after `0x`.
pub fn number(word: &Word, what: &str) -> Result<u64, Failure> {
    let text = str::from_utf8(&word.bytes).unwrap_or_default();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match digits {
        // A sign would be taken by from_str_radix.
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        _ if text.starts_with('+') => None,
        _ => text.parse().ok(),
    };
    number.ok_or_else(|| {
        Failure::usage(format!("{what} takes a number, not {}", shown(&word.bytes))).at(word.span.clone())
    })
}

/// The command of `table` called `name`, in any case; a `.` or `\` may precede a command of the shell.
pub fn find<R>(table: &'static [Command<R>], name: &[u8]) -> Option<&'static Command<R>> {
    let named = |name: &[u8]| {
        table.iter().find(|command| command.names().any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
    };
    match name {
        [b'.' | b'\\', rest @ ..] => named(rest).filter(|command| command.group == Group::Shell),
        _ => named(name),
    }
}
