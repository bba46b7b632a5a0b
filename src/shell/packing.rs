//! Compressed files: gzip and zstd, known by their names' ends and by what they begin with.

use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

impl Packing {
    const ALL: [Self; 2] = [Self::Gzip, Self::Zstd];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The bytes that every such file begins with.
    fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => b"\x1f\x8b",
            Self::Zstd => b"\x28\xb5\x2f\xfd",
        }
    }

    /// The packing that `path` ends with, and the path without that ending.
    pub fn of_name(path: &Path) -> (Option<Self>, &Path) {
        let name = path.as_os_str().as_encoded_bytes();
        for (ending, packing) in [(".gz", Self::Gzip), (".zst", Self::Zstd), (".zstd", Self::Zstd)] {
            let Some(len) = name.len().checked_sub(ending.len()).filter(|&len| len > 0) else { continue };
            let (stem, end) = name.split_at(len);
            if end.eq_ignore_ascii_case(ending.as_bytes())
                && let Ok(stem) = str::from_utf8(stem)
            {
                return (Some(packing), Path::new(stem));
            }
        }
        (None, path)
    }

    /// The packing of what begins with `bytes`.
    pub fn of_start(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|packing| bytes.starts_with(packing.magic()))
    }

    /// Whether more bytes behind these may begin something packed.
    pub fn may_start(bytes: &[u8]) -> bool {
        Self::ALL.iter().any(|packing| {
            let magic = packing.magic();
            bytes.len() < magic.len() && magic.starts_with(bytes)
        })
    }

    /// What was packed into `source`. Parts that follow one another are one. A source that would have to wait says so with
    /// [`io::ErrorKind::WouldBlock`], and is read on later.
    pub fn unpack(self, source: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(source))),
            Self::Zstd => Box::new(zstd::Decoder::new(source)?),
        })
    }

    /// In words, what is wrong with a packed file that could not be read on.
    pub fn told(self, error: io::Error) -> io::Error {
        let name = self.name();
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::other(format!("it is cut off: its {name} stream does not end"))
            }
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                io::Error::other(format!("its {name} stream is damaged: {error}"))
            }
            _ => error,
        }
    }
}

/// Bytes that are packed on their way to `W`, or go there as they are.
pub enum Packer<W: Write> {
    /// As they are.
    Plain(W),
    /// Into gzip.
    Gzip(GzEncoder<W>),
    /// Into zstd.
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Packer<W> {
    /// A packer into `out`.
    pub fn new(packing: Option<Packing>, out: W) -> io::Result<Self> {
        Ok(match packing {
            None => Self::Plain(out),
            Some(Packing::Gzip) => Self::Gzip(GzEncoder::new(out, flate2::Compression::default())),
            Some(Packing::Zstd) => {
                let mut encoder = zstd::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                // Else a changed byte of what is packed would come out as another one.
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Writes what is left, and the end; gives back where all of it went.
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
    use super::*;

    fn packed(packing: Packing, bytes: &[u8]) -> Vec<u8> {
        let mut packer = Packer::new(Some(packing), Vec::new()).expect("memory takes it");
        packer.write_all(bytes).expect("memory takes it");
        packer.finish().expect("memory takes it")
    }

    #[test]
    fn what_is_packed_is_known_by_its_name_and_by_its_start() {
        let of = |name| Packing::of_name(Path::new(name));
        assert_eq!(of("dir/a.csv.gz"), (Some(Packing::Gzip), Path::new("dir/a.csv")));
        assert_eq!(of("A.JSONL.ZST"), (Some(Packing::Zstd), Path::new("A.JSONL")));
        assert_eq!(of("a.csv"), (None, Path::new("a.csv")));
        assert_eq!(of(".gz"), (None, Path::new(".gz")));
        for packing in Packing::ALL {
            let bytes = packed(packing, b"rows");
            assert_eq!(Packing::of_start(&bytes), Some(packing));
            assert!(Packing::may_start(&bytes[..1]) && !Packing::may_start(&bytes[..4]));
        }
    }

    #[test]
    fn parts_one_after_another_are_one_and_every_cut_is_told() {
        for packing in Packing::ALL {
            let (first, second) = (packed(packing, b"one\n"), packed(packing, &b"two\n".repeat(1000)));
            let both = [first.clone(), second].concat();
            let read = |bytes: &[u8]| {
                let mut all = Vec::new();
                let source = Box::new(io::Cursor::new(bytes.to_vec()));
                let read = packing.unpack(source).and_then(|mut reader| reader.read_to_end(&mut all));
                read.map(|_| all).map_err(|error| packing.told(error).to_string())
            };
            assert_eq!(read(&both), Ok([b"one\n".to_vec(), b"two\n".repeat(1000)].concat()));
            for len in (1..both.len()).filter(|&len| len != first.len()) {
                let why = read(&both[..len]).expect_err("it is cut off");
                assert_eq!(
                    why,
                    format!("it is cut off: its {} stream does not end", packing.name()),
                    "{len}"
                );
            }
        }
    }
}
