//! Each scenario as its driver hears it, step by step, without a clock.

use super::*;
use crate::Price;

const FIVE: [(Venue, &str); 5] = [
    (Venue::Coinbase, "BTC-USD"),
    (Venue::Kraken, "BTC/USD"),
    (Venue::Bitstamp, "btcusd"),
    (Venue::Gemini, "btcusd"),
    (Venue::Bitfinex, "tBTCUSD"),
];

fn roles() -> Vec<Role> {
    let others =
        [(Venue::Coinbase, "ETH-USD"), (Venue::Sim, "AAPL"), (Venue::Sim, "MSFT"), (Venue::Sim, "DOGE-USD")];
    FIVE.iter().chain(&others).map(|(venue, wire)| Role::new(*venue, wire)).collect()
}

/// Plays through a scenario twice, every role every 200 ms, and hands what each step said to `see`.
fn play(scenario: Scenario, mut see: impl FnMut(usize, &'static str, &Events<'_>)) {
    let mut play = Play::new(7, scenario, roles());
    let length: Duration = scenario.phases().iter().map(|phase| phase.lasts).sum();
    let mut at = Duration::ZERO;
    let mut spare = Events::default();
    while at < length * 2 {
        for index in 0..play.roles().len() {
            let mut events = spare.recycle();
            play.step(index, at, UnixNanos(1), &mut events);
            see(index, scenario.at(at).phase.name, &events);
            spare = events.recycle();
        }
        at += Duration::from_millis(200);
    }
}

/// The trades' prices and the spreads of one role, by phase.
fn prices(scenario: Scenario, role: usize) -> Vec<(&'static str, Price, Price, Price)> {
    let mut found = Vec::new();
    play(scenario, |index, phase, events| {
        let trade = events.iter().find_map(|event| match event {
            Event::Trade(trade) => Some(trade.price),
            _ => None,
        });
        let top = events.iter().find_map(|event| match event {
            Event::Quote(quote) => Some((quote.bid?, quote.ask?)),
            _ => None,
        });
        if let (true, Some(price), Some((bid, ask))) = (index == role, trade, top) {
            found.push((phase, price, bid, ask));
        }
    });
    found
}

