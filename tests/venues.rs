//! Live connections from a venue's socket to a client's stream, against a scripted venue: what is subscribed, what
//! happens on a bad day, and what clients are told about it. Each name starts with the pain that it is about.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]
#![allow(clippy::print_stdout, reason = "what was measured, for who runs them with --nocapture")]
#![allow(clippy::disallowed_methods, reason = "tasks and queues that last as long as their test")]

#[path = "venues/script.rs"]
mod script;
mod support;

use std::fmt::Write as _;
use std::time::Duration;

use script::{End, Language, Venue, Welcome};
use serde_json::Value;
use support::{App, Stream, soon};
use tickcast::app::Drive;
use tickcast::clock;
use tickcast::config::{self, Config};
use tickcast_feeds::hours::{self, Phase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// What a step on the way takes at most on a loaded machine, beyond the time that is set.
const SLACK: Duration = Duration::from_secs(1);

fn load(text: &str) -> Config {
    let keys = ["KEY", "SECRET"].map(|name| (name.to_owned(), "abc".to_owned()));
    let config = config::load(text, "test.toml", keys.into_iter());
    let mut config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.http.drain_window = Duration::ZERO;
    config
}

/// A feed of this venue and an instrument for each wire name, whose symbol is the asset before its currency.
fn config(venue: &str, url: &str, keys: &str, wires: &[&str]) -> Config {
    let mut text = format!("[feeds.{venue}]\nurl = \"{url}\"\n{keys}\n");
    for wire in wires {
        let plain = wire.replace(['-', '/'], "");
        let (class, symbol, currency) = match (plain.strip_suffix("USDT"), plain.strip_suffix("USD")) {
            (Some(base), _) => ("crypto", base, "USDT"),
            (_, Some(base)) => ("crypto", base, "USD"),
            _ => ("stock", plain.as_str(), "USD"),
        };
        let _ = write!(
            text,
            "[[instrument]]\nsymbol = \"{symbol}\"\nclass = \"{class}\"\ncurrency = \"{currency}\"\nsources = [\"{venue}:{wire}\"]\n"
        );
    }
    load(&text)
}

/// The only feed as `/feeds` shows it.
async fn feed(app: &App) -> Value {
    app.get("/feeds").await.json()["feeds"][0].clone()
}

/// Asks until the only feed is as wanted.
async fn until_feed(app: &App, wanted: impl Fn(&Value) -> bool) -> Value {
    let answer = app.until("/feeds", |answer| {
        let feeds = answer.json();
        feeds["feeds"].as_array().is_some_and(|feeds| feeds.len() == 1 && wanted(&feeds[0]))
    });
    answer.await.json()["feeds"][0].clone()
}

async fn until_state(app: &App, state: &str) -> Value {
    until_feed(app, |feed| feed["state"] == state).await
}

async fn metric(app: &App, sample: &str) -> u64 {
    app.get("/metrics").await.metric(sample).unwrap_or(0)
}

/// Reads on until a message of the stream has this status.
async fn until_status(stream: &mut Stream, status: &str) {
    while stream.message().await.text("status") != status {}
}

/// An app that follows BTC at a Coinbase of ours, and has had its first price.
async fn live_coinbase(venue: &Venue, keys: &str) -> (App, Stream) {
    let app = App::start(config("coinbase", &venue.url(), keys, &["BTC-USD"]), Drive::Feeds);
    let mut stream = app.connect().await.stream("symbols=BTC&throttle=0&heartbeat=0", "").await;
    venue.until_followed(1, &["BTC-USD"]).await;
    venue.trade("BTC-USD", "100.10");
    until_status(&mut stream, "live").await;
    (app, stream)
}

#[tokio::test]
async fn m01_m02_m05_m11_a_connection_that_only_beats_is_told_as_stale_and_reopened() {
    let venue = Venue::start(Language::Coinbase);
    let (app, mut stream) = live_coinbase(&venue, "silence_max = \"400ms\"").await;
    let silent_since = Instant::now();
    // Heartbeats and pings go on all the time: they are no ticks.
    let beating = async {
        let mut beat = interval(Duration::from_millis(50));
        loop {
            beat.tick().await;
            venue.heartbeat();
            venue.ping();
        }
    };
    let told = async {
        until_status(&mut stream, "stale").await;
        let stale_after = silent_since.elapsed();
        venue.until("the second connection", |state| (state.connections.len() == 2).then_some(())).await;
        (stale_after, silent_since.elapsed())
    };
    let (stale_after, reopened_after) = tokio::select! {
        () = beating => unreachable!("it beats for ever"),
        told = told => told,
    };
    println!(
        "silence_max 0.4 s: stale at the client after {stale_after:?}, reopened after {reopened_after:?}"
    );
    let limit = Duration::from_millis(400);
    assert!(stale_after >= Duration::from_millis(350) && stale_after < limit + SLACK, "{stale_after:?}");
    assert!(reopened_after < limit + Duration::from_millis(500) + SLACK, "{reopened_after:?}");
    venue.until_followed(2, &["BTC-USD"]).await;
    venue.trade("BTC-USD", "101");
    until_status(&mut stream, "live").await;
    assert_eq!(metric(&app, r#"tickcast_reconnects_total{venue="coinbase",reason="silent"}"#).await, 1);
    assert_eq!(feed(&app).await["reconnects"], 1);
}

#[tokio::test]
async fn m07_a_request_that_is_never_answered_is_sent_again_on_the_same_connection() {
    let venue = Venue::start(Language::Kraken);
    // Both frames of the first request are lost: ticker and trade.
    venue.with(|state| state.deaf_for = 2);
    let app = App::start(
        config("kraken", &venue.url(), "silence_max = \"3s\"", &["BTC/USD", "ETH/USD"]),
        Drive::Feeds,
    );
    venue.until_followed(1, &["BTC/USD", "ETH/USD"]).await;
    until_feed(&app, |feed| feed["acknowledged"] == 2).await;
    assert_eq!(venue.with(|state| state.attempts.len()), 1);
}

#[tokio::test]
async fn m08_one_silent_symbol_is_asked_for_again_before_its_connection_is_dropped() {
    let venue = Venue::start(Language::Kraken);
    venue.with(|state| state.forgets.insert("ETH/USD".to_owned()));
    let app = App::start(
        config("kraken", &venue.url(), "silence_max = \"1s\"", &["BTC/USD", "ETH/USD"]),
        Drive::Feeds,
    );
    venue.until_followed(1, &["BTC/USD"]).await;
    let ticking = async {
        let mut beat = interval(Duration::from_millis(20));
        loop {
            beat.tick().await;
            venue.trade("BTC/USD", "100");
        }
    };
    let asked_again = venue.until("a request for ETH/USD alone", |state| {
        let alone = |text: &str| text.contains(r#"["ETH/USD"]"#);
        let is_asked = state.texts().any(alone);
        is_asked.then(|| state.forgets.clear())
    });
    tokio::select! {
        () = ticking => unreachable!("it ticks for ever"),
        () = asked_again => {}
    }
    assert_eq!(venue.with(|state| state.attempts.len()), 1, "the connection as such is well");
    drop(app);
}

#[tokio::test]
async fn m13_m27_a_notice_replaces_the_connection_and_no_tick_is_lost_or_doubled() {
    let venue = Venue::start(Language::Binance);
    let app = App::start(config("binance", &venue.url(), "", &["BTCUSDT"]), Drive::Feeds);
    let mut stream = app.connect().await.stream("symbols=BTC&throttle=0&heartbeat=0", "").await;
    venue.until_followed(1, &["BTCUSDT"]).await;
    let mut beat = interval(Duration::from_millis(2));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sent, mut rounds) = (0_u64, 0);
    // Three notices, with prices that go on all the time.
    loop {
        beat.tick().await;
        sent += 1;
        venue.trade("BTCUSDT", &format!("{}.5", 1000 + sent));
        let (open, accepted) = venue.with(|state| {
            (state.connections.iter().filter(|c| c.ended.is_none()).count(), state.connections.len())
        });
        if open == 1 && accepted == rounds + 1 && sent % 50 == 0 {
            if rounds == 3 {
                break;
            }
            rounds += 1;
            venue.say(r#"{"e":"serverShutdown","E":1790000000000}"#);
        }
    }
    let last = format!("{}.5", 1000 + sent);
    loop {
        let message = stream.message().await;
        // The first messages may be from before the first price.
        assert!(message.text("status") == "live" || message.text("price") == "null", "{message:?}");
        if message.text("price") == last {
            break;
        }
    }
    let taken = metric(&app, r#"tickcast_ticks_total{venue="binance",kind="trade"}"#).await;
    let late = metric(&app, r#"tickcast_ticks_ignored_total{venue="binance",reason="late"}"#).await;
    let again = metric(&app, r#"tickcast_duplicates_total{venue="binance"}"#).await;
    println!("three planned reconnects: {sent} ticks, {taken} taken, {again} known already, {late} late");
    assert_eq!(taken, sent, "none lost, none doubled");
    assert_eq!(metric(&app, r#"tickcast_gaps_total{venue="binance"}"#).await, 0);
    assert_eq!(metric(&app, r#"tickcast_reconnects_total{venue="binance",reason="notice"}"#).await, 3);
    let feed = until_feed(&app, |feed| feed["state"] == "live").await;
    assert_eq!((&feed["connection"], &feed["reconnects"]), (&1.into(), &3.into()));
    // The old ones were left with a good-bye.
    let ended: Vec<_> = venue.with(|state| state.connections.iter().map(|c| c.ended).collect());
    assert_eq!(ended, [Some(End::Closed(1000)), Some(End::Closed(1000)), Some(End::Closed(1000)), None]);
}

#[tokio::test]
async fn m31_m32_a_venue_that_restarts_is_followed_again_at_once_and_the_gap_is_counted() {
    let venue = Venue::start(Language::Kraken);
    let wires = ["BTC/USD", "ETH/USD"];
    let app = App::start(config("kraken", &venue.url(), "", &wires), Drive::Feeds);
    let mut stream = app.connect().await.stream("symbols=BTC&throttle=0&heartbeat=0", "").await;
    venue.until_followed(1, &wires).await;
    venue.trade("BTC/USD", "100");
    until_status(&mut stream, "live").await;
    let address = venue.vanish().await;
    until_status(&mut stream, "stale").await;
    let waiting = until_state(&app, "waiting").await;
    assert!(waiting["last_error"].is_string() && waiting["next_attempt_ms"].is_u64(), "{waiting}");
    let venue = Venue::start_at(Language::Kraken, address);
    let accepted = venue.until("a connection", |state| state.connections.first().map(|c| c.opened)).await;
    venue.until_followed(1, &wires).await;
    venue.trade("BTC/USD", "101");
    let message = stream.message().await;
    let first_tick = accepted.elapsed();
    println!("unplanned reconnect: first tick at the client {first_tick:?} after the venue accepted");
    assert_eq!((message.text("price"), message.text("status")), ("101", "live"));
    assert!(first_tick < SLACK, "{first_tick:?}");
    // One for each instrument: what was traded meanwhile is not known.
    app.until("/metrics", |answer| answer.metric(r#"tickcast_gaps_total{venue="kraken"}"#) == Some(2)).await;
}

#[tokio::test]
async fn m17_a_429_is_obeyed_to_the_second_and_shown() {
    let venue = Venue::start(Language::Coinbase);
    venue.with(|state| state.welcomes.push_back(Welcome::Status(429, Some("1"))));
    let app = App::start(config("coinbase", &venue.url(), "", &["BTC-USD"]), Drive::Feeds);
    let banned = until_state(&app, "banned").await;
    assert!(banned["next_attempt_ms"].as_u64().unwrap() <= 1100, "{banned}");
    assert_eq!(banned["last_error"], "could not connect: the venue answered 429");
    venue.until_followed(1, &["BTC-USD"]).await;
    let attempts = venue.with(|state| state.attempts.clone());
    let waited = attempts[1] - attempts[0];
    assert!(attempts.len() == 2 && waited >= Duration::from_secs(1), "{waited:?}");
    assert_eq!(metric(&app, r#"tickcast_reconnects_total{venue="coinbase",reason="http_429"}"#).await, 1);
}

#[tokio::test]
async fn m17_m28_m29_m97_refusals_of_each_kind_are_shown_and_wait_as_long_as_they_should() {
    let cases = [
        (Welcome::Status(429, None), "banned", 30..=33),
        (Welcome::Status(418, None), "banned", 120..=132),
        (Welcome::Status(451, None), "blocked", 10..=11),
        (Welcome::Status(403, None), "blocked", 10..=11),
        (Welcome::Status(401, None), "blocked", 10..=11),
        (Welcome::Status(406, None), "blocked", 90..=99),
        (Welcome::Close(1008, "go away"), "waiting", 10..=11),
        (Welcome::Close(1008, "Too many requests"), "banned", 120..=132),
    ];
    for (welcome, state, wait) in cases {
        let venue = Venue::start(Language::Coinbase);
        venue.with(|state| state.welcomes.push_back(welcome));
        let app = App::start(config("coinbase", &venue.url(), "", &["BTC-USD"]), Drive::Feeds);
        let feed = until_state(&app, state).await;
        let next = Duration::from_millis(feed["next_attempt_ms"].as_u64().unwrap()).as_secs_f64();
        assert!(next > f64::from(*wait.start()) - 5.0 && next <= f64::from(*wait.end()), "{feed}");
        assert_eq!(venue.with(|state| state.attempts.len()), 1, "{feed}");
        let ready = app.get("/health/ready").await;
        let error = feed["last_error"].as_str().unwrap();
        assert!(ready.head.status() == 503 && ready.body.contains(error), "{}", ready.body);
    }
}

#[tokio::test]
async fn m19_m85_m113_four_hundred_symbols_are_subscribed_within_the_venues_rolling_second() {
    let venue = Venue::start(Language::Binance);
    let second = Duration::from_secs(1);
    venue.with(|state| state.limit = Some((5, second)));
    let names: Vec<String> = (0..400).map(|index| format!("A{index}USDT")).collect();
    let wires: Vec<&str> = names.iter().map(String::as_str).collect();
    // Until all is sent some tick is needed, or the connection would count as silent.
    let app = App::start(config("binance", &venue.url(), "silence_max = \"1m\"", &wires), Drive::Feeds);
    let all = venue.until("all 400", |state| {
        let connections = state.connections.iter();
        let followed: usize = connections.clone().map(|connection| connection.subscribed.len()).sum();
        (followed == 400)
            .then(|| connections.map(|c| (c.frames.len(), c.most_in(second))).collect::<Vec<_>>())
    });
    // Pings are answered in between, and count.
    let pinging = async {
        let mut beat = interval(Duration::from_millis(1100));
        loop {
            beat.tick().await;
            venue.ping();
        }
    };
    let all = tokio::select! {
        () = pinging => unreachable!("it pings for ever"),
        all = all => all,
    };
    println!("400 symbols: frames, and the most in one second, of each connection: {all:?}");
    assert!(all.iter().all(|(_, most)| *most <= 5), "{all:?}");
    let longest = venue.with(|state| state.texts().map(str::len).max()).unwrap();
    assert!(longest < 8 << 10, "{longest} bytes in one frame");
    let acknowledged = |answer: &support::Answer| {
        let feeds = answer.json();
        feeds["feeds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|feed| feed["acknowledged"].as_u64().unwrap())
            .sum::<u64>()
            == 400
    };
    app.until("/feeds", acknowledged).await;
    assert_eq!(venue.with(|state| state.attempts.len()), all.len(), "nobody was cut off");
}

#[tokio::test]
async fn m75_m81_a_refused_symbol_is_named_and_the_others_live() {
    let cases = [
        (Language::Coinbase, "coinbase", ["BTC-USD", "FOO-USD", "ETH-USD"]),
        (Language::Kraken, "kraken", ["BTC/USD", "FOO/USD", "ETH/USD"]),
        (Language::Binance, "binance", ["BTCUSDT", "FOOUSDT", "ETHUSDT"]),
        (Language::Okx, "okx", ["BTC-USDT", "FOO-USDT", "ETH-USDT"]),
    ];
    for (language, name, wires) in cases {
        let venue = Venue::start(language);
        venue.with(|state| state.refused.insert(wires[1].to_owned()));
        let app = App::start(config(name, &venue.url(), "silence_max = \"20s\"", &wires), Drive::Feeds);
        venue.until_followed(1, &[wires[0], wires[2]]).await;
        let feed = until_feed(&app, |feed| feed["acknowledged"] == 2).await;
        let feed = if feed["refused"][0].is_null() {
            until_feed(&app, |feed| feed["refused"][0]["wire"].is_string()).await
        } else {
            feed
        };
        assert_eq!(feed["refused"].as_array().unwrap().len(), 1, "{feed}");
        assert_eq!(feed["refused"][0]["wire"], wires[1], "{feed}");
        venue.trade(wires[0], "100");
        venue.trade(wires[2], "200");
        app.until("/prices/snapshot?symbols=BTC,ETH", |answer| {
            let prices = answer.json()["prices"].clone();
            prices[0]["price"] == "100" && prices[1]["price"] == "200"
        })
        .await;
    }
}

#[tokio::test]
async fn m79_a_symbol_that_nobody_asked_for_is_counted_and_ignored() {
    let venue = Venue::start(Language::Coinbase);
    let (app, mut stream) = live_coinbase(&venue, "").await;
    venue.with(|state| state.connections[0].subscribed.insert("OLD-USD".to_owned()));
    venue.trade("OLD-USD", "1");
    venue.trade("BTC-USD", "102");
    assert_eq!(stream.message().await.text("price"), "102");
    assert_eq!(
        metric(&app, r#"tickcast_ticks_ignored_total{venue="coinbase",reason="unknown_symbol"}"#).await,
        1
    );
}

#[tokio::test]
async fn m22_cuts_closes_and_hang_ups_are_all_recovered_from() {
    let venue = Venue::start(Language::Coinbase);
    let (app, mut stream) = live_coinbase(&venue, "").await;
    venue.with(|state| state.welcomes.extend([Welcome::HangUp, Welcome::Close(1012, "restart")]));
    venue.cut();
    until_status(&mut stream, "stale").await;
    venue.until_followed(2, &["BTC-USD"]).await;
    venue.trade("BTC-USD", "103");
    until_status(&mut stream, "live").await;
    venue.close(1001, "going away");
    until_status(&mut stream, "stale").await;
    venue.until_followed(3, &["BTC-USD"]).await;
    venue.trade("BTC-USD", "104");
    until_status(&mut stream, "live").await;
    let reasons = ["cut", "restart"];
    for reason in reasons {
        let sample = format!(r#"tickcast_reconnects_total{{venue="coinbase",reason="{reason}"}}"#);
        assert!(metric(&app, &sample).await >= 1, "{reason}");
    }
    assert_eq!(feed(&app).await["reconnects"], 4);
}

#[tokio::test]
async fn m21_a_ping_of_the_venues_is_answered_at_once() {
    let venue = Venue::start(Language::Coinbase);
    let (app, _stream) = live_coinbase(&venue, "").await;
    let asked = Instant::now();
    venue.ping();
    let pong = |state: &mut script::State| state.texts().any(|text| text == "pong").then_some(());
    venue.until("a pong", pong).await;
    assert!(asked.elapsed() < SLACK, "{:?}", asked.elapsed());
    drop(app);
}

/// The most memory that this process has had, as Linux says it; both ends of the connection are in it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or_else(|| "unknown".to_owned(), |peak| peak.trim().to_owned())
}

#[tokio::test]
async fn m88_m93_fifty_thousand_frames_at_once_are_all_taken_and_the_newest_arrives() {
    const FRAMES: u64 = 50_000;
    let venue = Venue::start(Language::Coinbase);
    let (app, mut stream) = live_coinbase(&venue, "").await;
    let start = Instant::now();
    for index in 1..=FRAMES {
        venue.trade("BTC-USD", &format!("{}.25", 1000 + index));
    }
    let made = start.elapsed();
    let last = format!("{}.25", 1000 + FRAMES);
    let (mut messages, first) = (0, stream.message().await);
    let mut price = first.text("price").to_owned();
    while price != last {
        messages += 1;
        price = stream.message().await.text("price").to_owned();
    }
    let caught_up = start.elapsed();
    let taken = metric(&app, r#"tickcast_ticks_total{venue="coinbase",kind="trade"}"#).await;
    let conflated = metric(&app, "tickcast_messages_conflated_total").await;
    println!(
        "{FRAMES} frames, written within {made:?}: all at the client after {caught_up:?}; {taken} taken, \
         {messages} messages, {conflated} conflated; peak memory with the venue {}",
        peak_memory()
    );
    assert_eq!(taken, FRAMES + 1, "none lost");
    assert_eq!(metric(&app, r#"tickcast_gaps_total{venue="coinbase"}"#).await, 0);
    assert!(caught_up < Duration::from_secs(20), "{caught_up:?}");
}

#[tokio::test]
async fn a_stop_leaves_the_venue_with_a_good_bye() {
    let venue = Venue::start(Language::Coinbase);
    let (mut app, stream) = live_coinbase(&venue, "").await;
    drop(stream);
    app.stop();
    soon("the end", &mut app.running).await.unwrap().unwrap();
    let ended = venue.until("the end of the connection", |state| state.connections[0].ended).await;
    assert_eq!(ended, End::Closed(1000));
}

#[tokio::test]
async fn a_venue_that_cannot_be_reached_is_told_per_feed_and_the_service_stays_up() {
    let venue = Venue::start(Language::Coinbase);
    let url = venue.url();
    venue.vanish().await;
    let app = App::start(config("coinbase", &url, "", &["BTC-USD"]), Drive::Feeds);
    let feed = until_feed(&app, |feed| feed["reconnects"].as_u64() >= Some(2)).await;
    let error = feed["last_error"].as_str().unwrap();
    assert!(error.starts_with("could not connect: could not reach 127.0.0.1:"), "{error}");
    assert_eq!(app.get("/health/live").await.head.status(), 200);
    assert_eq!(app.get("/prices/snapshot?symbols=BTC").await.json()["prices"][0]["status"], "stale");
}

#[tokio::test]
async fn what_is_recorded_can_be_replayed_to_the_same_price() {
    let dir = std::env::temp_dir().join(format!("tickcast-venues-{}", std::process::id()));
    let venue = Venue::start(Language::Coinbase);
    let mut live = config("coinbase", &venue.url(), "", &["BTC-USD"]);
    live.record = Some(config::Record { dir: dir.clone(), bytes_max: 1 << 20, files_max: 4 });
    let instruments = live.instruments.clone();
    let mut app = App::start(live, Drive::Feeds);
    venue.until_followed(1, &["BTC-USD"]).await;
    for price in ["100.10", "100.30", "100.20"] {
        venue.trade("BTC-USD", price);
    }
    let is_there = |answer: &support::Answer| answer.json()["prices"][0]["price"] == "100.20";
    app.until("/prices/snapshot?symbols=BTC", is_there).await;
    app.stop();
    soon("the end", &mut app.running).await.unwrap().unwrap();
    let path = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let options = tickcast::ingest::replay::Options {
        path,
        venue: tickcast_feeds::Venue::Coinbase,
        speed: tickcast::ingest::replay::Speed::Max,
        repeat: false,
    };
    let replayed = App::start(Config { instruments, ..Config::default() }, Drive::Replay(options));
    replayed.until("/prices/snapshot?symbols=BTC", is_there).await;
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A proxy that tunnels to one address, whatever it is asked for. Returns its address and what it was asked.
async fn proxy(
    to: std::net::SocketAddr,
    socks: bool,
) -> (std::net::SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        if socks {
            let mut greeting = [0; 3];
            client.read_exact(&mut greeting).await.unwrap();
            client.write_all(&[5, 0]).await.unwrap();
            let mut head = [0; 5];
            client.read_exact(&mut head).await.unwrap();
            asked.resize(usize::from(head[4]), 0);
            client.read_exact(&mut asked).await.unwrap();
            client.read_u16().await.unwrap();
            client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        } else {
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(client.read_u8().await.unwrap());
            }
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        }
        let mut server = TcpStream::connect(to).await.unwrap();
        tokio::spawn(async move { drop(copy_bidirectional(&mut client, &mut server).await) });
        String::from_utf8(asked).unwrap()
    });
    (address, asked)
}

#[tokio::test]
async fn m98_a_venue_is_reached_through_an_http_or_a_socks_proxy_that_looks_up_its_name() {
    for socks in [false, true] {
        let venue = Venue::start(Language::Coinbase);
        let (address, asked) = proxy(venue.address, socks).await;
        let scheme = if socks { "socks5" } else { "http" };
        let user = if socks { "" } else { "me:pass@" };
        let keys = format!("proxy = \"{scheme}://{user}{address}\"");
        let app =
            App::start(config("coinbase", "ws://feed.example:9001/ws", &keys, &["BTC-USD"]), Drive::Feeds);
        let asked = soon("a request to the proxy", asked).await.unwrap();
        if socks {
            assert_eq!(asked, "feed.example");
        } else {
            let lines: Vec<&str> = asked.lines().collect();
            assert_eq!(lines[0], "CONNECT feed.example:9001 HTTP/1.1");
            assert!(lines.contains(&"Proxy-Authorization: Basic bWU6cGFzcw=="), "{asked}");
        }
        venue.until_followed(1, &["BTC-USD"]).await;
        venue.trade("BTC-USD", "100");
        until_state(&app, "live").await;
    }
}

#[tokio::test]
async fn m98_the_name_of_the_host_is_in_the_first_bytes_of_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/ws", listener.local_addr().unwrap().port());
    let app = App::start(config("coinbase", &url, "", &["BTC-USD"]), Drive::Feeds);
    let (mut client, _) = soon("a connection", listener.accept()).await.unwrap();
    let mut hello = vec![0; 400];
    let read = soon("bytes", client.read(&mut hello)).await.unwrap();
    assert!(hello[..read].windows(9).any(|part| part == b"localhost"), "no server name");
    drop(client);
    let feed = until_feed(&app, |feed| feed["last_error"].is_string()).await;
    assert!(
        feed["last_error"].as_str().unwrap().starts_with("could not connect: no TLS with localhost"),
        "{feed}"
    );
}

const KEY: &str = "key_env = \"KEY\"\nsecret_env = \"SECRET\"";

#[tokio::test]
async fn m28_m29_a_key_is_shown_first_and_a_refusal_of_it_waits_long() {
    let cases = [
        (
            r#"[{"T":"error","code":406,"msg":"connection limit exceeded"}]"#,
            "another connection holds the feed",
            90..=99,
        ),
        (r#"[{"T":"error","code":402,"msg":"auth failed"}]"#, "the venue does not accept the key", 10..=11),
    ];
    for (refusal, error, wait) in cases {
        let venue = Venue::start(Language::Alpaca);
        venue.with(|state| state.auth_refusal = Some(refusal));
        let app = App::start(config("alpaca", &venue.url(), KEY, &["AAPL"]), Drive::Feeds);
        let feed = until_state(&app, "blocked").await;
        let next = feed["next_attempt_ms"].as_u64().unwrap() / 1000;
        assert!(next + 5 > *wait.start() && next <= *wait.end(), "{feed}");
        assert!(feed["last_error"].as_str().unwrap().starts_with(error), "{feed}");
        let texts: Vec<String> = venue.with(|state| state.texts().map(str::to_owned).collect());
        assert_eq!(texts, [r#"{"action":"auth","key":"abc","secret":"abc"}"#], "nothing is asked for");
    }
}

#[tokio::test]
async fn m05_quiet_in_a_closed_market_is_no_silence() {
    let venue = Venue::start(Language::Alpaca);
    let keys = format!("{KEY}\nsilence_max = \"300ms\"");
    let app = App::start(config("alpaca", &venue.url(), &keys, &["AAPL"]), Drive::Feeds);
    venue.until_followed(1, &["AAPL"]).await;
    // What is right depends on whether New York trades as this runs.
    let is_open = hours::session_at(clock::wall()).phase == Phase::Open;
    if is_open {
        venue.until("another connection", |state| (state.connections.len() == 2).then_some(())).await;
    } else {
        // It is asked again for what does not tick; the connection stays.
        venue
            .until("ten requests or another connection", |state| {
                let asked = state.texts().filter(|text| text.contains("subscribe")).count();
                (asked >= 10 || state.connections.len() > 1).then_some(())
            })
            .await;
        assert_eq!(venue.with(|state| state.connections.len()), 1);
    }
    drop(app);
}
