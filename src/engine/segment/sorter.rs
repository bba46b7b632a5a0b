//! From records in file order to rows in key order.

use super::read::Record;
use super::rows::{SortedRecords, SortedRows};
use super::scan::Scanned;
use super::store_context::StoreContext;
use crate::engine::base::error::Damage;
use crate::engine::base::ids::Seqno;
use crate::engine::format::codec::Compressed;
use crate::engine::format::hint::{ROW_LEN, Row};
use crate::engine::format::record::Kind;

/// Collects records in file order. Takes 36 bytes of memory a record, and the keys, and 48 when it is finished.
#[derive(Debug, Default)]
pub(crate) struct Sorter {
    keys: Vec<u8>,
    /// Where each key ends among them; a segment has less than 4 GiB.
    ends: Vec<u32>,
    /// Encoded, in file order.
    rows: Vec<u8>,
    /// How many bytes all keys begin with alike: tenants and kinds of things often stand there.
    common_len: usize,
    record_count: u32,
    compressed: Compressed,
    last_seq: Seqno,
}

/// A record on its way to its place in the order.
#[derive(Debug)]
struct Entry {
    /// Eight bytes of the key, behind those that all have, as a number: most comparisons look no farther.
    prefix: u64,
    index: u32,
}

impl Sorter {
    /// Adds a record that was scanned. A damaged one stands for the key it shows: asking for that key is then an error,
    /// and not an older value.
    pub(crate) fn add_scanned(&mut self, context: &StoreContext, record: &Scanned<'_>) {
        let kind = match (record.header.kind(), &record.damage) {
            // Out of order it says nothing of what is newest.
            (_, Some(Damage::Order { .. })) => return self.skip(Seqno(0)),
            // A tombstone whose key cannot be trusted neither hides a key nor lets it pass for alive.
            (Kind::Delete, Some(_)) => Kind::Put,
            (kind, _) => kind,
        };
        let row = Row {
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

    /// Adds a record that was read, and is as it was written.
    pub(crate) fn add_read(&mut self, context: &StoreContext, record: &Record) {
        let (key, kind, seq) = (record.key(), record.header.kind(), record.header.seq);
        let (at, len, is_tombstone) = (record.location.offset, record.frame.len, kind == Kind::Delete);
        self.count(record.compressed());
        match kind {
            Kind::Put | Kind::Delete => {
                self.add(&key, Row { hash: context.hash(&key), at, len, is_tombstone }, seq);
            }
            Kind::Other(_) => self.skip(seq),
        }
    }

    /// Counts a record that is about no key.
    pub(crate) fn skip(&mut self, seq: Seqno) {
        self.record_count += 1;
        self.last_seq = self.last_seq.max(seq);
    }

    /// Counts a value that is compressed.
    pub(crate) fn count(&mut self, compressed: Compressed) {
        self.compressed = self.compressed.plus(compressed);
    }

    /// Adds the row of a record of `key`, behind those added before.
    pub(crate) fn add(&mut self, key: &[u8], row: Row, seq: Seqno) {
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

    /// The rows, by key and the newest of a key first.
    pub(crate) fn finish(self) -> SortedRecords {
        let order = self.order();
        let Self { keys, ends, rows, record_count, compressed, last_seq, .. } = self;
        // What is not needed any more goes before more is taken.
        drop((keys, ends));
        let mut bytes = Vec::with_capacity(rows.len());
        for Entry { index, .. } in &order {
            bytes.extend_from_slice(&rows[*index as usize * ROW_LEN..][..ROW_LEN]);
        }
        drop((order, rows));
        SortedRecords { rows: SortedRows::of_bytes(bytes), record_count, compressed, last_seq }
    }

    fn order(&self) -> Vec<Entry> {
        let entry = |index| Entry { prefix: prefix(&self.key(index)[self.common_len..]), index };
        let mut order: Vec<_> = (0..self.ends.len() as u32).map(entry).collect();
        // They come in file order, so that the later record of a key has the greater index.
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

/// The first eight bytes, and zeros where there are fewer, as a number.
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
            sorter.add(key, Row { hash: 0, at: at * 8, len: 8, is_tombstone: false }, Seqno(at));
        }
        sorter.finish().rows.iter().map(|row| row.at / 8).collect()
    }

    proptest! {
        #[test]
        fn rows_come_by_key_and_the_newest_of_a_key_first(
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
