//! A cancelled operation fails with an error that says so, exits with code 130, and leaves nothing
//! behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use logkv::{At, Compact, CompactionEvent, CompactionStage, Error, SegmentId, Store, backup, repair, verify};
use tempfile::TempDir;

use crate::common::{
    Random, contents, interrupt, open, piped, program, quick, scratch, segment_path, small_store,
};

/// Files with their bytes, and directories.
type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Everything below `dir`, with the bytes of files, except LOCK, which may stay after a lock.
fn tree(dir: &Path) -> Tree {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(tree(&path));
            found.insert(path, None);
        } else if !path.ends_with("LOCK") {
            let bytes = fs::read(&path).expect("a file");
            found.insert(path, Some(bytes));
        }
    }
    found
}

/// A store, an older backup of it, an archive of it, and a damaged copy of it.
fn place() -> TempDir {
    let place = scratch();
    let of = |name: &str| place.path().join(name);
    fs::rename(small_store().keep(), of("store")).expect("a store");
    let store = open(&of("store"));
    store.backup(of("backup"), &mut |_| ControlFlow::Continue(())).expect("a backup");
    store.put("later", "1").expect("a put");
    store.rotate().expect("rotates");
    store.put("later", "2").expect("a put");
    store.close().expect("closes");
    let reader = reader(place.path());
    let mut archive = fs::File::create(of("archive")).expect("a file");
    reader.backup_archive(&mut archive, &mut |_| ControlFlow::Continue(())).expect("an archive");
    reader.backup(of("damaged"), &mut |_| ControlFlow::Continue(())).expect("a backup");
    // A link would share the damage with the store's own file.
    let segment = segment_path(&of("damaged"), 1);
    let mut bytes = fs::read(&segment).expect("a segment");
    *bytes.last_mut().expect("is not empty") ^= 1;
    fs::remove_file(&segment).expect("exists");
    fs::write(segment, bytes).expect("damage");
    place
}

fn reader(place: &Path) -> Store {
    Store::open_with(place.join("store"), quick().read_only(true)).expect("opens")
}

/// Decides before each step whether to continue.
type Ask<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

