//! Bars through the door: what `GET /candles` answers and refuses, and what a stream with `candles=` is told and when.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use serde_json::{Value, json};
use support::{Answer, Node, Stream, soon};
use tickcast::clock;
use tickcast::consolidate::Moment;
use tickcast_feeds::{Event, Moves, Price, Size, Trade, UnixNanos, Venue};

/// Of these tests' trades: 2024-03-04T10:00:00Z.
const TEN: i64 = 1_709_546_400_000;

/// A trade so many milliseconds after ten.
fn trade(node: &mut Node, wire: &str, after: i64, price: &str, size: &str) {
    node.give(Event::Trade(Trade {
        wire: wire.into(),
        price: Price::parse(price).unwrap().unwrap(),
        size: Size::parse(size).unwrap(),
        aggressor: None,
        id: None,
        ts_event: UnixNanos::from_millis(TEN + after),
        backfill: false,
        moves: Moves::ALL,
    }));
}

fn candles(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.head.status(), 200, "{answer:?}");
    answer.json()["candles"].as_array().unwrap().clone()
}

/// Each bar's beginning, in seconds after ten.
fn starts(answer: &Answer) -> Vec<i64> {
    let after = |candle: &Value| (candle["time"].as_i64().unwrap() - TEN) / 1_000;
    candles(answer).iter().map(after).collect()
}

/// The next block, which has to be a bar, without its `event` line; and that it moves no cursor.
async fn candle(stream: &mut Stream) -> Value {
    let block = stream.block().await;
    let data = block.strip_prefix("event: candle\ndata: ").unwrap_or_else(|| panic!("{block}"));
    assert!(!data.contains("\nid:"), "{block}");
    serde_json::from_str(data.trim_end()).unwrap()
}

/// `BTC 60 open/high/low/close volume`, a `*` behind what is not over.
async fn told(stream: &mut Stream) -> String {
    let candle = candle(stream).await;
    let text = |name: &str| candle[name].as_str().unwrap().to_owned();
    let after = (candle["time"].as_i64().unwrap() - TEN) / 1_000;
    let prices = ["open", "high", "low", "close"].map(text).join("/");
    let end = if candle["final"] == json!(true) { "" } else { "*" };
    format!("{} {after} {prices} {}{end}", text("symbol"), text("volume"))
}

#[tokio::test]
async fn bars_of_what_was_traded_are_answered_the_oldest_first_with_all_their_digits() {
    let mut node = Node::start("").await;
    let none = node.get("/candles?symbol=XBT").await.json();
    let about = json!({"symbol": "BTC", "interval": "1m", "alignment": "utc", "currency": "USD", "decimals": 2,
                       "kept": 500, "candles": []});
    assert_eq!(none, about);
    for (after, price, size) in
        [(1_000, "100.10", "2"), (2_000, "99.5", "0.50"), (61_000, "101", "1"), (62_000, "102", "1")]
    {
        trade(&mut node, "BTC-USD", after, price, size);
    }
    let answer = node.get("/candles?symbol=BTC&interval=1m").await;
    assert_eq!(answer.head.get("content-type"), Some("application/json"));
    assert_eq!(answer.head.get("cache-control"), Some("no-store"));
    assert_eq!(answer.head.get("access-control-allow-origin"), Some("*"));
    let expected = json!([
        {"time": TEN, "open": "100.10", "high": "100.10", "low": "99.5", "close": "99.5", "volume": "2.50",
         "trades": 2, "venue": "sim", "final": true, "gap": true, "corrected": false},
        {"time": TEN + 60_000, "open": "101", "high": "102", "low": "101", "close": "102", "volume": "2",
         "trades": 2, "venue": "sim", "final": false, "gap": false, "corrected": false},
    ]);
    assert_eq!(json!(candles(&answer)), expected);
    assert_eq!(candles(&node.get("/candles?symbol=BTC&interval=1d").await).len(), 1);
    assert_eq!(candles(&node.get("/candles?symbol=ETH").await), [] as [Value; 0], "not traded yet");
}

