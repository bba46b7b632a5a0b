//! Staging: checks lengths and conditions, and turns operations into records.

use std::cell::LazyCell;

use super::Log;
use super::write::{Commit, Condition, Staged};
use super::writer::Writer;
use crate::engine::base::batch::{Expiry, Op};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{Location, Seqno};
use crate::engine::format::codec::Compressed;
use crate::engine::format::record::new::NewRecord;
use crate::engine::format::record::{KEY_LEN_MAX, Kind, LAG_UNKNOWN};
use crate::engine::format::segment_header::HEADER_LEN;
use crate::engine::options::SEGMENT_LEN_MAX_BOUNDS;
use crate::engine::state::{Replaced, Unpublished, address_of};

/// The first operation of a batch that changes anything, and the put that it replaces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    index: usize,
    replaced: Option<Replaced>,
}

impl Log {
    /// Checks, hashes and compresses `staged`. Returns the total length of the records in bytes.
    pub(super) fn prepare(&self, staged: &mut [Staged<'_>]) -> Result<u64> {
        let mut len = 0_u64;
        for write in staged {
            let key = write.op.key();
            let value = write.op.value();
            if key.is_empty() || key.len() > KEY_LEN_MAX {
                return Err(Error::KeyLength { len: key.len() });
            }
            if value.len() as u64 > self.options.value_len_max {
                return Err(Error::ValueLength { len: value.len(), limit: self.options.value_len_max });
            }
            write.hash = self.state.hash(key);
            write.packed = self.options.compression.pack(value);
            len = len.saturating_add(write.record_len());
        }
        let limit = SEGMENT_LEN_MAX_BOUNDS.1 - HEADER_LEN as u64;
        if len > limit { Err(Error::BatchLength { len, limit }) } else { Ok(len) }
    }

    /// Finds the first operation that changes anything. `None` if `condition` does not hold for the
    /// first key, or if all operations delete missing keys. In that case nothing is written and no
    /// segment is started.
    pub(super) fn start(
        &self,
        writer: &Writer,
        staged: &[Staged<'_>],
        condition: Condition,
    ) -> Result<Option<Start>> {
        for (index, write) in staged.iter().enumerate() {
            let replaced = self.replaced(writer, write, condition != Condition::None)?;
            let is_there = || replaced.is_some_and(|put| !self.state.is_past(put.expires_ms));
            match condition {
                Condition::Absent if is_there() => return Ok(None),
                Condition::Present if !is_there() => return Ok(None),
                Condition::None if write.is_delete() && replaced.is_none() => {}
                Condition::None | Condition::Absent | Condition::Present => {
                    return Ok(Some(Start { index, replaced }));
                }
            }
        }
        Ok(None)
    }

    /// Stages the records of a batch. Stages nothing on failure.
    pub(super) fn stage(
        &self,
        writer: &mut Writer,
        staged: &[Staged<'_>],
        start: Start,
    ) -> Result<Option<Commit>> {
        let mark = writer.mark();
        let at = writer.active_len();
        let commit = self.stage_all(writer, staged, start);
        if commit.is_err() {
            writer.unstage(mark, at);
        }
        commit
    }

    fn stage_all(&self, writer: &mut Writer, staged: &[Staged<'_>], start: Start) -> Result<Option<Commit>> {
        // All keys get the same time, so that those with the same time to live expire together.
        let time_ms = self.options.clock.now_ms();
        let now_ms = LazyCell::new(|| self.state.now_ms());
        let mut commit: Option<Commit> = None;
        let mut ends_its_batch = true;
        for (index, write) in staged.iter().enumerate().skip(start.index) {
            let op = write.op;
            let replaced = match index == start.index {
                true => start.replaced,
                false => self.replaced(writer, write, false)?,
            };
            let deletes = write.is_delete();
            if deletes && replaced.is_none() {
                continue;
            }
            ends_its_batch = index + 1 == staged.len();
            let expires_ms = op.expiry().map(|expiry| end_of(expiry, time_ms)).transpose()?;
            let more = !ends_its_batch;
            let (last, location) = self.stage_one(writer, write, replaced, (time_ms, expires_ms), more)?;
            let (first, deleted) = commit.map_or((last, 0), |commit| (commit.first, commit.deleted));
            let is_past = |put: Replaced| put.expires_ms.is_some_and(|expires_ms| expires_ms <= *now_ms);
            let was_there = replaced.is_some_and(|put| !is_past(put));
            let deleted = deleted + usize::from(deletes && was_there);
            commit = Some(Commit { first, last, location, deleted });
        }
        // The last operations delete missing keys, so the last record is not yet marked as the end
        // of its batch.
        if let (Some(commit), Some(active), false) = (commit, &mut writer.active, ends_its_batch) {
            active.segment.end_batch(commit.location.offset);
            writer.pending.end_batch();
        }
        Ok(commit)
    }

    /// Stages the record of one operation. Returns its number and location.
    fn stage_one(
        &self,
        writer: &mut Writer,
        Staged { op, hash, packed }: &Staged<'_>,
        replaced: Option<Replaced>,
        (time_ms, expires_ms): (u64, Option<u64>),
        more: bool,
    ) -> Result<(Seqno, Location)> {
        let kind = match op {
            Op::Put { .. } => Kind::Put,
            Op::Delete { .. } => Kind::Delete,
        };
        let packed = packed.as_ref();
        let (value, codec) = packed.map_or((op.value(), None), |packed| (&packed.bytes, Some(packed.codec)));
        let key = op.key();
        let Some(active) = &mut writer.active else { return Err(Error::Closed) };
        let seq = writer.appended.plus(1);
        let lag = seq.0.saturating_sub(writer.durable.0).min(LAG_UNKNOWN.into()) as u16;
        let at =
            active.segment.stage(&NewRecord { seq, time_ms, lag, kind, more, expires_ms, key, value, codec });
        let len = active.segment.len() - at;
        let segment = &active.segment.segment;
        let record = Unpublished {
            hash: *hash,
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

    /// Returns the put that `write` replaces, including pending ones. `is_checked` requires it to
    /// be intact.
    fn replaced(&self, writer: &Writer, write: &Staged<'_>, is_checked: bool) -> Result<Option<Replaced>> {
        let key = write.op.key();
        // A pending record is newer than all visible ones.
        if let Some(replaced) = writer.pending_record(write.hash, key)? {
            return Ok(replaced);
        }
        if is_checked { self.state.intact(write.hash, key) } else { self.state.replaceable(write.hash, key) }
    }
}

/// Returns the expiry of a key put at `time_ms`, the clock's time. Reads use a time that may be
/// ahead of it. A time to live that started there would be too long.
fn end_of(expiry: Expiry, time_ms: u64) -> Result<u64> {
    let expires_ms = expiry.at_ms(time_ms);
    if expires_ms > Expiry::AT_MS_MAX { Err(Error::ExpiryTooLate) } else { Ok(expires_ms) }
}
