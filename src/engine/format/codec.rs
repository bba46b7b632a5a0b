//! A value compressed, and back.
//!
//! ```text
//!  0         4
//!  | raw_len | block                     |
//!  | u32     | an lz4 block, a zstd frame |
//! ```
//!
//! These bytes stand in a record in place of its value, and the record's flag says which codec made them. `raw_len` is the
//! length of the value itself. It is not believed before the block has given as many bytes: room is made for what such a
//! block usually gives, and for more when it has given that; a block that cannot give so many bytes is not looked at.

use std::cell::RefCell;

use zstd::zstd_safe::{self, CCtx, DCtx, zstd_sys::ZSTD_ErrorCode};

use super::u32_at;
use crate::engine::base::error::Damage;

const BLOCK_AT: usize = size_of::<u32>();

/// The shortest value that is worth a try, in bytes.
const VALUE_LEN_MIN: usize = 64;

/// Up to this length a value is compressed with what a thread keeps for that. For a longer one making it anew costs little,
/// and it can take hundreds of megabytes.
const KEPT_LEN_MAX: usize = 256 << 10;

/// Room for this much is made at once, whatever a block of any length says that it gives.
const ROOM_MIN: usize = 1 << 20;
/// How many bytes a byte of a block is at first taken to give, and how much more room is made when that was not enough.
const ROOM_A_BYTE: usize = 64;
const ROOM_GROWTH: usize = 8;

/// The bounds of the levels of [`Compression::Zstd`].
pub const ZSTD_LEVELS: (i32, i32) = (1, 22);

/// How the values of new records are compressed. Each record says how its own is, so a store may hold all kinds, and can be
/// opened with another setting at any time.
///
/// A value under 64 bytes, or one whose record would not become smaller, is stored as it is. What is not compressed is
/// read without a copy ([`Value::is_zero_copy`](crate::Value::is_zero_copy)), what is compressed takes memory of its own.
/// The calling thread compresses, before the log's lock is taken, and decompresses. `cargo bench -- compression` compares
/// what puts and gets take, and the bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4: quick in both directions.
    Lz4,
    /// Zstandard: smaller, and slower to write.
    Zstd {
        /// 1, quick, to 22, small; what is outside is taken as the nearest. The highest ones take hundreds of megabytes of memory
        /// for a large value.
        level: i32,
    },
}

impl Compression {
    /// The same, with a level that there is.
    pub(crate) fn within_bounds(self) -> Self {
        match self {
            Self::Zstd { level } => Self::Zstd { level: level.clamp(ZSTD_LEVELS.0, ZSTD_LEVELS.1) },
            other => other,
        }
    }

    /// `value` compressed; `None` where a record would not become shorter by it.
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

/// A value that was compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) codec: Codec,
    /// What a record holds in place of the value.
    pub(crate) bytes: Box<[u8]>,
}

/// How a value was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Lz4,
    Zstd,
}

/// Why a block did not become a value.
enum Failed {
    /// It gives more than there was room for.
    NoRoom,
    NoBlock,
}

impl Codec {
    /// The codec with this number; `None` for 0, which is a value as it is.
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

    /// Decompresses `stored`, up to `len_max` bytes or [`ROOM_A_BYTE`] times its block. Allocates
    /// no more than a multiple of the bytes really there.
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

    /// No block of `block_len` bytes gives more.
    fn raw_len_max(self, block_len: usize) -> usize {
        let (units, a_unit) = match self {
            // A byte of a match's length stands for 255 bytes.
            Self::Lz4 => (block_len, 255),
            // A run of one byte is 128 KiB at most, and takes four bytes.
            Self::Zstd => (block_len / 4, 128 << 10),
        };
        units.saturating_mul(a_unit)
    }

