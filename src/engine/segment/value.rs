//! Bytes, and what keeps them alive.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::engine::fs::Mapping;

/// A value (or a key) as it was read: derefs to its bytes.
///
/// Read from a mapped segment it is those very bytes, not a copy, and it keeps the mapping alive: a segment
/// that was compacted away is given back to the file system only when the last `Value` from it is dropped. Copy
/// what is kept for long ([`Value::to_vec`](slice::to_vec)). Values from mapped segments start on 8-byte boundaries. A
/// value that was stored compressed ([`Compression`](crate::Compression)) is a copy.
#[derive(Clone)]
pub struct Value(Bytes);

#[derive(Clone)]
enum Bytes {
    Mapped { mapping: Mapping, range: Range<usize> },
    Owned { buffer: Arc<Vec<u8>>, range: Range<usize> },
}

impl Value {
    /// The bytes `range` of `mapping`, which must be readable there.
    pub(crate) fn mapped(mapping: Mapping, range: Range<usize>) -> Self {
        Self(Bytes::Mapped { mapping, range })
    }

    /// The bytes `range` of `buffer`.
    pub(crate) fn owned(buffer: Arc<Vec<u8>>, range: Range<usize>) -> Self {
        Self(Bytes::Owned { buffer, range })
    }

    /// All of `bytes`.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self::owned(bytes.into(), range)
    }

    /// The bytes `range` of these, which must have them.
    pub(crate) fn part(&self, part: Range<usize>) -> Self {
        let within = |range: &Range<usize>| range.start + part.start..range.start + part.end;
        Self(match &self.0 {
            Bytes::Mapped { mapping, range } => {
                Bytes::Mapped { mapping: mapping.clone(), range: within(range) }
            }
            Bytes::Owned { buffer, range } => {
                Bytes::Owned { buffer: Arc::clone(buffer), range: within(range) }
            }
        })
    }

    /// Whether these are a segment's own bytes, not a copy.
    #[must_use]
    pub fn is_zero_copy(&self) -> bool {
        matches!(self.0, Bytes::Mapped { .. })
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped { mapping, range } => {
                mapping.bytes(range.clone()).expect("what was read once stays readable")
            }
            Bytes::Owned { buffer, range } => &buffer[range.clone()],
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq<[u8]> for Value {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl PartialEq<&[u8]> for Value {
    fn eq(&self, other: &&[u8]) -> bool {
        **self == **other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Value {
    fn eq(&self, other: &&[u8; N]) -> bool {
        **self == **other
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

/// By the bytes, as keys are ordered.
impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

/// As a byte string, so that an assertion that fails can be read.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}
