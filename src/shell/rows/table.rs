//! Tables as they are found: which of their fields is the key, and which the value.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::super::json::Object;
use super::super::words::visible;
use super::{Row, whole_number};

/// Which fields of a table make its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The name of the field that is the key.
    pub key: String,
    /// That of the value; `None`: the whole row is the value, as JSON.
    pub value: Option<String>,
}

/// The first line of a table in text: the names of its columns, and what they are for.
#[derive(Debug)]
pub struct Header {
    names: Vec<String>,
    columns: Columns,
}

/// What columns are for, by their places.
#[derive(Debug)]
enum Columns {
    /// Those of an export.
    Own { key: [Option<usize>; 2], value: [Option<usize>; 2], expires: Option<usize> },
    /// Those that were named.
    Named { key: usize, value: Option<usize> },
}

/// A field of a row; `None` where the format says that it has no value.
pub type Field<'a> = Option<Cow<'a, [u8]>>;

impl Header {
    /// The header whose fields are `names`. Fails if a column is missing.
    pub fn new(names: &[Field<'_>], table: Option<&Table>) -> Result<Self, String> {
        let name =
            |name: &Field<'_>| String::from_utf8_lossy(name.as_deref().unwrap_or_default()).into_owned();
        let names: Vec<String> = names.iter().map(name).collect();
        let place = |name: &str| names.iter().position(|found| found == name || found.trim() == name);
        let missing = |name: &str| {
            let all: Vec<_> = names.iter().map(|name| visible(name.trim().as_bytes())).collect();
            format!("it has no column {}; its columns are {}", visible(name.as_bytes()), all.join(", "))
        };
        let columns = match table {
            Some(Table { key, value }) => Columns::Named {
                key: place(key).ok_or_else(|| missing(key))?,
                value: value.as_ref().map(|name| place(name).ok_or_else(|| missing(name))).transpose()?,
            },
            None => {
                let both = |name: &str| [place(name), place(&format!("{name}_b64"))];
                let columns =
                    Columns::Own { key: both("key"), value: both("value"), expires: place("expires_ms") };
                for name in ["key", "value"] {
                    if both(name) == [None; 2] {
                        return Err(missing(name));
                    }
                }
                columns
            }
        };
        Ok(Self { names, columns })
    }

    /// The row that has `fields`.
    pub fn row<'a>(&self, fields: &[Field<'a>]) -> Result<Row<'a>, String> {
        match (fields.len(), self.names.len()) {
            (found, named) if found < named => {
                return Err(format!("it has {found} of the header's {named} fields"));
            }
            (found, named) if found > named => {
                return Err(format!("it has {found} fields, and the header {named}"));
            }
            _ => {}
        }
        let field = |place: usize| fields.get(place).cloned().flatten();
        match &self.columns {
            Columns::Named { key, value } => {
                let missing =
                    |place: usize| format!("it has no {}", self.names.get(place).map_or("", String::as_str));
                let value = match value {
                    Some(place) => field(*place).ok_or_else(|| missing(*place))?,
                    None => self.object(fields).into(),
                };
                Ok(Row::put(field(*key).ok_or_else(|| missing(*key))?, value))
            }
            Columns::Own { key, value, expires } => {
                let bytes = |name, [plain, base64]: [Option<usize>; 2]| {
                    bytes(name, plain.and_then(field), base64.and_then(field))
                };
                let expires = expires.and_then(field).filter(|text| !text.is_empty());
                let expires_ms = expires.map(|text| {
                    let number = str::from_utf8(&text).ok().and_then(whole_number);
                    number.ok_or_else(|| "expires_ms is no number of milliseconds".to_owned())
                });
                Ok(Row::put(bytes("key", *key)?, bytes("value", *value)?).until(expires_ms.transpose()?))
            }
        }
    }

    /// `fields` by their columns' names, as a JSON object.
    fn object(&self, fields: &[Field<'_>]) -> Vec<u8> {
        let mut json = Vec::new();
        let mut object = Object::new(&mut json);
        for (name, field) in self.names.iter().zip(fields) {
            let name = serde_json::Value::from(name.trim()).to_string();
            let name = name.get(1..name.len() - 1).unwrap_or_default();
            object.bytes_if_any(name, field.as_deref()).expect("memory takes it");
        }
        object.close().expect("memory takes it");
        json
    }
}

/// The bytes of two columns, the second of which has them in base64, where it has any.
fn bytes<'a>(name: &str, plain: Field<'a>, base64: Field<'a>) -> Result<Cow<'a, [u8]>, String> {
    match (plain, base64.filter(|text| !text.is_empty())) {
        (Some(plain), None) => Ok(plain),
        (plain, Some(text)) if plain.as_ref().is_none_or(|plain| plain.is_empty()) => {
            let bytes = BASE64_STANDARD.decode(text);
            bytes.map(Cow::Owned).map_err(|error| format!("{name}_b64 is no base64: {error}"))
        }
        (Some(_), Some(_)) => Err(format!("it has both {name} and {name}_b64")),
        (None, _) => Err(format!("it has no {name}")),
    }
}
