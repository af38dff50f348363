//! The newest of every symbol: what each source said last, the ticker made of it, and the version at which
//! each field changed. The one map that tasks share.

mod candles;
mod history;
mod marks;
mod told;
mod trades;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use dashmap::DashMap;
pub use history::{Entry as HistoryEntry, Missed, Past, Print, Start};
pub use marks::{Mark, pass};
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use tickcast_feeds::{Event, Trade, Venue, hours};
pub use told::Put;
pub use trades::TradesTold;

use crate::candles::{Alignment, Candles, Keeping};
use crate::catalogue::{Catalogue, Entry, SourceRef, SymbolId};
use crate::config::Class;
use crate::consolidate::{self, Effect, Moment, Rule, Source};
use crate::fanout::Bells;
use crate::fields::Changes;
use crate::growing::Growing;
use crate::http::sse::Epoch;
use crate::ticker::{Session, Status, Ticker};
use history::History;

/// The newest [`Ticker`] of each symbol. Every clone is the same store.
///
/// The map is private, its guards never leave this file and no method awaits, so no shard can stay locked
/// across an `.await`. Readers get copies, or a look inside a closure.
///
/// Versions count every change of every symbol, from 1. They are given out under one lock, so that whoever has
/// read [`Latest::committed`] as `v` finds every change up to `v` in the map.
#[derive(Clone)]
pub struct Latest {
    shared: Arc<Shared>,
}

struct Shared {
    rows: DashMap<SymbolId, Row, FxBuildHasher>,
    catalogue: ArcSwap<Catalogue>,
    /// How many catalogues there were before this one.
    revision: AtomicU64,
    /// The version each symbol changed at last: a look at it costs no shard.
    versions: Growing<AtomicU64>,
    committed: AtomicU64,
    commit: Mutex<()>,
    bells: Arc<Bells>,
    /// Whose versions these are.
    epoch: AtomicU32,
    /// What another node tells, where none of it is made here.
    told: Option<told::Told>,
    keeping: Keeping,
}

struct Row {
    /// `None` where the source's feed does not run: it has no part in the price.
    sources: Vec<Source>,
    /// Where each source of the catalogue is in `sources`, by its slot.
    places: Vec<Option<usize>>,
    rule: Rule,
    /// Whether it trades in the hours of US stocks, not day and night.
    has_hours: bool,
    ticker: Ticker,
    changes: Changes,
    version: u64,
    count: u64,
    /// Changes that have no version of their own.
    edition: u32,
    /// Its newest trades, while somebody follows them.
    history: Option<Box<History>>,
    candles: Candles,
}

/// A look at one symbol.
#[derive(Clone, Copy)]
pub struct View<'r> {
    /// Its state.
    pub ticker: &'r Ticker,
    /// At which version each of its fields changed last.
    pub changes: &'r Changes,
    /// The version of its newest change.
    pub version: u64,
    /// How many changes it has had.
    pub count: u64,
    /// How many of those have no version of their own: always 0 where prices are made here.
    pub edition: u32,
}

impl Latest {
    /// A store of all symbols of the catalogue, with the sources of the feeds that run and how long each of
    /// those may be silent. `bells` are rung at each change.
    pub fn new(catalogue: Arc<Catalogue>, feeds: &[(Venue, Duration)], bells: Arc<Bells>) -> Self {
        Self::with(catalogue, feeds, bells, None)
    }

    fn with(
        catalogue: Arc<Catalogue>,
        feeds: &[(Venue, Duration)],
        bells: Arc<Bells>,
        told: Option<told::Told>,
    ) -> Self {
        let rows = DashMap::with_capacity_and_hasher(catalogue.len(), FxBuildHasher);
        for id in catalogue.ids() {
            rows.insert(id, Row::new(catalogue.entry(id), feeds, 0));
        }
        let versions = Growing::with(catalogue.len());
        let (committed, commit) = (AtomicU64::new(0), Mutex::new(()));
        let (catalogue, revision) = (ArcSwap::new(catalogue), AtomicU64::new(0));
        let (epoch, keeping) = (AtomicU32::new(0), Keeping::default());
        let shared =
            Shared { rows, catalogue, revision, versions, committed, commit, bells, epoch, told, keeping };
        Self { shared: Arc::new(shared) }
    }

