//! A segment taken apart — every byte, what it is, and why it is there.
//!
//! It reads the files alone, with `pread`, and works on a store that does not open. What an open store's index knows
//! makes it faster, not different.

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
use crate::engine::format::manifest::Extent as FileExtent;
use crate::engine::format::record::Kind;
use crate::engine::format::segment_header::{HeaderError, Layout, SegmentHeader, StoreId};
use crate::engine::fs::Directory;
use crate::engine::options::Options;
use crate::engine::segment::{ReadMode, Segment};
use crate::engine::state::State;

/// Which items to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Items that start before this byte are left out.
    pub from: u64,
    /// Only this many of the last ones.
    pub tail: Option<usize>,
    /// Only the record with this position, counted from 0.
    pub record: Option<u64>,
}

/// A segment taken apart. Takes about 200 bytes of memory a record, and not the values; the keys, too, while their fates
/// are looked up.
#[derive(Debug)]
pub struct Inspection {
    /// The segment.
    pub id: SegmentId,
    /// What it is to the store.
    pub role: Role,
    /// The file's length in bytes, as far as it was looked at.
    pub len: u64,
    /// Its header, or what is wrong with that.
    pub header: Result<HeaderInfo, Damage>,
    /// What its bytes come to.
    pub totals: Totals,
    /// What each byte is, in file order and without gaps; neighbours of one kind are one.
    pub extents: Vec<Extent>,
    /// Other segments of the log whose files are not there: what they would say of these records is not known.
    pub missing: Vec<SegmentId>,
    segment: Segment,
    pieces: Vec<Piece>,
    fates: Fates,
}

/// Takes apart segment `id` of the store in directory `path`, from the files alone: no lock, no index, nothing
/// written. Works on a store that does not open, and beside a writer. Of `options` the file system, the clock and
/// [`Options::trust`] count.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`], [`Error::NoSuchSegment`], [`Error::SegmentMissing`] when MANIFEST lists it, [`Error::Unsupported`] for a format that this version does not
/// read, and [`Error::Io`].
pub fn segment(path: &Path, options: &Options, id: SegmentId) -> Result<Inspection> {
    let directory = log_files::enter(path, options)?;
    take_apart(around(directory, options, id)?, id, options.clock.now_ms(), None)
}

/// Takes apart segment `id` of an open store.
pub(crate) fn of_open_store(
    directory: &Arc<dyn Directory>,
    options: &Options,
    state: &State,
    id: SegmentId,
) -> Result<Inspection> {
    take_apart(around(Arc::clone(directory), options, id)?, id, options.clock.now_ms(), Some(state))
}

/// The log, with segment `id` in it, whether MANIFEST lists it or not.
fn around(directory: Arc<dyn Directory>, options: &Options, id: SegmentId) -> Result<LogFiles> {
    let reading = ReadMode::of(&directory, options);
    let mut log_files = LogFiles::of(directory, &reading)?;
    log_files.admit(id);
    Ok(log_files)
}

fn take_apart(log_files: LogFiles, id: SegmentId, now_ms: u64, state: Option<&State>) -> Result<Inspection> {
    let bytes = log_files.header_bytes(id).map_err(|error| match error {
        Error::SegmentMissing { segment } if extent(&log_files, id).is_none() => {
            Error::NoSuchSegment { segment }
        }
        error => error,
    })?;
    // What MANIFEST lists has to be this store's.
    let store = extent(&log_files, id).and(log_files.context()).map(|home| home.store);
    let header = header(id, store, &bytes)?;
    let known =
        state.map(State::segments).and_then(|set| set.iter().find(|segment| segment.id == id).cloned());
    // Behind what this process has acknowledged there may be a write under way.
    let limit = known.as_ref().map_or(u64::MAX, |segment| segment.len());
    let layout = log_files
        .get(id)
        .map(|known| known.layout)
        .or(header.as_ref().ok().map(layout_of))
        .unwrap_or(Layout::current(0));
    let segment = log_files.open(id, layout, limit)?;
    let unsettled = log_files.get(id).filter(|listed| {
        known.is_none() && listed.extent.is_some_and(|extent| extent.is_unsettled(segment.len()))
    });
    let pieces = pieces(&segment, unsettled.map(|listed| log_files.durable_prefix(listed)), now_ms)?;
    let mut inspection = Inspection {
        id,
        role: match &known {
            // A damaged end is not appended to, but MANIFEST says so only when it is next written.
            Some(known) if known.is_sealed() => Role::Sealed,
            _ => role(&log_files, id),
        },
        len: segment.len(),
        header,
        totals: Totals::default(),
        extents: Vec::new(),
        missing: log_files
            .segments()
            .iter()
            .map(|known| known.id)
            .filter(|id| log_files.missing().contains(id))
            .collect(),
        fates: Fates::new(log_files, &segment, &pieces)?,
        segment,
        pieces,
    };
    let is_live = |key: &[u8], at| {
        let open = known.as_ref().zip(state);
        open.map(|(known, state)| state.points_to(state.hash(key), known, at)).transpose()
    };
    inspection.fates.settle_live(&inspection.segment, &inspection.pieces, is_live)?;
    inspection.sum_up();
    Ok(inspection)
}

