//! Values and keys that were read, as shared bytes.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::engine::fs::Mapping;

/// A value or key that was read. Dereferences to its bytes.
///
/// A value from a mapped segment is not a copy. It keeps the mapping alive: the file system frees a
/// compacted segment only after the last `Value` from it is dropped. Copy values that you keep for
/// long ([`Value::to_vec`](slice::to_vec)). Values from mapped segments start on 8-byte boundaries.
/// A value that was stored compressed ([`Compression`](crate::Compression)) is a copy.
#[derive(Clone)]
pub struct Value(ValueBytes);

#[derive(Clone)]
enum ValueBytes {
    Mapped { mapping: Mapping, range: Range<usize> },
    Owned { buffer: Arc<Vec<u8>>, range: Range<usize> },
}

impl Value {
    /// Returns the bytes `range` of `mapping`, which must be readable.
    pub(crate) fn mapped(mapping: Mapping, range: Range<usize>) -> Self {
        Self(ValueBytes::Mapped { mapping, range })
    }

    pub(crate) fn owned(buffer: Arc<Vec<u8>>, range: Range<usize>) -> Self {
        Self(ValueBytes::Owned { buffer, range })
    }

    /// Takes over `bytes`.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self::owned(bytes.into(), range)
    }

    /// Returns the bytes `part` of this value, which must include them.
    pub(crate) fn part(&self, part: Range<usize>) -> Self {
        let within = |range: &Range<usize>| range.start + part.start..range.start + part.end;
        Self(match &self.0 {
            ValueBytes::Mapped { mapping, range } => {
                ValueBytes::Mapped { mapping: mapping.clone(), range: within(range) }
            }
            ValueBytes::Owned { buffer, range } => {
                ValueBytes::Owned { buffer: Arc::clone(buffer), range: within(range) }
            }
        })
    }

    /// Returns whether the bytes are in the mapped segment and not a copy.
    #[must_use]
    pub fn is_zero_copy(&self) -> bool {
        matches!(self.0, ValueBytes::Mapped { .. })
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            ValueBytes::Mapped { mapping, range } => {
                mapping.bytes(range.clone()).expect("bytes that were readable once stay readable")
            }
            ValueBytes::Owned { buffer, range } => &buffer[range.clone()],
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

/// Compares bytes, as keys are ordered.
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

/// Prints a byte string, for readable assertions.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}
