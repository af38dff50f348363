//! The symbols that there are: from what a client types, or from a venue's wire name, to a symbol. A catalogue never
//! changes once made; the next one is made from it, and what a symbol costs is elsewhere.

mod search;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use tickcast_feeds::Venue;

use crate::config::{Class, Instrument, PriceRule, Source, StaleAfter};
use search::Terms;

/// A symbol's name within the program: from 0. It means the same symbol in every catalogue of one run, and one that was
/// taken out is not given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolId(pub u32);

impl SymbolId {
    /// As an index into anything that is kept per symbol.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One symbol and what its price is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What clients ask for, in upper case.
    pub symbol: String,
    /// For people.
    pub name: String,
    /// What it is.
    pub class: Class,
    /// The asset's common code, crypto only.
    pub base: Option<String>,
    /// What a price is in.
    pub currency: String,
    /// Decimals to display; a hint.
    pub decimals: u32,
    /// Every other name: the operator's, then the automatic ones. None twice, none the symbol itself.
    pub aliases: Vec<String>,
    /// In order of preference; at least one.
    pub sources: Vec<Source>,
    /// [`SourceRef::index`] of each of them: the same in every catalogue that has the source.
    pub slots: Vec<usize>,
    /// Above all slots that sources of this symbol have ever had.
    pub slots_end: usize,
    /// How they make a price.
    pub rule: PriceRule,
    /// Fewer fresh sources make a median degraded.
    pub min_sources: usize,
    /// When a source's newest tick is too old.
    pub stale_after: StaleAfter,
}

/// One source of one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceRef {
    /// Whose source it is.
    pub symbol: SymbolId,
    /// Which of its sources, by [`Entry::slots`].
    pub index: usize,
}

/// All symbols.
#[derive(Debug)]
pub struct Catalogue {
    /// By [`SymbolId::index`], those that were taken out too: streams may still follow them.
    entries: Vec<Arc<Entry>>,
    /// What is in it, in the config's order.
    ids: Vec<SymbolId>,
    /// Symbols and aliases, in upper case. Client text is looked up here and never added.
    names: FxHashMap<String, SymbolId>,
    /// One map per venue, by its place in [`Venue::ALL`]: a look-up then hashes the wire name alone.
    sources: Vec<FxHashMap<String, Vec<SourceRef>>>,
    /// Each venue's wire names, in the catalogue's order.
    wires: Vec<Vec<String>>,
    /// What people may type, per entry; `None` for what was taken out.
    terms: Vec<Option<Terms>>,
    /// Bytes in the longest symbol or alias: longer text needs no look-up.
    name_len_max: usize,
}

impl Catalogue {
    /// A catalogue of instruments that the config has checked: no name means two of them.
    pub fn new(instruments: Vec<Instrument>) -> Self {
        Self::after(Vec::new(), instruments)
    }

    /// The next catalogue, of the instruments of another config. A symbol that is in both is the same symbol as long as
    /// it is of the same class and currency: then its prices go on.
    #[must_use]
    pub fn revised(&self, instruments: Vec<Instrument>) -> Self {
        Self::after(self.entries.clone(), instruments)
    }

    fn after(entries: Vec<Arc<Entry>>, instruments: Vec<Instrument>) -> Self {
        let mut catalogue = Self {
            ids: Vec::with_capacity(instruments.len()),
            names: FxHashMap::default(),
            sources: vec![FxHashMap::default(); Venue::ALL.len()],
            wires: vec![Vec::new(); Venue::ALL.len()],
            terms: entries.iter().map(|_| None).collect(),
            name_len_max: 0,
            entries,
        };
        // A symbol that changed its class or currency has several entries: the newest is looked at.
        let before: FxHashMap<String, usize> =
            (0..).zip(&catalogue.entries).map(|(index, entry)| (entry.symbol.clone(), index)).collect();
        for instrument in instruments {
            let index = before.get(&instrument.symbol).copied().filter(|&index| {
                let entry = &catalogue.entries[index];
                (entry.class, &entry.currency) == (instrument.class, &instrument.currency)
            });
            catalogue.add(index, instrument);
        }
        catalogue
    }

