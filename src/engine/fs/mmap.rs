//! Memory, mapped and fetched: the one module with `unsafe` in it.
#![expect(unsafe_code, reason = "mapping a file is unsafe; each block says what makes it sound here")]

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::mm::{Advice, madvise};

/// The bytes of a file, in memory. Clones share it; the last one unmaps it.
///
/// A mapping may be longer than what can be read: the active segment is mapped once for its full capacity, and
/// `Mapping::expose` moves the end of the readable part as records are appended.
#[derive(Clone, Debug)]
pub struct Mapping(Arc<Mapped>);

#[derive(Debug)]
struct Mapped {
    bytes: Mmap,
    /// Only bytes before this one are ever touched. It only grows.
    readable: AtomicUsize,
}

impl Mapping {
    /// Maps the first `len` bytes of `file`; none of them can be read before they are exposed.
    pub(super) fn new(file: &std::fs::File, len: usize) -> io::Result<Self> {
        // SAFETY: `bytes` gives out the readable part alone, and what is readable does not change any more:
        // - segments are only appended to, behind what was exposed, and after a failed write are cut back to it at most
        //   (kept by `segment::writer`), by one process (kept by the lock, `fs::dir`);
        // - recovery cuts a torn tail before it maps the segment; a read-only open does not map a segment that somebody
        //   may be writing to or recovering (kept by `recovery::load`); files are unlinked, never overwritten;
        // - the keydir is written to a new file, whole, before it is mapped (`keydir::file`);
        // - a program that is not logkv and truncates or rewrites a segment under us breaks this. Directories of other
        //   users, and those that everybody may write to, are refused (kept by `recovery`).
        let bytes = unsafe { MmapOptions::new().len(len).map(file)? };
        Ok(Self(Arc::new(Mapped { bytes, readable: AtomicUsize::new(0) })))
    }

    /// Makes the bytes before `len` readable: they are in the file, and will not change. A smaller `len` than
    /// before changes nothing.
    pub(crate) fn expose(&self, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.0.bytes.len());
        self.0.readable.fetch_max(len, Ordering::Release);
    }

    /// The bytes of `range`; `None` when some of them are not readable.
    #[must_use]
    pub fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        // Bytes behind the file's end are mapped too, and touching them kills the process: hence the check.
        (range.end <= self.0.readable.load(Ordering::Acquire)).then(|| self.0.bytes.get(range)).flatten()
    }
}

/// Has the processor fetch the memory that `item` begins in, and does not wait for it.
#[inline]
pub(crate) fn prefetch<T>(item: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint, which changes nothing that the program sees and faults nowhere; SSE, which has it, is
    // part of every x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(item);
}

/// Knows whether this is still the process that made it.
///
/// A forked child shares its parent's lock, so the lock cannot tell them apart; this page, which the kernel
/// empties in the child, can, and looking at it costs nothing.
#[derive(Debug)]
pub(crate) struct ForkGuard(MmapMut);

impl ForkGuard {
    /// A guard of this process.
    pub(crate) fn new() -> io::Result<Self> {
        let mut page = MmapMut::map_anon(1)?;
        // SAFETY: the range is the anonymous page just made, which nothing else refers to; the advice changes its
        // bytes in a forked child alone, and both values of them mean something.
        unsafe { madvise(page.as_mut_ptr().cast(), page.len(), Advice::LinuxWipeOnFork)? };
        page[0] = 1;
        Ok(Self(page))
    }

    /// Whether this process is a fork of the one that made the guard.
    pub(crate) fn is_fork(&self) -> bool {
        self.0[0] == 0
    }
}
