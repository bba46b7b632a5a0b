//! What must hold for any line of any format, and for any row: driven by the tests at random, and by the fuzzer.

use logkv::{Expiry, Visible};

use super::{Format, Row};

const READ: [Format; 3] = [Format::Jsonl, Format::Tsv, Format::Script];

/// Checks that `line` is read without a panic in each format, and that each row of it, and the row that has `line`'s own bytes,
/// is read back as it was from what is written of it.
///
/// # Panics
/// When that does not hold.
pub fn holds(line: &[u8]) {
    for format in READ {
        match format.read(line) {
            Ok(rows) => rows.iter().for_each(returns),
            Err(why) => assert!(why.chars().all(Visible::is), "nothing that would drive a terminal"),
        }
    }
    let (key, value) = line.split_at(line.len() / 2);
    returns(&Row::put(key, value));
    returns(&Row::put(line, b"".as_slice()).until(Some(line.len() as u64)));
}

/// Checks that `row` comes back from each format, in one line of text.
fn returns(row: &Row<'_>) {
    let Some(value) = &row.value else { return };
    for format in READ {
        let mut written = Vec::new();
        // How long after it is read, no format says of what is there.
        let expires_ms = match row.expiry {
            Some(Expiry::At(expires_ms)) if format.has_expiry() => Some(expires_ms),
            _ => None,
        };
        format.write(&mut written, &row.key, value, expires_ms).expect("memory takes it");
        let line = written.strip_suffix(b"\n").expect("a row is a line");
        let text = str::from_utf8(line).expect("a row is text");
        assert!(text.chars().all(|c| Visible::is(c) || c == '\t'), "nothing that would drive a terminal");
        assert!(!format.is_blank(line), "no row is passed over");
        assert_eq!(format.read(line), Ok(vec![row.clone().until(expires_ms)]), "{}", format.name());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_line() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<Vec<u8>>(),
            r#"[\\\t a-fxnN0-9]*"#.prop_map(String::into_bytes),
            r#"(put|del|#)( --ttl| [0-9]*[smh])?[ \\"'x0-9a-]*( --ttl [0-9]*[smh]?)?"#
                .prop_map(String::into_bytes),
            r#"\{("(key|value)(_b64)?":("[a-zA-Z0-9+/=\\]*"|7|null),?)*\}"#.prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn no_line_whatsoever_makes_a_reader_stumble_and_every_row_comes_back(line in any_line()) {
            holds(&line);
        }
    }

    #[test]
    fn no_line_that_the_fuzzer_found_makes_a_reader_stumble() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/import");
        let files = std::fs::read_dir(dir).expect("a corpus").map(|entry| entry.expect("an entry").path());
        let files: Vec<_> = files.map(|path| std::fs::read(path).expect("an input")).collect();
        let lines = files.iter().flat_map(|file| file.split(|&byte| byte == b'\n'));
        assert!(lines.map(holds).count() > files.len());
    }
}
