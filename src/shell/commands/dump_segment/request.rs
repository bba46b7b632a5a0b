//! The request of `dump-segment`: its arguments, and the records that match them.

use std::collections::VecDeque;

use logkv::SegmentId;
use logkv::inspect::{Fate, Inspection, Item, Range};

use super::dump_item::DumpItem;
use super::own;
use crate::shell::lang::command::{Flag, Takes};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::glob::Glob;
use crate::shell::lang::words;
use crate::shell::run::session::Invocation;
use crate::shell::term::output::{Mode, Output};
use crate::shell::term::units;

/// A filter on the state of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFilter {
    /// The newest record of a key.
    Live,
    /// A replaced or deleted record.
    Dead,
    /// An intact tombstone, whether or not it is dead.
    Tomb,
    /// An expired record.
    Expired,
    /// Damaged or torn bytes.
    Bad,
}

impl StateFilter {
    /// The names that `--only` takes.
    pub const NAMES: &'static [&'static str] = &["live", "dead", "tomb", "expired", "bad"];

    const ALL: [Self; 5] = [Self::Live, Self::Dead, Self::Tomb, Self::Expired, Self::Bad];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|only| only.name() == name)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    fn takes(self, item: &DumpItem<'_>) -> bool {
        let DumpItem::Record(record) = item else { return self == Self::Bad };
        match (self, record.fate) {
            (Self::Bad, fate) => fate == Some(Fate::Damaged),
            (Self::Live, fate) => fate == Some(Fate::Live),
            (Self::Dead, fate) => {
                matches!(fate, Some(Fate::ReplacedBy(_) | Fate::DeletedBy(_) | Fate::TombstoneReplacedBy(_)))
            }
            (Self::Tomb, fate) => record.is_delete && fate != Some(Fate::Damaged),
            (Self::Expired, fate) => fate == Some(Fate::Expired),
        }
    }
}

/// The part of a value that is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueDisplay {
    None,
    /// The part that fits in its column.
    #[default]
    Preview,
    Full,
}

impl ValueDisplay {
    /// The names that `--values` takes.
    pub const NAMES: &'static [&'static str] = &["none", "preview", "full"];

    const ALL: [Self; 3] = [Self::None, Self::Preview, Self::Full];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|values| values.name() == name)
    }

    fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// A pattern of keys, and its text.
#[derive(Debug)]
pub struct KeyPattern {
    text: Vec<u8>,
    glob: Glob,
}

impl KeyPattern {
    fn takes(&self, key: &[u8]) -> bool {
        self.glob.matches(key)
    }
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpForm {
    /// A heading, columns and totals.
    Drawn,
    /// One line of tab-separated fields per item.
    Lines,
    /// One JSON object per item.
    Objects,
}

/// The flags of `dump-segment`.
pub const FLAGS: &[Flag] = &[
    Flag::long("from", Takes::Number, "Starts at the first record at or after this byte"),
    Flag::long("limit", Takes::Number, "Shows at most this many records"),
    Flag::long("tail", Takes::Number, "Shows this many of the last records"),
    Flag::long("record", Takes::Number, "Shows only the record with this number, counted from 0"),
    Flag::long("key", Takes::Glob, "Shows only records of matching keys"),
    Flag::long("only", Takes::Enum(StateFilter::NAMES), "Shows only records in this state"),
    Flag::long("values", Takes::Enum(ValueDisplay::NAMES), "How much of each value to show"),
    Flag::long("hex", Takes::Nothing, "Shows every byte, field by field"),
];

/// The arguments and flags of one call of `dump-segment`.
#[derive(Debug)]
pub struct DumpRequest {
    pub segment: SegmentId,
    /// The offset to start at.
    pub from: u64,
    /// The number of items to show. `None` shows a page on a terminal, and everything elsewhere.
    pub limit: Option<usize>,
    /// Shows only this many of the last items.
    pub tail: Option<usize>,
    /// Shows only the record with this number, from 0.
    pub record: Option<u64>,
    /// Shows only records of matching keys.
    pub key: Option<KeyPattern>,
    /// Shows only records in this state.
    pub only: Option<StateFilter>,
    /// The part of each value that is shown.
    pub values: ValueDisplay,
    /// Whether every byte is shown.
    pub hex: bool,
}

impl DumpRequest {
    /// The number of items on a page.
    pub const PAGE_LEN: usize = 40;

