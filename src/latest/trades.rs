//! Trades for whoever wants each of them: streams of mode `ticks`, and the node that publishes them to others. A store that is
//! told has them from there: of the symbols that somebody follows, with versions of their own.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::history::{Entry, History, Past, Start};
use super::{Latest, Shared};
use crate::catalogue::SymbolId;
use crate::consolidate::Moment;
use crate::growing::Growing;
use crate::http::sse::Epoch;

/// A cursor may be so far above the newest version that is known to be given out: what was given out since is less.
const AHEAD_MAX: u64 = 1 << 32;
/// The version of a symbol whose trades have not been brought yet.
const AWAITED: u64 = u64::MAX;

/// What only a told store keeps of trades.
#[derive(Debug)]
pub(super) struct Told {
    /// Whose versions these are.
    epoch: AtomicU32,
    /// Up to here everything is known of the symbols that are here.
    committed: AtomicU64,
    /// The newest version that is known to be given out, to whatever symbol.
    given: AtomicU64,
    /// The newest of each symbol that is here.
    versions: Growing<AtomicU64>,
    /// Symbols of which something is here that is above `committed`.
    ahead: Mutex<Vec<SymbolId>>,
    /// Somebody wants a symbol's trades.
    wanted: Notify,
    /// Whether it is known whose versions these are.
    has_begun: watch::Sender<bool>,
    /// Whether anybody tells any.
    is_served: bool,
}

/// Trades that were told of one symbol.
#[derive(Debug)]
pub struct TradesTold {
    /// Which.
    pub id: SymbolId,
    /// They are everything after this version; `None`: everything after what was told before.
    pub since: Option<u64>,
    /// The oldest first.
    pub entries: Vec<Entry>,
}

impl Told {
    /// Adds those that nobody could see before, and remembers those of which that is still so.
    fn look_ahead(&self, ids: &mut Vec<SymbolId>) {
        let committed = self.committed.load(Ordering::Relaxed);
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ids.append(&mut ahead);
        let is_ahead = |id: &SymbolId| {
            let version = self.versions[id.index()].load(Ordering::Relaxed);
            version > committed && version != AWAITED
        };
        ahead.extend(ids.iter().copied().filter(is_ahead));
    }

    pub(super) fn new(is_served: bool) -> Self {
        Self {
            is_served,
            epoch: AtomicU32::new(0),
            committed: AtomicU64::new(0),
            given: AtomicU64::new(0),
            versions: Growing::with(0),
            ahead: Mutex::default(),
            wanted: Notify::new(),
            has_begun: watch::channel(false).0,
        }
    }
}

impl Latest {
    /// Keeps the trades of a symbol from now on, at most so many of the newest, and those that are kept already.
    /// Returns the version from which on a new follower finds all of them.
    pub fn follow_trades(&self, id: SymbolId, most: usize) -> u64 {
        let shared = &*self.shared;
        // No trade comes between the look at the version and the begin of the history.
        let guard = shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = self.trades_committed();
        let told = shared.told.as_ref().map(|told| &told.trades);
        let mut is_new = false;
        if let Some(mut row) = shared.rows.get_mut(&id) {
            is_new = row.history.is_none();
            let new = || if told.is_some() { History::awaited(most) } else { History::new(committed, most) };
            row.history.get_or_insert_with(|| Box::new(new())).follow(most);
        }
        if let Some(told) = told.filter(|_| is_new) {
            told.versions[id.index()].store(AWAITED, Ordering::SeqCst);
            drop(guard);
            told.wanted.notify_one();
        }
        committed
    }

    /// Whether there are trades to follow.
    pub fn has_trades(&self) -> bool {
        self.told_trades().is_none_or(|told| told.is_served)
    }

    /// Waits until it is known whose versions trades have.
    pub async fn trades_begun(&self) {
        if let Some(told) = self.told_trades() {
            // The sender is the store's own.
            drop(told.has_begun.subscribe().wait_for(|has_begun| *has_begun).await);
        }
    }

    /// One follower of a symbol's trades has left.
    pub fn unfollow_trades(&self, id: SymbolId) {
        if let Some(history) = self.shared.rows.get_mut(&id).as_mut().and_then(|row| row.history.as_mut()) {
            history.unfollow(Instant::now());
        }
    }

    /// The trades of a symbol after one version, up to another; at most so many, the oldest first.
    pub fn trades(&self, id: SymbolId, after: u64, through: u64, most: usize) -> Past {
        let row = self.shared.rows.get(&id);
        let history = row.as_ref().and_then(|row| row.history.as_ref());
        history.map(|history| history.between(after, through, most)).unwrap_or_default()
    }

