//! A bar on the standard error for what takes long: on a terminal alone, not in the first half second, and nothing of
//! it stays on the screen.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthStr;

use super::bar::bar;
use super::style::{Look, is_dumb};
use super::units;

/// The progress of one piece of work, shown from [`Progress::at`] until [`Progress::clear`] or its drop.
pub struct Progress {
    what: &'static str,
    look: Look,
    started: Instant,
    /// `None` if nobody wants to see it.
    screen: Option<Mutex<Screen>>,
}

/// The terminal, and the line that stands on it.
struct Screen {
    out: Box<dyn Write + Send>,
    /// Empty while nothing is shown.
    line: String,
    /// When the line is drawn next, counted from the start of the work.
    next: Duration,
}

impl Screen {
    /// Shows `line`, or nothing if it is empty. Work goes on even if the terminal is gone.
    fn show(&mut self, line: String) {
        const ERASE_TO_END: &str = "\x1b[K";
        if line != self.line {
            let _ = self.out.write_all(format!("\r{line}{ERASE_TO_END}").as_bytes());
            let _ = self.out.flush();
            self.line = line;
        }
    }
}

impl Progress {
    /// Work that ends sooner shows no bar: nobody could read it.
    const SHOWN_FROM: Duration = Duration::from_millis(500);
    /// Between two drawings.
    const INTERVAL: Duration = Duration::from_millis(50);

    /// The progress of `what` (`compacting`), which starts now. `is_wanted` is false for `--quiet`.
    pub fn new(what: &'static str, look: Look, is_wanted: bool) -> Self {
        let is_shown = is_wanted && !is_dumb() && io::stderr().is_terminal();
        let screen: Option<Box<dyn Write + Send>> = is_shown.then(|| Box::new(io::stderr()) as _);
        Self::on(what, look, screen, Self::SHOWN_FROM)
    }

    fn on(what: &'static str, look: Look, out: Option<Box<dyn Write + Send>>, shown_from: Duration) -> Self {
        let screen = out.map(|out| Mutex::new(Screen { out, line: String::new(), next: shown_from }));
        Self { what, look, started: Instant::now(), screen }
    }

    /// Shows that `done` of `total` bytes are done; `total` may grow. Costs little: the screen is drawn at
    /// most twenty times a second.
    pub fn at(&self, done: u64, total: u64) {
        self.draw(|elapsed| line(self.what, done, total, time_left(elapsed, done, total), self.look));
    }

    /// Shows that `done` bytes are done, of an unknown total.
    pub fn so_far(&self, done: u64) {
        self.draw(|_| format!("{} {}", self.what, units::bytes(done)));
    }

    fn draw(&self, line: impl FnOnce(Duration) -> String) {
        let Some(mut screen) = self.screen() else { return };
        let elapsed = self.started.elapsed();
        if elapsed >= screen.next {
            screen.next = elapsed + Self::INTERVAL;
            screen.show(line(elapsed));
        }
    }

    /// Calls `write`, which writes to the screen, with the bar out of its way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        let Some(mut screen) = self.screen() else { return write() };
        let line = screen.line.clone();
        screen.show(String::new());
        let written = write();
        screen.show(line);
        written
    }

    /// Takes the bar off the screen for good.
    pub fn clear(&self) {
        if let Some(mut screen) = self.screen() {
            screen.show(String::new());
            screen.next = Duration::MAX;
        }
    }

    fn screen(&self) -> Option<MutexGuard<'_, Screen>> {
        Some(self.screen.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("what", &self.what).finish_non_exhaustive()
    }
}

/// How long the rest takes at the speed so far; zero if that is unknown.
fn time_left(elapsed: Duration, done: u64, total: u64) -> Duration {
    let share = total.saturating_sub(done) as f64 / done as f64;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * share).unwrap_or_default()
}

