//! Mapped memory and signals: the only module with unsafe code.
#![expect(unsafe_code, reason = "mapping a file is unsafe; each block says what makes it sound here")]

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::mm::{Advice, madvise};

/// The mapped bytes of a file. Clones share the mapping, which ends with the last one.
///
/// A mapping may be longer than its readable part. The active segment is mapped once for its full
/// capacity, and `Mapping::expose` extends the readable part as records are appended.
#[derive(Clone, Debug)]
pub struct Mapping(Arc<Mapped>);

/// The maximum number of mapped files of a process. Linux allows 65,530 mappings
/// (`vm.max_map_count`), including those of the process's memory, threads and libraries. A program
/// that uses them up gets no more memory and aborts.
static MAPPED: MappingLimit = MappingLimit::new(1 << 15);

/// A limit of mappings, and the number that are in use.
#[derive(Debug)]
struct MappingLimit {
    used: AtomicUsize,
    count: usize,
}

/// A mapping that counts towards the limit until this is dropped.
#[derive(Debug)]
struct UsedMapping<'a>(&'a MappingLimit);

impl MappingLimit {
    const fn new(count: usize) -> Self {
        Self { used: AtomicUsize::new(0), count }
    }

    /// Counts one more mapping, unless the limit is reached.
    fn take(&self) -> Option<UsedMapping<'_>> {
        let mapping = UsedMapping(self);
        (self.used.fetch_add(1, Ordering::Relaxed) < self.count).then_some(mapping)
    }
}

impl Drop for UsedMapping<'_> {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Mapped {
    bytes: Mmap,
    _counted: UsedMapping<'static>,
    /// The length of the readable part. It only grows.
    readable: AtomicUsize,
}

impl Mapping {
    /// Maps the first `len` bytes of `file`. None of them is readable until it is exposed. Returns
    /// `None` if the process has mapped the maximum number of files.
    pub(super) fn new(file: &std::fs::File, len: usize) -> io::Result<Option<Self>> {
        let Some(counted) = MAPPED.take() else { return Ok(None) };
        // SAFETY: `bytes` returns only the readable part, which does not change:
        // - Segments are only appended to, after the exposed bytes. The truncation after a failed
        //   write keeps these (`segment::writer`). One process writes to them (the lock,
        //   `fs::dir`).
        // - Recovery truncates a torn tail before it maps the segment. A read-only open does not
        //   map a segment that another process may write to or recover (`open::load`). Files are
        //   unlinked, never overwritten.
        // - KEYDIR is written completely to a new file before it is mapped (`keydir::file`).
        // - Another program that truncates or rewrites a segment breaks this. After a truncation, a
        //   read is killed (SIGBUS, `exit_on_bus_error`). Directories of other users, and those
        //   that everybody may write to, are refused (`open`).
        let bytes = unsafe { MmapOptions::new().len(len).map(file)? };
        Ok(Some(Self(Arc::new(Mapped { bytes, _counted: counted, readable: AtomicUsize::new(0) }))))
    }

    /// Makes the bytes before `len` readable. They are in the file and will not change. A smaller
    /// `len` than before has no effect.
    pub(crate) fn expose(&self, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.0.bytes.len());
        self.0.readable.fetch_max(len, Ordering::Release);
    }

    /// Returns the bytes of `range`, or `None` if some of them are not readable.
    #[must_use]
    pub fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        // Bytes after the file's end are mapped, too. Reading them would kill the process.
        (range.end <= self.0.readable.load(Ordering::Acquire)).then(|| self.0.bytes.get(range)).flatten()
    }

    /// Returns the bytes of `range` as numbers, or `None` if some are not readable, or not aligned.
    #[inline]
    pub(crate) fn words(&self, range: Range<usize>) -> Option<&[u64]> {
        // SAFETY: any eight bytes are a valid `u64`, and `align_to` returns only aligned ones.
        let (before, words, after) = unsafe { self.bytes(range)?.align_to() };
        (before.is_empty() && after.is_empty()).then_some(words)
    }
}

/// Prefetches the cache line at which `item` begins.
#[inline]
pub(crate) fn prefetch<T>(item: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint. It changes nothing and faults nowhere. Every x86-64 has SSE.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(item);
}

/// Detects that this process is a fork of the one that created the guard.
///
/// A forked child shares its parent's lock, so the lock does not tell them apart.
#[derive(Debug)]
pub(crate) enum ForkGuard {
    /// A page that the kernel clears in a forked child. Checking it costs nothing.
    Page(MmapMut),
    /// The process ID, if the kernel cannot clear a page (Linux before 4.14, gVisor). Each check is
    /// a system call.
    Process(u32),
}

impl ForkGuard {
    /// Returns a guard for this process.
    pub(crate) fn new() -> io::Result<Self> {
        let mut page = MmapMut::map_anon(1)?;
        // SAFETY: the range is the new anonymous page, which nothing else refers to. The advice
        // changes its byte only in a forked child, and both values are valid.
        match unsafe { madvise(page.as_mut_ptr().cast(), page.len(), Advice::LinuxWipeOnFork) } {
            Ok(()) => {
                page[0] = 1;
                Ok(Self::Page(page))
            }
            Err(error) => {
                tracing::debug!(%error, "the kernel cannot clear a page in a forked child");
                Ok(Self::Process(std::process::id()))
            }
        }
    }

    /// Returns whether this process is a fork of the one that created the guard.
    pub(crate) fn is_fork(&self) -> bool {
        match self {
            Self::Page(page) => page[0] == 0,
            Self::Process(id) => std::process::id() != *id,
        }
    }
}

