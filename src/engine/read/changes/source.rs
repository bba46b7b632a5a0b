//! The source of a change feed: a store that is open for writing in this process, or the files of a
//! store that another process may write.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::base::cursor::Cursor;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{Lineage, SegmentId, Seqno};
use crate::engine::base::stop::{Search, Stop};
use crate::engine::files::manifest_file;
use crate::engine::format::manifest::{History, Manifest, SegmentExtent, SegmentLine};
use crate::engine::fs::{Access, Changed, Directory, File, StoreFile, Watch};
use crate::engine::log::Log;
use crate::engine::segment::{Bodies, Identity, ReadMode, Scanner, Segment, Step, StoreContext, file};
use crate::engine::state::State;

/// The number of attempts to open a segment that compaction may remove. A compaction commits far
/// more rarely than MANIFEST can be read.
const ATTEMPTS: u32 = 100;

/// A segment and its visible part.
#[derive(Debug)]
pub(super) struct SegmentView {
    pub(super) segment: Arc<Segment>,
    /// Whether the segment is sealed.
    pub(super) is_final: bool,
    /// Records after this one are not visible yet.
    pub(super) last_seq: Seqno,
}

/// A segment with its line in MANIFEST and its file.
type OpenSegment = (SegmentLine, SegmentView, Arc<dyn File>);

/// The position of a feed in the log.
#[derive(Debug)]
pub(super) struct FeedPosition {
    /// Every record before this number was returned.
    pub(super) next: Seqno,
    /// The last segment that was returned to its end.
    pub(super) done: Option<SegmentId>,
}

impl FeedPosition {
    /// Returns the index of the next segment to read, and moves to its start. `segments` are in log
    /// order, and `start` gives the base number and id of each.
    fn next_of<T>(&mut self, segments: &[T], start: impl Fn(&T) -> (Seqno, SegmentId)) -> Option<usize> {
        let mut at = segments.partition_point(|segment| start(segment).0 <= self.next).saturating_sub(1);
        if segments.get(at).is_some_and(|segment| Some(start(segment).1) == self.done) {
            at += 1;
        }
        self.next = self.next.max(start(segments.get(at)?).0);
        Some(at)
    }
}

/// The source of the segments of a log.
#[derive(Debug)]
pub(super) enum FeedSource {
    Store(StoreSource),
    Files(Box<FileSource>),
}

#[derive(Debug)]
pub(super) struct StoreSource {
    state: Arc<State>,
    log: Arc<Log>,
    /// The newest record that was visible at the last check.
    published: Seqno,
}

#[derive(Debug)]
pub(super) struct FileSource {
    directory: Arc<dyn Directory>,
    mode: ReadMode,
    /// The expected lineage of MANIFEST.
    lineage: Lineage,
    /// Created by the first wait.
    watch: Option<Box<dyn Watch>>,
    /// The MANIFEST; `None` if it may have changed.
    manifest: Option<Manifest>,
    /// The segment that is being read, unless it is sealed.
    growing: Option<(SegmentLine, Arc<dyn File>)>,
}

impl FeedSource {
    pub(super) fn own(state: Arc<State>, log: Arc<Log>) -> Self {
        Self::Store(StoreSource { state, log, published: Seqno(0) })
    }

    pub(super) fn files(context: &StoreContext) -> Self {
        let directory = Arc::clone(&context.directory);
        let mode = context.reading.unpooled();
        let lineage = context.lineage;
        Self::Files(Box::new(FileSource {
            directory,
            mode,
            lineage,
            watch: None,
            manifest: None,
            growing: None,
        }))
    }

    /// Checks that `next` is at most the number of the log's next record.
    ///
    /// # Errors
    /// [`Error::BeyondEnd`], and as [`FeedSource::next_segment`].
    pub(super) fn check_reached(&mut self, next: Seqno) -> Result<()> {
        let end = match self {
            // A feed of the files may have returned records before the writer published them.
            Self::Store(store) => store.log.next_seq()?,
            Self::Files(files) => files.manifest()?.next_seq,
        };
        if next <= end {
            return Ok(());
        }
        // MANIFEST is as old as the last segment, which may hold later records.
        let last = match self {
            Self::Store(_) => None,
            Self::Files(_) => self.seq_from_end(1, &mut Search::new(&mut |_| ControlFlow::Continue(())))?,
        };
        let end = last.map_or(end, |last| end.max(last.plus(1)));
        if next <= end { Ok(()) } else { Err(Error::BeyondEnd { seq: next, next: end }) }
    }

