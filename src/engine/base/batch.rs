//! Batches of operations, and expiry times.

use std::time::Duration;

/// An ordered list of puts and deletes that [`Store::write`](crate::Store::write) applies
/// atomically, also across a crash. The last operation on a key wins.
///
/// A reader sees all of a batch or none of it: in a scan, in a snapshot, and across successive
/// gets. A get that runs while a batch is published waits for the rest of it.
///
/// ```
/// let mut batch = logkv::Batch::new();
/// batch.put("account:1", "90").put("account:2", "110").delete("transfer:7");
/// assert_eq!(batch.len(), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    bytes: Vec<u8>,
    ops: Vec<Span>,
}

/// The position of an operation's key in `Batch::bytes`. Its value follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    at: usize,
    key_len: usize,
    /// `None` for a delete.
    put: Option<PutSpan>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PutSpan {
    value_len: usize,
    expiry: Option<Expiry>,
}

/// The time when a key expires. From then on the key is missing.
///
/// ```
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = logkv::Store::open(dir.path())?;
/// use logkv::{Batch, Expiry};
/// let mut batch = Batch::new();
/// batch.put_expiring("session:7", "alice", Expiry::In(Duration::from_secs(600)));
/// batch.put_expiring("offer", "half price", Expiry::At(4_102_444_800_000));
/// store.write(&batch)?;
/// assert!(store.contains("offer")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// This long after the write, by the store's clock. Fractions of a millisecond are dropped.
    ///
    /// The key never lives longer than that. It may live shorter if the clock is set back: a key is
    /// expired at once if its expiry is before the latest time that the clock has shown
    /// ([`Store::now_ms`](crate::Store::now_ms)). This keeps expired keys from returning.
    In(Duration),
    /// This time, in milliseconds since 1970.
    At(u64),
}

impl Expiry {
    /// The latest time at which a key can expire, in milliseconds since 1970: 2^53 - 1, which JSON
    /// and a 64-bit float hold exactly. A write with a later time fails with
    /// [`Error::ExpiryTooLate`](crate::Error::ExpiryTooLate).
    pub const AT_MS_MAX: u64 = (1 << 53) - 1;

    /// Returns the expiry of a write at `now_ms`, in milliseconds since 1970. It may be later than
    /// [`Expiry::AT_MS_MAX`].
    #[must_use]
    pub fn at_ms(self, now_ms: u64) -> u64 {
        match self {
            Self::In(duration) => {
                now_ms.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
            }
            Self::At(at_ms) => at_ms,
        }
    }
}

/// One operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Sets `key` to `value`.
    Put {
        /// The key, 1 to 65,535 bytes.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// The expiry; `None` means never.
        expiry: Option<Expiry>,
    },
    /// Removes `key`.
    Delete {
        /// The key.
        key: &'a [u8],
    },
}

impl<'a> Op<'a> {
    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        match self {
            Op::Put { key, .. } | Op::Delete { key } => key,
        }
    }

    /// Returns the value of a put; empty for a delete.
    pub(crate) fn value(&self) -> &'a [u8] {
        match self {
            Op::Put { value, .. } => value,
            Op::Delete { .. } => &[],
        }
    }

    /// Returns the expiry of a put, if it has one.
    pub(crate) fn expiry(&self) -> Option<Expiry> {
        match self {
            Op::Put { expiry, .. } => *expiry,
            Op::Delete { .. } => None,
        }
    }
}

impl Batch {
    /// Returns an empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put of `value` at `key`. Both are copied. [`Store::write`](crate::Store::write)
    /// checks their lengths.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.add(key.as_ref(), value.as_ref(), Some(None))
    }

    /// Adds a put of `value` at `key` that expires at `expiry`.
    pub fn put_expiring(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expiry: Expiry,
    ) -> &mut Self {
        self.add(key.as_ref(), value.as_ref(), Some(Some(expiry)))
    }

    /// Adds a delete of `key`. Deleting a missing key is not an error and writes nothing.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        self.add(key.as_ref(), &[], None)
    }

    /// Adds an operation. `put` is the expiry of a put, or `None` for a delete.
    fn add(&mut self, key: &[u8], value: &[u8], put: Option<Option<Expiry>>) -> &mut Self {
        let put = put.map(|expiry| PutSpan { value_len: value.len(), expiry });
        self.ops.push(Span { at: self.bytes.len(), key_len: key.len(), put });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self
    }

    /// Returns the number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Returns whether the batch has no operations.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Removes all operations. The batch keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ops.clear();
    }

    /// Returns the operations in the order in which they were added.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Op<'_>> + ExactSizeIterator + Clone {
        self.ops.iter().map(|span| {
            let (key, rest) = self.bytes[span.at..].split_at(span.key_len);
            span.put.map_or(Op::Delete { key }, |PutSpan { value_len, expiry }| Op::Put {
                key,
                value: &rest[..value_len],
                expiry,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_returns_its_operations_in_order() {
        let mut batch = Batch::new();
        let expiry = Expiry::At(7);
        batch.put("a", "1").delete("b").put_expiring("", "", expiry);
        let ops: Vec<_> = batch.iter().collect();
        let put = |key, value, expiry| Op::Put { key, value, expiry };
        assert_eq!(
            ops,
            [put(&b"a"[..], &b"1"[..], None), Op::Delete { key: b"b" }, put(b"", b"", Some(expiry))]
        );
        batch.clear();
        assert!(batch.is_empty());
    }
}