    /// The catalogue whose symbols these are now.
    pub fn catalogue(&self) -> Guard<Arc<Catalogue>> {
        self.shared.catalogue.load()
    }

    /// How often the catalogue has been revised.
    pub fn revision(&self) -> u64 {
        self.shared.revision.load(Ordering::Acquire)
    }

    /// Puts the next catalogue in the place of this one, from which it was made ([`Catalogue::revised`]), with the
    /// sources of the feeds that run from now on. What a source has said stays where the source does; symbols that
    /// were added change now for the first time, and those that were taken out have no source any more.
    pub fn revise(&self, catalogue: Catalogue, feeds: &[(Venue, Duration)], now: Moment) {
        let shared = &*self.shared;
        let before = self.shared.catalogue.load_full();
        for id in catalogue.ids() {
            let entry = catalogue.entry(id);
            let is_new = !shared.rows.contains_key(&id);
            if shared.told.is_some() {
                // Its versions are another node's to give.
                if is_new {
                    shared.rows.insert(id, Row::new(entry, feeds, 0));
                }
            } else if is_new {
                let guard = shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
                let version = shared.committed.load(Ordering::Relaxed) + 1;
                shared.rows.insert(id, Row::new(entry, feeds, version));
                shared.publish(id, Some(version), guard);
            } else {
                self.change(id, now, |row| {
                    row.revise(entry, feeds);
                    true
                });
            }
        }
        let gone: Vec<SymbolId> = before.ids().filter(|&id| !catalogue.has(id)).collect();
        // Only now, when all of its symbols can be found, and before those are let go of that nobody finds any more.
        shared.catalogue.store(Arc::new(catalogue));
        shared.revision.fetch_add(1, Ordering::AcqRel);
        for id in gone.into_iter().filter(|_| shared.told.is_none()) {
            self.change(id, now, |row| {
                row.retire();
                true
            });
        }
    }

    /// Every change up to this version is in the map.
    pub fn committed(&self) -> u64 {
        self.shared.committed.load(Ordering::SeqCst)
    }

    /// The version a symbol changed at last; 0 before the first tick.
    pub fn version(&self, id: SymbolId) -> u64 {
        self.shared.versions[id.index()].load(Ordering::SeqCst)
    }

    /// Looks at one symbol. Its shard is locked for reading meanwhile, so `look` must be short.
    pub fn read<T>(&self, id: SymbolId, look: impl FnOnce(View<'_>) -> T) -> Option<T> {
        let row = self.shared.rows.get(&id)?;
        Some(look(View {
            ticker: &row.ticker,
            changes: &row.changes,
            version: row.version,
            count: row.count,
            edition: row.edition,
        }))
    }

    /// Says whose versions these are, before there are any.
    pub fn name(&self, epoch: Epoch) {
        self.shared.epoch.store(epoch.0, Ordering::SeqCst);
    }

    /// Whether others tell what it holds.
    pub fn is_told(&self) -> bool {
        self.shared.told.is_some()
    }

    /// Whose versions these are: those of another epoch mean nothing here.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.shared.epoch.load(Ordering::SeqCst))
    }

