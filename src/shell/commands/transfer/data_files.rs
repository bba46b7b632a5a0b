//! The data files of another store in a directory, in the order in which they are read.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logkv::fs::StoreFile;
use rustix::fs::FileType;

use crate::shell::commands::foreign::ForeignFormat;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{visible, visible_path};
use crate::shell::run::folder::Folder;
use crate::shell::term::units;

/// The data files of another store, oldest first. The last record of a key counts.
#[derive(Clone, Debug)]
pub struct DataFiles {
    /// The format of the files.
    pub format: ForeignFormat,
    pub files: Vec<DataFile>,
    /// Notes for the user, one sentence each.
    pub notes: Vec<String>,
}

/// A data file of another store.
#[derive(Clone, Debug)]
pub struct DataFile {
    /// The path.
    pub path: PathBuf,
    /// The name in messages.
    pub name: String,
    /// The directory in which the file was found. `None` if the user named the file.
    folder: Option<Arc<Folder>>,
}

impl DataFile {
    /// Opens the file. Does not follow a symlink inside a directory: the creator of the directory
    /// could make it point to any file of this machine.
    pub fn open(&self) -> io::Result<File> {
        match (&self.folder, self.path.file_name()) {
            (Some(folder), Some(name)) => folder.read(name),
            _ => Folder::read_path(&self.path),
        }
    }
}

/// Advice for a store of this program.
pub const COPY: &str = "`logkv DIR export - | logkv NEW import -` copies the keys of a store";

/// The directory in which logkv-store writes the output of a merge.
const MERGE: &str = "merge_tmp";

impl DataFiles {
    /// Creates the list of a single file.
    pub fn one(path: &Path, format: ForeignFormat) -> Self {
        let name = visible_path(path);
        let file = DataFile { path: path.to_owned(), name, folder: None };
        Self { format, files: vec![file], notes: Vec::new() }
    }

    /// Finds the data files in `dir`. Without `format`, their names give the format.
    pub fn of(dir: &Path, format: Option<ForeignFormat>) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::file("read", dir, &error);
        let folder = Arc::new(Folder::open(dir).map_err(failed)?);
        let names = names(&folder).map_err(failed)?;
        let shown = visible_path(dir);
        let holds = |format: ForeignFormat| {
            names.iter().any(|(name, _)| format.number(name.as_bytes()).is_some())
                || format == ForeignFormat::LogkvStore && names.iter().any(|(name, _)| name == MERGE)
        };
        let format = match (format, ForeignFormat::ALL.map(holds)) {
            (Some(format), _) => format,
            (None, [true, false]) => ForeignFormat::Bitcask,
            (None, [false, true]) => ForeignFormat::LogkvStore,
            (None, [true, true]) => {
                let failure = Failure::command(format!("{shown} holds files of bitcask and of logkv-store"));
                return Err(failure.hint("--format says which to import"));
            }
            (None, [false, false])
                if names.iter().any(|(name, _)| StoreFile::parse(name) == Some(StoreFile::Manifest)) =>
            {
                let failure =
                    Failure::command(format!("{shown} is a logkv store, which import does not read"));
                return Err(failure.hint(COPY));
            }
            (None, [false, false]) => {
                return Err(Failure::command(format!(
                    "{shown} holds no data files of bitcask or logkv-store"
                )));
            }
        };
        let mut found = Self { format, files: Vec::new(), notes: Vec::new() };
        if format == ForeignFormat::LogkvStore {
            found.add_merge(&folder, dir)?;
        }
        found.add(&folder, dir, "", &names);
        if found.files.is_empty() && !found.notes.is_empty() {
            return Err(found.all_merged_away(&shown));
        }
        if found.files.is_empty() {
            return Err(Failure::command(format!("{shown} holds no data files of {}", format.name())));
        }
        Ok(found)
    }

    /// Returns the failure for a directory whose files are all merged. bitcask would remove them
    /// unread.
    fn all_merged_away(&self, shown: &str) -> Failure {
        let files = units::count(self.notes.len() as u64, "data file");
        let message =
            format!("nothing in {shown} is read: {files}, all marked by bitcask as merged and to be removed");
        Failure::command(message).hint(
            "if a copy set this mode, chmod u-s,o-x clears it; import FILE reads a file whatever its mode",
        )
    }

    /// Adds the output of an unfinished merge of logkv-store. Its records come from full segments,
    /// so the records in other files are newer. A finished merge leaves the directory empty.
    fn add_merge(&mut self, folder: &Arc<Folder>, dir: &Path) -> Result<(), Failure> {
        let path = dir.join(MERGE);
        let failed = |error| Failure::file("read", &path, &error);
        let Some(stat) = folder.stat(OsStr::new(MERGE)).map_err(failed)? else { return Ok(()) };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let merge = Arc::new(folder.directory(OsStr::new(MERGE)).map_err(failed)?);
            let names = names(&merge).map_err(failed)?;
            self.add(&merge, &path, &format!("{MERGE}/"), &names);
        } else {
            let folder = Some(Arc::clone(folder));
            self.files.push(DataFile { path: path.clone(), name: MERGE.to_owned(), folder });
        }
        if !self.files.is_empty() {
            let note =
                format!("{MERGE} is from an unfinished merge; its records are older and are imported first");
            self.notes.push(note);
        }
        Ok(())
    }

    /// Adds the data files among `names`, ordered by number.
    fn add(&mut self, folder: &Arc<Folder>, dir: &Path, prefix: &str, names: &[(OsString, u32)]) {
        let number = |name: &OsStr| self.format.number(name.as_bytes());
        let mut numbered: Vec<_> =
            names.iter().filter_map(|(name, mode)| Some((number(name)?, name, *mode))).collect();
        numbered.sort_unstable();
        for (_, name, mode) in numbered {
            let shown = format!("{prefix}{}", visible(name.as_bytes()));
            if self.format == ForeignFormat::Bitcask && is_merged_away(mode) {
                self.notes.push(format!("{shown} is left out: bitcask merged it and was about to remove it"));
            } else {
                let folder = Some(Arc::clone(folder));
                self.files.push(DataFile { path: dir.join(name), name: shown, folder });
            }
        }
    }
}

