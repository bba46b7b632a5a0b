//! Owners and modes of files: a write neither takes access away nor gives it to others.

use std::fs::{self, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use logkv::{Compact, Error, Options, Store, backup, repair};
use tempfile::TempDir;

use crate::backup::{back_up, keep_going};
use crate::common::{
    binary, contents, copy_of, files, open, program_of_system, quick, scratch, segment_path, skipped,
    small_store, value,
};
use crate::recount::Recounted;

pub(crate) const OWNER: u32 = 12_345;
pub(crate) const GROUP: u32 = 12_346;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("has permission");
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().expect("exists").mode() & 0o7777
}

/// The mode of each file in `dir`.
fn modes(dir: &Path) -> Vec<(String, u32)> {
    files(dir).into_iter().map(|(name, _)| (name.clone(), mode(&dir.join(name)))).collect()
}

/// Gives the store in `dir` and its files to another user and group.
fn give_away(dir: &Path) {
    for (name, _) in files(dir) {
        chown(dir.join(name), Some(OWNER), Some(GROUP)).expect("root has permission");
    }
    chown(dir, Some(OWNER), Some(GROUP)).expect("root has permission");
}

/// Checks that everything in `dir` belongs to that user and group.
fn assert_given(dir: &Path, what: &str) {
    let all = files(dir).into_iter().map(|(name, _)| dir.join(name)).chain([dir.to_owned()]);
    for path in all {
        let found = path.metadata().expect("exists");
        assert_eq!((found.uid(), found.gid()), (OWNER, GROUP), "{what}: {}", path.display());
    }
}

/// A store in a directory that every user may enter, beside a copy of the program.
pub(crate) fn shared(store: TempDir) -> (TempDir, PathBuf) {
    let dir = scratch();
    set_mode(dir.path(), 0o755);
    fs::copy(binary(), dir.path().join("logkv")).expect("a copy");
    let path = dir.path().join("store");
    fs::rename(store.keep(), &path).expect("a store");
    (dir, path)
}

