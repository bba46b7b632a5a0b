//! The types of the command table.
//!
//! Parsing, help, completion, hints and the man page read the rows of one table. The table is in
//! `commands`, and callers pass it down.

use super::failure::Failure;
use super::words::{Word, shown};

/// The outcome of a command that did not fail. The worst outcome of a run decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The command succeeded.
    Done,
    /// A key is missing. A one-shot `get` exits with 1; a script goes on.
    Absent,
    /// The command succeeded and found damage: exit code 4.
    Damaged,
    /// The command skipped files that it could not read: exit code 3.
    Refused,
    /// The user leaves the shell.
    Quit,
}

/// A section of `help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Commands that read and write keys.
    Data,
    /// Commands that show the contents of files.
    Inspect,
    /// Commands that maintain the store.
    Maintain,
    /// Commands of the shell itself. A leading `.` or `\` is accepted before them.
    Shell,
}

impl Group {
    /// All groups, in the order of `help`.
    pub const ALL: [Self; 4] = [Self::Data, Self::Inspect, Self::Maintain, Self::Shell];

    /// Returns the heading.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "Data",
            Self::Inspect => "Inspect",
            Self::Maintain => "Maintain",
            Self::Shell => "Shell",
        }
    }
}

/// The store that a one-shot command opens before it runs. A script and the REPL open it first.
#[derive(Clone, Copy, Debug)]
pub enum Needs {
    /// Nothing, not even DIR, as in `logkv help`.
    Program,
    /// Nothing.
    Nothing,
    /// The directory of a store. The store is not opened.
    Directory,
    /// An existing store for reading. It is opened read-only if another process has it open.
    Reading,
    /// An existing store.
    Store,
    /// An existing store. With this flag the command only reads it, as in `Reading`.
    StoreUnless {
        /// The name of the flag.
        flag: &'static str,
    },
    /// A store that may be missing. The command creates it with `Session::make_store` after it has
    /// read its input.
    NewStore,
    /// The files of a store, even if it does not open.
    Files {
        /// Returns whether the arguments name a file elsewhere, so that no store is needed.
        unless: fn(&[Word]) -> bool,
    },
}

/// The kind of an argument. It decides completion and colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// A key.
    Key,
    /// A value.
    Value,
    /// A pattern for keys.
    Glob,
    /// A segment id.
    Segment,
    /// The id of a sealed segment.
    Sealed,
    /// A path.
    File,
    /// A command name, or one of these words.
    Topic(&'static [&'static str]),
    /// A number.
    Number,
    /// A point of the log: a sequence number or a time.
    Point,
    /// A duration.
    Duration,
    /// One of these words.
    Enum(&'static [&'static str]),
}

/// The value of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// No value.
    Nothing,
    /// A number, decimal or `0x…`.
    Number,
    /// A sequence number or a cursor.
    Cursor,
    /// A duration.
    Duration,
    /// A time.
    Time,
    /// A key.
    Key,
    /// A pattern for keys.
    Glob,
    /// The name of a field or column.
    Field,
    /// A path.
    File,
    /// The path of a directory.
    Directory,
    /// One of these words.
    Enum(&'static [&'static str]),
}

impl Takes {
    /// Returns the placeholder of the value in help.
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

/// A flag of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Flag {
    /// The name without dashes.
    pub name: &'static str,
    /// The one-letter form.
    pub short: Option<char>,
    /// The value.
    pub takes: Takes,
    /// One sentence for help.
    pub doc: &'static str,
}

impl Flag {
    /// Creates a flag without a one-letter form.
    pub const fn long(name: &'static str, takes: Takes, doc: &'static str) -> Self {
        Self { name, short: None, takes, doc }
    }

    /// Returns the flag with its value: `-o, --output FILE`.
    pub fn usage(&self) -> String {
        let short = self.short.map_or_else(String::new, |short| format!("-{short}, "));
        let value = self.takes.placeholder().map_or_else(String::new, |value| format!(" {value}"));
        format!("{short}--{}{value}", self.name)
    }
}

/// An example of a command.
#[derive(Debug)]
pub struct Example {
    /// The line as it is typed.
    pub line: &'static str,
    /// The effect, for help.
    pub does: &'static str,
}

/// The flag that prints one result in JSON, as in `logkv DIR stats --json`.
pub const JSON: Flag = Flag {
    name: "json",
    short: None,
    takes: Takes::Nothing,
    doc: "Prints the result in JSON, whatever the mode",
};

/// The flag that prints the help of a command and does not run it.
pub const HELP: Flag = Flag {
    name: "help",
    short: Some('h'),
    takes: Takes::Nothing,
    doc: "Explains the command without running it",
};

/// The flag that skips questions.
pub const YES: Flag = Flag { name: "yes", short: Some('y'), takes: Takes::Nothing, doc: "Does not ask" };

