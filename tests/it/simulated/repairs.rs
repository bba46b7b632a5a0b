//! Repairs to another directory and in place, cut at each changing call and failed at each call.
//!
//! In every case the name of the store refers to the complete old or the complete new directory,
//! the damaged store is kept unchanged, and the next repair completes an interrupted one.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use logkv::fs::StoreFile;
use logkv::repair::{self, RepairReport};
use logkv::{Batch, Options, SegmentId, Store, Sync};

use super::disk::{Disk, Image};
use super::fault::{FailureKind, Fault};
use super::world::{World, WorldEvent};
use super::world_system::{FaultScope, WorldFileSystem};
use crate::common::{Map, Random, contents, seed};
use crate::moving::MovingClock;

const STORE: &str = "store";
const ASIDE: &str = "store.damaged";
const ELSEWHERE: &str = "elsewhere";

fn options(file_system: &WorldFileSystem) -> Options {
    let options = Options::new().sync(Sync::Always).background(false).checkpoint_records(u64::MAX);
    options
        .clock(Arc::new(MovingClock::jumping(1_000_000, 1, 300)))
        .file_system(Arc::new(file_system.clone()))
}

fn in_place(file_system: &WorldFileSystem) -> logkv::Result<RepairReport> {
    let go_on = &mut |_| ControlFlow::Continue(());
    repair::in_place(Path::new(STORE), Path::new(ASIDE), &options(file_system), go_on)
}

fn copy(file_system: &WorldFileSystem) -> logkv::Result<RepairReport> {
    let go_on = &mut |_| ControlFlow::Continue(());
    repair::copy(Path::new(STORE), Path::new(ELSEWHERE), &options(file_system), go_on)
}

/// A store of three segments on a disk. The first segment is damaged.
fn damaged(is_closed: bool, has_manifest: bool) -> World {
    let empty = World::of(Path::new(STORE), Disk::default());
    let file_system = WorldFileSystem::on(empty, 1, None);
    let store = Store::open_with(STORE, options(&file_system)).expect("opens");
    store.put("one", "1").expect("a put");
    store.put("two", "2").expect("a put");
    store.write(Batch::new().put("three", "3").put("four", "4")).expect("a batch");
    store.rotate().expect("rotates");
    store.put("two", "zwei").expect("a put");
    store.delete("one").expect("a delete");
    store.rotate().expect("rotates");
    store.put("five", "5").expect("a put");
    let killed = file_system.world();
    store.close().expect("closes");
    let left = if is_closed { file_system.world() } else { killed };
    let mut image = left.get(Path::new(STORE)).expect("the store").image();
    image.retain(|(name, _)| has_manifest || *name != StoreFile::Manifest);
    image.retain(|(name, _)| *name != StoreFile::Lock || is_closed);
    for (name, bytes) in &mut image {
        if *name == StoreFile::Segment(SegmentId(1)) {
            // The value of `one`, which is deleted later.
            Arc::make_mut(bytes)[64 + 40] ^= 1;
        }
    }
    World::of(Path::new(STORE), Disk::of(&image))
}

fn every_store() -> impl Iterator<Item = World> {
    [(true, true), (false, true), (true, false)]
        .into_iter()
        .map(|(closed, manifest)| damaged(closed, manifest))
}

/// The files of `disk` except LOCK.
fn files(disk: &Disk) -> Image {
    let mut image = disk.image();
    image.retain(|(name, _)| *name != StoreFile::Lock);
    image
}

/// The contents of the store `name` in `world`, if it opens without damage.
fn held(world: &World, name: &str) -> Option<Map> {
    let file_system = WorldFileSystem::on(world.clone(), 3, None);
    let store = Store::open_with(name, options(&file_system).read_only(true)).ok()?;
    store.open_report().damage.is_empty().then(|| contents(&store))
}

/// The result that a repair must have.
struct Expected {
    old: Image,
    map: Map,
}