/// Runs the program in `dir` as user `uid`, whose only group is `gid`.
pub(crate) fn run_as(dir: &Path, [uid, gid]: [u32; 2], args: &[&str]) -> (Option<i32>, String) {
    let mut command = program_of_system("setpriv", dir);
    command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups", "./logkv"]);
    let output = command.args(args).output().expect("runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Writes files of every kind.
fn write_all_kinds(dir: &Path, options: Options) {
    let store = Store::open_with(dir, options.checkpoint_records(1)).expect("opens");
    for key in ["a", "b"] {
        store.put(key, "value").expect("a put");
        store.rotate().expect("rotates");
    }
    store.compact_recounted(&Compact::All).expect("compacts");
    assert!(store.scan(..).expect("scans").count() > 0);
    store.close().expect("closes");
    let names: Vec<_> = files(dir).into_iter().map(|(name, _)| name).collect();
    for kind in ["LOCK", "MANIFEST", "KEYDIR", ".seg", ".hint"] {
        assert!(names.iter().any(|name| name.ends_with(kind)), "{kind}: {names:?}");
    }
}

#[test]
fn files_written_by_root_belong_to_the_owner_of_the_directory() {
    if !is_root() {
        return skipped("files written by root", "giving files away needs root");
    }
    for directory_mode in [0o700, 0o750, 0o2770] {
        let (dir, path) = shared(small_store());
        give_away(&path);
        set_mode(&path, directory_mode);
        write_all_kinds(&path, quick().trust(true));
        assert_given(&path, &format!("{directory_mode:o}"));
        for args in [["--trust", "store", "put", "by_root", "1"], ["-q", "store", "put", "by_them", "2"]] {
            let user = if args[0] == "--trust" { [0, 0] } else { [OWNER, GROUP] };
            let (code, said) = run_as(dir.path(), user, &args);
            assert_eq!(code, Some(0), "{directory_mode:o}: {said}");
            assert_given(&path, &format!("{directory_mode:o}, after {args:?}"));
        }
        assert_eq!(run_as(dir.path(), [OWNER, GROUP], &["store", "get", "by_root"]).1, "1\n");
    }
}

#[test]
fn only_the_group_with_access_to_the_directory_can_read_new_files() {
    let expected =
        [(0o700, 0o600), (0o710, 0o600), (0o750, 0o640), (0o2750, 0o640), (0o770, 0o660), (0o755, 0o640)];
    for (directory_mode, file_mode) in expected {
        let dir = scratch();
        set_mode(dir.path(), directory_mode);
        write_all_kinds(dir.path(), quick());
        let wrong: Vec<_> = modes(dir.path()).into_iter().filter(|(_, mode)| *mode != file_mode).collect();
        assert_eq!(wrong, [], "{directory_mode:o}");
        assert_eq!(mode(dir.path()), directory_mode);
    }
    let new = scratch();
    let new = new.path().join("new");
    write_all_kinds(&new, quick());
    assert!(mode(&new) == 0o700 && modes(&new).iter().all(|(_, mode)| *mode == 0o600), "{:?}", modes(&new));
}

#[test]
fn a_group_reader_keeps_access_after_every_write_under_any_umask() {
    let (dir, path) = shared(scratch());
    set_mode(&path, 0o750);
    for (umask, key) in [("077", "a"), ("000", "b")] {
        let script = format!("umask {umask}; exec ./logkv -q store put {key} 1");
        let mut command = Command::new("sh");
        let done = command.args(["-c", &script]).current_dir(dir.path()).env_clear().status().expect("runs");
        assert!(done.success());
        assert!(modes(&path).iter().all(|(_, mode)| *mode == 0o640), "{umask}: {:?}", modes(&path));
    }
    if !is_root() {
        return skipped("access of a group", "becoming another user needs root");
    }
    give_away(&path);
    let reader = [OWNER + 1, GROUP];
    assert_eq!(run_as(dir.path(), [0, 0], &["--trust", "-q", "store", "put", "c", "3"]).0, Some(0));
    for key in ["a", "c"] {
        let (code, said) = run_as(dir.path(), reader, &["--trust", "-r", "store", "get", key]);
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!(run_as(dir.path(), [OWNER + 1, GROUP + 1], &["--trust", "-r", "store", "count"]).0, Some(3));
}

#[test]
fn a_replaced_file_keeps_its_mode_without_setuid() {
    let dir = scratch();
    set_mode(dir.path(), 0o700);
    write_all_kinds(dir.path(), quick());
    let set = |name: &str, mode| set_mode(&dir.path().join(name), mode);
    set("MANIFEST", 0o4644);
    set("KEYDIR", 0o604);
    write_all_kinds(dir.path(), quick());
    let kept = |name: &str| mode(&dir.path().join(name));
    assert_eq!((kept("MANIFEST"), kept("KEYDIR")), (0o644, 0o604));
    // A file that every user may write to is not trusted, so that its mode is not kept.
    set("KEYDIR", 0o666);
    write_all_kinds(dir.path(), quick());
    assert_eq!(kept("KEYDIR"), 0o600);
}

#[test]
fn a_rebuilt_hint_is_readable_by_the_readers_of_its_segment() {
    let dir = scratch();
    write_all_kinds(dir.path(), quick());
    let name_of_hint = |(name, _): (String, _)| name.ends_with(".hint").then_some(name);
    let hint = dir.path().join(files(dir.path()).into_iter().find_map(name_of_hint).expect("a hint"));
    set_mode(&hint.with_extension("seg"), 0o644);
    fs::write(&hint, "damaged").expect("has permission");
    fs::remove_file(dir.path().join("KEYDIR")).expect("removes KEYDIR");
    open(dir.path()).close().expect("closes");
    assert!(fs::read(&hint).is_ok_and(|bytes| bytes != b"damaged"));
    assert_eq!(mode(&hint), 0o644);
}

#[test]
fn the_next_backup_keeps_existing_modes_and_gives_new_files_those_of_the_directory() {
    let dir = small_store();
    fs::write(dir.path().join("logkv.toml"), "sync = \"never\"\n").expect("options");
    let (place, store) = (scratch(), open(dir.path()));
    let copy = place.path().join("copy");
    back_up(&store, &copy);
    assert_eq!(mode(&copy), 0o700);
    set_mode(&copy, 0o750);
    for (name, mode) in [("000003.seg", 0o644), ("logkv.toml", 0o604), ("MANIFEST", 0o640)] {
        set_mode(&copy.join(name), mode);
    }
    if is_root() {
        give_away(&copy);
    } else {
        skipped("the modes of the next backup", "giving files away needs root");
    }
    fs::write(dir.path().join("logkv.toml"), "sync = \"always\"\n").expect("options");
    store.put("five", "5").expect("a put");
    store.rotate().expect("rotates");
    store.put("six", "6").expect("a put");
    drop(store);
    let store = Store::open_with(dir.path(), quick().trust(true)).expect("opens");
    back_up(&store, &copy);
    let kept = |name: &str| mode(&copy.join(name));
    let modes = ["000003.seg", "logkv.toml", "MANIFEST", "000004.seg"].map(kept);
    assert_eq!(modes, [0o644, 0o604, 0o640, 0o640]);
    // Hard links to the store's segments keep the store's owner.
    let own = |name: &str| copy.join(name).metadata().expect("a file").uid();
    if is_root() {
        assert_eq!(["000003.seg", "logkv.toml", "MANIFEST", "000004.seg"].map(own), [OWNER; 4]);
    }
}

/// A store `store` with a damaged record.
fn damaged() -> (TempDir, PathBuf) {
    let dir = scratch();
    let path = dir.path().join("store");
    fs::rename(copy_of(small_store().path()).keep(), &path).expect("a store");
    damage_first_record(&path);
    (dir, path)
}

fn damage_first_record(dir: &Path) {
    let segment = segment_path(dir, 1);
    let mut bytes = fs::read(&segment).expect("the segment");
    bytes[80] ^= 1;
    fs::write(segment, bytes).expect("the damage");
}

#[test]
fn a_store_repaired_in_place_keeps_its_owner_and_modes() {
    let (dir, path) = damaged();
    set_mode(&path, 0o750);
    for (name, _) in files(&path) {
        set_mode(&path.join(name), 0o640);
    }
    set_mode(&path.join("000002.seg"), 0o4604);
    if is_root() {
        give_away(&path);
    } else {
        skipped("the owner of a repaired store", "giving files away needs root");
    }
    let go_on = &mut |_| ControlFlow::Continue(());
    repair::in_place(&path, &dir.path().join("kept"), &quick().trust(true), go_on).expect("repairs");
    let expected = |name: &str| if name == "000002.seg" { 0o604 } else { 0o640 };
    let wrong: Vec<_> = modes(&path).into_iter().filter(|(name, mode)| *mode != expected(name)).collect();
    assert_eq!((wrong, mode(&path)), (vec![], 0o750));
    if is_root() {
        assert_given(&path, "the new store");
        assert_given(&dir.path().join("kept"), "the damaged store");
    }
}

/// Makes a directory untrusted.
type Change = fn(&Path);

#[test]
fn a_store_restored_into_an_empty_directory_gets_its_owner_and_mode() {
    let from = small_store();
    let dir = scratch();
    let to = dir.path().join("to");
    fs::create_dir(&to).expect("a directory");
    set_mode(&to, 0o750);
    backup::restore(from.path(), &to, &quick(), &mut keep_going).expect("restores");
    assert!(mode(&to) == 0o750 && modes(&to).iter().all(|(_, mode)| *mode == 0o640), "{:?}", modes(&to));
    assert_eq!(value(&open(&to), "one").as_deref(), Some("1"));
    // A directory that another user owns, or that every user may write to, needs the trust option.
    let others: [(&str, Change); 2] = [
        ("open_to_all", |to| set_mode(to, 0o777)),
        ("anothers", |to| chown(to, Some(OWNER), Some(GROUP)).expect("root has permission")),
    ];
    let count = if is_root() { 2 } else { 1 };
    for (name, change) in others.into_iter().take(count) {
        let to = dir.path().join(name);
        fs::create_dir(&to).expect("a directory");
        change(&to);
        let go_on = &mut |_| ControlFlow::Continue(());
        let (_damaged_dir, damaged) = damaged();
        let refused = [
            backup::restore(from.path(), &to, &quick(), &mut keep_going).map(drop),
            open(from.path()).backup(&to, &mut keep_going).map(drop),
            repair::copy(&damaged, &to, &quick(), go_on).map(drop),
        ];
        for refused in refused {
            assert!(matches!(refused, Err(Error::Untrusted { .. })), "{name}: {refused:?}");
        }
        assert_eq!(fs::read_dir(&to).expect("a directory").count(), 0);
        backup::restore(from.path(), &to, &quick().trust(true), &mut keep_going).expect("is trusted");
        if name == "anothers" {
            assert_given(&to, "restored");
        }
        let trusting = Store::open_with(&to, quick().trust(true)).expect("opens");
        assert_eq!(contents(&trusting), contents(&open(from.path())));
    }
    if !is_root() {
        skipped("a restore into the directory of another user", "giving a directory away needs root");
    }
}

/// Sandboxes in which a file cannot be given to a group, and the user who owns the store there.
const SANDBOXES: [(&str, u32, &[&str]); 2] = [
    ("root that may give nothing away", 0, &["setpriv", "--bounding-set=-chown", "--inh-caps=-chown"]),
    (
        "a user namespace that does not know the group",
        OWNER,
        &["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "unshare", "--map-root-user"],
    ),
];

#[test]
fn a_link_owned_by_root_is_followed_in_a_user_namespace_without_root() {
    const TEST: &str = "a link of root in a user namespace";
    if !is_root() {
        return skipped(TEST, "becoming another user needs root");
    }
    let (dir, path) = shared(small_store());
    give_away(&path);
    let [(..), (_, _, words)] = SANDBOXES;
    let run = |args: &[&str]| {
        let mut command = program_of_system(words[0], dir.path());
        command.args(&words[1..]).args(args).stdout(Stdio::null()).output().expect("runs")
    };
    if !run(&["true"]).status.success() {
        return skipped(TEST, "user namespaces are not available");
    }
    // Root owns the link, which leads to the output device.
    let output = run(&["./logkv", "-r", "store", "export", "/dev/stdout"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_store_whose_group_cannot_be_set_is_written_and_repaired_and_hides_new_files_from_the_group() {
    const TEST: &str = "a group that cannot be set";
    if !is_root() {
        return skipped(TEST, "setting a foreign group needs root");
    }
    for (sandbox, user, words) in SANDBOXES {
        let (dir, path) = shared(copy_of(small_store().path()));
        let run = |args: &[&str]| {
            let mut command = program_of_system(words[0], dir.path());
            let output = command.args(&words[1..]).args(args).output().expect("runs");
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        if !run(&["true"]).0 {
            skipped(TEST, &format!("{sandbox} is not available"));
            continue;
        }
        chown(dir.path(), Some(user), None).expect("root has permission");
        for (name, _) in files(&path) {
            chown(path.join(&name), Some(user), Some(GROUP)).expect("root has permission");
            set_mode(&path.join(name), 0o640);
        }
        chown(&path, Some(user), Some(GROUP)).expect("root has permission");
        set_mode(&path, 0o750);
        let (is_done, said) =
            run(&["./logkv", "-q", "--compaction", "off", "store", "put", "in_the_sandbox", "1"]);
        assert!(is_done, "{sandbox}: {said}");
        let manifest = path.join("MANIFEST").metadata().expect("exists");
        assert_eq!((manifest.uid(), manifest.mode() & 0o777), (user, 0o600), "{sandbox}");
        assert_ne!(manifest.gid(), GROUP, "{sandbox}");
        damage_first_record(&path);
        // The exit code is not 0, since a record is lost.
        assert_eq!(run(&["./logkv", "-y", "store", "repair", "--in-place"]).1, "", "{sandbox}");
        assert!(modes(&path).iter().all(|(_, mode)| *mode == 0o600), "{sandbox}: {:?}", modes(&path));
        assert_eq!(mode(&path), 0o700, "{sandbox}");
        let store = Store::open_with(&path, quick().trust(true)).expect("opens");
        assert_eq!(value(&store, "in_the_sandbox").as_deref(), Some("1"), "{sandbox}");
    }
}
