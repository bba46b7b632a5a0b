//! A record of Riak's bitcask: big-endian numbers, and zlib's CRC-32 over the rest of the record.
//!
//! ```text
//!    0 crc       u32
//!    4 tstamp    u32   seconds since 1970
//!    8 ksz       u16
//!   10 value_sz  u32
//!   14 key, value
//! ```
//!
//! A value that starts with `bitcask_tombstone` is a delete. `1` or `2` and a file number may
//! follow.

use flate2::Crc;

use super::record::{Checksum, ForeignRecord, Parsed, Tombstone, split};

pub const FIELDS: &[(&str, usize)] = &[("crc", 4), ("tstamp", 4), ("ksz", 2), ("value_sz", 4)];
pub const HEADER_LEN: usize = 14;

const TOMBSTONE: &[u8] = b"bitcask_tombstone";

pub fn read(bytes: &[u8]) -> Parsed<'_> {
    let Some((stored, time_s, key_len, value_len)) = header(bytes) else {
        return Parsed::Short(HEADER_LEN as u64);
    };
    match split(bytes, HEADER_LEN, key_len.into(), value_len.into()) {
        Err(len) => Parsed::Short(len),
        Ok([bytes, key, value]) => {
            let computed = crc32(bytes.get(size_of::<u32>()..).unwrap_or_default());
            let checksum = Some(Checksum { stored, computed });
            Parsed::Record(ForeignRecord { time_s, key, value, tombstone: tombstone(value), bytes, checksum })
        }
    }
}

fn header(bytes: &[u8]) -> Option<(u32, u32, u16, u32)> {
    let (crc, rest) = bytes.split_first_chunk()?;
    let (time, rest) = rest.split_first_chunk()?;
    let (key_len, rest) = rest.split_first_chunk()?;
    let (value_len, _) = rest.split_first_chunk()?;
    Some((
        u32::from_be_bytes(*crc),
        u32::from_be_bytes(*time),
        u16::from_be_bytes(*key_len),
        u32::from_be_bytes(*value_len),
    ))
}

fn tombstone(value: &[u8]) -> Option<Tombstone> {
    Some(match value.strip_prefix(TOMBSTONE)? {
        [] => Tombstone::Plain,
        &[b'1', a, b, c, d] => Tombstone::Before(u32::from_be_bytes([a, b, c, d])),
        &[b'2', a, b, c, d] => Tombstone::At(u32::from_be_bytes([a, b, c, d])),
        _ => Tombstone::Unknown,
    })
}

/// Computes zlib's CRC-32 over `bytes`.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(any(test, fuzzing))]
pub fn write(time_s: u32, key: &[u8], value: &[u8]) -> Vec<u8> {
    let key_len = u16::try_from(key.len()).expect("bitcask takes the key");
    let value_len = u32::try_from(value.len()).expect("bitcask takes the value");
    let lens = [&key_len.to_be_bytes()[..], &value_len.to_be_bytes()].concat();
    let covered = [&time_s.to_be_bytes(), &*lens, key, value].concat();
    [&crc32(&covered).to_be_bytes(), &*covered].concat()
}

#[cfg(test)]
mod tests {
    use super::super::ForeignFormat;
    use super::*;

    #[test]
    fn a_record_is_what_bitcask_writes() {
        // A file that bitcask 2.1.0 wrote: a put of `k` and its delete.
        let file = b"\x7a\x79\x30\x41\x6b\x03\x2a\x4f\0\x01\0\0\0\x01kv\
            \xf2\x21\x35\x55\x6b\x03\x2a\x4f\0\x01\0\0\0\x16kbitcask_tombstone2\0\0\0\x01";
        let Parsed::Record(put) = read(file) else { panic!("the put is whole") };
        assert_eq!((put.time_s, put.key, put.value), (0x6b03_2a4f, &b"k"[..], &b"v"[..]));
        assert!(put.is_sound() && put.tombstone.is_none());
        let rest = file.get(put.bytes.len()..).expect("a delete follows");
        let Parsed::Record(delete) = read(rest) else { panic!("the delete is whole") };
        assert!(delete.is_sound() && delete.bytes == rest);
        assert_eq!((delete.key, delete.tombstone), (&b"k"[..], Some(Tombstone::At(1))));
    }

    #[test]
    fn each_kind_of_tombstone_is_recognised() {
        for (value, expected) in [
            (&b"bitcask_tombstone"[..], Some(Tombstone::Plain)),
            (b"bitcask_tombstone1\0\0\0\x07", Some(Tombstone::Before(7))),
            (b"bitcask_tombstone2\0\0\x01\0", Some(Tombstone::At(256))),
            (b"bitcask_tombstone2\0\0\x01", Some(Tombstone::Unknown)),
            (b"bitcask_tombstones", Some(Tombstone::Unknown)),
            (b"bitcask_tomb", None),
            (b"", None),
        ] {
            assert_eq!(tombstone(value), expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn any_changed_byte_is_detected() {
        let bytes = ForeignFormat::Bitcask.write(7, b"key", b"value");
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            *bytes.get_mut(at).expect("the byte exists") ^= 1;
            let is_taken = matches!(read(&bytes), Parsed::Record(record) if record.is_sound());
            assert!(!is_taken, "byte {at}");
        }
    }
}
