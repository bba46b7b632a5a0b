//! Inspection of a segment: every byte explained, every record with its fate.
//!
//! An inspection reads the files with `pread`, and also works on a store that does not open. The
//! index of an open store makes it faster. The result is the same.

mod fates;
mod item;
mod piece;
mod summary;

use std::path::Path;
use std::sync::Arc;

pub use fates::Fate;
pub use item::{Item, RecordItem};
pub use summary::{Extent, ExtentKind, HeaderInfo, Role, Totals};

use self::fates::Fates;
use self::piece::{Piece, pieces};
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::SegmentId;
use crate::engine::files::log_files::{self, LogFiles};
use crate::engine::format::manifest::SegmentExtent;
use crate::engine::format::record::Kind;
use crate::engine::format::segment_header::{HeaderError, Layout, SegmentHeader, StoreId};
use crate::engine::fs::Directory;
use crate::engine::options::Options;
use crate::engine::segment::{ReadMode, Segment};
use crate::engine::state::State;

/// A selection of items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Selects items that start at this offset or later.
    pub from: u64,
    /// Selects only this many of the last items.
    pub tail: Option<usize>,
    /// Selects only the record with this position, counted from 0.
    pub record: Option<u64>,
}

/// An inspected segment. Holds about 200 bytes of memory per record, without the values. Looking up
/// fates also takes memory for the keys.
#[derive(Debug)]
pub struct Inspection {
    /// The segment.
    pub id: SegmentId,
    /// The role of the segment in the store.
    pub role: Role,
    /// The inspected length of the file in bytes.
    pub len: u64,
    /// The header, or its damage.
    pub header: Result<HeaderInfo, Damage>,
    /// The totals of the segment.
    pub totals: Totals,
    /// All bytes by kind, in file order and without gaps. Adjacent bytes of one kind are one
    /// extent.
    pub extents: Vec<Extent>,
    /// Segments of the log whose files are missing. Fates ignore their records.
    pub missing: Vec<SegmentId>,
    segment: Segment,
    pieces: Vec<Piece>,
    fates: Fates,
}

/// Inspects segment `id` of the store in directory `path`. Reads the files without a lock and
/// writes nothing. Also works on a store that does not open, and beside a writer. Only the file
/// system, the clock and [`Options::trust`] of `options` are used.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`] and [`Error::Untrusted`] for the directory;
/// [`Error::NoSuchSegment`], or [`Error::SegmentMissing`] if MANIFEST lists the segment;
/// [`Error::Unsupported`] for a format that this version cannot read; [`Error::Io`].
pub fn segment(path: &Path, options: &Options, id: SegmentId) -> Result<Inspection> {
    let directory = log_files::enter(path, options)?;
    inspect(log_files_with(directory, options, id)?, id, options.clock.now_ms(), None)
}

/// Inspects segment `id` of an open store.
pub(crate) fn of_open_store(
    directory: &Arc<dyn Directory>,
    options: &Options,
    state: &State,
    id: SegmentId,
) -> Result<Inspection> {
    inspect(log_files_with(Arc::clone(directory), options, id)?, id, options.clock.now_ms(), Some(state))
}

/// Returns the log with segment `id` added, even if MANIFEST does not list it.
fn log_files_with(directory: Arc<dyn Directory>, options: &Options, id: SegmentId) -> Result<LogFiles> {
    let reading = ReadMode::of(&directory, options);
    let mut log_files = LogFiles::of(directory, &reading)?;
    log_files.admit(id);
    Ok(log_files)
}

