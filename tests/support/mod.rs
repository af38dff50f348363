//! What the journeys share: a running service on a free port, and a client that reads its bytes as they are.
//!
//! [`Node`] is the server over a store that the test writes, so that prices move when the test says; [`App`] is
//! the whole service as `main` runs it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::unused_async,
    reason = "each test file uses its part; a test fails by a panic and ends with its tasks"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tickcast::app::{self, AppError, Drive};
use tickcast::candles::Keeping;
use tickcast::catalogue::Catalogue;
use tickcast::clock;
use tickcast::config::{self, Config};
use tickcast::fanout::{Bells, Fanout};
use tickcast::http::auth::{self, Auth};
use tickcast::http::cors::Cors;
use tickcast::http::limits::Limits;
use tickcast::http::sse::Epoch;
use tickcast::http::{self, server};
use tickcast::ingest::{Board, Pipeline};
use tickcast::latest::Latest;
use tickcast::metrics::Metrics;
use tickcast_feeds::{Event, Events, Moves, Price, Quote, Summary, Trade, Venue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing takes this long: what has not come by then is missing, and the test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Two symbols of the simulator's, with all kinds of names.
pub const INSTRUMENTS: &str = r#"
[feeds.sim]
rate = 0.001

[[instrument]]
symbol = "BTC"
name = "Bitcoin"
class = "crypto"
base = "BTC"
aliases = ["XBT"]
sources = ["sim:BTC-USD"]

[[instrument]]
symbol = "AAPL"
name = "Apple"
class = "stock"
sources = ["sim:AAPL"]

[[instrument]]
symbol = "ETH"
name = "Ether"
class = "crypto"
base = "ETH"
sources = ["sim:ETH-USD"]
"#;

/// The config of [`INSTRUMENTS`] and more.
pub fn config(more: &str) -> Config {
    on_path(
        config::load(&format!("{more}\n{INSTRUMENTS}"), "test.toml", std::iter::empty())
            .unwrap_or_else(|mistakes| panic!("{mistakes}")),
    )
}

/// Lets streams stay with hyper where `TICKCAST_TEST_STREAMS=body` says so: what is promised must hold on both paths.
pub fn on_path(mut config: Config) -> Config {
    if std::env::var("TICKCAST_TEST_STREAMS").is_ok_and(|path| path == "body") {
        config.http.direct_streams = false;
    }
    config
}

/// Waits for it, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("never came: {what}"))
}

/// The server, over a store that the test writes.
pub struct Node {
    pub address: SocketAddr,
    pub latest: Latest,
    pub metrics: Arc<Metrics>,
    pub closing: CancellationToken,
    pipeline: Pipeline,
}

impl Node {
    /// Serves the [`config`]. The epoch of its cursors is `7f3a`.
    pub async fn start(more: &str) -> Self {
        Self::start_with(config(more)).await
    }

