//! Damage of hints and of KEYDIR changes no answer.

use logkv::fs::StoreFile;
use logkv::{ReadWith, SegmentId};

use super::sectors::{exchanged, sector_faults};
use super::{Answers, MASKS, Next, Sample, look, read, samples};
use crate::any_bytes::properties::memory::{Image, file, file_mut};

const HINTS: [StoreFile; 2] = [StoreFile::Hint(SegmentId(1)), StoreFile::Hint(SegmentId(2))];
/// Files up to this length get every kind of damage. Most of KEYDIR is equal rows of empty shards.
const SHORT_LEN: usize = 1024;

impl Sample {
    /// The files, with `bytes` in file `name`.
    fn with_bytes(&self, name: StoreFile, bytes: Vec<u8>) -> Image {
        let mut image = self.image.clone();
        *file_mut(&mut image, name) = bytes;
        image
    }

    /// Checks every flip, cut and sector of the derived file `name`.
    fn check_damage(&self, name: StoreFile, expected: &Answers) {
        let whole = file(&self.image, name).expect("was created");
        let is_short = whole.len() <= SHORT_LEN;
        let what = |how: &str| format!("{}: {name} {how}", self.what);
        for (at, &byte) in whole.iter().enumerate() {
            // In a longer file, each byte gets one of the three masks.
            for (n, mask) in MASKS.into_iter().enumerate().filter(|(n, _)| is_short || at % MASKS.len() == *n)
            {
                let mut bytes = whole.clone();
                bytes[at] = byte ^ mask;
                let (image, what) =
                    (self.with_bytes(name, bytes), what(&format!("byte {at} mask {mask:#04x}")));
                if is_short && at % MASKS.len() == n {
                    let (seen, refusal) = look(&image, &what, Next::GoesOn);
                    assert!(refusal.is_none(), "{what}: {refusal:?}");
                    seen.is(&what, expected);
                } else {
                    read(&image, &what, ReadWith::Mmap).is(&what, expected);
                }
            }
        }
        for cut in (0..whole.len()).filter(|cut| is_short || cut % 64 < 2) {
            let what = what(&format!("cut at {cut}"));
            read(&self.with_bytes(name, whole[..cut].to_vec()), &what, ReadWith::Mmap).is(&what, expected);
        }
        // Pairs of sectors. A long file would have hundreds of thousands.
        let faults = if is_short { sector_faults(whole, 64) } else { Vec::new() };
        for (sectors, how, bytes) in faults {
            let what = what(&format!("{sectors:?} {how}"));
            read(&self.with_bytes(name, bytes), &what, ReadWith::Mmap).is(&what, expected);
        }
    }
}

#[test]
fn no_flip_cut_or_sector_of_a_hint_changes_an_answer() {
    for sample in samples().into_iter().filter(|sample| sample.is_indexed) {
        HINTS.into_iter().for_each(|name| sample.check_damage(name, &sample.whole()));
    }
}

#[test]
fn no_flip_or_cut_of_keydir_changes_an_answer() {
    for sample in samples().into_iter().filter(|sample| sample.is_indexed) {
        sample.check_damage(StoreFile::Keydir, &sample.whole());
    }
}

#[test]
fn exchanged_hints_change_no_answer() {
    for sample in samples().into_iter().filter(|sample| sample.is_indexed) {
        let what = format!("{}: hints exchanged", sample.what);
        let (seen, refusal) = look(&exchanged(&sample.image, HINTS[0], HINTS[1]), &what, Next::GoesOn);
        assert!(refusal.is_none(), "{what}: {refusal:?}");
        seen.is(&what, &sample.whole());
    }
}
