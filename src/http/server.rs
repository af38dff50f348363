//! Accepts connections and serves the routes on them: our own loop over hyper, because `warp::serve` sets no
//! `TCP_NODELAY`, times no request head and waits for ever for open streams when stopping.
//!
//! Requests are served by the runtime. A stream on plain HTTP/1.1 then moves with its socket to one of the fan-out
//! threads ([`hub`]), which share nothing with each other and nothing but the store with the feeds.

mod connection;
mod deadlines;
mod door;
mod hub;
mod listener;
mod threads;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

pub(super) use connection::Handover;
pub use connection::Peer;
pub(crate) use listener::BACKLOG;
pub use listener::bind;

use super::State;
use connection::Serving;
use threads::Threads;

/// What a request line may have: some 2,000 symbols.
pub(super) const URL_BYTES_MAX: usize = 16 << 10;
/// After a failed accept (out of descriptors, most of the time) the loop pauses: trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `closing` is cancelled and every connection has ended, each by its own will: streams with their
/// `bye`, others after their answer. Ends sooner where a fan-out thread fails. Dropping it cuts what is open.
pub async fn serve(listener: tokio::net::TcpListener, state: State, closing: CancellationToken) {
    let mut threads = match Threads::start(&state) {
        Ok(threads) => threads,
        Err(error) => {
            return error!(
                error = &error as &dyn std::error::Error,
                "the fan-out threads could not be started"
            );
        }
    };
    let serving = Arc::new(Serving::new(state.clone(), closing.clone(), threads.doors()));
    let mut connections = JoinSet::new();
    let spawn = |connections: &mut JoinSet<()>, accepted: io::Result<(TcpStream, SocketAddr)>| match accepted
    {
        Ok((socket, peer)) => {
            connections.spawn(Arc::clone(&serving).connection(socket, peer));
            None
        }
        Err(error) => {
            state.metrics.accept_errors.inc();
            warn!(error = &error as &dyn std::error::Error, "a connection could not be accepted");
            Some(ACCEPT_PAUSE)
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = threads.any_ended() => return error!("a fan-out thread ended by itself"),
            () = closing.cancelled() => break,
        };
        if let Some(pause) = spawn(&mut connections, accepted) {
            tokio::time::sleep(pause).await;
        }
    }
    threads.close();
    // While the open streams say good-bye, new requests are told that this node is about to stop.
    let mut late = JoinSet::new();
    loop {
        tokio::select! {
            ended = connections.join_next() => if ended.is_none() { break },
            accepted = listener.accept() => if let Some(pause) = spawn(&mut late, accepted) {
                tokio::time::sleep(pause).await;
            },
            Some(_) = late.join_next() => {}
        }
    }
    // From here on no stream comes any more.
    threads.shut();
    loop {
        tokio::select! {
            () = threads.all_ended() => break,
            accepted = listener.accept() => if let Some(pause) = spawn(&mut late, accepted) {
                tokio::time::sleep(pause).await;
            },
            Some(_) = late.join_next() => {}
        }
    }
    drop(listener);
    while late.join_next().await.is_some() {}
}
