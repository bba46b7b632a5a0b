//! What is wrong with bytes.

use crate::engine::base::escape::Grouped;
use crate::engine::base::ids::Seqno;

/// What is wrong with the bytes of one record, or of a segment's header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file ends inside.
    #[error("it needs {} bytes, and the file ends after {}", Grouped(*wants), Grouped(*has))]
    Truncated {
        /// The bytes it takes.
        wants: u64,
        /// The bytes that are there.
        has: u64,
    },
    /// The header's own checksum is wrong, so no length in it can be used.
    #[error("the header's checksum is {stored:08x}, its bytes give {computed:08x}")]
    HeaderChecksum {
        /// As stored.
        stored: u32,
        /// As computed from the bytes.
        computed: u32,
    },
    /// The header is intact; the key, the value or the padding is not.
    #[error("the record's checksum is {stored:08x}, its bytes give {computed:08x}")]
    RecordChecksum {
        /// As stored.
        stored: u32,
        /// As computed from the bytes.
        computed: u32,
    },
    /// A checksum that is right over a field that cannot be.
    #[error("{what} cannot be {value}")]
    Field {
        /// The field.
        what: &'static str,
        /// What it holds.
        value: u64,
    },
    /// The record's number does not come after the one before it.
    #[error("its number is {found}, after {previous}")]
    Order {
        /// The record's number.
        found: Seqno,
        /// The number of the record before.
        previous: Seqno,
    },
    /// The segment belongs to another store, or its file has another segment's name.
    #[error("it belongs to {0}")]
    Foreign(String),
    /// The value is compressed with a codec this version does not know.
    #[error("its value is compressed with codec {0}, which this version does not know")]
    Codec(u8),
    /// The value does not decompress to as many bytes as it had.
    #[error(
        "its value is compressed with {codec} and does not decompress to the expected {} bytes",
        Grouped((*raw_len).into())
    )]
    Compressed {
        /// The codec's name.
        codec: &'static str,
        /// How many bytes the value is said to have.
        raw_len: u32,
    },
    /// The compressed value is larger than [`Options::value_read_max`](crate::Options::value_read_max). It
    /// was not decompressed, and may be intact.
    #[error("its value decompresses to {} bytes; the limit here is {}", Grouped(*len), Grouped(*limit))]
    TooLarge {
        /// The value's length in bytes, as its record says.
        len: u64,
        /// The limit in force, in bytes.
        limit: u64,
    },
    /// Whole records, of a batch whose end is missing.
    #[error("its batch has no end")]
    UnfinishedBatch,
    /// The file does not start with a segment's magic.
    #[error("it does not start with LOGKVSEG")]
    Magic,
}
