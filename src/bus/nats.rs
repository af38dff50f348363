//! The connection to NATS and what is kept there: made where it is missing, compared with what is wanted where it is not.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{
    self, DirectGetErrorKind, DiscardPolicy, LastRawMessageErrorKind, Republish, RetentionPolicy, StorageType,
};
use async_nats::jetstream::{Context, Error as JetStreamError, ErrorCode, kv};
use async_nats::{Client, ConnectOptions, Event, Server, ServerAddr};
use rand::RngExt;
use tracing::{error, info, warn};

use super::names::{Names, What};
use crate::config::{Bus, Login, Storage};
use crate::http::sse::Epoch;

/// Between two attempts to connect, at most; a part of it by lot.
const RECONNECT_MAX: Duration = Duration::from_secs(1);
/// A server that does not answer within this is not there.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// A connection is dead after two of these without an answer.
const PING: Duration = Duration::from_secs(2);
/// An answer that takes longer is none.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Messages of one subscription that wait to be taken: some seconds of a busy bus. What comes on top is lost, counted, and
/// fetched again.
const WAITING_MAX: usize = 1 << 18;
/// Messages that wait for their turn to be sent.
const SENDING_MAX: usize = 4_096;
/// How NATS says that it has no room: of the server, of the account, on its disk.
const FULL: [ErrorCode; 5] = [
    ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    ErrorCode::INSUFFICIENT_RESOURCES,
    ErrorCode::MEMORY_RESOURCES_EXCEEDED,
    ErrorCode::STORAGE_RESOURCES_EXCEEDED,
    ErrorCode::STREAM_STORE_FAILED,
];

/// Why the bus cannot do what it is to do.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The configuration of the connection is of no use: waiting does not help.
    #[error("the bus cannot be set up")]
    SetUp(#[source] Box<dyn StdError + Send + Sync>),
    /// The server did not do what it was asked.
    #[error("NATS did not {what}")]
    Refused {
        /// What it was asked.
        what: &'static str,
        /// What it said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The fan-out has no room for one more listener.
    #[error("too many fan-out threads listen to the store for the bus to do so too")]
    TooManyListen,
    /// There is no stream yet: an ingest node makes it.
    #[error("there is no stream {0} yet; an ingest node makes it")]
    NoStream(String),
    /// There is one that is used for something else, or was made for other settings.
    #[error("the stream {name} is there with other settings: {differences}")]
    Differs {
        /// Which.
        name: String,
        /// Each setting, as found and as wanted.
        differences: String,
    },
}

impl BusError {
    fn refused<E: StdError + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Refused { what, source: Box::new(error) }
    }

    /// The error and its reasons, in one line.
    pub(super) fn line(&self) -> String {
        let mut line = self.to_string();
        let mut reason = StdError::source(self);
        while let Some(error) = reason {
            line = format!("{line}: {error}");
            reason = error.source();
        }
        line
    }
}

/// A connection to NATS, which comes back by itself.
#[derive(Clone)]
pub(super) struct Nats {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) names: Names,
    config: Bus,
    watch: Arc<Watch>,
}

/// What became known of the connection.
#[derive(Debug, Default)]
struct Watch {
    /// How often messages of a subscription were lost because nobody took them in time.
    overflows: AtomicU64,
    problem: Mutex<Option<String>>,
    refusals: Mutex<BTreeMap<&'static str, String>>,
}