    /// The same, of a config made already.
    pub async fn start_with(config: Config) -> Self {
        let metrics = Arc::new(Metrics::default());
        let catalogue = Arc::new(Catalogue::new(config.instruments.clone()));
        let bells = Arc::new(Bells::default());
        let latest = Latest::new(Arc::clone(&catalogue), &[(Venue::Sim, PATIENCE * 10)], Arc::clone(&bells))
            .with_candles(Keeping::new(config.candles.clone(), &metrics));
        let fanout = Fanout::new(latest.clone(), bells, Arc::clone(&metrics), Epoch(0x7f3a));
        let board = Board::new(Arc::clone(&metrics));
        let feed = board.add(Venue::Sim, "sim".to_owned(), catalogue.len());
        let pipeline = Pipeline::new(feed, latest.clone(), Arc::clone(&metrics));
        let closing = CancellationToken::new();
        let hub = fanout.clone();
        tokio::spawn(async move { hub.run().await });
        let auth = Arc::new(Auth::new(&config));
        tokio::spawn(auth::reload::watch(Arc::clone(&auth)));
        let state = http::State {
            fanout,
            board,
            auth: Arc::clone(&auth),
            limits: Arc::new(Limits::new(config.limits)),
            metrics: Arc::clone(&metrics),
            cors: Arc::new(Cors::new(&config.http.cors_origins).with_cookies(config.auth.cookie.is_some())),
            stream: Arc::new(config.stream),
            http: Arc::new(config.http),
            closing: closing.clone(),
        };
        let listener = server::bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server::serve(listener, state, closing.clone()));
        Self { address, latest, metrics, closing, pipeline }
    }

    pub fn give(&mut self, event: Event<'_>) {
        let mut events = Events::default();
        events.push(event);
        self.pipeline.events(&mut events, clock::now(), |_| {});
    }

    /// A print at the simulator's instrument of that wire name.
    pub fn trade(&mut self, wire: &str, price: &str) {
        self.give(Event::Trade(Trade {
            wire: wire.into(),
            price: Price::parse(price).unwrap().unwrap(),
            size: None,
            aggressor: None,
            id: None,
            ts_event: None,
            backfill: false,
            moves: Moves::ALL,
        }));
    }

    /// A best bid and ask.
    pub fn quote(&mut self, wire: &str, bid: &str, ask: &str) {
        self.give(Event::Quote(Quote {
            wire: wire.into(),
            bid: Price::parse(bid).unwrap(),
            bid_size: None,
            ask: Price::parse(ask).unwrap(),
            ask_size: None,
            sequence: None,
            ts_event: None,
        }));
    }

    /// What changes are counted from.
    pub fn prev_close(&mut self, wire: &str, price: &str) {
        self.give(Event::Summary(Summary {
            wire: wire.into(),
            last: None,
            last_size: None,
            aggressor: None,
            id: None,
            top: None,
            open: None,
            high: None,
            low: None,
            volume: None,
            prev_close: Price::parse(price).unwrap(),
            ts_event: None,
        }));
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub async fn get(&self, path: &str) -> Answer {
        self.connect().await.request("GET", path, "").await
    }

    /// Opens a stream and reads up to its `hello`.
    pub async fn stream(&self, query: &str) -> Stream {
        self.connect().await.stream(query, "").await
    }
}

/// The whole service.
pub struct App {
    pub address: SocketAddr,
    /// What SIGHUP does.
    pub reload: mpsc::Sender<Config>,
    stop: Option<oneshot::Sender<()>>,
    pub running: JoinHandle<Result<(), AppError>>,
}

impl App {
    pub fn start(config: Config, drive: Drive) -> Self {
        let config = on_path(config);
        let listener = server::bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let (reload, reloads) = mpsc::channel(1);
        let running = tokio::spawn(app::run(config, drive, listener, reloads, stopped));
        Self { address, reload, stop: Some(stop), running }
    }

    /// What SIGTERM does.
    pub fn stop(&mut self) {
        self.stop.take();
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.connect().await.request("GET", path, "").await
    }

