//! The items that `dump-segment` shows, for segments and for files of other stores.

use std::borrow::Cow;

use logkv::Seqno;
use logkv::inspect::Fate;

use super::fields::ByteField;
use crate::shell::lang::answer::Answer;

/// A field of a JSON object.
pub type JsonField = (&'static str, serde_json::Value);

/// The properties of a file that decide which columns its list has.
#[derive(Clone, Debug)]
pub struct FileShape {
    /// The length of the file, in bytes.
    pub len: u64,
    /// Whether a record has a sequence number and a fate.
    pub has_fates: bool,
    /// Whether a record has a checksum.
    pub has_checksums: bool,
    /// Whether a record of the first page has a value, or text in place of one.
    pub has_values: bool,
    /// The day on which all records of the first page were written. `None` if they differ.
    pub day: Option<String>,
    /// The resolution of a record's time, in milliseconds.
    pub tick_ms: u64,
}

/// A record, or bytes that are not a record.
pub enum DumpItem<'a> {
    Record(DumpRecord<'a>),
    Bad(BadBytes),
}

impl DumpItem<'_> {
    /// Returns the offset in the file.
    pub fn at(&self) -> u64 {
        match self {
            Self::Record(record) => record.at,
            Self::Bad(bad) => bad.at,
        }
    }
}

pub struct DumpRecord<'a> {
    /// The number of the record in the file, from 0.
    pub index: u64,
    pub at: u64,
    pub len: u64,
    /// `PUT`, `DEL`, or the number of a kind that only a newer version knows.
    pub kind: Cow<'static, str>,
    /// Whether the record deletes its key.
    pub is_delete: bool,
    pub seq: Option<Seqno>,
    /// The time of the write, in milliseconds since 1970.
    pub time_ms: u64,
    pub key: &'a [u8],
    /// The value, unless the record is a delete.
    pub value: Option<&'a [u8]>,
    /// The form of the tombstone, for a format that has several.
    pub tombstone: Option<String>,
    /// The stored checksum, and whether it is right.
    pub checksum: Option<(u32, bool)>,
    /// Why the record is live or dead.
    pub fate: Option<Fate>,
    /// The damage, for people.
    pub damage: Option<String>,
    pub details: &'a dyn RecordDetails,
}

/// Details of a record that only some forms show.
pub trait RecordDetails {
    /// Returns the location for the heading of the hex view.
    fn place(&self) -> String;

    /// Returns the fields in file order, without gaps.
    fn fields(&self) -> Vec<ByteField<'_>>;

    /// Returns all bytes of the record.
    fn bytes(&self) -> &[u8];

    /// Adds the file's name or number to JSON.
    fn add_file(&self, answer: &mut Answer<'_>);

    /// Adds the fields of this format to JSON.
    fn add_fields(&self, answer: &mut Answer<'_>);
}

pub struct BadBytes {
    pub at: u64,
    pub len: u64,
    /// Whether this is an unfinished write at the end of the file.
    pub is_torn: bool,
    /// The damage, for people.
    pub damage: String,
    /// The consequence of the damage, for people.
    pub outcome: Option<String>,
    /// The stored and the computed checksum.
    pub checksums: Option<(u32, u32)>,
    /// Further fields of the JSON object.
    pub json_fields: Vec<JsonField>,
}

impl BadBytes {
    /// Returns the kind as one word for programs.
    pub fn kind(&self) -> &'static str {
        if self.is_torn { "torn" } else { "damaged" }
    }
}
