//! Random lives of a store, with a crash at every point.
//!
//! A life runs once, and is then cut at each of its events. Either the power fails and any data
//! that is not durable may be lost, or the process dies, and then the power may fail during
//! recovery. The store is opened from each state, and must hold the result of one of its writes:
//! the last one that had to be durable, the last one issued, or one between. From some states the
//! life continues, and is cut again.
//!
//! `LOGKV_CRASH_STATES` is the number of states. `LOGKV_SEED` is the seed of the first life, and
//! repeats a life that failed.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::disk::{Disk, Event, Image, rank};
use super::fate::Fate;
use super::file_system::MapDir;
use super::life::{Life, LifeStart, Map, Mark};
use super::living::live;
use super::look;
use super::plan::{Plan, Setting, Step};
use super::search::{Failure, Tally, try_plans};
use crate::common::{Random, scratch};

/// The number of states in one test run.
const STATES: u64 = 200_000;
/// The number of crashes in one life.
const DEPTH_MAX: usize = 2;
/// One of this many recoveries after a kill is cut, by the number of earlier crashes. Eight times
/// as many if a file was just renamed over another.
const CUT_RECOVERIES: [u64; DEPTH_MAX] = [32, 64];
/// One of this many states is continued.
const AFTERLIVES: u64 = 16;
/// After a failed call, a life is cut at each of this many events, and at one of so many of the
/// later events.
const CUTS_AFTER_FAULT: usize = 2;
const CUT_AFTER_FAULT: u64 = 16;
/// One of this many of those lives is cut, by the number of earlier crashes.
const CUT_AFTERLIVES: [u64; DEPTH_MAX] = [32, 128];

/// The lives of one plan.
pub(super) struct Trial<'a> {
    maps: &'a MapDir,
    random: Random,
    /// The contents found for each state of the files, by hash.
    seen: HashMap<u64, Arc<Map>>,
    pub(super) tally: Tally,
}

/// One moment of a life.
struct Cut<'a> {
    life: &'a Life,
    /// The number of events so far.
    at: usize,
    disk: &'a Disk,
    depth: usize,
}

impl Cut<'_> {
    fn mark(&self) -> Mark {
        self.life.mark_at(self.at)
    }

    /// The start of the next life. `first` is the first moment that it may find.
    fn start(&self, disk: Disk, first: usize, random: &mut Random) -> LifeStart {
        let Mark { durable, acknowledged, issued, .. } = self.mark();
        LifeStart {
            disk,
            moments: self.life.moments[durable..=issued].to_vec(),
            least: first - durable,
            last_seq: self.life.moments[acknowledged].last_seq,
            seed: random.next() >> 40,
            fault: None,
        }
    }

    /// Adds the path to this state to the failure.
    fn failed(&self, mut failure: Failure, what: &str) -> Failure {
        let (number, setting) = (self.depth + 1, self.life.setting);
        let mut text =
            format!("crash number {number}, {what}, after these steps and events with {setting:?}:");
        if let (Some(fault), Some(met)) = (self.life.start.fault, self.life.met) {
            let _ = write!(text, "\n  {fault:?} met {met:?}");
        }
        let mut steps = self.life.steps.iter().peekable();
        for (index, event) in self.life.events[..self.at].iter().enumerate() {
            while let Some((_, step)) = steps.next_if(|(at, _)| *at <= index) {
                let _ = write!(text, "\n  {step:?}");
            }
            let _ = write!(text, "\n      {index}: {}", described(event));
        }
        for (_, step) in steps.take_while(|(at, _)| *at <= self.at) {
            let _ = write!(text, "\n  {step:?}");
        }
        let _ = write!(text, "\n  with {:?}", self.mark());
        failure.0.push(text);
        failure
    }
}

fn described(event: &Event) -> String {
    match event {
        Event::Write { inode, at, bytes } => format!("write {} bytes at {at} of file {inode}", bytes.len()),
        event => format!("{event:?}"),
    }
}

fn hash(image: &Image) -> u64 {
    let mut hasher = Xxh3::new();
    for (name, bytes) in image {
        let (kind, id) = rank(*name);
        hasher.update([kind, id, bytes.len() as u64].map(u64::to_le_bytes).as_flattened());
        hasher.update(bytes);
    }
    hasher.digest()
}

