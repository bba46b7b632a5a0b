//! The reader of a text: its input, its position, and the limit of a row.

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

/// A text with the position of the reader.
pub struct TextReader {
    pub input: Input,
    /// The line where the current row starts, from 1.
    pub number: u64,
    /// The byte of that line where the row starts, from 1. Always 1 if each line is a row.
    pub column: u64,
    /// The number of lines of the current row. 0 before the first row.
    pub line_count: u64,
    /// The maximum length of a row, in bytes.
    pub len_max: u64,
    /// The maximum length of a key and a value together, in bytes.
    pub pair_len_max: u64,
    row: CurrentRow,
    name: Rc<str>,
    /// The compression that the name of the file implies.
    packing: Option<Packing>,
    interrupt: Interrupt,
    done_len: u64,
    total_len: Option<u64>,
}

/// The current row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CurrentRow {
    /// The current line.
    Line,
    /// A line over the limit, whose bytes are not kept.
    TooLong,
    /// This many bytes of the buffer.
    Held(usize),
}

/// The result of reading a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextLine {
    Whole,
    /// A line over the limit.
    TooLong,
    /// No further line.
    End,
}

impl TextReader {
    /// Creates a reader of `input`, which messages call `name`. Values have at most `value_len_max`
    /// bytes.
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

    /// Sets the length of the file and the compression that its name implies.
    pub fn of_file(self, total_len: Option<u64>, packing: Option<Packing>) -> Self {
        Self { total_len, packing, ..self }
    }

