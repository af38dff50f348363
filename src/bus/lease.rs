//! Who publishes: of all ingest nodes the one that holds the lease, a key that is renewed by compare-and-set. Who finds it
//! not renewed for a whole term takes it over. No clock is compared with another's: each measures by its own how long it
//! has seen no change.
//!
//! A node whose feeds are all dead has nothing to tell. It gives the lease up where another one waits whose feeds are well, and
//! takes one that is free only where nobody better has.

use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::kv::{self, Operation};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::StreamExt;
use rand::RngExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::nats::{Nats, Refusal};
use crate::ingest::Board;

/// The bucket's only key.
const KEY: &str = "publisher";
/// Who has seen no renewal for so long may take the lease over.
const TERM: Duration = Duration::from_millis(1_000);
/// Who could not renew it for so long publishes no more, in time before another may.
const HELD: Duration = Duration::from_millis(750);
/// Between two renewals, and between two looks at another's.
const BEAT: Duration = Duration::from_millis(150);
/// A renewal that takes longer has failed.
const ANSWER_MAX: Duration = Duration::from_millis(300);
/// A node that no feed tells anything leaves a free lease to others for so long.
const DEFERENCE: Duration = Duration::from_secs(2);
/// One that holds the lease keeps it for so long without a feed: connections to venues end now and then.
const DEAF_MAX: Duration = Duration::from_secs(3);
/// Who waits says so at every beat; after so long without a word nobody does.
const WAITS_MAX: Duration = Duration::from_secs(1);
/// What a key says that its holder gave up by himself.
const FREE: &[u8] = b"free";

/// A lease that this node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The revision at which it was taken: rises with each take-over, so what is published under a lower one is void.
    pub(super) fence: u64,
    /// Until then nobody else can have it.
    pub(super) until: Instant,
}

impl Held {
    /// Whether it holds now. Asked before each message: a process may be frozen anywhere.
    pub(super) fn holds(&self) -> bool {
        Instant::now() < self.until
    }
}

/// Another's lease, watched.
#[derive(Clone, Copy, Debug)]
struct Seen {
    revision: u64,
    since: Instant,
}

/// Who else waits for the lease, and whether this node has anything to tell.
struct Others<'l> {
    nats: &'l Nats,
    board: &'l Board,
    me: &'l Bytes,
    able: Subscriber,
    heard: Option<Instant>,
    /// Since when no feed of this node tells anything.
    deaf: Option<Instant>,
}

impl Others<'_> {
    /// Takes in what others have said and how the feeds are. Returns whether this node has anything to tell.
    fn look(&mut self) -> bool {
        while let Some(Some(said)) = self.able.next().now_or_never() {
            if said.payload != self.me {
                self.heard = Some(Instant::now());
            }
        }
        let is_able = self.board.is_able();
        self.deaf = (!is_able).then(|| self.deaf.unwrap_or_else(Instant::now));
        is_able
    }

    /// Says that this node waits and could tell something.
    async fn wait(&self) {
        if self.nats.is_connected() {
            let said = self.nats.client.publish(self.nats.names.able(), self.me.clone());
            let _ = timeout(BEAT, said).await;
        }
    }

    /// Whether another one should hold the lease that this node holds.
    fn are_better(&self) -> bool {
        gives_way(self.deaf.map(|at| at.elapsed()), self.heard.map(|at| at.elapsed()))
    }
}

/// Whether who has been deaf for so long leaves the lease to somebody who was heard that long ago.
fn gives_way(deaf: Option<Duration>, heard: Option<Duration>) -> bool {
    deaf.is_some_and(|deaf| deaf > DEAF_MAX) && heard.is_some_and(|heard| heard < WAITS_MAX)
}

/// How long a lease must have been seen without a change before this node may take it.
fn idle_min(is_free: bool, is_able: bool) -> Duration {
    let term = if is_free { Duration::ZERO } else { TERM };
    if is_able { term } else { term + DEFERENCE }
}

/// Why a node holds the lease no more.
enum End {
    /// It could not renew it.
    Lost,
    /// Another one has more to tell.
    GaveWay,
}

/// Tries to hold the lease, for ever; `held` is told each renewal and each loss. Comes back where the bucket is gone.
pub(super) async fn run(
    nats: &Nats,
    bucket: &kv::Store,
    board: &Board,
    node: &str,
    held: &watch::Sender<Option<Held>>,
) {
    let me = Bytes::copy_from_slice(node.as_bytes());
    let Ok(able) = nats.client.subscribe(nats.names.able()).await else { return };
    let mut others = Others { nats, board, me: &me, able, heard: None, deaf: None };
    let mut seen = None;
    let mut failures = 0;
    while failures < 10 {
        let is_able = others.look();
        let asked = Instant::now();
        let looked = attempt(nats, bucket, &me, is_able, &mut seen);
        let looked = timeout(ANSWER_MAX, looked).await.unwrap_or(Err(()));
        failures = if looked.is_ok() { 0 } else { failures + 1 };
        let Ok(Some(revision)) = looked else {
            if is_able {
                others.wait().await;
            }
            let pause = BEAT.mul_f64(rand::rng().random_range(0.8..1.2));
            sleep(pause).await;
            continue;
        };
        info!(fence = revision, "this node publishes from now on");
        let end = keep(bucket, &mut others, revision, asked, held).await;
        match end {
            End::Lost => {
                warn!(fence = revision, "this node publishes no more: it could not renew its lease");
            }
            End::GaveWay => warn!(
                fence = revision,
                "this node publishes no more: none of its feeds is live, and another node's are"
            ),
        }
        seen = None;
    }
}