/// The flags that every command takes.
pub static COMMON: [Flag; 2] = [JSON, HELP];

/// The number of arguments of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    /// The minimum.
    pub min: usize,
    /// The maximum, or `None` without a limit.
    pub max: Option<usize>,
}

impl Arity {
    /// Requires exactly `count` arguments.
    pub const fn exactly(count: usize) -> Self {
        Self { min: count, max: Some(count) }
    }

    /// Requires `min` to `max` arguments.
    pub const fn between(min: usize, max: usize) -> Self {
        Self { min, max: Some(max) }
    }

    /// Requires `min` arguments or more.
    pub const fn at_least(min: usize) -> Self {
        Self { min, max: None }
    }
}

/// A command: one row of the table. `R` holds its functions; this module does not call them.
#[derive(Debug)]
pub struct Command<R: 'static> {
    /// The name in lower case. Any case is accepted.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// The section of `help`.
    pub group: Group,
    /// The arguments and flags as help and hints show them.
    pub signature: &'static str,
    /// The effect in a few words.
    pub summary: &'static str,
    /// The help text, in paragraphs.
    pub help: &'static str,
    /// Example lines.
    pub examples: &'static [Example],
    /// The flags.
    pub flags: &'static [Flag],
    /// The kinds of the arguments. The list repeats (see [`Command::arg_kind`]).
    pub args: &'static [ArgKind],
    /// The number of arguments.
    pub arity: Arity,
    /// The store that a one-shot call opens first.
    pub needs: Needs,
    /// The functions that run it.
    pub run: R,
}

impl<R> Command<R> {
    /// Returns the kind of argument `index`. The whole list repeats, because `put` takes pairs.
    pub fn arg_kind(&self, index: usize) -> Option<ArgKind> {
        let fits = self.arity.max.is_none_or(|max| index < max);
        (fits && !self.args.is_empty()).then(|| self.args[index % self.args.len()])
    }

    /// Returns its flags and the common flags.
    pub fn all_flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().chain(&COMMON)
    }

    /// Returns the flag `--name`.
    pub fn flag(&self, name: &str) -> Option<&'static Flag> {
        self.all_flags().find(|flag| flag.name == name)
    }

    /// Returns the flag `-short`.
    pub fn short_flag(&self, short: char) -> Option<&'static Flag> {
        self.all_flags().find(|flag| flag.short == Some(short))
    }

    /// Returns its name and aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Returns its name and signature.
    pub fn usage(&self) -> String {
        format!("{} {}", self.name, self.signature).trim_end().to_owned()
    }
}

/// A call of a command.
#[derive(Debug)]
pub struct Invocation<R: 'static> {
    /// The command's row.
    pub command: &'static Command<R>,
    /// The span of the command's name in the line.
    pub name: std::ops::Range<usize>,
    /// The arguments, without flags.
    pub args: Vec<Word>,
    /// The flags in the order given.
    pub flags: Vec<GivenFlag>,
    /// Whether `--json` was given.
    pub json: bool,
}

/// A flag of a call.
#[derive(Clone, Debug)]
pub struct GivenFlag {
    /// The flag.
    pub flag: &'static Flag,
    /// Its value.
    pub value: Option<Word>,
}

impl<R> Invocation<R> {
    /// Returns whether `--name` was given.
    pub fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|given| given.flag.name == name)
    }

    /// Returns the value of `--name`; the last one if it is repeated.
    pub fn value(&self, name: &str) -> Option<&Word> {
        self.flags.iter().rev().find(|given| given.flag.name == name)?.value.as_ref()
    }

    /// Returns the value of `--name` as a number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        self.value(name).map(|word| number(word, &format!("--{name}"))).transpose()
    }
}

/// Parses `word` as a decimal number, or as a hexadecimal one after `0x`.
pub fn number(word: &Word, what: &str) -> Result<u64, Failure> {
    let text = str::from_utf8(&word.bytes).unwrap_or_default();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match digits {
        // from_str_radix accepts a sign.
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        _ if text.starts_with('+') => None,
        _ => text.parse().ok(),
    };
    number.ok_or_else(|| {
        Failure::usage(format!("{what} takes a number, not {}", shown(&word.bytes))).at(word.span.clone())
    })
}

/// Finds a command by name or alias, in any case. A `.` or `\` may precede a shell command.
pub fn find<R>(table: &'static [Command<R>], name: &[u8]) -> Option<&'static Command<R>> {
    let named = |name: &[u8]| {
        table.iter().find(|command| command.names().any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
    };
    match name {
        [b'.' | b'\\', rest @ ..] => named(rest).filter(|command| command.group == Group::Shell),
        _ => named(name),
    }
}
