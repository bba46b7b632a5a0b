//! The records of a compaction by reason, with the same names in a dry run and in a real run.

use std::io::{self, Write};

use logkv::{SegmentId, Tallies, Tally};
use serde_json::{Map, Value, json};

use crate::shell::lang::answer::Answer;
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::fit::hang;
use crate::shell::term::output::Output;
use crate::shell::term::style::hue;
use crate::shell::term::units;

/// A reason to keep or drop a record.
struct ReasonRow {
    name: &'static str,
    title: &'static str,
    of: fn(&Tallies) -> Tally,
}

const KEPT: &[ReasonRow] = &[
    ReasonRow { name: "live", title: "live", of: |tallies| tallies.live },
    ReasonRow { name: "tombstones", title: "tombstones", of: |tallies| tallies.tombstones },
    ReasonRow { name: "expired", title: "expired a short time ago", of: |tallies| tallies.expired_kept },
    ReasonRow { name: "versions", title: "dead, kept for history", of: |tallies| tallies.versions },
    ReasonRow { name: "unknown", title: "of a newer format", of: |tallies| tallies.unknown },
];

const DROPPED: &[ReasonRow] = &[
    ReasonRow { name: "replaced", title: "replaced", of: |tallies| tallies.replaced },
    ReasonRow { name: "deleted", title: "deleted", of: |tallies| tallies.deleted },
    ReasonRow { name: "expired", title: "expired", of: |tallies| tallies.expired },
    ReasonRow {
        name: "tombstones_replaced",
        title: "tombstones of keys written again",
        of: |tallies| tallies.tombstones_replaced,
    },
    ReasonRow {
        name: "tombstones_done",
        title: "tombstones that hide nothing",
        of: |tallies| tallies.tombstones_done,
    },
];

/// The tallies of several runs.
#[derive(Debug, Default)]
pub struct RecordSums(Vec<Tallies>);

impl RecordSums {
    /// Creates the sums of runs with these tallies.
    pub fn of(tallies: impl IntoIterator<Item = Tallies>) -> Self {
        Self(tallies.into_iter().collect())
    }

    /// Returns the tally of all kept records.
    pub fn kept(&self) -> Tally {
        self.sum(Tallies::kept)
    }

    /// Returns the tally of all dropped records.
    pub fn dropped(&self) -> Tally {
        self.sum(Tallies::dropped)
    }

    fn sum(&self, of: fn(&Tallies) -> Tally) -> Tally {
        let tallies = self.0.iter().map(of);
        tallies.fold(Tally::default(), |sum, tally| Tally {
            count: sum.count + tally.count,
            len: sum.len + tally.len,
        })
    }

    /// Returns the older segments that tombstones are kept for, with the number of tombstones.
    fn needed_by(&self) -> Vec<(SegmentId, u64)> {
        let mut needed: Vec<(SegmentId, u64)> = Vec::new();
        for &(id, count) in self.0.iter().flat_map(|tallies| &tallies.needed_by) {
            match needed.iter_mut().find(|(known, _)| *known == id) {
                Some((_, sum)) => *sum += count,
                None => needed.push((id, count)),
            }
        }
        needed
    }

    /// Writes the reasons that occur, and the segments that tombstones are kept for.
    pub fn write_table(&self, out: &mut Output) -> io::Result<()> {
        const COLUMNS: &[Column] = &[
            Column::text("records", hue::PLAIN).cut(),
            Column::number("count", hue::PLAIN),
            Column::number("bytes", hue::PLAIN),
        ];
        let mut table = Table::new(COLUMNS, out.look);
        let row =
            |title: String, tally: Tally| vec![title, units::thousands(tally.count), units::bytes(tally.len)];
        for (title, total, reasons) in [("kept", self.kept(), KEPT), ("dropped", self.dropped(), DROPPED)] {
            table.row(out, row(title.to_owned(), total))?;
            for (reason, tally) in self.reasons(reasons).filter(|(_, tally)| tally.count > 0) {
                table.row(out, row(format!("  {}", reason.title), tally))?;
            }
        }
        table.end(out)?;
        let needed = self.needed_by();
        if needed.is_empty() {
            return Ok(());
        }
        let mut facts: Vec<_> = needed
            .iter()
            .map(|(id, count)| format!("segment {id} ({}),", units::count(*count, "tombstone")))
            .collect();
        if let Some(last) = facts.last_mut() {
            last.pop();
        }
        let first = "tombstones may hide puts in ";
        let text = hang(out.look.width, first, 2, facts.iter().map(String::as_str));
        writeln!(out, "{text}")
    }

    /// Adds the tallies, and the segments that tombstones are kept for. JSON has the objects `kept`
    /// and `dropped`. Plain lines have one name and number each, and are omitted unless `in_plain`.
    pub fn add_to(&self, answer: &mut Answer<'_>, in_plain: bool) {
        for (group, reasons) in [("kept", KEPT), ("dropped", DROPPED)] {
            let mut fields = Map::new();
            for (reason, tally) in self.reasons(reasons) {
                for (name, number) in
                    [(reason.name.to_owned(), tally.count), (format!("{}_bytes", reason.name), tally.len)]
                {
                    if in_plain {
                        answer.plain(&format!("{group}_{name}"), number);
                    }
                    fields.insert(name, number.into());
                }
            }
            answer.json(group, Value::Object(fields));
        }
        let needed = self.needed_by();
        let objects: Vec<_> =
            needed.iter().map(|(id, count)| json!({"segment": id.0, "tombstones": count})).collect();
        answer.json("needed_by", objects);
        if in_plain {
            let pairs: Vec<_> = needed.iter().map(|(id, count)| format!("{id}:{count}")).collect();
            answer.plain("needed_by", pairs.join(","));
        }
    }

    fn reasons(
        &self,
        reasons: &'static [ReasonRow],
    ) -> impl Iterator<Item = (&'static ReasonRow, Tally)> + use<'_> {
        reasons.iter().map(|reason| (reason, self.sum(reason.of)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(count: u64, len: u64) -> Tally {
        Tally { count, len }
    }

    #[test]
    fn every_record_counts_for_one_reason_and_one_sum() {
        let numbers = |factor: u64| Tallies {
            live: tally(factor, 10),
            tombstones: tally(2 * factor, 20),
            expired_kept: tally(3 * factor, 30),
            versions: tally(10 * factor, 100),
            unknown: tally(4 * factor, 40),
            replaced: tally(5 * factor, 50),
            deleted: tally(6 * factor, 60),
            expired: tally(7 * factor, 70),
            tombstones_replaced: tally(8 * factor, 80),
            tombstones_done: tally(9 * factor, 90),
            needed_by: vec![(SegmentId(2), factor), (SegmentId(factor + 8), 1)],
        };
        let sums = RecordSums::of([numbers(1), numbers(10)]);
        let count = |reasons| sums.reasons(reasons).map(|(_, tally)| tally.count).sum::<u64>();
        assert_eq!((count(KEPT), sums.kept()), (220, tally(220, 400)));
        assert_eq!((count(DROPPED), sums.dropped()), (385, tally(385, 700)));
        assert_eq!(sums.needed_by(), [(SegmentId(2), 11), (SegmentId(9), 1), (SegmentId(18), 1)]);
    }
}
