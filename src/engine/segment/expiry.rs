//! The expiry of a segment's records, as far as it is known without reading them.

use std::sync::atomic::Ordering;

use crate::engine::base::sync::{AtomicBool, AtomicU64};

/// The expiry of the puts in a segment. The writer keeps it up to date. For a segment that was
/// opened, one scan of the record headers finds it when it is first needed.
#[derive(Debug)]
pub(crate) struct SegmentExpiry {
    /// Whether it covers all records.
    is_known: AtomicBool,
    /// The earliest expiry of a record, in milliseconds since 1970.
    first_ms: AtomicU64,
    /// The latest expiry, in milliseconds since 1970.
    last_ms: AtomicU64,
    /// Bytes of puts without expiry. Some may be counted twice.
    lasting_len: AtomicU64,
}

/// Expired records that the index still points to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) count: u64,
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
    /// Adds a put of `len` bytes.
    pub(crate) fn add(&self, len: u64, expires_ms: Option<u64>) {
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

    /// Returns whether it covers all records.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Acquire)
    }

    /// Declares that it covers all records, and that later ones will be added.
    pub(crate) fn set_known(&self) {
        self.is_known.store(true, Ordering::Release);
    }

    /// Returns whether it is known that no record of the segment expires.
    pub(crate) fn never_expires(&self) -> bool {
        self.is_known() && self.first_ms.load(Ordering::Relaxed) == u64::MAX
    }

    /// Returns whether a record may have expired at `by_ms`.
    pub(crate) fn may_expire_by(&self, by_ms: u64) -> bool {
        !self.is_known() || self.first_ms.load(Ordering::Relaxed) <= by_ms
    }

    /// Returns a lower bound for the bytes of live records that have expired at `by_ms`, if
    /// `live_len` bytes are live.
    pub(super) fn expired_len(&self, by_ms: u64, live_len: u64) -> u64 {
        if !self.is_known() || self.last_ms.load(Ordering::Relaxed) > by_ms {
            return 0;
        }
        // Every record with an expiry has expired. At most `lasting_len` of the live bytes have
        // none.
        live_len.saturating_sub(self.lasting_len.load(Ordering::Relaxed))
    }
}