fn extremes(prices: &[(&'static str, Price, Price, Price)], wanted: &str) -> (Price, Price) {
    let of_phase = || prices.iter().filter(|(phase, ..)| *phase == wanted).map(|(_, price, ..)| *price);
    (of_phase().min().expect("prices in it"), of_phase().max().expect("prices in it"))
}

fn ratio(a: Price, b: Price) -> rust_decimal::Decimal {
    a.get() / b.get()
}

fn thousandths(n: i64) -> rust_decimal::Decimal {
    rust_decimal::Decimal::new(n, 3)
}

#[test]
fn the_same_seed_gives_the_same_events_in_every_scenario() {
    for &scenario in Scenario::ALL {
        let run = || {
            let mut said = Vec::new();
            play(scenario, |index, phase, events| said.push(format!("{index} {phase} {events:?}")));
            said
        };
        let first = run();
        assert!(first.len() > 1000 && first == run(), "{scenario}");
    }
}

#[test]
fn venues_have_the_same_instrument_at_nearly_the_same_price() {
    let [one, other] = [0, 1].map(|role| prices(Scenario::ReconnectStorm, role));
    let other_calm: Vec<_> = other.iter().filter(|(phase, ..)| *phase == "calm").collect();
    let mut differ = 0;
    for ((_, a, ..), (_, b, ..)) in one.iter().filter(|(phase, ..)| *phase == "calm").zip(other_calm) {
        assert!((ratio(*a, *b) - thousandths(1_000)).abs() < rust_decimal::Decimal::new(2, 4), "{a} {b}");
        differ += usize::from(a != b);
    }
    assert!(differ > 100, "{differ}");
}

#[test]
fn a_flash_crash_takes_a_tenth_of_every_other_instrument_on_wide_spreads() {
    let (struck, spared) = (prices(Scenario::FlashCrash, 0), prices(Scenario::FlashCrash, 5));
    let calm = extremes(&struck, "calm").0;
    let bottom = extremes(&struck, "bottom").1;
    assert!(
        ratio(bottom, calm) < thousandths(915) && ratio(bottom, calm) > thousandths(880),
        "{bottom} {calm}"
    );
    let spread = |wanted: &str| {
        let spreads =
            struck.iter().filter(|(phase, ..)| *phase == wanted).map(|(_, _, bid, ask)| ratio(*ask, *bid));
        spreads.max().expect("spreads in it") - thousandths(1_000)
    };
    assert!(
        spread("calm") < rust_decimal::Decimal::new(1, 5) && spread("bottom") > thousandths(4),
        "{}",
        spread("bottom")
    );
    let settled = extremes(&struck, "settling").0;
    assert!(ratio(settled, calm) > thousandths(980), "{settled} {calm}");
    assert!(ratio(extremes(&spared, "bottom").0, extremes(&spared, "calm").0) > thousandths(985));
}

#[test]
fn a_halt_is_told_once_each_way_and_nothing_is_traded_in_between() {
    let mut told = Vec::new();
    play(Scenario::Halt, |index, phase, events| {
        for event in events {
            if let Event::Status(status) = event {
                told.push((index, phase, status.halted));
            }
        }
        assert!(index != 6 || phase != "halted" || events.len() < 2, "{events:?}");
        assert!(index == 6 || events.len() >= 2, "others go on");
    });
    assert_eq!(told, [(6, "halted", true), (6, "calm", false), (6, "halted", true)]);
}

#[test]
fn a_bad_print_is_one_venues_trades_alone() {
    let (bad, good) = (prices(Scenario::BadPrint, 1), prices(Scenario::BadPrint, 0));
    let mut seen = 0;
    for ((phase, price, _, ask), (_, right, ..)) in bad.iter().zip(&good) {
        if *phase == "bad print" {
            assert!((ratio(*price, *right) - thousandths(1_050)).abs() < thousandths(1), "{price} {right}");
            assert!(ratio(*ask, *right) < thousandths(1_001), "its quotes are right");
            seen += 1;
        } else {
            assert!((ratio(*price, *right) - thousandths(1_000)).abs() < thousandths(1), "{price} {right}");
        }
    }
    assert_eq!(seen, 100);
}

#[test]
fn connections_are_lost_where_the_scenario_says_so() {
    let at = Duration::from_millis;
    let storm = Play::new(7, Scenario::ReconnectStorm, roles());
    assert_eq!(storm.venue(), Some(Venue::Coinbase));
    let links =
        [0, 20_000, 21_600, 22_100, 22_600, 25_200, 70_000].map(|ms| storm.link(Venue::Coinbase, at(ms)));
    let [calm, lost, dialling, subscribing, open, again, back] = links;
    assert_eq!((lost, again), (Link::Closed(at(1_500)), Link::Closed(at(1_300))));
    assert_eq!((dialling, subscribing), (Link::Dialling, Link::Subscribing));
    assert_eq!([calm, open, back], [Link::Open; 3]);
    assert_eq!(storm.link(Venue::Kraken, at(20_000)), Link::Open);
    let outage = Play::new(7, Scenario::Outage, roles());
    assert_eq!(outage.link(Venue::Kraken, at(30_000)), Link::Mute);
    assert_eq!(outage.link(Venue::Kraken, at(40_000)), Link::Closed(at(4_000)));
    assert_eq!(outage.link(Venue::Sim, at(44_100)), Link::Dialling);
    play(Scenario::Outage, |_, phase, events| {
        assert_eq!(events.is_empty(), matches!(phase, "silent" | "unreachable"), "{phase}");
    });
}

#[test]
fn a_burst_is_many_ticks_at_prices_that_stand_still() {
    let burst = Play::new(7, Scenario::Burst, roles());
    assert_eq!(burst.steps_at_once(Duration::from_secs(1), 45), 1);
    assert_eq!(burst.steps_at_once(Duration::from_secs(9), 45) * 45 * 2, 49_950);
    assert_eq!(burst.steps_at_once(Duration::from_secs(9), 1_000_000), 1);
    let (low, high) = extremes(&prices(Scenario::Burst, 0), "burst");
    assert!(ratio(high, low) < rust_decimal::Decimal::new(10_003, 4), "{low} {high}");
}

#[test]
fn after_hours_prints_are_marked_and_a_closed_market_is_quiet() {
    let mut trades = 0;
    play(Scenario::MarketClose, |index, phase, events| {
        assert_eq!(events.is_empty(), phase == "closed" && (index == 6 || index == 7), "{index} {phase}");
        for event in events {
            if let Event::Trade(trade) = event {
                let expected = if index == 6 && phase != "open" { EXTENDED } else { Moves::ALL };
                assert!(trade.moves == expected || index == 7, "{phase} {trade:?}");
                trades += 1;
            }
        }
    });
    assert!(trades > 1000);
    let play = Play::new(7, Scenario::MarketClose, roles());
    let night = Duration::from_secs(40);
    assert_eq!(play.session(night), hours::Phase::Closed);
    // There the simulator has a pair beside its stocks.
    assert!(!play.is_at_rest(Venue::Sim, night) && !play.is_at_rest(Venue::Kraken, night));
    let stocks = Play::new(7, Scenario::MarketClose, vec![Role::new(Venue::Sim, "AAPL")]);
    assert!(stocks.is_at_rest(Venue::Sim, night) && !stocks.is_at_rest(Venue::Sim, Duration::ZERO));
}
