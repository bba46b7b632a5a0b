//! A segment as found: what MANIFEST, its header or its records say of it.

use std::collections::HashSet;

use crate::engine::base::error::Result;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::manifest::{Extent, Manifest, SegmentLine};
use crate::engine::format::segment_header::{HeaderError, Layout, SegmentHeader};
use crate::engine::fs::{Access, Directory};
use crate::engine::segment::header_recovery::{self, RecoveredHeader};
use crate::engine::segment::{Bodies, Identity, ReadMode, Scanner, Segment, Step, file};

/// What is known of a segment without a look at its records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundSegment {
    pub(crate) id: SegmentId,
    pub(crate) base_seq: Seqno,
    /// Whether that is where its numbers begin, and not that of a record which others may have stood before.
    pub(crate) has_base_seq: bool,
    pub(crate) layout: Layout,
    /// What MANIFEST says of its length; `None` when it does not list it.
    pub(crate) extent: Option<Extent>,
    /// A number that is greater than that of any of its records. `None` where nobody says: a segment that MANIFEST does not
    /// list, such as a compaction's input or output, holds numbers that others hold, too.
    pub(crate) seq_end: Option<Seqno>,
}

/// The segments that are `present`, that this store's MANIFEST does not list, and that hold numbers which it has not given out
/// yet: then it is an old one, put back. An interrupted roll leaves a segment without a record, and a compaction one with old
/// numbers. A backup's MANIFEST is put in place last: what it does not list, an interrupted backup has left.
pub(crate) fn newer(
    directory: &dyn Directory,
    manifest: &Manifest,
    present: &[SegmentId],
) -> Result<Vec<SegmentId>> {
    if manifest.is_backup {
        return Ok(Vec::new());
    }
    let listed: HashSet<SegmentId> = manifest.segments.iter().map(|line| line.id).collect();
    let mut newer = Vec::new();
    for &id in present.iter().filter(|id| !listed.contains(id)) {
        let Ok(header) = header_bytes(directory, id).map(|bytes| SegmentHeader::decode(&bytes)) else {
            continue;
        };
        let is_ours = |header: &SegmentHeader| header.store == manifest.store && header.segment == id;
        if let Some(header) =
            header.ok().filter(is_ours).filter(|header| header.base_seq >= manifest.next_seq)
            && holds_a_record(directory, &header)?
        {
            newer.push(id);
        }
    }
    newer.sort_unstable();
    Ok(newer)
}

fn holds_a_record(directory: &dyn Directory, header: &SegmentHeader) -> Result<bool> {
    let SegmentHeader { segment: id, base_seq, created_ms, .. } = *header;
    let layout = header.layout();
    let file = file::open(directory, id, Access::Read)?;
    let len = file::len(directory, id, &*file)?;
    let identity = Identity { id, base_seq, layout, created_ms, seq_end: Seqno(u64::MAX), first_page: 0 };
    let segment = Segment::new(identity, directory, &file, &ReadMode::stored(), (len, len))?;
    let mut scanner = Scanner::new(&segment, Bodies::Checked);
    while let Some(step) = scanner.next()? {
        if let Step::Record(record) = step
            && record.damage.is_none()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The segments that MANIFEST lists.
pub(super) fn listed(manifest: &Manifest) -> Vec<FoundSegment> {
    let ends = manifest.segments.iter().skip(1).map(|next| Some(next.base_seq)).chain([None]);
    let known = |(line, seq_end): (&SegmentLine, _)| {
        let SegmentLine { id, base_seq, layout, extent } = *line;
        FoundSegment { id, base_seq, has_base_seq: true, layout, extent: Some(extent), seq_end }
    };
    manifest.segments.iter().zip(ends).map(known).collect()
}

/// Whether segments are there, and each that says whose it is names another store than `manifest` does; unless one whose header
/// is damaged shows by its records that `manifest` knows it.
pub(super) fn is_anothers(directory: &dyn Directory, manifest: &Manifest, present: &[SegmentId]) -> bool {
    let (mut has_others, mut silent) = (false, HashSet::new());
    for &id in present {
        let Ok(bytes) = header_bytes(directory, id) else { continue };
        match SegmentHeader::decode(&bytes) {
            Ok(header) if header.store == manifest.store => return false,
            Ok(_) => has_others = true,
            Err(_) => {
                silent.insert(id);
            }
        }
    }
    let is_known = |line: &SegmentLine| {
        let told = header_recovery::recover(directory, line.id).ok().flatten();
        told.is_some_and(|told| told.salt == line.layout.records.salt)
    };
    has_others && !manifest.segments.iter().filter(|line| silent.contains(&line.id)).any(is_known)
}

/// The segments that say where they stand, in the order of their numbers, which grow along the log.
pub(super) fn by_headers(directory: &dyn Directory, present: &[SegmentId]) -> Vec<FoundSegment> {
    let mut known: Vec<FoundSegment> =
        present.iter().filter_map(|&id| known_by_header(directory, id)).collect();
    known.sort_by_key(|known| (known.base_seq, known.id));
    known
}

/// What a segment that no MANIFEST lists says of itself: in its header, or, where that is damaged, by its records.
pub(super) fn known_by_header(directory: &dyn Directory, id: SegmentId) -> Option<FoundSegment> {
    let (base_seq, layout, has_header) = match SegmentHeader::decode(&header_bytes(directory, id).ok()?) {
        Ok(header) => (header.base_seq, header.layout(), true),
        Err(HeaderError::Unsupported(_)) => return None,
        Err(HeaderError::Damaged(_)) => {
            let told = header_recovery::recover(directory, id);
            let told = told.inspect_err(|error| tracing::warn!(segment = id.0, %error, "it cannot be read"));
            let RecoveredHeader { salt, first_seq } = told.ok()??;
            (first_seq, Layout::current(salt), false)
        }
    };
    Some(FoundSegment { id, base_seq, has_base_seq: has_header, layout, extent: None, seq_end: None })
}

pub(super) fn header_bytes(directory: &dyn Directory, id: SegmentId) -> Result<Vec<u8>> {
    let file = file::open(directory, id, Access::Read)?;
    file::first_bytes(directory, id, &*file)
}
