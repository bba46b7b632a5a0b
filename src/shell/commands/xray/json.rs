//! One JSON object an item, with every field, and one for the file.

use std::io::{self, Write};

use base64::prelude::{BASE64_STANDARD, Engine};

use super::request::{Request, Values};
use super::shown::{Fact, Shown};
use super::text::checksum;
use crate::shell::term::json::Object;

/// Writes one item.
pub fn write(out: &mut impl Write, item: &Shown<'_>, request: &Request) -> io::Result<()> {
    let mut object = Object::new(out);
    match item {
        Shown::Record(record) => {
            object.field("type", "record")?.field("index", record.index)?;
            write_facts(&mut object, record.details.file())?;
            object.field("offset", record.at)?.field("len", record.len)?;
            object.field("kind", record.kind.to_lowercase())?.bytes("key", record.key)?;
            if let Some(value) = record.value.filter(|_| request.values != Values::None) {
                object.bytes("value", value)?;
            }
            write_facts(&mut object, record.details.facts())?;
            if request.hex {
                object.field("bytes_b64", BASE64_STANDARD.encode(record.details.bytes()))?;
            }
        }
        Shown::Bad(bad) => {
            let (stored, computed) = bad.checksums.unzip();
            object.field("type", bad.kind())?.field("offset", bad.at)?.field("len", bad.len)?;
            object.field("damage", bad.damage.as_str())?;
            object.field("stored", stored.map(checksum))?.field("computed", computed.map(checksum))?;
            write_facts(&mut object, bad.facts.clone())?;
        }
    }
    object.end()
}

/// Writes `facts` about the file, and where the items that were not shown start.
pub fn write_summary(out: &mut impl Write, facts: Vec<Fact>, next: Option<u64>) -> io::Result<()> {
    let mut object = Object::new(out);
    object.field("type", "summary")?;
    write_facts(&mut object, facts)?;
    object.field("next", next)?.end()
}

fn write_facts<W: Write>(object: &mut Object<'_, W>, facts: Vec<Fact>) -> io::Result<()> {
    facts.into_iter().try_for_each(|(name, value)| object.field(name, value).map(drop))
}
