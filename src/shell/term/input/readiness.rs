//! Reads that do not block.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether a read would block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// No: bytes are available, or the end is reached.
    Ready,
    /// Yes: the other end of the pipe has not written yet.
    Blocks,
}

/// Returns whether a read would block.
pub fn readiness(pollable: Option<&OwnedFd>) -> io::Result<Readiness> {
    let Some(fd) = pollable else { return Ok(Readiness::Ready) };
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&at_once))?;
    Ok(if ready == 0 { Readiness::Blocks } else { Readiness::Ready })
}

/// A reader that returns [`io::ErrorKind::WouldBlock`] instead of blocking.
pub struct NonBlocking {
    /// The reader below.
    pub source: Box<dyn Read>,
    /// The descriptor to poll, or `None` if a read never blocks.
    pub pollable: Option<OwnedFd>,
}

impl Read for NonBlocking {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if readiness(self.pollable.as_ref())? == Readiness::Blocks {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.source.read(bytes)
    }
}
