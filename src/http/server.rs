//! Accepts connections and serves the routes on them: our own loop over hyper, because `warp::serve` sets no
//! `TCP_NODELAY`, times no request head and waits for ever for open streams when stopping.
//!
//! Requests are served by the runtime. A stream on plain HTTP/1.1 then moves with its socket to one of the fan-out
//! threads (`hub`), which share nothing with each other and nothing but the store with the feeds.

mod accept;
mod connection;
mod deadlines;
mod door;
mod http2;
mod hub;
mod listener;
mod outgoing;
mod proxied;
mod request;
mod threads;
mod tls;
mod window;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use connection::Peer;
pub(crate) use listener::BACKLOG;
pub use listener::bind;
pub(super) use outgoing::Handover;
pub(crate) use proxied::BadHeader;
#[cfg(any(test, fuzzing))]
pub(super) use proxied::{Said, read as read_proxy_header};
pub use tls::{Tls, TlsError};

use super::State;
use accept::Acceptor;
use connection::Serving;
use threads::Threads;

/// What a request line may have: some 2,000 symbols.
pub(super) const URL_BYTES_MAX: usize = 16 << 10;

/// Serves until `closing` is cancelled and every connection has ended, each by its own will: streams with their
/// `bye`, others after their answer. Ends sooner where a fan-out thread fails. Dropping it cuts what is open.
pub async fn serve(listener: tokio::net::TcpListener, state: State, closing: CancellationToken) {
    let tls = match state.http.tls.as_ref().map(Tls::load).transpose() {
        Ok(tls) => tls.map(Arc::new),
        Err(error) => {
            return error!(error = &error as &dyn std::error::Error, "the certificate is of no use");
        }
    };
    let mut threads = match Threads::start(&state) {
        Ok(threads) => threads,
        Err(error) => {
            return error!(
                error = &error as &dyn std::error::Error,
                "the fan-out threads could not be started"
            );
        }
    };
    let mut followers = JoinSet::new();
    if let Some(tls) = tls.clone() {
        followers.spawn(tls.follow_files());
    }
    let mut acceptor = Acceptor::new(listener, &state);
    let serving = Arc::new(Serving::new(state, closing.clone(), threads.doors(), tls));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = acceptor.next() => {
                connections.spawn(Arc::clone(&serving).connection(accepted));
            }
            Some(_) = connections.join_next() => {}
            () = threads.any_ended() => return error!("a fan-out thread ended by itself"),
            () = closing.cancelled() => break,
        }
    }
    threads.close();
    // While the open streams say good-bye, new requests are told that this node is about to stop.
    let mut late = JoinSet::new();
    loop {
        tokio::select! {
            ended = connections.join_next() => if ended.is_none() { break },
            accepted = acceptor.next() => {
                late.spawn(Arc::clone(&serving).connection(accepted));
            }
            Some(_) = late.join_next() => {}
        }
    }
    // From here on no stream comes any more.
    threads.shut();
    loop {
        tokio::select! {
            () = threads.all_ended() => break,
            accepted = acceptor.next() => {
                late.spawn(Arc::clone(&serving).connection(accepted));
            }
            Some(_) = late.join_next() => {}
        }
    }
    drop(acceptor);
    while late.join_next().await.is_some() {}
}