impl<'a> Trial<'a> {
    /// A trial of `plan` without results.
    pub(super) fn new(plan: &Plan, maps: &'a MapDir) -> Self {
        let random = Random::seeded(plan.seed ^ 0x5eed);
        Self { maps, random, seen: HashMap::new(), tally: Tally::default() }
    }

    pub(super) fn live(&self, start: &LifeStart, setting: &Setting, steps: &[Step]) -> Result<Life, Failure> {
        live(start, setting, self.maps, steps).map_err(|why| Failure(vec![why]))
    }

    /// Cuts `life`, which follows `depth` crashes, at each of its events.
    fn cut_everywhere(&mut self, life: &Life, depth: usize) -> Result<(), Failure> {
        let mut disk = life.start.disk.clone();
        for at in 0..=life.events.len() {
            self.cut(&Cut { life, at, disk: &disk, depth })?;
            life.events.get(at).into_iter().for_each(|event| disk.apply(event));
        }
        Ok(())
    }

    /// Cuts `life` at the failed call, at its end, and at some points between.
    pub(super) fn cut_since_fault(&mut self, life: &Life) -> Result<(), Failure> {
        let failed_at = life.met.map_or(0, |met| met.event_count);
        let mut disk = life.start.disk.clone();
        for at in 0..=life.events.len() {
            let is_near = (failed_at..failed_at + CUTS_AFTER_FAULT).contains(&at) || at == life.events.len();
            if is_near || (at > failed_at && self.random.below(CUT_AFTER_FAULT) == 0) {
                self.cut(&Cut { life, at, disk: &disk, depth: DEPTH_MAX })?;
            }
            life.events.get(at).into_iter().for_each(|event| disk.apply(event));
        }
        Ok(())
    }

    /// The start of the next life after a kill in the middle of some append of `life`, or `None`
    /// without one.
    pub(super) fn start_after_torn_append(&mut self, life: &Life) -> Option<LifeStart> {
        let is_append = |index: &usize| matches!(life.events[*index], Event::Write { at: 1.., .. });
        let appends: Vec<_> = (0..life.events.len()).filter(is_append).collect();
        let at = *appends.get(self.random.below(appends.len() as u64) as usize)?;
        let mut disk = life.start.disk.clone();
        life.events[..at].iter().for_each(|event| disk.apply(event));
        if let Event::Write { inode, at, bytes } = &life.events[at] {
            disk.apply(&Event::Write { inode: *inode, at: *at, bytes: bytes[..bytes.len() / 2].into() });
        }
        let cut = Cut { life, at, disk: &disk, depth: 0 };
        Some(cut.start(disk.clone(), cut.mark().written, &mut self.random))
    }

    /// Cuts the power, or kills the process, between two calls or in the next one.
    fn cut(&mut self, cut: &Cut<'_>) -> Result<(), Failure> {
        self.power_cuts(cut)?;
        self.kill(cut, cut.disk, "the process is killed")?;
        if let Some(Event::Write { inode, at, bytes }) = cut.life.events.get(cut.at) {
            let mut torn = cut.disk.clone();
            let len = self.random.below(bytes.len().max(1) as u64) as usize;
            torn.apply(&Event::Write { inode: *inode, at: *at, bytes: bytes[..len].into() });
            self.kill(cut, &torn, &format!("the process is killed {len} bytes into the next write"))?;
        }
        Ok(())
    }

    /// Cuts the power.
    fn power_cuts(&mut self, cut: &Cut<'_>) -> Result<(), Failure> {
        let mut fates = Fate::extremes(cut.disk);
        let random = if cut.depth == 0 {
            3
        } else {
            while fates.len() > 4 {
                fates.swap_remove(2 + self.random.below(fates.len() as u64 - 2) as usize);
            }
            1
        };
        fates.extend((0..random).map(|_| Fate::random(cut.disk, &mut self.random)));
        for fate in fates {
            let image = fate.image(cut.disk);
            let tried = self.state(cut, &Disk::of(&image), &image, cut.mark().durable);
            tried.map_err(|failure| cut.failed(failure, &format!("the power is cut, {fate:?}")))?;
        }
        Ok(())
    }

