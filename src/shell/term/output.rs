//! The destination and the form of results.

use std::fmt;
use std::io::{self, BufWriter, Write};

use super::breakable::Breakable;
use super::interrupt::Interrupt;
use super::style::Look;

/// The form of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For people: columns, separators, bars. The default on a terminal.
    Table,
    /// For programs: one result per line, with tabs between its fields. The default elsewhere.
    Plain,
    /// One JSON object per line.
    Json,
    /// The exact bytes of keys and values, without escapes.
    Raw,
}

impl Mode {
    /// The names accepted by `mode` and `--mode`.
    pub const NAMES: &'static [&'static str] = &["table", "plain", "json", "raw"];

    const ALL: [Self; 4] = [Self::Table, Self::Plain, Self::Json, Self::Raw];

    /// Returns the mode called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Returns the name of the mode.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// The buffered results of commands. Ctrl-C interrupts a long one.
pub struct Output {
    sink: Breakable<BufWriter<OutputSink>>,
    /// The form of results.
    pub mode: Mode,
    /// Colours, characters and width.
    pub look: Look,
    /// Whether results go directly to a terminal.
    pub is_terminal: bool,
}

/// The destination below the buffer.
struct OutputSink {
    out: Box<dyn Write>,
    /// The last byte that was written.
    last: Option<u8>,
    /// The name of the file, or `None` for the standard output.
    file: Option<String>,
    /// The error of the file. Later writes are dropped: otherwise the return to the standard output
    /// would fail on the results that are still buffered.
    refusal: Option<io::Error>,
}

impl Write for OutputSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.refusal.is_some() {
            return Ok(bytes.len());
        }
        let written = self.out.write(bytes).inspect_err(|error| {
            if self.file.is_some() && error.kind() != io::ErrorKind::Interrupted {
                self.refusal =
                    Some(error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error));
            }
        })?;
        self.last = bytes[..written].last().copied().or(self.last);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Returns a buffer in front of `out`, which is `file` or the standard output.
fn buffered(out: Box<dyn Write>, file: Option<String>) -> BufWriter<OutputSink> {
    BufWriter::with_capacity(BUFFER_LEN, OutputSink { out, last: None, file, refusal: None })
}

/// Holds several hundred results, so that a script makes few system calls.
const BUFFER_LEN: usize = 64 << 10;

impl Output {
    /// Returns an output to `sink`.
    pub fn new(sink: Box<dyn Write>, mode: Mode, look: Look, is_terminal: bool) -> Self {
        let sink = Breakable::new(buffered(sink, None), Interrupt::default());
        Self { sink, mode, look, is_terminal }
    }

    /// Lets `interrupt` stop a long result.
    pub fn heed(&mut self, interrupt: Interrupt) {
        self.sink.heed(interrupt);
    }

    /// Sends later results to `sink`, which is `file` or the standard output. The caller flushes
    /// first: an error in writing buffered results to the old sink would be lost here.
    pub fn redirect(&mut self, sink: Box<dyn Write>, file: Option<String>, is_terminal: bool) {
        self.sink.out = buffered(sink, file);
        self.is_terminal = is_terminal;
    }

    /// Returns whether results go to a file instead of the standard output.
    pub fn is_redirected(&self) -> bool {
        self.sink.out.get_ref().file.is_some()
    }

    /// Returns the file that rejected a write, and its error.
    pub fn refusal(&self) -> Option<(&str, &io::Error)> {
        let sink = self.sink.out.get_ref();
        sink.file.as_deref().zip(sink.refusal.as_ref())
    }

    /// Returns the output at the start of a line: ends the current line if a result left it open.
    pub fn own_line(&mut self) -> io::Result<&mut dyn Write> {
        let out = &mut self.sink.out;
        let last = out.buffer().last().copied().or(out.get_ref().last);
        if last.is_some_and(|last| last != b'\n') {
            out.write_all(b"\n")?;
        }
        Ok(out)
    }

    /// Returns the output for a command that checks for Ctrl-C itself.
    pub fn unbroken(&mut self) -> &mut dyn Write {
        &mut self.sink.out
    }

    /// Returns whether results are JSON objects.
    pub fn is_json(&self) -> bool {
        self.mode == Mode::Json
    }

    /// Returns whether results are for people.
    pub fn is_table(&self) -> bool {
        self.mode == Mode::Table
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("mode", &self.mode).field("look", &self.look).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_line_ends_the_line_before_it() {
        let mut out = Output::new(
            Box::new(io::sink()),
            Mode::Raw,
            Look { color: false, ascii: true, width: 80 },
            false,
        );
        let mut is_ended = |before: &[u8], flushes: bool| {
            out.write_all(before).expect("a sink accepts every write");
            if flushes {
                out.flush().expect("a sink accepts every write");
            }
            out.own_line().expect("a sink accepts every write");
            out.sink.out.buffer().ends_with(b"v\n")
        };
        assert!(!is_ended(b"", false));
        assert!(is_ended(b"v", false) && !is_ended(b"", true));
        out.write_all(b"v").and_then(|()| out.flush()).expect("a sink accepts every write");
        out.own_line().expect("a sink accepts every write");
        assert_eq!(out.sink.out.buffer(), b"\n", "the last byte is known after a flush");
    }

    #[test]
    fn every_mode_is_found_by_its_name() {
        for mode in Mode::ALL {
            assert_eq!(Mode::parse(mode.name()), Some(mode));
        }
        assert_eq!(Mode::parse("xml"), None);
    }
}
