//! The part of a scanned file that is in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A window over a file, which moves to the bytes that are read.
#[derive(Debug)]
pub struct Window {
    pub file: File,
    /// The length of the file.
    pub len: u64,
    start: u64,
    /// The bytes of the window.
    pub bytes: Vec<u8>,
}

impl Window {
    /// The least number of bytes that one read loads.
    pub const LEN_LEAST: usize = 1 << 20;

    /// Creates an empty window over `file`.
    pub fn of(file: File) -> io::Result<Self> {
        Ok(Self { len: file.metadata()?.len(), file, start: 0, bytes: Vec::new() })
    }

    /// Returns `len` bytes at offset `at`, or fewer at the end of the file.
    pub fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let wanted = |window: &Self| {
            let from = usize::try_from(at.checked_sub(window.start)?).ok()?;
            let to = from.checked_add(len)?;
            (to <= window.bytes.len()).then_some(from..to)
        };
        let range = match wanted(self) {
            Some(range) => range,
            None => {
                self.load(at, len)?;
                0..len.min(self.bytes.len())
            }
        };
        Ok(self.bytes.get(range).unwrap_or_default())
    }

    fn load(&mut self, at: u64, len: usize) -> io::Result<()> {
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        self.start = at;
        self.bytes.resize(len.max(Self::LEN_LEAST).min(left), 0);
        let mut filled = 0;
        while filled < self.bytes.len() {
            match self.file.read_at(&mut self.bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        if filled < self.bytes.len() {
            // The file was truncated after its length was read.
            self.len = at + filled as u64;
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}
