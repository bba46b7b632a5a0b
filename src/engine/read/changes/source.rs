//! Where a feed finds the log's segments: in the store that is open for writing here, or in the files that somebody else
//! may be writing to.

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
use crate::engine::format::manifest::{Extent, History, Manifest, SegmentLine};
use crate::engine::fs::{Access, Changed, Directory, File, StoreFile, Watch};
use crate::engine::log::Log;
use crate::engine::segment::{Bodies, Identity, ReadMode, Scanner, Segment, Step, StoreContext, file};
use crate::engine::state::State;

/// How often MANIFEST is read again because a segment that it listed is gone: a compaction commits many times slower.
const RETRIES: u32 = 100;

/// A segment, as far as it may be given.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    /// Whether nothing is appended to it any more.
    pub(super) is_final: bool,
    /// Records behind this one are not for anybody to see yet.
    pub(super) last_seq: Seqno,
}

/// A segment, with its line and its file.
type Opened = (SegmentLine, Part, Arc<dyn File>);

/// What is looked for: the next segment in log order that may hold what has not been given.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Of all numbers before this one, what there was has been given.
    pub(super) next: Seqno,
    /// The segment that was given to its end last.
    pub(super) done: Option<SegmentId>,
}

impl Wanted {
    /// Which of `segments`, in log order, of which `place` says where their numbers begin and who they are.
    fn among<T>(&mut self, segments: &[T], place: impl Fn(&T) -> (Seqno, SegmentId)) -> Option<usize> {
        let mut at = segments.partition_point(|segment| place(segment).0 <= self.next).saturating_sub(1);
        if segments.get(at).is_some_and(|segment| Some(place(segment).1) == self.done) {
            at += 1;
        }
        self.next = self.next.max(place(segments.get(at)?).0);
        Some(at)
    }
}

/// Where the log's segments are looked for.
#[derive(Debug)]
pub(super) enum Source {
    /// In the store that writes them: what its readers see.
    Own(Own),
    /// In the directory: what its files say.
    Files(Box<Files>),
}

#[derive(Debug)]
pub(super) struct Own {
    state: Arc<State>,
    log: Arc<Log>,
    /// The newest record that readers saw when it was looked last.
    published: Seqno,
}

#[derive(Debug)]
pub(super) struct Files {
    directory: Arc<dyn Directory>,
    mode: ReadMode,
    /// The lineage that MANIFEST must have.
    lineage: Lineage,
    /// Made when somebody waits first.
    watch: Option<Box<dyn Watch>>,
    /// What MANIFEST said; `None` when it may say something else by now.
    manifest: Option<Manifest>,
    /// The file that is read, while it may grow.
    growing: Option<(SegmentLine, Arc<dyn File>)>,
}

impl Source {
    pub(super) fn own(state: Arc<State>, log: Arc<Log>) -> Self {
        Self::Own(Own { state, log, published: Seqno(0) })
    }

    pub(super) fn files(home: &StoreContext) -> Self {
        let (directory, mode) = (Arc::clone(&home.directory), home.reading.passing());
        let lineage = home.lineage;
        Self::Files(Box::new(Files { directory, mode, lineage, watch: None, manifest: None, growing: None }))
    }

    /// Checks that `next` is at most the number of the log's next record.
    ///
    /// # Errors
    /// [`Error::BeyondEnd`], and as [`Source::next_part`].
    pub(super) fn check_reached(&mut self, next: Seqno) -> Result<()> {
        let end = match self {
            // A feed of the files may have shown records that are not published yet.
            Self::Own(own) => own.log.next_seq()?,
            Self::Files(files) => files.manifest()?.next_seq,
        };
        if next <= end {
            return Ok(());
        }
        // MANIFEST was written when the last segment was created.
        let last = match self {
            Self::Own(_) => None,
            Self::Files(_) => self.seq_from_end(1, &mut Search::new(&mut |_| ControlFlow::Continue(())))?,
        };
        let end = last.map_or(end, |last| end.max(last.plus(1)));
        if next <= end { Ok(()) } else { Err(Error::BeyondEnd { seq: next, next: end }) }
    }

    /// The segment to go on with, and what compaction has dropped; `None` while there is none.
    ///
    /// # Errors
    /// What the operating system says, and that MANIFEST is damaged.
    pub(super) fn next_part(&mut self, wanted: &mut Wanted) -> Result<(Option<Part>, History)> {
        match self {
            Self::Own(own) => own.next_part(wanted),
            Self::Files(files) => files.next_part(wanted),
        }
    }

