//! A bar on the standard error for what takes long: on a terminal alone, not in the first half second, and nothing of
//! it stays on the screen.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use unicode_width::UnicodeWidthStr;

use super::bar::bar;
use super::style::{Look, is_dumb};
use super::units;

/// The progress of one piece of work, shown from [`Progress::at`] until [`Progress::clear`] or its drop.
pub struct Progress {
    what: &'static str,
    look: Look,
    /// `None` where nobody wants to see it.
    screen: Option<Screen>,
    started: Instant,
    shown_from: Duration,
    bar: OnceLock<ProgressBar>,
}

/// Makes the target to draw on; off a terminal one that draws nothing.
type Screen = fn() -> ProgressDrawTarget;

impl Progress {
    /// What is done sooner is done before a bar could be read.
    const SHOWN_FROM: Duration = Duration::from_millis(500);

    /// The progress of `what` (`compacting`), which starts now. `is_wanted` is false for `--quiet`.
    pub fn new(what: &'static str, look: Look, is_wanted: bool) -> Self {
        let screen: Screen = ProgressDrawTarget::stderr;
        Self::on(what, look, (is_wanted && !is_dumb()).then_some(screen), Self::SHOWN_FROM)
    }

    fn on(what: &'static str, look: Look, screen: Option<Screen>, shown_from: Duration) -> Self {
        Self { what, look, screen, started: Instant::now(), shown_from, bar: OnceLock::new() }
    }

    /// `done` of `total` bytes are done; `total` may grow while more is found to do. Costs little: the screen is drawn at most
    /// twenty times a second.
    pub fn at(&self, done: u64, total: u64) {
        let Some(screen) = self.screen else { return };
        let elapsed = self.started.elapsed();
        if elapsed < self.shown_from {
            return;
        }
        let bar = self.bar.get_or_init(|| self.draw_on(screen(), elapsed, (done, Some(total))));
        bar.set_length(total);
        bar.set_position(done);
    }

    /// `done` bytes are done, and nobody knows of how many.
    pub fn so_far(&self, done: u64) {
        let Some(screen) = self.screen else { return };
        let elapsed = self.started.elapsed();
        if elapsed < self.shown_from {
            return;
        }
        let bar = self.bar.get_or_init(|| self.draw_on(screen(), elapsed, (done, None)));
        bar.set_position(done);
    }

    /// Does what writes to the screen, with the bar out of its way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match self.bar.get() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes it off the screen.
    pub fn clear(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }

    fn draw_on(
        &self,
        target: ProgressDrawTarget,
        elapsed: Duration,
        (done, total): (u64, Option<u64>),
    ) -> ProgressBar {
        let (what, look) = (self.what, self.look);
        let write = move |state: &ProgressState, out: &mut dyn fmt::Write| {
            // It goes into memory, which takes it.
            let text = match state.len() {
                Some(total) => line(what, state.pos(), total, state.eta(), look),
                None => format!("{what} {}", units::bytes(state.pos())),
            };
            out.write_str(&text).ok();
        };
        let style = ProgressStyle::with_template("{line}").expect("the template is well formed");
        let bar = ProgressBar::with_draw_target(total, target);
        bar.with_elapsed(elapsed).with_position(done).with_style(style.with_key("line", write))
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

    use std::cell::RefCell;

    use indicatif::InMemoryTerm;

    const LOOK: Look = Look { color: false, ascii: false, width: 80 };

    thread_local! {
        static TERMINAL: RefCell<InMemoryTerm> = RefCell::new(InMemoryTerm::new(5, 80));
    }

    fn screen() -> ProgressDrawTarget {
        ProgressDrawTarget::term_like(Box::new(TERMINAL.with_borrow(InMemoryTerm::clone)))
    }

    fn seen() -> String {
        TERMINAL.with_borrow(InMemoryTerm::contents)
    }

    #[test]
    fn a_bar_is_seen_while_the_work_goes_on_and_nothing_of_it_afterwards() {
        let progress = Progress::on("compacting", LOOK, Some(screen), Duration::ZERO);
        progress.at(1 << 20, 4 << 20);
        assert!(seen().starts_with("compacting ██████░"), "{}", seen());
        assert!(seen().contains(" 25% 1 MiB of 4 MiB"), "{}", seen());
        drop(progress);
        assert_eq!(seen(), "");
    }

    #[test]
    fn of_what_nobody_knows_the_end_it_is_seen_how_much_is_done() {
        let progress = Progress::on("importing", LOOK, Some(screen), Duration::ZERO);
        progress.so_far(3 << 20);
        assert_eq!(seen(), "importing 3 MiB");
        drop(progress);
        assert_eq!(seen(), "");
    }

    #[test]
    fn nothing_is_seen_of_what_is_done_soon_or_when_nobody_wants_to() {
        let soon = Progress::on("compacting", LOOK, Some(screen), Duration::from_secs(60));
        soon.at(1, 2);
        let quiet = Progress::on("compacting", LOOK, None, Duration::ZERO);
        quiet.at(1, 2);
        assert_eq!(seen(), "");
    }

    #[test]
    fn what_is_done_is_taken_off_the_screen_and_does_not_come_back() {
        let progress = Progress::on("opening", LOOK, Some(screen), Duration::ZERO);
        progress.at(1, 2);
        progress.clear();
        progress.at(2, 2);
        assert_eq!(seen(), "");
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
