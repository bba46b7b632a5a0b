//! Random steps on a store.

use std::sync::Arc;
use std::time::Duration;

use logkv::{CompactionPolicy, Compression, Options, ReadWith, Sync};
use proptest::prelude::*;

use super::history::Retention;
use crate::moving::MovingClock;

/// A few keys, so that they are overwritten often. Some are long, some binary.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0_u8..12).prop_map(|n| vec![b'k', n]),
        1 => Just(vec![0]),
        1 => Just(vec![0xff; 300]),
    ]
}

/// Some values are numbers, for sums.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        4 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 300..700),
        // A compressible value.
        2 => (any::<u8>(), 64_usize..700).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

fn change() -> impl Strategy<Value = Change> {
    (key(), prop_oneof![3 => bytes().prop_map(Some), 1 => Just(None)])
}

/// A time to live in milliseconds, similar to the steps of the clock.
fn life() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1_u64..3000, 1 => Just(4_000_000), 1 => Just(1 << 52)]
}

/// A time in the past in milliseconds: similar to the steps of the clock, or longer than all of
/// them.
pub(super) fn ago() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..3000, 1 => Just(u64::MAX)]
}

/// An operation in a transaction, or as a call of its own.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Put(Vec<u8>, Vec<u8>),
    PutExpiring(Vec<u8>, Vec<u8>, u64),
    Delete(Vec<u8>),
    Incr(Vec<u8>, i64),
    Expire(Vec<u8>, u64),
    Persist(Vec<u8>),
}

fn act() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (key(), bytes()).prop_map(|(key, value)| Operation::Put(key, value)),
        3 => (key(), bytes(), life()).prop_map(|(key, value, life)| Operation::PutExpiring(key, value, life)),
        2 => key().prop_map(Operation::Delete),
        3 => (key(), -1000_i64..1000).prop_map(|(key, by)| Operation::Incr(key, by)),
        2 => (key(), life()).prop_map(|(key, life)| Operation::Expire(key, life)),
        1 => key().prop_map(Operation::Persist),
    ]
}

/// The clock jumps at each reading, by up to `span_ms` in either direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jumps {
    pub(super) seed: u64,
    pub(super) span_ms: u64,
}

