//! A config that takes the place of another while the service runs: streams stay, symbols come and go.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "support/programs.rs"]
mod programs;
mod support;

use std::path::Path;
use std::process::Stdio;

use programs::Running;
use serde_json::{Value, json};
use support::{App, Client, Stream, soon};
use tickcast::app::Drive;
use tickcast::config::{self, Config};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};

/// A simulated market of these symbols.
fn market(symbols: &[&str]) -> Config {
    config::load(&text(symbols), "test", std::iter::empty()).unwrap()
}

fn text(symbols: &[&str]) -> String {
    let instrument = |symbol: &&str| {
        format!(
            "[[instrument]]\nsymbol = \"{symbol}\"\nclass = \"crypto\"\nsources = [\"sim:{symbol}-USD\"]\n"
        )
    };
    format!("[feeds.sim]\nrate = 50\n{}", symbols.iter().map(instrument).collect::<String>())
}

/// The next notice, and the symbols of the messages before it.
async fn notice(stream: &mut Stream) -> (Value, Vec<String>) {
    let mut before = Vec::new();
    loop {
        let block = stream.block().await;
        if let Some(data) = block.strip_prefix("event: notice\ndata: ") {
            return (serde_json::from_str(data.trim_end()).unwrap(), before);
        }
        before.extend(symbol(&block));
    }
}

fn symbol(block: &str) -> Option<String> {
    let data = block.strip_prefix("data: ")?.lines().next()?;
    serde_json::from_str::<Value>(data).unwrap()["symbol"].as_str().map(str::to_owned)
}

/// Waits for a message of this symbol.
async fn until(stream: &mut Stream, wanted: &str) -> String {
    loop {
        let block = stream.block().await;
        if symbol(&block).as_deref() == Some(wanted) {
            return block;
        }
    }
}

