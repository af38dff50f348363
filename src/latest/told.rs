//! A store that is told: another node makes its tickers and gives them their versions, out of one sequence for all nodes.
//! What that brings is here: tickers that come out of turn, a teller who is gone, and sequences that begin again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use super::{Latest, trades};
use crate::catalogue::{Catalogue, SymbolId};
use crate::fanout::Bells;
use crate::fields::Changes;
use crate::growing::Growing;
use crate::http::sse::Epoch;
use crate::ticker::{Status, Ticker};

/// A cursor may be so far above the newest version that is known to be given out: what was given out since is less.
const AHEAD_MAX: u64 = 1_000_000;

/// What only a told store keeps.
#[derive(Debug)]
pub(super) struct Told {
    /// Counts what streams cannot see by versions: changes that came out of turn, and new epochs.
    edition: AtomicU64,
    /// The edition in which each symbol changed last out of turn.
    late: Growing<AtomicU64>,
    /// The newest version that is known to be given out, to whatever symbol.
    given: AtomicU64,
    pub(super) trades: trades::Told,
}

/// What came of a ticker that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is the newest, in its turn.
    New,
    /// It is the newest, and something newer of another symbol came before.
    Late,
    /// It is known, or older than what is.
    Known,
}

impl Latest {
    /// A store that is told by others, without symbols yet.
    ///
    /// `has_trades` says whether trades are told too.
    pub fn told(bells: Arc<Bells>, has_trades: bool) -> Self {
        let told = Told {
            edition: AtomicU64::new(0),
            late: Growing::with(0),
            given: AtomicU64::new(0),
            trades: trades::Told::new(has_trades),
        };
        Self::with(Arc::new(Catalogue::new(Vec::new())), &[], bells, Some(told))
    }

    /// Counts what streams cannot see by versions. Always 0 where prices are made here.
    pub fn edition(&self) -> u64 {
        self.shared.told.as_ref().map_or(0, |told| told.edition.load(Ordering::SeqCst))
    }

    /// Whether the symbol changed out of turn after that edition.
    pub fn is_late(&self, id: SymbolId, edition: u64) -> bool {
        let told = self.shared.told.as_ref();
        told.is_some_and(|told| told.late[id.index()].load(Ordering::SeqCst) > edition)
    }

    /// Whether a cursor of this epoch may name this version: a client can have got it, here or from another node.
    pub fn is_reached(&self, version: u64) -> bool {
        let given = self
            .shared
            .told
            .as_ref()
            .map_or(0, |told| told.given.load(Ordering::Relaxed).saturating_add(AHEAD_MAX));
        version <= self.committed().max(given)
    }

    /// Notes that versions up to this one are given out.
    pub fn given(&self, version: u64) {
        if let Some(told) = &self.shared.told {
            told.given.fetch_max(version, Ordering::Relaxed);
        }
    }

    /// Takes over what was told of a symbol at a version. Of one epoch only; the newest of a symbol wins, whatever the order.
    pub fn put(&self, id: SymbolId, ticker: Ticker, version: u64) -> Put {
        let shared = &*self.shared;
        let Some(told) = &shared.told else { return Put::Known };
        let guard = shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = shared.committed.load(Ordering::Relaxed);
        let is_late = version <= committed;
        let changed = shared.rows.get_mut(&id).is_some_and(|mut row| {
            let row = &mut *row;
            if version < row.version {
                return false;
            }
            if version == row.version && row.ticker == ticker {
                return false;
            }
            row.changes.note(&row.ticker, &ticker, version);
            row.edition += u32::from(version == row.version);
            (row.ticker, row.version) = (ticker, version);
            row.count += 1;
            true
        });
        if !changed {
            return Put::Known;
        }
        if !is_late {
            shared.publish(id, Some(version), guard);
            return Put::New;
        }
        shared.versions[id.index()].store(version, Ordering::SeqCst);
        told.late(id);
        drop(guard);
        shared.bells.ring(id);
        Put::Late
    }

    /// Says of every symbol that its price cannot be relied on: whoever tells is not heard any more.
    pub fn cut(&self) {
        self.catalogue().ids().for_each(|id| self.cut_one(id));
    }

    /// Says so of one symbol, which is told no more. The next that is told of it puts it right.
    pub fn cut_one(&self, id: SymbolId) {
        let shared = &*self.shared;
        let Some(told) = &shared.told else { return };
        let guard = shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = shared.rows.get_mut(&id).is_some_and(|mut row| {
            let row = &mut *row;
            if row.ticker.status == Status::Stale {
                return false;
            }
            let stale = Ticker { status: Status::Stale, ..row.ticker.clone() };
            // No version: those are given by who tells, and the next one will be another symbol's.
            row.changes.note(&row.ticker, &stale, row.version);
            row.ticker = stale;
            row.edition += 1;
            row.count += 1;
            true
        });
        if changed {
            told.late(id);
            drop(guard);
            shared.bells.ring(id);
        }
    }

    /// Begins again with the versions of another epoch. Prices stay, and are known to be old, until new ones come.
    pub fn begin(&self, epoch: Epoch) {
        let shared = &*self.shared;
        let Some(told) = &shared.told else { return };
        {
            let _guard = shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
            // In this order: who has taken something of the new epoch finds, when it looks again, that it is another.
            shared.epoch.store(epoch.0, Ordering::SeqCst);
            told.renewed();
            shared.committed.store(0, Ordering::SeqCst);
            told.given.store(0, Ordering::Relaxed);
            for mut row in shared.rows.iter_mut() {
                let row = row.value_mut();
                (row.version, row.changes) = (0, Changes::all_at(0));
                row.edition += 1;
            }
            shared.versions.iter().for_each(|version| version.store(0, Ordering::SeqCst));
        }
        for id in self.catalogue().ids() {
            shared.bells.ring(id);
        }
    }
}

