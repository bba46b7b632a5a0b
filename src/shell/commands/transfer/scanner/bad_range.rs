//! Bytes that are not a record, with the reason.

use std::fmt;

use logkv::Grouped;

/// A range that is not a record, and is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRange {
    pub at: u64,
    pub len: u64,
    pub why: BadReason,
    /// Whether the range reaches the end of the file.
    pub is_rest: bool,
}

impl BadRange {
    /// Returns whether this is an unfinished write at the end of the file.
    pub fn is_torn(&self) -> bool {
        self.is_rest && matches!(self.why, BadReason::Torn(_))
    }
}

impl fmt::Display for BadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            BadReason::Torn(needed) if self.is_rest => {
                return write!(
                    f,
                    "it takes {} bytes, and the file ends after {}",
                    Grouped(needed),
                    Grouped(self.len)
                );
            }
            BadReason::Torn(needed) => {
                write!(f, "it would take {} bytes, more than the file has", Grouped(needed))?;
            }
            BadReason::TooLong(needed) => {
                write!(f, "it takes {} bytes, more than the limit", Grouped(needed))?;
            }
            BadReason::Checksum { stored, computed } => {
                write!(f, "its checksum is {stored:08x}, its bytes give {computed:08x}")?;
            }
            BadReason::Zeros => f.write_str("zeros in place of a record")?,
        }
        match (self.is_rest, self.len) {
            (true, len) => write!(f, "; the rest of the file, {} bytes, is skipped", Grouped(len)),
            (false, len) => write!(f, "; {} bytes are skipped", Grouped(len)),
        }
    }
}

/// The reason why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadReason {
    /// The file ends before a record of this length.
    Torn(u64),
    /// The record would take this many bytes, more than the limit.
    TooLong(u64),
    Checksum {
        /// The stored checksum.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// Zeros, in a format without checksums. Otherwise every header's length of zeros would be a
    /// record with an empty key.
    Zeros,
}
