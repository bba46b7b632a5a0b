//! Memory, mapped and fetched: the one module with `unsafe` in it.
#![expect(unsafe_code, reason = "mapping a file is unsafe; each block says what makes it sound here")]

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::mm::{Advice, madvise};

/// The bytes of a file, in memory. Clones share it; the last one unmaps it.
///
/// A mapping may be longer than what can be read: the active segment is mapped once for its full capacity, and
/// `Mapping::expose` moves the end of the readable part as records are appended.
#[derive(Clone, Debug)]
pub struct Mapping(Arc<Mapped>);

/// The maximum number of mapped files of a process. Linux allows it 65,530 mappings
/// (`vm.max_map_count`), including those of its memory, threads and libraries: a program that gets
/// no memory is killed.
static MAPPED: Places = Places::new(1 << 15);

/// A limited number of places, some of them taken.
#[derive(Debug)]
struct Places {
    taken: AtomicUsize,
    count: usize,
}

/// A place, taken until this is dropped.
#[derive(Debug)]
struct Place<'a>(&'a Places);

impl Places {
    const fn new(count: usize) -> Self {
        Self { taken: AtomicUsize::new(0), count }
    }

    /// A place, if one is left.
    fn take(&self) -> Option<Place<'_>> {
        let place = Place(self);
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.count).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Mapped {
    bytes: Mmap,
    _place: Place<'static>,
    /// Only bytes before this one are ever touched. It only grows.
    readable: AtomicUsize,
}

