//! The market as its driver sees it: what the events say, over long runs, in whole numbers.

use super::*;

const DEMO: [&str; 8] = ["BTC-USD", "ETH-USD", "SHIB-USD", "AAPL", "KO", "BRK.B", "S000", "FOO-USD"];

/// What one step said, in ticks and units of the last decimal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Said {
    bid: i64,
    ask: i64,
    price: i64,
    size: i64,
    bought: bool,
    summary: Option<Day>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Day {
    open: i64,
    high: i64,
    low: i64,
    volume: i64,
    prev_close: i64,
}

fn ticks(price: Option<Price>) -> i64 {
    i64::try_from(price.map_or(0, |p| p.get().mantissa())).expect("a price of fewer than 19 digits")
}

fn units(size: Option<Size>) -> i64 {
    i64::try_from(size.map_or(0, |s| s.get().mantissa())).expect("a size of fewer than 19 digits")
}

/// Calls `see` with what each of `steps` steps of one instrument says.
fn run(market: &mut Market, index: usize, steps: usize, mut see: impl FnMut(Said)) {
    let mut spare = Events::default();
    for n in 0..steps {
        let mut events = spare.recycle();
        market.step(index, UnixNanos(i64::try_from(n).expect("few steps")), &mut events);
        let mut said = Said::default();
        for event in &events {
            match event {
                Event::Quote(quote) => (said.bid, said.ask) = (ticks(quote.bid), ticks(quote.ask)),
                Event::Trade(trade) => {
                    (said.price, said.size) = (ticks(Some(trade.price)), units(trade.size));
                    said.bought = trade.aggressor == Some(Side::Buy);
                }
                Event::Summary(day) => {
                    said.summary = Some(Day {
                        open: ticks(day.open),
                        high: ticks(day.high),
                        low: ticks(day.low),
                        volume: units(day.volume),
                        prev_close: ticks(day.prev_close),
                    });
                }
                other => unreachable!("the simulator says {other:?}"),
            }
        }
        see(said);
        spare = events.recycle();
    }
}

fn prices(seed: u64, wires: &[&str], index: usize, steps: usize) -> Vec<i64> {
    let mut prices = Vec::with_capacity(steps);
    run(&mut Market::new(seed, wires), index, steps, |said| prices.push(said.price));
    prices
}

/// Every event of `rounds` rounds over all instruments, as text.
fn told(seed: u64, wires: &[&str], rounds: i64, clock: i64) -> Vec<String> {
    let mut market = Market::new(seed, wires);
    let mut lines = Vec::new();
    for round in 0..rounds {
        for index in 0..wires.len() {
            let mut events = Events::default();
            market.step(index, UnixNanos(clock * round), &mut events);
            lines.extend(events.iter().map(|event| format!("{event:?}")));
        }
    }
    lines
}

#[test]
fn the_same_seed_says_the_same_in_the_same_order() {
    assert_eq!(told(7, &DEMO, 200, 1), told(7, &DEMO, 200, 1));
    for (index, wire) in DEMO.iter().enumerate() {
        assert_eq!(prices(7, &DEMO, index, 500), prices(7, &DEMO, index, 500), "{wire}");
        assert_ne!(prices(7, &DEMO, index, 500), prices(8, &DEMO, index, 500), "{wire}");
    }
}