impl Expected {
    fn of(world: &World) -> Self {
        let text = |text: &str| text.as_bytes().to_vec();
        let entries = [("two", "zwei"), ("three", "3"), ("four", "4"), ("five", "5")];
        let map = entries.into_iter().map(|(key, value)| (text(key), text(value))).collect();
        Self { old: files(world.get(Path::new(STORE)).expect("the store")), map }
    }

    fn is_old(&self, disk: &Disk) -> bool {
        files(disk) == self.old
    }

    /// Whether the name of the store refers to the new directory.
    ///
    /// # Panics
    ///
    /// If it refers to neither directory, or the old one is missing.
    fn is_new(&self, world: &World, what: &str) -> bool {
        let olds = world.names.values().filter(|&&directory| self.is_old(&world.disks[directory])).count();
        assert_eq!(olds, 1, "{what}: the old directory exists once: {:?}", world.names);
        let is_old = world.get(Path::new(STORE)).is_some_and(|disk| self.is_old(disk));
        assert!(
            is_old || held(world, STORE).as_ref() == Some(&self.map),
            "{what}: the store is neither the old nor the new one"
        );
        !is_old
    }

    /// Checks that the next repair of `world` ends with a repaired store and the old directory
    /// under its other name.
    fn check_next_repair(&self, world: World, what: &str) {
        let is_new = self.is_new(&world, what);
        let file_system = WorldFileSystem::on(world, 4, None);
        let (store, aside) = (Path::new(STORE), Path::new(ASIDE));
        if is_new {
            let settled = repair::settle(store, aside, &options(&file_system));
            settled.unwrap_or_else(|error| panic!("{what}: {}", error.sentence()));
        } else {
            in_place(&file_system).unwrap_or_else(|error| panic!("{what}: {}", error.sentence()));
        }
        let world = file_system.world();
        assert!(self.is_new(&world, what), "{what}: the repair is incomplete");
        assert!(world.get(aside).is_some_and(|disk| self.is_old(disk)), "{what}: {:?}", world.names);
        assert_eq!(world.names.len(), 2, "{what}: {:?}", world.names);
        let again = repair::settle(store, aside, &options(&WorldFileSystem::on(world, 5, None)));
        assert!(matches!(again, Ok(false)), "{what}: {again:?}");
    }
}

/// Visits each world that a crash may leave of `start`, with the number of `events` before it.
pub(super) fn cut_everywhere(start: &World, events: &[WorldEvent], mut look: impl FnMut(usize, World)) {
    let mut random = Random::seeded(seed());
    let mut world = start.clone();
    for at in 0..=events.len() {
        world.ends(&mut random).into_iter().for_each(|end| look(at, end));
        events.get(at).into_iter().for_each(|event| world.apply(event));
    }
}

#[test]
fn a_repair_in_place_cut_anywhere_leaves_the_old_or_the_new_store_and_the_next_one_completes_it() {
    for start in every_store() {
        let expected = Expected::of(&start);
        let file_system = WorldFileSystem::on(start.clone(), 2, None);
        in_place(&file_system).unwrap_or_else(|error| panic!("{}", error.sentence()));
        let events = file_system.events();
        let exchanges = events.iter().filter(|event| matches!(event, WorldEvent::Name(_))).count();
        assert_eq!(exchanges, 2, "the exchange, and the rename of the old directory: {events:?}");
        cut_everywhere(&start, &events, |at, end| {
            let what = format!("after {at} of {events:?}");
            if at == events.len() {
                assert!(expected.is_new(&end, &what), "{what}: the completed repair is lost");
            }
            expected.check_next_repair(end, &what);
        });
    }
}

