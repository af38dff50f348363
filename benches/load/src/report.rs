//! What `load` prints: one JSON object per run, in plain numbers with the unit in the name.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::driver::{Driver, Opened, Window};
use crate::latency::Percentiles;

/// One run, or one step of a search.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Streams asked for.
    pub streams_wanted: usize,
    /// Streams open at the end, those that never read among them.
    pub streams: usize,
    /// Of those asked for, the ones that never read.
    pub frozen: usize,
    /// Streams that did not come to be, so far.
    pub errors: u64,
    /// Streams that the server ended, so far.
    pub disconnects: u64,
    /// Errors and disconnects by kind, so far.
    pub error_kinds: BTreeMap<String, u64>,
    /// From the first connect to the last response head.
    pub connect_s: f64,
    /// Streams opened in that time, over it. A step of a search has only those it added.
    pub connects_per_s: Option<f64>,
    /// Connect to response head.
    pub head: Percentiles,
    /// Streams closed and opened again during the window.
    pub churned: u64,
    /// How long was counted.
    pub window_s: f64,
    /// Whole events of any name.
    pub events: u64,
    /// Over the window's length.
    pub events_per_s: f64,
    /// Prices: events without a name.
    pub messages: u64,
    /// Over the window's length.
    pub messages_per_s: f64,
    /// Messages over those that a server sends that conflates nothing; where that number was given.
    pub covered: Option<f64>,
    /// Versions passed, over all streams; where the server has one symbol only.
    pub ticks_covered: Option<u64>,
    /// Over the window's length.
    pub ticks_covered_per_s: Option<f64>,
    /// Comment lines.
    pub comments: u64,
    /// As read, framing included.
    pub bytes: u64,
    /// Bytes over events.
    pub bytes_per_event: Option<f64>,
    /// Reads that brought something.
    pub reads: u64,
    /// Events over reads: above 1 the server writes several at once, or this side was late.
    pub events_per_read: Option<f64>,
    /// Of the reading stream that got the fewest.
    pub stream_messages_min: Option<u64>,
    /// Of the reading stream that got the most.
    pub stream_messages_max: Option<u64>,
    /// Arrival after `recv_us`.
    pub latency: Percentiles,
    /// Messages that were to be timed and carried no `recv_us`.
    pub untimed: u64,
    /// Percent of one CPU.
    pub server_cpu_percent: Option<f64>,
    /// User and system time, the kernel's part of each write included.
    pub server_cpu_us_per_event: Option<f64>,
    /// The same over versions passed.
    pub server_cpu_us_per_tick: Option<f64>,
    /// The server's resident memory before the first stream.
    pub rss_before_kib: Option<u64>,
    /// When the window began.
    pub rss_connected_kib: Option<u64>,
    /// The most in the window.
    pub rss_max_kib: Option<u64>,
    /// When the window ended.
    pub rss_end_kib: Option<u64>,
    /// What the streams added when the window began, over their number.
    pub rss_per_stream_kib: Option<f64>,
    /// Into the window, when the first frozen stream was cut, by the server's descriptors.
    pub frozen_first_cut_s: Option<f64>,
    /// When the last one was.
    pub frozen_last_cut_s: Option<f64>,
    /// Frozen streams whose cut reached this end.
    pub frozen_resets: u64,
    /// Percent of one CPU that this process took: from about 90 on, the figures are its own.
    pub load_cpu_percent: f64,
    /// Percent of one CPU that others took, where the server is known: other than 0, the figures are disturbed.
    pub others_cpu_percent: Option<f64>,
}

/// What the driver does not know by itself.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Streams asked for.
    pub streams_wanted: usize,
    /// Of those, the ones that never read.
    pub frozen: usize,
    /// Opened by this step.
    pub opened_now: usize,
    /// Resident memory before the first stream; `None` where the server's processes are not known.
    pub rss_before_kib: Option<u64>,
    /// Messages a second that each stream would get without conflation, where known.
    pub offered_per_stream: Option<f64>,
    /// Whether ids count one symbol's ticks.
    pub has_one_symbol: bool,
}

