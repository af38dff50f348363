//! What one client may have: streams opened per minute, streams open at once, messages per second; and what all
//! together may have. A client is an address (IPv6: its /64), seen through trusted proxies only.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use ipnet::IpNet;
use rand::RngExt;
use serde::Serialize;
use tokio::time::Instant;

use crate::clock::{Reading, TokioClock};
use crate::config;
use crate::fanout::Budget;

/// Clients remembered at once. Beyond it new ones are refused as `overloaded`: their records would cost more
/// than their streams. Each is some 200 bytes.
const CLIENTS_MAX: usize = 200_000;
/// A client without a stream is forgotten after this long: then its opens per minute are full again.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// The limits and who is using them.
#[derive(Debug)]
pub struct Limits {
    config: config::Limits,
    trusted_proxies: Vec<IpNet>,
    clients: DashMap<IpAddr, Arc<Client>>,
    open: AtomicU32,
}

#[derive(Debug)]
struct Client {
    opens: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Reading>>,
    budget: Option<Arc<Budget>>,
    open: AtomicU32,
    last_seen: std::sync::Mutex<Instant>,
}

/// A stream's place among those open. Dropping it gives the place back.
#[derive(Debug)]
pub struct Slot {
    limits: Arc<Limits>,
    client: Arc<Client>,
}

impl Slot {
    /// The messages that the client may be sent.
    pub fn budget(&self) -> Option<Arc<Budget>> {
        self.client.budget.clone()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.client.open.fetch_sub(1, Ordering::AcqRel);
        self.limits.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Why a stream is refused for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind.
    pub code: Code,
    /// The limit that was reached; `None` where it is no number.
    pub limit: Option<u64>,
    /// Whose limit it is.
    pub scope: Scope,
    /// When to come back. Jittered, so that clients refused together don't come back together.
    pub retry: Duration,
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Too many opens in a minute.
    RateLimited,
    /// Too many streams open.
    TooManyStreams,
    /// The node has no room.
    Overloaded,
    /// The node is about to stop.
    Draining,
}

impl Code {
    /// The word in messages and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::TooManyStreams => "too_many_streams",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
        }
    }
}

/// Whose limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The client's.
    Client,
    /// The node's.
    Node,
}

impl Limits {
    /// The limits of a config, nobody using them.
    pub fn new(config: config::Limits, trusted_proxies: Vec<IpNet>) -> Self {
        Self { config, trusted_proxies, clients: DashMap::new(), open: AtomicU32::new(0) }
    }

    /// What is allowed.
    pub fn config(&self) -> &config::Limits {
        &self.config
    }

    /// Whose request this is: the peer, or who a trusted proxy says it is. `forwarded` are the addresses of
    /// `X-Forwarded-For` in order; they are believed from the right, as far as the proxies are ours.
    pub fn client(&self, peer: IpAddr, forwarded: &[&str]) -> IpAddr {
        let trusted = |ip: IpAddr| self.trusted_proxies.iter().any(|net| net.contains(&ip));
        let mut client = peer.to_canonical();
        for hop in forwarded.iter().rev() {
            if !trusted(client) {
                break;
            }
            // A proxy of ours that writes what is no address is taken for the client itself.
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            client = address.to_canonical();
        }
        match client {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 64))),
            v4 @ IpAddr::V4(_) => v4,
        }
    }

    /// Opens a stream for a client.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where a limit is reached.
    pub fn open(self: &Arc<Self>, client: IpAddr) -> Result<Slot, Refusal> {
        let record = self.record(client).ok_or_else(|| self.overloaded())?;
        if let Err(until) = record.opens.check() {
            let retry = jittered(until.wait_time_from(TokioClock.now()).max(Duration::from_secs(1)));
            let limit = Some(self.config.opens_per_minute.into());
            return Err(Refusal { code: Code::RateLimited, limit, scope: Scope::Client, retry });
        }
        if !take(&self.open, self.config.streams_total) {
            return Err(self.overloaded());
        }
        if !take(&record.open, self.config.streams_per_client) {
            self.open.fetch_sub(1, Ordering::AcqRel);
            let limit = Some(self.config.streams_per_client.into());
            let retry = jittered(Duration::from_secs(5));
            return Err(Refusal { code: Code::TooManyStreams, limit, scope: Scope::Client, retry });
        }
        Ok(Slot { limits: Arc::clone(self), client: record })
    }

    /// Forgets clients that have no stream and have not been seen for a while. To be called now and then.
    pub fn forget(&self) {
        let now = Instant::now();
        self.clients.retain(|_, client| {
            let seen = *client.last_seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            client.open.load(Ordering::Acquire) > 0 || now.saturating_duration_since(seen) < FORGET_AFTER
        });
    }

    /// Clients remembered now.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    fn record(&self, client: IpAddr) -> Option<Arc<Client>> {
        let now = Instant::now();
        if let Some(record) = self.clients.get(&client) {
            *record.last_seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = now;
            return Some(Arc::clone(&record));
        }
        if self.clients.len() >= CLIENTS_MAX {
            return None;
        }
        let record = self.clients.entry(client).or_insert_with(|| Arc::new(Client::new(&self.config, now)));
        Some(Arc::clone(&record))
    }

    fn overloaded(&self) -> Refusal {
        let limit = Some(self.config.streams_total.into());
        Refusal {
            code: Code::Overloaded,
            limit,
            scope: Scope::Node,
            retry: jittered(Duration::from_secs(10)),
        }
    }
}

