//! Which files of a directory hold another store's records, and in which order they are read.

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

/// The files of another store, oldest first: of a key the last record counts.
#[derive(Clone, Debug)]
pub struct DataFiles {
    /// Whose they are.
    pub format: ForeignFormat,
    /// The files themselves.
    pub files: Vec<DataFile>,
    /// What the user should know of the directory, a sentence each.
    pub notes: Vec<String>,
}

/// A file of another store.
#[derive(Clone, Debug)]
pub struct DataFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name in messages.
    pub name: String,
    /// The directory that it was found in; `None` if the user named the file.
    folder: Option<Arc<Folder>>,
}

impl DataFile {
    /// Opens the file. A link inside a directory is not followed: the maker of the directory would
    /// choose a file of this machine to read.
    pub fn open(&self) -> io::Result<File> {
        match (&self.folder, self.path.file_name()) {
            (Some(folder), Some(name)) => folder.read(name),
            _ => Folder::read_path(&self.path),
        }
    }
}

/// What to do about a store of our own.
pub const COPY: &str = "`logkv DIR export - | logkv NEW import -` copies the keys of a store";

/// The directory in which logkv-store writes what a merge makes.
const MERGE: &str = "merge_tmp";

impl DataFiles {
    /// The one file at `path`.
    pub fn one(path: &Path, format: ForeignFormat) -> Self {
        let name = visible_path(path);
        let file = DataFile { path: path.to_owned(), name, folder: None };
        Self { format, files: vec![file], notes: Vec::new() }
    }

    /// Those in directory `dir`, of `format` where that is known.
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
                return Err(failure.hint("--format says which are meant"));
            }
            (None, [false, false])
                if names.iter().any(|(name, _)| StoreFile::parse(name) == Some(StoreFile::Manifest)) =>
            {
                let failure = Failure::command(format!("{shown} is a store of logkv, and nothing to import"));
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

    /// That nothing is left of the directory called `shown`. bitcask itself would read nothing there, and remove the files.
    fn all_merged_away(&self, shown: &str) -> Failure {
        let files = units::count(self.notes.len() as u64, "data file");
        let message = format!(
            "nothing of {shown} is read: {files}, with the mode of what bitcask has merged and is about to remove"
        );
        Failure::command(message).hint(
            "where a copy has set that mode, chmod u-s,o-x takes it off; import FILE takes in one file whatever its mode",
        )
    }

    /// What an unfinished merge of logkv-store has left. It made it of segments that were full then: whatever is not merged
    /// is newer. A finished merge leaves the directory empty.
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
            let note = format!(
                "{MERGE} is of a merge that was not finished: its records are older, and go in first"
            );
            self.notes.push(note);
        }
        Ok(())
    }

    /// Adds the data files among `names`, by their numbers.
    fn add(&mut self, folder: &Arc<Folder>, dir: &Path, prefix: &str, names: &[(OsString, u32)]) {
        let number = |name: &OsStr| self.format.number(name.as_bytes());
        let mut numbered: Vec<_> =
            names.iter().filter_map(|(name, mode)| Some((number(name)?, name, *mode))).collect();
        numbered.sort_unstable();
        for (_, name, mode) in numbered {
            let shown = format!("{prefix}{}", visible(name.as_bytes()));
            if self.format == ForeignFormat::Bitcask && is_merged_away(mode) {
                self.notes
                    .push(format!("{shown} is left out: bitcask has merged it, and was about to remove it"));
            } else {
                let folder = Some(Arc::clone(folder));
                self.files.push(DataFile { path: dir.join(name), name: shown, folder });
            }
        }
    }
}

/// Whether bitcask has marked a file of this mode for removal: by its setuid bit up to version 1, by an executable bit since.
/// The deletes of what is in it may be gone already.
fn is_merged_away(mode: u32) -> bool {
    mode & 0o4001 != 0
}

