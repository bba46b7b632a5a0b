//! Whether a read has to wait for the other end of a pipe.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether a read would have to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// There is something to read, or the end.
    Ready,
    /// The other end of the pipe has not written yet.
    Waits,
}

/// Whether a read would have to wait.
pub fn readiness(pollable: Option<&OwnedFd>) -> io::Result<Readiness> {
    let Some(fd) = pollable else { return Ok(Readiness::Ready) };
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&at_once))?;
    Ok(if ready == 0 { Readiness::Waits } else { Readiness::Ready })
}

/// A source that has to wait, and says so.
pub struct Unwaiting {
    /// What is read.
    pub source: Box<dyn Read>,
    /// What to ask whether a read would wait; `None` for what never does.
    pub pollable: Option<OwnedFd>,
}

impl Read for Unwaiting {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if readiness(self.pollable.as_ref())? == Readiness::Waits {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.source.read(bytes)
    }
}
