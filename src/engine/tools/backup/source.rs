//! The source of a backup: the log as of one moment, even if its files are compacted away
//! meanwhile.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::progress::Progress;
use crate::engine::base::cursor::Cursor;
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::Stop;
use crate::engine::files::manifest_file;
use crate::engine::format::manifest::{Fork, History, Manifest, SegmentExtent, SegmentLine};
use crate::engine::format::segment_header::{HeaderError, SegmentHeader};
use crate::engine::fs::{Access, File, StoreFile, read_vec_at};
use crate::engine::log::view::Cut;
use crate::engine::segment::{Bodies, Identity, Scanner, Segment, StoreContext};

/// The length of one read and write, in bytes.
pub(super) const CHUNK_LEN: u64 = 1 << 20;

/// The log as of one moment. It holds its segments, so it can read those that a compaction has
/// removed.
#[derive(Debug)]
pub(crate) struct BackupSource {
    pub(super) context: StoreContext,
    pub(super) segments: Vec<BackupSegment>,
    pub(super) last_seq: Seqno,
    /// A sequence number greater than that of every record, and not less than that of an earlier
    /// cut.
    pub(super) next_seq: Seqno,
    history: History,
    fork: Option<Fork>,
    /// The content of the options file.
    pub(super) options: Option<Vec<u8>>,
}

/// A segment up to the end of the log at that moment.
#[derive(Debug)]
pub(super) struct BackupSegment {
    pub(super) segment: Arc<Segment>,
    pub(super) len: u64,
}

impl BackupSource {
    /// Returns the source for `cut`, a cut of the log at `context`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the end of a segment is missing; [`Error::Io`].
    pub(crate) fn new(context: &StoreContext, cut: Cut) -> Result<Self> {
        let Cut { last_seq, history, segments } = cut;
        let segments: Vec<BackupSegment> = segments
            .into_iter()
            .map(|(segment, len)| BackupSegment { segment, len })
            .filter(|source| source.len > u64::from(source.segment.layout.header_len))
            .collect();
        if let Some(BackupSegment { segment, len }) =
            segments.iter().find(|source| source.segment.len() < source.len)
        {
            let has = segment.len();
            return Err(Error::damaged(segment.location(has), Damage::Truncated { wants: *len, has }));
        }
        let directory = &*context.directory;
        let name = StoreFile::Config;
        let options = match directory.open(name, Access::Read).and_then(|file| manifest_file::text(&*file)) {
            Ok(options) => Some(options),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("read", directory.path(name))(error)),
        };
        // The newest records may have been compacted away. Only MANIFEST knows that their numbers
        // were used. If it cannot be read, the next number follows the last record.
        let manifest = manifest_file::read(directory).ok();
        let known = manifest.as_ref().map_or(Seqno(0), |manifest| manifest.next_seq);
        let fork = manifest.and_then(|manifest| manifest.fork);
        let next_seq = last_seq.plus(1).max(known);
        Ok(Self { context: context.clone(), segments, last_seq, next_seq, history, fork, options })
    }

    /// Returns the MANIFEST of the backup.
    pub(super) fn manifest(&self, generation: u64) -> Manifest {
        let ids = self.segments.iter().map(|source| source.segment.id.0 + 1);
        Manifest {
            store: self.context.store,
            lineage: self.context.lineage,
            fork: self.fork,
            hash_seed: self.context.hash_seed,
            generation,
            next_segment: SegmentId(ids.fold(1, u64::max)),
            next_seq: self.next_seq,
            is_backup: true,
            history: self.history,
            segments: self.segments.iter().map(BackupSegment::line).collect(),
        }
    }

    /// Returns the cursor from which a feed continues after this backup.
    pub(super) fn cursor(&self) -> Cursor {
        Cursor { seq: self.last_seq.plus(1), lineage: Some(self.context.lineage) }
    }

    /// Returns the total length of the segments in bytes.
    pub(super) fn len(&self) -> u64 {
        self.segments.iter().map(|source| source.len).sum()
    }
}

impl BackupSegment {
    pub(super) fn name(&self) -> StoreFile {
        StoreFile::Segment(self.segment.id)
    }

    fn line(&self) -> SegmentLine {
        let Identity { id, base_seq, layout, .. } = self.segment.identity;
        SegmentLine { id, base_seq, layout, extent: SegmentExtent::Sealed(self.len) }
    }

    /// Returns the ranges that are compared to tell two segments apart: the start, which holds the
    /// salt, and the bytes before `end`, which hold sequence numbers and times.
    pub(super) fn samples(&self, end: u64) -> [std::ops::Range<u64>; 2] {
        const SAMPLE_LEN: u64 = 4096;
        let last = end.saturating_sub(SAMPLE_LEN);
        [0..SAMPLE_LEN.min(end), last..end.min(last + SAMPLE_LEN)]
    }

    /// Reads and checks every byte. A damaged segment could not be restored.
    pub(super) fn check(&self, context: &StoreContext, progress: &mut Progress<'_>) -> Result<(), Stop> {
        self.check_header(context)?;
        let mut scanner = Scanner::new(&self.segment, Bodies::Checked);
        let mut at = u64::from(self.segment.layout.header_len);
        let mut reported_at = 0;
        while at < self.len
            && let Some(record) = scanner.next_intact()?
        {
            at = record.at + record.frame.len;
            if at - reported_at >= CHUNK_LEN {
                progress.advance(at - reported_at)?;
                reported_at = at;
            }
        }
        progress.advance(self.len - reported_at)
    }

    fn check_header(&self, context: &StoreContext) -> Result<()> {
        let Identity { id, base_seq, layout, .. } = self.segment.identity;
        let bytes = self.segment.bytes_unchecked(0..layout.header_len.into())?;
        let damage = match SegmentHeader::decode(&bytes) {
            Ok(header) => match header.unlike(context.store, id) {
                Some(damage) => damage,
                None if (header.base_seq, header.layout()) == (base_seq, layout) => return Ok(()),
                None => Damage::Foreign("another history of this store".to_owned()),
            },
            Err(HeaderError::Damaged(damage)) => damage,
            Err(HeaderError::Unsupported(found)) => {
                let what = format!("segment {id}");
                return Err(Error::Unsupported { what, found, supported: "1.x".to_owned() });
            }
        };
        Err(Error::damaged(self.segment.location(0), damage))
    }

    /// Passes all bytes to `put`, in chunks and in order.
    pub(super) fn copy(
        &self,
        progress: &mut Progress<'_>,
        put: &mut dyn FnMut(&[u8], u64) -> Result<()>,
    ) -> Result<(), Stop> {
        let mut at = 0;
        while at < self.len {
            let bytes = self.segment.bytes_unchecked(at..self.len.min(at + CHUNK_LEN))?;
            put(&bytes, at)?;
            at += bytes.len() as u64;
            progress.advance(bytes.len() as u64)?;
        }
        Ok(())
    }

    /// Returns whether samples of `file` before `end` match this segment. The inner error is that
    /// of reading `file`.
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
