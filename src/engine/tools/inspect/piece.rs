//! The pieces of a segment: its records, and the stretches between them.

use crate::engine::base::error::{Damage, Result};
use crate::engine::files::tail::{DurablePrefix, TailReport};
use crate::engine::format;
use crate::engine::format::codec::Compressed;
use crate::engine::format::record::Kind;
use crate::engine::segment::{Bodies, Scanner, Segment, Step};

/// The hash that finds equal keys. Keys are compared as well.
pub(super) fn key_hash(key: &[u8]) -> u64 {
    format::key_hash(0, key)
}

/// A stretch of the segment, kept small.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// A record with an intact header.
    Record {
        at: u64,
        len: u64,
        hash: u64,
        kind: Kind,
        damage: Option<Damage>,
        is_expired: bool,
        compressed: Compressed,
    },
    /// Bytes in which no record can be made out.
    Damaged { at: u64, len: u64, damage: Damage, next: Option<u64> },
    /// The unfinished end.
    Torn { at: u64, len: u64, damage: Damage, records: u64, behind: u64 },
}

impl Piece {
    pub(super) fn at(&self) -> u64 {
        match self {
            Self::Record { at, .. } | Self::Damaged { at, .. } | Self::Torn { at, .. } => *at,
        }
    }
}

/// The stretches of a segment, in file order.
pub(super) fn pieces(segment: &Segment, settled: Option<DurablePrefix>, now_ms: u64) -> Result<Vec<Piece>> {
    // Only the end that a writer did not close can be torn; elsewhere what is not a record is damage.
    let verdict = settled.map(|settled| TailReport::of(segment, settled)).transpose()?;
    let end = verdict.as_ref().map_or(segment.len(), |verdict| verdict.end);
    let mut pieces = Vec::new();
    let mut torn: Option<(u64, Option<Damage>)> = None;
    let mut scanner = Scanner::new(segment, Bodies::Checked);
    while let Some(step) = scanner.next()? {
        match step {
            Step::Record(record) if record.at < end => {
                let is_expired =
                    record.frame.expires_ms(record.bytes).is_some_and(|expires_ms| expires_ms <= now_ms);
                pieces.push(Piece::Record {
                    at: record.at,
                    len: record.frame.len,
                    hash: key_hash(record.key()),
                    kind: record.header.kind(),
                    damage: record.damage_or_values(),
                    is_expired,
                    compressed: record.compressed(),
                });
            }
            Step::Bad { at, len, damage } if at < end => {
                let next = (at + len < segment.len()).then_some(at + len);
                pieces.push(Piece::Damaged { at, len: next.unwrap_or(end) - at, damage, next });
            }
            Step::Record(record) => {
                let (count, why) = torn.get_or_insert((0, None));
                if record.damage.is_some() {
                    *why = record.damage;
                    break;
                }
                *count += 1;
            }
            Step::Bad { damage, .. } => {
                torn.get_or_insert((0, None)).1.get_or_insert(damage);
                break;
            }
        }
    }
    if end < segment.len() {
        let (records, damage) = torn.unwrap_or_default();
        let len = segment.len() - end;
        let damage = damage.unwrap_or(Damage::UnfinishedBatch);
        let behind = verdict.map_or(0, |verdict| verdict.behind);
        pieces.push(Piece::Torn { at: end, len, damage, records, behind });
    }
    Ok(pieces)
}
