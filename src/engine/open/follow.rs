//! A reader that follows a writer. New records go into a copy of its index, which shares the unchanged shards with it.
//! If more than the log's end has changed, everything is read anew.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::load::{Load, seq_end};
use super::{OpenReport, Opened, enter, look, looked};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::files::manifest_file;
use crate::engine::files::tail::{DurablePrefix, TailReport};
use crate::engine::format::manifest::{Extent, Manifest};
use crate::engine::fs::{Directory, File, read_vec_at};
use crate::engine::options::Options;
use crate::engine::segment::Segment;
use crate::engine::state::State;

/// The first bytes of a record, its checksums, number and time among them: no other record has the same.
const MARK_LEN: u64 = 32;

/// The files as a reader found them.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(super) manifest: Manifest,
    /// MANIFEST. Held open: no other file gets its identity.
    pub(super) file: Arc<dyn File>,
    /// The log's last segment, unless it is sealed.
    pub(super) end: Option<SeenEnd>,
}

/// The file of the log's last segment as a reader found it.
#[derive(Debug)]
pub(crate) struct SeenEnd {
    file: Arc<dyn File>,
    len: u64,
    /// The start of the last record.
    last: Option<Mark>,
    /// The start of a torn write behind it: a whole record may replace it and end at the same byte.
    torn: Option<Mark>,
}

/// The bytes at a place of a file, enough to tell two records apart.
#[derive(Clone, Debug)]
struct Mark {
    at: u64,
    bytes: Vec<u8>,
}

impl Mark {
    /// The bytes at `at` of a file of `len` bytes.
    fn of(file: &dyn File, at: u64, len: u64) -> io::Result<Self> {
        Ok(Self { at, bytes: read_vec_at(file, at, MARK_LEN.min(len - at))? })
    }

    fn is_in(&self, file: &dyn File) -> io::Result<bool> {
        Ok(read_vec_at(file, self.at, self.bytes.len() as u64)? == self.bytes)
    }
}

/// A reader's state, and the files that it was read from.
pub(crate) struct Followed<'a> {
    pub(crate) path: &'a Path,
    pub(crate) options: &'a Options,
    pub(crate) directory: &'a Arc<dyn Directory>,
    pub(crate) state: &'a Arc<State>,
    pub(crate) report: &'a OpenReport,
    pub(crate) last_seq: Seqno,
    pub(crate) seen: &'a Seen,
}

/// How the end of the log compares with the reader's copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Same,
    Longer,
    /// Records that had been read were cut off.
    Other,
}

impl SeenEnd {
    /// A file of `len` bytes that was not written to since it was closed.
    pub(super) fn new(file: &Arc<dyn File>, len: u64) -> Self {
        Self { file: Arc::clone(file), len, last: None, torn: None }
    }

    /// The file at `path`, as it was judged.
    pub(super) fn of(verdict: &TailReport, file: &Arc<dyn File>, path: &Path) -> Result<Self> {
        let len = verdict.file_len;
        let mark = |at| Mark::of(&**file, at, len).map_err(Error::io("read", path));
        let last = verdict.last_at.map(mark).transpose()?;
        let torn = (verdict.end < len).then(|| mark(verdict.end)).transpose()?;
        Ok(Self { file: Arc::clone(file), len, last, torn })
    }

    /// What became of it.
    fn now(&self) -> io::Result<End> {
        let len = self.file.len()?;
        if len < self.len {
            return Ok(End::Other);
        }
        // A write that fails halfway is cut off, and another one takes its place.
        let is_kept = |mark: &Option<Mark>| mark.as_ref().map_or(Ok(true), |mark| mark.is_in(&*self.file));
        if !is_kept(&self.last)? {
            return Ok(End::Other);
        }
        Ok(if len > self.len || !is_kept(&self.torn)? { End::Longer } else { End::Same })
    }
}

