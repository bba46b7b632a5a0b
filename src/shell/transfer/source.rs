//! Where an import's rows come from: lines, or the data files of another store.

use std::io;

use super::files::{DataFile, Files};
use super::walk::{Found, Walk, record_len_max};
use crate::shell::failure::{Failure, plain_words};
use crate::shell::input::{Input, Readiness};
use crate::shell::interrupt::Interrupt;
use crate::shell::rows::{Format, Row};

/// What was found next.
#[derive(Debug)]
pub enum Taken<'a> {
    /// Rows.
    Rows(Vec<Row<'a>>),
    /// Something that is none, and why.
    Rejected(String),
}

/// What an import reads.
pub trait Source {
    /// What comes next; `None` at the end. Calls `before_wait` before it waits for somebody to write more.
    fn next(
        &mut self,
        before_wait: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Option<Taken<'_>>, Failure>;

    /// The place of what came last, as messages name it.
    fn place(&self) -> String;

    /// The bytes of the line that came last; none where no line did, or more than is read.
    fn line(&self) -> &[u8];

    /// How many bytes were read, and of how many, where that is known.
    fn progress(&self) -> (u64, Option<u64>);
}

/// Lines of one of our formats.
pub struct Lines {
    input: Input,
    format: Format,
    name: String,
    interrupt: Interrupt,
    /// The longest line that is read, in bytes.
    len_max: u64,
    number: u64,
    is_too_long: bool,
    done_len: u64,
    total_len: Option<u64>,
}

impl Lines {
    /// The lines of `input`, which messages call `name`; `total_len` is how many bytes it has, where that is known. Values have
    /// at most `value_len_max` bytes.
    pub fn new(
        input: Input,
        format: Format,
        name: String,
        interrupt: Interrupt,
        total_len: Option<u64>,
        value_len_max: u64,
    ) -> Self {
        let len_max = line_len_max(value_len_max);
        Self {
            input,
            format,
            name,
            interrupt,
            len_max,
            number: 0,
            is_too_long: false,
            done_len: 0,
            total_len,
        }
    }

    /// Goes on to the next line; whether there is one.
    fn advance(&mut self, before_wait: &mut dyn FnMut() -> Result<(), Failure>) -> Result<bool, Failure> {
        self.is_too_long = false;
        while !self.input.advance() {
            if self.input.is_at_end() {
                // A line that is too long may be the last, and have no end.
                return Ok(self.is_too_long);
            }
            if self.input.unread_len() > self.len_max {
                self.is_too_long = true;
                self.done_len += self.input.unread_len();
                self.input.forget();
            }
            self.fill(before_wait)?;
        }
        self.done_len += self.input.line().len() as u64 + 1;
        Ok(true)
    }

    fn fill(&mut self, before_wait: &mut dyn FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
        // Input without a pause, such as endless lines, never reaches a wait.
        self.interrupt.check(0)?;
        let failed = |error: io::Error| unread(&self.name, &error);
        if self.input.readiness().map_err(failed)? == Readiness::Waits {
            before_wait()?;
            self.input.wait(&self.interrupt).map_err(failed)?;
        }
        self.input.fill().map_err(|error| unread(&self.name, &error))
    }
}

/// The failure to read `name`, or Ctrl-C.
fn unread(name: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Interrupted => Failure::interrupted(),
        _ => Failure::command(format!("cannot read {name}: {}", plain_words(error))),
    }
}

impl Source for Lines {
    fn next(
        &mut self,
        before_wait: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Option<Taken<'_>>, Failure> {
        loop {
            if !self.advance(before_wait)? {
                return Ok(None);
            }
            self.number += 1;
            if self.is_too_long {
                return Ok(Some(Taken::Rejected(format!("it is longer than {} bytes", self.len_max))));
            }
            if !self.format.is_blank(self.input.line()) {
                break;
            }
        }
        let rows = self.format.read(self.input.line());
        Ok(Some(rows.map_or_else(Taken::Rejected, Taken::Rows)))
    }