impl Report {
    /// Puts together what was found.
    #[expect(clippy::cast_precision_loss, reason = "counts of a window stay below 2^52")]
    pub fn new(context: Context, driver: &Driver, opened: Opened, window: &Window) -> Self {
        let seconds = window.took.as_secs_f64();
        let tally = &window.tally;
        let per_second = |count: u64| round(count as f64 / seconds);
        let known = context.rss_before_kib;
        let cpu_us = known.map(|_| window.server_cpu.as_secs_f64() * 1e6);
        let percent = |time: Duration| round(100.0 * time.as_secs_f64() / seconds);
        let [connected, most, end] = window.rss_kib.map(|kib| known.map(|_| kib));
        let ticks = context.has_one_symbol.then_some(tally.ticks);
        let readers = opened.open.saturating_sub(context.frozen);
        let offered = context.offered_per_stream.map(|offered| offered * readers as f64 * seconds);
        Self {
            streams_wanted: context.streams_wanted,
            streams: driver.open_now(),
            frozen: context.frozen,
            errors: driver.faults().values().sum::<u64>() - driver.disconnects(),
            disconnects: driver.disconnects(),
            error_kinds: driver.faults().clone(),
            connect_s: round(opened.took.as_secs_f64()),
            connects_per_s: ratio(context.opened_now as f64, opened.took.as_secs_f64()),
            head: driver.heads().percentiles(),
            churned: driver.churned(),
            window_s: round(seconds),
            events: tally.events,
            events_per_s: per_second(tally.events),
            messages: tally.messages,
            messages_per_s: per_second(tally.messages),
            covered: offered.and_then(|offered| ratio(tally.messages as f64, offered)),
            ticks_covered: ticks,
            ticks_covered_per_s: ticks.map(per_second),
            comments: tally.comments,
            bytes: window.bytes,
            bytes_per_event: ratio(window.bytes as f64, tally.events as f64),
            reads: window.reads,
            events_per_read: ratio(tally.events as f64, window.reads as f64),
            stream_messages_min: window.messages.map(|(fewest, _)| fewest),
            stream_messages_max: window.messages.map(|(_, most)| most),
            latency: tally.latency.percentiles(),
            untimed: tally.untimed,
            server_cpu_percent: known.map(|_| percent(window.server_cpu)),
            server_cpu_us_per_event: cpu_us.and_then(|cpu_us| ratio(cpu_us, tally.events as f64)),
            server_cpu_us_per_tick: cpu_us.and_then(|cpu_us| ratio(cpu_us, ticks? as f64)),
            rss_before_kib: known,
            rss_connected_kib: connected,
            rss_max_kib: most,
            rss_end_kib: end,
            rss_per_stream_kib: known.zip(connected).and_then(|(before, connected)| {
                ratio(connected.saturating_sub(before) as f64, opened.open as f64)
            }),
            frozen_first_cut_s: window.cut[0].map(|cut| round(cut.as_secs_f64())),
            frozen_last_cut_s: window.cut[1].map(|cut| round(cut.as_secs_f64())),
            frozen_resets: driver.frozen_resets(),
            load_cpu_percent: percent(window.own_cpu),
            others_cpu_percent: known.map(|_| {
                percent(window.busy.saturating_sub(window.server_cpu).saturating_sub(window.own_cpu))
            }),
        }
    }
}