#[test]
fn the_clock_changes_the_times_and_no_price() {
    let without_times = |clock: i64| {
        let lines = told(7, &DEMO, 50, clock);
        lines.into_iter().map(|line| line.split("ts_event").next().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(without_times(1), without_times(-86_400_000_000_000));
    assert_ne!(told(7, &DEMO, 50, 1), told(7, &DEMO, 50, 2));
}

#[test]
fn other_instruments_and_the_order_of_steps_change_no_price() {
    let alone = prices(7, &["ETH-USD"], 0, 2_000);
    assert_eq!(prices(7, &["ETH-USD", "AAPL", "S001"], 0, 2_000), alone);
    assert_eq!(prices(7, &DEMO, 1, 2_000), alone);

    let mut market = Market::new(7, &DEMO);
    let mut interleaved = Vec::new();
    for n in 0..2_000 {
        run(&mut market, 2 + n % 5, n % 3, |_| ());
        run(&mut market, 1, 1, |said| interleaved.push(said.price));
    }
    assert_eq!(interleaved, alone);
}

#[test]
fn every_step_trades_at_the_bid_or_the_ask_and_at_another_price() {
    for (index, wire) in DEMO.iter().enumerate() {
        let mut last = 0;
        run(&mut Market::new(7, &DEMO), index, 20_000, |said| {
            assert!(said.bid < said.ask, "{wire}: {said:?}");
            assert_eq!(said.price, if said.bought { said.ask } else { said.bid }, "{wire}: {said:?}");
            assert_ne!(said.price, last, "{wire}: {said:?}");
            last = said.price;
        });
    }
}

#[test]
fn spreads_are_a_few_ticks() {
    for (index, wire) in ["BTC-USD", "AAPL", "DOGE-USD"].iter().enumerate() {
        let mut seen = [0_usize; 10];
        run(&mut Market::new(7, &["BTC-USD", "AAPL", "DOGE-USD"]), index, 50_000, |said| {
            seen[usize::try_from(said.ask - said.bid).expect("a spread above zero")] += 1;
        });
        assert!(seen[1] > 20_000 && seen[2] > 1_000 && seen[3] > 200, "{wire}: {seen:?}");
        assert_eq!(seen[6..].iter().sum::<usize>(), 0, "{wire}: {seen:?}");
    }
}

#[test]
fn m47_prices_and_sizes_keep_the_decimals_of_a_venue() {
    let decimals = [("BTC-USD", 2, 8), ("SHIB-USD", 8, 0), ("XRP-USD", 4, 6), ("AAPL", 2, 0), ("S000", 2, 0)];
    let wires = decimals.map(|(wire, ..)| wire);
    let mut market = Market::new(7, &wires);
    let after_point = |text: &str| text.split_once('.').map_or(0, |(_, digits)| digits.len());
    for (index, (wire, of_price, of_size)) in decimals.into_iter().enumerate() {
        for _ in 0..500 {
            let mut events = Events::default();
            market.step(index, UnixNanos(0), &mut events);
            for event in &events {
                let (prices, sizes) = match event {
                    Event::Quote(q) => (vec![q.bid, q.ask], vec![q.bid_size, q.ask_size]),
                    Event::Trade(t) => (vec![Some(t.price)], vec![t.size]),
                    Event::Summary(s) => (vec![s.open, s.high, s.low, s.prev_close], vec![s.volume]),
                    other => unreachable!("the simulator says {other:?}"),
                };
                for price in prices {
                    assert_eq!(after_point(&price.expect("a price").to_string()), of_price, "{wire}");
                }
                for size in sizes {
                    assert_eq!(after_point(&size.expect("a size").to_string()), of_size, "{wire}");
                }
            }
        }
    }
}

#[test]
fn a_million_steps_stay_near_the_level() {
    for wire in ["SHIB-USD", "TSLA"] {
        let level = Listing::of(wire).level;
        let (mut low, mut high) = (i64::MAX, 0);
        run(&mut Market::new(7, &[wire]), 0, 1_000_000, |said| {
            low = low.min(said.bid);
            high = high.max(said.ask);
        });
        assert!(low > level * 7 / 10 && high < level * 13 / 10, "{wire}: {low} to {high} around {level}");
        assert!(high - low > level / 50, "{wire} hardly moves: {low} to {high}");
    }
}

#[test]
fn a_walk_at_its_bounds_still_has_a_price() {
    for wire in DEMO {
        let mut instrument = Instrument::new(7, wire, wire, None);
        for place in [-walk::PLACE_MAX, walk::PLACE_MAX] {
            instrument.market = Walk::at(place);
            instrument.own = Walk::at(place);
            instrument.begin_day();
            let (book, print) = instrument.advance(Upset::default());
            assert!(
                book.bid > instrument.listing.level / 2 && print.price < instrument.listing.level * 3 / 2
            );
            assert!(instrument.summary(UnixNanos(0)).low.is_some());
            for (shift, print, spread) in [(-100_000, 0, 4_000), (0, 50_000, 0)] {
                let upset = Upset { shift, print, spread, is_still: true };
                let (book, print) = instrument.advance(upset);
                assert!(
                    book.bid > instrument.listing.level / 2 && print.price > instrument.listing.level / 2
                );
            }
        }
    }
}

#[test]
fn the_days_figures_agree_with_the_trades() {
    for (index, wire) in DEMO.iter().enumerate() {
        let mut first: Option<Day> = None;
        let (mut high, mut low, mut traded, mut summaries) = (0, i64::MAX, 0, 0);
        run(&mut Market::new(7, &DEMO), index, 2_001, |said| {
            assert!(said.size > 0);
            high = high.max(said.price);
            low = low.min(said.price);
            traded += said.size;
            let Some(day) = said.summary else { return };
            summaries += 1;
            let start = *first.get_or_insert_with(|| {
                traded = 0;
                day
            });
            assert!(day.low <= low && high <= day.high, "{wire}: {day:?}");
            assert!(day.low <= day.open && day.open <= day.high, "{wire}: {day:?}");
            assert_eq!((day.open, day.prev_close), (start.open, start.prev_close), "{wire}");
            assert_eq!(day.volume, start.volume + traded, "{wire}");
        });
        assert_eq!(summaries, 101, "{wire}: the first step and every 20th after it");
    }
}

#[test]
fn a_day_begins_with_a_change_of_a_few_percent() {
    let (mut rising, mut falling) = (0, 0);
    for seed in 0..50 {
        for (index, wire) in DEMO.iter().enumerate() {
            run(&mut Market::new(seed, &DEMO), index, 1, |said| {
                let day = said.summary.expect("a summary at the first step");
                let change_bp = (said.price - day.prev_close) * 10_000 / day.prev_close;
                assert!(change_bp.abs() <= 325, "{wire} under {seed}: {change_bp} bp");
                rising += u32::from(change_bp > 10);
                falling += u32::from(change_bp < -10);
            });
        }
    }
    assert!(rising > 100 && falling > 100, "{rising} rise, {falling} fall");
}

/// How often two instruments moved the same way, in percent of blocks in which both moved.
fn same_way_percent(one: &str, other: &str) -> usize {
    let wires = [one, other];
    let blocks: Vec<Vec<i64>> =
        (0..2).map(|index| prices(7, &wires, index, 200_000).into_iter().step_by(500).collect()).collect();
    let moves = |prices: &[i64]| prices.windows(2).map(|w| (w[1] - w[0]).signum()).collect::<Vec<_>>();
    let (one, other) = (moves(&blocks[0]), moves(&blocks[1]));
    let products: Vec<i64> =
        one.iter().zip(&other).map(|(a, b)| a * b).filter(|&product| product != 0).collect();
    products.iter().filter(|&&product| product > 0).count() * 100 / products.len()
}

#[test]
fn instruments_of_a_class_move_together_and_classes_apart() {
    let (crypto, stocks) = (same_way_percent("BTC-USD", "ETH-USD"), same_way_percent("MSFT", "SPY"));
    let apart = same_way_percent("BTC-USD", "SPY");
    assert!(crypto > 65, "BTC and ETH: {crypto} % of blocks");
    assert!(stocks > 60, "MSFT and SPY: {stocks} % of blocks");
    assert!((40..60).contains(&apart), "BTC and SPY: {apart} % of blocks");
}

#[test]
fn busy_phases_move_more_at_wider_spreads_than_quiet_ones() {
    for wire in ["BTC-USD", "AAPL"] {
        // Per block of a minute at five steps a second: how far the middle went, and the spreads, both summed.
        let mut blocks = vec![(0_i64, 0_i64); 1_000];
        let (mut n, mut middle) = (0, None);
        run(&mut Market::new(7, &[wire]), 0, 300_000, |said| {
            let block = &mut blocks[n / 300];
            let now = said.bid + said.ask;
            block.0 += (now - middle.unwrap_or(now)).abs();
            block.1 += said.ask - said.bid;
            (n, middle) = (n + 1, Some(now));
        });
        blocks.sort_unstable();
        let sum = |blocks: &[(i64, i64)]| blocks.iter().fold((0, 0), |sum, b| (sum.0 + b.0, sum.1 + b.1));
        let (quiet, busy) = (sum(&blocks[..100]), sum(&blocks[900..]));
        assert!(busy.0 > quiet.0 * 2, "{wire}: {quiet:?} and {busy:?}");
        assert!(busy.1 > quiet.1 * 2, "{wire}: {quiet:?} and {busy:?}");
    }
}

#[test]
fn ids_and_sequences_rise_by_one() {
    let mut market = Market::new(7, &DEMO);
    for n in 1..=1_000 {
        let mut events = Events::default();
        market.step(3, UnixNanos(5), &mut events);
        let mut seen = 0;
        for event in &events {
            match event {
                Event::Quote(q) => assert_eq!((q.sequence, q.ts_event), (Some(n), Some(UnixNanos(5)))),
                Event::Trade(t) => assert_eq!(t.id.as_ref().and_then(TradeId::number), Some(n)),
                _ => continue,
            }
            seen += 1;
        }
        assert_eq!(seen, 2);
    }
}

#[test]
fn an_index_beyond_the_list_says_nothing() {
    let mut market = Market::new(7, &DEMO);
    let mut events = Events::default();
    market.step(DEMO.len(), UnixNanos(0), &mut events);
    assert!(events.is_empty());
}

#[test]
fn stocks_trade_whole_shares_often_in_round_lots() {
    let mut round = 0;
    run(&mut Market::new(7, &["AAPL"]), 0, 10_000, |said| round += usize::from(said.size % 100 == 0));
    assert!((4_000..7_000).contains(&round), "{round} of 10,000 in round lots");
}

#[test]
fn coins_trade_in_crumbs_and_in_heaps() {
    let mut sizes = Vec::new();
    run(&mut Market::new(7, &["BTC-USD"]), 0, 20_000, |said| sizes.push(said.size));
    sizes.sort_unstable();
    // In units of 0.00000001 BTC: half below about 0.006, the smallest tenth far below, the largest far above.
    assert!((400_000..900_000).contains(&sizes[10_000]), "median {}", sizes[10_000]);
    assert!(sizes[2_000] < 200_000 && sizes[20] < 42_117, "{} and {}", sizes[2_000], sizes[20]);
    assert!(sizes[18_000] > 2_000_000, "{}", sizes[18_000]);
    let mean = sizes.iter().sum::<i64>() / 20_000;
    let expected = Listing::of("BTC-USD").size * mean_tenths(Class::Crypto) / 10;
    assert!((expected * 9 / 10..expected * 11 / 10).contains(&mean), "mean {mean}, expected {expected}");
}