    /// Whose versions trades have.
    pub fn trades_epoch(&self) -> Epoch {
        self.told_trades().map_or_else(|| self.epoch(), |told| Epoch(told.epoch.load(Ordering::SeqCst)))
    }

    /// Every trade up to this version is here, of the symbols that are.
    pub fn trades_committed(&self) -> u64 {
        self.told_trades().map_or_else(|| self.committed(), |told| told.committed.load(Ordering::SeqCst))
    }

    /// A version that a symbol's newest trade is not above; `None` while others have not brought its trades yet.
    pub fn trades_version(&self, id: SymbolId) -> Option<u64> {
        let Some(told) = self.told_trades() else { return Some(self.version(id)) };
        Some(told.versions[id.index()].load(Ordering::SeqCst)).filter(|&version| version != AWAITED)
    }

    /// Whether a cursor of this epoch may name this version: a client can have got it, here or from another node.
    pub fn is_trade_reached(&self, version: u64) -> bool {
        let ahead = |told: &Told| told.given.load(Ordering::Relaxed).saturating_add(AHEAD_MAX);
        version <= self.trades_committed().max(self.told_trades().map_or(0, ahead))
    }

    fn told_trades(&self) -> Option<&Told> {
        self.shared.told.as_ref().map(|told| &told.trades)
    }
}

/// For who publishes them.
impl Latest {
    /// Keeps the trades of a symbol for as long as it takes to publish them, and so many at most.
    pub fn publish_trades(&self, id: SymbolId, most: usize) {
        let shared = &*self.shared;
        let _guard = shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = shared.committed.load(Ordering::Relaxed);
        if let Some(mut row) = shared.rows.get_mut(&id) {
            row.history.get_or_insert_with(|| Box::new(History::new(committed, most))).publish(most);
        }
    }

    /// Notes up to which version a symbol's trades have been published.
    pub fn trades_published(&self, id: SymbolId, through: u64) {
        if let Some(history) = self.shared.rows.get_mut(&id).as_mut().and_then(|row| row.history.as_mut()) {
            history.published(through);
        }
    }

    /// What there is of a symbol's trades.
    pub fn trades_start(&self, id: SymbolId) -> Start {
        let row = self.shared.rows.get(&id);
        let history = row.as_ref().and_then(|row| row.history.as_ref());
        history.map(|history| history.start()).unwrap_or_default()
    }
}

