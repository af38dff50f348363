//! One node publishes, and another one goes on: without NATS, by what each says and reads.

use std::time::Duration;

use proptest::prelude::*;
use tickcast_feeds::{Event, Trade, TradeId};
use tokio::time::Instant;

use super::*;
use crate::catalogue::Catalogue;
use crate::config;
use crate::consolidate::Moment;
use crate::consolidate::tests::trade;
use crate::fanout::Bells;

const EPOCH: Epoch = Epoch(0x7f3a);
const BTC: SymbolId = SymbolId(0);
const VENUES: [Venue; 2] = [Venue::Kraken, Venue::Coinbase];

/// A node that hears two venues.
struct Node {
    latest: Latest,
    trades: Trades,
    line: Progress,
}

/// How a venue tells its trades apart.
#[derive(Clone, Copy, Debug)]
enum By {
    Time,
    Number,
    /// Several have the same time.
    Shared,
}

impl Node {
    fn new(node: u32) -> Self {
        let text = "[[instrument]]\nsymbol = \"BTC\"\nclass = \"crypto\"\n\
                    sources = [\"kraken:BTC/USD\", \"coinbase:BTC-USD\"]\n[feeds.kraken]\n[feeds.coinbase]";
        let config = config::load(text, "test", std::iter::empty()).expect("a config");
        let catalogue = Arc::new(Catalogue::new(config.instruments));
        let silence = Duration::from_secs(600);
        let latest =
            Latest::new(catalogue, &VENUES.map(|venue| (venue, silence)), Arc::new(Bells::default()));
        let metrics = Arc::new(Metrics::default());
        let trades = Trades { latest: latest.clone(), metrics, epoch: EPOCH, node, most: 500, taken: 0 };
        let mut node = Self { latest, trades, line: Progress::default() };
        node.trades.join(BTC);
        node
    }

    /// The venue's trade with this number, which is its price too.
    fn hear(&self, venue: usize, number: u64, told: By) {
        let id = matches!(told, By::Number).then(|| TradeId(number.to_string().into()));
        let at = match told {
            By::Time => number,
            By::Shared | By::Number => number / 3,
        };
        let ts_event = i64::try_from(at).map(|at| UnixNanos(at + 1_000)).ok();
        let trade = Trade { id, ts_event, ..trade(&number.to_string()) };
        let source = crate::catalogue::SourceRef { symbol: BTC, index: venue };
        self.latest.apply(source, &[Event::Trade(trade)], crate::clock::now(), |_, _| {});
    }

    /// Publishes one message behind another, if there is anything to say.
    fn publish(&mut self) -> Option<Vec<u8>> {
        let held = Held { fence: 1, until: Instant::now() };
        self.trades.has_news(BTC, &self.line).then_some(())?;
        self.trades.next(BTC, &mut self.line, held, 0)
    }

    /// Publishes what there is, if there is anything, with this answer. 0: it is stored; 1: it is, and the answer was lost; 2: it
    /// is not, which nobody knows.
    fn say(&mut self, stored: &mut Vec<Vec<u8>>, answer: u8) -> bool {
        let Some(message) = self.publish() else { return false };
        if answer < 2 {
            stored.push(message);
        }
        self.settle(answer == 0, stored.last().map(|bytes| &**bytes));
        true
    }

    /// Its message is stored, or nobody knows.
    fn settle(&mut self, is_known: bool, stored: Option<&[u8]>) {
        if is_known {
            self.trades.stored(BTC, &mut self.line);
        } else {
            self.trades.found(BTC, &mut self.line, stored);
        }
    }
}

/// What readers get of these messages: by venue the numbers, and 0 for a hole.
fn read(stored: &[Vec<u8>]) -> [Vec<u64>; 2] {
    let mut out = [Vec::new(), Vec::new()];
    for bytes in stored {
        for entry in Message::decode(bytes).expect("our own bytes").entries {
            let (venue, number) = match entry {
                TradesEntry::Trade(ticker, _) => {
                    let price = ticker.price.expect("a trade's").to_string();
                    (ticker.venue, price.parse().expect("a number"))
                }
                TradesEntry::Missed(missed) => (missed.venue, 0),
            };
            let index = VENUES.iter().position(|&known| Some(known) == venue).expect("one of both");
            out[index].push(number);
        }
    }
    out
}

