//! The scan of a data file of another store, which skips damaged ranges.

mod bad_range;
mod window;

use std::fs::File;
use std::io;

use logkv::fs::next_data;

pub use self::bad_range::{BadRange, BadReason};
use self::window::Window;
use crate::shell::commands::foreign::{ForeignFormat, ForeignRecord, Parsed};
use crate::shell::term::input::pair_len_max;
use crate::shell::term::interrupt::Interrupt;

/// A scan of one file. Only a window of the file is in memory, or the current record.
#[derive(Debug)]
pub struct FileScanner {
    format: ForeignFormat,
    window: Window,
    at: u64,
    record_len_max: u64,
    interrupt: Interrupt,
}

/// An item of the file.
#[derive(Debug)]
pub enum Scanned<'a> {
    /// A record whose checksum is right, or that has none.
    Record {
        at: u64,
        record: ForeignRecord<'a>,
    },
    Bad(BadRange),
}

/// The result of checking the bytes at an offset.
enum Checked {
    Sound(usize),
    Bad(BadReason, u64),
}

/// Returns the maximum length of a record whose key and value can be imported.
pub fn record_len_max(value_len_max: u64) -> u64 {
    const HEADER_LEN_MAX: u64 = 64;
    pair_len_max(value_len_max).saturating_add(HEADER_LEN_MAX)
}

impl FileScanner {
    /// Starts a scan. Records longer than `record_len_max` count as damage.
    pub fn of(
        file: File,
        format: ForeignFormat,
        record_len_max: u64,
        interrupt: &Interrupt,
    ) -> io::Result<Self> {
        let window = Window::of(file)?;
        let interrupt = interrupt.clone();
        Ok(Self { format, window, at: 0, record_len_max, interrupt })
    }

    /// Returns the length of the file.
    pub fn len(&self) -> u64 {
        self.window.len
    }

