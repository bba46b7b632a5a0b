//! Layer 0: where threads meet — locks, atomics, and the threads themselves.
//!
//! These are the standard library's, and [`arc_swap`]'s. Built with `--cfg shuttle` they are those of
//! [shuttle](https://docs.rs/shuttle), whose scheduler runs one thread at a time, decides at each use which goes on, and
//! can try many such orders: the models of the tests run the same engine as everybody else.

#[cfg(not(shuttle))]
pub(crate) use self::real::*;
#[cfg(shuttle)]
pub(crate) use self::scheduled::*;

#[cfg(not(shuttle))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
    pub(crate) use std::thread;

    pub(crate) use arc_swap::ArcSwap;
}

#[cfg(shuttle)]
mod scheduled {
    use std::sync::Arc;
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
