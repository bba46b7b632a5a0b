//! The pieces of a segment: its records, damaged stretches and the torn tail.

use crate::engine::base::error::{Damage, Result};
use crate::engine::files::tail::{DurablePrefix, TailReport};
use crate::engine::format;
use crate::engine::format::codec::Compressed;
use crate::engine::format::record::Kind;
use crate::engine::segment::{Bodies, Scanner, Segment, Step};

/// Returns the hash by which an inspection looks up keys.
pub(super) fn key_hash(key: &[u8]) -> u64 {
    format::key_hash(0, key)
}

/// A piece of a segment, without its key and value.
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
    /// Bytes that hold no readable record.
    Damaged { at: u64, len: u64, damage: Damage, next: Option<u64> },
    /// The torn tail.
    Torn { at: u64, len: u64, damage: Damage, records: u64, behind: u64 },
}

impl Piece {
    pub(super) fn at(&self) -> u64 {
        match self {
            Self::Record { at, .. } | Self::Damaged { at, .. } | Self::Torn { at, .. } => *at,
        }
    }
}

/// Returns the pieces of `segment` in file order, without gaps. `settled` is given if the segment's
/// end must be found: only that end can be torn. Elsewhere, bytes that hold no record are damage.
pub(super) fn pieces(segment: &Segment, settled: Option<DurablePrefix>, now_ms: u64) -> Result<Vec<Piece>> {
    let tail = settled.map(|settled| TailReport::of(segment, settled)).transpose()?;
    let end = tail.as_ref().map_or(segment.len(), |tail| tail.end);
    let mut pieces = Vec::new();
    // Damage may cover the end, so a scan without this bound could run into the torn tail.
    let mut scanner = Scanner::new(segment, Bodies::Checked).ending_at(end);
    while let Some(step) = scanner.next()? {
        pieces.push(match step {
            Step::Record(record) => {
                let expires_ms = record.frame.expires_ms(record.bytes);
                Piece::Record {
                    at: record.at,
                    len: record.frame.len,
                    hash: key_hash(record.key()),
                    kind: record.header.kind(),
                    damage: record.damage_or_values(),
                    is_expired: expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms),
                    compressed: record.compressed(),
                }
            }
            Step::Bad { at, len, damage } => {
                let next = (at + len < end).then_some(at + len);
                Piece::Damaged { at, len, damage, next }
            }
        });
    }
    if let Some(tail) = tail.filter(|tail| tail.end < segment.len()) {
        pieces.push(torn(scanner.ending_at(segment.len()), &tail)?);
    }
    Ok(pieces)
}

/// Reads the torn tail with `scanner`, which stands at its start.
fn torn(mut scanner: Scanner<'_>, tail: &TailReport) -> Result<Piece> {
    let mut records = 0;
    let damage = loop {
        match scanner.next()? {
            Some(Step::Record(record)) => match record.damage {
                Some(damage) => break damage,
                None => records += 1,
            },
            Some(Step::Bad { damage, .. }) => break damage,
            None => break Damage::UnfinishedBatch,
        }
    };
    let len = tail.file_len - tail.end;
    Ok(Piece::Torn { at: tail.end, len, damage, records, behind: tail.behind })
}
