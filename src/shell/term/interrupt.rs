//! Ctrl-C, and the signals that end a session.
//!
//! A signal sets a flag, which long commands check between records. It also makes a pipe readable,
//! which ends waits.

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

/// The error of a command that Ctrl-C stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The number of records processed before.
    pub count: u64,
}

/// The error of a write that Ctrl-C stopped.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct WriteInterrupted;

/// The state of Ctrl-C and of the signals that end the session. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    /// Whether a signal arrived since the command started.
    is_set: Arc<AtomicBool>,
    /// The number of the signal that ends the session, SIGTERM or SIGHUP, or 0.
    ending: Arc<AtomicUsize>,
    pipes: Option<Arc<Pipes>>,
    guard: Guard,
}

/// Pipes that a signal makes readable. A wait polls them, so that a signal between the check of the
/// flag and the wait is not lost.
#[derive(Debug)]
struct Pipes {
    /// Readable after any signal.
    wake: UnixStream,
    waker: UnixStream,
    /// Readable after a signal that ends the session. It is never read, and so stays readable.
    ending: UnixStream,
    /// The other end, kept open: `ending` would be readable if it were closed.
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
    /// Makes SIGINT, SIGTERM and SIGHUP set flags instead of ending the process during a write. A
    /// signal that was ignored at the start of the process, such as SIGHUP under nohup(1), stays
    /// ignored.
    pub fn install() -> io::Result<Self> {
        let interrupt = Self { pipes: Some(Arc::new(Pipes::new()?)), ..Self::default() };
        // Without the thread these signals must still end the process.
        let is_watched = interrupt.watch_end();
        for (number, code) in [(SIGTERM, 15), (SIGHUP, 1)] {
            if is_watched && !is_ignored(number) {
                // Handlers run in this order: the flags are set before the wakeup.
                register_usize(number, Arc::clone(&interrupt.ending), code)?;
                interrupt.note(number, |pipes| &pipes.waker)?;
                interrupt.note(number, |pipes| &pipes.ender)?;
            }
        }
        interrupt.note(SIGINT, |pipes| &pipes.waker)?;
        // SIGXFSZ would end the process at the limit of `ulimit -f`. With a handler, the write
        // fails instead.
        register(SIGXFSZ, Arc::default())?;
        Ok(interrupt)
    }

    /// Starts the thread that ends the process if the session does not. Returns `false` if it
    /// cannot be started.
    fn watch_end(&self) -> bool {
        let ending = self.pipes.as_ref().and_then(|pipes| pipes.ending.try_clone().ok());
        let interrupt = self.clone();
        ending.is_some_and(|ending| self.guard.watch(ending, move || interrupt.code()))
    }

    /// Makes the signal `number` set the flag, then wake the reader of a pipe.
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

    /// Returns whether the last wakeup came from a signal. Removes it otherwise.
    pub fn is_woken(&self) -> bool {
        if !self.is_set() {
            self.drain();
        }
        self.is_set()
    }

