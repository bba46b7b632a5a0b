//! Small edits of a store's files, decoded from an input: accidental damage and deliberate forgery.

use arbitrary::{Arbitrary, Unstructured};
use logkv::fs::StoreFile;
use logkv::layout::RECORD_FIELDS;

use super::memory::{Image, file_mut};
use super::seal;

/// The most edits of one input. More would reach no new cases.
const EDITS_MAX: usize = 12;
/// The longest file that edits make, in bytes.
const FILE_LEN_MAX: usize = 128 << 10;

/// An edit of one or two files. Indexes and offsets wrap around. The order of variants and fields
/// is part of the corpus format.
#[derive(Arbitrary, Clone, Debug)]
enum Edit {
    /// Overwrites bytes.
    Write { file: u8, at: u16, bytes: [u8; 8], len: u8 },
    /// Overwrites a field of a record.
    Field { file: u8, record: u8, field: u8, number: u64 },
    /// Flips bits.
    Flip { file: u8, at: u16, mask: u8 },
    /// Cuts the file.
    Cut { file: u8, at: u16 },
    /// Copies bytes within a file or to another one.
    Copy { from: u8, at: u16, len: u16, to: u8, to_at: u16, overwrites: bool },
    /// Removes bytes.
    Remove { file: u8, at: u16, len: u16 },
    /// Removes the file.
    Unlink { file: u8 },
    /// Exchanges two files.
    Swap { file: u8, with: u8 },
    /// Removes a line of MANIFEST.
    LineGone { line: u8 },
    /// Repeats a line of MANIFEST at the end.
    LineAgain { line: u8 },
    /// Exchanges two lines of MANIFEST.
    LinesSwapped { line: u8, with: u8 },
    /// Replaces a word of MANIFEST with a number.
    Word { line: u8, word: u8, number: u64 },
}

/// The checksums that are corrected after the edits. The others reveal the edits.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct CorrectedChecksums {
    manifest: bool,
    segment_headers: bool,
    records: bool,
    hints: bool,
    keydir: bool,
}

/// The edits of one input.
#[derive(Clone, Debug)]
pub struct Edits {
    /// Whether the store was left unclosed.
    pub is_unclosed: bool,
    corrected: CorrectedChecksums,
    edits: Vec<Edit>,
}

impl Edits {
    /// Decodes `input`. Every input is valid.
    #[must_use]
    pub fn of(input: &[u8]) -> Self {
        let mut input = Unstructured::new(input);
        // An input that ends early continues with zeros.
        let is_unclosed = input.arbitrary().expect("any bytes are valid");
        let corrected = input.arbitrary().expect("any bytes are valid");
        let mut edits = Vec::new();
        while edits.len() < EDITS_MAX && !input.is_empty() {
            edits.push(input.arbitrary().expect("any bytes are valid"));
        }
        Self { is_unclosed, corrected, edits }
    }

    /// Edits the files of `image` for which `is_edited` is true, then corrects the checksums.
    pub fn apply(&self, image: &mut Image, is_edited: fn(StoreFile) -> bool) {
        for edit in &self.edits {
            let names: Vec<_> = image.iter().map(|(name, _)| *name).filter(|name| is_edited(*name)).collect();
            edit.apply(image, &names);
        }
        self.correct_checksums(image);
    }

    fn correct_checksums(&self, image: &mut Image) {
        let CorrectedChecksums { manifest, segment_headers, records, hints, keydir } = self.corrected;
        for (name, bytes) in image.iter_mut() {
            match name {
                StoreFile::Manifest if manifest => seal::manifest(bytes),
                StoreFile::Segment(_) if segment_headers => seal::segment_header(bytes),
                StoreFile::Hint(_) if hints => seal::hint(bytes),
                StoreFile::Keydir if keydir => seal::keydir(bytes),
                _ => {}
            }
        }
        if records {
            seal::all_records(image);
        }
    }
}

