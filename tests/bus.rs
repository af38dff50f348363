//! Several nodes over a real `nats-server`: prices that one of them hears reach clients of the others, whatever of it goes away
//! and comes back. `scripts/test` installs NATS; where it is missing that is said.

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

use std::collections::HashSet;

use serde_json::json;
use support::{App, INSTRUMENTS, PATIENCE, Stream, soon};
use tickcast::app::Drive;
use tickcast::{bus, clock, config};
use tickcast_feeds::{Price, Venue};
use tokio::net::TcpStream;

use nats::{Ingest, Nats, Node, QUERY, is_ready, load, many_instruments, until, version};

async fn open(edge: &App, query: &str, cursor: &str) -> Stream {
    edge.connect().await.stream(query, &format!("last-event-id: {cursor}\r\n")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p33_a_client_that_loses_its_edge_goes_on_at_another_with_what_has_changed() {
    let Some(nats) = Nats::start("resume").await else { return };
    let mut ingest = Ingest::start(&nats, "");
    ingest.publishes().await;
    let edges = [nats.edge(""), nats.edge("")];
    is_ready(&edges[0]).await;
    ingest.trade("BTC-USD", "67012.30");
    ingest.trade("ETH-USD", "3500");
    let mut first = edges[0].connect().await.stream(QUERY, "").await;
    until(&mut first, "BTC=67012.30 live").await;
    let id = until(&mut first, "ETH=3500 live").await;
    ingest.trade("ETH-USD", "3501");
    let id_after = until(&mut first, "ETH=3501 live").await;
    assert!(version(&id_after) > version(&id), "{id} {id_after}");
    drop(first);
    // What changes while it is away.
    ingest.trade("BTC-USD", "67020");
    is_ready(&edges[1]).await;
    let mut second = open(&edges[1], QUERY, &id_after).await;
    assert_eq!(second.hello()["resumed"], json!(true));
    assert_eq!(second.message().await.text("price"), "67020", "nothing that it had comes again");
    ingest.trade("ETH-USD", "3502");
    assert_eq!(second.said().await, "ETH=3502");
    // A cursor of another epoch, or of nobody's, brings everything.
    for cursor in ["7f3a.1", &format!("{}.99999999999", id.split_once('.').unwrap().0)] {
        let mut fresh = open(&edges[1], QUERY, cursor).await;
        assert_eq!(fresh.hello()["resumed"], json!(false), "{cursor}");
        let mut said = [fresh.said().await, fresh.said().await];
        said.sort();
        assert_eq!(said, ["BTC=67020", "ETH=3502"]);
    }
    // Edges make no bars.
    for path in ["/candles?symbol=BTC", "/prices?symbols=BTC&candles=1m"] {
        let refused = edges[1].get(path).await;
        assert_eq!(refused.head.status(), 400, "{path}");
        assert!(refused.body.contains("this server keeps no candles"), "{}", refused.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_follows_what_is_wanted_and_knows_the_catalogue_and_the_feeds() {
    let Some(nats) = Nats::start("follow").await else { return };
    let mut ingest = Ingest::of(&nats, "", &many_instruments());
    ingest.trade("BTC-USD", "100");
    ingest.trade("X399", "7");
    let edge = nats.edge("");
    is_ready(&edge).await;
    let found = edge.get("/symbols?query=bitcoin").await.json();
    assert_eq!(found["symbols"][0]["symbol"], json!("BTC"));
    edge.until("/feeds", |answer| answer.body.contains("\"venue\":\"sim\"")).await;
    let snapshot = edge.get("/prices/snapshot?symbols=BTC&fields=price,status").await.json();
    assert_eq!(snapshot["prices"][0]["price"], json!("100"), "it was brought for this request");
    let followed = |answer: &support::Answer| answer.metric("tickcast_bus_followed");
    assert_eq!(followed(&edge.get("/metrics").await), Some(1));
    let mut stream = edge.connect().await.stream(QUERY, "").await;
    until(&mut stream, "BTC=100 live").await;
    assert_eq!(followed(&edge.get("/metrics").await), Some(2));
    // All of them.
    let mut all =
        edge.connect().await.stream("symbols=*&fields=price,status&throttle=0&heartbeat=0", "").await;
    until(&mut all, "X399=7 live").await;
    ingest.trade("X5", "8");
    until(&mut all, "X5=8 live").await;
    assert_eq!(followed(&edge.get("/metrics").await), Some(403));
    // Another catalogue.
    let more = format!(
        "{INSTRUMENTS}[[instrument]]\nsymbol = \"BRK.B\"\nclass = \"stock\"\nsources = [\"sim:BRK.B\"]\n"
    );
    let config = load(&more);
    let catalogue = ingest.latest.catalogue().revised(config.instruments);
    ingest.latest.revise(catalogue, &[(Venue::Sim, PATIENCE * 10)], clock::now());
    edge.until("/symbols", |answer| answer.json()["total"] == json!(4)).await;
    // Streams look at the catalogue with their next message.
    ingest.trade("BTC-USD", "101");
    soon("the notice", async { while !all.block().await.contains("\"code\":\"symbols\"") {} }).await;
    ingest.trade("BRK.B", "500.10");
    until(&mut all, "BRK.B=500.10 live").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m01_without_the_bus_streams_stay_open_and_say_stale_and_heal() {
    let Some(mut nats) = Nats::start("away").await else { return };
    let mut ingest = Ingest::start(&nats, "storage = \"file\"");
    let edge = nats.edge("storage = \"file\"");
    ingest.trade("BTC-USD", "100");
    ingest.trade("ETH-USD", "10");
    is_ready(&edge).await;
    let mut stream = edge.connect().await.stream(QUERY, "").await;
    until(&mut stream, "BTC=100 live").await;
    let epoch = until(&mut stream, "ETH=10 live").await;

    nats.kill();
    let since = std::time::Instant::now();
    until(&mut stream, "ETH=10 stale").await;
    let after = since.elapsed();
    assert!(after.as_secs_f64() < 2.0, "stale only after {after:?}");
    let ready = edge.get("/health/ready").await;
    assert_eq!(ready.head.status(), 200, "it has something to serve: {}", ready.body);
    assert!(ready.body.contains("the bus is away"), "{}", ready.body);
    ingest.trade("BTC-USD", "101");
    nats.again(&[]).await;
    until(&mut stream, "BTC=101 live").await;
    ingest.trade("ETH-USD", "11");
    let id = until(&mut stream, "ETH=11 live").await;
    assert_eq!(id.split_once('.').unwrap().0, epoch.split_once('.').unwrap().0, "the store was kept");
    assert!(version(&id) > version(&epoch));

    // Everything in it is lost: versions begin anew, and everybody gets everything.
    nats.kill();
    nats.forget();
    nats.again(&[]).await;
    until(&mut stream, "BTC=101 live").await;
    ingest.trade("ETH-USD", "12");
    let anew = until(&mut stream, "ETH=12 live").await;
    assert_ne!(anew.split_once('.').unwrap().0, epoch.split_once('.').unwrap().0);
    let mut old = open(&edge, QUERY, &id).await;
    assert_eq!(old.hello()["resumed"], json!(false));
    let mut said = [old.said().await, old.said().await];
    said.sort();
    assert_eq!(said, ["BTC=101", "ETH=12"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_ingest_nodes_one_publishes_and_the_other_takes_over() {
    let Some(nats) = Nats::start("lease").await else { return };
    let mut first = Ingest::start(&nats, "");
    first.publishes().await;
    let mut second = Ingest::start(&nats, "");
    let edge = nats.edge("");
    is_ready(&edge).await;
    first.trade("BTC-USD", "100");
    let mut stream = edge.connect().await.stream(QUERY, "").await;
    let before = until(&mut stream, "BTC=100 live").await;
    second.trade("BTC-USD", "101");
    second.trade("ETH-USD", "10");
    first.trade("BTC-USD", "102");
    until(&mut stream, "BTC=102 live").await;
    assert_eq!(second.metrics.bus_publishes.get(), 0);
    // It gives the lease up when it stops.
    second.trade("BTC-USD", "103");
    drop(first);
    let after = until(&mut stream, "BTC=103 live").await;
    assert!(version(&after) > version(&before));
    assert_eq!(second.metrics.bus_publishes.get(), 1);
    until(&mut stream, "ETH=10 live").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_message_of_ours_is_counted_and_skipped() {
    let Some(nats) = Nats::start("garbage").await else { return };
    let mut ingest = Ingest::start(&nats, "");
    let edge = nats.edge("");
    is_ready(&edge).await;
    ingest.trade("BTC-USD", "100");
    let mut stream = edge.connect().await.stream(QUERY, "").await;
    until(&mut stream, "BTC=100 live").await;
    let client = async_nats::connect(nats.address.to_string()).await.unwrap();
    let names = bus::Names::new(&load(&nats.section("edge", "")).bus.unwrap());
    let jetstream = async_nats::jetstream::new(client);
    let stored = jetstream.get_stream("TICKCAST").await.unwrap();
    let newest = stored
        .get_last_raw_message_by_subject(&names.stored(bus::What::Tickers, &bus::token("BTC")))
        .await
        .unwrap();
    let ours = String::from_utf8(newest.payload.to_vec()).unwrap();
    let mut told = bus::Told::decode(ours.as_bytes()).unwrap();
    told.fence -= 1;
    told.ticker.price = Price::parse("1").unwrap();
    let fenced = String::from_utf8(told.encode()).unwrap();
    for bad in ["nothing", r#"{"v":2,"x":1}"#, &fenced] {
        let subject = names.stored(bus::What::Tickers, &bus::token("BTC"));
        jetstream.publish(subject, bad.to_owned().into()).await.unwrap().await.unwrap();
    }
    let is_counted = |answer: &support::Answer| {
        ["malformed", "newer_format", "fenced"].iter().all(|reason| {
            answer.metric(&format!("tickcast_bus_refused_total{{reason=\"{reason}\"}}")) == Some(1)
        })
    };
    edge.until("/metrics", is_counted).await;
    // The publisher finds that somebody else was there, and says it again.
    ingest.trade("BTC-USD", "101");
    assert_eq!(stream.said().await, "BTC=101");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_other_settings_is_refused_with_the_difference() {
    let Some(nats) = Nats::start("differs").await else { return };
    let client = async_nats::connect(nats.address.to_string()).await.unwrap();
    let other = async_nats::jetstream::stream::Config {
        name: "TICKCAST".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..async_nats::jetstream::stream::Config::default()
    };
    async_nats::jetstream::new(client).create_stream(other).await.unwrap();
    let app = App::start(load(&format!("{}{INSTRUMENTS}", nats.section("ingest", ""))), Drive::Feeds);
    let answer = app.until("/health/ready", |answer| answer.body.contains("other settings")).await;
    let wanted = "the stream TICKCAST is there with other settings: subjects is orders.>, wanted tickcast.v1.last.>; \
                  max_msgs_per_subject is -1, wanted 1; storage is file, wanted memory; ";
    assert!(answer.body.contains(wanted), "{}", answer.body);
    let edge = nats.edge("");
    let answer = edge.until("/health/ready", |answer| answer.body.contains("other settings")).await;
    assert_eq!(answer.head.status(), 503, "it has nothing to serve");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_the_right_one_is_taken() {
    let Some(mut nats) = Nats::start("login").await else { return };
    nats.kill();
    nats.again(&["--user", "tickcast", "--pass", "right"]).await;
    let env = |password: &str| {
        let pairs = [("NATS_USER", "tickcast"), ("NATS_PASSWORD", password)];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter()
    };
    let login = "user_env = \"NATS_USER\"\npassword_env = \"NATS_PASSWORD\"";
    let text = nats.section("edge", login);
    let wrong = App::start(config::load(&text, "test.toml", env("wrong")).unwrap(), Drive::Feeds);
    let answer = wrong.until("/health/ready", |answer| answer.body.contains("authorization")).await;
    assert_eq!(answer.head.status(), 503);
    let text = format!("{}{INSTRUMENTS}", nats.section("ingest", login));
    let right = App::start(config::load(&text, "test.toml", env("right")).unwrap(), Drive::Feeds);
    right.until("/metrics", |answer| answer.metric("tickcast_bus_publishes") == Some(1)).await;
}

/// Reads on until a price is live after it was stale, and looks that nothing goes back on the way. Returns how long that took.
async fn fresh_again(stream: &mut Stream, newest: &mut u64) -> std::time::Duration {
    let (mut was_stale, mut time, since) = (false, 0, std::time::Instant::now());
    loop {
        let message = stream.message().await;
        if let Some(id) = &message.id {
            assert!(version(id) >= *newest, "{} after {newest}", version(id));
            *newest = version(id);
        }
        let at = message.json["time"].as_i64().unwrap();
        assert!(at >= time, "a price of {at} after one of {time}");
        time = at;
        match message.text("status") {
            "stale" => was_stale = true,
            "live" if was_stale => return since.elapsed(),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p62_an_ingest_node_that_is_frozen_or_killed_is_replaced_and_says_nothing_more() {
    let Some(nats) = Nats::start("frozen").await else { return };
    let mut nodes = [Node::ingest(&nats, "frozen-a"), Node::ingest(&nats, "frozen-b")];
    let leader = |nodes: &[Node; 2], is_not: usize| {
        let addresses = [0, 1].map(|index| (index != is_not).then(|| nodes[index].address));
        async move {
            soon("a leader", async {
                loop {
                    for (index, address) in addresses.iter().enumerate() {
                        let Some(address) = address else { continue };
                        if TcpStream::connect(address).await.is_err() {
                            continue;
                        }
                        let metrics =
                            support::Client::connect(*address).await.request("GET", "/metrics", "").await;
                        if metrics.metric("tickcast_bus_publishes") == Some(1) {
                            return index;
                        }
                    }
                }
            })
            .await
        }
    };
    let first = leader(&nodes, 9).await;
    let edge = nats.edge("");
    is_ready(&edge).await;
    let query = "symbols=BTC&fields=price,status,time&throttle=0&heartbeat=0";
    let mut stream = edge.connect().await.stream(query, "").await;
    let mut newest = 0;
    while stream.message().await.text("status") != "live" {}

    nodes[first].running.signal("STOP");
    let after = fresh_again(&mut stream, &mut newest).await;
    // Within 2 s where the machine has time for it; here others test too.
    assert!(after.as_secs() < 6, "{after:?} without a fresh price");
    let second = leader(&nodes, first).await;
    assert_ne!(first, second);
    nodes[first].running.signal("CONT");
    soon("the old one to know", async { while nodes[first].publishes().await {} }).await;
    assert!(nodes[second].publishes().await);

    drop(nodes[second].running.child().kill());
    let after = fresh_again(&mut stream, &mut newest).await;
    assert!(after.as_secs() < 6, "{after:?} without a fresh price");
    assert!(nodes[first].publishes().await);
    for _ in 0..20 {
        let message = stream.message().await;
        let id = message.id.clone().expect("its own version");
        assert!(version(&id) > newest && message.text("status") == "live", "{id} after {newest}");
        newest = version(&id);
    }
}

/// Reads on until the price of all symbols `X…` is this one: new with an id, and the ids rise.
async fn new_prices(stream: &mut Stream, wanted: &str, newest: &mut u64) {
    let mut came = HashSet::new();
    while came.len() < 400 {
        let message = stream.message().await;
        let symbol = message.text("symbol").to_owned();
        // With another status it is said again, without an id where its place is passed.
        if message.text("price") == wanted && symbol.starts_with('X') && came.insert(symbol) {
            let id = message.id.as_ref().unwrap_or_else(|| panic!("no id: {}", message.json));
            assert!(version(id) > *newest, "{id} after {newest}: {}", message.json);
            *newest = version(id);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p38_after_nats_was_away_prices_come_in_their_order_whatever_is_published_meanwhile() {
    let Some(mut nats) = Nats::start("order").await else { return };
    let file = "storage = \"file\"";
    let mut ingest = Ingest::of(&nats, file, &many_instruments());
    ingest.publishes().await;
    let edge = nats.edge(file);
    is_ready(&edge).await;
    let mut stream =
        edge.connect().await.stream("symbols=*&fields=price,status&throttle=0&heartbeat=0", "").await;
    edge.until("/metrics", |answer| answer.metric("tickcast_bus_followed") == Some(403)).await;
    let mut newest = 0;
    for (round, keeps) in [(1, true), (2, true), (3, false), (4, true)] {
        let price = round.to_string();
        if round > 1 {
            nats.kill();
            if !keeps {
                nats.forget();
                newest = 0;
            }
            nats.again(&[]).await;
        }
        (0..400).for_each(|index| ingest.trade(&format!("X{index}"), &price));
        let busy = async {
            // What is published while the edge fetches what it missed is newer than that.
            for turn in 0.. {
                ingest.trade("BTC-USD", &(turn % 9 + 1).to_string());
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = busy => {}
            () = new_prices(&mut stream, &price, &mut newest) => {}
        }
    }
}
