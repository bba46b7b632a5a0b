use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use tempfile::TempDir;

use super::draft::{Draft, NewMode};
use super::trusted::{Access, trusted};
use super::*;

/// Somebody else, where root can make files theirs.
const NEIGHBOUR: u32 = 12_345;

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        writeln!(io::stderr(), "SKIPPED files of another user: making them takes root")
            .expect("somebody listens");
    }
    is_root
}

/// A directory of this user's with a file `kept` that nobody may change, and one that is worked in.
fn dirs() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let (victim, here) = (dir.path().join("victim"), dir.path().join("here"));
    for path in [&victim, &here] {
        fs::create_dir(path).expect("a directory can be made");
    }
    fs::write(victim.join("file"), "kept").expect("a file can be written");
    (dir, victim, here)
}

/// Puts `link` in the place of what has the name, which goes aside.
fn swap(path: &Path, to: &Path) {
    let aside = path.with_extension("aside");
    fs::rename(path, aside).expect("it is there");
    symlink(to, path).expect("a link can be made");
}

fn draft(path: &Path) -> io::Result<Draft> {
    let (folder, name) = Folder::of(path)?;
    Draft::new(folder, name, NewMode::Umask)
}

fn names(dir: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(dir).expect("it can be read").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("it is there")
}

#[test]
fn a_directory_that_is_swapped_for_a_link_at_any_step_changes_nothing_elsewhere() {
    for step in 0..3 {
        let (_dir, victim, here) = dirs();
        let swap_at = |now| {
            if step == now {
                swap(&here, &victim);
            }
        };
        let (folder, name) = Folder::of(&here.join("file")).expect("it is there");
        swap_at(0);
        let draft = Draft::new(folder, name, NewMode::Umask).expect("it is made");
        swap_at(1);
        draft.file().write_all(b"new").expect("it is written");
        swap_at(2);
        draft.put_in_place().expect("it gets its name");
        assert_eq!((text(&victim.join("file")).as_str(), names(&victim)), ("kept", vec!["file".into()]));
        assert_eq!(text(&here.with_extension("aside").join("file")), "new", "step {step}");
    }
}

#[test]
fn a_link_in_the_place_of_the_file_is_replaced_and_not_written_through() {
    let (_dir, victim, here) = dirs();
    let path = here.join("file");
    fs::write(&path, "before").expect("a file can be written");
    let draft = draft(&path).expect("it is made");
    draft.file().write_all(b"new").expect("it is written");
    swap(&path, &victim.join("file"));
    draft.put_in_place().expect("it gets its name");
    assert_eq!((text(&path).as_str(), text(&victim.join("file")).as_str()), ("new", "kept"));
    assert!(!path.is_symlink());
}

#[test]
fn a_draft_whose_name_is_given_to_something_else_is_not_put_in_place_and_that_stays() {
    let (_dir, victim, here) = dirs();
    let path = here.join("file");
    let draft = draft(&path).expect("it is made");
    let name = here.join(names(&here).pop().expect("the draft"));
    swap(&name, &victim.join("file"));
    assert_eq!(draft.put_in_place().expect_err("it is refused").to_string(), changed().to_string());
    assert!(name.is_symlink() && !path.exists());
    assert_eq!(text(&victim.join("file")), "kept");
}

#[test]
fn a_file_that_is_written_in_place_or_read_is_no_link_and_its_directory_the_one_that_was_opened() {
    let (_dir, victim, here) = dirs();
    let path = here.join("file");
    let (folder, name) = Folder::of(&path).expect("it is there");
    symlink(victim.join("file"), &path).expect("a link can be made");
    for refused in [folder.rewrite(&name), folder.read(&name)] {
        assert_eq!(refused.expect_err("it is refused").to_string(), "it is a link, which is not followed");
    }
    fs::remove_file(&path).expect("it is there");
    swap(&here, &victim);
    folder.rewrite(&name).expect("it is made").write_all(b"new").expect("it is written");
    let mut read = String::new();
    folder.read(&name).expect("it is there").read_to_string(&mut read).expect("it is read");
    assert_eq!((read.as_str(), text(&victim.join("file")).as_str()), ("new", "kept"));
}

