//! What the rooms share: stores in temporary directories, and their files.

use std::fs;
use std::path::{Path, PathBuf};

use logkv::{Options, Store, Sync};
use tempfile::TempDir;

/// A directory that is removed at the end, as no store yet.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Options for tests: nothing is synced but where a segment is sealed, which only a power cut could tell.
pub(crate) fn quick() -> Options {
    Options::new().sync(Sync::Never)
}

/// Opens the store at `dir`.
pub(crate) fn open(dir: &Path) -> Store {
    Store::open_with(dir, quick()).expect("the store opens")
}

/// The file of segment `id`.
pub(crate) fn segment_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:06}.seg"))
}

/// The names and bytes of all files in `dir`, sorted.
pub(crate) fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("a readable directory")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| {
            let bytes = fs::read(entry.path()).expect("a readable file");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    files.sort();
    files
}

/// Copies the files of `from` into a fresh directory.
pub(crate) fn copy_of(from: &Path) -> TempDir {
    let to = scratch();
    for (name, bytes) in files(from) {
        fs::write(to.path().join(name), bytes).expect("a copy");
    }
    to
}

/// What the store says `key` is.
pub(crate) fn value(store: &Store, key: &str) -> Option<String> {
    let value = store.get(key).unwrap_or_else(|error| panic!("get {key}: {}", error.sentence()));
    value.map(|value| String::from_utf8_lossy(&value).into_owned())
}

/// Leaves the store as a killed process would: its handle is never closed, and the lock is let go by copying.
pub(crate) fn killed(store: Store, dir: &Path) -> TempDir {
    let copy = copy_of(dir);
    drop(store);
    copy
}
