//! Fetches what NATS has of symbols, after having begun to listen to them: what is stored in between comes twice, and nothing is
//! missed.

use async_nats::Subscriber;
use async_nats::jetstream::stream;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::super::listing;
use super::super::names::What;
use super::super::nats::{self, BusError, Nats};
use super::round::Published;
use crate::catalogue::SymbolId;

/// Questions at a time.
const ASKING_MAX: usize = 64;
/// A question that gets no answer is asked so many times.
const ATTEMPTS: usize = 3;

/// What is to be fetched, and how it comes from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// As it did.
    Refresh,
    /// As it did, and nothing that comes is told before: it would be newer than what is to be told first.
    CatchUp,
    /// Each symbol by a subscription of its own.
    Some,
    /// Every symbol there is by one subscription.
    All,
}

/// What was fetched.
pub(super) struct Gathered {
    pub(super) batch: Batch,
    /// Of one symbol, or of all.
    pub(super) subscriptions: Vec<(Option<SymbolId>, Subscriber)>,
    pub(super) found: Vec<Published>,
    pub(super) asked: Vec<SymbolId>,
    /// The connection that it is of.
    pub(super) connects: u64,
}

pub(super) async fn gather(
    nats: Nats,
    stream: stream::Stream,
    symbols: Vec<(SymbolId, String)>,
    batch: Batch,
    connects: u64,
) -> Result<Gathered, BusError> {
    let refused = |source: Box<dyn std::error::Error + Send + Sync>| BusError::Refused {
        what: "let us listen",
        source,
    };
    let mut subscriptions = Vec::new();
    match batch {
        Batch::Refresh | Batch::CatchUp => {}
        Batch::Some => {
            for (id, token) in &symbols {
                let subscriber = nats.client.subscribe(nats.names.live(What::Tickers, token)).await;
                subscriptions.push((Some(*id), subscriber.map_err(|error| refused(Box::new(error)))?));
            }
        }
        Batch::All => {
            let subscriber = nats.client.subscribe(nats.names.live(What::Tickers, "*")).await;
            subscriptions.push((None, subscriber.map_err(|error| refused(Box::new(error)))?));
        }
    }
    // The questions go the same way behind the subscriptions, so they are answered after those are in force.
    let mut rest = symbols.iter();
    let mut found = Vec::new();
    let mut asking = FuturesUnordered::new();
    loop {
        while asking.len() < ASKING_MAX
            && let Some((_, token)) = rest.next()
        {
            asking.push(ask(&nats, &stream, token));
        }
        let Some(answer) = asking.next().await else { break };
        found.extend(answer?);
    }
    drop(asking);
    let asked = symbols.into_iter().map(|(id, _)| id).collect();
    Ok(Gathered { batch, subscriptions, found, asked, connects })
}

async fn ask(nats: &Nats, stream: &stream::Stream, token: &str) -> Result<Option<Published>, BusError> {
    let mut attempts = 1;
    loop {
        match nats::last(stream, nats.names.stored(What::Tickers, token)).await {
            Ok(found) => {
                return Ok(found.map(|(sequence, payload)| Published {
                    token: token.to_owned(),
                    sequence,
                    payload: payload.into(),
                }));
            }
            Err(error) if attempts == ATTEMPTS => return Err(error),
            Err(_) => attempts += 1,
        }
    }
}

/// The catalogue and its revision; none where nobody has published one.
pub(super) async fn catalogue(nats: Nats) -> Result<Option<(u64, Vec<u8>)>, BusError> {
    let bucket = nats.bucket_of_others(&nats.names.catalogue).await?;
    let entry = bucket.entry(listing::KEY).await;
    let entry =
        entry.map_err(|error| BusError::Refused { what: "show the catalogue", source: Box::new(error) })?;
    Ok(entry.map(|entry| (entry.revision, entry.value.to_vec())))
}
