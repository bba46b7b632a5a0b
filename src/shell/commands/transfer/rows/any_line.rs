//! Properties of all row formats that hold for any line, checked by random tests and by the fuzzer.

use std::borrow::Cow;

use logkv::{Expiry, Visible};

use super::csv::{CsvColumns, CsvRecords};
use super::table::{TableFields, TableHeader};
use super::{ImportRow, RowFormat, RowWriter, jsonl, script, tsv};
use crate::shell::lang::words::Lexer;
use crate::shell::lang::words::plain::Plain;

/// Checks that every format reads `line` without a panic. Each row of it, and rows that contain its
/// bytes, must be read back unchanged from every format.
///
/// # Panics
/// If a property does not hold.
pub fn holds(line: &[u8]) {
    let whole = TableFields { key: "key".into(), value: None };
    let of_field = Some("value".into());
    let of_field = TableFields { value: of_field, ..whole.clone() };
    for read in [
        jsonl::read(line, 0, None),
        tsv::read(line),
        jsonl::read(line, 7, Some(&whole)),
        jsonl::read(line, 0, Some(&of_field)),
    ] {
        match read {
            Ok(row) => returns(&row),
            Err(why) => assert!(why.chars().all(Visible::is), "a message is safe on a terminal"),
        }
    }
    for plain in [Plain::Pairs, Plain::Keys] {
        script::read(Lexer::new(line), plain).unwrap_or_default().iter().for_each(returns);
    }
    for table in [None, Some(&whole), Some(&of_field)] {
        let records = csv_records(&[b"key,value,value_b64\n", line].concat());
        let header = records.first().map(|names| TableHeader::new(&fields(names), table));
        let header = header.expect("the header is the first record").expect("the header has the columns");
        records
            .iter()
            .skip(1)
            .filter_map(|record| header.row(&fields(record)).ok())
            .for_each(|row| returns(&row));
        if let Ok(fields) = tsv::fields(line)
            && let Ok(header) = TableHeader::new(&fields, table)
        {
            header.row(&fields).iter().for_each(returns);
        }
    }
    let (key, value) = line.split_at(line.len() / 2);
    returns(&ImportRow::put(key, value));
    returns(&ImportRow::put(line, b"".as_slice()).until(Some(line.len() as u64)));
}

fn owned(row: ImportRow<'_>) -> ImportRow<'static> {
    let owned = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
    ImportRow { key: owned(row.key), value: row.value.map(owned), expiry: row.expiry }
}

/// Checks that `row` is read back unchanged from each text format.
fn returns(row: &ImportRow<'_>) {
    let Some(value) = &row.value else { return };
    let expires_ms = match row.expiry {
        Some(Expiry::At(expires_ms)) => Some(expires_ms.min(Expiry::AT_MS_MAX)),
        _ => None,
    };
    let row = row.clone().until(expires_ms);
    let mut columns = CsvColumns::default();
    columns.add(&row.key, value, expires_ms);
    for format in [RowFormat::Jsonl, RowFormat::Tsv, RowFormat::Script, RowFormat::Csv] {
        let mut writer = RowWriter::new(format, columns);
        let mut written = Vec::new();
        writer.begin(&mut written).expect("a Vec accepts every write");
        writer.write(&mut written, &row.key, value, expires_ms).expect("a Vec accepts every write");
        let text = str::from_utf8(&written).expect("a row is text");
        let is_seen = |c| Visible::is(c) || matches!(c, '\t' | '\n') || format == RowFormat::Csv && c == '\r';
        assert!(text.chars().all(is_seen), "nothing that would drive a terminal");
        let line = written.strip_suffix(b"\n").expect("a row ends");
        let read = match format {
            RowFormat::Jsonl => jsonl::read(line, 0, None),
            RowFormat::Tsv => tsv::read(line),
            RowFormat::Script => {
                let words = line.strip_prefix(b"put ").expect("a row is a put");
                Ok(script::read(Lexer::new(words), Plain::Pairs).expect("the row is a plain put").remove(0))
            }
            _ => {
                let records = csv_records(&written);
                assert_eq!(records.len(), 2, "a header and a row");
                let header =
                    TableHeader::new(&fields(&records[0]), None).expect("the header has the columns");
                header.row(&fields(&records[1])).map(owned)
            }
        };
        assert_eq!(read.as_ref(), Ok(&row), "{}", format.name());
        assert!(format == RowFormat::Csv || !line.contains(&b'\n'), "a row is a line");
    }
}

/// Returns the records of `text`, which may lack the last line break.
fn csv_records(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut records = CsvRecords::default();
    let mut found = Vec::new();
    for mut rest in [text, b"\n"] {
        while !rest.is_empty() {
            let (taken, is_whole) = records.push(rest);
            rest = &rest[taken..];
            if is_whole {
                found.push(records.fields().into_iter().flatten().map(|field| field.into_owned()).collect());
                records.forget();
            }
        }
    }
    found
}

fn fields(record: &[Vec<u8>]) -> Vec<super::table::TextField<'_>> {
    record.iter().map(|field| Some(field.as_slice().into())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_line() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<Vec<u8>>(),
            r#"[\\\t a-fxnN0-9]*"#.prop_map(String::into_bytes),
            r#"(put|del|#)( --until| [0-9]*[smh])?[ \\"'x0-9a-]*( --until [0-9]{0,20})?"#
                .prop_map(String::into_bytes),
            r#"([",\n\r \ta-c=]|\PC){0,12}"#.prop_map(String::into_bytes),
            r#"\{("(key|value)(_b64)?":("[a-zA-Z0-9+/=\\]*"|7|null|\[1e999\]|1e3),?)*\}"#
                .prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn the_properties_hold_for_any_line(line in any_line()) {
            holds(&line);
        }
    }

    #[test]
    fn the_properties_hold_for_every_line_of_the_fuzz_corpus() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/import");
        let files = std::fs::read_dir(dir)
            .expect("the corpus is readable")
            .map(|entry| entry.expect("the entry is readable").path());
        let files: Vec<_> = files.map(|path| std::fs::read(path).expect("the file is readable")).collect();
        let lines = files.iter().flat_map(|file| file.split(|&byte| byte == b'\n'));
        assert!(lines.map(holds).count() > files.len());
    }
}
