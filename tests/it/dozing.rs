//! Threads that sleep at an arbitrary instruction, as on a busy machine.
#![expect(unsafe_code, reason = "there is no safe way to stop a thread where it stands")]

use std::sync::{Once, mpsc};
use std::thread::{Scope, ScopedJoinHandle};

/// Unused by others, and ignored by processes without a handler.
const SIGNAL: libc::c_int = libc::SIGURG;
/// Long enough for other threads to write, seal and compact.
const DOZE_NS: i64 = 15_000_000;

extern "C" fn doze(_signal: libc::c_int) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: DOZE_NS };
    // SAFETY: nanosleep is async-signal-safe, and `time` lives for the whole call.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}

/// Installs a handler that makes the signalled thread sleep.
fn prepare() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        let handler = doze as extern "C" fn(libc::c_int);
        // SAFETY: the handler touches only its own stack.
        let before = unsafe { libc::signal(SIGNAL, handler as libc::sighandler_t) };
        assert_ne!(before, libc::SIG_ERR, "no handler");
    });
}

/// A thread that a test can suspend.
pub(crate) struct Dozer<'scope> {
    thread: libc::pthread_t,
    /// Keeps the thread's id from being reused.
    _handle: ScopedJoinHandle<'scope, ()>,
}

impl<'scope> Dozer<'scope> {
    /// Runs `work` in a new thread.
    pub(crate) fn spawn(scope: &'scope Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> Self {
        prepare();
        let (sender, receiver) = mpsc::channel();
        let handle = scope.spawn(move || {
            // SAFETY: pthread_self has no preconditions.
            sender.send(unsafe { libc::pthread_self() }).expect("the spawner waits");
            work();
        });
        Self { thread: receiver.recv().expect("the thread sends its id"), _handle: handle }
    }

    /// Suspends the thread for some milliseconds, at any instruction.
    pub(crate) fn suspend(&self) {
        // SAFETY: `_handle` keeps the thread id valid, and a thread that has ended takes no signal.
        unsafe { libc::pthread_kill(self.thread, SIGNAL) };
    }
}
