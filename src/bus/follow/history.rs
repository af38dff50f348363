//! Fetches what NATS has of a symbol's trades: by a consumer that lives as long as that takes.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream;
use bytes::Bytes;
use futures_util::stream::StreamExt;

use super::super::names;
use super::super::nats::{ANSWER_MAX, BusError};
use super::round::Published;

/// Messages that are asked for at a time.
const PART: usize = 500;
/// A consumer that is not asked ends itself: where we could not end it.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// What the stream has on a subject, the oldest first.
///
/// # Errors
///
/// [`BusError::Refused`] where the server does not give it.
pub(super) async fn fetch(
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
            found.push(Published { token, sequence, payload: Bytes::clone(&message.payload) });
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
