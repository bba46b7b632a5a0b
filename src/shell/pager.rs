//! Results that are longer than the screen go to a pager.

use std::cell::RefCell;
use std::env;
use std::io::{self, Write};
use std::mem;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

/// A writer to the terminal that holds a command's results until it is known whether they fit the screen. Those
/// that do are printed; the others go to `$PAGER`, or to `less`, as they come.
///
/// Clones are handles to the same one: the output writes to one, and the REPL ends each command with another.
#[derive(Clone, Debug)]
pub struct Pager(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    program: Option<Program>,
    sink: Sink,
    extent: Extent,
}

#[derive(Debug)]
enum Sink {
    /// It may still fit the screen.
    Held(Vec<u8>),
    /// Part of it was printed already, or there is no pager.
    Terminal,
    /// The person reads it there.
    Paged(Child),
    /// The person left the pager: what still comes is dropped, so that it does not end up on the screen.
    Left,
}

/// How to start the pager.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Program {
    line: String,
    is_default: bool,
}

impl Program {
    /// `$PAGER`, or `less` where it can be found. An empty `$PAGER` means none.
    fn find() -> Option<Self> {
        match env::var("PAGER") {
            Ok(line) => (!line.trim().is_empty()).then_some(Self { line, is_default: false }),
            Err(_) => {
                let path = env::var_os("PATH")?;
                let is_there = env::split_paths(&path).any(|dir| dir.join("less").is_file());
                is_there.then(|| Self { line: "less".to_owned(), is_default: true })
            }
        }
    }

    /// `$PAGER` may hold arguments, so a shell reads it.
    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.line).stdin(Stdio::piped());
        if self.is_default && env::var_os("LESS").is_none() {
            // Ends when all fits one screen, passes colours on, and leaves the text on the screen.
            command.env("LESS", "FRX");
        }
        command.spawn()
    }
}

impl Pager {
    /// A pager for the terminal that is the standard output.
    pub fn new() -> Self {
        Self(Rc::new(RefCell::new(State {
            program: Program::find(),
            sink: Sink::Terminal,
            extent: Extent::default(),
        })))
    }

    /// Begins the results of a command, on the screen as it is now.
    pub fn begin(&self) {
        let size = rustix::termios::tcgetwinsize(io::stdout());
        // A terminal that does not know its height scrolls by itself, or never ends.
        let screen = size.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        self.begin_on(screen.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row))));
    }

    fn begin_on(&self, screen: Option<(usize, usize)>) {
        let mut state = self.0.borrow_mut();
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
        match self.program.as_ref().and_then(|program| program.start().ok()) {
            Some(child) => {
                self.sink = Sink::Paged(child);
                self.hand_over(&held)
            }
            // A pager that cannot be started must not cost the results.
            None => io::stdout().write_all(&held),
        }
    }

    fn hand_over(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Sink::Paged(child) = &mut self.sink else { return Ok(()) };
        let result = child.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(bytes));
        if result.is_err() {
            drop(child.stdin.take());
            drop(child.wait());
            self.sink = Sink::Left;
        }
        result
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
            Sink::Paged(child) => {
                drop(child.stdin.take());
                let ended = child.wait();
                self.sink = Sink::Terminal;
                ended.map(drop)
            }
            Sink::Left => Ok(()),
        }
    }
}

/// How much of the screen was written to.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    columns: usize,
    rows: usize,
    row: usize,
    column: usize,
    /// Inside an escape sequence, which takes no room.
    in_escape: bool,
}

impl Extent {
    /// Goes on by `bytes`, and says whether all so far leaves a row for the prompt. Characters count as one column
    /// each: for the question whether to page, that is near enough.
    fn fits(&mut self, bytes: &[u8]) -> bool {
        const FIRST_OF_CHARACTER: fn(u8) -> bool = |byte| byte & 0b1100_0000 != 0b1000_0000;
        for &byte in bytes {
            match byte {
                _ if self.in_escape => self.in_escape = !byte.is_ascii_alphabetic(),
                0x1b => self.in_escape = true,
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

    fn pager(line: &str) -> Pager {
        let pager = Pager::new();
        pager.0.borrow_mut().program = Some(Program { line: line.to_owned(), is_default: false });
        pager.begin_on(Some((80, 2)));
        pager
    }

    #[test]
    fn what_is_longer_than_the_screen_goes_to_the_pager_whole_and_in_order() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let file = dir.path().join("shown");
        let mut pager = pager(&format!("cat > {}", file.display()));
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            pager.write_all(line.as_bytes()).expect("the pager reads all");
        }
        pager.flush().expect("the pager ends");
        assert_eq!(std::fs::read_to_string(file).expect("the pager has written"), "one\ntwo\nthree\nfour\n");
        assert!(!pager.was_left());
    }

    #[test]
    fn leaving_the_pager_stops_the_command_once_and_the_rest_is_dropped() {
        let mut pager = pager("exec true");
        let stopped = (0..10_000).find_map(|_| pager.write_all(&[b'\n'; 4096]).err());
        assert_eq!(stopped.map(|error| error.kind()), Some(io::ErrorKind::BrokenPipe));
        assert!(pager.was_left());
        pager.write_all(b"rest").expect("the rest is dropped");
        pager.begin_on(Some((80, 2)));
        assert!(!pager.was_left());
    }
}
