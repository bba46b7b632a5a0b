//! Input of scripts and imports, read line by line as bytes.

mod readiness;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use logkv::KEY_LEN_MAX;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

pub use self::readiness::Readiness;
use self::readiness::{NonBlocking, readiness};
use super::interrupt::Interrupt;
use super::packing::Packing;
use super::unpacker::{self, Unpacker, is_trailing};

/// Returns the maximum length of a key and its value together, for values of up to `value_len_max`.
pub fn pair_len_max(value_len_max: u64) -> u64 {
    value_len_max.saturating_add(KEY_LEN_MAX as u64)
}

/// Returns the maximum length of the text of `len` bytes, each escaped to at most `escape_len`
/// bytes, with room for names and flags.
pub fn escaped_len_max(len: u64, escape_len: u64) -> u64 {
    const REST_LEN: u64 = 1 << 20;
    len.saturating_mul(escape_len).saturating_add(REST_LEN)
}

/// A buffered input. Lines are borrowed from the buffer, not copied.
pub struct Input {
    source: Box<dyn Read>,
    /// The descriptor to poll before a read, or `None` if a read never blocks.
    pollable: Option<OwnedFd>,
    buffer: Vec<u8>,
    /// The bounds of the current line in the buffer, with its line break.
    start: usize,
    end: usize,
    /// The position up to which the buffer was searched for a line break.
    searched: usize,
    is_begun: bool,
    is_at_end: bool,
    packing: Unpacking,
}

/// The compression of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unpacking {
    /// None, or the input is read without decompression.
    Never,
    /// Unknown until the first bytes are read.
    Unknown,
    /// This one.
    Of(Packing),
}

impl Input {
    const READ_LEN: usize = 256 << 10;
    /// Skipped at the start of a text.
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

    /// Reads an open file, a pipe or a terminal.
    pub fn file(file: File) -> io::Result<Self> {
        let pollable = file.as_fd().try_clone_to_owned()?;
        Ok(Self::new(Box::new(file), Some(pollable)))
    }

