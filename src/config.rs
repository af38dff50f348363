//! The configuration: one struct per component, read from TOML and the environment, with every mistake told at
//! once. What a key means is said here and in `config/tickcast.toml`; what is done with it, where it is used.

mod auth;
mod bus;
mod candles;
mod env;
mod feeds;
mod instrument;
mod mistake;
pub mod near;
mod parse;
mod plan;
mod proxy;
mod rules;
mod secret;
mod section;
mod tree;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use auth::{
    ApiKey, Auth, AuthMode, BadJwks, Jwt, JwtKey, KeyHash, KeysFile, Operators, SignedBy, check_key,
};
pub use bus::{Bus, Login, Role, Storage};
pub use candles::Candles;
pub use feeds::{Feed, Feeds, Sim, url_without_secrets};
pub use instrument::{Class, Instrument, NAME_MAX, PriceRule, Source, StaleAfter};
pub use mistake::{Mistake, Mistakes, Place};
pub use plan::{Plan, SymbolPattern};
pub use proxy::{Proxy, ProxyKind};
pub use secret::{Key, Secret};

pub(crate) use auth::{read_file, read_jwks, read_keys};

use instrument::Draft;
use parse::{boolean, duration, file, folder, network, origin, socket_address, whole, word};
use section::Section;

/// Fan-out threads there may be.
const THREADS_MAX: usize = 64;
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Below it a message takes longer than anybody waits; above it the limiter, which counts nanoseconds for each byte, would
/// be coarse.
const BYTES_PER_SECOND: RangeInclusive<u32> = 1_000..=100_000_000;
/// Shorter than this, a wait is a busy loop.
const LEAST: Duration = Duration::from_millis(10);

/// The whole configuration, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[[instrument]]`, in the file's order, then the generated ones.
    pub instruments: Vec<Instrument>,
    /// `[feeds]`.
    pub feeds: Feeds,
    /// `[stream]`.
    pub stream: Stream,
    /// `[candles]`.
    pub candles: Candles,
    /// `[limits]`.
    pub limits: Limits,
    /// `[http]`.
    pub http: Http,
    /// `[auth]`.
    pub auth: Auth,
    /// `[plans]`, in the file's order.
    pub plans: Vec<Plan>,
    /// `[record]`: keeps raw frames. Default: off.
    pub record: Option<Record>,
    /// `[bus]`: the node is one of several. Default: it is the whole.
    pub bus: Option<Bus>,
}

/// Where raw frames are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The folder, made where it is missing. Required.
    pub dir: PathBuf,
    /// Another file is begun at this size, compressed. 1 kB to 1 TB. Default: 256 MiB.
    pub bytes_max: u64,
    /// Files kept of each venue, the one being written not counted. From 1. Default: 16.
    pub files_max: usize,
}

/// What a stream does when its client asks for nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Least time between two flushes of a stream. 0 (as fast as the socket takes it) to 1 h. Default: 100 ms.
    pub throttle_default: Duration,
    /// What a client's wish is raised to, and the default with it. 0 to 1 h. Default: 0.
    pub throttle_min: Duration,
    /// Between visible `hb` events; 0 means comments only. 0 to 1 h. Default: 15 s.
    pub heartbeat: Duration,
    /// What `min_change` holds back is sent after this long anyway. 10 ms to 1 day. Default: 30 s.
    pub max_silence: Duration,
    /// A reader that takes no byte for this long is cut. 10 ms to 1 h. Default: 30 s.
    pub stall_max: Duration,
    /// Symbols on one stream. 1 to 1,000,000. Default: 1,000.
    pub symbols_max: usize,
    /// Trades kept of each symbol that streams of mode `ticks` follow: what such a stream may be behind before it has a
    /// gap. About a KiB each. 1 to 1,000,000. Default: 256.
    pub history: usize,
    /// Middle of the jittered time after which clients are told to reconnect. 10 ms to 1 h. Default: 2 s.
    pub retry: Duration,
}