/// `compacting ████░░░░ 42% 4.2 MiB of 10 MiB, 3 s left`; on a narrow screen less of it.
fn line(what: &str, done: u64, total: u64, left: Duration, look: Look) -> String {
    /// At 80 columns it stays this long, however long the amounts get.
    const BAR_WIDTH_MAX: usize = 24;
    const BAR_WIDTH_LEAST: usize = 8;
    let percent = units::percent(done.min(total), total);
    let left = if left.is_zero() { String::new() } else { format!(", {} s left", left.as_secs().max(1)) };
    let amounts = format!(" {} of {}{left}", units::bytes(done), units::bytes(total));
    // In the last column some terminals begin a new line.
    let room = look.width.saturating_sub(what.width() + percent.width() + 3);
    let (amounts, room) = match room.checked_sub(amounts.width()) {
        Some(room) if room >= BAR_WIDTH_LEAST => (amounts.as_str(), room),
        _ => ("", room),
    };
    let bar = bar(done.min(total), total.saturating_sub(done), room.min(BAR_WIDTH_MAX), look);
    format!("{what} {bar} {percent}{amounts}")
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    const LOOK: Look = Look { color: false, ascii: false, width: 80 };

    #[derive(Clone)]
    struct Terminal(Arc<Mutex<vt100::Parser>>);

    impl Terminal {
        fn new() -> Self {
            Self(Arc::new(Mutex::new(vt100::Parser::new(5, 80, 0))))
        }

        fn progress(&self, what: &'static str, shown_from: Duration) -> Progress {
            Progress::on(what, LOOK, Some(Box::new(self.clone())), shown_from)
        }

        fn seen(&self) -> String {
            self.0.lock().expect("no thread panicked").screen().contents()
        }
    }

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no thread panicked").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_is_seen_while_the_work_goes_on_and_nothing_of_it_afterwards() {
        let terminal = Terminal::new();
        let progress = terminal.progress("compacting", Duration::ZERO);
        progress.at(1 << 20, 4 << 20);
        assert!(terminal.seen().starts_with("compacting ██████░"), "{}", terminal.seen());
        assert!(terminal.seen().contains(" 25% 1 MiB of 4 MiB"), "{}", terminal.seen());
        drop(progress);
        assert_eq!(terminal.seen(), "");
    }

    #[test]
    fn of_what_nobody_knows_the_end_it_is_seen_how_much_is_done() {
        let terminal = Terminal::new();
        let progress = terminal.progress("importing", Duration::ZERO);
        progress.so_far(3 << 20);
        assert_eq!(terminal.seen(), "importing 3 MiB");
        drop(progress);
        assert_eq!(terminal.seen(), "");
    }

    #[test]
    fn nothing_is_seen_of_what_is_done_soon_or_when_nobody_wants_to() {
        let terminal = Terminal::new();
        let soon = terminal.progress("compacting", Duration::from_secs(60));
        soon.at(1, 2);
        let quiet = Progress::on("compacting", LOOK, None, Duration::ZERO);
        quiet.at(1, 2);
        assert_eq!(terminal.seen(), "");
    }

    #[test]
    fn what_is_done_is_taken_off_the_screen_and_does_not_come_back() {
        let terminal = Terminal::new();
        let progress = terminal.progress("opening", Duration::ZERO);
        progress.at(1, 2);
        progress.clear();
        progress.at(2, 2);
        assert_eq!(terminal.seen(), "");
    }

    #[test]
    fn text_that_is_written_aside_stands_above_the_bar() {
        let terminal = Terminal::new();
        let progress = terminal.progress("importing", Duration::ZERO);
        progress.so_far(3 << 20);
        progress.aside(|| terminal.clone().write_all(b"line 7: no key\r\n")).expect("memory takes it");
        assert_eq!(terminal.seen(), "line 7: no key\nimporting 3 MiB");
    }

    #[test]
    fn the_rest_is_expected_to_take_as_long_for_each_byte() {
        let ten = Duration::from_secs(10);
        assert_eq!(time_left(ten, 1, 4), Duration::from_secs(30));
        assert_eq!(
            [(0, 4), (0, 0), (4, 4), (5, 4)].map(|(done, total)| time_left(ten, done, total)),
            [Duration::ZERO; 4]
        );
    }

    #[test]
    fn a_line_fits_every_screen_and_is_drawn_as_the_look_says() {
        let left = Duration::from_secs(3);
        let ascii = Look { ascii: true, ..LOOK };
        let text = format!("compacting {}{} 25% 1 MiB of 4 MiB, 3 s left", "#".repeat(6), ".".repeat(18));
        assert_eq!(line("compacting", 1 << 20, 4 << 20, left, ascii), text);
        for width in 30..120 {
            let text = line("compacting", 1 << 40, 4 << 40, left, Look { width, ..LOOK });
            assert!(text.width() < width, "{width}: {text}");
        }
        assert!(line("compacting", 1, 2, left, Look { color: true, ..LOOK }).contains('\u{1b}'));
        assert!(line("compacting", 3, 2, Duration::ZERO, ascii).ends_with("# 100% 3 B of 2 B"));
    }
}