type Operation = fn(&Path, Ask<'_>) -> Result<(), Error>;

const OPERATIONS: [(&str, Operation); 12] = [
    ("a backup", |place, ask| reader(place).backup(place.join("new"), &mut |_| ask()).map(drop)),
    ("the next backup", |place, ask| reader(place).backup(place.join("backup"), &mut |_| ask()).map(drop)),
    ("an archive", |place, ask| reader(place).backup_archive(&mut Vec::new(), &mut |_| ask()).map(drop)),
    ("a restore", |place, ask| {
        backup::restore(&place.join("backup"), &place.join("new"), &quick(), &mut |_| ask()).map(drop)
    }),
    ("a restore of an archive", |place, ask| {
        let mut archive = fs::File::open(place.join("archive")).expect("the archive");
        backup::restore_archive(&mut archive, &place.join("new"), &quick(), &mut |_| ask()).map(drop)
    }),
    ("a repair", |place, ask| {
        repair::copy(&place.join("damaged"), &place.join("new"), &quick(), &mut |_| ask()).map(drop)
    }),
    ("a repair in place", |place, ask| {
        repair::in_place(&place.join("damaged"), &place.join("aside"), &quick(), &mut |_| ask()).map(drop)
    }),
    ("a verification", |place, ask| {
        verify::store(&place.join("damaged"), &quick(), &[], &mut |_| ask()).map(drop)
    }),
    ("a dry run", |place, ask| {
        let store = reader(place);
        let plan = store.compaction_plan(&Compact::Segments(vec![SegmentId(1)]))?;
        store.compaction_decisions(&plan, &plan.runs[0], &mut |_| ask()).map(drop)
    }),
    ("a look at the past", |place, ask| reader(place).at_with(At::Time(0), &mut |_| ask()).map(drop)),
    ("a comparison", |place, ask| reader(place).diff_with(At::Time(0), None, &mut |_| ask()).map(drop)),
    ("the last changes", |place, ask| reader(place).recent_changes_with(9, &mut |_| ask()).map(drop)),
];

/// Whether the files are unchanged. The files of the earlier backup may be longer, since it records
/// its own length.
fn is_as_before(now: &Tree, before: &Tree) -> bool {
    let is_same = |(path, bytes): (&PathBuf, &Option<Vec<u8>>)| match (now.get(path), bytes) {
        (Some(Some(now)), Some(bytes)) if path.parent().is_some_and(|dir| dir.ends_with("backup")) => {
            now.starts_with(bytes)
        }
        (now, _) => now == Some(bytes),
    };
    now.len() == before.len() && before.iter().all(is_same)
}

#[test]
fn an_operation_cancelled_at_any_step_fails_as_cancelled_and_leaves_nothing() {
    for (name, operation) in OPERATIONS {
        let place = place();
        let before = tree(place.path());
        for last in 1.. {
            let mut count = 0;
            let outcome = operation(place.path(), &mut || {
                count += 1;
                if count == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if count < last {
                outcome.unwrap_or_else(|error| panic!("{name}: {}", error.sentence()));
                assert!(last > 1, "{name} never asks whether to continue");
                break;
            }
            assert!(matches!(outcome, Err(Error::Cancelled)), "{name}, {last}: {outcome:?}");
            assert_eq!(count, last, "{name} asks again after it was cancelled");
            assert!(is_as_before(&tree(place.path()), &before), "{name}, {last}");
        }
    }
}

#[test]
fn a_cancelled_compaction_keeps_and_reports_its_completed_runs() {
    let dir = scratch();
    let store = open(dir.path());
    for _ in 0..3 {
        store.put("k", "v").expect("a put");
        store.put("k", "v").expect("a put");
        store.rotate().expect("rotates");
    }
    let map = contents(&store);
    let mut done = Vec::new();
    let what = Compact::Segments(vec![SegmentId(1), SegmentId(3)]);
    let outcome = store.compact_with(&what, &mut |event| match event {
        CompactionEvent::Done(run) => {
            done.push(run.clone());
            ControlFlow::Continue(())
        }
        CompactionEvent::Reached(CompactionStage::Synced, run) if run.segments == [SegmentId(3)] => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
    assert_eq!(done.iter().map(|run| run.inputs.clone()).collect::<Vec<_>>(), [[SegmentId(1)]]);
    let kept: Vec<_> = store.segments().expect("segments").iter().map(|segment| segment.id.0).collect();
    assert!(!kept.contains(&1) && kept.contains(&2) && kept.contains(&3), "{kept:?}");
    assert_eq!(contents(&store), map);
    store.close().expect("closes");
    let store = open(dir.path());
    assert_eq!((store.open_report().orphans_removed.len(), contents(&store)), (0, map));
}

/// A store `d` of incompressible values, larger than a pipe.
fn with_large_store() -> TempDir {
    const COUNT: u64 = 16;
    let place = scratch();
    let store = open(&place.path().join("d"));
    let mut random = Random::seeded(7);
    for n in 0..COUNT {
        let value: Vec<u8> = std::iter::repeat_with(|| random.next() as u8).take(1 << 20).collect();
        store.put(format!("key{n}"), value).expect("a put");
    }
    store.close().expect("closes");
    place
}

/// Sends SIGINT to `child`, which is blocked on its output, and reads the rest. Returns its exit
/// code and its standard error.
fn interrupted_while_writing(mut child: Child) -> (Option<i32>, String) {
    let mut stdout = child.stdout.take().expect("is piped");
    stdout.read_exact(&mut [0; 1]).expect("has started");
    interrupt(&child);
    std::io::copy(&mut stdout, &mut std::io::sink()).expect("can be read");
    let output = child.wait_with_output().expect("exits");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn ctrl_c_ends_a_backup_with_130() {
    let place = with_large_store();
    let child = piped(program(place.path()).args(["-r", "d", "backup", "-"]));
    let (code, said) = interrupted_while_writing(child);
    assert_eq!((code, said.as_str()), (Some(130), "error: interrupted: no backup was made\n"));
}

#[test]
fn ctrl_c_ends_a_restore_with_130_and_nothing_is_left() {
    let place = with_large_store();
    let of = |name: &str| place.path().join(name);
    let reader = Store::open_with(of("d"), quick().read_only(true)).expect("opens");
    let mut archive = Vec::new();
    reader.backup_archive(&mut archive, &mut |_| ControlFlow::Continue(())).expect("an archive");
    let made = Command::new("mkfifo").arg(of("fifo")).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo is there");
    let child = piped(program(place.path()).args(["new", "restore", "fifo"]));
    let mut fifo = fs::OpenOptions::new().write(true).open(of("fifo")).expect("is read");
    let (first, rest) = archive.split_at(archive.len() / 2);
    fifo.write_all(first).expect("is read");
    interrupt(&child);
    // The program may stop reading before the end.
    let _ = fifo.write_all(rest);
    drop(fifo);
    let output = child.wait_with_output().expect("exits");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error: interrupted: nothing was created\n");
    assert_eq!(output.status.code(), Some(130));
    assert!(!of("new").exists() && !of("new.unfinished").exists());
}

#[test]
fn ctrl_c_ends_a_verification_with_130() {
    const COUNT: usize = 3000;
    let place = scratch();
    let dir = place.path().join("d");
    let store = open(&dir);
    for n in 0..COUNT {
        store.put(format!("key{n:04}"), "v".repeat(16)).expect("a put");
    }
    store.rotate().expect("rotates");
    store.close().expect("closes");
    let mut bytes = fs::read(segment_path(&dir, 1)).expect("the segment");
    // The value follows the zeros that pad its key.
    let needle = [&[0], "v".repeat(16).as_bytes()].concat();
    let values: Vec<_> = (0..bytes.len() - 16).filter(|at| bytes[*at..*at + 17] == needle).collect();
    assert_eq!(values.len(), COUNT);
    values.iter().for_each(|at| bytes[*at + 1] = b'w');
    fs::write(segment_path(&dir, 1), bytes).expect("damage");
    let child = piped(program(place.path()).args(["d", "verify"]));
    let (code, said) = interrupted_while_writing(child);
    assert!(code == Some(130) && said.starts_with("error: interrupted: "), "{code:?}: {said}");
    assert!(said.ends_with(" were verified\n"), "{said}");
}