/// For who tells them.
impl Latest {
    /// Waits until the trades of one more symbol are wanted.
    pub async fn trades_wanted(&self) {
        match self.told_trades() {
            Some(told) => told.wanted.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The symbols whose trades are wanted.
    pub fn wanted_trades(&self) -> Vec<SymbolId> {
        self.shared.rows.iter().filter(|row| row.history.is_some()).map(|row| *row.key()).collect()
    }

    /// Takes over what was told, all of it up to this version of symbols that are here from now on.
    pub fn tell_trades(&self, told: Vec<TradesTold>, through: u64) {
        let shared = &*self.shared;
        let Some(known) = self.told_trades() else { return };
        let guard = shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut ids, mut arrived) = (Vec::with_capacity(told.len()), Vec::new());
        for TradesTold { id, since, entries } in told {
            let mut row = shared.rows.get_mut(&id);
            let Some(history) = row.as_mut().and_then(|row| row.history.as_mut()) else { continue };
            let was_here = history.is_here();
            history.bring(since, entries);
            if !history.is_here() {
                continue;
            }
            let newest = history.newest().unwrap_or(0);
            if was_here {
                known.versions[id.index()].store(newest, Ordering::SeqCst);
            } else {
                arrived.push((id, newest));
            }
            ids.push(id);
        }
        // In this order: who reads `committed` finds everything up to it, and who finds a symbol here reads a version from which
        // on it was.
        known.committed.fetch_max(through, Ordering::SeqCst);
        for (id, newest) in arrived {
            known.versions[id.index()].store(newest, Ordering::SeqCst);
        }
        known.look_ahead(&mut ids);
        drop(guard);
        ids.into_iter().for_each(|id| shared.bells.ring(id));
    }

    /// Notes that versions up to this one are given out.
    pub fn trades_given(&self, version: u64) {
        if let Some(told) = self.told_trades() {
            told.given.fetch_max(version, Ordering::Relaxed);
        }
    }

    /// Begins again with the versions of another epoch, of which this one is given out: no trade is here.
    pub fn begin_trades(&self, epoch: Epoch, through: u64) {
        let shared = &*self.shared;
        let Some(all) = &shared.told else { return };
        let told = &all.trades;
        let mut ids = Vec::new();
        {
            let _guard = shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
            for mut row in shared.rows.iter_mut() {
                if let Some(history) = &mut row.history {
                    history.await_again();
                    told.versions[row.key().index()].store(AWAITED, Ordering::SeqCst);
                    ids.push(*row.key());
                }
            }
            told.committed.store(through, Ordering::SeqCst);
            told.given.store(0, Ordering::Relaxed);
            told.epoch.store(epoch.0, Ordering::SeqCst);
            all.renewed();
        }
        told.has_begun.send_replace(true);
        ids.into_iter().for_each(|id| shared.bells.ring(id));
    }

    /// Lets go of the trades that nobody came back for. Returns whose.
    pub fn forget_trades(&self, now: Moment) -> Vec<SymbolId> {
        let Shared { rows, .. } = &*self.shared;
        rows.iter_mut().filter_map(|mut row| row.forget(now).then_some(*row.key())).collect()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test ends with its tasks")]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tickcast_feeds::{Price, Venue};

    use super::super::{Missed, Print};
    use super::*;
    use crate::fanout::tests::Desk;
    use crate::fanout::{Bells, Fanout, From, Mode, Subscription, Wanted};
    use crate::fields::FieldSet;
    use crate::metrics::Metrics;
    use crate::ticker::{Session, Ticker};
    use crate::{clock, config};

    const A: SymbolId = SymbolId(0);
    const B: SymbolId = SymbolId(1);

    /// A told store of two symbols, whose trades have versions of this epoch, and its fan-out.
    fn told() -> (Latest, Fanout) {
        let bells = Arc::new(Bells::default());
        let latest = Latest::told(Arc::clone(&bells), true);
        let fanout = Fanout::new(latest.clone(), bells, Arc::new(Metrics::default()), Epoch(1));
        let config = config::load("[feeds.sim]\ngenerate = 2", "test", std::iter::empty()).expect("a config");
        let catalogue = latest.catalogue().revised(config.instruments);
        latest.revise(catalogue, &[], clock::now());
        latest.begin_trades(Epoch(0x7f3a), 0);
        let hub = fanout.clone();
        tokio::spawn(async move { hub.run().await });
        (latest, fanout)
    }

    fn stream(fanout: &Fanout, symbols: &[SymbolId], from: From) -> Subscription {
        let fields = FieldSet::parse("price").expect("a field");
        let mode = Mode::Ticks { from, history: 4 };
        fanout.subscribe(Wanted { symbols: symbols.to_vec(), fields, mode, ..Desk::new(2).wanted() })
    }

    fn trades(id: SymbolId, since: Option<u64>, versions: &[u64]) -> TradesTold {
        let entry = |&version: &u64| {
            let price = Price::parse(&version.to_string()).expect("a number");
            let ticker = Ticker { price, venue: Some(Venue::Sim), ..Ticker::unknown(Session::Open) };
            Entry::Print(Arc::new(Print::new(version, ticker, None)))
        };
        TradesTold { id, since, entries: versions.iter().map(entry).collect() }
    }

    /// The next that is said, as versions, and gaps as their cause and end.
    async fn said(stream: &mut Subscription) -> String {
        let flush = tokio::time::timeout(Duration::from_secs(60), stream.next()).await.expect("something");
        let text = String::from_utf8(flush.bytes.to_vec()).expect("text");
        let block = |block: &str| match block.strip_prefix("event: gap\ndata: ") {
            Some(gap) => {
                let gap: serde_json::Value = serde_json::from_str(gap).expect("JSON");
                format!("{} {}", gap["cause"], gap["through"]).replace('"', "")
            }
            None => block.split_once("\nid: ").expect("an id").1.to_owned(),
        };
        text.trim_end().split("\n\n").map(block).collect::<Vec<_>>().join(", ")
    }

    async fn is_silent(stream: &mut Subscription) -> bool {
        tokio::time::timeout(Duration::from_secs(60), stream.next()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_waits_for_trades_that_are_not_here_and_gets_all_in_their_order() {
        let (latest, fanout) = told();
        let mut both = stream(&fanout, &[A, B], From::Version(10));
        latest.tell_trades(Vec::new(), 11);
        let mut now = stream(&fanout, &[A, B], From::Now);
        assert_eq!(latest.wanted_trades().len(), 2);
        // One of them is here, and the other may have something before this.
        latest.tell_trades(vec![trades(A, Some(0), &[5, 12, 20])], 20);
        assert!(is_silent(&mut both).await && is_silent(&mut now).await);
        latest.tell_trades(vec![trades(B, Some(0), &[3, 11, 30])], 0);
        assert_eq!(said(&mut both).await, "7f3a.11, 7f3a.12, 7f3a.20");
        assert_eq!(said(&mut now).await, "7f3a.12, 7f3a.20", "what came since it was opened");
        // Something of others may still come before this one.
        assert!(is_silent(&mut both).await && is_silent(&mut now).await);
        latest.tell_trades(vec![trades(A, None, &[20, 25])], 25);
        latest.tell_trades(Vec::new(), 31);
        assert_eq!(said(&mut both).await, "7f3a.25, 7f3a.30");
        assert_eq!(said(&mut now).await, "7f3a.25, 7f3a.30");
        // A cursor that another node gave out is ahead of this one.
        let mut ahead = stream(&fanout, &[A], fanout.resume_ticks("7f3a.40"));
        latest.tell_trades(vec![trades(A, None, &[39, 41])], 41);
        assert_eq!(said(&mut ahead).await, "7f3a.41");
        assert_eq!(fanout.resume_ticks("1.40"), From::Unknown, "a version of tickers is none of trades");
    }

    #[tokio::test(start_paused = true)]
    async fn m32_what_was_lost_on_the_way_or_is_not_kept_is_told() {
        let (latest, fanout) = told();
        let mut one = stream(&fanout, &[A], From::Version(10));
        latest.tell_trades(vec![trades(A, Some(15), &[20])], 20);
        assert_eq!(said(&mut one).await, "overflow 7f3a.15, 7f3a.20");
        // Nothing is known between.
        latest.tell_trades(vec![trades(A, Some(27), &[30])], 30);
        assert_eq!(said(&mut one).await, "overflow 7f3a.27, 7f3a.30");
        // Twice told is told once; what was told before has been told.
        latest.tell_trades(vec![trades(A, Some(19), &[20, 30, 31])], 31);
        assert_eq!(said(&mut one).await, "7f3a.31");
        // Only so many are kept.
        latest.tell_trades(vec![trades(A, None, &[32, 33, 34, 35, 36])], 36);
        assert_eq!(said(&mut one).await, "overflow 7f3a.32, 7f3a.33, 7f3a.34, 7f3a.35, 7f3a.36");
        let missed = Entry::Missed { version: 40, missed: Missed { venue: None, trades: None } };
        latest.tell_trades(vec![TradesTold { id: A, since: None, entries: vec![missed] }], 40);
        assert_eq!(said(&mut one).await, "overflow 7f3a.40");
    }

    #[tokio::test(start_paused = true)]
    async fn another_epoch_is_told_and_begins_with_its_first_trade() {
        let (latest, fanout) = told();
        let mut one = stream(&fanout, &[A], From::Version(10));
        latest.tell_trades(vec![trades(A, Some(0), &[20])], 20);
        assert_eq!(said(&mut one).await, "7f3a.20");
        latest.begin_trades(Epoch(0xb), 0);
        assert_eq!(said(&mut one).await, "unknown_cursor b.0");
        assert!(is_silent(&mut one).await);
        latest.tell_trades(vec![trades(A, Some(0), &[7])], 7);
        assert_eq!(said(&mut one).await, "b.7");
    }

    #[tokio::test(start_paused = true)]
    async fn p57_trades_are_let_go_of_five_minutes_after_their_last_follower() {
        let (latest, fanout) = told();
        let one = stream(&fanout, &[A], From::Now);
        latest.tell_trades(vec![trades(A, Some(0), &[20])], 20);
        drop(one);
        tokio::time::advance(Duration::from_secs(299)).await;
        assert_eq!(latest.forget_trades(clock::now()), []);
        let back = stream(&fanout, &[A], From::Version(10));
        tokio::time::advance(Duration::from_secs(400)).await;
        assert_eq!(latest.forget_trades(clock::now()), []);
        drop(back);
        tokio::time::advance(Duration::from_secs(301)).await;
        assert_eq!(latest.forget_trades(clock::now()), [A]);
        assert_eq!((latest.wanted_trades(), latest.trades(A, 0, 99, 9).entries.len()), (Vec::new(), 0));
    }
}
