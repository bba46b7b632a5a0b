//! Power cuts on real file systems. An ext4 and an xfs, each in a loop image, are shut down while a
//! script writes, so that nothing more reaches the image. Then they are mounted again and replay
//! their journals.
//!
//! `LOGKV_DISK_CUTS` is the number of cuts for each policy and file system. `LOGKV_SEED` repeats a
//! script, but not the moment of a cut.
#![expect(unsafe_code, reason = "the system has no safe call to shut a file system down")]

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use logkv::{Options, Store};
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};
use tempfile::TempDir;

use crate::common::{Random, quick, scratch, skipped, wait_until};
use crate::machine::{Mount, works};
use crate::scripted::{Contents, Running, Steps, texts};

/// The number of both `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN`.
const SHUTDOWN: Opcode = opcode::read::<u32>(b'X', 125);
/// Discards the journal as well.
const NO_LOG_FLUSH: u32 = 2;

const INTERVAL: &str = "10ms";

fn cuts() -> u64 {
    std::env::var("LOGKV_DISK_CUTS").map_or(10, |text| text.parse().expect("LOGKV_DISK_CUTS is a number"))
}

/// A file system in an image file.
struct Disk {
    dir: TempDir,
    /// `None` while the power is off.
    mount: Option<Mount>,
}

impl Disk {
    /// Makes a file system of `kind` with at most `len` bytes. An error gives the reason why this
    /// machine cannot.
    fn new(kind: &str, len: u64) -> Result<Self, String> {
        let dir = scratch();
        let image = dir.path().join("image");
        File::create(&image).and_then(|file| file.set_len(len)).expect("a sparse file");
        let made = Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image).output();
        if !made.is_ok_and(|output| output.status.success()) {
            return Err(format!("the system has no mkfs.{kind}"));
        }
        fs::create_dir(dir.path().join("disk")).expect("creates a directory");
        let mut disk = Self { dir, mount: None };
        disk.turn_on()?;
        disk.cut().map_err(|error| format!("{kind} cannot be shut down on this machine: {error}"))?;
        disk.restart();
        Ok(disk)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn turn_on(&mut self) -> Result<(), String> {
        let image = self.dir.path().join("image");
        self.mount = Mount::at(self.path(), &["-o", "loop", &image.to_string_lossy()]);
        self.mount
            .as_ref()
            .map(drop)
            .ok_or_else(|| "mounting an image needs root, and a loop device".to_owned())
    }

    /// Cuts the power: nothing more reaches the image.
    fn cut(&self) -> io::Result<()> {
        let root = File::open(self.path())?;
        // SAFETY: for this request, both file systems read one u32 through the pointer.
        unsafe { ioctl(root, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }.map_err(io::Error::from)
    }

    /// Discards the contents of memory and mounts the image again.
    fn restart(&mut self) {
        drop(self.mount.take());
        let path = self.path().to_string_lossy().into_owned();
        // A process that another test forks inherits all open files, including the image, until it
        // calls exec.
        wait_until(|| !works("mountpoint", &["-q", &path]) || works("umount", &[&path]));
        let disk = RefCell::new(self);
        wait_until(|| disk.borrow_mut().turn_on().is_ok());
    }
}

/// Opens the store after a cut and returns its contents. With `is_repaired`, also writes to it.
fn look(path: &Path, is_repaired: bool, what: &str) -> Option<Contents> {
    let options = if is_repaired { Options::new().background(false) } else { quick().read_only(true) };
    let store = match Store::open_with(path, options) {
        Err(logkv::Error::Missing { .. }) => return None,
        opened => opened.unwrap_or_else(|error| panic!("{what}: {}", error.sentence())),
    };
    assert_eq!(store.open_report().damage, [], "{what}");
    if is_repaired {
        store.put("after", "it writes on").expect("a put");
    }
    let found = texts(&store);
    store.close().expect("closes");
    Some(found)
}

/// Cuts the power of a writing program again and again, and checks the store after each cut.
fn cut_writers(kind: &str, len: u64, policy: &str) {
    let mut disk = match Disk::new(kind, len) {
        Ok(disk) => disk,
        Err(reason) => return skipped(&format!("power cuts on {kind}"), &reason),
    };
    let path = disk.path().join("store");
    let mut steps = Steps::new(Random::announced());
    let mut before = Contents::new();
    let mut is_written_to = false;
    for round in 0..cuts() {
        let what = format!("{kind}, {policy}, round {round}");
        let mut running = Running::start(disk.dir.path(), &path, policy);
        running.work(&mut steps);
        let settled = if policy == INTERVAL && round % 5 == 4 { running.settle() } else { 0 };
        let (after, last) = (Duration::from_micros(steps.random.below(30_000)), steps.take(200));
        let cut = running.cut_off(after, last, || disk.cut().expect("the file system was shut down"));
        disk.restart();
        // In every other round the next program opens the store as the cut left it, and may be cut
        // during recovery.
        let is_repaired = round % 2 == 1;
        let least = if policy == "always" { cut.before_end } else { cut.synced().max(settled) };
        let Some(mut found) = look(&path, is_repaired, &what) else {
            assert!(
                least == 0 && before.is_empty(),
                "{what}: {least} steps were acknowledged, and no store is left"
            );
            continue;
        };
        is_written_to |= is_repaired;
        assert_eq!(found.remove("after").is_some(), is_written_to, "{what}");
        let Some(taken) = cut.taken(&before, least, &found) else {
            let all = cut.steps.len();
            let nearest = cut.nearest(&before, &found);
            let kept = disk.dir.keep();
            panic!("{what}: no state after {least} to {all} steps equals {}; {nearest}", kept.display());
        };
        let (all, acknowledged) = (cut.steps.len(), cut.acknowledged);
        println!("{what}: {all} steps, {acknowledged} acknowledged, {least} promised, {taken} there");
        before = found;
    }
}

/// The minimum sizes that mkfs accepts.
const EXT4_LEN: u64 = 64 << 20;
const XFS_LEN: u64 = 300 << 20;

#[test]
fn a_power_cut_on_ext4_loses_no_write_acknowledged_under_always() {
    cut_writers("ext4", EXT4_LEN, "always");
}

#[test]
fn a_power_cut_on_ext4_leaves_no_gap_and_loses_nothing_older_than_the_sync_interval() {
    cut_writers("ext4", EXT4_LEN, "never");
    cut_writers("ext4", EXT4_LEN, INTERVAL);
}

#[test]
fn a_power_cut_on_xfs_loses_no_write_acknowledged_under_always() {
    cut_writers("xfs", XFS_LEN, "always");
}

#[test]
fn a_power_cut_on_xfs_leaves_no_gap_and_loses_nothing_older_than_the_sync_interval() {
    cut_writers("xfs", XFS_LEN, "never");
    cut_writers("xfs", XFS_LEN, INTERVAL);
}
