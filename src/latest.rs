//! The newest of every symbol: what each source said last, the ticker made of it, and the version at which
//! each field changed. The one map that tasks share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;
use tickcast_feeds::{Event, Venue};

use crate::catalogue::{Catalogue, Entry, SourceRef, SymbolId};
use crate::config::Class;
use crate::consolidate::{self, Effect, Moment, Rule, Source};
use crate::fanout::Bells;
use crate::fields::Changes;
use crate::ticker::{Session, Ticker};

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
    catalogue: Arc<Catalogue>,
    /// The version each symbol changed at last: a look at it costs no shard.
    versions: Box<[AtomicU64]>,
    committed: AtomicU64,
    commit: Mutex<()>,
    bells: Arc<Bells>,
}

struct Row {
    /// `None` where the source's feed does not run: it has no part in the price.
    sources: Vec<Source>,
    /// Where each source of the catalogue is in `sources`.
    places: Vec<Option<usize>>,
    rule: Rule,
    ticker: Ticker,
    changes: Changes,
    version: u64,
    count: u64,
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
}

impl Latest {
    /// A store of all symbols of the catalogue, with the sources of the feeds that run and how long each of
    /// those may be silent. `bells` are rung at each change.
    pub fn new(catalogue: Arc<Catalogue>, feeds: &[(Venue, Duration)], bells: Arc<Bells>) -> Self {
        let rows = DashMap::with_capacity_and_hasher(catalogue.len(), FxBuildHasher);
        for id in catalogue.ids() {
            rows.insert(id, Row::new(catalogue.entry(id), feeds));
        }
        let versions = catalogue.ids().map(|_| AtomicU64::new(0)).collect();
        let (committed, commit) = (AtomicU64::new(0), Mutex::new(()));
        Self { shared: Arc::new(Shared { rows, catalogue, versions, committed, commit, bells }) }
    }

    /// The catalogue whose symbols these are.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.shared.catalogue
    }

    /// Every change up to this version is in the map.
    pub fn committed(&self) -> u64 {
        self.shared.committed.load(Ordering::SeqCst)
    }

    /// The version a symbol changed at last; 0 before the first tick.
    pub fn version(&self, id: SymbolId) -> u64 {
        self.shared.versions[id.0 as usize].load(Ordering::SeqCst)
    }

    /// Looks at one symbol. Its shard is locked for reading meanwhile, so `look` must be short.
    pub fn read<T>(&self, id: SymbolId, look: impl FnOnce(View<'_>) -> T) -> Option<T> {
        let row = self.shared.rows.get(&id)?;
        Some(look(View {
            ticker: &row.ticker,
            changes: &row.changes,
            version: row.version,
            count: row.count,
        }))
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
        self.change(source.symbol, now, |row| {
            let Some(place) = row.places.get(source.index).copied().flatten() else { return false };
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
                moved |= effect == Effect::Taken;
                told(event, effect);
            }
            moved
        });
    }

    /// Notes that a venue's connection is open and ticking, or is not, and judges its symbols anew.
    pub fn feed(&self, venue: Venue, up: bool, now: Moment) {
        for id in self.shared.catalogue.ids() {
            self.change(id, now, |row| {
                let mut its_own = row.sources.iter_mut().filter(|source| source.venue() == venue).peekable();
                let any = its_own.peek().is_some();
                its_own.for_each(|source| source.up(up));
                any
            });
        }
    }

    /// Forgets what a venue's sources said: a recording that starts again is older than its own end. Prices stay
    /// until new ones come.
    pub fn restart(&self, venue: Venue, now: Moment) {
        for id in self.shared.catalogue.ids() {
            self.change(id, now, |row| {
                row.sources.iter_mut().filter(|source| source.venue() == venue).for_each(Source::restart);
                false
            });
        }
    }

    /// Judges every symbol anew: what was fresh may have gone stale without a tick. To be called several times a
    /// second.
    pub fn sweep(&self, now: Moment) {
        for id in self.shared.catalogue.ids() {
            self.change(id, now, |_| true);
        }
    }

    /// Changes a row; where its ticker differs after that, gives it the next version and rings.
    fn change(&self, id: SymbolId, now: Moment, alter: impl FnOnce(&mut Row) -> bool) {
        let shared = &*self.shared;
        // Nothing panics under this lock that leaves a row half-made: the ticker is replaced as a whole.
        let guard = shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let version = shared.committed.load(Ordering::Relaxed) + 1;
        let changed =
            shared.rows.get_mut(&id).is_some_and(|mut row| alter(&mut row) && row.consolidate(version, now));
        if changed {
            // In this order: who reads `committed` and then finds a symbol's version unmoved has missed nothing.
            shared.versions[id.0 as usize].store(version, Ordering::SeqCst);
            shared.committed.store(version, Ordering::SeqCst);
        }
        drop(guard);
        if changed {
            shared.bells.ring(id);
        }
    }
}

impl Row {
    fn new(entry: &Entry, feeds: &[(Venue, Duration)]) -> Self {
        let mut sources = Vec::new();
        let places = entry.sources.iter().map(|source| {
            let (venue, silence_max) = *feeds.iter().find(|(venue, _)| *venue == source.venue)?;
            sources.push(Source::new(venue, silence_max));
            Some(sources.len() - 1)
        });
        let places = places.collect();
        // The simulator's stocks trade day and night; of a real one nothing is known before its venue speaks.
        let simulated = !sources.is_empty() && entry.sources.iter().all(|source| source.venue == Venue::Sim);
        let always_open = entry.class == Class::Crypto || simulated;
        let session = if always_open { Session::Open } else { Session::Unknown };
        let (price, min_sources, stale_after) = (entry.rule, entry.min_sources, entry.stale_after);
        let rule = Rule { price, min_sources, stale_after, session };
        Self {
            sources,
            places,
            rule,
            ticker: Ticker::unknown(session),
            changes: Changes::all_at(0),
            version: 0,
            count: 0,
        }
    }

    /// Makes the ticker anew; returns whether it differs.
    fn consolidate(&mut self, version: u64, now: Moment) -> bool {
        let ticker = consolidate::consolidate(&mut self.sources, self.rule, &self.ticker, now);
        let changed = self.changes.note(&self.ticker, &ticker, version);
        if changed {
            (self.ticker, self.version) = (ticker, version);
            self.count += 1;
        }
        changed
    }
}
