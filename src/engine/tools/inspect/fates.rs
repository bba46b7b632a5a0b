//! Fates: whether each record of a segment is live, and if not, which record superseded it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use super::piece::{Piece, key_hash};
use crate::engine::base::error::{Damage, Result};
use crate::engine::base::ids::{Location, SegmentId};
use crate::engine::files::log_files::LogFiles;
use crate::engine::format::record::Kind;
use crate::engine::segment::{Bodies, Scanner, Segment, Step, StoreContext};

/// The reason why a record is in the log, or the record that superseded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The newest record of its key.
    Live,
    /// A put that a later put replaced.
    ReplacedBy(Location),
    /// A put that a delete removed.
    DeletedBy(Location),
    /// A delete that is the newest record of its key.
    Tombstone {
        /// The put that it hides, if that is still in the log.
        hides: Option<Location>,
    },
    /// A delete that a later record of its key superseded.
    TombstoneReplacedBy(Location),
    /// The newest record of its key, which has expired.
    Expired,
    /// A damaged record.
    Damaged,
    /// A record of a kind that this version skips.
    Skipped,
}

/// Another record of the same key.
#[derive(Clone, Copy, Debug)]
struct Neighbour {
    location: Location,
    kind: Kind,
}

/// The neighbours of one record. `None` means that it was not looked up yet, and `Some(None)` that
/// none exists.
#[derive(Clone, Copy, Debug, Default)]
struct Neighbours {
    next: Option<Option<Neighbour>>,
    previous: Option<Option<Neighbour>>,
}

/// The neighbours of every piece of a segment, looked up on demand.
#[derive(Debug)]
pub(super) struct Fates {
    log_files: LogFiles,
    id: SegmentId,
    /// One entry per piece; only those of records are used.
    neighbours: RefCell<Vec<Neighbours>>,
}

impl Fates {
    /// Finds the neighbours that are in the segment itself.
    pub(super) fn new(log_files: LogFiles, segment: &Segment, pieces: &[Piece]) -> Result<Self> {
        let mut neighbours = vec![Neighbours::default(); pieces.len()];
        let mut newest: HashMap<u64, usize> = HashMap::new();
        for (index, piece) in pieces.iter().enumerate() {
            // A damaged record supersedes the previous one of its key, as it does in the index.
            let Some((at, hash, kind)) = keyed(piece) else { continue };
            match newest.entry(hash) {
                Entry::Occupied(mut entry) => {
                    let before = *entry.get();
                    // If two keys share a hash, the neighbours of the older one are looked up
                    // later.
                    if let Some((other_at, _, other_kind)) = keyed(&pieces[before])
                        && segment.key_at(other_at)? == segment.key_at(at)?
                    {
                        let next = Neighbour { location: segment.location(at), kind };
                        let previous = Neighbour { location: segment.location(other_at), kind: other_kind };
                        neighbours[before].next = Some(Some(next));
                        neighbours[index].previous = Some(Some(previous));
                    }
                    entry.insert(index);
                }
                Entry::Vacant(entry) => {
                    entry.insert(index);
                }
            }
        }
        Ok(Self { log_files, id: segment.id, neighbours: RefCell::new(neighbours) })
    }

    /// Finds out which puts are live. Asks the index through `is_live`, and scans the later
    /// segments if that returns `None` because no index is open.
    pub(super) fn find_live(
        &mut self,
        segment: &Segment,
        pieces: &[Piece],
        is_live: impl Fn(&[u8], u64) -> Result<Option<bool>>,
    ) -> Result<()> {
        for (index, piece) in pieces.iter().enumerate() {
            let (Some((at, _, Kind::Put)), None) = (intact(piece), self.neighbours.borrow()[index].next)
            else {
                continue;
            };
            match is_live(&segment.key_at(at)?, at)? {
                Some(true) => self.neighbours.borrow_mut()[index].next = Some(None),
                Some(false) => {}
                None => return self.resolve(segment, pieces, 0..pieces.len()),
            }
        }
        Ok(())
    }

    /// Returns whether piece `index` is the newest record of its key.
    pub(super) fn is_live(&self, index: usize) -> bool {
        matches!(self.neighbours.borrow()[index].next, Some(None))
    }