    /// Returns the segment at `position`, if any, and the lost part of the history.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::ManifestDamaged`].
    pub(super) fn next_segment(
        &mut self,
        position: &mut FeedPosition,
    ) -> Result<(Option<SegmentView>, History)> {
        match self {
            Self::Store(store) => store.next_segment(position),
            Self::Files(files) => files.next_segment(position),
        }
    }

    /// Returns the number of the record `count - 1` before the last one, or of the first record, or
    /// `None` if the log has no record. Reads the headers of the last segments, unless `search` is
    /// cancelled.
    ///
    /// # Errors
    /// As [`FeedSource::next_segment`].
    pub(super) fn seq_from_end(
        &mut self,
        count: usize,
        search: &mut Search<'_>,
    ) -> Result<Option<Seqno>, Stop> {
        let mut seqs = VecDeque::new();
        let mut first = None;
        let mut left = count;
        let mut end = None;
        while left > 0 {
            let Some(view) = self.segment_before(&mut end)? else { break };
            seqs.clear();
            let mut scanner = Scanner::new(&view.segment, Bodies::Skipped);
            while let Some(step) = scanner.next()? {
                search.step()?;
                if let Step::Record(record) = step
                    && record.header.seq <= view.last_seq
                {
                    seqs.push_back(record.header.seq);
                    if seqs.len() > left {
                        seqs.pop_front();
                    }
                }
            }
            left -= seqs.len();
            first = seqs.front().copied().or(first);
        }
        Ok(first)
    }

    /// Returns the last segment with a base number below `end`, or the last segment of the log if
    /// `end` is `None`. Sets `end` to its base number.
    fn segment_before(&mut self, end: &mut Option<Seqno>) -> Result<Option<SegmentView>> {
        match self {
            Self::Store(store) => store.segment_before(end),
            Self::Files(files) => files.segment_before(end),
        }
    }

    /// Updates `view` to the current end of its segment.
    ///
    /// # Errors
    /// As [`FeedSource::next_segment`].
    pub(super) fn refresh(&mut self, view: &mut SegmentView) -> Result<()> {
        match self {
            Self::Store(store) => store.refresh(view),
            Self::Files(files) => files.refresh(view),
        }
    }

    /// Forgets the MANIFEST that was read, at the end of the log, unless a watch reports its
    /// changes.
    pub(super) fn end_pass(&mut self) {
        if let Self::Files(files) = self
            && files.watch.is_none()
        {
            files.manifest = None;
        }
    }

    /// Waits until the log may have records after the last check. Returns `false` after `timeout`.
    ///
    /// # Errors
    /// [`Error::Closed`] and [`Error::Io`].
    pub(super) fn wait(&mut self, timeout: Duration) -> Result<bool> {
        match self {
            Self::Store(store) => store.log.wait_behind(store.published, timeout),
            Self::Files(files) => files.wait(timeout),
        }
    }
}

impl StoreSource {
    fn next_segment(&mut self, position: &mut FeedPosition) -> Result<(Option<SegmentView>, History)> {
        // Read before the segments, so that they hold every record up to this number.
        self.published = self.log.published()?;
        let set = self.state.segments();
        let segments: Vec<_> = set.iter().collect();
        let view =
            position.next_of(&segments, |segment| (segment.base_seq, segment.id)).map(|at| SegmentView {
                is_final: segments[at].is_sealed(),
                segment: Arc::clone(segments[at]),
                last_seq: self.published,
            });
        Ok((view, set.history))
    }

    fn segment_before(&mut self, end: &mut Option<Seqno>) -> Result<Option<SegmentView>> {
        let last_seq = self.log.published()?;
        let set = self.state.segments();
        let is_before = |segment: &&Arc<Segment>| end.is_none_or(|end| segment.base_seq < end);
        let found = set.iter().rev().find(is_before).map(Arc::clone);
        Ok(found.map(|segment| {
            *end = Some(segment.base_seq);
            SegmentView { is_final: segment.is_sealed(), segment, last_seq }
        }))
    }

    fn refresh(&mut self, view: &mut SegmentView) -> Result<()> {
        self.published = self.log.published()?;
        view.last_seq = self.published;
        // Read before the length: the length of a sealed segment is final.
        view.is_final = view.segment.is_sealed();
        Ok(())
    }
}