impl Told {
    /// Notes a change that no version tells of.
    pub(super) fn renewed(&self) {
        self.edition.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes a change out of turn. Only one at a time does.
    fn late(&self, id: SymbolId) {
        let edition = self.edition.load(Ordering::Relaxed) + 1;
        // In this order: who sees the edition sees what it is about.
        self.late[id.index()].store(edition, Ordering::SeqCst);
        self.edition.store(edition, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::fanout::tests::Desk;
    use crate::fanout::{Fanout, Flush};
    use crate::metrics::Metrics;
    use crate::ticker::Session;
    use tickcast_feeds::Price;

    const EPOCH: Epoch = Epoch(0x7f3a);

    /// A told store of two symbols, and its fan-out.
    fn told() -> (Latest, Fanout) {
        let bells = Arc::new(Bells::default());
        let latest = Latest::told(Arc::clone(&bells), true);
        let fanout = Fanout::new(latest.clone(), bells, Arc::new(Metrics::default()), EPOCH);
        let text = "[feeds.sim]\ngenerate = 2";
        let config = config::load(text, "test", std::iter::empty()).expect("a config");
        let catalogue = latest.catalogue().revised(config.instruments);
        latest.revise(catalogue, &[], crate::clock::now());
        (latest, fanout)
    }

    fn ticker(price: &str) -> Ticker {
        let price = Price::parse(price).expect("a number");
        Ticker { price, status: Status::Live, ..Ticker::unknown(Session::Open) }
    }

    fn text(flush: &Flush) -> String {
        String::from_utf8(flush.bytes.to_vec()).expect("text")
    }

    fn line(symbol: &str, price: &str, status: &str, id: &str) -> String {
        let id = if id.is_empty() { String::new() } else { format!("id: {id}\n") };
        format!("data: {{\"symbol\":\"{symbol}\",\"price\":\"{price}\",\"status\":\"{status}\"}}\n{id}\n")
    }

    #[tokio::test(start_paused = true)]
    async fn p38_what_comes_out_of_turn_reaches_open_streams_and_no_id_goes_back() {
        let (latest, fanout) = told();
        let [a, b] = [SymbolId(0), SymbolId(1)];
        assert_eq!(latest.put(a, ticker("1"), 5), Put::New);
        assert_eq!(latest.put(b, ticker("2"), 3), Put::Late);
        let fields = crate::fields::FieldSet::parse("price,status").expect("fields");
        let wanted = || crate::fanout::Wanted { symbols: vec![a, b], fields, ..Desk::new(2).wanted() };
        let mut stream = fanout.subscribe(wanted());
        let first = text(&stream.next().await);
        assert_eq!(first, line("S001", "2", "live", "7f3a.3") + &line("S000", "1", "live", "7f3a.5"));
        // Below what the stream has passed.
        assert_eq!(latest.put(b, ticker("2.5"), 4), Put::Late);
        assert_eq!(text(&stream.next().await), line("S001", "2.5", "live", ""));
        assert_eq!(
            (latest.put(b, ticker("9"), 3), latest.put(b, ticker("2.5"), 4)),
            (Put::Known, Put::Known)
        );
        // Nobody tells any more, and then somebody does.
        latest.cut();
        let stale = line("S001", "2.5", "stale", "") + &line("S000", "1", "stale", "7f3a.5");
        assert_eq!(text(&stream.next().await), stale);
        assert_eq!(latest.put(a, ticker("1"), 5), Put::Late);
        assert_eq!(text(&stream.next().await), line("S000", "1", "live", "7f3a.5"));
        // Whoever comes back ahead of this node gets nothing old.
        latest.given(8);
        let resume = fanout.resume("7f3a.8");
        let mut ahead = fanout.subscribe(crate::fanout::Wanted { resume, ..wanted() });
        latest.put(b, ticker("3"), 7);
        latest.put(a, ticker("4"), 9);
        assert_eq!(text(&ahead.next().await), line("S000", "4", "live", "7f3a.9"));
        assert_eq!(fanout.resume("7f3a.9000000"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn versions_that_begin_anew_bring_everything_once_more() {
        let (latest, fanout) = told();
        let a = SymbolId(0);
        latest.put(a, ticker("1"), 900);
        let fields = crate::fields::FieldSet::parse("price,status").expect("fields");
        let wanted = crate::fanout::Wanted { symbols: vec![a], fields, ..Desk::new(2).wanted() };
        let mut stream = fanout.subscribe(wanted);
        assert_eq!(text(&stream.next().await), line("S000", "1", "live", "7f3a.900"));
        latest.cut();
        latest.begin(Epoch(0xb));
        assert_eq!(text(&stream.next().await), line("S000", "1", "stale", "b.0"));
        latest.put(a, ticker("2"), 1);
        assert_eq!(text(&stream.next().await), line("S000", "2", "live", "b.1"));
        assert_eq!((fanout.resume("7f3a.900"), fanout.resume("b.1").is_some()), (None, true));
        let next = tokio::time::timeout(Duration::from_secs(60), stream.next()).await;
        assert!(next.is_err(), "nothing more to say");
    }
}
