//! Reads of records at known offsets.

use std::borrow::Cow;
use std::sync::Arc;

use super::handle::{Backing, Segment};
use super::value::Value;
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::Location;
use crate::engine::format::codec::{Codec, Compressed};
use crate::engine::format::record::{EXPIRY_LEN, Frame, RecordHeader};
use crate::engine::fs::{Mapping, prefetch, read_vec_at};

/// The number of bytes read at once from a file without a mapping. Most records fit, so they take
/// one system call.
const READ_LEN: u64 = 4096;

/// The unit of a prefetch, and the length prefetched of a record. After that, hardware prefetching
/// takes over.
const CACHE_LINE_LEN: usize = 64;
const PREFETCH_LEN: u64 = 256;

impl Segment {
    /// Returns the record at `at` if its key is `key`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the checksum is wrong, even if the key differs, because the damage may
    /// have changed the key.
    pub(crate) fn lookup(&self, at: u64, key: &[u8]) -> Result<Option<Record>> {
        let raw = self.raw(at)?;
        let is_it = raw.frame.key(&raw.bytes) == key;
        self.layout.records.check_record(at, &raw.bytes).map_err(|damage| self.damaged(at, damage))?;
        Ok(is_it.then(|| self.record(at, raw)))
    }

    /// Returns the record at `at`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the checksum is wrong.
    pub(crate) fn read(&self, at: u64) -> Result<Record> {
        let raw = self.raw(at)?;
        self.layout.records.check_record(at, &raw.bytes).map_err(|damage| self.damaged(at, damage))?;
        Ok(self.record(at, raw))
    }

    /// Returns the record at `at`, or `None` if it is damaged.
    pub(crate) fn read_intact(&self, at: u64) -> Result<Option<Record>> {
        match self.read(at) {
            Ok(record) => Ok(Some(record)),
            Err(Error::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the outline of the record at `at` if its key is `key`. The caller has found `at` by
    /// the key's hash. Does not check the body. A damaged record with another key counts as a
    /// record of `key`, because no write to another key would ever replace it.
    pub(crate) fn outline_if_key(&self, at: u64, key: &[u8]) -> Result<Option<Outline>> {
        let context = self.layout.records;
        let wanted =
            u64::from(context.header_len).saturating_add(EXPIRY_LEN).saturating_add(key.len() as u64);
        let bytes = self.bytes(at, wanted)?;
        let header = RecordHeader::peek(&bytes);
        let frame = header.frame(context.header_len);
        if frame.key(&bytes) != key && self.read_intact(at)?.is_some() {
            return Ok(None);
        }
        // A new record also replaces one with a damaged header. Only the number of dead bytes is
        // unknown.
        let outline = |_| Outline { len: frame.len, expires_ms: frame.expires_ms(&bytes) };
        Ok(Some(context.check_header(at, &bytes).map_or(Outline::default(), outline)))
    }

    /// Returns the length of the record at `at`, or 0 if its header is damaged.
    pub(crate) fn len_at(&self, at: u64) -> Result<u64> {
        let context = self.layout.records;
        let checked = context.check_header(at, &self.bytes(at, context.header_len.into())?);
        Ok(checked.map_or(0, |header| header.frame(context.header_len).len))
    }

    /// Prefetches the start of the record of `len` bytes at `at`, if it is mapped.
    pub(crate) fn prefetch(&self, at: u64, len: u64) {
        let Backing::Mapped(mapping) = &self.backing else { return };
        let range = at as usize..at.saturating_add(len.min(PREFETCH_LEN)).min(self.len()) as usize;
        let lines = mapping.bytes(range).unwrap_or_default().iter().step_by(CACHE_LINE_LEN);
        lines.for_each(prefetch);
    }

    /// Returns the record at `at` without checking it, for tools that show damaged records.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the segment ends before the record does.
    pub(crate) fn read_unchecked(&self, at: u64) -> Result<RawRecord> {
        let Raw { header, frame, bytes } = self.raw(at)?;
        Ok(RawRecord { header, frame, bytes: bytes.into_owned() })
    }

    /// Returns the bytes of `range`, or fewer at the segment's end.
    pub(crate) fn bytes_unchecked(&self, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        let len = range.end.saturating_sub(range.start);
        Ok(self.bytes(range.start, len)?.into_owned())
    }

    /// Returns the key of the record at `at`, whose header is intact.
    pub(crate) fn key_at(&self, at: u64) -> Result<Cow<'_, [u8]>> {
        let header_len = self.layout.records.header_len;
        let frame = RecordHeader::peek(&self.bytes(at, header_len.into())?).frame(header_len);
        self.bytes(at.saturating_add(frame.key_at), frame.key_len)
    }

    /// Returns the value of `record`, decompressed if necessary.
    pub(crate) fn value_of<'a>(
        &self,
        header: &RecordHeader,
        record: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, Damage> {
        header.value(&header.frame(self.layout.records.header_len), record, self.value_len_max)
    }

    /// Returns up to `len` bytes at `at`, fewer at the segment's end.
    fn bytes(&self, at: u64, len: u64) -> Result<Cow<'_, [u8]>> {
        let end = at.saturating_add(len).min(self.len());
        match &self.backing {
            Backing::Mapped(mapping) => {
                Ok(Cow::Borrowed(mapping.bytes(at as usize..end as usize).unwrap_or_default()))
            }
            Backing::File(file) => {
                let read = read_vec_at(&**file, at, end.saturating_sub(at));
                Ok(Cow::Owned(read.map_err(|error| self.read_error(error))?))
            }
        }
    }

    /// Returns as many bytes at `at` as the record's header says. The header of a record over
    /// [`READ_LEN`] is checked first, because its length decides how much is allocated. The same
    /// check applies to mapped records, so that both ways of reading return the same records.
    fn raw(&self, at: u64) -> Result<Raw<'_>> {
        let context = self.layout.records;
        let room = self.len().saturating_sub(at);
        let mut bytes = self.bytes(at, room.min(READ_LEN))?;
        let header = RecordHeader::peek(&bytes);
        let frame = header.frame(context.header_len);
        if frame.len > bytes.len() as u64 {
            context.check_header(at, &bytes).map_err(|damage| self.damaged(at, damage))?;
            if frame.len > room {
                return Err(self.damaged(at, Damage::Truncated { wants: frame.len, has: room }));
            }
            bytes = self.bytes(at, frame.len)?;
        }
        let bytes = match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..frame.len as usize]),
            Cow::Owned(mut bytes) => {
                bytes.truncate(frame.len as usize);
                Cow::Owned(bytes)
            }
        };
        Ok(Raw { header, frame, bytes })
    }

    fn record(&self, at: u64, raw: Raw<'_>) -> Record {
        let Raw { header, frame, bytes } = raw;
        let expires_ms = frame.expires_ms(&bytes);
        let source = match (&self.backing, bytes) {
            (Backing::Mapped(mapping), Cow::Borrowed(_)) => RecordBytes::Mapped(mapping.clone(), at as usize),
            (_, bytes) => RecordBytes::Owned(Arc::new(bytes.into_owned())),
        };
        Record {
            location: self.location(at),
            header,
            frame,
            expires_ms,
            value_len_max: self.value_len_max,
            source,
        }
    }
}

