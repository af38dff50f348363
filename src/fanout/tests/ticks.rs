//! Streams of trades: none twice, none out of order, none missing without a word, whoever writes, follows and leaves.

use std::collections::VecDeque;

use rand::RngExt;

use super::*;

/// What such a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Trade { symbol: String, price: String, version: u64 },
    Gap(serde_json::Value),
}

impl Desk {
    fn ticks(&self, from: From, history: usize) -> Place {
        self.fanout.place(Wanted { mode: Mode::Ticks { from, history }, ..self.wanted() })
    }
}

/// Takes turns until there is nothing to say.
fn all(desk: &Desk, place: &mut Place) -> Vec<Said> {
    let mut said = Vec::new();
    let mut shelf = Shelf::alone(Framing::Bare);
    while let Turn::Flush(flush) = place.turn(&desk.fanout, &mut shelf, Instant::now()) {
        let text = String::from_utf8(flush.bytes.to_vec()).expect("text");
        said.extend(text.trim_end_matches('\n').split("\n\n").map(read));
    }
    said
}

fn read(block: &str) -> Said {
    let data = block.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    let json: serde_json::Value = serde_json::from_str(data).expect("JSON");
    if block.starts_with("event: gap\n") {
        return Said::Gap(json);
    }
    let (_, id) = block.split_once("\nid: 7f3a.").expect("an id");
    let text = |name: &str| json[name].as_str().expect("text").to_owned();
    Said::Trade { symbol: text("symbol"), price: text("price"), version: id.parse().expect("a version") }
}

