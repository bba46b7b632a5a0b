//! Tables of any kind: the fields that are key and value.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use logkv::Grouped;

use super::row::{ImportRow, whole_number};
use crate::shell::lang::words::shown;
use crate::shell::term::json::Object;

/// The fields of a table that make up a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFields {
    /// The name of the key field.
    pub key: Vec<u8>,
    /// The name of the value field. `None` imports the whole row as JSON.
    pub value: Option<Vec<u8>>,
}

/// The header of a table in text: the names and the roles of its columns.
#[derive(Debug)]
pub struct TableHeader {
    names: Vec<Vec<u8>>,
    columns: ColumnRoles,
}

/// The roles of columns, by their indexes.
#[derive(Debug)]
enum ColumnRoles {
    /// The columns of an export.
    Own { key: [Option<usize>; 2], value: [Option<usize>; 2], expires: Option<usize> },
    /// The columns that the user named.
    Named { key: usize, value: Option<usize> },
}

/// A field of a row. `None` if the format marks it as null.
pub type TextField<'a> = Option<Cow<'a, [u8]>>;

/// The reason why a header does not identify its columns.
#[derive(Debug, PartialEq, Eq)]
pub struct HeaderProblem {
    pub why: String,
    /// Advice.
    pub hint: Option<&'static str>,
}

impl TableHeader {
    /// Creates a header from its fields. Fails if a column is missing or ambiguous.
    pub fn new(names: &[TextField<'_>], table: Option<&TableFields>) -> Result<Self, HeaderProblem> {
        let names: Vec<_> =
            names.iter().map(|name| name.as_deref().unwrap_or_default().trim_ascii().to_vec()).collect();
        let found = |name: &[u8]| column_index(&names, name.trim_ascii());
        let columns = match table {
            Some(TableFields { key, value }) => {
                let named = |name: &[u8]| found(name)?.ok_or_else(|| missing(&names, name, None));
                let columns =
                    ColumnRoles::Named { key: named(key)?, value: value.as_deref().map(named).transpose()? };
                if value.is_none() {
                    check_object(&names)?;
                }
                columns
            }
            None => {
                let both = |name: &str| -> Result<_, HeaderProblem> {
                    let places = [found(name.as_bytes())?, found(format!("{name}_b64").as_bytes())?];
                    let hint = Some("--key COLUMN says which one is the key");
                    if places == [None; 2] { Err(missing(&names, name.as_bytes(), hint)) } else { Ok(places) }
                };
                ColumnRoles::Own { key: both("key")?, value: both("value")?, expires: found(b"expires_ms")? }
            }
        };
        Ok(Self { names, columns })
    }

    /// Converts `fields` to a row.
    pub fn row<'a>(&self, fields: &[TextField<'a>]) -> Result<ImportRow<'a>, String> {
        match (fields.len(), self.names.len()) {
            (found, named) if found < named => {
                return Err(format!("it has {found} of the header's {named} fields"));
            }
            (found, named) if found > named => {
                return Err(format!("it has {found} fields, and the header has {named}"));
            }
            _ => {}
        }
        let field = |place: usize| fields.get(place).cloned().flatten();
        match &self.columns {
            ColumnRoles::Named { key, value } => {
                let missing = |place: usize| {
                    format!("it has no {}", self.names.get(place).map_or(String::new(), |name| shown(name)))
                };
                let value = match value {
                    Some(place) => field(*place).ok_or_else(|| missing(*place))?,
                    None => self.object(fields).into(),
                };
                Ok(ImportRow::put(field(*key).ok_or_else(|| missing(*key))?, value))
            }
            ColumnRoles::Own { key, value, expires } => {
                let bytes = |name, [plain, base64]: [Option<usize>; 2]| {
                    bytes(name, plain.and_then(field), base64.and_then(field))
                };
                let expires = expires.and_then(field).filter(|text| !text.is_empty());
                let expires_ms = expires.map(|text| {
                    let number = str::from_utf8(&text).ok().and_then(whole_number);
                    number.ok_or_else(|| "expires_ms is not a whole number of milliseconds".to_owned())
                });
                Ok(ImportRow::put(bytes("key", *key)?, bytes("value", *value)?)
                    .until(expires_ms.transpose()?))
            }
        }
    }

    /// Returns `fields` as a JSON object with the names of the columns.
    fn object(&self, fields: &[TextField<'_>]) -> Vec<u8> {
        let mut json = Vec::new();
        let mut object = Object::new(&mut json);
        for (name, field) in self.names.iter().zip(fields) {
            let name = serde_json::Value::from(String::from_utf8_lossy(name)).to_string();
            let name = name.get(1..name.len() - 1).unwrap_or_default();
            object.bytes_if_any(name, field.as_deref()).expect("a Vec accepts every write");
        }
        object.close().expect("a Vec accepts every write");
        json
    }
}

/// Returns the index of the column called `name`. Two columns of that name are ambiguous.
fn column_index(names: &[Vec<u8>], name: &[u8]) -> Result<Option<usize>, HeaderProblem> {
    let mut places = names.iter().enumerate().filter(|(_, found)| *found == name).map(|(at, _)| at);
    match (places.next(), places.next()) {
        (_, Some(_)) => Err(HeaderProblem {
            why: format!("it has more than one column {}", shown(name)),
            hint: Some("rename all but one of them in the file"),
        }),
        (place, None) => Ok(place),
    }
}

fn missing(names: &[Vec<u8>], name: &[u8], hint: Option<&'static str>) -> HeaderProblem {
    const SHOWN_MAX: usize = 20;
    let all: Vec<_> = names.iter().take(SHOWN_MAX).map(|name| shown(name)).collect();
    let more = match names.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {} more", Grouped(more as u64)),
    };
    let all = all.join(", ");
    HeaderProblem { why: format!("it has no column {}; its columns are {all}{more}", shown(name)), hint }
}

/// Fails if a row cannot be a JSON object: the names must be distinct UTF-8.
fn check_object(names: &[Vec<u8>]) -> Result<(), HeaderProblem> {
    let mut seen = HashSet::new();
    if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
        return Err(HeaderProblem {
            why: format!(
                "it has more than one column {}, and a JSON object needs distinct names",
                shown(name)
            ),
            hint: Some("--value COLUMN imports one column instead of the whole row"),
        });
    }
    if let Some(name) = names.iter().find(|name| str::from_utf8(name).is_err()) {
        return Err(HeaderProblem {
            why: format!("its column {} is not UTF-8, which a JSON name must be", shown(name)),
            hint: Some("iconv converts it; --value COLUMN imports one column instead of the whole row"),
        });
    }
    Ok(())
}

/// Returns the bytes of a text column, or of its twin in base64.
fn bytes<'a>(name: &str, plain: TextField<'a>, base64: TextField<'a>) -> Result<Cow<'a, [u8]>, String> {
    match (plain, base64.filter(|text| !text.is_empty())) {
        (Some(plain), None) => Ok(plain),
        (plain, Some(text)) if plain.as_ref().is_none_or(|plain| plain.is_empty()) => {
            let bytes = BASE64_STANDARD.decode(text);
            bytes.map(Cow::Owned).map_err(|error| format!("{name}_b64 is not base64: {error}"))
        }
        (Some(_), Some(_)) => Err(format!("it has both {name} and {name}_b64")),
        (None, _) => Err(format!("it has no {name}")),
    }
}
