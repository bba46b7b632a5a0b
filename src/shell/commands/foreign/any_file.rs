//! Properties of the readers that hold for any bytes, checked by random tests and by the fuzzer.

use super::{ForeignFormat, Parsed};

/// Checks that the readers take any bytes without a panic, that a record consists of bytes of the
/// file, and that fewer bytes never give another record.
///
/// # Panics
/// If a property does not hold.
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
            assert!(bytes.starts_with(own), "a record is at the start of the bytes");
            assert_eq!(format.read(own), Parsed::Record(record), "bytes after a record do not change it");
            if record.is_sound() {
                assert_eq!(format.write(record.time_s, record.key, record.value), own);
            }
            let without_end = own.get(..own.len() - 1).expect("no record is empty");
            assert!(matches!(format.read(without_end), Parsed::Short(_)));
        }
        Parsed::Short(needed) => assert!(needed > bytes.len() as u64, "all {needed} bytes are present"),
    }
}

/// Writes a record and reads it back. The first byte is the length of the key.
fn written_is_read(format: ForeignFormat, bytes: &[u8]) {
    let (&key_len, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let (key, value) = rest.split_at_checked(key_len.into()).unwrap_or((rest, &[]));
    let written = format.write(u32::from(key_len), key, value);
    let Parsed::Record(record) = format.read(&written) else { panic!("a written record is whole") };
    assert!(record.is_sound());
    assert_eq!((record.time_s, record.key, record.value), (u32::from(key_len), key, value));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_properties_hold_for_any_bytes(
            bytes in any::<Vec<u8>>(),
            at in any::<prop::sample::Index>(),
        ) {
            holds(&bytes);
            // Random bytes are hardly ever a record, so a real one comes first.
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
    fn the_properties_hold_for_every_file_of_the_fuzz_corpus() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/import");
        let files = std::fs::read_dir(dir)
            .expect("the corpus is readable")
            .map(|entry| entry.expect("the entry is readable").path());
        assert!(files.map(|path| holds(&std::fs::read(path).expect("the file is readable"))).count() > 0);
    }
}
