//! Threads that are put off in the middle of whatever they do, as a busy machine does it once in a while: here at will.
#![expect(unsafe_code, reason = "there is no safe way to stop a thread where it stands")]

use std::sync::{Once, mpsc};
use std::thread::{Scope, ScopedJoinHandle};

/// Nobody else uses it, and who has no handler for it ignores it.
const SIGNAL: libc::c_int = libc::SIGURG;
/// Long enough for others to write, seal and compact.
const DOZE_NS: i64 = 15_000_000;

extern "C" fn doze(_signal: libc::c_int) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: DOZE_NS };
    // SAFETY: a signal handler may call it, and `time` is there as long as it takes.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}

/// Has threads that get the signal sleep where they are.
fn prepare() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        let handler = doze as extern "C" fn(libc::c_int);
        // SAFETY: the handler touches nothing but its own stack.
        let before = unsafe { libc::signal(SIGNAL, handler as libc::sighandler_t) };
        assert_ne!(before, libc::SIG_ERR, "no handler");
    });
}

/// A thread that can be put off.
pub(crate) struct Dozer<'scope> {
    thread: libc::pthread_t,
    /// Held: as long as it is, the thread's number is not another's.
    _handle: ScopedJoinHandle<'scope, ()>,
}

impl<'scope> Dozer<'scope> {
    /// Does `work` in a thread of its own.
    pub(crate) fn spawn(scope: &'scope Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> Self {
        prepare();
        let (tell, told) = mpsc::channel();
        let handle = scope.spawn(move || {
            // SAFETY: it only asks.
            tell.send(unsafe { libc::pthread_self() }).expect("who spawned it waits for it");
            work();
        });
        Self { thread: told.recv().expect("it begins with this"), _handle: handle }
    }

    /// Puts the thread off for some milliseconds, at whatever instruction it is.
    pub(crate) fn put_off(&self) {
        // SAFETY: the thread has not been let go, as its handle is held; one that has ended takes no signal.
        unsafe { libc::pthread_kill(self.thread, SIGNAL) };
    }
}