/// One look at the lease, and an attempt to take it where it is free. Returns the revision at which it was taken.
async fn attempt(
    nats: &Nats,
    bucket: &kv::Store,
    me: &Bytes,
    is_able: bool,
    seen: &mut Option<Seen>,
) -> Result<Option<u64>, ()> {
    let entry = bucket.entry(KEY).await.map_err(drop)?;
    let Some(entry) = entry else {
        // Whoever is first has it.
        return Ok(bucket.create(KEY, me.clone()).await.ok());
    };
    let is_free = entry.operation != Operation::Put || entry.value.as_ref() == FREE;
    let now = Instant::now();
    if seen.is_none_or(|seen| seen.revision != entry.revision) {
        *seen = Some(Seen { revision: entry.revision, since: now });
        // Somebody else's renewal was taken: there is room.
        nats.refuses("leases", None);
    }
    let idle = seen.map_or(Duration::ZERO, |seen| now.duration_since(seen.since));
    let idle_min = idle_min(is_free, is_able);
    // Where we lost the way to it; not where we meant to give it up.
    let is_ours = entry.value == me && is_able;
    if !is_ours && idle < idle_min {
        return Ok(None);
    }
    let taken = bucket.update(KEY, me.clone(), entry.revision).await;
    told(nats, taken.as_ref().err());
    Ok(taken.ok())
}

/// Notes what NATS said of the lease, where that is more than that somebody else has it.
fn told(nats: &Nats, error: Option<&kv::UpdateError>) {
    match error {
        None => nats.refuses("leases", None),
        Some(error) if error.kind() == kv::UpdateErrorKind::Other => {
            nats.refuses("leases", Some(&Refusal::of(error)));
        }
        Some(_) => {}
    }
}

/// Renews the lease until that fails for too long, or somebody else has it.
async fn keep(
    bucket: &kv::Store,
    others: &mut Others<'_>,
    fence: u64,
    asked: Instant,
    held: &watch::Sender<Option<Held>>,
) -> End {
    let me = others.me;
    let mut revision = fence;
    let mut lease = Held { fence, until: asked + HELD };
    held.send_replace(Some(lease));
    while lease.holds() {
        sleep(BEAT).await;
        others.look();
        if others.are_better() {
            // First, so that nothing is said after it.
            held.send_replace(None);
            let free = bucket.update(KEY, Bytes::from_static(FREE), revision);
            // Where that fails the other one has it when its term is over.
            let _ = timeout(ANSWER_MAX, free).await;
            return End::GaveWay;
        }
        // Before the question: the server counts from when it came there, which is later.
        let asked = Instant::now();
        let renewed = timeout(ANSWER_MAX, bucket.update(KEY, me.clone(), revision)).await;
        if let Ok(renewed) = &renewed {
            told(others.nats, renewed.as_ref().err());
        }
        match renewed {
            Ok(Ok(renewed)) => {
                revision = renewed;
                lease.until = asked + HELD;
                held.send_replace(Some(lease));
            }
            Ok(Err(error)) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => {
                // Ours after all, where only the answer to the last renewal was lost.
                match bucket.entry(KEY).await {
                    Ok(Some(entry)) if entry.value == me && entry.revision > revision => {
                        revision = entry.revision;
                    }
                    _ => break,
                }
            }
            // It may work the next time, and no longer than the lease holds.
            Ok(Err(_)) | Err(_) => {}
        }
    }
    held.send_replace(None);
    End::Lost
}

/// Gives the lease up, where this node has it, so that another need not wait for its end.
pub(super) async fn release(bucket: &kv::Store, node: &str) {
    let free = async {
        let entry = bucket.entry(KEY).await.ok()??;
        if entry.value.as_ref() != node.as_bytes() {
            return None;
        }
        bucket.update(KEY, Bytes::from_static(FREE), entry.revision).await.ok()
    };
    // Without it another node takes over a second later.
    if timeout(ANSWER_MAX, free).await.ok().flatten().is_some() {
        info!("gave the lease up");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn only_who_has_heard_nothing_for_long_gives_way_and_only_to_somebody_who_is_there() {
        assert!(gives_way(Some(LONG), Some(SHORT)));
        // Its feeds are well; they were a moment ago; nobody waits; nobody does any more.
        for (deaf, heard) in
            [(None, Some(SHORT)), (Some(SHORT), Some(SHORT)), (Some(LONG), None), (Some(LONG), Some(LONG))]
        {
            assert!(!gives_way(deaf, heard), "{deaf:?} {heard:?}");
        }
    }

    #[test]
    fn who_has_nothing_to_tell_lets_others_go_first_and_takes_the_lease_where_none_does() {
        for is_free in [true, false] {
            let (able, deaf) = (idle_min(is_free, true), idle_min(is_free, false));
            // Others look at least every 1.2 beats.
            assert!(deaf > able + BEAT * 4 && deaf < LONG, "{able:?} {deaf:?}");
        }
        assert!(idle_min(false, true) > HELD, "nobody takes what another may still use");
    }
}
