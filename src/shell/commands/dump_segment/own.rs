//! The items of a segment of this store.

use serde_json::{Value, json};

use logkv::inspect::{Fate, Inspection, Item, Kind, RecordItem, Role};
use logkv::{Damage, Location};

use super::dump_item::{BadBytes, DumpItem, DumpRecord, FileShape, JsonField, RecordDetails};
use super::fields::{self, ByteField};
use super::text::{self, RecordState, checksum};
use crate::shell::lang::answer::Answer;
use crate::shell::term::moment::Moment;
use crate::shell::term::units;

/// Returns the shape of a segment whose first page is `items`.
pub fn shape(inspection: &Inspection, items: &[Item]) -> FileShape {
    let records = || {
        items.iter().filter_map(|item| match item {
            Item::Record(record) => Some(record),
            Item::Damaged { .. } | Item::Torn { .. } => None,
        })
    };
    let day_of = |record: &RecordItem| Moment::of(record.time_ms).day;
    let day = records().next().map(|record| day_of(record));
    FileShape {
        len: inspection.len,
        has_fates: true,
        has_checksums: true,
        has_values: records().any(|record| record.kind == Kind::Put),
        day: day.filter(|day| records().all(|record| day_of(record) == *day)),
        tick_ms: 1,
    }
}

/// Converts an item of a segment of this role.
pub fn dump_item(item: &Item, role: Role) -> DumpItem<'_> {
    match item {
        Item::Record(record) => DumpItem::Record(dump_record(record)),
        Item::Damaged { at, len, damage, next } => DumpItem::Bad(BadBytes {
            at: *at,
            len: *len,
            is_torn: false,
            damage: damage.to_string(),
            outcome: Some(match next {
                Some(next) => format!("valid records follow at {next:#08x}"),
                None => "no valid record follows".to_owned(),
            }),
            checksums: checksums(damage),
            json_fields: vec![("next", json!(next))],
        }),
        Item::Torn { at, len, damage, records, behind } => DumpItem::Bad(BadBytes {
            at: *at,
            len: *len,
            is_torn: true,
            damage: damage.to_string(),
            outcome: Some(torn_outcome(role, *records, *behind)),
            checksums: checksums(damage),
            json_fields: vec![("records", json!(records)), ("intact_behind", json!(behind))],
        }),
    }
}

fn dump_record(record: &RecordItem) -> DumpRecord<'_> {
    DumpRecord {
        index: record.index,
        at: record.location.offset,
        len: record.len,
        kind: text::kind(record.kind),
        is_delete: record.kind == Kind::Delete,
        seq: Some(record.seq),
        time_ms: record.time_ms,
        key: &record.key,
        value: (record.kind == Kind::Put).then_some(&*record.value),
        tombstone: None,
        checksum: Some((record.stored_rcrc, text::is_sound(record))),
        fate: Some(fate(record)),
        damage: record.damage.as_ref().map(|damage| broken(record, damage)),
        details: record,
    }
}

fn fate(record: &RecordItem) -> Fate {
    if record.damage.is_some() { Fate::Damaged } else { record.fate }
}

/// Returns the damage of a record whose header is valid, and the offset of the next record.
fn broken(record: &RecordItem, damage: &Damage) -> String {
    let next = record.location.offset + record.len;
    format!("{damage}; its header is valid, and the next record starts at {next:#08x}")
}

/// Returns the consequence of a torn tail.
fn torn_outcome(role: Role, records: u64, behind: u64) -> String {
    let outcome = match role {
        Role::Active => "the next open for writing truncates here",
        Role::Sealed | Role::Orphan | Role::Unknown => "nothing follows",
    };
    let batch = format!("{} of an unfinished batch", units::count(records, "whole record"));
    let intact = format!("{} after it, which repair keeps", units::count(behind, "intact record"));
    match (records, behind) {
        (0, 0) => outcome.to_owned(),
        (_, 0) => format!("{outcome}, with {batch}"),
        (0, _) => format!("{outcome}, with {intact}"),
        (_, _) => format!("{outcome}, with {batch} and {intact}"),
    }
}

/// Returns the stored and the computed checksum if a checksum is wrong.
fn checksums(damage: &Damage) -> Option<(u32, u32)> {
    match *damage {
        Damage::HeaderChecksum { stored, computed } | Damage::RecordChecksum { stored, computed } => {
            Some((stored, computed))
        }
        _ => None,
    }
}

impl RecordDetails for RecordItem {
    fn place(&self) -> String {
        self.location.to_string()
    }

    fn fields(&self) -> Vec<ByteField<'_>> {
        fields::of_record(self)
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn add_file(&self, answer: &mut Answer<'_>) {
        answer.json("segment", self.location.segment.0);
    }

    fn add_fields(&self, answer: &mut Answer<'_>) {
        let state = RecordState::of(fate(self));
        answer.json("seq", self.seq.0).json("time_ms", self.time_ms).json("expires_ms", self.expires_ms);
        answer.json("lag", u64::from(self.lag)).json("flags", u64::from(self.flags)).json("more", self.more);
        answer.json("codec", u64::from(self.codec));
        if self.is_compressed() {
            answer.json("raw_bytes", self.value.len()).json("stored_bytes", self.stored.len());
        }
        answer.json("hcrc", checksum(self.stored_hcrc)).json("rcrc", checksum(self.stored_rcrc));
        answer.json("rcrc_computed", checksum(self.computed_rcrc)).json("crc_ok", text::is_sound(self));
        answer.json("state", state.name()).json("why", state.why);
        answer.json("other", state.other.map(location_json));
        answer.json("damage", self.damage.as_ref().map(ToString::to_string));
    }
}

fn location_json(location: Location) -> Value {
    json!({"segment": location.segment.0, "offset": location.offset})
}

/// Returns the segment's totals and the bytes that compaction would free, for JSON.
pub fn summary(inspection: &Inspection, would_free: Option<u64>) -> Vec<JsonField> {
    let totals = &inspection.totals;
    let header = inspection.header.as_ref();
    vec![
        ("segment", json!(inspection.id.0)),
        ("role", json!(text::role(inspection.role))),
        ("len", json!(inspection.len)),
        ("format", json!(header.ok().map(|header| format!("{}.{}", header.major, header.minor)))),
        ("base_seq", json!(header.ok().map(|header| header.base_seq.0))),
        ("created_ms", json!(header.ok().map(|header| header.created_ms))),
        ("header_damage", json!(header.err().map(ToString::to_string))),
        ("records", json!(totals.record_count)),
        ("live", json!(totals.live_count)),
        ("live_bytes", json!(totals.live_len)),
        ("dead", json!(totals.dead_count)),
        ("dead_bytes", json!(totals.dead_len)),
        ("tombstones", json!(totals.tombstone_count)),
        ("tombstone_bytes", json!(totals.tombstone_len)),
        ("expired", json!(totals.expired_count)),
        ("expired_bytes", json!(totals.expired_len)),
        ("damaged", json!(totals.damaged_count)),
        ("damaged_bytes", json!(totals.damaged_len)),
        ("torn_bytes", json!(totals.torn_len)),
        ("raw_bytes", json!(totals.raw_len)),
        ("stored_bytes", json!(totals.stored_len)),
        ("compact_frees_bytes", json!(would_free)),
    ]
}
