//! The segments of a log, and the pages of the address space that they own.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Weak};

use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::SegmentId;
use crate::engine::format::manifest::History;
use crate::engine::keydir::{Address, Candidates};
use crate::engine::segment::{Record, Segment};

/// A page of the log's address space. A segment owns whole pages.
pub(crate) const PAGE_LEN: u64 = 64 << 20;
/// The unit of an address. Every record starts on a multiple of it.
const UNIT_LEN: u64 = 8;
const PAGE_UNITS: u64 = PAGE_LEN / UNIT_LEN;
/// 2^40 units of 8 bytes are 8 TiB.
const PAGE_COUNT_MAX: usize = ((1 << 40) / PAGE_UNITS) as usize;

fn page_count(len: u64) -> usize {
    len.div_ceil(PAGE_LEN).max(1) as usize
}

/// Returns the address of the record at `at` in `segment`.
pub(crate) fn address_of(segment: &Segment, at: u64) -> Address {
    Address(u64::from(segment.first_page) * PAGE_UNITS + at / UNIT_LEN)
}

/// Returns the addresses of the first `len` bytes of a segment whose first page is `first_page`.
pub(crate) fn addresses(first_page: u32, len: u64) -> Range<u64> {
    let start = u64::from(first_page) * PAGE_UNITS;
    start..start.saturating_add(len.div_ceil(UNIT_LEN))
}

/// The segments and the owners of pages. Immutable once readers have it: the writer replaces it
/// with a changed copy.
#[derive(Clone, Debug, Default)]
pub(crate) struct SegmentSet {
    /// In log order.
    segments: Vec<Arc<Segment>>,
    pages: Vec<Page>,
    /// No earlier page is free. The search starts here, so that opening takes linear time.
    taken_to: usize,
    /// The history that these segments still hold.
    pub(crate) history: History,
}

/// The owner of a page.
#[derive(Clone, Debug, Default)]
enum Page {
    #[default]
    Free,
    Of(Arc<Segment>),
    /// Reserved for a segment that is being written.
    Reserved,
    /// Of a removed segment. Free once no reader has an older set with that segment.
    Left(Weak<Segment>),
}

impl Page {
    /// Returns whether this page, which is number `index`, can be given out after segment `ending`
    /// is sealed.
    fn is_free(&self, index: usize, ending: Option<SegmentId>) -> bool {
        match self {
            Self::Free => true,
            // No slot points past the end of a sealed segment.
            Self::Of(segment) => {
                let end = if ending == Some(segment.id) { segment.len() } else { segment.limit() };
                index >= segment.first_page as usize + page_count(end)
            }
            Self::Reserved => false,
            Self::Left(segment) => segment.strong_count() == 0,
        }
    }
}

