//! What one client may have: streams opened per minute, streams open at once, messages and bytes per second; and what
//! all together may have. Who a client is, `client` says; what its plan allows, `auth`.

mod accepts;
mod memory;
mod one_address;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use rand::RngExt;
use serde::Serialize;
use tokio::time::Instant;
use tracing::warn;
use utoipa::ToSchema;

pub use accepts::AcceptRate;

use super::auth::Visitor;
use super::auth::lease::Lease;
use super::client::ClientId;
use crate::clock::{Reading, TokioClock};
use crate::config;
use crate::fanout::Budget;
use memory::Memory;
use one_address::{OneAddress, Sign};

/// Clients remembered at once. Beyond it new ones are refused as `overloaded`: their records would cost more
/// than their streams. Each is some 200 bytes.
const CLIENTS_MAX: usize = 200_000;
/// A client without a stream is forgotten after this long: then its opens per minute are full again.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// The limits and who is using them.
#[derive(Debug)]
pub struct Limits {
    config: config::Limits,
    clients: DashMap<ClientId, Arc<Client>>,
    open: AtomicU32,
    memory: Memory,
    one_address: OneAddress,
}

#[derive(Debug)]
struct Client {
    opens: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Reading>>,
    budget: Option<Arc<Budget>>,
    open: AtomicU32,
    last_seen: std::sync::Mutex<Instant>,
}

/// What one client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Streams open at once.
    pub streams_per_client: u32,
    /// Streams opened in a minute.
    pub opens_per_minute: u32,
    /// Messages in a second, over all its streams; `None` is without a limit.
    pub messages_per_second: Option<u32>,
    /// Bytes of messages in a second, over all its streams; `None` is without a limit.
    pub bytes_per_second: Option<u32>,
}

impl Allowance {
    /// What the config gives to who has no plan.
    pub fn of(limits: &config::Limits) -> Self {
        Self {
            streams_per_client: limits.streams_per_client,
            opens_per_minute: limits.opens_per_minute,
            messages_per_second: limits.messages_per_second,
            bytes_per_second: limits.bytes_per_second,
        }
    }
}

/// A stream's place among those open. Dropping it gives the place back.
#[derive(Debug)]
pub struct Slot {
    limits: Arc<Limits>,
    client: Arc<Client>,
    lease: Lease,
    scope: Scope,
}

impl Slot {
    /// The messages and bytes that the client may be sent.
    pub fn budget(&self) -> Option<Arc<Budget>> {
        self.client.budget.clone()
    }

    /// How long the credential is good that opened the stream.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whose limits it counts against, as messages name it.
    pub fn scope(&self) -> Scope {
        self.scope
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RefusalCode)]
pub enum Code {
    /// Too many opens in a minute.
    RateLimited,
    /// Too many streams open.
    TooManyStreams,
    /// Too many tickets that are not used up.
    TooManyTickets,
    /// Too many keys or tokens from one address that nobody has.
    TooManyBadCredentials,
    /// The node has no room.
    Overloaded,
    /// The node is about to stop.
    Draining,
}

/// Every limit that metrics count: the codes of refusals, what slows streams down, and the room for connections.
pub(crate) const NAMES: [&str; 9] = [
    "rate_limited",
    "too_many_streams",
    "too_many_tickets",
    "overloaded",
    "draining",
    "too_many_bad_credentials",
    "messages_per_second",
    "bytes_per_second",
    "connections",
];

impl Code {
    /// The word in messages and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::TooManyStreams => "too_many_streams",
            Self::TooManyTickets => "too_many_tickets",
            Self::TooManyBadCredentials => "too_many_bad_credentials",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
        }
    }
}

/// Whose limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LimitScope)]
pub enum Scope {
    /// The client's, known by its address.
    Client,
    /// The client's, known by its key or its token's subject, from wherever it comes.
    Key,
    /// The node's.
    Node,
}

impl Scope {
    /// Of one client.
    pub fn of(client: &ClientId) -> Self {
        match client {
            ClientId::Address(_) => Self::Client,
            ClientId::Credential { .. } => Self::Key,
        }
    }
}

