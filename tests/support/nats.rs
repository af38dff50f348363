//! A real `nats-server` of the test's own, and nodes over it: an ingest node whose ticks the test gives, one of its own process,
//! and what their streams are read with.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "each test file uses its part; a test panics to fail and waits for programs of others in real time"
)]

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tickcast::app::Drive;
use tickcast::bus::Publisher;
use tickcast::catalogue::Catalogue;
use tickcast::clock;
use tickcast::config::{self, Config};
use tickcast::fanout::{Bells, Fanout};
use tickcast::http::sse::Epoch;
use tickcast::ingest::{Board, Feed, Pipeline};
use tickcast::latest::Latest;
use tickcast::metrics::Metrics;
use tickcast_feeds::{Event, Events, Moves, Price, Trade, UnixNanos, Venue};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::programs::{self, Running};
use crate::support::{self, App, INSTRUMENTS, PATIENCE, Stream, soon};

const VARIABLE: &str = "TICKCAST_TEST_NATS";

/// What most streams ask for.
pub const QUERY: &str = "symbols=BTC,ETH&fields=price,status&throttle=0&heartbeat=0";

/// A NATS server of the test's own.
pub struct Nats {
    program: PathBuf,
    pub address: SocketAddr,
    store: PathBuf,
    running: Option<Running>,
}

impl Nats {
    /// `None` where there is no program, which is told.
    pub async fn start(name: &str) -> Option<Self> {
        let mut nats = Self::unstarted(name)?;
        nats.again(&[]).await;
        Some(nats)
    }

    /// One that does not run yet.
    pub fn unstarted(name: &str) -> Option<Self> {
        let program = programs::need(VARIABLE, "nats-server", programs::find("nats-server"))?;
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let store = std::env::temp_dir().join(format!("tickcast-nats-{}-{name}", std::process::id()));
        Some(Self { program, address, store, running: None })
    }

