//! Which record killed which: for each record of a segment, the next and the one before it with the same key.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use super::piece::{Piece, key_hash};
use crate::engine::base::error::Result;
use crate::engine::base::ids::{Location, SegmentId};
use crate::engine::files::log_files::LogFiles;
use crate::engine::format::record::Kind;
use crate::engine::segment::{Bodies, Scanner, Segment, Step, StoreContext};

/// Why a record is there, or which record killed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is its key's newest record.
    Live,
    /// A later put took its place.
    ReplacedBy(Location),
    /// A delete took it away.
    DeletedBy(Location),
    /// A delete that is the newest word on its key.
    Tombstone {
        /// The put it hides, if that is still in the log.
        hides: Option<Location>,
    },
    /// A delete that a later record made pointless.
    TombstoneReplacedBy(Location),
    /// It is its key's newest record, and has expired.
    Expired,
    /// Its bytes are not as they were written.
    Damaged,
    /// It is of a kind that this version skips.
    Skipped,
}

/// Another record of the same key.
#[derive(Clone, Copy, Debug)]
struct Other {
    location: Location,
    kind: Kind,
}

/// What is known of one piece.
#[derive(Clone, Copy, Debug, Default)]
struct FoundSegment {
    /// The next record of its key; `Some(None)`: there is none.
    next: Option<Option<Other>>,
    /// The record of its key before it.
    previous: Option<Option<Other>>,
}

/// What became of each piece of a segment, as far as it was asked for.
#[derive(Debug)]
pub(super) struct Fates {
    log_files: LogFiles,
    id: SegmentId,
    /// A piece each; records alone have something to know.
    known: RefCell<Vec<FoundSegment>>,
}

impl Fates {
    /// What the segment itself tells.
    pub(super) fn new(log_files: LogFiles, segment: &Segment, pieces: &[Piece]) -> Result<Self> {
        let mut known = vec![FoundSegment::default(); pieces.len()];
        let mut newest: HashMap<u64, usize> = HashMap::new();
        for (index, piece) in pieces.iter().enumerate() {
            // A damaged record stands for the key it shows, as it does in the index: it has replaced what was before it.
            let Some((at, hash, kind)) = of_a_key(piece) else { continue };
            match newest.entry(hash) {
                Entry::Occupied(mut entry) => {
                    let before = *entry.get();
                    // Two keys with one 64-bit hash: the older one's fate is then looked up like any other.
                    if let Some((other_at, _, other_kind)) = of_a_key(&pieces[before])
                        && segment.key_at(other_at)? == segment.key_at(at)?
                    {
                        known[before].next = Some(Some(Other { location: segment.location(at), kind }));
                        known[index].previous =
                            Some(Some(Other { location: segment.location(other_at), kind: other_kind }));
                    }
                    entry.insert(index);
                }
                Entry::Vacant(entry) => {
                    entry.insert(index);
                }
            }
        }
        Ok(Self { log_files, id: segment.id, known: RefCell::new(known) })
    }

    /// Finds out which records are live: from the index, where `is_live` has one, else from the later segments.
    pub(super) fn settle_live(
        &mut self,
        segment: &Segment,
        pieces: &[Piece],
        is_live: impl Fn(&[u8], u64) -> Result<Option<bool>>,
    ) -> Result<()> {
        let mut has_index = true;
        for (index, piece) in pieces.iter().enumerate() {
            let (Some((at, _, Kind::Put)), None) = (sound(piece), self.known.borrow()[index].next) else {
                continue;
            };
            match is_live(&segment.key_at(at)?, at)? {
                Some(true) => self.known.borrow_mut()[index].next = Some(None),
                Some(false) => {}
                None => {
                    has_index = false;
                    break;
                }
            }
        }
        if has_index { Ok(()) } else { self.resolve(segment, pieces, 0..pieces.len()) }
    }

    /// Whether the piece is its key's newest record.
    pub(super) fn is_live(&self, index: usize) -> bool {
        matches!(self.known.borrow()[index].next, Some(None))
    }

