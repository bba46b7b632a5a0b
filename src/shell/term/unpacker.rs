//! What comes out of a packed file: its parts, gzip's members or zstd's frames, one after another.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;

use flate2::bufread::GzDecoder;

use super::packing::Packing;

type Source = BufReader<Box<dyn Read>>;

/// Unpacks parts that follow one another as one; zeros behind them are padding. A source that would have to wait says so
/// with [`io::ErrorKind::WouldBlock`], and is read on later.
pub struct Unpacker {
    packing: Packing,
    state: State,
}

enum State {
    Gzip(GzDecoder<Source>),
    Zstd(zstd::Decoder<'static, Source>),
    /// Behind a part.
    Between(Source),
    /// Behind all parts; whether something else stands there.
    End(bool),
}

/// Bytes behind all parts that are neither zeros nor one more part.
#[derive(Debug)]
struct Trailing;

impl fmt::Display for Trailing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes behind what is packed")
    }
}

impl std::error::Error for Trailing {}

/// Whether `error` says that all that was packed has been read, and that something else stands behind it.
pub fn is_trailing(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Trailing>())
}

/// In words, what is wrong with a packed file that could not be read on.
pub fn told(packing: Packing, error: io::Error) -> io::Error {
    let name = packing.name();
    if is_trailing(&error) {
        return io::Error::other(format!(
            "behind its {name} stream stands something else, which is not read"
        ));
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::other(format!("it is cut off: its {name} stream does not end"))
        }
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            // Only the end of a part has the checksum of all that came out of it.
            io::Error::other(format!(
                "its {name} stream is damaged: {error}; what came out of it may be wrong"
            ))
        }
        _ => error,
    }
}

impl Unpacker {
    /// Unpacks `source`, which begins with a part.
    pub fn new(packing: Packing, source: Box<dyn Read>) -> io::Result<Self> {
        Ok(Self { packing, state: part(packing, BufReader::new(source))? })
    }

    /// Goes on behind the part that has ended.
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
                // Tapes and block devices are filled up with zeros.
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

fn part(packing: Packing, source: Source) -> io::Result<State> {
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
