//! Every crash point of random lives of a store, tried.
//!
//! A life is lived once, and then cut at each of its events: the power goes, and any of what was not durable may be lost,
//! or the process dies, and the power goes while the next one recovers. From each state the store is opened, and must hold
//! what it held after one of the writes: the last one that had to be durable, the last one asked for, or one between.
//! Some states are lived on from, and those lives are cut, too.
//!
//! `LOGKV_CRASH_STATES` is the number of states, `LOGKV_SEED` that of the first life: alone it repeats one that failed.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::disk::{Disk, Event, Image, rank};
use super::fate::Fate;
use super::file_system::MapDir;
use super::life::{Birth, Life, Map, Mark};
use super::living::live;
use super::look;
use super::plan::{Plan, Setting, Step};
use super::search::{Failure, Tally, try_plans};
use crate::common::{Random, scratch};

/// States that one run of the tests tries.
const STATES: u64 = 200_000;
/// How many crashes one store is put through.
const DEPTH_MAX: usize = 2;
/// One recovery after a kill in so many is cut, by the number of crashes before; eight times as many where a file has just
/// been put in the place of another.
const CUT_RECOVERIES: [u64; DEPTH_MAX] = [32, 64];
/// One state in so many is lived on from.
const AFTERLIVES: u64 = 16;
/// A life in which a call failed is cut at the first so many events after that, and at one in so many of the others.
const CUTS_AFTER_FAULT: usize = 2;
const CUT_AFTER_FAULT: u64 = 16;
/// One of those lives in so many is cut, by the number of crashes before.
const CUT_AFTERLIVES: [u64; DEPTH_MAX] = [32, 128];

/// The lives of one plan.
pub(super) struct Trial<'a> {
    maps: &'a MapDir,
    random: Random,
    /// What a store with these files, known by their hash, was found to hold.
    seen: HashMap<u64, Arc<Map>>,
    pub(super) tally: Tally,
}

/// One moment of a life.
struct Cut<'a> {
    life: &'a Life,
    /// How many events have happened.
    at: usize,
    disk: &'a Disk,
    depth: usize,
}

impl Cut<'_> {
    fn mark(&self) -> Mark {
        self.life.mark_at(self.at)
    }

    /// Where the next life begins, with the first moment that may be found.
    fn birth(&self, disk: Disk, first: usize, random: &mut Random) -> Birth {
        let Mark { durable, acknowledged, issued, .. } = self.mark();
        Birth {
            disk,
            moments: self.life.moments[durable..=issued].to_vec(),
            least: first - durable,
            last_seq: self.life.moments[acknowledged].last_seq,
            seed: random.next() >> 40,
            fault: None,
        }
    }

    /// Adds what led here to what went wrong.
    fn failed(&self, mut failure: Failure, what: &str) -> Failure {
        let (number, setting) = (self.depth + 1, self.life.setting);
        let mut text =
            format!("crash number {number}, {what}, after these steps and events under {setting:?}:");
        if let (Some(fault), Some(met)) = (self.life.birth.fault, self.life.met) {
            let _ = write!(text, "\n  {fault:?} met {met:?}");
        }
        let mut steps = self.life.steps.iter().peekable();
        for (index, event) in self.life.events[..self.at].iter().enumerate() {
            while let Some((_, step)) = steps.next_if(|(at, _)| *at <= index) {
                let _ = write!(text, "\n  {step:?}");
            }
            let _ = write!(text, "\n      {index}: {}", told(event));
        }
        for (_, step) in steps.take_while(|(at, _)| *at <= self.at) {
            let _ = write!(text, "\n  {step:?}");
        }
        let _ = write!(text, "\n  with {:?}", self.mark());
        failure.0.push(text);
        failure
    }
}

