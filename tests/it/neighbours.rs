//! Another user plants links, leaves files and swaps names next to the user's files. logkv writes,
//! reads and runs only files of its user.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::common::{binary, program, program_of_system, scratch, skipped};
use crate::person::{CTRL_D, Person};

const NEIGHBOUR: u32 = 12_345;
const PROMPT: &str = "logkv d>";

fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skipped(test, "files of another user are made by root alone");
    }
    is_root
}

/// Runs the program under a umask.
fn under(umask: &str, dir: &Path, args: &[&str]) -> Output {
    let mut shell = program_of_system("sh", dir);
    shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).arg(binary()).args(args);
    shell.output().expect("runs")
}

fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("has permission");
}

/// The mode and the owner of a file.
fn owned(path: &Path) -> (u32, u32) {
    let metadata = path.symlink_metadata().expect("exists");
    (metadata.mode() & 0o7777, metadata.uid())
}

/// A store with one key, and a file of two rows, one of them invalid.
fn with_store() -> TempDir {
    let dir = scratch();
    assert_done(&program(dir.path()).args(["d", "put", "a", "1"]).output().expect("runs"));
    fs::write(dir.path().join("rows"), "{\"key\":\"b\",\"value\":\"2\"}\nno row\n").expect("a file");
    dir
}

#[test]
fn a_replaced_file_keeps_its_mode_under_any_umask_and_metrics_stay_readable() {
    let me = rustix::process::geteuid().as_raw();
    for umask in ["022", "077"] {
        let new = 0o666 & !u32::from_str_radix(umask, 8).expect("a number");
        for (args, is_metrics) in [
            (&["--metrics-file", "file", "d", "put", "a", "1"][..], true),
            (&["-y", "d", "export", "file"], false),
            (&["-y", "d", "get", "a", "-o", "file"], false),
            (&["d", "-c", "output file", "-c", "get a"], false),
            (&["-y", "d", "import", "rows", "--rejects", "file"], false),
        ] {
            let dir = with_store();
            let path = dir.path().join("file");
            let made = if is_metrics { 0o644 } else { new };
            under(umask, dir.path(), args);
            assert_eq!(owned(&path), (made, me), "{umask} {args:?}");
            for mode in [0o644, 0o600, 0o640] {
                set_mode(&path, mode);
                under(umask, dir.path(), args);
                assert_eq!(owned(&path), (mode, me), "{umask} {args:?}");
                assert!(path.metadata().expect("exists").len() > 0, "{args:?}");
            }
        }
    }
}

#[test]
fn a_file_left_by_another_user_passes_no_mode_or_owner_to_its_replacement() {
    if !is_root("a file that a neighbour has left") {
        return;
    }
    for args in [
        &["-y", "d", "export", "shared/file"][..],
        &["-y", "d", "get", "a", "-o", "shared/file"],
        &["-y", "d", "import", "rows", "--rejects", "shared/file"],
        &["--metrics-file", "shared/file", "d", "put", "a", "1"],
    ] {
        let dir = with_store();
        let (shared, path) = (dir.path().join("shared"), dir.path().join("shared/file"));
        fs::create_dir(&shared).expect("a directory");
        set_mode(&shared, 0o1777);
        fs::write(&path, "theirs").expect("a file");
        chown(&path, Some(NEIGHBOUR), Some(NEIGHBOUR)).expect("root has permission");
        set_mode(&path, 0o6777);
        under("022", dir.path(), args);
        assert_eq!(owned(&path), (0o644, 0), "{args:?}");
        // In the other user's own directory the file stays theirs, and gains no permission that a
        // new file would lack.
        chown(&shared, Some(NEIGHBOUR), None).expect("root has permission");
        chown(&path, Some(NEIGHBOUR), Some(NEIGHBOUR)).expect("root has permission");
        set_mode(&path, 0o6777);
        under("022", dir.path(), args);
        assert_eq!(owned(&path), (0o644, NEIGHBOUR), "{args:?}");
    }
}

#[test]
fn a_link_planted_by_another_user_is_not_followed_on_write() {
    if !is_root("a link that a neighbour has planted") {
        return;
    }
    for args in [
        &["-y", "d", "export", "shared/file"][..],
        &["d", "get", "a", "-o", "shared/file"],
        &["d", "-c", "output shared/file"],
        &["-y", "d", "import", "rows", "--rejects", "shared/file"],
        &["--metrics-file", "shared/file", "d", "put", "a", "1"],
    ] {
        for victim in ["there", "missing"] {
            let dir = with_store();
            fs::create_dir(dir.path().join("shared")).expect("a directory");
            fs::write(dir.path().join("there"), "kept").expect("a file");
            let link = dir.path().join("shared/file");
            symlink(dir.path().join(victim), &link).expect("is a link");
            lchown(&link, Some(NEIGHBOUR), Some(NEIGHBOUR)).expect("root has permission");
            let output = program(dir.path()).args(args).output().expect("runs");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("cannot write shared/file: it is "), "{args:?}: {said}");
            assert_eq!(fs::read(dir.path().join("there")).expect("exists"), b"kept", "{args:?}");
            assert!(!dir.path().join("missing").exists() && link.is_symlink(), "{args:?}");
        }
    }
}

