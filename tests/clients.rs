//! Clients that others wrote, each with the few lines that the README gives for it, through a cut line, a limit, a
//! restart and a wrong request. `cargo test --test clients -- --nocapture` prints the times.
//!
//! `scripts/test` installs what they need; what is missing is said to be left out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test panics to fail; these wait for programs of others in real time, print how long it took, and end with \
              their tasks"
)]

#[path = "clients/follow.rs"]
mod follow;
#[path = "clients/following.rs"]
mod following;
#[path = "clients/page.rs"]
mod page;
#[path = "support/programs.rs"]
mod programs;
#[path = "clients/relay.rs"]
mod relay;
mod support;
#[path = "browser/webdriver.rs"]
mod webdriver;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{App, Node, config, soon};
use tickcast::app::Drive;
use tickcast::http::sse::Cursor;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use following::{Client, program};
use page::{Page, Program};
use relay::Relay;

const VARIABLE: &str = "TICKCAST_TEST_CLIENTS";
/// No client here takes this long to come back or to show what it got, on whatever machine.
const SLOW: Duration = Duration::from_secs(10);

/// How a client is told of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// By `fault` inside a stream.
    Fault,
    /// By 429 and `Retry-After`.
    Status,
}

/// What is to be known of a client beforehand.
#[derive(Clone, Copy, Debug)]
struct Habits {
    name: &'static str,
    told: Told,
    /// The least part of a wait it was told that it keeps, in percent.
    waits: u32,
}

fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

async fn check(client: Client, habits: Habits) {
    let (line, limit, restart, wrong) = tokio::join!(
        a_cut_line(&client, habits),
        a_limit(&client, habits),
        a_restart(&client, habits),
        a_wrong_request(&client),
    );
    println!("{:<28} | {line} | {limit} | {restart} | {wrong}", habits.name);
}

/// Whether a wait was kept, and not much exceeded.
fn kept(habits: Habits, told: Duration, waited: Duration) {
    assert!(waited * 100 >= told * habits.waits, "told to wait {told:?}, back after {waited:?}");
    assert!(waited < told + SLOW, "told to wait {told:?}, back after {waited:?}");
}

/// The middle of the `retry` values of these services, each jittered by half of it.
const RETRY: Duration = Duration::from_millis(400);

/// First prices, digit by digit; then the line is cut, one price changes, and that one alone comes after the return.
async fn a_cut_line(client: &Client, habits: Habits) -> String {
    let mut node = Node::start("[stream]\nretry = \"400ms\"").await;
    node.trade("BTC-USD", "67012.30");
    node.trade("ETH-USD", "2000.00");
    node.trade("AAPL", "189.100");
    let relay = Relay::start(node.address).await;
    let mut prices = client.follow(&relay.url("symbols=BTC,ETH,AAPL&fields=price&throttle=0"));
    let hello = prices.expect("hello").await;
    assert_eq!(hello.data["resumed"], false);
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(prices.expect("message").await.said());
    }
    first.sort_unstable();
    assert_eq!(first, ["AAPL=189.100", "BTC=67012.30", "ETH=2000.00"]);
    let asked = relay.asked(0).await;
    assert_eq!(asked.last_event_id(), None);
    let connect = asked.at.elapsed();
    assert!(connect < SLOW, "{connect:?}");

    let (last_id, cut) = (prices.last_id.clone(), Instant::now());
    relay.cut();
    // Now nothing more gets through.
    streams_open(&node, 0).await;
    node.trade("ETH-USD", "2000.50");
    let back = relay.came(1).await.at - cut;
    kept(habits, RETRY / 2, back);
    let led = Instant::now();
    relay.lead_to(node.address);
    assert_eq!(relay.asked(1).await.last_event_id(), Some(last_id.as_str()));
    assert_eq!(prices.expect("hello").await.data["resumed"], true);
    assert_eq!(prices.expect("message").await.said(), "ETH=2000.50");
    let resumed = led.elapsed();
    // Had BTC or AAPL been sent again, they would stand before this.
    node.trade("BTC-USD", "67013");
    assert_eq!(prices.expect("message").await.said(), "BTC=67013");
    format!("first prices {}, cut: back after {}, what changed {} later", ms(connect), ms(back), ms(resumed))
}

/// Opens a stream whenever one may be opened, so that nobody else may; says when it was refused for the first time.
async fn spend(address: SocketAddr, refused: oneshot::Sender<()>) {
    let mut refused = Some(refused);
    let mut beat = interval(Duration::from_millis(5));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut client = support::Client::connect(address).await;
        client.send("GET /prices?symbols=BTC HTTP/1.1\r\nhost: test\r\n\r\n").await;
        if client.head().await.status() == 429 {
            if let Some(refused) = refused.take() {
                refused.send(()).unwrap();
            }
            beat.tick().await;
        }
    }
}

