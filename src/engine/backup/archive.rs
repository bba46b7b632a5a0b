//! A backup in an archive: a stream of tar entries, MANIFEST first, that any `tar` unpacks into a backup in a directory.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::course::{Course, Observe};
use super::report::BackupReport;
use super::source::Source;
use crate::engine::catalog;
use crate::engine::clock::Clock;
use crate::engine::fs::StoreFile;
use crate::engine::visible::Visible;
use crate::error::{Error, Result, Stop};

/// What tar reads and writes at once: headers have this length, and files are padded to it.
const BLOCK_LEN: usize = 512;
/// An archive ends with two blocks of zeros, and whoever made it may have added some more.
const END_LEN: usize = 2 * BLOCK_LEN;
const END_LEN_MAX: usize = 1 << 20;

/// Writes a backup of `source` to `out`.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Cancelled`], and [`Error::Io`]: what was written is no backup then.
pub(crate) fn into_archive(
    source: &Source,
    out: &mut dyn Write,
    clock: &dyn Clock,
    observe: &mut Observe<'_>,
) -> Result<BackupReport> {
    let mut course = Course::new(observe, 2 * source.len());
    let mut writer = Writer { out, modified_s: clock.now_ms() / 1000 };
    Ok(write(source, &mut writer, &mut course)?)
}

fn write(source: &Source, writer: &mut Writer<'_>, course: &mut Course<'_>) -> Result<BackupReport, Stop> {
    writer.file(StoreFile::Manifest, source.manifest(1).encode().as_bytes())?;
    if let Some(options) = &source.options {
        writer.file(StoreFile::Config, options)?;
    }
    for part in &source.parts {
        part.check(&source.home, course)?;
        writer.begin(part.name(), part.len)?;
        part.copy(course, &mut |bytes, _| writer.put(bytes))?;
        writer.pad(part.len)?;
    }
    writer.put(&[0; END_LEN])?;
    writer.out.flush().map_err(unwritten)?;
    let (count, len) = (source.parts.len() as u64, source.len());
    Ok(BackupReport {
        segment_count: count,
        copied_count: count,
        len,
        copied_len: len,
        last_seq: source.last_seq,
        cursor: source.cursor(),
        ..BackupReport::default()
    })
}

fn unwritten(source: io::Error) -> Error {
    Error::Io { action: "write", path: PathBuf::from("the archive"), source }
}

/// Writes one file behind the other.
struct Writer<'a> {
    out: &'a mut dyn Write,
    modified_s: u64,
}

impl Writer<'_> {
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

/// Takes a file of an archive: its name, its length, and what gives its bytes.
type Take<'a> = dyn FnMut(StoreFile, u64, &mut dyn Read) -> Result<(), Stop> + 'a;

/// Hands each file of the archive `from` to `take`, with its length and its bytes, and reads on to the end: what follows
/// would be checked by nobody.
///
/// # Errors
/// [`Error::BackupDamaged`] when it is no archive, or holds what no backup does; those of `take`.
pub(super) fn read(from: &mut dyn Read, take: &mut Take<'_>) -> Result<(), Stop> {
    let mut archive = tar::Archive::new(&mut *from);
    // Raw: what follows a header that makes names longer would be read into memory, however long it is.
    for (index, entry) in archive.entries().map_err(unreadable)?.raw(true).enumerate() {
        let mut entry = entry.map_err(|error| match (index, error.raw_os_error()) {
            (0, None) => damaged("it is no archive that a backup made, or is damaged where it begins"),
            _ => unreadable(error),
        })?;
        let name = entry.path_bytes().into_owned();
        let file = StoreFile::parse(OsStr::from_bytes(&name)).filter(|file| is_of_backup(*file));
        let is_file = entry.header().entry_type().is_file();
        let Some(file) = file.filter(|_| is_file) else {
            let name = Visible(&name);
            return Err(damaged(format!("it holds {name}, which no backup does")).into());
        };
        let len = entry.header().entry_size().map_err(unreadable)?;
        take(file, len, &mut entry)?;
    }
    read_end(from)
}

fn is_of_backup(file: StoreFile) -> bool {
    matches!(file, StoreFile::Manifest | StoreFile::Config | StoreFile::Segment(_))
}

/// Reads what is behind the last file: zeros, and the end of what the archive may be packed in.
fn read_end(from: &mut dyn Read) -> Result<(), Stop> {
    let mut rest = Vec::new();
    from.take(END_LEN_MAX as u64 + 1).read_to_end(&mut rest).map_err(unreadable)?;
    if rest.len() > END_LEN_MAX || rest.iter().any(|&byte| byte != 0) {
        return Err(damaged("something follows its end").into());
    }
    Ok(())
}

/// All of a file that people read, `len` bytes long.
///
/// # Errors
/// [`Error::BackupDamaged`] when it is longer than any, or ends before.
pub(super) fn text(from: &mut dyn Read, len: u64) -> Result<Vec<u8>> {
    if len > catalog::LEN_MAX {
        return Err(damaged(format!("a file of text has more than {} bytes", catalog::LEN_MAX)));
    }
    let mut bytes = Vec::new();
    from.take(len).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() as u64 == len {
        true => Ok(bytes),
        false => Err(damaged("it ends in the middle of a file")),
    }
}

pub(super) fn damaged(reason: impl Into<String>) -> Error {
    Error::BackupDamaged { reason: reason.into() }
}

pub(super) fn unreadable(error: io::Error) -> Error {
    damaged(format!("it cannot be read ({error})"))
}
