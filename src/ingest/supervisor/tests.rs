//! Attempts over hours, with time that is paused and a network that is none.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt};
use tickcast_feeds::Ping;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::fanout::Bells;
use crate::ingest::dial::{self, DialError, Dialled};

const BYTES_MAX: usize = 1 << 20;

/// What becomes of an attempt.
#[derive(Clone, Copy)]
enum Fate {
    /// Accepted, then cut without a word.
    HangUp,
    /// Answered with a status.
    Status(u16),
    /// Accepted; the venue's end goes to the test.
    Open,
}

/// A network whose every attempt is noted.
struct Scripted {
    attempts: watch::Sender<Vec<(Instant, String)>>,
    opened: mpsc::Sender<DuplexStream>,
    fate: fn(usize, &str) -> Fate,
}

impl Dial for Scripted {
    fn dial<'d>(&'d self, target: &'d Target) -> Dialled<'d> {
        self.attempts.send_modify(|attempts| attempts.push((Instant::now(), target.url.clone())));
        let index = self.attempts.borrow().len() - 1;
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(BYTES_MAX);
            match (self.fate)(index, &target.url) {
                Fate::HangUp => drop(theirs),
                Fate::Status(status) => return Err(DialError::Status { status, retry_after: None }),
                Fate::Open => self.opened.send(theirs).await.expect("the test listens"),
            }
            Ok(dial::over(ours, BYTES_MAX).await)
        })
    }
}

/// A supervisor of BTC-USD at Coinbase over a scripted network.
struct Rig {
    attempts: watch::Receiver<Vec<(Instant, String)>>,
    opened: mpsc::Receiver<DuplexStream>,
    board: Board,
    latest: Latest,
    revised: watch::Sender<u64>,
    closing: CancellationToken,
    running: JoinSet<()>,
}

impl Rig {
    fn start(urls: &[&str], fate: fn(usize, &str) -> Fate) -> Self {
        Self::start_with(|_| {}, urls, fate)
    }

    fn start_with(alter: impl FnOnce(&mut Profile), urls: &[&str], fate: fn(usize, &str) -> Fate) -> Self {
        let text = "[feeds.coinbase]\n[[instrument]]\nsymbol = \"BTC\"\nclass = \"crypto\"\nsources = [\"coinbase:BTC-USD\"]\n";
        let config = config::load(text, "test.toml", std::iter::empty()).unwrap();
        let metrics = Arc::new(Metrics::default());
        let catalogue = Arc::new(Catalogue::new(config.instruments));
        let bells = Arc::new(Bells::default());
        let silence_max = Duration::from_hours(1);
        let latest = Latest::new(catalogue, &[(Venue::Coinbase, silence_max)], bells);
        let (attempts, seen) = watch::channel(Vec::new());
        let (opened, venue) = mpsc::channel(10);
        let (board, closing) = (Board::new(Arc::clone(&metrics)), CancellationToken::new());
        let dial = Arc::new(Scripted { attempts, opened, fate });
        let (revised, revisions) = watch::channel(0);
        let around = Surroundings {
            latest: latest.clone(),
            board: board.clone(),
            metrics,
            dial,
            revised: revisions,
            closing: closing.clone(),
        };
        let mut setup = Setup::of(Venue::Coinbase, &config::Feed::default()).unwrap();
        setup.urls = urls.iter().map(|&url| url.to_owned()).collect();
        setup.silence_max = silence_max;
        let mut profile = *setup.profile;
        alter(&mut profile);
        // A profile lasts as long as the program; a test's too.
        setup.profile = Box::leak(Box::new(profile));
        let mut running = JoinSet::new();
        running.spawn(run(setup, around, None));
        Self { attempts: seen, opened: venue, board, latest, revised, closing, running }
    }

    /// Has the supervisor follow these instruments, and no others.
    fn revise(&self, wires: &[&str]) {
        let instrument = |wire: &&str| {
            let symbol = wire.replace('-', "");
            format!(
                "[[instrument]]\nsymbol = \"{symbol}\"\nclass = \"crypto\"\nsources = [\"coinbase:{wire}\"]\n"
            )
        };
        let text = format!("[feeds.coinbase]\n{}", wires.iter().map(instrument).collect::<String>());
        let config = config::load(&text, "test.toml", std::iter::empty()).unwrap();
        let catalogue = self.latest.catalogue().revised(config.instruments);
        self.latest.revise(catalogue, &[(Venue::Coinbase, Duration::from_hours(1))], clock::now());
        self.revised.send_replace(self.latest.revision());
    }

