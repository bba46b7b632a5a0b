//! From operations to staged records: lengths, conditions, what each record replaces.

use super::writer::Writer;
use super::{Commit, Condition, Log};
use crate::engine::batch::Op;
use crate::engine::format::record::{self, KEY_LEN_MAX, Kind, LAG_UNKNOWN, NewRecord};
use crate::engine::format::segment_header::HEADER_LEN;
use crate::engine::location::{Location, Seqno};
use crate::engine::options::SEGMENT_LEN_MAX_BOUNDS;
use crate::engine::plant::{Plant, planted};
use crate::engine::state::{Replaced, Unpublished, address_of};
use crate::error::{Error, Result};

impl Log {
    /// What the records of `ops` take at most, in bytes.
    pub(super) fn check_lengths<'a>(&self, ops: impl Iterator<Item = Op<'a>>) -> Result<u64> {
        let mut len = 0_u64;
        for op in ops {
            let key_len = op.key().len();
            if key_len == 0 || key_len > KEY_LEN_MAX {
                return Err(Error::KeyLength { len: key_len });
            }
            let (value_len, expires) = match op {
                Op::Put { value, expiry, .. } => (value.len(), expiry.is_some()),
                Op::Delete { .. } => (0, false),
            };
            if value_len as u64 > self.settings.value_len_max {
                return Err(Error::ValueLength { len: value_len, limit: self.settings.value_len_max });
            }
            len = len.saturating_add(record::encoded_len(key_len, value_len, expires));
        }
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
        let pending = writer.pending_record(self.state.hash(op.key()), op.key())?;
        let is_there = match pending.filter(|_| !planted(Plant::ConditionIgnoresPending)) {
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
        ops: impl ExactSizeIterator<Item = Op<'a>>,
    ) -> Result<Option<Commit>> {
        let (mark, at) = (writer.mark(), writer.active_len());
        let staged = self.stage_ops(writer, ops);
        if staged.is_err() {
            writer.take_back(mark, at);
        }
        staged
    }

    fn stage_ops<'a>(
        &self,
        writer: &mut Writer,
        ops: impl ExactSizeIterator<Item = Op<'a>>,
    ) -> Result<Option<Commit>> {
        let time_ms = self.settings.clock.now_ms();
        let op_count = ops.len();
        let mut commit: Option<Commit> = None;
        let mut ends_its_batch = true;
        for (index, op) in ops.enumerate() {
            let replaced = self.replaced(writer, self.state.hash(op.key()), op.key())?;
            let deletes = matches!(op, Op::Delete { .. });
            if deletes && replaced.is_none() {
                continue;
            }
            ends_its_batch = index + 1 == op_count;
            let (last, location) = self.stage_op(writer, op, replaced, time_ms, !ends_its_batch)?;
            let (first, deleted) = commit.map_or((last, 0), |commit| (commit.first, commit.deleted));
            let was_there = replaced
                .is_some_and(|put| planted(Plant::DeleteMeetsExpired) || !self.state.is_past(put.expires_ms));
            let deleted = deleted + usize::from(deletes && was_there);
            commit = Some(Commit { first, last, location, deleted });
        }
        // Deletes of missing keys at the batch's end wrote nothing: its last record does not know that it is.
        if let (Some(commit), Some(active), false) =
            (commit, &mut writer.active, ends_its_batch || planted(Plant::BatchEndForgotten))
        {
            active.segment.end_batch(commit.location.offset);
        }
        Ok(commit)
    }

    /// Stages the record of one operation; its number and place.
    fn stage_op(
        &self,
        writer: &mut Writer,
        op: Op<'_>,
        replaced: Option<Replaced>,
        time_ms: u64,
        more: bool,
    ) -> Result<(Seqno, Location)> {
        let (kind, key, value, expiry) = match op {
            Op::Put { key, value, expiry } => (Kind::Put, key, value, expiry),
            Op::Delete { key } => (Kind::Delete, key, &[][..], None),
        };
        let expires_ms = expiry.map(|expiry| expiry.at_ms(self.state.now_ms()));
        let Some(active) = &mut writer.active else { return Err(Error::Closed) };
        let seq = writer.appended.plus(1);
        let durable = if planted(Plant::LagTooSmall) { writer.appended } else { writer.durable };
        let lag = seq.0.saturating_sub(durable.0).min(LAG_UNKNOWN.into()) as u16;
        let at = active.segment.stage(&NewRecord { seq, time_ms, lag, kind, more, expires_ms, key, value });
        let len = active.segment.len() - at;
        let segment = &active.segment.segment;
        let record = Unpublished {
            hash: self.state.hash(key),
            address: address_of(segment, at),
            len,
            kind,
            expires_ms,
            more,
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
