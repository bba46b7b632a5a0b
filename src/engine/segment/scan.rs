//! Scans: all records of a segment in file order. After damage, a scan searches for the next
//! record.

use super::handle::{Backing, Segment};
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::format::codec::Compressed;
use crate::engine::format::record::{Frame, LEN_MIN, RecordHeader, SEQ_AT};
use crate::engine::fs::read_into;

/// The number of bytes read ahead from a file without a mapping.
const WINDOW_LEN: u64 = 256 << 10;
/// The alignment of records, in bytes.
pub(super) const STEP: u64 = 8;
/// The interval in bytes at which a scan calls `go_on`.
const ASK_LEN: u64 = 1 << 20;

/// Whether a scan reads and checks whole records, or only headers and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bodies {
    Checked,
    Skipped,
}

/// The next finding of a scan.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A record whose header is intact.
    Record(Scanned<'a>),
    /// Bytes without an intact header, up to the next one or to the end.
    Bad { at: u64, len: u64, damage: Damage },
}

/// A record whose header is intact.
#[derive(Debug)]
pub(crate) struct Scanned<'a> {
    pub(crate) at: u64,
    pub(crate) header: RecordHeader,
    pub(crate) frame: Frame,
    /// The whole record, or its header and key if bodies are skipped.
    pub(crate) bytes: &'a [u8],
    /// Damage of the body, or a sequence number out of order.
    pub(crate) damage: Option<Damage>,
    /// The largest decompressed length of a value, in bytes.
    value_len_max: u64,
}

impl Scanned<'_> {
    pub(crate) fn key(&self) -> &[u8] {
        self.frame.key(self.bytes)
    }

    /// Checks that the value of an intact record can be decompressed.
    pub(crate) fn check_value(&self) -> Result<(), Damage> {
        self.header.value(&self.frame, self.bytes, self.value_len_max).map(drop)
    }

    /// Returns the damage of the record, or of its compressed value. A value over the limit, or
    /// with a codec of a later version, is not damaged.
    pub(crate) fn damage_or_values(&self) -> Option<Damage> {
        let is_unread = |damage: &Damage| matches!(damage, Damage::Codec(_) | Damage::TooLarge { .. });
        let of_value = || self.check_value().err().filter(|damage| !is_unread(damage));
        self.damage.clone().or_else(of_value)
    }

    /// Returns the lengths of the value before and after compression, or zeros if it is not
    /// compressed.
    pub(crate) fn compressed(&self) -> Compressed {
        self.header.compressed(&self.frame, self.bytes)
    }
}

/// A scan over the bytes that the segment had when the scan began.
pub(crate) struct Scanner<'s> {
    segment: &'s Segment,
    bodies: Bodies,
    window: Window<'s>,
    at: u64,
    end: u64,
    /// Whether damage that reaches the end may be a write in progress.
    is_growing: bool,
    /// The sequence number of the last intact record.
    last_seq: Seqno,
    /// The offset of the last call of `go_on`.
    asked_at: u64,
}

impl<'s> Scanner<'s> {
    pub(crate) fn new(segment: &'s Segment, bodies: Bodies) -> Self {
        Self {
            segment,
            bodies,
            window: Window::new(segment),
            at: segment.layout.header_len.into(),
            end: segment.len(),
            is_growing: false,
            last_seq: segment.base_seq.previous(),
            asked_at: 0,
        }
    }

    /// Starts the scan at `at`, where a record starts.
    pub(crate) fn starting_at(mut self, at: u64) -> Self {
        self.at = self.at.max(at);
        self
    }

    /// Ends the scan at `end`, which must be within the segment.
    pub(crate) fn ending_at(mut self, end: u64) -> Self {
        self.end = end;
        self
    }

    /// If `is_growing`, ends the scan before damage that reaches the end: another process may still
    /// be writing there.
    pub(crate) fn growing(mut self, is_growing: bool) -> Self {
        self.is_growing = is_growing;
        self
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Returns the sequence number of the last intact record so far.
    pub(crate) fn last_seq(&self) -> Seqno {
        self.last_seq
    }

    /// Returns the next record or damage, and moves past it.
    pub(crate) fn next(&mut self) -> Result<Option<Step<'_>>> {
        self.next_asking(&mut |_| Ok(()))
    }