/// How much one client, and all of them together, may take. A client is a key or the subject of a token; without one,
/// an address, IPv6 by its /64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams that one client has open. From 1. Default: 100.
    pub streams_per_client: u32,
    /// Streams that one client opens in a minute. From 1. Default: 600.
    pub opens_per_minute: u32,
    /// Messages to one client in a second; over it, its streams are slowed, not cut. From 1. Default: none.
    pub messages_per_second: Option<u32>,
    /// Bytes of messages to one client in a second; over it, its streams are slowed, not cut. 1,000 to 100,000,000.
    /// Default: none.
    pub bytes_per_second: Option<u32>,
    /// Keys and tokens that nobody has, shown by one address in a minute; over it, it learns of no other whether it is good.
    /// From 1. Default: 60.
    pub bad_credentials_per_minute: u32,
    /// Streams open in all. From 1. Default: 100,000.
    pub streams_total: u32,
    /// Connections accepted in a second; the others wait in the kernel's queue. From 1. Default: any number.
    pub accepts_per_second: Option<u32>,
    /// Resident memory of the process, bytes, above which no stream is opened. From 16 MiB. Default: none.
    pub memory_max: Option<u64>,
}

/// The server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Address and port to accept on; port 0 picks a free one. Default: 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Values of the `Origin` header that may read our answers, in lower case; `*` is every one. Default: `*`.
    pub cors_origins: Vec<String>,
    /// Networks of proxies that are believed about who asks them. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// Where they say it. Default: `X-Forwarded-For`.
    pub forwarded: Forwarded,
    /// A stop spreads the ends of the streams over this time. 0 to 10 min. Default: 5 s.
    pub drain_window: Duration,
    /// A stop is over after this time, whatever is still open. `drain_window` to 1 h. Default: 10 s.
    pub drain_max: Duration,
    /// Fan-out threads, each with a runtime and a listener of its own. 1 to 64. Default: as many as there are cores.
    pub threads: usize,
    /// Whether other processes may be bound to `listen` too; connections go to any of them. Default: false.
    pub shared_port: bool,
    /// Whether a stream on plain HTTP/1.1 is written straight to its socket, without hyper, once its head is out. Default:
    /// true.
    pub direct_streams: bool,
    /// Connections open in all, streams or not. From 1. Default: room for all streams and 1,000 more, see
    /// [`connections_max`](Http::connections_max).
    pub connections_max: Option<u32>,
    /// What makes connections secure. Default: none, plain HTTP/1.1.
    pub tls: Option<TlsFiles>,
}

/// The files of a certificate. Both are looked at once a second, and read again where they changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that vouch for it, as PEM, ours first.
    pub cert: PathBuf,
    /// Its private key, as PEM: PKCS #8, PKCS #1 or SEC 1, without a password.
    pub key: PathBuf,
}

/// Where proxies say who asks them. One of the three: a header that is not the one of theirs they pass on as it came, which
/// is whatever a client likes to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarded {
    /// `X-Forwarded-For`: what most proxies write.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Standard,
    /// The PROXY protocol, version 1 or 2: ahead of everything else on a connection. Each connection of theirs must begin
    /// with it.
    ProxyProtocol,
}

/// The built-in demo's text: a simulated market, no network.
pub const fn demo() -> &'static str {
    include_str!("../config/demo.toml")
}

/// The text of the built-in stage for the simulator's scenarios: five venues that are played.
pub const fn scenarios() -> &'static str {
    include_str!("../config/scenarios.toml")
}

