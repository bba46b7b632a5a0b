//! Ctrl-C: a flag that long commands look at between records.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::failure::Failure;

/// Whether Ctrl-C was pressed since the command began.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A flag that SIGINT sets from now on, in place of ending the process in the middle of a write.
    pub fn install() -> io::Result<Self> {
        let flag = Self::default();
        signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&flag.0))?;
        Ok(flag)
    }

    /// Forgets a Ctrl-C that came before the command that starts now.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether it was pressed.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
        interrupt.0.store(true, Ordering::Relaxed);
        let failure = interrupt.check(7).expect_err("it was pressed");
        assert_eq!(failure.message, "interrupted after 7 records");
        interrupt.clear();
        assert!(!interrupt.is_set());
    }
}