    /// Opens and reads the file at `path`.
    pub fn path(path: &Path) -> io::Result<Self> {
        // Without NONBLOCK, open of a FIFO waits for its writer, and Ctrl-C does not end that wait.
        let file = File::from(rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )?);
        // A directory can be opened; only a read of it fails.
        if file.metadata()?.is_dir() {
            return Err(Errno::ISDIR.into());
        }
        rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
        Self::file(file)
    }

    /// Reads the standard input.
    pub fn stdin() -> io::Result<Self> {
        Self::file(File::from(io::stdin().as_fd().try_clone_to_owned()?))
    }

    /// Reads `text`.
    pub fn text(text: Vec<u8>) -> Self {
        Self::new(Box::new(Cursor::new(text)), None)
    }

    fn new(source: Box<dyn Read>, pollable: Option<OwnedFd>) -> Self {
        Self {
            source,
            pollable,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            searched: 0,
            is_begun: false,
            is_at_end: false,
            packing: Unpacking::Never,
        }
    }

    /// Decompresses the input if its first bytes say that it is compressed.
    pub fn unpacked(self) -> Self {
        Self { packing: Unpacking::Unknown, ..self }
    }

    /// Returns the compression of the input, known after the first bytes are read.
    pub fn packing(&self) -> Option<Packing> {
        match self.packing {
            Unpacking::Of(packing) => Some(packing),
            Unpacking::Never | Unpacking::Unknown => None,
        }
    }

    /// Moves to the next line. Returns `false` if [`Input::fill`] must be called first, or at the
    /// end of the input.
    pub fn advance(&mut self) -> bool {
        let is_first = self.end == 0 && !self.is_begun;
        self.start = self.end;
        if !self.extend() {
            return false;
        }
        self.is_begun = true;
        if is_first && self.buffer[self.start..].starts_with(Self::BYTE_ORDER_MARK) {
            self.start += Self::BYTE_ORDER_MARK.len();
        }
        true
    }

    /// Adds the next line to the current one. Returns `false` as [`Input::advance`] does.
    pub fn extend(&mut self) -> bool {
        self.searched = self.searched.max(self.end);
        match memchr::memchr(b'\n', &self.buffer[self.searched..]) {
            Some(len) => {
                self.end = self.searched + len + 1;
                self.searched = self.end;
                true
            }
            None => {
                self.searched = self.buffer.len();
                // The last line may have no line break.
                let has_rest = self.is_at_end && self.end < self.buffer.len();
                if has_rest {
                    self.end = self.buffer.len();
                }
                has_rest
            }
        }
    }

    /// Returns the current line without its line break.
    pub fn line(&self) -> &[u8] {
        let line = &self.buffer[self.start..self.end];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Returns the length of the current line with its line break, for [`Input::shorten`].
    pub fn line_len(&self) -> usize {
        self.end - self.start
    }

    /// Shortens the current line to `len` bytes, its length before [`Input::extend`]. The rest is
    /// read again.
    pub fn shorten(&mut self, len: usize) {
        self.end = self.start + len;
        self.searched = self.end;
    }

    /// Returns the first `len` bytes from the start of the current line.
    pub fn held(&self, len: usize) -> &[u8] {
        &self.buffer[self.start..self.start + len]
    }

    /// Returns the buffered bytes, for readers without lines. Skips a byte order mark at the start.
    pub fn unread(&mut self) -> &[u8] {
        if !self.is_begun && self.buffer.starts_with(Self::BYTE_ORDER_MARK) {
            self.take(Self::BYTE_ORDER_MARK.len());
        }
        &self.buffer[self.start..]
    }

    /// Consumes `len` bytes of [`Input::unread`].
    pub fn take(&mut self, len: usize) {
        self.start += len;
        self.end = self.start;
        self.is_begun = true;
    }

    /// Returns the number of buffered bytes from the start of the current line.
    pub fn unread_len(&self) -> u64 {
        (self.buffer.len() - self.start) as u64
    }

    /// Drops all buffered bytes, in the middle of a line that is too long. The next read continues
    /// that line.
    pub fn forget(&mut self) {
        self.buffer.clear();
        (self.start, self.end, self.searched) = (0, 0, 0);
        self.is_begun = true;
    }

    /// Returns whether the end of the input was read.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Returns whether [`Input::fill`] would block. Compressed input is always ready: `fill`
    /// decompresses the bytes that have arrived, and does not block.
    pub fn readiness(&self) -> io::Result<Readiness> {
        if self.packing().is_some() { Ok(Readiness::Ready) } else { readiness(self.pollable.as_ref()) }
    }

    /// Waits until input is available. Ctrl-C ends the wait with [`io::ErrorKind::Interrupted`]. It
    /// would not end a read, which the system restarts.
    pub fn wait(&self, interrupt: &Interrupt) -> io::Result<()> {
        let Some(fd) = &self.pollable else { return Ok(()) };
        loop {
            let mut fds = vec![PollFd::new(fd, PollFlags::IN)];
            fds.extend(interrupt.wake().map(|wake| PollFd::from_borrowed_fd(wake, PollFlags::IN)));
            match poll(&mut fds, None) {
                // Any signal ends the call, such as SIGCONT after Ctrl-Z and `fg`.
                Err(Errno::INTR) => {}
                polled => drop(polled?),
            }
            if interrupt.is_woken() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            // After a wakeup without Ctrl-C a read could block, and Ctrl-C does not end a read.
            if !fds[0].revents().is_empty() {
                return Ok(());
            }
        }
    }

    /// Reads bytes past the buffer, for readers without lines.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer)
    }

    /// Returns the rest of the input. Waits as [`Input::wait`] does. Returns `None` after more than
    /// `len_max` bytes, so that an endless input such as `/dev/zero` ends.
    pub fn rest(mut self, len_max: u64, interrupt: &Interrupt) -> io::Result<Option<Vec<u8>>> {
        while !self.is_at_end {
            self.wait(interrupt)?;
            self.fill()?;
            if (self.buffer.len() - self.end) as u64 > len_max {
                return Ok(None);
            }
        }
        self.buffer.drain(..self.end);
        Ok(Some(self.buffer))
    }

    /// Reads more into the buffer. Compressed input may return [`io::ErrorKind::WouldBlock`] even
    /// if it was ready.
    pub fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.end -= self.start;
        self.searched = self.searched.saturating_sub(self.start);
        self.start = 0;
        let old_len = self.buffer.len();
        self.buffer.resize(old_len + Self::READ_LEN, 0);
        let read = self.source.read(&mut self.buffer[old_len..]);
        self.buffer.truncate(old_len + *read.as_ref().unwrap_or(&0));
        if read.as_ref().is_err_and(is_trailing) && self.buffer.last().is_some_and(|&last| last != b'\n') {
            // The last line ends with the content. The next read returns the error again.
            self.buffer.push(b'\n');
            return Ok(());
        }
        let read = read.map_err(|error| match self.packing() {
            Some(packing) => unpacker::explained(packing, error),
            None => error,
        });
        self.is_at_end = read? == 0;
        if self.packing == Unpacking::Unknown { self.look_for_packing() } else { Ok(()) }
    }

    /// Detects compression as soon as enough bytes are read.
    fn look_for_packing(&mut self) -> io::Result<()> {
        if let Some(packing) = Packing::of_start(&self.buffer) {
            let source = std::mem::replace(&mut self.source, Box::new(io::empty()));
            let pollable = self.pollable.as_ref().map(OwnedFd::try_clone).transpose()?;
            let start = Cursor::new(std::mem::take(&mut self.buffer));
            self.source =
                Box::new(Unpacker::new(packing, Box::new(start.chain(NonBlocking { source, pollable })))?);
            self.packing = Unpacking::Of(packing);
            // The buffer held compressed bytes so far.
            self.searched = 0;
        } else if self.is_at_end || !Packing::may_start(&self.buffer) {
            self.packing = Unpacking::Never;
        }
        Ok(())
    }
}
