//! Where results go, and in which form.

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
    /// For programs: tab-separated, one result a line. The default elsewhere.
    Plain,
    /// One JSON object a line.
    Json,
    /// The bytes of keys and values as they are, whatever they do to a terminal.
    Raw,
}

impl Mode {
    /// The names that `mode` and `--mode` take.
    pub const NAMES: &'static [&'static str] = &["table", "plain", "json", "raw"];

    const ALL: [Self; 4] = [Self::Table, Self::Plain, Self::Json, Self::Raw];

    /// The mode called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// The results of commands on their way out, buffered, until Ctrl-C.
pub struct Output {
    sink: Breakable<BufWriter<Sink>>,
    /// The form of results.
    pub mode: Mode,
    /// Colours, characters and width.
    pub look: Look,
    /// Whether results go straight to a terminal.
    pub is_terminal: bool,
}

/// What the buffer is written to, and the last byte that was.
struct Sink {
    out: Box<dyn Write>,
    last: Option<u8>,
    /// The name of the file that it is, if it is not the standard output.
    file: Option<String>,
    /// Why the file did not take what was written. Nothing more is written to it then: who goes back to the standard output
    /// gets rid of what is still buffered.
    refusal: Option<io::Error>,
}

impl Write for Sink {
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

/// A buffer before `out`, which is `file` or the standard output.
fn buffered(out: Box<dyn Write>, file: Option<String>) -> BufWriter<Sink> {
    BufWriter::with_capacity(BUFFER_LEN, Sink { out, last: None, file, refusal: None })
}

/// Enough for some hundred results, so that a script costs a system call now and then.
const BUFFER_LEN: usize = 64 << 10;

impl Output {
    /// An output to `sink`.
    pub fn new(sink: Box<dyn Write>, mode: Mode, look: Look, is_terminal: bool) -> Self {
        let sink = Breakable::new(buffered(sink, None), Interrupt::default());
        Self { sink, mode, look, is_terminal }
    }

    /// Has `interrupt` break off a long result that is being written when it is pressed.
    pub fn heed(&mut self, interrupt: Interrupt) {
        self.sink.heed(interrupt);
    }

    /// Sends what follows to `sink`, which is `file` or the standard output; what came before is written already, or lost.
    pub fn redirect(&mut self, sink: Box<dyn Write>, file: Option<String>, is_terminal: bool) {
        self.sink.out = buffered(sink, file);
        self.is_terminal = is_terminal;
    }

    /// Whether results go into a file, and not to the standard output.
    pub fn is_redirected(&self) -> bool {
        self.sink.out.get_ref().file.is_some()
    }

    /// The file that results were to go into and that did not take them, and why.
    pub fn refusal(&self) -> Option<(&str, &io::Error)> {
        let sink = self.sink.out.get_ref();
        sink.file.as_deref().zip(sink.refusal.as_ref())
    }

    /// The output at the start of a line, also behind a result that was broken off or has no line break at its end.
    pub fn own_line(&mut self) -> io::Result<&mut dyn Write> {
        let out = &mut self.sink.out;
        let last = out.buffer().last().copied().or(out.get_ref().last);
        if last.is_some_and(|last| last != b'\n') {
            out.write_all(b"\n")?;
        }
        Ok(out)
    }

    /// The output for a command that looks at Ctrl-C itself.
    pub fn unbroken(&mut self) -> &mut dyn Write {
        &mut self.sink.out
    }

    /// Whether results are objects.
    pub fn is_json(&self) -> bool {
        self.mode == Mode::Json
    }

    /// Whether results are for people.
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
    fn a_line_of_its_own_begins_behind_whatever_came_before() {
        let mut out = Output::new(
            Box::new(io::sink()),
            Mode::Raw,
            Look { color: false, ascii: true, width: 80 },
            false,
        );
        let mut is_ended = |before: &[u8], flushes: bool| {
            out.write_all(before).expect("all is taken");
            if flushes {
                out.flush().expect("all is taken");
            }
            out.own_line().expect("all is taken");
            out.sink.out.buffer().ends_with(b"v\n")
        };
        assert!(!is_ended(b"", false));
        assert!(is_ended(b"v", false) && !is_ended(b"", true));
        out.write_all(b"v").and_then(|()| out.flush()).expect("all is taken");
        out.own_line().expect("all is taken");
        assert_eq!(out.sink.out.buffer(), b"\n", "what was passed on is known, too");
    }

    #[test]
    fn every_mode_is_found_by_its_name() {
        for mode in Mode::ALL {
            assert_eq!(Mode::parse(mode.name()), Some(mode));
        }
        assert_eq!(Mode::parse("xml"), None);
    }
}
