//! Reads the members of a backup's archive. Any program may have written it: in any order, with
//! directories in the names, with extended headers. A name only identifies a file of a store, and
//! is never used as a path.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

use tar::{EntryType, Header};

use super::archive::BLOCK_LEN;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::escape::{Grouped, Visible};
use crate::engine::base::stop::Stop;
use crate::engine::files::manifest_file;
use crate::engine::fs::{StoreFile, is_of_file_system};

/// The most zeros that may follow the last file. Other programs pad archives.
const END_LEN_MAX: usize = 1 << 20;
/// The offset of the magic, which all formats but the oldest have.
const MAGIC_AT: usize = 257;
/// The longest extended header that is accepted. Other programs write a few hundred bytes.
const EXTENSION_LEN_MAX: u64 = 64 << 10;

/// A callback that receives a file of an archive: its name, its length and a reader of its bytes.
type Take<'a> = dyn FnMut(StoreFile, u64, &mut dyn Read) -> Result<(), Stop> + 'a;

/// Passes each file of the archive `from` to `take`. Reads to the end, so that trailing bytes are
/// checked.
///
/// # Errors
/// [`Error::NotABackup`] if `from` is no archive, or holds a file that no backup has;
/// [`Error::BackupDamaged`]; the errors of `take`.
pub(super) fn read(from: &mut dyn Read, take: &mut Take<'_>) -> Result<(), Stop> {
    let mut members = Members { from, count: 0, folder: None, seen: HashSet::new() };
    while let Some((file, len)) = members.next()? {
        let mut bytes = (&mut *members.from).take(len);
        take(file, len, &mut bytes)?;
        let left = bytes.limit();
        members.skip(left)?;
        members.skip(padding(len))?;
    }
    Ok(members.read_end()?)
}

/// A reader of an archive.
struct Members<'a> {
    from: &'a mut dyn Read,
    /// The number of headers read.
    count: u64,
    /// The directory in the name of the first file. All others must have the same.
    folder: Option<Vec<u8>>,
    seen: HashSet<StoreFile>,
}

/// The fields of an extended header, which apply to the next member.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    len: Option<u64>,
}

