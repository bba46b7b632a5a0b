//! Results that are longer than the screen go to a pager.

mod program;

use std::cell::RefCell;
use std::io::{self, Write};
use std::mem;
use std::process::{Child, ExitStatus};
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::program::Program;
use super::interrupt::Interrupt;

/// A writer to the terminal that holds a command's results until it is known whether they fit the screen. Those
/// that do are printed; the others go to `$PAGER`, or to `less`, as they come. What is flushed before that is printed, and
/// all that follows it.
///
/// Clones are handles to the same one: the output writes to one, and the REPL ends each command with another.
#[derive(Clone, Debug)]
pub struct Pager(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    program: Option<Program>,
    /// Ctrl-C, which ends some pagers with an exit code of their own.
    interrupt: Interrupt,
    manner: Manner,
    sink: Sink,
    extent: Extent,
    /// The total time spent waiting for the person.
    waited: Duration,
}

/// The format of the results.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Whether all escape sequences are colours, which can be removed.
    pub is_bare_enough: bool,
    /// Whether they are ASCII only.
    pub is_ascii: bool,
}

#[derive(Debug)]
enum Sink {
    /// It may still fit the screen.
    Held(Vec<u8>),
    /// Part of it was printed already, or there is no pager.
    Terminal,
    /// The person reads it there.
    Paged(Paged),
    /// The person left the pager: what still comes is dropped, so that it does not end up on the screen.
    Left,
}

#[derive(Debug)]
struct Paged {
    child: Child,
    /// Everything written to it, in case it fails to start; `None` once so much was written that it must be running.
    given: Option<Vec<u8>>,
    /// Where in an escape sequence it is, if colours are to be taken out.
    strips: Option<Escapes>,
}

impl Paged {
    /// A pipe holds less, so that a pager that was given as much has read some of it.
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

    /// Waits until it ends. If it has failed, returns the text to print instead.
    fn end(mut self, interrupt: &Interrupt) -> io::Result<Option<Vec<u8>>> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        let has_failed = |status: ExitStatus| status.code().is_some_and(|code| code != 0);
        Ok(self.given.filter(|_| has_failed(status) && !interrupt.is_set()))
    }
}

impl Pager {
    /// A pager for the terminal that is the standard output.
    pub fn new(interrupt: Interrupt) -> Self {
        Self(Rc::new(RefCell::new(State {
            program: Program::find(),
            interrupt,
            manner: Manner::default(),
            sink: Sink::Terminal,
            extent: Extent::default(),
            waited: Duration::ZERO,
        })))
    }

    /// Begins the results of a command, on the screen as it is now.
    pub fn begin(&self, manner: Manner) {
        let size = rustix::termios::tcgetwinsize(io::stdout());
        // A terminal that does not know its height scrolls by itself, or never ends.
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

    /// Whether the person left the pager before the end: the command was stopped, and that is no failure.
    pub fn was_left(&self) -> bool {
        matches!(self.0.borrow().sink, Sink::Left)
    }

    /// How long all commands so far have waited for the person who reads.
    pub fn waited(&self) -> Duration {
        self.0.borrow().waited
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    /// Shows all that came, and where there is a pager waits until the person leaves it: what is printed next, an
    /// error or the prompt, would stand in the middle of its screen.
    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().show()
    }
}

impl State {
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

    /// Starts the pager with what was held.
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
            // A pager that cannot be started must not cost the results.
            None => io::stdout().write_all(&held),
        }
    }

    fn hand_over(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Sink::Paged(paged) = &mut self.sink else { return Ok(()) };
        let started = Instant::now();
        let result = paged.give(bytes);
        // The pipe is full while the person reads, also when they leave in the end.
        self.waited += started.elapsed();
        if result.is_ok() {
            return Ok(());
        }
        if self.close()? { Ok(()) } else { result }
    }

    /// Waits for the pager to end. Whether it had failed, and what it was given was printed in its place.
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

/// Where in an escape sequence of colours a text is.
#[derive(Clone, Copy, Debug, Default)]
struct Escapes {
    is_inside: bool,
}

