//! Compression of values.
//!
//! ```text
//!  0         4
//!  | raw_len | block                     |
//!  | u32     | an lz4 block, a zstd frame |
//! ```
//!
//! These bytes replace the value in a record. The record's flags name the codec. `raw_len` is the
//! length of the value. It is not trusted: memory is allocated first for the length to which a
//! block of this size usually decompresses, and more only after the block has filled that. A block
//! that is too short for its `raw_len` is refused at once.

use std::cell::RefCell;

use zstd::zstd_safe::{self, CCtx, DCtx, zstd_sys::ZSTD_ErrorCode};

use super::u32_at;
use crate::engine::base::error::Damage;

const BLOCK_AT: usize = size_of::<u32>();

/// The minimum length of a value that is compressed, in bytes.
const VALUE_LEN_MIN: usize = 64;

/// The maximum length of a value that is compressed with the thread's own context. For a longer
/// value, a new context costs little, and keeping one could take hundreds of megabytes.
const KEPT_LEN_MAX: usize = 256 << 10;

/// Up to this many bytes are allocated at once for a block of any length.
const ROOM_MIN: usize = 1 << 20;
/// The number of decompressed bytes expected per byte of a block, and the factor by which the
/// memory grows if there are more.
const ROOM_A_BYTE: usize = 64;
const ROOM_GROWTH: usize = 8;

/// The range of the levels of [`Compression::Zstd`].
pub const ZSTD_LEVELS: (i32, i32) = (1, 22);

/// The compression of new records' values. Each record names its own codec, so a store may hold
/// values of all kinds, and may be opened with another setting at any time.
///
/// A value under 64 bytes is stored uncompressed, and so is one whose record would not become
/// smaller. An uncompressed value is read without a copy
/// ([`Value::is_zero_copy`](crate::Value::is_zero_copy)); a compressed one takes memory of its own.
/// The calling thread compresses, before it takes the log's lock, and decompresses. Run
/// `cargo bench -- compression` to compare the costs of puts and gets, and the bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    #[default]
    None,
    /// LZ4: fast in both directions.
    Lz4,
    /// Zstandard: smaller, and slower to write.
    Zstd {
        /// 1 (fast) to 22 (small); other levels are clamped. The highest levels take hundreds of
        /// megabytes of memory for a large value.
        level: i32,
    },
}

impl Compression {
    /// Returns the compression with its level clamped.
    pub(crate) fn within_bounds(self) -> Self {
        match self {
            Self::Zstd { level } => Self::Zstd { level: level.clamp(ZSTD_LEVELS.0, ZSTD_LEVELS.1) },
            other => other,
        }
    }

    /// Compresses `value`. Returns `None` if its record would not become shorter.
    pub(crate) fn pack(self, value: &[u8]) -> Option<Packed> {
        let (codec, room) = match self {
            Self::None => return None,
            Self::Lz4 => (Codec::Lz4, lz4_flex::block::get_maximum_output_size(value.len())),
            Self::Zstd { .. } => (Codec::Zstd, value.len()),
        };
        let raw_len = u32::try_from(value.len()).ok().filter(|_| value.len() >= VALUE_LEN_MIN)?;
        let mut bytes = vec![0; room.checked_add(BLOCK_AT)?];
        let (len, block) = bytes.split_at_mut_checked(BLOCK_AT)?;
        len.copy_from_slice(&raw_len.to_le_bytes());
        let block_len = match self {
            Self::Zstd { level } => zstd_block(value, level, block)?,
            Self::None | Self::Lz4 => lz4_flex::block::compress_into(value, block).ok()?,
        };
        bytes.truncate(block_len.checked_add(BLOCK_AT)?);
        let saves = super::pad8(bytes.len() as u64) < super::pad8(value.len() as u64);
        saves.then(|| Packed { codec, bytes: bytes.into_boxed_slice() })
    }
}

/// A compressed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) codec: Codec,
    /// The bytes that the record holds in place of the value.
    pub(crate) bytes: Box<[u8]>,
}

/// A compression algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Lz4,
    Zstd,
}

/// Why a block was not decompressed.
enum Failed {
    /// The block decompresses to more bytes than the buffer holds.
    NoRoom,
    NoBlock,
}

impl Codec {
    /// Returns the codec with this number, or `None` for 0, an uncompressed value.
    pub(crate) fn decode(number: u8) -> Result<Option<Self>, Damage> {
        match number {
            0 => Ok(None),
            1 => Ok(Some(Self::Lz4)),
            2 => Ok(Some(Self::Zstd)),
            other => Err(Damage::Codec(other)),
        }
    }

