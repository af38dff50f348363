//! Every counter and gauge, with its help text, in one place. Labels come from closed sets (venue, reason,
//! kind), never from a symbol or a client.

mod exposition;
mod labels;
mod levels;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tickcast_feeds::{UnixNanos, Venue};
use warp::http::StatusCode;

use crate::http::auth::{Denied, lease::LeaseEnd};
use crate::http::limits;
use crate::http::server::BadHeader;
use crate::ingest::{FeedState, RECONNECT_REASONS};
use crate::{process, telemetry};
pub use exposition::Exposition;
pub use labels::*;
pub use levels::Levels;

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
    /// Trades that came when their bar was over, by interval.
    pub candle_trades_late: Family<ByInterval, Counter>,
    /// Trades cancelled or corrected, by what that did to bars.
    pub candle_corrections: Family<ByReason, Counter>,
    /// Bars that a stream was too late for.
    pub candles_lost: Counter,
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
    /// Trades, and holes among them, that the bus has taken from this node.
    pub bus_trades_published: Counter,
    /// Trades, and holes among them, that came over the bus.
    pub bus_trades_received: Counter,
    /// Times that trades were lost between two nodes before the bus took them.
    pub bus_trades_torn: Counter,
    /// Symbols whose trades this node follows on the bus.
    pub bus_trades_followed: Gauge,
    /// Connections of proxies closed for want of a good PROXY header, by reason.
    pub proxy_headers_refused: Family<ByReason, Counter>,
    /// Requests by route and status, a stream's opening among them.
    pub requests: Family<ByRequest, Counter>,
    /// From a request's head to its answer's.
    pub request_time: Histogram,
}

/// For a histogram: a span of time, not a price.
#[expect(clippy::cast_precision_loss, reason = "a span of days may lose nanoseconds")]
pub fn in_seconds(span: UnixNanos) -> f64 {
    span.0 as f64 / 1e9
}

/// From half a millisecond to a minute: a publish delay has a throttle in it, and a feed's lag two clocks.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// From a second to a day.
const AGES: [f64; 10] = [1.0, 10.0, 60.0, 300.0, 600.0, 3600.0, 7200.0, 21_600.0, 43_200.0, 86_400.0];

fn ages() -> Histogram {
    Histogram::new(AGES)
}

/// From 50 microseconds, which most answers take less than, to the ten seconds that a body may take.
const ANSWERS: [f64; 12] =
    [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

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
            candle_trades_late: Family::default(),
            candle_corrections: Family::default(),
            candles_lost: Counter::default(),
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
            bus_trades_published: Counter::default(),
            bus_trades_received: Counter::default(),
            bus_trades_torn: Counter::default(),
            bus_trades_followed: Gauge::default(),
            proxy_headers_refused: Family::default(),
            requests: Family::default(),
            request_time: Histogram::new(ANSWERS),
        };
        metrics.register();
        // Shown at 0 from the start: nobody can see a rise from what is not there.
        for reason in STREAM_ENDS.into_iter().chain(LeaseEnd::REASONS) {
            drop(metrics.streams_closed.get_or_create(&ByReason { reason }));
        }
        for limit in limits::NAMES {
            drop(metrics.limited.get_or_create(&ByLimit { limit }));
        }
        for reason in BUS_FAILURES {
            drop(metrics.bus_failed.get_or_create(&ByReason { reason }));
        }
        for reason in BUS_REFUSALS {
            drop(metrics.bus_refused.get_or_create(&ByReason { reason }));
        }
        for reason in Denied::REASONS {
            drop(metrics.denied.get_or_create(&ByReason { reason }));
        }
        for reason in BadHeader::REASONS {
            drop(metrics.proxy_headers_refused.get_or_create(&ByReason { reason }));
        }
        metrics
    }
}

impl Metrics {
    /// What is counted, in Prometheus' text format.
    pub fn text(&self) -> String {
        self.exposed(&Levels::default(), Exposition::Text)
    }

    /// Everything, with what was looked up for it.
    pub fn exposed(&self, levels: &Levels, exposition: Exposition) -> String {
        let mut text = String::new();
        let written = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &levels.registry()))
            .and_then(|()| encode_eof(&mut text));
        written.expect("a String grows");
        match exposition {
            Exposition::OpenMetrics => text,
            Exposition::Text => exposition::in_text_format(&text),
        }
    }

    /// Shows what may be counted of a venue at 0, from its start.
    pub fn show(&self, venue: Venue) {
        for reason in RECONNECT_REASONS {
            drop(self.reconnects.get_or_create(&ByVenueReason { venue: VenueLabel(venue), reason }));
        }
        for state in FeedState::ALL {
            let labels = ByState { venue: VenueLabel(venue), state: state.name() };
            drop(self.feed_state.get_or_create(&labels));
        }
        for reason in IGNORED {
            drop(self.ticks_ignored.get_or_create(&ByVenueReason { venue: VenueLabel(venue), reason }));
        }
        drop(self.record_refused.get_or_create(&venue.into()));
        drop(self.connection_age.get_or_create(&venue.into()));
    }

    /// Counts a request of a route that was answered after so long.
    pub fn answered(&self, route: &'static str, status: StatusCode, after: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        let status = STATUSES[class.min(STATUSES.len() - 1)];
        self.requests.get_or_create(&ByRequest { route, status }).inc();
        self.request_time.observe(after.as_secs_f64());
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
        let late = "Trades that came when their bar was over and are not in it, by interval";
        r.register("candle_trades_late", late, self.candle_trades_late.clone());
        let corrections =
            "Trades cancelled or corrected: every bar made anew, a bar only marked, trade not found";
        r.register("candle_corrections", corrections, self.candle_corrections.clone());
        let lost = "Times a stream was not told of bars because they are no longer kept";
        r.register("candles_lost", lost, self.candles_lost.clone());
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
        let refused = "Connections of trusted proxies closed for want of a good PROXY header, by reason";
        r.register("proxy_headers_refused", refused, self.proxy_headers_refused.clone());
        let requests = "Requests answered, by route and class of status; streams that were opened among them";
        r.register("requests", requests, self.requests.clone());
        let time = "From a request's head read to its answer's made";
        r.register_with_unit("request", time, Unit::Seconds, self.request_time.clone());
        self.register_bus(registry.sub_registry_with_prefix("tickcast_bus"));
        registry.register_collector(Box::new(process::Usage));
        registry.register_collector(Box::new(telemetry::Losses));
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
        let published = "Trades, and holes among them, that the bus has taken";
        r.register("trades_published", published, self.bus_trades_published.clone());
        let received = "Trades, and holes among them, that came over the bus";
        r.register("trades_received", received, self.bus_trades_received.clone());
        let torn = "Times that trades were lost before the bus took them; streams are told by gap";
        r.register("trades_torn", torn, self.bus_trades_torn.clone());
        let followed = "Symbols whose trades this node follows on the bus";
        r.register("trades_followed", followed, self.bus_trades_followed.clone());
    }
}
