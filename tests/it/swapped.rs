//! A hostile user owns the directory around a store, and replaces a name in it before each call in
//! turn. Whatever the result of the operation, nothing outside the directory changes.

use std::fmt;
use std::fs::{self, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use logkv::{Compact, Options, Result, Store, backup, repair, verify};
use tempfile::TempDir;

use crate::backup::keep_going;
use crate::common::{copy_of, files, open, quick, scratch, segment_path, skipped, small_store};
use crate::hooked::{Hook, hooked};

const NEIGHBOUR: u32 = 12_345;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives `path` itself to the hostile user, without following a link.
fn give_away(path: &Path) {
    if is_root() {
        lchown(path, Some(NEIGHBOUR), Some(NEIGHBOUR)).expect("root has permission");
    }
}

/// The hostile user's directory, and files outside it.
struct World {
    home: TempDir,
    outside: TempDir,
}

/// The names of files that a store, a backup or a repair reads, writes or removes.
const FILES: [&str; 11] = [
    "LOCK",
    "MANIFEST",
    "MANIFEST.new",
    "KEYDIR",
    "KEYDIR.new",
    "UNFINISHED",
    "logkv.toml",
    "000001.seg",
    "000003.seg",
    "000004.seg",
    "000001.hint",
];

impl World {
    fn new() -> Self {
        let world = Self { home: scratch(), outside: scratch() };
        for (name, mode) in [("full", 0o755), ("empty", 0o700)] {
            let dir = world.outside.path().join(name);
            fs::create_dir(&dir).expect("a directory");
            fs::set_permissions(&dir, Permissions::from_mode(mode)).expect("has permission");
        }
        for name in FILES.into_iter().chain(["secret"]) {
            let path = world.outside.path().join("full").join(name);
            fs::write(&path, "an unfinished repair\n").expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("has permission");
        }
        give_away(world.home.path());
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Puts a copy of the store or backup `from` into the hostile user's directory, and gives it to
    /// them.
    fn put(&self, from: &Path, name: &str) {
        let copy = copy_of(from);
        for (file, _) in files(copy.path()) {
            give_away(&copy.path().join(file));
        }
        give_away(copy.path());
        fs::rename(copy.keep(), self.at(name)).expect("has permission");
    }

    /// The observable state outside the directory, including change times.
    fn outside(&self) -> Vec<String> {
        let mut seen = Vec::new();
        let mut look = |path: &Path| {
            let found = path.symlink_metadata().expect("exists");
            let bytes = if found.is_file() { fs::read(path).expect("a file") } else { Vec::new() };
            let times = (found.ctime(), found.ctime_nsec(), found.mtime(), found.mtime_nsec());
            let owner = (found.uid(), found.gid(), found.mode(), found.nlink());
            seen.push(format!("{}: {owner:?} {times:?} {}", path.display(), bytes.escape_ascii()));
        };
        for dir in ["full", "empty"].map(|name| self.outside.path().join(name)) {
            look(&dir);
            let mut names: Vec<_> =
                fs::read_dir(&dir).expect("exists").map(|entry| entry.expect("a file").path()).collect();
            names.sort();
            names.iter().for_each(|path| look(path));
        }
        seen
    }
}

/// The object that replaces a name.
#[derive(Clone, Copy, Debug)]
enum Replacement {
    /// A link to `full`.
    LinkToFull,
    /// A link to `empty`.
    LinkToEmpty,
    /// A directory of the hostile user, with links to outside files under the names of a store's
    /// files.
    Directory,
    /// An empty directory of the hostile user.
    EmptyDirectory,
    /// A link to a file outside.
    LinkToFile,
}

const BAITS: [Replacement; 4] =
    [Replacement::LinkToFull, Replacement::LinkToEmpty, Replacement::Directory, Replacement::EmptyDirectory];

impl Replacement {
    /// Moves the object at `at` away, and puts this one in its place.
    fn put(self, at: &Path, outside: &Path) {
        // The name may not exist yet.
        let _ = fs::rename(at, at.with_file_name("moved"));
        let full = outside.join("full");
        match self {
            Self::LinkToFull => symlink(&full, at),
            Self::LinkToEmpty => symlink(outside.join("empty"), at),
            Self::LinkToFile => symlink(full.join("secret"), at),
            Self::EmptyDirectory | Self::Directory => fs::create_dir(at),
        }
        .expect("the name is free");
        if matches!(self, Self::Directory) {
            for name in FILES {
                symlink(full.join(name), at.join(name)).expect("the name is free");
                give_away(&at.join(name));
            }
        }
        give_away(at);
    }
}

/// Replaces a name before call number `at_call`.
struct Swap {
    at_call: u64,
    count: AtomicU64,
    act: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swap").field("at_call", &self.at_call).finish_non_exhaustive()
    }
}

impl Hook for Swap {
    fn step(&self) {
        if self.count.fetch_add(1, Ordering::SeqCst) == self.at_call {
            (self.act)();
        }
    }

    fn syncs(&self) -> bool {
        false
    }
}

/// The number of calls until the program has opened an existing directory. A directory replaced
/// earlier may be the intended one.
const OPENED: u64 = 2;

/// An operation in the hostile user's directory.
struct Operation<'a> {
    prepare: &'a dyn Fn(&World),
    act: &'a dyn Fn(&World, Options) -> Result<()>,
    /// The store or backup that the operation makes. It must be intact after a success.
    made: &'a str,
}

