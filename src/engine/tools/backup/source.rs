//! What goes into a backup: the log up to one moment, wherever its files are meanwhile.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::course::Course;
use crate::engine::base::cursor::Cursor;
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::Stop;
use crate::engine::files::manifest_file;
use crate::engine::format::manifest::{Extent, Fork, History, Manifest, SegmentLine};
use crate::engine::format::segment_header::{HeaderError, SegmentHeader};
use crate::engine::fs::{Access, File, StoreFile, read_vec_at};
use crate::engine::log::view::Cut;
use crate::engine::segment::{Bodies, Identity, Scanner, Segment, StoreContext};

/// What is read and written at once.
pub(super) const CHUNK_LEN: u64 = 1 << 20;

/// The log up to one moment. It holds its segments: what a compaction removes meanwhile can still be read.
#[derive(Debug)]
pub(crate) struct Source {
    pub(super) home: StoreContext,
    pub(super) parts: Vec<Part>,
    pub(super) last_seq: Seqno,
    /// A number that no record had when it was cut, and that none of an earlier cut of this log is greater than.
    pub(super) next_seq: Seqno,
    history: History,
    fork: Option<Fork>,
    /// The user's options, if there are any.
    pub(super) options: Option<Vec<u8>>,
}

/// What a segment has of that log.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    pub(super) len: u64,
}

impl Source {
    /// What `cut` holds of the log whose files are at `home`.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the end of a segment is missing, and what the operating system says.
    pub(crate) fn of(home: &StoreContext, cut: Cut) -> Result<Self> {
        let Cut { last_seq, history, segments } = cut;
        let parts: Vec<Part> = segments
            .into_iter()
            .map(|(segment, len)| Part { segment, len })
            .filter(|part| part.len > u64::from(part.segment.layout.header_len))
            .collect();
        if let Some(Part { segment, len }) = parts.iter().find(|part| part.segment.len() < part.len) {
            let has = segment.len();
            return Err(Error::damaged(segment.location(has), Damage::Truncated { wants: *len, has }));
        }
        let name = StoreFile::Config;
        let options =
            match home.directory.open(name, Access::Read).and_then(|file| manifest_file::text(&*file)) {
                Ok(options) => Some(options),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(Error::io("read", home.directory.path(name))(error)),
            };
        // The last records may have been compacted away since. Where MANIFEST cannot be read, those that are there say it.
        let manifest = manifest_file::read(&*home.directory).ok();
        let known = manifest.as_ref().map_or(Seqno(0), |manifest| manifest.next_seq);
        let fork = manifest.and_then(|manifest| manifest.fork);
        let next_seq = last_seq.plus(1).max(known);
        Ok(Self { home: home.clone(), parts, last_seq, next_seq, history, fork, options })
    }

    /// The MANIFEST of a backup of it, the one with this generation of those in its place.
    pub(super) fn manifest(&self, generation: u64) -> Manifest {
        let ids = self.parts.iter().map(|part| part.segment.id.0 + 1);
        Manifest {
            store: self.home.store,
            lineage: self.home.lineage,
            fork: self.fork,
            hash_seed: self.home.hash_seed,
            generation,
            next_segment: SegmentId(ids.fold(1, u64::max)),
            next_seq: self.next_seq,
            is_backup: true,
            history: self.history,
            segments: self.parts.iter().map(Part::line).collect(),
        }
    }

    /// A feed of the log continues from here after this backup.
    pub(super) fn cursor(&self) -> Cursor {
        Cursor { seq: self.last_seq.plus(1), lineage: Some(self.home.lineage) }
    }

    /// Bytes of all segments.
    pub(super) fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.len).sum()
    }
}

impl Part {
    pub(super) fn name(&self) -> StoreFile {
        StoreFile::Segment(self.segment.id)
    }

    fn line(&self) -> SegmentLine {
        let Identity { id, base_seq, layout, .. } = self.segment.identity;
        SegmentLine { id, base_seq, layout, extent: Extent::Sealed(self.len) }
    }

    /// The first bytes, and the last ones before `end`: enough to tell two segments apart, for there is a salt in the first
    /// ones, and numbers and times in the last.
    pub(super) fn samples(&self, end: u64) -> [std::ops::Range<u64>; 2] {
        const SAMPLE_LEN: u64 = 4096;
        let last = end.saturating_sub(SAMPLE_LEN);
        [0..SAMPLE_LEN.min(end), last..end.min(last + SAMPLE_LEN)]
    }

    /// Reads all of it, and fails where it is not as it was written: a backup of that could not be restored.
    pub(super) fn check(&self, home: &StoreContext, course: &mut Course<'_>) -> Result<(), Stop> {
        self.check_header(home)?;
        let mut scanner = Scanner::new(&self.segment, Bodies::Checked);
        let mut at = u64::from(self.segment.layout.header_len);
        let mut told = 0;
        while at < self.len
            && let Some(record) = scanner.next_intact()?
        {
            at = record.at + record.frame.len;
            if at - told >= CHUNK_LEN {
                course.advance(at - told)?;
                told = at;
            }
        }
        course.advance(self.len - told)
    }

    fn check_header(&self, home: &StoreContext) -> Result<()> {
        let Identity { id, base_seq, layout, .. } = self.segment.identity;
        let bytes = self.segment.bytes_unchecked(0..layout.header_len.into())?;
        let damage = match SegmentHeader::decode(&bytes) {
            Ok(header) => match header.unlike(home.store, id) {
                Some(damage) => damage,
                None if (header.base_seq, header.layout()) == (base_seq, layout) => return Ok(()),
                None => Damage::Foreign("another history of this store".to_owned()),
            },
            Err(HeaderError::Damaged(damage)) => damage,
            Err(HeaderError::Unsupported(found)) => {
                let (what, supported) = (format!("segment {id}"), "1.x".to_owned());
                return Err(Error::Unsupported { what, found, supported });
            }
        };
        Err(Error::damaged(self.segment.location(0), damage))
    }

    /// Hands all of its bytes to `put`, in order.
    pub(super) fn copy(
        &self,
        course: &mut Course<'_>,
        put: &mut dyn FnMut(&[u8], u64) -> Result<()>,
    ) -> Result<(), Stop> {
        let mut at = 0;
        while at < self.len {
            let bytes = self.segment.bytes_unchecked(at..self.len.min(at + CHUNK_LEN))?;
            put(&bytes, at)?;
            at += bytes.len() as u64;
            course.advance(bytes.len() as u64)?;
        }
        Ok(())
    }

    /// Whether `file` has the same bytes before `end`, as far as samples tell, or why it cannot be read.
    ///
    /// # Errors
    /// What the operating system says of the segment.
    pub(super) fn looks_like(&self, file: &dyn File, end: u64) -> Result<io::Result<bool>> {
        for sample in self.samples(end) {
            let ours = self.segment.bytes_unchecked(sample.clone())?;
            match read_vec_at(file, sample.start, ours.len() as u64) {
                Ok(theirs) if theirs == ours => {}
                Ok(_) => return Ok(Ok(false)),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(true))
    }
}