impl Limits {
    /// The limits of a config, nobody using them.
    pub fn new(config: config::Limits) -> Self {
        Self {
            memory: Memory::new(config.memory_max),
            config,
            clients: DashMap::new(),
            open: AtomicU32::new(0),
            one_address: OneAddress::default(),
        }
    }

    /// What is allowed.
    pub fn config(&self) -> &config::Limits {
        &self.config
    }

    /// Opens a stream for a client.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where a limit is reached.
    pub fn open(self: &Arc<Self>, visitor: &Visitor) -> Result<Slot, Refusal> {
        let (client, allowance) = (&visitor.client, visitor.terms.allowance);
        let scope = Scope::of(client);
        let record = self.record(client, allowance).ok_or_else(|| overloaded(None))?;
        if let Err(until) = record.opens.check() {
            let retry = spread(until.wait_time_from(TokioClock.now()).max(Duration::from_secs(1)));
            let limit = Some(allowance.opens_per_minute.into());
            return Err(Refusal { code: Code::RateLimited, limit, scope, retry });
        }
        if self.memory.is_over() {
            return Err(overloaded(None));
        }
        if !take(&self.open, self.config.streams_total) {
            return Err(overloaded(Some(self.config.streams_total.into())));
        }
        if !take(&record.open, allowance.streams_per_client) {
            self.open.fetch_sub(1, Ordering::AcqRel);
            let limit = Some(allowance.streams_per_client.into());
            let retry = jittered(Duration::from_secs(5));
            return Err(Refusal { code: Code::TooManyStreams, limit, scope, retry });
        }
        Ok(Slot { limits: Arc::clone(self), client: record, lease: visitor.lease.clone(), scope })
    }

    /// Looks whether a proxy stands before us that nobody named, and says so once in the log: then all its clients share the
    /// limits of one.
    pub fn look_at(&self, peer: IpAddr, is_forwarded: bool) {
        let advice = "name the proxy in http.trusted_proxies; until then all who come through it share one client's limits";
        match self.one_address.look(peer.to_canonical(), is_forwarded) {
            None => {}
            Some(Sign::Header) => warn!(%peer, advice, "a proxy that is not trusted forwards clients"),
            Some(Sign::Alone) => warn!(%peer, advice, "all clients have one private address"),
        }
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

    fn record(&self, client: &ClientId, allowance: Allowance) -> Option<Arc<Client>> {
        let now = Instant::now();
        if let Some(record) = self.clients.get(client) {
            *record.last_seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = now;
            return Some(Arc::clone(&record));
        }
        if self.clients.len() >= CLIENTS_MAX {
            return None;
        }
        let record =
            self.clients.entry(client.clone()).or_insert_with(|| Arc::new(Client::new(allowance, now)));
        Some(Arc::clone(&record))
    }
}

impl Client {
    fn new(allowance: Allowance, now: Instant) -> Self {
        let per_minute = NonZeroU32::new(allowance.opens_per_minute).unwrap_or(NonZeroU32::MIN);
        let budget = Budget::new(allowance.messages_per_second, allowance.bytes_per_second).map(Arc::new);
        Self {
            opens: RateLimiter::direct_with_clock(Quota::per_minute(per_minute), TokioClock),
            budget,
            open: AtomicU32::new(0),
            last_seen: std::sync::Mutex::new(now),
        }
    }
}

/// A refusal because the node has no room: for want of a limit's places, or of memory.
pub fn overloaded(limit: Option<u64>) -> Refusal {
    Refusal { code: Code::Overloaded, limit, scope: Scope::Node, retry: jittered(Duration::from_secs(10)) }
}

/// A refusal because the node is about to stop.
pub fn draining() -> Refusal {
    Refusal { code: Code::Draining, limit: None, scope: Scope::Node, retry: jittered(Duration::from_secs(5)) }
}

/// Half to one and a half times as long: what many do at once is spread (P27).
pub fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.5..1.5))
}

/// As long to one and a half times as long. Not before its turn: who came then would only be refused again.
pub fn spread(wait: Duration) -> Duration {
    wait + wait.mul_f64(rand::rng().random_range(0.0..0.5))
}

