//! Every event that a stream can say, held against the document.

use std::collections::BTreeSet;

use serde_json::json;

use super::document::Document;
use super::shown::token;
use super::support::{Client, Node, Stream, soon};
use super::{keyed, tokened};

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

    let (mut slow, _file) = keyed("openapi-notice", "").await;
    let asked = get("symbols=BTC&throttle=0", &super::bearer("slow"));
    let mut stream_of_slow = opened(&document, slow.connect().await, "GET /prices", &asked).await;
    until(&document, &mut stream_of_slow, "message").await;
    // Above its one message a second, until one of them comes late.
    let mut price = 0;
    let notice = soon("notice", async {
        loop {
            price += 1;
            slow.trade("BTC-USD", &price.to_string());
            let block = stream_of_slow.block().await;
            if document.block(&block).as_deref() == Some("notice") {
                break block;
            }
        }
    })
    .await;
    assert!(notice.contains("messages_per_second"), "{notice}");
    let (expiring, _secret) = tokened("openapi-notice-token").await;
    let shown = format!("authorization: Bearer {}\r\n", token(&json!({"sub": "a"}), 30));
    let mut stream_that_expires =
        opened(&document, expiring.connect().await, "GET /prices", &get("symbols=BTC", &shown)).await;
    let notice = until(&document, &mut stream_that_expires, "notice").await;
    assert!(notice.contains("credential_expiring"), "{notice}");
    seen.insert("notice");

    node.closing.cancel();
    until(&document, &mut stream, "bye").await;
    seen.insert("bye");

    let told = document.schema("EventData")["properties"].as_object().unwrap();
    assert_eq!(told.keys().map(String::as_str).collect::<BTreeSet<_>>(), seen);
}