    /// Asks again and again until the answer is as wanted: there is no other way to see inside from here.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        soon(path, async {
            loop {
                let answer = self.get(path).await;
                if wanted(&answer) {
                    break answer;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// An answer that has a length.
#[derive(Clone, Debug)]
pub struct Answer {
    pub head: Head,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The value of a metric's sample, as in `tickcast_streams_open`.
    pub fn metric(&self, sample: &str) -> Option<u64> {
        let line = self.body.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
        line.parse().ok()
    }
}

/// A head as it came, its date left out.
#[derive(Clone, Debug)]
pub struct Head(String);

impl Head {
    pub fn status(&self) -> u16 {
        self.0.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The value of a header that is there once.
    pub fn get(&self, name: &str) -> Option<&str> {
        let all: Vec<_> = self.headers().filter(|(given, _)| *given == name).collect();
        assert!(all.len() < 2, "{name} twice: {self:?}");
        all.first().map(|(_, value)| *value)
    }

    /// Names, in lower case as hyper writes them, and values, by name, without the date.
    pub fn sorted(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<_> = self.headers().filter(|(name, _)| *name != "date").collect();
        all.sort_unstable();
        all
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().skip(1).filter_map(|line| line.split_once(": "))
    }
}

/// A connection, and what it has sent that was not looked at yet.
pub struct Client {
    pub socket: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(soon("a connection", TcpStream::connect(address)).await.unwrap())
    }

    pub fn over(socket: TcpStream) -> Self {
        Self { socket, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &str) {
        soon("room to write", self.socket.write_all(bytes.as_bytes())).await.unwrap();
    }

    /// Reads on; `false` at the end.
    async fn more(&mut self) -> bool {
        soon("bytes", self.socket.read_buf(&mut self.read)).await.unwrap() > 0
    }

    /// Takes everything up to and with `mark`.
    async fn up_to(&mut self, mark: &str) -> String {
        loop {
            if let Some(at) = self.read.windows(mark.len()).position(|part| part == mark.as_bytes()) {
                let taken = self.read.drain(..at + mark.len()).collect();
                return String::from_utf8(taken).unwrap();
            }
            assert!(self.more().await, "ended before {mark:?}: {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(
                self.more().await,
                "ended before {length} bytes: {:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
        self.read.drain(..length).collect()
    }

    pub async fn head(&mut self) -> Head {
        Head(self.up_to("\r\n\r\n").await)
    }

    /// Whether the server has closed the connection without another word.
    pub async fn ended(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }

    /// `headers` are whole lines.
    pub async fn request(&mut self, method: &str, path: &str, headers: &str) -> Answer {
        self.send(&format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n")).await;
        self.answer(method != "HEAD").await
    }

    pub async fn post(&mut self, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
        .await;
        self.answer(true).await
    }

    /// Reads an answer that has a length.
    pub async fn answer(&mut self, with_body: bool) -> Answer {
        let head = self.head().await;
        let length = head.get("content-length").map_or(0, |length| length.parse().unwrap());
        assert!(head.get("transfer-encoding").is_none(), "{head:?}");
        let body = if with_body { self.exactly(length).await } else { Vec::new() };
        Answer { head, body: String::from_utf8(body).unwrap() }
    }

    pub async fn stream(mut self, query: &str, headers: &str) -> Stream {
        self.send(&format!("GET /prices?{query} HTTP/1.1\r\nhost: test\r\n{headers}\r\n")).await;
        self.opened().await
    }

    /// Reads the head of a stream and its first block.
    pub async fn opened(mut self) -> Stream {
        let head = self.head().await;
        assert_eq!((head.status(), head.get("transfer-encoding")), (200, Some("chunked")), "{head:?}");
        let mut stream =
            Stream { client: self, head, text: String::new(), opening: String::new(), ended: false };
        stream.opening = stream.block().await;
        stream
    }
}

/// An open stream.
pub struct Stream {
    pub client: Client,
    pub head: Head,
    /// `retry` and `hello`.
    pub opening: String,
    text: String,
    ended: bool,
}

impl Stream {
    /// The next block with the blank line that ends it, or the next comment line that stands before one.
    pub async fn block(&mut self) -> String {
        loop {
            let end = if self.text.starts_with(':') {
                self.text.find('\n').map(|at| at + 1)
            } else {
                self.text.find("\n\n").map(|at| at + 2)
            };
            if let Some(end) = end {
                return self.text.drain(..end).collect();
            }
            assert!(self.chunk().await, "ended within {:?}", self.text);
        }
    }

    /// Takes one chunk; `false` at the last one.
    async fn chunk(&mut self) -> bool {
        let size = self.client.up_to("\r\n").await;
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
        let mut chunk = self.client.exactly(size + 2).await;
        assert_eq!(chunk.split_off(size), b"\r\n");
        self.text += std::str::from_utf8(&chunk).unwrap();
        self.ended = size == 0;
        !self.ended
    }

    /// Whether the stream has ended as it should, with its last chunk and nothing in between.
    pub async fn ended(&mut self) -> bool {
        self.text.is_empty() && (self.ended || !self.chunk().await)
    }

    pub fn hello(&self) -> serde_json::Value {
        let data = self.opening.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        serde_json::from_str(data).unwrap()
    }

    /// The next price message, heartbeats passed over.
    pub async fn message(&mut self) -> Message {
        loop {
            let block = self.block().await;
            if let Some((data, rest)) = block.strip_prefix("data: ").and_then(|rest| rest.split_once('\n')) {
                let id = rest.strip_prefix("id: ").map(|id| id.trim_end().to_owned());
                return Message { json: serde_json::from_str(data).unwrap(), id };
            }
            assert!(block.starts_with(':') || block.starts_with("event: hb\n"), "{block}");
        }
    }

    /// `BTC=100.10`, of the next message.
    pub async fn said(&mut self) -> String {
        let message = self.message().await;
        format!("{}={}", message.text("symbol"), message.text("price"))
    }
}

/// One price message.
#[derive(Clone, Debug)]
pub struct Message {
    pub json: serde_json::Value,
    pub id: Option<String>,
}

impl Message {
    pub fn text(&self, field: &str) -> &str {
        self.json[field].as_str().unwrap_or("null")
    }
}

/// A file that is gone with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tickcast-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}
