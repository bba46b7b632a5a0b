//! What is done to a store, drawn at random.

use std::sync::Arc;
use std::time::Duration;

use logkv::{CompactionPolicy, Compression, Options, ReadWith, Sync};
use proptest::prelude::*;

use super::book::Retention;
use crate::moving::MovingClock;

/// Few keys, so that they are written again and again; some long, some binary.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0_u8..12).prop_map(|n| vec![b'k', n]),
        1 => Just(vec![0]),
        1 => Just(vec![0xff; 300]),
    ]
}

/// Some are numbers, that can be added to.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        4 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 300..700),
        // What can be compressed.
        2 => (any::<u8>(), 64_usize..700).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

fn change() -> impl Strategy<Value = Change> {
    (key(), prop_oneof![3 => bytes().prop_map(Some), 1 => Just(None)])
}

/// How long a key is to live, in milliseconds: about as long as the steps of the clock.
fn life() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1_u64..3000, 1 => Just(4_000_000), 1 => Just(1 << 52)]
}

/// How long ago something was, in milliseconds: about as long as the steps of the clock, or longer than all of them.
pub(super) fn ago() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..3000, 1 => Just(u64::MAX)]
}

/// What a transaction does, or a call that is one.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Put(Vec<u8>, Vec<u8>),
    PutExpiring(Vec<u8>, Vec<u8>, u64),
    Delete(Vec<u8>),
    Incr(Vec<u8>, i64),
    Expire(Vec<u8>, u64),
    Persist(Vec<u8>),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (key(), bytes()).prop_map(|(key, value)| Act::Put(key, value)),
        3 => (key(), bytes(), life()).prop_map(|(key, value, life)| Act::PutExpiring(key, value, life)),
        2 => key().prop_map(Act::Delete),
        3 => (key(), -1000_i64..1000).prop_map(|(key, by)| Act::Incr(key, by)),
        2 => (key(), life()).prop_map(|(key, life)| Act::Expire(key, life)),
        1 => key().prop_map(Act::Persist),
    ]
}

/// How the clock jumps while something is done: by up to so many milliseconds, to and fro, at each reading.
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
    /// By the call of its name.
    Act(Act),
    /// All of them in one transaction, which goes through or not.
    Transact(Vec<Act>, bool),
    /// Swaps the value, if the one that is expected is right.
    Swap(Vec<u8>, bool, Option<Vec<u8>>),
    /// A batch, whose puts all live so long.
    Batch(Vec<Change>, Option<u64>),
    /// Submits each change by itself, and then waits for all.
    Submit(Vec<Change>),
    Scan(Vec<u8>, Vec<u8>),
    /// Lets so many milliseconds pass.
    Wait(u64),
    Rotate,
    /// Compacts so many segments from the one at this place on, as far as they are sealed.
    Compact(usize, usize, Jumps),
    CompactDue(Jumps),
    CompactAll(Jumps),
    /// Takes a snapshot, and drops the oldest when there are three.
    Snapshot,
    Sync,
    /// Takes every key out.
    Clear,
    /// Looks back at two records, and at so many milliseconds ago.
    LookBack([u64; 2], u64),
    /// Makes the next backup in the directory of the ones before, or else an archive, and restores it.
    BackUp(bool, Jumps),
    /// Makes a new store of what is intact.
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
        4 => act().prop_map(Step::Act),
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

/// For ever, or for so long.
fn keep(millis: u64) -> Duration {
    if millis == u64::MAX { Duration::MAX } else { Duration::from_millis(millis) }
}

/// Some way to open a store whose time is that of `clock`, and how much of its past it keeps.
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
