#![doc = include_str!("../ARCHITECTURE.md")]

// In the order of the data path; then what holds it together.
pub mod ingest;
pub mod recording;

pub mod candles;
pub mod catalogue;
pub mod consolidate;
pub mod latest;
pub mod ticker;

pub mod fanout;
pub mod fields;

pub mod bus;

pub mod http;

pub mod app;
pub mod clock;
pub mod commands;
pub mod config;
mod growing;
pub mod metrics;
pub mod process;
mod schema;
pub mod telemetry;
