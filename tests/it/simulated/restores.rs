//! Restores and backups into an existing directory, cut at each changing call and failed at each
//! call: the directory then holds no store or the complete one, and the next run completes it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use logkv::{Error, Options, Store, Sync, backup};

use super::disk::Disk;
use super::fault::{FailureKind, Fault};
use super::repairs::cut_everywhere;
use super::world::{World, WorldEvent};
use super::world_system::{FaultScope, WorldFileSystem};
use crate::common::{Map, contents};
use crate::moving::MovingClock;

const STORE: &str = "store";
const TO: &str = "to";

fn options(file_system: &WorldFileSystem) -> Options {
    let options = Options::new().sync(Sync::Always).background(false).checkpoint_records(u64::MAX);
    options
        .clock(Arc::new(MovingClock::jumping(1_000_000, 1, 300)))
        .file_system(Arc::new(file_system.clone()))
}

/// Fills the directory [`TO`] from [`STORE`].
type Make = fn(&WorldFileSystem) -> logkv::Result<()>;

fn restore(file_system: &WorldFileSystem) -> logkv::Result<()> {
    let go_on = &mut |_| ControlFlow::Continue(());
    backup::restore(Path::new(STORE), Path::new(TO), &options(file_system), go_on).map(drop)
}

fn back_up(file_system: &WorldFileSystem) -> logkv::Result<()> {
    let store = Store::open_with(STORE, options(file_system).read_only(true))?;
    store.backup(TO, &mut |_| ControlFlow::Continue(())).map(drop)
}

const MAKES: [(&str, Make); 2] = [("restore", restore), ("backup", back_up)];

/// A closed store of two segments beside an empty directory, and its contents.
fn store_and_directory() -> (World, Map) {
    let empty = World::of(Path::new(STORE), Disk::default());
    let file_system = WorldFileSystem::on(empty, 1, None);
    let store = Store::open_with(STORE, options(&file_system)).expect("opens");
    store.put("one", "1").expect("a put");
    store.rotate().expect("rotates");
    store.put("two", "2").expect("a put");
    store.delete("one").expect("a delete");
    let map = contents(&store);
    store.close().expect("closes");
    let mut image = file_system.world().get(Path::new(STORE)).expect("the store").image();
    image.sort_by_key(|(name, _)| name.to_string());
    let mut world = World::of(Path::new(STORE), Disk::of(&image));
    world.apply(&WorldEvent::Make(TO.into()));
    (world, map)
}

/// Whether [`TO`] holds the complete store. Otherwise it must hold none, and `make` completes it.
fn is_whole(world: &World, map: &Map, make: Make, what: &str) -> bool {
    let opened = |world: &World| {
        let file_system = WorldFileSystem::on(world.clone(), 3, None);
        let store = Store::open_with(TO, options(&file_system).read_only(true))?;
        assert!(store.open_report().damage.is_empty(), "{what}: {:?}", store.open_report());
        Ok(contents(&store))
    };
    match opened(world) {
        Ok(found) => {
            assert_eq!(found, *map, "{what}");
            true
        }
        Err(Error::Missing { .. } | Error::Unfinished { .. }) => {
            let file_system = WorldFileSystem::on(world.clone(), 4, None);
            make(&file_system).unwrap_or_else(|error| panic!("{what}: {}", error.sentence()));
            assert_eq!(opened(&file_system.world()).expect("is a store"), *map, "{what}");
            false
        }
        Err(error) => panic!("{what}: {}", error.sentence()),
    }
}

#[test]
fn a_directory_filled_by_a_run_cut_anywhere_holds_no_store_or_the_complete_one() {
    let (start, map) = store_and_directory();
    for (name, make) in MAKES {
        let file_system = WorldFileSystem::on(start.clone(), 2, None);
        make(&file_system).unwrap_or_else(|error| panic!("{}", error.sentence()));
        let events = file_system.events();
        assert!(events.iter().all(|event| matches!(event, WorldEvent::In(1, _))), "{name}: {events:?}");
        let mut seen = [0, 0];
        cut_everywhere(&start, &events, |at, end| {
            let what = format!("{name}, cut after {at} of {events:?}");
            let is_whole = is_whole(&end, &map, make, &what);
            assert!(is_whole || at < events.len(), "{what}: the completed run is lost");
            seen[usize::from(is_whole)] += 1;
            // The next run, which first removes the leftovers, can be cut as well.
            if !is_whole && seen[0] % 16 == 0 {
                let again = WorldFileSystem::on(end.clone(), 5, None);
                make(&again).expect("is created");
                cut_everywhere(&end, &again.events(), |at, end| {
                    self::is_whole(&end, &map, make, &format!("{what}, and after {at} of the next"));
                });
            }
        });
        assert!(seen.iter().all(|count| *count > 10), "{name}: {seen:?}");
    }
}

#[test]
fn a_directory_filled_by_a_run_with_a_failed_call_holds_no_store_or_the_complete_one() {
    let (start, map) = store_and_directory();
    for (name, make) in MAKES {
        let file_system = WorldFileSystem::on(start.clone(), 2, None);
        make(&file_system).unwrap_or_else(|error| panic!("{}", error.sentence()));
        for (place, count) in file_system.call_counts() {
            for (at_call, failing) in
                (0..count).flat_map(|at| FailureKind::EVERY.map(|failing| (at, failing)))
            {
                for lasts in [false, true] {
                    let fault = Fault { failing, at_call, lasts };
                    let what = format!("{name}, {place:?} {fault:?}");
                    let file_system = WorldFileSystem::on(start.clone(), 2, Some((place, fault)));
                    let outcome = make(&file_system);
                    let is_whole = is_whole(&file_system.world(), &map, make, &what);
                    assert!(is_whole || outcome.is_err(), "{what}");
                    assert!(
                        outcome.is_ok() || place != FaultScope::In(1) || file_system.has_failed(),
                        "{what}"
                    );
                }
            }
        }
    }
}
