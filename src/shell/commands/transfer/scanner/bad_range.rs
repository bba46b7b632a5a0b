//! Bytes that are no record, and what is wrong with them.

use std::fmt;

use logkv::Grouped;

/// Bytes that are no record, and are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRange {
    /// Where they start.
    pub at: u64,
    /// How many they are.
    pub len: u64,
    /// What is wrong.
    pub why: BadReason,
    /// Whether they reach to the end of the file.
    pub is_rest: bool,
}

impl BadRange {
    /// Whether it is the start of a record at the end of the file: a write that was cut off.
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
                write!(f, "it takes {} bytes, more than a record may here", Grouped(needed))?;
            }
            BadReason::Checksum { stored, computed } => {
                write!(f, "its checksum is {stored:08x}, its bytes give {computed:08x}")?;
            }
            BadReason::Zeros => f.write_str("zeros stand where a record should")?,
        }
        match (self.is_rest, self.len) {
            (true, len) => write!(f, "; the rest of the file, {} bytes, is given up", Grouped(len)),
            (false, len) => write!(f, "; {} bytes are passed over", Grouped(len)),
        }
    }
}

/// What is wrong with bytes that should be a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadReason {
    /// The file ends before a record of this length does.
    Torn(u64),
    /// The record would take this many bytes, more than is read.
    TooLong(u64),
    /// Its checksum.
    Checksum {
        /// As stored.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// Zeros, in a format without checksums: each header's length of them would be a record with an
    /// empty key.
    Zeros,
}
