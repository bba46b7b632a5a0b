//! What is done to a store, drawn from a seed.

use std::sync::Arc;
use std::time::Duration;

use logkv::{CompactionPolicy, Compression, Options, ReadWith, Sync};

use super::life::Birth;
use crate::common::Random;
use crate::moving::MovingClock;

/// Keys are few, so that they are written again and again.
const KEY_COUNT: u64 = 9;

/// Longer than any run: what is synced in the background is synced by steps then.
const NEVER: Duration = Duration::from_secs(3600);

/// Around which time the clock jumps at each reading, and by how much at most, in milliseconds.
const NOW_MS: u64 = 1_000_000;
const JUMP_MS: u64 = 300;

/// How many random steps a plan has at most whose calls are all made to fail.
const STEADY_STEPS: usize = 8;

/// One step in so many clears the store; none of a life that went wrong once.
const CLEARS: u64 = 47;

/// Key number `number`: most are short, one is long.
pub(crate) fn key(number: u64) -> Vec<u8> {
    match number {
        0 => vec![0xff; 120],
        _ => vec![b'k', b'0' + number as u8],
    }
}

/// All of them.
pub(crate) fn keys() -> impl Iterator<Item = Vec<u8>> {
    (0..KEY_COUNT).map(key)
}

/// When a value of so many bytes expires, in milliseconds since 1970: every fifth does, long after all lives are over.
pub(crate) fn end_of(len: u64) -> Option<u64> {
    const FAR_MS: u64 = 4_000_000_000_000;
    len.is_multiple_of(5).then_some(FAR_MS + len)
}

/// A key's number, and how many bytes are put there; `None` is a delete.
pub(crate) type Change = (u64, Option<u64>);

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put(Change),
    Delete(u64),
    /// All at once.
    Write(Vec<Change>),
    /// All in one transaction, which goes through or not.
    Transact(Vec<Change>, bool),
    /// Each by itself, and then all are waited for.
    Submit(Vec<Change>),
    Sync,
    Rotate,
    /// Compacts so many segments from the one at this place on, as far as they are sealed; until a stage is reached.
    Compact(u64, u64, Option<u64>),
    CompactDue,
    CompactAll,
    /// Takes every key out.
    Clear,
    Snapshot,
    /// Looks at everything.
    Read,
    /// Looks at the files, beside the writer.
    Verify,
    Reopen,
    /// Closes and opens twice: the second time must change nothing.
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
        // In the place of another: all others of a seed stay what they were.
        if (drawn >> 32).is_multiple_of(CLEARS) { Self::Clear } else { step }
    }

    /// Some steps.
    pub(crate) fn some(random: &mut Random, count: u64) -> Vec<Self> {
        (0..count).map(|_| Self::random(random)).collect()
    }
}

/// How a store is opened. All who open the same store open it like this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) sync: Sync,
    pub(crate) read_with: ReadWith,
    pub(crate) segment_len_max: u64,
    pub(crate) checkpoint_records: u64,
    /// Whether KEYDIR can be mapped.
    pub(crate) maps: bool,
    /// Whether threads work unasked: then the same seed gives the same steps, at other moments.
    pub(crate) background: bool,
}

impl Setting {
    /// Some way to open a store.
    pub(crate) fn random(random: &mut Random) -> Self {
        // KEYDIR takes 28 KiB for no key at all: most states do without.
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

    /// The same without threads.
    pub(crate) fn alone(self) -> Self {
        let sync = match self.sync {
            Sync::Every(_) => Sync::Every(NEVER),
            sync => sync,
        };
        Self { sync, background: false, ..self }
    }

    /// In half of all settings something is compressed. Not drawn: a seed stays the life that it was.
    fn compression(&self) -> Compression {
        match self.segment_len_max % 4 {
            0 => Compression::Lz4,
            1 => Compression::Zstd { level: 1 },
            _ => Compression::None,
        }
    }

    /// In some settings compaction keeps some of the past, by count or for about as long as the clock jumps. Not drawn, either.
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

/// The life of a store from the first file on.
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

    /// A short plan of `seed`, without threads: its calls come in the same order each time. At its end it opens what it
    /// wrote, and in one of four it has a KEYDIR.
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

    /// Where its first life begins.
    pub(crate) fn birth(&self) -> Birth {
        Birth::first(self.seed & 0xffff)
    }
}
