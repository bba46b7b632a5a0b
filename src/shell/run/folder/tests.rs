use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use tempfile::TempDir;

use super::draft::{Draft, NewMode};
use super::trusted::{Access, trusted};
use super::*;

/// Another user, to whom root can give files.
const NEIGHBOUR: u32 = 12_345;

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        writeln!(io::stderr(), "SKIPPED files of another user: root is needed to create them")
            .expect("the standard error is open");
    }
    is_root
}

/// Creates a temporary directory with a directory `victim`, whose file must not change, and a
/// directory `here`.
fn dirs() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory can be created");
    let (victim, here) = (dir.path().join("victim"), dir.path().join("here"));
    for path in [&victim, &here] {
        fs::create_dir(path).expect("a directory can be created");
    }
    fs::write(victim.join("file"), "kept").expect("a file can be written");
    (dir, victim, here)
}

/// Renames `path` to `path.aside`, and creates a link to `to` in its place.
fn swap(path: &Path, to: &Path) {
    let aside = path.with_extension("aside");
    fs::rename(path, aside).expect("the path exists");
    symlink(to, path).expect("a link can be created");
}

fn draft(path: &Path) -> io::Result<Draft> {
    let (folder, name) = Folder::of(path)?;
    Draft::new(folder, name, NewMode::Umask)
}

pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir)
        .expect("the directory is readable")
        .map(|entry| entry.expect("the entry is readable").file_name());
    let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("the path exists")
}

#[test]
fn a_directory_swapped_for_a_link_at_any_step_changes_no_file_elsewhere() {
    for step in 0..3 {
        let (_dir, victim, here) = dirs();
        let swap_at = |now| {
            if step == now {
                swap(&here, &victim);
            }
        };
        let (folder, name) = Folder::of(&here.join("file")).expect("the path exists");
        swap_at(0);
        let draft = Draft::new(folder, name, NewMode::Umask).expect("the file can be created");
        swap_at(1);
        draft.file().write_all(b"new").expect("the file is writable");
        swap_at(2);
        draft.put_in_place().expect("the draft can be renamed");
        assert_eq!((text(&victim.join("file")).as_str(), names(&victim)), ("kept", vec!["file".into()]));
        assert_eq!(text(&here.with_extension("aside").join("file")), "new", "step {step}");
    }
}

#[test]
fn a_link_in_the_place_of_the_file_is_replaced_and_not_followed() {
    let (_dir, victim, here) = dirs();
    let path = here.join("file");
    fs::write(&path, "before").expect("a file can be written");
    let draft = draft(&path).expect("the file can be created");
    draft.file().write_all(b"new").expect("the file is writable");
    swap(&path, &victim.join("file"));
    draft.put_in_place().expect("the draft can be renamed");
    assert_eq!((text(&path).as_str(), text(&victim.join("file")).as_str()), ("new", "kept"));
    assert!(!path.is_symlink());
}

#[test]
fn a_draft_whose_name_was_taken_is_not_renamed_and_the_taker_stays() {
    let (_dir, victim, here) = dirs();
    let path = here.join("file");
    let draft = draft(&path).expect("the file can be created");
    let name = here.join(names(&here).pop().expect("the draft exists"));
    swap(&name, &victim.join("file"));
    assert_eq!(draft.put_in_place().expect_err("the file is rejected").to_string(), changed().to_string());
    assert!(name.is_symlink() && !path.exists());
    assert_eq!(text(&victim.join("file")), "kept");
}

#[test]
fn read_and_rewrite_reject_a_link_and_stay_in_the_opened_directory() {
    let (_dir, victim, here) = dirs();
    let path = here.join("file");
    let (folder, name) = Folder::of(&path).expect("the path exists");
    symlink(victim.join("file"), &path).expect("a link can be created");
    for refused in [folder.rewrite(&name), folder.read(&name)] {
        assert_eq!(
            refused.expect_err("the file is rejected").to_string(),
            "it is a link, which is not followed"
        );
    }
    fs::remove_file(&path).expect("the path exists");
    swap(&here, &victim);
    folder.rewrite(&name).expect("the file can be created").write_all(b"new").expect("the file is writable");
    let mut read = String::new();
    folder.read(&name).expect("the path exists").read_to_string(&mut read).expect("the file is readable");
    assert_eq!((read.as_str(), text(&victim.join("file")).as_str()), ("new", "kept"));
}

