//! What the benches share: a store without a feed, and the textbook design to compare with.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "each bench uses a part; a bench may panic, and the textbook broadcasts"
)]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tickcast::candles::Keeping;
use tickcast::catalogue::{Catalogue, SymbolId};
use tickcast::config::{self, Config};
use tickcast::fanout::{Bells, Fanout, Mode, Wanted};
use tickcast::fields::FieldSet;
use tickcast::http::sse::Epoch;
use tickcast::http::{State, auth::Auth, cors::Cors, limits::Limits};
use tickcast::ingest::Board;
use tickcast::latest::Latest;
use tickcast::metrics::Metrics;
use tickcast_feeds::{Event, Moves, Price, Quote, Size, Trade, TradeId, UnixNanos, Venue};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// A service without a feed: the bench makes the ticks.
pub struct Service {
    pub latest: Latest,
    pub fanout: Fanout,
    pub state: State,
    pub closing: CancellationToken,
    step: i64,
}

impl Service {
    pub fn new(symbols: usize) -> Self {
        Self::with(symbols, "")
    }

    /// The same, with more of a config.
    pub fn with(symbols: usize, more: &str) -> Self {
        let text = format!(
            "[feeds.sim]\ngenerate = {symbols}\n[limits]\nstreams_per_client = 100000\nopens_per_minute = 1000000\n{more}"
        );
        let config: Config = config::load(&text, "bench", std::iter::empty()).unwrap();
        let metrics = Arc::new(Metrics::default());
        let catalogue = Arc::new(Catalogue::new(config.instruments.clone()));
        let bells = Arc::new(Bells::default());
        let latest = Latest::new(catalogue, &[(Venue::Sim, Duration::from_secs(3600))], Arc::clone(&bells))
            .with_candles(Keeping::new(config.candles.clone(), &metrics));
        let fanout = Fanout::new(latest.clone(), bells, Arc::clone(&metrics), Epoch(1));
        let closing = CancellationToken::new();
        let auth = Arc::new(Auth::new(&config));
        let state = State {
            auth,
            fanout: fanout.clone(),
            board: Board::new(Arc::clone(&metrics)),
            limits: Arc::new(Limits::new(config.limits)),
            metrics,
            cors: Arc::new(Cors::new(&config.http.cors_origins)),
            stream: Arc::new(config.stream),
            http: Arc::new(config.http),
            closing: closing.clone(),
        };
        Self { latest, fanout, state, closing, step: 0 }
    }

    pub fn wanted(symbols: impl Iterator<Item = usize>) -> Wanted {
        Wanted {
            symbols: symbols.map(|index| SymbolId(u32::try_from(index).unwrap())).collect(),
            fields: FieldSet::DEFAULT,
            mode: Mode::Latest,
            throttle: Duration::ZERO,
            min_change: None,
            max_silence: Duration::from_secs(30),
            resume: None,
            budget: None,
            candles: None,
        }
    }

    /// One tick of one symbol: a quote and a trade, one change.
    pub fn tick(&mut self, symbol: usize) {
        self.step += 1;
        let name = name(symbol);
        let now = tickcast::clock::now();
        let source = self.latest.catalogue().sources(Venue::Sim, &name)[0];
        let events = tick(&name, self.step, now.wall);
        self.latest.apply(source, &events, now, |_, _| {});
    }
}

pub fn name(symbol: usize) -> String {
    format!("S{symbol:03}")
}

fn price(cents: i64) -> Option<Price> {
    Price::new(rust_decimal::Decimal::new(cents, 2))
}

fn tick(name: &str, step: i64, now: UnixNanos) -> [Event<'_>; 2] {
    let size = Size::new(rust_decimal::Decimal::new(100 + step % 900, 4));
    let cents = 6_701_234 + step % 1000;
    let (bid, ask) = (price(cents - 1), price(cents));
    let quote = Quote {
        wire: name.into(),
        bid,
        bid_size: size,
        ask,
        ask_size: size,
        sequence: None,
        ts_event: Some(now),
    };
    let id = Some(TradeId(step.to_string().into()));
    let trade = Trade {
        wire: name.into(),
        price: ask.unwrap(),
        size,
        aggressor: None,
        id,
        ts_event: Some(now),
        backfill: false,
        moves: Moves::ALL,
    };
    [Event::Quote(quote), Event::Trade(trade)]
}

/// The textbook design: one broadcast channel, each client filters and serialises for itself.
pub mod textbook {
    use super::{Arc, Duration, HashSet, broadcast};

    #[derive(Clone, serde::Serialize)]
    pub struct Update {
        pub symbol: String,
        pub price: String,
        pub bid: String,
        pub ask: String,
        pub change: String,
        pub change_pct: String,
        pub status: &'static str,
        pub time: i64,
    }

    pub fn channel(capacity: usize) -> broadcast::Sender<Arc<Update>> {
        broadcast::channel(capacity).0
    }

    pub fn update(symbol: usize, step: i64) -> Arc<Update> {
        let cents = 6_701_234 + step % 1000;
        Arc::new(Update {
            symbol: super::name(symbol),
            price: rust_decimal::Decimal::new(cents, 2).to_string(),
            bid: rust_decimal::Decimal::new(cents - 1, 2).to_string(),
            ask: rust_decimal::Decimal::new(cents, 2).to_string(),
            change: "812.10".to_owned(),
            change_pct: "1.23".to_owned(),
            status: "live",
            time: tickcast::clock::wall().as_millis(),
        })
    }

    pub struct Client {
        pub updates: broadcast::Receiver<Arc<Update>>,
        pub symbols: HashSet<String>,
    }

    impl Client {
        /// Takes what has come and returns the bytes it would send.
        pub fn drain(&mut self) -> usize {
            let mut bytes = 0;
            while let Ok(update) = self.updates.try_recv() {
                if self.symbols.contains(&update.symbol) {
                    bytes += format!("data:{}\n\n", serde_json::to_string(&*update).unwrap()).len();
                }
            }
            bytes
        }
    }

    pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
}