    /// When the first so many attempts were made, and where.
    async fn attempts(&mut self, count: usize) -> Vec<(Instant, String)> {
        self.attempts.wait_for(|attempts| attempts.len() >= count).await.unwrap()[..count].to_vec()
    }

    fn feed(&self) -> serde_json::Value {
        serde_json::to_value(self.board.report()).unwrap()[0].clone()
    }

    async fn stop(mut self) {
        self.closing.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
    }
}

/// What is logged in this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn m22_m97_a_venue_that_accepts_and_hangs_up_is_asked_ever_more_slowly_for_ever_and_logged_once() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let start = Instant::now();
    let mut rig = Rig::start(&["ws://venue.example"], |_, _| Fate::HangUp);
    let times: Vec<Instant> = rig.attempts(100).await.into_iter().map(|(at, _)| at).collect();
    let waits: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let shown: Vec<String> = waits.iter().map(|wait| format!("{:.1}", wait.as_secs_f64())).collect();
    println!("waits between 100 attempts, in seconds: {}", shown.join(" "));
    assert!(times[0] - start < Duration::from_secs(1));
    let ceilings = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0].into_iter().chain(std::iter::repeat(30.0));
    for (wait, ceiling) in waits.iter().zip(ceilings) {
        // A handshake is never nearer to the last than the spacing, and timers are good for a millisecond.
        let least_ms = SPACING.as_millis() - 1;
        assert!(wait.as_millis() >= least_ms && wait.as_secs_f64() <= ceiling + 0.01, "{wait:?}");
    }
    let mean = |waits: &[Duration]| waits.iter().sum::<Duration>() / u32::try_from(waits.len()).unwrap();
    assert!(mean(&waits[10..]) > Duration::from_secs(9) && mean(&waits[10..]) < Duration::from_secs(21));
    let distinct: std::collections::BTreeSet<_> = waits[10..].iter().collect();
    assert!(distinct.len() > 70, "jittered");
    let feed = rig.feed();
    // Whether a hang-up is met by the next read or the next write is up to the scheduler.
    let error = feed["last_error"].as_str().unwrap();
    assert!(error.starts_with("the connection was cut: "), "{error}");
    assert!(feed["reconnects"].as_u64().unwrap() >= 99, "{feed}");
    rig.stop().await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.lines().count(), 1, "one line for a hundred failures: {log}");
}

