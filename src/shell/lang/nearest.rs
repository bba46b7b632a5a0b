//! Suggestions for mistyped words.

/// Returns the candidate with the fewest typing errors, or the only candidate that starts with
/// `typed`.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer words are not typed by hand, and a comparison takes quadratic time.
    const LEN_MAX: usize = 256;
    if typed.len() > LEN_MAX {
        return None;
    }
    let typed = typed.to_lowercase();
    let candidates: Vec<_> = candidates.into_iter().collect();
    // If more typing errors were allowed, too many candidates would match.
    let slips_max = if typed.chars().count() < 5 { 1 } else { 2 };
    let slipped = candidates
        .iter()
        .filter(|candidate| candidate.len() <= LEN_MAX)
        .map(|&candidate| (slips(&typed, &candidate.to_lowercase()), candidate))
        .filter(|&(slips, candidate)| slips <= slips_max && slips < candidate.chars().count())
        .min_by_key(|&(slips, _)| slips)
        .map(|(_, candidate)| candidate);
    slipped.or_else(|| begun(&typed, &candidates))
}

/// Counts the letters that are missing, added, wrong, or swapped with their neighbour. This is the
/// optimal string alignment distance.
fn slips(a: &str, b: &str) -> usize {
    let a: Vec<_> = a.chars().collect();
    let b: Vec<_> = b.chars().collect();
    // `slips[i][j]` is the distance between the first `i` letters of `a` and the first `j` of `b`.
    let mut slips = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            slips[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let replaced = slips[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let least = replaced.min(slips[i - 1][j] + 1).min(slips[i][j - 1] + 1);
                    match i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        true => least.min(slips[i - 2][j - 2] + 1),
                        false => least,
                    }
                }
            };
        }
    }
    slips[a.len()][b.len()]
}

/// Returns the candidate that starts with `typed`, if only one does.
fn begun<'a>(typed: &str, candidates: &[&'a str]) -> Option<&'a str> {
    const LEN_LEAST: usize = 2;
    let mut begun = candidates.iter().filter(|candidate| candidate.to_lowercase().starts_with(typed));
    begun.next().filter(|_| typed.len() >= LEN_LEAST && begun.next().is_none()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_is_recognised_and_a_different_word_is_not() {
        assert_eq!(nearest("sgements", ["stats", "segments"]), Some("segments"));
        assert_eq!(nearest("GTE", ["get", "put"]), Some("get"));
        assert_eq!(nearest("frobnicate", ["get", "put"]), None);
        assert_eq!(nearest("x", ["q"]), None);
    }

    #[test]
    fn a_missing_added_wrong_or_swapped_letter_counts_once() {
        for (a, b, count) in [
            ("", "", 0),
            ("get", "get", 0),
            ("", "get", 3),
            ("gt", "get", 1),
            ("geet", "get", 1),
            ("gat", "get", 1),
            ("gte", "get", 1),
            ("ähnlcih", "ahnlich", 2),
        ] {
            assert_eq!((slips(a, b), slips(b, a)), (count, count), "{a} {b}");
        }
    }

    #[test]
    fn an_unambiguous_prefix_is_recognised() {
        assert_eq!(nearest("rev", ["reverse", "limit"]), Some("reverse"));
        assert_eq!(nearest("ro", ["rollback", "rotate"]), None);
        assert_eq!(nearest("r", ["reverse"]), None);
    }
}
