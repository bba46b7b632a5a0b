//! The file MANIFEST: reading and replacing it.

use std::io;
use std::sync::Arc;

use crate::engine::base::error::{Error, Result};
use crate::engine::base::escape::Grouped;
use crate::engine::base::ids::Lineage;
use crate::engine::base::stop::Failure;
use crate::engine::format::manifest::{Manifest, ManifestError};
use crate::engine::fs::staging::StagedFile;
use crate::engine::fs::{Access, Directory, File, FileSystem, StoreFile, read_vec_at};

/// The longest MANIFEST that is read, in bytes. One with 131,072 segments is shorter.
pub(crate) const LEN_MAX: u64 = 32 << 20;

/// Reads MANIFEST.
///
/// # Errors
/// [`Error::ManifestDamaged`], [`Error::Unsupported`], and I/O errors.
pub(crate) fn read(directory: &dyn Directory) -> Result<Manifest> {
    decode(directory, &*open(directory)?)
}

/// Opens MANIFEST. The file is never changed, only replaced.
pub(crate) fn open(directory: &dyn Directory) -> Result<Arc<dyn File>> {
    let opened = directory.open(StoreFile::Manifest, Access::Read);
    opened.map_err(Error::io("open", directory.path(StoreFile::Manifest)))
}

/// Decodes `file`, the MANIFEST of `directory`.
///
/// # Errors
/// As [`read`].
pub(crate) fn decode(directory: &dyn Directory, file: &dyn File) -> Result<Manifest> {
    let path = || directory.path(StoreFile::Manifest);
    let bytes = text(file).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => {
            Error::ManifestDamaged { reason: format!("it has more than {} bytes", Grouped(LEN_MAX)) }
        }
        _ => Error::io("read", path())(error),
    })?;
    Manifest::decode(&bytes).map_err(|error| match error {
        ManifestError::Damaged(reason) => Error::ManifestDamaged { reason },
        ManifestError::Unsupported(found) => {
            Error::Unsupported { what: "MANIFEST".to_owned(), found, supported: "1.x".to_owned() }
        }
    })
}

/// Draws a random lineage, which no other store has.
pub(crate) fn new_lineage(file_system: &dyn FileSystem) -> Result<Lineage> {
    let mut random = [0; 8];
    file_system.random(&mut random).map_err(Error::io("read", "the system's random numbers"))?;
    Ok(Lineage(u64::from_le_bytes(random)))
}

/// Reads a text file.
///
/// # Errors
/// I/O errors, and `FileTooLarge` if it is longer than any MANIFEST.
pub(crate) fn text(file: &dyn File) -> io::Result<Vec<u8>> {
    let len = file.len()?;
    if len > LEN_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    read_vec_at(file, 0, len)
}

/// Replaces MANIFEST, durably. A crash leaves the old one or the new one.
///
/// # Errors
/// I/O errors, and whether the old MANIFEST is certainly still in place.
pub(crate) fn replace(directory: &dyn Directory, manifest: &Manifest) -> Result<(), Failure> {
    let staged = write_new(directory, manifest).map_err(|error| Failure { error, is_undone: true })?;
    let path = || directory.path(StoreFile::ManifestNew);
    staged
        .put_in_place()
        .and_then(|()| directory.sync().map_err(Error::io("fsync the directory of", path())))
        .map_err(|error| Failure { error, is_undone: false })
}

/// Writes MANIFEST.new, durably.
fn write_new<'a>(directory: &'a dyn Directory, manifest: &Manifest) -> Result<StagedFile<'a>> {
    let staged = StagedFile::new(directory, StoreFile::ManifestNew, StoreFile::Manifest)?;
    staged.write(manifest.encode().as_bytes(), 0)?;
    staged.sync()?;
    Ok(staged)
}

/// Makes the current MANIFEST durable. A writer may have died between its rename and its sync.
pub(crate) fn sync(directory: &dyn Directory) -> Result<()> {
    let path = || directory.path(StoreFile::Manifest);
    let file = directory.open(StoreFile::Manifest, Access::Read).map_err(Error::io("open", path()))?;
    file.sync().map_err(Error::io("fsync", path()))?;
    directory.sync().map_err(Error::io("fsync the directory of", path()))
}