fn prices(said: &[Said]) -> String {
    let one = |said: &Said| match said {
        Said::Trade { symbol, price, .. } => format!("{symbol}={price}"),
        Said::Gap(gap) => format!("gap:{}", gap["cause"].as_str().expect("a cause")),
    };
    said.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_trade_is_sent_in_order_also_those_of_one_frame() {
    let desk = Desk::new(2);
    desk.set(0, "1");
    let mut place = desk.ticks(From::Now, 16);
    assert_eq!(prices(&all(&desk, &mut place)), "", "what was before is no news");
    desk.set(0, "2");
    let events = ["3", "3", "4"].map(|price| Event::Trade(trade(price)));
    let source = SourceRef { symbol: SymbolId(1), index: 0 };
    desk.latest.apply(source, &events, clock::now(), |_, _| {});
    desk.set(0, "2");
    let said = all(&desk, &mut place);
    assert_eq!(prices(&said), "S0=2 S1=3 S1=3 S1=4 S0=2");
    let versions: Vec<_> = said
        .iter()
        .map(|said| match said {
            Said::Trade { version, .. } => *version,
            Said::Gap(gap) => panic!("{gap}"),
        })
        .collect();
    assert_eq!(versions, [2, 3, 4, 5, 6], "each has an id of its own");
    // The other mode's ids are of the same count: S0's price moved last with the second trade, S1's with the fifth.
    let mut newest = desk.fanout.place(desk.wanted());
    let Turn::Flush(flush) = newest.turn(&desk.fanout, &mut Shelf::alone(Framing::Bare), Instant::now())
    else {
        panic!("a snapshot")
    };
    assert_eq!(
        messages(&flush).iter().map(|message| message.version).collect::<Vec<_>>(),
        [Some(2), Some(5)]
    );
}

#[test]
fn m32_what_a_venue_or_a_full_history_lost_is_told_where_it_is_missing() {
    let desk = Desk::new(1);
    let mut place = desk.ticks(From::Now, 4);
    desk.set(0, "1");
    desk.latest.gap(Venue::Sim, "S0", Some(7));
    desk.set(0, "2");
    let said = all(&desk, &mut place);
    assert_eq!(prices(&said), "S0=1 gap:feed S0=2");
    let Said::Gap(gap) = &said[1] else { panic!("{said:?}") };
    let feed = serde_json::json!({"symbol": "S0", "cause": "feed", "through": "7f3a.2", "venue": "sim", "missing": 7});
    assert_eq!(*gap, feed);
    for price in 3..=12 {
        desk.set(0, &price.to_string());
    }
    let said = all(&desk, &mut place);
    assert_eq!(prices(&said), "gap:overflow S0=9 S0=10 S0=11 S0=12");
    let Said::Gap(gap) = &said[0] else { panic!("{said:?}") };
    let overflow =
        serde_json::json!({"symbol": "S0", "cause": "overflow", "after": "7f3a.3", "through": "7f3a.9"});
    assert_eq!(*gap, overflow);
    desk.latest.down(Venue::Sim, &["S0"], clock::now());
    assert_eq!(prices(&all(&desk, &mut place)), "gap:feed");
}

#[test]
fn p37_a_client_that_comes_back_gets_what_it_missed_or_is_told() {
    let desk = Desk::new(2);
    drop(desk.ticks(From::Now, 8));
    for (symbol, price) in [(0, "1"), (1, "2"), (0, "3")] {
        desk.set(symbol, price);
    }
    let resume = |cursor: &str| all(&desk, &mut desk.ticks(desk.fanout.resume_ticks(cursor), 8));
    assert_eq!(prices(&resume("7f3a.0")), "S0=1 S1=2 S0=3", "kept for who comes back");
    assert_eq!(prices(&resume("7f3a.2")), "S0=3");
    assert_eq!(prices(&resume("7f3a.3")), "");
    for cursor in ["7f3b.2", "7f3a.4", "nonsense", ""] {
        assert_eq!(prices(&resume(cursor)), "gap:unknown_cursor", "{cursor}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_history_is_kept_for_a_while_after_its_last_follower_and_not_for_ever() {
    let desk = Desk::new(1);
    let place = desk.ticks(From::Now, 8);
    desk.set(0, "1");
    drop(place);
    let later = |minutes: u64| {
        let now = clock::now();
        crate::consolidate::Moment { at: now.at + Duration::from_secs(60 * minutes), ..now }
    };
    desk.latest.sweep(later(4));
    let mut back = desk.ticks(desk.fanout.resume_ticks("7f3a.0"), 8);
    assert_eq!(prices(&all(&desk, &mut back)), "S0=1");
    drop(back);
    desk.latest.sweep(later(6));
    assert_eq!(desk.latest.trades(SymbolId(0), 0, 99, 99).entries.len(), 0);
    let mut late = desk.ticks(desk.fanout.resume_ticks("7f3a.0"), 8);
    assert!(prices(&all(&desk, &mut late)).starts_with("gap:overflow"));
}

#[test]
fn a_long_backlog_comes_in_several_flushes_and_in_order() {
    let desk = Desk::new(3);
    let mut place = desk.ticks(From::Now, 2_000);
    for change in 0..3_000_u32 {
        // One symbol has most of it.
        let symbol = if change % 5 == 0 { 1 + change % 2 } else { 0 };
        desk.set(symbol, &format!("{}", 1 + change));
    }
    let said = all(&desk, &mut place);
    let expected: Vec<_> = (1..=3_000).map(|price| price.to_string()).collect();
    let got: Vec<_> = said
        .iter()
        .filter_map(|said| match said {
            Said::Trade { price, .. } => Some(price.clone()),
            Said::Gap(_) => None,
        })
        .collect();
    // The first symbol had 2,400, of which 2,000 are kept.
    assert!(matches!(&said[0], Said::Gap(gap) if gap["symbol"] == "S0"), "{:?}", said[0]);
    assert!(got.iter().map(|price| price.parse::<u32>().expect("a number")).is_sorted());
    assert_eq!(got.len(), 2_600);
    assert_eq!(got.last(), expected.last());
}

/// Several threads write, others follow, leave at any moment and come back with their last id: at the end each has every
/// trade once, in the order in which it was made.
#[test]
fn p37_whoever_writes_follows_and_leaves_no_trade_is_lost_doubled_or_out_of_order() {
    const WRITERS: u32 = 3;
    const READERS: u32 = 4;
    const CHANGES: u32 = 2_000;
    let desk = Desk::new(WRITERS as usize);
    // Everything is kept, so that nothing may be missing.
    let keep = desk.ticks(From::Now, 100_000);
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let (desk, done) = (&desk, &done);
        // Each symbol has one writer, so that the order in which its trades are made is known.
        let write = |symbol: u32| {
            move || (0..CHANGES).for_each(|change| desk.set(symbol, &format!("{}", 1 + change)))
        };
        let read = move || {
            let mut rng = rand::rng();
            let mut expected: BTreeMap<String, VecDeque<String>> = BTreeMap::new();
            for symbol in 0..WRITERS {
                let prices = (0..CHANGES).map(|change| (1 + change).to_string()).collect();
                expected.insert(format!("S{symbol}"), prices);
            }
            let mut newest = 0;
            let mut place = desk.ticks(desk.fanout.resume_ticks("7f3a.0"), 8);
            loop {
                let over = done.load(Ordering::SeqCst);
                let said = all(desk, &mut place);
                // A client may be cut after any block, and then knows of nothing behind it.
                let cut = if rng.random_bool(0.3) { rng.random_range(0..=said.len()) } else { said.len() };
                for said in &said[..cut] {
                    let Said::Trade { symbol, price, version } = said else { panic!("{said:?}") };
                    assert!(*version > newest, "ids ascend");
                    newest = *version;
                    let next = expected.get_mut(symbol).and_then(VecDeque::pop_front);
                    assert_eq!(next.as_deref(), Some(price.as_str()), "{symbol}");
                }
                if over && cut == said.len() {
                    break;
                }
                if cut < said.len() || rng.random_bool(0.1) {
                    place = desk.ticks(desk.fanout.resume_ticks(&format!("7f3a.{newest}")), 8);
                }
            }
            assert!(expected.values().all(VecDeque::is_empty), "something is missing");
        };
        let writers: Vec<_> = (0..WRITERS).map(|symbol| threads.spawn(write(symbol))).collect();
        let readers: Vec<_> = (0..READERS).map(|_| threads.spawn(read)).collect();
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        done.store(true, Ordering::SeqCst);
        readers.into_iter().for_each(|reader| reader.join().expect("a reader"));
    });
    drop(keep);
}

#[test]
fn a_place_that_follows_one_more_symbol_gets_its_trades_from_then_on_and_no_gap() {
    let desk = Desk::new(3);
    let mut place = desk.fanout.place(Wanted {
        symbols: vec![SymbolId(0), SymbolId(1)],
        mode: Mode::Ticks { from: From::Now, history: 16 },
        ..desk.wanted()
    });
    desk.set(0, "1");
    desk.set(2, "1");
    place.follow(&desk.fanout, &[SymbolId(0), SymbolId(2)], Instant::now());
    desk.set(0, "2");
    desk.set(1, "2");
    desk.set(2, "2");
    assert_eq!(prices(&all(&desk, &mut place)), "S0=1 S0=2 S2=2");
}
