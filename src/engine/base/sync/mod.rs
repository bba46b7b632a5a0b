//! Locks, atomics and threads.

mod locks;
mod primitives;
mod rank;

pub(crate) use locks::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub(crate) use primitives::{ArcSwap, AtomicBool, AtomicU64, AtomicUsize, OnceLock, start_scoped, thread};
pub(crate) use rank::LockRank;
