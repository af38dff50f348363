//! What goes over the bus: JSON with short keys, decimals as text, and who published it when. A reader skips keys that it does
//! not know; what it could not understand without them has another [`FORMAT`].

mod ticker;
mod told;
mod trades;

use serde::Deserialize;

pub use told::Told;
pub use trades::{BATCH_MAX, Trades, TradesEntry};

/// The version of this format.
pub const FORMAT: u32 = 1;

/// Why bytes are no message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A newer tickcast wrote it.
    #[error("the message is of format {0}, we know {FORMAT}: this node is older than the one that publishes")]
    Newer(u32),
    /// It is not what any tickcast writes.
    #[error("the message cannot be understood")]
    Malformed,
}

impl WireError {
    /// How metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Newer(_) => "newer_format",
            Self::Malformed => "malformed",
        }
    }
}

/// Only what tells formats apart.
#[derive(Deserialize)]
struct Head {
    v: u32,
}

/// Why bytes are not of this format.
fn refusal(bytes: &[u8]) -> WireError {
    match serde_json::from_slice::<Head>(bytes) {
        Ok(Head { v }) if v > FORMAT => WireError::Newer(v),
        _ => WireError::Malformed,
    }
}
