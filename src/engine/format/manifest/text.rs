//! Encoding and decoding of the text of MANIFEST.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::{Fork, History, Manifest, ManifestError, NUMBER_MAX, SegmentExtent, SegmentLine};
use crate::engine::base::escape::{Grouped, Visible};
use crate::engine::base::ids::{Lineage, SegmentId, Seqno};
use crate::engine::format::record::RecordContext;
use crate::engine::format::segment_header::{Layout, SEGMENT_LEN_MAX, StoreId};

const MAJOR: u16 = 1;
const MINOR: u16 = 0;
/// The name of the keydir's hash function.
const HASH: &str = "xxh3-64";
/// The maximum number of segments in a store.
const SEGMENT_COUNT_MAX: usize = 131_072;

fn damaged<T>(reason: impl Into<String>) -> Result<T, ManifestError> {
    Err(ManifestError::Damaged(reason.into()))
}

impl Manifest {
    /// Returns the text of the file.
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("logkv manifest {MAJOR}.{MINOR}\nstore ");
        for byte in self.store.0 {
            push(&mut text, format_args!("{byte:02x}"));
        }
        if self.lineage != Lineage::first_of(self.store) {
            push(&mut text, format_args!("\nlineage {}", self.lineage));
            if let Some(Fork { from, at }) = self.fork {
                push(&mut text, format_args!(" from {from} at {at}"));
            }
        }
        push(
            &mut text,
            format_args!(
                "\nhash {HASH} seed {:016x}\ngeneration {}\nnext_segment {}\nnext_seq {}\n",
                self.hash_seed, self.generation, self.next_segment, self.next_seq
            ),
        );
        if self.is_backup {
            text.push_str("backup\n");
        }
        if self.history != History::default() {
            let History { dropped, given_up, whole_from, whole_from_ms } = self.history;
            push(
                &mut text,
                format_args!("history dropped {dropped} whole_from {whole_from} at {whole_from_ms}\n"),
            );
            if given_up > Seqno(0) {
                push(&mut text, format_args!("given_up {given_up}\n"));
            }
        }
        for line in &self.segments {
            let SegmentLine { id, base_seq, layout, extent } = line;
            let RecordContext { salt, header_len } = layout.records;
            let (state, len) = match extent {
                SegmentExtent::Sealed(len) => ("sealed", len),
                SegmentExtent::Closed(len) => ("closed", len),
                SegmentExtent::Active(len) => ("active", len),
            };
            push(
                &mut text,
                format_args!(
                    "segment {:06} base_seq {base_seq} salt {salt:08x} headers {}+{header_len} \
                     {state} {len}\n",
                    id.0, layout.header_len
                ),
            );
        }
        let crc = crc32c::crc32c(text.as_bytes());
        push(&mut text, format_args!("crc {crc:08x}\n"));
        text
    }

    /// Decodes the bytes of the file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let body = checked(bytes)?;
        let mut lines =
            body.lines().enumerate().map(|(at, line)| Line { number: at.saturating_add(1), text: line });
        let version = lines.next().map_or("", |line| line.text);
        let Some(version) = version.strip_prefix("logkv manifest ") else {
            return damaged("its first line is not `logkv manifest VERSION`");
        };
        if version.split('.').next() != Some("1") {
            return Err(ManifestError::Unsupported(shown(version)));
        }
        let mut fields = Fields::default();
        for line in lines {
            fields.take(line)?;
        }
        fields.finish()
    }
}

/// Returns the start of a text for a message. Even a text with a valid checksum may be very long.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    let end = text.char_indices().nth(CHARS_MAX).map(|(at, _)| at);
    let (start, rest) = text.split_at(end.unwrap_or(text.len()));
    format!("{}{}", Visible(start.as_bytes()), if rest.is_empty() { "" } else { "..." })
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a String never fails");
}

/// Returns the text before the last line, if that line is its checksum.
fn checked(bytes: &[u8]) -> Result<&str, ManifestError> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return damaged("it is not text");
    };
    let Some((body, crc)) = text.strip_suffix('\n').and_then(|text| text.rsplit_once('\n')) else {
        return damaged("it has no checksum line");
    };
    let (body, _) = text.split_at(body.len().saturating_add(1));
    let Some(stored) = crc.strip_prefix("crc ").and_then(|hex| u32::from_str_radix(hex, 16).ok()) else {
        return damaged("its last line is not `crc` and eight hexadecimal digits");
    };
    let computed = crc32c::crc32c(body.as_bytes());
    if stored != computed {
        return damaged(format!("its checksum is {stored:08x}, its text gives {computed:08x}"));
    }
    Ok(body)
}

/// A line and its number, counted from 1.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    fn wrong<T>(self) -> Result<T, ManifestError> {
        damaged(format!("line {} cannot be read: {}", self.number, shown(self.text)))
    }

    fn number<T: TryFrom<u64>>(self, text: &str) -> Result<T, ManifestError> {
        let number = self.up_to(text, NUMBER_MAX)?;
        T::try_from(number).or_else(|_| self.wrong())
    }

    /// Parses a number up to `max`.
    fn up_to(self, text: &str, max: u64) -> Result<u64, ManifestError> {
        match text.parse() {
            Ok(number) if number <= max => Ok(number),
            Ok(_) => damaged(format!("line {} has a number over {max}: {}", self.number, shown(self.text))),
            Err(_) => self.wrong(),
        }
    }

    /// Parses the number of a record, or of the next one.
    fn seq(self, text: &str) -> Result<Seqno, ManifestError> {
        self.up_to(text, Seqno::END.0).map(Seqno)
    }

    fn hex(self, text: &str) -> Result<u64, ManifestError> {
        u64::from_str_radix(text, 16).or_else(|_| self.wrong())
    }

    fn lineage(self, text: &str) -> Result<Lineage, ManifestError> {
        self.hex(text).map(Lineage)
    }
}