impl Watch {
    fn note(&self, event: &Event) {
        let reason = match event {
            Event::Connected => {
                if lock(&self.problem).take().is_some() {
                    info!("the bus is back");
                }
                return;
            }
            Event::SlowConsumer(_) => {
                self.overflows.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Event::Disconnected => "the connection ended".to_owned(),
            Event::ServerError(error) => error.to_string(),
            // Of an attempt to connect; why it failed is told before the next one.
            Event::ClientError(_) | Event::LameDuckMode | Event::Draining | Event::Closed => return,
        };
        self.away(reason);
    }

    /// Notes what came of the last attempts to connect.
    fn tried(&self, servers: &[Server]) {
        let reasons: Vec<String> = servers
            .iter()
            .filter_map(|server| {
                let reason = server.last_error.as_deref()?;
                // What follows says which.
                let reason = reason.strip_prefix("IO error: ").unwrap_or(reason);
                let reason = reason.split_once("authorization violation: ").map_or(reason, |(_, said)| said);
                Some(format!("{}:{}: {reason}", server.addr.host(), server.addr.port()))
            })
            .collect();
        if !reasons.is_empty() {
            self.away(reasons.join("; "));
        }
    }

    fn away(&self, reason: String) {
        let mut problem = lock(&self.problem);
        // Once for each reason, however many attempts.
        if problem.as_ref() != Some(&reason) {
            warn!(reason, "the bus is away");
            *problem = Some(reason);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Nats {
    /// A connection for a node that calls itself this; it is made as soon as it can be, and again whenever it ends.
    ///
    /// # Errors
    ///
    /// [`BusError::SetUp`] where it never can be.
    pub(super) async fn connect(config: &Bus, name: &str) -> Result<Self, BusError> {
        let broken = |error: std::io::Error| BusError::SetUp(Box::new(error));
        let watch = Arc::new(Watch::default());
        let (note, tried) = (Arc::clone(&watch), Arc::clone(&watch));
        let mut options = ConnectOptions::new()
            .name(name)
            .retry_on_initial_connect()
            .connection_timeout(CONNECT_MAX)
            .ping_interval(PING)
            .request_timeout(Some(ANSWER_MAX))
            .subscription_capacity(WAITING_MAX)
            .client_capacity(SENDING_MAX)
            .reconnect_delay_callback(delay)
            // Asked which server is to be next, and the only place where it is said why the last one was not.
            .reconnect_to_server_callback(move |servers, _| {
                tried.tried(&servers);
                std::future::ready(None)
            })
            .event_callback(move |event| {
                note.note(&event);
                std::future::ready(())
            });
        options = match &config.login {
            Login::None => options,
            Login::Token(token) => options.token(token.expose().to_owned()),
            Login::Password { user, password } => {
                options.user_and_password(user.expose().to_owned(), password.expose().to_owned())
            }
            Login::Credentials(path) => options.credentials_file(path).await.map_err(broken)?,
        };
        if let Some(path) = &config.tls_ca {
            options = options.add_root_certificates(path.clone());
        }
        let servers: Vec<ServerAddr> = config
            .urls
            .iter()
            .map(|url| url.parse())
            .collect::<Result<_, std::io::Error>>()
            .map_err(broken)?;
        let client = options.connect(servers).await.map_err(|error| BusError::SetUp(Box::new(error)))?;
        let context = async_nats::jetstream::context::ContextBuilder::new()
            .timeout(ANSWER_MAX)
            .ack_timeout(ANSWER_MAX)
            .max_ack_inflight(SENDING_MAX)
            .build(client.clone());
        Ok(Self { client, context, names: Names::new(config), config: config.clone(), watch })
    }

    /// How often it was connected: what came before another number may be of another connection.
    pub(super) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::SeqCst)
    }

    /// How often something that came was lost.
    pub(super) fn overflows(&self) -> u64 {
        self.watch.overflows.load(Ordering::Relaxed)
    }

    /// Whether it is connected.
    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Why it is not connected, where that is known.
    pub(super) fn problem(&self) -> Option<String> {
        lock(&self.watch.problem).clone()
    }

    /// Notes why NATS did not take what it was told of this kind; `None` where it did.
    pub(super) fn refuses(&self, what: &'static str, refused: Option<&Refusal>) {
        let mut refusals = lock(&self.watch.refusals);
        let reason = refused.map(|refused| refused.reason.as_str());
        // Once for each reason, however many messages.
        if refusals.get(what).map(String::as_str) == reason {
            return;
        }
        let Some(refused) = refused else {
            info!("NATS takes {what} again");
            refusals.remove(what);
            return;
        };
        match refused {
            Refusal { reason, is_full: true } => {
                error!("{reason}; no {what} can be published until there is");
            }
            Refusal { reason, .. } => warn!("{what}: {reason}"),
        }
        refusals.insert(what, refused.reason.clone());
    }

    /// Why NATS takes nothing, where it said so last.
    pub(super) fn refusal(&self) -> Option<String> {
        lock(&self.watch.refusals).values().next().cloned()
    }

    /// Waits until it is connected.
    pub(super) async fn connected(&self) {
        // A flush waits for the connection; it may end again meanwhile.
        while !self.is_connected() {
            let waited = tokio::time::timeout(ANSWER_MAX, self.client.flush()).await;
            if !matches!(waited, Ok(Ok(()))) {
                let pause = RECONNECT_MAX.mul_f64(rand::rng().random_range(0.1..0.5));
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// The stream of tickers, or of trades, and its epoch.
    ///
    /// # Errors
    ///
    /// [`BusError::NoStream`] where there is none, [`BusError::Differs`] where it is not what it should be.
    pub(super) async fn stream(&self, what: What) -> Result<(stream::Stream, Epoch), BusError> {
        let wanted = self.wanted(what);
        let found = self.context.get_stream(&wanted.name).await;
        let stream = found.map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(reason) if reason.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                BusError::NoStream(wanted.name.clone())
            }
            _ => BusError::refused("show the stream")(error),
        })?;
        let differences = differences(&stream.cached_info().config, &wanted);
        if differences.is_empty() {
            let epoch = epoch(stream.cached_info().created.unix_timestamp_nanos());
            return Ok((stream, epoch));
        }
        Err(BusError::Differs { name: wanted.name, differences: differences.join("; ") })
    }

    /// The same, made where it is missing.
    ///
    /// # Errors
    ///
    /// As [`stream`](Self::stream), and where it cannot be made.
    pub(super) async fn stream_made(&self, what: What) -> Result<(stream::Stream, Epoch), BusError> {
        match self.stream(what).await {
            Err(BusError::NoStream(name)) => {
                // Another node may make it at the same time, which is just as well.
                self.context
                    .create_stream(self.wanted(what))
                    .await
                    .map_err(BusError::refused("make the stream"))?;
                info!(stream = name, "made the stream of the bus");
                self.stream(what).await
            }
            found => found,
        }
    }

    fn wanted(&self, what: What) -> stream::Config {
        let (source, destination) = (self.names.stored(what, ">"), self.names.live(what, ">"));
        let Bus { history, storage: of_tickers, history_storage: of_trades, .. } = self.config;
        let (name, about, kept, stored) = match what {
            What::Tickers => (&self.names.stream, "the newest ticker of each symbol", 1, of_tickers),
            What::Trades => {
                (&self.names.trades, "the newest trades of each symbol", history.into(), of_trades)
            }
        };
        stream::Config {
            name: name.clone(),
            description: Some(format!("tickcast: {about}")),
            subjects: vec![source.clone()],
            max_messages_per_subject: kept,
            max_messages: -1,
            max_bytes: -1,
            discard: DiscardPolicy::Old,
            retention: RetentionPolicy::Limits,
            storage: storage(stored),
            num_replicas: self.config.replicas,
            // What an edge follows, it hears as soon as it is stored, and with its sequence; what it begins to follow, it asks
            // for.
            republish: Some(Republish { source, destination, headers_only: false }),
            allow_direct: true,
            // No message has an id of its own: nothing is to be remembered for that.
            duplicate_window: Duration::from_millis(100),
            ..stream::Config::default()
        }
    }

    /// A bucket, made where it is missing.
    ///
    /// # Errors
    ///
    /// [`BusError::Refused`] where it is neither there nor can be made.
    pub(super) async fn bucket(&self, name: &str) -> Result<kv::Store, BusError> {
        if let Ok(store) = self.context.get_key_value(name).await {
            return Ok(store);
        }
        // As NATS' ADR-8 has it. The library's own call asks first for the account, in words that servers before 2.10 don't answer.
        let config = stream::Config {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 1,
            max_messages: -1,
            max_bytes: -1,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            storage: storage(self.config.storage),
            num_replicas: self.config.replicas,
            ..stream::Config::default()
        };
        self.context.create_stream(config).await.map_err(BusError::refused("make a bucket"))?;
        self.bucket_of_others(name).await
    }

    /// A bucket that others make.
    ///
    /// # Errors
    ///
    /// [`BusError::Refused`] where it is not there.
    pub(super) async fn bucket_of_others(&self, name: &str) -> Result<kv::Store, BusError> {
        self.context.get_key_value(name).await.map_err(BusError::refused("show a bucket"))
    }
}

/// What NATS says of a message that it does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// For operators.
    reason: String,
    /// It has no room left, so somebody must act.
    pub(super) is_full: bool,
}

impl Refusal {
    pub(super) fn of(error: &(dyn StdError + 'static)) -> Self {
        let (mut said, mut is_full) = (error, false);
        loop {
            if let Some(refused) = said.downcast_ref::<JetStreamError>() {
                is_full = FULL.contains(&refused.error_code());
            }
            let Some(source) = said.source() else { break };
            said = source;
        }
        let what = if is_full { "NATS has no room" } else { "NATS refuses a message" };
        Self { reason: format!("{what}: {said}"), is_full }
    }
}

/// The newest message of a symbol and its sequence; none where there is none.
///
/// # Errors
///
/// [`BusError::Refused`] where the server does not say.
pub(super) async fn last(
    stream: &stream::Stream,
    subject: String,
) -> Result<Option<(u64, Vec<u8>)>, BusError> {
    // Any server that has a copy may answer that, also one that is behind: whoever begins to follow a symbol would miss what came
    // in between. Of several copies only the leader's is asked.
    if stream.cached_info().config.num_replicas > 1 {
        return match stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Ok(Some((message.sequence, message.payload.to_vec()))),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(BusError::refused("show a message")(error)),
        };
    }
    match stream.direct_get_last_for_subject(subject).await {
        Ok(message) => Ok(Some((message.sequence, message.payload.to_vec()))),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(BusError::refused("show a message")(error)),
    }
}

fn storage(storage: Storage) -> StorageType {
    match storage {
        Storage::Memory => StorageType::Memory,
        Storage::File => StorageType::File,
    }
}

/// Longer with each attempt, and never the same for two nodes.
fn delay(attempts: usize) -> Duration {
    let ceiling = Duration::from_millis(50).saturating_mul(1 << attempts.min(6)).min(RECONNECT_MAX);
    ceiling.mul_f64(rand::rng().random_range(0.5..1.0))
}

/// A stream's epoch, by when it was made: another one was made at another time.
fn epoch(created_nanos: i128) -> Epoch {
    // Nanoseconds are coarse on some machines: all digits have their say.
    let mixed = created_nanos.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834);
    let [a, b, c, d, ..] = mixed.to_be_bytes();
    Epoch(u32::from_be_bytes([a, b, c, d]))
}

