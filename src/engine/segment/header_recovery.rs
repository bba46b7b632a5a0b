//! Recovery of a lost segment header from the segment's records, if MANIFEST does not list the
//! segment. Then the salt is unknown, without which no checksum can be checked.

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

/// The longest record that is read to check its body. Longer ones are checked by the header after
/// them.
const LEN_READ_MAX: u64 = 1 << 20;

/// Facts of the header that the records show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecoveredHeader {
    pub(crate) salt: u32,
    /// The sequence number of the first intact record. Earlier records may have been lost.
    pub(crate) first_seq: Seqno,
}

/// The records with one salt.
#[derive(Clone, Copy)]
struct SaltedRecords {
    count: u64,
    first_seq: Seqno,
}

/// Recovers the header of segment `id` from its records. Reads the whole file. A salt needs two
/// records, or one that agrees with the salt in the damaged header: a single record proves its
/// body, but not its own header. Returns `None` if no salt is certain.
pub(crate) fn recover(directory: &dyn Directory, id: SegmentId) -> Result<Option<RecoveredHeader>> {
    let file = file::open(directory, id, Access::Read)?;
    let len = file::len(directory, id, &*file)?;
    let shown = file::first_bytes(directory, id, &*file)?;
    let shown = SegmentHeader::peek(&shown).map(|header| header.salt).ok();
    let layout = Layout::current(0);
    let seq_end = Seqno(u64::MAX);
    let identity = Identity { id, base_seq: Seqno(1), layout, created_ms: 0, seq_end, first_page: 0 };
    let segment = Segment::new(identity, directory, &file, &ReadMode::stored(), (len, len))?;
    let by_salt = by_salt(&segment)?;
    let counted = by_salt.into_iter().filter(|(salt, records)| records.count > 1 || Some(*salt) == shown);
    // A value may hold a whole segment, whose records show up if the record around it is damaged.
    // The salt with the most records is taken.
    let most = counted.max_by_key(|(_, records)| records.count);
    Ok(most.map(|(salt, SaltedRecords { first_seq, .. })| RecoveredHeader { salt, first_seq }))
}

/// Groups the records by the salt that makes their checksums match.
fn by_salt(segment: &Segment) -> Result<HashMap<u32, SaltedRecords>> {
    let mut by_salt = HashMap::new();
    let mut window = Window::new(segment);
    let mut at = HEADER_LEN as u64;
    while at + record::LEN_MIN <= segment.len() {
        let Some((salt, seq, len)) = record_at(segment, &mut window, at)? else {
            at = if window.is_zeros(at)? { window.behind_hole(at).max(at + STEP) } else { at + STEP };
            continue;
        };
        by_salt.entry(salt).or_insert(SaltedRecords { count: 0, first_seq: seq }).count += 1;
        at += len;
    }
    Ok(by_salt)
}

fn record_at(segment: &Segment, window: &mut Window<'_>, at: u64) -> Result<Option<(u32, Seqno, u64)>> {
    let bytes = window.bytes(at, record::HEADER_LEN as u64)?;
    let Some(header) = unsalted::plausible_header(bytes) else { return Ok(None) };
    let salt = unsalted::salt(at, bytes);
    let len = header.frame(record::HEADER_LEN as u16).len;
    let Some(behind) = segment.len().checked_sub(at + len) else { return Ok(None) };
    let is_record = if len <= LEN_READ_MAX || behind < record::LEN_MIN {
        unsalted::is_record(window.bytes(at, len)?)
    } else {
        let next = segment.bytes_unchecked(at + len..at + len + record::HEADER_LEN as u64)?;
        unsalted::salt(at + len, &next) == salt
    };
    Ok(is_record.then_some((salt, header.seq, len)))
}
