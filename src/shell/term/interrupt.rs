//! Ctrl-C, and the signals that end a session: a flag that long commands check between records, and
//! a pipe that ends waits.

use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{process, thread};

use logkv::Store;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag::{register, register_usize};
use signal_hook::low_level::pipe;

use self::guard::Guard;
use super::process::is_ignored;
use super::tally::INTERRUPTED;

mod guard;

/// Ctrl-C, after this number of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The records that were done by then.
    pub count: u64,
}

/// Ctrl-C while a result was written, as an error of the write.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct WriteInterrupted;

/// Whether Ctrl-C was pressed since the command began, and whether a signal came that ends the session.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    is_set: Arc<AtomicBool>,
    /// The number of the signal that ends the session: SIGTERM or SIGHUP; 0: none came.
    ending: Arc<AtomicUsize>,
    pipes: Option<Arc<Pipes>>,
    guard: Guard,
}

/// Pipes that a signal makes readable: a signal between the check of a flag and the wait would
/// otherwise be lost.
#[derive(Debug)]
struct Pipes {
    /// For any signal.
    wake: UnixStream,
    waker: UnixStream,
    /// For a signal that ends the session. It is never read, and stays readable.
    ending: UnixStream,
    /// Its other end: if that were closed, it would be readable.
    ender: UnixStream,
}

impl Pipes {
    fn new() -> io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        let (ending, ender) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        Ok(Self { wake, waker, ending, ender })
    }
}

impl Interrupt {
    /// Has SIGINT, SIGTERM and SIGHUP set flags from now on, instead of ending the process during a
    /// write. A signal that was ignored when the process started, such as SIGHUP under nohup(1),
    /// stays ignored.
    pub fn install() -> io::Result<Self> {
        let interrupt = Self { pipes: Some(Arc::new(Pipes::new()?)), ..Self::default() };
        // Without a watcher, these signals still end the process at once.
        let is_watched = interrupt.watch_end();
        for (number, code) in [(SIGTERM, 15), (SIGHUP, 1)] {
            if is_watched && !is_ignored(number) {
                // The flags are set before any wakeup.
                register_usize(number, Arc::clone(&interrupt.ending), code)?;
                interrupt.note(number, |pipes| &pipes.waker)?;
                interrupt.note(number, |pipes| &pipes.ender)?;
            }
        }
        interrupt.note(SIGINT, |pipes| &pipes.waker)?;
        // A file that reaches the limit of `ulimit -f` would end the process; now it is an error of the write.
        register(SIGXFSZ, Arc::default())?;
        Ok(interrupt)
    }

    /// Has the guard end the process if the session does not. `false` if no thread can be started.
    fn watch_end(&self) -> bool {
        let ending = self.pipes.as_ref().and_then(|pipes| pipes.ending.try_clone().ok());
        let interrupt = self.clone();
        ending.is_some_and(|ending| self.guard.watch(ending, move || interrupt.code()))
    }

    /// Has the signal set the flag, and wake the reader of a pipe.
    fn note(&self, number: i32, waker: fn(&Pipes) -> &UnixStream) -> io::Result<()> {
        register(number, Arc::clone(&self.is_set))?;
        if let Some(pipes) = &self.pipes {
            pipe::register(number, waker(pipes).try_clone()?)?;
        }
        Ok(())
    }

    /// Clears a Ctrl-C from before this command. A signal that ends the session stays.
    pub fn clear(&self) {
        self.is_set.store(false, Ordering::SeqCst);
        if self.is_ending() {
            self.is_set.store(true, Ordering::SeqCst);
        }
        self.drain();
    }

    /// Removes wakeups, unless the flag is set. A wakeup that an earlier command left would end
    /// every later wait at once.
    fn drain(&self) {
        let Some(pipes) = &self.pipes else { return };
        let mut wakeups = [0; 64];
        while matches!((&pipes.wake).read(&mut wakeups), Ok(1..)) {}
        // A handler sets the flag before it writes, so the wakeup just removed may be a new one.
        if self.is_set() {
            // A full pipe is readable anyway.
            let _ = (&pipes.waker).write(&[0]);
        }
    }

    /// Whether the last wakeup came from a signal. Removes it otherwise.
    pub fn is_woken(&self) -> bool {
        if !self.is_set() {
            self.drain();
        }
        self.is_set()
    }