#[test]
fn a_link_of_ones_own_leads_to_a_place_and_another_users_does_not() {
    let (_dir, victim, here) = dirs();
    let link = here.join("link");
    symlink("../victim/new", &link).expect("a link can be made");
    let Ok(Place::File(folder, name)) = Folder::place(&link) else { panic!("it leads to a file") };
    folder.rewrite(&name).expect("it is made");
    assert!(victim.join("new").exists() && link.is_symlink());
    symlink("link", here.join("link2")).expect("a link can be made");
    assert!(matches!(Folder::place(&here.join("link2")), Ok(Place::File(_, name)) if name == "new"));
    symlink("loop", here.join("loop")).expect("a link can be made");
    assert!(Folder::place(&here.join("loop")).is_err());
    symlink("/dev/null", here.join("null")).expect("a link can be made");
    assert!(
        matches!(Folder::place(&here.join("null")), Ok(Place::Special(special)) if special.open(&Interrupt::default()).is_ok())
    );
    for no_file in [here.clone(), here.join("new/"), PathBuf::from("/"), PathBuf::from("")] {
        assert!(Folder::place(&no_file).is_err(), "{no_file:?}");
    }
    if is_root() {
        std::os::unix::fs::lchown(&link, Some(NEIGHBOUR), None).expect("root may");
        let refused = Folder::place(&link).expect_err("it is theirs").to_string();
        assert_eq!(refused, "it is a link, and it belongs to another user (uid 12345, yours is 0)");
    }
}

#[test]
fn what_was_no_regular_file_is_not_written_to_when_it_has_become_one() {
    let (_dir, victim, here) = dirs();
    let path = here.join("pipe");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .expect("a pipe can be made");
    let Ok(Place::Special(special)) = Folder::place(&path) else { panic!("it is a pipe") };
    fs::remove_file(&path).expect("it is there");
    symlink(victim.join("file"), &path).expect("a link can be made");
    assert!(special.open(&Interrupt::default()).is_err());
    fs::remove_file(&path).expect("it is there");
    fs::write(&path, "mine").expect("a file can be written");
    assert!(special.open(&Interrupt::default()).is_err());
    assert_eq!((text(&victim.join("file")).as_str(), text(&path).as_str()), ("kept", "mine"));
}

#[test]
fn a_replaced_file_keeps_its_permissions_and_no_other_bit_and_of_somebody_elses_no_more_than_a_new_one_has() {
    let (_dir, _, here) = dirs();
    let path = here.join("file");
    let mode_of = |replaced: Option<(u32, Option<u32>)>, dir_owner: u32, new| {
        let _ = fs::remove_file(&path);
        if let Some((mode, owner)) = replaced {
            fs::write(&path, "before").expect("a file can be written");
            chown(&path, owner, owner).expect("root may");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
        }
        if is_root() {
            chown(&here, Some(dir_owner), None).expect("root may");
        }
        let (folder, name) = Folder::of(&path).expect("it is there");
        Draft::new(folder, name, new).and_then(Draft::put_in_place).expect("it is made");
        let made = path.metadata().expect("it is there");
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
        // In a directory of somebody else's, as /tmp, what a neighbour has left there is theirs no more.
        assert_eq!(mode_of(theirs(0o6777), 0, NewMode::Umask), (new, 0));
        assert_eq!(mode_of(theirs(0o600), 0, NewMode::Umask), (0o600, 0));
        assert_eq!(mode_of(theirs(0o6777), NEIGHBOUR, NewMode::Umask), (new, NEIGHBOUR));
        assert_eq!(mode_of(theirs(0o6664), NEIGHBOUR, NewMode::Readable), (0o644, NEIGHBOUR));
    }
}

