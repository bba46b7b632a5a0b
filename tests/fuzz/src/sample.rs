//! Small sample stores in memory, which edits start from. Their bytes are the same in every run.

use std::sync::{Arc, LazyLock};

use logkv::fs::StoreFile;
use logkv::{Batch, ManualClock, Options, SegmentId, Store, Sync};

use super::memory::{Image, Memory};

/// The time on the clock of every sample, in milliseconds since 1970.
pub const NOW_MS: u64 = 1_700_000_000_000;

/// The keys that the samples held at some time, and one that they never held.
pub const KEYS: [&str; 9] =
    ["a", "b", "batched", "deleted", "empty", LONG_KEY, "nested", "never there", "written last"];

/// The active segment. The segments before it are sealed.
pub const LAST_SEGMENT: SegmentId = SegmentId(3);

const LONG_KEY: &str = "a key that takes more than one row of eight bytes";

/// Returns options for a store in `memory` without background work.
#[must_use]
pub fn options(memory: &Memory) -> Options {
    Options::new()
        .sync(Sync::Always)
        .background(false)
        .checkpoint_records(u64::MAX)
        .clock(Arc::new(ManualClock::at(NOW_MS)))
        .file_system(Arc::new(memory.clone()))
}

/// Returns a closed store: two sealed segments with hints, an active one, and a KEYDIR that covers
/// the first segment and a part of the second.
#[must_use]
pub fn closed() -> &'static Image {
    static CLOSED: LazyLock<Image> = LazyLock::new(|| {
        let (memory, store) = made();
        store.close().expect("closes");
        with_hints(memory.image())
    });
    &CLOSED
}

/// Returns the same store, left unclosed.
#[must_use]
pub fn unclosed() -> &'static Image {
    static UNCLOSED: LazyLock<Image> = LazyLock::new(|| {
        let (memory, _store) = made();
        with_hints(memory.image())
    });
    &UNCLOSED
}

/// Makes the sample. The store is still open.
fn made() -> (Memory, Store) {
    let memory = Memory::default();
    let store = Store::open_with("memory", options(&memory).checkpoint_records(1)).expect("opens");
    let put = |store: &Store, key: &str, value: &[u8]| {
        store.put(key, value).expect("a put");
    };
    put(&store, "a", b"1");
    put(&store, "b", b"the first value of b");
    put(&store, "deleted", b"gone later");
    write_batch(&store, "first");
    store.rotate().expect("rotates");
    put(&store, LONG_KEY, b"a value of nearly two rows");
    put(&store, "empty", b"");
    assert!(store.delete("deleted").expect("a delete"), "the key was present");
    store.close().expect("closes");
    // Closing wrote a KEYDIR. It does not cover the later records.
    let store = Store::open_with("memory", options(&memory)).expect("opens");
    put(&store, "b", b"another value of b");
    write_batch(&store, "second");
    store.rotate().expect("rotates");
    let segment =
        memory.image().into_iter().map(|(_, bytes)| bytes).find(|bytes| bytes.starts_with(b"LOGKVSEG"));
    put(&store, "nested", &segment.expect("a segment")[64..160]);
    put(&store, "deleted", b"there again");
    write_batch(&store, "third");
    put(&store, "written last", b"42");
    (memory, store)
}

/// Writes a batch of three changes.
fn write_batch(store: &Store, which: &str) {
    let mut batch = Batch::new();
    batch.put("a", format!("{which}, in a batch")).put("batched", which).delete("never there");
    store.write(&batch).expect("a batch");
}

/// Adds hints to the files. Opening a store without KEYDIR writes them.
fn with_hints(mut image: Image) -> Image {
    let without: Image = image.iter().filter(|(name, _)| *name != StoreFile::Keydir).cloned().collect();
    assert!(without.len() < image.len(), "the sample has a KEYDIR");
    let memory = Memory::of(&without);
    Store::open_with("memory", options(&memory)).expect("opens").close().expect("closes");
    let made = memory.image();
    let of_both =
        |(name, _): &&(StoreFile, Vec<u8>)| matches!(name, StoreFile::Hint(id) if *id < LAST_SEGMENT);
    image.extend(made.iter().filter(of_both).cloned());
    assert_eq!(image.len(), without.len() + 3, "KEYDIR and a hint for each sealed segment");
    image.sort_by_key(|(name, _)| name.to_string());
    image
}
