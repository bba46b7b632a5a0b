//! The pager for results longer than the screen.

mod program;

use std::cell::RefCell;
use std::io::{self, Write};
use std::mem;
use std::process::{Child, ExitStatus};
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::program::Program;
use super::interrupt::Interrupt;

/// A writer to the terminal. It buffers the results of a command until they fill the screen or the
/// command ends. Results that fit are printed; longer results go to `$PAGER` or `less`. A flush
/// before that prints the buffer, and all later results bypass the pager.
///
/// Clones share one state: the output writes to one clone, and the REPL ends each command with
/// another.
#[derive(Clone, Debug)]
pub struct Pager(Rc<RefCell<PagerState>>);

#[derive(Debug)]
struct PagerState {
    program: Option<Program>,
    /// Ctrl-C ends some pagers with an exit code of their own, which is not a failure.
    interrupt: Interrupt,
    manner: Manner,
    sink: Sink,
    extent: Extent,
    /// The total time spent waiting for the user.
    waited: Duration,
}

/// The properties of the results that the pager depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Whether all escape sequences are colours, which can be removed.
    pub is_bare_enough: bool,
    /// Whether the results are ASCII only.
    pub is_ascii: bool,
}

#[derive(Debug)]
enum Sink {
    /// Buffered: the results may still fit the screen.
    Held(Vec<u8>),
    /// Printed: part of the results was flushed, or no pager is available.
    Terminal,
    /// Sent to the pager.
    Paged(Paged),
    /// Dropped: the user has left the pager, and the rest must not reach the screen.
    Left,
}

#[derive(Debug)]
struct Paged {
    child: Child,
    /// Everything sent to the pager, which is printed if it fails to start. `None` after so much
    /// that it must be running.
    given: Option<Vec<u8>>,
    /// The state of the filter that removes colours, if the pager cannot show them.
    strips: Option<Escapes>,
}

impl Paged {
    /// More than a pipe holds: a pager that accepted more has read some of it.
    const GIVEN_LEN_MAX: usize = 2 << 20;

    fn give(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.given = self.given.take().filter(|given| given.len() + bytes.len() <= Self::GIVEN_LEN_MAX);
        if let Some(given) = &mut self.given {
            given.extend_from_slice(bytes);
        }
        let Some(stdin) = self.child.stdin.as_mut() else { return Ok(()) };
        match &mut self.strips {
            Some(escapes) => {
                let bare: Vec<_> = bytes.iter().copied().filter(|&byte| escapes.is_text(byte)).collect();
                stdin.write_all(&bare)
            }
            None => stdin.write_all(bytes),
        }
    }

    /// Waits until the pager ends. Returns the text to print instead if it has failed.
    fn end(mut self, interrupt: &Interrupt) -> io::Result<Option<Vec<u8>>> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        let has_failed = |status: ExitStatus| status.code().is_some_and(|code| code != 0);
        Ok(self.given.filter(|_| has_failed(status) && !interrupt.is_set()))
    }
}

impl Pager {
    /// Returns a pager for the terminal at the standard output.
    pub fn new(interrupt: Interrupt) -> Self {
        Self(Rc::new(RefCell::new(PagerState {
            program: Program::find(),
            interrupt,
            manner: Manner::default(),
            sink: Sink::Terminal,
            extent: Extent::default(),
            waited: Duration::ZERO,
        })))
    }

    /// Starts the results of a command, with the current size of the screen.
    pub fn begin(&self, manner: Manner) {
        let size = rustix::termios::tcgetwinsize(io::stdout());
        // A terminal without a size scrolls by itself or is not a screen.
        let screen = size.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        self.begin_on(screen.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row))), manner);
    }

    fn begin_on(&self, screen: Option<(usize, usize)>, manner: Manner) {
        let mut state = self.0.borrow_mut();
        state.manner = manner;
        state.sink = match screen.filter(|_| state.program.is_some()) {
            Some((columns, rows)) => {
                state.extent = Extent { columns, rows, ..Extent::default() };
                Sink::Held(Vec::new())
            }
            None => Sink::Terminal,
        };
    }

    /// Returns whether the user left the pager before the end. That stops the command, and is not a
    /// failure.
    pub fn was_left(&self) -> bool {
        matches!(self.0.borrow().sink, Sink::Left)
    }

    /// Returns the total time that commands have waited for the user.
    pub fn waited(&self) -> Duration {
        self.0.borrow().waited
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    /// Shows all buffered results. Waits until the user leaves the pager: an error or a prompt
    /// would otherwise appear in the middle of its screen.
    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().show()
    }
}

