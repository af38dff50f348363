//! `[[instrument]]`: a symbol that clients may ask for, and the instruments at the venues that its price is made of.

use std::fmt;
use std::time::Duration;

use tickcast_feeds::Venue;
use utoipa::ToSchema;

use super::mistake::Place;
use super::near;
use super::parse::{duration, text, whole, word};
use super::section::{Parsed, Section};
use super::tree::Node;

/// Characters in a symbol or an alias.
pub const NAME_MAX: usize = 32;
/// Sources of one instrument that `min_sources` may ask for.
const SOURCES_MAX: usize = 100;
/// Bytes in a name for people, and in a wire name.
const TEXT_MAX: usize = 100;

/// What a symbol is a name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Class {
    /// Trades day and night; figures are over the last 24 hours.
    Crypto,
    /// Trades in sessions; figures are of the current one.
    Stock,
}

/// How the sources' prices make the symbol's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PriceRule {
    /// The first source, in the order configured, that is fresh.
    #[default]
    Primary,
    /// The median of the fresh ones.
    Median,
}

/// When a source's newest tick is too old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StaleAfter {
    /// By its own usual pace.
    #[default]
    Auto,
    /// After this long.
    Fixed(Duration),
}

/// One instrument at one venue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Where it is traded.
    pub venue: Venue,
    /// The venue's spelling in its frames.
    pub wire: String,
}

/// One symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// What clients ask for: at most 32 of `A-Z 0-9 . - _ / : = ^ $ &`. Required.
    pub symbol: String,
    /// For people. Default: the symbol.
    pub name: String,
    /// Required.
    pub class: Class,
    /// The asset's common code, crypto only. With it, `BTC-USD`, `BTC/USD` and `BTCUSD` become aliases. Default: none.
    pub base: Option<String>,
    /// What a price is in. Default: `USD`.
    pub currency: String,
    /// Decimals to display, 0 to 28; a hint, prices keep the venue's digits. Default: 2.
    pub decimals: u32,
    /// Other names, written like a symbol. Default: none.
    pub aliases: Vec<String>,
    /// In order of preference; at least one.
    pub sources: Vec<Source>,
    /// How they make a price. Default: primary.
    pub price: PriceRule,
    /// Median only: fewer fresh sources make the price degraded. From 1. Default: 1.
    pub min_sources: usize,
    /// 10 ms to 30 days, or `auto`. Default: auto.
    pub stale_after: StaleAfter,
}

/// An instrument as read, with the places that later checks name. Only what was right is in it.
pub(super) struct Draft {
    pub(super) instrument: Instrument,
    /// As printed before a key: `[[instrument]] BTC`.
    pub(super) title: String,
    pub(super) symbol_at: Place,
    pub(super) aliases_at: Vec<Place>,
    pub(super) base_at: Place,
    pub(super) sources_at: Place,
    pub(super) source_at: Vec<Place>,
    pub(super) min_sources_at: Place,
    /// Whether every source could be read; if not, nothing is said about the rest as a whole.
    pub(super) has_all_sources: bool,
}

impl Instrument {
    /// The names that the instrument gets by itself from its base and currency.
    pub fn automatic_aliases(&self) -> Vec<String> {
        let Some(base) = &self.base else { return Vec::new() };
        ["-", "/", ""].map(|between| format!("{base}{between}{}", self.currency)).to_vec()
    }

    /// One of those that `feeds.sim.generate` adds, counted from 0.
    pub(super) fn generated(index: u32) -> Self {
        let symbol = format!("S{index:03}");
        Self {
            name: format!("Simulated {index:03}"),
            class: Class::Stock,
            base: None,
            currency: "USD".to_owned(),
            decimals: 2,
            aliases: Vec::new(),
            sources: vec![Source { venue: Venue::Sim, wire: symbol.clone() }],
            price: PriceRule::default(),
            min_sources: 1,
            stale_after: StaleAfter::default(),
            symbol,
        }
    }
}

