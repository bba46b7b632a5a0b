//! The kinds of damage to the bytes of a segment.

use crate::engine::base::escape::Grouped;
use crate::engine::base::ids::Seqno;

/// Damage to the bytes of a record, or of a segment's header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file ends inside the record.
    #[error("it needs {} bytes, and the file ends after {}", Grouped(*wants), Grouped(*has))]
    Truncated {
        /// The length of the record, in bytes.
        wants: u64,
        /// The bytes before the end of the file.
        has: u64,
    },
    /// The header's checksum is wrong, so its lengths cannot be used.
    #[error("the header's checksum is {stored:08x}, its bytes give {computed:08x}")]
    HeaderChecksum {
        /// As stored.
        stored: u32,
        /// As computed from the bytes.
        computed: u32,
    },
    /// The record's checksum is wrong, but its header is intact.
    #[error("the record's checksum is {stored:08x}, its bytes give {computed:08x}")]
    RecordChecksum {
        /// As stored.
        stored: u32,
        /// As computed from the bytes.
        computed: u32,
    },
    /// The checksum is right, but a field has an impossible value.
    #[error("{what} cannot be {value}")]
    Field {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// The record's number is not higher than that of the record before it.
    #[error("its number is {found}, after {previous}")]
    Order {
        /// The record's number.
        found: Seqno,
        /// The number of the record before it.
        previous: Seqno,
    },
    /// The segment belongs to another store, or the file has the name of another segment.
    #[error("it belongs to {0}")]
    Foreign(String),
    /// The codec of the value is unknown to this version.
    #[error("its value is compressed with codec {0}, which this version does not know")]
    Codec(u8),
    /// The value does not decompress to its recorded length.
    #[error(
        "its value is compressed with {codec} and does not decompress to the expected {} bytes",
        Grouped((*raw_len).into())
    )]
    Compressed {
        /// The codec's name.
        codec: &'static str,
        /// The recorded length, in bytes.
        raw_len: u32,
    },
    /// The value is larger than [`Options::value_read_max`](crate::Options::value_read_max). It was
    /// not decompressed, and may be intact.
    #[error("its value decompresses to {} bytes; the limit here is {}", Grouped(*len), Grouped(*limit))]
    TooLarge {
        /// The value's length in bytes, from its record.
        len: u64,
        /// The limit in force, in bytes.
        limit: u64,
    },
    /// Intact records of a batch whose end is missing.
    #[error("its batch has no end")]
    UnfinishedBatch,
    /// The file does not start with a segment's magic.
    #[error("it does not start with LOGKVSEG")]
    Magic,
}