impl Mapping {
    /// Maps the first `len` bytes of `file`; none can be read before they are exposed. `None` if
    /// the process has mapped the maximum number of files: further files are read.
    pub(super) fn new(file: &std::fs::File, len: usize) -> io::Result<Option<Self>> {
        let Some(place) = MAPPED.take() else { return Ok(None) };
        // SAFETY: `bytes` gives out the readable part alone, and what is readable does not change any more:
        // - segments are only appended to, behind what was exposed, and after a failed write are cut back to it at most
        //   (kept by `segment::writer`), by one process (kept by the lock, `fs::dir`);
        // - recovery cuts a torn tail before it maps the segment; a read-only open does not map a segment that somebody
        //   may be writing to or recovering (kept by `open::load`); files are unlinked, never overwritten;
        // - the keydir is written to a new file, whole, before it is mapped (`keydir::file`);
        // - a program that is not logkv and truncates or rewrites a segment under us breaks this: who truncates it has a read
        //   killed (SIGBUS, `exit_on_bus_error`). Directories of other users, and those that everybody may write to, are
        //   refused (kept by `open`).
        let bytes = unsafe { MmapOptions::new().len(len).map(file)? };
        Ok(Some(Self(Arc::new(Mapped { bytes, _place: place, readable: AtomicUsize::new(0) }))))
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

    /// The bytes of `range` as numbers; `None` when some of them are not readable, or not aligned.
    #[inline]
    pub(crate) fn words(&self, range: Range<usize>) -> Option<&[u64]> {
        // SAFETY: any eight bytes are a `u64`, and `align_to` takes only those that are aligned.
        let (before, words, after) = unsafe { self.bytes(range)?.align_to() };
        (before.is_empty() && after.is_empty()).then_some(words)
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
/// A forked child shares its parent's lock, so the lock cannot tell them apart.
#[derive(Debug)]
pub(crate) enum ForkGuard {
    /// A page that the kernel clears in a forked child. Checking it costs nothing.
    Page(MmapMut),
    /// The pid, if the kernel does not offer that (Linux before 4.14, gVisor). Each check is a
    /// system call.
    Process(u32),
}

impl ForkGuard {
    /// A guard of this process.
    pub(crate) fn new() -> io::Result<Self> {
        let mut page = MmapMut::map_anon(1)?;
        // SAFETY: the range is the anonymous page just made, which nothing else refers to; the advice changes its
        // bytes in a forked child alone, and both values of them mean something.
        match unsafe { madvise(page.as_mut_ptr().cast(), page.len(), Advice::LinuxWipeOnFork) } {
            Ok(()) => {
                page[0] = 1;
                Ok(Self::Page(page))
            }
            Err(error) => {
                tracing::debug!(%error, "the kernel does not empty a page in a forked child");
                Ok(Self::Process(std::process::id()))
            }
        }
    }

    /// Whether this process is a fork of the one that made the guard.
    pub(crate) fn is_fork(&self) -> bool {
        match self {
            Self::Page(page) => page[0] == 0,
            Self::Process(id) => std::process::id() != *id,
        }
    }
}

/// The exit code and the hint of the SIGBUS handler.
static ON_BUS_ERROR: OnceLock<(i32, &'static str)> = OnceLock::new();

/// Installs a SIGBUS handler that ends the process with `exit_code` and one sentence on standard
/// error when a mapped file cannot be read: another process truncated it, or its disk failed.
/// Without it the kernel kills the process with no message. `hint` is written after the sentence,
/// unchanged; it may be empty.
///
/// It is for programs, not libraries: the handler is set for the whole process, and also covers
/// mappings that belong to no store. Nothing is closed or flushed, as after a kill. A second call
/// has no effect.
///
/// # Errors
/// What the operating system says.
pub fn exit_on_bus_error(exit_code: i32, hint: &'static str) -> io::Result<()> {
    if ON_BUS_ERROR.set((exit_code, hint)).is_err() {
        return Ok(());
    }
    // SAFETY: a zeroed `sigaction` has no flags and, on Linux, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_flags = libc::SA_SIGINFO;
    action.sa_sigaction = on_bus_error as extern "C" fn(_, _, _) as usize;
    // SAFETY: the handler has the signature that SA_SIGINFO asks for, and calls only what a signal handler may.
    match unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The handler of SIGBUS. It allocates nothing, locks nothing and calls only `open`, `read`, `write`, `signal`, `raise` and
/// `_exit`, which signal-safety(7) allows.
extern "C" fn on_bus_error(signal: libc::c_int, about: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler set with SA_SIGINFO.
    let (code, address) = unsafe { ((*about).si_code, (*about).si_addr() as usize) };
    // Another process sent the signal: no read failed.
    if code <= 0 {
        // SAFETY: both may be called in a handler; the signal is delivered when this one returns.
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
    // SAFETY: `_exit` may be called in a handler.
    unsafe { libc::_exit(exit_code) }
}

/// Writes `bytes` to the standard error, as a signal handler may.
fn say(bytes: &[u8]) {
    // SAFETY: the pointer and the length are those of `bytes`. An error cannot be reported.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

/// A line of `/proc/self/maps`, on the stack: a signal handler cannot allocate.
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
    /// The path of the file that is mapped at `address`, as the kernel writes it.
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
                    if let Some(place) = self.bytes.get_mut(self.len) {
                        // The text is shown on a terminal.
                        *place = if byte.is_ascii_control() { b'?' } else { byte };
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

    /// Whether `address` is in the range at the start of the line: `7f0000000000-7f0000001000 r--s
    /// …`.
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
    fn a_process_with_another_number_is_a_fork_where_the_kernel_empties_no_page() {
        assert!(!ForkGuard::Process(std::process::id()).is_fork());
        assert!(ForkGuard::Process(std::process::id() + 1).is_fork());
    }

    #[test]
    fn the_file_that_is_mapped_at_an_address_is_found_by_its_path() {
        let path = std::env::current_exe().expect("this program has a name");
        let file = std::fs::File::open(&path).expect("it opens");
        let mapping = Mapping::new(&file, 8192).expect("it is mapped").expect("there is room");
        let at = mapping.0.bytes.as_ptr() as usize;
        for (address, is_it) in [(at, true), (at + 8191, true), (at + 8192, false), (0, false)] {
            let mut line = MapsLine::default();
            let found = line.find(address).map(<[u8]>::to_vec);
            assert_eq!(found == Some(path.as_os_str().as_encoded_bytes().to_vec()), is_it, "{address:x}");
        }
    }

    #[test]
    fn no_more_places_are_taken_than_there_are_and_each_that_is_given_back_is_there_again() {
        let places = Places::new(2);
        let (first, second) = (places.take(), places.take());
        assert!(first.is_some() && second.is_some());
        assert!((0..3).all(|_| places.take().is_none()), "a refusal takes none");
        drop(first);
        let third = places.take();
        assert!(third.is_some() && places.take().is_none());
    }
}
