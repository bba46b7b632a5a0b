//! Small stores made in memory, always of the same bytes: what edits start from.

use std::sync::{Arc, LazyLock};

use logkv::fs::StoreFile;
use logkv::{Batch, ManualClock, Options, SegmentId, Store, Sync};

use super::memory::{Image, Memory};

/// The time on the clocks of all stores here, in milliseconds since 1970.
pub const NOW_MS: u64 = 1_700_000_000_000;

/// The keys that the samples ever held, and one that they never did.
pub const KEYS: [&str; 9] =
    ["a", "b", "batched", "deleted", "empty", LONG_KEY, "nested", "never there", "written last"];

/// The log's last segment: the ones before it are sealed.
pub const LAST_SEGMENT: SegmentId = SegmentId(3);

const LONG_KEY: &str = "a key that takes more than one row of eight bytes";

/// Options of a store in `memory` that does nothing unasked.
#[must_use]
pub fn options(memory: &Memory) -> Options {
    Options::new()
        .sync(Sync::Always)
        .background(false)
        .checkpoint_records(u64::MAX)
        .clock(Arc::new(ManualClock::at(NOW_MS)))
        .file_system(Arc::new(memory.clone()))
}

/// A store that was closed: two sealed segments with hints, one to go on with, and a KEYDIR that covers the first of them
/// and a part of the second.
#[must_use]
pub fn closed() -> &'static Image {
    static CLOSED: LazyLock<Image> = LazyLock::new(|| {
        let (memory, store) = made();
        store.close().expect("closes");
        with_hints(memory.image())
    });
    &CLOSED
}

/// The same store, whose writer died.
#[must_use]
pub fn unclosed() -> &'static Image {
    static UNCLOSED: LazyLock<Image> = LazyLock::new(|| {
        let (memory, _store) = made();
        with_hints(memory.image())
    });
    &UNCLOSED
}

/// A store that is still open, with all its records.
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
    assert!(store.delete("deleted").expect("a delete"), "it was there");
    store.close().expect("closes");
    // KEYDIR knows of all of this, and of nothing that comes now.
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

/// Three changes that happen together.
fn write_batch(store: &Store, which: &str) {
    let mut batch = Batch::new();
    batch.put("a", format!("{which}, in a batch")).put("batched", which).delete("never there");
    store.write(&batch).expect("a batch");
}

/// The same files, with the hints that a reader who has no KEYDIR makes of the segments.
fn with_hints(mut image: Image) -> Image {
    let without: Image = image.iter().filter(|(name, _)| *name != StoreFile::Keydir).cloned().collect();
    assert!(without.len() < image.len(), "there is a KEYDIR");
    let memory = Memory::of(&without);
    Store::open_with("memory", options(&memory)).expect("opens").close().expect("closes");
    let made = memory.image();
    let of_both =
        |(name, _): &&(StoreFile, Vec<u8>)| matches!(name, StoreFile::Hint(id) if *id < LAST_SEGMENT);
    image.extend(made.iter().filter(of_both).cloned());
    assert_eq!(image.len(), without.len() + 3, "KEYDIR, and a hint for each sealed segment");
    image.sort_by_key(|(name, _)| name.to_string());
    image
}
