//! The steps of a life, drawn from a seed.

use std::sync::Arc;
use std::time::Duration;

use logkv::{CompactionPolicy, Compression, Options, ReadWith, Sync};

use super::life::LifeStart;
use crate::common::Random;
use crate::moving::MovingClock;

/// A few keys, so that they are overwritten often.
const KEY_COUNT: u64 = 9;

/// Longer than any run, so that only steps sync.
const NEVER: Duration = Duration::from_secs(3600);

/// The clock jumps at each reading around `NOW_MS` by up to `JUMP_MS`, in milliseconds.
const NOW_MS: u64 = 1_000_000;
const JUMP_MS: u64 = 300;

/// The maximum number of random steps in a plan whose calls all fail in turn.
const STEADY_STEPS: usize = 8;

/// One step of this many clears the store. No seed of a past failure has one.
const CLEARS: u64 = 47;

/// Key number `number`. Most are short, one is long.
pub(crate) fn key(number: u64) -> Vec<u8> {
    match number {
        0 => vec![0xff; 120],
        _ => vec![b'k', b'0' + number as u8],
    }
}

pub(crate) fn keys() -> impl Iterator<Item = Vec<u8>> {
    (0..KEY_COUNT).map(key)
}

/// The expiry of a value of `len` bytes, in milliseconds since 1970. Every fifth value has one,
/// long after all lives end.
pub(crate) fn end_of(len: u64) -> Option<u64> {
    const FAR_MS: u64 = 4_000_000_000_000;
    len.is_multiple_of(5).then_some(FAR_MS + len)
}

/// The number of a key and the length of its new value, or `None` for a delete.
pub(crate) type Change = (u64, Option<u64>);

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put(Change),
    Delete(u64),
    /// One batch.
    Write(Vec<Change>),
    /// One transaction, which commits or not.
    Transact(Vec<Change>, bool),
    /// Submits each change alone, and then waits for all.
    Submit(Vec<Change>),
    Sync,
    Rotate,
    /// Compacts sealed segments: the position of the first, the number, and the stage at which it
    /// is cancelled.
    Compact(u64, u64, Option<u64>),
    CompactDue,
    CompactAll,
    Clear,
    Snapshot,
    /// Checks everything.
    Read,
    /// Verifies the files beside the writer.
    Verify,
    Reopen,
    /// Closes and opens twice. The second time must change nothing.
    Idle,
}

impl Step {
    fn random(random: &mut Random) -> Self {
        let change = |random: &mut Random| {
            let len = match random.below(12) {
                0 => 200 + random.below(500),
                _ => random.below(40),
            };
            (random.below(KEY_COUNT), (random.below(4) > 0).then_some(len))
        };
        let changes = |random: &mut Random| (0..random.below(5)).map(|_| change(random)).collect();
        let drawn = random.next();
        let step = match drawn % 43 {
            0..12 => Self::Put((random.below(KEY_COUNT), Some(random.below(60)))),
            12..17 => Self::Delete(random.below(KEY_COUNT)),
            17..22 => Self::Write(changes(random)),
            22..25 => Self::Submit(changes(random)),
            25..27 => Self::Sync,
            27..30 => Self::Rotate,
            30..32 => Self::Compact(random.below(8), 1 + random.below(4), None),
            32 => Self::Compact(random.below(8), 1 + random.below(4), Some(random.below(4))),
            33 => Self::CompactDue,
            34 => Self::CompactAll,
            35 => Self::Snapshot,
            36 | 37 => Self::Read,
            38 => Self::Reopen,
            39 => Self::Verify,
            40 | 41 => Self::Transact(changes(random), random.below(4) > 0),
            _ => Self::Idle,
        };
        // Replaces a drawn step, so that the other steps of the seed stay the same.
        if (drawn >> 32).is_multiple_of(CLEARS) { Self::Clear } else { step }
    }