    /// Works like [`Scanner::next`]. Calls `go_on` with the current offset every [`ASK_LEN`] bytes,
    /// also during resynchronisation, and fails with its error.
    pub(crate) fn next_asking<E: From<Error>>(
        &mut self,
        go_on: &mut dyn FnMut(u64) -> Result<(), E>,
    ) -> Result<Option<Step<'_>>, E> {
        let at = self.at;
        self.ask(at, go_on)?;
        if at >= self.end {
            return Ok(None);
        }
        match self.header_at(at)? {
            Ok((header, frame)) => {
                let may_be_unfinished = self.is_growing && at + frame.len == self.end;
                let record = self.take(header, frame)?;
                let is_unfinished = may_be_unfinished && record.damage.is_some();
                Ok((!is_unfinished).then_some(Step::Record(record)))
            }
            Err(Damage::Truncated { .. }) if self.is_growing => Ok(None),
            Err(damage) => {
                self.resync(go_on)?;
                let is_unfinished = self.is_growing && self.at == self.end;
                Ok((!is_unfinished).then_some(Step::Bad { at, len: self.at - at, damage }))
            }
        }
    }

    /// Returns the next record, for a caller that stops at damage.
    ///
    /// # Errors
    /// [`Error::Damaged`], and I/O errors.
    pub(crate) fn next_intact(&mut self) -> Result<Option<Scanned<'_>>> {
        let at = self.at;
        if at >= self.end {
            return Ok(None);
        }
        let location = self.segment.location(at);
        let (header, frame) = self.header_at(at)?.map_err(|damage| Error::damaged(location, damage))?;
        let mut record = self.take(header, frame)?;
        match record.damage.take() {
            None => Ok(Some(record)),
            Some(damage) => Err(Error::damaged(location, damage)),
        }
    }

    /// Returns the record at the current offset, which has this intact header, and moves past it.
    fn take(&mut self, header: RecordHeader, frame: Frame) -> Result<Scanned<'_>> {
        let at = self.at;
        let in_order = header.seq > self.last_seq;
        let previous = self.last_seq;
        let len = match self.bodies {
            Bodies::Checked => frame.len,
            Bodies::Skipped => frame.value_at,
        };
        self.at = at + frame.len;
        if in_order {
            self.last_seq = header.seq;
        }
        let context = self.segment.layout.records;
        let bytes = self.window.bytes(at, len)?;
        let damage = match self.bodies {
            _ if !in_order => Some(Damage::Order { found: header.seq, previous }),
            Bodies::Checked => context.check_record(at, bytes).err(),
            Bodies::Skipped => None,
        };
        let value_len_max = self.segment.value_len_max;
        Ok(Scanned { at, header, frame, bytes, damage, value_len_max })
    }

    /// Moves to the next intact header with a possible sequence number, or to the end.
    fn resync<E: From<Error>>(&mut self, go_on: &mut dyn FnMut(u64) -> Result<(), E>) -> Result<(), E> {
        // A header checksum matches by chance once in 2^32 offsets, and a large damaged range has
        // millions of offsets. So the sequence number must also be one that this segment can hold.
        let seqs = self.last_seq.plus(1)..self.segment.seq_end;
        let mut at = self.place_behind(self.at)?;
        while at < self.end {
            self.ask(at, go_on)?;
            if let Ok((header, _)) = self.header_at(at)?
                && seqs.contains(&header.seq)
            {
                self.at = at;
                return Ok(());
            }
            at = self.place_behind(at)?;
        }
        self.at = self.end;
        Ok(())
    }

    fn ask<E>(&mut self, at: u64, go_on: &mut dyn FnMut(u64) -> Result<(), E>) -> Result<(), E> {
        if at.saturating_sub(self.asked_at) < ASK_LEN {
            return Ok(());
        }
        self.asked_at = at;
        go_on(at)
    }

    /// Returns the next offset after `at` where a record can start. No record has sequence number
    /// 0, so zeros are skipped as fast as they are read.
    fn place_behind(&mut self, at: u64) -> Result<u64> {
        let next = at + STEP;
        if next >= self.end {
            return Ok(next);
        }
        let bytes = self.window.some_bytes(next, self.end - next)?;
        let words = bytes.get(SEQ_AT..).unwrap_or_default().chunks_exact(STEP as usize);
        let count = words.len();
        let zeros = words.take_while(|word| **word == [0; STEP as usize]).count();
        let place = next + zeros as u64 * STEP;
        Ok(if zeros == count { self.window.behind_hole(place).min(self.end) } else { place })
    }

    /// Returns the intact header at `at` of a record that ends within the segment.
    fn header_at(&mut self, at: u64) -> Result<Result<(RecordHeader, Frame), Damage>> {
        let context = self.segment.layout.records;
        let room = self.end - at;
        let bytes = self.window.bytes(at, u64::from(context.header_len).min(room))?;
        Ok(context.check_header(at, bytes).and_then(|header| {
            let frame = header.frame(context.header_len);
            if frame.len <= room {
                Ok((header, frame))
            } else {
                Err(Damage::Truncated { wants: frame.len, has: room })
            }
        }))
    }
}

