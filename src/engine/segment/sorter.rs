//! From records in file order to rows in key order.

use std::cmp::Reverse;

use super::rows::Rows;
use super::{Home, Scanned};
use crate::engine::format::hint::{ROW_LEN, Row};
use crate::engine::format::record::Kind;
use crate::engine::location::Seqno;
use crate::error::Damage;

/// Collects records in file order. Takes 40 bytes of memory a record, and the keys.
#[derive(Debug, Default)]
pub(crate) struct Sorter {
    keys: Vec<u8>,
    entries: Vec<Entry>,
    record_count: u32,
    last_seq: Seqno,
}

#[derive(Debug)]
struct Entry {
    /// The key's first eight bytes, as a number: most comparisons look no farther.
    prefix: u64,
    key_at: usize,
    key_len: u16,
    row: [u8; ROW_LEN],
}

/// The records of a segment, sorted.
#[derive(Debug)]
pub(crate) struct Sorted {
    /// A row for each put and delete.
    pub(crate) rows: Rows,
    /// Records of every kind.
    pub(crate) record_count: u32,
    /// The number of the newest.
    pub(crate) last_seq: Seqno,
}

impl Sorter {
    /// Adds a record that was scanned. A damaged one stands for the key it shows: asking for that key is then an error,
    /// and not an older value.
    pub(crate) fn add_scanned(&mut self, home: &Home, record: &Scanned<'_>) {
        let kind = match (record.header.kind(), &record.damage) {
            // Out of order it says nothing of what is newest.
            (_, Some(Damage::Order { .. })) => return self.skip(Seqno(0)),
            // A tombstone whose key cannot be trusted neither hides a key nor lets it pass for alive.
            (Kind::Delete, Some(_)) => Kind::Put,
            (kind, _) => kind,
        };
        let row = Row {
            hash: home.hash(record.key()),
            at: record.at,
            len: record.frame.len,
            is_tombstone: kind == Kind::Delete,
        };
        match kind {
            Kind::Put | Kind::Delete => self.add(record.key(), row, record.header.seq),
            Kind::Other(_) => self.skip(record.header.seq),
        }
    }

    /// Counts a record that is about no key.
    pub(crate) fn skip(&mut self, seq: Seqno) {
        self.record_count += 1;
        self.last_seq = self.last_seq.max(seq);
    }

    /// Adds the row of a record of `key`, behind those added before.
    pub(crate) fn add(&mut self, key: &[u8], row: Row, seq: Seqno) {
        self.skip(seq);
        let mut prefix = [0; 8];
        for (to, from) in prefix.iter_mut().zip(key) {
            *to = *from;
        }
        self.entries.push(Entry {
            prefix: u64::from_be_bytes(prefix),
            key_at: self.keys.len(),
            key_len: key.len() as u16,
            row: row.encode(),
        });
        self.keys.extend_from_slice(key);
    }

    /// The rows, by key and the newest of a key first.
    pub(crate) fn finish(self) -> Sorted {
        let Self { keys, mut entries, record_count, last_seq } = self;
        let key = |entry: &Entry| &keys[entry.key_at..][..entry.key_len.into()];
        // Keys are kept in file order, so that the later record of a key has the later place.
        entries.sort_unstable_by(|a, b| {
            let by_prefix = a.prefix.cmp(&b.prefix);
            by_prefix.then_with(|| key(a).cmp(key(b))).then_with(|| Reverse(a.key_at).cmp(&Reverse(b.key_at)))
        });
        let bytes = entries.iter().flat_map(|entry| entry.row).collect();
        Sorted { rows: Rows::of_bytes(bytes), record_count, last_seq }
    }
}
