//! A segment as found on disk: the facts that MANIFEST, its header or its records give.

use std::collections::HashSet;

use crate::engine::base::error::Result;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::manifest::{Manifest, SegmentExtent, SegmentLine};
use crate::engine::format::segment_header::{HeaderError, Layout, SegmentHeader};
use crate::engine::fs::{Access, Directory};
use crate::engine::segment::header_recovery::{self, RecoveredHeader};
use crate::engine::segment::{Bodies, Identity, ReadMode, Scanner, Segment, Step, file};

/// The facts about a segment that need no index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundSegment {
    pub(crate) id: SegmentId,
    pub(crate) base_seq: Seqno,
    /// Whether `base_seq` is the first sequence number of the segment. If not, it is that of the
    /// first intact record.
    pub(crate) has_base_seq: bool,
    pub(crate) layout: Layout,
    /// The extent in MANIFEST. `None` if MANIFEST does not list the segment.
    pub(crate) extent: Option<SegmentExtent>,
    /// Greater than the sequence number of any of its records. `None` if unknown: a segment that
    /// MANIFEST does not list may share numbers with others, as the inputs and outputs of a
    /// compaction do.
    pub(crate) seq_end: Option<Seqno>,
}

/// Returns the segments in `present` which show that MANIFEST is an old one that was put back:
/// segments of this store that it does not list, with sequence numbers that it has not assigned.
///
/// An interrupted roll leaves a segment without records, and an interrupted compaction leaves one
/// with old numbers. A backup puts its MANIFEST in place last, so its unlisted segments are left
/// from an interrupted backup.
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

pub(super) fn listed(manifest: &Manifest) -> Vec<FoundSegment> {
    let ends = manifest.segments.iter().skip(1).map(|next| Some(next.base_seq)).chain([None]);
    let found = |(line, seq_end): (&SegmentLine, _)| {
        let SegmentLine { id, base_seq, layout, extent } = *line;
        FoundSegment { id, base_seq, has_base_seq: true, layout, extent: Some(extent), seq_end }
    };
    manifest.segments.iter().zip(ends).map(found).collect()
}

/// Returns whether MANIFEST belongs to another store: all intact headers name another one, and no
/// segment with a damaged header has the salt that MANIFEST lists for it.
pub(super) fn is_of_another_store(
    directory: &dyn Directory,
    manifest: &Manifest,
    present: &[SegmentId],
) -> bool {
    let mut has_others = false;
    let mut without_header = HashSet::new();
    for &id in present {
        let Ok(bytes) = header_bytes(directory, id) else { continue };
        match SegmentHeader::decode(&bytes) {
            Ok(header) if header.store == manifest.store => return false,
            Ok(_) => has_others = true,
            Err(_) => {
                without_header.insert(id);
            }
        }
    }
    let is_known = |line: &SegmentLine| {
        let recovered = header_recovery::recover(directory, line.id).ok().flatten();
        recovered.is_some_and(|recovered| recovered.salt == line.layout.records.salt)
    };
    has_others && !manifest.segments.iter().filter(|line| without_header.contains(&line.id)).any(is_known)
}

/// Returns the segments with known headers, in the order of their sequence numbers, which is log
/// order.
pub(super) fn by_headers(directory: &dyn Directory, present: &[SegmentId]) -> Vec<FoundSegment> {
    let mut found: Vec<FoundSegment> = present.iter().filter_map(|&id| by_header(directory, id)).collect();
    found.sort_by_key(|found| (found.base_seq, found.id));
    found
}

/// Returns the facts about a segment that MANIFEST does not list: from its header, or from its
/// records if the header is damaged.
pub(super) fn by_header(directory: &dyn Directory, id: SegmentId) -> Option<FoundSegment> {
    let (base_seq, layout, has_base_seq) = match SegmentHeader::decode(&header_bytes(directory, id).ok()?) {
        Ok(header) => (header.base_seq, header.layout(), true),
        Err(HeaderError::Unsupported(_)) => return None,
        Err(HeaderError::Damaged(_)) => {
            let recovered = header_recovery::recover(directory, id);
            let recovered = recovered
                .inspect_err(|error| tracing::warn!(segment = id.0, %error, "a segment cannot be read"));
            let RecoveredHeader { salt, first_seq } = recovered.ok()??;
            (first_seq, Layout::current(salt), false)
        }
    };
    Some(FoundSegment { id, base_seq, has_base_seq, layout, extent: None, seq_end: None })
}

pub(super) fn header_bytes(directory: &dyn Directory, id: SegmentId) -> Result<Vec<u8>> {
    let file = file::open(directory, id, Access::Read)?;
    file::first_bytes(directory, id, &*file)
}