fn jumps() -> impl Strategy<Value = Jumps> {
    let span_ms = prop_oneof![2 => Just(0), 2 => 1_u64..3000, 1 => Just(4_000_000)];
    (any::<u64>(), span_ms).prop_map(|(seed, span_ms)| Jumps { seed, span_ms })
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(Vec<u8>, Vec<u8>),
    PutIfAbsent(Vec<u8>, Vec<u8>),
    PutIfPresent(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    /// A call of its own.
    Operation(Operation),
    /// Operations in one transaction, which commits or not.
    Transact(Vec<Operation>, bool),
    /// A compare-and-swap with a correct or a wrong expected value.
    Swap(Vec<u8>, bool, Option<Vec<u8>>),
    /// A batch. Its puts have this time to live.
    Batch(Vec<Change>, Option<u64>),
    /// Submits each change on its own, and then waits for all.
    Submit(Vec<Change>),
    Scan(Vec<u8>, Vec<u8>),
    /// Lets this many milliseconds pass.
    Wait(u64),
    Rotate,
    /// Compacts sealed segments: the position of the first, and the number.
    Compact(usize, usize, Jumps),
    CompactDue(Jumps),
    CompactAll(Jumps),
    /// Takes a snapshot, and drops the oldest of three.
    Snapshot,
    Sync,
    Clear,
    /// Queries the past at two records and at one time.
    LookBack([u64; 2], u64),
    /// Backs up to the directory of earlier backups (incrementally), or to an archive, and
    /// restores.
    BackUp(bool, Jumps),
    /// Repairs a copy of the store.
    Repair(Jumps),
    Reopen,
    Crash,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (key(), bytes()).prop_map(|(key, value)| Step::Put(key, value)),
        1 => (key(), bytes()).prop_map(|(key, value)| Step::PutIfAbsent(key, value)),
        1 => (key(), bytes()).prop_map(|(key, value)| Step::PutIfPresent(key, value)),
        4 => key().prop_map(Step::Delete),
        4 => act().prop_map(Step::Operation),
        2 => (prop::collection::vec(act(), 0..6), prop::bool::weighted(0.8))
            .prop_map(|(acts, goes_through)| Step::Transact(acts, goes_through)),
        1 => (key(), any::<bool>(), prop::option::of(bytes()))
            .prop_map(|(key, is_right, new)| Step::Swap(key, is_right, new)),
        2 => (prop::collection::vec(change(), 0..6), prop::option::of(life()))
            .prop_map(|(changes, life)| Step::Batch(changes, life)),
        2 => prop::collection::vec(change(), 0..6).prop_map(Step::Submit),
        2 => (key(), key()).prop_map(|(from, to)| Step::Scan(from, to)),
        2 => prop_oneof![8 => 0_u64..2000, 1 => Just(3_600_000)].prop_map(Step::Wait),
        2 => Just(Step::Rotate),
        2 => (0_usize..12, 1_usize..5, jumps())
            .prop_map(|(first, count, jumps)| Step::Compact(first, count, jumps)),
        1 => jumps().prop_map(Step::CompactDue),
        1 => jumps().prop_map(Step::CompactAll),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Sync),
        1 => Just(Step::Clear),
        2 => (any::<[u64; 2]>(), ago()).prop_map(|(seqs, ago_ms)| Step::LookBack(seqs, ago_ms)),
        1 => (any::<bool>(), jumps()).prop_map(|(is_directory, jumps)| Step::BackUp(is_directory, jumps)),
        1 => jumps().prop_map(Step::Repair),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

/// Forever, or for `millis`.
fn keep(millis: u64) -> Duration {
    if millis == u64::MAX { Duration::MAX } else { Duration::from_millis(millis) }
}

/// Random options for a store with `clock`, and their retention.
pub(super) fn options(clock: &Arc<MovingClock>) -> impl Strategy<Value = (Options, Retention)> + use<> {
    let sync = prop_oneof![
        Just(Sync::Always),
        Just(Sync::Never),
        Just(Sync::Every(Duration::from_millis(1))),
        (0_usize..2000).prop_map(Sync::Buffered),
    ];
    let read_with = prop_oneof![Just(ReadWith::Mmap), Just(ReadWith::Pread)];
    let checkpoint = prop_oneof![Just(1), Just(20), Just(u64::MAX)];
    let retention = (1_u64..4, prop_oneof![2 => Just(0), 1 => Just(1500), 1 => Just(u64::MAX)]);
    let retention = retention.prop_map(|(versions, millis)| Retention { versions, time: keep(millis) });
    let grace = prop_oneof![Just(0), Just(500), Just(3_600_000)].prop_map(Duration::from_millis);
    let compression = prop_oneof![
        Just(Compression::None),
        Just(Compression::Lz4),
        (1..5).prop_map(|level| Compression::Zstd { level }),
    ];
    let clock = Arc::clone(clock);
    (sync, read_with, 128_u64..2000, checkpoint, grace, compression, retention).prop_map(
        move |(sync, read_with, len, checkpoint, expiry_grace, compression, retention)| {
            let Retention { versions: keep_versions, time: keep_for } = retention;
            let options = Options::new().sync(sync).read_with(read_with).segment_len_max(len);
            let policy =
                CompactionPolicy { expiry_grace, keep_versions, keep_for, ..CompactionPolicy::default() };
            let options = options.compaction(policy).clock(Arc::<MovingClock>::clone(&clock));
            let options = options.background(false).checkpoint_records(checkpoint).compression(compression);
            (options, retention)
        },
    )
}