#[test]
fn a_repair_to_another_directory_cut_anywhere_leaves_the_old_store_unchanged_and_no_partial_new_one() {
    for start in every_store() {
        let expected = Expected::of(&start);
        let file_system = WorldFileSystem::on(start.clone(), 2, None);
        copy(&file_system).unwrap_or_else(|error| panic!("{}", error.sentence()));
        let events = file_system.events();
        let touches_old = |event: &WorldEvent| matches!(event, WorldEvent::In(0, _) | WorldEvent::Name(_));
        assert!(!events.iter().any(touches_old), "{events:?}");
        cut_everywhere(&start, &events, |at, end| {
            let found = held(&end, ELSEWHERE);
            let is_none = found.as_ref().is_none_or(Map::is_empty) && at < events.len();
            let is_whole = found.as_ref() == Some(&expected.map);
            assert!(is_none || is_whole, "after {at} of {events:?}: {found:?}");
        });
    }
}

/// Runs `act` once for each way in which each of its calls can fail, and checks the result.
fn fail_everywhere(
    start: &World,
    act: fn(&WorldFileSystem) -> logkv::Result<RepairReport>,
    look: impl Fn(&RepairReport, logkv::Result<RepairReport>, World, &str),
) {
    let file_system = WorldFileSystem::on(start.clone(), 2, None);
    let whole = act(&file_system).unwrap_or_else(|error| panic!("{}", error.sentence()));
    for (place, count) in file_system.call_counts() {
        for (at_call, failing) in (0..count).flat_map(|at| FailureKind::EVERY.map(|failing| (at, failing))) {
            for lasts in [false, true] {
                let fault = Fault { failing, at_call, lasts };
                let what = format!("{place:?} {fault:?}");
                let file_system = WorldFileSystem::on(start.clone(), 2, Some((place, fault)));
                let outcome = act(&file_system);
                if let Err(error) = &outcome {
                    let sentence = error.sentence();
                    assert!(file_system.has_failed() && sentence.contains("cannot "), "{what}: {sentence}");
                    let is_named =
                        [STORE, ELSEWHERE, "random numbers"].iter().any(|of| sentence.contains(of));
                    assert!(is_named, "{what}: {sentence}");
                    assert!(failing != FailureKind::Short, "{what} is short only, but failed: {sentence}");
                }
                // Records of the old store that cannot be read are given up and reported. The new
                // store must be readable.
                let gave_up = |report: &RepairReport| report.given_up.len() > whole.given_up.len();
                let gave_up_new = place != FaultScope::In(0) && outcome.as_ref().is_ok_and(gave_up);
                assert!(!gave_up_new, "{what}: {outcome:?}");
                look(&whole, outcome, file_system.world(), &what);
            }
        }
    }
}

#[test]
fn a_failed_call_in_a_repair_in_place_is_reported_and_leaves_the_old_or_the_new_store() {
    for start in every_store() {
        let expected = Expected::of(&start);
        fail_everywhere(&start, in_place, |whole, outcome, world, what| {
            match &outcome {
                // The repair kept what it could read, and the old store is kept as well.
                Ok(report) if report != whole => {
                    let aside = world.get(Path::new(ASIDE));
                    assert!(aside.is_some_and(|disk| expected.is_old(disk)), "{what}: {:?}", world.names);
                }
                Ok(_) => assert!(expected.is_new(&world, what), "{what}"),
                Err(_) => expected.check_next_repair(world, what),
            }
        });
    }
}

#[test]
fn a_failed_call_in_a_repair_to_another_directory_is_reported_and_leaves_the_old_store_unchanged() {
    for start in every_store() {
        let expected = Expected::of(&start);
        let old = start.get(Path::new(STORE)).expect("the store").image();
        fail_everywhere(&start, copy, |whole, outcome, world, what| {
            assert!(world.get(Path::new(STORE)).expect("the store").image() == old, "{what}");
            if outcome.as_ref().is_ok_and(|report| report == whole) {
                assert_eq!(held(&world, ELSEWHERE).as_ref(), Some(&expected.map), "{what}");
            }
        });
    }
}
