//! Closes the store if a signal ends the session while a command is blocked, for example on a pipe
//! or a pager.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use std::{process, thread};

use logkv::Store;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// The time in which a command can finish by itself.
const GRACE: Duration = Duration::from_secs(3);

/// The store to close if the session does not close it.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard(Arc<(Mutex<Held>, Condvar)>);

#[derive(Debug, Default)]
enum Held {
    /// No store is open.
    #[default]
    Nothing,
    Store(Store),
    /// The session closes its store itself.
    Released,
}

impl Guard {
    pub(super) fn hold(&self, store: Store) {
        self.set(Held::Store(store));
    }

    pub(super) fn release(&self) {
        self.set(Held::Released);
    }

    fn set(&self, held: Held) {
        let (mutex, changed) = &*self.0;
        *mutex.lock().unwrap_or_else(PoisonError::into_inner) = held;
        changed.notify_all();
    }

    /// Starts a thread that waits until `ending` is readable. If the session does not end within
    /// [`GRACE`], the thread ends the process with `code`. Returns `false` if the thread cannot be
    /// started.
    pub(super) fn watch(&self, ending: UnixStream, code: impl Fn() -> u8 + Send + 'static) -> bool {
        let guard = self.clone();
        let watch = move || {
            wait_for(&ending);
            guard.end(code);
        };
        thread::Builder::new().name("logkv-signals".to_owned()).spawn(watch).is_ok()
    }

    fn end(&self, code: impl Fn() -> u8) {
        let (mutex, changed) = &*self.0;
        let held = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        let is_busy = |held: &mut Held| !matches!(held, Held::Released);
        let waited = changed.wait_timeout_while(held, GRACE, is_busy);
        let (mut held, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let code = match std::mem::replace(&mut *held, Held::Released) {
            Held::Released => return,
            Held::Nothing => code(),
            Held::Store(store) => store.close().map_or(1, |()| code()),
        };
        process::exit(code.into());
    }
}

/// Waits until `stream` is readable or closed.
fn wait_for(stream: &UnixStream) {
    while matches!(poll(&mut [PollFd::new(stream, PollFlags::IN)], None), Err(Errno::INTR)) {}
}
