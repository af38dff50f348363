//! The labels of metrics, and the words that they may have: closed sets, so that the number of series has an end. Where a
//! set has its home beside the code that chooses from it, this only names it.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use tickcast_feeds::Venue;

use crate::candles::{CORRECTIONS, Interval};
use crate::http::auth::{Denied, lease::LeaseEnd};
use crate::http::server::BadHeader;
use crate::http::{Route, limits};
use crate::ingest::{FeedState, RECONNECT_REASONS};
use crate::ticker::Status;

/// Why streams end that no credential has ended; `draining` in `bye` is `drained` here.
pub const STREAM_ENDS: [&str; 3] = ["client", "drained", "stalled"];
/// Kinds of ticks.
pub const KINDS: [&str; 4] = ["trade", "quote", "ticker", "status"];
/// Why a tick moves nothing.
pub const IGNORED: [&str; 5] = ["ineligible", "late", "backfill", "undone", "unknown_symbol"];
/// What is known of a venue's instruments.
pub const INSTRUMENTS: [&str; 3] = ["wanted", "acknowledged", "refused"];
/// Classes of an answer's status.
pub const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Why the bus has not taken a ticker.
pub const BUS_FAILURES: [&str; 6] = ["overtaken", "unanswered", "no_stream", "too_large", "full", "refused"];
/// Why a ticker that came over the bus is not believed.
pub const BUS_REFUSALS: [&str; 5] = ["newer_format", "malformed", "other_epoch", "fenced", "other_currency"];

/// Every value that a label may have; `None` for what is no label of ours.
pub fn closed_set(label: &str) -> Option<Vec<&'static str>> {
    Some(match label {
        "venue" => Venue::ALL.iter().map(|venue| venue.name()).collect(),
        "kind" => KINDS.to_vec(),
        "state" => FeedState::ALL.into_iter().map(FeedState::name).chain(INSTRUMENTS).collect(),
        "reason" => {
            let ours: [&[_]; 4] = [&STREAM_ENDS, &LeaseEnd::REASONS, &Denied::REASONS, &BadHeader::REASONS];
            let venues: [&[_]; 3] = [&RECONNECT_REASONS, &IGNORED, &CORRECTIONS];
            let bus = BUS_FAILURES.into_iter().chain(BUS_REFUSALS);
            ours.concat().into_iter().chain(venues.concat()).chain(bus).collect()
        }
        "limit" => limits::NAMES.to_vec(),
        "interval" => Interval::NAMES.to_vec(),
        "route" => Route::names(),
        "status" => Status::ALL.into_iter().map(Status::name).chain(STATUSES).collect(),
        "version" => vec![env!("CARGO_PKG_VERSION")],
        _ => return None,
    })
}

/// A venue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByVenue {
    /// Which.
    pub venue: VenueLabel,
}

/// A venue and a kind of tick.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByKind {
    /// Which venue.
    pub venue: VenueLabel,
    /// `trade`, `quote`, `ticker` or `status`.
    pub kind: &'static str,
}

/// A venue and a reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByVenueReason {
    /// Which venue.
    pub venue: VenueLabel,
    /// Why.
    pub reason: &'static str,
}

/// A venue and a state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByState {
    /// Which venue.
    pub venue: VenueLabel,
    /// Which state.
    pub state: &'static str,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByReason {
    /// Why.
    pub reason: &'static str,
}

/// An interval of bars.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByInterval {
    /// Which.
    pub interval: &'static str,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByLimit {
    /// Which.
    pub limit: &'static str,
}

/// A venue as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VenueLabel(pub Venue);

impl EncodeLabelValue for VenueLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.name().encode(encoder)
    }
}

impl From<Venue> for ByVenue {
    fn from(venue: Venue) -> Self {
        Self { venue: VenueLabel(venue) }
    }
}

/// A symbol's status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByStatus {
    /// As in messages.
    pub status: &'static str,
}

/// A route and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByRequest {
    /// One of [`Route::names`], never what was asked for.
    pub route: &'static str,
    /// One of [`STATUSES`].
    pub status: &'static str,
}

/// A version of tickcast.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByVersion {
    /// Ours.
    pub version: &'static str,
}
