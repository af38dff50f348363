//! When a subscription sends what, by a clock that stands still unless everybody waits; and that no interleaving
//! of writers and a reader loses a change.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test fails by a panic, also that of its tasks"
)]

mod candles;
mod ticks;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::Duration;

use rust_decimal::Decimal;
use tickcast_feeds::{Event, Status, Venue};
use tokio::time::{Instant, advance, sleep, timeout};

use super::*;
use crate::catalogue::{Catalogue, SourceRef, SymbolId};
use crate::clock;
use crate::config::{Class, Instrument, PriceRule, Source, StaleAfter};
use crate::consolidate::tests::trade;
use crate::fields::FieldSet;
use crate::http::framing::Framing;

const WINDOW: Duration = Duration::from_millis(100);
/// Longer than anything waits: what has not come by then does not come.
const EVER: Duration = Duration::from_secs(86_400);

/// A store of so many symbols, `S0`, `S1`, ..., and its fan-out.
pub(crate) struct Desk {
    pub(crate) latest: Latest,
    pub(crate) fanout: Fanout,
}

impl Desk {
    /// Its bells ring where there is a runtime.
    pub(crate) fn new(symbols: usize) -> Self {
        let instrument = |index: usize| Instrument {
            symbol: format!("S{index}"),
            name: format!("Symbol {index}"),
            class: Class::Crypto,
            base: None,
            currency: "USD".to_owned(),
            decimals: 2,
            aliases: Vec::new(),
            sources: vec![Source { venue: Venue::Sim, wire: format!("S{index}") }],
            price: PriceRule::Primary,
            min_sources: 1,
            stale_after: StaleAfter::Auto,
        };
        let catalogue = Arc::new(Catalogue::new((0..symbols).map(instrument).collect()));
        let bells = Arc::new(Bells::default());
        let latest = Latest::new(catalogue, &[(Venue::Sim, EVER)], Arc::clone(&bells));
        let fanout = Fanout::new(latest.clone(), bells, Arc::new(Metrics::default()), Epoch(0x7f3a));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let hub = fanout.clone();
            runtime.spawn(async move { hub.run().await });
        }
        Self { latest, fanout }
    }

    pub(crate) fn set(&self, symbol: u32, price: &str) {
        let source = SourceRef { symbol: SymbolId(symbol), index: 0 };
        self.latest.apply(source, &[Event::Trade(trade(price))], clock::now(), |_, _| {});
    }

    fn halt(&self, symbol: u32, halted: bool) {
        let source = SourceRef { symbol: SymbolId(symbol), index: 0 };
        let status = Status { wire: "S".into(), halted, text: "".into(), ts_event: None };
        self.latest.apply(source, &[Event::Status(status)], clock::now(), |_, _| {});
    }

    /// The price of all symbols, as fast as it changes.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            symbols: self.latest.catalogue().ids().collect(),
            fields: FieldSet::parse("price").expect("a field"),
            mode: Mode::Latest,
            throttle: Duration::ZERO,
            min_change: None,
            max_silence: Duration::from_secs(30),
            resume: None,
            budget: None,
            candles: None,
        }
    }

    /// Follows with one window of throttle, from after the snapshot and a quiet window on.
    async fn follow(&self, change: impl FnOnce(&mut Wanted)) -> Subscription {
        let mut wanted = Wanted { throttle: WINDOW, ..self.wanted() };
        change(&mut wanted);
        let mut stream = self.fanout.subscribe(wanted);
        next(&mut stream).await;
        nothing_within(&mut stream, WINDOW * 2).await;
        stream
    }
}

/// One message: symbol and price, and the version of its id.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    symbol: String,
    price: String,
    version: Option<u64>,
}

