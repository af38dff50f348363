//! Which symbols each stream asks for, and the request it sends.

use std::fmt::Write;
use std::str::FromStr;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::index::sample;

/// What the streams follow of a simulated market, whose symbols are `S000`, `S001`, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbols {
    /// All follow `S000`.
    One,
    /// Stream `i` follows `count` of the first `of`, from the `i`th on, around the end.
    Consecutive {
        /// Symbols a stream.
        count: usize,
        /// Symbols there are.
        of: usize,
    },
    /// Each stream follows a set of its own. The same seed, the same sets.
    Random {
        /// Symbols a stream.
        count: usize,
        /// Symbols there are.
        of: usize,
        /// Of the choice.
        seed: u64,
    },
}

/// Why a text names no choice of symbols.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no choice of symbols: `one`, `10/100` (ten consecutive ones of a hundred), `random:10/100` or \
     `random:10/100:SEED`"
)]
pub struct NoChoice(String);

impl FromStr for Symbols {
    type Err = NoChoice;

    fn from_str(text: &str) -> Result<Self, NoChoice> {
        let parse = || {
            if text == "one" {
                return Some(Self::One);
            }
            let (of_all, seed) = match text.strip_prefix("random:") {
                None => (text, None),
                Some(rest) => match rest.split_once(':') {
                    None => (rest, Some(7)),
                    Some((rest, seed)) => (rest, Some(seed.parse().ok()?)),
                },
            };
            let (count, of) = of_all.split_once('/')?;
            let (count, of) = (count.parse().ok()?, of.parse().ok()?);
            let is_possible = 0 < count && count <= of;
            is_possible.then_some(match seed {
                None => Self::Consecutive { count, of },
                Some(seed) => Self::Random { count, of, seed },
            })
        };
        parse().ok_or_else(|| NoChoice(text.to_owned()))
    }
}

impl Symbols {
    /// The symbols of stream `stream`, as they stand in a query.
    pub fn list(self, stream: usize) -> String {
        match self {
            Self::One => name(0),
            Self::Consecutive { count, of } => join((0..count).map(|next| (stream + next) % of)),
            Self::Random { count, of, seed } => {
                let mut rng = SmallRng::seed_from_u64(seed.wrapping_add(stream as u64));
                let mut chosen = sample(&mut rng, of, count).into_vec();
                chosen.sort_unstable();
                join(chosen.into_iter())
            }
        }
    }
}

fn join(symbols: impl Iterator<Item = usize>) -> String {
    symbols.fold(String::new(), |mut list, symbol| {
        let separator = if list.is_empty() { "" } else { "," };
        let _ = write!(list, "{separator}S{symbol:03}");
        list
    })
}

/// The name of the simulated symbol at an index.
pub fn name(symbol: usize) -> String {
    format!("S{symbol:03}")
}

/// The index of a simulated symbol, where it is one of the first `of`.
pub fn index(name: &str, of: usize) -> Option<usize> {
    let digits = name.strip_prefix('S').filter(|digits| digits.len() >= 3)?;
    digits.parse().ok().filter(|index| *index < of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_symbols_go_around_the_end() {
        let symbols: Symbols = "3/100".parse().unwrap();
        assert_eq!(symbols.list(0), "S000,S001,S002");
        assert_eq!(symbols.list(99), "S099,S000,S001");
        assert_eq!(symbols.list(199), symbols.list(99));
    }

    #[test]
    fn random_symbols_are_distinct_and_the_same_in_every_run() {
        let symbols: Symbols = "random:10/100".parse().unwrap();
        let lists: Vec<_> = (0..50).map(|stream| symbols.list(stream)).collect();
        for list in &lists {
            let mut found: Vec<_> = list.split(',').map(|name| index(name, 100).unwrap()).collect();
            found.dedup();
            assert_eq!(found.len(), 10, "{list}");
        }
        assert_eq!(symbols.list(7), lists[7]);
        assert_ne!(lists[7], lists[8]);
        assert_ne!("random:10/100:8".parse::<Symbols>().unwrap().list(7), symbols.list(7));
    }

    #[test]
    fn what_is_no_choice_says_what_would_be() {
        for text in ["", "two", "0/5", "6/5", "1/", "random:1", "random:1/5:x"] {
            let error = text.parse::<Symbols>().unwrap_err();
            assert!(error.to_string().contains("10/100"), "{error}");
        }
    }
}
