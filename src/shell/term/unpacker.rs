//! Decompression of a file: its parts (gzip members or zstd frames), one after another.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;

use flate2::bufread::GzDecoder;

use super::packing::Packing;

type PackedSource = BufReader<Box<dyn Read>>;

/// A reader that decompresses consecutive parts as one stream. Zeros after a part are padding. If
/// the source returns [`io::ErrorKind::WouldBlock`], so does the reader; a later read continues.
pub struct Unpacker {
    packing: Packing,
    state: State,
}

enum State {
    Gzip(GzDecoder<PackedSource>),
    Zstd(zstd::Decoder<'static, PackedSource>),
    /// After a part.
    Between(PackedSource),
    /// After all parts. `true` if other bytes follow.
    End(bool),
}

/// The error for bytes after the last part that are neither padding nor another part.
#[derive(Debug)]
struct Trailing;

impl fmt::Display for Trailing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes after the compressed stream")
    }
}

impl std::error::Error for Trailing {}

/// Returns whether `error` reports bytes after the last part. In that case all content has been
/// read.
pub fn is_trailing(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Trailing>())
}

/// Explains an error of the decompressor.
pub fn explained(packing: Packing, error: io::Error) -> io::Error {
    let name = packing.name();
    if is_trailing(&error) {
        return io::Error::other(format!("other bytes follow its {name} stream and are not read"));
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::other(format!("it is cut off: its {name} stream does not end"))
        }
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            // The checksum of a part follows all of its content.
            io::Error::other(format!(
                "its {name} stream is damaged: {error}; the content read so far may be wrong"
            ))
        }
        _ => error,
    }
}

impl Unpacker {
    /// Returns a reader of `source`, which starts with a part.
    pub fn new(packing: Packing, source: Box<dyn Read>) -> io::Result<Self> {
        Ok(Self { packing, state: part(packing, BufReader::new(source))? })
    }

    /// Moves to the next part.
    fn go_on(&mut self) -> io::Result<()> {
        let mut source = match mem::replace(&mut self.state, State::End(false)) {
            State::Gzip(part) => part.into_inner(),
            State::Zstd(part) => part.into_inner(),
            State::Between(source) => source,
            end @ State::End(_) => {
                self.state = end;
                return Ok(());
            }
        };
        self.state = loop {
            match source.fill_buf() {
                Ok([]) => break State::End(false),
                // Tapes and block devices pad files with zeros.
                Ok([0, ..]) => source.consume(1),
                Ok(next) if Packing::of_start(next) == Some(self.packing) || Packing::may_start(next) => {
                    break part(self.packing, source)?;
                }
                Ok(_) => break State::End(true),
                Err(error) => {
                    self.state = State::Between(source);
                    return Err(error);
                }
            }
        };
        Ok(())
    }
}

fn part(packing: Packing, source: PackedSource) -> io::Result<State> {
    Ok(match packing {
        Packing::Gzip => State::Gzip(GzDecoder::new(source)),
        Packing::Zstd => State::Zstd(zstd::Decoder::with_buffer(source)?.single_frame()),
    })
}

impl Read for Unpacker {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while !bytes.is_empty() {
            let len = match &mut self.state {
                State::Gzip(part) => part.read(bytes)?,
                State::Zstd(part) => part.read(bytes)?,
                State::Between(_) => 0,
                State::End(false) => break,
                State::End(true) => return Err(io::Error::new(io::ErrorKind::InvalidData, Trailing)),
            };
            if len > 0 {
                return Ok(len);
            }
            self.go_on()?;
        }
        Ok(0)
    }
}
