//! The ingest end of the bus: tells NATS what changed, each symbol no more often than the interval and one message of it at
//! a time. Nothing waits for it: a change marks its symbol, and what is newer when the symbol's turn comes is what goes out.

mod desk;
mod tickers;
mod trades;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::kv;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::lease::{self, Held};
use super::names::What;
use super::nats::{BusError, Nats};
use super::wire::FORMAT;
use super::{Beat, listing};
use crate::config::Bus;
use crate::fanout::Bells;
use crate::http::sse::Epoch;
use crate::ingest::Board;
use crate::latest::Latest;
use crate::metrics::Metrics;
use desk::{Bulletin, Desk};
use tickers::Tickers;
use trades::Trades;

/// Between two signs of life.
const BEAT: Duration = Duration::from_millis(200);
/// Between two reports of how the feeds are.
const REPORT: Duration = Duration::from_secs(1);
/// A stream that is not ours is looked at again after this: an operator is at work.
const REPAIR: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);

/// What an ingest node publishes.
pub struct Publisher {
    /// The store.
    pub latest: Latest,
    /// What the store rings.
    pub bells: Arc<Bells>,
    /// How the feeds are.
    pub board: Board,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the node is about to stop.
    pub closing: CancellationToken,
}

impl Publisher {
    /// Publishes as long as this node holds the lease, until the node stops.
    ///
    /// # Errors
    ///
    /// [`BusError::SetUp`] where it never can.
    pub async fn run(self, config: Bus) -> Result<(), BusError> {
        let run = rand::random::<u32>();
        let node = format!("{run:08x}");
        let nats = Nats::connect(&config, &format!("tickcast ingest {node}")).await?;
        info!(servers = config.servers(), node, "the bus is at");
        let tickers = Bulletin::of(&self.bells).ok_or(BusError::TooManyListen)?;
        let trades = match config.history {
            0 => None,
            _ => Some(Bulletin::of(&self.bells).ok_or(BusError::TooManyListen)?),
        };
        let mut told = None;
        loop {
            let around = Around {
                publisher: &self,
                nats: &nats,
                config: &config,
                run,
                tickers: &tickers,
                trades: trades.as_ref(),
            };
            let ended = tokio::select! {
                () = self.closing.cancelled() => {
                    if let Ok(bucket) = nats.bucket_of_others(&nats.names.lease).await {
                        lease::release(&bucket, &node).await;
                    }
                    return Ok(());
                }
                ended = Box::pin(around.term(&node)) => ended,
            };
            let Err(error) = ended else { continue };
            let line = error.line();
            self.board.bus(Some(line.clone()));
            let is_fixable = matches!(error, BusError::Differs { .. });
            // Once for each reason.
            if told.as_ref() != Some(&line) {
                if is_fixable {
                    error!("{line}; change the one or the other, or name another stream");
                } else {
                    warn!("{line}");
                }
                told = Some(line);
            }
            sleep(if is_fixable { REPAIR } else { RETRY }).await;
        }
    }
}

struct Around<'p> {
    publisher: &'p Publisher,
    nats: &'p Nats,
    config: &'p Bus,
    /// Names this run.
    run: u32,
    tickers: &'p Bulletin,
    /// Where trades are published.
    trades: Option<&'p Bulletin>,
}

