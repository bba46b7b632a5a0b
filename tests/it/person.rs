//! A simulated user, who types at a terminal and reads the screen.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::common::send;

/// A user of `logkv` on a terminal of its own.
pub(crate) struct Person {
    child: Child,
    keyboard: File,
    screen: Arc<Screen>,
}

struct Screen {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    parser: vt100::Parser,
    has_escapes: bool,
    has_ended: bool,
}

pub(crate) const CTRL_C: &str = "\x03";
pub(crate) const CTRL_D: &str = "\x04";
pub(crate) const CTRL_R: &str = "\x12";

impl Person {
    /// Starts the program in `dir` with `args`, and with the variables `env` added to the usual
    /// ones.
    pub(crate) fn at(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::at_terminal(dir, args, env, (24, 80))
    }

    /// Starts the program on a terminal of `size` rows and columns.
    pub(crate) fn at_terminal(dir: &Path, args: &[&str], env: &[(&str, &str)], size: (u16, u16)) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal can be opened");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("is unlocked");
        let name = ptsname(&keyboard, Vec::new()).expect("has a name");
        let terminal = OpenOptions::new()
            .read(true)
            .write(true)
            .open(OsStr::new(name.to_str().expect("the name is UTF-8")))
            .expect("opens the other end");
        tcsetwinsize(&keyboard, winsize(size)).expect("has a size");
        let side = || Stdio::from(terminal.try_clone().expect("reopens"));
        // `setsid` makes this terminal the source of Ctrl-C. `env` resets signals that the test
        // runner ignores.
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "env", "--default-signal=HUP", env!("CARGO_BIN_EXE_logkv")])
            .args(args)
            .current_dir(dir)
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("TERM", "xterm-256color"), ("PAGER", "")])
            .env("HOME", dir)
            .envs(env.iter().copied())
            .stdin(side())
            .stdout(side())
            .stderr(side());
        let child = command.spawn().expect("the program starts");
        let (rows, columns) = size;
        let screen = Arc::new(Screen {
            state: Mutex::new(State {
                parser: vt100::Parser::new(rows, columns, 0),
                has_escapes: false,
                has_ended: false,
            }),
            changed: Condvar::new(),
        });
        let keyboard = File::from(keyboard);
        let output = keyboard.try_clone().expect("reopens");
        std::thread::spawn({
            let screen = Arc::clone(&screen);
            move || screen.follow(output)
        });
        Self { child, keyboard, screen }
    }

    /// Types `keys`, even if the program does not read them yet.
    pub(crate) fn types(&mut self, keys: &str) -> &mut Self {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
        self
    }

    /// Types `line` and Enter.
    pub(crate) fn enters(&mut self, line: &str) -> &mut Self {
        self.types(line).types("\r")
    }

    /// Waits until the screen ends with `text`, such as the prompt.
    pub(crate) fn sees_at_end(&mut self, text: &str) -> &mut Self {
        self.waits_for(&format!("{text:?} at the end"), |state| state.text().trim_end().ends_with(text))
    }

    /// Waits until the screen contains `text`.
    pub(crate) fn sees(&mut self, text: &str) -> &mut Self {
        self.waits_for(&format!("{text:?}"), |state| state.text().contains(text))
    }

    fn waits_for(&mut self, what: &str, wanted: impl Fn(&State) -> bool) -> &mut Self {
        /// Longer than any wait of a test that passes.
        const WAIT_MAX: Duration = Duration::from_secs(20);
        let deadline = Instant::now() + WAIT_MAX;
        let mut state = self.screen.lock();
        while !wanted(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "never saw {what}; the screen is\n{}", state.text());
            let waited = self.screen.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        self
    }

    pub(crate) fn screen(&self) -> String {
        self.screen.lock().text()
    }

    /// Whether any text on the screen has a colour.
    pub(crate) fn sees_colours(&self) -> bool {
        let state = self.screen.lock();
        let screen = state.parser.screen();
        let (rows, columns) = screen.size();
        let mut cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        cells.any(|(row, column)| {
            let cell = screen.cell(row, column);
            cell.is_some_and(|cell| cell.fgcolor() != vt100::Color::Default)
        })
    }

    /// Whether the program ever sent an escape sequence.
    pub(crate) fn sees_escapes(&self) -> bool {
        self.screen.lock().has_escapes
    }

    /// Resizes the window.
    pub(crate) fn resizes(&mut self, size: (u16, u16)) -> &mut Self {
        self.screen.lock().parser.screen_mut().set_size(size.0, size.1);
        tcsetwinsize(&self.keyboard, winsize(size)).expect("has a size");
        self
    }

    /// Sends `signal` to the program.
    pub(crate) fn sends(&mut self, signal: Signal) -> &mut Self {
        send(&self.child, signal);
        self
    }

    /// Waits until the program exits. Returns its exit code.
    pub(crate) fn sees_it_end(mut self) -> Option<i32> {
        self.waits_for("its end", |state| state.has_ended);
        self.child.wait().expect("is a child of ours").code()
    }
}

/// Kills the program when a test fails.
impl Drop for Person {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Screen {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the output until the program closes it.
    fn follow(&self, mut output: File) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            let mut state = self.lock();
            state.has_escapes |= buffer[..count].contains(&0x1b);
            state.parser.process(&buffer[..count]);
            drop(state);
            self.changed.notify_all();
        }
        self.lock().has_ended = true;
        self.changed.notify_all();
    }
}

impl State {
    fn text(&self) -> String {
        self.parser.screen().contents()
    }
}

fn winsize((rows, columns): (u16, u16)) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
