//! One line a record.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use logkv::Damage;
use logkv::inspect::{Inspection, Item, Kind, RecordItem, Role};

use super::columns::{Columns, Line};
use super::paint::{glyphs, hue};
use super::request::Values;
use super::text::{self, State, preview};
use crate::shell::lang::words;
use crate::shell::term::grid::hang;
use crate::shell::term::style::Look;
use crate::shell::term::units;

impl Columns {
    /// Writes one item: a record's line, or what is known about bytes that are none.
    pub fn write(&self, out: &mut dyn Write, inspection: &Inspection, item: &Item) -> io::Result<()> {
        match item {
            Item::Record(record) => self.write_record(out, record),
            Item::Damaged { at, len, damage, next } => {
                let then = match next {
                    Some(next) => format!("valid records follow at {next:#08x}"),
                    None => "no valid record follows".to_owned(),
                };
                self.write_bad(out, (*at, *len), "BAD", &format!("{}; {then}", told(damage)))
            }
            Item::Torn { at, len, damage, records, behind } => {
                let end = torn_end(inspection.role, *records, *behind);
                let dash = glyphs(&self.look).dash;
                self.write_bad(out, (*at, *len), "torn", &format!("{} {dash} {end}", told(damage)))
            }
        }
    }

    fn write_record(&self, out: &mut dyn Write, record: &RecordItem) -> io::Result<()> {
        let is_sound = text::is_sound(record);
        let mut line = Line::new(self.look);
        line.right(&record.index.to_string(), self.index, hue::DIM);
        line.left(&format!("{:#08x}", record.location.offset), self.offset, hue::OFFSET);
        line.right(&units::thousands(record.len), self.size, hue::LEN);
        line.left(&text::kind(record.kind), self.kind, hue::KIND);
        line.left(&self.time_of(record), self.clock_width(), hue::TIME);
        line.left(&words::quote(&record.key), self.key, hue::KEY);
        match record.kind {
            Kind::Delete => line.left(glyphs(&self.look).none, self.value, hue::DIM),
            _ => line.left(&preview(record), self.value, hue::VALUE),
        }
        line.checksum(self.has_crc.then_some(record.stored_rcrc), is_sound, self.crc_width());
        writeln!(out, "{}", line.end(&self.state_of(record), State::of(record).hue()))?;
        if self.values == Values::Full && record.kind == Kind::Put {
            writeln!(out, "     {}", self.look.paint(words::quote(&record.value), hue::VALUE))?;
        }
        match &record.damage {
            Some(damage) => self.write_note(out, &broken(record, damage)),
            None => Ok(()),
        }
    }

    /// What is wrong inside a record whose header is right, below its line.
    fn write_note(&self, out: &mut dyn Write, note: &str) -> io::Result<()> {
        let text = hang(self.look.width, "     ! ", 7, note.split(' '));
        text.lines().try_for_each(|line| writeln!(out, "{}", self.look.paint(line, hue::BAD)))
    }

    fn write_bad(&self, out: &mut dyn Write, bytes: (u64, u64), word: &str, told: &str) -> io::Result<()> {
        let (at, len) = bytes;
        let mut line = Line::new(Look { color: false, ..self.look });
        line.right("!", self.index.max(1), hue::PLAIN);
        line.left(&format!("{at:#08x}"), self.offset, hue::PLAIN);
        line.right(&units::thousands(len), self.size, hue::PLAIN);
        let first = format!("{}  ", line.end(&format!("{word:<4}"), hue::PLAIN));
        let text = hang(self.look.width, &first, first.width().min(self.look.width / 2), told.split(' '));
        text.lines().try_for_each(|line| writeln!(out, "{}", self.look.paint(line, hue::BAD)))
    }
}

/// What is wrong, with the word that the column before it has said already left out.
fn told(damage: &Damage) -> String {
    let text = damage.to_string();
    text.strip_prefix("it ").map(str::to_owned).unwrap_or(text)
}

/// What is wrong inside a record whose header is right, and where the next record is all the same.
fn broken(record: &RecordItem, damage: &Damage) -> String {
    let next = record.location.offset + record.len;
    format!("{damage}; its header is right, so the next record is known to start at {next:#08x}")
}

/// What becomes of a torn tail.
fn torn_end(role: Role, records: u64, behind: u64) -> String {
    let what = match role {
        Role::Active => "the next open for writing truncates here",
        Role::Sealed | Role::Orphan | Role::Unknown => "nothing follows",
    };
    let batch = format!("{} of a batch that has no end", units::count(records, "whole record"));
    let intact = format!("{} behind it, which repair keeps", units::count(behind, "intact record"));
    match (records, behind) {
        (0, 0) => what.to_owned(),
        (_, 0) => format!("{what}, with {batch}"),
        (0, _) => format!("{what}, with {intact}"),
        (_, _) => format!("{what}, with {batch} and {intact}"),
    }
}