impl Escapes {
    /// Whether the next byte of the text is of no escape sequence.
    fn is_text(&mut self, byte: u8) -> bool {
        let was_inside = self.is_inside || byte == 0x1b;
        self.is_inside = byte == 0x1b || self.is_inside && !byte.is_ascii_alphabetic();
        !was_inside
    }
}

/// How much of the screen was written to.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    columns: usize,
    rows: usize,
    row: usize,
    column: usize,
    /// Escape sequences take no room.
    escapes: Escapes,
}

impl Extent {
    /// Goes on by `bytes`, and says whether all so far leaves a row for the prompt. Characters count as one column
    /// each: for the question whether to page, that is near enough.
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
    fn rows_are_counted_with_those_that_a_long_line_wraps_into() {
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

    /// What a pager that does `action` with its input is given of `lines`.
    fn paged(action: &str, manner: Manner, lines: &[&str]) -> String {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let file = dir.path().join("shown");
        let mut pager = pager(&format!("{action} > {}", file.display()), manner);
        for line in lines {
            pager.write_all(line.as_bytes()).expect("the pager reads all");
        }
        pager.flush().expect("the pager ends");
        assert!(!pager.was_left());
        std::fs::read_to_string(file).expect("the pager has written")
    }

    #[test]
    fn what_is_longer_than_the_screen_goes_to_the_pager_whole_and_in_order() {
        let shown = paged("cat", Manner::default(), &["one\n", "two\n", "three\n", "four\n"]);
        assert_eq!(shown, "one\ntwo\nthree\nfour\n");
    }

    #[test]
    fn a_pager_that_would_show_escape_sequences_is_given_none() {
        let lines = ["\u{1b}[1mone\u{1b}[0m\n", "two\n", "\u{1b}[3", "1mthree\u{1b}[0m\n"];
        let bare = Manner { is_bare_enough: true, ..Manner::default() };
        assert_eq!(paged("tee /dev/null", bare, &lines), "one\ntwo\nthree\n");
        assert_eq!(paged("cat", Manner::default(), &lines), lines.concat());
    }

    #[test]
    fn less_is_told_to_pass_colours_on_and_which_characters_to_expect_whatever_starts_it() {
        let own = std::env::var("LESS").map_or("FRX".to_owned(), |own| format!("-R {own}"));
        let charset = std::env::var("LESSCHARSET").unwrap_or("utf-8".to_owned());
        let shown =
            paged("cat >/dev/null; printenv LESS LESSCHARSET", Manner::default(), &["\n", "\n", "\n"]);
        assert_eq!(shown, format!("{own}\n{charset}\n"));
    }

    #[test]
    fn leaving_the_pager_stops_the_command_once_and_the_rest_is_dropped() {
        let mut pager = pager("exec true", Manner::default());
        let stopped = (0..10_000).find_map(|_| pager.write_all(&[b'\n'; 4096]).err());
        assert_eq!(stopped.map(|error| error.kind()), Some(io::ErrorKind::BrokenPipe));
        assert!(pager.was_left());
        pager.write_all(b"rest").expect("the rest is dropped");
        pager.begin_on(Some((80, 2)), Manner::default());
        assert!(!pager.was_left());
    }

    #[test]
    fn the_time_in_the_pager_is_told_apart() {
        let mut pager = pager("sleep 0.05; cat >/dev/null", Manner::default());
        pager.write_all(&[b'\n'; 10]).expect("the pager reads all");
        pager.flush().expect("the pager ends");
        let waited = pager.waited();
        assert!(waited >= Duration::from_millis(50));
        pager.begin_on(Some((80, 2)), Manner::default());
        pager.write_all(b"fits").and_then(|()| pager.flush()).expect("the screen takes it");
        assert_eq!(pager.waited(), waited);
    }

    #[test]
    fn the_time_in_a_pager_that_is_left_before_the_end_is_told_apart_too() {
        let mut pager = pager("exec sleep 0.05", Manner::default());
        // More than its pipe holds.
        let stopped = pager.write_all(&[b'\n'; 1 << 20]);
        assert!(stopped.is_err() && pager.was_left());
        assert!(pager.waited() >= Duration::from_millis(50));
    }
}
