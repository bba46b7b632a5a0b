//! A text that is read: its bytes, where in it the reader is, and how far it reads for one row.

use std::io;
use std::rc::Rc;

use logkv::Grouped;

use super::item::{BeforeWait, FilePosition, ImportItem, RowPlace};
use crate::shell::commands::transfer::rows::RowFormat;
use crate::shell::commands::transfer::rows::table::HeaderProblem;
use crate::shell::lang::failure::{Failure, plain_words};
use crate::shell::term::input::{Input, Readiness, escaped_len_max, pair_len_max};
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::packing::Packing;
use crate::shell::term::unpacker;

/// A text, and the reader's place in it.
pub struct TextReader {
    /// Its bytes.
    pub input: Input,
    /// The number of the line where the present row starts, from 1.
    pub number: u64,
    /// The byte of that line where it starts, from 1, in a text that is not read by lines.
    pub column: u64,
    /// How many lines the present row takes; 0 before the first.
    pub line_count: u64,
    /// The longest row that is read, in bytes.
    pub len_max: u64,
    /// The most that a key and a value have, in bytes.
    pub pair_len_max: u64,
    row: CurrentRow,
    name: Rc<str>,
    /// How it is packed, as its name says.
    packing: Option<Packing>,
    interrupt: Interrupt,
    done_len: u64,
    total_len: Option<u64>,
}

/// The present row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CurrentRow {
    /// The present line.
    Line,
    /// A line that is not kept.
    TooLong,
    /// So many bytes of those that are held.
    Held(usize),
}

/// What came of a look for the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextLine {
    /// There is one.
    Whole,
    /// There is one, of which more was read than is taken.
    TooLong,
    /// There is none.
    End,
}

impl TextReader {
    /// The text of `input`, which messages call `name`. Values have at most `value_len_max` bytes.
    pub fn new(input: Input, name: String, interrupt: Interrupt, value_len_max: u64) -> Self {
        Self {
            input: input.unpacked(),
            number: 1,
            column: 1,
            line_count: 0,
            len_max: 0,
            pair_len_max: pair_len_max(value_len_max),
            row: CurrentRow::Held(0),
            name: name.into(),
            packing: None,
            interrupt,
            done_len: 0,
            total_len: None,
        }
    }

    /// Says how many bytes there are to read, where that is known, and how the name says that they are packed.
    pub fn of_file(self, total_len: Option<u64>, packing: Option<Packing>) -> Self {
        Self { total_len, packing, ..self }
    }