impl FileSource {
    fn next_segment(&mut self, position: &mut FeedPosition) -> Result<(Option<SegmentView>, History)> {
        let mut history = History::default();
        let found = self.open_segment(|manifest| {
            history = manifest.history;
            let at = position.next_of(&manifest.segments, |line| (line.base_seq, line.id));
            at.map(|at| manifest.segments[at])
        })?;
        let view = found.map(|(line, view, file)| {
            self.growing = (!view.is_final).then_some((line, file));
            view
        });
        Ok((view, history))
    }

    fn segment_before(&mut self, end: &mut Option<Seqno>) -> Result<Option<SegmentView>> {
        let is_before = |line: &&SegmentLine| end.is_none_or(|end| line.base_seq < end);
        let found = self.open_segment(|manifest| manifest.segments.iter().rev().find(is_before).copied())?;
        *end = found.as_ref().map(|(line, ..)| line.base_seq);
        Ok(found.map(|(_, view, _)| view))
    }

    /// Opens the segment that `choose` picks from MANIFEST. Reads MANIFEST again if the file is
    /// gone.
    fn open_segment(
        &mut self,
        mut choose: impl FnMut(&Manifest) -> Option<SegmentLine>,
    ) -> Result<Option<OpenSegment>> {
        for _ in 0..ATTEMPTS {
            let Some(line) = choose(self.manifest()?) else { return Ok(None) };
            let opened = file::open(&*self.directory, line.id, Access::Read);
            match opened.and_then(|file| self.view(&line, &file).map(|view| (line, view, file))) {
                // A compaction removed the segment.
                Err(Error::SegmentMissing { .. }) => self.manifest = None,
                opened => return opened.map(Some),
            }
        }
        Err(Error::io("read", self.directory.path(StoreFile::Manifest))(ErrorKind::TimedOut.into()))
    }

    fn manifest(&mut self) -> Result<&Manifest> {
        let manifest = match self.manifest.take() {
            Some(manifest) => manifest,
            None => manifest_file::read(&*self.directory)?,
        };
        if manifest.lineage != self.lineage {
            let cursor = Cursor { seq: manifest.next_seq, lineage: Some(self.lineage) };
            return Err(Error::OtherLineage { cursor, lineage: manifest.lineage });
        }
        Ok(self.manifest.insert(manifest))
    }

    /// Returns a view of the segment of `line` at its current length.
    fn view(&self, line: &SegmentLine, file: &Arc<dyn File>) -> Result<SegmentView> {
        let len = file::len(&*self.directory, line.id, &**file)?;
        let (is_final, len) = match line.extent {
            SegmentExtent::Sealed(sealed_len) => (true, len.min(sealed_len)),
            SegmentExtent::Active(_) | SegmentExtent::Closed(_) => (false, len),
        };
        let SegmentLine { id, base_seq, layout, .. } = *line;
        let seq_end = Seqno(u64::MAX);
        let identity = Identity { id, base_seq, layout, created_ms: 0, seq_end, first_page: 0 };
        let segment = Segment::new(identity, &*self.directory, file, &self.mode, (len, len))?;
        Ok(SegmentView { segment: Arc::new(segment), is_final, last_seq: Seqno(u64::MAX) })
    }

    fn refresh(&mut self, view: &mut SegmentView) -> Result<()> {
        let Some((line, file)) = self.growing.clone() else { return Ok(()) };
        if file::len(&*self.directory, line.id, &*file)? > view.segment.len() {
            *view = self.view(&line, &file)?;
            return Ok(());
        }
        let segments = &self.manifest()?.segments;
        let extent = match segments.iter().rev().find(|listed| listed.id == line.id) {
            Some(listed) => listed.extent,
            // The segment was sealed and compacted away. The open file has all its records.
            None => SegmentExtent::Sealed(u64::MAX),
        };
        if let SegmentExtent::Sealed(_) = extent {
            // Includes records that were appended after the length was checked.
            *view = self.view(&SegmentLine { extent, ..line }, &file)?;
            self.growing = None;
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> Result<bool> {
        let path = || self.directory.path(StoreFile::Manifest);
        let changed = match &mut self.watch {
            Some(watch) => watch.wait(timeout).map_err(Error::io("watch the directory of", path()))?,
            None => {
                let watch = self.directory.watch().map_err(Error::io("watch the directory of", path()))?;
                self.watch = Some(watch);
                // The watch does not report earlier changes.
                Changed::ALL
            }
        };
        if changed.names {
            self.manifest = None;
        }
        Ok(changed != Changed::default())
    }
}
