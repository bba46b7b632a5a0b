//! Compression of files: gzip and zstd, recognised by file name or first bytes.

use std::io::{self, Write};
use std::path::Path;

use flate2::write::GzEncoder;

/// A compression format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

impl Packing {
    const ALL: [Self; 2] = [Self::Gzip, Self::Zstd];

    /// Returns the name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Returns the file name extension that the shell writes.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// Returns the number of bytes that identify the format.
    fn magic_len(self) -> usize {
        match self {
            Self::Gzip => 2,
            Self::Zstd => 4,
        }
    }

    /// Returns whether `bytes` agree with the start of the format, as far as they reach.
    fn agrees(self, bytes: &[u8]) -> bool {
        let is = |magic: &[u8]| magic.iter().zip(bytes).all(|(magic, byte)| magic == byte);
        match self {
            Self::Gzip => is(b"\x1f\x8b"),
            // pzstd puts a skippable frame before each frame.
            Self::Zstd => {
                is(b"\x28\xb5\x2f\xfd") || (0x50..=0x5f).any(|first| is(&[first, 0x2a, 0x4d, 0x18]))
            }
        }
    }

    /// Returns the format that the extension of `path` names, and `path` without it.
    pub fn of_name(path: &Path) -> (Option<Self>, &Path) {
        let name = path.as_os_str().as_encoded_bytes();
        for (ending, packing) in [(".gz", Self::Gzip), (".zst", Self::Zstd), (".zstd", Self::Zstd)] {
            let Some(len) = name.len().checked_sub(ending.len()) else { continue };
            let (stem, end) = name.split_at(len);
            if end.eq_ignore_ascii_case(ending.as_bytes())
                && let Ok(stem) = str::from_utf8(stem)
            {
                return (Some(packing), Path::new(stem));
            }
        }
        (None, path)
    }

    /// Returns the format of a file that starts with `bytes`.
    pub fn of_start(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|packing| bytes.len() >= packing.magic_len() && packing.agrees(bytes))
    }

    /// Returns whether `bytes` are too short to decide, and may be the start of a compressed file.
    pub fn may_start(bytes: &[u8]) -> bool {
        Self::ALL.iter().any(|packing| bytes.len() < packing.magic_len() && packing.agrees(bytes))
    }
}

/// A writer that compresses to `W`, or passes bytes through.
pub enum Packer<W: Write> {
    /// No compression.
    Plain(W),
    /// Compression with gzip.
    Gzip(GzEncoder<W>),
    /// Compression with zstd.
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Packer<W> {
    /// Returns a writer to `out`.
    pub fn new(packing: Option<Packing>, out: W) -> io::Result<Self> {
        Ok(match packing {
            None => Self::Plain(out),
            Some(Packing::Gzip) => Self::Gzip(GzEncoder::new(out, flate2::Compression::default())),
            Some(Packing::Zstd) => {
                let mut encoder = zstd::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                // Without a checksum a flipped bit could decompress to other bytes unnoticed.
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Writes the rest and the end of the stream. Returns the underlying writer.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::shell::term::unpacker::{self, Unpacker};

    fn packed(packing: Packing, bytes: &[u8]) -> Vec<u8> {
        let mut packer = Packer::new(Some(packing), Vec::new()).expect("a vector accepts every write");
        packer.write_all(bytes).expect("a vector accepts every write");
        packer.finish().expect("a vector accepts every write")
    }

    #[test]
    fn a_packing_is_recognised_by_file_name_and_by_first_bytes() {
        let of = |name| Packing::of_name(Path::new(name));
        assert_eq!(of("dir/a.csv.gz"), (Some(Packing::Gzip), Path::new("dir/a.csv")));
        assert_eq!(of("A.JSONL.ZST"), (Some(Packing::Zstd), Path::new("A.JSONL")));
        assert_eq!(of("a.csv"), (None, Path::new("a.csv")));
        assert_eq!(of(".gz"), (Some(Packing::Gzip), Path::new("")));
        for packing in Packing::ALL {
            let bytes = packed(packing, b"rows");
            assert_eq!(Packing::of_start(&bytes), Some(packing));
            assert!(Packing::may_start(&bytes[..1]) && !Packing::may_start(&bytes[..4]));
        }
        assert_eq!(Packing::of_start(b"\x5f\x2a\x4d\x18\0\0\0\0"), Some(Packing::Zstd));
        assert_eq!(Packing::of_start(b"P\x2a\x4dx"), None);
    }

    #[test]
    fn concatenated_streams_read_as_one_and_every_truncation_is_reported() {
        for packing in Packing::ALL {
            let (first, second) = (packed(packing, b"one\n"), packed(packing, &b"two\n".repeat(1000)));
            let both = [first.clone(), second].concat();
            let read = |bytes: &[u8]| {
                let mut all = Vec::new();
                let source = Box::new(io::Cursor::new(bytes.to_vec()));
                let read = Unpacker::new(packing, source).and_then(|mut reader| reader.read_to_end(&mut all));
                read.map(|_| all).map_err(|error| unpacker::explained(packing, error).to_string())
            };
            assert_eq!(read(&both), Ok([b"one\n".to_vec(), b"two\n".repeat(1000)].concat()));
            for len in (1..both.len()).filter(|&len| len != first.len()) {
                let why = read(&both[..len]).expect_err("the stream is truncated");
                assert_eq!(
                    why,
                    format!("it is cut off: its {} stream does not end", packing.name()),
                    "{len}"
                );
            }
        }
    }

    /// Unpacks `bytes` from a reader that returns at most `len` bytes at a time. Returns the
    /// content and the error after it.
    fn unpacked(packing: Packing, bytes: &[u8], len: usize) -> (Vec<u8>, Option<String>) {
        struct Pieces(io::Cursor<Vec<u8>>, usize);
        impl Read for Pieces {
            fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
                let len = bytes.len().min(self.1);
                self.0.read(&mut bytes[..len])
            }
        }
        let source = Box::new(Pieces(io::Cursor::new(bytes.to_vec()), len));
        let (mut all, mut reader) =
            (Vec::new(), Unpacker::new(packing, source).expect("the stream starts correctly"));
        let why =
            reader.read_to_end(&mut all).err().map(|error| unpacker::explained(packing, error).to_string());
        (all, why)
    }

    #[test]
    fn zeros_after_a_stream_are_padding_and_other_bytes_are_reported_after_the_content() {
        let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
        for packing in Packing::ALL {
            let one = packed(packing, b"one\n");
            for len in [1, 2, 3, 5, 1000] {
                let of = |behind: &[u8]| unpacked(packing, &[&one, behind].concat(), len);
                assert_eq!(of(b""), (b"one\n".to_vec(), None));
                assert_eq!(of(&[0; 700]), (b"one\n".to_vec(), None));
                assert_eq!(of(&[&[0; 700], &one[..]].concat()), (b"one\none\n".to_vec(), None));
                let why = format!("other bytes follow its {} stream and are not read", packing.name());
                assert_eq!(of(b"junk"), (b"one\n".to_vec(), Some(why.clone())));
                assert_eq!(of(b"\0\0junk"), (b"one\n".to_vec(), Some(why)));
            }
        }
        let one = packed(Packing::Zstd, b"one\n");
        for len in [1, 3, 1000] {
            let parts = [skipped, &one[..], skipped, &one[..], skipped].concat();
            assert_eq!(unpacked(Packing::Zstd, &parts, len), (b"one\none\n".to_vec(), None));
        }
    }
}
