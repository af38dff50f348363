//! What trading venues say on their WebSockets, and what it means.
//!
//! This crate opens no socket, reads no clock and starts no task: text and a receive time go in, ticks come
//! out. It decodes the venue's text straight into decimals, so no price ever passes through a binary float.
//!
//! The way through it: a [`Codec`] (one per connection, made by [`Venue::codec`]) turns one frame into
//! [`Event`]s; an event names its instrument by the venue's own spelling (the *wire name*), and
//! [`Venue::pair`] says what that is in common asset codes.

pub mod codec;
pub mod hours;
mod json;
pub mod number;
pub mod sim;
pub mod symbol;
pub mod tape;
pub mod tick;
pub mod time;
mod trade_ids;
pub mod venues;

pub use codec::{Auth, Codec, DecodeError, Event, Events, Frame, Pace, Ping, Profile};
pub use number::{NumberError, Price, Size};
pub use symbol::{Pair, UnknownVenue, Venue};
pub use tick::{LastKind, Moves, Quote, Side, Status, Summary, Top, Trade, TradeId, Undone};
pub use time::UnixNanos;