#[tokio::test]
async fn m112_a_chart_that_scrolls_back_gets_what_was_before_and_then_nothing_more() {
    let mut node = Node::start("[candles]\nkeep_1s = 4").await;
    for second in 0..10 {
        trade(&mut node, "BTC-USD", second * 1_000, "100", "1");
    }
    let path = "/candles?symbol=BTC&interval=1s";
    assert_eq!(starts(&node.get(path).await), [5, 6, 7, 8, 9], "four, and the open one");
    assert_eq!(starts(&node.get(&format!("{path}&limit=2")).await), [8, 9]);
    let before = |second: i64| format!("{path}&limit=2&before={}", TEN + second * 1_000);
    assert_eq!(starts(&node.get(&before(8)).await), [6, 7]);
    assert_eq!(starts(&node.get(&before(6)).await), [5]);
    assert_eq!(starts(&node.get(&before(5)).await), [] as [i64; 0]);
}

#[tokio::test]
async fn what_cannot_be_answered_is_named_with_what_would_work() {
    let node = Node::start("[candles]\nkeep_5m = 0").await;
    let cases = [
        ("", 400, "no-symbols", "symbol", ""),
        ("symbol=BTX", 404, "unknown-symbol", "symbol", "BTX"),
        ("symbol=BTC,ETH", 404, "unknown-symbol", "symbol", "BTC,ETH"),
        ("symbol=BTC&interval=2m", 400, "bad-value", "interval", "2m"),
        ("symbol=BTC&interval=5m", 400, "bad-value", "interval", "5m"),
        ("symbol=BTC&limit=0", 400, "bad-value", "limit", "0"),
        ("symbol=BTC&limit=10001", 400, "bad-value", "limit", "10001"),
        ("symbol=BTC&before=yesterday", 400, "bad-value", "before", "yesterday"),
        ("symbol=BTC&before=-1", 400, "bad-value", "before", "-1"),
        ("symbols=BTC", 400, "unknown-parameter", "symbols", "BTC"),
        ("symbol=BTC&symbol=ETH", 400, "bad-value", "symbol", "ETH"),
    ];
    for (query, status, kind, parameter, value) in cases {
        let answer = node.get(&format!("/candles?{query}")).await;
        let document = answer.json();
        assert_eq!(answer.head.status(), status, "{query}: {document}");
        assert_eq!(answer.head.get("content-type"), Some("application/problem+json"));
        assert_eq!(document["type"], format!("urn:tickcast:problem:{kind}"), "{query}");
        assert_eq!((&document["parameter"], &document["value"]), (&json!(parameter), &json!(value)));
        assert!(document["expected"].as_str().is_some_and(|text| !text.is_empty()), "{document}");
    }
    let document = node.get("/candles?symbol=BTX").await.json();
    assert_eq!(document["detail"], "unknown symbol `BTX`; did you mean `BTC`?");
    assert_eq!(document["suggestions"], json!(["BTC"]));
    let document = node.get("/candles?symbol=BTC&interval=2m").await.json();
    assert_eq!(document["expected"], "one of 1s, 1m, 1h, 1d");
    assert!(document["suggestions"].as_array().unwrap().contains(&json!("1m")), "{document}");
    let document = node.get("/prices?symbols=BTC&candles=1w").await.json();
    assert_eq!((&document["parameter"], &document["value"]), (&json!("candles"), &json!("1w")));
    assert_eq!(document["expected"], "one of 1s, 1m, 1h, 1d");
    let off = "keep_1s = 0\nkeep_1m = 0\nkeep_5m = 0\nkeep_1h = 0\nkeep_1d = 0";
    let mut node = Node::start(&format!("[candles]\n{off}")).await;
    trade(&mut node, "BTC-USD", 0, "100", "1");
    let document = node.get("/candles?symbol=BTC").await.json();
    assert_eq!(document["expected"], "nothing: this server keeps no candles");
}

