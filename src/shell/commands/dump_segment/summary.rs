//! The lines above and below the records: the heading and the totals.

use std::io::{self, Write};

use logkv::Damage;
use logkv::fs::StoreFile;
use logkv::inspect::{Inspection, Totals};

use super::paint::{glyphs, hue};
use super::text;
use super::{fields, hex, map};
use crate::shell::term::fit::hang;
use crate::shell::term::moment::Moment;
use crate::shell::term::style::Look;
use crate::shell::term::units;

/// Writes the heading of a segment.
pub fn write_header(out: &mut dyn Write, inspection: &Inspection, look: &Look) -> io::Result<()> {
    let mut facts = vec![units::bytes(inspection.len), text::role(inspection.role).to_owned()];
    if let Ok(header) = &inspection.header {
        let minor = if header.minor == 0 { String::new() } else { format!(".{}", header.minor) };
        facts.push(format!("format {}{minor}", header.major));
        facts.push(format!("from seq {}", header.base_seq));
        facts.push(format!("made {}", Moment::of(header.created_ms).seconds_full()));
    }
    let file = StoreFile::Segment(inspection.id).to_string();
    facts.insert(0, file);
    write_heading(out, facts, look)?;
    if let Err(damage) = &inspection.header {
        let text = match damage {
            Damage::Foreign(_) => format!("its header is another segment's: {damage}"),
            damage => format!("its header is damaged: {damage}"),
        };
        let text = hang(look.width, "  ! ", 4, text.split(' '));
        writeln!(out, "{}", look.paint(&text, hue::BAD))?;
    }
    Ok(())
}

/// Writes the heading of a file.
pub fn write_heading(out: &mut dyn Write, facts: Vec<String>, look: &Look) -> io::Result<()> {
    writeln!(out, "{}", look.paint(joined(facts, "", look), hue::HEAD))
}

/// Writes the totals of a file.
pub fn write_totals(out: &mut dyn Write, facts: Vec<String>, look: &Look) -> io::Result<()> {
    writeln!(out, "{}", joined(facts, "  ", look))
}

/// Writes the segment header byte by byte.
pub fn write_header_hex(out: &mut dyn Write, inspection: &Inspection, look: &Look) -> io::Result<()> {
    let Ok(header) = &inspection.header else { return Ok(()) };
    writeln!(out, "{}", look.paint("header", hue::HEAD))?;
    let of = 0..header.bytes.len() as u64;
    fields::of_header(header).iter().try_for_each(|field| hex::write(out, field, &of, hex::ALL_ROWS, look))
}

/// Writes the map and the totals, with the bytes that compaction would free if they are known.
pub fn write_footer(
    out: &mut dyn Write,
    inspection: &Inspection,
    would_free: Option<u64>,
    look: &Look,
) -> io::Result<()> {
    for line in map::lines(inspection, look) {
        writeln!(out, "{line}")?;
    }
    let mut facts = facts(&inspection.totals);
    facts.extend(would_free.map(|len| format!("compact would free {}", units::bytes(len))));
    write_totals(out, facts, look)
}

/// Joins facts with dots, wrapped to the screen.
fn joined(mut facts: Vec<String>, margin: &str, look: &Look) -> String {
    let last = facts.len().saturating_sub(1);
    for fact in &mut facts[..last] {
        fact.extend([" ", glyphs(look).dot]);
    }
    hang(look.width, margin, 2, facts.iter().map(String::as_str))
}

/// Returns the totals that are not zero.
fn facts(totals: &Totals) -> Vec<String> {
    let mut facts = vec![
        units::count(totals.record_count, "record"),
        format!("{} live", units::thousands(totals.live_count)),
    ];
    let mut add = |count: u64, fact: String| {
        if count > 0 {
            facts.push(fact);
        }
    };
    let bytes = units::bytes;
    add(totals.dead_count, format!("{} dead", units::thousands(totals.dead_count)));
    let tombstones = units::count(totals.tombstone_count, "tombstone");
    add(totals.tombstone_count, format!("{tombstones} ({})", bytes(totals.tombstone_len)));
    add(totals.expired_count, format!("{} expired", units::thousands(totals.expired_count)));
    add(
        totals.damaged_count,
        format!("{} damaged ({})", units::thousands(totals.damaged_count), bytes(totals.damaged_len)),
    );
    add(totals.torn_len, format!("torn tail {}", bytes(totals.torn_len)));
    let raw = bytes(totals.raw_len);
    let stored = bytes(totals.stored_len);
    add(totals.stored_len, format!("{raw} of values compressed to {stored}"));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_facts_breaks_between_them() {
        let look = Look { width: 24, color: false, ascii: false };
        let facts = ["60 records", "20 live", "torn tail 23 B"].map(str::to_owned).to_vec();
        assert_eq!(joined(facts, "  ", &look), "  60 records · 20 live ·\n  torn tail 23 B");
    }

    #[test]
    fn the_totals_leave_out_what_is_zero() {
        let totals = Totals { record_count: 1, live_count: 1, live_len: 40, ..Totals::default() };
        assert_eq!(facts(&totals), ["1 record", "1 live"]);
        let totals = Totals {
            record_count: 6,
            live_count: 2,
            dead_count: 2,
            tombstone_count: 1,
            tombstone_len: 40,
            damaged_count: 1,
            damaged_len: 48,
            torn_len: 23,
            raw_len: 4000,
            stored_len: 400,
            ..Totals::default()
        };
        assert_eq!(
            facts(&totals).join(" · "),
            "6 records · 2 live · 2 dead · 1 tombstone (40 B) · 1 damaged (48 B) · torn tail 23 B · \
             3.9 KiB of values compressed to 400 B"
        );
    }
}