    /// Looks up what is not known of the pieces of `wanted`: in later segments who replaced them, in earlier ones what
    /// a delete hides.
    pub(super) fn resolve(&self, segment: &Segment, pieces: &[Piece], wanted: Range<usize>) -> Result<()> {
        let mut later = Wanted::default();
        let mut earlier = Wanted::default();
        for index in wanted {
            let Some((at, hash, kind)) = sound(&pieces[index]) else { continue };
            let known = self.known.borrow()[index];
            if known.next.is_none() {
                later.add(index, hash, segment.key_at(at)?.into_owned());
            }
            if known.previous.is_none() && kind == Kind::Delete {
                earlier.add(index, hash, segment.key_at(at)?.into_owned());
            }
        }
        // Of a later segment the first record of the key counts, of an earlier one the last.
        for other in self.log_files.later(self.id) {
            if later.is_empty() {
                break;
            }
            later.look_into(&other?, self.log_files.context(), First::Wins)?;
            later.settle(|index, found| self.known.borrow_mut()[index].next = Some(found));
        }
        for other in self.log_files.earlier(self.id) {
            if earlier.is_empty() {
                break;
            }
            earlier.look_into(&other?, self.log_files.context(), First::Loses)?;
            earlier.settle(|index, found| self.known.borrow_mut()[index].previous = Some(found));
        }
        later.give_up(|index| self.known.borrow_mut()[index].next = Some(None));
        earlier.give_up(|index| self.known.borrow_mut()[index].previous = Some(None));
        Ok(())
    }

    /// The fate of an intact record that was resolved.
    pub(super) fn of(&self, index: usize, kind: Kind, is_expired: bool) -> Fate {
        let FoundSegment { next, previous } = self.known.borrow()[index];
        match (next.flatten(), kind) {
            (Some(next), Kind::Delete) => Fate::TombstoneReplacedBy(next.location),
            (Some(next), _) if next.kind == Kind::Delete => Fate::DeletedBy(next.location),
            (Some(next), _) => Fate::ReplacedBy(next.location),
            (None, Kind::Delete) => {
                let hidden = previous.flatten().filter(|previous| previous.kind == Kind::Put);
                Fate::Tombstone { hides: hidden.map(|hidden| hidden.location) }
            }
            (None, _) if is_expired => Fate::Expired,
            (None, _) => Fate::Live,
        }
    }
}

/// Place, hash and kind of a put or delete.
fn of_a_key(piece: &Piece) -> Option<(u64, u64, Kind)> {
    match *piece {
        Piece::Record { at, hash, kind: kind @ (Kind::Put | Kind::Delete), .. } => Some((at, hash, kind)),
        _ => None,
    }
}

/// Place, hash and kind of an intact put or delete.
fn sound(piece: &Piece) -> Option<(u64, u64, Kind)> {
    of_a_key(piece).filter(|_| matches!(piece, Piece::Record { damage: None, .. }))
}

/// Which of several records of a key in one segment counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Wins,
    Loses,
}

/// Records whose relatives are looked for.
#[derive(Debug, Default)]
struct Wanted {
    by_hash: HashMap<u64, Vec<Sought>>,
}

#[derive(Debug)]
struct Sought {
    index: usize,
    key: Vec<u8>,
    found: Option<Other>,
}

impl Wanted {
    fn add(&mut self, index: usize, hash: u64, key: Vec<u8>) {
        self.by_hash.entry(hash).or_default().push(Sought { index, key, found: None });
    }

    fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    fn look_into(&mut self, segment: &Segment, home: Option<&StoreContext>, first: First) -> Result<()> {
        let keys = self.by_hash.values().flatten().map(|sought| &*sought.key);
        if home.is_some_and(|home| segment.hint_excludes(home, keys)) {
            return Ok(());
        }
        let mut scanner = Scanner::new(segment, Bodies::Skipped);
        while let Some(step) = scanner.next()? {
            let Step::Record(record) = step else { continue };
            let kind = record.header.kind();
            let other = Other { location: segment.location(record.at), kind };
            let key = record.key();
            let sought = self.by_hash.get_mut(&key_hash(key)).into_iter().flatten();
            for sought in sought.filter(|sought| sought.key == key && !matches!(kind, Kind::Other(_))) {
                if first == First::Loses || sought.found.is_none() {
                    sought.found = Some(other);
                }
            }
        }
        Ok(())
    }

    /// Gives away what was found, and looks for it no longer.
    fn settle(&mut self, mut tell: impl FnMut(usize, Option<Other>)) {
        self.by_hash.retain(|_, sought| {
            sought.retain(|sought| {
                if sought.found.is_some() {
                    tell(sought.index, sought.found);
                }
                sought.found.is_none()
            });
            !sought.is_empty()
        });
    }

    /// What is left has no relative.
    fn give_up(self, mut tell: impl FnMut(usize)) {
        for sought in self.by_hash.into_values().flatten() {
            tell(sought.index);
        }
    }
}
