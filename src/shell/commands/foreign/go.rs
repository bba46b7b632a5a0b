//! A record of the Go program logkv-store: little-endian numbers and no checksum.
//!
//! ```text
//!    0 timestamp   u32   seconds since 1970
//!    4 key_size    u32
//!    8 value_size  u32   0: the record deletes its key
//!   12 key, value
//! ```

use super::record::{ForeignRecord, Parsed, Tombstone, split};

pub const FIELDS: &[(&str, usize)] = &[("timestamp", 4), ("key_size", 4), ("value_size", 4)];
pub const HEADER_LEN: usize = 12;

pub fn read(bytes: &[u8]) -> Parsed<'_> {
    let Some((time_s, key_len, value_len)) = header(bytes) else {
        return Parsed::Short(HEADER_LEN as u64);
    };
    match split(bytes, HEADER_LEN, key_len.into(), value_len.into()) {
        Err(len) => Parsed::Short(len),
        Ok([bytes, key, value]) => {
            let tombstone = value.is_empty().then_some(Tombstone::NoValue);
            Parsed::Record(ForeignRecord { time_s, key, value, tombstone, bytes, checksum: None })
        }
    }
}

fn header(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let (time, rest) = bytes.split_first_chunk()?;
    let (key_len, rest) = rest.split_first_chunk()?;
    let (value_len, _) = rest.split_first_chunk()?;
    Some((u32::from_le_bytes(*time), u32::from_le_bytes(*key_len), u32::from_le_bytes(*value_len)))
}

#[cfg(any(test, fuzzing))]
pub fn write(time_s: u32, key: &[u8], value: &[u8]) -> Vec<u8> {
    let key_len = u32::try_from(key.len()).expect("logkv-store takes the key");
    let value_len = u32::try_from(value.len()).expect("logkv-store takes the value");
    let header = [time_s, key_len, value_len].map(u32::to_le_bytes).concat();
    [&header, key, value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_logkv_store_writes() {
        let bytes = b"\x00\x8c\x5b\x6a\x01\0\0\0\x02\0\0\0kvw";
        let Parsed::Record(record) = read(bytes) else { panic!("the put is whole") };
        assert_eq!((record.time_s, record.key, record.value), (0x6a5b_8c00, &b"k"[..], &b"vw"[..]));
        assert_eq!((record.tombstone, record.bytes), (None, &bytes[..]));
        let Parsed::Record(delete) = read(b"\0\0\0\0\x01\0\0\0\0\0\0\0k") else {
            panic!("the delete is whole")
        };
        assert_eq!(delete.tombstone, Some(Tombstone::NoValue));
    }
}