#[tokio::test]
async fn streams_stay_open_and_follow_what_is_added_where_they_asked_for_it() {
    let mut app = App::start(market(&["BTC", "ETH"]), Drive::Feeds);
    let open = async |query: &str| app.connect().await.stream(query, "").await;
    let mut all = open("symbols=*&throttle=0").await;
    let mut named = open("symbols=btc,sol&throttle=0").await;
    let mut ticks = open("symbols=*&mode=ticks").await;
    let mut other = open("symbols=ETH&throttle=0").await;
    assert_eq!(named.hello()["rejected"][0]["code"], "unknown_symbol");
    until(&mut all, "ETH").await;
    app.reload.send(market(&["BTC", "SOL", "ETH"])).await.unwrap();

    let (told, before) = notice(&mut all).await;
    assert_eq!(told, json!({"code": "symbols", "added": {"SOL": "SOL"}, "removed": []}));
    assert!(!before.contains(&"SOL".to_owned()), "it is announced first");
    until(&mut all, "SOL").await;
    until(&mut all, "BTC").await;
    let (told, _) = notice(&mut named).await;
    assert_eq!(told, json!({"code": "symbols", "added": {"sol": "SOL"}, "removed": []}), "as it was asked");
    until(&mut named, "SOL").await;
    notice(&mut ticks).await;
    let trade = until(&mut ticks, "SOL").await;
    assert!(trade.contains("\"price\":\""), "{trade}");
    let listed = app.get("/symbols").await.json();
    let symbols: Vec<&str> =
        listed["symbols"].as_array().unwrap().iter().map(|entry| entry["symbol"].as_str().unwrap()).collect();
    assert_eq!(symbols, ["BTC", "SOL", "ETH"], "in the config's order");
    // Whom it does not concern is told nothing.
    for _ in 0..20 {
        assert_eq!(symbol(&other.block().await).as_deref(), Some("ETH"));
    }
    app.stop();
    soon("the end", &mut app.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_symbol_that_is_taken_out_goes_stale_and_its_streams_are_told() {
    let mut app = App::start(market(&["BTC", "ETH", "SOL"]), Drive::Feeds);
    let mut stream = app.connect().await.stream("symbols=ETH,BTC&throttle=0", "").await;
    until(&mut stream, "ETH").await;
    app.reload.send(market(&["BTC", "SOL"])).await.unwrap();
    let (told, _) = notice(&mut stream).await;
    assert_eq!(told, json!({"code": "symbols", "added": {}, "removed": ["ETH"]}));
    for _ in 0..20 {
        assert_eq!(symbol(&stream.block().await).as_deref(), Some("BTC"));
    }
    assert_eq!(app.get("/prices?symbols=ETH").await.head.status(), 404);
    assert_eq!(app.get("/prices/snapshot?symbols=ETH").await.head.status(), 404);
    // And back: whoever asks for it now finds it, with its price going on.
    app.reload.send(market(&["BTC", "SOL", "ETH"])).await.unwrap();
    app.until("/prices/snapshot?symbols=ETH", |answer| {
        answer.head.status() == 200 && answer.json()["prices"][0]["status"] == "live"
    })
    .await;
    app.stop();
    soon("the end", &mut app.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_feed_that_is_switched_off_and_on_leaves_and_comes_back() {
    let with_replay_price = |on: bool| {
        let text = format!(
            "[feeds.sim]\nrate = 50\n[feeds.kraken]\nenabled = {on}\nurl = \"ws://127.0.0.1:9\"\n\
             [[instrument]]\nsymbol = \"BTC\"\nclass = \"crypto\"\nsources = [\"sim:BTC-USD\", \"kraken:BTC/USD\"]\n"
        );
        config::load(&text, "test", std::iter::empty()).unwrap()
    };
    let mut app = App::start(with_replay_price(false), Drive::Feeds);
    let feeds = |answer: &support::Answer| {
        let feeds = answer.json()["feeds"].clone();
        feeds
            .as_array()
            .unwrap()
            .iter()
            .map(|feed| feed["venue"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let sources = "/prices/snapshot?symbols=BTC&fields=sources";
    let venues = async |on: bool, expected: &[&str]| {
        app.reload.send(with_replay_price(on)).await.unwrap();
        app.until("/feeds", |answer| feeds(answer) == expected).await;
        let answer = app.get(sources).await.json();
        assert_eq!(answer["prices"][0]["sources"].as_array().unwrap().len(), expected.len(), "{answer}");
    };
    venues(true, &["sim", "kraken"]).await;
    venues(false, &["sim"]).await;
    venues(true, &["sim", "kraken"]).await;
    app.stop();
    soon("the end", &mut app.running).await.unwrap().unwrap();
}

/// Reads on until a line holds this.
async fn line(lines: &mut Lines<impl tokio::io::AsyncBufRead + Unpin>, wanted: &str) -> String {
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(wanted) {
                return line;
            }
        }
        panic!("it ended without `{wanted}`")
    };
    soon(wanted, reading).await
}

/// What a pipe of a program says, line by line.
fn lines_of<T: std::os::fd::IntoRawFd>(pipe: Option<T>) -> Lines<BufReader<tokio::net::unix::pipe::Receiver>>
where
    std::os::fd::OwnedFd: From<T>,
{
    let pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(pipe.unwrap().into()).unwrap();
    BufReader::new(pipe).lines()
}

#[tokio::test]
async fn a_hangup_reads_the_file_again_and_a_broken_one_is_refused_with_its_line_while_the_old_one_goes_on() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reload.toml");
    std::fs::write(&file, text(&["BTC"])).unwrap();
    let mut node = Running::start(
        std::process::Command::new(env!("CARGO_BIN_EXE_tickcast"))
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut out = lines_of(node.child().stdout.take());
    let mut log = lines_of(node.child().stderr.take());
    let said = line(&mut out, "http://").await;
    let (_, address) = said.trim_end_matches('/').rsplit_once("http://").unwrap();
    let address = address.parse().unwrap();
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(Client::connect(address).await.stream("symbols=*&throttle=0", "").await);
    }
    let wrong = text(&["BTC", "SOL"]).replace("[feeds.sim]", "[feeds.sim]\nrates = 3");
    std::fs::write(&file, wrong).unwrap();
    node.signal("HUP");
    line(&mut log, "not taken").await;
    let mistake = line(&mut log, "rates").await;
    assert!(mistake.contains("reload.toml:2"), "{mistake}");
    for stream in &mut streams {
        until(stream, "BTC").await;
    }
    std::fs::write(&file, text(&["BTC", "SOL"])).unwrap();
    node.signal("HUP");
    let told = line(&mut log, "symbols as in the config").await;
    assert!(told.contains("SOL") && !told.contains("BTC"), "{told}");
    for stream in &mut streams {
        let (told, _) = notice(stream).await;
        assert_eq!(told["added"], json!({"SOL": "SOL"}));
        until(stream, "SOL").await;
    }
}