#[tokio::test]
async fn p41_other_methods_are_answered_as_for_the_routes_beside_it() {
    let node = Node::start("").await;
    let mut client = node.connect().await;
    let head = client.request("HEAD", "/candles?symbol=BTC", "").await;
    assert_eq!((head.head.status(), head.head.get("content-type")), (200, Some("application/json")));
    assert_eq!(client.request("HEAD", "/candles?symbol=NOPE", "").await.head.status(), 404);
    let preflight = client.request("OPTIONS", "/candles", "origin: https://page.example\r\n").await;
    assert_eq!(preflight.head.status(), 204);
    assert_eq!(preflight.head.get("access-control-allow-origin"), Some("*"));
    let post = client.request("POST", "/candles", "").await;
    assert_eq!((post.head.status(), post.head.get("allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[tokio::test]
async fn m111_a_stream_tells_the_open_bar_as_it_changes_and_each_bar_once_as_final() {
    let mut node = Node::start("").await;
    trade(&mut node, "BTC-USD", 0, "100", "1");
    trade(&mut node, "BTC-USD", 60_000, "101", "1");
    let mut stream = node.stream("symbols=BTC,ETH&throttle=0&fields=price&candles=1m").await;
    assert_eq!(stream.hello()["candles"], "1m");
    assert_eq!(stream.said().await, "ETH=null");
    assert_eq!(stream.said().await, "BTC=101");
    // In case it ended on the way here; then the open one whole.
    assert_eq!(told(&mut stream).await, "BTC 0 100/100/100/100 1");
    assert_eq!(told(&mut stream).await, "BTC 60 101/101/101/101 1*");
    trade(&mut node, "BTC-USD", 61_000, "99", "0.5");
    assert_eq!(stream.said().await, "BTC=99");
    assert_eq!(told(&mut stream).await, "BTC 60 101/101/99/99 1.5*");
    trade(&mut node, "ETH-USD", 61_000, "5", "1");
    assert_eq!(stream.said().await, "ETH=5");
    assert_eq!(told(&mut stream).await, "ETH 60 5/5/5/5 1*");
    // It changes no field that the stream has, and the bar all the same.
    trade(&mut node, "BTC-USD", 62_000, "99", "0.5");
    assert_eq!(told(&mut stream).await, "BTC 60 101/101/99/99 2.0*");
    trade(&mut node, "BTC-USD", 120_000, "99", "1");
    assert_eq!(told(&mut stream).await, "BTC 60 101/101/99/99 2.0");
    assert_eq!(told(&mut stream).await, "BTC 120 99/99/99/99 1*");
    // Ended by the clock: nothing is traded, and the stream is woken for it.
    let now = clock::now();
    node.latest.sweep(Moment { at: now.at + std::time::Duration::from_secs(62), ..now });
    assert_eq!(told(&mut stream).await, "BTC 120 99/99/99/99 1");
    assert_eq!(told(&mut stream).await, "ETH 60 5/5/5/5 1");
    trade(&mut node, "BTC-USD", 180_000, "98", "1");
    assert_eq!(stream.said().await, "BTC=98");
    assert_eq!(told(&mut stream).await, "BTC 180 98/98/98/98 1*");
}

#[tokio::test]
async fn a_throttled_stream_gets_every_final_bar_and_only_the_newest_of_the_open_one() {
    let mut node = Node::start("").await;
    let mut stream = node.stream("symbols=BTC&throttle=1s&fields=price&candles=1s").await;
    assert_eq!(stream.said().await, "BTC=null");
    for second in 0..5 {
        trade(&mut node, "BTC-USD", second * 1_000, &format!("10{second}"), "1");
        trade(&mut node, "BTC-USD", second * 1_000 + 500, "100", "1");
    }
    assert_eq!(stream.said().await, "BTC=100");
    for second in 0..4 {
        let high = format!("10{second}");
        assert_eq!(told(&mut stream).await, format!("BTC {second} {high}/{high}/100/100 2"));
    }
    assert_eq!(told(&mut stream).await, "BTC 4 104/104/100/100 2*");
}

#[tokio::test]
async fn m95_a_stream_that_was_slower_than_bars_are_kept_is_told_which_it_lacks() {
    let mut node = Node::start("[candles]\nkeep_1s = 2").await;
    let mut stream = node.stream("symbols=BTC&throttle=1s&fields=price&candles=1s").await;
    assert_eq!(stream.said().await, "BTC=null");
    for second in 0..6 {
        trade(&mut node, "BTC-USD", second * 1_000, "100", "1");
    }
    assert_eq!(stream.said().await, "BTC=100");
    let gap = stream.block().await;
    let through = TEN + 2_000;
    let data = format!(
        "{{\"symbol\":\"BTC\",\"cause\":\"candles\",\"interval\":\"1s\",\"through_time\":{through}}}"
    );
    assert_eq!(gap, format!("event: gap\ndata: {data}\n\n"));
    for (second, end) in [(3, ""), (4, ""), (5, "*")] {
        assert_eq!(told(&mut stream).await, format!("BTC {second} 100/100/100/100 1{end}"));
    }
    let metrics = node.get("/metrics").await;
    assert_eq!(metrics.metric("tickcast_candles_lost_total"), Some(1));
}

#[tokio::test]
async fn bars_come_beside_every_trade_and_a_stream_that_asks_for_none_gets_none() {
    let mut node = Node::start("").await;
    let mut ticks = node.stream("symbols=BTC&mode=ticks&fields=price&candles=1h").await;
    let mut plain = node.stream("symbols=BTC&throttle=0&fields=price").await;
    assert!(plain.hello().get("candles").is_none());
    assert_eq!(plain.said().await, "BTC=null");
    for price in ["100", "101"] {
        trade(&mut node, "BTC-USD", 0, price, "1");
        assert_eq!(ticks.said().await, format!("BTC={price}"));
        let bar = candle(&mut ticks).await;
        assert_eq!((&bar["interval"], &bar["close"]), (&json!("1h"), &json!(price)));
        assert_eq!(plain.said().await, format!("BTC={price}"));
    }
}

#[tokio::test]
async fn a_gap_of_the_feed_marks_the_open_bar_and_the_next_and_the_stream_is_told_at_once() {
    let mut node = Node::start("").await;
    trade(&mut node, "BTC-USD", 0, "100", "1");
    trade(&mut node, "BTC-USD", 60_000, "100", "1");
    let mut stream = node.stream("symbols=BTC&throttle=0&fields=price&candles=1m").await;
    assert_eq!(stream.said().await, "BTC=100");
    let marked = |candle: Value| (candle["time"].as_i64().unwrap() - TEN, candle["gap"] == json!(true));
    // The first one begins in the middle of a minute, for all that is known.
    assert_eq!(marked(candle(&mut stream).await), (0, true));
    assert_eq!(marked(candle(&mut stream).await), (60_000, false));
    node.latest.gap(Venue::Sim, "BTC-USD", Some(3));
    assert_eq!(marked(candle(&mut stream).await), (60_000, true));
    trade(&mut node, "BTC-USD", 120_000, "100", "1");
    assert_eq!(marked(candle(&mut stream).await), (60_000, true));
    assert_eq!(marked(candle(&mut stream).await), (120_000, true));
    trade(&mut node, "BTC-USD", 180_000, "100", "1");
    let gaps: Vec<_> = candles(&node.get("/candles?symbol=BTC").await).into_iter().map(marked).collect();
    assert_eq!(gaps, [(0, true), (60_000, true), (120_000, true), (180_000, false)]);
}

#[tokio::test]
async fn late_trades_are_counted_and_bars_nobody_follows_change_no_version() {
    let mut node = Node::start("").await;
    trade(&mut node, "BTC-USD", 60_000, "100", "1");
    trade(&mut node, "BTC-USD", 59_000, "90", "1");
    let metrics = node.get("/metrics").await;
    let late = |interval: &str| {
        metrics.metric(&format!("tickcast_candle_trades_late_total{{interval=\"{interval}\"}}"))
    };
    assert_eq!(["1s", "1m", "5m"].map(late), [Some(1), Some(1), Some(0)]);
    let version = node.latest.committed();
    let stream = node.stream("symbols=BTC&candles=1m").await;
    trade(&mut node, "BTC-USD", 59_000, "90", "1");
    assert_eq!(node.latest.committed(), version + 1, "its hour has changed");
    drop(stream);
    // Its bars are let go of on another thread, a moment after it is counted as closed.
    soon("a change that is nobody's business", async {
        loop {
            let before = node.latest.committed();
            trade(&mut node, "BTC-USD", 59_000, "90", "1");
            if node.latest.committed() == before {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}
