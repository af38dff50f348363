//! The simulator's bad days, through the door a client uses: what each shows, at several times its usual pace.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]
#![allow(clippy::print_stdout, reason = "what was measured, for who runs them with --nocapture")]

mod support;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::Value;
use support::{Answer, App, Message, Stream, soon};
use tickcast::app::Drive;
use tickcast::catalogue::Catalogue;
use tickcast::fanout::Bells;
use tickcast::ingest::{Board, Pipeline};
use tickcast::latest::{Latest, View};
use tickcast::metrics::Metrics;
use tickcast::ticker::Part;
use tickcast::{clock, config};
use tickcast_feeds::Events;
use tickcast_feeds::sim::{Play, Role, Scenario};

/// Plays a scenario on the built-in stage, so many times as fast, with short silences and many ticks.
fn stage(scenario: Scenario, speed: u32) -> App {
    let variables = [
        ("SCENARIO", scenario.name().to_owned()),
        ("SCENARIO_SPEED", speed.to_string()),
        ("RATE", "20".to_owned()),
        ("SILENCE_MAX", "600ms".to_owned()),
    ];
    let variables = variables.map(|(key, value)| (format!("TICKCAST__FEEDS__SIM__{key}"), value));
    let config = config::load(config::scenarios(), "scenarios.toml", variables.into_iter());
    App::start(config.unwrap_or_else(|mistakes| panic!("{mistakes}")), Drive::Feeds)
}

async fn stream(app: &App, symbol: &str) -> Stream {
    let query =
        format!("symbols={symbol}&throttle=0&fields=symbol,price,bid,ask,venue,session,status,sources");
    app.connect().await.stream(&query, "").await
}

/// Reads on to the first message that is as wanted.
async fn until(stream: &mut Stream, what: &str, mut wanted: impl FnMut(&Message) -> bool) -> Message {
    soon(what, async {
        loop {
            let message = stream.message().await;
            if wanted(&message) {
                break message;
            }
        }
    })
    .await
}

fn decimal(value: &Value) -> Decimal {
    value.as_str().unwrap_or_else(|| panic!("no decimal: {value}")).parse().unwrap()
}

/// What each source says: venue, price, and `used` or why not.
fn sources(message: &Message) -> Vec<(String, Decimal, String)> {
    let source = |source: &Value| {
        let reason = if source["used"] == true { "used" } else { source["reason"].as_str().unwrap() };
        Some((
            source["venue"].as_str()?.to_owned(),
            source["price"].as_str()?.parse().unwrap(),
            reason.to_owned(),
        ))
    };
    message.json["sources"].as_array().unwrap().iter().filter_map(source).collect()
}

fn bp(a: Decimal, b: Decimal) -> Decimal {
    ((a - b) / b * Decimal::from(10_000)).abs().round_dp(4)
}

fn middle(mut prices: Vec<Decimal>) -> Decimal {
    prices.sort_unstable();
    let half = prices.len() / 2;
    if prices.len() % 2 == 1 { prices[half] } else { (prices[half - 1] + prices[half]) / Decimal::TWO }
}

