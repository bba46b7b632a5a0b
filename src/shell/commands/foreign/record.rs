//! A record of another store.

use std::fmt;

/// A record, whether its checksum is right or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignRecord<'a> {
    /// The time of the write, in seconds since 1970.
    pub time_s: u32,
    /// The key, which may be empty.
    pub key: &'a [u8],
    /// The value. For a delete, the bytes that mark it.
    pub value: &'a [u8],
    /// The tombstone, if the record is a delete.
    pub tombstone: Option<Tombstone>,
    /// All bytes of the record, as in the file.
    pub bytes: &'a [u8],
    /// The checksum, if the format has one.
    pub checksum: Option<Checksum>,
}

impl ForeignRecord<'_> {
    /// Returns whether the checksum is right, or the format has none.
    pub fn is_sound(&self) -> bool {
        self.checksum.is_none_or(|checksum| checksum.stored == checksum.computed)
    }
}

/// The checksum of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// The stored checksum.
    pub stored: u32,
    /// The checksum of the record's bytes.
    pub computed: u32,
}

/// The form of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tombstone {
    /// The record has no value.
    NoValue,
    /// The first form of bitcask.
    Plain,
    /// The second form of bitcask, which a merge makes of the first: the put is in a file before
    /// this one.
    Before(u32),
    /// The third form of bitcask: the put is in this file.
    At(u32),
    /// An unknown value that starts like a tombstone. bitcask also treats it as a delete.
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

/// The result of reading the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    Record(ForeignRecord<'a>),
    /// The start of a record that takes this many bytes. Without a whole header, this is the length
    /// of the header.
    Short(u64),
}

/// Splits a record off `bytes`, and returns its bytes, its key and its value. If `bytes` is too
/// short, returns the length of the record instead.
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
