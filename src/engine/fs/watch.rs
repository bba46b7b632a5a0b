//! Being told that files change, in place of asking again and again.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// How often a [`Watch`] looks that nobody tells.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// What the system tells is read in pieces of this many bytes: some hundred changes.
const EVENTS_LEN: usize = 8 << 10;

/// Tells when the files of a directory change.
pub trait Watch: Send + Sync + fmt::Debug {
    /// Waits until something has changed since the last call (or since the watch was made), or may have, or for `timeout`.
    ///
    /// # Errors
    /// What the operating system says.
    fn wait(&mut self, timeout: Duration) -> io::Result<Changed>;
}

/// What has changed, or may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Bytes of a file.
    pub bytes: bool,
    /// Which files there are.
    pub names: bool,
}

impl Changed {
    /// All of it.
    pub const ALL: Self = Self { bytes: true, names: true };
}

/// For a system that tells nothing: whatever there is may have changed, fifty times a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unwatched;

impl Watch for Unwatched {
    fn wait(&mut self, timeout: Duration) -> io::Result<Changed> {
        std::thread::sleep(timeout.min(LOOK_INTERVAL));
        Ok(Changed::ALL)
    }
}

/// inotify(7), which sleeps until another process (or this one) writes.
#[derive(Debug)]
pub(super) struct Inotify(OwnedFd);

impl Inotify {
    /// Watches the directory that is open as `directory`, whatever its name is or becomes.
    pub(super) fn of(directory: &impl AsRawFd) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let changes = WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::CREATE;
        inotify::add_watch(&inotify, format!("/proc/self/fd/{}", directory.as_raw_fd()), changes)?;
        Ok(Self(inotify))
    }

    /// Takes what has been told so far.
    fn drain(&self) -> io::Result<Changed> {
        let mut buffer = [MaybeUninit::uninit(); EVENTS_LEN];
        let mut reader = Reader::new(self.0.as_fd(), &mut buffer);
        let mut stirred = Changed::default();
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::MODIFY) => stirred.bytes = true,
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => stirred = Changed::ALL,
                Ok(_) => stirred.names = true,
                Err(Errno::AGAIN) => return Ok(stirred),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Watch for Inotify {
    fn wait(&mut self, timeout: Duration) -> io::Result<Changed> {
        // So long that nobody lives to see its end is an hour at a time.
        let deadline = Instant::now() + timeout.min(Duration::from_secs(3600));
        loop {
            let stirred = self.drain()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if stirred != Changed::default() || left.is_zero() {
                return Ok(stirred);
            }
            let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&left)) {
                // A signal may mean that nobody waits any more.
                Err(Errno::INTR) => return Ok(Changed::default()),
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_write_stirs_bytes_and_a_new_name_stirs_names_and_nothing_stirs_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let handle = std::fs::File::open(dir.path()).expect("it opens");
        let mut watch = Inotify::of(&handle).expect("the system tells");
        assert_eq!(watch.wait(Duration::ZERO).expect("waits"), Changed::default());
        std::fs::write(dir.path().join("new"), "").expect("a file");
        assert!(watch.wait(LONG).expect("waits").names);
        assert_eq!(watch.wait(Duration::ZERO).expect("waits"), Changed::default());
        std::fs::write(dir.path().join("new"), "bytes").expect("bytes");
        let for_ever = watch.wait(Duration::MAX).expect("waits");
        assert_eq!(for_ever, Changed { bytes: true, names: false });
    }

    #[test]
    fn who_is_told_nothing_looks_at_everything() {
        assert_eq!(Unwatched.wait(Duration::ZERO).expect("sleeps"), Changed::ALL);
    }
}
