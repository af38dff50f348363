//! Mode `ticks` over a real `nats-server`: every trade that an ingest node hears reaches the clients of every edge once, in
//! order, whatever goes away and comes back; and what is lost is told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test panics to fail, waits for programs of others in real time, and ends with its tasks"
)]

#[path = "support/nats.rs"]
mod nats;
#[path = "support/programs.rs"]
mod programs;
mod support;

use std::collections::HashMap;

use serde_json::{Value, json};
use support::{App, Stream, soon};
use tickcast::{bus, clock};
use tickcast_feeds::UnixNanos;

use nats::{Ingest, Nats, is_ready, load, many_instruments, version};

const TICKS: &str = "mode=ticks&fields=price,time,version&heartbeat=0";

async fn open(edge: &App, symbols: &str) -> Stream {
    edge.connect().await.stream(&format!("symbols={symbols}&{TICKS}"), "").await
}

async fn resume(edge: &App, symbols: &str, cursor: &str) -> Stream {
    edge.connect()
        .await
        .stream(&format!("symbols={symbols}&{TICKS}"), &format!("last-event-id: {cursor}\r\n"))
        .await
}

/// What comes next: a trade as `BTC=1` and its id, or a gap as `gap cause`.
async fn next(stream: &mut Stream) -> (String, String) {
    let block = stream.block().await;
    let data = |text: &str| serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap();
    if let Some(gap) = block.strip_prefix("event: gap\ndata: ") {
        return (format!("gap {}", data(gap)["cause"].as_str().unwrap()), String::new());
    }
    let message = data(block.strip_prefix("data: ").unwrap_or_else(|| panic!("{block}")));
    let id = block.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    assert_eq!(message["version"], json!(version(&id)), "{block}");
    (format!("{}={}", message["symbol"].as_str().unwrap(), message["price"].as_str().unwrap()), id)
}

/// Reads exactly these, and returns the last id.
async fn expect(stream: &mut Stream, wanted: &[&str]) -> String {
    let mut last = String::new();
    for &wanted in wanted {
        let (said, id) = next(stream).await;
        assert_eq!(said, wanted);
        if !id.is_empty() {
            assert!(last.is_empty() || version(&id) > version(&last), "{id} after {last}");
            last = id;
        }
    }
    last
}

