//! Backups to an archive: a tar stream that starts with MANIFEST. Any `tar` program can unpack it
//! into a backup in a directory.

use std::io::{self, Write};
use std::path::PathBuf;

use super::progress::{Observe, Progress};
use super::report::BackupReport;
use super::source::BackupSource;
use crate::engine::base::clock::Clock;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::stop::Stop;
use crate::engine::fs::StoreFile;

/// The block length of tar: headers have this length, and files are padded to it.
pub(super) const BLOCK_LEN: usize = 512;
/// An archive ends with two zero blocks.
const END_LEN: usize = 2 * BLOCK_LEN;

/// Writes a backup of `source` to `out`.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Cancelled`] and [`Error::Io`]. The output is then not a backup.
pub(crate) fn into_archive(
    source: &BackupSource,
    out: &mut dyn Write,
    clock: &dyn Clock,
    observe: &mut Observe<'_>,
) -> Result<BackupReport> {
    let mut progress = Progress::new(observe, 2 * source.len());
    let mut writer = TarWriter { out, modified_s: clock.now_ms() / 1000 };
    Ok(write(source, &mut writer, &mut progress)?)
}

fn write(
    source: &BackupSource,
    writer: &mut TarWriter<'_>,
    progress: &mut Progress<'_>,
) -> Result<BackupReport, Stop> {
    writer.file(StoreFile::Manifest, source.manifest(1).encode().as_bytes())?;
    if let Some(options) = &source.options {
        writer.file(StoreFile::Config, options)?;
    }
    for segment in &source.segments {
        segment.check(&source.context, progress)?;
        writer.begin(segment.name(), segment.len)?;
        segment.copy(progress, &mut |bytes, _| writer.put(bytes))?;
        writer.pad(segment.len)?;
    }
    writer.put(&[0; END_LEN])?;
    writer.out.flush().map_err(unwritten)?;
    let count = source.segments.len() as u64;
    Ok(BackupReport {
        segment_count: count,
        copied_count: count,
        len: source.len(),
        copied_len: source.len(),
        last_seq: source.last_seq,
        cursor: source.cursor(),
        ..BackupReport::default()
    })
}

fn unwritten(source: io::Error) -> Error {
    Error::Io { action: "write", path: PathBuf::from("the archive"), source }
}

struct TarWriter<'a> {
    out: &'a mut dyn Write,
    modified_s: u64,
}

impl TarWriter<'_> {
    fn file(&mut self, name: StoreFile, bytes: &[u8]) -> Result<()> {
        self.begin(name, bytes.len() as u64)?;
        self.put(bytes)?;
        self.pad(bytes.len() as u64)
    }

    fn begin(&mut self, name: StoreFile, len: u64) -> Result<()> {
        const OWNER_ALONE: u32 = 0o600;
        let mut header = tar::Header::new_ustar();
        header.set_path(name.to_string()).map_err(unwritten)?;
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(OWNER_ALONE);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.modified_s);
        header.set_size(len);
        header.set_cksum();
        self.put(header.as_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(unwritten)
    }

    fn pad(&mut self, len: u64) -> Result<()> {
        let over = (len % BLOCK_LEN as u64) as usize;
        self.put(&[0; BLOCK_LEN][over..][..(BLOCK_LEN - over) % BLOCK_LEN])
    }
}