    /// Gives one event to one source and makes the ticker anew with the last of a batch: the ticks of one frame
    /// are one change. `told` hears what each tick did.
    pub fn apply(
        &self,
        source: SourceRef,
        events: &[Event<'_>],
        now: Moment,
        mut told: impl FnMut(&Event<'_>, Effect),
    ) {
        let mut prints = SmallVec::new();
        self.change_with(source.symbol, now, &mut prints, |row, prints| {
            let Some(place) = row.places.get(source.index).copied().flatten() else { return false };
            let records = row.history.is_some();
            let state = &mut row.sources[place];
            let mut moved = false;
            for event in events {
                let effect = match event {
                    Event::Trade(trade) => state.trade(trade, now),
                    Event::Quote(quote) => state.quote(quote, now),
                    Event::Summary(summary) => state.summary(summary, now),
                    Event::Status(status) => {
                        state.halted(status.halted);
                        Effect::Taken
                    }
                    _ => continue,
                };
                if let Event::Trade(trade) = event
                    && effect == Effect::Taken
                    && records
                {
                    prints.push((state.venue(), trade));
                }
                // Bars are made of the trades of whom the price is made of, as far as it was known before this frame.
                if let Event::Trade(trade) = event
                    && row.ticker.venue.is_none_or(|venue| venue == state.venue())
                {
                    row.candles.trade(trade, effect, state.venue(), now, &self.shared.keeping);
                }
                // A print that sets no last price may still widen the day's range.
                moved |= matches!(effect, Effect::Taken | Effect::Ineligible);
                told(event, effect);
            }
            moved
        });
    }

    /// Notes that these instruments of a venue are no longer followed, because their connection is closed or
    /// silent, and judges their symbols anew. Their next tick puts that right.
    pub fn down(&self, venue: Venue, wires: &[impl AsRef<str>], now: Moment) {
        for wire in wires {
            for &source in self.catalogue().sources(venue, wire.as_ref()) {
                self.change(source.symbol, now, |row| {
                    let Some(place) = row.places.get(source.index).copied().flatten() else { return false };
                    row.sources[place].up(false);
                    true
                });
                self.missed(source.symbol, Missed { venue: Some(venue), trades: None });
            }
        }
    }

    /// Notes that a venue made trades of an instrument that we have not seen.
    pub fn gap(&self, venue: Venue, wire: &str, trades: Option<u64>) {
        for source in self.catalogue().sources(venue, wire) {
            self.missed(source.symbol, Missed { venue: Some(venue), trades });
        }
    }

    fn missed(&self, id: SymbolId, missed: Missed) {
        let shared = &*self.shared;
        let guard = shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let version = shared.committed.load(Ordering::Relaxed) + 1;
        let is_kept = shared.rows.get_mut(&id).is_some_and(|mut row| {
            row.candles.interrupt(missed.venue);
            let is_followed = row.history.as_mut().map(|history| history.missed(version, missed)).is_some();
            row.candles.take_news() || is_followed
        });
        shared.publish(id, is_kept.then_some(version), guard);
    }

    /// Forgets what a venue's sources said: a recording that starts again is older than its own end. Prices stay
    /// until new ones come.
    pub fn restart(&self, venue: Venue, now: Moment) {
        for id in self.catalogue().ids() {
            self.change(id, now, |row| {
                row.sources.iter_mut().filter(|source| source.venue() == venue).for_each(Source::restart);
                row.candles.restart(venue);
                false
            });
        }
    }

    /// Puts every stock into this session, whatever the clock says: the simulator plays their day.
    pub fn play_session(&self, session: hours::Session, now: Moment) {
        let catalogue = self.catalogue();
        for id in catalogue.ids().filter(|&id| catalogue.entry(id).class == Class::Stock) {
            self.change(id, now, |row| {
                row.has_hours = false;
                row.rule.hours = Some(session);
                row.sources.iter_mut().for_each(|source| source.enter(session.trading_date));
                true
            });
        }
    }

    /// Judges every symbol anew: what was fresh may have gone stale without a tick. To be called several times a
    /// second.
    pub fn sweep(&self, now: Moment) {
        for id in self.catalogue().ids() {
            self.change(id, now, |row| {
                row.forget(now);
                row.candles.sweep(now, &self.shared.keeping);
                true
            });
        }
    }

    /// Changes a row; where its ticker differs after that, gives it the next version and rings.
    fn change(&self, id: SymbolId, now: Moment, alter: impl FnOnce(&mut Row) -> bool) {
        self.change_with(id, now, &mut SmallVec::new(), |row, _| alter(row));
    }

    /// The same, where trades may come along that somebody follows: each gets a version of its own.
    fn change_with<'t>(
        &self,
        id: SymbolId,
        now: Moment,
        prints: &mut SmallVec<[(Venue, &'t Trade<'t>); 4]>,
        alter: impl FnOnce(&mut Row, &mut SmallVec<[(Venue, &'t Trade<'t>); 4]>) -> bool,
    ) {
        let shared = &*self.shared;
        // Nothing panics under this lock that leaves a row half-made: the ticker is replaced as a whole.
        let guard = shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = shared.committed.load(Ordering::Relaxed);
        let version = shared.rows.get_mut(&id).and_then(|mut row| {
            row.enter(now);
            let altered = alter(&mut row, prints);
            let version = committed + (prints.len() as u64).max(1);
            let differs = altered && row.consolidate(version, now);
            row.record(committed, prints, now);
            let has_news = row.candles.take_news();
            (differs || has_news || !prints.is_empty()).then_some(version)
        });
        shared.publish(id, version, guard);
    }
}

impl Shared {
    /// Makes a symbol's change known, if there was one, and rings once the lock is free again.
    fn publish(&self, id: SymbolId, version: Option<u64>, guard: MutexGuard<'_, ()>) {
        let Some(version) = version else { return };
        // In this order: who reads `committed` and then finds a symbol's version unmoved has missed nothing.
        self.versions[id.index()].store(version, Ordering::SeqCst);
        self.committed.store(version, Ordering::SeqCst);
        drop(guard);
        self.bells.ring(id);
    }
}

impl Row {
    fn new(entry: &Entry, feeds: &[(Venue, Duration)], version: u64) -> Self {
        let (price, min_sources, stale_after) = (entry.rule, entry.min_sources, entry.stale_after);
        let mut row = Self {
            sources: Vec::new(),
            places: Vec::new(),
            rule: Rule { price, min_sources, stale_after, hours: None },
            has_hours: false,
            ticker: Ticker::unknown(Session::Open),
            changes: Changes::all_at(version),
            version,
            count: 0,
            edition: 0,
            history: None,
            candles: Candles::new(Alignment::Utc),
        };
        row.revise(entry, feeds);
        if row.has_hours {
            row.ticker = Ticker::unknown(Session::Unknown);
        }
        row
    }

