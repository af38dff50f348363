//! Every counter and gauge, with its help text, in one place. Labels come from closed sets (venue, reason,
//! kind), never from a symbol or a client.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tickcast_feeds::{UnixNanos, Venue};

use crate::http::auth::Denied;
use crate::process;

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Frames read from a venue.
    pub frames: Family<ByVenue, Counter>,
    /// Ticks that moved something.
    pub ticks: Family<ByKind, Counter>,
    /// Frames that could not be understood.
    pub frames_refused: Family<ByVenue, Counter>,
    /// Gaps that a venue's numbering told of.
    pub gaps: Family<ByVenue, Counter>,
    /// Ticks that were known already.
    pub duplicates: Family<ByVenue, Counter>,
    /// Ticks that moved nothing, by reason.
    pub ticks_ignored: Family<ByVenueReason, Counter>,
    /// Venue times that were no times.
    pub times_refused: Family<ByVenue, Counter>,
    /// Connections by the state they are in.
    pub feed_state: Family<ByState, Gauge>,
    /// Connections opened again, by what ended the last.
    pub reconnects: Family<ByVenueReason, Counter>,
    /// How old connections were when they ended.
    pub connection_age: Family<ByVenue, Histogram, fn() -> Histogram>,
    /// Frames left out of a recording because the disk could not follow.
    pub record_refused: Family<ByVenue, Counter>,
    /// Receive time minus event time.
    pub feed_lag: Family<ByVenue, Histogram, fn() -> Histogram>,
    /// Streams open now.
    pub streams_open: Gauge,
    /// Streams opened.
    pub streams_opened: Counter,
    /// Streams closed, by reason.
    pub streams_closed: Family<ByReason, Counter>,
    /// Price messages handed to connections.
    pub sent: Counter,
    /// Changes that a newer one replaced before a stream could send them.
    pub conflated: Counter,
    /// Bytes handed to connections.
    pub bytes_sent: Counter,
    /// From the frame to the message.
    pub publish_delay: Histogram,
    /// Requests refused or streams slowed, by limit.
    pub limited: Family<ByLimit, Counter>,
    /// Requests that were not let in, by reason.
    pub denied: Family<ByReason, Counter>,
    /// Clients' connections open now, streams among them.
    pub connections_open: Gauge,
    /// Connections that could not be accepted.
    pub accept_errors: Counter,
    /// Whether this node is the one that publishes to the bus.
    pub bus_publishes: Gauge,
    /// Tickers that the bus has taken.
    pub bus_published: Counter,
    /// Changes that a newer one replaced before the bus was told.
    pub bus_conflated: Counter,
    /// Tickers that the bus has not taken, by reason; they are told again.
    pub bus_failed: Family<ByReason, Counter>,
    /// Tickers that came over the bus.
    pub bus_received: Counter,
    /// Tickers that came over the bus and were not believed, by reason.
    pub bus_refused: Family<ByReason, Counter>,
    /// Symbols that this node follows on the bus.
    pub bus_followed: Gauge,
    /// From a publish to an edge's store.
    pub bus_delay: Histogram,
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

/// For a histogram: a span of time, not a price.
#[expect(clippy::cast_precision_loss, reason = "a span of days may lose nanoseconds")]
pub fn in_seconds(span: UnixNanos) -> f64 {
    span.0 as f64 / 1e9
}

/// From half a millisecond to a minute.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// From a second to a day.
const AGES: [f64; 10] = [1.0, 10.0, 60.0, 300.0, 600.0, 3600.0, 7200.0, 21_600.0, 43_200.0, 86_400.0];

fn ages() -> Histogram {
    Histogram::new(AGES)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            frames: Family::default(),
            ticks: Family::default(),
            frames_refused: Family::default(),
            gaps: Family::default(),
            duplicates: Family::default(),
            ticks_ignored: Family::default(),
            times_refused: Family::default(),
            feed_state: Family::default(),
            reconnects: Family::default(),
            connection_age: Family::new_with_constructor(ages),
            record_refused: Family::default(),
            feed_lag: Family::new_with_constructor(seconds),
            streams_open: Gauge::default(),
            streams_opened: Counter::default(),
            streams_closed: Family::default(),
            sent: Counter::<u64, AtomicU64>::default(),
            conflated: Counter::default(),
            bytes_sent: Counter::default(),
            publish_delay: seconds(),
            limited: Family::default(),
            denied: Family::default(),
            connections_open: Gauge::default(),
            accept_errors: Counter::default(),
            bus_publishes: Gauge::default(),
            bus_published: Counter::default(),
            bus_conflated: Counter::default(),
            bus_failed: Family::default(),
            bus_received: Counter::default(),
            bus_refused: Family::default(),
            bus_followed: Gauge::default(),
            bus_delay: seconds(),
        };
        metrics.register();
        // Shown at 0 from the start: nobody can see a rise from what is not there.
        let credential = ["credential_expired", "credential_revoked", "credential_changed"];
        for reason in ["client", "drained", "stalled"].into_iter().chain(credential) {
            drop(metrics.streams_closed.get_or_create(&ByReason { reason }));
        }
        let refusals = ["rate_limited", "too_many_streams", "overloaded", "draining", "too_many_tickets"];
        for limit in refusals.into_iter().chain(["messages_per_second", "connections"]) {
            drop(metrics.limited.get_or_create(&ByLimit { limit }));
        }
        for reason in ["overtaken", "unanswered", "no_stream", "too_large", "refused"] {
            drop(metrics.bus_failed.get_or_create(&ByReason { reason }));
        }
        for reason in ["newer_format", "malformed", "other_epoch", "fenced", "other_currency"] {
            drop(metrics.bus_refused.get_or_create(&ByReason { reason }));
        }
        for reason in Denied::REASONS {
            drop(metrics.denied.get_or_create(&ByReason { reason }));
        }
        metrics
    }
}