    pub(crate) fn some(random: &mut Random, count: u64) -> Vec<Self> {
        (0..count).map(|_| Self::random(random)).collect()
    }
}

/// The options of a store. All opens of one store share them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) sync: Sync,
    pub(crate) read_with: ReadWith,
    pub(crate) segment_len_max: u64,
    pub(crate) checkpoint_records: u64,
    /// Whether KEYDIR can be mapped.
    pub(crate) maps: bool,
    /// Whether background threads run. They vary the moments of calls for the same seed.
    pub(crate) background: bool,
}

impl Setting {
    pub(crate) fn random(random: &mut Random) -> Self {
        // An empty KEYDIR takes 28 KiB, so that most lives do without.
        let has_keydir = random.below(16) == 0;
        let background = random.below(8) == 0;
        let interval = if background { Duration::from_micros(200) } else { NEVER };
        Self {
            sync: match random.below(8) {
                0..3 => Sync::Always,
                3..6 => Sync::Never,
                6 => Sync::Every(interval),
                _ => Sync::Buffered(random.below(1000) as usize),
            },
            read_with: if random.below(4) == 0 { ReadWith::Pread } else { ReadWith::Mmap },
            segment_len_max: 128 + random.below(700),
            checkpoint_records: if has_keydir { 1 } else { u64::MAX },
            maps: has_keydir && random.below(4) > 0,
            background,
        }
    }

    /// The same without background threads.
    pub(crate) fn alone(self) -> Self {
        let sync = match self.sync {
            Sync::Every(_) => Sync::Every(NEVER),
            sync => sync,
        };
        Self { sync, background: false, ..self }
    }

    /// Half of all settings compress. Derived from other options, so that existing seeds keep their
    /// lives.
    fn compression(&self) -> Compression {
        match self.segment_len_max % 4 {
            0 => Compression::Lz4,
            1 => Compression::Zstd { level: 1 },
            _ => Compression::None,
        }
    }

    /// Some settings keep history, by number or for about the span of the clock's jumps. Derived as
    /// well.
    fn compaction(&self) -> CompactionPolicy {
        let (keep_versions, keep_for) = match self.segment_len_max % 7 {
            0 | 1 => (3, Duration::ZERO),
            2 => (1, Duration::from_millis(JUMP_MS)),
            _ => (1, Duration::ZERO),
        };
        CompactionPolicy { keep_versions, keep_for, ..CompactionPolicy::default() }
    }

    pub(crate) fn options(&self) -> Options {
        Options::new()
            .sync(self.sync)
            .read_with(self.read_with)
            .segment_len_max(self.segment_len_max)
            .checkpoint_records(self.checkpoint_records)
            .compression(self.compression())
            .compaction(self.compaction())
            .background(self.background)
            .clock(Arc::new(MovingClock::jumping(NOW_MS, self.segment_len_max, JUMP_MS)))
    }
}

/// The life of a store from its first file on.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) setting: Setting,
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// The plan of `seed`.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let setting = Setting::random(&mut random);
        let count = 5 + random.below(30);
        Self { seed, setting, steps: Step::some(&mut random, count) }
    }

    /// A short plan of `seed` without threads, so that its calls always come in the same order. It
    /// ends with a reopen, and one in four has a KEYDIR.
    pub(crate) fn steady(seed: u64) -> Self {
        let mut plan = Self::of(seed);
        plan.setting = plan.setting.alone();
        if seed.is_multiple_of(4) {
            plan.setting =
                Setting { checkpoint_records: 1, maps: true, read_with: ReadWith::Mmap, ..plan.setting };
        }
        plan.steps.truncate(STEADY_STEPS);
        plan.steps.extend([
            Step::Put((1, Some(30))),
            Step::Rotate,
            Step::CompactAll,
            Step::Reopen,
            Step::Read,
        ]);
        plan
    }

    /// The start of its first life.
    pub(crate) fn start(&self) -> LifeStart {
        LifeStart::first(self.seed & 0xffff)
    }
}