#[derive(Default)]
struct Fields {
    store: Option<StoreId>,
    lineage: Option<Lineage>,
    fork: Option<Fork>,
    hash_seed: Option<u64>,
    generation: Option<u64>,
    next_segment: Option<u64>,
    next_seq: Option<Seqno>,
    is_backup: bool,
    history: History,
    segments: Vec<SegmentLine>,
}

impl Fields {
    fn take(&mut self, line: Line<'_>) -> Result<(), ManifestError> {
        let words: Vec<&str> = line.text.split(' ').collect();
        match *words.as_slice() {
            ["store", hex] if hex.len() == 32 => {
                let id = u128::from_str_radix(hex, 16).or_else(|_| line.wrong())?;
                self.store = Some(StoreId(id.to_be_bytes()));
            }
            ["lineage", lineage] => self.lineage = Some(line.lineage(lineage)?),
            ["lineage", lineage, "from", from, "at", at] => {
                self.lineage = Some(line.lineage(lineage)?);
                self.fork = Some(Fork { from: line.lineage(from)?, at: Seqno(line.number(at)?) });
            }
            ["hash", HASH, "seed", hex] => self.hash_seed = Some(line.hex(hex)?),
            ["hash", other, ..] => {
                return Err(ManifestError::Unsupported(format!("1 with hash {}", shown(other))));
            }
            ["generation", number] => self.generation = Some(line.number(number)?),
            ["next_segment", number] => self.next_segment = Some(line.up_to(number, SegmentId::END.0)?),
            ["next_seq", number] => self.next_seq = Some(line.seq(number)?),
            ["backup"] => self.is_backup = true,
            ["history", "dropped", dropped, "whole_from", whole_from, "at", whole_from_ms] => {
                let dropped = line.seq(dropped)?;
                let whole_from = line.seq(whole_from)?;
                let whole_from_ms = line.number(whole_from_ms)?;
                self.history = History { dropped, whole_from, whole_from_ms, ..self.history };
            }
            ["given_up", number] => self.history.given_up = line.seq(number)?,
            ["segment", id, "base_seq", base, "salt", salt, "headers", headers, state, len] => {
                let segment = segment_line(line, id, base, salt, headers, (state, len))?;
                if let Some(last) = self.segments.last()
                    && (last.base_seq > segment.base_seq || !matches!(last.extent, SegmentExtent::Sealed(_)))
                {
                    return damaged(format!("line {} does not follow the line before it", line.number));
                }
                if self.segments.len() == SEGMENT_COUNT_MAX {
                    return damaged(format!(
                        "it lists more than {} segments",
                        Grouped(SEGMENT_COUNT_MAX as u64)
                    ));
                }
                self.segments.push(segment);
            }
            [
                "store" | "lineage" | "generation" | "next_segment" | "next_seq" | "history" | "given_up"
                | "segment" | "crc",
                ..,
            ] => return line.wrong(),
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Manifest, ManifestError> {
        let ids: HashSet<u64> = self.segments.iter().map(|line| line.id.0).collect();
        if ids.len() != self.segments.len()
            || ids.iter().any(|&id| self.next_segment.is_some_and(|next| id >= next))
        {
            return damaged("a segment is listed twice, or has a number that is still to be given out");
        }
        if let (Some(last), Some(next_seq)) = (self.segments.last(), self.next_seq)
            && last.base_seq > next_seq
        {
            return damaged("next_seq is less than what its last segment starts with");
        }
        match self {
            Self {
                store: Some(store),
                lineage,
                fork,
                hash_seed: Some(hash_seed),
                generation: Some(generation),
                next_segment: Some(next_segment),
                next_seq: Some(next_seq),
                is_backup,
                history,
                segments,
            } => Ok(Manifest {
                store,
                lineage: lineage.unwrap_or(Lineage::first_of(store)),
                fork,
                hash_seed,
                generation,
                next_segment: SegmentId(next_segment),
                next_seq,
                is_backup,
                history,
                segments,
            }),
            _ => damaged("one of the lines store, hash, generation, next_segment, next_seq is missing"),
        }
    }
}

fn segment_line(
    line: Line<'_>,
    id: &str,
    base_seq: &str,
    salt: &str,
    headers: &str,
    (state, len): (&str, &str),
) -> Result<SegmentLine, ManifestError> {
    let Some((header_len, record_header_len)) = headers.split_once('+') else {
        return line.wrong();
    };
    let salt = u32::from_str_radix(salt, 16).or_else(|_| line.wrong())?;
    let records = RecordContext { salt, header_len: line.number(record_header_len)? };
    let layout = Layout { header_len: line.number(header_len)?, records };
    if !layout.is_sane() {
        return line.wrong();
    }
    let len = line.up_to(len, SEGMENT_LEN_MAX)?;
    let extent = match state {
        "sealed" => SegmentExtent::Sealed(len),
        "closed" => SegmentExtent::Closed(len),
        "active" => SegmentExtent::Active(len),
        _ => return line.wrong(),
    };
    Ok(SegmentLine { id: SegmentId(line.number(id)?), base_seq: line.seq(base_seq)?, layout, extent })
}

#[cfg(test)]
mod tests;