/// The names in `folder`, and the modes of those files.
fn names(folder: &Folder) -> io::Result<Vec<(OsString, u32)>> {
    let mode = |name: &OsString| {
        let stat = folder.stat(name).ok().flatten()?;
        // A directory's mode does not matter here; opening reports what is not a file.
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then_some(stat.st_mode)
    };
    let names = folder.names()?.into_iter();
    Ok(names.map(|name| (mode(&name).unwrap_or(0), name)).map(|(mode, name)| (name, mode)).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn dir_of(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory can be made");
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("it is in the directory"))
                .expect("a directory can be made");
            fs::write(path, "").expect("a file can be written");
        }
        dir
    }

    fn read_order(names: &[&str]) -> Vec<String> {
        let found = DataFiles::of(dir_of(names).path(), None).expect("there are data files");
        found.files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn files_are_read_by_their_numbers_and_an_unfinished_merge_first() {
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
    fn what_bitcask_has_merged_away_is_left_out_and_told() {
        let dir = dir_of(&["1.bitcask.data", "2.bitcask.data", "3.bitcask.data"]);
        for (name, mode) in [("1.bitcask.data", 0o645), ("2.bitcask.data", 0o4644)] {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).expect("it is ours");
        }
        let found = DataFiles::of(dir.path(), None).expect("there are data files");
        assert_eq!(found.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["3.bitcask.data"]);
        assert_eq!(found.notes.len(), 2);
    }

    #[test]
    fn a_bitcask_of_which_every_file_is_left_out_is_an_error() {
        let dir = dir_of(&["1.bitcask.data", "2.bitcask.data"]);
        let set_mode = |name: &str, mode| {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        set_mode("1.bitcask.data", 0o777);
        set_mode("2.bitcask.data", 0o777);
        let failure = DataFiles::of(dir.path(), None).expect_err("it is refused");
        assert!(failure.message.contains(" is read: 2 data files, with the mode of "), "{}", failure.message);
        // bitcask's mark is the execute bit for others.
        set_mode("2.bitcask.data", 0o700);
        assert_eq!(DataFiles::of(dir.path(), None).expect("there is one").files.len(), 1);
    }

    #[test]
    fn a_link_in_a_directory_is_not_followed_whoever_put_it_there_and_when() {
        let link = |dir: &Path, name: &str, to: &Path| {
            std::os::unix::fs::symlink(to, dir.join(name)).expect("a link can be made");
        };
        let refused = |file: &DataFile| file.open().expect_err("it is refused").to_string();
        let secret = dir_of(&["shadow", "merged/segment_1.log"]);
        let dir = dir_of(&["2.bitcask.data"]);
        link(dir.path(), "1.bitcask.data", &secret.path().join("shadow"));
        let found = DataFiles::of(dir.path(), None).expect("there are data files");
        assert_eq!(found.files.len(), 2);
        assert_eq!(refused(&found.files[0]), "it is a link, which is not followed");
        assert!(found.files[1].open().is_ok());
        // A link replaces a file that was found, and a new directory replaces the old one.
        fs::remove_file(dir.path().join("2.bitcask.data")).expect("it is there");
        link(dir.path(), "2.bitcask.data", &secret.path().join("shadow"));
        assert_eq!(refused(&found.files[1]), "it is a link, which is not followed");
        let dir = dir_of(&["its/1.bitcask.data"]);
        let its = dir.path().join("its");
        let found = DataFiles::of(&its, None).expect("there are data files");
        fs::rename(&its, dir.path().join("away")).expect("it is renamed");
        fs::create_dir(&its).expect("a directory can be made");
        fs::write(its.join("1.bitcask.data"), "another").expect("a file can be written");
        assert_eq!(found.files[0].open().expect("it is there").metadata().expect("it is open").len(), 0);
        let dir = dir_of(&["segment_1.log"]);
        link(dir.path(), MERGE, &secret.path().join("merged"));
        let found = DataFiles::of(dir.path(), None).expect("there are data files");
        assert_eq!(refused(&found.files[0]), "it is a link, which is not followed");
    }

    #[test]
    fn a_directory_without_such_files_or_with_both_kinds_is_refused_in_a_sentence() {
        let refused = |names: &[&str]| {
            let message = DataFiles::of(dir_of(names).path(), None).expect_err("it is refused").message;
            message.split_once(" holds ").or(message.split_once(" is ")).expect("what it is").1.to_owned()
        };
        assert_eq!(refused(&["notes.txt"]), "no data files of bitcask or logkv-store");
        assert_eq!(refused(&["1.bitcask.data", "segment_1.log"]), "files of bitcask and of logkv-store");
        assert_eq!(refused(&["MANIFEST", "000001.seg"]), "a store of logkv, and nothing to import");
        let dir = dir_of(&["1.bitcask.data"]);
        let failure = DataFiles::of(dir.path(), Some(ForeignFormat::LogkvStore)).expect_err("it is refused");
        assert!(failure.message.ends_with("holds no data files of logkv-store"), "{}", failure.message);
    }
}
