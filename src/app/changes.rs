//! What is different in another config, for the log: an operator sees what a reload did, and what it could not do.

use std::collections::HashMap;

use tickcast_feeds::Venue;
use tracing::{info, warn};

use crate::config::{Config, Instrument};

/// The differences of two configs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    symbols: Difference,
    venues: Difference,
    /// Sections that are read at the start only.
    need_restart: Vec<&'static str>,
}

/// Names that came, went, or mean something else.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

impl Changes {
    /// What is different in `after`.
    pub(super) fn between(before: &Config, after: &Config) -> Self {
        let known: HashMap<&str, &Instrument> =
            before.instruments.iter().map(|instrument| (&*instrument.symbol, instrument)).collect();
        let wanted: HashMap<&str, &Instrument> =
            after.instruments.iter().map(|instrument| (&*instrument.symbol, instrument)).collect();
        let mut symbols = Difference::default();
        for instrument in &after.instruments {
            match known.get(&*instrument.symbol) {
                None => symbols.added.push(instrument.symbol.clone()),
                Some(known) if *known != instrument => symbols.changed.push(instrument.symbol.clone()),
                Some(_) => {}
            }
        }
        let gone = before.instruments.iter().filter(|instrument| !wanted.contains_key(&*instrument.symbol));
        symbols.removed = gone.map(|instrument| instrument.symbol.clone()).collect();

        let mut venues = Difference::default();
        for &venue in Venue::ALL {
            let is_same = match venue {
                Venue::Sim => before.feeds.sim == after.feeds.sim,
                _ => before.feeds.feed(venue) == after.feeds.feed(venue),
            };
            let list = match (before.feeds.is_on(venue), after.feeds.is_on(venue)) {
                (false, true) => &mut venues.added,
                (true, false) => &mut venues.removed,
                (true, true) if !is_same => &mut venues.changed,
                _ => continue,
            };
            list.push(venue.name().to_owned());
        }

        // By name, so that no section is forgotten.
        let Config { instruments: _, feeds: _, stream, candles, limits, http, auth, plans, record, bus } =
            before;
        let sections = [
            ("[stream]", *stream != after.stream),
            ("[candles]", *candles != after.candles),
            ("[limits]", *limits != after.limits),
            ("[http]", *http != after.http),
            ("[auth]", *auth != after.auth),
            ("[plans]", *plans != after.plans),
            ("[record]", *record != after.record),
            ("[bus]", *bus != after.bus),
        ];
        let need_restart =
            sections.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
        let order_differs = || {
            let symbols = |config: &Config| {
                config.instruments.iter().map(|instrument| instrument.symbol.clone()).collect::<Vec<_>>()
            };
            symbols(before) != symbols(after)
        };
        if symbols == Difference::default() && order_differs() {
            symbols.changed.push("their order".to_owned());
        }
        Self { symbols, venues, need_restart }
    }

    /// Whether there is no difference.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Tells of a reload.
    pub(super) fn log(&self) {
        let Self { symbols, venues, need_restart } = self;
        for (what, Difference { added, removed, changed }) in [("symbols", symbols), ("feeds", venues)] {
            if [added, removed, changed].into_iter().any(|list| !list.is_empty()) {
                let [added, removed, changed] = [added, removed, changed].map(|list| list.join(" "));
                info!(added, removed, changed, "{what} as in the config from now on");
            }
        }
        if !need_restart.is_empty() {
            let sections = need_restart.join(" ");
            warn!(sections, "these have changed too, and stay as they were until a restart");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const BEFORE: &str = r#"
[feeds.sim]
[feeds.kraken]
[limits]
streams_total = 10
[[instrument]]
symbol = "BTC"
class = "crypto"
sources = ["sim:BTC-USD", "kraken:BTC/USD"]
[[instrument]]
symbol = "ETH"
class = "crypto"
sources = ["sim:ETH-USD", "kraken:ETH/USD"]
"#;

    fn changes(after: &str) -> Changes {
        let load = |text| config::load(text, "test", std::iter::empty()).expect("a config");
        Changes::between(&load(BEFORE), &load(after))
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn what_is_not_different_is_no_change() {
        assert!(changes(BEFORE).is_none());
        // What nobody reads is not one either.
        assert!(changes(&format!("# a comment\n{BEFORE}")).is_none());
    }

    #[test]
    fn each_difference_is_found_and_what_takes_a_restart_is_told_apart() {
        let after = BEFORE
            .replace("symbol = \"ETH\"", "symbol = \"SOL\"")
            .replace("\"sim:BTC-USD\", ", "")
            .replace("[feeds.kraken]", "[feeds.kraken]\nsilence_max = \"20s\"\n[feeds.okx]")
            .replace(
                "streams_total = 10",
                "streams_total = 11\n[candles]\nkeep_1s = 1\n[stream]\nhistory = 9",
            );
        let Changes { symbols, venues, need_restart } = changes(&after);
        let Difference { added, removed, changed } = symbols;
        assert_eq!((added, removed, changed), (names(&["SOL"]), names(&["ETH"]), names(&["BTC"])));
        let Difference { added, removed, changed } = venues;
        assert_eq!((added, removed, changed), (names(&["okx"]), names(&[]), names(&["kraken"])));
        assert_eq!(need_restart, ["[stream]", "[candles]", "[limits]"]);
    }

    #[test]
    fn another_order_is_a_change_of_what_the_catalogue_lists() {
        let (head, instruments) = BEFORE.split_at(BEFORE.find("[[instrument]]").expect("one"));
        let second = instruments.rfind("[[instrument]]").expect("two");
        let turned = format!("{head}{}{}", &instruments[second..], &instruments[..second]);
        assert_eq!(changes(&turned).symbols.changed, names(&["their order"]));
    }
}