impl Members<'_> {
    /// Returns the next file of the store and its length, or `None` at the end. Its bytes follow.
    fn next(&mut self) -> Result<Option<(StoreFile, u64)>> {
        let mut extension = Extension::default();
        while let Some(header) = self.header()? {
            let len = header.entry_size().map_err(unreadable)?;
            match header.entry_type() {
                EntryType::XHeader => self.extend(&mut extension, len)?,
                // A global header is usually a comment.
                EntryType::XGlobalHeader => self.extend(&mut Extension::default(), len)?,
                EntryType::GNULongName => {
                    let mut name = self.extension_bytes(len)?;
                    name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
                    extension.name = Some(name);
                }
                kind => {
                    let Extension { name, len: longer } = std::mem::take(&mut extension);
                    let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
                    let len = longer.unwrap_or(len);
                    match self.file(&name, kind)? {
                        Some(file) => return Ok(Some((file, len))),
                        None => {
                            self.skip(len)?;
                            self.skip(padding(len))?;
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// Returns the next header, or `None` at the end.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut block = [0; BLOCK_LEN];
        let len = read_up_to(self.from, &mut block).map_err(unreadable)?;
        let is_first = self.count == 0;
        self.count += 1;
        if len == 0 || block == [0; BLOCK_LEN] {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block);
        let sum: u32 = block.iter().enumerate().map(|(at, &byte)| u32::from(summed(at, byte))).sum();
        if len == BLOCK_LEN && header.cksum().is_ok_and(|stored| stored == sum) {
            return Ok(Some(header.clone()));
        }
        let has_magic = block[MAGIC_AT..].starts_with(b"ustar");
        Err(match is_first && !has_magic {
            true => {
                // If a compressed stream is damaged, reading on returns a better error.
                let mut rest = self.from.take(END_LEN_MAX as u64);
                io::copy(&mut rest, &mut io::sink()).map_err(unreadable)?;
                not_a_backup("it is not an archive")
            }
            false if len < BLOCK_LEN => damaged("it ends in the middle of a header"),
            false => damaged("a header in it is damaged"),
        })
    }

    /// Returns the file of the store that `name` identifies, or `None` for a directory.
    fn file(&mut self, name: &[u8], kind: EntryType) -> Result<Option<StoreFile>> {
        let refused =
            |what: &str| not_a_backup(format!("it holds {}{what}, which no backup does", Visible(name)));
        let parts: Vec<&[u8]> =
            name.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
        if name.starts_with(b"/") || parts.contains(&&b".."[..]) {
            return Err(refused(""));
        }
        let is_directory = kind == EntryType::Directory || kind.is_file() && name.ends_with(b"/");
        let last = OsStr::from_bytes(parts.last().copied().unwrap_or_default());
        let file = StoreFile::parse(last);
        match kind {
            _ if is_directory && file.is_some() => return Err(refused(" as a directory")),
            _ if is_directory => return Ok(None),
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Link | EntryType::Symlink => return Err(refused(" as a link")),
            EntryType::GNUSparse => return Err(refused(" as a sparse file")),
            EntryType::Fifo | EntryType::Char | EntryType::Block => return Err(refused(" as a device")),
            _ => return Err(refused(" as a member of an unknown kind")),
        }
        let Some(file) = file.filter(|_| !is_of_file_system(last)) else { return Err(refused("")) };
        let folder = parts[..parts.len() - 1].join(&b'/');
        if *self.folder.get_or_insert_with(|| folder.clone()) != folder {
            return Err(refused(" beside files of another directory"));
        }
        if !self.seen.insert(file) {
            return Err(refused(" twice"));
        }
        Ok(Some(file))
    }

    /// Reads an extended header of `len` bytes, which consists of lines `LENGTH KEY=VALUE`.
    fn extend(&mut self, extension: &mut Extension, len: u64) -> Result<()> {
        let bytes = self.extension_bytes(len)?;
        let mut rest = bytes.as_slice();
        while let Some((line, after)) = line_of_pax(rest) {
            rest = after;
            match line {
                (b"path", name) => extension.name = Some(name.to_vec()),
                (b"size", len) => {
                    let len = str::from_utf8(len).ok().and_then(|len| len.parse().ok());
                    extension.len = Some(len.ok_or_else(|| damaged("an extended header in it is damaged"))?);
                }
                (key, _) if key.starts_with(b"GNU.sparse.") => {
                    return Err(not_a_backup("it holds a sparse file, which no backup does"));
                }
                _ => {}
            }
        }
        match rest.iter().all(|&byte| byte == 0) {
            true => Ok(()),
            false => Err(damaged("an extended header in it is damaged")),
        }
    }

    /// Reads the `len` bytes of an extended header.
    fn extension_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > EXTENSION_LEN_MAX {
            return Err(damaged(format!("it holds an extended header of {} bytes", Grouped(len))));
        }
        let bytes = text(self.from, len)?;
        self.skip(padding(len))?;
        Ok(bytes)
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        let passed = io::copy(&mut (&mut *self.from).take(len), &mut io::sink()).map_err(unreadable)?;
        if passed == len { Ok(()) } else { Err(damaged("it ends in the middle of a file")) }
    }

    /// Reads the zeros after the last file, and the end of a compressed stream.
    fn read_end(&mut self) -> Result<()> {
        let mut rest = Vec::new();
        (&mut *self.from).take(END_LEN_MAX as u64 + 1).read_to_end(&mut rest).map_err(unreadable)?;
        if rest.len() > END_LEN_MAX || rest.iter().any(|&byte| byte != 0) {
            return Err(damaged("something follows its end"));
        }
        Ok(())
    }
}

/// Reads until `buffer` is full or the input ends. Returns the number of bytes read.
fn read_up_to(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match from.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Returns the amount that a header's byte adds to the checksum. The checksum's own bytes count as
/// spaces.
fn summed(at: usize, byte: u8) -> u8 {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    if CHECKSUM.contains(&at) { b' ' } else { byte }
}

/// Returns the length of the padding between a file of `len` bytes and the next header.
fn padding(len: u64) -> u64 {
    len.wrapping_neg() % BLOCK_LEN as u64
}

/// A key and value of an extended header.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// Returns the first key and value of an extended header, and the rest.
fn line_of_pax(bytes: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let blank = bytes.iter().position(|&byte| byte == b' ')?;
    let len: usize = str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
    let line = bytes.get(blank + 1..len)?.strip_suffix(b"\n")?;
    let equals = line.iter().position(|&byte| byte == b'=')?;
    Some(((&line[..equals], &line[equals + 1..]), &bytes[len..]))
}

/// Reads a text file of `len` bytes.
///
/// # Errors
/// [`Error::BackupDamaged`] if it exceeds the limit or ends early.
pub(super) fn text(from: &mut dyn Read, len: u64) -> Result<Vec<u8>> {
    if len > manifest_file::LEN_MAX {
        let most = Grouped(manifest_file::LEN_MAX);
        return Err(damaged(format!("a file of text has more than {most} bytes")));
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

pub(super) fn not_a_backup(reason: impl Into<String>) -> Error {
    Error::NotABackup { reason: reason.into() }
}

pub(super) fn unreadable(error: io::Error) -> Error {
    damaged(format!("it cannot be read ({error})"))
}
