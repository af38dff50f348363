//! Near misses: which of the known names somebody probably meant.

/// Longer texts are nobody's misspelling; comparing them would only cost time. Bytes.
pub const TEXT_MAX: usize = 48;

/// Returns at most `max` of the candidates that are a slip or two away from `text`, the nearest first. Case counts.
///
/// About one slip in three characters is forgiven; a text of one character is near to nothing.
pub fn misses<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>, max: usize) -> Vec<&'c str> {
    let mut near: Vec<(usize, &'c str)> = Vec::new();
    for candidate in candidates {
        if let Some(slips) = slips(text, candidate) {
            near.push((slips, candidate));
        }
    }
    near.sort_by_key(|&(slips, _)| slips);
    near.truncate(max);
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Returns how many slips (a character too many, missing, wrong, or two swapped) lie between the two, or `None`
/// where that is too many to be a misspelling.
pub fn slips(text: &str, candidate: &str) -> Option<usize> {
    let length = text.len();
    if !(2..=TEXT_MAX).contains(&length) {
        return None;
    }
    let slips_max = (length / 3).max(1);
    // The lengths alone rule most candidates out, without the matrix.
    if length.abs_diff(candidate.len()) > slips_max {
        return None;
    }
    let slips = strsim::osa_distance(text, candidate);
    (slips <= slips_max).then_some(slips)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let keys = ["throttle_default", "throttle_min", "heartbeat"];
        assert_eq!(misses("throtle_default", keys, 1), ["throttle_default"]);
        assert_eq!(misses("haertbeat", keys, 1), ["heartbeat"]);
        assert_eq!(misses("listen", keys, 3), [""; 0]);
    }

    #[test]
    fn one_character_and_a_flood_are_near_to_nothing() {
        assert_eq!(slips("B", "A"), None);
        assert_eq!(slips(&"A".repeat(1000), "A"), None);
        assert_eq!(slips("BTX", "BTC"), Some(1));
    }
}