impl Operation<'_> {
    /// Runs the operation, and replaces `name` before call number `at_call`. Returns whether there
    /// was such a call.
    fn run_with_replacement(&self, at_call: u64, name: &str, bait: Replacement) -> bool {
        let world = World::new();
        (self.prepare)(&world);
        let before = world.outside();
        let (at, outside) = (world.at(name), world.outside.path().to_owned());
        let act = Box::new(move || bait.put(&at, &outside));
        let file_system = hooked(Swap { at_call, count: AtomicU64::new(0), act });
        let swap = Arc::clone(&file_system.0);
        let outcome = (self.act)(&world, quick().trust(true).file_system(file_system));
        let what = format!("{bait:?} as {name} before call {at_call}: {outcome:?}");
        assert_eq!(world.outside(), before, "{what}");
        if outcome.is_ok() && !(name == self.made || name.starts_with(&format!("{}/", self.made))) {
            assert_intact(&world.at(self.made), &what);
        }
        let is_reached = swap.count.load(Ordering::SeqCst) > at_call;
        assert!(is_reached || outcome.is_ok(), "{what}");
        is_reached
    }

    /// Runs the operation with each of `baits` under each of `names`, before each call from number
    /// `from` on.
    fn all(&self, test: &str, names: &[&str], baits: &[Replacement], from: u64) {
        if !is_root() {
            skipped(test, "without root, the hostile user is the same user, and owners are not tested");
        }
        for name in names {
            // A link of one's own user is followed.
            let is_anothers = |bait: &&Replacement| is_root() || !matches!(bait, Replacement::LinkToEmpty);
            for &bait in baits.iter().filter(is_anothers) {
                let count =
                    (from..).take_while(|&at_call| self.run_with_replacement(at_call, name, bait)).count();
                assert!(count > 10, "only {count} calls");
            }
        }
    }
}

fn assert_intact(dir: &Path, what: &str) {
    let verified = verify::store(dir, &quick().trust(true), &[], &mut |_| ControlFlow::Continue(()));
    let report = verified.unwrap_or_else(|error| panic!("{what}: {}", error.sentence()));
    assert!(report.damage_count == 0 && report.record_count > 0, "{what}: {report:?}");
}

fn go_on<T>(_: T) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn damaged() -> TempDir {
    let dir = small_store();
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[80] ^= 1;
    fs::write(path, bytes).expect("the damage");
    dir
}

#[test]
fn a_repair_in_place_changes_nothing_outside_when_names_are_replaced() {
    let damaged = damaged();
    let operation = Operation {
        prepare: &|world| world.put(damaged.path(), "store"),
        act: &|world, options| {
            repair::in_place(&world.at("store"), &world.at("kept"), &options, &mut go_on).map(drop)
        },
        made: "store",
    };
    operation.all("a_repair_in_place", &["store"], &BAITS, OPENED);
    operation.all("a_repair_in_place", &["store.repairing", "kept"], &BAITS, 0);
}