/// Each setting that matters and differs.
fn differences(found: &stream::Config, wanted: &stream::Config) -> Vec<String> {
    let mut all = Vec::new();
    let mut differ = |what: &str, found: String, wanted: String| {
        if found != wanted {
            all.push(format!("{what} is {found}, wanted {wanted}"));
        }
    };
    let shown = |config: &stream::Config| {
        let republish = config.republish.as_ref();
        [
            ("subjects", config.subjects.join(",")),
            ("max_msgs_per_subject", config.max_messages_per_subject.to_string()),
            ("discard", format!("{:?}", config.discard).to_lowercase()),
            ("retention", format!("{:?}", config.retention).to_lowercase()),
            ("storage", format!("{:?}", config.storage).to_lowercase()),
            ("replicas", config.num_replicas.to_string()),
            ("max_msgs", config.max_messages.to_string()),
            ("max_bytes", config.max_bytes.to_string()),
            ("max_age", format!("{:?}", config.max_age)),
            ("allow_direct", config.allow_direct.to_string()),
            (
                "republish",
                republish
                    .map_or_else(|| "none".to_owned(), |it| format!("{} to {}", it.source, it.destination)),
            ),
        ]
    };
    for ((what, found), (_, wanted)) in shown(found).into_iter().zip(shown(wanted)) {
        differ(what, found, wanted);
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn streams_made_at_different_times_have_different_epochs() {
        let start = 1_795_711_810_845_000_000_i128;
        let times = (0..1_000)
            .flat_map(|step| [start + step, start + step * 1_000_000, start + step * 3_600_000_000_000]);
        let times: HashSet<i128> = times.collect();
        let epochs: HashSet<u32> = times.iter().map(|&at| epoch(at).0).collect();
        assert_eq!(epochs.len(), times.len());
    }
}
