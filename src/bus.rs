//! Several nodes, held together by NATS with JetStream: ingest nodes publish what their stores have, edges' stores are told.
//! Two ends of one thing; nothing else knows about it. [`Latest`](crate::latest::Latest) has what it takes to be told.
//!
//! The stream of tickers keeps one message a symbol. Its own sequence is the version in every cursor and its creation the epoch, so a
//! client may come back to any edge. What is stored comes out again on the subject that an edge follows; what an edge begins to
//! follow it asks for. So there is no consumer to keep, and an edge's symbols cost NATS what subscriptions cost. (Consumers with
//! several filters, the other way, need a server of 2.10; Debian 12 has 2.9.)
//!
//! Trades have a stream of their own, with a history of each symbol. Each message says which one of its symbol came before it, so
//! whoever misses one knows it and fetches it.

mod follow;
mod lease;
mod listing;
mod names;
mod nats;
mod publish;
mod wire;

pub use follow::Follower;
pub use names::{Names, What, symbol, token};
pub use nats::BusError;
pub use publish::Publisher;
pub use wire::{FORMAT, Told, Trades, TradesEntry, WireError};

use serde::{Deserialize, Serialize};

/// What the node that publishes says several times a second.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Beat {
    v: u32,
    epoch: u32,
    fence: u64,
    /// The newest sequence of tickers that it knows of.
    head: u64,
    /// The newest of trades; 0: none are published.
    #[serde(default)]
    trades: u64,
    /// The revision of the catalogue that edges should have.
    catalogue: Option<u64>,
}
