//! The map of a segment: its bytes from first to last, in one line.

use unicode_width::UnicodeWidthStr;

use logkv::inspect::{Extent, ExtentKind, Inspection, Totals};

use super::paint::{glyphs, hue};
use crate::shell::term::style::Look;
use crate::shell::term::units;

/// The kind of bytes that a cell of the map shows. The kind with the most bytes in the cell wins,
/// but a cell with any damage shows damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MapCell {
    Header,
    Live,
    Dead,
    Tombstone,
    Bad,
}

const CELLS: [MapCell; 5] = [MapCell::Header, MapCell::Live, MapCell::Dead, MapCell::Tombstone, MapCell::Bad];
const MARGIN: usize = 2;
/// A wider map is no easier to read.
const WIDTH_MAX: usize = 100;

impl MapCell {
    fn of(kind: ExtentKind) -> Self {
        match kind {
            ExtentKind::Header => Self::Header,
            ExtentKind::Live => Self::Live,
            ExtentKind::Dead | ExtentKind::Expired => Self::Dead,
            ExtentKind::Tombstone => Self::Tombstone,
            ExtentKind::Damaged | ExtentKind::Torn => Self::Bad,
        }
    }

    fn paint(self, look: &Look, count: usize) -> String {
        let glyphs = glyphs(look);
        let (glyph, style) = match self {
            Self::Header => (glyphs.header, hue::DIM),
            Self::Live => (glyphs.live, hue::LIVE),
            Self::Dead => (glyphs.dead, hue::DIM),
            Self::Tombstone => (glyphs.tombstone, hue::TOMBSTONE),
            Self::Bad => ('!', hue::BAD),
        };
        look.paint(String::from_iter(std::iter::repeat_n(glyph, count)), style)
    }

    /// Returns the text of the legend, or `None` if the segment has no bytes of this kind.
    fn legend(self, totals: &Totals, len: u64) -> Option<String> {
        let (name, of_kind) = match self {
            Self::Header => return None,
            Self::Live => ("live", totals.live_len),
            Self::Dead => ("dead", totals.dead_len.saturating_add(totals.expired_len)),
            Self::Tombstone => ("tombstones", totals.tombstone_len),
            Self::Bad => ("damaged or torn", totals.damaged_len.saturating_add(totals.torn_len)),
        };
        let share = units::percent(of_kind, len);
        (of_kind > 0).then(|| format!("{name} {} ({share})", units::bytes(of_kind)))
    }
}

/// Returns the map and its wrapped legend, or no lines for an empty file.
pub fn lines(inspection: &Inspection, look: &Look) -> Vec<String> {
    let width = look.width.saturating_sub(MARGIN).clamp(1, WIDTH_MAX);
    let cells = cells(&inspection.extents, inspection.len, width);
    if cells.is_empty() {
        return Vec::new();
    }
    let runs = cells.chunk_by(PartialEq::eq).map(|run| run[0].paint(look, run.len()));
    let map = format!("{:MARGIN$}{}", "", runs.collect::<String>());
    let keys: Vec<_> = CELLS
        .into_iter()
        .filter_map(|cell| Some((cell, cell.legend(&inspection.totals, inspection.len)?)))
        .collect();
    std::iter::once(map).chain(legend(&keys, look)).collect()
}

/// Returns the legend, broken into lines between its entries.
fn legend(keys: &[(MapCell, String)], look: &Look) -> Vec<String> {
    let mut lines = Vec::new();
    let mut room = 0;
    for (cell, text) in keys {
        let width = MARGIN + 2 + text.width();
        if lines.is_empty() || room < width {
            lines.push(String::new());
            room = look.width;
        }
        room = room.saturating_sub(width);
        if let Some(line) = lines.last_mut() {
            line.push_str(&format!("{:MARGIN$}{} {text}", "", cell.paint(look, 1)));
        }
    }
    lines
}

/// Returns the cells of the map. Each stands for an equal share of the file.
fn cells(extents: &[Extent], len: u64, width: usize) -> Vec<MapCell> {
    // In a short file a cell would otherwise stand for less than a byte.
    let width = width.min(usize::try_from(len).unwrap_or(width));
    let edge = |cell: usize| u64::try_from(u128::from(len) * cell as u128 / width as u128).unwrap_or(len);
    let mut extents = extents.iter().peekable();
    let mut cells = Vec::with_capacity(width);
    for cell in 0..width {
        let from = edge(cell);
        let to = edge(cell + 1);
        let mut bytes = [0_u64; CELLS.len()];
        while let Some(extent) = extents.peek().filter(|extent| extent.at < to) {
            let end = extent.at.saturating_add(extent.len);
            bytes[MapCell::of(extent.kind) as usize] += end.min(to).saturating_sub(extent.at.max(from));
            if end > to {
                // The rest of the extent belongs to later cells.
                break;
            }
            extents.next();
        }
        cells.push(dominant(&bytes));
    }
    cells
}

fn dominant(bytes: &[u64; CELLS.len()]) -> MapCell {
    if bytes[MapCell::Bad as usize] > 0 {
        return MapCell::Bad;
    }
    // The first of equal kinds wins: dead bytes do not hide as many live ones.
    CELLS.into_iter().rev().max_by_key(|cell| bytes[*cell as usize]).unwrap_or(MapCell::Dead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExtentKind::{Damaged, Dead, Header, Live, Tombstone, Torn};

    /// Returns the map of consecutive extents of these lengths.
    fn map(parts: &[(ExtentKind, u64)], width: usize) -> String {
        let mut at = 0;
        let extents: Vec<_> = parts
            .iter()
            .map(|&(kind, len)| {
                at += len;
                Extent { kind, at: at - len, len }
            })
            .collect();
        let look = Look { width, color: false, ascii: false };
        cells(&extents, at, width).iter().map(|cell| cell.paint(&look, 1)).collect()
    }

    #[test]
    fn each_cell_shows_the_kind_of_most_of_its_bytes() {
        assert_eq!(map(&[(Header, 64), (Dead, 64), (Live, 96), (Tombstone, 32)], 8), "··░░███▒");
        assert_eq!(map(&[(Header, 64), (Live, 1 << 20)], 8), "████████");
        assert_eq!(map(&[(Dead, 100), (Live, 100)], 1), "█");
    }

    #[test]
    fn a_single_damaged_byte_of_a_large_segment_is_shown() {
        assert_eq!(map(&[(Live, 1 << 29), (Damaged, 1), (Live, 1 << 30)], 9), "███!█████");
        assert_eq!(map(&[(Live, 1 << 30), (Torn, 1)], 4), "███!");
    }

    #[test]
    fn a_file_shorter_than_the_screen_has_one_cell_per_byte() {
        assert_eq!(map(&[(Damaged, 3)], 80), "!!!");
        assert_eq!(map(&[], 80), "");
    }

    #[test]
    fn the_legend_names_the_kinds_present_and_breaks_between_entries() {
        let totals = Totals { live_len: 86, dead_len: 58, tombstone_len: 25, ..Totals::default() };
        let keys: Vec<_> =
            CELLS.into_iter().filter_map(|cell| Some((cell, cell.legend(&totals, 192)?))).collect();
        let look = Look { width: 40, color: false, ascii: false };
        assert_eq!(
            legend(&keys, &look),
            ["  █ live 86 B (44%)  ░ dead 58 B (30%)", "  ▒ tombstones 25 B (13%)"]
        );
    }
}