impl SegmentSet {
    /// Returns the segments in log order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> + ExactSizeIterator {
        self.segments.iter()
    }

    /// Returns whether `places`, each a first page and a length in bytes, fit the address space
    /// without overlap.
    pub(crate) fn may_place(places: impl Iterator<Item = (u32, u64)>) -> bool {
        let mut places: Vec<_> = places
            .map(|(first, len)| (first as usize, (first as usize).saturating_add(page_count(len))))
            .collect();
        places.sort_unstable();
        places.last().is_none_or(|&(_, end)| end <= PAGE_COUNT_MAX)
            && places.windows(2).all(|pair| pair[0].1 <= pair[1].0)
    }

    /// Finds free pages for a segment of `capacity` bytes that follows segment `ending`, and
    /// returns the first. The pages that `ending` has not used count as free, because it is sealed
    /// first.
    ///
    /// # Errors
    /// [`Error::Full`].
    pub(crate) fn free_page(&self, capacity: u64, ending: Option<SegmentId>) -> Result<u32> {
        let wanted = page_count(capacity);
        let mut first = self.taken_to;
        for (index, page) in self.pages.iter().enumerate().skip(first) {
            if !page.is_free(index, ending) {
                first = index + 1;
            } else if index + 1 - first == wanted {
                break;
            }
        }
        if first + wanted > PAGE_COUNT_MAX { Err(Error::Full) } else { Ok(first as u32) }
    }

    /// Returns the capacity that a segment at page `first` can have: `capacity`, or less up to the
    /// next page that is taken.
    pub(crate) fn room_at(&self, first: u32, capacity: u64) -> u64 {
        let pages = self.pages.iter().enumerate().skip(first as usize).take(page_count(capacity));
        let taken = pages.into_iter().find(|(index, page)| !page.is_free(*index, None));
        let end = taken.map_or(PAGE_COUNT_MAX, |(index, _)| index);
        // Addresses past the last page do not fit a slot.
        capacity.min((end as u64).saturating_sub(first.into()) * PAGE_LEN)
    }

    /// Reserves pages for a segment of `capacity` bytes and returns the first.
    ///
    /// # Errors
    /// [`Error::Full`].
    pub(crate) fn reserve(&mut self, capacity: u64) -> Result<u32> {
        let first = self.free_page(capacity, None)?;
        self.fill(first, page_count(capacity), &Page::Reserved);
        Ok(first)
    }

    /// Frees the pages reserved from `first` on.
    pub(crate) fn release(&mut self, first: u32) {
        self.taken_to = self.taken_to.min(first as usize);
        for page in self.pages.iter_mut().skip(first as usize) {
            if !matches!(page, Page::Reserved) {
                break;
            }
            *page = Page::Free;
        }
    }

    /// Appends `segment`, whose pages are free.
    pub(crate) fn push(&mut self, segment: Arc<Segment>) {
        self.deal_pages(&segment);
        self.segments.push(segment);
    }

    /// Removes the last segment. The caller pushes a longer one in its place, at the same
    /// addresses.
    pub(crate) fn pop(&mut self) -> Option<Arc<Segment>> {
        let last = self.segments.pop()?;
        for page in &mut self.pages {
            if matches!(page, Page::Of(segment) if segment.id == last.id) {
                *page = Page::Free;
            }
        }
        self.taken_to = self.taken_to.min(last.first_page as usize);
        Some(last)
    }

    /// Inserts `segments`, whose pages were reserved, after segment `last`.
    pub(crate) fn insert_after(&mut self, last: SegmentId, segments: &[Arc<Segment>]) {
        for segment in segments {
            self.release(segment.first_page);
            self.deal_pages(segment);
        }
        let at = self.segments.iter().position(|segment| segment.id == last).map_or(0, |at| at + 1);
        self.segments.splice(at..at, segments.iter().cloned());
    }

    /// Removes the segments `ids`. Their pages become free once no reader has an older set.
    pub(crate) fn remove(&mut self, ids: &[SegmentId]) {
        let ids: HashSet<_> = ids.iter().collect();
        self.segments.retain(|segment| !ids.contains(&segment.id));
        for (index, page) in self.pages.iter_mut().enumerate() {
            if let Page::Of(segment) = page
                && ids.contains(&segment.id)
            {
                *page = Page::Left(Arc::downgrade(segment));
                self.taken_to = self.taken_to.min(index);
            }
        }
    }

    fn deal_pages(&mut self, segment: &Arc<Segment>) {
        self.fill(segment.first_page, page_count(segment.limit()), &Page::Of(Arc::clone(segment)));
        // A sealed segment keeps its pages until it is removed.
        while let Some(page @ Page::Of(segment)) = self.pages.get(self.taken_to)
            && segment.is_sealed()
            && !page.is_free(self.taken_to, None)
        {
            self.taken_to += 1;
        }
    }

    fn fill(&mut self, first: u32, count: usize, page: &Page) {
        let range = first as usize..first as usize + count;
        if self.pages.len() < range.end {
            self.pages.resize(range.end, Page::Free);
        }
        self.pages[range].fill(page.clone());
    }

    /// Returns the segment and offset of `address`.
    pub(crate) fn locate(&self, address: Address) -> Option<(&Arc<Segment>, u64)> {
        let Page::Of(segment) = self.pages.get((address.0 / PAGE_UNITS) as usize)? else { return None };
        let at = (address.0 - u64::from(segment.first_page) * PAGE_UNITS) * UNIT_LEN;
        (at < segment.limit()).then_some((segment, at))
    }

    /// Prefetches the start of the record at `address`.
    pub(crate) fn prefetch(&self, address: Address) {
        if let Some((segment, at)) = self.locate(address) {
            // The length is part of the bytes to be fetched.
            segment.prefetch(at, u64::MAX);
        }
    }

    /// Returns the record of `key` among `candidates`. The outer `None` means that a candidate's
    /// segment is not in this set, so the record may be in it.
    pub(crate) fn find(&self, candidates: &Candidates, key: &[u8]) -> Option<Result<Option<Record>>> {
        let mut failure = None;
        let mut is_too_old = false;
        for address in candidates.iter() {
            let Some((segment, at)) = self.locate(address) else {
                is_too_old = true;
                continue;
            };
            match segment.lookup(at, key) {
                Ok(Some(record)) => return Some(Ok(Some(record))),
                Ok(None) => {}
                // The error may concern another key, so an intact record of this key takes
                // precedence.
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            _ if is_too_old => None,
            Some(error) => Some(Err(error)),
            None => Some(Ok(None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ids::Seqno;
    use crate::engine::format::segment_header::Layout;
    use crate::engine::fs::{Access, FileSystem, OsFileSystem, StoreFile};
    use crate::engine::segment::{Identity, ReadMode};

    /// Returns an empty segment with capacity `limit`.
    fn segment(id: u64, first_page: u32, limit: u64) -> Arc<Segment> {
        let dir = tempfile::tempdir().expect("it can create a directory");
        let directory = OsFileSystem.open_directory(dir.path()).expect("the directory exists");
        let file =
            directory.open(StoreFile::Segment(SegmentId(id)), Access::Create).expect("it can create a file");
        let identity = Identity {
            id: SegmentId(id),
            base_seq: Seqno(id),
            layout: Layout::current(0),
            created_ms: 0,
            seq_end: Seqno(id + 1),
            first_page,
        };
        let made = Segment::new(identity, &*directory, &file, &ReadMode::stored(), (0, limit));
        Arc::new(made.expect("an unmapped segment needs no I/O"))
    }

    #[test]
    fn pages_of_a_removed_segment_are_free_when_no_older_set_exists_and_not_before() {
        let mut set = SegmentSet::default();
        set.push(segment(1, 0, PAGE_LEN));
        set.push(segment(2, 1, PAGE_LEN));
        let address = Address(5);
        let reader = set.clone();
        set.remove(&[SegmentId(1)]);
        let found = reader.locate(address).map(|(segment, at)| (segment.id, at));
        assert_eq!(found, Some((SegmentId(1), 40)), "an older set still finds the record");
        assert!(set.locate(address).is_none(), "a new set does not");
        assert_eq!(set.free_page(PAGE_LEN, None).expect("pages are free"), 2);
        let another = set.clone();
        drop(reader);
        assert_eq!(set.free_page(PAGE_LEN, None).expect("pages are free"), 0);
        set.push(segment(3, 0, PAGE_LEN));
        assert_eq!(set.locate(address).map(|(segment, _)| segment.id), Some(SegmentId(3)));
        assert!(another.locate(address).is_none(), "a set without the new segment is too old");
    }

    #[test]
    fn removed_segments_leave_their_pages_to_later_ones() {
        let mut set = SegmentSet::default();
        for id in 1..=200 {
            let first_page = set.free_page(3 * PAGE_LEN, None).expect("pages are free");
            assert!(first_page <= 6, "segment {id} is at page {first_page}");
            set.push(segment(id, first_page, 3 * PAGE_LEN));
            if id > 2 {
                set.remove(&[SegmentId(id - 2)]);
            }
        }
        assert!(set.pages.len() <= 9, "{} pages", set.pages.len());
    }

    #[test]
    fn reserved_pages_belong_to_nobody_until_they_are_released_or_their_segment_is_inserted() {
        let mut set = SegmentSet::default();
        set.push(segment(1, 0, PAGE_LEN));
        let first = set.reserve(2 * PAGE_LEN).expect("pages are free");
        assert_eq!((first, set.free_page(PAGE_LEN, None).expect("pages are free")), (1, 3));
        set.release(first);
        assert_eq!(set.free_page(PAGE_LEN, None).expect("pages are free"), 1);
        let first = set.reserve(2 * PAGE_LEN).expect("pages are free");
        // The segment is shorter than reserved.
        set.insert_after(SegmentId(1), &[segment(2, first, PAGE_LEN)]);
        assert_eq!(set.free_page(PAGE_LEN, None).expect("pages are free"), 2);
        let ids: Vec<_> = set.iter().map(|segment| segment.id.0).collect();
        assert_eq!(ids, [1, 2]);
    }

    #[test]
    fn unused_pages_of_a_segment_are_free_once_it_is_sealed_and_for_the_segment_that_follows() {
        let mut set = SegmentSet::default();
        let first = segment(1, 0, 4 * PAGE_LEN);
        set.push(Arc::clone(&first));
        assert_eq!(set.free_page(PAGE_LEN, None).expect("pages are free"), 4);
        assert_eq!(set.free_page(PAGE_LEN, Some(SegmentId(1))).expect("pages are free"), 1);
        first.seal();
        assert_eq!(set.free_page(PAGE_LEN, None).expect("pages are free"), 1);
        assert!(set.locate(Address(PAGE_UNITS)).is_none(), "the segment has no byte there");
    }

    #[test]
    fn the_search_for_free_pages_skips_sealed_segments_and_finds_pages_of_removed_ones() {
        let mut set = SegmentSet::default();
        // The order of a KEYDIR that was written after compactions.
        for (id, first_page) in [(1, 2), (2, 0), (3, 1)] {
            let segment = segment(id, first_page, PAGE_LEN);
            segment.mark_sealed();
            set.push(segment);
        }
        assert_eq!(set.taken_to, 3);
        set.remove(&[SegmentId(3)]);
        assert_eq!(set.free_page(PAGE_LEN, None).expect("pages are free"), 1);
        assert_eq!(set.reserve(PAGE_LEN).expect("pages are free"), 1);
        set.release(1);
        assert_eq!(set.free_page(PAGE_LEN, None).expect("pages are free"), 1);
    }

    #[test]
    fn a_segment_at_the_end_of_the_address_space_cannot_grow_past_it() {
        let set = SegmentSet::default();
        let last = (PAGE_COUNT_MAX - 1) as u32;
        assert_eq!(set.room_at(last, 64 * PAGE_LEN), PAGE_LEN);
        assert_eq!(set.room_at(last, 100), 100);
    }

    #[test]
    fn a_full_address_space_is_an_error() {
        let mut set = SegmentSet::default();
        let last = (PAGE_COUNT_MAX - 1) as u32;
        set.push(segment(1, 0, u64::from(last) * PAGE_LEN));
        assert_eq!(set.free_page(PAGE_LEN, None).expect("pages are free"), last);
        assert!(matches!(set.free_page(PAGE_LEN + 1, None), Err(Error::Full)));
    }
}