    /// Reads the start of a text. Fails on UTF-16 and on input that is compressed twice.
    pub fn begin(&mut self, format: RowFormat, before_wait: BeforeWait<'_>) -> Result<(), Failure> {
        self.len_max = row_len_max(self.pair_len_max, format);
        // A line of these formats may be this short, and the next one may come much later.
        let len = if matches!(format, RowFormat::Script | RowFormat::Tsv) { 2 } else { 4 };
        while self.input.unread_len() < len && !self.input.is_at_end() {
            self.fill(before_wait)?;
        }
        let start = self.input.unread();
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            let failure = self.broken("it is UTF-16; import reads UTF-8");
            return Err(failure.hint("iconv -f UTF-16 -t UTF-8 converts it"));
        }
        match (self.input.packing(), Packing::of_start(self.input.unread())) {
            (Some(outer), Some(inner)) => {
                let why = format!("it is compressed twice, with {} and then {}", inner.name(), outer.name());
                let hint = format!("decompress it once with {}, and import the result", outer.name());
                Err(self.broken(&why).hint(hint))
            }
            _ => Ok(()),
        }
    }

    /// Reads the first line, which names the columns.
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

    /// Fails if a header of `len` bytes is over the limit.
    pub fn check_header(&self, len: u64) -> Result<(), Failure> {
        const LEN_MAX: u64 = 1 << 20;
        if len <= LEN_MAX {
            return Ok(());
        }
        let failure = self.broken("its first line, which names the columns, is longer than 1 MiB");
        Err(failure.hint("--format sets the format if it is not a table"))
    }

    /// Returns the failure for a header with a problem.
    pub fn header_failure(&self, problem: &HeaderProblem) -> Failure {
        let failure = self.broken(&problem.why);
        match problem.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Reads the next line that is not blank. Returns `None` at the end, and a reason for a line
    /// over the limit.
    pub fn next_line(
        &mut self,
        before_wait: BeforeWait<'_>,
        is_blank: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<Result<(), String>>, Failure> {
        loop {
            let line = self.advance(before_wait)?;
            self.row = if line == TextLine::TooLong { CurrentRow::TooLong } else { CurrentRow::Line };
            return Ok(match line {
                TextLine::End => None,
                TextLine::TooLong => Some(Err(format!("it is longer than {} bytes", Grouped(self.len_max)))),
                TextLine::Whole if is_blank(self.input.line()) => continue,
                TextLine::Whole => Some(Ok(())),
            });
        }
    }

    /// Returns the current row without its line break, or no bytes for a row over the limit.
    pub fn row(&self) -> &[u8] {
        match self.row {
            CurrentRow::Line => self.input.line(),
            CurrentRow::TooLong => &[],
            CurrentRow::Held(len) => self.input.held(len).trim_ascii_end(),
        }
    }

    /// Makes the first `len` bytes of the buffer the current row.
    pub fn hold_row(&mut self, len: usize) {
        self.row = CurrentRow::Held(len);
    }

    /// Drops the row that [`TextReader::hold_row`] set.
    pub fn pass_row(&mut self) {
        if let CurrentRow::Held(len) = std::mem::replace(&mut self.row, CurrentRow::Held(0)) {
            self.take(len);
        }
    }

    /// Reads the next line.
    fn advance(&mut self, before_wait: BeforeWait<'_>) -> Result<TextLine, Failure> {
        self.number += self.line_count;
        self.line_count = 1;
        let mut is_too_long = false;
        while !self.input.advance() {
            if self.input.is_at_end() {
                // The last line may have no line break.
                return Ok(if is_too_long { TextLine::TooLong } else { TextLine::End });
            }
            if self.input.unread_len() > self.len_max {
                is_too_long = true;
                self.done_len += self.input.unread_len();
                self.input.forget();
            }
            self.fill(before_wait)?;
        }
        self.done_len += self.input.line().len() as u64 + 1;
        Ok(if is_too_long { TextLine::TooLong } else { TextLine::Whole })
    }

    /// Appends the next line to the current one. Returns `false` at the end, or at the limit.
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

    /// Drops the first `len` bytes of the buffer.
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

    /// Reads more input.
    pub fn fill(&mut self, before_wait: BeforeWait<'_>) -> Result<(), Failure> {
        // Input that never pauses does not reach the check in a wait.
        self.interrupt.check(0)?;
        if self.input.readiness().map_err(|error| unread(&self.name, &error))? == Readiness::Blocks {
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
                let error = unpacker::explained(packing, io::ErrorKind::UnexpectedEof.into());
                Err(unread(&self.name, &error))
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the text has no bytes at all.
    fn is_empty(&self) -> bool {
        self.input.is_at_end() && self.done_len == 0 && self.input.unread_len() == 0
    }

    fn wait(&mut self, before_wait: BeforeWait<'_>) -> Result<(), Failure> {
        before_wait()?;
        self.input.wait(&self.interrupt).map_err(|error| unread(&self.name, &error))
    }

    /// Returns the place of the current row.
    pub fn place(&self) -> RowPlace {
        let at = FilePosition::Line { number: self.number, column: self.column };
        RowPlace { file: Rc::clone(&self.name), at }
    }

    /// Returns the failure of a malformed text, with the current place.
    pub fn broken(&self, why: &str) -> Failure {
        Failure::command(format!("{}: {why}", self.place()))
    }

    /// Returns the number of bytes read, and of all bytes. The length of compressed text is
    /// unknown.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.done_len, self.total_len.filter(|_| self.input.packing().is_none()))
    }
}

/// A parser of the rows of a text.
pub trait TextRows {
    /// Reads the next item, as [`ImportSource::next`] does.
    fn next<'a>(
        &'a mut self,
        reader: &'a mut TextReader,
        before_wait: BeforeWait<'_>,
    ) -> Result<Option<ImportItem<'a>>, Failure>;
}

/// Converts an error of reading `name`, or Ctrl-C.
pub fn unread(name: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Interrupted => Failure::interrupted(),
        _ => Failure::command(format!("cannot read {name}: {}", plain_words(error))),
    }
}

/// Returns the maximum length of a row in `format`: a key and a value with every byte escaped, and
/// room for syntax. Without a limit, an endless row would fill the memory.
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
