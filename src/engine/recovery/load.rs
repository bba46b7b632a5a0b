//! Segments on their way from files to a state: headers checked, torn tails cut, records put into the index.

use std::path::PathBuf;
use std::sync::Arc;

use super::{FoundDamage, OpenReport};
use crate::engine::format::manifest::{Extent, Manifest, SegmentLine};
use crate::engine::format::record::Kind;
use crate::engine::format::segment_header::{self, HeaderError, Layout, SegmentHeader, StoreId};
use crate::engine::fs::{Access, Directory, File, StoreFile};
use crate::engine::judge::Verdict;
use crate::engine::location::{Location, SegmentId, Seqno};
use crate::engine::options::{Options, ReadWith};
use crate::engine::segment::{Bodies, Identity, Scanned, Scanner, Segment, Step, file};
use crate::engine::state::{State, Unpublished, address_of};
use crate::error::{Damage, Error, Result};

/// A store on its way from files to a state.
pub(super) struct Load<'a> {
    pub(super) directory: &'a dyn Directory,
    options: &'a Options,
    pub(super) store: StoreId,
    pub(super) state: Arc<State>,
    pub(super) report: OpenReport,
    /// The segment to append to, its file and how long it may become.
    pub(super) end: Option<(Arc<Segment>, Arc<dyn File>, u64)>,
    pub(super) last_seq: Seqno,
}

impl<'a> Load<'a> {
    pub(super) fn new(directory: &'a dyn Directory, options: &'a Options, manifest: &Manifest) -> Self {
        Self {
            directory,
            options,
            store: manifest.store,
            state: Arc::new(State::new(manifest.hash_seed, Arc::clone(&options.clock))),
            report: OpenReport::default(),
            end: None,
            last_seq: Seqno(0),
        }
    }

    /// Loads every segment of `manifest`, in log order.
    pub(super) fn all(&mut self, manifest: &Manifest) -> Result<()> {
        for line in &manifest.segments {
            self.segment(line)?;
        }
        Ok(())
    }

    /// Maps one segment and replays it into the index.
    fn segment(&mut self, line: &SegmentLine) -> Result<()> {
        // Only the log's end is ever written to, and only by a writer.
        let appends = matches!(line.extent, Extent::Closed(_)) && !self.options.read_only;
        let file = file::open(self.directory, line.id, if appends { Access::Write } else { Access::Read })?;
        let file_len = file::len(self.directory, line.id, &*file)?;
        let header = self.header(line, &*file)?;
        // Somebody may be writing to it, or cutting it back: its bytes are read, not mapped.
        let is_unsettled = is_unsettled(line, file_len);
        let read_with = if is_unsettled { ReadWith::Pread } else { self.options.read_with };
        let (len, is_whole) = match line.extent {
            _ if is_unsettled => (self.readable_len(line, &file)?, false),
            Extent::Sealed(len) | Extent::Closed(len) | Extent::Active(len) => {
                (len.min(file_len), len <= file_len)
            }
        };
        // A segment that another version laid out is not gone on with: its records would not be read as ours.
        let is_ours = header.is_some_and(|header| {
            header.minor == segment_header::MINOR && line.layout == Layout::current(line.layout.records.salt)
        });
        let resumes = appends && is_whole && is_ours;
        let capacity = if resumes { len.max(self.options.segment_len_max) } else { len };
        let created_ms = header.map_or(0, |header| header.created_ms);
        let segment = Arc::new(self.map(line, &file, created_ms, read_with, (len, capacity))?);
        self.state.add_segment(Arc::clone(&segment), capacity);
        self.replay(&segment)?;
        if let (Extent::Sealed(wants) | Extent::Closed(wants), false) =
            (line.extent, is_whole || is_unsettled)
        {
            self.tell_missing_end(line.id, file_len, wants);
        }
        if resumes {
            self.end = Some((segment, file, capacity));
        }
        Ok(())
    }

