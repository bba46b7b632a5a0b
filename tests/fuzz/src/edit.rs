//! Edits of a store's files, drawn from an input's bytes: small ones, of the kind that damage or a liar would make.

use arbitrary::{Arbitrary, Unstructured};
use logkv::fs::StoreFile;
use logkv::layout::RECORD_FIELDS;

use super::memory::{Image, file_mut};
use super::seal;

/// More edits than that make no file that a few would not.
const EDITS_MAX: usize = 12;
/// No edit makes a file longer than this, in bytes.
const FILE_LEN_MAX: usize = 128 << 10;

/// What is done to one file, or to two. Numbers wrap at what there is.
#[derive(Arbitrary, Clone, Debug)]
enum Edit {
    /// Bytes are overwritten.
    Write {
        file: u8,
        at: u16,
        bytes: [u8; 8],
        len: u8,
    },
    /// A field of a record is, with a number.
    Field {
        file: u8,
        record: u8,
        field: u8,
        number: u64,
    },
    /// Bits are flipped.
    Flip {
        file: u8,
        at: u16,
        mask: u8,
    },
    /// The file ends here.
    Cut {
        file: u8,
        at: u16,
    },
    /// Bytes are taken out, or put in twice, in this file or another.
    Copy {
        from: u8,
        at: u16,
        len: u16,
        to: u8,
        to_at: u16,
        overwrites: bool,
    },
    Remove {
        file: u8,
        at: u16,
        len: u16,
    },
    /// The file is gone, or two have each other's names.
    Unlink {
        file: u8,
    },
    Swap {
        file: u8,
        with: u8,
    },
    /// A line of MANIFEST goes, comes again at the end, or changes places with another one.
    LineGone {
        line: u8,
    },
    LineAgain {
        line: u8,
    },
    LinesSwapped {
        line: u8,
        with: u8,
    },
    /// A word of it is another number.
    Word {
        line: u8,
        word: u8,
        number: u64,
    },
}

/// Which checksums are put right after the edits. Those that are not, tell of them.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Sealed {
    manifest: bool,
    segment_headers: bool,
    records: bool,
    hints: bool,
    keydir: bool,
}

/// What an input says.
#[derive(Clone, Debug)]
pub struct Edits {
    /// Whether the store's writer died before.
    pub is_unclosed: bool,
    sealed: Sealed,
    edits: Vec<Edit>,
}

impl Edits {
    /// The edits that `input` stands for: every input stands for some.
    #[must_use]
    pub fn of(input: &[u8]) -> Self {
        let mut input = Unstructured::new(input);
        // Where an input ends before, the rest of it is zeros.
        let is_unclosed = input.arbitrary().expect("one bit, or zero");
        let sealed = input.arbitrary().expect("five bits, or zeros");
        let mut edits = Vec::new();
        while edits.len() < EDITS_MAX && !input.is_empty() {
            edits.push(input.arbitrary().expect("numbers, or zeros"));
        }
        Self { is_unclosed, sealed, edits }
    }

    /// Does the edits to the files of `image` that `are_meant`, and puts the checksums right.
    pub fn apply(&self, image: &mut Image, are_meant: fn(StoreFile) -> bool) {
        for edit in &self.edits {
            let names: Vec<_> = image.iter().map(|(name, _)| *name).filter(|name| are_meant(*name)).collect();
            edit.apply(image, &names);
        }
        self.seal(image);
    }

    fn seal(&self, image: &mut Image) {
        let Sealed { manifest, segment_headers, records, hints, keydir } = self.sealed;
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
    /// Does the edit to files of these names, if there are any of the kind that it is for.
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
                    let at = place(at, bytes.len());
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
                let at = place(at, file.len());
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= mask;
                }
            }
            Self::Cut { at, .. } => file.truncate(place(at, file.len())),
            Self::Remove { at, len, .. } => {
                let at = place(at, file.len());
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

/// The place in a file of `len` bytes that `at` means: counted from its start, or, with the top bit, from its end, where a
/// KEYDIR has its slots.
fn place(at: u16, len: usize) -> usize {
    let offset = usize::from(at & 0x7fff) % (len + 1);
    if at & 0x8000 == 0 { offset } else { len - offset }
}

/// Puts `bytes` into `file`, over what is there or before it.
fn put(file: &mut Vec<u8>, at: u16, bytes: &[u8], overwrites: bool) {
    let at = place(at, file.len());
    let end = if overwrites { file.len().min(at + bytes.len()) } else { at };
    file.splice(at..end, bytes.iter().copied());
    file.truncate(FILE_LEN_MAX);
}