fn told(event: &Event) -> String {
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
    /// Nothing of `plan` has been tried.
    pub(super) fn new(plan: &Plan, maps: &'a MapDir) -> Self {
        let random = Random::seeded(plan.seed ^ 0x5eed);
        Self { maps, random, seen: HashMap::new(), tally: Tally::default() }
    }

    pub(super) fn live(&self, birth: &Birth, setting: &Setting, steps: &[Step]) -> Result<Life, Failure> {
        live(birth, setting, self.maps, steps).map_err(|why| Failure(vec![why]))
    }

    /// Cuts `life`, which came after so many crashes, at each of its events.
    fn cut_everywhere(&mut self, life: &Life, depth: usize) -> Result<(), Failure> {
        let mut disk = life.birth.disk.clone();
        for at in 0..=life.events.len() {
            self.cut(&Cut { life, at, disk: &disk, depth })?;
            life.events.get(at).into_iter().for_each(|event| disk.apply(event));
        }
        Ok(())
    }

    /// Cuts `life` where a call failed, where it ended, and here and there between the two.
    pub(super) fn cut_since_fault(&mut self, life: &Life) -> Result<(), Failure> {
        let failed_at = life.met.map_or(0, |met| met.event_count);
        let mut disk = life.birth.disk.clone();
        for at in 0..=life.events.len() {
            let is_near = (failed_at..failed_at + CUTS_AFTER_FAULT).contains(&at) || at == life.events.len();
            if is_near || (at > failed_at && self.random.below(CUT_AFTER_FAULT) == 0) {
                self.cut(&Cut { life, at, disk: &disk, depth: DEPTH_MAX })?;
            }
            life.events.get(at).into_iter().for_each(|event| disk.apply(event));
        }
        Ok(())
    }

    /// Where the next life begins after a kill halfway through an append of `life`, whichever; none where it has none.
    pub(super) fn birth_after_torn_append(&mut self, life: &Life) -> Option<Birth> {
        let is_append = |index: &usize| matches!(life.events[*index], Event::Write { at: 1.., .. });
        let appends: Vec<_> = (0..life.events.len()).filter(is_append).collect();
        let at = *appends.get(self.random.below(appends.len() as u64) as usize)?;
        let mut disk = life.birth.disk.clone();
        life.events[..at].iter().for_each(|event| disk.apply(event));
        if let Event::Write { inode, at, bytes } = &life.events[at] {
            disk.apply(&Event::Write { inode: *inode, at: *at, bytes: bytes[..bytes.len() / 2].into() });
        }
        let cut = Cut { life, at, disk: &disk, depth: 0 };
        Some(cut.birth(disk.clone(), cut.mark().written, &mut self.random))
    }

    /// The power goes, or the process dies, between two calls or in the one that is next.
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

    /// The power goes.
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
            tried.map_err(|failure| cut.failed(failure, &format!("the power goes, {fate:?}")))?;
        }
        Ok(())
    }

    /// The process dies, and what it wrote may still be lost later.
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

    /// Opens the store on `disk`, which shows `image`; it holds what it did at moment `first` or later.
    fn state(&mut self, cut: &Cut<'_>, disk: &Disk, image: &Image, first: usize) -> Result<(), Failure> {
        self.tally.states += 1;
        let moments = &cut.life.moments[first..=cut.mark().issued];
        let hash = hash(image);
        if cut.depth < DEPTH_MAX && self.random.below(AFTERLIVES) == 0 {
            let steps = afterlife(&mut self.random);
            let is_cut = self.random.below(CUT_AFTERLIVES[cut.depth]) == 0;
            return self.live_on(cut, disk, first, steps, is_cut);
        }
        // What a system shows that the disk will never have is gone after the next open: the files alone do not say it.
        let is_known = !disk.has_forgotten();
        if let Some(found) = self.seen.get(&hash).filter(|_| is_known) {
            let is_right = moments.iter().any(|moment| moment.map == *found);
            return if is_right { Ok(()) } else { Err(Failure(vec![look::difference(found, moments)])) };
        }
        self.tally.different += 1;
        let birth = cut.birth(disk.clone(), first, &mut self.random);
        let life = self.live(&birth, &cut.life.setting.alone(), &[])?;
        if is_known {
            self.seen.insert(hash, life.found);
        }
        Ok(())
    }

    /// Lives on after a crash, and perhaps cuts that life, too.
    fn live_on(
        &mut self,
        cut: &Cut<'_>,
        disk: &Disk,
        first: usize,
        steps: Vec<Step>,
        is_cut: bool,
    ) -> Result<(), Failure> {
        self.tally.afterlives += u64::from(!steps.is_empty());
        let birth = cut.birth(disk.clone(), first, &mut self.random);
        // Nobody has to open a store as the one before did.
        let setting = match steps[..] {
            [] => cut.life.setting.alone(),
            _ => Setting { maps: cut.life.setting.maps, ..Setting::random(&mut self.random) },
        };
        let life = self.live(&birth, &setting, &steps).map_err(|mut failure| {
            failure.0.push(format!("afterwards, under {setting:?}: {steps:?}"));
            failure
        })?;
        if is_cut { self.cut_everywhere(&life, cut.depth + 1) } else { Ok(()) }
    }
}

/// What is done after a crash: whatever can be done, in short.
fn afterlife(random: &mut Random) -> Vec<Step> {
    let mut steps = vec![Step::Idle, Step::Read, Step::Verify];
    let count = random.below(6);
    steps.extend(Step::some(random, count));
    steps.extend([Step::Put((1, Some(3))), Step::CompactAll, Step::Read, Step::Reopen]);
    steps
}

/// Lives `plan`, and cuts it at each of its events.
fn cut_everywhere(plan: &Plan, maps: &MapDir) -> Result<Tally, Failure> {
    let mut trial = Trial::new(plan, maps);
    let life = trial.live(&plan.birth(), &plan.setting, &plan.steps)?;
    trial.cut_everywhere(&life, 0)?;
    Ok(trial.tally)
}

fn state_count() -> u64 {
    std::env::var("LOGKV_CRASH_STATES").map_or(STATES, |text| text.parse().expect("it is a number"))
}

/// Seeds of lives that went wrong once.
const WENT_WRONG: [u64; 1] = [
    // A process that was killed before MANIFEST's name was durable, and the name of a first segment that was.
    2_382_698_094_534_754_635,
];

#[test]
fn lives_that_went_wrong_once_do_so_no_more() {
    let maps: MapDir = Some(Arc::new(scratch()));
    for seed in WENT_WRONG {
        cut_everywhere(&Plan::of(seed), &maps).unwrap_or_else(|failure| panic!("seed {seed}: {failure:?}"));
    }
}

#[test]
fn after_a_crash_at_any_point_a_store_is_what_it_was_after_one_of_its_last_writes() {
    let count = state_count();
    try_plans(Plan::of, cut_everywhere, |tally| tally.states >= count);
}
