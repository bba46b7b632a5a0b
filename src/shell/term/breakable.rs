//! A writer that Ctrl-C interrupts, even within a large value.

use std::io::{self, Write};

use super::interrupt::{Interrupt, WriteInterrupted};

/// The number of bytes of one line that are written between two checks for Ctrl-C. Shorter lines
/// are written whole: the command checks between lines, and reports how many it has written.
const CHECK_INTERVAL_LEN: usize = 64 << 10;

/// A writer to `out` that fails after Ctrl-C.
#[derive(Debug)]
pub struct Breakable<W> {
    pub out: W,
    interrupt: Interrupt,
    /// The number of bytes since the last check or the last line break.
    len: usize,
}

impl<W> Breakable<W> {
    /// Returns a writer to `out` that `interrupt` stops.
    pub fn new(out: W, interrupt: Interrupt) -> Self {
        Self { out, interrupt, len: 0 }
    }

    /// Lets `interrupt` stop later writes.
    pub fn heed(&mut self, interrupt: Interrupt) {
        self.interrupt = interrupt;
    }
}

impl<W> Breakable<W> {
    /// Returns whether the current line, with `bytes`, is long enough for a check.
    #[inline]
    fn is_long(&self, bytes: &[u8]) -> bool {
        self.len >= CHECK_INTERVAL_LEN || bytes.len() > CHECK_INTERVAL_LEN
    }

    fn check(&mut self) -> io::Result<()> {
        self.len = 0;
        if self.interrupt.is_set() { Err(io::Error::other(WriteInterrupted)) } else { Ok(()) }
    }

    #[inline]
    fn count(&mut self, written: &[u8]) {
        self.len = if written.last() == Some(&b'\n') { 0 } else { self.len + written.len() };
    }
}

impl<W: Write> Write for Breakable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_long(bytes) {
            self.check()?;
        }
        let written = self.out.write(&bytes[..bytes.len().min(CHECK_INTERVAL_LEN)])?;
        self.count(&bytes[..written]);
        Ok(written)
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.is_long(bytes) {
            self.out.write_all(bytes)?;
            self.count(bytes);
            return Ok(());
        }
        for chunk in bytes.chunks(CHECK_INTERVAL_LEN) {
            self.check()?;
            self.out.write_all(chunk)?;
            self.count(chunk);
        }
        Ok(())
    }

    /// Flushes even after Ctrl-C. The next result starts a new count.
    fn flush(&mut self) -> io::Result<()> {
        self.len = 0;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::lang::failure::{Failure, Kind};

    #[test]
    fn ctrl_c_stops_a_large_value_but_not_a_short_one() {
        let interrupt = Interrupt::default();
        let mut out = Breakable::new(Vec::new(), interrupt.clone());
        out.write_all(&[b'v'; 1 << 20]).expect("Ctrl-C was not pressed");
        out.flush().expect("a vector accepts every flush");
        interrupt.press();
        out.write_all(b"a report").expect("a short line is written whole");
        let error = out.write_all(&[b'v'; 1 << 20]).expect_err("Ctrl-C was pressed");
        assert!(out.out.len() <= (1 << 20) + 8 + 2 * CHECK_INTERVAL_LEN, "{}", out.out.len());
        assert_eq!(Failure::from(error).kind, Kind::Interrupted);
        let error = io::Error::other(WriteInterrupted);
        assert_eq!(Failure::file("write", std::path::Path::new("f"), &error).kind, Kind::Interrupted);
    }
}