    /// Whether a signal came that ends the session, as Ctrl-D does.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst) != 0
    }

    /// The exit code after a signal: 128 plus its number.
    pub fn code(&self) -> u8 {
        match self.ending.load(Ordering::SeqCst) {
            0 => INTERRUPTED,
            signal => 128 | u8::try_from(signal).unwrap_or_default(),
        }
    }

    /// Closes `store` if a signal ends the session and the running command does not finish: it may
    /// be blocked on the reader of its output.
    pub fn guard(&self, store: Store) {
        self.guard.hold(store);
    }

    /// The session closes its store itself. From here on signals have no effect.
    pub fn release(&self) {
        self.guard.release();
    }

    /// Returns the result of `run`. A signal meanwhile ends the process, after `leave` has restored
    /// the screen.
    pub fn ending<T>(&self, leave: impl FnOnce() + Send, run: impl FnOnce() -> T) -> io::Result<T> {
        let Some(pipes) = self.pipes.as_deref() else { return Ok(run()) };
        let watch = |ended: &UnixStream| {
            if is_first(&pipes.wake, ended) {
                leave();
                process::exit(self.code().into());
            }
        };
        beside(watch, run)
    }

    /// Returns the result of `read`, which waits for a key until SIGINT. A signal that ends the
    /// session sends one.
    pub fn breaking<T>(&self, read: impl FnOnce() -> T) -> io::Result<T> {
        let Some(pipes) = self.pipes.as_deref() else { return Ok(read()) };
        let watch = |ended: &UnixStream| {
            let mut is_waiting = is_first(&pipes.ending, ended);
            while is_waiting {
                // The previous one may have arrived just before the wait.
                let _ = kill_process(getpid(), Signal::INT);
                is_waiting = !is_readable_within(ended, Duration::from_millis(20));
            }
        };
        beside(watch, read)
    }

    /// Whether Ctrl-C was pressed or the session is ending.
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// Returns `Break` after Ctrl-C, for a callback of the library.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Presses it, as the signal would.
    #[cfg(test)]
    pub fn press(&self) {
        self.is_set.store(true, Ordering::SeqCst);
    }

    /// An interrupt with a wakeup but no flag.
    #[cfg(test)]
    pub fn with_stale_wakeup() -> Self {
        let interrupt =
            Self { pipes: Some(Arc::new(Pipes::new().expect("sockets can be opened"))), ..Self::default() };
        let pipes = interrupt.pipes.as_ref().expect("the pipes are set above");
        (&pipes.waker).write_all(&[0]).expect("the pipe is empty");
        interrupt
    }

    /// What becomes readable when it is pressed.
    pub fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.pipes.as_ref().map(|pipes| pipes.wake.as_fd())
    }

    /// Waits for so long, or until it is pressed.
    pub fn pause(&self, duration: Duration) {
        match self.pipes.as_deref() {
            Some(pipes) => {
                if is_readable_within(&pipes.wake, duration) {
                    self.is_woken();
                }
            }
            None => thread::sleep(duration),
        }
    }

    /// Fails when it was pressed; `count` records were done by then.
    pub fn check(&self, count: u64) -> Result<(), Interrupted> {
        if self.is_set() { Err(Interrupted { count }) } else { Ok(()) }
    }
}

/// Returns the result of `run`. `watch` runs beside it, if a thread is available, until its stream
/// is readable.
fn beside<T>(watch: impl FnOnce(&UnixStream) + Send, run: impl FnOnce() -> T) -> io::Result<T> {
    let (running, ended) = UnixStream::pair()?;
    let run = move || {
        // Closed at the end, even if `run` panics: no wait for a key remains.
        let _running = running;
        run()
    };
    Ok(thread::scope(|scope| {
        // Without a thread the signal is noticed later.
        let _ = thread::Builder::new().spawn_scoped(scope, move || watch(&ended));
        run()
    }))
}

/// Whether `one` is readable, or closed, before `other` is.
fn is_first(one: &UnixStream, other: &UnixStream) -> bool {
    let mut fds = [PollFd::new(one, PollFlags::IN), PollFd::new(other, PollFlags::IN)];
    // The signal itself may come to this thread.
    while matches!(poll(&mut fds, None), Err(Errno::INTR)) {}
    !fds[0].revents().is_empty()
}

/// Whether `stream` is readable, or closed, within about `limit`.
fn is_readable_within(stream: &UnixStream, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).unwrap_or_default();
    let mut fds = [PollFd::new(stream, PollFlags::IN)];
    poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_interrupts_comes_to_its_end_and_leaves_the_screen_alone() {
        let pipes = Pipes::new().expect("sockets can be opened");
        let interrupt = Interrupt { pipes: Some(Arc::new(pipes)), ..Interrupt::default() };
        let ended = interrupt.ending(|| panic!("nobody pressed it"), || 7);
        assert_eq!(ended.expect("there are sockets"), 7);
        assert_eq!(interrupt.breaking(|| 8).expect("there are sockets"), 8);
    }

    #[test]
    fn an_interrupt_says_how_far_the_command_came() {
        let interrupt = Interrupt::default();
        assert!(interrupt.check(7).is_ok());
        interrupt.press();
        assert_eq!(interrupt.check(7), Err(Interrupted { count: 7 }));
        interrupt.clear();
        assert!(!interrupt.is_set());
    }

    #[test]
    fn a_signal_that_ends_the_session_is_not_forgotten_before_the_next_command() {
        let interrupt = Interrupt::default();
        assert_eq!(interrupt.code(), 130);
        interrupt.ending.store(15, Ordering::SeqCst);
        interrupt.clear();
        assert!(interrupt.is_set() && interrupt.is_ending());
        assert_eq!(interrupt.code(), 143);
    }
}
