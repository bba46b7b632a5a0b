//! The lines of a script, as bytes, and what an import reads.

mod readiness;

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use logkv::KEY_LEN_MAX;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

pub use self::readiness::Readiness;
use self::readiness::{Unwaiting, readiness};
use super::interrupt::Interrupt;
use super::packing::Packing;
use super::unpacker::{self, Unpacker, is_trailing};

/// The most that a key and a value have, in bytes, where values have at most `value_len_max`.
pub fn pair_len_max(value_len_max: u64) -> u64 {
    value_len_max.saturating_add(KEY_LEN_MAX as u64)
}

/// The most that `len` bytes take if each becomes `escape_len`, and some more for what is around them.
pub fn escaped_len_max(len: u64, escape_len: u64) -> u64 {
    const REST_LEN: u64 = 1 << 20;
    len.saturating_mul(escape_len).saturating_add(REST_LEN)
}

/// Bytes that come in lines. Lines are found in the buffer that they were read into, and not copied.
pub struct Input {
    source: Box<dyn Read>,
    /// What to ask whether a read would wait; `None` for what never does.
    pollable: Option<OwnedFd>,
    buffer: Vec<u8>,
    /// Where the present line starts and ends in the buffer, its line break included.
    start: usize,
    end: usize,
    /// How far the buffer was searched for a line break.
    searched: usize,
    is_begun: bool,
    is_at_end: bool,
    packing: Unpacking,
}

/// Whether what is read is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unpacking {
    /// It is taken as it is.
    Never,
    /// Its first bytes will say.
    Unknown,
    /// It is, and unpacked while it is read.
    Of(Packing),
}

impl Input {
    const READ_LEN: usize = 256 << 10;
    /// What may stand before a text, and is no part of it.
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

    /// The lines of an open file, a pipe or a terminal.
    pub fn file(file: File) -> io::Result<Self> {
        let pollable = file.as_fd().try_clone_to_owned()?;
        Ok(Self::new(Box::new(file), Some(pollable)))
    }

