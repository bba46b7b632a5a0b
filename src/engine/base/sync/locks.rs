//! Mutexes, read-write locks and condition variables whose order is checked.
//!
//! A panic under a lock does not poison it. It leaves no more half done than a crash would.

use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
use std::time::Duration;

use super::primitives;
use super::rank::{HeldRank, LockRank, Rank};

/// A lock that one thread holds at a time.
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    rank: Rank,
    lock: primitives::Mutex<T>,
}

/// A lock that one writer or many readers hold at a time.
#[derive(Debug)]
pub(crate) struct RwLock<T> {
    rank: Rank,
    lock: primitives::RwLock<T>,
}

/// A held lock, released on drop.
#[derive(Debug)]
pub(crate) struct Guard<G> {
    // Dropped first: the lock is released before its rank is.
    guard: G,
    held: HeldRank,
}

pub(crate) type MutexGuard<'a, T> = Guard<primitives::MutexGuard<'a, T>>;
pub(crate) type RwLockReadGuard<'a, T> = Guard<primitives::RwLockReadGuard<'a, T>>;
pub(crate) type RwLockWriteGuard<'a, T> = Guard<primitives::RwLockWriteGuard<'a, T>>;

impl<T> Mutex<T> {
    pub(crate) fn new(rank: LockRank, value: T) -> Self {
        Self { rank: Rank::new(rank), lock: primitives::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let held = self.rank.take();
        Guard { guard: unpoisoned(self.lock.lock()), held }
    }

    /// Takes the lock, or returns `None` if a thread holds it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let held = self.rank.take();
        free(self.lock.try_lock()).map(|guard| Guard { guard, held })
    }

    pub(crate) fn into_inner(self) -> T {
        unpoisoned(self.lock.into_inner())
    }
}

impl<T> RwLock<T> {
    pub(crate) fn new(rank: LockRank, value: T) -> Self {
        Self { rank: Rank::new(rank), lock: primitives::RwLock::new(value) }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        let held = self.rank.take();
        Guard { guard: unpoisoned(self.lock.read()), held }
    }

    /// Takes the lock for reading, or returns `None` if a writer holds it.
    pub(crate) fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let held = self.rank.take();
        free(self.lock.try_read()).map(|guard| Guard { guard, held })
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        let held = self.rank.take();
        Guard { guard: unpoisoned(self.lock.write()), held }
    }
}

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    #[inline]
    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    #[inline]
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

/// Lets threads wait until the value that a [`Mutex`] guards changes. A waiting thread keeps the
/// rank of the mutex, because it takes the mutex again before it continues.
#[derive(Debug, Default)]
pub(crate) struct Condvar(primitives::Condvar);

impl Condvar {
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<'a, T>(&self, mutex: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let Guard { guard, held } = mutex;
        Guard { guard: unpoisoned(self.0.wait(guard)), held }
    }

    pub(crate) fn wait_while<'a, T>(
        &self,
        mutex: MutexGuard<'a, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        let Guard { guard, held } = mutex;
        Guard { guard: unpoisoned(self.0.wait_while(guard, condition)), held }
    }

    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        mutex: MutexGuard<'a, T>,
        timeout: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        let Guard { guard, held } = mutex;
        let (guard, _) = unpoisoned(self.0.wait_timeout_while(guard, timeout, condition));
        Guard { guard, held }
    }
}

fn unpoisoned<G>(locked: LockResult<G>) -> G {
    locked.unwrap_or_else(PoisonError::into_inner)
}

/// Returns the guard, or `None` if another thread holds the lock.
fn free<G>(locked: TryLockResult<G>) -> Option<G> {
    match locked {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cfg(test)]
#[cfg(all(debug_assertions, not(shuttle)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn panics(act: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(act)).is_err()
    }

    #[test]
    fn a_lock_is_taken_only_under_locks_of_lower_rank() {
        let ranks = [LockRank::Operation, LockRank::Checkpoint, LockRank::Log, LockRank::Leaf];
        for (at, outer) in ranks.into_iter().enumerate() {
            for (inner_at, inner) in ranks.into_iter().enumerate() {
                let (outer_lock, inner_lock) = (Mutex::new(outer, ()), RwLock::new(inner, ()));
                let is_allowed = at < inner_at || outer == LockRank::Operation && inner == outer;
                let held = outer_lock.lock();
                assert_eq!(panics(|| drop(inner_lock.read())), !is_allowed, "{inner:?} under {outer:?}");
                assert_eq!(panics(|| drop(inner_lock.try_read())), !is_allowed, "{inner:?} under {outer:?}");
                drop(held);
                assert!(!panics(|| drop(inner_lock.write())), "{outer:?} is no longer held");
            }
        }
    }

    #[test]
    fn a_lock_that_is_not_the_last_one_taken_can_be_released_first() {
        let (checkpoint, log) = (Mutex::new(LockRank::Checkpoint, ()), Mutex::new(LockRank::Log, ()));
        let first = checkpoint.lock();
        let second = log.lock();
        drop(first);
        assert!(panics(|| drop(checkpoint.lock())), "the log is held");
        drop(second);
        assert!(!panics(|| drop(checkpoint.lock())));
    }

    #[test]
    fn a_panic_under_a_lock_does_not_poison_it() {
        let lock = Mutex::new(LockRank::Leaf, 7);
        assert!(panics(|| {
            let _held = lock.lock();
            panic!("under the lock");
        }));
        assert_eq!(lock.try_lock().map(|value| *value), Some(7));
    }
}