fn told() -> impl Strategy<Value = By> {
    prop_oneof![Just(By::Time), Just(By::Number), Just(By::Shared)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The first hears everything and dies at some point; the second hears the same at its own pace.
    #[test]
    fn p62_whoever_takes_over_whenever_each_trade_is_published_once_and_in_its_venues_order(
        heard in prop::collection::vec(0_usize..2, 1..60),
        publishes in prop::collection::vec(any::<bool>(), 60),
        answers in prop::collection::vec(0_u8..3, 60),
        later in prop::collection::vec(0_u8..3, 60),
        died_at in 0_usize..60,
        lags in [0_usize..20, 0_usize..20],
        told in told(),
    ) {
        let (mut first, mut second) = (Node::new(1), Node::new(2));
        let (mut stored, mut count) = (Vec::<Vec<u8>>::new(), [0_u64; 2]);
        let died_at = died_at.min(heard.len());
        first.settle(false, None);
        for (index, &venue) in heard[..died_at].iter().enumerate() {
            count[venue] += 1;
            first.hear(venue, count[venue], told);
            if publishes[index] {
                first.say(&mut stored, answers[index]);
            }
        }
        // By the take-over the second one has heard a part of it, or more than was published.
        let before = [0, 1].map(|venue| count[venue].saturating_sub(lags[venue] as u64));
        for venue in [0, 1] {
            (1..=before[venue]).for_each(|number| second.hear(venue, number, told));
        }
        second.settle(false, stored.last().map(|bytes| &**bytes));
        let all = [0, 1].map(|venue| heard.iter().filter(|&&of| of == venue).count() as u64);
        let mut later = later.into_iter();
        for venue in [0, 1] {
            for number in before[venue] + 1..=all[venue] {
                second.hear(venue, number, told);
                second.say(&mut stored, later.next().unwrap_or(0));
            }
        }
        while second.say(&mut stored, 0) {}
        let published = read(&stored);
        for venue in [0, 1] {
            // None is doubled, none is missing, and no hole is told where there is none.
            prop_assert_eq!(&published[venue], &(1..=all[venue]).collect::<Vec<_>>());
        }
    }
}

#[test]
fn who_heard_nothing_up_to_where_the_other_got_says_that_some_may_be_missing() {
    let (mut first, mut second) = (Node::new(1), Node::new(2));
    first.settle(false, None);
    (1..=5).for_each(|number| first.hear(0, number, By::Time));
    let message = first.publish().expect("five");
    first.settle(true, None);
    second.hear(0, 8, By::Time);
    second.settle(false, Some(&message));
    let next = second.publish().expect("one");
    second.settle(true, None);
    assert_eq!(read(std::slice::from_ref(&next))[0], [0, 8]);
    // And who heard some of it and then not.
    first.hear(0, 6, By::Time);
    first.latest.down(VENUES[0], &["BTC/USD"], crate::clock::now());
    first.hear(0, 9, By::Time);
    first.settle(false, Some(&next));
    assert_eq!(read(&[first.publish().expect("one more")])[0], [0, 9]);
}

#[test]
fn what_nobody_took_in_time_is_a_hole_and_what_was_published_is_let_go_of() {
    let mut node = Node::new(1);
    node.settle(false, None);
    (1..=600).for_each(|number| node.hear(0, number, By::Time));
    let message = Message::decode(&node.publish().expect("the newest")).expect("our own bytes");
    assert_eq!(message.entries[0], TradesEntry::Missed(Missed { venue: None, trades: None }));
    assert_eq!(message.entries.len(), 1 + TAKEN_MAX);
    assert!(node.trades.stored(BTC, &mut node.line), "there is more");
    assert_eq!(node.trades.metrics.bus_trades_torn.get(), 1);
    while node.publish().is_some() {
        node.settle(true, None);
    }
    assert_eq!(node.line.through, 600);
    let now = crate::clock::now();
    let later = |seconds: i64| Moment { wall: UnixNanos(now.wall.0 + seconds * 1_000_000_000), ..now };
    node.latest.sweep(later(5));
    assert_eq!(node.latest.trades_start(BTC).since, 100, "so many are kept at most");
    node.latest.sweep(later(11));
    let Start { since, gone, published } = node.latest.trades_start(BTC);
    assert_eq!((since, published, gone.len(), gone[0].at), (600, 600, 1, Some(UnixNanos(1_600))));
    // What was not published stays longer.
    node.hear(0, 601, By::Time);
    node.latest.sweep(later(50));
    assert_eq!(node.latest.trades_start(BTC).since, 600);
    node.latest.sweep(later(61));
    assert_eq!(node.latest.trades_start(BTC).since, 601);
}
