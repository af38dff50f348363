//! The two ways a stream's bytes may go, through hyper's body or straight to the socket: the same bytes, and the same
//! care for clients that do not read.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use support::{Node, config, soon};
use tickcast::clock;
use tickcast::recording::{Direction, Recording};
use tickcast_feeds::{Event, Events, Venue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A small recording of Coinbase's, which names its instruments as the simulator does.
const RECORDING: &[u8] = include_bytes!("browser/coinbase.jsonl");

async fn node(direct: bool, more: &str) -> Node {
    let mut config = config(more);
    config.http.direct_streams = direct;
    Node::start_with(config).await
}

/// A connection whose bytes are kept as they come.
struct Raw {
    socket: TcpStream,
    all: Vec<u8>,
}

impl Raw {
    async fn ask(address: SocketAddr, request: &str) -> Self {
        let mut socket = soon("a connection", TcpStream::connect(address)).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        Self { socket, all: Vec::new() }
    }

    async fn more(&mut self) -> bool {
        soon("bytes", self.socket.read_buf(&mut self.all)).await.unwrap() > 0
    }

    /// Reads until the last block's id is of this version or newer.
    async fn up_to(&mut self, version: u64) {
        let newest = |all: &[u8]| {
            let text = String::from_utf8_lossy(all);
            let id = text.rsplit_once("id: 7f3a.").map(|(_, rest)| rest.to_owned());
            id.filter(|_| text.ends_with("\n\n\r\n"))
                .and_then(|rest| rest.split('\n').next()?.parse::<u64>().ok())
        };
        while newest(&self.all).is_none_or(|newest| newest < version) {
            assert!(self.more().await, "ended before {version}: {}", String::from_utf8_lossy(&self.all));
        }
    }

    /// Reads until so many bars have come whole.
    async fn up_to_bars(&mut self, count: usize) {
        while String::from_utf8_lossy(&self.all).matches("event: candle\n").count() < count
            || !self.all.ends_with(b"\n\n\r\n")
        {
            assert!(self.more().await, "ended before {count} bars");
        }
    }

    /// All there was, with what differs between any two streams masked: the date and what is jittered.
    fn masked(&self) -> String {
        let text = String::from_utf8(self.all.clone()).unwrap();
        let mask = |line: &str| {
            let digits =
                |text: &str| text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
            if line.starts_with("date: ") {
                return "date: #".to_owned();
            }
            if line.starts_with("retry: ") || line.contains("\"retry_ms\"") {
                return digits(line);
            }
            match line.split_once("\"time\":") {
                Some((before, time)) => format!("{before}\"time\":{}", digits(time)),
                None => line.to_owned(),
            }
        };
        text.split('\n').map(mask).collect::<Vec<_>>().join("\n")
    }
}

/// The trades of the recording: wire name and price.
fn trades() -> Vec<(String, String)> {
    let mut codec = Venue::Coinbase.codec().unwrap();
    let mut trades = Vec::new();
    for line in Recording::new(RECORDING).map(Result::unwrap).filter(|line| line.direction == Direction::In) {
        let mut events = Events::default();
        codec.decode(line.content.frame(), clock::wall(), &mut events).unwrap();
        trades.extend(events.iter().filter_map(|event| match event {
            Event::Trade(trade) => Some((trade.wire.to_string(), trade.price.to_string())),
            _ => None,
        }));
    }
    trades
}

#[tokio::test]
async fn both_paths_send_the_same_bytes_of_a_recorded_run() {
    let requests = [
        "GET /prices?symbols=BTC,ETH&throttle=0&fields=price,last_size,version HTTP/1.1\r\nhost: t\r\n\r\n".to_owned(),
        "GET /prices?symbols=*&throttle=0 HTTP/1.1\r\nhost: t\r\naccept: text/event-stream\r\n\r\n".to_owned(),
        "GET /prices?symbols=xbt,nobody&throttle=0&min_change=0.5 HTTP/1.1\r\nhost: t\r\norigin: http://a.b\r\n\r\n"
            .to_owned(),
        {
            let body = r#"{"symbols":["ETH","BTC"],"throttle":"0","fields":"price,status"}"#;
            format!("POST /prices HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        },
        "GET /prices?symbols=BTC,ETH&throttle=0&fields=price&candles=1d HTTP/1.1\r\nhost: t\r\n\r\n".to_owned(),
    ];
    let mut runs = Vec::new();
    for direct in [true, false] {
        let mut node = node(direct, "[http]\ndrain_window = \"0s\"").await;
        let mut streams = Vec::new();
        for request in &requests {
            let mut stream = Raw::ask(node.address, request).await;
            while !String::from_utf8_lossy(&stream.all).contains("data: {\"symbol\"") {
                assert!(stream.more().await);
            }
            streams.push(stream);
        }
        // One at a time, so that the same is pending at each look. The third has its own idea of what is worth sending.
        for (count, (wire, price)) in (1..).zip(trades()) {
            node.trade(&wire, &price);
            let version = node.latest.committed();
            for index in [0, 1, 3] {
                streams[index].up_to(version).await;
            }
            streams[4].up_to_bars(count).await;
        }
        node.closing.cancel();
        for stream in &mut streams {
            while stream.more().await {}
        }
        runs.push(streams.iter().map(Raw::masked).collect::<Vec<_>>());
    }
    for (direct, body) in runs[0].iter().zip(&runs[1]) {
        assert!(direct.contains("event: hello") && direct.ends_with("\n\n\r\n0\r\n\r\n"), "{direct}");
        assert_eq!(direct, body);
    }
}

/// A client whose kernel keeps as little as it may.
async fn small(address: SocketAddr, query: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut socket = TcpStream::from_std(socket.into()).unwrap();
    socket.write_all(format!("GET /prices?{query} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes()).await.unwrap();
    socket
}

fn closed(node: &Node, reason: &'static str) -> u64 {
    node.metrics.streams_closed.get_or_create(&tickcast::metrics::ByReason { reason }).get()
}

#[tokio::test]
async fn p49_p51_p54_a_frozen_reader_is_cut_on_both_paths_and_the_others_get_everything() {
    for direct in [true, false] {
        let mut node = node(direct, "[stream]\nstall_max = \"300ms\"").await;
        let frozen = small(node.address, "symbols=BTC&throttle=0&fields=price,bid,ask,sources,recv_us").await;
        let mut other = node.stream("symbols=BTC&throttle=0&fields=price").await;
        other.message().await;
        let mut price = 0_u64;
        let start = Instant::now();
        soon("the cut", async {
            while closed(&node, "stalled") == 0 {
                price += 1;
                node.trade("BTC-USD", &price.to_string());
                assert_eq!(other.said().await, format!("BTC={price}"));
            }
        })
        .await;
        assert!(start.elapsed() >= Duration::from_millis(300));
        assert_eq!(node.metrics.streams_open.get(), 1);
        drop(frozen);
    }
}

#[tokio::test]
async fn p50_a_reader_that_wakes_up_gets_the_newest_and_not_the_backlog_on_both_paths() {
    const CHANGES: u64 = 20_000;
    for direct in [true, false] {
        let mut node = node(direct, "").await;
        let mut frozen =
            small(node.address, "symbols=BTC&throttle=0&fields=price,bid,ask,sources,recv_us").await;
        let mut other = node.stream("symbols=BTC&throttle=0&fields=price").await;
        other.message().await;
        for price in 1..=CHANGES {
            node.trade("BTC-USD", &price.to_string());
            // Whoever reads keeps the writer's pace.
            if price % 16 == 0 {
                while other.said().await != format!("BTC={price}") {}
            }
        }
        let mut all = String::new();
        let newest = format!("\"price\":\"{CHANGES}\"");
        soon("the newest", async {
            let mut bytes = vec![0; 64 << 10];
            while !all.contains(&newest) {
                let count = frozen.read(&mut bytes).await.unwrap();
                assert!(count > 0, "cut");
                all.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            }
        })
        .await;
        // What its kernel and ours had kept, and the newest; not what came in between.
        let messages = all.matches("data: {").count();
        assert!(messages < 4_000, "{messages} of {CHANGES}");
    }
}

#[tokio::test]
async fn what_a_client_sends_while_it_listens_changes_nothing_on_both_paths() {
    for direct in [true, false] {
        let mut node = node(direct, "[http]\ndrain_window = \"0s\"").await;
        let mut stream = node.stream("symbols=BTC&throttle=0&fields=price").await;
        stream.message().await;
        stream.client.send("GET /symbols HTTP/1.1\r\nhost: t\r\n\r\n").await;
        for price in ["1", "2", "3"] {
            node.trade("BTC-USD", price);
            assert_eq!(stream.said().await, format!("BTC={price}"));
        }
        node.closing.cancel();
        let bye = stream.block().await;
        assert!(bye.contains("event: bye"), "{bye}");
        assert!(stream.ended().await);
    }
}

#[tokio::test]
async fn p55_a_reset_is_noticed_at_once_on_both_paths_though_nothing_is_sent() {
    for direct in [true, false] {
        let node = node(direct, "").await;
        let stream = node.stream("symbols=BTC").await;
        assert_eq!(node.metrics.streams_open.get(), 1);
        // A reset instead of an end in order, as of a machine that restarts.
        SockRef::from(&stream.client.socket).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        soon("the end", async {
            while node.metrics.streams_open.get() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(closed(&node, "client"), 1);
    }
}