impl Around<'_> {
    /// Goes on as long as the stream is the same one.
    async fn term(&self, node: &str) -> Result<(), BusError> {
        let Self { publisher, nats, .. } = *self;
        while !nats.is_connected() {
            publisher.board.bus(Some(nats.problem().unwrap_or_else(|| "not connected yet".to_owned())));
            let _ = timeout(RETRY, nats.connected()).await;
        }
        let connects = nats.connects();
        let (stream, epoch) = nats.stream_made(What::Tickers).await?;
        let prints = match self.trades {
            Some(board) => Some((board, nats.stream_made(What::Trades).await?)),
            None => None,
        };
        let lease = nats.bucket(&nats.names.lease).await?;
        let catalogue = nats.bucket(&nats.names.catalogue).await?;
        publisher.board.bus(None);
        let (held, holds) = watch::channel(None);
        let (latest, metrics) = (&publisher.latest, &publisher.metrics);
        let taken = Instant::now();
        let tickers = Tickers { latest: latest.clone(), metrics: Arc::clone(metrics), epoch, taken };
        let mut desk = Desk::new(self, tickers, stream, self.tickers);
        let trades_epoch = prints.as_ref().map(|(_, (_, epoch))| *epoch);
        let prints = async {
            let Some((board, (stream, epoch))) = prints else { return std::future::pending().await };
            let trades = Trades {
                latest: latest.clone(),
                metrics: Arc::clone(metrics),
                epoch,
                node: self.run,
                most: usize::try_from(self.config.history).unwrap_or(usize::MAX),
                taken: latest.committed(),
            };
            Desk::new(self, trades, stream, board).run(holds.clone()).await;
        };
        tokio::select! {
            () = lease::run(nats, &lease, &publisher.board, node, &held) => {}
            () = desk.run(holds.clone()) => {}
            () = prints => {}
            () = self.speak(&catalogue, epoch, holds.clone()) => {}
            () = self.is_another(connects, epoch, trades_epoch) => {}
        }
        // Whatever it held it holds no more.
        metrics.bus_publishes.set(0);
        Ok(())
    }

    /// Comes back when the stream may be another one.
    async fn is_another(&self, mut connects: u64, epoch: Epoch, trades: Option<Epoch>) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut quiet = Instant::now();
        loop {
            beat.tick().await;
            let now = self.nats.connects();
            let is_connected = self.nats.is_connected();
            self.publisher.board.bus(if is_connected {
                self.nats.refusal()
            } else {
                Some(self.nats.problem().unwrap_or_else(|| "the connection ended".to_owned()))
            });
            // After each connection, and now and then: an operator may have made it anew.
            let is_due = now != connects || quiet.elapsed() > REPAIR;
            if is_connected && is_due {
                let streams = [(What::Tickers, Some(epoch)), (What::Trades, trades)];
                let mut is_known = true;
                for (what, epoch) in streams.into_iter().filter(|(_, epoch)| epoch.is_some()) {
                    match self.nats.stream(what).await {
                        Ok((_, found)) if Some(found) == epoch => {}
                        Ok(_) | Err(BusError::NoStream(_) | BusError::Differs { .. }) => return,
                        Err(_) => is_known = false,
                    }
                }
                if is_known {
                    (connects, quiet) = (now, Instant::now());
                }
            }
        }
    }

    /// Says that this node publishes, and what: while it does.
    async fn speak(&self, catalogue: &kv::Store, epoch: Epoch, holds: watch::Receiver<Option<Held>>) {
        let Self { publisher, nats, .. } = *self;
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reported = None::<Instant>;
        let mut listed = None;
        loop {
            beat.tick().await;
            let Some(held) = (*holds.borrow()).filter(Held::holds) else {
                listed = None;
                continue;
            };
            let revision = publisher.latest.revision();
            if listed.is_none_or(|(before, _)| before != revision)
                && let Some(at) = self.list(catalogue).await
            {
                listed = Some((revision, at));
            }
            let says = Beat {
                v: FORMAT,
                epoch: epoch.0,
                fence: held.fence,
                head: self.tickers.head.load(Ordering::Relaxed),
                trades: self.trades.map_or(0, |board| board.head.load(Ordering::Relaxed)),
                catalogue: listed.map(|(_, at)| at),
            };
            self.say(nats.names.beat(), &says).await;
            if reported.is_none_or(|at| at.elapsed() >= REPORT) {
                reported = Some(Instant::now());
                self.say(nats.names.feeds(), &publisher.board.report()).await;
            }
        }
    }

    async fn say(&self, subject: String, what: &impl Serialize) {
        let Ok(bytes) = serde_json::to_vec(what) else { return };
        // What cannot go out now is of no use later: it would tell of a life that is over.
        if !self.nats.is_connected() {
            return;
        }
        let _ = timeout(BEAT, self.nats.client.publish(subject, bytes.into())).await;
    }

    /// Puts the catalogue where edges find it, unless it is there. Returns its revision.
    async fn list(&self, bucket: &kv::Store) -> Option<u64> {
        let catalogue = Arc::clone(&self.publisher.latest.catalogue());
        let bytes =
            listing::encode(&catalogue).map_err(|error| error!(%error, "no catalogue for the bus")).ok()?;
        let most = self.nats.client.max_payload();
        if bytes.len() > most {
            error!(
                bytes = bytes.len(),
                most,
                "the catalogue is larger than NATS takes: raise its max_payload; edges keep what they have"
            );
            return None;
        }
        let there = bucket.entry(listing::KEY).await.ok()?;
        if let Some(entry) = there.filter(|entry| entry.value == bytes) {
            return Some(entry.revision);
        }
        let revision = bucket.put(listing::KEY, bytes.into()).await.ok()?;
        info!(symbols = catalogue.len(), "the catalogue is on the bus");
        Some(revision)
    }
}
