//! How many streams to try next, in search of the most that still meet a limit.

/// A search from a first number up to a last one.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Tried first.
    pub from: usize,
    /// Never exceeded.
    pub to: usize,
}

/// The search is over once the number that failed is so little above the one that passed.
const NEAR_PERCENT: usize = 105;

impl Search {
    /// The next number, given what each tried one came to; `None` once the answer is known.
    pub fn next(self, tried: &[(usize, bool)]) -> Option<usize> {
        let passed = tried.iter().filter(|(_, passed)| *passed).map(|(tried, _)| *tried).max();
        let failed = tried.iter().filter(|(_, passed)| !passed).map(|(tried, _)| *tried);
        let failed = failed.filter(|failed| passed.is_none_or(|passed| passed < *failed)).min();
        let next = match (passed, failed) {
            (None, None) => self.from.min(self.to),
            (None, Some(failed)) => failed / 2,
            (Some(passed), None) => (passed + passed / 2).max(passed + 1).min(self.to),
            (Some(passed), Some(failed)) if failed * 100 <= passed * NEAR_PERCENT => return None,
            (Some(passed), Some(failed)) => passed.midpoint(failed),
        };
        let is_new = next > 0 && tried.iter().all(|(tried, _)| *tried != next);
        is_new.then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(limit: usize, search: Search) -> (Option<usize>, usize) {
        let mut tried = Vec::new();
        while let Some(next) = search.next(&tried) {
            tried.push((next, next <= limit));
        }
        (tried.iter().filter(|(_, passed)| *passed).map(|(tried, _)| *tried).max(), tried.len())
    }

    #[test]
    fn the_limit_is_found_within_a_twentieth_from_either_side() {
        for limit in [30, 999, 1000, 4_321, 18_999] {
            let (best, steps) = found(limit, Search { from: 1000, to: 19_000 });
            let best = best.unwrap();
            assert!(best <= limit && limit * 100 <= best * 106, "{best} for {limit}");
            assert!(steps < 16, "{steps} steps");
        }
    }

    #[test]
    fn where_all_pass_the_last_number_is_the_answer() {
        assert_eq!(found(50_000, Search { from: 1000, to: 19_000 }).0, Some(19_000));
        assert_eq!(found(50_000, Search { from: 1000, to: 500 }).0, Some(500));
    }

    #[test]
    fn where_none_passes_the_search_ends() {
        assert_eq!(found(0, Search { from: 1000, to: 19_000 }).0, None);
    }
}