/// A window on the segment's bytes: the mapping, or a buffer of bytes read ahead.
pub(super) struct Window<'s> {
    segment: &'s Segment,
    buffer: Vec<u8>,
    /// The offset of the buffer in the file.
    at: u64,
}

impl<'s> Window<'s> {
    pub(super) fn new(segment: &'s Segment) -> Self {
        Self { segment, buffer: Vec::new(), at: 0 }
    }

    /// Returns the bytes at `at` that are in memory, or reads some if there are too few: at least
    /// one, and at most `len_max`, which the segment has.
    fn some_bytes(&mut self, at: u64, len_max: u64) -> Result<&[u8]> {
        let held = match &self.segment.backing {
            Backing::Mapped(_) => WINDOW_LEN,
            Backing::File(_) => (self.at + self.buffer.len() as u64).saturating_sub(at),
        };
        let len = if at >= self.at && held >= LEN_MIN { held } else { WINDOW_LEN };
        self.bytes(at, len.min(len_max))
    }

    pub(super) fn is_zeros(&mut self, at: u64) -> Result<bool> {
        Ok(self.bytes(at, LEN_MIN)?.iter().all(|&byte| byte == 0))
    }

    /// Returns the next possible start of a record after the hole that contains `place`, or `place`
    /// itself outside of holes. A mapping has no large holes: see [`Backing`].
    pub(super) fn behind_hole(&self, place: u64) -> u64 {
        match &self.segment.backing {
            Backing::Mapped(_) => place,
            // A record's sequence number is not zero, so it is after the hole. The checksums before
            // it may be in the hole.
            Backing::File(file) => {
                place.max((file.next_data(place) / STEP * STEP).saturating_sub(SEQ_AT as u64))
            }
        }
    }

    /// Returns `len` bytes at `at`, which the segment has.
    pub(super) fn bytes(&mut self, at: u64, len: u64) -> Result<&[u8]> {
        match &self.segment.backing {
            Backing::Mapped(mapping) => {
                Ok(mapping.bytes(at as usize..(at + len) as usize).unwrap_or_default())
            }
            Backing::File(file) => {
                let held = self.at..self.at + self.buffer.len() as u64;
                if !held.contains(&at) || at + len > held.end {
                    let wanted = len.max(WINDOW_LEN).min(self.segment.len() - at);
                    self.at = at;
                    read_into(&mut self.buffer, &**file, at, wanted).map_err(|error| {
                        // After an error, the buffer holds neither the old bytes nor the new ones.
                        self.buffer.clear();
                        self.segment.read_error(error)
                    })?;
                }
                let start = (at - self.at) as usize;
                Ok(&self.buffer[start..start + len as usize])
            }
        }
    }
}