#[test]
fn a_link_of_this_user_is_followed_and_that_of_another_user_is_not() {
    let (_dir, victim, here) = dirs();
    let link = here.join("link");
    symlink("../victim/new", &link).expect("a link can be created");
    let Ok(TargetPath::File(folder, name)) = Folder::place(&link) else {
        panic!("the link leads to a free name")
    };
    folder.rewrite(&name).expect("the file can be created");
    assert!(victim.join("new").exists() && link.is_symlink());
    symlink("link", here.join("link2")).expect("a link can be created");
    assert!(matches!(Folder::place(&here.join("link2")), Ok(TargetPath::File(_, name)) if name == "new"));
    symlink("loop", here.join("loop")).expect("a link can be created");
    assert!(Folder::place(&here.join("loop")).is_err());
    symlink("/dev/null", here.join("null")).expect("a link can be created");
    assert!(matches!(
        Folder::place(&here.join("null")),
        Ok(TargetPath::Special(special)) if special.open(&Interrupt::default()).is_ok()
    ));
    for no_file in [here.clone(), here.join("new/"), PathBuf::from("/"), PathBuf::from("")] {
        assert!(Folder::place(&no_file).is_err(), "{no_file:?}");
    }
    if is_root() {
        std::os::unix::fs::lchown(&link, Some(NEIGHBOUR), None).expect("root can change owners and modes");
        let refused = Folder::place(&link).expect_err("the link belongs to another user").to_string();
        assert_eq!(refused, "it is a link, and it belongs to another user (uid 12345, yours is 0)");
    }
}

#[test]
fn a_pipe_that_became_a_regular_file_is_not_written() {
    let (_dir, victim, here) = dirs();
    let path = here.join("pipe");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .expect("a pipe can be created");
    let Ok(TargetPath::Special(special)) = Folder::place(&path) else { panic!("the path is a pipe") };
    fs::remove_file(&path).expect("the path exists");
    symlink(victim.join("file"), &path).expect("a link can be created");
    assert!(special.open(&Interrupt::default()).is_err());
    fs::remove_file(&path).expect("the path exists");
    fs::write(&path, "mine").expect("a file can be written");
    assert!(special.open(&Interrupt::default()).is_err());
    assert_eq!((text(&victim.join("file")).as_str(), text(&path).as_str()), ("kept", "mine"));
}

#[test]
fn a_replaced_file_keeps_only_its_permissions_and_one_of_another_user_gets_at_most_those_of_a_new_file() {
    let (_dir, _, here) = dirs();
    let path = here.join("file");
    let mode_of = |replaced: Option<(u32, Option<u32>)>, dir_owner: u32, new| {
        let _ = fs::remove_file(&path);
        if let Some((mode, owner)) = replaced {
            fs::write(&path, "before").expect("a file can be written");
            chown(&path, owner, owner).expect("root can change owners and modes");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("the path belongs to this user");
        }
        if is_root() {
            chown(&here, Some(dir_owner), None).expect("root can change owners and modes");
        }
        let (folder, name) = Folder::of(&path).expect("the path exists");
        Draft::new(folder, name, new).and_then(Draft::put_in_place).expect("the file can be created");
        let made = path.metadata().expect("the path exists");
        (made.mode() & 0o7777, made.uid())
    };
    let me = rustix::process::geteuid().as_raw();
    for (mode, kept) in
        [(0o600, 0o600), (0o644, 0o644), (0o4755, 0o755), (0o6777, 0o777), (0o1666, 0o666), (0o400, 0o400)]
    {
        assert_eq!(mode_of(Some((mode, None)), me, NewMode::Umask), (kept, me), "{mode:o}");
    }
    assert_eq!(mode_of(None, me, NewMode::Readable), (0o644, me));
    let (new, _) = mode_of(None, me, NewMode::Umask);
    if is_root() {
        let theirs = |mode| Some((mode, Some(NEIGHBOUR)));
        // In a directory of a third user, such as /tmp, the neighbour's file becomes this user's.
        assert_eq!(mode_of(theirs(0o6777), 0, NewMode::Umask), (new, 0));
        assert_eq!(mode_of(theirs(0o600), 0, NewMode::Umask), (0o600, 0));
        assert_eq!(mode_of(theirs(0o6777), NEIGHBOUR, NewMode::Umask), (new, NEIGHBOUR));
        assert_eq!(mode_of(theirs(0o6664), NEIGHBOUR, NewMode::Readable), (0o644, NEIGHBOUR));
    }
}