fn messages(flush: &Flush) -> Vec<Message> {
    let text = std::str::from_utf8(&flush.bytes).expect("text");
    assert!(text.ends_with("\n\n"), "{text:?}");
    let read = |block: &str| {
        let (data, id) = block.split_once('\n').map_or((block, None), |(data, id)| (data, Some(id)));
        let json: serde_json::Value =
            serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        let version = id.map(|id| id.strip_prefix("id: 7f3a.").expect("an id").parse().expect("a version"));
        let field = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Message { symbol: field("symbol"), price: field("price"), version }
    };
    let all: Vec<_> = text.trim_end_matches('\n').split("\n\n").map(read).collect();
    assert_eq!(all.len(), flush.messages);
    all
}

async fn next(stream: &mut Subscription) -> Vec<Message> {
    messages(&timeout(EVER, stream.next()).await.expect("something to send"))
}

/// `S0=100 S2=7`, in the order sent.
async fn said(stream: &mut Subscription) -> String {
    let all = next(stream).await;
    all.iter().map(|message| format!("{}={}", message.symbol, message.price)).collect::<Vec<_>>().join(" ")
}

async fn nothing_within(stream: &mut Subscription, time: Duration) {
    if let Ok(flush) = timeout(time, stream.next()).await {
        panic!("sent {:?}", messages(&flush));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_message_of_each_symbol_is_its_snapshot_and_comes_at_once() {
    let desk = Desk::new(3);
    desk.set(1, "101");
    desk.set(0, "100");
    let start = Instant::now();
    let mut stream = desk.fanout.subscribe(Wanted { throttle: WINDOW, ..desk.wanted() });
    let first = next(&mut stream).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    let versions: Vec<_> = first.iter().map(|message| (message.symbol.as_str(), message.version)).collect();
    assert_eq!(
        versions,
        [("S2", Some(0)), ("S1", Some(1)), ("S0", Some(2))],
        "ascending, and unknown ones too"
    );
    nothing_within(&mut stream, EVER).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_change_after_quiet_goes_out_at_once() {
    let desk = Desk::new(1);
    let mut stream = desk.follow(|_| {}).await;
    for price in ["100", "101", "102"] {
        let start = Instant::now();
        desk.set(0, price);
        assert_eq!(said(&mut stream).await, format!("S0={price}"));
        assert_eq!(start.elapsed(), Duration::ZERO);
        nothing_within(&mut stream, WINDOW * 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_within_one_throttle_arrives_as_its_newest_no_later_than_a_window_after_it_was_set() {
    let desk = Desk::new(1);
    let mut stream = desk.follow(|_| {}).await;
    let start = Instant::now();
    desk.set(0, "100");
    assert_eq!(said(&mut stream).await, "S0=100");
    for cents in 1..=9 {
        advance(WINDOW / 10).await;
        desk.set(0, &format!("100.0{cents}"));
    }
    let newest = Instant::now();
    assert_eq!(said(&mut stream).await, "S0=100.09");
    assert!(newest.elapsed() <= WINDOW && start.elapsed() >= WINDOW, "{:?}", start.elapsed());
    nothing_within(&mut stream, EVER).await;
    assert_eq!(desk.fanout.metrics.conflated.get(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_steady_stream_of_changes_is_sent_once_a_window() {
    let desk = Desk::new(1);
    let mut stream = desk.follow(|_| {}).await;
    let start = Instant::now();
    let writer = async {
        for step in 0..1_000 {
            desk.set(0, &format!("{}", 1000 + step));
            sleep(Duration::from_millis(3)).await;
        }
        std::future::pending::<()>().await;
    };
    let reader = async {
        let (mut last, mut times) = (String::new(), Vec::new());
        while last != "S0=1999" {
            last = said(&mut stream).await;
            times.push(start.elapsed());
        }
        times
    };
    let times = tokio::select! { times = reader => times, () = writer => unreachable!() };
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    assert!(gaps.iter().all(|gap| *gap >= WINDOW), "{gaps:?}");
    assert!((29..=31).contains(&times.len()), "{}", times.len());
    assert!(times.last().is_some_and(|last| *last <= Duration::from_millis(2_997) + WINDOW * 2));
}

#[tokio::test(start_paused = true)]
async fn the_window_belongs_to_the_stream_and_not_to_the_symbol() {
    let desk = Desk::new(3);
    let mut stream = desk.follow(|_| {}).await;
    let start = Instant::now();
    desk.set(0, "100");
    assert_eq!(said(&mut stream).await, "S0=100");
    advance(WINDOW / 2).await;
    desk.set(2, "7");
    desk.set(1, "5");
    assert_eq!(said(&mut stream).await, "S2=7 S1=5", "in the order they changed");
    assert_eq!(start.elapsed(), WINDOW);
}

#[tokio::test(start_paused = true)]
async fn without_a_throttle_each_change_goes_as_soon_as_it_is_taken() {
    let desk = Desk::new(2);
    let mut stream = desk.follow(|wanted| wanted.throttle = Duration::ZERO).await;
    let start = Instant::now();
    for step in 0..50 {
        desk.set(step % 2, &format!("{}", 100 + step));
        assert_eq!(said(&mut stream).await, format!("S{}={}", step % 2, 100 + step));
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_went_and_came_back_between_two_flushes_is_not_sent() {
    let desk = Desk::new(1);
    desk.set(0, "100");
    let mut stream = desk.follow(|_| {}).await;
    desk.set(0, "101");
    assert_eq!(said(&mut stream).await, "S0=101");
    desk.set(0, "102");
    desk.set(0, "101");
    nothing_within(&mut stream, EVER).await;
    desk.set(0, "101.0");
    assert_eq!(said(&mut stream).await, "S0=101.0", "other digits are another text");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_when_none_of_the_chosen_fields_changed() {
    let desk = Desk::new(1);
    desk.set(0, "100");
    let mut stream =
        desk.follow(|wanted| wanted.fields = FieldSet::parse("bid,status,version").expect("fields")).await;
    desk.set(0, "101");
    desk.set(0, "102");
    nothing_within(&mut stream, EVER).await;
    desk.halt(0, true);
    let flush = stream.next().await;
    let text = String::from_utf8_lossy(&flush.bytes).into_owned();
    assert_eq!(
        text,
        "data: {\"symbol\":\"S0\",\"bid\":null,\"status\":\"halted\",\"version\":4}\nid: 7f3a.4\n\n"
    );
}

async fn with_min_change(desk: &Desk, least: MinChange) -> Subscription {
    desk.set(0, "200");
    desk.follow(|wanted| {
        wanted.min_change = Some(least);
        wanted.fields = FieldSet::parse("price,status").expect("fields");
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn min_change_counts_from_what_was_sent_in_currency_percent_or_basis_points() {
    let cases = [
        (MinChange::Amount(Decimal::new(5, 1)), "200.49", "200.5"),
        (MinChange::Fraction(Decimal::new(5, 4)), "199.91", "199.90"),
        (MinChange::Fraction(Decimal::new(10, 4)), "200.1999", "200.2"),
    ];
    for (least, below, enough) in cases {
        let desk = Desk::new(1);
        let mut stream = with_min_change(&desk, least).await;
        desk.set(0, below);
        nothing_within(&mut stream, Duration::from_secs(20)).await;
        desk.set(0, enough);
        assert_eq!(said(&mut stream).await, format!("S0={enough}"));
        // From the value sent, not from the one withheld.
        desk.set(0, below);
        nothing_within(&mut stream, Duration::from_secs(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_min_change_withholds_goes_out_after_max_silence_and_without_an_id_where_a_newer_one_was_sent() {
    let desk = Desk::new(2);
    let mut stream = with_min_change(&desk, MinChange::Amount(Decimal::ONE)).await;
    let start = Instant::now();
    desk.set(1, "50");
    assert_eq!(said(&mut stream).await, "S1=50");
    desk.set(0, "200.3");
    nothing_within(&mut stream, Duration::from_secs(1)).await;
    desk.set(1, "60");
    let newest = next(&mut stream).await;
    assert_eq!((newest[0].symbol.as_str(), newest[0].version), ("S1", Some(4)));
    let late = next(&mut stream).await;
    // S0 was sent last in the snapshot, two windows before `start`.
    assert_eq!(start.elapsed(), Duration::from_millis(29_800));
    assert_eq!(late, [Message { symbol: "S0".into(), price: "200.3".into(), version: None }]);
    nothing_within(&mut stream, EVER).await;
}

#[tokio::test(start_paused = true)]
async fn a_withheld_change_that_went_back_is_not_sent_after_max_silence() {
    let desk = Desk::new(1);
    let mut stream = with_min_change(&desk, MinChange::Amount(Decimal::ONE)).await;
    desk.set(0, "200.3");
    nothing_within(&mut stream, Duration::from_secs(1)).await;
    desk.set(0, "200");
    nothing_within(&mut stream, EVER).await;
}

#[tokio::test(start_paused = true)]
async fn a_status_flip_passes_min_change() {
    let desk = Desk::new(1);
    let mut stream = with_min_change(&desk, MinChange::Amount(Decimal::ONE)).await;
    desk.halt(0, true);
    assert_eq!(said(&mut stream).await, "S0=200");
    nothing_within(&mut stream, WINDOW * 2).await;
    let start = Instant::now();
    desk.latest.down(Venue::Sim, &["S0"], clock::now());
    desk.halt(0, false);
    assert_eq!(said(&mut stream).await, "S0=200");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_resumed_stream_gets_only_what_changed_since() {
    let desk = Desk::new(3);
    for (symbol, price) in [(0, "100"), (1, "101"), (2, "102")] {
        desk.set(symbol, price);
    }
    let left_at = desk.fanout.resume("7f3a.3").expect("a cursor of this run");
    desk.set(1, "111");
    let resume = Some(left_at);
    let mut stream = desk.fanout.subscribe(Wanted { resume, ..desk.wanted() });
    assert_eq!(stream.position(), left_at);
    assert_eq!(said(&mut stream).await, "S1=111");
    nothing_within(&mut stream, EVER).await;
    desk.set(0, "110");
    assert_eq!(said(&mut stream).await, "S0=110");
}

#[tokio::test(start_paused = true)]
async fn with_min_change_a_resumed_stream_gets_everything() {
    let desk = Desk::new(2);
    desk.set(0, "100");
    desk.set(1, "101");
    let resume = desk.fanout.resume("7f3a.2");
    assert!(resume.is_some());
    let min_change = Some(MinChange::Amount(Decimal::ONE));
    let mut stream = desk.fanout.subscribe(Wanted { min_change, resume, ..desk.wanted() });
    assert_eq!(stream.position().to_string(), "7f3a.0");
    assert_eq!(said(&mut stream).await, "S0=100 S1=101");
}

#[tokio::test(start_paused = true)]
async fn p38_a_cursor_that_is_foreign_malformed_giant_or_of_the_future_is_no_place_to_resume_from() {
    let desk = Desk::new(1);
    desk.set(0, "100");
    assert!(desk.fanout.resume("7f3a.1").is_some());
    let giant = "7".repeat(60_000);
    let bad = [
        "7f3b.1",
        "7f3a.2",
        "7f3a",
        "7f3a.",
        ".1",
        "7f3a.-1",
        "7f3a.1.1",
        "7f3a.+1",
        "\u{1F600}",
        "",
        &giant,
    ];
    for text in bad {
        assert_eq!(desk.fanout.resume(text), None, "{text:.20}");
    }
}

#[tokio::test(start_paused = true)]
async fn p40_who_left_before_the_snapshot_gets_it_on_return_also_of_a_symbol_that_never_ticked() {
    let desk = Desk::new(2);
    desk.set(0, "100");
    let resume = desk.fanout.resume("7f3a.0");
    let mut stream = desk.fanout.subscribe(Wanted { resume, ..desk.wanted() });
    assert_eq!(said(&mut stream).await, "S1= S0=100");
}

#[tokio::test(start_paused = true)]
async fn the_place_passed_moves_on_while_nothing_of_the_streams_own_changes() {
    let desk = Desk::new(2);
    let mut stream = desk.follow(|wanted| wanted.symbols = vec![SymbolId(0)]).await;
    desk.set(1, "5");
    desk.set(1, "6");
    assert_eq!(stream.pass().to_string(), "7f3a.2");
    desk.set(0, "100");
    desk.set(1, "7");
    assert_eq!(stream.pass().to_string(), "7f3a.2", "a change that is not sent yet holds it back");
    assert_eq!(next(&mut stream).await[0].version, Some(3));
    assert_eq!(stream.pass().to_string(), "7f3a.4");
}

#[tokio::test(start_paused = true)]
async fn over_its_budget_a_stream_waits_longer_for_all_symbols_alike_and_loses_nothing() {
    let desk = Desk::new(10);
    let budget = Arc::new(Budget::new(Some(10), None).expect("a limit"));
    let mut stream = desk.fanout.subscribe(Wanted { budget: Some(budget), ..desk.wanted() });
    assert_eq!(next(&mut stream).await.len(), 10, "a second's worth at once");
    let start = Instant::now();
    let all = |price: &str| (0..10).for_each(|symbol| desk.set(symbol, price));
    all("1");
    let flush = stream.next().await;
    assert_eq!(
        (flush.messages, stream.is_slowed_by(Counted::Messages), start.elapsed()),
        (10, false, Duration::ZERO)
    );
    desk.set(0, "2");
    desk.set(7, "2");
    desk.set(0, "3");
    let flush = stream.next().await;
    assert!(stream.is_slowed_by(Counted::Messages) && !stream.is_slowed_by(Counted::Bytes));
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    let all: Vec<_> = messages(&flush).into_iter().map(|message| (message.symbol, message.price)).collect();
    assert_eq!(all, [("S7".into(), "2".into()), ("S0".into(), "3".into())]);
}

#[tokio::test(start_paused = true)]
async fn streams_of_one_client_share_its_budget() {
    let desk = Desk::new(1);
    let budget = Arc::new(Budget::new(Some(10), None).expect("a limit"));
    let wanted = || Wanted { budget: Some(Arc::clone(&budget)), ..desk.wanted() };
    let (mut one, mut other) = (desk.fanout.subscribe(wanted()), desk.fanout.subscribe(wanted()));
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < Duration::from_secs(10) {
        desk.set(0, &format!("{}", 1_000_000 + sent));
        tokio::select! {
            flush = one.next() => sent += flush.messages,
            flush = other.next() => sent += flush.messages,
        }
    }
    // Ten a second for ten seconds, and the second's worth that a quiet client has.
    assert!((100..=115).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn over_its_bytes_a_stream_waits_longer_for_all_symbols_alike_and_ends_with_the_newest() {
    const PER_SECOND: u32 = 2_000;
    let desk = Desk::new(10);
    let budget = Budget::new(None, Some(PER_SECOND)).map(Arc::new);
    let mut stream = desk.fanout.subscribe(Wanted { budget, ..desk.wanted() });
    let (start, mut bytes, mut newest) = (Instant::now(), 0, BTreeMap::new());
    let mut change = 0;
    while start.elapsed() < Duration::from_secs(20) {
        let flush = stream.next().await;
        bytes += flush.payload;
        learn(&mut newest, &messages(&flush));
        (0..10).for_each(|symbol| desk.set(symbol, &format!("{}", 1_000_000 + change)));
        change += 1;
    }
    assert!(stream.is_slowed_by(Counted::Bytes) && !stream.is_slowed_by(Counted::Messages));
    // So many a second, a second's worth that a quiet client has, and a last flush that is not paid for yet.
    let most = PER_SECOND as usize * 22;
    assert!((PER_SECOND as usize * 19..=most).contains(&bytes), "{bytes}");
    learn(&mut newest, &messages(&stream.next().await));
    assert!(newest.values().all(|price| *price == format!("{}", 999_999 + change)), "{newest:?}");
    assert_eq!(newest.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_flush_larger_than_a_seconds_bytes_goes_out_whole_and_is_paid_for_afterwards() {
    let desk = Desk::new(100);
    let budget = Budget::new(None, Some(1_000)).map(Arc::new);
    let mut stream = desk.fanout.subscribe(Wanted { budget, ..desk.wanted() });
    let snapshot = stream.next().await;
    assert_eq!(snapshot.messages, 100);
    let start = Instant::now();
    desk.set(0, "1");
    stream.next().await;
    // All of it but the second's worth that was there.
    let due = Duration::from_millis(snapshot.payload as u64 - 1_000);
    let waited = start.elapsed();
    assert!(waited >= due && waited <= due + Duration::from_millis(20), "{waited:?} for {due:?}");
}

/// What a client has after these messages.
fn learn(known: &mut BTreeMap<String, String>, messages: &[Message]) {
    known.extend(messages.iter().map(|message| (message.symbol.clone(), message.price.clone())));
}

/// Three threads write to all symbols, each in another order; `done` says that they have ended.
fn write_from_three<'s>(threads: &'s Scope<'s, '_>, desk: &'s Desk, changes: u32, done: &'s AtomicBool) {
    let symbols = u32::try_from(desk.latest.catalogue().len()).expect("a few");
    let write = |writer: u32| {
        move || {
            for change in 0..changes {
                desk.set((change * writer) % symbols, &format!("{writer}.{change}"));
            }
        }
    };
    let writers = [1, 2, 3].map(|writer| threads.spawn(write(writer)));
    threads.spawn(move || {
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        done.store(true, Ordering::SeqCst);
    });
}

/// Several threads write while one reads; then whoever comes back at any id that was sent gets all it missed.
#[test]
fn p37_a_resume_at_any_id_that_was_sent_loses_nothing_whatever_the_writers_do() {
    const CHANGES: u32 = 1_500;
    let desk = Desk::new(5);
    let done = AtomicBool::new(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut left: Vec<(u64, BTreeMap<String, String>)> = Vec::new();
    let mut known = BTreeMap::new();
    std::thread::scope(|threads| {
        write_from_three(threads, &desk, CHANGES, &done);
        runtime.block_on(async {
            let mut stream = desk.fanout.subscribe(desk.wanted());
            let mut last = None;
            loop {
                let over = done.load(Ordering::SeqCst);
                let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(stream.poll_next(cx))).await;
                let std::task::Poll::Ready(flush) = polled else {
                    if over && last == Some(desk.latest.committed()) {
                        break;
                    }
                    std::thread::yield_now();
                    last = Some(desk.latest.committed()).filter(|_| over);
                    continue;
                };
                for message in messages(&flush) {
                    let version = message.version.expect("nothing is withheld");
                    assert!(left.last().is_none_or(|(before, _)| *before <= version), "ids ascend");
                    learn(&mut known, &[message]);
                    // A client may be cut after any block.
                    left.push((version, known.clone()));
                }
            }
        });
    });
    let whole: BTreeMap<_, _> = runtime.block_on(async {
        let mut whole = BTreeMap::new();
        learn(&mut whole, &messages(&desk.fanout.subscribe(desk.wanted()).next().await));
        whole
    });
    assert_eq!(known, whole, "the reader that stayed");
    let step = left.len().div_ceil(2_000);
    for (version, mut known) in left.into_iter().step_by(step) {
        let resume = desk.fanout.resume(&format!("7f3a.{version}"));
        let mut stream = desk.fanout.subscribe(Wanted { resume, ..desk.wanted() });
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let _runtime = runtime.enter();
        while let std::task::Poll::Ready(flush) = stream.poll_next(&mut cx) {
            learn(&mut known, &messages(&flush));
        }
        assert_eq!(known, whole, "resumed at {version}");
    }
}

/// The same with real waiting: every reader sleeps and is woken, and comes back at its last id after each flush.
#[test]
fn p37_a_reader_that_comes_back_after_each_flush_ends_with_the_newest_of_everything() {
    const CHANGES: u32 = 400;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let desk = Arc::new(Desk::new(4));
        let read = |desk: Arc<Desk>| async move {
            let mut known = BTreeMap::new();
            let mut resume = None;
            while known.values().filter(|price| *price == "9999").count() < 4 {
                let mut stream = desk.fanout.subscribe(Wanted { resume, ..desk.wanted() });
                let flush = timeout(Duration::from_secs(30), stream.next()).await;
                learn(&mut known, &messages(&flush.expect("no change is slept through")));
                resume = Some(stream.position());
            }
        };
        let readers: Vec<_> = (0..4).map(|_| tokio::spawn(read(Arc::clone(&desk)))).collect();
        let write = |desk: Arc<Desk>, symbol: u32| async move {
            for change in 0..CHANGES {
                desk.set(symbol, &format!("{}", 1 + change));
                tokio::task::yield_now().await;
            }
            desk.set(symbol, "9999");
        };
        let writers: Vec<_> = (0..4).map(|symbol| tokio::spawn(write(Arc::clone(&desk), symbol))).collect();
        for task in writers.into_iter().chain(readers) {
            task.await.expect("it ends");
        }
    });
}

/// What several streams do that one thread serves.
#[derive(Clone, Debug)]
enum Step {
    Set { symbol: u32, price: u32 },
    Halt { symbol: u32 },
    Turn { stream: usize },
    Round,
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    use proptest::prelude::*;
    let step = prop_oneof![
        3 => (0..3_u32, 100..104_u32).prop_map(|(symbol, price)| Step::Set { symbol, price }),
        1 => (0..3_u32).prop_map(|symbol| Step::Halt { symbol }),
        4 => (0..6_usize).prop_map(|stream| Step::Turn { stream }),
        1 => Just(Step::Round),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest::proptest! {
    /// Streams that share what is made for them, beside the same streams each by itself: the same bytes at each turn.
    #[test]
    fn what_streams_share_is_what_each_would_get_alone(steps in steps(), resumed in 0..4_usize) {
        let desk = Desk::new(3);
        desk.set(0, "99");
        let now = Instant::now();
        let wanted = |stream: usize| {
            let symbols = if stream < 4 { desk.latest.catalogue().ids().collect() } else { vec![SymbolId(1), SymbolId(0)] };
            let resume = if stream == resumed { desk.fanout.resume("7f3a.1") } else { None };
            let min_change = (stream == 3).then_some(MinChange::Amount(Decimal::ONE));
            Wanted { symbols, min_change, resume, ..desk.wanted() }
        };
        let places = || (0..6).map(|stream| desk.fanout.place(wanted(stream))).collect::<Vec<_>>();
        let (mut together, mut apart) = (places(), places());
        let (mut shelf, mut none) = (Shelf::sharing_from(2, Framing::Chunked), Shelf::alone(Framing::Chunked));
        for step in steps {
            match step {
                Step::Set { symbol, price } => desk.set(symbol, &price.to_string()),
                Step::Halt { symbol } => desk.halt(symbol, desk.latest.version(SymbolId(symbol)).is_multiple_of(2)),
                // What changed is seen by steps that are made from now on only.
                Step::Round => shelf.begin(),
                Step::Turn { stream } => {
                    shelf.begin();
                    for stream in [stream, (stream + 1) % 6, (stream + 2) % 6] {
                        let said = |turn| match turn {
                            Turn::Flush(flush) => format!("{flush:?}"),
                            other => format!("{other:?}"),
                        };
                        let shared = said(together[stream].turn(&desk.fanout, &mut shelf, now));
                        let alone = said(apart[stream].turn(&desk.fanout, &mut none, now));
                        proptest::prop_assert_eq!(shared, alone);
                        proptest::prop_assert_eq!(together[stream].position(), apart[stream].position());
                    }
                }
            }
        }
    }
}

/// Several threads write while one serves streams that share a shelf: ids ascend, and at the end each stream has the newest
/// of everything.
#[test]
fn p37_streams_of_one_thread_lose_nothing_whatever_the_writers_do() {
    const CHANGES: u32 = 3_000;
    let desk = Desk::new(5);
    let done = AtomicBool::new(false);
    let mut streams: Vec<_> =
        (0..8).map(|_| (desk.fanout.place(desk.wanted()), BTreeMap::new(), 0)).collect();
    std::thread::scope(|threads| {
        write_from_three(threads, &desk, CHANGES, &done);
        let mut shelf = Shelf::sharing_from(2, Framing::Bare);
        loop {
            let over = done.load(Ordering::SeqCst);
            shelf.begin();
            let mut quiet = true;
            for (place, known, newest) in &mut streams {
                match place.turn(&desk.fanout, &mut shelf, Instant::now()) {
                    Turn::Flush(flush) => {
                        for message in messages(&flush) {
                            let version = message.version.expect("nothing is withheld");
                            assert!(*newest <= version, "ids ascend");
                            *newest = version;
                            learn(known, &[message]);
                        }
                        quiet = false;
                    }
                    Turn::Again => quiet = false,
                    Turn::Wait(wait) => assert!(wait.change),
                }
            }
            if over && quiet {
                break;
            }
        }
    });
    let mut whole = BTreeMap::new();
    let mut fresh = desk.fanout.place(desk.wanted());
    let Turn::Flush(flush) = fresh.turn(&desk.fanout, &mut Shelf::alone(Framing::Bare), Instant::now())
    else {
        panic!("a snapshot")
    };
    learn(&mut whole, &messages(&flush));
    for (_, known, _) in &streams {
        assert_eq!(*known, whole);
    }
}

#[test]
fn a_place_that_follows_one_more_symbol_gets_its_newest_however_old_and_no_id_goes_back() {
    let desk = Desk::new(3);
    for (symbol, price) in [(2, "7"), (0, "1"), (1, "5")] {
        desk.set(symbol, price);
    }
    for min_change in [None, Some(MinChange::Amount(1.into()))] {
        let mut place = desk.fanout.place(Wanted {
            symbols: vec![SymbolId(0), SymbolId(1)],
            min_change,
            ..desk.wanted()
        });
        let said = |place: &mut Place| {
            let mut shelf = Shelf::alone(Framing::Bare);
            match place.turn(&desk.fanout, &mut shelf, Instant::now()) {
                Turn::Flush(flush) => {
                    let one = |message: Message| {
                        format!("{}={} {:?}", message.symbol, message.price, message.version)
                    };
                    messages(&flush).into_iter().map(one).collect::<Vec<_>>().join(", ")
                }
                turn => format!("{turn:?}"),
            }
        };
        assert_eq!(said(&mut place), "S0=1 Some(2), S1=5 Some(3)");
        place.follow(&desk.fanout, &[SymbolId(2), SymbolId(1)], Instant::now());
        assert!(place.is_behind(&desk.fanout));
        assert_eq!(
            said(&mut place),
            "S2=7 None",
            "older than the client's cursor, which it must not take back"
        );
        assert!(!place.is_behind(&desk.fanout) && said(&mut place).starts_with("Wait"));
    }
}
