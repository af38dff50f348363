//! `[plans.NAME]`: what who holds a plan may have. What a plan does not say is as in `[limits]` and `[stream]`.

use std::time::Duration;

use super::instrument::{Class, Instrument};
use super::mistake::{Mistakes, Place};
use super::near;
use super::parse::{boolean, duration, text, whole};
use super::section::{Parsed, Section};
use super::tree::Node;

/// Bytes in a plan's name.
const NAME_MAX: usize = 32;

/// What who holds it may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// As keys and tokens name it.
    pub name: String,
    /// The symbols that may be followed. Default: `*`.
    pub symbols: Vec<SymbolPattern>,
    /// Streams open at once. Default: as in `[limits]`.
    pub streams_per_client: Option<u32>,
    /// Streams opened in a minute. Default: as in `[limits]`.
    pub opens_per_minute: Option<u32>,
    /// Messages in a second, over all streams. Default: as in `[limits]`.
    pub messages_per_second: Option<u32>,
    /// Bytes of messages in a second, over all streams. Default: as in `[limits]`.
    pub bytes_per_second: Option<u32>,
    /// What a wish for a throttle is raised to. Default: as in `[stream]`.
    pub throttle_min: Option<Duration>,
    /// Symbols on one stream. Default: as in `[stream]`, which it cannot exceed.
    pub symbols_max: Option<usize>,
    /// Whether `/feeds` and `/metrics` may be read. Default: false.
    pub operator: bool,
}

/// Some symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SymbolPattern {
    /// `BTC`, or with stars for any run of characters: `BTC-*`. In upper case.
    Name(String),
    /// `class:stock`.
    Class(Class),
}

impl SymbolPattern {
    /// Whether a symbol is one of them.
    pub fn matches(&self, symbol: &str, class: Class) -> bool {
        match self {
            Self::Name(pattern) => is_like(symbol.as_bytes(), pattern.as_bytes()),
            Self::Class(wanted) => *wanted == class,
        }
    }
}

/// Whether a text is like a pattern, in which a star stands for any run of characters.
fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    let mut parts = pattern.split(|&byte| byte == b'*');
    let (Some(first), last) = (parts.next(), parts.next_back()) else { return false };
    let Some(last) = last else { return text == first };
    let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    // Between two stars the first place will do: it leaves the most for what follows.
    for part in parts.filter(|part| !part.is_empty()) {
        let Some(at) = rest.windows(part.len()).position(|window| window == part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// A plan as read, with the places that later checks name.
pub(super) struct Draft {
    pub(super) plan: Plan,
    symbols_at: Vec<Place>,
}

/// Reads `[plans]`.
pub(super) fn read(section: &mut Section<'_>) -> Vec<Draft> {
    let drafts = section.each_table(Draft::read);
    let mut right = Vec::with_capacity(drafts.len());
    for (name, place, draft) in drafts {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_allowed) {
            let shown = name.escape_debug();
            let problem = format!("is no name of a plan: 1 to {NAME_MAX} characters of A-Z a-z 0-9 _ -");
            section.add(&place, &format!("`{shown}`"), problem);
        }
        right.push(draft);
    }
    right
}

impl Draft {
    fn read(section: &mut Section<'_>, name: &str) -> Self {
        let limit = whole(1..=u32::MAX);
        let (symbols_at, symbols) =
            section.list("symbols", pattern).unwrap_or_default().into_iter().unzip::<_, _, _, Vec<_>>();
        if symbols.is_empty() && section.is_there("symbols") {
            let place = section.place_of("symbols");
            section.add(&place, "symbols", "holds no symbol; leave it out for all of them");
        }
        let plan = Plan {
            name: name.to_owned(),
            symbols: if symbols.is_empty() { vec![SymbolPattern::Name("*".to_owned())] } else { symbols },
            streams_per_client: section.optional("streams_per_client", &limit),
            opens_per_minute: section.optional("opens_per_minute", &limit),
            messages_per_second: section.optional("messages_per_second", &limit),
            bytes_per_second: section.optional("bytes_per_second", whole(super::BYTES_PER_SECOND)),
            throttle_min: section.optional("throttle_min", duration(Duration::ZERO..=super::HOUR)),
            symbols_max: section.optional("symbols_max", whole(1..=1_000_000)),
            operator: section.get("operator", false, boolean),
        };
        Self { plan, symbols_at }
    }

    /// Each pattern must mean a symbol: one that doesn't is a misspelling that would withhold it silently.
    pub(super) fn check(&self, instruments: &[Instrument], mistakes: &mut Mistakes) {
        for (pattern, place) in self.plan.symbols.iter().zip(&self.symbols_at) {
            if instruments.iter().any(|one| pattern.matches(&one.symbol, one.class)) {
                continue;
            }
            let SymbolPattern::Name(name) = pattern else { continue };
            let shown = name.escape_debug();
            let symbols = instruments.iter().map(|one| one.symbol.as_str());
            let problem = match near::misses(name, symbols, 1).first() {
                Some(meant) => format!("no symbol is `{shown}`; did you mean `{meant}`?"),
                None => format!("no symbol is like `{shown}`; a plan names symbols, not aliases"),
            };
            mistakes.add(place, format!("[plans.{}] symbols", self.plan.name), problem);
        }
    }
}

fn pattern(node: &Node) -> Parsed<SymbolPattern> {
    let text = text(node)?;
    match text.strip_prefix("class:") {
        Some("crypto") => Ok(SymbolPattern::Class(Class::Crypto)),
        Some("stock") => Ok(SymbolPattern::Class(Class::Stock)),
        Some(other) => Err(format!("`{}` is no class: crypto or stock", other.escape_debug())),
        None if text.is_empty() => Err("a symbol is not empty".to_owned()),
        None => Ok(SymbolPattern::Name(text.to_ascii_uppercase())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let like = |text: &str, pattern: &str| is_like(text.as_bytes(), pattern.as_bytes());
        for (text, pattern) in [
            ("BTC", "BTC"),
            ("BTC", "*"),
            ("", "*"),
            ("BTC-PERP", "BTC-*"),
            ("ABCABD", "A*B*D"),
            ("AA", "*A"),
        ] {
            assert!(like(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in
            [("BTC", "BT"), ("A", "A*A"), ("XBTC", "BTC*"), ("ABC", "A*D"), ("AB", "A*C*B")]
        {
            assert!(!like(text, pattern), "{text} {pattern}");
        }
    }

    proptest! {
        #[test]
        fn cutting_anything_out_for_a_star_leaves_a_pattern_that_matches(
            text in "[A-Z]{0,12}", cuts in proptest::collection::vec(0_usize..12, 0..4)
        ) {
            let mut pattern = text.clone();
            for cut in cuts {
                let cut = cut.min(pattern.len());
                let end = (cut + 2).min(pattern.len());
                pattern.replace_range(cut..end, "*");
            }
            prop_assert!(is_like(text.as_bytes(), pattern.as_bytes()), "{} {}", text, pattern);
        }
    }
}