#[test]
fn a_repair_to_another_directory_changes_nothing_outside_when_names_are_replaced() {
    let damaged = damaged();
    for is_there in [false, true] {
        let operation = Operation {
            prepare: &|world| {
                world.put(damaged.path(), "store");
                if is_there {
                    Replacement::EmptyDirectory.put(&world.at("new"), world.outside.path());
                }
            },
            act: &|world, options| {
                repair::copy(&world.at("store"), &world.at("new"), &options, &mut go_on).map(drop)
            },
            made: "new",
        };
        operation.all("a_repair_to_elsewhere", &["store"], &BAITS, OPENED);
        operation.all("a_repair_to_elsewhere", &["new"], &BAITS, 0);
    }
}

#[test]
fn a_restore_changes_nothing_outside_when_names_are_replaced() {
    let from = small_store();
    for is_there in [false, true] {
        let operation = Operation {
            prepare: &|world| {
                if is_there {
                    Replacement::EmptyDirectory.put(&world.at("new"), world.outside.path());
                }
            },
            act: &|world, options| {
                backup::restore(from.path(), &world.at("new"), &options, &mut keep_going).map(drop)
            },
            made: "new",
        };
        operation.all("a_restore", &["new", "new.unfinished"], &BAITS, 0);
    }
}

#[test]
fn a_backup_changes_nothing_outside_when_names_are_replaced() {
    let from = small_store();
    let operation = Operation {
        prepare: &|_| (),
        act: &|world, options| {
            let store = Store::open_with(from.path(), options.read_only(true))?;
            store.backup(world.at("new"), &mut keep_going).map(drop)
        },
        made: "new",
    };
    operation.all("a_backup", &["new", "new.unfinished"], &BAITS, 0);
}

#[test]
fn the_next_backup_changes_nothing_outside_when_names_are_replaced() {
    let (from, earlier) = (small_store(), scratch());
    fs::write(from.path().join("logkv.toml"), "sync = \"never\"\n").expect("options");
    let store = open(from.path());
    store.backup(earlier.path().join("copy"), &mut keep_going).expect("a backup");
    store.put("five", "5").expect("a put");
    store.rotate().expect("rotates");
    store.close().expect("closes");
    fs::write(from.path().join("logkv.toml"), "sync = \"always\"\n").expect("options");
    let operation = Operation {
        prepare: &|world| world.put(&earlier.path().join("copy"), "copy"),
        act: &|world, options| {
            let store = Store::open_with(from.path(), options.read_only(true))?;
            store.backup(world.at("copy"), &mut keep_going).map(drop)
        },
        made: "copy",
    };
    operation.all("the_next_backup", &["copy"], &BAITS, 0);
    let names = FILES.map(|name| format!("copy/{name}"));
    operation.all("the_next_backup", &names.each_ref().map(String::as_str), &[Replacement::LinkToFile], 0);
}

#[test]
fn a_new_store_changes_nothing_outside_when_its_name_is_replaced() {
    let operation = Operation {
        prepare: &|_| (),
        act: &|world, options| {
            let store = Store::open_with(world.at("new"), options)?;
            store.put("a", "1")?;
            store.close()
        },
        made: "new",
    };
    operation.all("a_new_store", &["new"], &BAITS, 1);
}

#[test]
fn a_writer_changes_nothing_outside_when_its_files_are_replaced() {
    let store = small_store();
    let operation = Operation {
        prepare: &|world| world.put(store.path(), "store"),
        act: &|world, options| {
            let store = Store::open_with(world.at("store"), options.checkpoint_records(1))?;
            store.put("new", "value")?;
            store.rotate()?;
            store.compact(&Compact::All)?;
            store.close()
        },
        made: "store",
    };
    operation.all("a_writer", &["store"], &BAITS, OPENED);
    let names = FILES.map(|name| format!("store/{name}"));
    operation.all("a_writer", &names.each_ref().map(String::as_str), &[Replacement::LinkToFile], 0);
}
