//! Segments: one file of records each, read at an offset, scanned from start to end, or appended
//! to.

mod expiry;
pub(crate) mod file;
pub(crate) mod filter;
mod handle;
pub(crate) mod header_recovery;
pub(crate) mod hint;
mod identity;
mod order;
mod read;
mod rows;
mod scan;
mod search;
mod sort;
mod sorter;
mod store_context;
mod usage;
pub(crate) mod value;
mod versions;
mod writer;

pub(crate) use expiry::Expired;
pub(crate) use handle::Segment;
pub(crate) use identity::Identity;
pub(crate) use read::{Outline, RawRecord, Record};
pub(crate) use rows::{SortedRecords, SortedRows};
pub(crate) use scan::{Bodies, Scanned, Scanner, Step};
pub(crate) use sorter::Sorter;
pub(crate) use store_context::{ReadMode, StoreContext};
pub(crate) use versions::SegmentVersions;
pub(crate) use writer::SegmentWriter;