fn inspect(log_files: LogFiles, id: SegmentId, now_ms: u64, state: Option<&State>) -> Result<Inspection> {
    let bytes = log_files.header_bytes(id).map_err(|error| match error {
        Error::SegmentMissing { segment } if extent(&log_files, id).is_none() => {
            Error::NoSuchSegment { segment }
        }
        error => error,
    })?;
    // Only a segment that MANIFEST lists must belong to this store.
    let store = extent(&log_files, id).and(log_files.context()).map(|context| context.store);
    let header = header(id, store, &bytes)?;
    let open_segment =
        state.map(State::segments).and_then(|set| set.iter().find(|segment| segment.id == id).cloned());
    // Bytes beyond the open segment's length may belong to an unacknowledged write.
    let limit = open_segment.as_ref().map_or(u64::MAX, |segment| segment.len());
    let layout = log_files
        .get(id)
        .map(|found| found.layout)
        .or(header.as_ref().ok().map(layout_of))
        .unwrap_or(Layout::current(0));
    let segment = log_files.open(id, layout, limit)?;
    let unsettled = log_files.get(id).filter(|listed| {
        open_segment.is_none() && listed.extent.is_some_and(|extent| extent.is_unsettled(segment.len()))
    });
    let pieces = pieces(&segment, unsettled.map(|listed| log_files.durable_prefix(listed)), now_ms)?;
    let missing = log_files.segments().iter().map(|found| found.id);
    let mut inspection = Inspection {
        id,
        role: match &open_segment {
            // An open store seals a damaged active segment before MANIFEST says so.
            Some(segment) if segment.is_sealed() => Role::Sealed,
            _ => role(&log_files, id),
        },
        len: segment.len(),
        header,
        totals: Totals::default(),
        extents: Vec::new(),
        missing: missing.filter(|id| log_files.missing().contains(id)).collect(),
        fates: Fates::new(log_files, &segment, &pieces)?,
        segment,
        pieces,
    };
    let is_live = |key: &[u8], at| {
        let open = open_segment.as_ref().zip(state);
        open.map(|(segment, state)| state.points_to(state.hash(key), segment, at)).transpose()
    };
    inspection.fates.find_live(&inspection.segment, &inspection.pieces, is_live)?;
    inspection.sum_up();
    Ok(inspection)
}

fn extent(log_files: &LogFiles, id: SegmentId) -> Option<SegmentExtent> {
    log_files.get(id).and_then(|found| found.extent)
}

fn role(log_files: &LogFiles, id: SegmentId) -> Role {
    match extent(log_files, id) {
        Some(SegmentExtent::Sealed(_)) => Role::Sealed,
        Some(SegmentExtent::Active(_) | SegmentExtent::Closed(_)) => Role::Active,
        None if log_files.context().is_some() => Role::Orphan,
        None => Role::Unknown,
    }
}

fn layout_of(header: &HeaderInfo) -> Layout {
    let mut layout = Layout::current(header.salt);
    layout.header_len = header.header_len;
    layout.records.header_len = header.record_header_len;
    layout
}

fn header(id: SegmentId, store: Option<StoreId>, bytes: &[u8]) -> Result<Result<HeaderInfo, Damage>> {
    let decoded = SegmentHeader::decode(bytes);
    let foreign = decoded.as_ref().ok().zip(store).and_then(|(header, store)| header.unlike(store, id));
    if let Some(damage) = foreign {
        return Ok(Err(damage));
    }
    Ok(match decoded {
        Ok(header) => Ok(HeaderInfo {
            major: header.major,
            minor: header.minor,
            header_len: header.header_len,
            record_header_len: header.record_header_len,
            store: header.store.0,
            segment: header.segment,
            base_seq: header.base_seq,
            created_ms: header.created_ms,
            incompat: header.incompat,
            salt: header.salt,
            crc: header.crc,
            bytes: bytes.get(..header.header_len.into()).unwrap_or_default().to_vec(),
        }),
        Err(HeaderError::Damaged(damage)) => Err(damage),
        Err(HeaderError::Unsupported(found)) => {
            let what = format!("segment {id}");
            return Err(Error::Unsupported { what, found, supported: "1.x".to_owned() });
        }
    })
}

