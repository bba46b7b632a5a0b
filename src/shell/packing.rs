//! Compressed files: gzip and zstd, known by what they begin with.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

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

    /// The bytes that every such file begins with.
    fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => b"\x1f\x8b",
            Self::Zstd => b"\x28\xb5\x2f\xfd",
        }
    }

    /// The packing of what begins with `bytes`.
    pub fn of_start(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|packing| bytes.starts_with(packing.magic()))
    }

    /// What was packed into `source`. Parts that follow one another are one.
    pub fn unpack(self, source: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(source))),
            Self::Zstd => Box::new(zstd::Decoder::new(source)?),
        })
    }
}
