//! Data files of other stores of this kind: what their bytes say, and nothing else.
//!
//! Two formats, each a sequence of records without a header, a mark or an end: Riak's [`bitcask`], and that of the Go
//! program *logkv-store* ([`go`]). Which of them a file is, and which number it has in the log, its name says.

#![deny(clippy::indexing_slicing)]

#[cfg(any(test, fuzzing))]
pub mod any_file;
mod bitcask;
mod go;
mod record;

pub use self::record::{ForeignRecord, Parsed};

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignFormat {
    /// Riak's bitcask: big-endian, with checksums.
    Bitcask,
    /// The Go program logkv-store: little-endian, without.
    LogkvStore,
}

impl ForeignFormat {
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
    pub fn read(self, bytes: &[u8]) -> Parsed<'_> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_file_is_known_by_its_name() {
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
    fn the_fields_of_a_header_fill_it() {
        for format in ForeignFormat::ALL {
            let len: usize = format.header_fields().iter().map(|(_, len)| len).sum();
            assert_eq!(len, format.header_len());
        }
    }
}