    /// Adds an instrument: the one that has this entry already, or a new one.
    fn add(&mut self, index: Option<usize>, instrument: Instrument) {
        let before = index.map(|index| &*self.entries[index]);
        let entry = Arc::new(Entry::new(instrument, before));
        let index = index.unwrap_or(self.entries.len());
        // More symbols than a u32 counts would not fit in memory.
        let Ok(id) = u32::try_from(index).map(SymbolId) else { return };
        for name in std::iter::once(&entry.symbol).chain(&entry.aliases) {
            self.name_len_max = self.name_len_max.max(name.len());
            self.names.entry(name.clone()).or_insert(id);
        }
        for (source, &slot) in entry.sources.iter().zip(&entry.slots) {
            let venue = source.venue as usize;
            let refs = self.sources[venue].entry(source.wire.clone()).or_default();
            if refs.is_empty() {
                self.wires[venue].push(source.wire.clone());
            }
            refs.push(SourceRef { symbol: id, index: slot });
        }
        let terms = Some(Terms::new(&entry));
        if index == self.entries.len() {
            self.entries.push(entry);
            self.terms.push(terms);
        } else {
            self.entries[index] = entry;
            self.terms[index] = terms;
        }
        self.ids.push(id);
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Every symbol, in the catalogue's order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = SymbolId> + ExactSizeIterator {
        self.ids.iter().copied()
    }

    /// Whether the symbol is in it. If not, it was in an earlier one.
    pub fn has(&self, id: SymbolId) -> bool {
        self.terms.get(id.index()).is_some_and(Option::is_some)
    }

    /// The symbol's entry, the last one where it was taken out. The id is of this run.
    pub fn entry(&self, id: SymbolId) -> &Entry {
        &self.entries[id.index()]
    }

    /// The symbol of that name or alias, in any case; `None` where there is none.
    pub fn find(&self, text: &str) -> Option<SymbolId> {
        if text.len() > self.name_len_max {
            return None;
        }
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return self.names.get(&text.to_ascii_uppercase()).copied();
        }
        self.names.get(text).copied()
    }

    /// Whose source the venue's instrument is; empty where it is nobody's.
    pub fn sources(&self, venue: Venue, wire: &str) -> &[SourceRef] {
        self.sources[venue as usize].get(wire).map_or(&[], Vec::as_slice)
    }

    /// The wire names to ask the venue for, each once, in the catalogue's order.
    pub fn wires(&self, venue: Venue) -> Vec<&str> {
        self.wires[venue as usize].iter().map(String::as_str).collect()
    }

    /// At most three symbols that may have been meant, by symbol, alias or name, the nearest first. Empty when
    /// nothing is near. It looks at every symbol: for messages to people, not for every frame.
    pub fn suggestions(&self, text: &str) -> Vec<&str> {
        let terms = self.ids.iter().filter_map(|id| Some((*id, self.terms[id.index()].as_ref()?)));
        search::suggestions(terms, text).map(|id| self.entry(id).symbol.as_str()).collect()
    }

    /// The first `limit` symbols that match, best first, and how many match in all: those that are the text, then
    /// those that start with it, then those that contain it; in each by symbol, alias, name. In any case. An empty
    /// query matches all, in the catalogue's order. Only symbols for which `is_among` are looked at.
    pub fn search(
        &self,
        query: &str,
        class: Option<Class>,
        limit: usize,
        is_among: impl Fn(SymbolId) -> bool,
    ) -> (Vec<SymbolId>, usize) {
        let query = query.trim().to_uppercase();
        let is_of_class = |id: &SymbolId| class.is_none_or(|class| class == self.entry(*id).class);
        let of_class = self.ids().filter(|id| is_of_class(id) && is_among(*id));
        let mut ranked: Vec<_> =
            of_class.filter_map(|id| Some((self.terms[id.index()].as_ref()?.rank(&query)?, id))).collect();
        // What is equal stays in the catalogue's order.
        ranked.sort_by_key(|(rank, _)| *rank);
        let total = ranked.len();
        (ranked.into_iter().take(limit).map(|(_, id)| id).collect(), total)
    }
}

