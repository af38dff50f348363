//! From a venue's frames to the store. Three drivers (a live connection, a recording, the simulator) push into
//! the same [`Pipeline`]; after it nobody can tell them apart.

pub mod backoff;
mod board;
pub mod connection;
pub mod dial;
pub mod pace;
mod pipeline;
pub mod plan;
pub mod record;
pub mod replay;
pub mod scenario;
pub mod sim;
pub mod subscriptions;
pub mod supervisor;

pub use board::{Board, Feed, FeedState, Report};
pub use connection::RECONNECT_REASONS;
pub use pipeline::{Heard, Pipeline};