/// An edge to which a symbol's trades come.
async fn following(edge: &App, symbols: u64) {
    edge.until("/metrics", |answer| answer.metric("tickcast_bus_trades_followed") == Some(symbols)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p33_every_trade_comes_once_and_in_order_at_any_edge_and_goes_on_at_another() {
    let Some(nats) = Nats::start("ticks").await else { return };
    let mut ingest = Ingest::start(&nats, "");
    ingest.publishes().await;
    let edges = [nats.edge(""), nats.edge("")];
    is_ready(&edges[0]).await;
    is_ready(&edges[1]).await;
    let mut first = open(&edges[0], "BTC,ETH").await;
    assert_eq!(first.hello()["mode"], json!("ticks"));
    following(&edges[0], 2).await;
    let metrics = edges[0].get("/metrics").await;
    assert_eq!(metrics.metric("tickcast_bus_followed"), Some(0), "nobody wants its newest state");
    // Equal ones are two, and none is conflated with the next.
    for price in ["1", "1", "2.50"] {
        ingest.trade("BTC-USD", price);
    }
    ingest.trade("ETH-USD", "7");
    let mut came = Vec::new();
    let mut cursor = String::new();
    while came.len() < 4 {
        let (said, id) = next(&mut first).await;
        assert!(cursor.is_empty() || version(&id) > version(&cursor), "{id} after {cursor}");
        (came, cursor) = ([came, vec![said]].concat(), id);
    }
    came.sort_by_key(|said| said.starts_with("ETH"));
    assert_eq!(came, ["BTC=1", "BTC=1", "BTC=2.50", "ETH=7"]);
    drop(first);
    // What comes while it is away, at an edge that has not followed these symbols.
    for index in 0..200 {
        ingest.trade("BTC-USD", &format!("1{index}"));
    }
    let mut second = resume(&edges[1], "BTC,ETH", &cursor).await;
    assert_eq!(second.hello()["resumed"], json!(true));
    for index in 0..200 {
        expect(&mut second, &[&format!("BTC=1{index}")]).await;
    }
    ingest.trade("ETH-USD", "8");
    expect(&mut second, &["ETH=8"]).await;
    // One more client of a symbol that is followed gets what comes, and nothing else.
    let mut third = open(&edges[1], "ETH").await;
    ingest.trade("ETH-USD", "9");
    expect(&mut third, &["ETH=9"]).await;
    let mut lost = resume(&edges[1], "ETH", "7f3a.1").await;
    assert_eq!(lost.hello()["resumed"], json!(false));
    expect(&mut lost, &["gap unknown_cursor"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m32_what_is_older_than_the_history_is_told_as_a_gap_and_so_is_what_a_venue_lost() {
    let Some(nats) = Nats::start("gap").await else { return };
    let more = "history = 5\ninterval = \"0ms\"";
    let mut ingest = Ingest::start(&nats, more);
    ingest.publishes().await;
    let edges = [nats.edge(more), nats.edge(more)];
    is_ready(&edges[0]).await;
    is_ready(&edges[1]).await;
    let mut first = open(&edges[0], "BTC").await;
    following(&edges[0], 1).await;
    ingest.trade("BTC-USD", "1");
    let cursor = expect(&mut first, &["BTC=1"]).await;
    // Each is a message of its own, because it was heard before the next.
    for index in 2..10 {
        ingest.trade("BTC-USD", &index.to_string());
        expect(&mut first, &[&format!("BTC={index}")]).await;
    }
    let mut late = resume(&edges[1], "BTC", &cursor).await;
    expect(&mut late, &["gap overflow", "BTC=5", "BTC=6", "BTC=7", "BTC=8", "BTC=9"]).await;
    ingest.interrupt("BTC-USD");
    ingest.trade("BTC-USD", "10");
    for stream in [&mut first, &mut late] {
        expect(stream, &["gap feed", "BTC=10"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p62_who_takes_over_goes_on_behind_the_last_trade_and_says_what_it_has_not_heard() {
    let Some(nats) = Nats::start("takeover").await else { return };
    let mut first = Ingest::start(&nats, "");
    first.publishes().await;
    let mut second = Ingest::start(&nats, "");
    let edge = nats.edge("");
    is_ready(&edge).await;
    let mut stream = open(&edge, "BTC,ETH").await;
    following(&edge, 2).await;
    let start = clock::wall().0;
    let at = |index: i64| UnixNanos(start + index * 1_000_000);
    // Both hear the same, the second one a little less: of ETH it heard nothing before the third.
    for index in 1..=4 {
        let price = index.to_string();
        first.trade_at("BTC-USD", &price, at(index));
        if index < 4 {
            second.trade_at("BTC-USD", &price, at(index));
        }
    }
    first.trade_at("ETH-USD", "1", at(1));
    let mut came = Vec::new();
    while came.len() < 5 {
        came.push(next(&mut stream).await.0);
    }
    came.sort();
    assert_eq!(came, ["BTC=1", "BTC=2", "BTC=3", "BTC=4", "ETH=1"]);
    first.die();
    second.publishes().await;
    // What the first one has published comes late, and is not new.
    second.trade_at("BTC-USD", "4", at(4));
    second.trade_at("BTC-USD", "5", at(5));
    expect(&mut stream, &["BTC=5"]).await;
    second.trade_at("ETH-USD", "3", at(3));
    expect(&mut stream, &["gap feed", "ETH=3"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m01_trades_of_a_time_without_nats_come_after_it_and_an_empty_store_is_told() {
    let Some(mut nats) = Nats::start("ticks-away").await else { return };
    let more = "storage = \"file\"";
    let mut ingest = Ingest::start(&nats, more);
    ingest.publishes().await;
    let edge = nats.edge(more);
    is_ready(&edge).await;
    let mut stream = open(&edge, "BTC").await;
    following(&edge, 1).await;
    ingest.trade("BTC-USD", "1");
    let before = expect(&mut stream, &["BTC=1"]).await;
    nats.kill();
    for price in ["2", "3", "4"] {
        ingest.trade("BTC-USD", price);
    }
    nats.again(&[]).await;
    let after = expect(&mut stream, &["BTC=2", "BTC=3", "BTC=4"]).await;
    assert_eq!(after.split_once('.').unwrap().0, before.split_once('.').unwrap().0, "the store was kept");

    nats.kill();
    nats.forget();
    nats.again(&[]).await;
    expect(&mut stream, &["gap unknown_cursor"]).await;
    ingest.publishes().await;
    // The first that come once somebody publishes may be before that.
    let anew = soon("trades of the new epoch", async {
        loop {
            ingest.trade("BTC-USD", "6");
            let waited = tokio::time::timeout(std::time::Duration::from_millis(100), next(&mut stream)).await;
            if let Ok((said, id)) = waited {
                assert_eq!(said, "BTC=6");
                return id;
            }
        }
    })
    .await;
    assert_ne!(anew.split_once('.').unwrap().0, after.split_once('.').unwrap().0);
}

/// What a reader has of each symbol, whose trades are numbered from 1.
#[derive(Default)]
struct Counted {
    newest: HashMap<String, u64>,
    cursor: String,
}

impl Counted {
    async fn take(&mut self, stream: &mut Stream) {
        let (said, id) = next(stream).await;
        let (symbol, number) =
            said.split_once('=').unwrap_or_else(|| panic!("{said} after {:?}", self.newest));
        let newest = self.newest.entry(symbol.to_owned()).or_default();
        assert_eq!(number.parse::<u64>().unwrap(), *newest + 1, "of {symbol}");
        *newest += 1;
        self.cursor = id;
    }

    fn has(&self, number: u64) -> bool {
        ["BTC", "ETH"].iter().all(|&symbol| self.newest.get(symbol) == Some(&number))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p37_whatever_goes_away_meanwhile_a_reader_that_moves_from_edge_to_edge_has_every_trade_once() {
    let Some(mut nats) = Nats::start("ticks-storm").await else { return };
    let more = "storage = \"file\"\nhistory = 20_000";
    let mut ingest = Ingest::start(&nats, more);
    ingest.publishes().await;
    let keeping = format!("{more}\n[stream]\nhistory = 20_000");
    let edges = [nats.edge(&keeping), nats.edge(&keeping)];
    is_ready(&edges[0]).await;
    is_ready(&edges[1]).await;
    let (mut stays, mut moves) = (Counted::default(), Counted::default());
    let mut staying = open(&edges[0], "BTC,ETH").await;
    let mut moving = open(&edges[1], "BTC,ETH").await;
    following(&edges[0], 2).await;
    following(&edges[1], 2).await;
    let mut number = 0;
    for round in 0..12 {
        if round == 4 {
            nats.signal("STOP");
        }
        if round == 7 {
            nats.kill();
        }
        for _ in 0..200 {
            number += 1;
            ingest.trade("BTC-USD", &number.to_string());
            ingest.trade("ETH-USD", &number.to_string());
        }
        match round {
            4 => nats.signal("CONT"),
            7 => nats.again(&[]).await,
            _ => {}
        }
        // The one that stays reads all, the other one only begins to, and is elsewhere then.
        while !stays.has(number) {
            stays.take(&mut staying).await;
        }
        for _ in 0..100 {
            moves.take(&mut moving).await;
        }
        moving = resume(&edges[round % 2], "BTC,ETH", &moves.cursor).await;
        assert_eq!(moving.hello()["resumed"], json!(true));
    }
    while !moves.has(number) {
        moves.take(&mut moving).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trades_of_all_symbols_come_too_and_what_is_no_message_of_ours_is_a_gap() {
    let Some(nats) = Nats::start("ticks-all").await else { return };
    let mut ingest = Ingest::of(&nats, "", &many_instruments());
    ingest.publishes().await;
    let edges = [nats.edge(""), nats.edge("")];
    is_ready(&edges[0]).await;
    is_ready(&edges[1]).await;
    let mut one = open(&edges[0], "X7").await;
    let mut all = open(&edges[0], "*").await;
    following(&edges[0], 403).await;
    ingest.trade("X7", "1");
    expect(&mut one, &["X7=1"]).await;
    let cursor = expect(&mut all, &["X7=1"]).await;
    for index in 0..400 {
        ingest.trade(&format!("X{index}"), "2");
    }
    let mut elsewhere = resume(&edges[1], "*", &cursor).await;
    for stream in [&mut all, &mut elsewhere] {
        let mut came = Vec::new();
        while came.len() < 400 {
            came.push(next(stream).await.0);
        }
        came.sort();
        came.dedup();
        assert_eq!(came.len(), 400, "each once");
    }
    expect(&mut one, &["X7=2"]).await;

    let client = async_nats::connect(nats.address.to_string()).await.unwrap();
    let names = bus::Names::new(&load(&nats.section("edge", "")).bus.unwrap());
    let jetstream = async_nats::jetstream::new(client);
    let subject = names.stored(bus::What::Trades, "X7");
    jetstream.publish(subject, "nothing".into()).await.unwrap().await.unwrap();
    expect(&mut one, &["gap overflow"]).await;
    // The publisher finds that somebody else was there, and cannot know what that was.
    ingest.trade("X7", "3");
    expect(&mut one, &["gap overflow", "X7=3"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_history_an_edge_refuses_the_mode_and_says_why() {
    let Some(nats) = Nats::start("ticks-off").await else { return };
    let mut ingest = Ingest::start(&nats, "history = 0");
    ingest.publishes().await;
    ingest.trade("BTC-USD", "1");
    let edge = nats.edge("history = 0");
    is_ready(&edge).await;
    let refused = edge.get("/prices?symbols=BTC&mode=ticks").await;
    assert_eq!(refused.head.status(), 400);
    assert!(refused.body.contains("no trades come over the bus to this edge ([bus] history is 0)"));
    // Of two nodes that disagree the one that is wrong says so.
    let wants = nats.edge("");
    let told = "no trades come over the bus: there is no stream TICKCAST_trades yet";
    wants
        .until("/health/ready", |answer| {
            // Prices come all the same.
            answer.head.status() == 200 && answer.body.contains(told)
        })
        .await;
}