/// One open too many in a minute: the client is told so, waits, and gets its price.
async fn a_limit(client: &Client, habits: Habits) -> String {
    loop {
        let mut node = Node::start("[limits]\nopens_per_minute = 60").await;
        node.trade("BTC-USD", "67012.30");
        let relay = Relay::start(node.address).await;
        let (refused, is_refused) = oneshot::channel();
        let spending = tokio::spawn(spend(node.address, refused));
        soon("a refusal", is_refused).await.unwrap();
        let mut prices = client.follow(&relay.url("symbols=BTC&fields=price"));
        let first = relay.answered().await;
        spending.abort();
        if first.answered("transfer-encoding").is_some() {
            // An open had just become free: then there is nothing to be seen.
            continue;
        }
        let told = match habits.told {
            Told::Fault => {
                assert_eq!(first.status(), 200);
                let fault = prices.expect("fault").await.data;
                assert_eq!(
                    (&fault["code"], &fault["limit"]),
                    (&Value::from("rate_limited"), &Value::from(60))
                );
                Duration::from_millis(fault["retry_ms"].as_u64().unwrap())
            }
            Told::Status => {
                assert_eq!(first.status(), 429);
                Duration::from_secs(first.answered("retry-after").unwrap().parse().unwrap())
            }
        };
        let back = relay.asked(1).await.at - first.at;
        kept(habits, told, back);
        // Told again where the jitter brought it back before the next second.
        while prices.next().await.name != "message" {}
        let price = first.at.elapsed();
        let (told_by, wait) = (habits.told, ms(told));
        return format!("limit: {told_by:?} {wait}, back after {}, price after {}", ms(back), ms(price));
    }
}

/// The service stops and another takes its place: `bye`, and all prices anew.
async fn a_restart(client: &Client, habits: Habits) -> String {
    let mut config = config("[http]\ndrain_window = \"300ms\"\n[stream]\nretry = \"400ms\"");
    config.feeds.sim.as_mut().unwrap().rate = 20.into();
    let mut app = App::start(config.clone(), Drive::Feeds);
    let relay = Relay::start(app.address).await;
    let mut prices = client.follow(&relay.url("symbols=BTC&fields=price,status"));
    prices.expect("hello").await;
    while prices.expect("message").await.data["price"].is_null() {}

    relay.hold();
    let stop = Instant::now();
    app.stop();
    let bye = prices.past_messages("bye").await;
    assert_eq!(bye.data["reason"], "draining");
    let (said, told) = (bye.at - stop, Duration::from_millis(bye.data["retry_ms"].as_u64().unwrap()));
    assert!(said < Duration::from_millis(300) + SLOW, "{said:?}");
    soon("the end", &mut app.running).await.unwrap().unwrap();
    let last: Cursor = prices.last_id.parse().unwrap();
    // From the stream's end, which comes right after its `bye`; a client may be slow to tell of that one.
    let came = relay.came(1).await.at;
    let back = came - bye.at.min(came);
    kept(habits, told.saturating_sub(Duration::from_millis(100)), back);

    let app = App::start(config, Drive::Feeds);
    let last_id = prices.last_id.clone();
    relay.lead_to(app.address);
    assert_eq!(relay.asked(1).await.last_event_id(), Some(last_id.as_str()));
    assert_eq!(prices.expect("hello").await.data["resumed"], false);
    let message = prices.expect("message").await;
    assert_eq!(message.data["symbol"], "BTC");
    let now: Cursor = prices.last_id.parse().unwrap();
    assert_ne!(now.epoch, last.epoch);
    format!("stop: bye after {}, told {}, back after {}", ms(said), ms(told), ms(back))
}

/// What will never pass ends the client, instead of being asked again and again.
async fn a_wrong_request(client: &Client) -> String {
    let node = Node::start("").await;
    let relay = Relay::start(node.address).await;
    let mut prices = client.follow(&relay.url("symbols=NOPE"));
    let closed = prices.expect("closed").await;
    let asked = relay.answered().await;
    assert_eq!((asked.status(), relay.count()), (404, 1), "{closed:?}");
    format!("404: told after {}, not asked again", ms(closed.at - asked.at.min(closed.at)))
}

