//! Marks of incomplete directories.

use std::io;

use super::file::create_file;
use crate::engine::base::error::{Error, Result};
use crate::engine::fs::{Access, Directory, StoreFile, read_vec_at};

/// The mark of a directory that is being filled. A marked directory without a MANIFEST was left by
/// an interrupted backup or restore. A backup also stages files under this name, with other
/// contents.
pub(crate) const MARK: Mark = Mark {
    file: StoreFile::Unfinished,
    text: b"a backup or a restore fills this directory; run it again if it was interrupted\n",
};

/// A file that marks its directory as incomplete while it holds `text`.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) file: StoreFile,
    pub(crate) text: &'static [u8],
}

impl Mark {
    /// Marks `directory`, durably. The mark is created before all other files: a file without a
    /// mark may belong to anybody.
    pub(crate) fn set(&self, directory: &dyn Directory) -> Result<()> {
        create_file(directory, self.file, self.text)?;
        directory.sync().map_err(Error::io("fsync the directory of", directory.path(self.file)))
    }

    /// Returns whether `directory` is marked.
    pub(crate) fn is_set(&self, directory: &dyn Directory) -> bool {
        let read = || -> io::Result<bool> {
            let len = self.text.len() as u64;
            let file = directory.open(self.file, Access::Read)?;
            Ok(file.len()? == len && read_vec_at(&*file, 0, len)? == self.text)
        };
        read().unwrap_or(false)
    }
}