/// Reads a config from TOML text and, over it, the environment's variables (`TICKCAST__HTTP__LISTEN`). `origin` is
/// what the text is called where a mistake is printed, such as its path.
///
/// # Errors
///
/// [`Mistakes`], all there are, where the text or a variable is wrong. Of mistakes in TOML's syntax only the first.
pub fn load(
    text: &str,
    origin: &str,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Config, Mistakes> {
    let mut mistakes = Mistakes::new(origin);
    let Some(mut root) = tree::read(text, &mut mistakes) else { return mistakes.or(Config::default()) };
    let env: HashMap<String, String> = env.collect();
    env::overlay(&mut root, &env, &mut mistakes);
    let top = |top: &mut Section<'_>| {
        let drafts = top.tables("instrument", Draft::read);
        let mistakes_before = top.mistakes();
        let feeds = top.table("feeds", |section| Feeds::read(section, &env)).unwrap_or_default();
        let is_feeds_right = top.mistakes() == mistakes_before;
        let stream = top.table("stream", Stream::read).unwrap_or_default();
        let candles = top.table("candles", Candles::read).unwrap_or_default();
        let limits = top.table("limits", Limits::read).unwrap_or_default();
        let http = top.table("http", Http::read).unwrap_or_default();
        let record = top.table("record", Record::read).flatten();
        let bus = top.table("bus", |section| Bus::read(section, &env)).flatten();
        let plan_drafts = top.table("plans", plan::read).unwrap_or_default();
        let plans: Vec<Plan> = plan_drafts.iter().map(|draft| draft.plan.clone()).collect();
        let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
        let read_auth = |section: &mut Section<'_>| {
            let auth = Auth::read(section, &names, &env);
            rules::check_cookie(section, &auth, &http.cors_origins);
            auth
        };
        let auth = top.table("auth", read_auth).unwrap_or_default();
        let instruments = Vec::new();
        let config = Config { instruments, feeds, stream, candles, limits, http, auth, plans, record, bus };
        (drafts, plan_drafts, config, is_feeds_right)
    };
    let (drafts, plan_drafts, mut config, is_feeds_right) =
        Section::read(String::new(), Place::Line(1), &root, &mut mistakes, top);

    let generated = config.feeds.sim.as_ref().filter(|sim| sim.enabled).map_or(0, |sim| sim.generate);
    let generated: Vec<Instrument> = (0..generated).map(Instrument::generated).collect();
    rules::check_names(&drafts, &generated, &root.place_of(&["feeds", "sim", "generate"]), &mut mistakes);
    rules::check_sources(&drafts, &mut mistakes);
    // What could not be read says nothing about what is on.
    let is_edge = config.is_edge();
    if is_feeds_right && !is_edge {
        rules::check_feeds(&drafts, &config.feeds, &mut mistakes);
    }
    config.instruments = drafts.into_iter().map(|draft| draft.instrument).chain(generated).collect();
    // An edge's symbols come over the bus.
    if is_edge {
        return mistakes.or(config);
    }
    for draft in &plan_drafts {
        draft.check(&config.instruments, &mut mistakes);
    }
    if config.instruments.is_empty() && mistakes.count() == 0 {
        let problem = "there is none; add an [[instrument]], or set `generate` in [feeds.sim]";
        mistakes.add(&Place::Line(1), "[[instrument]]", problem);
    }
    mistakes.or(config)
}

impl Config {
    /// Whether its prices come over the bus.
    pub fn is_edge(&self) -> bool {
        self.bus.as_ref().is_some_and(|bus| bus.role == Role::Edge)
    }
}

impl Stream {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let throttle = duration(Duration::ZERO..=HOUR);
        Self {
            throttle_default: section.get("throttle_default", default.throttle_default, &throttle),
            throttle_min: section.get("throttle_min", default.throttle_min, &throttle),
            heartbeat: section.get("heartbeat", default.heartbeat, duration(Duration::ZERO..=HOUR)),
            max_silence: section.get("max_silence", default.max_silence, duration(LEAST..=DAY)),
            stall_max: section.get("stall_max", default.stall_max, duration(LEAST..=HOUR)),
            symbols_max: section.get("symbols_max", default.symbols_max, whole(1..=1_000_000)),
            history: section.get("history", default.history, whole(1..=1_000_000)),
            retry: section.get("retry", default.retry, duration(LEAST..=HOUR)),
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            throttle_default: Duration::from_millis(100),
            throttle_min: Duration::ZERO,
            heartbeat: Duration::from_secs(15),
            max_silence: Duration::from_secs(30),
            stall_max: Duration::from_secs(30),
            symbols_max: 1000,
            history: 256,
            retry: Duration::from_secs(2),
        }
    }
}

impl Limits {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let limit = whole(1..=u32::MAX);
        Self {
            streams_per_client: section.get("streams_per_client", default.streams_per_client, &limit),
            opens_per_minute: section.get("opens_per_minute", default.opens_per_minute, &limit),
            messages_per_second: section.optional("messages_per_second", &limit),
            bytes_per_second: section.optional("bytes_per_second", whole(BYTES_PER_SECOND)),
            bad_credentials_per_minute: section.get(
                "bad_credentials_per_minute",
                default.bad_credentials_per_minute,
                &limit,
            ),
            streams_total: section.get("streams_total", default.streams_total, &limit),
            accepts_per_second: section.optional("accepts_per_second", &limit),
            memory_max: section.optional("memory_max", whole(16 << 20..=1_u64 << 50)),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_per_client: 100,
            opens_per_minute: 600,
            messages_per_second: None,
            bytes_per_second: None,
            bad_credentials_per_minute: 60,
            streams_total: 100_000,
            accepts_per_second: None,
            memory_max: None,
        }
    }
}