    /// Fills `raw` with what `block` gives; how much that is.
    fn fill(self, block: &[u8], raw: &mut [u8]) -> Result<usize, Failed> {
        match self {
            Self::Lz4 => lz4_flex::block::decompress_into(block, raw).map_err(|error| match error {
                lz4_flex::block::DecompressError::OutputTooSmall { .. } => Failed::NoRoom,
                _ => Failed::NoBlock,
            }),
            Self::Zstd => {
                // Several frames, one behind the other, would be decompressed as if they were one.
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

/// The code of zstd's error for too little room: they count down from the greatest number.
const NO_ROOM: usize = 0_usize.wrapping_sub(ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize);

fn zstd_block(value: &[u8], level: i32, block: &mut [u8]) -> Option<usize> {
    if value.len() > KEPT_LEN_MAX {
        return CCtx::create().compress(block, value, level).ok();
    }
    thread_local!(static CONTEXT: RefCell<CCtx<'static>> = RefCell::new(CCtx::create()));
    CONTEXT.with_borrow_mut(|context| context.compress(block, value, level)).ok()
}

/// How much room is made for a value at first.
fn first_room(raw_len: usize, block_len: usize) -> usize {
    raw_len.min(block_len.saturating_mul(ROOM_A_BYTE).max(ROOM_MIN))
}

/// The length that `stored` gives to the value, and the block.
fn parts(stored: &[u8]) -> Option<(u32, &[u8])> {
    Some((u32_at(stored, 0), stored.get(BLOCK_AT..)?))
}

/// What compressed values come to: how long they are, and how many bytes they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub(crate) raw_len: u64,
    pub(crate) stored_len: u64,
}

impl Compressed {
    /// What the one value that `stored` was made of comes to, as it says itself.
    pub(crate) fn of(stored: &[u8]) -> Self {
        parts(stored).map_or_else(Self::default, |(raw_len, _)| Self {
            raw_len: raw_len.into(),
            stored_len: stored.len() as u64,
        })
    }

    /// Both together.
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
    fn what_does_not_save_eight_bytes_is_not_compressed() {
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
    fn values_that_give_far_more_than_most_are_read() {
        let zeros = vec![0; 40 << 20];
        for compression in CHOICES {
            let packed = compression.pack(&zeros).expect("it saves");
            assert!(packed.bytes.len() * 200 < zeros.len(), "{compression:?}");
            assert!(packed.codec.unpack(&packed.bytes, u64::MAX) == Ok(zeros.clone()), "{compression:?}");
        }
    }

    #[test]
    fn a_value_over_the_limit_is_read_only_where_its_block_is_large_too() {
        let zeros = vec![0; 4 << 20];
        let noise = |seed: u64| super::super::key_hash(seed, b"noise").to_le_bytes();
        let text: Vec<u8> = (0..4096).flat_map(|seed| [noise(seed), [b'v'; 8]].concat()).collect();
        for compression in CHOICES {
            let Packed { codec, bytes } = compression.pack(&zeros).expect("it saves");
            assert!(codec.unpack(&bytes, zeros.len() as u64).is_ok());
            let refused = codec.unpack(&bytes, zeros.len() as u64 - 1);
            assert!(matches!(refused, Err(Damage::TooLarge { len, .. }) if len == zeros.len() as u64));
            let Packed { codec, bytes } = compression.pack(&text).expect("it saves");
            assert_eq!(codec.unpack(&bytes, 0), Ok(text.clone()), "it takes a few times its block");
        }
    }

    #[test]
    fn a_length_that_is_not_the_values_is_damage_though_the_block_is_intact() {
        let value = [b'v'; 1000];
        for compression in CHOICES {
            let Packed { codec, bytes } = compression.pack(&value).expect("it saves");
            for raw_len in [0, 1, 999, 1001, 100_000, u32::MAX] {
                let lie = stored(raw_len, &bytes[BLOCK_AT..]);
                let damage = Damage::Compressed { codec: codec.name(), raw_len };
                assert_eq!(codec.unpack(&lie, u64::MAX), Err(damage), "{raw_len}");
            }
            let behind = [&bytes[..], b"more"].concat();
            assert!(codec.unpack(&behind, u64::MAX).is_err(), "{compression:?}: bytes behind the block");
            let twice = stored(2000, &[&bytes[BLOCK_AT..], &bytes[BLOCK_AT..]].concat());
            assert!(codec.unpack(&twice, u64::MAX).is_err(), "{compression:?}: two blocks");
            for len in 0..bytes.len() {
                assert!(codec.unpack(&bytes[..len], u64::MAX).is_err(), "{compression:?}: a prefix of {len}");
            }
        }
    }

    #[test]
    fn room_is_made_for_what_a_block_gives_and_not_for_what_it_says() {
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