impl PagerState {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sink {
            Sink::Held(held) => {
                held.extend_from_slice(bytes);
                if !self.extent.fits(bytes) {
                    self.page()?;
                }
                Ok(bytes.len())
            }
            Sink::Terminal => io::stdout().write(bytes),
            Sink::Paged(_) => self.hand_over(bytes).map(|()| bytes.len()),
            Sink::Left => Ok(bytes.len()),
        }
    }

    /// Starts the pager with the buffered results.
    fn page(&mut self) -> io::Result<()> {
        let Sink::Held(held) = mem::replace(&mut self.sink, Sink::Terminal) else { return Ok(()) };
        let started = self
            .program
            .as_ref()
            .and_then(|program| Some((program, program.start(self.manner.is_ascii).ok()?)));
        match started {
            Some((program, child)) => {
                let strips = self.manner.is_bare_enough && !program.takes_colour();
                let strips = strips.then(Escapes::default);
                self.sink = Sink::Paged(Paged { child, given: Some(Vec::new()), strips });
                self.hand_over(&held)
            }
            // Results must be shown even if the pager cannot be started.
            None => io::stdout().write_all(&held),
        }
    }

    fn hand_over(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Sink::Paged(paged) = &mut self.sink else { return Ok(()) };
        let started = Instant::now();
        let result = paged.give(bytes);
        // The pipe is full while the user reads.
        self.waited += started.elapsed();
        if result.is_ok() {
            return Ok(());
        }
        if self.close()? { Ok(()) } else { result }
    }

    /// Waits until the pager ends. Returns whether it failed, in which case its input was printed
    /// instead.
    fn close(&mut self) -> io::Result<bool> {
        let Sink::Paged(paged) = mem::replace(&mut self.sink, Sink::Left) else { return Ok(false) };
        let started = Instant::now();
        let unread = paged.end(&self.interrupt);
        self.waited += started.elapsed();
        let Some(unread) = unread? else { return Ok(false) };
        self.sink = Sink::Terminal;
        io::stdout().write_all(&unread).map(|()| true)
    }

    fn show(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Held(held) => {
                let held = mem::take(held);
                self.sink = Sink::Terminal;
                let mut stdout = io::stdout();
                stdout.write_all(&held)?;
                stdout.flush()
            }
            Sink::Terminal => io::stdout().flush(),
            Sink::Paged(_) => {
                self.close()?;
                self.sink = Sink::Terminal;
                io::stdout().flush()
            }
            Sink::Left => Ok(()),
        }
    }
}

/// Distinguishes escape sequences from text, byte by byte.
#[derive(Clone, Copy, Debug, Default)]
struct Escapes {
    is_inside: bool,
}

impl Escapes {
    /// Returns whether `byte` is not part of an escape sequence.
    fn is_text(&mut self, byte: u8) -> bool {
        let was_inside = self.is_inside || byte == 0x1b;
        self.is_inside = byte == 0x1b || self.is_inside && !byte.is_ascii_alphabetic();
        !was_inside
    }
}

/// The part of the screen that is filled.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    columns: usize,
    rows: usize,
    row: usize,
    column: usize,
    /// Escape sequences take no room on the screen.
    escapes: Escapes,
}