    /// Tells that the file ends at `has` instead of `wants`: by itself, or with the record that is cut there.
    fn tell_missing_end(&mut self, id: SegmentId, has: u64, wants: u64) {
        let is_cut = |last: &&mut FoundDamage| last.at.segment == id && last.at.offset + last.len == has;
        match self.report.damage.last_mut().filter(is_cut) {
            Some(last) => last.len += wants - has,
            None => {
                let at = Location { segment: id, offset: has };
                let damage = Damage::Truncated { wants, has };
                self.report.damage.push(FoundDamage { at, len: wants - has, damage });
            }
        }
    }

    fn map(
        &self,
        line: &SegmentLine,
        file: &Arc<dyn File>,
        created_ms: u64,
        read_with: ReadWith,
        (len, capacity): (u64, u64),
    ) -> Result<Segment> {
        let identity = Identity {
            id: line.id,
            base_seq: line.base_seq,
            layout: line.layout,
            created_ms,
            first_page: self.state.segments().next_page(capacity)?,
        };
        Segment::new(identity, self.directory, file, read_with, (len, capacity))
    }

    /// The segment's header, if it is intact and this segment's. Damage costs nothing but the header: its line in
    /// MANIFEST says the same.
    fn header(&mut self, line: &SegmentLine, file: &dyn File) -> Result<Option<SegmentHeader>> {
        let bytes = file::first_bytes(self.directory, line.id, file)?;
        let damage = match SegmentHeader::decode(&bytes) {
            Ok(header) if header.store == self.store && header.segment == line.id => return Ok(Some(header)),
            Ok(header) => other(&header, self.store),
            Err(HeaderError::Damaged(damage)) => damage,
            Err(HeaderError::Unsupported(found)) => return Err(unsupported(line, found)),
        };
        let at = Location { segment: line.id, offset: 0 };
        self.report.damage.push(FoundDamage { at, len: line.layout.header_len.into(), damage });
        Ok(None)
    }

    /// Puts every record of `segment` into the index. A damaged one goes in, too, under the key it shows: asking for
    /// that key is then an error, and not an older value.
    fn replay(&mut self, segment: &Segment) -> Result<()> {
        let mut scanner = Scanner::new(segment, Bodies::Checked);
        loop {
            let found = match scanner.next()? {
                None => {
                    self.last_seq = self.last_seq.max(scanner.last_seq());
                    return Ok(());
                }
                Some(Step::Record(record)) => {
                    self.report.record_count += 1;
                    let damage = record.damage.clone();
                    if !matches!(damage, Some(Damage::Order { .. })) {
                        publish(&self.state, segment, &record)?;
                    }
                    damage.map(|damage| (record.at, record.frame.len, damage))
                }
                Some(Step::Bad { at, damage }) => {
                    let next = scanner.resync()?.unwrap_or(segment.len());
                    Some((at, next - at, damage))
                }
            };
            if let Some((at, len, damage)) = found {
                let at = segment.location(at);
                tracing::warn!(%at, %damage, "damage in the log");
                self.report.damage.push(FoundDamage { at, len, damage });
            }
        }
    }

    /// How much of a segment that a writer has open, or died with, a reader can use.
    fn readable_len(&mut self, line: &SegmentLine, file: &Arc<dyn File>) -> Result<u64> {
        let verdict = self.judge(line, file)?;
        self.report.unclean = true;
        self.report.torn = verdict.torn(line.id);
        Ok(verdict.end)
    }

    /// The log's last segment, if its end has to be found: it was not closed, or there is more than was closed.
    pub(super) fn unsettled(&self, manifest: &Manifest) -> Result<Option<SegmentLine>> {
        let Some(line) = manifest.segments.last() else { return Ok(None) };
        let file = file::open(self.directory, line.id, Access::Read)?;
        let file_len = file::len(self.directory, line.id, &*file)?;
        Ok(is_unsettled(line, file_len).then_some(*line))
    }

