//! A text that is read: its bytes, where in it the reader is, and how far it reads for one row.

use std::io;

use super::BeforeWait;
use crate::shell::failure::{Failure, plain_words};
use crate::shell::input::{Input, Readiness};
use crate::shell::interrupt::Interrupt;
use crate::shell::packing::Packing;

/// A text, and the reader's place in it.
pub struct Reading {
    /// Its bytes.
    pub input: Input,
    /// The number of the line where the present row starts, from 1.
    pub number: u64,
    /// How many lines the present row takes; 0 before the first.
    pub line_count: u64,
    /// The longest row that is read, in bytes.
    pub len_max: u64,
    name: String,
    /// How it is packed, as its name says.
    packing: Option<Packing>,
    interrupt: Interrupt,
    done_len: u64,
    total_len: Option<u64>,
}

/// What came of a look for the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// There is one.
    Whole,
    /// There is one, of which more was read than is taken.
    TooLong,
    /// There is none.
    End,
}

impl Reading {
    /// The text of `input`, which messages call `name`. Values have at most `value_len_max` bytes.
    pub fn new(input: Input, name: String, interrupt: Interrupt, value_len_max: u64) -> Self {
        Self {
            input: input.unpacked(),
            number: 1,
            line_count: 0,
            len_max: row_len_max(value_len_max),
            name,
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

    /// Reads enough to see how the text begins.
    pub fn begin(&mut self, before_wait: BeforeWait<'_>) -> Result<(), Failure> {
        const LEN: u64 = 4;
        while self.input.unread_len() < LEN && !self.input.is_at_end() {
            self.fill(before_wait)?;
        }
        Ok(())
    }

    /// Goes on to the next line.
    pub fn advance(&mut self, before_wait: BeforeWait<'_>) -> Result<Line, Failure> {
        self.number += self.line_count;
        self.line_count = 1;
        let mut is_too_long = false;
        while !self.input.advance() {
            if self.input.is_at_end() {
                // A line that is too long may be the last, and have no end.
                return Ok(if is_too_long { Line::TooLong } else { Line::End });
            }
            if self.input.unread_len() > self.len_max {
                is_too_long = true;
                self.done_len += self.input.unread_len();
                self.input.forget();
            }
            self.fill(before_wait)?;
        }
        self.done_len += self.input.line().len() as u64 + 1;
        Ok(if is_too_long { Line::TooLong } else { Line::Whole })
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
                let error = packing.told(io::ErrorKind::UnexpectedEof.into());
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

    /// Where the present row starts, as messages name it.
    pub fn place(&self) -> String {
        format!("{}:{}", self.name, self.number)
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

/// The failure to read `name`, or Ctrl-C.
pub fn unread(name: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Interrupted => Failure::interrupted(),
        _ => Failure::command(format!("cannot read {name}: {}", plain_words(error))),
    }
}

/// The longest row that is read, in bytes: a record with each byte of it escaped, and some more for what is around it.
/// Without a limit a row without an end would take all memory.
fn row_len_max(value_len_max: u64) -> u64 {
    /// `\u0001`
    const ESCAPE_LEN: u64 = 6;
    const KEY_LEN_MAX: u64 = 65_535;
    const REST_LEN: u64 = 1 << 20;
    value_len_max.saturating_add(KEY_LEN_MAX).saturating_mul(ESCAPE_LEN).saturating_add(REST_LEN)
}