impl Http {
    fn read(section: &mut Section<'_>) -> Self {
        let (default, mistakes) = (Self::default(), section.mistakes());
        let drain_window = duration(Duration::ZERO..=Duration::from_mins(10));
        let http = Self {
            tls: TlsFiles::read(section),
            connections_max: section.optional("connections_max", whole(1..=u32::MAX)),
            listen: section.get("listen", default.listen, socket_address),
            cors_origins: section.list("cors_origins", origin).map_or(default.cors_origins, values),
            trusted_proxies: section.list("trusted_proxies", network).map_or(default.trusted_proxies, values),
            forwarded: section.get(
                "forwarded",
                default.forwarded,
                word(&[
                    ("x-forwarded-for", Forwarded::XForwardedFor),
                    ("forwarded", Forwarded::Standard),
                    ("proxy-protocol", Forwarded::ProxyProtocol),
                ]),
            ),
            drain_window: section.get("drain_window", default.drain_window, drain_window),
            drain_max: section.get("drain_max", default.drain_max, duration(Duration::ZERO..=HOUR)),
            threads: section.get("threads", default.threads, whole(1..=THREADS_MAX)),
            shared_port: section.get("shared_port", default.shared_port, boolean),
            direct_streams: section.get("direct_streams", default.direct_streams, boolean),
        };
        if http.drain_max < http.drain_window {
            let [max, window] = [http.drain_max, http.drain_window].map(humantime::format_duration);
            let problem =
                format!("{max} is less than drain_window, {window}: streams would be cut without a `bye`");
            let place = section.place_of("drain_max");
            section.add(&place, "drain_max", problem);
        }
        let is_right = section.mistakes() == mistakes;
        if http.forwarded == Forwarded::ProxyProtocol && http.trusted_proxies.is_empty() && is_right {
            let place = section.place_of("forwarded");
            let problem = "proxy-protocol is believed from nobody: name the proxies in trusted_proxies";
            section.add(&place, "forwarded", problem);
        }
        http
    }

    /// Connections open in all. Requests that are no streams need some too: health, metrics, pages.
    pub fn connections_max(&self, limits: &Limits) -> u32 {
        self.connections_max.unwrap_or_else(|| limits.streams_total.saturating_add(1_000))
    }
}

impl TlsFiles {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let mistakes = section.mistakes();
        let (cert, key) = (section.optional("tls_cert", file), section.optional("tls_key", file));
        let (given, missing) = match (cert, key) {
            (Some(cert), Some(key)) => return Some(Self { cert, key }),
            (None, None) => return None,
            (Some(_), None) => ("tls_cert", "tls_key"),
            (None, Some(_)) => ("tls_key", "tls_cert"),
        };
        // Where the other one is there and wrong, that was told.
        if section.mistakes() == mistakes {
            let place = section.place_of(given);
            section.add(
                &place,
                given,
                format!("TLS takes a certificate and its key: `{missing}` is missing"),
            );
        }
        None
    }
}

impl Record {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let dir = section.required("dir", folder);
        let bytes_max = section.get("bytes_max", 256 << 20, whole(1_000..=1_000_000_000_000));
        let files_max = section.get("files_max", 16, whole(1..=1_000_000));
        Some(Self { dir: dir?, bytes_max, files_max })
    }
}

/// The values of a list, without the places that only checks between them need.
fn values<T>(list: Vec<(Place, T)>) -> Vec<T> {
    list.into_iter().map(|(_, value)| value).collect()
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            cors_origins: vec!["*".to_owned()],
            trusted_proxies: Vec::new(),
            forwarded: Forwarded::default(),
            drain_window: Duration::from_secs(5),
            drain_max: Duration::from_secs(10),
            threads: std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX),
            shared_port: false,
            direct_streams: true,
            connections_max: None,
            tls: None,
        }
    }
}
