//! Data files of other stores of this kind: what their bytes say, and nothing else.
//!
//! Two formats, each a sequence of records without a header, a mark or an end: Riak's [`bitcask`], and that of the Go
//! program *logkv-store* ([`go`]). Which of them a file is, and which number it has in the log, its name says.

#![deny(clippy::indexing_slicing)]

#[cfg(any(test, fuzzing))]
pub mod any_file;
mod bitcask;
mod go;

use std::fmt;

use flate2::Crc;

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Riak's bitcask: big-endian, with checksums.
    Bitcask,
    /// The Go program logkv-store: little-endian, without.
    LogkvStore,
}

/// A record, right or wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
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

impl Record<'_> {
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
pub enum Start<'a> {
    /// A record.
    Record(Record<'a>),
    /// The start of one, which takes this many bytes; as far as these tell, of its header.
    Short(u64),
}

impl Format {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Bitcask, Self::LogkvStore];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bitcask => "bitcask",
            Self::LogkvStore => "logkv-store",
        }
    }

    /// Whether its records have a checksum.
    pub fn has_checksums(self) -> bool {
        self == Self::Bitcask
    }

    /// The length of a record's header, in bytes.
    pub fn header_len(self) -> usize {
        match self {
            Self::Bitcask => bitcask::HEADER_LEN,
            Self::LogkvStore => go::HEADER_LEN,
        }
    }

    /// The fields of a record's header: each name, and how many bytes it takes.
    pub fn header_fields(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Bitcask => bitcask::FIELDS,
            Self::LogkvStore => go::FIELDS,
        }
    }

    /// The number that a data file of this name has in the log of its store; `None` for a name of no such file.
    pub fn number(self, name: &[u8]) -> Option<u64> {
        let (prefix, suffix) = match self {
            Self::Bitcask => (&b""[..], &b".bitcask.data"[..]),
            Self::LogkvStore => (&b"segment_"[..], &b".log"[..]),
        };
        let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
        let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        are_digits.then(|| str::from_utf8(digits).ok()?.parse().ok()).flatten()
    }

    /// The format of a file of this name, if it has the name of one.
    pub fn of(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.number(name).is_some())
    }

    /// What `bytes` start with.
    pub fn read(self, bytes: &[u8]) -> Start<'_> {
        match self {
            Self::Bitcask => bitcask::read(bytes),
            Self::LogkvStore => go::read(bytes),
        }
    }

    /// The record of these parts, as its store would write it.
    #[cfg(any(test, fuzzing))]
    pub fn write(self, time_s: u32, key: &[u8], value: &[u8]) -> Vec<u8> {
        match self {
            Self::Bitcask => bitcask::write(time_s, key, value),
            Self::LogkvStore => go::write(time_s, key, value),
        }
    }
}

/// The bytes of a record that `bytes` start with, its key and its value, whose lengths are in its header of
/// `header_len` bytes; or the length that the record should have.
fn split(bytes: &[u8], header_len: usize, key_len: u64, value_len: u64) -> Result<[&[u8]; 3], u64> {
    let len = header_len as u64 + key_len + value_len;
    let parts = || {
        let record = bytes.get(..usize::try_from(len).ok()?)?;
        let (key, value) = record.get(header_len..)?.split_at_checked(usize::try_from(key_len).ok()?)?;
        Some([record, key, value])
    };
    parts().ok_or(len)
}

/// The CRC-32 of zlib, over `bytes`.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_file_is_known_by_its_name() {
        assert_eq!(Format::Bitcask.number(b"17.bitcask.data"), Some(17));
        assert_eq!(Format::LogkvStore.number(b"segment_17.log"), Some(17));
        assert_eq!(Format::of(b"1.bitcask.data"), Some(Format::Bitcask));
        assert_eq!(Format::of(b"segment_1.log"), Some(Format::LogkvStore));
        for name in
            ["1.bitcask.hint", ".bitcask.data", "+1.bitcask.data", "segment_.log", "segment_1.log.bak", "1"]
        {
            assert_eq!(Format::of(name.as_bytes()), None, "{name}");
        }
        assert_eq!(Format::LogkvStore.number(b"segment_18446744073709551616.log"), None);
    }

    #[test]
    fn the_fields_of_a_header_fill_it() {
        for format in Format::ALL {
            let len: usize = format.header_fields().iter().map(|(_, len)| len).sum();
            assert_eq!(len, format.header_len());
        }
    }
}
