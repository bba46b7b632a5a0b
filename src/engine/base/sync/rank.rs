//! The order in which a thread takes locks.

/// The rank of a lock. A thread takes a lock only if its rank is higher than that of each lock it
/// holds.
///
/// Two threads that took the same two locks in different orders could deadlock. Builds with debug
/// assertions panic at a wrong order. The ranks, lowest first:
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LockRank {
    /// The transaction lock (shared while a write is appended, exclusive during a transaction), and
    /// the lock of the one compaction that runs. The caller's code runs under these two and may use
    /// this store or another, so a thread that holds one of them may take another.
    Operation,
    /// The view of a read-only store, held while a refresh replaces it.
    View,
    /// KEYDIR, held while it is written: the file has one writer.
    Checkpoint,
    /// The log, held while records are staged, written and published, while a segment is sealed,
    /// and while a compaction replaces MANIFEST and then some slots at a time. Released during a
    /// shared sync.
    Log,
    /// A shard of KEYDIR, held while it is checked, and rebuilt from the segments if it is damaged.
    ShardCheck,
    /// The order of a segment, held while its hint is opened or its rows are sorted.
    SegmentOrder,
    /// The pool of open files.
    FilePool,
    /// A file of the pool, held while it is opened or closed.
    PooledFile,
    /// A lock held for a few instructions or one system call. No other lock is taken under it.
    Leaf,
}

#[cfg(all(debug_assertions, not(shuttle)))]
pub(super) use self::checked::{HeldRank, Rank};
#[cfg(not(all(debug_assertions, not(shuttle))))]
pub(super) use self::unchecked::{HeldRank, Rank};

#[cfg(all(debug_assertions, not(shuttle)))]
mod checked {
    use std::cell::RefCell;

    use super::LockRank;

    thread_local! {
        /// The ranks of the locks that this thread holds, in the order in which it took them.
        static HELD: RefCell<Vec<LockRank>> = const { RefCell::new(Vec::new()) };
    }

    /// The rank of one lock.
    #[derive(Debug)]
    pub(crate) struct Rank(LockRank);

    impl Rank {
        pub(crate) fn new(rank: LockRank) -> Self {
            Self(rank)
        }

        /// Checks the order, and counts the lock as held. Called before the thread waits for the
        /// lock: it panics where it would otherwise hang.
        pub(crate) fn take(&self) -> HeldRank {
            let Self(rank) = *self;
            HELD.with_borrow_mut(|held| {
                let is_in_order = |held: LockRank| held < rank || held == rank && rank == LockRank::Operation;
                if let Some(held) = held.iter().find(|&&held| !is_in_order(held)) {
                    panic!("a lock of rank {rank:?} is taken under one of rank {held:?}");
                }
                held.push(rank);
            });
            HeldRank(rank)
        }
    }

    /// The rank of a lock that this thread holds, until it is dropped.
    #[derive(Debug)]
    pub(crate) struct HeldRank(LockRank);

    impl Drop for HeldRank {
        fn drop(&mut self) {
            // Guards are dropped in any order. While a thread ends, the list may already be gone.
            let _ = HELD.try_with(|held| {
                let mut held = held.borrow_mut();
                if let Some(at) = held.iter().rposition(|rank| *rank == self.0) {
                    held.remove(at);
                }
            });
        }
    }
}

/// Ranks that take no space and no time. Shuttle runs all its threads in one system thread, so a
/// list per thread would mix them up.
#[cfg(not(all(debug_assertions, not(shuttle))))]
mod unchecked {
    use super::LockRank;

    #[derive(Debug)]
    pub(crate) struct Rank;

    impl Rank {
        pub(crate) fn new(_rank: LockRank) -> Self {
            Self
        }

        #[inline]
        pub(crate) fn take(&self) -> HeldRank {
            HeldRank
        }
    }

    #[derive(Debug)]
    pub(crate) struct HeldRank;
}
