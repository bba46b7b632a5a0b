//! What `dump-segment` shows of a file, whichever store wrote it.

use std::borrow::Cow;

use logkv::Seqno;
use logkv::inspect::Fate;

use super::fields::ByteField;
use crate::shell::lang::answer::Answer;

/// A field of a JSON object.
pub type JsonField = (&'static str, serde_json::Value);

/// What all records of a file have in common.
#[derive(Clone, Debug)]
pub struct FileShape {
    /// The length of the file in bytes.
    pub len: u64,
    /// Whether a record has a sequence number and a fate.
    pub has_fates: bool,
    /// Whether a record has a checksum.
    pub has_checksums: bool,
    /// Whether any record of the first page has a value, or text in its place.
    pub has_values: bool,
    /// The day on which all records of the first page were written, if it is one.
    pub day: Option<String>,
    /// The unit in which a record has its time, in milliseconds.
    pub tick_ms: u64,
}

/// A record, or bytes that are none.
pub enum DumpItem<'a> {
    /// A record.
    Record(DumpRecord<'a>),
    /// Bytes that are none.
    Bad(BadBytes),
}

impl DumpItem<'_> {
    /// Where it starts in the file.
    pub fn at(&self) -> u64 {
        match self {
            Self::Record(record) => record.at,
            Self::Bad(bad) => bad.at,
        }
    }
}

/// A record.
pub struct DumpRecord<'a> {
    /// Its number in the file, from 0.
    pub index: u64,
    /// Where it starts in the file.
    pub at: u64,
    /// Its length in bytes.
    pub len: u64,
    /// `PUT`, `DEL`, or the number of a kind of a newer version.
    pub kind: Cow<'static, str>,
    /// Whether it deletes its key.
    pub is_delete: bool,
    /// Its sequence number.
    pub seq: Option<Seqno>,
    /// When it was written, in milliseconds since 1970.
    pub time_ms: u64,
    /// Its key.
    pub key: &'a [u8],
    /// The value that it sets.
    pub value: Option<&'a [u8]>,
    /// The form of its tombstone, if its format has several.
    pub tombstone: Option<String>,
    /// Its checksum as stored, and whether that is right.
    pub checksum: Option<(u32, bool)>,
    /// Why it is live or dead.
    pub fate: Option<Fate>,
    /// What is wrong with it.
    pub damage: Option<String>,
    /// What only some forms show.
    pub details: &'a dyn RecordDetails,
}

/// What only some forms show of a record.
pub trait RecordDetails {
    /// Its place, as the heading of the hex view names it.
    fn place(&self) -> String;

    /// Its fields, in file order and without gaps.
    fn fields(&self) -> Vec<ByteField<'_>>;

    /// All its bytes.
    fn bytes(&self) -> &[u8];

    /// Adds the file's name or number, for JSON.
    fn add_file(&self, answer: &mut Answer<'_>);

    /// Adds the fields of this format, for JSON.
    fn add_fields(&self, answer: &mut Answer<'_>);
}

/// Bytes that are no record.
pub struct BadBytes {
    /// Where they start in the file.
    pub at: u64,
    /// How many they are.
    pub len: u64,
    /// Whether they are a write that was cut off at the end of the file.
    pub is_torn: bool,
    /// What is wrong with them.
    pub damage: String,
    /// What follows from that, for people.
    pub outcome: Option<String>,
    /// The checksum as stored, and as the bytes give it.
    pub checksums: Option<(u32, u32)>,
    /// What else JSON has.
    pub json_fields: Vec<JsonField>,
}

impl BadBytes {
    /// One word for programs.
    pub fn kind(&self) -> &'static str {
        if self.is_torn { "torn" } else { "damaged" }
    }
}
