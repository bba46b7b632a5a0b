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
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

use super::disk::{Disk, Event, Image, rank};
use super::fate::Fate;
use super::file_system::MapDir;
use super::life::{Birth, Life, Map, Mark};
use super::living::live;
use super::look;
use super::plan::{Plan, Setting, Step};
use crate::common::{Random, scratch, seed};

/// States that one run of the tests tries.
const STATES: u64 = 150_000;
/// How long a failure is made smaller.
const SHRINKING: Duration = Duration::from_secs(20);
/// How many crashes one store is put through.
const DEPTH_MAX: usize = 2;
/// One recovery after a kill in so many is cut, by the number of crashes before; eight times as many where a file has just
/// been put in the place of another.
const CUT_RECOVERIES: [u64; DEPTH_MAX] = [32, 64];
/// One state in so many is lived on from.
const AFTERLIVES: u64 = 16;
/// One of those lives in so many is cut, by the number of crashes before.
const CUT_AFTERLIVES: [u64; DEPTH_MAX] = [32, 128];

/// How much was tried.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// States drawn and found to be right.
    states: u64,
    /// Those among them that no other state of the same plan equals, each opened.
    different: u64,
    /// Stores that were written to after a crash.
    afterlives: u64,
}

/// What went wrong, and on which way: the innermost comes first.
#[derive(Debug)]
struct Failure(Vec<String>);

/// The lives of one plan.
struct Trial<'a> {
    maps: &'a MapDir,
    random: Random,
    /// What a store with these files, known by their hash, was found to hold.
    seen: HashMap<u64, Arc<Map>>,
    tally: Tally,
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
        }
    }

    /// Adds what led here to what went wrong.
    fn failed(&self, mut failure: Failure, what: &str) -> Failure {
        let (number, setting) = (self.depth + 1, self.life.setting);
        let mut text =
            format!("crash number {number}, {what}, after these steps and events under {setting:?}:");
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
    /// Tries all of `plan`.
    fn of(plan: &Plan, maps: &'a MapDir) -> Result<Tally, Failure> {
        let random = Random::seeded(plan.seed ^ 0x5eed);
        let mut trial = Self { maps, random, seen: HashMap::new(), tally: Tally::default() };
        let life = trial.live(&Birth::first(plan.seed & 0xffff), &plan.setting, &plan.steps)?;
        trial.cut_everywhere(&life, 0)?;
        Ok(trial.tally)
    }

    fn live(&self, birth: &Birth, setting: &Setting, steps: &[Step]) -> Result<Life, Failure> {
        live(birth, setting, self.maps, steps).map_err(|why| Failure(vec![why]))
    }

    fn cut_everywhere(&mut self, life: &Life, depth: usize) -> Result<(), Failure> {
        let mut disk = life.birth.disk.clone();
        for at in 0..=life.events.len() {
            let cut = Cut { life, at, disk: &disk, depth };
            self.power_cuts(&cut)?;
            self.kill(&cut, &disk, "the process is killed")?;
            let Some(event) = life.events.get(at) else { break };
            if let Event::Write { inode, at: to, bytes } = event {
                let mut torn = disk.clone();
                let len = self.random.below(bytes.len().max(1) as u64) as usize;
                torn.apply(&Event::Write { inode: *inode, at: *to, bytes: bytes[..len].into() });
                self.kill(&cut, &torn, &format!("the process is killed {len} bytes into the next write"))?;
            }
            disk.apply(event);
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
        if let Some(found) = self.seen.get(&hash) {
            let is_right = moments.iter().any(|moment| moment.map == *found);
            return if is_right { Ok(()) } else { Err(Failure(vec![look::difference(found, moments)])) };
        }
        self.tally.different += 1;
        let birth = cut.birth(disk.clone(), first, &mut self.random);
        let life = self.live(&birth, &cut.life.setting, &[])?;
        self.seen.insert(hash, life.found);
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
            [] => cut.life.setting,
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
    let mut steps = vec![Step::Idle, Step::Read];
    let count = random.below(6);
    steps.extend(Step::some(random, count));
    steps.extend([Step::Put((1, Some(3))), Step::CompactAll, Step::Read, Step::Reopen]);
    steps
}

/// Leaves out steps as long as it still goes wrong.
fn shrink(mut plan: Plan, mut failure: Failure, maps: &MapDir) -> (Plan, Failure) {
    let started = Instant::now();
    let mut chunk = plan.steps.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < plan.steps.len() && started.elapsed() < SHRINKING {
            let mut smaller = plan.clone();
            smaller.steps.drain(at..(at + chunk).min(plan.steps.len()));
            match Trial::of(&smaller, maps) {
                Ok(_) => at += chunk,
                Err(still) => (plan, failure) = (smaller, still),
            }
        }
        chunk /= 2;
    }
    (plan, failure)
}

fn state_count() -> u64 {
    std::env::var("LOGKV_CRASH_STATES").map_or(STATES, |text| text.parse().expect("it is a number"))
}

/// Tries plans from number `first` on until there are enough states; the first failure that is met.
fn try_plans(first: u64, states: u64) -> (Tally, u64, Option<(Plan, Failure)>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, tried) = (AtomicU64::new(0), AtomicU64::new(0));
    let outcome: Mutex<(Tally, Option<(Plan, Failure)>)> = Mutex::default();
    let failures = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let maps: MapDir = Some(Arc::new(scratch()));
                while tried.load(Ordering::Relaxed) < states && failures.load(Ordering::Relaxed) == 0 {
                    let plan = Plan::of(first.wrapping_add(next.fetch_add(1, Ordering::Relaxed)));
                    let trial = Trial::of(&plan, &maps);
                    let mut outcome = outcome.lock().expect("no panic");
                    match trial {
                        Ok(tally) => {
                            tried.fetch_add(tally.states, Ordering::Relaxed);
                            outcome.0.states += tally.states;
                            outcome.0.different += tally.different;
                            outcome.0.afterlives += tally.afterlives;
                        }
                        Err(failure) => {
                            failures.fetch_add(1, Ordering::Relaxed);
                            outcome.1 = Some((plan, failure));
                        }
                    }
                }
            });
        }
    });
    let (tally, failure) = outcome.into_inner().expect("no panic");
    (tally, next.into_inner(), failure)
}

#[test]
fn after_a_crash_at_any_point_a_store_is_what_it_was_after_one_of_its_last_writes() {
    let first = seed();
    let started = Instant::now();
    let (tally, plans, failure) = try_plans(first, state_count());
    let rate = tally.states as f64 / started.elapsed().as_secs_f64();
    println!("{plans} lives cut: {tally:?}, {rate:.0} states a second");
    let Some((plan, failure)) = failure else { return };
    let seed = plan.seed;
    let maps: MapDir = Some(Arc::new(scratch()));
    let (plan, failure) = shrink(plan, failure, &maps);
    let Failure(way) = failure;
    panic!(
        "LOGKV_SEED={seed} fails; with fewer steps it is\n{:?}\n{}",
        plan.steps,
        way.into_iter().rev().collect::<Vec<_>>().join("\nthen\n")
    );
}