    /// The number of the record that is the last but `count - 1`, or of the first; `None` where there is none. Reads the headers
    /// of the segments that it goes back through, unless `search` is broken off.
    ///
    /// # Errors
    /// As [`Source::next_part`].
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
            let Some(part) = self.part_before(&mut end)? else { break };
            seqs.clear();
            let mut scanner = Scanner::new(&part.segment, Bodies::Skipped);
            while let Some(step) = scanner.next()? {
                search.step()?;
                if let Step::Record(record) = step
                    && record.header.seq <= part.last_seq
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

    /// The last segment that begins before number `end`, which becomes where it begins; at first the log's last one.
    fn part_before(&mut self, end: &mut Option<Seqno>) -> Result<Option<Part>> {
        match self {
            Self::Own(own) => own.part_before(end),
            Self::Files(files) => files.part_before(end),
        }
    }

    /// `part` as it is by now.
    ///
    /// # Errors
    /// As [`Source::next_part`].
    pub(super) fn renew(&mut self, part: &mut Part) -> Result<()> {
        match self {
            Self::Own(own) => own.renew(part),
            Self::Files(files) => files.renew(part),
        }
    }

    /// Takes note that the next look is at another time.
    pub(super) fn forget(&mut self) {
        if let Self::Files(files) = self
            && files.watch.is_none()
        {
            files.manifest = None;
        }
    }

    /// Waits until there may be more than when it was looked last; `false` after `timeout`.
    ///
    /// # Errors
    /// [`Error::Closed`], and what the operating system says.
    pub(super) fn wait(&mut self, timeout: Duration) -> Result<bool> {
        match self {
            Self::Own(own) => own.log.wait_behind(own.published, timeout),
            Self::Files(files) => files.wait(timeout),
        }
    }
}

impl Own {
    fn next_part(&mut self, wanted: &mut Wanted) -> Result<(Option<Part>, History)> {
        // Before the segments are asked for: they hold all that was to be seen then.
        self.published = self.log.published()?;
        let set = self.state.segments();
        let segments: Vec<_> = set.iter().collect();
        let part = wanted.among(&segments, |segment| (segment.base_seq, segment.id)).map(|at| Part {
            is_final: segments[at].is_sealed(),
            segment: Arc::clone(segments[at]),
            last_seq: self.published,
        });
        Ok((part, set.history))
    }

    fn part_before(&mut self, end: &mut Option<Seqno>) -> Result<Option<Part>> {
        let last_seq = self.log.published()?;
        let set = self.state.segments();
        let is_before = |segment: &&Arc<Segment>| end.is_none_or(|end| segment.base_seq < end);
        let found = set.iter().rev().find(is_before).map(Arc::clone);
        Ok(found.map(|segment| {
            *end = Some(segment.base_seq);
            Part { is_final: segment.is_sealed(), segment, last_seq }
        }))
    }

    fn renew(&mut self, part: &mut Part) -> Result<()> {
        self.published = self.log.published()?;
        part.last_seq = self.published;
        // Before its length is looked at, which is its last one then.
        part.is_final = part.segment.is_sealed();
        Ok(())
    }
}

impl Files {
    fn next_part(&mut self, wanted: &mut Wanted) -> Result<(Option<Part>, History)> {
        let mut history = History::default();
        let found = self.part_of(|manifest| {
            history = manifest.history;
            let at = wanted.among(&manifest.segments, |line| (line.base_seq, line.id));
            at.map(|at| manifest.segments[at])
        })?;
        let part = found.map(|(line, part, file)| {
            self.growing = (!part.is_final).then_some((line, file));
            part
        });
        Ok((part, history))
    }

    fn part_before(&mut self, end: &mut Option<Seqno>) -> Result<Option<Part>> {
        let is_before = |line: &&SegmentLine| end.is_none_or(|end| line.base_seq < end);
        let part = self.part_of(|manifest| manifest.segments.iter().rev().find(is_before).copied())?;
        *end = part.as_ref().map(|(line, ..)| line.base_seq);
        Ok(part.map(|(_, part, _)| part))
    }

    /// The segment of the line that `choose` takes from MANIFEST, which is read again where the file is gone by then.
    fn part_of(
        &mut self,
        mut choose: impl FnMut(&Manifest) -> Option<SegmentLine>,
    ) -> Result<Option<Opened>> {
        for _ in 0..RETRIES {
            let Some(line) = choose(self.manifest()?) else { return Ok(None) };
            let opened = file::open(&*self.directory, line.id, Access::Read);
            match opened.and_then(|file| self.part(&line, &file).map(|part| (line, part, file))) {
                // Compacted away meanwhile.
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

    /// What there is of the segment of `line` now.
    fn part(&self, line: &SegmentLine, file: &Arc<dyn File>) -> Result<Part> {
        let len = file::len(&*self.directory, line.id, &**file)?;
        let (is_final, len) = match line.extent {
            Extent::Sealed(sealed_len) => (true, len.min(sealed_len)),
            Extent::Active(_) | Extent::Closed(_) => (false, len),
        };
        let SegmentLine { id, base_seq, layout, .. } = *line;
        let seq_end = Seqno(u64::MAX);
        let identity = Identity { id, base_seq, layout, created_ms: 0, seq_end, first_page: 0 };
        let segment = Segment::new(identity, &*self.directory, file, &self.mode, (len, len))?;
        Ok(Part { segment: Arc::new(segment), is_final, last_seq: Seqno(u64::MAX) })
    }

    fn renew(&mut self, part: &mut Part) -> Result<()> {
        let Some((line, file)) = self.growing.clone() else { return Ok(()) };
        if file::len(&*self.directory, line.id, &*file)? > part.segment.len() {
            *part = self.part(&line, &file)?;
            return Ok(());
        }
        let segments = &self.manifest()?.segments;
        let extent = match segments.iter().rev().find(|listed| listed.id == line.id) {
            Some(listed) => listed.extent,
            // Sealed and compacted away; what we hold open is all of it.
            None => Extent::Sealed(u64::MAX),
        };
        if let Extent::Sealed(_) = extent {
            // What was written between the two looks is in it, too.
            *part = self.part(&SegmentLine { extent, ..line }, &file)?;
            self.growing = None;
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> Result<bool> {
        let path = || self.directory.path(StoreFile::Manifest);
        let stirred = match &mut self.watch {
            Some(watch) => watch.wait(timeout).map_err(Error::io("watch the directory of", path()))?,
            None => {
                let watch = self.directory.watch().map_err(Error::io("watch the directory of", path()))?;
                self.watch = Some(watch);
                // Nobody has told what came before.
                Changed::ALL
            }
        };
        if stirred.names {
            self.manifest = None;
        }
        Ok(stirred != Changed::default())
    }
}
