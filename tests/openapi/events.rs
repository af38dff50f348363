//! Every event that a stream can say, held against the document.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tickcast::app::Drive;

use super::document::Document;
use super::shown::token;
use super::support::{App, Client, Node, Stream, config, soon};
use super::tokened;

/// Reads a stream until an event of this name has come, and returns its block.
async fn until(document: &Document, stream: &mut Stream, name: &str) -> String {
    soon(name, async {
        loop {
            let block = stream.block().await;
            if document.block(&block).as_deref() == Some(name) {
                break block;
            }
        }
    })
    .await
}

async fn opened(document: &Document, client: Client, operation: &str, asked: &str) -> Stream {
    let mut client = client;
    client.send(asked).await;
    let stream = client.opened().await;
    let response = document.response(operation, &stream.head);
    assert!(response["content"].get("text/event-stream").is_some());
    assert_eq!(document.block(&stream.opening).as_deref(), Some("hello"));
    stream
}

fn get(query: &str, headers: &str) -> String {
    format!("GET /prices?{query} HTTP/1.1\r\nhost: test\r\n{headers}\r\n")
}

#[tokio::test]
async fn every_event_is_as_told_and_every_one_told_of_can_be_had() {
    let mut seen = BTreeSet::from(["hello"]);
    let mut node = Node::start("[http]\ndrain_window = \"0s\"").await;
    let document = Document::of(&node).await;
    node.trade("BTC-USD", "67012.30");
    let fields: Vec<&str> = document.schema("PriceMessage")["properties"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let asked = get(&format!("symbols=*,NOPE&heartbeat=1&fields={}", fields.join(",")), "");
    let mut stream = opened(&document, node.connect().await, "GET /prices", &asked).await;
    for _ in 0..3 {
        until(&document, &mut stream, "message").await;
    }
    seen.insert("message");
    until(&document, &mut stream, "hb").await;
    seen.insert("hb");

    let asked = get("symbols=BTC&candles=1m", "");
    let mut bars = opened(&document, node.connect().await, "GET /prices", &asked).await;
    node.trade("BTC-USD", "67012.40");
    until(&document, &mut bars, "candle").await;
    seen.insert("candle");

    let body = json!({"symbols": ["BTC"], "mode": "ticks", "last_event_id": "7f3b.1"}).to_string();
    let asked =
        format!("POST /prices HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut ticks = opened(&document, node.connect().await, "POST /prices", &asked).await;
    until(&document, &mut ticks, "gap").await;
    seen.insert("gap");

    let mut faulted = Node::start("[limits]\nstreams_per_client = 1").await;
    faulted.trade("BTC-USD", "1");
    let _open = faulted.stream("symbols=BTC").await;
    let refused =
        faulted.connect().await.request("GET", "/prices?symbols=BTC", "accept: text/event-stream\r\n").await;
    document.check("GET /prices", &refused);
    assert!(refused.body.contains("event: fault\n"));
    seen.insert("fault");

    let (expiring, _secret) = tokened("openapi-notice").await;
    let shown = format!("authorization: Bearer {}\r\n", token(&json!({"sub": "a"}), 30));
    let asked = get("symbols=BTC", &shown);
    let mut told = opened(&document, expiring.connect().await, "GET /prices", &asked).await;
    until(&document, &mut told, "notice").await;
    seen.insert("notice");

    node.closing.cancel();
    until(&document, &mut stream, "bye").await;
    seen.insert("bye");

    let told = document.schema("EventData")["properties"].as_object().unwrap();
    assert_eq!(told.keys().map(String::as_str).collect::<BTreeSet<_>>(), seen);
}

/// The `code` of a notice, if the block is one.
fn code(document: &Document, block: &str) -> Option<String> {
    (document.block(block)? == "notice").then(|| {
        let data = block.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        serde_json::from_str::<Value>(data).unwrap()["code"].as_str().unwrap().to_owned()
    })
}

#[tokio::test]
async fn every_notice_is_as_told_and_every_one_told_of_can_be_had() {
    let mut seen = BTreeSet::new();
    let (expiring, _secret) = tokened("openapi-notices").await;
    let document = Document::of(&expiring).await;
    let shown = format!("authorization: Bearer {}\r\n", token(&json!({"sub": "a"}), 30));
    let mut stream = expiring.connect().await.stream("symbols=BTC", &shown).await;
    let block = until(&document, &mut stream, "notice").await;
    seen.extend(code(&document, &block));
    // Above what the client may have in a second, until something comes late.
    for limit in ["messages_per_second = 1", "bytes_per_second = 1000"] {
        let mut slow = Node::start(&format!("[limits]\n{limit}")).await;
        let mut stream = slow.stream("symbols=BTC&throttle=0").await;
        let mut price = 0;
        let told = soon(limit, async {
            loop {
                price += 1;
                slow.trade("BTC-USD", &price.to_string());
                if let Some(code) = code(&document, &stream.block().await) {
                    break code;
                }
            }
        });
        seen.insert(told.await);
    }
    let mut app = App::start(config(""), Drive::Feeds);
    let mut stream = app.connect().await.stream("symbols=*", "").await;
    let mut fewer = config("");
    fewer.instruments.pop();
    app.reload.send(fewer).await.unwrap();
    let block = until(&document, &mut stream, "notice").await;
    seen.extend(code(&document, &block));
    app.stop();

    let told = document.schema("Notice")["oneOf"].as_array().unwrap().iter();
    let told = told.map(|one| one["properties"]["code"]["enum"][0].as_str().unwrap().to_owned());
    assert_eq!(told.collect::<BTreeSet<_>>(), seen);
}
