//! `[feeds]`: which venues to listen to, and the simulator.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use tickcast_feeds::sim::{NotAScenario, Scenario};
use tickcast_feeds::{Auth, Venue};

use super::parse::{boolean, decimal, duration, socket_url, text, whole};
use super::proxy::{self, Choice, Proxy};
use super::secret::Key;
use super::section::Section;

/// Bounds of every `silence_max`.
const SILENCE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);

/// The venues to listen to. One that is not mentioned is off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feeds {
    /// `[feeds.coinbase]` and so on, by venue. Default: all off.
    venues: BTreeMap<Venue, Feed>,
    /// `[feeds.sim]`, the simulator. Default: off.
    pub sim: Option<Sim>,
}

/// One venue to listen to.
#[derive(Clone, PartialEq, Eq)]
pub struct Feed {
    /// Whether to connect at all. Default: true.
    pub enabled: bool,
    /// Replaces the venue's own address whole, path included: `ws://` or `wss://`. Default: the venue's own. It may
    /// hold a token; print it through [`url_without_secrets`] only.
    pub url: Option<String>,
    /// Reconnect after this long without a tick; heartbeats don't count. 10 ms to 1 h. Default: the venue's own.
    pub silence_max: Option<Duration>,
    /// What to go through: the feed's own choice, else the environment's. Default: nothing.
    pub proxy: Option<Proxy>,
    /// What to show the venue. Default: none.
    pub key: Option<Key>,
}

/// The simulator: prices without a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sim {
    /// Whether it runs. Default: true.
    pub enabled: bool,
    /// The same seed gives the same prices in the same order. Default: 7.
    pub seed: u64,
    /// Price changes per second and symbol, evenly spread. 0.001 to 10,000. Default: 5.
    pub rate: Decimal,
    /// How many instruments `S000`, `S001`, ... to add for load tests. 0 to 100,000. Default: 0.
    pub generate: u32,
    /// As for a venue. Default: none of its own.
    pub silence_max: Option<Duration>,
    /// A bad day to play over and over, at every venue that is on: none of them is connected to. Default: none.
    pub scenario: Option<Scenario>,
    /// How many times as fast as by its timetable the scenario goes. 0.1 to 100. Default: 1.
    pub scenario_speed: Decimal,
}

impl Feeds {
    /// The venue's feed as configured, also one that is not enabled. Nothing for the simulator, which has
    /// [`Feeds::sim`].
    pub fn feed(&self, venue: Venue) -> Option<&Feed> {
        self.venues.get(&venue)
    }

    /// Whether ticks are wanted from the venue: configured and enabled.
    pub fn is_on(&self, venue: Venue) -> bool {
        match venue {
            Venue::Sim => self.sim.as_ref().is_some_and(|sim| sim.enabled),
            _ => self.feed(venue).is_some_and(|feed| feed.enabled),
        }
    }

    pub(super) fn read(section: &mut Section<'_>, env: &HashMap<String, String>) -> Self {
        let with_frames = Venue::ALL.iter().filter(|&&venue| venue != Venue::Sim);
        let venues = with_frames.filter_map(|&venue| {
            let feed = section.table(venue.name(), |section| Feed::read(section, venue, env))?;
            Some((venue, feed))
        });
        Self { venues: venues.collect(), sim: section.table("sim", Sim::read) }
    }
}

impl Feed {
    fn read(section: &mut Section<'_>, venue: Venue, env: &HashMap<String, String>) -> Self {
        let enabled = section.get("enabled", true, boolean);
        let url = section.optional("url", socket_url);
        let silence_max = section.optional("silence_max", duration(SILENCE));
        let proxy = match section.optional("proxy", proxy::choice) {
            Some(Choice::Through(proxy)) => Some(proxy),
            // Its mistakes would be nobody's concern where no feed is on.
            None if enabled => {
                let own = venue.profile().and_then(|profile| profile.urls.first().copied());
                let url = url.as_deref().or(own).unwrap_or_default();
                section.surroundings(env).proxy_for(url)
            }
            Some(Choice::Direct) | None => None,
        };
        let mistakes_before = section.mistakes();
        let key = Key::read(section, enabled, env);
        // An address of the operator's own may hold the token already.
        let is_in_url = matches!(venue.auth(), Auth::Query(_)) && url.is_some();
        let is_wanted = venue.auth() != Auth::None && !is_in_url;
        if enabled && is_wanted && key.is_none() && section.mistakes() == mistakes_before {
            let place = section.place.clone();
            section.add(
                &place,
                "key_env",
                "is missing: it names the variable that holds your key; or key_file",
            );
        }
        Self { enabled, url, silence_max, proxy, key }
    }

