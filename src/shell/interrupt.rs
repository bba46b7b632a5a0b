//! Ctrl-C: a flag that long commands look at between records, and a pipe that ends waits.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{process, thread};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use signal_hook::consts::{SIGINT, SIGXFSZ};
use signal_hook::flag::register;

use super::failure::Failure;
use super::tally::INTERRUPTED;

/// Whether Ctrl-C was pressed since the command began.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    is_set: Arc<AtomicBool>,
    /// Readable once it was pressed: a signal between a look at the flag and the wait after it would else be lost.
    wake: Option<Arc<UnixStream>>,
}

impl Interrupt {
    /// A flag that SIGINT sets from now on, in place of ending the process in the middle of a write.
    pub fn install() -> io::Result<Self> {
        let is_set = Arc::default();
        register(SIGINT, Arc::clone(&is_set))?;
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(SIGINT, waker)?;
        // A file that reaches the limit of `ulimit -f` would end the process; now it is an error of the write.
        register(SIGXFSZ, Arc::default())?;
        Ok(Self { is_set, wake: Some(Arc::new(wake)) })
    }

    /// Forgets a Ctrl-C that came before the command that starts now.
    pub fn clear(&self) {
        if let Some(wake) = &self.wake {
            let mut pressed = [0; 64];
            while matches!(wake.as_ref().read(&mut pressed), Ok(1..)) {}
        }
        self.is_set.store(false, Ordering::Relaxed);
    }

    /// What `run` returns, unless it is pressed meanwhile: that ends the process, once `leave` has put the screen in order.
    pub fn ending<T>(&self, leave: impl FnOnce() + Send, run: impl FnOnce() -> T) -> io::Result<T> {
        let (running, ended) = UnixStream::pair()?;
        let run = move || {
            // Closed at the end of this, also when `run` panics: nobody waits for a key any more.
            let _running = running;
            run()
        };
        let Some(wake) = self.wake.as_deref() else { return Ok(run()) };
        Ok(thread::scope(|scope| {
            scope.spawn(move || {
                if is_first(wake, &ended) {
                    leave();
                    process::exit(INTERRUPTED.into());
                }
            });
            run()
        }))
    }

    /// Whether it was pressed.
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    /// Presses it, as the signal would.
    #[cfg(test)]
    pub fn press(&self) {
        self.is_set.store(true, Ordering::Relaxed);
    }

    /// What becomes readable when it is pressed.
    pub fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.wake.as_ref().map(|wake| wake.as_fd())
    }

    /// What `search` finds, which tells what it is given how many records it has looked at; that breaks it off when it is
    /// pressed meanwhile.
    pub fn searching<T>(
        &self,
        search: impl FnOnce(&mut dyn FnMut(u64) -> ControlFlow<()>) -> logkv::Result<Option<T>>,
    ) -> Result<T, Failure> {
        let mut count = 0;
        let found = search(&mut |seen_count| {
            count = seen_count;
            if self.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        found.ok_or_else(|| Failure::interrupted_after(count))
    }

    /// Fails when it was pressed; `count` records were done by then.
    pub fn check(&self, count: u64) -> Result<(), Failure> {
        if self.is_set() { Err(Failure::interrupted_after(count)) } else { Ok(()) }
    }
}

/// Whether `one` is readable, or closed, before `other` is.
fn is_first(one: &UnixStream, other: &UnixStream) -> bool {
    let mut fds = [PollFd::new(one, PollFlags::IN), PollFd::new(other, PollFlags::IN)];
    // The signal itself may come to this thread.
    while matches!(poll(&mut fds, None), Err(Errno::INTR)) {}
    !fds[0].revents().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_interrupts_comes_to_its_end_and_leaves_the_screen_alone() {
        let (wake, _waker) = UnixStream::pair().expect("there are sockets");
        let interrupt = Interrupt { wake: Some(Arc::new(wake)), ..Interrupt::default() };
        let ended = interrupt.ending(|| panic!("nobody pressed it"), || 7);
        assert_eq!(ended.expect("there are sockets"), 7);
    }

    #[test]
    fn a_search_ends_at_the_record_at_which_it_is_pressed_and_gives_what_it_finds_else() {
        let interrupt = Interrupt::default();
        let search = |observe: &mut dyn FnMut(u64) -> ControlFlow<()>| {
            Ok((1..=9).all(|count| observe(count).is_continue()).then_some("found"))
        };
        assert_eq!(interrupt.searching(search).ok(), Some("found"));
        let pressed = interrupt.searching(|observe| {
            search(&mut |count| {
                if count == 5 {
                    interrupt.press();
                }
                observe(count)
            })
        });
        assert_eq!(pressed.expect_err("it was pressed").message, "interrupted after 5 records");
    }

    #[test]
    fn an_interrupt_says_how_far_the_command_came() {
        let interrupt = Interrupt::default();
        assert!(interrupt.check(7).is_ok());
        interrupt.press();
        let failure = interrupt.check(7).expect_err("it was pressed");
        assert_eq!(failure.message, "interrupted after 7 records");
        interrupt.clear();
        assert!(!interrupt.is_set());
    }
}