    /// The lines of the file at `path`.
    pub fn path(path: &Path) -> io::Result<Self> {
        // Opening a FIFO would else wait for its writer, where no Ctrl-C ends it.
        let file = File::from(rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )?);
        // A directory opens, and fails only when it is read.
        if file.metadata()?.is_dir() {
            return Err(Errno::ISDIR.into());
        }
        rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
        Self::file(file)
    }

    /// The lines of the standard input.
    pub fn stdin() -> io::Result<Self> {
        Self::file(File::from(io::stdin().as_fd().try_clone_to_owned()?))
    }

    /// The lines of `text`.
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

    /// The same, unpacked where its first bytes say that it is packed.
    pub fn unpacked(self) -> Self {
        Self { packing: Unpacking::Unknown, ..self }
    }

    /// How it is packed, once the first bytes are read.
    pub fn packing(&self) -> Option<Packing> {
        match self.packing {
            Unpacking::Of(packing) => Some(packing),
            Unpacking::Never | Unpacking::Unknown => None,
        }
    }

    /// Goes on to the next line. `false` when [`Input::fill`] has to be called first, or there is none.
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

    /// Adds the next line to the present one. `false` as for [`Input::advance`].
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

    /// The present line, without its line break.
    pub fn line(&self) -> &[u8] {
        let line = &self.buffer[self.start..self.end];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// How many bytes the present line has, its line break included: [`Input::shorten`] goes back to that.
    pub fn line_len(&self) -> usize {
        self.end - self.start
    }

    /// Takes the present line back to its first `len` bytes, which were all of it: what follows is read again.
    pub fn shorten(&mut self, len: usize) {
        self.end = self.start + len;
        self.searched = self.end;
    }

    /// The first `len` bytes of what is held.
    pub fn held(&self, len: usize) -> &[u8] {
        &self.buffer[self.start..self.start + len]
    }

    /// The bytes that are held, for those who look for no lines: a byte order mark at the start is none of them.
    pub fn unread(&mut self) -> &[u8] {
        if !self.is_begun && self.buffer.starts_with(Self::BYTE_ORDER_MARK) {
            self.take(Self::BYTE_ORDER_MARK.len());
        }
        &self.buffer[self.start..]
    }

    /// Lets go of the first `len` bytes of [`Input::unread`].
    pub fn take(&mut self, len: usize) {
        self.start += len;
        self.end = self.start;
        self.is_begun = true;
    }

    /// How many bytes are held of the present line and what follows it.
    pub fn unread_len(&self) -> u64 {
        (self.buffer.len() - self.start) as u64
    }

    /// Lets go of what is held, which is of a line that has no end yet: what is read next goes on in the middle of it.
    pub fn forget(&mut self) {
        self.buffer.clear();
        (self.start, self.end, self.searched) = (0, 0, 0);
        self.is_begun = true;
    }

    /// Whether all has been read.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Whether [`Input::fill`] would have to wait. What is packed is unpacked first, as far as it is there.
    pub fn readiness(&self) -> io::Result<Readiness> {
        if self.packing().is_some() { Ok(Readiness::Ready) } else { readiness(self.pollable.as_ref()) }
    }

    /// Waits until there is something to read. Ctrl-C ends the wait with [`io::ErrorKind::Interrupted`]; a read
    /// would be taken up again.
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

    /// Reads what comes next, of which no line is made.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer)
    }

    /// All that is left, waiting for it as [`Input::wait`] does; `None` when that is more than `len_max` bytes, which
    /// are not read to the end: `/dev/zero` has none.
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

    /// Reads more. What is packed may have to wait all the same, and says so with [`io::ErrorKind::WouldBlock`].
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
            // The last line ends where what was packed does. The error comes back with the next read.
            self.buffer.push(b'\n');
            return Ok(());
        }
        let read = read.map_err(|error| match self.packing() {
            Some(packing) => unpacker::told(packing, error),
            None => error,
        });
        self.is_at_end = read? == 0;
        if self.packing == Unpacking::Unknown { self.look_for_packing() } else { Ok(()) }
    }

    /// Goes by the first bytes, as soon as they are there.
    fn look_for_packing(&mut self) -> io::Result<()> {
        if let Some(packing) = Packing::of_start(&self.buffer) {
            let source = std::mem::replace(&mut self.source, Box::new(io::empty()));
            let pollable = self.pollable.as_ref().map(OwnedFd::try_clone).transpose()?;
            let start = Cursor::new(std::mem::take(&mut self.buffer));
            self.source =
                Box::new(Unpacker::new(packing, Box::new(start.chain(Unwaiting { source, pollable })))?);
            self.packing = Unpacking::Of(packing);
            // What was searched is not what was packed.
            self.searched = 0;
        } else if self.is_at_end || !Packing::may_start(&self.buffer) {
            self.packing = Unpacking::Never;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::packing::Packer;
    use super::*;

    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        let mut input = Input::text(text.to_vec());
        let mut lines = Vec::new();
        loop {
            while input.advance() {
                lines.push(input.line().to_vec());
            }
            if input.is_at_end() {
                return lines;
            }
            input.fill().expect("memory can be read");
        }
    }

    #[test]
    fn a_line_ends_with_lf_or_crlf_or_the_end() {
        assert_eq!(lines(b"a\nb\r\n\nc\rd"), [&b"a"[..], b"b", b"", b"c\rd"]);
        assert!(lines(b"").is_empty());
        assert_eq!(lines(b"\n"), [b""]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        assert_eq!(lines(b"\xef\xbb\xbfa\n\xef\xbb\xbfb"), [&b"a"[..], b"\xef\xbb\xbfb"]);
    }

    #[test]
    fn a_line_longer_than_the_buffer_comes_in_one_piece() {
        let long = vec![b'x'; Input::READ_LEN * 2 + 7];
        let text = [b"a\n", long.as_slice(), b"\nb\n"].concat();
        assert_eq!(lines(&text), [&b"a"[..], &long, b"b"]);
    }

    #[test]
    fn the_rest_is_what_no_line_took() {
        let mut input = Input::text(b"a\nb\nc".to_vec());
        input.fill().expect("memory can be read");
        assert!(input.advance());
        let rest = input.rest(3, &Interrupt::default()).expect("memory can be read");
        assert_eq!(rest.as_deref(), Some(&b"b\nc"[..]));
    }

    #[test]
    fn a_rest_without_an_end_is_given_up() {
        let zeros = File::open("/dev/zero").and_then(Input::file).expect("there are zeros");
        assert_eq!(zeros.rest(1000, &Interrupt::default()).expect("they can be read"), None);
    }

    #[test]
    fn what_is_let_go_of_takes_no_memory_and_the_next_line_is_whole() {
        let long = vec![b'x'; Input::READ_LEN * 2];
        let mut input = Input::text([&long, b"end\nnext".as_slice()].concat());
        input.fill().expect("memory can be read");
        assert!(!input.advance());
        input.forget();
        assert_eq!(input.unread_len(), 0);
        let mut lines = Vec::new();
        while !input.is_at_end() {
            input.fill().expect("memory can be read");
            while input.advance() {
                lines.push(input.line().to_vec());
            }
        }
        assert_eq!(lines, [&[&long[Input::READ_LEN..], b"end"].concat()[..], b"next"]);
    }

    #[test]
    fn what_is_packed_is_unpacked_as_it_comes_and_a_wait_is_told() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let mut input = Input::file(File::from(OwnedFd::from(reader))).expect("it can be read").unpacked();
        let mut packer = Packer::new(Some(Packing::Gzip), Vec::new()).expect("memory takes it");
        packer.write_all(b"a\nb\n").expect("memory takes it");
        let packed = packer.finish().expect("memory takes it");
        // The first byte alone says nothing yet.
        writer.write_all(&packed[..1]).expect("the pipe takes it");
        input.fill().expect("it is there");
        assert!(input.packing().is_none() && !input.advance() && !input.is_at_end());
        writer.write_all(&packed[1..packed.len() - 3]).expect("the pipe takes it");
        let mut lines = Vec::new();
        let waits = loop {
            if let Err(error) = input.fill() {
                break error;
            }
            while input.advance() {
                lines.push(input.line().to_vec());
            }
        };
        assert_eq!((waits.kind(), lines), (io::ErrorKind::WouldBlock, vec![b"a".to_vec(), b"b".to_vec()]));
        writer.write_all(&packed[packed.len() - 3..]).expect("the pipe takes it");
        drop(writer);
        input.fill().expect("it goes on where it was");
        assert!(input.is_at_end());
    }

    #[test]
    fn a_stale_wakeup_does_not_end_a_wait() {
        let (reader, mut writer) = io::pipe().expect("a pipe can be opened");
        let input = Input::file(File::from(OwnedFd::from(reader))).expect("a pipe can be polled");
        let interrupt = Interrupt::with_stale_wakeup();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                writer.write_all(b"a\n").expect("the pipe has room");
            });
            input.wait(&interrupt).expect("Ctrl-C was not pressed");
            assert_eq!(input.readiness().expect("a pipe can be polled"), Readiness::Ready);
        });
    }

    #[test]
    fn a_line_that_goes_on_is_one_piece_with_its_line_breaks() {
        let mut input = Input::text(b"a 'b\r\nc' d\ne".to_vec());
        input.fill().expect("memory can be read");
        assert!(input.advance() && input.extend());
        assert_eq!(input.line(), b"a 'b\r\nc' d");
    }
}
