//! SortedRows: 16 bytes for each record of a segment, in (key, newest first) order, and the search in them.
//!
//! A row holds no key: the record does. So a search reads records, and goes around those that are damaged.

use std::sync::Arc;

use super::value::Value;
use crate::engine::base::ids::Seqno;
use crate::engine::format::codec::Compressed;
use crate::engine::format::hint::{ROW_LEN, Row};

/// SortedRows of one segment in (key, newest first) order.
#[derive(Clone, Debug)]
pub(crate) struct SortedRows(Value);

impl SortedRows {
    /// The rows in `bytes`.
    pub(super) fn new(bytes: Value) -> Self {
        Self(bytes)
    }

    /// All of them as they stand in a hint.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len() / ROW_LEN
    }

    /// Row number `index`, which is less than [`SortedRows::len`].
    pub(crate) fn get(&self, index: usize) -> Row {
        Row::decode(&self.0[index * ROW_LEN..][..ROW_LEN])
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.0.chunks_exact(ROW_LEN).map(Row::decode)
    }

    /// The rows in `bytes`, which become the rows' own.
    pub(super) fn of_bytes(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self(Value::owned(Arc::new(bytes), 0..len))
    }
}

/// The records of a segment, sorted.
#[derive(Debug)]
pub(crate) struct SortedRecords {
    /// A row for each put and delete.
    pub(crate) rows: SortedRows,
    /// Records of every kind.
    pub(crate) record_count: u32,
    /// What the values come to that are compressed.
    pub(crate) compressed: Compressed,
    /// The number of the newest.
    pub(crate) last_seq: Seqno,
}
