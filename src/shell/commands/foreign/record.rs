//! A record of another store, as its bytes say.

use std::fmt;

/// A record, right or wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignRecord<'a> {
    /// When it was written, in seconds since 1970.
    pub time_s: u32,
    /// The key, which may be empty.
    pub key: &'a [u8],
    /// The value; of a delete, the bytes that say so.
    pub value: &'a [u8],
    /// What says that it is a delete, if it is one.
    pub tombstone: Option<Tombstone>,
    /// All its bytes, as they stand in the file.
    pub bytes: &'a [u8],
    /// The checksums, where the format has one.
    pub checksum: Option<Checksum>,
}

impl ForeignRecord<'_> {
    /// Whether nothing says that it is not as it was written.
    pub fn is_sound(&self) -> bool {
        self.checksum.is_none_or(|checksum| checksum.stored == checksum.computed)
    }
}

/// A record's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// As stored.
    pub stored: u32,
    /// What the record's bytes give.
    pub computed: u32,
}

/// How a record says that it deletes its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tombstone {
    /// It has no value.
    NoValue,
    /// bitcask's first kind.
    Plain,
    /// bitcask's second kind, that a merge made of the first: of a record in a file before this one.
    Before(u32),
    /// bitcask's third kind: of a record in this file.
    At(u32),
    /// It starts like one of bitcask's, which takes it for one, too.
    Unknown,
}

impl fmt::Display for Tombstone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValue => f.write_str("no value"),
            Self::Plain => f.write_str("tombstone"),
            Self::Before(file) => write!(f, "tombstone1: before {file}"),
            Self::At(file) => write!(f, "tombstone2: of file {file}"),
            Self::Unknown => f.write_str("unknown tombstone"),
        }
    }
}

/// What the start of some bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A record.
    Record(ForeignRecord<'a>),
    /// The start of one, which takes this many bytes; as far as these tell, of its header.
    Short(u64),
}

/// The bytes of a record that `bytes` start with, its key and its value, whose lengths are in its header of
/// `header_len` bytes; or the length that the record should have.
pub(super) fn split(
    bytes: &[u8],
    header_len: usize,
    key_len: u64,
    value_len: u64,
) -> Result<[&[u8]; 3], u64> {
    let len = header_len as u64 + key_len + value_len;
    let parts = || {
        let record = bytes.get(..usize::try_from(len).ok()?)?;
        let (key, value) = record.get(header_len..)?.split_at_checked(usize::try_from(key_len).ok()?)?;
        Some([record, key, value])
    };
    parts().ok_or(len)
}
