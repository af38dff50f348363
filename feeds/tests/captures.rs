//! The venues' own lists of instruments: each name is split as the venue says. The lists are not part of the
//! repository: without them these tests say so and check nothing.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test panics to fail, reads files and says what it skips"
)]

use std::io::Write as _;
use std::path::Path;

use serde::Deserialize;
use tickcast_feeds::Venue;

#[derive(Deserialize)]
struct List {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    native: String,
    /// Empty for Upbit, which lists names only.
    #[serde(default)]
    base: String,
    #[serde(default)]
    quote: String,
    /// Kraken only: the name on the WebSocket.
    wsname: Option<String>,
    /// Bitstamp only: `BTC/USD`.
    name: Option<String>,
    /// OKX only: `SPOT` and others.
    #[serde(rename = "type")]
    kind: Option<String>,
}

fn rows(name: &str) -> Vec<Row> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../shared/captures/instruments/{name}.json"));
    let Ok(text) = std::fs::read_to_string(path) else {
        // Not eprintln: the harness keeps that to itself when a test passes.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no ../shared/captures/instruments/{name}.json, nothing is checked"
        );
        return Vec::new();
    };
    serde_json::from_str::<List>(&text).unwrap().rows
}

#[test]
fn m80_binance_names_are_split_as_the_venue_lists_them() {
    for row in rows("binance") {
        let pair = Venue::Binance.pair(&row.native).unwrap();
        assert_eq!((&*pair.base, pair.quote.as_deref()), (&*row.base, Some(&*row.quote)), "{}", row.native);
    }
}

#[test]
fn m80_coinbase_names_are_split_as_the_venue_lists_them() {
    for row in rows("coinbase_exchange") {
        let pair = Venue::Coinbase.pair(&row.native).unwrap();
        assert_eq!((&*pair.base, pair.quote.as_deref()), (&*row.base, Some(&*row.quote)), "{}", row.native);
    }
}

#[test]
fn m76_kraken_names_are_split_as_the_venue_lists_them() {
    /// The list has the old codes: XXBT, ZUSD, XETH.
    fn common(asset: &str) -> &str {
        match asset {
            "XXBT" | "XBT" => "BTC",
            "XXDG" | "XDG" => "DOGE",
            old if old.len() == 4 && old.starts_with(['X', 'Z']) => &old[1..],
            other => other,
        }
    }
    for row in rows("kraken") {
        // Dark pools are not on the WebSocket.
        let Some(name) = &row.wsname else { continue };
        let pair = Venue::Kraken.pair(name).unwrap();
        let expected = (common(&row.base), Some(common(&row.quote)));
        assert_eq!((&*pair.base, pair.quote.as_deref()), expected, "{name}");
        assert_eq!(Venue::Kraken.pair(&row.native), None, "{}", row.native);
    }
}

#[test]
fn m80_cryptocom_and_gateio_names_are_split_as_the_venues_list_them() {
    for (venue, name) in [(Venue::CryptoCom, "cryptocom"), (Venue::GateIo, "gateio")] {
        for row in rows(name) {
            let pair = venue.pair(&row.native).unwrap();
            assert_eq!(
                (&*pair.base, pair.quote.as_deref()),
                (&*row.base, Some(&*row.quote)),
                "{}",
                row.native
            );
        }
    }
}

#[test]
fn m76_kucoin_names_are_split_as_the_venue_lists_them() {
    for row in rows("kucoin") {
        let pair = Venue::KuCoin.pair(&row.native).unwrap();
        // The list has one code in two cases: LYXE-USDT of LYXe.
        let expected = (&*row.base.to_uppercase(), Some(&*row.quote));
        assert_eq!((&*pair.base, pair.quote.as_deref()), expected, "{}", row.native);
    }
}

#[test]
fn m76_each_market_of_upbits_list_has_its_currency_first() {
    for row in rows("upbit") {
        let pair = Venue::Upbit.pair(&row.native).unwrap();
        let quote = pair.quote.as_deref().unwrap();
        assert!(["BTC", "KRW", "USDT"].contains(&quote), "{}", row.native);
        assert_eq!(format!("{quote}-{}", pair.base), row.native);
    }
}

#[test]
fn m80_binance_us_names_are_split_as_the_venue_lists_them() {
    for row in rows("binance_us") {
        let pair = Venue::BinanceUs.pair(&row.native).unwrap();
        assert_eq!((&*pair.base, pair.quote.as_deref()), (&*row.base, Some(&*row.quote)), "{}", row.native);
    }
}

#[test]
fn m80_gemini_names_are_split_as_the_venue_lists_them_in_both_cases() {
    for row in rows("gemini") {
        for name in [row.native.to_lowercase(), row.native.to_uppercase()] {
            let pair = Venue::Gemini.pair(&name).unwrap();
            assert_eq!((&*pair.base, pair.quote.as_deref()), (&*row.base, Some(&*row.quote)), "{name}");
        }
    }
}

#[test]
fn m80_bitstamp_names_are_split_as_the_venue_lists_them() {
    for row in rows("bitstamp") {
        let pair = Venue::Bitstamp.pair(&row.native).unwrap();
        assert_eq!(pair.to_string(), row.name.unwrap().replace('/', "-"), "{}", row.native);
    }
}

#[test]
fn m80_okx_names_are_split_as_the_venue_lists_them_and_only_spot_ones() {
    for row in rows("okx") {
        let pair = Venue::Okx.pair(&row.native).map(|pair| pair.to_string());
        let spot = row.kind.as_deref() == Some("SPOT");
        assert_eq!(pair, spot.then(|| format!("{}-{}", row.base, row.quote)), "{}", row.native);
    }
}

#[test]
fn m80_every_bitfinex_name_but_contracts_is_split() {
    for row in rows("bitfinex") {
        let name = format!("t{}", row.native);
        let pair = Venue::Bitfinex.pair(&name);
        assert_eq!(pair.is_none(), row.native.ends_with("F0"), "{}", row.native);
        // No half of a name is left over.
        let length = |pair: tickcast_feeds::Pair<'_>| pair.base.len() >= 3 && pair.quote.unwrap().len() >= 3;
        assert!(pair.is_none_or(length), "{}", row.native);
    }
}