    /// Kills the process. Its writes may still be lost later.
    fn kill(&mut self, cut: &Cut<'_>, disk: &Disk, what: &str) -> Result<(), Failure> {
        let often =
            CUT_RECOVERIES.get(cut.depth).map(|often| if disk.is_between_two() { often / 8 } else { *often });
        let tried = if often.is_some_and(|often| self.random.below(often) == 0) {
            self.live_on(cut, disk, cut.mark().written, Vec::new(), true)
        } else {
            self.state(cut, disk, &disk.image(), cut.mark().written)
        };
        tried.map_err(|failure| cut.failed(failure, what))
    }

    /// Opens the store on `disk`, which shows `image`, and checks that it holds moment `first` or a
    /// later one.
    fn state(&mut self, cut: &Cut<'_>, disk: &Disk, image: &Image, first: usize) -> Result<(), Failure> {
        self.tally.states += 1;
        let moments = &cut.life.moments[first..=cut.mark().issued];
        let hash = hash(image);
        if cut.depth < DEPTH_MAX && self.random.below(AFTERLIVES) == 0 {
            let steps = afterlife(&mut self.random);
            let is_cut = self.random.below(CUT_AFTERLIVES[cut.depth]) == 0;
            return self.live_on(cut, disk, first, steps, is_cut);
        }
        // Bytes in memory that a failed sync lost disappear at the next open, so that the files do
        // not determine the result.
        let is_known = !disk.has_forgotten();
        if let Some(found) = self.seen.get(&hash).filter(|_| is_known) {
            let is_right = moments.iter().any(|moment| moment.map == *found);
            return if is_right { Ok(()) } else { Err(Failure(vec![look::difference(found, moments)])) };
        }
        self.tally.different += 1;
        let start = cut.start(disk.clone(), first, &mut self.random);
        let life = self.live(&start, &cut.life.setting.alone(), &[])?;
        if is_known {
            self.seen.insert(hash, life.found);
        }
        Ok(())
    }

    /// Continues the life after a crash, and sometimes cuts that life as well.
    fn live_on(
        &mut self,
        cut: &Cut<'_>,
        disk: &Disk,
        first: usize,
        steps: Vec<Step>,
        is_cut: bool,
    ) -> Result<(), Failure> {
        self.tally.afterlives += u64::from(!steps.is_empty());
        let start = cut.start(disk.clone(), first, &mut self.random);
        // The next open may use other options.
        let setting = match steps[..] {
            [] => cut.life.setting.alone(),
            _ => Setting { maps: cut.life.setting.maps, ..Setting::random(&mut self.random) },
        };
        let life = self.live(&start, &setting, &steps).map_err(|mut failure| {
            failure.0.push(format!("afterwards, with {setting:?}: {steps:?}"));
            failure
        })?;
        if is_cut { self.cut_everywhere(&life, cut.depth + 1) } else { Ok(()) }
    }
}

/// The steps after a crash: a few of every kind.
fn afterlife(random: &mut Random) -> Vec<Step> {
    let mut steps = vec![Step::Idle, Step::Read, Step::Verify];
    let count = random.below(6);
    steps.extend(Step::some(random, count));
    steps.extend([Step::Put((1, Some(3))), Step::CompactAll, Step::Read, Step::Reopen]);
    steps
}

/// Runs `plan`, and cuts it at each of its events.
fn cut_everywhere(plan: &Plan, maps: &MapDir) -> Result<Tally, Failure> {
    let mut trial = Trial::new(plan, maps);
    let life = trial.live(&plan.start(), &plan.setting, &plan.steps)?;
    trial.cut_everywhere(&life, 0)?;
    Ok(trial.tally)
}

fn state_count() -> u64 {
    std::env::var("LOGKV_CRASH_STATES").map_or(STATES, |text| text.parse().expect("is a number"))
}

/// The seeds of lives that failed in the past.
const WENT_WRONG: [u64; 1] = [
    // The process was killed before the name of MANIFEST was durable, and when that of the first
    // segment was.
    2_382_698_094_534_754_635,
];

#[test]
fn lives_that_failed_in_the_past_succeed() {
    let maps: MapDir = Some(Arc::new(scratch()));
    for seed in WENT_WRONG {
        cut_everywhere(&Plan::of(seed), &maps).unwrap_or_else(|failure| panic!("seed {seed}: {failure:?}"));
    }
}

#[test]
fn after_a_crash_at_any_point_the_store_holds_the_result_of_one_of_its_last_writes() {
    let count = state_count();
    try_plans(Plan::of, cut_everywhere, |tally| tally.states >= count);
}