    /// Cuts off the torn tail of the segment that the last writer died with, and seals it in `manifest`.
    pub(super) fn settle_active(&mut self, manifest: &mut Manifest, line: SegmentLine) -> Result<()> {
        let path = self.path(line.id);
        let file = file::open(self.directory, line.id, Access::Write)?;
        self.refuse_other(&line, &*file)?;
        // What the dead writer wrote may be in memory alone: what is judged must be what the disk has.
        file.sync().map_err(Error::io("fsync", path.clone()))?;
        file.drop_cache();
        let verdict = self.judge(&line, &file)?;
        if let Some((offset, witness)) = verdict.rot {
            return Err(Error::Rot { segment: line.id, offset, witness });
        }
        if let Some((offset, found)) = verdict.unknown {
            // Intact, and written by a version that knows more: cutting it off would lose it.
            let what = format!("the record at {}", Location { segment: line.id, offset });
            return Err(Error::Unsupported { what, found, supported: "1.x".to_owned() });
        }
        if verdict.end < verdict.file_len {
            file.truncate(verdict.end).map_err(Error::io("truncate", path.clone()))?;
            file.sync().map_err(Error::io("fsync", path))?;
            self.report.torn = verdict.torn(line.id);
        }
        // Numbers that the lost writes could have had are not given out again.
        manifest.next_seq = manifest.next_seq.max(line.seq_end(verdict.file_len));
        manifest.generation += 1;
        if verdict.end > line.layout.header_len.into() {
            if let Some(last) = manifest.segments.last_mut() {
                last.extent = Extent::Sealed(verdict.end);
            }
        } else {
            // It holds no record: unlisted, it is an orphan.
            manifest.segments.pop();
        }
        Ok(())
    }

    /// Refuses a segment that is intact and another's, or of another format, before anything is cut off it.
    fn refuse_other(&self, line: &SegmentLine, file: &dyn File) -> Result<()> {
        let bytes = file::first_bytes(self.directory, line.id, file)?;
        match SegmentHeader::decode(&bytes) {
            Ok(header) if header.store == self.store && header.segment == line.id => Ok(()),
            Ok(header) => {
                let damage = other(&header, self.store);
                Err(Error::Damaged { segment: line.id, offset: 0, damage })
            }
            Err(HeaderError::Unsupported(found)) => Err(unsupported(line, found)),
            // Only the header is lost: its line says how the records are read.
            Err(HeaderError::Damaged(_)) => Ok(()),
        }
    }

    /// Torn tail or rot? Reads what a crash may have left, without a mapping, since it may be cut.
    fn judge(&self, line: &SegmentLine, file: &Arc<dyn File>) -> Result<Verdict> {
        let file_len = file::len(self.directory, line.id, &**file)?;
        let segment = self.map(line, file, 0, ReadWith::Pread, (file_len, file_len))?;
        Verdict::of(&segment)
    }

    pub(super) fn path(&self, id: SegmentId) -> PathBuf {
        self.directory.path(StoreFile::Segment(id))
    }
}

/// Whether the end of the segment has to be found: a writer has it open or died with it, or, although it was closed, there
/// is more of it than MANIFEST knows, as when an older MANIFEST was put back.
fn is_unsettled(line: &SegmentLine, file_len: u64) -> bool {
    match line.extent {
        Extent::Active(_) => true,
        Extent::Closed(len) => file_len > len,
        Extent::Sealed(_) => false,
    }
}

/// Whose segment this is, if it is not the one that was looked for.
fn other(header: &SegmentHeader, store: StoreId) -> Damage {
    Damage::Foreign(if header.store == store {
        format!("segment {}", header.segment)
    } else {
        "another store".to_owned()
    })
}

fn unsupported(line: &SegmentLine, found: String) -> Error {
    Error::Unsupported { what: format!("segment {}", line.id), found, supported: "1.x".to_owned() }
}

/// Puts one record that was scanned into the index.
fn publish(state: &State, segment: &Segment, record: &Scanned<'_>) -> Result<()> {
    let key = record.key();
    let hash = state.hash(key);
    let kind = match (record.header.kind(), &record.damage) {
        // A tombstone whose key cannot be trusted neither hides a key nor lets it pass for alive: it stands for it,
        // and reading it is an error.
        (Kind::Delete, Some(_)) => Kind::Put,
        (kind, _) => kind,
    };
    let replaced = match kind {
        Kind::Other(_) => None,
        Kind::Put | Kind::Delete => state.replaceable(hash, key)?,
    };
    let address = address_of(segment, record.at);
    state.publish(&Unpublished { hash, address, len: record.frame.len, kind, replaced });
    Ok(())
}