impl Entry {
    /// An instrument's entry, after the one that it had before.
    fn new(instrument: Instrument, before: Option<&Self>) -> Self {
        let mut slots_end = before.map_or(0, |before| before.slots_end);
        let slot = |source: &Source| {
            let known = before.and_then(|before| {
                let place = before.sources.iter().position(|other| other == source)?;
                Some(before.slots[place])
            });
            known.unwrap_or_else(|| {
                slots_end += 1;
                slots_end - 1
            })
        };
        let slots = instrument.sources.iter().map(slot).collect();
        let mut aliases: Vec<String> = Vec::new();
        for alias in instrument.aliases.iter().cloned().chain(instrument.automatic_aliases()) {
            if alias != instrument.symbol && !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
        Self {
            symbol: instrument.symbol,
            name: instrument.name,
            class: instrument.class,
            base: instrument.base,
            currency: instrument.currency,
            decimals: instrument.decimals,
            aliases,
            sources: instrument.sources,
            slots,
            slots_end,
            rule: instrument.price,
            min_sources: instrument.min_sources,
            stale_after: instrument.stale_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instrument(symbol: &str, name: &str, class: Class, sources: &[(Venue, &str)]) -> Instrument {
        let source = |&(venue, wire): &(Venue, &str)| Source { venue, wire: wire.to_owned() };
        Instrument {
            symbol: symbol.to_owned(),
            name: name.to_owned(),
            class,
            base: (class == Class::Crypto).then(|| symbol.to_owned()),
            currency: "USD".to_owned(),
            decimals: 2,
            aliases: Vec::new(),
            sources: sources.iter().map(source).collect(),
            price: PriceRule::Primary,
            min_sources: 1,
            stale_after: StaleAfter::Auto,
        }
    }

    fn catalogue() -> Catalogue {
        let mut bitcoin = instrument(
            "BTC",
            "Bitcoin",
            Class::Crypto,
            &[(Venue::Coinbase, "BTC-USD"), (Venue::Kraken, "BTC/USD"), (Venue::Sim, "BTC-USD")],
        );
        bitcoin.aliases = vec!["XBT".to_owned(), "BTC-USD".to_owned(), "BTC".to_owned()];
        let mut coin = instrument("BITC", "Spot coin", Class::Crypto, &[(Venue::Coinbase, "BTC-USD")]);
        coin.base = None;
        Catalogue::new(vec![
            instrument("AAPL", "Apple", Class::Stock, &[(Venue::Sim, "AAPL")]),
            bitcoin,
            instrument("ETH", "Ether", Class::Crypto, &[(Venue::Coinbase, "ETH-USD")]),
            coin,
        ])
    }

    fn symbols(catalogue: &Catalogue, found: &[SymbolId]) -> Vec<String> {
        found.iter().map(|id| catalogue.entry(*id).symbol.clone()).collect()
    }

    #[test]
    fn a_symbol_is_found_by_any_of_its_names_in_any_case() {
        let catalogue = catalogue();
        for name in ["BTC", "btc", "xBt", "XBT", "btc-usd", "BTC/USD", "BTCUSD"] {
            assert_eq!(catalogue.find(name), Some(SymbolId(1)), "{name}");
        }
        for name in ["", "BT", "BTCUSDT", "BITCOIN", "\u{df}tc", "BTC ", &"B".repeat(100_000)] {
            assert_eq!(catalogue.find(name), None, "{name}");
        }
        assert_eq!(catalogue.len(), 4);
        assert_eq!(catalogue.ids().map(SymbolId::index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn an_alias_is_listed_once_and_the_symbol_is_none_of_them() {
        assert_eq!(catalogue().entry(SymbolId(1)).aliases, ["XBT", "BTC-USD", "BTC/USD", "BTCUSD"]);
    }

    #[test]
    fn two_symbols_may_share_a_source_and_the_venue_is_asked_for_it_once() {
        let catalogue = catalogue();
        let shared =
            [SourceRef { symbol: SymbolId(1), index: 0 }, SourceRef { symbol: SymbolId(3), index: 0 }];
        assert_eq!(catalogue.sources(Venue::Coinbase, "BTC-USD"), shared);
        assert_eq!(catalogue.sources(Venue::Sim, "BTC-USD"), [SourceRef { symbol: SymbolId(1), index: 2 }]);
        assert_eq!(catalogue.sources(Venue::Kraken, "BTC-USD"), []);
        assert_eq!(catalogue.wires(Venue::Coinbase), ["BTC-USD", "ETH-USD"]);
        assert_eq!(catalogue.wires(Venue::Binance), [""; 0]);
    }

    #[test]
    fn what_stays_keeps_its_id_and_slots_and_what_is_taken_out_is_found_no_more() {
        let first = catalogue();
        let instruments = |catalogue: &Catalogue, revise: &dyn Fn(&mut Vec<Instrument>)| {
            let mut list = vec![
                instrument("AAPL", "Apple", Class::Stock, &[(Venue::Sim, "AAPL")]),
                instrument(
                    "BTC",
                    "Bitcoin",
                    Class::Crypto,
                    &[(Venue::Kraken, "BTC/USD"), (Venue::Okx, "BTC-USD"), (Venue::Sim, "BTC-USD")],
                ),
            ];
            revise(&mut list);
            catalogue.revised(list)
        };
        let second = instruments(&first, &|list| {
            list.insert(0, instrument("SOL", "Solana", Class::Crypto, &[(Venue::Sim, "SOL-USD")]));
        });
        assert_eq!(second.ids().collect::<Vec<_>>(), [SymbolId(4), SymbolId(0), SymbolId(1)]);
        assert_eq!(second.find("btc"), Some(SymbolId(1)));
        assert_eq!((second.find("ETH"), second.find("XBT"), second.len()), (None, None, 3));
        assert!(first.has(SymbolId(2)) && !second.has(SymbolId(2)) && second.has(SymbolId(4)));
        assert_eq!(second.entry(SymbolId(2)).symbol, "ETH", "for who still follows it");
        assert_eq!(second.suggestions("etherr"), [""; 0]);
        assert_eq!(second.search("", None, 10, |_| true).1, 3);
        // The source of the second place is the first now, and still the same one; the new one has a slot that no
        // source of the symbol had.
        let source = |catalogue: &Catalogue, venue, wire| catalogue.sources(venue, wire).to_vec();
        assert_eq!(source(&second, Venue::Kraken, "BTC/USD"), [SourceRef { symbol: SymbolId(1), index: 1 }]);
        assert_eq!(source(&second, Venue::Okx, "BTC-USD"), [SourceRef { symbol: SymbolId(1), index: 3 }]);
        assert_eq!(source(&second, Venue::Coinbase, "BTC-USD"), []);
        // Back again with the same meaning, it is the same symbol; in another currency it is another.
        let eth = || instrument("ETH", "Ether", Class::Crypto, &[(Venue::Coinbase, "ETH-USD")]);
        let third = instruments(&second, &|list| list.push(eth()));
        assert_eq!((third.find("ETH"), third.find("SOL")), (Some(SymbolId(2)), None));
        let fourth = instruments(&third, &|list| {
            list.push(Instrument { currency: "EUR".to_owned(), ..eth() });
        });
        assert_eq!((fourth.find("ETH"), fourth.has(SymbolId(2))), (Some(SymbolId(5)), false));
    }

    #[test]
    fn every_venue_has_its_own_map() {
        for (index, venue) in Venue::ALL.iter().enumerate() {
            assert_eq!(*venue as usize, index, "{venue}");
        }
    }

    #[test]
    fn a_misspelling_suggests_the_symbol_that_was_meant() {
        let catalogue = catalogue();
        assert_eq!(catalogue.suggestions("BTX"), ["BTC"]);
        assert_eq!(catalogue.suggestions("appl"), ["AAPL"]);
        assert_eq!(catalogue.suggestions("bitcon"), ["BTC", "BITC"]);
        assert_eq!(catalogue.suggestions("etherr"), ["ETH"]);
        assert_eq!(catalogue.suggestions("ZZZZZZ"), [""; 0]);
        assert_eq!(catalogue.suggestions(""), [""; 0]);
        assert_eq!(catalogue.suggestions(&"A".repeat(100_000)), [""; 0]);
    }

    #[test]
    fn a_search_ranks_exact_then_prefix_then_contains() {
        let catalogue = catalogue();
        let search = |query, class, limit| {
            let (found, total) = catalogue.search(query, class, limit, |_| true);
            (symbols(&catalogue, &found).join(" "), total)
        };
        assert_eq!(search("", None, 10), ("AAPL BTC ETH BITC".to_owned(), 4));
        assert_eq!(search("bit", None, 10), ("BITC BTC".to_owned(), 2));
        assert_eq!(search("bitcoin", None, 10), ("BTC".to_owned(), 1));
        assert_eq!(search("BTC", None, 10), ("BTC".to_owned(), 1));
        assert_eq!(search("xbt", None, 10), ("BTC".to_owned(), 1));
        assert_eq!(search("p", None, 10), ("AAPL BITC".to_owned(), 2));
        assert_eq!(search("", Some(Class::Crypto), 2), ("BTC ETH".to_owned(), 3));
        assert_eq!(search("nothing", None, 10), (String::new(), 0));
        assert_eq!(search("e", None, 0), (String::new(), 2));
        let among = catalogue.search("", None, 10, |id| id != SymbolId(1));
        assert_eq!((symbols(&catalogue, &among.0).join(" "), among.1), ("AAPL ETH BITC".to_owned(), 3));
    }
}