#[test]
fn root_in_the_home_of_another_user_runs_none_of_their_commands_and_follows_none_of_their_links() {
    if !is_root("another user's home") {
        return;
    }
    let dir = scratch();
    let (home, victim) = (dir.path().join("home"), dir.path().join("victim"));
    for path in [&home, &home.join(".local"), &home.join(".config"), &victim, &victim.join("logkv")] {
        fs::create_dir(path).expect("a directory");
    }
    // Root owns the directories that the links name.
    fs::write(victim.join("logkv/init"), "put owned yes\n").expect("a file");
    for link in [home.join(".local/state"), home.join(".config/logkv")] {
        symlink(if link.ends_with("state") { victim.clone() } else { victim.join("logkv") }, link)
            .expect("is a link");
    }
    let all = [home.clone(), home.join(".local"), home.join(".config"), home.join(".local/state")];
    for path in all.iter().chain([&home.join(".config/logkv")]) {
        lchown(path, Some(NEIGHBOUR), Some(NEIGHBOUR)).expect("root has permission");
    }
    let env = [("HOME", home.to_str().expect("text"))];
    let mut person = Person::at_terminal(dir.path(), &["d"], &env, (24, 250));
    person.sees("cannot keep the history in").sees("cannot read").sees_at_end(PROMPT);
    person.enters("count").sees("\n0\n").sees_at_end(PROMPT).types(CTRL_D);
    assert_eq!(person.sees_it_end(), Some(0));
    let names: Vec<_> = fs::read_dir(victim.join("logkv")).expect("exists").collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn a_history_file_whose_directory_is_swapped_keeps_its_open_file() {
    let dir = scratch();
    let (state, victim) = (dir.path().join(".local/state/logkv"), dir.path().join("victim"));
    fs::create_dir(&victim).expect("a directory");
    fs::write(victim.join("history"), "kept").expect("a file");
    let mut person = Person::at(dir.path(), &["d"], &[]);
    person.sees_at_end(PROMPT).enters("put a 1").sees("OK").sees_at_end(PROMPT);
    fs::rename(&state, dir.path().join("aside")).expect("was created");
    symlink(&victim, &state).expect("is a link");
    person.enters("count").sees("\n1\n").sees_at_end(PROMPT).types(CTRL_D);
    assert_eq!(person.sees_it_end(), Some(0));
    assert_eq!(fs::read(victim.join("history")).expect("exists"), b"kept");
    let kept = fs::read_to_string(dir.path().join("aside/history")).expect("exists");
    assert_eq!(kept, "#V2\nput a 1\ncount\n");
}

#[test]
fn a_link_in_a_foreign_directory_is_refused_by_name_and_nothing_is_imported() {
    for (name, format) in
        [("1.bitcask.data", "bitcask"), ("segment_1.log", "logkv-store"), ("merge_tmp", "logkv-store")]
    {
        let dir = with_store();
        let foreign = dir.path().join("foreign");
        fs::create_dir(&foreign).expect("a directory");
        symlink("/etc/shadow", foreign.join(name)).expect("is a link");
        let output =
            program(dir.path()).args(["d", "import", "foreign", "--format", format]).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = format!("error: cannot read foreign/{name}: it is a link, which is not followed\n");
        assert_eq!((output.status.code(), said), (Some(1), expected));
        let count = program(dir.path()).args(["d", "count"]).output().expect("runs");
        assert_eq!(count.stdout, b"1\n");
    }
}

#[test]
fn options_that_root_writes_into_the_store_of_another_user_get_that_store_s_owner_and_group() {
    if !is_root("the store of another user") {
        return;
    }
    for (mode, made) in [(0o700, 0o600), (0o750, 0o640)] {
        let dir = with_store();
        let store = dir.path().join("d");
        for entry in fs::read_dir(&store).expect("exists") {
            chown(entry.expect("an entry").path(), Some(NEIGHBOUR), Some(NEIGHBOUR))
                .expect("root has permission");
        }
        chown(&store, Some(NEIGHBOUR), Some(NEIGHBOUR)).expect("root has permission");
        set_mode(&store, mode);
        assert_done(&under("077", dir.path(), &["--trust", "d", "config", "--init"]));
        assert_eq!(owned(&store.join("logkv.toml")), (made, NEIGHBOUR), "{mode:o}");
    }
}
