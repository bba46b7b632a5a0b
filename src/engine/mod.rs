//! The engine: the log, the keydir, and the order of steps that keeps data.
//!
//! # Wings
//! A wing uses those above it in this table alone; a test reads the table and holds the code to it.
//!
//! | wing | what it knows |
//! |---|---|
//! | `base` | numbers, time, operations, errors; text for terminals; where threads meet, and how one is woken |
//! | `format` | bytes and values |
//! | `fs` | the operating system; staging directories |
//! | `options` | choices, and what they cost |
//! | `keydir` | the index |
//! | `segment` | one segment: records, hint, filter, values |
//! | `metrics` | counters, histograms, statistics |
//! | `files` | a directory's files as found: MANIFEST, the log's segments, its tail |
//! | `state` | what readers see: find, publish, replace |
//! | `log` | the write end: append, make durable, publish, seal, replace |
//! | `read` | snapshots, scans, history, the feed of changes |
//! | `upkeep` | compaction, the file KEYDIR, background work |
//! | `open` | a directory becomes a state and a log |
//! | `tools` | cold files: verify, inspect, repair, back up |
//! | `store` | the front door |
//!
//! # The life of a write
//! [`Store::put`](crate::Store::put) → `log::append` checks the lengths, compresses the value, if the options say so, takes
//! the log's lock, makes room (sealing the active segment and starting the next if need be), finds the record that is
//! replaced, stages the new one with its checksums, writes it to the file → `log::wait` makes it durable, if the policy says so, with one `fdatasync` for all
//! who wait → `state::publish` swaps the keydir's slot and counts what died.
//!
//! # The life of a read
//! [`Store::get`](crate::Store::get) → `state::find` hashes the key, looks into one shard for candidates, finds each
//! one's segment by the page table → `segment::lookup` compares the key in the record and checks its checksum → the
//! [`Value`](crate::Value) points into the mapping; what is compressed is decompressed into memory of its own.
//!
//! # The life of a segment
//! Made by `log::roll` and appended to → sealed: final from then on → `background` reads it once and writes its hint →
//! `compaction::plan` finds that enough of it is dead → `compaction::decide` says of each record what becomes of it,
//! `compaction::copy` puts what is kept into a new segment → `log::replace` commits: a new MANIFEST, then the keydir's slots
//! → `compaction::rewrite` removes the file. Who still holds a value, a snapshot or a scan of it keeps its mapping.
//!
//! # Opening
//! `open::load` opens the segments that MANIFEST lists → `checkpoint` maps KEYDIR, if it belongs to that log →
//! `open::index` makes rows of what it does not cover, by hint or by reading, and `state::replay` puts them in.
//!
//! # Following a writer
//! A reader's refresh compares MANIFEST and the last segment's file with their earlier state → `open::follow` reads the
//! new records at the log's end, and `open::index` puts their rows into a copy of the index, which shares its shards until
//! they are written to → `store::view` swaps the state. If more than the end has changed, everything is opened anew.
//!
//! # A backup
//! `log::cut` says, under the log's lock, how far each segment goes between two batches → `backup::source` holds those
//! segments, whatever becomes of their names → `backup::directory` links or copies them beside an older MANIFEST, and replaces
//! that last; `backup::archive` writes them one behind the other → `backup::restore` puts them into a directory of
//! `staging`, which `verify` reads before it gets its MANIFEST.
//!
//! # Lock order
//! 1. `log::transaction_lock::TransactionLock`: shared while a write is appended, alone while a transaction lasts;
//! 2. `compaction::Compactor::busy` or `checkpoint::Checkpointer::last`: one compaction, one writer of KEYDIR;
//! 3. the log's lock (`log::Log::writer`): staging, writing, publishing, sealing, the new MANIFEST of a compaction and some
//!    slots at a time; not held during a shared sync;
//! 4. a shard's place in KEYDIR (`keydir::shard`, `settling`): held while it is made anew from the segments;
//! 5. a segment's order (`segment::order`): held while its hint is looked for, or its rows are sorted;
//! 6. a shard's lock (`keydir`): one lookup or one change; nothing else is locked or read under it.
//!
//! `wakeup`'s lock, that of `store::view` and those of `meter`, `Compactor::runs_in`, `Compactor::unasked` and `fs::Exclusion` stand alone. Readers take rank 6 only (and 4, once, where KEYDIR is damaged), and
//! scans rank 5. A compaction does not take rank 1: it changes where records are, not what they are.

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