/// All samples of a metric, added up.
fn total(answer: &Answer, metric: &str) -> u64 {
    let lines = answer.body.lines().filter(|line| line.starts_with(metric));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// The venue's feed as `/feeds` tells it.
fn feed(answer: &Answer, venue: &str) -> Value {
    let feeds = answer.json()["feeds"].as_array().unwrap().clone();
    feeds.into_iter().find(|feed| feed["venue"] == venue).unwrap_or_else(|| panic!("no feed {venue}"))
}

#[tokio::test]
async fn a_flash_crash_takes_a_tenth_of_the_price_and_gives_most_of_it_back() {
    let app = stage(Scenario::FlashCrash, 10);
    let mut stream = stream(&app, "BTC").await;
    let priced = until(&mut stream, "a price", |message| message.json["price"].is_string()).await;
    let calm = decimal(&priced.json["price"]);
    let low = until(&mut stream, "the crash", |message| {
        let price = decimal(&message.json["price"]);
        price < calm * Decimal::new(92, 2)
    })
    .await;
    let spread = bp(decimal(&low.json["ask"]), decimal(&low.json["bid"]));
    assert!(spread > Decimal::from(20), "{spread} bp");
    let high = until(&mut stream, "the recovery", |message| {
        decimal(&message.json["price"]) > calm * Decimal::new(97, 2)
    })
    .await;
    println!("flash_crash: {calm} -> {} (spread {spread} bp) -> {}", low.text("price"), high.text("price"));
    // A median of five that fall together has no outlier that is dropped for good.
    assert!(sources(&high).iter().filter(|(_, _, part)| part == "used").count() >= 3);
}

#[tokio::test]
async fn m65_a_halt_is_halted_and_never_stale() {
    let app = stage(Scenario::Halt, 15);
    let mut halted = stream(&app, "AAPL").await;
    let mut seen = BTreeSet::new();
    let mut states = |message: &Message| {
        seen.insert((message.text("status").to_owned(), message.text("session").to_owned()));
    };
    until(&mut halted, "live", |message| message.text("status") == "live").await;
    for wanted in ["halted", "live", "halted", "live"] {
        until(&mut halted, wanted, |message| {
            states(message);
            message.text("status") == wanted
        })
        .await;
    }
    let seen: Vec<_> = seen.iter().map(|(status, session)| (status.as_str(), session.as_str())).collect();
    assert_eq!(seen, [("halted", "halted"), ("live", "open")]);
    assert_eq!(feed(&app.get("/feeds").await, "sim")["state"], "live", "others go on");
}

#[tokio::test]
async fn an_outage_is_silent_and_stale_and_everything_comes_back_by_itself() {
    let app = stage(Scenario::Outage, 10);
    let mut stream = stream(&app, "BTC").await;
    until(&mut stream, "live", |message| message.text("status") == "live").await;
    let state = |wanted: &'static str| move |answer: &Answer| feed(answer, "kraken")["state"] == wanted;
    app.until("/feeds", state("silent")).await;
    let stale = until(&mut stream, "stale", |message| message.text("status") == "stale").await;
    assert!(stale.json["price"].is_string(), "the last price stays");
    assert!(
        sources(&stale).iter().all(|(_, _, part)| part == "down" || part == "stale"),
        "{:?}",
        sources(&stale)
    );
    let waiting = feed(&app.until("/feeds", state("waiting")).await, "kraken");
    assert!(waiting["next_attempt_ms"].is_u64() && waiting["reconnects"].as_u64() >= Some(1), "{waiting}");
    let unready = app.get("/health/ready").await;
    assert_eq!(unready.head.status(), 503, "{unready:?}");
    app.until("/feeds", state("connecting")).await;
    app.until("/feeds", state("live")).await;
    until(&mut stream, "live again", |message| message.text("status") == "live").await;
    app.until("/health/ready", |answer| answer.head.status() == 200).await;
    // Eighteen sources missed what was traded meanwhile.
    let metrics = app.until("/metrics", |answer| total(answer, "tickcast_gaps_total") == 18).await;
    let reconnects = total(&metrics, "tickcast_reconnects_total");
    println!("outage: {reconnects} reconnects counted");
    assert!(reconnects >= 6, "{}", metrics.body);
}

#[tokio::test]
async fn a_bad_print_of_five_percent_moves_the_median_by_less_than_a_basis_point() {
    let app = stage(Scenario::BadPrint, 10);
    let mut stream = stream(&app, "BTC").await;
    let mut before: Option<Message> = None;
    let mut worst = Decimal::ZERO;
    let mut outliers = 0;
    let mut far = Decimal::ZERO;
    until(&mut stream, "the end of the bad print", |message| {
        let all = sources(message);
        let outlier = all.iter().find(|(_, _, part)| part == "outlier");
        let (price, is_over) = (&message.json["price"], outlier.is_none() && outliers > 0);
        match (outlier, &before) {
            (Some((venue, wrong, _)), Some(before)) => {
                outliers += 1;
                assert_eq!((venue.as_str(), message.text("status")), ("kraken", "live"));
                assert_eq!(all.iter().filter(|(_, _, part)| part == "used").count(), 4);
                // The same moment, had that venue stayed where it was.
                let of_bad = sources(before).into_iter().find(|(other, ..)| other == venue).unwrap().1;
                let others = all.iter().filter(|(other, ..)| other != venue).map(|(_, price, _)| *price);
                let others: Vec<Decimal> = others.collect();
                if outliers == 1 {
                    let honest = middle(others.iter().copied().chain([of_bad]).collect());
                    worst = worst.max(bp(decimal(price), honest));
                }
                assert_eq!(decimal(price), middle(others.clone()));
                far = far.max(bp(*wrong, middle(others)));
            }
            _ if all.len() == 5 && outliers == 0 => before = Some(message.clone()),
            _ => {}
        }
        is_over
    })
    .await;
    println!(
        "bad_print: a print {far} bp off moved the median by {worst} bp; {outliers} messages show the outlier"
    );
    assert!(far > Decimal::from(490) && worst < Decimal::ONE && outliers > 5, "{far} {worst} {outliers}");
}

/// The median of five venues after each step of any of them, and whether one is an outlier then.
fn medians(scenario: Scenario) -> Vec<(&'static str, Decimal, bool)> {
    let config = config::load(config::scenarios(), "scenarios.toml", std::iter::empty());
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let catalogue = Arc::new(Catalogue::new(config.instruments));
    let bitcoin = catalogue.find("BTC").unwrap();
    let sources = &catalogue.entry(bitcoin).sources;
    let roles: Vec<Role> = sources.iter().map(|source| Role::new(source.venue, &source.wire)).collect();
    let feeds: Vec<_> = roles.iter().map(|role| (role.venue, support::PATIENCE)).collect();
    let latest = Latest::new(Arc::clone(&catalogue), &feeds, Arc::new(Bells::default()));
    let metrics = Arc::new(Metrics::default());
    let board = Board::new(Arc::clone(&metrics));
    let pipeline = |role: &Role| {
        Pipeline::new(board.add(role.venue, String::new(), 1), latest.clone(), Arc::clone(&metrics))
    };
    let mut pipelines: Vec<Pipeline> = roles.iter().map(pipeline).collect();
    let mut play = Play::new(7, scenario, roles);
    let mut found = Vec::new();
    for step in 0..200 {
        let at = Duration::from_millis(200) * step;
        for (index, pipeline) in pipelines.iter_mut().enumerate() {
            let (mut events, now) = (Events::default(), clock::now());
            play.step(index, at, now.wall, &mut events);
            pipeline.events(&mut events, now, |_| {});
            let look = |view: View<'_>| {
                let is_outlier = view.ticker.sources.iter().any(|source| source.part == Part::Outlier);
                (view.ticker.price.unwrap().get(), is_outlier)
            };
            let (price, is_outlier) = latest.read(bitcoin, look).unwrap();
            found.push((Scenario::BadPrint.at(at).phase.name, price, is_outlier));
        }
    }
    found
}

