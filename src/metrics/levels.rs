//! Gauges that are looked up when metrics are asked for, since nothing is known about them in between: what there is
//! now, and what there may be.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{ByState, ByStatus, ByVenue, ByVersion};

/// What is looked up. A new one for each look, so that nothing stays that is gone.
#[derive(Debug, Default)]
pub struct Levels {
    /// Whether readiness says yes: 0 or 1.
    pub ready: Gauge,
    /// Symbols by status.
    pub symbols: Family<ByStatus, Gauge>,
    /// Seconds since a venue's newest tick; absent before its first.
    pub tick_age: Family<ByVenue, Gauge<f64, AtomicU64>>,
    /// A venue's instruments: wanted, acknowledged, refused.
    pub instruments: Family<ByState, Gauge>,
    /// `limits.streams_total`.
    pub streams_max: Gauge,
    /// Connections of clients that there may be.
    pub connections_max: Gauge,
    /// `limits.memory_max`; `None` where there is none.
    pub memory_max: Option<u64>,
}

impl Levels {
    /// All of it, to be written.
    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        let r = registry.sub_registry_with_prefix("tickcast");
        r.register("ready", "Whether readiness says yes (1) or no (0)", self.ready.clone());
        r.register("symbols", "Symbols of the catalogue by status", self.symbols.clone());
        let age = "Since the newest tick of a venue, absent before its first";
        r.register_with_unit("feed_tick_age", age, Unit::Seconds, self.tick_age.clone());
        let instruments = "Instruments that a venue is asked for, has acknowledged, or has refused";
        r.register("feed_instruments", instruments, self.instruments.clone());
        r.register("streams_max", "Streams that may be open: limits.streams_total", self.streams_max.clone());
        let connections = "Connections of clients that may be open: http.connections_max";
        r.register("connections_max", connections, self.connections_max.clone());
        if let Some(most) = self.memory_max {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(most).unwrap_or(i64::MAX));
            let about = "Resident memory above which no stream is opened: limits.memory_max";
            r.register_with_unit("memory_max", about, Unit::Bytes, gauge);
        }
        let build: Family<ByVersion, Gauge> = Family::default();
        build.get_or_create(&ByVersion { version: env!("CARGO_PKG_VERSION") }).set(1);
        r.register("build_info", "Always 1; its label is the version that runs", build);
        registry
    }
}
