//! What people type, to symbols: ranking for a search box, and near misses for a misspelt symbol.

use super::{Entry, SymbolId};
use crate::config::near;

/// Suggestions for one misspelling.
const SUGGESTIONS_MAX: usize = 3;

/// What one symbol may be typed as, in upper case, so that a search compares and never converts.
#[derive(Debug)]
pub(super) struct Terms {
    symbol: String,
    aliases: Vec<String>,
    name: String,
}

/// How well a query fits: the lower, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Exact,
    Prefix,
    Contains,
}

/// Which of a symbol's names fitted, in the order in which they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    Symbol,
    Alias,
    Name,
}

impl Terms {
    pub(super) fn new(entry: &Entry) -> Self {
        Self { symbol: entry.symbol.clone(), aliases: entry.aliases.clone(), name: entry.name.to_uppercase() }
    }

    fn all(&self) -> impl Iterator<Item = (Named, &str)> {
        let aliases = self.aliases.iter().map(|alias| (Named::Alias, alias.as_str()));
        std::iter::once((Named::Symbol, self.symbol.as_str()))
            .chain(aliases)
            .chain([(Named::Name, self.name.as_str())])
    }

    /// Returns how well an upper-case query fits at best, or nothing where it does not. An empty one fits all alike.
    pub(super) fn rank(&self, query: &str) -> Option<(Fit, Named)> {
        if query.is_empty() {
            return Some((Fit::Exact, Named::Symbol));
        }
        self.all().filter_map(|(named, term)| Some((fit(term, query)?, named))).min()
    }
}

fn fit(term: &str, query: &str) -> Option<Fit> {
    match term.find(query)? {
        0 if term.len() == query.len() => Some(Fit::Exact),
        0 => Some(Fit::Prefix),
        _ => Some(Fit::Contains),
    }
}

/// Returns the symbols nearest to a text in any case, the nearest first.
pub(super) fn suggestions<'t>(
    terms: impl Iterator<Item = (SymbolId, &'t Terms)>,
    text: &str,
) -> impl Iterator<Item = SymbolId> {
    // Upper-casing is bounded like the comparison: a longer text is near to nothing.
    let text = if text.len() > near::TEXT_MAX { String::new() } else { text.to_uppercase() };
    let nearest = |terms: &Terms| {
        terms.all().filter_map(|(named, term)| Some((near::slips(&text, term)?, named))).min()
    };
    let mut near: Vec<_> = terms.filter_map(|(id, terms)| Some((nearest(terms)?, id))).collect();
    near.sort_by_key(|(nearness, _)| *nearness);
    near.into_iter().take(SUGGESTIONS_MAX).map(|(_, id)| id)
}
