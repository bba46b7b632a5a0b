//! Layer 1: writes that happen together.

/// An ordered list of puts and deletes that [`Store::write`](crate::Store::write) applies all at once or not at
/// all, also across a crash. The last operation on a key wins.
///
/// Whoever reads sees all of it or nothing: a scan, a snapshot, and one get after the other. A get that meets it while it
/// becomes visible waits for the rest, about 100 ns an operation.
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

/// Lengths of one operation's key and value, which follow each other in `Batch::bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    at: usize,
    key_len: usize,
    /// `None`: a delete.
    value_len: Option<usize>,
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
    },
    /// Removes `key`.
    Delete {
        /// The key.
        key: &'a [u8],
    },
}

impl<'a> Op<'a> {
    /// The key that the operation is about.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        match self {
            Op::Put { key, .. } | Op::Delete { key } => key,
        }
    }
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds "set `key` to `value`". Both are copied. Lengths are checked when the batch is written.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.add(key.as_ref(), Some(value.as_ref()))
    }

    /// Adds "remove `key`". Removing a key that is not there is no error, and writes nothing.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        self.add(key.as_ref(), None)
    }

    fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> &mut Self {
        self.ops.push(Span { at: self.bytes.len(), key_len: key.len(), value_len: value.map(<[u8]>::len) });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self
    }

    /// The number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Removes all operations and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ops.clear();
    }

    /// The operations, in the order they were added.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Op<'_>> + ExactSizeIterator + Clone {
        self.ops.iter().map(|span| {
            let (key, rest) = self.bytes[span.at..].split_at(span.key_len);
            span.value_len.map_or(Op::Delete { key }, |len| Op::Put { key, value: &rest[..len] })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_its_operations_in_order() {
        let mut batch = Batch::new();
        batch.put("a", "1").delete("b").put("", "");
        let ops: Vec<_> = batch.iter().collect();
        assert_eq!(
            ops,
            [Op::Put { key: b"a", value: b"1" }, Op::Delete { key: b"b" }, Op::Put { key: b"", value: b"" }]
        );
        batch.clear();
        assert!(batch.is_empty());
    }
}
