//! What a driver is to open, and what follows from it for each stream: its request, its address, its turn.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::symbols::Symbols;

/// Streams from one loopback address: well below the 64,512 ports it has, so that a free one is found at once.
const STREAMS_PER_SOURCE: usize = 20_000;
/// What to open, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub target: SocketAddr,
    /// Path and query before `symbols=`, such as `/prices?`.
    pub path: String,
    /// The query after the symbols, such as `&throttle=0`.
    pub query: String,
    /// What each stream follows; `None` where `query` says it all.
    pub symbols: Option<Symbols>,
    /// One message in so many is timed.
    pub sample: u64,
    /// The first so many streams never read.
    pub frozen: usize,
    /// Receive buffer of those that never read, in bytes; `None` for the system's own.
    pub frozen_buffer: Option<usize>,
    /// Closes and opens so many streams a second during a window, every other close in the orderly way that
    /// leaves a port waiting.
    pub churn: f64,
    /// Streams being opened at the same time, at most.
    pub opening: usize,
    /// Streams opened a second, at most; 0 for no limit.
    pub open_rate: f64,
    /// The first source address, as the last byte of 127.0.0.x, where the target is on loopback.
    pub source: u8,
}

impl Plan {
    /// What stream `index` sends once it is connected.
    pub(super) fn request(&self, index: usize) -> String {
        let Self { target, path, query, symbols, .. } = self;
        let symbols = symbols.map_or_else(String::new, |symbols| format!("symbols={}", symbols.list(index)));
        format!(
            "GET {path}{symbols}{query} HTTP/1.1\r\nhost: {target}\r\naccept: text/event-stream\r\n\
             cache-control: no-cache\r\n\r\n"
        )
    }

    /// Where stream `index` comes from. Only loopback has addresses to choose from.
    pub(super) fn source_of(&self, index: usize) -> Option<Ipv4Addr> {
        let IpAddr::V4(target) = self.target.ip() else { return None };
        let last = usize::from(self.source) + index / STREAMS_PER_SOURCE;
        target.is_loopback().then(|| Ipv4Addr::new(127, 0, 0, u8::try_from(last).unwrap_or(u8::MAX)))
    }

    /// How many streams may have been begun so long after the first.
    pub(super) fn may_have_started(&self, took: Duration) -> usize {
        let is_limited = self.open_rate > 0.0;
        if is_limited { whole(self.open_rate * took.as_secs_f64()) + 1 } else { usize::MAX / 2 }
    }
}

/// The number without what is behind the point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are not negative, and what is too much is cut to the most"
)]
pub(super) fn whole(number: f64) -> usize {
    number as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(target: &str) -> Plan {
        Plan {
            target: target.parse().unwrap(),
            path: "/prices?".to_owned(),
            query: "&throttle=0".to_owned(),
            symbols: Some("2/5".parse().unwrap()),
            sample: 1,
            frozen: 0,
            frozen_buffer: None,
            churn: 0.0,
            opening: 1,
            open_rate: 0.0,
            source: 2,
        }
    }

    #[test]
    fn each_stream_asks_for_its_own_symbols() {
        let request = plan("127.0.0.1:8080").request(4);
        let line = "GET /prices?symbols=S004,S000&throttle=0 HTTP/1.1\r\n";
        assert!(request.starts_with(line) && request.ends_with("\r\n\r\n"), "{request}");
    }

    #[test]
    fn streams_to_loopback_are_spread_over_its_addresses_and_others_are_not() {
        let to_loopback = plan("127.0.0.1:8080");
        assert_eq!(to_loopback.source_of(19_999), Some(Ipv4Addr::new(127, 0, 0, 2)));
        assert_eq!(to_loopback.source_of(20_000), Some(Ipv4Addr::new(127, 0, 0, 3)));
        assert_eq!(plan("192.0.2.1:8080").source_of(20_000), None);
    }

    #[test]
    fn streams_are_begun_no_faster_than_the_rate() {
        let limited = Plan { open_rate: 10.0, ..plan("127.0.0.1:8080") };
        assert_eq!(limited.may_have_started(Duration::ZERO), 1);
        assert_eq!(limited.may_have_started(Duration::from_secs(2)), 21);
        assert!(plan("127.0.0.1:8080").may_have_started(Duration::ZERO) > 1_000_000);
    }
}
