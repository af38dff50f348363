//! What the simulator knows of an instrument before its first step: level, decimals, liveliness, sizes. The
//! levels look real and are not: no number here was ever a quotation.

use super::walk::hash;

/// Which market factor an instrument follows, and in what lots it trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A pair such as `BTC-USD`: sizes are fractions of a coin.
    Crypto,
    /// A stock such as `AAPL`: sizes are whole shares, often round lots.
    Stock,
}

/// One instrument's constants. A tick is one unit of the last decimal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listing {
    pub(super) class: Class,
    /// Where the price starts and returns to, in ticks. At least 1,000, or a spread would be a visible part of
    /// it; at most 1,000,000,000, which keeps every product of the walk within an `i64`.
    pub(super) level: i64,
    /// Decimals of a price.
    pub(super) decimals: u32,
    /// Usual spread, in ticks.
    pub(super) spread: i64,
    /// Usual move of one day, in hundredths of a percent.
    pub(super) day_bp: i64,
    /// Percent of a move that is the market's; the rest is its own.
    pub(super) follows: i64,
    /// Median size of a trade, in units of its last decimal.
    pub(super) size: i64,
    /// Decimals of a size.
    pub(super) size_decimals: u32,
}

impl Listing {
    /// What is known of `wire`, or constants derived from the name alone, so that an unknown instrument has
    /// the same level under every seed.
    pub(super) fn of(wire: &str) -> Self {
        let known = KNOWN.iter().find(|(name, _)| *name == wire);
        known.map_or_else(|| derived(wire), |(_, listing)| *listing)
    }
}

fn derived(wire: &str) -> Listing {
    let bits = hash(0, wire);
    let mut rest = (bits >> 1).cast_signed();
    let mut pick = |low: i64, high: i64| {
        let value = low + rest % (high - low);
        rest /= high - low;
        value
    };
    if wire.contains('-') {
        // Four coins: two to six decimals, mostly four.
        let decimals = 2 + (bits >> 60).count_ones();
        let level = pick(1_000, 100_000);
        // About 200 of the quote currency a trade, in ten-thousandths of a coin.
        let size = 200 * 10_000 * 10_i64.pow(decimals) / level;
        crypto(level, decimals, pick(1, 4), pick(200, 600), 70, size, 4)
    } else {
        stock(pick(1_000, 50_000), pick(1, 4), pick(80, 250), 55, pick(20, 120))
    }
}

const fn crypto(
    level: i64,
    decimals: u32,
    spread: i64,
    day_bp: i64,
    follows: i64,
    size: i64,
    size_decimals: u32,
) -> Listing {
    Listing { class: Class::Crypto, level, decimals, spread, day_bp, follows, size, size_decimals }
}

const fn stock(level: i64, spread: i64, day_bp: i64, follows: i64, size: i64) -> Listing {
    Listing { class: Class::Stock, level, decimals: 2, spread, day_bp, follows, size, size_decimals: 0 }
}

#[rustfmt::skip]
const KNOWN: &[(&str, Listing)] = &[
    //                   level    decimals spread day_bp follows size       size_decimals
    ("BTC-USD",  crypto(6_701_230,   2,     1,    250,    92,     600_000,     8)),
    ("ETH-USD",  crypto(  348_155,   2,     1,    320,    88,   9_000_000,     8)),
    ("SOL-USD",  crypto(   15_242,   2,     1,    420,    80, 120_000_000,     8)),
    ("XRP-USD",  crypto(    5_817,   4,     1,    380,    72,  26_000_000,     6)),
    ("DOGE-USD", crypto(   16_384,   5,     1,    480,    75,       8_000,     1)),
    ("ADA-USD",  crypto(    4_512,   4,     1,    400,    76,  21_000_000,     5)),
    ("LTC-USD",  crypto(    8_437,   2,     1,    330,    74,  90_000_000,     8)),
    ("LINK-USD", crypto(   14_386,   3,     2,    410,    76,         700,     2)),
    ("AVAX-USD", crypto(    3_561,   2,     1,    440,    78, 260_000_000,     8)),
    ("DOT-USD",  crypto(    7_218,   3,     1,    390,    77,   1_600_000,     5)),
    ("BCH-USD",  crypto(   48_210,   2,     3,    350,    70,   8_000_000,     8)),
    ("SHIB-USD", crypto(    2_468,   8,     1,    520,    70,     800_000,     0)),
    ("AAPL",     stock(    23_105,          1,    140,    68,         60)),
    ("MSFT",     stock(    42_187,          2,    130,    72,         40)),
    ("NVDA",     stock(    13_164,          1,    260,    66,        100)),
    ("GOOGL",    stock(    17_642,          1,    150,    66,         60)),
    ("AMZN",     stock(    19_873,          1,    165,    66,         60)),
    ("META",     stock(    56_731,          6,    190,    62,         25)),
    ("TSLA",     stock(    24_816,          2,    330,    50,         80)),
    ("AMD",      stock(    14_952,          1,    270,    60,         70)),
    ("NFLX",     stock(    70_418,         12,    180,    50,         15)),
    ("JPM",      stock(    21_248,          2,    120,    60,         35)),
    ("V",        stock(    28_460,          3,    100,    60,         25)),
    ("KO",       stock(     6_954,          1,     80,    45,         70)),
    ("DIS",      stock(     9_377,          1,    140,    55,         50)),
    ("BRK.B",    stock(    45_629,          9,     90,    65,         18)),
    ("SPY",      stock(    57_064,          1,     90,    96,        110)),
    ("QQQ",      stock(    48_812,          1,    120,    93,         90)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listing_stays_within_what_the_walk_can_carry() {
        let derived = (0..2_000).flat_map(|n| [format!("S{n:03}"), format!("COIN{n}-USD")]);
        for wire in derived.chain(KNOWN.iter().map(|(name, _)| (*name).to_owned())) {
            let listing = Listing::of(&wire);
            assert!((1_000..=1_000_000_000).contains(&listing.level), "{wire}: {listing:?}");
            assert!((1..=20).contains(&listing.spread), "{wire}: {listing:?}");
            assert!((50..=600).contains(&listing.day_bp), "{wire}: {listing:?}");
            assert!(
                (0..=100).contains(&listing.follows) && listing.decimals <= 8 && listing.size_decimals <= 8,
                "{wire}"
            );
            assert!((10..=10_000_000_000).contains(&listing.size), "{wire}: {listing:?}");
        }
    }

    #[test]
    fn an_unknown_name_has_a_level_of_its_own() {
        assert_eq!(Listing::of("S000").level, Listing::of("S000").level);
        assert_ne!(Listing::of("S000").level, Listing::of("S001").level);
        assert_eq!(Listing::of("S000").class, Class::Stock);
        assert_eq!(Listing::of("FOO-USD").class, Class::Crypto);
    }

    #[test]
    fn no_name_is_listed_twice() {
        for (n, (name, _)) in KNOWN.iter().enumerate() {
            assert!(KNOWN[n + 1..].iter().all(|(other, _)| other != name), "{name}");
        }
    }
}