#[test]
fn a_bad_print_leaves_the_median_within_a_basis_point_of_what_it_would_have_been() {
    // The same seed without it: no stock is there to be struck by the market's close.
    let (bad, good) = (medians(Scenario::BadPrint), medians(Scenario::MarketClose));
    let (mut worst, mut outliers) = (Decimal::ZERO, 0);
    for ((phase, price, is_outlier), (_, right, _)) in bad.into_iter().zip(good) {
        worst = worst.max(bp(price, right));
        outliers += usize::from(is_outlier);
        // Its last bad print stands until its next trade.
        assert!(!is_outlier || phase == "bad print" || outliers > 200, "{phase}");
    }
    println!(
        "bad_print: over 10 s it moves the median by {worst} bp at most; an outlier after {outliers} ticks"
    );
    assert!(worst < Decimal::ONE && outliers >= 249, "{worst} {outliers}");
}

#[tokio::test]
async fn a_reconnect_storm_is_one_venues_trouble() {
    let app = stage(Scenario::ReconnectStorm, 10);
    let (mut bitcoin, mut solana) = (stream(&app, "BTC").await, stream(&app, "SOL").await);
    let first = until(&mut bitcoin, "live", |message| message.text("status") == "live").await;
    let states = RefCell::new(BTreeSet::new());
    let wanted = ["connecting", "live", "subscribing", "waiting"];
    let told = app
        .until("/feeds", |answer| {
            let coinbase = feed(answer, "coinbase");
            let mut states = states.borrow_mut();
            states.insert(coinbase["state"].as_str().unwrap().to_owned());
            assert_eq!(feed(answer, "kraken")["reconnects"], 0);
            wanted.iter().all(|state| states.contains(*state)) && coinbase["reconnects"].as_u64() >= Some(3)
        })
        .await;
    let coinbase = feed(&told, "coinbase");
    println!("reconnect_storm: {} reconnects, last error {}", coinbase["reconnects"], coinbase["last_error"]);
    // `primary`: the next source makes the price.
    let moved = until(&mut solana, "fail-over", |message| message.text("venue") == "kraken").await;
    assert_eq!(moved.text("status"), "degraded");
    // `median`: fewer than the five that are wanted, and no jump.
    let degraded = until(&mut bitcoin, "degraded", |message| message.text("status") == "degraded").await;
    let away = bp(decimal(&degraded.json["price"]), decimal(&first.json["price"]));
    assert!(away < Decimal::from(100), "{away} bp");
    assert!(sources(&degraded).iter().any(|(venue, _, part)| venue == "coinbase" && part == "down"));
    until(&mut bitcoin, "all five", |message| message.text("status") == "live").await;
}

