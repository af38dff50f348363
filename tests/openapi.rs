//! The document at `/openapi.json` against the service that serves it: its routes, its parameters, and every answer and
//! event that can be had from it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

#[path = "openapi/document.rs"]
mod document;
#[path = "openapi/events.rs"]
mod events;
#[path = "openapi/parameters.rs"]
mod parameters;
#[path = "auth/shown.rs"]
#[allow(dead_code, reason = "some of it is for other tests")]
mod shown;
#[path = "openapi/structure.rs"]
mod structure;
mod support;

use std::collections::BTreeSet;

use document::Document;
use serde_json::json;
use shown::{SECRET, bearer, entry, token};
use support::{Answer, Node, Scratch, soon};

const PLANS: &str = "
[plans.free]
symbols = [\"class:crypto\"]
[plans.slow]
messages_per_second = 1
[plans.ops]
operator = true
";

/// A node that asks for keys, and the file of those.
async fn keyed(name: &str, more: &str) -> (Node, Scratch) {
    let keys = entry("free", "plan = \"free\"")
        + &entry("slow", "plan = \"slow\"")
        + &entry("ops", "plan = \"ops\"")
        + &entry("old", "plan = \"ops\"\nexpires = \"2020-01-01\"");
    let file = Scratch::new(name, &keys);
    let auth = format!("{PLANS}\n[auth]\nmode = \"keys\"\nkeys_file = '{}'\n{more}", file.0.display());
    (Node::start(&auth).await, file)
}

/// A node that takes tokens, and the file of what signs them.
async fn tokened(name: &str) -> (Node, Scratch) {
    let secret = Scratch::new(name, SECRET);
    let auth =
        format!("{PLANS}\n[auth]\nmode = \"jwt\"\n[auth.jwt]\nsecret_file = '{}'\n", secret.0.display());
    (Node::start(&auth).await, secret)
}

/// A path that can be asked for.
fn path(template: &str) -> String {
    let file = if template.starts_with("/docs") { "docs.js" } else { "app.js" };
    template.replace("{file}", file)
}

async fn request(node: &Node, method: &str, path: &str, headers: &str) -> Answer {
    node.connect().await.request(method, path, headers).await
}

/// Asks, and holds the answer against what is said of the operation, such as `GET /prices`.
async fn ask(document: &Document, node: &Node, operation: &str, query: &str, headers: &str) -> Answer {
    let (method, template) = operation.split_once(' ').unwrap();
    let answer = request(node, method, &format!("{}{query}", path(template)), headers).await;
    document.check(operation, &answer);
    answer
}

/// The same with a body.
async fn post(document: &Document, node: &Node, operation: &str, headers: &str, body: &str) -> Answer {
    let template = operation.strip_prefix("POST ").unwrap();
    let answer = node.connect().await.post(template, headers, body).await;
    document.check(operation, &answer);
    answer
}

#[tokio::test]
async fn every_route_is_told_of_and_every_one_told_of_is_served_with_its_methods() {
    let node = Node::start("").await;
    let document = Document::of(&node).await;
    let missed = node.get("/nowhere").await.json();
    let served: BTreeSet<&str> = missed["expected"].as_str().unwrap().split(", ").collect();
    let paths = document.whole["paths"].as_object().unwrap();
    let told: BTreeSet<&str> = paths.keys().map(String::as_str).filter(|path| !path.contains('{')).collect();
    assert_eq!(served, told);
    for (template, item) in paths {
        let refused = request(&node, "DELETE", &path(template), "").await;
        assert_eq!(refused.head.status(), 405, "{template}");
        let allowed = refused.head.get("allow").unwrap();
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            let told = item.get(method.replace("HEAD", "GET").to_lowercase()).is_some();
            assert_eq!(allowed.split(", ").any(|allowed| allowed == method), told, "{method} {template}");
            if method == "GET" {
                // An open stream would have no end; HEAD asks the same.
                continue;
            }
            let answer = request(&node, method, &path(template), "content-length: 0\r\n").await;
            assert_eq!(answer.head.status() != 405, told, "{method} {template}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn what_every_route_answers_when_all_is_well_is_as_told() {
    let mut node = Node::start("").await;
    let document = Document::of(&node).await;
    ask(&document, &node, "GET /health/ready", "", "").await;
    node.trade("BTC-USD", "67012.30");
    node.quote("ETH-USD", "100.10", "100.20");
    node.prev_close("ETH-USD", "99.00");
    let fields: Vec<&str> = document.schema("Field")["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let all = format!("?symbols=*,NOPE&fields={}", fields.join(","));
    let snapshot = ask(&document, &node, "GET /prices/snapshot", &all, "").await.json();
    let keys: Vec<&str> = document.schema("PriceMessage")["properties"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let named: BTreeSet<&str> = fields.iter().copied().collect();
    assert_eq!(named, keys.into_iter().collect());
    for price in snapshot["prices"].as_array().unwrap() {
        assert_eq!(price.as_object().unwrap().len(), fields.len(), "every field is there, if null");
    }
    ask(&document, &node, "GET /candles", "?symbol=BTC", "").await;
    for operation in [
        "GET /symbols",
        "GET /feeds",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
        "GET /openapi.json",
        "GET /docs",
        "GET /docs/{file}",
        "GET /",
        "GET /dashboard/{file}",
    ] {
        ask(&document, &node, operation, "", "").await;
    }
    let told: BTreeSet<String> = [
        "GET / 200",
        "GET /candles 200",
        "GET /dashboard/{file} 200",
        "GET /docs 200",
        "GET /docs/{file} 200",
        "GET /feeds 200",
        "GET /health/live 200",
        "GET /health/ready 200",
        "GET /health/ready 503",
        "GET /metrics 200",
        "GET /openapi.json 200",
        "GET /prices/snapshot 200",
        "GET /symbols 200",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(document.seen(), told);
}

/// Everything that one server can be asked wrongly, whoever asks.
async fn ask_wrongly(document: &Document) {
    let node = Node::start("[stream]\nsymbols_max = 2").await;
    let long = format!("?symbols={}", "BTC,".repeat(5_000));
    for (method, template, said) in document.operations() {
        let operation = format!("{method} {template}");
        let told = |status: &str| said["responses"].get(status).is_some();
        if method == "GET" && told("400") {
            for query in ["?symbols=BTC&nonsense=1", "?x=%zz"] {
                assert_eq!(ask(document, &node, &operation, query, "").await.head.status(), 400);
            }
            assert_eq!(ask(document, &node, &operation, &long, "").await.head.status(), 414);
        }
        if method == "POST" {
            let large = format!("{{\"symbols\":\"{}\"}}", "BTC,".repeat(20_000));
            assert_eq!(
                post(document, &node, &operation, "", &large).await.head.status() == 413,
                told("413") && template != "/tickets"
            );
        }
    }
    for operation in ["GET /prices", "GET /prices/snapshot"] {
        for query in ["", "?symbols=BTC,AAPL,ETH", "?symbols=NOPE", "?symbols=BTC&fields=prise"] {
            ask(document, &node, operation, query, "").await;
        }
    }
    ask(document, &node, "GET /symbols", "?limit=0", "").await;
    for query in ["", "?symbol=NOPE", "?symbol=BTC&limit=0"] {
        ask(document, &node, "GET /candles", query, "").await;
    }
    for body in [
        "{",
        "{}",
        "{\"symbols\":\"BTC\",\"x\":1}",
        "{\"symbols\":\"NOPE\"}",
        "{\"symbols\":\"BTC\",\"mode\":\"x\"}",
    ] {
        post(document, &node, "POST /prices", "", body).await;
    }
    post(document, &node, "POST /tickets", "", "").await;
    for operation in ["GET /docs/{file}", "GET /dashboard/{file}"] {
        let (_, template) = operation.split_once(' ').unwrap();
        let answer = node.get(&template.replace("{file}", "nothing.js")).await;
        assert_eq!(answer.head.status(), 404);
        document.check(operation, &answer);
        document.check(operation, &request(&node, "POST", &path(template), "").await);
    }
}

/// What is said to who shows the wrong thing, or nothing.
async fn ask_without_leave(document: &Document) {
    let (node, _file) = keyed("openapi-denied", "").await;
    let (with_tokens, _secret) = tokened("openapi-tokens").await;
    let no_plan = format!("authorization: Bearer {}\r\n", token(&json!({"sub": "a", "plan": "nope"}), 100));
    for (method, template, said) in
        document.operations().iter().filter(|(.., said)| said["responses"].get("401").is_some())
    {
        let operation = format!("{method} {template}");
        let none = "content-length: 0\r\n".to_owned();
        for headers in [none.clone(), bearer("nobody") + &none, bearer("old") + &none] {
            assert_eq!(ask(document, &node, &operation, "", &headers).await.head.status(), 401);
        }
        let headers = no_plan.clone() + &none;
        assert_eq!(ask(document, &with_tokens, &operation, "", &headers).await.head.status(), 403);
        if said["responses"]["400"]["description"].as_str().unwrap().contains("query-credential-off") {
            assert_eq!(ask(document, &node, &operation, "?api_key=a", "").await.head.status(), 400);
        }
    }
    ask(document, &node, "GET /prices", "?symbols=AAPL", &bearer("free")).await;
    ask(document, &node, "GET /feeds", "", &bearer("free")).await;
    let (guessed, _file) = keyed("openapi-guessed", "[limits]\nbad_credentials_per_minute = 1").await;
    let headers = bearer("nobody") + "content-length: 0\r\n";
    ask(document, &guessed, "GET /symbols", "", &headers).await;
    for (method, template, said) in document.operations() {
        if said["responses"].get("401").is_some() {
            let answer = ask(document, &guessed, &format!("{method} {template}"), "", &headers).await;
            assert_eq!(answer.head.status(), 429, "{template}");
        }
    }
    post(document, &node, "POST /tickets", &bearer("free"), "{\"symbols\":1,\"x\":1}").await;
    post(document, &node, "POST /tickets", &bearer("free"), "{\"symbols\":\"NOPE\"}").await;
    let large = format!("{{\"symbols\":\"{}\"}}", "BTC,".repeat(20_000));
    post(document, &node, "POST /tickets", &bearer("free"), &large).await;
    for _ in 0..100 {
        assert_eq!(post(document, &node, "POST /tickets", &bearer("free"), "").await.head.status(), 200);
    }
    assert_eq!(post(document, &node, "POST /tickets", &bearer("free"), "").await.head.status(), 429);
}

/// What is said where a limit is met, or the server is about to stop.
async fn ask_too_much(document: &Document) {
    let body = "{\"symbols\":\"BTC\"}";
    for (limit, status) in
        [("opens_per_minute = 1", 429), ("streams_per_client = 1", 429), ("streams_total = 1", 503)]
    {
        let node = Node::start(&format!("[limits]\n{limit}")).await;
        let _stream = node.stream("symbols=BTC").await;
        assert_eq!(ask(document, &node, "GET /prices", "?symbols=BTC", "").await.head.status(), status);
        assert_eq!(post(document, &node, "POST /prices", "", body).await.head.status(), status);
        let faulted =
            ask(document, &node, "GET /prices", "?symbols=BTC", "accept: text/event-stream\r\n").await;
        assert!(faulted.body.contains("event: fault\n"));
    }
    // As long as this stream may take its time, others are answered.
    let node = Node::start("[http]\ndrain_window = \"10s\"").await;
    let _stream = node.stream("symbols=BTC").await;
    node.closing.cancel();
    assert_eq!(ask(document, &node, "GET /prices", "?symbols=BTC", "").await.head.status(), 503);
    assert_eq!(ask(document, &node, "GET /health/ready", "", "").await.head.status(), 503);
}

#[tokio::test]
async fn what_is_refused_is_answered_as_told_and_all_that_is_told_of_can_be_had() {
    let node = Node::start("").await;
    let document = Document::of(&node).await;
    ask_wrongly(&document).await;
    ask_without_leave(&document).await;
    ask_too_much(&document).await;
    let mut told = BTreeSet::new();
    for (method, template, said) in document.operations() {
        let statuses = said["responses"].as_object().unwrap().keys();
        let refusals = statuses.filter(|status| status.starts_with(['4', '5']));
        told.extend(refusals.map(|status| format!("{method} {template} {status}")));
    }
    let seen = document.seen();
    let unseen: Vec<&String> = told.difference(&seen).collect();
    // That takes time, see below; and a hundred thousand tickets of others.
    assert_eq!(unseen, ["POST /prices 408", "POST /tickets 408", "POST /tickets 503"]);
    let kinds = document.schema("ProblemType")["enum"].as_array().unwrap();
    let kinds: BTreeSet<String> = kinds.iter().map(|kind| kind.as_str().unwrap().to_owned()).collect();
    let seen = document.problems();
    let unseen: Vec<&String> = kinds.difference(&seen).collect();
    // On HTTP/1.1 hyper refuses too many headers before we see them, without a document.
    assert_eq!(unseen, ["urn:tickcast:problem:body-too-slow", "urn:tickcast:problem:too-many-headers"]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_answered_as_told() {
    let (node, _file) = keyed("openapi-slow", "").await;
    let document = Document::of(&node).await;
    for template in ["/prices", "/tickets"] {
        let mut client = node.connect().await;
        let headers = bearer("ops");
        client
            .send(&format!("POST {template} HTTP/1.1\r\nhost: test\r\n{headers}content-length: 5\r\n\r\n{{"))
            .await;
        let answer = soon("an answer", client.answer(true)).await;
        assert_eq!(answer.head.status(), 408);
        document.check(&format!("POST {template}"), &answer);
    }
}
