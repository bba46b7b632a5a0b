//! Ctrl-C: a flag that long commands look at between records, and a pipe that ends waits.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGXFSZ};
use signal_hook::flag::{register, register_conditional_shutdown};

use super::failure::Failure;
use super::tally::INTERRUPTED;

/// Whether Ctrl-C was pressed since the command began.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    is_set: Arc<AtomicBool>,
    /// Whether it ends the process at once.
    ends: Arc<AtomicBool>,
    /// Readable once it was pressed: a signal between a look at the flag and the wait after it would else be lost.
    wake: Option<Arc<UnixStream>>,
}

impl Interrupt {
    /// A flag that SIGINT sets from now on, in place of ending the process in the middle of a write.
    pub fn install() -> io::Result<Self> {
        let (is_set, ends) = (Arc::default(), Arc::default());
        register_conditional_shutdown(SIGINT, INTERRUPTED.into(), Arc::clone(&ends))?;
        register(SIGINT, Arc::clone(&is_set))?;
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(SIGINT, waker)?;
        // A file that reaches the limit of `ulimit -f` would end the process; now it is an error of the write.
        register(SIGXFSZ, Arc::default())?;
        Ok(Self { is_set, ends, wake: Some(Arc::new(wake)) })
    }

    /// Forgets a Ctrl-C that came before the command that starts now.
    pub fn clear(&self) {
        if let Some(wake) = &self.wake {
            let mut pressed = [0; 64];
            while matches!(wake.as_ref().read(&mut pressed), Ok(1..)) {}
        }
        self.is_set.store(false, Ordering::Relaxed);
    }

    /// What `run` returns, unless it is pressed meanwhile: that ends the process at once.
    pub fn ending<T>(&self, run: impl FnOnce() -> T) -> T {
        self.ends.store(true, Ordering::Relaxed);
        let result = run();
        self.ends.store(false, Ordering::Relaxed);
        result
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

    /// Fails when it was pressed; `count` records were done by then.
    pub fn check(&self, count: u64) -> Result<(), Failure> {
        if self.is_set() { Err(Failure::interrupted_after(count)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