#[test]
fn a_new_file_that_root_makes_in_another_users_directory_is_theirs_unless_it_may_hold_what_they_may_not_read()
{
    if !is_root() {
        eprintln!("SKIPPED: giving a file away needs root");
        return;
    }
    const GROUP: u32 = 54321;
    for (dir_mode, of_directory, readable) in
        [(0o700, 0o600, 0o644), (0o750, 0o640, 0o644), (0o2770, 0o660, 0o664), (0o760, 0o600, 0o644)]
    {
        let (_dir, _, here) = dirs();
        chown(&here, Some(NEIGHBOUR), Some(GROUP)).expect("root may");
        fs::set_permissions(&here, Permissions::from_mode(dir_mode)).expect("root may");
        for (new, mode) in [(NewMode::OfDirectory, of_directory), (NewMode::Readable, readable)] {
            let path = here.join(format!("{new:?}"));
            let (folder, name) = Folder::of(&path).expect("it is there");
            Draft::new(folder, name, new).and_then(Draft::put_in_place).expect("it is made");
            let made = path.metadata().expect("it is there");
            let seen = (made.mode() & 0o7777, made.uid(), made.gid());
            assert_eq!(seen, (mode, NEIGHBOUR, GROUP), "{new:?} in {dir_mode:o}");
        }
        let path = here.join("own");
        let (folder, name) = Folder::of(&path).expect("it is there");
        Draft::new(folder, name, NewMode::Umask).and_then(Draft::put_in_place).expect("it is made");
        assert_eq!(path.metadata().expect("it is there").uid(), 0);
    }
}

#[test]
fn a_trusted_file_is_one_that_nobody_else_can_have_put_there() {
    let (dir, _, here) = dirs();
    let path = here.join("state/logkv/file");
    assert!(trusted(&path, Access::Read).expect("nothing is there").is_none());
    assert!(!here.join("state").exists(), "who reads makes nothing");
    trusted(&path, Access::Write).expect("it is made").expect("it is made");
    let mode = |path: &Path| path.metadata().expect("it was made").permissions().mode() & 0o777;
    assert_eq!(
        (mode(&here.join("state")), mode(&here.join("state/logkv")), mode(&path)),
        (0o700, 0o700, 0o600)
    );
    let refused = || trusted(&path, Access::Read).expect_err("it is refused").to_string();
    let set =
        |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    set(&path, 0o666);
    assert_eq!(refused(), "everybody may write to it");
    set(&path, 0o644);
    assert!(trusted(&path, Access::Read).expect("it is there").is_some());
    for open in [here.join("state"), here.join("state/logkv")] {
        set(&open, 0o777);
        let real = open.canonicalize().expect("it is there");
        assert_eq!(refused(), format!("of its directory {}, everybody may write to it", real.display()));
        set(&open, 0o755);
    }
    // A link of one's own is followed, on the way and at the end.
    fs::rename(here.join("state"), dir.path().join("elsewhere")).expect("it is ours");
    symlink("../elsewhere", here.join("state")).expect("a link can be made");
    assert!(trusted(&path, Access::Read).expect("it is there").is_some());
    fs::rename(&path, dir.path().join("file")).expect("it is ours");
    symlink(dir.path().join("file"), &path).expect("a link can be made");
    assert!(trusted(&path, Access::Write).expect("it is there").is_some());
    fs::remove_file(&path).expect("it is ours");
    fs::create_dir(&path).expect("a directory can be made");
    assert!(trusted(&path, Access::Read).is_err());
}

#[test]
fn nothing_on_the_way_to_a_trusted_file_is_another_users() {
    if !is_root() {
        return;
    }
    for (theirs, told) in [
        ("state/logkv/file", "it belongs to another user (uid 12345, yours is 0)"),
        ("state/logkv", "state/logkv, it belongs to another user (uid 12345, yours is 0)"),
        ("state", "state, it belongs to another user (uid 12345, yours is 0)"),
        ("link", "link is a link, and it belongs to another user (uid 12345, yours is 0)"),
    ] {
        let (_dir, _, here) = dirs();
        fs::create_dir_all(here.join("state/logkv")).expect("directories can be made");
        fs::write(here.join("state/logkv/file"), "count").expect("a file can be written");
        symlink("state", here.join("link")).expect("a link can be made");
        let path = here.join("link/logkv/file");
        assert!(trusted(&path, Access::Read).expect("it is ours").is_some());
        std::os::unix::fs::lchown(here.join(theirs), Some(NEIGHBOUR), None).expect("root may");
        let why =
            [Access::Read, Access::Write].map(|access| trusted(&path, access).expect_err(theirs).to_string());
        assert!(why.iter().all(|why| why.ends_with(told)), "{why:?}");
    }
    // Nothing is made in what is theirs.
    let (_dir, _, here) = dirs();
    chown(&here, Some(NEIGHBOUR), None).expect("root may");
    assert!(trusted(&here.join("state/logkv/file"), Access::Write).is_err());
    assert_eq!(names(&here), Vec::<String>::new());
}
