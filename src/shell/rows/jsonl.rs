//! `{"key":"k","value":"v"}`, with `key_b64` and `value_b64` for bytes that are no text, and `expires_ms` where the key expires.

use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::super::json::Object;
use super::Row;

pub fn write(out: &mut impl Write, key: &[u8], value: &[u8], expires_ms: Option<u64>) -> io::Result<()> {
    let mut object = Object::new(out);
    object.bytes("key", key)?.bytes("value", value)?;
    if let Some(expires_ms) = expires_ms {
        object.field("expires_ms", expires_ms)?;
    }
    object.end()
}

/// Fields of other names, such as `get --json` and `keys --json --long` print, are passed over.
pub fn read(line: &[u8]) -> Result<Row<'static>, String> {
    let text = str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let object: Value = serde_json::from_str(text).map_err(|error| in_words(&error))?;
    let Value::Object(mut fields) = object else { return Err("it is no JSON object".to_owned()) };
    let mut take = |name: &str| bytes(&mut fields, name);
    let (key, value) = (take("key")?, take("value")?);
    let expires_ms = match fields.remove("expires_ms") {
        None | Some(Value::Null) => None,
        Some(expiry) => Some(expiry.as_u64().ok_or("expires_ms is no number of milliseconds")?),
    };
    Ok(Row::put(key, value).until(expires_ms))
}

/// The bytes in field `name`, or in base64 in `name_b64`.
fn bytes(fields: &mut serde_json::Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let name_b64 = format!("{name}_b64");
    match (fields.remove(name), fields.remove(&name_b64)) {
        (Some(Value::String(text)), None) => Ok(text.into_bytes()),
        (None, Some(Value::String(text))) => {
            BASE64_STANDARD.decode(text).map_err(|error| format!("{name_b64} is no base64: {error}"))
        }
        (None, None) => Err(format!("it has no {name}")),
        (Some(_), Some(_)) => Err(format!("it has both {name} and {name_b64}")),
        (Some(_), None) => Err(format!("{name} is no string")),
        (None, Some(_)) => Err(format!("{name_b64} is no string")),
    }
}

/// What is wrong with a line, without the line's own number, which is always 1 there.
fn in_words(error: &serde_json::Error) -> String {
    let (text, column) = (error.to_string(), error.column());
    let text = text.split(" at line ").next().unwrap_or_default();
    format!("it is no JSON at column {column}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: &str) -> Result<Row<'static>, String> {
        read(line.as_bytes())
    }

    #[test]
    fn text_and_base64_are_read_and_other_fields_are_passed_over() {
        assert_eq!(row(r#"{"key":"k","value":"\u00e9\n"}"#), Ok(Row::put(&b"k"[..], "é\n".as_bytes())));
        assert_eq!(
            row(r#"{"value_b64":"/wA=","key_b64":"aw==","seq":7}"#),
            Ok(Row::put(&b"k"[..], &b"\xff\0"[..]))
        );
        assert_eq!(row(r#"{"key":"k","value":"v","expires_ms":null}"#), Ok(Row::put(&b"k"[..], &b"v"[..])));
    }

    #[test]
    fn when_a_key_expires_is_said_where_it_does() {
        let mut out = Vec::new();
        write(&mut out, b"k", b"v", Some(7)).expect("memory takes it");
        assert_eq!(out, b"{\"key\":\"k\",\"value\":\"v\",\"expires_ms\":7}\n");
        assert_eq!(read(out.trim_ascii_end()), Ok(Row::put(&b"k"[..], &b"v"[..]).until(Some(7))));
    }

    #[test]
    fn what_is_no_row_says_why() {
        for (line, why) in [
            ("{", "it is no JSON at column 1: EOF while parsing an object"),
            ("[1]", "it is no JSON object"),
            (r#"{"value":"v"}"#, "it has no key"),
            (r#"{"key":"k"}"#, "it has no value"),
            (r#"{"key":"k","value":7}"#, "value is no string"),
            (r#"{"key":"k","value":null}"#, "value is no string"),
            (r#"{"key":"k","key_b64":"aw==","value":"v"}"#, "it has both key and key_b64"),
            (r#"{"key_b64":7,"value":"v"}"#, "key_b64 is no string"),
            (r#"{"key_b64":"a","value":"v"}"#, "key_b64 is no base64: Invalid input length: 1"),
            (r#"{"key":"k","value":"v","expires_ms":-7}"#, "expires_ms is no number of milliseconds"),
        ] {
            assert_eq!(row(line), Err(why.to_owned()), "{line}");
        }
        assert_eq!(read(b"\"\xff\""), Err("it is not UTF-8".to_owned()));
    }
}