/// A page in Chromium, where one is to be had.
async fn page(node: &Node) -> Option<Page> {
    programs::need(VARIABLE, "clients in Chromium", Some(()))?;
    // Whether there has to be a browser, it says itself.
    Page::open(node.address).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p22_p27_p62_browsers_get_prices_and_come_back_with_event_source_and_with_fetch_event_source() {
    let node = Node::start("").await;
    let Some(page) = page(&node).await else { return };
    let own = Habits { name: "Chromium EventSource", told: Told::Fault, waits: 100 };
    let library = Habits { name: "fetch-event-source", told: Told::Status, waits: 100 };
    let found = page.has_library.then(|| Client::FetchEventSource(page.clone()));
    let with_library = async {
        if let Some(client) = programs::need(VARIABLE, "npm's fetch-event-source", found) {
            check(client, library).await;
        }
    };
    tokio::join!(check(Client::EventSource(page), own), with_library);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p22_p27_p62_the_eventsource_of_npm_gets_prices_and_comes_back() {
    let Some(client) = programs::need(VARIABLE, "npm's eventsource", Client::node()) else { return };
    check(client, Habits { name: "npm eventsource", told: Told::Fault, waits: 100 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p22_p27_p62_httpx_sse_gets_prices_and_comes_back() {
    let Some(client) = programs::need(VARIABLE, "Python's httpx-sse", Client::python()) else { return };
    check(client, Habits { name: "Python httpx-sse", told: Told::Status, waits: 100 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p22_p27_p62_the_eventsource_client_of_rust_gets_prices_and_comes_back() {
    // It jitters what it was told down to half of it.
    check(Client::Rust, Habits { name: "Rust eventsource-client", told: Told::Fault, waits: 50 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p22_p27_p62_curl_gets_prices_and_comes_back() {
    let Some(client) = programs::need(VARIABLE, "curl", Client::curl()) else { return };
    check(client, Habits { name: "curl", told: Told::Status, waits: 100 }).await;
}

async fn streams_open(node: &Node, count: i64) {
    soon("the number of open streams", async {
        while node.metrics.streams_open.get() != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p18_the_seventh_stream_of_a_browser_waits_until_another_ends() {
    let node = Node::start("").await;
    let Some(page) = page(&node).await else { return };
    // The page's own origin has connections of its own.
    let relay = Relay::start(node.address).await;
    let url = relay.url("symbols=BTC");
    let follow = || page.follow(Program::EventSource, &url);
    let mut streams: Vec<_> = std::iter::repeat_with(follow).take(7).collect();
    for stream in &mut streams[..6] {
        stream.expect("hello").await;
    }
    let mut seventh = streams.pop().unwrap();
    assert_eq!(node.metrics.streams_open.get(), 6);
    let end = Instant::now();
    streams.pop();
    assert!(seventh.expect("hello").await.at > end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p32_p33_fetch_event_source_without_its_options_leaves_with_its_tab_and_for_good_after_a_restart() {
    let mut node = Node::start("[http]\ndrain_window = \"0s\"").await;
    let Some(page) = page(&node).await else { return };
    let library = page.has_library.then_some(());
    let Some(()) = programs::need(VARIABLE, "npm's fetch-event-source", library) else { return };
    node.trade("BTC-USD", "67012.30");
    let relay = Relay::start(node.address).await;
    let url = relay.url("symbols=BTC&fields=price");
    let mut plain = page.follow(Program::Plain, &url);
    plain.expect("hello").await;
    assert_eq!(plain.expect("message").await.said(), "BTC=67012.30");
    let mut ours = page.follow(Program::FetchEventSource, &url);
    ours.expect("hello").await;
    ours.expect("message").await;

    page.hide(true);
    streams_open(&node, 1).await;
    node.trade("BTC-USD", "67013");
    assert_eq!(ours.expect("message").await.said(), "BTC=67013");
    page.hide(false);
    assert_eq!(plain.expect("hello").await.data["resumed"], true);
    assert_eq!(plain.expect("message").await.said(), "BTC=67013");

    let asked = relay.count();
    relay.hold();
    node.closing.cancel();
    plain.expect("bye").await;
    assert_eq!(plain.expect("closed").await.data, "finished");
    ours.expect("bye").await;
    assert!(relay.came(asked).await.is_preflight(), "ours comes back");
}

/// A program without its shebang and its opening comment.
fn body(file: &str) -> String {
    let text = std::fs::read_to_string(program(file)).unwrap();
    let is_opening = |line: &&str| ["//", "#"].iter().any(|mark| line.starts_with(mark)) || line.is_empty();
    let lines: Vec<&str> = text.lines().skip_while(is_opening).collect();
    lines.join("\n")
}

#[test]
fn the_readme_shows_the_programs_that_are_tested_here() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for file in ["event-source.js", "fetch-event-source.js", "follow.py", "follow.rs", "follow.sh"] {
        let body = body(file);
        let shown = body.split("\n\n\nif __name__").next().unwrap();
        assert!(
            shown.lines().count() > 5 && readme.contains(shown),
            "README.md shows another {file}:\n{shown}"
        );
    }
}
