//! What the rooms share: stores in temporary directories, and their files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use logkv::fs::{Directory, FileSystem, OsFileSystem, PathKind};
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

/// The operating system's files, with random numbers that are the same in every run: golden files need them.
#[derive(Debug, Default)]
pub(crate) struct SteadyRandom(AtomicU8);

impl FileSystem for SteadyRandom {
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        OsFileSystem.kind(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        OsFileSystem.create_directory(path)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            *byte = self.0.fetch_add(0x11, Ordering::Relaxed);
        }
        Ok(())
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        OsFileSystem.open_directory(path)
    }
}
