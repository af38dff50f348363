//! Mode `ticks` through the door: every trade in order, a cursor that is honoured, a gap that is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use serde_json::{Value, json};
use support::{Node, Stream};

const FIELDS: &str = "mode=ticks&fields=price,last_size,venue,version";

/// The price of the next trade; anything else fails.
async fn trade(stream: &mut Stream) -> String {
    let block = stream.block().await;
    let data: Value =
        serde_json::from_str(block.strip_prefix("data: ").unwrap().lines().next().unwrap()).unwrap();
    assert!(block.ends_with(&format!("\nid: 7f3a.{}\n\n", data["version"])), "{block}");
    assert_eq!(data["venue"], "sim");
    format!("{}={}", data["symbol"].as_str().unwrap(), data["price"].as_str().unwrap())
}

async fn gap(stream: &mut Stream) -> Value {
    let block = stream.block().await;
    let data = block.strip_prefix("event: gap\ndata: ").unwrap_or_else(|| panic!("{block}"));
    assert!(!data.contains("\nid:"), "a gap moves no cursor: {block}");
    serde_json::from_str(data.trim_end()).unwrap()
}

#[tokio::test]
async fn every_trade_comes_in_order_and_equal_ones_are_two() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "99");
    let mut stream = node.stream(&format!("symbols=btc,ETH&{FIELDS}")).await;
    let hello = stream.hello();
    assert_eq!(
        (&hello["mode"], &hello["throttle_ms"], &hello["resumed"]),
        (&json!("ticks"), &json!(0), &json!(false))
    );
    assert!(stream.opening.ends_with("\nid: 7f3a.1\n\n"), "what was before is behind it: {}", stream.opening);
    for price in ["1", "1", "2.50"] {
        node.trade("BTC-USD", price);
    }
    node.quote("BTC-USD", "2", "3");
    node.trade("AAPL", "7");
    node.trade("ETH-USD", "5");
    for expected in ["BTC=1", "BTC=1", "BTC=2.50", "ETH=5"] {
        assert_eq!(trade(&mut stream).await, expected);
    }
}

#[tokio::test]
async fn p37_a_client_that_was_away_gets_each_trade_it_missed() {
    let mut node = Node::start("").await;
    let query = format!("symbols=BTC&{FIELDS}");
    let mut stream = node.stream(&query).await;
    node.trade("BTC-USD", "1");
    assert_eq!(trade(&mut stream).await, "BTC=1");
    drop(stream);
    node.trade("BTC-USD", "2");
    node.trade("BTC-USD", "3");
    let mut back = node.connect().await.stream(&query, "last-event-id: 7f3a.1\r\n").await;
    assert_eq!(back.hello()["resumed"], true);
    node.trade("BTC-USD", "4");
    for expected in ["BTC=2", "BTC=3", "BTC=4"] {
        assert_eq!(trade(&mut back).await, expected);
    }
}

#[tokio::test]
async fn p38_a_cursor_that_says_nothing_here_brings_a_gap_and_then_what_comes() {
    let mut node = Node::start("").await;
    for cursor in ["beef.1", "7f3a.99", "nonsense"] {
        let mut stream = node
            .connect()
            .await
            .stream(&format!("symbols=BTC&{FIELDS}"), &format!("last-event-id: {cursor}\r\n"))
            .await;
        assert_eq!(stream.hello()["resumed"], false);
        let gap = gap(&mut stream).await;
        assert_eq!((&gap["symbol"], &gap["cause"]), (&Value::Null, &json!("unknown_cursor")));
        node.trade("BTC-USD", "1");
        assert_eq!(trade(&mut stream).await, "BTC=1");
    }
}

#[tokio::test]
async fn a_client_that_comes_too_late_is_told_from_where_to_where_trades_are_missing() {
    let mut node = Node::start("[stream]\nhistory = 3").await;
    let query = format!("symbols=BTC&{FIELDS}");
    drop(node.stream(&query).await);
    for price in 1..=9 {
        node.trade("BTC-USD", &price.to_string());
    }
    let mut back = node.connect().await.stream(&query, "last-event-id: 7f3a.2\r\n").await;
    let told = gap(&mut back).await;
    assert_eq!(told, json!({"symbol": "BTC", "cause": "overflow", "after": "7f3a.2", "through": "7f3a.6"}));
    for expected in ["BTC=7", "BTC=8", "BTC=9"] {
        assert_eq!(trade(&mut back).await, expected);
    }
}

#[tokio::test]
async fn what_would_leave_trades_out_is_refused() {
    let node = Node::start("").await;
    for (query, parameter, value) in [
        ("throttle=250ms", "throttle", "250ms"),
        ("min_change=0.5", "min_change", "0.5"),
        ("mode=tick", "mode", "tick"),
    ] {
        let mode = if query.starts_with("mode") { "" } else { "&mode=ticks" };
        let answer = node.get(&format!("/prices?symbols=BTC&{query}{mode}")).await;
        assert_eq!(answer.head.status(), 400);
        let problem = answer.json();
        assert_eq!((&problem["parameter"], &problem["value"]), (&json!(parameter), &json!(value)));
        assert!(problem["expected"].as_str().unwrap().contains("ticks"), "{problem}");
    }
    assert_eq!(node.stream("symbols=BTC&mode=ticks&throttle=0").await.hello()["mode"], "ticks");
}
