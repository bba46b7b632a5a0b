//! What must hold for any bytes in a data file of another store: driven by the tests at random, and by the fuzzer.

use super::{ForeignFormat, Parsed};

/// Checks that `bytes` are read without a panic from their start and from any later byte, that a record is made of bytes that
/// are there, and that fewer bytes never make another record.
///
/// # Panics
/// When that does not hold.
pub fn holds(bytes: &[u8]) {
    for format in ForeignFormat::ALL {
        for at in 0..=bytes.len().min(64) {
            reads_alike(format, bytes.get(at..).unwrap_or_default());
        }
        written_is_read(format, bytes);
    }
}

fn reads_alike(format: ForeignFormat, bytes: &[u8]) {
    match format.read(bytes) {
        Parsed::Record(record) => {
            let own = record.bytes;
            assert_eq!(own.len(), format.header_len() + record.key.len() + record.value.len());
            assert!(bytes.starts_with(own), "a record is made of the bytes that are there");
            assert_eq!(format.read(own), Parsed::Record(record), "what follows a record does not change it");
            if record.is_sound() {
                assert_eq!(format.write(record.time_s, record.key, record.value), own);
            }
            let without_end = own.get(..own.len() - 1).expect("no record is empty");
            assert!(matches!(format.read(without_end), Parsed::Short(_)));
        }
        Parsed::Short(needed) => assert!(needed > bytes.len() as u64, "{needed} bytes are there"),
    }
}

/// The first byte says how many of the others are the key.
fn written_is_read(format: ForeignFormat, bytes: &[u8]) {
    let (&key_len, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let (key, value) = rest.split_at_checked(key_len.into()).unwrap_or((rest, &[]));
    let written = format.write(u32::from(key_len), key, value);
    let Parsed::Record(record) = format.read(&written) else { panic!("what was written is there") };
    assert!(record.is_sound());
    assert_eq!((record.time_s, record.key, record.value), (u32::from(key_len), key, value));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_whatsoever_make_a_reader_stumble(bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>()) {
            holds(&bytes);
            // Of bytes at random hardly any are a record.
            for format in ForeignFormat::ALL {
                let mut file = format.write(7, b"key", &bytes);
                holds(&file);
                let at = at.index(file.len());
                file.truncate(at);
                holds(&file);
            }
        }
    }

    #[test]
    fn no_file_that_the_fuzzer_found_makes_a_reader_stumble() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/import");
        let files = std::fs::read_dir(dir).expect("a corpus").map(|entry| entry.expect("an entry").path());
        assert!(files.map(|path| holds(&std::fs::read(path).expect("an input"))).count() > 0);
    }
}