/// Returns whether bitcask marked a file of this mode for removal: with the setuid bit up to
/// version 1, with an execute bit since. The deletes for its records may be gone already.
fn is_merged_away(mode: u32) -> bool {
    mode & 0o4001 != 0
}

/// Returns the names in `folder`, with the modes of regular files.
fn names(folder: &Folder) -> io::Result<Vec<(OsString, u32)>> {
    let mode = |name: &OsString| {
        let stat = folder.stat(name).ok().flatten()?;
        // The mode of a directory does not matter. Opening it reports that it is not a file.
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then_some(stat.st_mode)
    };
    let with_mode = |name: OsString| {
        let mode = mode(&name).unwrap_or(0);
        (name, mode)
    };
    Ok(folder.names()?.into_iter().map(with_mode).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn dir_of(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory can be created");
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("the path has a parent"))
                .expect("a directory can be created");
            fs::write(path, "").expect("a file can be created");
        }
        dir
    }

    fn read_order(names: &[&str]) -> Vec<String> {
        let found = DataFiles::of(dir_of(names).path(), None).expect("there are data files");
        found.files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn files_are_ordered_by_number_after_an_unfinished_merge() {
        assert_eq!(
            read_order(&["10.bitcask.data", "9.bitcask.data", "9.bitcask.hint", "bitcask.write.lock"]),
            ["9.bitcask.data", "10.bitcask.data"]
        );
        assert_eq!(
            read_order(&[
                "segment_10.log",
                "segment_9.log",
                "merge_tmp/segment_11.log",
                "merge_tmp/segment_2.log"
            ]),
            ["merge_tmp/segment_2.log", "merge_tmp/segment_11.log", "segment_9.log", "segment_10.log"]
        );
        assert_eq!(read_order(&["merge_tmp"]), ["merge_tmp"]);
    }

    #[test]
    fn files_that_bitcask_merged_are_left_out_with_a_note() {
        let dir = dir_of(&["1.bitcask.data", "2.bitcask.data", "3.bitcask.data"]);
        for (name, mode) in [("1.bitcask.data", 0o645), ("2.bitcask.data", 0o4644)] {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode))
                .expect("the file is ours");
        }
        let found = DataFiles::of(dir.path(), None).expect("there are data files");
        assert_eq!(found.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["3.bitcask.data"]);
        assert_eq!(found.notes.len(), 2);
    }

    #[test]
    fn a_bitcask_directory_of_merged_files_only_is_refused() {
        let dir = dir_of(&["1.bitcask.data", "2.bitcask.data"]);
        let set_mode = |name: &str, mode| {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode))
                .expect("the file is ours");
        };
        set_mode("1.bitcask.data", 0o777);
        set_mode("2.bitcask.data", 0o777);
        let failure = DataFiles::of(dir.path(), None).expect_err("the directory is refused");
        assert!(failure.message.contains(" is read: 2 data files, all marked by "), "{}", failure.message);
        // bitcask's mark is the execute bit for others.
        set_mode("2.bitcask.data", 0o700);
        assert_eq!(DataFiles::of(dir.path(), None).expect("one file is left").files.len(), 1);
    }

    #[test]
    fn no_symlink_in_a_directory_is_followed() {
        let link = |dir: &Path, name: &str, to: &Path| {
            std::os::unix::fs::symlink(to, dir.join(name)).expect("a symlink can be created");
        };
        let refused = |file: &DataFile| file.open().expect_err("the symlink is refused").to_string();
        let secret = dir_of(&["shadow", "merged/segment_1.log"]);
        let dir = dir_of(&["2.bitcask.data"]);
        link(dir.path(), "1.bitcask.data", &secret.path().join("shadow"));
        let found = DataFiles::of(dir.path(), None).expect("there are data files");
        assert_eq!(found.files.len(), 2);
        assert_eq!(refused(&found.files[0]), "it is a link, which is not followed");
        assert!(found.files[1].open().is_ok());
        // A symlink replaces a file after the search, and a new directory replaces the old one.
        fs::remove_file(dir.path().join("2.bitcask.data")).expect("the file exists");
        link(dir.path(), "2.bitcask.data", &secret.path().join("shadow"));
        assert_eq!(refused(&found.files[1]), "it is a link, which is not followed");
        let dir = dir_of(&["its/1.bitcask.data"]);
        let its = dir.path().join("its");
        let found = DataFiles::of(&its, None).expect("there are data files");
        fs::rename(&its, dir.path().join("away")).expect("the directory can be renamed");
        fs::create_dir(&its).expect("a directory can be created");
        fs::write(its.join("1.bitcask.data"), "another").expect("a file can be created");
        assert_eq!(
            found.files[0].open().expect("the first file exists").metadata().expect("the file is open").len(),
            0
        );
        let dir = dir_of(&["segment_1.log"]);
        link(dir.path(), MERGE, &secret.path().join("merged"));
        let found = DataFiles::of(dir.path(), None).expect("there are data files");
        assert_eq!(refused(&found.files[0]), "it is a link, which is not followed");
    }

    #[test]
    fn a_directory_with_no_data_files_or_both_kinds_is_refused() {
        let refused = |names: &[&str]| {
            let message =
                DataFiles::of(dir_of(names).path(), None).expect_err("the directory is refused").message;
            message
                .split_once(" holds ")
                .or(message.split_once(" is "))
                .expect("the message describes the directory")
                .1
                .to_owned()
        };
        assert_eq!(refused(&["notes.txt"]), "no data files of bitcask or logkv-store");
        assert_eq!(refused(&["1.bitcask.data", "segment_1.log"]), "files of bitcask and of logkv-store");
        assert_eq!(refused(&["MANIFEST", "000001.seg"]), "a logkv store, which import does not read");
        let dir = dir_of(&["1.bitcask.data"]);
        let failure =
            DataFiles::of(dir.path(), Some(ForeignFormat::LogkvStore)).expect_err("the directory is refused");
        assert!(failure.message.ends_with("holds no data files of logkv-store"), "{}", failure.message);
    }
}