    /// Returns whether a signal has ended the session, as Ctrl-D does.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst) != 0
    }

    /// Returns the exit code for the signal: 128 plus its number.
    pub fn code(&self) -> u8 {
        match self.ending.load(Ordering::SeqCst) {
            0 => INTERRUPTED,
            signal => 128 | u8::try_from(signal).unwrap_or_default(),
        }
    }

    /// Keeps `store`, to close it if a signal ends the session and the command does not return. The
    /// command may be blocked on the reader of its output.
    pub fn guard(&self, store: Store) {
        self.guard.hold(store);
    }

    /// Forgets the store: the session closes it itself. Later signals have no effect.
    pub fn release(&self) {
        self.guard.release();
    }

    /// Returns the result of `run`. A signal during `run` ends the process, after `leave` has
    /// restored the screen.
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

    /// Returns the result of `read`, which waits for a key and returns on SIGINT. A signal that
    /// ends the session sends SIGINT to it.
    pub fn breaking<T>(&self, read: impl FnOnce() -> T) -> io::Result<T> {
        let Some(pipes) = self.pipes.as_deref() else { return Ok(read()) };
        let watch = |ended: &UnixStream| {
            let mut is_waiting = is_first(&pipes.ending, ended);
            while is_waiting {
                // Repeated, because SIGINT may arrive just before the wait starts.
                let _ = kill_process(getpid(), Signal::INT);
                is_waiting = !is_readable_within(ended, Duration::from_millis(20));
            }
        };
        beside(watch, read)
    }

    /// Returns whether Ctrl-C was pressed, or the session is ending.
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// Returns `Break` after Ctrl-C, for a callback of the library.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Sets the flag as the signal would.
    #[cfg(test)]
    pub fn press(&self) {
        self.is_set.store(true, Ordering::SeqCst);
    }

    /// Returns an interrupt with a wakeup but no flag.
    #[cfg(test)]
    pub fn with_stale_wakeup() -> Self {
        let interrupt =
            Self { pipes: Some(Arc::new(Pipes::new().expect("sockets can be opened"))), ..Self::default() };
        let pipes = interrupt.pipes.as_ref().expect("the pipes are set above");
        (&pipes.waker).write_all(&[0]).expect("the pipe is empty");
        interrupt
    }

    /// Returns the pipe that becomes readable with the next signal.
    pub fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.pipes.as_ref().map(|pipes| pipes.wake.as_fd())
    }

    /// Waits for `duration`, or until the next signal.
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

    /// Fails if Ctrl-C was pressed. `count` is the number of records processed.
    pub fn check(&self, count: u64) -> Result<(), Interrupted> {
        if self.is_set() { Err(Interrupted { count }) } else { Ok(()) }
    }
}

/// Returns the result of `run`. A thread runs `watch`, which must return when its stream becomes
/// readable.
fn beside<T>(watch: impl FnOnce(&UnixStream) + Send, run: impl FnOnce() -> T) -> io::Result<T> {
    let (running, ended) = UnixStream::pair()?;
    let run = move || {
        // Closed at the end even if `run` panics, so that the thread ends.
        let _running = running;
        run()
    };
    Ok(thread::scope(|scope| {
        // Without the thread a signal takes effect after `run`.
        let _ = thread::Builder::new().spawn_scoped(scope, move || watch(&ended));
        run()
    }))
}

/// Returns whether `one` becomes readable or closed before `other`.
fn is_first(one: &UnixStream, other: &UnixStream) -> bool {
    let mut fds = [PollFd::new(one, PollFlags::IN), PollFd::new(other, PollFlags::IN)];
    // A signal may interrupt the call.
    while matches!(poll(&mut fds, None), Err(Errno::INTR)) {}
    !fds[0].revents().is_empty()
}

/// Returns whether `stream` becomes readable or closed within about `limit`.
fn is_readable_within(stream: &UnixStream, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).unwrap_or_default();
    let mut fds = [PollFd::new(stream, PollFlags::IN)];
    poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_signal_a_watched_run_returns_its_result_and_keeps_the_screen() {
        let pipes = Pipes::new().expect("sockets can be opened");
        let interrupt = Interrupt { pipes: Some(Arc::new(pipes)), ..Interrupt::default() };
        let ended = interrupt.ending(|| panic!("no signal was sent"), || 7);
        assert_eq!(ended.expect("sockets can be opened"), 7);
        assert_eq!(interrupt.breaking(|| 8).expect("sockets can be opened"), 8);
    }

    #[test]
    fn an_interrupt_reports_the_number_of_records_processed() {
        let interrupt = Interrupt::default();
        assert!(interrupt.check(7).is_ok());
        interrupt.press();
        assert_eq!(interrupt.check(7), Err(Interrupted { count: 7 }));
        interrupt.clear();
        assert!(!interrupt.is_set());
    }

    #[test]
    fn a_signal_that_ends_the_session_survives_a_clear() {
        let interrupt = Interrupt::default();
        assert_eq!(interrupt.code(), 130);
        interrupt.ending.store(15, Ordering::SeqCst);
        interrupt.clear();
        assert!(interrupt.is_set() && interrupt.is_ending());
        assert_eq!(interrupt.code(), 143);
    }
}
