//! The formats of other stores' data files: bytes to records, and nothing else.
//!
//! Riak's [`bitcask`] and the Go program *logkv-store* ([`go`]) both write a plain sequence of
//! records, without a header or an end mark. The name of a file gives its format and its number in
//! the log.

#![deny(clippy::indexing_slicing)]

#[cfg(any(test, fuzzing))]
pub mod any_file;
mod bitcask;
mod go;
mod record;

pub use self::record::{ForeignRecord, Parsed};

/// A format of data files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignFormat {
    /// Riak's bitcask: big-endian, with checksums.
    Bitcask,
    /// The Go program logkv-store: little-endian, without checksums.
    LogkvStore,
}

impl ForeignFormat {
    pub const ALL: [Self; 2] = [Self::Bitcask, Self::LogkvStore];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bitcask => "bitcask",
            Self::LogkvStore => "logkv-store",
        }
    }

    /// Returns whether records have a checksum.
    pub fn has_checksums(self) -> bool {
        self == Self::Bitcask
    }

    /// Returns the length of a record header, in bytes.
    pub fn header_len(self) -> usize {
        match self {
            Self::Bitcask => bitcask::HEADER_LEN,
            Self::LogkvStore => go::HEADER_LEN,
        }
    }

    /// Returns the name and the length of each field of a record header.
    pub fn header_fields(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Bitcask => bitcask::FIELDS,
            Self::LogkvStore => go::FIELDS,
        }
    }

    /// Returns the number in the log of a data file with this name, or `None` for other names.
    pub fn number(self, name: &[u8]) -> Option<u64> {
        let (prefix, suffix) = match self {
            Self::Bitcask => (&b""[..], &b".bitcask.data"[..]),
            Self::LogkvStore => (&b"segment_"[..], &b".log"[..]),
        };
        let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
        let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        are_digits.then(|| str::from_utf8(digits).ok()?.parse().ok()).flatten()
    }

    /// Returns the format of a data file with this name, or `None` for other names.
    pub fn of(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.number(name).is_some())
    }

    /// Reads the record at the start of `bytes`.
    pub fn read(self, bytes: &[u8]) -> Parsed<'_> {
        match self {
            Self::Bitcask => bitcask::read(bytes),
            Self::LogkvStore => go::read(bytes),
        }
    }

    /// Encodes a record.
    #[cfg(any(test, fuzzing))]
    pub fn write(self, time_s: u32, key: &[u8], value: &[u8]) -> Vec<u8> {
        match self {
            Self::Bitcask => bitcask::write(time_s, key, value),
            Self::LogkvStore => go::write(time_s, key, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_data_file_gives_format_and_number() {
        assert_eq!(ForeignFormat::Bitcask.number(b"17.bitcask.data"), Some(17));
        assert_eq!(ForeignFormat::LogkvStore.number(b"segment_17.log"), Some(17));
        assert_eq!(ForeignFormat::of(b"1.bitcask.data"), Some(ForeignFormat::Bitcask));
        assert_eq!(ForeignFormat::of(b"segment_1.log"), Some(ForeignFormat::LogkvStore));
        for name in
            ["1.bitcask.hint", ".bitcask.data", "+1.bitcask.data", "segment_.log", "segment_1.log.bak", "1"]
        {
            assert_eq!(ForeignFormat::of(name.as_bytes()), None, "{name}");
        }
        assert_eq!(ForeignFormat::LogkvStore.number(b"segment_18446744073709551616.log"), None);
    }

    #[test]
    fn the_fields_of_a_header_cover_its_length() {
        for format in ForeignFormat::ALL {
            let len: usize = format.header_fields().iter().map(|(_, len)| len).sum();
            assert_eq!(len, format.header_len());
        }
    }
}