    /// Returns the offset of the next item.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Returns the next record or bad range, or `None` at the end of the file.
    ///
    /// # Errors
    /// [`io::ErrorKind::Interrupted`] if Ctrl-C ends a search.
    pub fn next(&mut self) -> io::Result<Option<Scanned<'_>>> {
        let at = self.at;
        if at >= self.window.len {
            return Ok(None);
        }
        match self.check(at)? {
            Checked::Sound(len) => {
                self.at += len as u64;
                match self.format.read(self.window.bytes(at, len)?) {
                    Parsed::Record(record) => Ok(Some(Scanned::Record { at, record })),
                    Parsed::Short(_) => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
            Checked::Bad(why, needed) => {
                self.at = self.resume_offset(at, needed)?;
                let is_rest = self.at == self.window.len;
                Ok(Some(Scanned::Bad(BadRange { at, len: self.at - at, why, is_rest })))
            }
        }
    }

    fn check(&mut self, at: u64) -> io::Result<Checked> {
        let header_len = self.format.header_len();
        let header = self.window.bytes(at, header_len)?;
        if !self.format.has_checksums() && header.len() == header_len && is_zeros(header) {
            let (end, _) = self.zeros(at)?;
            // A record may start with zeros, so the search continues at a multiple of a header's
            // length.
            let part = if end == self.window.len { 0 } else { (end - at) % header_len as u64 };
            return Ok(Checked::Bad(BadReason::Zeros, end - at - part));
        }
        let len = match self.format.read(header) {
            Parsed::Record(record) => record.bytes.len() as u64,
            Parsed::Short(needed) => needed,
        };
        if len > self.window.len - at {
            return Ok(Checked::Bad(BadReason::Torn(len), len));
        }
        let loaded = usize::try_from(len).ok().filter(|_| len <= self.record_len_max);
        let Some(loaded) = loaded else { return Ok(Checked::Bad(BadReason::TooLong(len), len)) };
        match self.format.read(self.window.bytes(at, loaded)?) {
            Parsed::Record(record) if record.is_sound() => Ok(Checked::Sound(record.bytes.len())),
            Parsed::Record(ForeignRecord { checksum: Some(checksum), .. }) => {
                let why = BadReason::Checksum { stored: checksum.stored, computed: checksum.computed };
                Ok(Checked::Bad(why, len))
            }
            // The file became shorter after its length was read.
            Parsed::Record(_) | Parsed::Short(_) => Ok(Checked::Bad(BadReason::Torn(len), len)),
        }
    }

    /// Returns the offset to continue at after a bad record at `at` of `len` bytes: the end of the
    /// record if another one starts there, else the next record found by its checksum, else the end
    /// of the file.
    fn resume_offset(&mut self, at: u64, len: u64) -> io::Result<u64> {
        /// The maximum number of bytes that the search reads, which takes a few seconds. Bytes that
        /// are read for several candidates count several times.
        const SEARCH_LEN_MAX: u64 = 2 << 30;
        let end = at.saturating_add(len).min(self.window.len);
        if !self.format.has_checksums() {
            return Ok(end);
        }
        if end < self.window.len && matches!(self.check(end)?, Checked::Sound(_)) {
            return Ok(end);
        }
        let header_len = self.format.header_len();
        let mut at = at + 1;
        let mut left = SEARCH_LEN_MAX;
        while at < self.window.len && left > 0 {
            self.check_interrupt()?;
            let header = self.window.bytes(at, header_len)?;
            if is_zeros(header) {
                // No header is all zeros: its checksum would not be zero.
                let (end, read_len) = self.zeros(at)?;
                at = end.saturating_sub(header_len as u64 - 1).max(at + 1);
                left = left.saturating_sub(read_len.max(1));
                continue;
            }
            let len = match self.format.read(header) {
                Parsed::Short(len) => len,
                Parsed::Record(record) => record.bytes.len() as u64,
            };
            let is_candidate =
                len > header_len as u64 && len <= (self.window.len - at).min(self.record_len_max);
            left = left.saturating_sub(if is_candidate { len + 1 } else { 1 });
            if is_candidate && left > 0 && matches!(self.check(at)?, Checked::Sound(_)) {
                return Ok(at);
            }
            at += 1;
        }
        Ok(self.window.len)
    }

    /// Returns the end of the zeros at `at` and the number of bytes read. Skips holes of the file.
    fn zeros(&mut self, at: u64) -> io::Result<(u64, u64)> {
        const PIECE_LEN: usize = 64 << 10;
        let mut end = at;
        let mut read_len = 0;
        while end < self.window.len {
            self.check_interrupt()?;
            let data = next_data(&self.window.file, end).min(self.window.len);
            if data > end {
                end = data;
                continue;
            }
            let piece = self.window.bytes(end, PIECE_LEN)?;
            let zeros = piece.iter().position(|&byte| byte != 0).unwrap_or(piece.len());
            let is_all = zeros == piece.len();
            end += zeros as u64;
            read_len += zeros as u64;
            if !is_all {
                break;
            }
        }
        Ok((end, read_len))
    }

    fn check_interrupt(&self) -> io::Result<()> {
        if self.interrupt.is_set() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

fn is_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use logkv::Grouped;

    use super::*;

    /// Scans a file with these bytes, and returns the keys and the bad ranges.
    fn scanned(format: ForeignFormat, bytes: &[u8], record_len_max: u64) -> (Vec<Vec<u8>>, Vec<BadRange>) {
        let dir = tempfile::tempdir().expect("a directory can be created");
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).expect("a file can be created");
        let file = File::open(path).expect("the file exists");
        let mut scanner = FileScanner::of(file, format, record_len_max, &Interrupt::default())
            .expect("the file is readable");
        let mut keys = Vec::new();
        let mut bad = Vec::new();
        while let Some(found) = scanner.next().expect("the file is readable") {
            match found {
                Scanned::Record { record, .. } => keys.push(record.key.to_vec()),
                Scanned::Bad(place) => bad.push(place),
            }
        }
        assert_eq!(scanner.at(), bytes.len() as u64);
        (keys, bad)
    }

    fn three(format: ForeignFormat) -> [Vec<u8>; 3] {
        [b"a", b"b", b"c"].map(|key| format.write(7, key, &key.repeat(100)))
    }

    #[test]
    fn whole_files_are_scanned_and_torn_ones_up_to_the_tear() {
        for format in ForeignFormat::ALL {
            let records = three(format);
            let file = records.concat();
            assert_eq!(scanned(format, &file, 1000), (vec![b"a".into(), b"b".into(), b"c".into()], vec![]));
            for cut in 1..records[2].len() {
                let (keys, bad) = scanned(format, &file[..file.len() - cut], 1000);
                assert_eq!(keys, [b"a", b"b"]);
                let [torn] = bad.as_slice() else { panic!("one bad range") };
                assert!(matches!(torn.why, BadReason::Torn(_)) && torn.is_rest, "{torn}");
            }
        }
    }

    #[test]
    fn a_damaged_byte_costs_only_its_record() {
        let records = three(ForeignFormat::Bitcask);
        let file = records.concat();
        let second = records[0].len()..records[0].len() + records[1].len();
        for at in second.clone() {
            let mut file = file.clone();
            file[at] ^= 0x40;
            let (keys, bad) = scanned(ForeignFormat::Bitcask, &file, 1000);
            assert_eq!(keys, [b"a", b"c"], "byte {at}");
            assert_eq!(
                (bad[0].at, bad[0].len),
                (second.start as u64, second.end as u64 - second.start as u64)
            );
        }
    }

    #[test]
    fn a_record_over_the_limit_is_skipped() {
        for format in ForeignFormat::ALL {
            let long = format.write(7, b"long", &[b'x'; 5000]);
            let file = [three(format).concat(), long.clone(), format.write(7, b"d", b"d")].concat();
            let (keys, bad) = scanned(format, &file, 1000);
            assert_eq!(keys, [b"a", b"b", b"c", b"d"]);
            let message = format!(
                "it takes {0} bytes, more than the limit; {0} bytes are skipped",
                Grouped(long.len() as u64)
            );
            assert_eq!(bad.iter().map(ToString::to_string).collect::<Vec<_>>(), [message]);
        }
    }

    #[test]
    fn records_longer_than_the_window_or_at_its_edge_are_read() {
        let format = ForeignFormat::Bitcask;
        let long = vec![b'x'; Window::LEN_LEAST + 3];
        let records =
            [format.write(7, b"a", &long), format.write(7, b"b", &long), format.write(7, b"c", b"")];
        let (keys, bad) = scanned(format, &records.concat(), 4 << 20);
        assert_eq!(
            (keys.as_slice(), bad.as_slice()),
            (&[b"a".to_vec(), b"b".to_vec(), b"c".to_vec()][..], &[][..])
        );
    }

    #[test]
    fn zeros_are_not_records_of_bitcask() {
        let file = [three(ForeignFormat::Bitcask)[0].clone(), vec![0; 5000]].concat();
        let (keys, bad) = scanned(ForeignFormat::Bitcask, &file, 1000);
        assert_eq!((keys, bad.len()), (vec![b"a".to_vec()], 1));
    }

    /// Creates a sparse file of `len` bytes that starts and ends with `records`, and scans it.
    fn sparse(format: ForeignFormat, records: &[u8], len: u64) -> (tempfile::TempDir, FileScanner) {
        let dir = tempfile::tempdir().expect("a directory can be created");
        let path = dir.path().join("file");
        std::fs::write(&path, records).expect("a file can be created");
        let file = File::options().write(true).open(&path).expect("the file is writable");
        file.write_all_at(records, len - records.len() as u64).expect("the file is writable");
        let scanner =
            FileScanner::of(File::open(&path).expect("the file exists"), format, 1000, &Interrupt::default());
        let scanner = scanner.expect("the file is readable");
        (dir, scanner)
    }

    #[test]
    fn zeros_are_one_bad_range_and_a_hole_of_a_tebibyte_is_skipped() {
        for format in ForeignFormat::ALL {
            let records = three(format).concat();
            // In logkv-store's format zeros are skipped in units of a header, 12 bytes.
            let len = 2 * records.len() as u64 + (1 << 40) / 12 * 12;
            let (_dir, mut scanner) = sparse(format, &records, len);
            let mut keys = 0;
            let mut bad = Vec::new();
            while let Some(found) = scanner.next().expect("the file is readable") {
                match found {
                    Scanned::Record { .. } => keys += 1,
                    Scanned::Bad(place) => bad.push(place),
                }
            }
            assert_eq!(scanner.at(), len, "{bad:?}");
            assert_eq!((keys, bad.len()), (6, 1), "{bad:?}");
        }
    }

    #[test]
    fn a_file_that_is_truncated_during_the_scan_ends_there() {
        for format in ForeignFormat::ALL {
            let records = three(format).concat();
            let (dir, mut scanner) = sparse(format, &records, 1 << 40);
            assert!(matches!(scanner.next().expect("the file is readable"), Some(Scanned::Record { .. })));
            let cut = records.len() as u64 + 100;
            File::options()
                .write(true)
                .open(dir.path().join("file"))
                .expect("the file is writable")
                .set_len(cut)
                .expect("the file can be truncated");
            scanner.window.bytes.clear();
            let mut count = 0;
            while scanner.next().expect("the file is readable").is_some() {
                count += 1;
            }
            assert_eq!((count, scanner.at()), (3, cut));
        }
    }

    #[test]
    fn an_interrupt_ends_the_search_for_the_next_record() {
        let noise: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8 | 1).collect();
        let file = [three(ForeignFormat::Bitcask)[0].clone(), noise].concat();
        let dir = tempfile::tempdir().expect("a directory can be created");
        let path = dir.path().join("file");
        std::fs::write(&path, file).expect("a file can be created");
        let interrupt = Interrupt::default();
        let mut scanner = FileScanner::of(
            File::open(&path).expect("the file exists"),
            ForeignFormat::Bitcask,
            1000,
            &interrupt,
        )
        .expect("the file is readable");
        assert!(matches!(scanner.next().expect("the file is readable"), Some(Scanned::Record { .. })));
        interrupt.press();
        let error = scanner.next().expect_err("Ctrl-C was pressed");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