    /// Takes over what the catalogue says of it now. Sources that stay keep what they said.
    fn revise(&mut self, entry: &Entry, feeds: &[(Venue, Duration)]) {
        let feed = |wanted: Venue| feeds.iter().find(|(venue, _)| *venue == wanted).copied();
        // Room for those only that run: of an edge's symbols none does, and there may be many.
        let running = entry.sources.iter().filter(|source| feed(source.venue).is_some()).count();
        let mut sources = Vec::with_capacity(running);
        let mut places = vec![None; entry.slots_end];
        for (source, &slot) in entry.sources.iter().zip(&entry.slots) {
            let Some((venue, silence_max)) = feed(source.venue) else { continue };
            let known = self.places.get(slot).copied().flatten().map(|place| self.sources[place].clone());
            let mut source = known.unwrap_or_else(|| Source::new(venue, silence_max));
            source.be_silent_for(silence_max);
            places[slot] = Some(sources.len());
            sources.push(source);
        }
        (self.sources, self.places) = (sources, places);
        let (price, min_sources, stale_after) = (entry.rule, entry.min_sources, entry.stale_after);
        self.rule = Rule { price, min_sources, stale_after, hours: self.rule.hours };
        // The simulator's stocks trade day and night.
        let simulated =
            !self.sources.is_empty() && entry.sources.iter().all(|source| source.venue == Venue::Sim);
        self.has_hours = entry.class == Class::Stock && !simulated;
        self.candles.align(if self.has_hours { Alignment::Session } else { Alignment::Utc });
    }