/// The exit code and the hint of the SIGBUS handler.
static ON_BUS_ERROR: OnceLock<(i32, &'static str)> = OnceLock::new();

/// Installs a SIGBUS handler. When a mapped file cannot be read, because another process truncated
/// it or its disk failed, the handler writes one sentence to standard error and ends the process
/// with `exit_code`. Without it the kernel kills the process without a message. `hint` is written
/// after the sentence, unchanged; it may be empty.
///
/// It is for programs, not for libraries: the handler applies to the whole process, and also to
/// mappings that belong to no store. Nothing is closed or flushed, as after a kill. A second call
/// has no effect.
///
/// # Errors
/// Errors of the operating system.
pub fn exit_on_bus_error(exit_code: i32, hint: &'static str) -> io::Result<()> {
    if ON_BUS_ERROR.set((exit_code, hint)).is_err() {
        return Ok(());
    }
    // SAFETY: a zeroed `sigaction` has no flags and, on Linux, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_flags = libc::SA_SIGINFO;
    action.sa_sigaction = on_bus_error as extern "C" fn(_, _, _) as usize;
    // SAFETY: the handler has the signature of SA_SIGINFO, and calls only what a signal handler
    // may.
    match unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Handles SIGBUS. It allocates nothing and takes no lock. It calls only `open`, `read`, `write`,
/// `signal`, `raise` and `_exit`, which signal-safety(7) allows.
extern "C" fn on_bus_error(signal: libc::c_int, about: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler set with SA_SIGINFO.
    let (code, address) = unsafe { ((*about).si_code, (*about).si_addr() as usize) };
    // Another process sent the signal: no read failed.
    if code <= 0 {
        // SAFETY: a handler may call both. The signal is delivered when this one returns.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        return;
    }
    let (exit_code, hint) = *ON_BUS_ERROR.get().unwrap_or(&(1, ""));
    let mut line = MapsLine::default();
    say(b"error: cannot read ");
    say(line.find(address).unwrap_or(b"a mapped file"));
    say(b": another process cut it short while it was open, or its disk failed\n");
    say(hint.as_bytes());
    // SAFETY: a handler may call `_exit`.
    unsafe { libc::_exit(exit_code) }
}

/// Writes `bytes` to standard error. A signal handler may call this.
fn say(bytes: &[u8]) {
    // SAFETY: the pointer and the length are those of `bytes`. An error cannot be reported.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

/// A line of `/proc/self/maps`, on the stack, since a signal handler must not allocate.
struct MapsLine {
    bytes: [u8; 4096],
    len: usize,
}

impl Default for MapsLine {
    fn default() -> Self {
        Self { bytes: [0; 4096], len: 0 }
    }
}

impl MapsLine {
    /// Returns the path of the file that is mapped at `address`, as the kernel writes it.
    fn find(&mut self, address: usize) -> Option<&[u8]> {
        // SAFETY: the path is a C string literal.
        let maps = unsafe { libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        let mut chunk = [0_u8; 1024];
        loop {
            // SAFETY: the pointer and the length are those of `chunk`; an invalid descriptor is an
            // error.
            let read = unsafe { libc::read(maps, chunk.as_mut_ptr().cast(), chunk.len()) };
            let read = usize::try_from(read).ok().filter(|&read| read > 0)?;
            for &byte in &chunk[..read] {
                if byte != b'\n' {
                    if let Some(slot) = self.bytes.get_mut(self.len) {
                        // The text is shown on a terminal.
                        *slot = if byte.is_ascii_control() { b'?' } else { byte };
                        self.len += 1;
                    }
                    continue;
                }
                if self.holds(address) {
                    let line = &self.bytes[..self.len];
                    let at = line.iter().position(|&byte| byte == b'/')?;
                    return Some(&line[at..]);
                }
                self.len = 0;
            }
        }
    }

    /// Returns whether `address` is in the range at the start of the line:
    /// `7f0000000000-7f0000001000 r--s …`.
    fn holds(&self, address: usize) -> bool {
        let mut numbers = self.bytes[..self.len].split(|byte| matches!(byte, b'-' | b' ')).map(|digits| {
            digits.iter().fold(0_usize, |number, &digit| {
                number << 4 | char::from(digit).to_digit(16).unwrap_or(0) as usize
            })
        });
        numbers.next().is_some_and(|start| start <= address)
            && numbers.next().is_some_and(|end| address < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_another_id_is_a_fork_if_the_kernel_cannot_clear_a_page() {
        assert!(!ForkGuard::Process(std::process::id()).is_fork());
        assert!(ForkGuard::Process(std::process::id() + 1).is_fork());
    }

    #[test]
    fn the_file_that_is_mapped_at_an_address_is_found_by_its_path() {
        let path = std::env::current_exe().expect("this program has a path");
        let file = std::fs::File::open(&path).expect("the program opens");
        let mapping =
            Mapping::new(&file, 8192).expect("the program is mapped").expect("the limit is not reached");
        let at = mapping.0.bytes.as_ptr() as usize;
        for (address, is_it) in [(at, true), (at + 8191, true), (at + 8192, false), (0, false)] {
            let mut line = MapsLine::default();
            let found = line.find(address).map(<[u8]>::to_vec);
            assert_eq!(found == Some(path.as_os_str().as_encoded_bytes().to_vec()), is_it, "{address:x}");
        }
    }

    #[test]
    fn a_limit_allows_no_more_mappings_than_its_count_and_a_dropped_one_is_free_again() {
        let limit = MappingLimit::new(2);
        let (first, second) = (limit.take(), limit.take());
        assert!(first.is_some() && second.is_some());
        assert!((0..3).all(|_| limit.take().is_none()), "a refused mapping does not count");
        drop(first);
        let third = limit.take();
        assert!(third.is_some() && limit.take().is_none());
    }
}