    /// Looks up the missing neighbours of the pieces `wanted`: the next records in later segments,
    /// and the records that deletes hide in earlier segments.
    pub(super) fn resolve(&self, segment: &Segment, pieces: &[Piece], wanted: Range<usize>) -> Result<()> {
        let mut later = KeySearch::default();
        let mut earlier = KeySearch::default();
        for index in wanted {
            let Some((at, hash, kind)) = intact(&pieces[index]) else { continue };
            let neighbours = self.neighbours.borrow()[index];
            if neighbours.next.is_none() {
                later.add(index, hash, segment.key_at(at)?.into_owned());
            }
            if neighbours.previous.is_none() && kind == Kind::Delete {
                earlier.add(index, hash, segment.key_at(at)?.into_owned());
            }
        }
        for other in self.log_files.later(self.id) {
            if later.is_empty() {
                break;
            }
            later.search(&other?, self.log_files.context(), Keep::First)?;
            later.take_found(|index, found| self.neighbours.borrow_mut()[index].next = Some(found));
        }
        for other in self.log_files.earlier(self.id) {
            if earlier.is_empty() {
                break;
            }
            earlier.search(&other?, self.log_files.context(), Keep::Last)?;
            earlier.take_found(|index, found| self.neighbours.borrow_mut()[index].previous = Some(found));
        }
        later.finish(|index| self.neighbours.borrow_mut()[index].next = Some(None));
        earlier.finish(|index| self.neighbours.borrow_mut()[index].previous = Some(None));
        Ok(())
    }

    /// Returns the fate of piece `index`, a record that was resolved.
    pub(super) fn of(&self, index: usize, kind: Kind, damage: Option<&Damage>, is_expired: bool) -> Fate {
        let Neighbours { next, previous } = self.neighbours.borrow()[index];
        match (next.flatten(), kind) {
            _ if damage.is_some() => Fate::Damaged,
            (_, Kind::Other(_)) => Fate::Skipped,
            (Some(next), Kind::Delete) => Fate::TombstoneReplacedBy(next.location),
            (Some(next), Kind::Put) if next.kind == Kind::Delete => Fate::DeletedBy(next.location),
            (Some(next), Kind::Put) => Fate::ReplacedBy(next.location),
            (None, Kind::Delete) => {
                let hidden = previous.flatten().filter(|previous| previous.kind == Kind::Put);
                Fate::Tombstone { hides: hidden.map(|hidden| hidden.location) }
            }
            (None, Kind::Put) if is_expired => Fate::Expired,
            (None, Kind::Put) => Fate::Live,
        }
    }
}

/// Returns the offset, hash and kind of a put or delete.
fn keyed(piece: &Piece) -> Option<(u64, u64, Kind)> {
    match *piece {
        Piece::Record { at, hash, kind: kind @ (Kind::Put | Kind::Delete), .. } => Some((at, hash, kind)),
        _ => None,
    }
}

/// Returns the offset, hash and kind of an intact put or delete.
fn intact(piece: &Piece) -> Option<(u64, u64, Kind)> {
    keyed(piece).filter(|_| matches!(piece, Piece::Record { damage: None, .. }))
}

/// The choice of the neighbour among several records of a key in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    First,
    Last,
}

/// A search for records of many keys, segment by segment.
#[derive(Debug, Default)]
struct KeySearch {
    by_hash: HashMap<u64, Vec<SoughtKey>>,
}

#[derive(Debug)]
struct SoughtKey {
    /// The piece whose neighbour is sought.
    index: usize,
    key: Vec<u8>,
    found: Option<Neighbour>,
}

impl KeySearch {
    fn add(&mut self, index: usize, hash: u64, key: Vec<u8>) {
        self.by_hash.entry(hash).or_default().push(SoughtKey { index, key, found: None });
    }

    fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    fn search(&mut self, segment: &Segment, context: Option<&StoreContext>, keep: Keep) -> Result<()> {
        let keys = self.by_hash.values().flatten().map(|sought| &*sought.key);
        if context.is_some_and(|context| segment.hint_excludes(context, keys)) {
            return Ok(());
        }
        let mut scanner = Scanner::new(segment, Bodies::Skipped);
        while let Some(step) = scanner.next()? {
            let Step::Record(record) = step else { continue };
            let kind = record.header.kind();
            let neighbour = Neighbour { location: segment.location(record.at), kind };
            let key = record.key();
            let sought = self.by_hash.get_mut(&key_hash(key)).into_iter().flatten();
            for sought in sought.filter(|sought| sought.key == key && !matches!(kind, Kind::Other(_))) {
                if keep == Keep::Last || sought.found.is_none() {
                    sought.found = Some(neighbour);
                }
            }
        }
        Ok(())
    }

    /// Passes every result to `take`, and ends the search for its key.
    fn take_found(&mut self, mut take: impl FnMut(usize, Option<Neighbour>)) {
        self.by_hash.retain(|_, sought| {
            sought.retain(|sought| {
                if sought.found.is_some() {
                    take(sought.index, sought.found);
                }
                sought.found.is_none()
            });
            !sought.is_empty()
        });
    }

    /// Passes the index of every key without a result to `take`.
    fn finish(self, mut take: impl FnMut(usize)) {
        for sought in self.by_hash.into_values().flatten() {
            take(sought.index);
        }
    }
}