    /// Its symbol was taken out: nothing is said of it any more.
    fn retire(&mut self) {
        (self.sources, self.places) = (Vec::new(), Vec::new());
        self.candles.clear();
    }

    /// Keeps trades for whoever follows them, each with the next version.
    fn record(&mut self, committed: u64, prints: &[(Venue, &Trade<'_>)], now: Moment) {
        let Some(history) = &mut self.history else { return };
        for (version, (venue, trade)) in (committed + 1..).zip(prints) {
            history.trade(version, *venue, trade, &self.ticker, now);
        }
    }

    /// Lets go of a history that nobody came back for. Returns whether it did.
    fn forget(&mut self, now: Moment) -> bool {
        let is_over = self.history.as_mut().is_some_and(|history| history.is_over(now));
        if is_over {
            self.history = None;
        }
        is_over
    }

    /// Follows the market's clock, before anything that is said at this moment.
    fn enter(&mut self, now: Moment) {
        if !self.has_hours || self.rule.hours.is_some_and(|session| session.holds(now.wall)) {
            return;
        }
        let session = hours::session_at(now.wall);
        self.rule.hours = Some(session);
        self.sources.iter_mut().for_each(|source| source.enter(session.trading_date));
    }

    /// Makes the ticker anew; returns whether it differs.
    fn consolidate(&mut self, version: u64, now: Moment) -> bool {
        let ticker = consolidate::consolidate(&mut self.sources, self.rule, &self.ticker, now);
        let changed = self.changes.note(&self.ticker, &ticker, version);
        if changed {
            (self.ticker, self.version) = (ticker, version);
            self.count += 1;
            if self.ticker.status == Status::Stale {
                self.candles.interrupt(None);
            }
        }
        changed
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::catalogue::SymbolId;
    use crate::clock;
    use crate::config::{self, Instrument, PriceRule, StaleAfter};
    use crate::consolidate::tests::trade;
    use crate::fanout::tests::Desk;
    use tickcast_feeds::Trade;

    fn price(latest: &Latest, symbol: u32) -> String {
        let text =
            |view: View<'_>| view.ticker.price.map_or_else(|| "none".to_owned(), |price| price.to_string());
        latest.read(SymbolId(symbol), text).expect("a symbol")
    }

    fn status(latest: &Latest, symbol: u32) -> Status {
        latest.read(SymbolId(symbol), |view| view.ticker.status).expect("a symbol")
    }

    #[test]
    fn every_change_has_a_version_of_its_own_and_what_changes_nothing_has_none() {
        let desk = Desk::new(2);
        let latest = &desk.latest;
        assert_eq!((latest.committed(), latest.version(SymbolId(0))), (0, 0));
        desk.set(0, "100");
        desk.set(1, "5");
        assert_eq!((latest.version(SymbolId(0)), latest.version(SymbolId(1)), latest.committed()), (1, 2, 2));
        latest.sweep(clock::now());
        assert_eq!(latest.committed(), 2, "nothing went stale");
        let unknown = SourceRef { symbol: SymbolId(0), index: 7 };
        latest
            .apply(unknown, &[Event::Trade(trade("1"))], clock::now(), |_, _| unreachable!("no such source"));
        let backfill = Trade { backfill: true, ..trade("1") };
        let mut told = Vec::new();
        let source = SourceRef { symbol: SymbolId(0), index: 0 };
        latest.apply(source, &[Event::Trade(backfill)], clock::now(), |_, effect| told.push(effect));
        assert_eq!((told, latest.committed()), (vec![Effect::Backfill], 2));
        assert_eq!(price(latest, 0), "100");
    }

    #[test]
    fn the_ticks_of_one_frame_are_one_change() {
        let desk = Desk::new(1);
        let events = ["100", "101", "102"].map(|price| Event::Trade(trade(price)));
        desk.latest.apply(SourceRef { symbol: SymbolId(0), index: 0 }, &events, clock::now(), |_, _| {});
        assert_eq!((desk.latest.committed(), price(&desk.latest, 0).as_str()), (1, "102"));
    }

    #[test]
    fn a_feed_that_goes_down_makes_its_symbols_stale_and_a_sweep_those_that_are_too_old() {
        let desk = Desk::new(2);
        desk.set(0, "100");
        desk.latest.down(Venue::Sim, &["S0"], clock::now());
        assert_eq!((status(&desk.latest, 0), price(&desk.latest, 0).as_str()), (Status::Stale, "100"));
        desk.set(1, "5");
        let later = Moment { at: clock::now().at + Duration::from_secs(2 * 86_400), ..clock::now() };
        assert_eq!(status(&desk.latest, 1), Status::Live);
        let before = desk.latest.committed();
        desk.latest.sweep(later);
        assert_eq!((status(&desk.latest, 1), desk.latest.committed()), (Status::Stale, before + 1));
        desk.latest.sweep(later);
        assert_eq!(desk.latest.committed(), before + 1, "a flip is one change");
    }

    #[test]
    fn a_recording_that_starts_again_may_be_older_than_its_own_end() {
        let desk = Desk::new(1);
        let at = |ms, price| {
            Event::Trade(Trade { ts_event: tickcast_feeds::UnixNanos::from_millis(ms), ..trade(price) })
        };
        let source = SourceRef { symbol: SymbolId(0), index: 0 };
        let give = |event| desk.latest.apply(source, &[event], clock::now(), |_, _| {});
        give(at(2_000, "102"));
        give(at(1_000, "101"));
        assert_eq!(price(&desk.latest, 0), "102");
        desk.latest.restart(Venue::Sim, clock::now());
        assert_eq!(price(&desk.latest, 0), "102", "it stays until new ones come");
        give(at(1_000, "101"));
        assert_eq!(price(&desk.latest, 0), "101");
    }

    /// A store of one stock, `AAPL` as Alpaca has it.
    pub(crate) fn apple() -> Latest {
        let stock = Instrument {
            symbol: "AAPL".to_owned(),
            name: "Apple".to_owned(),
            class: Class::Stock,
            base: None,
            currency: "USD".to_owned(),
            decimals: 2,
            aliases: Vec::new(),
            sources: vec![config::Source { venue: Venue::Alpaca, wire: "AAPL".to_owned() }],
            price: PriceRule::Primary,
            min_sources: 1,
            stale_after: StaleAfter::Auto,
        };
        let feeds = [(Venue::Alpaca, Duration::from_secs(10))];
        Latest::new(Arc::new(Catalogue::new(vec![stock])), &feeds, Arc::new(Bells::default()))
    }

    #[test]
    fn m64_a_stocks_day_moves_on_without_a_tick() {
        let latest = apple();
        let start = clock::now().at;
        let at = |hours: u64, wall: &str| Moment {
            at: start + Duration::from_hours(hours),
            wall: tickcast_feeds::UnixNanos::from_rfc3339(wall).expect("a time"),
        };
        let shown = || {
            let look = |view: View<'_>| {
                let Ticker { session, status, figures, .. } = view.ticker;
                let close = figures.prev_close.map(|price| price.to_string()).unwrap_or_default();
                format!("{} {} {close}", session.name(), status.name())
            };
            latest.read(SymbolId(0), look).expect("a symbol")
        };
        assert_eq!(shown(), "unknown stale ");
        let source = SourceRef { symbol: SymbolId(0), index: 0 };
        latest.apply(source, &[Event::Trade(trade("100"))], at(0, "2026-10-09T19:59:59Z"), |_, _| {});
        assert_eq!(shown(), "open live ");
        for (hours, wall, expected) in [
            (0, "2026-10-09T20:00:00Z", "post live "),
            (10, "2026-10-10T06:00:00Z", "closed closed "),
            (59, "2026-10-12T07:59:59Z", "closed closed "),
            (60, "2026-10-12T08:00:00Z", "pre stale 100"),
            (65, "2026-10-12T13:30:00Z", "open stale 100"),
        ] {
            latest.sweep(at(hours, wall));
            assert_eq!(shown(), expected, "at {wall}");
        }
    }

    #[test]
    fn a_revised_catalogue_keeps_what_stays_announces_what_is_new_and_stales_what_goes() {
        let desk = Desk::new(2);
        desk.set(0, "100");
        desk.set(1, "5");
        let latest = &desk.latest;
        let list = |symbols: &[&str]| {
            let instrument = |symbol: &&str| {
                format!(
                    "[[instrument]]\nsymbol = \"{symbol}\"\nclass = \"crypto\"\nsources = [\"sim:{symbol}\"]\n"
                )
            };
            let text = format!("[feeds.sim]\n{}", symbols.iter().map(instrument).collect::<String>());
            config::load(&text, "test", std::iter::empty()).expect("a config").instruments
        };
        let revise = |symbols: &[&str]| {
            let catalogue = latest.catalogue().revised(list(symbols));
            latest.revise(catalogue, &[(Venue::Sim, Duration::from_hours(1))], clock::now());
        };
        revise(&["S2", "S0"]);
        assert_eq!((price(latest, 0), status(latest, 0)), ("100".to_owned(), Status::Live));
        assert_eq!(
            (price(latest, 1), status(latest, 1)),
            ("5".to_owned(), Status::Stale),
            "it has no source"
        );
        assert_eq!((price(latest, 2), status(latest, 2)), ("none".to_owned(), Status::Stale));
        // Two changes: what is new, and what has gone. What stays has none.
        assert_eq!((latest.version(SymbolId(0)), latest.version(SymbolId(2)), latest.committed()), (1, 3, 4));
        desk.set(0, "101");
        desk.set(2, "7");
        desk.set(1, "6");
        assert_eq!(
            (price(latest, 0), price(latest, 2), price(latest, 1)),
            ("101".into(), "7".into(), "5".into())
        );
        // Back again, it is the same symbol, and begins with what was known last.
        revise(&["S0", "S1", "S2"]);
        assert_eq!((price(latest, 1), latest.revision()), ("5".to_owned(), 2));
        desk.set(1, "8");
        assert_eq!((price(latest, 1), status(latest, 1)), ("8".to_owned(), Status::Live));
    }

    /// What resuming stands on: `committed` is read first, then the symbols.
    #[test]
    fn p37_who_reads_a_committed_version_finds_every_change_up_to_it() {
        const SYMBOLS: u32 = 4;
        let desk = Desk::new(SYMBOLS as usize);
        let (done, start) = (AtomicBool::new(false), std::sync::Barrier::new(3));
        std::thread::scope(|threads| {
            let (desk, done, start) = (&desk, &done, &start);
            let writers: Vec<_> = (0..2)
                .map(|writer: u32| {
                    threads.spawn(move || {
                        start.wait();
                        for change in 0..3_000_u32 {
                            desk.set((change * (writer + 1)) % SYMBOLS, &format!("{}.{change}", writer + 1));
                        }
                    })
                })
                .collect();
            let reader = threads.spawn(move || {
                start.wait();
                while !done.load(Ordering::SeqCst) {
                    let committed = desk.latest.committed();
                    let symbols = (0..SYMBOLS).map(SymbolId);
                    let seen = symbols.clone().map(|id| desk.latest.version(id)).max().unwrap_or(0);
                    let counted: u64 =
                        symbols.map(|id| desk.latest.read(id, |view| view.count).expect("a symbol")).sum();
                    assert!(seen >= committed && counted >= committed, "{committed}: {seen} {counted}");
                }
            });
            writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
            done.store(true, Ordering::SeqCst);
            reader.join().expect("the reader");
        });
        assert_eq!(desk.latest.committed(), 6_000);
    }
}