/// Counts one more, unless there are `most` already.
fn take(count: &AtomicU32, most: u32) -> bool {
    let more = |open: u32| (open < most).then_some(open + 1);
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(streams_total: u32) -> Arc<Limits> {
        Arc::new(Limits::new(config::Limits { streams_total, ..config::Limits::default() }))
    }

    /// Somebody at an address, who may have so much.
    fn visitor(ip: &str, streams_per_client: u32, opens_per_minute: u32) -> Visitor {
        let limits = config::Limits { streams_per_client, opens_per_minute, ..config::Limits::default() };
        Visitor::at(ip.parse().expect("an address"), &limits)
    }

    fn refused(result: Result<Slot, Refusal>) -> Code {
        result.expect_err("refused").code
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_stream_gives_its_place_back() {
        let limits = limits(3);
        let [one, two, three] = ["1.1.1.1", "2.2.2.2", "3.3.3.3"].map(|ip| visitor(ip, 2, 100));
        let (first, _second) = (limits.open(&one).expect("one"), limits.open(&one).expect("two"));
        assert_eq!(refused(limits.open(&one)), Code::TooManyStreams);
        let _third = limits.open(&two).expect("three");
        assert_eq!(refused(limits.open(&three)), Code::Overloaded);
        drop(first);
        let _again = limits.open(&one).expect("room again");
    }

    #[tokio::test(start_paused = true)]
    async fn p70_a_key_has_limits_of_its_own_from_wherever_it_comes() {
        let limits = limits(100);
        let at_office = visitor("1.1.1.1", 1, 100);
        let key = |id: &str, plan: &str| {
            let mut visitor = at_office.clone();
            visitor.client = ClientId::Credential { id: id.into(), plan: plan.into() };
            visitor
        };
        let _anonymous = limits.open(&at_office).expect("an address's");
        let _one = limits.open(&key("one", "free")).expect("a key's, at the same address");
        let _two = limits.open(&key("two", "free")).expect("another's");
        let refusal = limits.open(&key("one", "free")).expect_err("the key has its stream");
        assert_eq!((refusal.code, refusal.limit, refusal.scope), (Code::TooManyStreams, Some(1), Scope::Key));
        assert_eq!(limits.open(&at_office).expect_err("so has the address").scope, Scope::Client);
        let slot = limits.open(&key("one", "gold")).expect("another plan counts for itself");
        assert_eq!((slot.scope(), slot.lease().say(Instant::now())), (Scope::Key, None));
    }

    #[tokio::test(start_paused = true)]
    async fn opens_are_counted_by_the_minute_and_clients_forgotten_after_it() {
        let limits = limits(100);
        let one = visitor("1.1.1.1", 100, 2);
        for _ in 0..2 {
            drop(limits.open(&one).expect("within the limit"));
        }
        let refusal = limits.open(&one).expect_err("refused");
        assert_eq!((refusal.code, refusal.limit), (Code::RateLimited, Some(2)));
        let (turn, spread) = (Duration::from_millis(29_999), Duration::from_secs(46));
        assert!(refusal.retry >= turn && refusal.retry <= spread, "not before its turn: {refusal:?}");
        tokio::time::advance(Duration::from_secs(31)).await;
        drop(limits.open(&one).expect("one place came back"));
        tokio::time::advance(FORGET_AFTER).await;
        limits.forget();
        assert_eq!(limits.clients(), 0);
    }

    #[tokio::test(start_paused = true)]
    #[cfg(target_os = "linux")]
    async fn p74_a_node_that_has_more_memory_than_it_may_opens_no_stream() {
        let with =
            |memory_max| Arc::new(Limits::new(config::Limits { memory_max, ..config::Limits::default() }));
        let one = visitor("1.1.1.1", 1, 10);
        let refusal = with(Some(1 << 20)).open(&one).expect_err("a megabyte is too little");
        assert_eq!((refusal.code, refusal.scope, refusal.limit), (Code::Overloaded, Scope::Node, None));
        drop(with(Some(1 << 50)).open(&one).expect("room enough"));
    }
}
