//! JSON objects: `{"key":"k","value":"v"}`, with `key_b64` and `value_b64` for bytes that are not
//! text, and `expires_ms` for a key that expires.
//!
//! Only the fields that make up the row are parsed. Other fields may contain anything whose end can
//! be found: huge numbers, a thousand levels, half a surrogate pair.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::row::{ImportRow, whole_number};
use super::table::TableFields;
use crate::shell::lang::words::quote;
use crate::shell::term::json::Object;

/// Writes a row without a line break.
pub fn write(out: &mut impl Write, key: &[u8], value: &[u8], expires_ms: Option<u64>) -> io::Result<()> {
    let mut object = Object::new(out);
    object.bytes("key", key)?.bytes("value", value)?;
    if let Some(expires_ms) = expires_ms {
        object.field("expires_ms", expires_ms)?;
    }
    object.close()
}

/// Reads the row of an object: an exported row, or a row of `table`. `before` bytes are before the
/// object in its first line; they count in the column of an error.
pub fn read<'a>(text: &'a [u8], before: usize, table: Option<&TableFields>) -> Result<ImportRow<'a>, String> {
    match table {
        None => read_own(text, before),
        Some(table) => read_table(text, before, table),
    }
}

/// Reads an exported row. Ignores other fields, such as those of `get --json`.
fn read_own(text: &[u8], before: usize) -> Result<ImportRow<'_>, String> {
    let names = [&b"key"[..], b"key_b64", b"value", b"value_b64", b"expires_ms"];
    let [key, key_b64, value, value_b64, expires] = fields(text, before, names)?;
    let key = bytes(["key", "key_b64"], key.map(is_key).transpose()?, key_b64)?;
    let value = bytes(["value", "value_b64"], value, value_b64)?;
    let expires_ms = expires.map(|raw| {
        whole_number(raw.get()).ok_or_else(|| "expires_ms is not a whole number of milliseconds".to_owned())
    });
    Ok(ImportRow::put(key, value).until(expires_ms.transpose()?))
}

/// Reads a row of `table`.
fn read_table<'a>(text: &'a [u8], before: usize, table: &TableFields) -> Result<ImportRow<'a>, String> {
    let value_name = table.value.as_deref().unwrap_or(&table.key);
    let [key, value] = fields(text, before, [&table.key, value_name])?;
    let missing = |name: &[u8]| format!("it has no {}", quote(name));
    let Some(key) = key else { return Err(missing(&table.key)) };
    let value = match (&table.value, value) {
        (None, _) => text.trim_ascii().into(),
        // If both names are the same, `fields` finds only the first.
        (Some(name), _) if *name == table.key => self::text(&table.key, key)?,
        (Some(name), None) => return Err(missing(name)),
        (Some(name), Some(raw)) => self::text(name, raw)?,
    };
    Ok(ImportRow::put(self::text(&table.key, is_key(key)?)?, value))
}

/// Returns the fields called `names` of the object in `text`. The last of several fields with one
/// name wins, and `null` counts as absent.
fn fields<'a, const N: usize>(
    text: &'a [u8],
    before: usize,
    names: [&[u8]; N],
) -> Result<[Option<&'a RawValue>; N], String> {
    if text.trim_ascii_start().first() != Some(&b'{') {
        let read = serde_json::from_slice::<IgnoredAny>(text);
        return Err(
            read.map_or_else(|error| in_words(&error, before), |_| "it is not a JSON object".to_owned())
        );
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let found = deserializer.deserialize_map(WantedFields(names)).and_then(|found| {
        deserializer.end()?;
        Ok(found)
    });
    let found = found.map_err(|error| in_words(&error, before))?;
    Ok(found.map(|raw| raw.filter(|raw| raw.get() != "null")))
}

/// A visitor that keeps the raw values of these fields.
struct WantedFields<'n, const N: usize>([&'n [u8]; N]);

impl<'de, const N: usize> Visitor<'de> for WantedFields<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(place) = map.next_key_seed(FieldName(&self.0))? {
            match place.and_then(|place| found.get_mut(place)) {
                Some(field) => *field = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// A visitor that finds the index of a field's name.
struct FieldName<'n>(&'n [&'n [u8]]);

impl<'de> DeserializeSeed<'de> for FieldName<'_> {
    type Value = Option<usize>;

    // As bytes, a name that is not text is only an unknown name.
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for FieldName<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|wanted| *wanted == name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        self.visit_bytes(name.as_bytes())
    }
}

/// Returns the bytes of a text field, or of its twin in base64.
fn bytes<'a>(
    [name, name_b64]: [&str; 2],
    plain: Option<&'a RawValue>,
    base64: Option<&'a RawValue>,
) -> Result<Cow<'a, [u8]>, String> {
    match (plain, base64) {
        (Some(raw), None) => text(name.as_bytes(), raw),
        (None, Some(raw)) if raw.get().starts_with('"') => {
            let bytes = BASE64_STANDARD.decode(text(name_b64.as_bytes(), raw)?);
            bytes.map(Cow::Owned).map_err(|error| format!("{name_b64} is not base64: {error}"))
        }
        (None, Some(_)) => Err(format!("{name_b64} is not a string")),
        (None, None) => Err(format!("it has no {name}")),
        (Some(_), Some(_)) => Err(format!("it has both {name} and {name_b64}")),
    }
}

