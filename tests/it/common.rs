//! Helpers that the suites share: stores in temporary directories, and their files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf, absolute};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use logkv::{Options, Scan, SegmentId, SegmentState, Store, Sync};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::hooked::{FreeSyncs, hooked};

/// An empty directory, removed when the value is dropped.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Options for tests: no syncs, which matter only in a power cut, and no background work.
pub(crate) fn quick() -> Options {
    Options::new().sync(Sync::Never).background(false).file_system(hooked(FreeSyncs))
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open_with(dir, quick()).expect("the store opens")
}

pub(crate) fn segment_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:06}.seg"))
}

pub(crate) fn hint_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:06}.hint"))
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

/// The files in `dir` that are part of the log, without derived files.
pub(crate) fn log_files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = files(dir);
    files.retain(|(name, _)| !is_derived(name));
    files
}

fn is_derived(name: &str) -> bool {
    name.ends_with(".hint") || name == "KEYDIR"
}

/// Removes KEYDIR and hints.
pub(crate) fn remove_derived(dir: &Path) {
    for (name, _) in files(dir).iter().filter(|(name, _)| is_derived(name)) {
        fs::remove_file(dir.join(name)).expect("is removed");
    }
}

/// Copies the files of `from` into a new temporary directory.
pub(crate) fn copy_of(from: &Path) -> TempDir {
    let to = scratch();
    for (name, bytes) in files(from) {
        fs::write(to.path().join(name), bytes).expect("a copy");
    }
    to
}

/// The files in `dir` that MANIFEST does not need, except LOCK and files that users put there.
pub(crate) fn leftovers(dir: &Path) -> Vec<String> {
    let manifest = fs::read_to_string(dir.join("MANIFEST")).expect("MANIFEST");
    let listed: Vec<_> =
        manifest.lines().filter_map(|line| line.strip_prefix("segment ")?.split(' ').next()).collect();
    let is_needed = |name: &str| match name.split_once('.') {
        Some((id, "seg" | "hint")) => listed.contains(&id),
        _ => ["LOCK", "MANIFEST", "KEYDIR", "logkv.toml"].contains(&name),
    };
    files(dir).into_iter().map(|(name, _)| name).filter(|name| !is_needed(name)).collect()
}

pub(crate) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// All keys and values of `store`.
pub(crate) fn contents(store: &Store) -> Map {
    shown(store.scan(..).expect("scans"))
}

/// All keys and values that `scan` returns.
pub(crate) fn shown(scan: Scan) -> Map {
    let entries = scan.map(|entry| entry.expect("reads"));
    entries.map(|entry| (entry.meta.key.to_vec(), entry.value.to_vec())).collect()
}

/// Checks that gets and scans return `map`, and that the statistics equal a recount of the files.
pub(crate) fn assert_is(store: &Store, map: &Map, what: &str) {
    assert!(contents(store) == *map, "{what}: the scan differs from the map");
    for (key, value) in map {
        let read = store.get(key).expect("reads");
        assert!(read.as_deref() == Some(value), "{what}: {} is {read:?}", key.escape_ascii());
    }
    assert_eq!(store.len(), map.len() as u64, "{what}");
    assert_counted(store, what);
}

/// Checks that the statistics of each segment equal a recount of its file.
pub(crate) fn assert_counted(store: &Store, what: &str) {
    for segment in store.segments().expect("segments") {
        let totals = store.inspect(segment.id).expect("inspects").totals;
        let counted = (totals.live_count, totals.live_len, totals.tombstone_count, totals.record_count);
        let kept = (segment.live_count, segment.live_len, segment.tombstone_count, segment.record_count);
        assert_eq!(kept, counted, "{what}: segment {}", segment.id);
        let (kept, counted) = ((segment.raw_len, segment.stored_len), (totals.raw_len, totals.stored_len));
        assert_eq!(kept, counted, "{what}: compressed values of segment {}", segment.id);
    }
}

/// The ids of the sealed segments, in log order.
pub(crate) fn sealed(store: &Store) -> Vec<SegmentId> {
    let segments = store.segments().expect("segments");
    segments
        .iter()
        .filter(|segment| segment.state == SegmentState::Sealed)
        .map(|segment| segment.id)
        .collect()
}

pub(crate) fn value(store: &Store, key: &str) -> Option<String> {
    let value = store.get(key).unwrap_or_else(|error| panic!("get {key}: {}", error.sentence()));
    value.map(|value| String::from_utf8_lossy(&value).into_owned())
}

/// A copy of the directory as a killed process would leave it. Dropping the store releases its lock
/// only afterwards.
pub(crate) fn killed(store: Store, dir: &Path) -> TempDir {
    let copy = copy_of(dir);
    drop(store);
    copy
}

