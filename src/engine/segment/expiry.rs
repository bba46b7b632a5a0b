//! When a segment's records expire, as far as that is known without reading them.

use std::sync::atomic::Ordering;

use crate::engine::base::sync::{AtomicBool, AtomicU64};

/// When the puts in a segment expire. Who appends to it takes note; of a segment that was opened, who has to know looks at
/// the headers of its records, once.
#[derive(Debug)]
pub(crate) struct SegmentExpiry {
    /// Whether all of its records were taken note of.
    is_known: AtomicBool,
    /// The earliest time at which one expires, in milliseconds since 1970.
    first_ms: AtomicU64,
    /// The latest.
    last_ms: AtomicU64,
    /// Bytes of puts that never expire; some may be counted twice.
    lasting_len: AtomicU64,
}

/// Records that have expired and that the index still points to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) count: u64,
    /// Bytes of them.
    pub(crate) len: u64,
}

impl Default for SegmentExpiry {
    fn default() -> Self {
        Self {
            is_known: AtomicBool::new(false),
            first_ms: AtomicU64::new(u64::MAX),
            last_ms: AtomicU64::new(0),
            lasting_len: AtomicU64::new(0),
        }
    }
}

impl SegmentExpiry {
    /// Takes note of a put of `len` bytes.
    pub(crate) fn note(&self, len: u64, expires_ms: Option<u64>) {
        match expires_ms {
            Some(expires_ms) => {
                self.first_ms.fetch_min(expires_ms, Ordering::Relaxed);
                self.last_ms.fetch_max(expires_ms, Ordering::Relaxed);
            }
            None => {
                self.lasting_len.fetch_add(len, Ordering::Relaxed);
            }
        }
    }

    /// Whether all of its records were taken note of.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Acquire)
    }

    /// Says that all of its records were taken note of, and that those to come will be.
    pub(crate) fn set_known(&self) {
        self.is_known.store(true, Ordering::Release);
    }

    /// Whether it is known that none of its records expires.
    pub(crate) fn are_endless(&self) -> bool {
        self.is_known() && self.first_ms.load(Ordering::Relaxed) == u64::MAX
    }

    /// Whether one of its records may have expired by then.
    pub(crate) fn may_end_by(&self, by_ms: u64) -> bool {
        !self.is_known() || self.first_ms.load(Ordering::Relaxed) <= by_ms
    }

    /// Bytes of records that have expired by then, at least, if `live_len` bytes are live.
    pub(super) fn expired_len(&self, by_ms: u64, live_len: u64) -> u64 {
        if !self.is_known() || self.last_ms.load(Ordering::Relaxed) > by_ms {
            return 0;
        }
        // All that expires has: what is live beyond those that never do.
        live_len.saturating_sub(self.lasting_len.load(Ordering::Relaxed))
    }
}
