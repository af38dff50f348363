//! Fetches what NATS has of symbols' trades, after having begun to listen to them: by consumers that live as long as that takes.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use async_nats::Subscriber;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream;
use futures_util::stream::{self as streams, StreamExt, TryStreamExt};

use super::super::super::names::{self, What};
use super::super::super::nats::{ANSWER_MAX, BusError, Nats};
use super::super::FOLLOWED_MAX;
use super::super::round::Published;
use crate::catalogue::SymbolId;
use crate::clock;

/// Where all symbols are followed, what was before this is left where it is: it is too much.
const WINDOW: Duration = Duration::from_secs(60);
/// Symbols that are fetched at a time.
const FETCHING_MAX: usize = 16;
/// Messages that are asked for at a time.
const PART: usize = 500;
/// A consumer that is not asked ends itself: where we could not end it.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// What was fetched.
pub(super) struct Fetched {
    pub(super) subscriptions: Vec<(Option<SymbolId>, Subscriber)>,
    /// Of each symbol what is stored, and after which sequence that is everything where there is nothing.
    pub(super) found: Vec<(SymbolId, Vec<Published>, u64)>,
    pub(super) all: bool,
    pub(super) connects: u64,
}

/// How symbols that are new come from now on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Listen {
    /// By the subscription to all.
    Already,
    /// Each by one of its own.
    Each,
    /// By one to all.
    All,
}

pub(super) async fn fetch(
    nats: Nats,
    stream: stream::Stream,
    symbols: Vec<(SymbolId, String, u64)>,
    listen: Option<Listen>,
    connects: u64,
) -> Result<Fetched, BusError> {
    let mut subscriptions = Vec::new();
    let refused = |error| BusError::Refused { what: "let us listen", source: Box::new(error) };
    match listen {
        None | Some(Listen::Already) => {}
        Some(Listen::Each) => {
            for (id, token, _) in &symbols {
                let subscriber = nats.client.subscribe(nats.names.live(What::Trades, token)).await;
                subscriptions.push((Some(*id), subscriber.map_err(refused)?));
            }
        }
        Some(Listen::All) => {
            let subscriber = nats.client.subscribe(nats.names.live(What::Trades, "*")).await;
            subscriptions.push((None, subscriber.map_err(refused)?));
        }
    }
    let found = if symbols.len() > FOLLOWED_MAX {
        fetch_window(&nats, &stream, symbols, listen.is_some()).await?
    } else {
        let one = |(id, token, last): (SymbolId, String, u64)| {
            let subject = nats.names.stored(What::Trades, &token);
            let from = match last {
                0 => DeliverPolicy::All,
                last => DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
            };
            let stream = &stream;
            async move { Ok((id, stored_on(stream, subject, from).await?, last)) }
        };
        streams::iter(symbols.into_iter().map(one)).buffer_unordered(FETCHING_MAX).try_collect().await?
    };
    Ok(Fetched { subscriptions, found, all: listen == Some(Listen::All), connects })
}

/// The same of many symbols at once: of the last minute where they are new.
async fn fetch_window(
    nats: &Nats,
    stream: &stream::Stream,
    symbols: Vec<(SymbolId, String, u64)>,
    is_new: bool,
) -> Result<Vec<(SymbolId, Vec<Published>, u64)>, BusError> {
    let refused = |error| BusError::Refused { what: "show the stream", source: Box::new(error) };
    let newest = stream.get_info().await.map_err(refused)?.state.last_sequence;
    let from = if is_new {
        let now = Duration::from_nanos(u64::try_from(clock::wall().0).unwrap_or(0));
        let start_time = (SystemTime::UNIX_EPOCH + now.saturating_sub(WINDOW)).into();
        DeliverPolicy::ByStartTime { start_time }
    } else {
        let oldest = symbols.iter().map(|(_, _, last)| *last).min().unwrap_or(0);
        DeliverPolicy::ByStartSequence { start_sequence: oldest + 1 }
    };
    let stored = stored_on(stream, nats.names.stored(What::Trades, "*"), from).await?;
    // Everything after this is here.
    let start = stored.first().map_or(newest, |first| first.sequence - 1);
    let mut by_token: HashMap<String, Vec<Published>> = HashMap::new();
    for message in stored {
        by_token.entry(message.token.clone()).or_default().push(message);
    }
    let of = |(id, token, last)| {
        let stored = by_token.remove(&token).unwrap_or_default();
        (id, stored, if is_new { start } else { last })
    };
    Ok(symbols.into_iter().map(of).collect())
}

/// What the stream has on a subject, the oldest first.
///
/// # Errors
///
/// [`BusError::Refused`] where the server does not give it.
async fn stored_on(
    stream: &stream::Stream,
    subject: String,
    from: DeliverPolicy,
) -> Result<Vec<Published>, BusError> {
    let config = pull::Config {
        filter_subject: subject,
        deliver_policy: from,
        ack_policy: AckPolicy::None,
        inactive_threshold: FORGOTTEN,
        num_replicas: 1,
        memory_storage: true,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(refused)?;
    let name = consumer.cached_info().name.clone();
    // What comes later comes by itself.
    let mut left = usize::try_from(consumer.cached_info().num_pending).unwrap_or(usize::MAX);
    let mut found = Vec::with_capacity(left);
    while left > 0 {
        let part = consumer.fetch().max_messages(left.min(PART)).expires(ANSWER_MAX);
        let mut messages = part.messages().await.map_err(refused)?;
        let before = found.len();
        while let Some(message) = messages.next().await {
            let message = message.map_err(refused)?;
            let sequence = message.info().map_err(refused)?.stream_sequence;
            let token = names::token_of(&message.subject).to_owned();
            found.push(Published { token, sequence, payload: message.payload.clone() });
        }
        let count = found.len() - before;
        // Some of it has given way to newer messages.
        if count == 0 {
            break;
        }
        left = left.saturating_sub(count);
    }
    // It would end itself.
    drop(stream.delete_consumer(&name).await);
    Ok(found)
}

fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BusError {
    BusError::Refused { what: "show the trades", source: error.into() }
}