/// The facts about a record that a write needs to replace it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outline {
    /// The length in bytes, or 0 if the header is damaged.
    pub(crate) len: u64,
    /// The expiry in milliseconds since 1970.
    pub(crate) expires_ms: Option<u64>,
}

/// An unchecked record.
struct Raw<'a> {
    header: RecordHeader,
    frame: Frame,
    bytes: Cow<'a, [u8]>,
}

/// An unchecked record that owns its bytes.
pub(crate) struct RawRecord {
    pub(crate) header: RecordHeader,
    pub(crate) frame: Frame,
    pub(crate) bytes: Vec<u8>,
}

/// A checked record.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) location: Location,
    pub(crate) header: RecordHeader,
    pub(crate) frame: Frame,
    pub(crate) expires_ms: Option<u64>,
    /// The largest decompressed length of a value, in bytes.
    value_len_max: u64,
    source: RecordBytes,
}

#[derive(Clone)]
enum RecordBytes {
    /// The mapping, and the record's offset in it.
    Mapped(Mapping, usize),
    Owned(Arc<Vec<u8>>),
}

impl Record {
    /// Returns whether the record had expired at `now_ms`.
    pub(crate) fn is_past(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }

    /// Returns the value, decompressed if necessary.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it cannot be decompressed, and [`Error::ValueTooLarge`].
    pub(crate) fn into_value(self) -> Result<Value> {
        let header = self.header;
        let location = self.location;
        let len_max = self.value_len_max;
        let stored = self.into_stored();
        let unpack = |codec: Codec| codec.unpack(&stored, len_max);
        let raw = header.flag.codec().and_then(|codec| codec.map(unpack).transpose());
        Ok(match raw.map_err(|damage| Error::of_value(location, damage))? {
            Some(raw) => Value::of(raw),
            None => stored,
        })
    }

    /// Returns the value as stored.
    fn into_stored(self) -> Value {
        let start = self.frame.value_at as usize;
        let end = start + self.frame.value_len as usize;
        match self.source {
            RecordBytes::Mapped(mapping, at) => Value::mapped(mapping, at + start..at + end),
            RecordBytes::Owned(buffer) => Value::owned(buffer, start..end),
        }
    }

    /// Returns the length of the decompressed value in bytes, according to the record.
    pub(crate) fn raw_len(&self) -> u64 {
        match self.compressed() {
            Compressed { stored_len: 0, .. } => self.frame.value_len,
            Compressed { raw_len, .. } => raw_len,
        }
    }

    /// Returns the lengths of the value before and after compression, or zeros if it is not
    /// compressed.
    pub(crate) fn compressed(&self) -> Compressed {
        match &self.source {
            RecordBytes::Mapped(mapping, at) => {
                let record = mapping.bytes(*at..at + self.frame.len as usize);
                self.header.compressed(&self.frame, record.unwrap_or_default())
            }
            RecordBytes::Owned(buffer) => self.header.compressed(&self.frame, buffer),
        }
    }

    pub(crate) fn key(&self) -> Value {
        let start = self.frame.key_at as usize;
        let end = start + self.frame.key_len as usize;
        match &self.source {
            RecordBytes::Mapped(mapping, at) => Value::mapped(mapping.clone(), at + start..at + end),
            RecordBytes::Owned(buffer) => Value::owned(Arc::clone(buffer), start..end),
        }
    }
}