/// The store as its files are now; `None` if they are unchanged. A new state replaces the current one, which stays
/// unchanged for its users.
///
/// # Errors
/// As of a read-only open.
pub(crate) fn follow(followed: &Followed<'_>) -> Result<Option<Opened>> {
    let Followed { path, options, directory, state, seen, .. } = *followed;
    if !directory.is_in_place().map_err(Error::io("open", path))? {
        return Ok(Some(look(&enter(path, options)?, options, Some(state))?));
    }
    // MANIFEST comes first: whatever was acknowledged by now is in the segments that it lists.
    let file = manifest_file::open(&**directory)?;
    let identity = |file: &dyn File| file.identity().map_err(Error::io("read", path));
    let has_same_file = identity(&*file)?.is_some_and(|id| identity(&*seen.file).ok().flatten() == Some(id));
    let newer = match has_same_file {
        true => None,
        false => Some(manifest_file::decode(&**directory, &*file)?).filter(|now| *now != seen.manifest),
    };
    let end = match &seen.end {
        Some(end) => end.now().map_err(Error::io("read", path))?,
        None => End::Same,
    };
    let manifest = match newer {
        None if end == End::Same => return Ok(None),
        None => seen.manifest.clone(),
        Some(newer) => newer,
    };
    if end != End::Other {
        match followed.advance(manifest, file) {
            Ok(Some(opened)) => return Ok(Some(opened)),
            Ok(None) => {}
            // A change in between, or a read error, comes up again when everything is read.
            Err(error) => tracing::debug!(error = error.sentence(), "the log's end could not be followed"),
        }
    }
    Ok(Some(look(directory, options, Some(state))?))
}

impl Followed<'_> {
    /// The new records at the log's end, by `manifest`; `None` if more than the end has changed.
    fn advance(&self, manifest: Manifest, file: Arc<dyn File>) -> Result<Option<Opened>> {
        let Some(kept) = kept_count(&self.seen.manifest, &manifest) else { return Ok(None) };
        let mut load = Load::new(self.directory, self.options, &manifest, Some(self.state));
        load.state = Arc::new(self.state.successor()?);
        load.last_seq = self.last_seq;
        let mut set = (*load.state.segments()).clone();
        set.history = manifest.history;
        let going_on = if set.iter().len() > kept { set.pop() } else { None };
        let mut loaded = Vec::new();
        for (index, line) in manifest.segments.iter().enumerate().skip(kept) {
            let going_on = going_on.as_ref().filter(|segment| segment.id == line.id);
            let covered = going_on.map(|segment| segment.covered(segment.len()));
            load.read = covered.map(|covered| DurablePrefix::new(covered.len, self.last_seq));
            loaded.push(load.segment(&mut set, line, seq_end(&manifest, index), covered)?);
            if covered.is_some() {
                load.keep_mark(self.seen.end.as_ref());
            }
        }
        let is_shorter = |segment: &Segment| {
            going_on.as_ref().is_some_and(|had| had.id == segment.id && had.len() > segment.len())
        };
        if loaded.iter().any(|loaded| loaded.is_crowded || is_shorter(&loaded.segment)) {
            return Ok(None);
        }
        if let (Some(had), Some(now)) = (&going_on, loaded.first().filter(|loaded| !loaded.is_sealed)) {
            now.segment.take_order_of(had);
        }
        load.state.change_segments(|now| {
            *now = set;
            Ok(())
        })?;
        load.index(&loaded)?;
        let mut opened = looked(load, manifest, file);
        let found = std::mem::take(&mut opened.report.damage);
        let mut damage = self.report.damage.clone();
        damage.extend(found.into_iter().filter(|found| !self.report.damage.contains(found)));
        opened.report = OpenReport { damage, ..opened.report };
        Ok(Some(opened))
    }
}

impl Load<'_> {
    /// If no whole batch has come since, the last record is unchanged.
    fn keep_mark(&mut self, before: Option<&SeenEnd>) {
        if let Some(now) = self.seen_end.as_mut().filter(|now| now.last.is_none()) {
            now.last = before.and_then(|before| before.last.clone());
        }
    }
}

/// How many final segments of `before` are also the first ones of `now`; `None` if one is gone or different.
fn kept_count(before: &Manifest, now: &Manifest) -> Option<usize> {
    let is_same_store =
        (before.store, before.lineage, before.hash_seed) == (now.store, now.lineage, now.hash_seed);
    let going_on = before.segments.last().filter(|line| !matches!(line.extent, Extent::Sealed(_)));
    let kept = before.segments.len() - usize::from(going_on.is_some());
    let is_begun_alike = now.segments.get(..kept)? == &before.segments[..kept];
    let goes_on = going_on.is_none_or(|before| {
        now.segments.get(kept).is_some_and(|now| {
            (now.id, now.base_seq, now.layout) == (before.id, before.base_seq, before.layout)
        })
    });
    (is_same_store && is_begun_alike && goes_on).then_some(kept)
}
