//! From a venue's frames to the store. Three drivers (a live connection, a recording, the simulator) push into
//! the same [`Pipeline`]; after it nobody can tell them apart.

mod board;
mod pipeline;
pub mod replay;
pub mod sim;

pub use board::{Board, Feed, FeedState};
pub use pipeline::Pipeline;
