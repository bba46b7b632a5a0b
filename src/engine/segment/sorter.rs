//! Sorts records from file order into key order.

use super::read::Record;
use super::rows::{SortedRecords, SortedRows};
use super::scan::Scanned;
use super::store_context::StoreContext;
use crate::engine::base::error::Damage;
use crate::engine::base::ids::Seqno;
use crate::engine::format::codec::Compressed;
use crate::engine::format::hint::{HintRow, ROW_LEN};
use crate::engine::format::record::Kind;

/// Collects records in file order. Takes 20 bytes of memory per record plus the keys.
/// [`Sorter::finish`] takes 36 plus the keys, then frees the keys and takes 48.
#[derive(Debug, Default)]
pub(crate) struct Sorter {
    keys: Vec<u8>,
    /// The end of each key in `keys`. A segment has less than 4 GiB.
    ends: Vec<u32>,
    /// Encoded rows in file order.
    rows: Vec<u8>,
    /// The length of the prefix that all keys share. Many stores put a tenant or a type there.
    common_len: usize,
    record_count: u32,
    compressed: Compressed,
    last_seq: Seqno,
}

#[derive(Debug)]
struct SortEntry {
    /// The first eight bytes of the key after the shared prefix. Most comparisons need no more.
    prefix: u64,
    index: u32,
}

impl Sorter {
    /// Adds a scanned record. A damaged one counts for the key that it shows: a read of that key
    /// must fail rather than return an older value.
    pub(crate) fn add_scanned(&mut self, context: &StoreContext, record: &Scanned<'_>) {
        let kind = match (record.header.kind(), &record.damage) {
            // A record out of order does not show whether it is the newest.
            (_, Some(Damage::Order { .. })) => return self.skip(Seqno(0)),
            // The key of a damaged tombstone is not certain. The record must neither hide a key nor
            // seem alive.
            (Kind::Delete, Some(_)) => Kind::Put,
            (kind, _) => kind,
        };
        let row = HintRow {
            hash: context.hash(record.key()),
            at: record.at,
            len: record.frame.len,
            is_tombstone: kind == Kind::Delete,
        };
        if record.damage.is_none() {
            self.count(record.compressed());
        }
        match kind {
            Kind::Put | Kind::Delete => self.add(record.key(), row, record.header.seq),
            Kind::Other(_) => self.skip(record.header.seq),
        }
    }

    /// Adds an intact record.
    pub(crate) fn add_read(&mut self, context: &StoreContext, record: &Record) {
        let key = record.key();
        let kind = record.header.kind();
        let row = HintRow {
            hash: context.hash(&key),
            at: record.location.offset,
            len: record.frame.len,
            is_tombstone: kind == Kind::Delete,
        };
        self.count(record.compressed());
        match kind {
            Kind::Put | Kind::Delete => self.add(&key, row, record.header.seq),
            Kind::Other(_) => self.skip(record.header.seq),
        }
    }

    /// Counts a record without a key.
    pub(crate) fn skip(&mut self, seq: Seqno) {
        self.record_count += 1;
        self.last_seq = self.last_seq.max(seq);
    }

    /// Counts a compressed value.
    pub(crate) fn count(&mut self, compressed: Compressed) {
        self.compressed = self.compressed.plus(compressed);
    }

    /// Adds the row of a record of `key`, which comes after those added before.
    pub(crate) fn add(&mut self, key: &[u8], row: HintRow, seq: Seqno) {
        self.skip(seq);
        let first = self.ends.first().map_or(key, |&end| &self.keys[..end as usize]);
        let common = if self.ends.is_empty() { key } else { &first[..self.common_len] };
        if !key.starts_with(common) || self.ends.is_empty() {
            self.common_len = common.iter().zip(key).take_while(|(ours, other)| ours == other).count();
        }
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len() as u32);
        self.rows.extend_from_slice(&row.encode());
    }

    /// Sorts the rows by key, newest first.
    pub(crate) fn finish(self) -> SortedRecords {
        let order = self.order();
        let Self { keys, ends, rows, record_count, compressed, last_seq, .. } = self;
        // Frees memory before more is taken.
        drop((keys, ends));
        let mut bytes = Vec::with_capacity(rows.len());
        for SortEntry { index, .. } in &order {
            bytes.extend_from_slice(&rows[*index as usize * ROW_LEN..][..ROW_LEN]);
        }
        drop((order, rows));
        SortedRecords { rows: SortedRows::of_bytes(bytes), record_count, compressed, last_seq }
    }

    fn order(&self) -> Vec<SortEntry> {
        let entry = |index| SortEntry { prefix: prefix(&self.key(index)[self.common_len..]), index };
        let mut order: Vec<_> = (0..self.ends.len() as u32).map(entry).collect();
        // The index follows file order, so a key's later record has the greater index.
        order.sort_unstable_by(|a, b| {
            let by_prefix = a.prefix.cmp(&b.prefix);
            let by_key = || self.key(a.index).cmp(self.key(b.index));
            by_prefix.then_with(by_key).then_with(|| b.index.cmp(&a.index))
        });
        order
    }

    fn key(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[start as usize..self.ends[index] as usize]
    }
}

/// Returns the first eight bytes as a big-endian number, padded with zeros.
fn prefix(bytes: &[u8]) -> u64 {
    let mut prefix = [0; 8];
    for (to, from) in prefix.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_be_bytes(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places(keys: &[Vec<u8>]) -> Vec<u64> {
        let mut sorter = Sorter::default();
        for (at, key) in (1..).zip(keys) {
            sorter.add(key, HintRow { hash: 0, at: at * 8, len: 8, is_tombstone: false }, Seqno(at));
        }
        sorter.finish().rows.iter().map(|row| row.at / 8).collect()
    }

    proptest! {
        #[test]
        fn rows_are_sorted_by_key_and_newest_first(
            common in prop::collection::vec(0..2_u8, 0..20),
            ends in prop::collection::vec(prop::collection::vec(0..2_u8, 0..12), 0..40),
        ) {
            let keys: Vec<_> = ends.iter().map(|end| [&common[..], end].concat()).collect();
            let mut expected: Vec<u64> = (1..=keys.len() as u64).collect();
            expected.sort_by_key(|&at| (&keys[at as usize - 1], u64::MAX - at));
            prop_assert_eq!(places(&keys), expected);
        }
    }
}
