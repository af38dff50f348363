//! Bars on a stream: behind the prices of a flush and no oftener than the throttle allows, each once as final, none before
//! an earlier one, none missing without a word.

use tickcast_feeds::{Trade, UnixNanos};

use super::*;
use crate::candles::Interval;

/// 2024-03-04T10:00:00Z.
const TEN: i64 = 1_709_546_400_000;

impl Desk {
    /// A trade so many milliseconds after ten.
    fn trade_at(&self, symbol: u32, after: i64, price: &str) {
        let trade = Trade { ts_event: UnixNanos::from_millis(TEN + after), ..trade(price) };
        let source = SourceRef { symbol: SymbolId(symbol), index: 0 };
        self.latest.apply(source, &[Event::Trade(trade)], clock::now(), |_, _| {});
    }
}

fn text(flush: &Flush) -> &str {
    std::str::from_utf8(&flush.bytes).expect("text")
}

/// The bars of a flush: seconds after ten, close, and whether it is over.
fn bars(flush: &Flush) -> Vec<(i64, String, bool)> {
    let read = |block: &str| {
        let data = block.strip_prefix("event: candle\ndata: ")?;
        let json: serde_json::Value = serde_json::from_str(data).expect("JSON");
        let second = (json["time"].as_i64().expect("a time") - TEN) / 1_000;
        Some((second, json["close"].as_str().expect("a close").to_owned(), json["final"] == true))
    };
    text(flush).split("\n\n").filter_map(read).collect()
}

#[tokio::test(start_paused = true)]
async fn bars_go_out_behind_the_prices_of_a_flush_and_no_oftener_than_the_throttle_allows() {
    let desk = Desk::new(1);
    let mut stream = desk.follow(|wanted| wanted.candles = Some(Interval::Minute)).await;
    let start = Instant::now();
    for (after, price) in [(0, "100"), (100, "101"), (200, "102")] {
        desk.trade_at(0, after, price);
        if after == 0 {
            assert_eq!(said(&mut stream).await, "S0=100");
            let bar = stream.next().await;
            assert_eq!((bars(&bar), bar.messages), (vec![(0, "100".to_owned(), false)], 1));
            assert_eq!(start.elapsed(), Duration::ZERO);
        }
    }
    assert_eq!(said(&mut stream).await, "S0=102");
    assert_eq!(bars(&stream.next().await), [(0, "102".to_owned(), false)]);
    assert_eq!(start.elapsed(), WINDOW);
    // A change of the bar alone begins a window too.
    advance(WINDOW * 2).await;
    let start = Instant::now();
    desk.trade_at(0, 300, "102");
    assert_eq!(bars(&stream.next().await), [(0, "102".to_owned(), false)]);
    desk.trade_at(0, 400, "102");
    assert_eq!(bars(&stream.next().await), [(0, "102".to_owned(), false)]);
    assert_eq!(start.elapsed(), WINDOW);
    nothing_within(&mut stream, EVER).await;
}

#[tokio::test(start_paused = true)]
async fn p70_bars_count_against_the_clients_budget_of_messages() {
    let desk = Desk::new(1);
    let budget = Budget::new(Some(2), None).map(Arc::new);
    let wanted = Wanted { budget, candles: Some(Interval::Minute), ..desk.wanted() };
    let mut stream = desk.fanout.subscribe(wanted);
    next(&mut stream).await;
    nothing_within(&mut stream, WINDOW).await;
    let start = Instant::now();
    for step in 0..10 {
        desk.trade_at(0, step, &format!("{}", 100 + step));
        next(&mut stream).await;
        assert_eq!(bars(&stream.next().await).len(), 1);
    }
    // Twenty messages at two a second, and what the budget has in hand.
    assert!(start.elapsed() >= Duration::from_secs(8), "{:?}", start.elapsed());
    assert!(stream.is_slowed_by(Counted::Messages));
}

#[test]
fn many_bars_of_many_symbols_go_out_in_pieces_and_all_of_them() {
    const SYMBOLS: u32 = 10;
    let desk = Desk::new(SYMBOLS as usize);
    let mut place = desk.fanout.place(Wanted { candles: Some(Interval::Second), ..desk.wanted() });
    let mut shelf = Shelf::alone(Framing::Bare);
    let mut take = || {
        let mut flushes = Vec::new();
        while let Turn::Flush(flush) = place.turn(&desk.fanout, &mut shelf, Instant::now()) {
            flushes.push(flush);
        }
        flushes
    };
    take();
    for second in 0..100 {
        for symbol in 0..SYMBOLS {
            desk.trade_at(symbol, second * 1_000, "100");
        }
    }
    let flushes: Vec<_> = take().iter().map(bars).filter(|bars| !bars.is_empty()).collect();
    assert!(flushes.len() > 2 && flushes.iter().all(|bars| bars.len() <= 400), "{}", flushes.len());
    let all = flushes.concat();
    assert_eq!(all.len(), 100 * SYMBOLS as usize);
    assert_eq!(all.iter().filter(|(_, _, is_final)| *is_final).count(), 99 * SYMBOLS as usize);
}

#[test]
fn m111_whoever_writes_and_however_slow_a_stream_is_no_bar_is_told_twice_as_final_or_goes_back() {
    const SECONDS: i64 = 3_000;
    let desk = Desk::new(2);
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let (desk, done) = (&desk, &done);
        threads.spawn(move || {
            for step in 0..SECONDS * 4 {
                desk.trade_at(0, step * 250, &format!("{}", 1_000 + step));
                desk.trade_at(1, step * 250, "5");
            }
            done.store(true, Ordering::SeqCst);
        });
        let symbols = vec![SymbolId(0)];
        let mut place =
            desk.fanout.place(Wanted { symbols, candles: Some(Interval::Second), ..desk.wanted() });
        let mut shelf = Shelf::alone(Framing::Bare);
        let (mut last, mut told, mut lost) = (-1, 0, 0);
        loop {
            let ended = done.load(Ordering::SeqCst);
            while let Turn::Flush(flush) = place.turn(&desk.fanout, &mut shelf, Instant::now()) {
                if let Some((_, gap)) = text(&flush).split_once("\"through_time\":") {
                    let through: i64 = gap.split('}').next().expect("an end").parse().expect("a time");
                    lost += (through - TEN) / 1_000 - last;
                    last = (through - TEN) / 1_000;
                }
                for (second, close, is_final) in bars(&flush) {
                    assert!(second > last, "{second} after {last}");
                    if is_final {
                        assert!(told == 0 || second == last + 1, "{second} after {last} without a word");
                        assert_eq!(close, format!("{}", 1_000 + second * 4 + 3), "of second {second}");
                        (last, told) = (second, told + 1);
                    }
                }
            }
            if ended {
                break;
            }
        }
        assert_eq!(last, SECONDS - 2, "all that are over");
        assert!(told > 0 && told + lost < SECONDS, "{told} {lost}");
    });
}
