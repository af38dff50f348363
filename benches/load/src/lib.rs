//! Measures what many SSE streams cost: the driver behind `load`, and what the two servers to compare with share.
//!
//! Nothing here is part of the service, and the service is not linked in: it is met through its socket alone.

pub mod counter;
pub mod driver;
pub mod latency;
pub mod listen;
pub mod machine;
pub mod market;
pub mod report;
pub mod search;
pub mod symbols;
pub mod tally;
