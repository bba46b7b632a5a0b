//! A file of the operating system.

use std::io;
use std::os::unix::fs::FileExt;

use super::{File, Mapping};

#[derive(Debug)]
pub(super) struct OsFile(pub(super) std::fs::File);

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.0.write_at(bytes, at)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn drop_cache(&self) {
        // Only advice: where it is not followed, recovery reads what the kernel has, which is all there is.
        let _ = rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed);
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        Mapping::new(&self.0, len).map(Some)
    }
}
