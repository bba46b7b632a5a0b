//! The engine: the log, the keydir, and the order of steps that keeps data.
//!
//! # Layers
//! A module uses those of lower layers alone; a test reads this table and holds the code to it.
//!
//! | layer | modules | what they know |
//! |---|---|---|
//! | 0 | `location`, `clock`, `batch`, `sync`, `visible`, `plant` | numbers, time, operations; where threads meet; text for terminals; mistakes made for tests |
//! | 1 | `crate::error`, `wake`, `meter` | what can go wrong, in sentences; how a thread is woken; what is counted and timed |
//! | 2 | `format`, `fs`, `gate` | bytes and values; the operating system; who may write while a transaction lasts |
//! | 3 | `options`, `value`, `keydir`, `filter`, `aside` | choices; bytes and what keeps them alive; the index; what cannot be there; a directory that something is made in |
//! | 4 | `segment`, `catalog` | one segment, and its hint; the file MANIFEST |
//! | 5 | `state`, `stats`, `judge` | what readers see; figures; torn tail or rot |
//! | 6 | `log`, `survey`, `metrics` | the write end: append, make durable, publish, seal, replace; the log as far as its files tell; what is told to who watches |
//! | 7 | `checkpoint`, `syncer`, `compaction` | the file KEYDIR; the background sync; what is dead makes room |
//! | 8 | `recovery`, `inspect`, `verify`, `scan`, `background` | a directory becomes a state and a log; a segment taken apart; everything checked; keys in order; what is done unasked |
//! | 9 | `snapshot`, `history`, `changes`, `repair`, `backup` | the store as it was at one moment, now or in the past; the log as it is written; a new store of what is intact in a damaged one; a copy that a store can be made of again |
//! | 10 | `store` | the front door |
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
//! `recovery::load` opens the segments that MANIFEST lists → `checkpoint` maps KEYDIR, if it belongs to that log →
//! `recovery::index` makes rows of what it does not cover, by hint or by reading, and `state::replay` puts them in.
//!
//! # Following a writer
//! A reader's refresh compares MANIFEST and the last segment's file with their earlier state → `recovery::follow` reads the
//! new records at the log's end, and `recovery::index` puts their rows into a copy of the index, which shares its shards until
//! they are written to → `store::view` swaps the state. If more than the end has changed, everything is opened anew.
//!
//! # A backup
//! `log::cut` says, under the log's lock, how far each segment goes between two batches → `backup::source` holds those
//! segments, whatever becomes of their names → `backup::directory` links or copies them beside an older MANIFEST, and replaces
//! that last; `backup::archive` writes them one behind the other → `backup::restore` puts them into a directory of
//! `aside`, which `verify` reads before it gets its MANIFEST.
//!
//! # Lock order
//! 1. `gate::Gate`: shared while a write is appended, alone while a transaction lasts;
//! 2. `compaction::Compactor::busy` or `checkpoint::Checkpointer::last`: one compaction, one writer of KEYDIR;
//! 3. the log's lock (`log::Log::writer`): staging, writing, publishing, sealing, the new MANIFEST of a compaction and some
//!    slots at a time; not held during a shared sync;
//! 4. a shard's place in KEYDIR (`keydir::shard`, `settling`): held while it is made anew from the segments;
//! 5. a segment's order (`segment::order`): held while its hint is looked for, or its rows are sorted;
//! 6. a shard's lock (`keydir`): one lookup or one change; nothing else is locked or read under it.
//!
//! `wake`'s lock, that of `store::view` and those of `meter`, `Compactor::runs_in`, `Compactor::unasked` and `fs::Exclusion` stand alone. Readers take rank 6 only (and 4, once, where KEYDIR is damaged), and
//! scans rank 5. A compaction passes no gate: it changes where records are, not what they are.

pub(crate) mod aside;
pub(crate) mod background;
pub(crate) mod backup;
pub(crate) mod batch;
pub(crate) mod catalog;
pub(crate) mod changes;
pub(crate) mod checkpoint;
pub(crate) mod clock;
pub(crate) mod compaction;
pub(crate) mod filter;
pub(crate) mod format;
pub(crate) mod fs;
pub(crate) mod gate;
pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod judge;
pub(crate) mod keydir;
pub(crate) mod location;
pub(crate) mod log;
pub(crate) mod meter;
pub(crate) mod metrics;
pub(crate) mod options;
pub(crate) mod plant;
pub(crate) mod recovery;
pub(crate) mod repair;
pub(crate) mod scan;
pub(crate) mod segment;
pub(crate) mod snapshot;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod store;
pub(crate) mod survey;
pub(crate) mod sync;
pub(crate) mod syncer;
pub(crate) mod value;
pub(crate) mod verify;
pub(crate) mod visible;
pub(crate) mod wake;