impl Inspection {
    /// Returns the items of `range` in file order. Fates are looked up in growing steps, so the
    /// first items come quickly.
    #[must_use]
    pub fn items(&self, range: Range) -> Items<'_> {
        let first = self.pieces.partition_point(|piece| piece.at() < range.from);
        let mut pieces = first..self.pieces.len();
        if let Some(count) = range.tail {
            pieces.start = pieces.end.saturating_sub(count).max(pieces.start);
        }
        if let Some(wanted) = range.record {
            let found = self.piece_of_record(wanted);
            pieces = found.filter(|piece| pieces.contains(piece)).map_or(0..0, |piece| piece..piece + 1);
        }
        let index =
            self.pieces[..pieces.start].iter().filter(|piece| matches!(piece, Piece::Record { .. })).count();
        Items { inspection: self, pieces, index: index as u64, resolved_to: 0, step: Items::FIRST_STEP }
    }

    /// Returns the stored bytes of `range`, damaged or not. Returns fewer bytes at the end of the
    /// file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn bytes(&self, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        self.segment.bytes_unchecked(range)
    }

    /// Returns the index of the piece that holds record number `wanted`.
    fn piece_of_record(&self, wanted: u64) -> Option<usize> {
        let is_record = |&at: &usize| matches!(self.pieces[at], Piece::Record { .. });
        (0..self.pieces.len()).filter(is_record).nth(wanted as usize)
    }

    fn extent_kind(&self, index: usize) -> ExtentKind {
        match &self.pieces[index] {
            Piece::Damaged { .. } | Piece::Record { damage: Some(_), .. } => ExtentKind::Damaged,
            Piece::Torn { .. } => ExtentKind::Torn,
            Piece::Record { kind: Kind::Delete, .. } => ExtentKind::Tombstone,
            Piece::Record { kind: Kind::Other(_), .. } => ExtentKind::Dead,
            Piece::Record { is_expired, .. } => match self.fates.is_live(index) {
                true if *is_expired => ExtentKind::Expired,
                true => ExtentKind::Live,
                false => ExtentKind::Dead,
            },
        }
    }

    /// Computes the totals and the extents.
    fn sum_up(&mut self) {
        let header_len = u64::from(self.segment.layout.header_len).min(self.len);
        self.add_extent(Extent { kind: ExtentKind::Header, at: 0, len: header_len });
        for index in 0..self.pieces.len() {
            let kind = self.extent_kind(index);
            let (at, len) = match &self.pieces[index] {
                Piece::Record { at, len, damage, compressed, .. } => {
                    self.totals.record_count += 1;
                    if damage.is_none() {
                        self.totals.raw_len += compressed.raw_len;
                        self.totals.stored_len += compressed.stored_len;
                    }
                    (*at, *len)
                }
                Piece::Damaged { at, len, .. } | Piece::Torn { at, len, .. } => (*at, *len),
            };
            self.totals.add(kind, len);
            self.add_extent(Extent { kind, at, len });
        }
    }

    fn add_extent(&mut self, extent: Extent) {
        match self.extents.last_mut() {
            Some(last) if last.kind == extent.kind => last.len += extent.len,
            _ => self.extents.push(extent),
        }
    }
}

/// An iterator over the items of a segment in file order.
#[derive(Debug)]
pub struct Items<'a> {
    inspection: &'a Inspection,
    pieces: std::ops::Range<usize>,
    /// The position of the next record, counted from 0.
    index: u64,
    /// The fates of the pieces before this one are known.
    resolved_to: usize,
    step: usize,
}

impl Items<'_> {
    /// Each step of fate lookups scans the later segments once. Growing steps make a few items
    /// cheap and keep the number of scans low for all of them.
    const FIRST_STEP: usize = 64;
    const GROWTH: usize = 8;
}

impl Iterator for Items<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let inspection = self.inspection;
        let at = self.pieces.next()?;
        if at >= self.resolved_to {
            let end = (at + self.step).min(self.pieces.end.max(at + 1));
            if let Err(error) = inspection.fates.resolve(&inspection.segment, &inspection.pieces, at..end) {
                return Some(Err(error));
            }
            self.resolved_to = end;
            self.step *= Self::GROWTH;
        }
        Some(match &inspection.pieces[at] {
            Piece::Record { at: offset, damage, kind, is_expired, .. } => {
                let fate = inspection.fates.of(at, *kind, damage.as_ref(), *is_expired);
                let index = self.index;
                self.index += 1;
                RecordItem::read(&inspection.segment, *offset, index, damage.clone(), fate)
                    .map(|record| Item::Record(Box::new(record)))
            }
            Piece::Damaged { at, len, damage, next } => {
                Ok(Item::Damaged { at: *at, len: *len, damage: damage.clone(), next: *next })
            }
            Piece::Torn { at, len, damage, records, behind } => {
                let damage = damage.clone();
                Ok(Item::Torn { at: *at, len: *len, damage, records: *records, behind: *behind })
            }
        })
    }
}
