//! One request from its head to its answer's: its span, and what is counted of it. Streams go on without it: what they
//! send costs no span.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;
use tokio::time::Instant;
use tracing::{Span, debug, debug_span, field};
use warp::http::{Method, Request, StatusCode};

use crate::http::Route;
use crate::metrics::Metrics;

/// A request that is being answered.
pub(super) struct Asked {
    route: &'static str,
    at: Instant,
    span: Span,
}

impl Asked {
    /// Its head was read.
    pub(super) fn new<B>(request: &Request<B>) -> Self {
        let route = Route::name_of(request.uri().path());
        let method = method(request.method());
        // Neither the path nor the query: there a client writes what it likes, and some write keys.
        let span = debug_span!("request", method, route, status = field::Empty);
        Self { route, at: Instant::now(), span }
    }

    /// What happens on its behalf happens in this.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Its answer is made.
    pub(super) fn answered(self, metrics: &Metrics, status: StatusCode) {
        let took = self.at.elapsed();
        metrics.answered(self.route, status, took);
        self.span.record("status", status.as_u16());
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.span.in_scope(|| debug!(took_us, "request answered"));
    }
}

/// The span of a connection: its number in this process, and, once that is known, the network that its client is in. The
/// whole address is somebody's, and spans go to other machines.
pub(super) fn connection_span() -> Span {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1;
    debug_span!("connection", connection, network = field::Empty)
}

/// Says in the connection's span where its client is.
pub(super) fn note_client(client: SocketAddr) {
    let span = Span::current();
    if !span.is_disabled() {
        span.record("network", field::display(network(client.ip())));
    }
}

/// The network of an address: /24, or /48 of IPv6.
fn network(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let prefix = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new_assert(address, prefix).trunc()
}

/// A method's name, as far as it is one of those that HTTP has: any other word would be a client's own.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_told_by_its_network_only() {
        for (address, expected) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ] {
            assert_eq!(network(address.parse().expect("an address")).to_string(), expected);
        }
    }
}
