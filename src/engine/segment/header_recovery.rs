//! What the records of a segment tell where its header is lost and MANIFEST does not list it: their salt, without which no
//! checksum can be checked, and their first number.

use std::collections::HashMap;

use super::file;
use super::handle::Segment;
use super::identity::Identity;
use super::scan::{STEP, Window};
use super::store_context::ReadMode;
use crate::engine::base::error::Result;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::record::{self, unsalted};
use crate::engine::format::segment_header::{HEADER_LEN, Layout, SegmentHeader};
use crate::engine::fs::{Access, Directory};

/// The longest record that is read to see whether it is one; of longer ones the place behind them has to tell.
const LEN_READ_MAX: u64 = 1 << 20;

/// What a segment's records tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecoveredHeader {
    pub(crate) salt: u32,
    /// The number of the first one that is intact; there may have been others before it.
    pub(crate) first_seq: Seqno,
}

/// Those that were written with one salt.
#[derive(Clone, Copy)]
struct Alike {
    count: u64,
    first_seq: Seqno,
}

/// What the records of segment `id` tell. Two of them have to agree about the salt, or one with the salt that the header
/// shows: a single one proves its body, and not its own header. `None` when none do. Reads all of the file.
///
/// # Errors
/// What the operating system says.
pub(crate) fn recover(directory: &dyn Directory, id: SegmentId) -> Result<Option<RecoveredHeader>> {
    let file = file::open(directory, id, Access::Read)?;
    let len = file::len(directory, id, &*file)?;
    let shown = file::first_bytes(directory, id, &*file)?;
    let shown = SegmentHeader::peek(&shown).map(|header| header.salt).ok();
    let (layout, seq_end) = (Layout::current(0), Seqno(u64::MAX));
    let identity = Identity { id, base_seq: Seqno(1), layout, created_ms: 0, seq_end, first_page: 0 };
    let segment = Segment::new(identity, directory, &file, &ReadMode::stored(), (len, len))?;
    let by_salt = by_salt(&segment)?;
    let counted = by_salt.into_iter().filter(|(salt, alike)| alike.count > 1 || Some(*salt) == shown);
    // A value may hold a whole segment: where the record around it is damaged its records are seen, too.
    let most = counted.max_by_key(|(_, alike)| alike.count);
    Ok(most.map(|(salt, Alike { first_seq, .. })| RecoveredHeader { salt, first_seq }))
}

/// The records, by the salt that makes their checksums right.
fn by_salt(segment: &Segment) -> Result<HashMap<u32, Alike>> {
    let mut by_salt = HashMap::new();
    let mut window = Window::new(segment);
    let mut at = HEADER_LEN as u64;
    while at + record::LEN_MIN <= segment.len() {
        let Some((salt, seq, len)) = record_at(segment, &mut window, at)? else {
            at = if window.is_zeros(at)? { window.behind_hole(at).max(at + STEP) } else { at + STEP };
            continue;
        };
        by_salt.entry(salt).or_insert(Alike { count: 0, first_seq: seq }).count += 1;
        at += len;
    }
    Ok(by_salt)
}

/// The salt, number and length of the record at `at`, if there is one.
fn record_at(segment: &Segment, window: &mut Window<'_>, at: u64) -> Result<Option<(u32, Seqno, u64)>> {
    let bytes = window.bytes(at, record::HEADER_LEN as u64)?;
    let Some(header) = unsalted::plausible_header(bytes) else { return Ok(None) };
    let (salt, len) = (unsalted::salt(at, bytes), header.frame(record::HEADER_LEN as u16).len);
    let Some(behind) = segment.len().checked_sub(at + len) else { return Ok(None) };
    let is_record = if len <= LEN_READ_MAX || behind < record::LEN_MIN {
        unsalted::is_record(window.bytes(at, len)?)
    } else {
        let next = segment.bytes_unchecked(at + len..at + len + record::HEADER_LEN as u64)?;
        unsalted::salt(at + len, &next) == salt
    };
    Ok(is_record.then_some((salt, header.seq, len)))
}