    /// The addresses to try, in order: the configured one alone, else the venue's own.
    pub fn urls(&self, venue: Venue) -> Vec<String> {
        let own = || venue.profile().map(|profile| profile.urls).unwrap_or_default();
        self.url
            .as_ref()
            .map_or_else(|| own().iter().map(|&url| url.to_owned()).collect(), |url| vec![url.clone()])
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self { enabled: true, url: None, silence_max: None, proxy: None, key: None }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("enabled", &self.enabled)
            .field("url", &self.url.as_deref().map(url_without_secrets))
            .field("silence_max", &self.silence_max)
            .field("proxy", &self.proxy)
            .field("key", &self.key)
            .finish()
    }
}

impl Sim {
    /// The time between two price changes of one symbol: 1 s divided by the rate, down to the nanosecond.
    pub fn interval(&self) -> Duration {
        let nanos = Decimal::from(1_000_000_000).checked_div(self.rate).and_then(|nanos| nanos.to_u64());
        // Out of range only for a rate that the config refuses.
        nanos.map_or(Duration::from_secs(1), Duration::from_nanos)
    }

    /// The scenario that is played, where the simulator is on.
    pub fn playing(&self) -> Option<Scenario> {
        self.scenario.filter(|_| self.enabled)
    }

    /// The scenario's speed in thousandths.
    pub fn scenario_speed_milli(&self) -> u32 {
        // Out of range only for a speed that the config refuses.
        self.scenario_speed.checked_mul(Decimal::from(1000)).and_then(|milli| milli.to_u32()).unwrap_or(1000)
    }

    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let rates = Decimal::new(1, 3)..=Decimal::from(10_000);
        let speeds = Decimal::new(1, 1)..=Decimal::from(100);
        Self {
            enabled: section.get("enabled", default.enabled, boolean),
            seed: section.get("seed", default.seed, |node| {
                // TOML's whole numbers end at 63 bits.
                whole(0..=i64::MAX)(node).map(i64::unsigned_abs)
            }),
            rate: section.get("rate", default.rate, decimal(rates)),
            generate: section.get("generate", default.generate, whole(0..=100_000)),
            silence_max: section.optional("silence_max", duration(SILENCE)),
            scenario: section.optional("scenario", |node| {
                text(node)?.parse().map_err(|error: NotAScenario| error.to_string())
            }),
            scenario_speed: section.get("scenario_speed", default.scenario_speed, decimal(speeds)),
        }
    }
}

impl Default for Sim {
    fn default() -> Self {
        Self {
            enabled: true,
            seed: 7,
            rate: Decimal::from(5),
            generate: 0,
            silence_max: None,
            scenario: None,
            scenario_speed: Decimal::ONE,
        }
    }
}

/// Returns the address with user, password and query replaced by `***`: what may be logged, shown and printed.
pub fn url_without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (place, query) = rest.find(['?', '#']).map_or((rest, ""), |at| (&rest[..at], "?***"));
    let authority_end = place.find('/').unwrap_or(place.len());
    let (authority, path) = place.split_at(authority_end);
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(_, host)| ("***@", host));
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{user}{host}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_user_and_query() {
        let shown = url_without_secrets("wss://me:pass@feed.example:9443/ws/v1?token=abc#x");
        assert_eq!(shown, "wss://***@feed.example:9443/ws/v1?***");
        assert_eq!(url_without_secrets("ws://127.0.0.1:9001"), "ws://127.0.0.1:9001");
        let feed = Feed { url: Some("wss://feed.example/?key=abc".to_owned()), ..Feed::default() };
        assert!(!format!("{feed:?}").contains("abc"), "{feed:?}");
    }

    #[test]
    fn the_interval_is_a_second_divided_by_the_rate() {
        let interval = |rate: Decimal| Sim { rate, ..Sim::default() }.interval();
        assert_eq!(interval(Decimal::from(5)), Duration::from_millis(200));
        assert_eq!(interval(Decimal::new(2, 1)), Duration::from_secs(5));
        assert_eq!(interval(Decimal::from(3)), Duration::from_nanos(333_333_333));
        assert_eq!(interval(Decimal::new(1, 3)), Duration::from_secs(1000));
    }
}