    pub(crate) fn encode(self) -> u8 {
        match self {
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    /// Decompresses `stored`, up to `len_max` bytes or [`ROOM_A_BYTE`] times its block, whichever
    /// is more. Allocates at most a multiple of the block's length.
    pub(crate) fn unpack(self, stored: &[u8], len_max: u64) -> Result<Vec<u8>, Damage> {
        let (raw_len, block) = parts(stored)
            .ok_or(Damage::Field { what: "the length of a compressed value", value: stored.len() as u64 })?;
        let damage = Damage::Compressed { codec: self.name(), raw_len };
        let raw_len = raw_len as usize;
        if raw_len > self.raw_len_max(block.len()) {
            return Err(damage);
        }
        let limit = len_max.max(block.len().saturating_mul(ROOM_A_BYTE) as u64);
        if raw_len as u64 > limit {
            return Err(Damage::TooLarge { len: raw_len as u64, limit });
        }
        let mut room = first_room(raw_len, block.len());
        loop {
            let mut raw = vec![0; room];
            match self.fill(block, &mut raw) {
                Ok(len) if len == raw_len => return Ok(raw),
                Err(Failed::NoRoom) if room < raw_len => {
                    room = room.saturating_mul(ROOM_GROWTH).min(raw_len);
                }
                Ok(_) | Err(Failed::NoRoom | Failed::NoBlock) => return Err(damage),
            }
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Returns the maximum length to which a block of `block_len` bytes can decompress.
    fn raw_len_max(self, block_len: usize) -> usize {
        let (units, a_unit) = match self {
            // Each byte of a match's length adds at most 255 bytes.
            Self::Lz4 => (block_len, 255),
            // A run of one repeated byte takes four bytes and has at most 128 KiB.
            Self::Zstd => (block_len / 4, 128 << 10),
        };
        units.saturating_mul(a_unit)
    }

    /// Decompresses `block` into `raw`. Returns the number of bytes.
    fn fill(self, block: &[u8], raw: &mut [u8]) -> Result<usize, Failed> {
        match self {
            Self::Lz4 => lz4_flex::block::decompress_into(block, raw).map_err(|error| match error {
                lz4_flex::block::DecompressError::OutputTooSmall { .. } => Failed::NoRoom,
                _ => Failed::NoBlock,
            }),
            Self::Zstd => {
                // zstd would decompress several frames as if they were one.
                if zstd_safe::find_frame_compressed_size(block) != Ok(block.len()) {
                    return Err(Failed::NoBlock);
                }
                thread_local!(static CONTEXT: RefCell<DCtx<'static>> = RefCell::new(DCtx::create()));
                CONTEXT
                    .with_borrow_mut(|context| context.decompress(raw, block))
                    .map_err(|code| if code == NO_ROOM { Failed::NoRoom } else { Failed::NoBlock })
            }
        }
    }
}

/// zstd's error code for a buffer that is too small. Its codes count down from `usize::MAX`.
const NO_ROOM: usize = 0_usize.wrapping_sub(ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize);

fn zstd_block(value: &[u8], level: i32, block: &mut [u8]) -> Option<usize> {
    if value.len() > KEPT_LEN_MAX {
        return CCtx::create().compress(block, value, level).ok();
    }
    thread_local!(static CONTEXT: RefCell<CCtx<'static>> = RefCell::new(CCtx::create()));
    CONTEXT.with_borrow_mut(|context| context.compress(block, value, level)).ok()
}

/// Returns the number of bytes that are allocated first.
fn first_room(raw_len: usize, block_len: usize) -> usize {
    raw_len.min(block_len.saturating_mul(ROOM_A_BYTE).max(ROOM_MIN))
}

/// Returns the stored length of the value, and the block.
fn parts(stored: &[u8]) -> Option<(u32, &[u8])> {
    Some((u32_at(stored, 0), stored.get(BLOCK_AT..)?))
}

/// The total lengths of compressed values, decompressed and stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub(crate) raw_len: u64,
    pub(crate) stored_len: u64,
}

impl Compressed {
    /// Returns the lengths of the one value in `stored`. Its raw length is not checked.
    pub(crate) fn of(stored: &[u8]) -> Self {
        parts(stored).map_or_else(Self::default, |(raw_len, _)| Self {
            raw_len: raw_len.into(),
            stored_len: stored.len() as u64,
        })
    }

    /// Returns the sums of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            raw_len: self.raw_len.saturating_add(other.raw_len),
            stored_len: self.stored_len.saturating_add(other.stored_len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHOICES: [Compression; 4] = [
        Compression::Lz4,
        Compression::Zstd { level: 1 },
        Compression::Zstd { level: 3 },
        Compression::Zstd { level: 22 },
    ];

    fn stored(raw_len: u32, block: &[u8]) -> Vec<u8> {
        [&raw_len.to_le_bytes(), block].concat()
    }

    #[test]
    fn a_value_that_would_not_save_eight_bytes_is_not_compressed() {
        for compression in CHOICES {
            assert_eq!(compression.pack(&[7; VALUE_LEN_MIN - 1]), None, "{compression:?}");
            let packed = compression.pack(&[7; VALUE_LEN_MIN]).expect("it saves");
            assert!(packed.bytes.len() + 8 <= VALUE_LEN_MIN, "{compression:?}");
            let noise: Vec<u8> =
                (0..4096_u64).map(|seed| super::super::key_hash(seed, b"noise") as u8).collect();
            assert_eq!(compression.pack(&noise), None, "{compression:?}");
        }
        assert_eq!(Compression::None.pack(&[7; 4096]), None);
    }

    #[test]
    fn a_value_that_decompresses_to_far_more_than_most_is_read() {
        let zeros = vec![0; 40 << 20];
        for compression in CHOICES {
            let packed = compression.pack(&zeros).expect("zeros compress");
            assert!(packed.bytes.len() * 200 < zeros.len(), "{compression:?}");
            assert!(packed.codec.unpack(&packed.bytes, u64::MAX) == Ok(zeros.clone()), "{compression:?}");
        }
    }

    #[test]
    fn a_value_over_the_limit_is_read_only_if_its_block_is_large_too() {
        let zeros = vec![0; 4 << 20];
        let noise = |seed: u64| super::super::key_hash(seed, b"noise").to_le_bytes();
        let text: Vec<u8> = (0..4096).flat_map(|seed| [noise(seed), [b'v'; 8]].concat()).collect();
        for compression in CHOICES {
            let Packed { codec, bytes } = compression.pack(&zeros).expect("zeros compress");
            assert!(codec.unpack(&bytes, zeros.len() as u64).is_ok());
            let refused = codec.unpack(&bytes, zeros.len() as u64 - 1);
            assert!(matches!(refused, Err(Damage::TooLarge { len, .. }) if len == zeros.len() as u64));
            let Packed { codec, bytes } = compression.pack(&text).expect("text compresses");
            assert_eq!(codec.unpack(&bytes, 0), Ok(text.clone()), "a few times its block");
        }
    }

    #[test]
    fn a_wrong_raw_length_is_damage_even_if_the_block_is_intact() {
        let value = [b'v'; 1000];
        for compression in CHOICES {
            let Packed { codec, bytes } = compression.pack(&value).expect("a repeated byte compresses");
            for raw_len in [0, 1, 999, 1001, 100_000, u32::MAX] {
                let lie = stored(raw_len, &bytes[BLOCK_AT..]);
                let damage = Damage::Compressed { codec: codec.name(), raw_len };
                assert_eq!(codec.unpack(&lie, u64::MAX), Err(damage), "{raw_len}");
            }
            let longer = [&bytes[..], b"more"].concat();
            assert!(codec.unpack(&longer, u64::MAX).is_err(), "{compression:?}: bytes after the block");
            let twice = stored(2000, &[&bytes[BLOCK_AT..], &bytes[BLOCK_AT..]].concat());
            assert!(codec.unpack(&twice, u64::MAX).is_err(), "{compression:?}: two blocks");
            for len in 0..bytes.len() {
                assert!(codec.unpack(&bytes[..len], u64::MAX).is_err(), "{compression:?}: a prefix of {len}");
            }
        }
    }

    #[test]
    fn memory_is_allocated_by_the_blocks_length_and_not_by_its_raw_length() {
        assert_eq!(first_room(1000, 10), 1000);
        assert_eq!(first_room(4 << 30, 10), ROOM_MIN);
        assert_eq!(first_room(4 << 30, 1 << 20), 64 << 20);
        assert!(Codec::Lz4.raw_len_max(1000) < 256_000);
        assert!(Codec::Zstd.raw_len_max(1000) < 33 << 20);
    }

    proptest! {
        #[test]
        fn every_value_comes_back_from_every_codec(
            unit in prop::collection::vec(any::<u8>(), 1..100),
            times in 1..200_usize,
            level in -3..30,
        ) {
            let value = unit.repeat(times);
            for compression in [Compression::Lz4, Compression::Zstd { level }.within_bounds()] {
                if let Some(Packed { codec, bytes }) = compression.pack(&value) {
                    prop_assert!(bytes.len() < value.len());
                    let lens = (value.len() as u64, bytes.len() as u64);
                    let Compressed { raw_len, stored_len } = Compressed::of(&bytes);
                    prop_assert_eq!((raw_len, stored_len), lens);
                    prop_assert_eq!(codec.unpack(&bytes, u64::MAX), Ok(value.clone()));
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_give_what_they_say_or_damage(
            block in prop::collection::vec(any::<u8>(), 0..200),
            raw_len in prop_oneof![0..1000_u32, any::<u32>()],
        ) {
            for codec in [Codec::Lz4, Codec::Zstd] {
                if let Ok(value) = codec.unpack(&stored(raw_len, &block), u64::MAX) {
                    prop_assert_eq!(value.len(), raw_len as usize);
                }
                let _ = codec.unpack(&block, u64::MAX);
            }
        }

        #[test]
        fn a_block_with_a_changed_byte_never_panics(
            value in prop::collection::vec(0..4_u8, 100..2000),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            for compression in CHOICES {
                let Some(Packed { codec, mut bytes }) = compression.pack(&value) else { continue };
                let at = at.index(bytes.len());
                bytes[at] = byte;
                if let Ok(read) = codec.unpack(&bytes, u64::MAX) {
                    prop_assert_eq!(read.len(), u32_at(&bytes, 0) as usize);
                }
            }
        }
    }
}