impl Client {
    fn new(config: &config::Limits, now: Instant) -> Self {
        let per_minute = NonZeroU32::new(config.opens_per_minute).unwrap_or(NonZeroU32::MIN);
        let budget =
            config.messages_per_second.and_then(NonZeroU32::new).map(|limit| Arc::new(Budget::new(limit)));
        Self {
            opens: RateLimiter::direct_with_clock(Quota::per_minute(per_minute), TokioClock),
            budget,
            open: AtomicU32::new(0),
            last_seen: std::sync::Mutex::new(now),
        }
    }
}

/// A refusal because the node is about to stop.
pub fn draining() -> Refusal {
    Refusal { code: Code::Draining, limit: None, scope: Scope::Node, retry: jittered(Duration::from_secs(5)) }
}

/// Half to one and a half times as long: what many do at once is spread (P27).
pub fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.5..1.5))
}

/// Counts one more, unless there are `most` already.
fn take(count: &AtomicU32, most: u32) -> bool {
    let more = |open: u32| (open < most).then_some(open + 1);
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(streams_per_client: u32, opens_per_minute: u32, streams_total: u32) -> Arc<Limits> {
        let config =
            config::Limits { streams_per_client, opens_per_minute, streams_total, messages_per_second: None };
        Arc::new(Limits::new(config, vec!["10.0.0.0/8".parse().expect("a network")]))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn refused(result: Result<Slot, Refusal>) -> Code {
        result.expect_err("refused").code
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_stream_gives_its_place_back() {
        let limits = limits(2, 100, 3);
        let (first, _second) =
            (limits.open(ip("1.1.1.1")).expect("one"), limits.open(ip("1.1.1.1")).expect("two"));
        assert_eq!(refused(limits.open(ip("1.1.1.1"))), Code::TooManyStreams);
        let _third = limits.open(ip("2.2.2.2")).expect("three");
        assert_eq!(refused(limits.open(ip("3.3.3.3"))), Code::Overloaded);
        drop(first);
        let _again = limits.open(ip("1.1.1.1")).expect("room again");
    }

    #[tokio::test(start_paused = true)]
    async fn opens_are_counted_by_the_minute_and_clients_forgotten_after_it() {
        let limits = limits(100, 2, 100);
        for _ in 0..2 {
            drop(limits.open(ip("1.1.1.1")).expect("within the limit"));
        }
        let refusal = limits.open(ip("1.1.1.1")).expect_err("refused");
        assert_eq!((refusal.code, refusal.limit), (Code::RateLimited, Some(2)));
        assert!(
            refusal.retry >= Duration::from_millis(500) && refusal.retry <= Duration::from_secs(46),
            "{refusal:?}"
        );
        tokio::time::advance(Duration::from_secs(31)).await;
        drop(limits.open(ip("1.1.1.1")).expect("one place came back"));
        tokio::time::advance(FORGET_AFTER).await;
        limits.forget();
        assert_eq!(limits.clients(), 0);
    }

    #[test]
    fn p68_a_forwarded_address_counts_only_from_a_trusted_proxy_and_from_the_right() {
        let limits = limits(1, 1, 1);
        let forged = ["9.9.9.9", "5.5.5.5"];
        assert_eq!(limits.client(ip("8.8.8.8"), &forged), ip("8.8.8.8"));
        assert_eq!(limits.client(ip("10.1.1.1"), &forged), ip("5.5.5.5"));
        assert_eq!(limits.client(ip("10.1.1.1"), &["9.9.9.9", " 5.5.5.5", "10.2.2.2"]), ip("5.5.5.5"));
        assert_eq!(limits.client(ip("10.1.1.1"), &["9.9.9.9", "junk"]), ip("10.1.1.1"));
        assert_eq!(limits.client(ip("::ffff:8.8.8.8"), &[]), ip("8.8.8.8"));
        assert_eq!(limits.client(ip("2001:db8:1:2:3:4:5:6"), &[]), ip("2001:db8:1:2::"));
    }
}
