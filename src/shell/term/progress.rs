//! A progress bar on the standard error. It appears only on a terminal, after half a second, and is
//! erased at the end.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthStr;

use super::bar::bar;
use super::style::{Look, is_dumb};
use super::units;

/// The progress of one task. The bar is visible between [`Progress::at`] and [`Progress::clear`] or
/// drop.
pub struct Progress {
    what: &'static str,
    look: Look,
    started: Instant,
    /// `None` if no bar is shown.
    screen: Option<Mutex<Screen>>,
}

/// The terminal, and the line shown on it.
struct Screen {
    out: Box<dyn Write + Send>,
    /// Empty while no bar is visible.
    line: String,
    /// The time of the next redraw, since the start of the task.
    next: Duration,
}

impl Screen {
    /// Shows `line`, or nothing if it is empty. Ignores errors: the task goes on without a
    /// terminal.
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
    /// A shorter task shows no bar: nobody could read it.
    const SHOWN_FROM: Duration = Duration::from_millis(500);
    /// The time between two redraws.
    const INTERVAL: Duration = Duration::from_millis(50);

    /// Starts the progress of `what`, such as `compacting`. `is_wanted` is false for `--quiet`.
    pub fn new(what: &'static str, look: Look, is_wanted: bool) -> Self {
        let is_shown = is_wanted && !is_dumb() && io::stderr().is_terminal();
        let screen: Option<Box<dyn Write + Send>> = is_shown.then(|| Box::new(io::stderr()) as _);
        Self::on(what, look, screen, Self::SHOWN_FROM)
    }

    fn on(what: &'static str, look: Look, out: Option<Box<dyn Write + Send>>, shown_from: Duration) -> Self {
        let screen = out.map(|out| Mutex::new(Screen { out, line: String::new(), next: shown_from }));
        Self { what, look, started: Instant::now(), screen }
    }

    /// Shows that `done` of `total` bytes are done; `total` may grow. Redraws at most twenty times
    /// a second, so it can be called often.
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

    /// Hides the bar while `write` writes to the screen.
    pub fn hidden_while<T>(&self, write: impl FnOnce() -> T) -> T {
        let Some(mut screen) = self.screen() else { return write() };
        let line = screen.line.clone();
        screen.show(String::new());
        let written = write();
        screen.show(line);
        written
    }

    /// Erases the bar for good.
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

/// Returns the remaining time at the average speed, or zero if unknown.
fn time_left(elapsed: Duration, done: u64, total: u64) -> Duration {
    let share = total.saturating_sub(done) as f64 / done as f64;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * share).unwrap_or_default()
}

/// Returns `compacting ████░░░░ 42% 4.2 MiB of 10 MiB, 3 s left`. A narrow screen shows less.
fn line(what: &str, done: u64, total: u64, left: Duration, look: Look) -> String {
    /// Keeps the bar the same width at 80 columns while the amounts grow.
    const BAR_WIDTH_MAX: usize = 24;
    const BAR_WIDTH_LEAST: usize = 8;
    let percent = units::percent(done.min(total), total);
    let left = if left.is_zero() { String::new() } else { format!(", {} s left", left.as_secs().max(1)) };
    let amounts = format!(" {} of {}{left}", units::bytes(done), units::bytes(total));
    // Some terminals wrap after a character in the last column.
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
            self.0.lock().expect("no thread has panicked").screen().contents()
        }
    }

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no thread has panicked").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_is_visible_during_the_task_and_erased_after_it() {
        let terminal = Terminal::new();
        let progress = terminal.progress("compacting", Duration::ZERO);
        progress.at(1 << 20, 4 << 20);
        assert!(terminal.seen().starts_with("compacting ██████░"), "{}", terminal.seen());
        assert!(terminal.seen().contains(" 25% 1 MiB of 4 MiB"), "{}", terminal.seen());
        drop(progress);
        assert_eq!(terminal.seen(), "");
    }

    #[test]
    fn progress_without_a_total_shows_the_amount() {
        let terminal = Terminal::new();
        let progress = terminal.progress("importing", Duration::ZERO);
        progress.so_far(3 << 20);
        assert_eq!(terminal.seen(), "importing 3 MiB");
        drop(progress);
        assert_eq!(terminal.seen(), "");
    }

    #[test]
    fn a_short_or_unwanted_task_shows_no_bar() {
        let terminal = Terminal::new();
        let soon = terminal.progress("compacting", Duration::from_secs(60));
        soon.at(1, 2);
        let quiet = Progress::on("compacting", LOOK, None, Duration::ZERO);
        quiet.at(1, 2);
        assert_eq!(terminal.seen(), "");
    }

    #[test]
    fn a_cleared_bar_does_not_return() {
        let terminal = Terminal::new();
        let progress = terminal.progress("opening", Duration::ZERO);
        progress.at(1, 2);
        progress.clear();
        progress.at(2, 2);
        assert_eq!(terminal.seen(), "");
    }

    #[test]
    fn text_written_while_the_bar_is_hidden_stands_above_it() {
        let terminal = Terminal::new();
        let progress = terminal.progress("importing", Duration::ZERO);
        progress.so_far(3 << 20);
        progress
            .hidden_while(|| terminal.clone().write_all(b"line 7: no key\r\n"))
            .expect("the terminal accepts text");
        assert_eq!(terminal.seen(), "line 7: no key\nimporting 3 MiB");
    }

    #[test]
    fn the_remaining_time_follows_from_the_average_speed() {
        let ten = Duration::from_secs(10);
        assert_eq!(time_left(ten, 1, 4), Duration::from_secs(30));
        assert_eq!(
            [(0, 4), (0, 0), (4, 4), (5, 4)].map(|(done, total)| time_left(ten, done, total)),
            [Duration::ZERO; 4]
        );
    }

    #[test]
    fn a_line_fits_every_width_and_follows_the_look() {
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