impl Metrics {
    /// Everything in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("a String grows");
        text
    }

    fn register(&mut self) {
        let mut registry = Registry::default();
        let r = registry.sub_registry_with_prefix("tickcast");
        r.register("frames", "Frames read from a venue", self.frames.clone());
        r.register("ticks", "Ticks that moved something", self.ticks.clone());
        r.register("frames_refused", "Frames that could not be understood", self.frames_refused.clone());
        r.register("gaps", "Gaps that a venue's numbering told of", self.gaps.clone());
        r.register("duplicates", "Ticks that were known already", self.duplicates.clone());
        r.register("ticks_ignored", "Ticks that moved nothing, by reason", self.ticks_ignored.clone());
        r.register(
            "times_refused",
            "Venue times before 2000 or more than a minute ahead",
            self.times_refused.clone(),
        );
        r.register("feed_state", "Connections that are in this state", self.feed_state.clone());
        r.register("reconnects", "Connections opened again, by what ended the last", self.reconnects.clone());
        let age = "Age of a connection at its end: where it is always the same, the venue has a rule";
        r.register_with_unit("connection_age", age, Unit::Seconds, self.connection_age.clone());
        let refused = "Frames left out of a recording because the disk could not follow";
        r.register("record_refused", refused, self.record_refused.clone());
        let lag = "Receive time minus the venue's time";
        r.register_with_unit("feed_lag", lag, Unit::Seconds, self.feed_lag.clone());
        r.register("streams_open", "Streams open now", self.streams_open.clone());
        r.register("streams_opened", "Streams opened", self.streams_opened.clone());
        r.register("streams_closed", "Streams closed, by reason", self.streams_closed.clone());
        r.register("messages_sent", "Price messages handed to connections", self.sent.clone());
        let conflated = "Changes that a newer one replaced before a stream could send them";
        r.register("messages_conflated", conflated, self.conflated.clone());
        r.register("bytes_sent", "Bytes of streams handed to connections", self.bytes_sent.clone());
        let delay = "From the frame read whole to the message encoded";
        r.register_with_unit("publish_delay", delay, Unit::Seconds, self.publish_delay.clone());
        r.register("limited", "Requests refused or streams slowed, by limit", self.limited.clone());
        r.register("denied", "Requests that were not let in, by reason", self.denied.clone());
        let open = "Connections of clients open now, streams among them";
        r.register("connections_open", open, self.connections_open.clone());
        r.register("accept_errors", "Connections that could not be accepted", self.accept_errors.clone());
        self.register_bus(registry.sub_registry_with_prefix("tickcast_bus"));
        registry.register_collector(Box::new(process::Usage));
        self.registry = registry;
    }

    fn register_bus(&self, r: &mut Registry) {
        r.register(
            "publishes",
            "1 where this node publishes to the bus, 0 where another does",
            self.bus_publishes.clone(),
        );
        r.register("published", "Tickers that the bus has taken", self.bus_published.clone());
        let conflated = "Changes that a newer one replaced before the bus was told";
        r.register("conflated", conflated, self.bus_conflated.clone());
        let failed = "Tickers that the bus has not taken, by reason; they are told again";
        r.register("failed", failed, self.bus_failed.clone());
        r.register("received", "Tickers that came over the bus", self.bus_received.clone());
        let refused = "Tickers that came over the bus and were not believed, by reason";
        r.register("refused", refused, self.bus_refused.clone());
        r.register("followed", "Symbols that this node follows on the bus", self.bus_followed.clone());
        let delay = "From a publish, by the publisher's clock, to an edge's store";
        r.register_with_unit("delay", delay, Unit::Seconds, self.bus_delay.clone());
    }
}