    /// Starts it once more.
    pub async fn again(&mut self, more: &[&str]) {
        let mut command = Command::new(&self.program);
        command.args(["-a", "127.0.0.1", "-p", &self.address.port().to_string(), "-js", "-sd"]);
        command.arg(&self.store).args(more).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(Running::start(&mut command));
        soon("NATS", async {
            while TcpStream::connect(self.address).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        self.running.as_ref().unwrap().signal(name);
    }

    pub fn forget(&self) {
        // It may have had nothing to keep.
        drop(std::fs::remove_dir_all(&self.store));
    }

    /// `[bus]` of a node of this role.
    pub fn section(&self, role: &str, more: &str) -> String {
        format!("[bus]\nrole = \"{role}\"\nurl = \"nats://{}\"\n{more}\n", self.address)
    }

    pub fn edge(&self, more: &str) -> App {
        App::start(load(&self.section("edge", more)), Drive::Feeds)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
        self.forget();
    }
}

pub fn load(text: &str) -> Config {
    config::load(text, "test.toml", std::iter::empty()).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The tests' instruments and 400 more, `X0` to `X399`: more than an edge follows one by one.
pub fn many_instruments() -> String {
    let more = (0..400).map(|index| {
        format!("[[instrument]]\nsymbol = \"X{index}\"\nclass = \"stock\"\nsources = [\"sim:X{index}\"]\n")
    });
    std::iter::once(INSTRUMENTS.to_owned()).chain(more).collect()
}

/// An ingest node whose ticks the test gives.
pub struct Ingest {
    pub latest: Latest,
    pub metrics: Arc<Metrics>,
    /// Where its ticks come from: it is live once there was one.
    pub feed: Feed,
    closing: CancellationToken,
    pipeline: Pipeline,
    task: tokio::task::AbortHandle,
}

impl Ingest {
    pub fn start(nats: &Nats, more: &str) -> Self {
        Self::of(nats, more, INSTRUMENTS)
    }

    pub fn of(nats: &Nats, more: &str, instruments: &str) -> Self {
        Self::of_config(load(&format!("{}\n{instruments}", nats.section("ingest", more))))
    }

    pub fn of_config(config: Config) -> Self {
        let metrics = Arc::new(Metrics::default());
        let catalogue = Arc::new(Catalogue::new(config.instruments.clone()));
        let bells = Arc::new(Bells::default());
        let latest = Latest::new(Arc::clone(&catalogue), &[(Venue::Sim, PATIENCE * 10)], Arc::clone(&bells));
        drop(Fanout::new(latest.clone(), Arc::clone(&bells), Arc::clone(&metrics), Epoch(1)));
        let board = Board::new(Arc::clone(&metrics));
        let feed = board.add(Venue::Sim, "sim".to_owned(), catalogue.len());
        let pipeline = Pipeline::new(feed.clone(), latest.clone(), Arc::clone(&metrics));
        let closing = CancellationToken::new();
        let publisher = Publisher {
            latest: latest.clone(),
            bells,
            board,
            metrics: Arc::clone(&metrics),
            closing: closing.clone(),
        };
        let bus = config.bus.unwrap();
        let task = tokio::spawn(async move { publisher.run(bus).await.unwrap() });
        Self { latest, metrics, feed, closing, pipeline, task: task.abort_handle() }
    }

    pub fn trade(&mut self, wire: &str, price: &str) {
        self.trade_at(wire, price, clock::wall());
    }

    /// A trade of this time by the venue's clock.
    pub fn trade_at(&mut self, wire: &str, price: &str, at: UnixNanos) {
        let mut events = Events::default();
        events.push(Event::Trade(Trade {
            wire: wire.into(),
            price: Price::parse(price).unwrap().unwrap(),
            size: None,
            aggressor: None,
            id: None,
            ts_event: Some(at),
            backfill: false,
            moves: Moves::ALL,
        }));
        self.pipeline.events(&mut events, clock::now(), |_| {});
    }

    pub async fn publishes(&self) {
        soon("the lease", async {
            while self.metrics.bus_publishes.get() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// The connection to the venue ends, and is there again.
    pub fn interrupt(&self, wire: &str) {
        self.latest.down(Venue::Sim, &[wire], clock::now());
    }

    /// The node dies: it says nothing any more.
    pub fn die(self) {
        self.task.abort();
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// The edge has a catalogue.
pub async fn is_ready(edge: &App) {
    edge.until("/health/ready", |answer| answer.head.status() == 200).await;
}

/// Reads on until a symbol has this price and status, and returns the id that came last.
pub async fn until(stream: &mut Stream, wanted: &str) -> String {
    let mut id = String::new();
    loop {
        let message = stream.message().await;
        id = message.id.clone().unwrap_or(id);
        let [symbol, price, status] =
            ["symbol", "price", "status"].map(|field| message.text(field).to_owned());
        if format!("{symbol}={price} {status}") == wanted {
            return id;
        }
    }
}

pub fn version(id: &str) -> u64 {
    id.split_once('.').unwrap().1.parse().unwrap()
}

/// A node of its own process, with the simulator's prices.
pub struct Node {
    pub running: Running,
    pub address: SocketAddr,
    _config: support::Scratch,
}

impl Node {
    pub fn ingest(nats: &Nats, name: &str) -> Self {
        let instruments = INSTRUMENTS.replace("rate = 0.001", "rate = 20");
        let config = support::Scratch::new(name, &format!("{}{instruments}", nats.section("ingest", "")));
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
        command.args(["serve", "--listen", &address.to_string(), "--config"]).arg(&config.0);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self { running: Running::start(&mut command), address, _config: config }
    }

    /// Whether it is there and holds the lease.
    pub async fn publishes(&self) -> bool {
        if TcpStream::connect(self.address).await.is_err() {
            return false;
        }
        let metrics = support::Client::connect(self.address).await.request("GET", "/metrics", "").await;
        metrics.metric("tickcast_bus_publishes") == Some(1)
    }
}