fn extent(log_files: &LogFiles, id: SegmentId) -> Option<FileExtent> {
    log_files.get(id).and_then(|known| known.extent)
}

fn role(log_files: &LogFiles, id: SegmentId) -> Role {
    match extent(log_files, id) {
        Some(FileExtent::Sealed(_)) => Role::Sealed,
        Some(FileExtent::Active(_) | FileExtent::Closed(_)) => Role::Active,
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
    let whose = decoded.as_ref().ok().zip(store).and_then(|(header, store)| header.unlike(store, id));
    if let Some(damage) = whose {
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
    /// The items of `range`, in file order. Why a record is dead is looked up in growing steps as they are asked for, so
    /// the first items are there at once.
    #[must_use]
    pub fn items(&self, range: Range) -> Items<'_> {
        let first = self.pieces.partition_point(|piece| piece.at() < range.from);
        let mut pieces = first..self.pieces.len();
        if let Some(count) = range.tail {
            pieces.start = pieces.end.saturating_sub(count).max(pieces.start);
        }
        if let Some(wanted) = range.record {
            let found = self.record_pieces().find(|&(index, _)| index == wanted).map(|(_, piece)| piece);
            pieces = found.filter(|piece| pieces.contains(piece)).map_or(0..0, |piece| piece..piece + 1);
        }
        let index =
            self.pieces[..pieces.start].iter().filter(|piece| matches!(piece, Piece::Record { .. })).count();
        Items { inspection: self, pieces, index: index as u64, resolved_to: 0, step: Items::FIRST_STEP }
    }

    /// The bytes of `range` as they stand in the file, damaged or not; fewer where the file ends before.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn bytes(&self, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        self.segment.bytes_unchecked(range)
    }

    /// Each record's position, and its piece's.
    fn record_pieces(&self) -> impl Iterator<Item = (u64, usize)> + '_ {
        let records =
            self.pieces.iter().enumerate().filter(|(_, piece)| matches!(piece, Piece::Record { .. }));
        records.enumerate().map(|(index, (piece, _))| (index as u64, piece))
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

    /// Fills the totals and the extents.
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

/// The items of a segment, in file order.
#[derive(Debug)]
pub struct Items<'a> {
    inspection: &'a Inspection,
    pieces: std::ops::Range<usize>,
    /// The position of the next record.
    index: u64,
    /// Pieces before this one know their fate.
    resolved_to: usize,
    step: usize,
}

impl Items<'_> {
    /// Looking up fates walks over later segments, once a step: few items cost little, and all of them few walks.
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
                self.index += 1;
                let fate = match (damage, kind) {
                    (Some(_), _) => Fate::Damaged,
                    (None, Kind::Other(_)) => Fate::Skipped,
                    (None, Kind::Put | Kind::Delete) => inspection.fates.of(at, *kind, *is_expired),
                };
                let index = self.index - 1;
                RecordItem::read(&inspection.segment, *offset, index, damage.clone(), fate)
                    .map(|record| Item::Record(Box::new(record)))
            }
            Piece::Damaged { at, len, damage, next } => {
                Ok(Item::Damaged { at: *at, len: *len, damage: damage.clone(), next: *next })
            }
            Piece::Torn { at, len, damage, records, behind } => {
                let (at, len, damage) = (*at, *len, damage.clone());
                Ok(Item::Torn { at, len, damage, records: *records, behind: *behind })
            }
        })
    }
}
