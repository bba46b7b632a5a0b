//! A writer that Ctrl-C breaks off, also in the middle of a large value.

use std::io::{self, Write};

use super::interrupt::{Interrupt, WriteInterrupted};

/// How many bytes of one line are written between two looks. Shorter lines are written whole: whoever lists them looks
/// between two of them, and says how far it came.
const LEN_A_LOOK: usize = 64 << 10;

/// Writes to `out`, until `interrupt` is pressed.
#[derive(Debug)]
pub struct Breakable<W> {
    pub out: W,
    interrupt: Interrupt,
    /// Bytes since the last look or the last line's end.
    len: usize,
}

impl<W> Breakable<W> {
    /// A writer to `out`.
    pub fn new(out: W, interrupt: Interrupt) -> Self {
        Self { out, interrupt, len: 0 }
    }

    /// Has `interrupt` break it off from now on.
    pub fn heed(&mut self, interrupt: Interrupt) {
        self.interrupt = interrupt;
    }
}

impl<W> Breakable<W> {
    /// Whether `bytes`, or what stands before them in their line, are long enough for a look.
    #[inline]
    fn is_long(&self, bytes: &[u8]) -> bool {
        self.len >= LEN_A_LOOK || bytes.len() > LEN_A_LOOK
    }

    fn look(&mut self) -> io::Result<()> {
        self.len = 0;
        if self.interrupt.is_set() { Err(io::Error::other(WriteInterrupted)) } else { Ok(()) }
    }

    /// Counts what was written.
    #[inline]
    fn count(&mut self, written: &[u8]) {
        self.len = if written.last() == Some(&b'\n') { 0 } else { self.len + written.len() };
    }
}

impl<W: Write> Write for Breakable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_long(bytes) {
            self.look()?;
        }
        let written = self.out.write(&bytes[..bytes.len().min(LEN_A_LOOK)])?;
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
        for chunk in bytes.chunks(LEN_A_LOOK) {
            self.look()?;
            self.out.write_all(chunk)?;
            self.count(chunk);
        }
        Ok(())
    }

    /// What was written is passed on, pressed or not; what follows is another result.
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
    fn a_large_value_is_broken_off_and_what_is_short_is_written_whole() {
        let interrupt = Interrupt::default();
        let mut out = Breakable::new(Vec::new(), interrupt.clone());
        out.write_all(&[b'v'; 1 << 20]).expect("nobody pressed it");
        out.flush().expect("nothing fails here");
        interrupt.press();
        out.write_all(b"a report").expect("it is short");
        let error = out.write_all(&[b'v'; 1 << 20]).expect_err("it was pressed");
        assert!(out.out.len() <= (1 << 20) + 8 + 2 * LEN_A_LOOK, "{}", out.out.len());
        assert_eq!(Failure::from(error).kind, Kind::Interrupted);
        let error = io::Error::other(WriteInterrupted);
        assert_eq!(Failure::file("write", std::path::Path::new("f"), &error).kind, Kind::Interrupted);
    }
}