#[tokio::test]
async fn a_burst_is_conflated_and_nothing_of_it_lost() {
    let app = stage(Scenario::Burst, 4);
    // A client that takes what is newest every 100 ms.
    let mut stream = app.connect().await.stream("symbols=BTC,ETH,AAPL&throttle=100ms", "").await;
    let before = app.until("/metrics", |answer| total(answer, "tickcast_ticks_total") > 0).await;
    let ticks = total(&before, "tickcast_ticks_total");
    let after = soon("a burst", async {
        loop {
            stream.message().await;
            let answer = app.get("/metrics").await;
            if total(&answer, "tickcast_ticks_total") > ticks + 25_000 {
                break answer;
            }
        }
    })
    .await;
    println!(
        "burst: {} ticks, {} changes conflated, {} sent",
        total(&after, "tickcast_ticks_total"),
        total(&after, "tickcast_messages_conflated_total"),
        total(&after, "tickcast_messages_sent_total"),
    );
    assert!(total(&after, "tickcast_messages_conflated_total") > 1_000, "{}", after.body);
    for lost in ["tickcast_gaps_total", "tickcast_duplicates_total", "tickcast_ticks_ignored_total"] {
        assert_eq!(total(&after, lost), 0, "{lost}");
    }
    let reached = total(&after, "tickcast_ticks_total");
    app.until("/metrics", |answer| total(answer, "tickcast_ticks_total") > reached).await;
    until(&mut stream, "still live", |message| message.text("status") == "live").await;
}

#[tokio::test]
async fn a_market_that_closes_is_closed_and_never_stale() {
    let app = stage(Scenario::MarketClose, 10);
    let mut stream = stream(&app, "AAPL").await;
    until(&mut stream, "live", |message| message.text("status") == "live").await;
    let mut seen = BTreeSet::new();
    for (session, status) in
        [("open", "live"), ("post", "live"), ("closed", "closed"), ("pre", "live"), ("open", "live")]
    {
        until(&mut stream, session, |message| {
            seen.insert((message.text("session").to_owned(), message.text("status").to_owned()));
            (message.text("session"), message.text("status")) == (session, status)
        })
        .await;
    }
    // When the night ends the newest tick is of the evening, until the first one comes.
    let stale = |session: &&(String, String)| session.1 == "stale" && session.0 != "pre";
    assert_eq!(seen.iter().find(stale), None, "{seen:?}");
    let bitcoin = app.get("/prices/snapshot?symbols=BTC&fields=session,status").await;
    assert!(bitcoin.body.contains("\"session\":\"open\""), "pairs trade day and night: {}", bitcoin.body);
}

#[test]
fn an_unknown_scenario_is_told_the_names_and_help_lists_them() {
    let tickcast = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tickcast")).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = tickcast(&["serve", "--scenario", "crash"]);
    let (_, help) = tickcast(&["serve", "--help"]);
    assert_eq!(code, Some(2));
    for scenario in Scenario::ALL {
        assert!(text.contains(scenario.name()), "{text}");
        let words = scenario.about().split(' ').next().unwrap();
        assert!(help.contains(&format!("- {}", scenario.name())) && help.contains(words), "{help}");
    }
    let mistakes = config::load(
        "[feeds.sim]\nscenario = \"crash\"\nscenario_speed = 0\n[[instrument]]\nsymbol = \"A\"\nclass = \"stock\"\nsources = [\"sim:A\"]",
        "test.toml",
        std::iter::empty(),
    )
    .unwrap_err()
    .to_string();
    assert!(
        mistakes.contains("test.toml:2: [feeds.sim] scenario: expected one of flash_crash, halt"),
        "{mistakes}"
    );
    assert!(mistakes.contains("test.toml:3: [feeds.sim] scenario_speed: 0 is out of bounds"), "{mistakes}");
}
