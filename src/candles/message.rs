//! A bar as clients get it: the same object in answers and on streams.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Bar, Interval};

/// One bar. Decimals are strings with all their digits.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Candle {
    /// Its first moment, milliseconds since the epoch. Names the bar: there is one of each interval.
    pub time: i64,
    /// The first price.
    pub open: String,
    /// The highest.
    pub high: String,
    /// The lowest.
    pub low: String,
    /// The last.
    pub close: String,
    /// What changed hands; `null` where that is not known.
    #[schema(required = true)]
    pub volume: Option<String>,
    /// How many trades it counts.
    pub trades: u32,
    /// Whose trades: of several, the last one's.
    pub venue: &'static str,
    /// Whether it is over.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Whether trades may be missing in it.
    pub gap: bool,
    /// Whether a trade in it was cancelled or corrected.
    pub corrected: bool,
}

impl Candle {
    /// A bar, over or not.
    pub fn new(bar: &Bar, is_final: bool) -> Self {
        Self {
            time: bar.start.as_millis(),
            open: bar.open.to_string(),
            high: bar.high.to_string(),
            low: bar.low.to_string(),
            close: bar.close.to_string(),
            volume: bar.volume().map(|volume| volume.to_string()),
            trades: bar.trades,
            venue: bar.venue.name(),
            is_final,
            gap: bar.has_gap(),
            corrected: bar.is_corrected(),
        }
    }
}

/// The data of a `candle` event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CandleEvent<'a> {
    /// Whose.
    pub symbol: &'a str,
    /// How long the bar lasts.
    pub interval: Interval,
    /// The bar.
    #[serde(flatten)]
    #[schema(inline)]
    pub candle: Candle,
}
