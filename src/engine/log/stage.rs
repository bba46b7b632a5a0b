//! From operations to staged records: lengths, conditions, what each record replaces.

use std::cell::LazyCell;

use super::writer::Writer;
use super::{Commit, Condition, Log};
use crate::engine::base::batch::{Expiry, Op};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{Location, Seqno};
use crate::engine::format::codec::{Compressed, Compression, Packed};
use crate::engine::format::record::{self, KEY_LEN_MAX, Kind, LAG_UNKNOWN, NewRecord};
use crate::engine::format::segment_header::HEADER_LEN;
use crate::engine::options::SEGMENT_LEN_MAX_BOUNDS;
use crate::engine::state::{Replaced, Unpublished, address_of};

/// An operation, and what its value was compressed to, if that saves anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write<'a> {
    op: Op<'a>,
    packed: Option<&'a Packed>,
}

impl<'a> Write<'a> {
    /// `ops`, each with what is in its place of `packed`.
    pub(super) fn all<'b: 'a>(
        ops: impl ExactSizeIterator<Item = Op<'b>> + Clone,
        packed: &'a [Option<Packed>],
    ) -> impl ExactSizeIterator<Item = Self> + Clone {
        let packed_at = |index| packed.get(index).and_then(Option::as_ref);
        ops.enumerate().map(move |(index, op)| Self { op, packed: packed_at(index) })
    }

    /// What its record takes, in bytes.
    fn record_len(&self) -> u64 {
        let (value, expires) = match self.op {
            Op::Put { value, expiry, .. } => (value, expiry.is_some()),
            Op::Delete { .. } => (&[][..], false),
        };
        let value_len = self.packed.map_or(value.len(), |packed| packed.bytes.len());
        record::encoded_len(self.op.key().len(), value_len, expires)
    }
}