impl Edit {
    /// Edits the files `names`. Does nothing if none of them is of the right kind.
    fn apply(&self, image: &mut Image, names: &[StoreFile]) {
        let pick = |number: u8| names.get(usize::from(number) % names.len().max(1)).copied();
        match *self {
            Self::LineGone { .. }
            | Self::LineAgain { .. }
            | Self::LinesSwapped { .. }
            | Self::Word { .. } => {
                if names.contains(&StoreFile::Manifest) {
                    self.apply_to_lines(file_mut(image, StoreFile::Manifest));
                }
            }
            Self::Unlink { file } => image.retain(|(name, _)| Some(*name) != pick(file)),
            Self::Swap { file, with } => {
                if let (Some(one), Some(other)) = (pick(file), pick(with)) {
                    let bytes = std::mem::take(file_mut(image, one));
                    let bytes = std::mem::replace(file_mut(image, other), bytes);
                    *file_mut(image, one) = bytes;
                }
            }
            Self::Copy { from, at, len, to, to_at, overwrites } => {
                if let (Some(from), Some(to)) = (pick(from), pick(to)) {
                    let bytes = file_mut(image, from);
                    let at = offset(at, bytes.len());
                    let part = bytes[at..bytes.len().min(at + usize::from(len))].to_vec();
                    put(file_mut(image, to), to_at, &part, overwrites);
                }
            }
            Self::Write { file, .. }
            | Self::Field { file, .. }
            | Self::Flip { file, .. }
            | Self::Cut { file, .. }
            | Self::Remove { file, .. } => {
                if let Some(name) = pick(file) {
                    self.apply_to_bytes(file_mut(image, name));
                }
            }
        }
    }

    fn apply_to_bytes(&self, file: &mut Vec<u8>) {
        match *self {
            Self::Write { at, bytes, len, .. } => put(file, at, &bytes[..1 + usize::from(len % 8)], true),
            Self::Field { record, field, number, .. } => {
                let starts = seal::record_starts(file);
                let field = &RECORD_FIELDS[usize::from(field) % RECORD_FIELDS.len()];
                if let Some(start) = starts.get(usize::from(record) % starts.len().max(1)) {
                    let at = start + field.at;
                    file[at..at + field.len].copy_from_slice(&number.to_le_bytes()[..field.len]);
                }
            }
            Self::Flip { at, mask, .. } => {
                let at = offset(at, file.len());
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= mask;
                }
            }
            Self::Cut { at, .. } => file.truncate(offset(at, file.len())),
            Self::Remove { at, len, .. } => {
                let at = offset(at, file.len());
                file.drain(at..file.len().min(at + usize::from(len)));
            }
            _ => unreachable!("an edit of names or lines"),
        }
    }

    fn apply_to_lines(&self, manifest: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(manifest).into_owned();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let count = lines.len();
        let nth = |line: u8| usize::from(line) % count.max(1);
        match *self {
            _ if count == 0 => {}
            Self::LineGone { line } => drop(lines.remove(nth(line))),
            Self::LineAgain { line } => lines.push(lines[nth(line)].clone()),
            Self::LinesSwapped { line, with } => lines.swap(nth(line), nth(with)),
            Self::Word { line, word, number } => {
                let mut words: Vec<_> = lines[nth(line)].split(' ').map(str::to_owned).collect();
                let word = usize::from(word) % words.len();
                words[word] = number.to_string();
                lines[nth(line)] = words.join(" ");
            }
            _ => unreachable!("an edit of bytes"),
        }
        *manifest = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"]).flatten().copied().collect();
    }
}

/// Returns the offset that `at` selects in a file of `len` bytes. It counts from the start, or with
/// the top bit set from the end, where KEYDIR has its slots.
fn offset(at: u16, len: usize) -> usize {
    let distance = usize::from(at & 0x7fff) % (len + 1);
    if at & 0x8000 == 0 { distance } else { len - distance }
}

/// Writes `bytes` over those at `at`, or inserts them there.
fn put(file: &mut Vec<u8>, at: u16, bytes: &[u8], overwrites: bool) {
    let at = offset(at, file.len());
    let end = if overwrites { file.len().min(at + bytes.len()) } else { at };
    file.splice(at..end, bytes.iter().copied());
    file.truncate(FILE_LEN_MAX);
}
