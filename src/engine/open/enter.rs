//! Checks whether a directory holds a store, or may become one.

use std::path::Path;
use std::sync::Arc;

use crate::engine::base::error::{Error, Result};
use crate::engine::base::escape::Visible;
use crate::engine::files::log_files;
use crate::engine::fs::{Directory, StoreFile, is_of_file_system, staging};
use crate::engine::options::Options;

/// Returns the directory at `path` if it is a store or may become one. Creates it if `options`
/// allow.
pub(super) fn enter(path: &Path, options: &Options) -> Result<Arc<dyn Directory>> {
    let may_create = options.create && !options.read_only;
    let directory = match log_files::enter(path, options) {
        Err(Error::Missing { .. }) if may_create => {
            let created = options.file_system.create_directory(path, options.trust);
            created.map_err(Error::io("create", path))?
        }
        entered => entered?,
    };
    match contents(path, &*directory)? {
        Contents::Empty if !may_create => Err(Error::Missing { path: path.to_owned() }),
        Contents::Empty | Contents::Store => Ok(directory),
    }
}

/// The contents of a directory.
pub(super) enum Contents {
    Store,
    /// Nothing, or only files that do not make a store: the remains of an interrupted creation, the
    /// user's options file, and derived files. Derived files of a log that is gone do no harm,
    /// because they carry the id of that store.
    Empty,
}

pub(super) fn contents(path: &Path, directory: &dyn Directory) -> Result<Contents> {
    let mut names = directory.names().map_err(Error::io("read", path))?;
    names.retain(|name| !is_of_file_system(name));
    let files: Vec<_> = names.iter().map(|name| StoreFile::parse(name)).collect();
    if files.contains(&Some(StoreFile::Manifest)) {
        return Ok(Contents::Store);
    }
    if staging::MARK.is_set(directory) {
        return Err(Error::Unfinished { path: path.to_owned() });
    }
    if let Some(stranger) = names.iter().zip(&files).find(|(_, file)| file.is_none()).map(|(name, _)| name) {
        let stranger = Visible(stranger.as_encoded_bytes());
        let reason = format!("it holds other files ({stranger}) and no MANIFEST");
        return Err(Error::Foreign { path: path.to_owned(), reason });
    }
    if files.iter().any(|file| matches!(file, Some(StoreFile::Segment(_)))) {
        return Err(Error::ManifestDamaged { reason: "it is missing, and there are segments".to_owned() });
    }
    Ok(Contents::Empty)
}