    /// Reads the request from a call of `dump-segment` in mode `mode`.
    pub fn of(invocation: &Invocation, segment: SegmentId, mode: Mode) -> Result<Self, Failure> {
        if let Some(values) = invocation.value("values").filter(|word| word.bytes == b"preview")
            && mode == Mode::Json
        {
            let failure =
                Failure::usage("--values preview does not work in mode json, which has whole values");
            return Err(failure.at(values.span.clone()).hint("--values none leaves values out"));
        }
        let word = |name| invocation.value(name).and_then(|word| str::from_utf8(&word.bytes).ok());
        let count = |name| -> Result<Option<usize>, Failure> {
            Ok(invocation.number(name)?.map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
        };
        Ok(Self {
            segment,
            from: invocation.number("from")?.unwrap_or(0),
            limit: count("limit")?,
            tail: count("tail")?,
            record: invocation.number("record")?,
            key: invocation
                .value("key")
                .map(|word| Ok::<_, Failure>(KeyPattern { text: word.bytes.clone(), glob: Glob::of(word)? }))
                .transpose()?,
            only: word("only").and_then(StateFilter::parse),
            values: word("values").and_then(ValueDisplay::parse).unwrap_or_default(),
            hex: invocation.has("hex"),
        })
    }

    /// Returns the form in mode `mode`. `--hex` has one form for table and plain.
    pub fn form(&self, mode: Mode) -> DumpForm {
        match mode {
            Mode::Json => DumpForm::Objects,
            Mode::Plain | Mode::Raw if !self.hex => DumpForm::Lines,
            Mode::Table | Mode::Plain | Mode::Raw => DumpForm::Drawn,
        }
    }

    /// Returns whether the request covers the segment from its first byte.
    pub fn is_whole(&self) -> bool {
        self.from == 0 && self.tail.is_none() && self.record.is_none() && !self.is_filtered()
    }

    /// Fails if the requested record is not among the `count` records of `what`.
    pub fn check_record(&self, count: u64, what: &str) -> Result<(), Failure> {
        match self.record.filter(|record| *record >= count) {
            Some(record) => {
                let has = units::count(count, "record");
                let message = format!("there is no record {record}: {what} has {has}");
                Err(Failure::command(message).hint("the first is record 0"))
            }
            None => Ok(()),
        }
    }

    fn is_filtered(&self) -> bool {
        self.key.is_some() || self.only.is_some()
    }

    /// Returns the requested items in file order.
    pub fn items<'a>(
        &'a self,
        inspection: &'a Inspection,
    ) -> Box<dyn Iterator<Item = logkv::Result<Item>> + 'a> {
        let is_filtered = self.is_filtered();
        // A filtered tail needs all items. An unfiltered tail is found from the end.
        let tail = self.tail.filter(|_| !is_filtered);
        let range = Range { from: self.from, tail, record: self.record };
        let wanted = inspection.items(range).filter(move |item| match item {
            Ok(item) if is_filtered => self.takes(&own::dump_item(item, inspection.role)),
            _ => true,
        });
        match self.tail {
            Some(count) if is_filtered => Box::new(last(wanted, count)),
            _ => Box::new(wanted),
        }
    }

    /// Returns the number of items to show.
    pub fn limit(&self, out: &Output) -> usize {
        self.limit.unwrap_or(if self.is_page(out) { Self::PAGE_LEN } else { usize::MAX })
    }

    /// Returns whether a page is shown: on a terminal, without `--limit` and `--tail`.
    pub fn is_page(&self, out: &Output) -> bool {
        out.is_table() && out.is_terminal && self.limit.is_none() && self.tail.is_none()
    }

    /// Returns the command that continues at offset `from` of the segment or file called `name`.
    pub fn continuation(&self, name: &str, from: u64) -> String {
        let mut line = format!("dump-segment {name} --from {from:#08x}");
        let mut flag = |name: &str, value: String| line.extend([" --", name, " ", &value]);
        if let Some(limit) = self.limit {
            flag("limit", limit.to_string());
        }
        if let Some(key) = &self.key {
            flag("key", words::quote(&key.text));
        }
        if let Some(only) = self.only {
            flag("only", only.name().to_owned());
        }
        if self.values != ValueDisplay::default() {
            flag("values", self.values.name().to_owned());
        }
        if self.hex {
            line.push_str(" --hex");
        }
        line
    }

    /// Returns whether `item` matches `--key` and `--only`.
    pub fn takes(&self, item: &DumpItem<'_>) -> bool {
        let has_key = |key: &KeyPattern| match item {
            DumpItem::Record(record) => key.takes(record.key),
            DumpItem::Bad(_) => false,
        };
        self.key.as_ref().is_none_or(has_key) && self.only.is_none_or(|only| only.takes(item))
    }
}

/// Returns the last `count` of `items`. An error counts as an item.
fn last(
    items: impl Iterator<Item = logkv::Result<Item>>,
    count: usize,
) -> impl Iterator<Item = logkv::Result<Item>> {
    let mut kept = VecDeque::new();
    for item in items {
        kept.push_back(item);
        if kept.len() > count {
            kept.pop_front();
        }
    }
    kept.into_iter()
}
