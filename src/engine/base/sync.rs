//! Where threads meet — locks, atomics, and the threads themselves.
//!
//! These are the standard library's, and [`arc_swap`]'s. Built with `--cfg shuttle` they are those of
//! [shuttle](https://docs.rs/shuttle), whose scheduler runs one thread at a time, decides at each use which goes on, and
//! can try many such orders: the models of the tests run the same engine as everybody else.
//!
//! Built with `--cfg tsan` the locks are those of [parking_lot](https://docs.rs/parking_lot), under the standard library's
//! signatures. ThreadSanitizer knows an order between threads only from code that was compiled for it, and the standard
//! library was not: each lock that one thread waited for would be a false alarm. parking_lot is compiled with the engine.

#[cfg(tsan)]
pub(crate) use self::instrumented::*;
#[cfg(not(any(shuttle, tsan)))]
pub(crate) use self::real::*;
#[cfg(shuttle)]
pub(crate) use self::scheduled::*;

/// Starts a thread of `scope`. `Scope::spawn` panics if the system refuses a thread; this returns
/// an error.
///
/// # Errors
/// What the operating system says.
#[cfg(not(shuttle))]
pub(crate) fn start_scoped<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> std::io::Result<thread::ScopedJoinHandle<'scope, T>> {
    thread::Builder::new().spawn_scoped(scope, work)
}

/// Starts a thread of `scope`: shuttle never refuses one.
#[cfg(shuttle)]
pub(crate) fn start_scoped<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> std::io::Result<thread::ScopedJoinHandle<'scope, T>> {
    Ok(scope.spawn(work))
}

#[cfg(not(any(shuttle, tsan)))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    pub(crate) use std::sync::{
        Condvar, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard,
    };
    pub(crate) use std::thread;

    pub(crate) use arc_swap::ArcSwap;
}

#[cfg(shuttle)]
mod scheduled {
    use std::sync::Arc;
    pub(crate) use std::sync::OnceLock;
    use std::sync::atomic::Ordering;

    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
    pub(crate) use shuttle::thread;

    /// A pointer that is swapped whole. Another thread may come before each use of it.
    #[derive(Debug, Default)]
    pub(crate) struct ArcSwap<T> {
        pointer: arc_swap::ArcSwap<T>,
        uses: AtomicUsize,
    }

    impl<T> ArcSwap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self { pointer: arc_swap::ArcSwap::new(value), uses: AtomicUsize::new(0) }
        }

        fn meet(&self) -> &arc_swap::ArcSwap<T> {
            self.uses.fetch_add(1, Ordering::SeqCst);
            &self.pointer
        }

        pub(crate) fn load(&self) -> arc_swap::Guard<Arc<T>> {
            self.meet().load()
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            self.meet().load_full()
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            self.meet().store(value);
        }
    }
}

#[cfg(tsan)]
mod instrumented {
    use std::sync::{LockResult, TryLockError, TryLockResult};
    use std::time::Duration;

    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    pub(crate) use std::thread;

    pub(crate) use arc_swap::ArcSwap;
    pub(crate) use once_cell::sync::OnceCell as OnceLock;
    pub(crate) use parking_lot::{MutexGuard, RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult};

    /// A lock of one thread. Never poisoned: the engine goes on after a panic as if it were not, too.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            Ok(self.0.lock())
        }

        pub(crate) fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
            self.0.try_lock().ok_or(TryLockError::WouldBlock)
        }

        pub(crate) fn into_inner(self) -> LockResult<T> {
            Ok(self.0.into_inner())
        }
    }

    /// A lock of one writer or many readers.
    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(parking_lot::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(parking_lot::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
            Ok(self.0.read())
        }

        pub(crate) fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
            self.0.try_read().ok_or(TryLockError::WouldBlock)
        }

        pub(crate) fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
            Ok(self.0.write())
        }
    }

    /// What threads that hold a lock wait for.
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
            self.0.wait(&mut guard);
            Ok(guard)
        }

        pub(crate) fn wait_while<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            condition: impl FnMut(&mut T) -> bool,
        ) -> LockResult<MutexGuard<'a, T>> {
            self.0.wait_while(&mut guard, condition);
            Ok(guard)
        }

        pub(crate) fn wait_timeout_while<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            timeout: Duration,
            condition: impl FnMut(&mut T) -> bool,
        ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
            let waited = self.0.wait_while_for(&mut guard, condition, timeout);
            Ok((guard, waited))
        }
    }
}