impl Extent {
    /// Adds `bytes`, and returns whether a row is left for the prompt. Counts each character as one
    /// column, which is near enough.
    fn fits(&mut self, bytes: &[u8]) -> bool {
        const FIRST_OF_CHARACTER: fn(u8) -> bool = |byte| byte & 0b1100_0000 != 0b1000_0000;
        for &byte in bytes {
            match byte {
                _ if !self.escapes.is_text(byte) => {}
                b'\n' => (self.row, self.column) = (self.row + 1, 0),
                byte if FIRST_OF_CHARACTER(byte) => {
                    if self.column == self.columns {
                        (self.row, self.column) = (self.row + 1, 0);
                    }
                    self.column += 1;
                }
                _ => {}
            }
        }
        self.row < self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(text: &str, columns: usize, rows: usize) -> bool {
        Extent { columns, rows, ..Extent::default() }.fits(text.as_bytes())
    }

    #[test]
    fn a_line_that_wraps_counts_as_several_rows() {
        assert!(fits("a\nb\n", 80, 3));
        assert!(!fits("a\nb\nc\n", 80, 3));
        assert!(fits("12345678\n", 8, 2));
        assert!(!fits("123456789\n", 8, 2));
        assert!(fits("\u{1b}[31méééééééé\u{1b}[0m\n", 8, 2));
    }

    fn pager(line: &str, manner: Manner) -> Pager {
        let pager = Pager::new(Interrupt::default());
        pager.0.borrow_mut().program = Some(Program { line: line.to_owned() });
        pager.begin_on(Some((80, 2)), manner);
        pager
    }

    /// Returns the input of a pager that runs `action`, after `lines` were written.
    fn paged(action: &str, manner: Manner, lines: &[&str]) -> String {
        let dir = tempfile::tempdir().expect("a directory can be created");
        let file = dir.path().join("shown");
        let mut pager = pager(&format!("{action} > {}", file.display()), manner);
        for line in lines {
            pager.write_all(line.as_bytes()).expect("the pager reads everything");
        }
        pager.flush().expect("the pager ends");
        assert!(!pager.was_left());
        std::fs::read_to_string(file).expect("the pager has written the file")
    }

    #[test]
    fn results_longer_than_the_screen_reach_the_pager_complete_and_in_order() {
        let shown = paged("cat", Manner::default(), &["one\n", "two\n", "three\n", "four\n"]);
        assert_eq!(shown, "one\ntwo\nthree\nfour\n");
    }

    #[test]
    fn a_pager_without_support_for_colours_receives_none() {
        let lines = ["\u{1b}[1mone\u{1b}[0m\n", "two\n", "\u{1b}[3", "1mthree\u{1b}[0m\n"];
        let bare = Manner { is_bare_enough: true, ..Manner::default() };
        assert_eq!(paged("tee /dev/null", bare, &lines), "one\ntwo\nthree\n");
        assert_eq!(paged("cat", Manner::default(), &lines), lines.concat());
    }

    #[test]
    fn less_is_set_up_for_colours_and_the_charset() {
        let own = std::env::var("LESS").map_or("FRX".to_owned(), |own| format!("-R {own}"));
        let charset = std::env::var("LESSCHARSET").unwrap_or("utf-8".to_owned());
        let shown =
            paged("cat >/dev/null; printenv LESS LESSCHARSET", Manner::default(), &["\n", "\n", "\n"]);
        assert_eq!(shown, format!("{own}\n{charset}\n"));
    }

    #[test]
    fn leaving_the_pager_stops_the_command_once_and_drops_the_rest() {
        let mut pager = pager("exec true", Manner::default());
        let stopped = (0..10_000).find_map(|_| pager.write_all(&[b'\n'; 4096]).err());
        assert_eq!(stopped.map(|error| error.kind()), Some(io::ErrorKind::BrokenPipe));
        assert!(pager.was_left());
        pager.write_all(b"rest").expect("the rest is dropped");
        pager.begin_on(Some((80, 2)), Manner::default());
        assert!(!pager.was_left());
    }

    #[test]
    fn the_time_in_the_pager_is_counted() {
        let mut pager = pager("sleep 0.4; cat >/dev/null", Manner::default());
        pager.write_all(&[b'\n'; 10]).expect("the pager reads everything");
        pager.flush().expect("the pager ends");
        let waited = pager.waited();
        assert!(waited >= Duration::from_millis(200));
        pager.begin_on(Some((80, 2)), Manner::default());
        pager.write_all(b"fits").and_then(|()| pager.flush()).expect("the screen accepts text");
        assert_eq!(pager.waited(), waited);
    }

    #[test]
    fn the_time_in_a_pager_left_early_is_counted() {
        let mut pager = pager("exec sleep 0.4", Manner::default());
        // More than a pipe holds.
        let stopped = pager.write_all(&[b'\n'; 1 << 20]);
        assert!(stopped.is_err() && pager.was_left());
        assert!(pager.waited() >= Duration::from_millis(200));
    }
}
