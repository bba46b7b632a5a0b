//! The engine: a log, an index, and the order of steps that makes writes safe.
//!
//! # Wings
//! A wing uses only the wings above it in this table. A test reads the table and checks the
//! imports.
//!
//! | wing | content |
//! |---|---|
//! | `base` | ids, time, batches, errors, text for terminals, locks and wakeups |
//! | `format` | bytes and values, without I/O |
//! | `fs` | the operating system, staging directories |
//! | `options` | choices and their costs |
//! | `keydir` | the index |
//! | `segment` | one segment: records, hint, filter, values |
//! | `metrics` | counters, histograms, statistics |
//! | `files` | the files of a directory as found: MANIFEST, segments, the tail of the log |
//! | `state` | the view of readers: find, publish, replace |
//! | `log` | the write end: append, make durable, publish, seal, replace |
//! | `read` | snapshots, scans, history, the change feed |
//! | `upkeep` | compaction, the KEYDIR file, background work |
//! | `open` | turns a directory into a state and a log |
//! | `tools` | work on files: verify, inspect, repair, back up |
//! | `store` | the public handle |
//!
//! # The life of a write
//! 1. [`Store::put`](crate::Store::put) calls `Store::commit`, which calls `Log::append` and then
//!    `Log::wait`. `Log::prepare` checks the lengths and compresses the value.
//! 2. Under the log's lock, `Log::start` finds the record that the new one replaces,
//!    `Log::make_room` seals a full segment and starts the next one, and `Log::stage` puts the new
//!    record with its checksums into the buffer.
//! 3. `Log::flush` writes the buffer to the file. With `Sync::Buffered`, `Log::append` flushes only
//!    a full buffer.
//! 4. With `Sync::Always`, `Log::wait` waits until the record is durable. All waiting callers share
//!    one `fdatasync`.
//! 5. `State::publish` replaces the index slot and counts the dead bytes. `Log::publish` calls it
//!    for each record: after the sync with `Sync::Always`, and otherwise at the end of
//!    `Log::flush`.
//!
//! # The life of a read
//! 1. [`Store::get`](crate::Store::get) calls `Store::find`. With `Sync::Buffered`, it first
//!    flushes the log's buffer (`Store::reveal`), so that the read sees every acknowledged write.
//! 2. `State::find` hashes the key, loads the `SegmentSet` and takes the candidate addresses from
//!    one shard. If a batch is published meanwhile, it takes them again
//!    (`State::candidates_between_batches`), so that no read sees half of a batch.
//! 3. `SegmentSet::find` locates the segment of each candidate in the page table, and
//!    `Segment::lookup` compares the key in the record and checks the checksum. If the segment of a
//!    candidate is only in a newer set, `State::find` repeats step 2 with that set.
//! 4. The [`Value`](crate::Value) points into the mapping. A compressed value is decompressed into
//!    memory of its own.
//!
//! # The life of a segment
//! 1. `log::roll` creates it, and writes append to it. Sealing makes it final.
//! 2. `upkeep::background` reads it once and writes its hint.
//! 3. `compaction::plan` picks it when enough of it is dead. `compaction::decide` decides about
//!    each record, and `compaction::copy` copies the kept records to a new segment.
//! 4. `log::replace` commits: it replaces MANIFEST, and then the index slots.
//! 5. `compaction::rewrite` removes the file. A value, snapshot or scan keeps its mapping of it.
//!
//! # The life of an open
//! 1. `open::enter` checks the directory. For writing, `open::recover` takes the lock, and cuts off
//!    a torn tail after a crash.
//! 2. `open::load` opens the segments that MANIFEST lists, and `upkeep::checkpoint` maps KEYDIR if
//!    it fits the log.
//! 3. `open::index` prepares rows for the records that KEYDIR does not cover, from hints or from
//!    the records, and `state::replay` puts them into the index.
//!
//! # Lock order
//! [`LockRank`](base::sync::LockRank) lists the locks in the order in which a thread takes them. A
//! read takes only the lock of one shard, unless it flushes the log's buffer or is the first read
//! of a shard that is mapped from KEYDIR. A compaction does not take the transaction lock: it
//! changes where records are, not what they are.

pub(crate) mod base;
pub(crate) mod files;
pub(crate) mod format;
pub(crate) mod fs;
pub(crate) mod keydir;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod open;
pub(crate) mod options;
pub(crate) mod read;
pub(crate) mod segment;
pub(crate) mod state;
pub(crate) mod store;
pub(crate) mod tools;
pub(crate) mod upkeep;