#[tokio::test(start_paused = true)]
async fn m97_a_venue_that_does_not_serve_us_is_tried_at_its_other_address_and_then_left_alone() {
    let mut rig = Rig::start(&["ws://one.example", "ws://two.example"], |_, _| Fate::Status(451));
    let attempts = rig.attempts(8).await;
    let hosts: Vec<&str> = attempts.iter().map(|(_, url)| &url[5..8]).collect();
    assert_eq!(hosts, ["one", "two", "one", "two", "one", "two", "one", "two"]);
    let wait = |index: usize| (attempts[index + 1].0 - attempts[index].0).as_secs_f64();
    assert!(wait(0) < 1.0, "the other address is tried at once");
    for (index, least) in [(1, 10.0), (3, 20.0), (5, 40.0)] {
        assert!(wait(index) >= least && wait(index) <= least * 1.1 + 0.1, "{index}: {}", wait(index));
    }
    rig.stop().await;

    let mut rig = Rig::start(&["ws://one.example", "ws://two.example"], |_, url| {
        if url.contains("two") { Fate::Open } else { Fate::Status(403) }
    });
    assert!(rig.opened.recv().await.is_some(), "the other address serves");
    assert_eq!(rig.attempts(2).await.len(), 2);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn m21_a_connection_that_answers_no_ping_is_dead_and_one_that_does_lives() {
    let mut rig = Rig::start(&["ws://venue.example"], |_, _| Fate::Open);
    let deaf = rig.opened.recv().await.unwrap();
    let opened = Instant::now();
    // Nobody reads what comes, nobody answers: another connection is opened.
    let second = rig.opened.recv().await.unwrap();
    let after = opened.elapsed().as_secs_f64();
    assert!((30.0..32.0).contains(&after), "{after}");
    assert_eq!(rig.feed()["last_error"].as_str().map(|text| text.starts_with("no byte for 30")), Some(true));
    drop(deaf);
    let mut venue = WebSocketStream::from_raw_socket(second, Role::Server, None).await;
    let (mut pings, opened) = (0, Instant::now());
    // Reading answers pings by itself.
    while opened.elapsed() < Duration::from_mins(10) {
        match venue.next().await {
            Some(Ok(Message::Ping(_))) => pings += 1,
            Some(Ok(_)) => {}
            ended => panic!("{ended:?} after {:?}", opened.elapsed()),
        }
    }
    assert!(pings >= 30, "{pings} pings in ten minutes");
    assert_eq!(rig.attempts.borrow().len(), 2);
    rig.stop().await;
}

/// Speaks as Coinbase does, one print each 10 s, until the connection is closed; returns with what code.
async fn ticking(end: DuplexStream, ids: Arc<AtomicU64>) -> Option<u16> {
    let mut venue = WebSocketStream::from_raw_socket(end, Role::Server, None).await;
    let time = humantime::format_rfc3339_micros(clock::system());
    let mut beat = tokio::time::interval(Duration::from_secs(10));
    let mut is_asked = false;
    loop {
        tokio::select! {
            _ = beat.tick(), if is_asked => {
                let id = ids.fetch_add(1, Ordering::Relaxed);
                let print = format!(
                    r#"{{"type":"match","trade_id":{id},"side":"sell","size":"1","price":"100","product_id":"BTC-USD","time":"{time}"}}"#
                );
                drop(venue.send(Message::text(print)).await);
            }
            message = venue.next() => match message {
                Some(Ok(Message::Text(_))) => is_asked = true,
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return None,
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn m13_a_connection_is_replaced_before_the_venues_lifetime_ends_however_often_that_fails_at_first() {
    let lifetime = Some(Duration::from_hours(1));
    let mut ages = Vec::new();
    for _ in 0..5 {
        // The first two replacements are hung up on.
        let mut rig = Rig::start_with(
            |profile| profile.lifetime = lifetime,
            &["ws://venue.example"],
            |index, _| match index {
                1 | 2 => Fate::HangUp,
                _ => Fate::Open,
            },
        );
        let (ids, mut venue) = (Arc::new(AtomicU64::new(1)), JoinSet::new());
        let first = rig.opened.recv().await.unwrap();
        let opened = Instant::now();
        venue.spawn(ticking(first, Arc::clone(&ids)));
        let second = rig.opened.recv().await.unwrap();
        ages.push(opened.elapsed().as_secs());
        assert_eq!(rig.attempts.borrow().len(), 4);
        let feeds = serde_json::to_value(rig.board.report()).unwrap();
        assert_eq!((&feeds[0]["state"], &feeds[1]["connection"]), (&"live".into(), &1.into()), "{feeds}");
        venue.spawn(ticking(second, ids));
        // The old one is left with a good-bye once the new one ticks, and is shown no longer.
        assert_eq!(venue.join_next().await.unwrap().unwrap(), Some(1000));
        let feeds = serde_json::to_value(rig.board.report()).unwrap();
        assert_eq!(
            (feeds.as_array().map(Vec::len), &feeds[0]["state"]),
            (Some(1), &"live".into()),
            "{feeds}"
        );
        assert_eq!((&feeds[0]["reconnects"], &feeds[0]["gaps"]), (&1.into(), &0.into()), "{feeds}");
        rig.stop().await;
    }
    println!("of 3600 seconds, connections were replaced after: {ages:?}");
    assert!(ages.iter().all(|age| (3600 * 80 / 100..3600 * 96 / 100).contains(age)), "{ages:?}");
    assert!(ages.iter().any(|age| *age != ages[0]), "jittered");
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_wants_text_pings_gets_them_as_often_as_it_says() {
    let ping = Ping::Text { text: "ping", every: Duration::from_secs(20) };
    let mut rig = Rig::start_with(|profile| profile.ping = ping, &["ws://venue.example"], |_, _| Fate::Open);
    let end = rig.opened.recv().await.unwrap();
    let mut venue = WebSocketStream::from_raw_socket(end, Role::Server, None).await;
    let mut times = Vec::new();
    while times.len() < 10 {
        let message = venue.next().await.expect("the connection stays open").unwrap();
        if message == Message::text("ping") {
            times.push(Instant::now());
            venue.send(Message::text(r#"{"type":"heartbeat"}"#)).await.unwrap();
        }
    }
    // A subscription that is asked for again is a text too: the next ping comes that much later.
    let gaps: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert!(gaps.iter().all(|gap| (20..=40).contains(gap)) && gaps.contains(&20), "{gaps:?}");
    assert_eq!(rig.attempts.borrow().len(), 1);
    rig.stop().await;
}

/// What the venue's end of a connection is asked for first.
async fn asked(end: DuplexStream) -> (WebSocketStream<DuplexStream>, String) {
    let mut venue = WebSocketStream::from_raw_socket(end, Role::Server, None).await;
    let message = venue.next().await.expect("a subscription").unwrap();
    (venue, message.into_text().unwrap().to_string())
}

/// A print of an instrument, as Coinbase sends it.
fn print(wire: &str, id: u64) -> Message {
    let time = humantime::format_rfc3339_micros(clock::system());
    Message::text(format!(
        r#"{{"type":"match","trade_id":{id},"side":"sell","size":"1","price":"100","product_id":"{wire}","time":"{time}"}}"#
    ))
}

#[tokio::test(start_paused = true)]
async fn a_list_that_changes_brings_a_connection_of_the_new_list_and_the_old_one_serves_until_it_ticks() {
    let mut rig = Rig::start(&["ws://venue.example"], |_, _| Fate::Open);
    let (mut first, wanted) = asked(rig.opened.recv().await.unwrap()).await;
    assert!(wanted.contains("BTC-USD") && !wanted.contains("ETH-USD"), "{wanted}");
    first.send(print("BTC-USD", 1)).await.unwrap();
    rig.revise(&["BTC-USD", "ETH-USD"]);
    let (mut second, wanted) = asked(rig.opened.recv().await.unwrap()).await;
    assert!(wanted.contains("BTC-USD") && wanted.contains("ETH-USD"), "{wanted}");
    let feed = rig.feed();
    assert_eq!((&feed["state"], &feed["wanted"]), (&"live".into(), &2.into()), "{feed}");
    // The list changes once more while it is on its way: one more follows, with the newest list.
    rig.revise(&["ETH-USD", "SOL-USD"]);
    second.send(print("ETH-USD", 1)).await.unwrap();
    let left = async {
        while let Some(Ok(message)) = first.next().await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| u16::from(frame.code));
            }
        }
        None
    };
    assert_eq!(left.await, Some(1000), "with a good-bye");
    let (mut third, wanted) = asked(rig.opened.recv().await.unwrap()).await;
    assert!(wanted.contains("SOL-USD") && !wanted.contains("BTC-USD"), "{wanted}");
    third.send(print("SOL-USD", 1)).await.unwrap();
    while !matches!(second.next().await, None | Some(Err(_) | Ok(Message::Close(_)))) {}
    assert_eq!((rig.attempts.borrow().len(), rig.feed()["reconnects"].clone()), (3, 2.into()));
    // And none is left where nothing is wanted any more.
    rig.revise(&["BTC-USD"]);
    let (mut last, _) = asked(rig.opened.recv().await.unwrap()).await;
    last.send(print("BTC-USD", 2)).await.unwrap();
    rig.latest.revise(rig.latest.catalogue().revised(Vec::new()), &[], clock::now());
    rig.revised.send_replace(rig.latest.revision());
    while !matches!(last.next().await, None | Some(Err(_) | Ok(Message::Close(_)))) {}
    assert!(rig.board.report().is_empty());
    rig.stop().await;
}
