//! Notification of changed files, so that a reader of changes need not poll.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// The interval at which [`Unwatched`] polls.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The length of the buffer for events, in bytes. It holds some hundred.
const EVENTS_LEN: usize = 8 << 10;

/// A source of notifications that files of a directory changed.
pub trait Watch: Send + Sync + fmt::Debug {
    /// Waits until files have changed or may have changed since the last call, or for `timeout`.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn wait(&mut self, timeout: Duration) -> io::Result<Changed>;
}

/// The changes of a directory, certain or possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Bytes of a file.
    pub bytes: bool,
    /// Names of files.
    pub names: bool,
}

impl Changed {
    /// All changes.
    pub const ALL: Self = Self { bytes: true, names: true };
}

/// Polling, for systems without notifications: every call reports that everything may have changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unwatched;

impl Watch for Unwatched {
    fn wait(&mut self, timeout: Duration) -> io::Result<Changed> {
        std::thread::sleep(timeout.min(LOOK_INTERVAL));
        Ok(Changed::ALL)
    }
}

/// inotify(7). It sleeps until a process writes.
#[derive(Debug)]
pub(super) struct Inotify(OwnedFd);

impl Inotify {
    /// Watches the open directory `directory`, also after it is renamed.
    pub(super) fn of(directory: &impl AsRawFd) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let changes = WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::CREATE;
        inotify::add_watch(&inotify, format!("/proc/self/fd/{}", directory.as_raw_fd()), changes)?;
        Ok(Self(inotify))
    }

    /// Returns the changes that have been reported.
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
        // Waits at most an hour, because `poll` refuses very long times.
        let deadline = Instant::now() + timeout.min(Duration::from_secs(3600));
        loop {
            let stirred = self.drain()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if stirred != Changed::default() || left.is_zero() {
                return Ok(stirred);
            }
            let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&left)) {
                // A signal may mean that the caller no longer waits.
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
    fn a_write_reports_bytes_a_new_file_reports_names_and_nothing_else_is_reported() {
        let dir = tempfile::tempdir().expect("the directory is created");
        let handle = std::fs::File::open(dir.path()).expect("the directory opens");
        let mut watch = Inotify::of(&handle).expect("the system has inotify");
        assert_eq!(watch.wait(Duration::ZERO).expect("the wait ends"), Changed::default());
        std::fs::write(dir.path().join("new"), "").expect("the file is created");
        assert!(watch.wait(LONG).expect("the wait ends").names);
        assert_eq!(watch.wait(Duration::ZERO).expect("the wait ends"), Changed::default());
        std::fs::write(dir.path().join("new"), "bytes").expect("the bytes are written");
        let for_ever = watch.wait(Duration::MAX).expect("the wait ends");
        assert_eq!(for_ever, Changed { bytes: true, names: false });
    }

    #[test]
    fn without_notifications_everything_may_have_changed() {
        assert_eq!(Unwatched.wait(Duration::ZERO).expect("the call sleeps"), Changed::ALL);
    }
}