    fn place(&self) -> String {
        format!("{}:{}", self.name, self.number)
    }

    fn line(&self) -> &[u8] {
        if self.is_too_long { &[] } else { self.input.line() }
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.done_len, self.total_len)
    }
}

/// The longest line that is read, in bytes: a record with each byte of it escaped, and some more for what is around it.
/// Without a limit a line without an end would take all memory.
fn line_len_max(value_len_max: u64) -> u64 {
    /// `\u0001`
    const ESCAPE_LEN: u64 = 6;
    const KEY_LEN_MAX: u64 = 65_535;
    const REST_LEN: u64 = 1 << 20;
    value_len_max.saturating_add(KEY_LEN_MAX).saturating_mul(ESCAPE_LEN).saturating_add(REST_LEN)
}

/// The records of another store's files.
pub struct Records {
    files: Files,
    /// How many of the files were begun.
    begun: usize,
    walk: Option<Walk>,
    /// The bytes of the files before this one.
    done_len: u64,
    total_len: u64,
    record_len_max: u64,
    interrupt: Interrupt,
    at: u64,
}

impl Records {
    /// The records of `files`, each of which can be opened; their values have at most `value_len_max` bytes.
    pub fn open(files: Files, value_len_max: u64, interrupt: Interrupt) -> Result<Self, Failure> {
        let record_len_max = record_len_max(value_len_max);
        let (begun, walk, done_len, total_len, at) = (0, None, 0, 0, 0);
        let mut records = Self { files, begun, walk, done_len, total_len, record_len_max, interrupt, at };
        for file in &records.files.files {
            records.total_len += records.walk(file)?.len();
        }
        Ok(records)
    }

    fn walk(&self, file: &DataFile) -> Result<Walk, Failure> {
        let walk = file
            .open()
            .and_then(|file| Walk::of(file, self.files.format, self.record_len_max, &self.interrupt));
        walk.map_err(|error| Failure::file("read", &file.path, &error))
    }

    /// Opens the file after the present one; `false` when there is none.
    fn open_next(&mut self) -> Result<bool, Failure> {
        self.done_len += self.walk.take().map_or(0, |walk| walk.len());
        let Some(file) = self.files.files.get(self.begun) else { return Ok(false) };
        self.walk = Some(self.walk(file)?);
        self.begun += 1;
        Ok(true)
    }

    fn name(&self) -> &str {
        &self.files.files.get(self.begun.saturating_sub(1)).expect("a file was begun").name
    }
}

impl Source for Records {
    fn next(
        &mut self,
        _before_wait: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Option<Taken<'_>>, Failure> {
        while self.walk.as_ref().is_none_or(|walk| walk.at() >= walk.len()) {
            if !self.open_next()? {
                return Ok(None);
            }
        }
        let name = self.files.files.get(self.begun - 1).map(|file| file.name.as_str()).unwrap_or_default();
        let Some(walk) = &mut self.walk else { return Ok(None) };
        self.at = walk.at();
        let found = walk.next();
        let failed = |error: io::Error| unread(name, &error);
        Ok(found.map_err(failed)?.map(|found| match found {
            Found::Record { record, .. } if record.tombstone.is_some() => {
                Taken::Rows(vec![Row::delete(record.key)])
            }
            Found::Record { record, .. } => Taken::Rows(vec![Row::put(record.key, record.value)]),
            Found::Bad(bad) => Taken::Rejected(bad.to_string()),
        }))
    }

    fn place(&self) -> String {
        format!("{}:{:#08x}", self.name(), self.at)
    }

    fn line(&self) -> &[u8] {
        &[]
    }

    fn progress(&self) -> (u64, Option<u64>) {
        let at = self.walk.as_ref().map_or(0, Walk::at);
        (self.done_len + at, Some(self.total_len))
    }
}
