//! A bar that shows a share.

use super::style::{Look, hue};

/// Returns a bar of `width` columns: full for `full`, shaded for `empty`. Each part that is not
/// zero has a column of its own if the width allows it.
pub fn bar(full: u64, empty: u64, width: usize, look: Look) -> String {
    let (block, shade) = if look.ascii { ("#", ".") } else { ("█", "░") };
    let exact = u128::from(full) * width as u128 / u128::from((full + empty).max(1));
    let full_width = usize::try_from(exact).unwrap_or(width);
    let least = usize::from(full > 0);
    let most = width.saturating_sub(usize::from(empty > 0)).max(least);
    let full_width = full_width.clamp(least, most);
    let full = look.paint(block.repeat(full_width), hue::GOOD);
    let empty = look.paint(shade.repeat(width.saturating_sub(full_width)), hue::DIM);
    format!("{full}{empty}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_even_the_smallest_share() {
        let look = Look { color: false, ascii: true, width: 80 };
        assert_eq!(bar(1, 1, 4, look), "##..");
        assert_eq!(bar(1, 1_000_000, 4, look), "#...");
        assert_eq!(bar(1_000_000, 1, 4, look), "###.");
        assert_eq!(bar(5, 0, 4, look), "####");
        assert_eq!(bar(0, 5, 4, look), "....");
        assert_eq!(bar(u64::MAX / 2, u64::MAX / 2, 4, look), "##..");
    }
}