impl Draft {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let symbol = section.required("symbol", name).unwrap_or_default();
        if !symbol.is_empty() {
            section.title = format!("[[instrument]] {symbol}");
        }
        let class = section.required("class", word(&[("crypto", Class::Crypto), ("stock", Class::Stock)]));
        let base = section.optional("base", name);
        let base_at = section.place_of("base");
        if class == Some(Class::Stock) && base.is_some() {
            section.add(&base_at, "base", "is for crypto only; leave it out for a stock");
        }
        let (aliases_at, aliases) = section.list("aliases", name).unwrap_or_default().into_iter().unzip();
        let mistakes_before = section.mistakes();
        section.require("sources");
        let (source_at, sources) = section.list("sources", source).unwrap_or_default().into_iter().unzip();
        let has_all_sources = section.mistakes() == mistakes_before;
        let price = word(&[("primary", PriceRule::Primary), ("median", PriceRule::Median)]);
        let instrument = Instrument {
            name: section.get("name", symbol.clone(), label),
            class: class.unwrap_or(Class::Crypto),
            base,
            currency: section.get("currency", "USD".to_owned(), name),
            decimals: section.get("decimals", 2, whole(0..=28)),
            aliases,
            sources,
            price: section.get("price", PriceRule::default(), price),
            min_sources: section.get("min_sources", 1, whole(1..=SOURCES_MAX)),
            stale_after: section.get("stale_after", StaleAfter::default(), stale_after),
            symbol,
        };
        Self {
            instrument,
            title: section.title.clone(),
            symbol_at: section.place_of("symbol"),
            aliases_at,
            base_at,
            sources_at: section.place_of("sources"),
            source_at,
            min_sources_at: section.place_of("min_sources"),
            has_all_sources,
        }
    }
}

/// A symbol, an alias, an asset's or a currency's code: upper-cased, and of characters that need no quoting in a
/// list in a URL.
fn name(node: &Node) -> Parsed<String> {
    let upper = text(node)?.to_ascii_uppercase();
    let is_allowed =
        |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b".-_/:=^$&".contains(&byte);
    if upper.is_empty() || upper.len() > NAME_MAX || !upper.bytes().all(is_allowed) {
        let shown = upper.escape_debug();
        return Err(format!("`{shown}` is no name: 1 to {NAME_MAX} characters of A-Z 0-9 . - _ / : = ^ $ &"));
    }
    Ok(upper)
}

/// A name for people.
fn label(node: &Node) -> Parsed<String> {
    let text = text(node)?.trim();
    if text.is_empty() || text.len() > TEXT_MAX || text.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {TEXT_MAX} bytes and no control characters"));
    }
    Ok(text.to_owned())
}

/// `venue:wire`, such as `kraken:BTC/USD`.
fn source(node: &Node) -> Parsed<Source> {
    let text = text(node)?;
    let shown = text.escape_debug();
    let Some((venue, wire)) = text.split_once(':') else {
        return Err(format!("`{shown}` is no source: it is written venue:name, such as coinbase:BTC-USD"));
    };
    if wire.is_empty()
        || wire.len() > TEXT_MAX
        || !wire.chars().all(|c| !c.is_whitespace() && !c.is_control())
    {
        return Err(format!(
            "`{shown}`: the name after the colon is the one in the venue's frames, without blanks"
        ));
    }
    if let Ok(venue) = venue.parse() {
        return Ok(Source { venue, wire: wire.to_owned() });
    }
    let venues: Vec<&str> = Venue::ALL.iter().map(|venue| venue.name()).collect();
    let shown = venue.escape_debug();
    Err(match near::misses(venue, venues.iter().copied(), 1).first() {
        Some(meant) => format!("unknown venue `{shown}`; did you mean `{meant}`?"),
        None => format!("unknown venue `{shown}`; there are: {}", venues.join(", ")),
    })
}

fn stale_after(node: &Node) -> Parsed<StaleAfter> {
    if text(node) == Ok("auto") {
        return Ok(StaleAfter::Auto);
    }
    let bounds = Duration::from_millis(10)..=Duration::from_hours(30 * 24);
    duration(bounds)(node).map(StaleAfter::Fixed).map_err(|problem| format!("{problem}; or \"auto\""))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.venue, self.wire)
    }
}
