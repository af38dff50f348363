//! The catalogue on the bus: its instruments, in a bucket, as compressed JSON. Edges have no other.

use std::io::Read;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tickcast_feeds::Venue;

use super::wire::FORMAT;
use crate::catalogue::{Catalogue, Entry};
use crate::config::{Class, Instrument, PriceRule, Source, StaleAfter};

/// The bucket's only key.
pub(super) const KEY: &str = "instruments";
/// Bytes of a catalogue, unpacked: some 500,000 instruments.
const BYTES_MAX: u64 = 256 << 20;
/// Compression: quick, and a catalogue repeats itself.
const LEVEL: i32 = 3;

#[derive(Serialize, Deserialize)]
struct Listing {
    v: u32,
    instruments: Vec<Listed>,
}

#[derive(Serialize, Deserialize)]
struct Listed {
    symbol: String,
    name: String,
    class: ListedClass,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    currency: String,
    decimals: u32,
    aliases: Vec<String>,
    /// `venue:wire`; of a venue that the reader does not know it is left out.
    sources: Vec<(String, String)>,
    median: bool,
    min_sources: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stale_after_ms: Option<u64>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ListedClass {
    Crypto,
    Stock,
}

/// Why bytes are no catalogue.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListingError {
    #[error("could not unpack it")]
    Unpack(#[from] std::io::Error),
    #[error("could not understand it")]
    Read(#[from] serde_json::Error),
    #[error("it is of format {0}, we know {FORMAT}: this node is older than the one that publishes")]
    Newer(u32),
}

/// A catalogue as bytes.
pub(super) fn encode(catalogue: &Catalogue) -> Result<Vec<u8>, ListingError> {
    let instruments = catalogue.ids().map(|id| Listed::of(catalogue.entry(id))).collect();
    let text = serde_json::to_vec(&Listing { v: FORMAT, instruments })?;
    Ok(zstd::bulk::compress(&text, LEVEL)?)
}

/// The instruments of a catalogue.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Instrument>, ListingError> {
    let text = unpack(bytes, BYTES_MAX)?;
    let listing: Listing = serde_json::from_slice(&text)?;
    if listing.v > FORMAT {
        return Err(ListingError::Newer(listing.v));
    }
    Ok(listing.instruments.into_iter().map(Listed::instrument).collect())
}

/// What was compressed, if it is no more than this. Room is taken as it is needed: what is the most is far from what is usual.
fn unpack(bytes: &[u8], most: u64) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = zstd::stream::read::Decoder::new(bytes)?.take(most + 1).read_to_end(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= most) {
        Ok(text)
    } else {
        Err(std::io::ErrorKind::FileTooLarge.into())
    }
}

impl Listed {
    fn of(entry: &Entry) -> Self {
        let stale_after_ms = match entry.stale_after {
            StaleAfter::Auto => None,
            StaleAfter::Fixed(after) => Some(crate::clock::millis(after)),
        };
        Self {
            symbol: entry.symbol.clone(),
            name: entry.name.clone(),
            class: match entry.class {
                Class::Crypto => ListedClass::Crypto,
                Class::Stock => ListedClass::Stock,
            },
            base: entry.base.clone(),
            currency: entry.currency.clone(),
            decimals: entry.decimals,
            aliases: entry.aliases.clone(),
            sources: entry
                .sources
                .iter()
                .map(|source| (source.venue.name().to_owned(), source.wire.clone()))
                .collect(),
            median: entry.rule == PriceRule::Median,
            min_sources: entry.min_sources,
            stale_after_ms,
        }
    }

    fn instrument(self) -> Instrument {
        let source =
            |(venue, wire): (String, String)| venue.parse::<Venue>().ok().map(|venue| Source { venue, wire });
        let mut sources: Vec<Source> = self.sources.into_iter().filter_map(source).collect();
        // It would keep the room of what was read, which is several times as much, for as long as there is the symbol.
        sources.shrink_to_fit();
        Instrument {
            symbol: self.symbol,
            name: self.name,
            class: match self.class {
                ListedClass::Crypto => Class::Crypto,
                ListedClass::Stock => Class::Stock,
            },
            base: self.base,
            currency: self.currency,
            decimals: self.decimals,
            aliases: self.aliases,
            sources,
            price: if self.median { PriceRule::Median } else { PriceRule::Primary },
            min_sources: self.min_sources,
            stale_after: self
                .stale_after_ms
                .map_or(StaleAfter::Auto, |ms| StaleAfter::Fixed(Duration::from_millis(ms))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_catalogue_comes_out_as_it_went_in() {
        let config = config::load(config::demo(), "demo", std::iter::empty()).expect("the demo");
        let before = Catalogue::new(config.instruments);
        let bytes = encode(&before).expect("a catalogue");
        let after = Catalogue::new(decode(&bytes).expect("our own bytes"));
        assert_eq!(before.len(), after.len());
        for id in before.ids() {
            assert_eq!(before.entry(id), after.entry(id));
        }
        assert!(bytes.len() < 100 * before.len(), "{} bytes", bytes.len());
        assert!(decode(&bytes[..bytes.len() / 2]).is_err());
        assert!(decode(b"nothing").is_err());
    }

    #[test]
    fn what_is_larger_than_any_catalogue_is_not_unpacked() {
        let bytes = zstd::bulk::compress(&[b' '; 1_000], LEVEL).expect("packed");
        assert_eq!(unpack(&bytes, 1_000).expect("as much as may be"), [b' '; 1_000]);
        let error = unpack(&bytes, 999).expect_err("more than may be");
        assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
        let room = unpack(&bytes, 1 << 40).expect("however much may be").capacity();
        assert!(room < 10_000, "{room} bytes");
    }
}