/// Returns `raw` if it can be a key: a string, a number or a boolean.
fn is_key(raw: &RawValue) -> Result<&RawValue, String> {
    if raw.get().starts_with(['{', '[']) {
        return Err("its key is an array or an object; a key is a string, a number, true or false".to_owned());
    }
    Ok(raw)
}

/// Returns the text of a string, or the JSON text of another value.
fn text<'a>(name: &[u8], raw: &'a RawValue) -> Result<Cow<'a, [u8]>, String> {
    match raw.get().as_bytes() {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Ok(inner.into()),
        [b'"', ..] => match serde_json::from_str::<String>(raw.get()) {
            Ok(text) => Ok(text.into_bytes().into()),
            Err(error) => Err(format!("{} is not valid text: {}", quote(name), reason(&error))),
        },
        json => Ok(json.into()),
    }
}

/// Formats a JSON error with its position. `before` bytes are before the row in its first line.
fn in_words(error: &serde_json::Error, before: usize) -> String {
    let line = error.line();
    let column = error.column() + if line > 1 { 0 } else { before };
    let line = if line > 1 { format!("line {line} of the row, ") } else { String::new() };
    format!("it is not valid JSON at {line}column {column}: {}", reason(error))
}

/// Returns the error without its position.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: &str) -> Result<ImportRow<'_>, String> {
        read(line.as_bytes(), 0, None)
    }

    #[test]
    fn text_and_base64_are_read_and_other_fields_are_passed_over() {
        assert_eq!(row(r#"{"key":"k","value":"\u00e9\n"}"#), Ok(ImportRow::put(&b"k"[..], "é\n".as_bytes())));
        assert_eq!(
            row(r#"{"value_b64":"/wA=","key_b64":"aw==","seq":7}"#),
            Ok(ImportRow::put(&b"k"[..], &b"\xff\0"[..]))
        );
        assert_eq!(
            row(r#"{"key":"k","value":"v","expires_ms":null}"#),
            Ok(ImportRow::put(&b"k"[..], &b"v"[..]))
        );
    }

    #[test]
    fn the_content_of_an_ignored_field_never_rejects_a_row() {
        let digits = "7".repeat(400);
        let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
        for other in ["1e999", "-1e-999", &digits, &deep, r#""\ud800""#, r#"{"\udfff":"\ud800x"}"#, "null"] {
            for line in [
                format!(r#"{{"seq":{other},"key":"k","value":"v"}}"#),
                format!(r#"{{"key":"k","value":"v","time_ms":{other}}}"#),
            ] {
                assert_eq!(row(&line), Ok(ImportRow::put(&b"k"[..], &b"v"[..])), "{line:.80}");
            }
        }
        let named = br#"{"\ud800":1,"key":"k","x":"\xff","value":"v"}"#;
        assert_eq!(read(named, 0, None), Err("it is not valid JSON at column 29: invalid escape".to_owned()));
        assert_eq!(read(named, 3, None), Err("it is not valid JSON at column 32: invalid escape".to_owned()));
        let bytes = b"{\"\\ud800\":1,\"\xff\":\"\xff\",\"key\":\"k\",\"value\":\"v\"}";
        assert_eq!(read(bytes, 0, None), Ok(ImportRow::put(&b"k"[..], &b"v"[..])));
    }

    #[test]
    fn values_and_keys_that_are_not_strings_keep_their_json_text() {
        let digits = "7".repeat(400);
        for json in ["7", "1e999", &digits, "[1, 2]", r#"{"a": "\u00e9"}"#, "true", "false", "-0.50"] {
            let line = format!(r#"{{"key":"k","value": {json} }}"#);
            assert_eq!(row(&line), Ok(ImportRow::put(&b"k"[..], json.as_bytes())), "{json}");
        }
        assert_eq!(row(r#"{"key":7.0,"value":""}"#), Ok(ImportRow::put(&b"7.0"[..], &b""[..])));
        assert_eq!(row(r#"{"key":true,"value":""}"#), Ok(ImportRow::put(&b"true"[..], &b""[..])));
    }

    #[test]
    fn null_counts_as_absent() {
        let line = r#"{"key":null,"key_b64":"aw==","value":"v","value_b64":null,"expires_ms":null}"#;
        assert_eq!(row(line), Ok(ImportRow::put(&b"k"[..], &b"v"[..])));
        assert_eq!(row(r#"{"key":null,"value":"v"}"#), Err("it has no key".to_owned()));
        assert_eq!(row(r#"{"key":"k","value":null}"#), Err("it has no value".to_owned()));
    }

    #[test]
    fn a_whole_number_may_have_a_fraction_or_an_exponent() {
        for (text, expires_ms) in
            [("7.0", 7), ("1e3", 1000), ("1.5E1", 15), ("18446744073709551615", u64::MAX)]
        {
            let line = format!(r#"{{"key":"k","value":"v","expires_ms":{text}}}"#);
            assert_eq!(
                row(&line),
                Ok(ImportRow::put(&b"k"[..], &b"v"[..]).until(Some(expires_ms))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_row_has_expires_ms_only_if_the_key_expires() {
        let mut out = Vec::new();
        write(&mut out, b"k", b"v", Some(7)).expect("a Vec accepts every write");
        assert_eq!(out, b"{\"key\":\"k\",\"value\":\"v\",\"expires_ms\":7}");
        assert_eq!(read(&out, 0, None), Ok(ImportRow::put(&b"k"[..], &b"v"[..]).until(Some(7))));
    }

    #[test]
    fn any_object_is_a_row_if_the_key_field_is_named() {
        let table =
            |key: &str, value: Option<&str>| TableFields { key: key.into(), value: value.map(Into::into) };
        let line = br#" {"id": 7, "name": "x\ty", "tags": ["a"], "none": null} "#;
        let read = |table: &TableFields| super::read(line, 0, Some(table));
        assert_eq!(read(&table("id", None)), Ok(ImportRow::put(&b"7"[..], line.trim_ascii())));
        assert_eq!(read(&table("name", Some("tags"))), Ok(ImportRow::put(&b"x\ty"[..], &br#"["a"]"#[..])));
        assert_eq!(read(&table("id", Some("id"))), Ok(ImportRow::put(&b"7"[..], &b"7"[..])));
        for (table, why) in [
            (table("none", None), "it has no none"),
            (table("id", Some("none")), "it has no none"),
            (table("nowhere", Some("id")), "it has no nowhere"),
            (
                table("tags", None),
                "its key is an array or an object; a key is a string, a number, true or false",
            ),
        ] {
            assert_eq!(read(&table), Err(why.to_owned()));
        }
    }

    #[test]
    fn an_invalid_row_is_rejected_with_a_reason() {
        for (line, why) in [
            ("{", "it is not valid JSON at column 1: EOF while parsing an object"),
            ("[1]", "it is not a JSON object"),
            ("nonsense", "it is not valid JSON at column 2: expected ident"),
            (r#"{"value":"v"}"#, "it has no key"),
            (r#"{"key":"k"}"#, "it has no value"),
            (r#"{"key":"k","key_b64":"aw==","value":"v"}"#, "it has both key and key_b64"),
            (r#"{"key_b64":7,"value":"v"}"#, "key_b64 is not a string"),
            (r#"{"key_b64":"a","value":"v"}"#, "key_b64 is not base64: Invalid input length: 1"),
            (
                r#"{"key":"k","value":"v","expires_ms":-7}"#,
                "expires_ms is not a whole number of milliseconds",
            ),
            (
                r#"{"key":"k","value":"v","expires_ms":7.5}"#,
                "expires_ms is not a whole number of milliseconds",
            ),
            (
                r#"{"key":"k","value":"v","expires_ms":"7"}"#,
                "expires_ms is not a whole number of milliseconds",
            ),
            (r#"{"key":"k","value":"v"} x"#, "it is not valid JSON at column 25: trailing characters"),
            (r#"{"key":"k","value":"\ud800"}"#, "value is not valid text: unexpected end of hex escape"),
            (
                "{\"key\":\"k\",\n \"value\":nope}",
                "it is not valid JSON at line 2 of the row, column 11: expected ident",
            ),
        ] {
            assert_eq!(row(line), Err(why.to_owned()), "{line}");
        }
        let why = read(b"{\"key\":\"k\",\"value\":\"\xff\"}", 0, None).expect_err("the text is not UTF-8");
        assert!(why.starts_with("it is not valid JSON at column 2"), "{why}");
    }
}