/// Waits until `condition` holds, for at most `limit`. Returns whether it did.
pub(crate) fn holds_within(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > limit {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// Waits until `condition` holds. Panics after a minute.
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    assert!(holds_within(Duration::from_secs(60), condition), "waited for a minute");
}

/// The program under test: `LOGKV_BIN`, or the one built with the tests.
pub(crate) fn binary() -> PathBuf {
    let named = std::env::var_os("LOGKV_BIN").map(PathBuf::from);
    named.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_logkv")), |path| absolute(path).expect("a path"))
}

/// A command that runs the program in `dir`, without the user's settings.
pub(crate) fn program(dir: &Path) -> Command {
    program_of_system(binary(), dir)
}

/// A command that runs the program at `path` in `dir`, without the user's settings.
pub(crate) fn program_of_system(path: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(path);
    command.current_dir(dir).env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command
}

/// The seed in `LOGKV_SEED`, or a random one. Prints it, so that a failed test can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("LOGKV_SEED") {
        Ok(text) => text.parse().expect("LOGKV_SEED is a number"),
        Err(_) => RandomState::new().hash_one(0),
    };
    println!("LOGKV_SEED={seed}");
    seed
}

/// A repeatable random number generator (SplitMix64, Steele and others 2014).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator seeded with [`seed`].
    pub(crate) fn announced() -> Self {
        Self(seed())
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// An independent generator, seeded from this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// Starts `command` with pipes for its standard streams.
pub(crate) fn piped(command: &mut Command) -> Child {
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    streams.spawn().expect("the program starts")
}

/// Sends SIGINT to `child`.
pub(crate) fn interrupt(child: &Child) {
    send(child, Signal::INT);
}

/// Sends `signal` to the running `child`.
pub(crate) fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id() as i32).expect("a process");
    kill_process(pid, signal).expect("exists");
}

/// Reports that a test cannot run here. Writes to the standard error, since output of passed tests
/// is hidden.
pub(crate) fn skipped(test: &str, reason: &str) {
    writeln!(io::stderr(), "SKIPPED {test}: {reason}").expect("standard error is open");
}

/// A store of two sealed segments and an active one, with replaced and deleted keys.
pub(crate) fn small_store() -> TempDir {
    let dir = scratch();
    let store = open(dir.path());
    for (key, value) in [("one", "1"), ("two", "22"), ("three", "333")] {
        store.put(key, value).expect("a put");
    }
    store.rotate().expect("rotates");
    store.put("two", "twenty-two").expect("a put");
    store.delete("three").expect("a delete");
    store.rotate().expect("rotates");
    store.put("four", "4444").expect("a put");
    store.close().expect("closes");
    dir
}

/// A store of five keys, each synced, whose writer was killed.
pub(crate) fn unclosed_store() -> TempDir {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().sync(Sync::Always)).expect("opens");
    for n in 0..5 {
        store.put(format!("key {n}"), "value").expect("a put");
    }
    killed(store, dir.path())
}

/// The CRC-32 of zlib, which gzip and Riak's bitcask use.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The checksum of the record `bytes` at offset `at` of a segment with `salt`.
pub(crate) fn record_crc(salt: &[u8], at: usize, bytes: &[u8]) -> [u8; 4] {
    let place = [salt, &(at as u64).to_le_bytes()].concat();
    crc32c::crc32c_append(crc32c::crc32c(&place), bytes).to_le_bytes()
}

/// Sets the checksum in a segment's header.
pub(crate) fn seal_segment_header(header: &mut [u8]) {
    let crc = crc32c::crc32c(&header[..60]).to_le_bytes();
    header[60..64].copy_from_slice(&crc);
}

/// Gives the record at offset `at` of a segment an expiry. It replaces the first eight bytes of the
/// value, so that nothing else moves. Updates the checksums.
pub(crate) fn set_expiry(path: &Path, at: u64, expires_ms: u64) {
    let mut bytes = fs::read(path).expect("the segment");
    let salt = bytes[56..60].to_vec();
    let at = at as usize;
    let number = |bytes: &[u8], at: usize, len: usize| {
        (0..len).rev().fold(0, |number, index| number << 8 | usize::from(bytes[at + index]))
    };
    let value_len = number(&bytes, at + 24, 4);
    let body = at + 32;
    let value_at = body + number(&bytes, at + 28, 2).next_multiple_of(8);
    let end = value_at + value_len.next_multiple_of(8);
    bytes.copy_within(body..value_at, body + 8);
    bytes[body..body + 8].copy_from_slice(&expires_ms.to_le_bytes());
    let shorter = u32::try_from(value_len - 8).expect("a value of eight bytes or more");
    bytes[at + 24..at + 28].copy_from_slice(&shorter.to_le_bytes());
    bytes[at + 31] |= 1;
    let hcrc = record_crc(&salt, at, &bytes[at + 8..body]);
    let rcrc = record_crc(&salt, at, &bytes[at + 8..end]);
    bytes[at..at + 4].copy_from_slice(&hcrc);
    bytes[at + 4..at + 8].copy_from_slice(&rcrc);
    fs::write(path, bytes).expect("the expiry");
}

/// Changes the lines of MANIFEST with `change`, and updates the checksum.
pub(crate) fn rewrite_manifest(dir: &Path, change: impl Fn(&str) -> String) {
    let path = dir.join("MANIFEST");
    let text = fs::read_to_string(&path).expect("MANIFEST");
    let body: String =
        text.lines().filter(|line| !line.starts_with("crc ")).map(|line| change(line) + "\n").collect();
    let crc = crc32c::crc32c(body.as_bytes());
    fs::write(path, format!("{body}crc {crc:08x}\n")).expect("MANIFEST");
}
