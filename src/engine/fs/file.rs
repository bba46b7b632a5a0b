//! Files in the file system of the operating system.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{SeekFrom, fstat};
use rustix::io::Errno;

use super::handle::has_name;
use super::mmap::Mapping;
use super::names::StoreFile;
use super::traits::File;

/// Returns the offset of the next data of `file` at or after `at`. The bytes between are a hole,
/// which reads as zeros. Returns `u64::MAX` if no data follows, and `at` if the file system does
/// not know.
pub fn next_data(file: &std::fs::File, at: u64) -> u64 {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => data,
        Err(Errno::NXIO) => u64::MAX,
        Err(_) => at,
    }
}

/// Returns the offset of the next hole of `file` at or after `at`, which may be its end. Returns
/// `u64::MAX` if the file system does not know.
fn next_hole(file: &std::fs::File, at: u64) -> u64 {
    rustix::fs::seek(file, SeekFrom::Hole(at)).unwrap_or(u64::MAX)
}

/// An open file, with its directory and its name in it.
#[derive(Debug)]
pub(super) struct OsFile {
    pub(super) file: std::fs::File,
    pub(super) directory: Arc<std::fs::File>,
    pub(super) name: StoreFile,
}

impl OsFile {
    /// Checks that the file still has its name.
    fn check_name(&self) -> io::Result<()> {
        if has_name(&self.directory, self.name, &self.file)? {
            return Ok(());
        }
        let reason = "it was removed or replaced, and writes to it are lost";
        Err(io::Error::new(io::ErrorKind::NotFound, reason))
    }
}

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn identity(&self) -> io::Result<Option<(u64, u64)>> {
        let opened = fstat(&self.file)?;
        Ok(Some((opened.st_dev, opened.st_ino)))
    }

    fn next_data(&self, at: u64) -> u64 {
        next_data(&self.file, at)
    }

    fn next_hole(&self, at: u64) -> u64 {
        next_hole(&self.file, at)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.file.write_at(bytes, at)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        // The bytes of a file that has lost its name are on the disk, but cannot be found.
        self.check_name()
    }

    fn drop_cache(&self) {
        // Advice only. If it is ignored, recovery checks the cached pages instead of the disk.
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        Mapping::new(&self.file, len)
    }
}
