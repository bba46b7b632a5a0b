//! Clocks. The caller passes one in, so that tests can set the time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of the current time. Records are stamped with it, and keys expire by it.
///
/// The order of records does not depend on it (see [`Seqno`](crate::Seqno)), so a clock that steps
/// back changes no order.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the milliseconds since 1970-01-01T00:00:00Z. A store limits them to 2^48 - 1 (the
    /// year 10889), since a record has 48 bits for its time.
    fn now_ms(&self) -> u64;
}

/// The latest time that a record can hold.
const TIME_MS_MAX: u64 = (1 << 48) - 1;

/// A clock limited to the times that a record can hold.
#[derive(Debug)]
pub(crate) struct Bounded(pub(crate) Arc<dyn Clock>);

impl Clock for Bounded {
    fn now_ms(&self) -> u64 {
        self.0.now_ms().min(TIME_MS_MAX)
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        // A clock before 1970 shows 0, so that no write fails.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that the caller moves, for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Returns a clock that shows `now_ms`.
    #[must_use]
    pub fn at(now_ms: u64) -> Self {
        Self(AtomicU64::new(now_ms))
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }

    /// Moves the clock forward by `by_ms` milliseconds.
    pub fn advance(&self, by_ms: u64) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