/// Three digits behind the point say all that a measurement is good for.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn ratio(value: f64, by: f64) -> Option<f64> {
    (by > 0.0).then(|| round(value / by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Counter;
    use crate::driver::Plan;
    use crate::machine::Server;
    use crate::tally::Tally;

    const NOW: u64 = 5_000_000;

    fn report(context: Context) -> Report {
        let plan = Plan {
            target: "127.0.0.1:1".parse().unwrap(),
            path: String::new(),
            query: String::new(),
            symbols: None,
            sample: 1,
            frozen: 0,
            frozen_buffer: None,
            churn: 0.0,
            opening: 1,
            open_rate: 0.0,
            source: 2,
        };
        let (mut counter, mut tally) = (Counter::default(), Tally::new(1, || NOW));
        let mut text = "HTTP/1.1 200 OK\r\n\r\nevent: hello\ndata: {}\nid: 1.0\n\n".to_owned();
        let stamp = NOW - 2_000;
        for version in ["10", "12", "19"] {
            text.extend(["data: {\"recv_us\":", &stamp.to_string(), "}\nid: 1.", version, "\n\n"]);
        }
        counter.feed(text.as_bytes(), &mut tally).unwrap();
        let window = Window {
            took: Duration::from_secs(2),
            tally,
            bytes: 600,
            reads: 2,
            messages: Some((1, 2)),
            server_cpu: Duration::from_millis(500),
            rss_kib: [1_400, 1_700, 1_500],
            own_cpu: Duration::from_millis(200),
            busy: Duration::from_millis(1_000),
            cut: [Some(Duration::from_secs(1)), None],
        };
        let opened = Opened { open: 4, took: Duration::from_millis(500) };
        Report::new(context, &Driver::new(plan, Server::default()).unwrap(), opened, &window)
    }

    #[test]
    fn rates_and_costs_are_over_the_window_and_its_events() {
        let report = report(Context {
            streams_wanted: 4,
            frozen: 1,
            opened_now: 4,
            rss_before_kib: Some(1_000),
            offered_per_stream: Some(1.0),
            has_one_symbol: true,
        });
        assert_eq!((report.events, report.messages, report.ticks_covered), (4, 3, Some(10)));
        for (name, found, wanted) in [
            ("events/s", Some(report.events_per_s), 2.0),
            ("messages/s", Some(report.messages_per_s), 1.5),
            ("ticks/s", report.ticks_covered_per_s, 5.0),
            ("three readers were offered one a second", report.covered, 0.5),
            ("events/read", report.events_per_read, 2.0),
            ("bytes/event", report.bytes_per_event, 150.0),
            ("connects/s", report.connects_per_s, 8.0),
            ("p99", report.latency.p99_ms, 2.0),
            ("server CPU", report.server_cpu_percent, 25.0),
            ("CPU/event", report.server_cpu_us_per_event, 125_000.0),
            ("CPU/tick", report.server_cpu_us_per_tick, 50_000.0),
            ("own CPU", Some(report.load_cpu_percent), 10.0),
            ("others' CPU", report.others_cpu_percent, 15.0),
            ("RSS/stream", report.rss_per_stream_kib, 100.0),
            ("first cut", report.frozen_first_cut_s, 1.0),
        ] {
            let found = found.unwrap_or(f64::NAN);
            assert!((found - wanted).abs() <= wanted * 0.001, "{name}: {found} is not {wanted}");
        }
        assert_eq!((report.rss_max_kib, report.frozen_last_cut_s), (Some(1_700), None));
    }

    #[test]
    fn of_a_server_that_is_not_known_no_cost_is_told() {
        let report = report(Context {
            streams_wanted: 4,
            frozen: 0,
            opened_now: 4,
            rss_before_kib: None,
            offered_per_stream: None,
            has_one_symbol: false,
        });
        let numbers = [report.server_cpu_percent, report.others_cpu_percent, report.rss_per_stream_kib];
        assert_eq!(numbers, [None; 3]);
        assert_eq!((report.rss_connected_kib, report.ticks_covered, report.covered), (None, None, None));
    }

    #[test]
    fn a_ratio_to_nothing_is_no_value() {
        assert_eq!(ratio(5.0, 0.0), None);
        assert_eq!(ratio(2.0, 3.0), Some(0.667));
    }
}