    /// Reads enough of a text in `format` to see how it begins. Fails where it begins as no such text does.
    pub fn begin(&mut self, format: RowFormat, before_wait: BeforeWait<'_>) -> Result<(), Failure> {
        self.len_max = row_len_max(self.pair_len_max, format);
        // A line of a script or of tab-separated fields may be short, and the next one may be long in coming.
        let len = if matches!(format, RowFormat::Script | RowFormat::Tsv) { 2 } else { 4 };
        while self.input.unread_len() < len && !self.input.is_at_end() {
            self.fill(before_wait)?;
        }
        let start = self.input.unread();
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            let failure = self.broken("it is UTF-16, as its first two bytes say; what is read is UTF-8");
            return Err(failure.hint("iconv -f UTF-16 -t UTF-8 makes one of the other"));
        }
        match (self.input.packing(), Packing::of_start(self.input.unread())) {
            (Some(outer), Some(inner)) => {
                let why = format!("it is packed twice, with {} and then {}", inner.name(), outer.name());
                let hint = format!("unpack it once, with {}, and import that", outer.name());
                Err(self.broken(&why).hint(hint))
            }
            _ => Ok(()),
        }
    }

    /// Goes on to the first line, which names columns.
    pub fn header(&mut self, before_wait: BeforeWait<'_>) -> Result<(), Failure> {
        while !self.input.advance() {
            if self.input.is_at_end() {
                return Err(self.broken("it is empty; a table's first line names its columns"));
            }
            self.check_header(self.input.unread_len())?;
            self.fill(before_wait)?;
        }
        self.line_count = 1;
        self.done_len += self.input.line().len() as u64 + 1;
        Ok(())
    }

    /// Fails if `len` bytes are more than names of columns take.
    pub fn check_header(&self, len: u64) -> Result<(), Failure> {
        const LEN_MAX: u64 = 1 << 20;
        if len <= LEN_MAX {
            return Ok(());
        }
        let failure = self.broken("its first line, which names the columns, is longer than 1 MiB");
        Err(failure.hint("--format says what it is, where that is no table"))
    }

    /// That its header is `unclear`.
    pub fn without_columns(&self, unclear: &HeaderProblem) -> Failure {
        let failure = self.broken(&unclear.why);
        match unclear.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Goes on to the next line that is not blank: `None` at the end, and why where it is not taken.
    pub fn next_line(
        &mut self,
        before_wait: BeforeWait<'_>,
        is_blank: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<Result<(), String>>, Failure> {
        loop {
            let line = self.advance(before_wait)?;
            self.row = if line == NextLine::TooLong { CurrentRow::TooLong } else { CurrentRow::Line };
            return Ok(match line {
                NextLine::End => None,
                NextLine::TooLong => Some(Err(format!("it is longer than {} bytes", Grouped(self.len_max)))),
                NextLine::Whole if is_blank(self.input.line()) => continue,
                NextLine::Whole => Some(Ok(())),
            });
        }
    }

    /// The present row without its line break; empty if it is too long.
    pub fn row(&self) -> &[u8] {
        match self.row {
            CurrentRow::Line => self.input.line(),
            CurrentRow::TooLong => &[],
            CurrentRow::Held(len) => self.input.held(len).trim_ascii_end(),
        }
    }

    /// Makes the first `len` bytes that are held the present row.
    pub fn hold_row(&mut self, len: usize) {
        self.row = CurrentRow::Held(len);
    }

    /// Lets go of the row that [`Reading::hold_row`] made the present one.
    pub fn pass_row(&mut self) {
        if let CurrentRow::Held(len) = std::mem::replace(&mut self.row, CurrentRow::Held(0)) {
            self.take(len);
        }
    }

    /// Goes on to the next line.
    fn advance(&mut self, before_wait: BeforeWait<'_>) -> Result<NextLine, Failure> {
        self.number += self.line_count;
        self.line_count = 1;
        let mut is_too_long = false;
        while !self.input.advance() {
            if self.input.is_at_end() {
                // A line that is too long may be the last, and have no end.
                return Ok(if is_too_long { NextLine::TooLong } else { NextLine::End });
            }
            if self.input.unread_len() > self.len_max {
                is_too_long = true;
                self.done_len += self.input.unread_len();
                self.input.forget();
            }
            self.fill(before_wait)?;
        }
        self.done_len += self.input.line().len() as u64 + 1;
        Ok(if is_too_long { NextLine::TooLong } else { NextLine::Whole })
    }

    /// Adds the next line to the present one; whether there is one, and not too much of it.
    pub fn extend(&mut self, before_wait: BeforeWait<'_>) -> Result<bool, Failure> {
        while !self.input.extend() {
            if self.input.is_at_end() || self.input.unread_len() > self.len_max {
                return Ok(false);
            }
            self.fill(before_wait)?;
        }
        self.line_count += 1;
        Ok(true)
    }

    /// Lets go of the first `len` bytes that are held.
    pub fn take(&mut self, len: usize) {
        let taken = self.input.unread().get(..len).unwrap_or_default();
        self.number += memchr::memchr_iter(b'\n', taken).count() as u64;
        self.column = match memchr::memrchr(b'\n', taken) {
            Some(at) => (taken.len() - at) as u64,
            None => self.column + len as u64,
        };
        self.input.take(len);
        self.done_len += len as u64;
    }

    /// Reads more.
    pub fn fill(&mut self, before_wait: BeforeWait<'_>) -> Result<(), Failure> {
        // Input without a pause, such as endless lines, never reaches a wait.
        self.interrupt.check(0)?;
        if self.input.readiness().map_err(|error| unread(&self.name, &error))? == Readiness::Waits {
            self.wait(before_wait)?;
        }
        loop {
            match self.input.fill() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(before_wait)?,
                filled => break filled.map_err(|error| unread(&self.name, &error))?,
            }
        }
        match self.packing {
            Some(packing) if self.input.packing().is_none() && self.is_empty() => {
                let error = unpacker::told(packing, io::ErrorKind::UnexpectedEof.into());
                Err(unread(&self.name, &error))
            }
            _ => Ok(()),
        }
    }

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.input.is_at_end() && self.done_len == 0 && self.input.unread_len() == 0
    }

    fn wait(&mut self, before_wait: BeforeWait<'_>) -> Result<(), Failure> {
        before_wait()?;
        self.input.wait(&self.interrupt).map_err(|error| unread(&self.name, &error))
    }

    /// Where the present row starts.
    pub fn place(&self) -> RowPlace {
        let at = FilePosition::Line { number: self.number, column: self.column };
        RowPlace { file: Rc::clone(&self.name), at }
    }

    /// The failure of what is not rows at all: `why`, with its place.
    pub fn broken(&self, why: &str) -> Failure {
        Failure::command(format!("{}: {why}", self.place()))
    }

    /// How many bytes were read, and of how many. Of what is packed nobody knows how many that will be.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.done_len, self.total_len.filter(|_| self.input.packing().is_none()))
    }
}

/// Finds the rows of a text.
pub trait TextRows {
    /// Goes on to the next row of `reading`, as [`ImportSource::next`] does.
    fn next<'a>(
        &'a mut self,
        reader: &'a mut TextReader,
        before_wait: BeforeWait<'_>,
    ) -> Result<Option<ImportItem<'a>>, Failure>;
}

/// The failure to read `name`, or Ctrl-C.
pub fn unread(name: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Interrupted => Failure::interrupted(),
        _ => Failure::command(format!("cannot read {name}: {}", plain_words(error))),
    }
}

/// The longest row that is read in `format`, in bytes: a key and a value that have `pair_len_max` bytes, with each byte of them
/// escaped, and some more for what is around them. Without a limit a row without an end would take all memory.
fn row_len_max(pair_len_max: u64, format: RowFormat) -> u64 {
    let escape_len: u64 = match format {
        // `\u0001`
        RowFormat::Jsonl | RowFormat::Json => 6,
        // `\x01`
        RowFormat::Tsv | RowFormat::Script | RowFormat::Resp => 4,
        // `""`
        RowFormat::Csv => 2,
    };
    escaped_len_max(pair_len_max, escape_len)
}