#[test]
fn a_new_file_by_root_in_another_users_directory_belongs_to_them_unless_the_mode_is_umask() {
    if !is_root() {
        eprintln!("SKIPPED: root is needed to give a file away");
        return;
    }
    const GROUP: u32 = 54321;
    for (dir_mode, of_directory, readable) in
        [(0o700, 0o600, 0o644), (0o750, 0o640, 0o644), (0o2770, 0o660, 0o664), (0o760, 0o600, 0o644)]
    {
        let (_dir, _, here) = dirs();
        chown(&here, Some(NEIGHBOUR), Some(GROUP)).expect("root can change owners and modes");
        fs::set_permissions(&here, Permissions::from_mode(dir_mode))
            .expect("root can change owners and modes");
        for (new, mode) in [(NewMode::OfDirectory, of_directory), (NewMode::Readable, readable)] {
            let path = here.join(format!("{new:?}"));
            let (folder, name) = Folder::of(&path).expect("the path exists");
            Draft::new(folder, name, new).and_then(Draft::put_in_place).expect("the file can be created");
            let made = path.metadata().expect("the path exists");
            let seen = (made.mode() & 0o7777, made.uid(), made.gid());
            assert_eq!(seen, (mode, NEIGHBOUR, GROUP), "{new:?} in {dir_mode:o}");
        }
        let path = here.join("own");
        let (folder, name) = Folder::of(&path).expect("the path exists");
        Draft::new(folder, name, NewMode::Umask)
            .and_then(Draft::put_in_place)
            .expect("the file can be created");
        assert_eq!(path.metadata().expect("the path exists").uid(), 0);
    }
}

#[test]
fn a_trusted_file_is_one_that_no_other_user_can_have_created() {
    let (dir, _, here) = dirs();
    let path = here.join("state/logkv/file");
    assert!(trusted(&path, Access::Read).expect("a missing file is no error").is_none());
    assert!(!here.join("state").exists(), "a read creates no directory");
    trusted(&path, Access::Write).expect("the directories can be created").expect("a write creates the file");
    let mode = |path: &Path| path.metadata().expect("the path exists").permissions().mode() & 0o777;
    assert_eq!(
        (mode(&here.join("state")), mode(&here.join("state/logkv")), mode(&path)),
        (0o700, 0o700, 0o600)
    );
    let refused = || trusted(&path, Access::Read).expect_err("the file is rejected").to_string();
    let set = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("the path belongs to this user");
    };
    set(&path, 0o666);
    assert_eq!(refused(), "everybody may write to it");
    set(&path, 0o644);
    assert!(trusted(&path, Access::Read).expect("the path exists").is_some());
    for open in [here.join("state"), here.join("state/logkv")] {
        set(&open, 0o777);
        let real = open.canonicalize().expect("the path exists");
        assert_eq!(refused(), format!("of its directory {}, everybody may write to it", real.display()));
        set(&open, 0o755);
    }
    // A link of this user is followed, in the middle of the path and at its end.
    fs::rename(here.join("state"), dir.path().join("elsewhere")).expect("the path belongs to this user");
    symlink("../elsewhere", here.join("state")).expect("a link can be created");
    assert!(trusted(&path, Access::Read).expect("the path exists").is_some());
    fs::rename(&path, dir.path().join("file")).expect("the path belongs to this user");
    symlink(dir.path().join("file"), &path).expect("a link can be created");
    assert!(trusted(&path, Access::Write).expect("the path exists").is_some());
    fs::remove_file(&path).expect("the path belongs to this user");
    fs::create_dir(&path).expect("a directory can be created");
    assert!(trusted(&path, Access::Read).is_err());
}

#[test]
fn a_path_through_another_users_link_or_directory_is_not_trusted() {
    if !is_root() {
        return;
    }
    for (theirs, message) in [
        ("state/logkv/file", "it belongs to another user (uid 12345, yours is 0)"),
        ("state/logkv", "state/logkv, it belongs to another user (uid 12345, yours is 0)"),
        ("state", "state, it belongs to another user (uid 12345, yours is 0)"),
        ("link", "link is a link, and it belongs to another user (uid 12345, yours is 0)"),
    ] {
        let (_dir, _, here) = dirs();
        fs::create_dir_all(here.join("state/logkv")).expect("directories can be created");
        fs::write(here.join("state/logkv/file"), "count").expect("a file can be written");
        symlink("state", here.join("link")).expect("a link can be created");
        let path = here.join("link/logkv/file");
        assert!(trusted(&path, Access::Read).expect("the path belongs to this user").is_some());
        std::os::unix::fs::lchown(here.join(theirs), Some(NEIGHBOUR), None)
            .expect("root can change owners and modes");
        let why =
            [Access::Read, Access::Write].map(|access| trusted(&path, access).expect_err(theirs).to_string());
        assert!(why.iter().all(|why| why.ends_with(message)), "{why:?}");
    }
    // No file is created in another user's directory.
    let (_dir, _, here) = dirs();
    chown(&here, Some(NEIGHBOUR), None).expect("root can change owners and modes");
    assert!(trusted(&here.join("state/logkv/file"), Access::Write).is_err());
    assert_eq!(names(&here), Vec::<String>::new());
}
