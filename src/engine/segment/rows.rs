//! Sorted rows: 16 bytes for each record of a segment, in (key, newest first) order. A row holds no
//! key.

use std::sync::Arc;

use super::value::Value;
use crate::engine::base::ids::Seqno;
use crate::engine::format::codec::Compressed;
use crate::engine::format::hint::{HintRow, ROW_LEN};

/// Rows of one segment in (key, newest first) order.
#[derive(Clone, Debug)]
pub(crate) struct SortedRows(Value);

impl SortedRows {
    pub(super) fn new(bytes: Value) -> Self {
        Self(bytes)
    }

    /// Returns the encoded rows, as in a hint.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len() / ROW_LEN
    }

    /// Returns row `index`, which must be less than [`SortedRows::len`].
    pub(crate) fn get(&self, index: usize) -> HintRow {
        HintRow::decode(&self.0[index * ROW_LEN..][..ROW_LEN])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = HintRow> + '_ {
        self.0.chunks_exact(ROW_LEN).map(HintRow::decode)
    }

    pub(super) fn of_bytes(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self(Value::owned(Arc::new(bytes), 0..len))
    }
}

/// All records of a segment, sorted.
#[derive(Debug)]
pub(crate) struct SortedRecords {
    /// A row for each put and delete.
    pub(crate) rows: SortedRows,
    /// The number of records of every kind.
    pub(crate) record_count: u32,
    /// The total lengths of compressed values.
    pub(crate) compressed: Compressed,
    /// The highest sequence number.
    pub(crate) last_seq: Seqno,
}
