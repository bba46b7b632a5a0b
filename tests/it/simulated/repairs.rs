//! A repair, to another directory and in place, cut off at each call that changes something and failed at each call there is.
//!
//! Whatever happens, the store's name stands for the old directory or the new one, whole; what was damaged is kept as it was;
//! and the next repair ends what the one before was cut off in.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use logkv::fs::StoreFile;
use logkv::repair::{self, RepairReport};
use logkv::{Batch, Options, SegmentId, Store, Sync};

use super::disk::{Disk, Image};
use super::fault::{Failing, Fault};
use super::world::{World, WorldEvent};
use super::world_system::{Place, WorldFileSystem};
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

/// A store of three segments, the first of which is damaged, as it stands on a disk: whether it was closed, and has MANIFEST.
fn damaged(is_closed: bool, has_manifest: bool) -> World {
    let empty = World::of(Path::new(STORE), Disk::default());
    let file_system = WorldFileSystem::on(empty, 1, None);
    let store = Store::open_with(STORE, options(&file_system)).expect("it opens");
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

/// The files of `disk` but for LOCK.
fn files(disk: &Disk) -> Image {
    let mut image = disk.image();
    image.retain(|(name, _)| *name != StoreFile::Lock);
    image
}

/// What the store `name` in `world` holds, if there is one that opens without damage.
fn held(world: &World, name: &str) -> Option<Map> {
    let file_system = WorldFileSystem::on(world.clone(), 3, None);
    let store = Store::open_with(name, options(&file_system).read_only(true)).ok()?;
    store.open_report().damage.is_empty().then(|| contents(&store))
}

/// What a repair is to keep and to make.
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

    /// Whether the store's name stands for the new directory.
    ///
    /// # Panics
    /// When it stands for none of the two, or the old one is not there any more.
    fn is_new(&self, world: &World, what: &str) -> bool {
        let olds = world.names.values().filter(|&&directory| self.is_old(&world.disks[directory])).count();
        assert_eq!(olds, 1, "{what}: the old directory is there, once: {:?}", world.names);
        let is_old = world.get(Path::new(STORE)).is_some_and(|disk| self.is_old(disk));
        assert!(is_old || held(world, STORE).as_ref() == Some(&self.map), "{what}: it is neither of the two");
        !is_old
    }

    /// What somebody does who comes to `world`: afterwards it is repaired, and the old directory is put aside.
    fn is_ended_well(&self, world: World, what: &str) {
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
        assert!(self.is_new(&world, what), "{what}: it is repaired");
        assert!(world.get(aside).is_some_and(|disk| self.is_old(disk)), "{what}: {:?}", world.names);
        assert_eq!(world.names.len(), 2, "{what}: {:?}", world.names);
        let again = repair::settle(store, aside, &options(&WorldFileSystem::on(world, 5, None)));
        assert!(matches!(again, Ok(false)), "{what}: {again:?}");
    }
}

/// Each world that a crash leaves of `start` at each of `events`, with how many of them had happened.
pub(super) fn cut_everywhere(start: &World, events: &[WorldEvent], mut look: impl FnMut(usize, World)) {
    let mut random = Random::seeded(seed());
    let mut world = start.clone();
    for at in 0..=events.len() {
        world.ends(&mut random).into_iter().for_each(|end| look(at, end));
        events.get(at).into_iter().for_each(|event| world.apply(event));
    }
}

#[test]
fn a_repair_in_place_that_is_cut_anywhere_leaves_the_old_or_the_new_and_the_next_one_ends_it() {
    for start in every_store() {
        let expected = Expected::of(&start);
        let file_system = WorldFileSystem::on(start.clone(), 2, None);
        in_place(&file_system).unwrap_or_else(|error| panic!("{}", error.sentence()));
        let events = file_system.events();
        let exchanges = events.iter().filter(|event| matches!(event, WorldEvent::Name(_))).count();
        assert_eq!(exchanges, 2, "the two change places, and the old one is put aside: {events:?}");
        cut_everywhere(&start, &events, |at, end| {
            let what = format!("after {at} of {events:?}");
            if at == events.len() {
                assert!(expected.is_new(&end, &what), "{what}: what was told is done");
            }
            expected.is_ended_well(end, &what);
        });
    }
}

#[test]
fn a_repair_to_elsewhere_that_is_cut_anywhere_leaves_the_old_store_to_the_last_byte_and_no_half_of_a_new_one()
{
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

/// Does `act` once for each way in which each of its calls can fail, and has a look at what came of it.
fn fail_everywhere(
    start: &World,
    act: fn(&WorldFileSystem) -> logkv::Result<RepairReport>,
    look: impl Fn(&RepairReport, logkv::Result<RepairReport>, World, &str),
) {
    let file_system = WorldFileSystem::on(start.clone(), 2, None);
    let whole = act(&file_system).unwrap_or_else(|error| panic!("{}", error.sentence()));
    for (place, count) in file_system.call_counts() {
        for (at_call, failing) in (0..count).flat_map(|at| Failing::EVERY.map(|failing| (at, failing))) {
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
                    assert!(failing != Failing::Short, "{what} is carried on with, and yet: {sentence}");
                }
                // What cannot be read of the old store is given up, which is told; of the new one nothing is.
                let gave_up = |report: &RepairReport| report.given_up.len() > whole.given_up.len();
                let is_told = place != Place::In(0) && outcome.as_ref().is_ok_and(gave_up);
                assert!(!is_told, "{what}: {outcome:?}");
                look(&whole, outcome, file_system.world(), &what);
            }
        }
    }
}

#[test]
fn a_repair_in_place_one_of_whose_calls_fails_says_so_and_leaves_the_old_or_the_new() {
    for start in every_store() {
        let expected = Expected::of(&start);
        fail_everywhere(&start, in_place, |whole, outcome, world, what| {
            match &outcome {
                // As much as could be read, and the rest is where it was.
                Ok(report) if report != whole => {
                    let aside = world.get(Path::new(ASIDE));
                    assert!(aside.is_some_and(|disk| expected.is_old(disk)), "{what}: {:?}", world.names);
                }
                Ok(_) => assert!(expected.is_new(&world, what), "{what}"),
                Err(_) => expected.is_ended_well(world, what),
            }
        });
    }
}

#[test]
fn a_repair_to_elsewhere_one_of_whose_calls_fails_says_so_and_leaves_the_old_store_alone() {
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
