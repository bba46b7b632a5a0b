//! The locks, atomics and threads of the standard library, and their replacements in some tests.
//!
//! Built with `--cfg shuttle`, they are those of [shuttle](https://docs.rs/shuttle). Its scheduler
//! runs one thread at a time, chooses the next one at each use of a lock or an atomic, and tries
//! many orders.
//!
//! Built with `--cfg tsan`, the locks are those of [parking_lot](https://docs.rs/parking_lot), with
//! the signatures of the standard library. ThreadSanitizer sees only code that was compiled for it.
//! The standard library was not, so using its locks would cause false alarms.

#[cfg(tsan)]
pub(crate) use self::instrumented::*;
#[cfg(not(any(shuttle, tsan)))]
pub(crate) use self::real::*;
#[cfg(shuttle)]
pub(crate) use self::scheduled::*;

/// Starts a thread of `scope`. Returns an error if the system refuses it, where `Scope::spawn`
/// panics.
#[cfg(not(shuttle))]
pub(crate) fn start_scoped<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> std::io::Result<thread::ScopedJoinHandle<'scope, T>> {
    thread::Builder::new().spawn_scoped(scope, work)
}

/// Starts a thread of `scope`. Shuttle never refuses one.
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

    /// An atomic pointer. Shuttle may switch threads before each use of it.
    #[derive(Debug, Default)]
    pub(crate) struct ArcSwap<T> {
        pointer: arc_swap::ArcSwap<T>,
        uses: AtomicUsize,
    }

    impl<T> ArcSwap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self { pointer: arc_swap::ArcSwap::new(value), uses: AtomicUsize::new(0) }
        }

        fn switch(&self) -> &arc_swap::ArcSwap<T> {
            self.uses.fetch_add(1, Ordering::SeqCst);
            &self.pointer
        }

        pub(crate) fn load(&self) -> arc_swap::Guard<Arc<T>> {
            self.switch().load()
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            self.switch().load_full()
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            self.switch().store(value);
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

    /// A mutex that is never poisoned.
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

    /// A read-write lock that is never poisoned.
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

    /// The condition variable of [`Mutex`].
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
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