impl Log {
    /// The values of `ops` compressed, in their order, where that saves anything; none at all where nothing is compressed.
    pub(super) fn pack<'a>(&self, ops: impl Iterator<Item = Op<'a>>) -> Result<Vec<Option<Packed>>> {
        let compression = self.options.compression;
        let mut packed = Vec::new();
        for op in ops {
            let key_len = op.key().len();
            if key_len == 0 || key_len > KEY_LEN_MAX {
                return Err(Error::KeyLength { len: key_len });
            }
            let value = match op {
                Op::Put { value, .. } => value,
                Op::Delete { .. } => &[],
            };
            if value.len() as u64 > self.options.value_len_max {
                return Err(Error::ValueLength { len: value.len(), limit: self.options.value_len_max });
            }
            if compression != Compression::None {
                packed.push(compression.pack(value));
            }
        }
        Ok(packed)
    }

    /// What the records of `writes` take at most, in bytes.
    pub(super) fn records_len<'a>(&self, writes: impl Iterator<Item = Write<'a>>) -> Result<u64> {
        let len = writes.fold(0, |len: u64, write| len.saturating_add(write.record_len()));
        let limit = SEGMENT_LEN_MAX_BOUNDS.1 - HEADER_LEN as u64;
        if len > limit { Err(Error::BatchLength { len, limit }) } else { Ok(len) }
    }

    pub(super) fn condition_holds<'a>(
        &self,
        writer: &Writer,
        mut ops: impl Iterator<Item = Op<'a>>,
        condition: Condition,
    ) -> Result<bool> {
        let wanted = match condition {
            Condition::None => return Ok(true),
            Condition::Absent => false,
            Condition::Present => true,
        };
        let Some(op) = ops.next() else { return Ok(true) };
        // What is pending goes first: it is newer than anything readers see.
        let is_there = match writer.pending_record(self.state.hash(op.key()), op.key())? {
            Some(pending) => pending.is_some_and(|put| !self.state.is_past(put.expires_ms)),
            None => self.state.find(op.key())?.is_some(),
        };
        Ok(is_there == wanted)
    }

    /// Whether `ops` only delete what is not there: nothing has to be written for them, not even a segment.
    pub(super) fn is_void<'a>(&self, writer: &Writer, mut ops: impl Iterator<Item = Op<'a>>) -> Result<bool> {
        let writes = ops.find_map(|op| match op {
            Op::Put { .. } => Some(Ok(())),
            Op::Delete { key } => {
                self.replaced(writer, self.state.hash(key), key).map(|there| there.map(drop)).transpose()
            }
        });
        writes.transpose().map(|writes| writes.is_none())
    }

    /// Stages the batch's records; without effect when it fails.
    pub(super) fn stage<'a>(
        &self,
        writer: &mut Writer,
        writes: impl ExactSizeIterator<Item = Write<'a>>,
    ) -> Result<Option<Commit>> {
        let (mark, at) = (writer.mark(), writer.active_len());
        let staged = self.stage_all(writer, writes);
        if staged.is_err() {
            writer.take_back(mark, at);
        }
        staged
    }

    fn stage_all<'a>(
        &self,
        writer: &mut Writer,
        writes: impl ExactSizeIterator<Item = Write<'a>>,
    ) -> Result<Option<Commit>> {
        // Keys of a batch with the same time to live expire together.
        let time_ms = self.options.clock.now_ms();
        let now_ms = LazyCell::new(|| self.state.now_ms());
        let op_count = writes.len();
        let mut commit: Option<Commit> = None;
        let mut ends_its_batch = true;
        for (index, write) in writes.enumerate() {
            let op = write.op;
            let replaced = self.replaced(writer, self.state.hash(op.key()), op.key())?;
            let deletes = matches!(op, Op::Delete { .. });
            if deletes && replaced.is_none() {
                continue;
            }
            ends_its_batch = index + 1 == op_count;
            let expires_ms = op.expiry().map(|expiry| end_of(expiry, time_ms)).transpose()?;
            let more = !ends_its_batch;
            let (last, location) = self.stage_one(writer, write, replaced, (time_ms, expires_ms), more)?;
            let (first, deleted) = commit.map_or((last, 0), |commit| (commit.first, commit.deleted));
            let is_past = |put: Replaced| put.expires_ms.is_some_and(|expires_ms| expires_ms <= *now_ms);
            let was_there = replaced.is_some_and(|put| !is_past(put));
            let deleted = deleted + usize::from(deletes && was_there);
            commit = Some(Commit { first, last, location, deleted });
        }
        // Deletes of missing keys at the batch's end wrote nothing: its last record does not know that it is.
        if let (Some(commit), Some(active), false) = (commit, &mut writer.active, ends_its_batch) {
            active.segment.end_batch(commit.location.offset);
            writer.pending.end_batch();
        }
        Ok(commit)
    }

    /// Stages the record of one operation, written at one time and with one expiry; returns its
    /// number and place.
    fn stage_one(
        &self,
        writer: &mut Writer,
        Write { op, packed }: Write<'_>,
        replaced: Option<Replaced>,
        (time_ms, expires_ms): (u64, Option<u64>),
        more: bool,
    ) -> Result<(Seqno, Location)> {
        let (kind, key, value) = match op {
            Op::Put { key, value, .. } => (Kind::Put, key, value),
            Op::Delete { key } => (Kind::Delete, key, &[][..]),
        };
        let (value, codec) = packed.map_or((value, None), |packed| (&packed.bytes, Some(packed.codec)));
        let Some(active) = &mut writer.active else { return Err(Error::Closed) };
        let seq = writer.appended.plus(1);
        let lag = seq.0.saturating_sub(writer.durable.0).min(LAG_UNKNOWN.into()) as u16;
        let at =
            active.segment.stage(&NewRecord { seq, time_ms, lag, kind, more, expires_ms, key, value, codec });
        let len = active.segment.len() - at;
        let segment = &active.segment.segment;
        let record = Unpublished {
            hash: self.state.hash(key),
            address: address_of(segment, at),
            len,
            kind,
            expires_ms,
            more,
            compressed: packed.map_or_else(Compressed::default, |packed| Compressed::of(&packed.bytes)),
            replaced,
        };
        writer.pending.push(record, seq, at);
        writer.appended = seq;
        Ok((seq, segment.location(at)))
    }

    /// The put that a new record of `key` replaces, pending ones included.
    fn replaced(&self, writer: &Writer, hash: u64, key: &[u8]) -> Result<Option<Replaced>> {
        match writer.pending_record(hash, key)? {
            Some(replaced) => Ok(replaced),
            None => self.state.replaceable(hash, key),
        }
    }
}

/// The expiry of a key put at `time_ms`. The clock that judges expiry may be ahead; a time to
/// live counted from there would be too long.
fn end_of(expiry: Expiry, time_ms: u64) -> Result<u64> {
    let expires_ms = expiry.at_ms(time_ms);
    if expires_ms > Expiry::AT_MS_MAX { Err(Error::ExpiryTooLate) } else { Ok(expires_ms) }
}
