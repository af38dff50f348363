//! Who publishes: of all ingest nodes the one that holds the lease, a key that is renewed by compare-and-set. Who finds it
//! not renewed for a whole term takes it over. No clock is compared with another's: each measures by its own how long it
//! has seen no change.

use std::time::Duration;

use async_nats::jetstream::kv::{self, Operation};
use bytes::Bytes;
use rand::RngExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::nats::{Nats, Refusal};

/// The bucket's only key.
const KEY: &str = "publisher";
/// Who has seen no renewal for so long may take the lease over.
const TERM: Duration = Duration::from_millis(1_200);
/// Who could not renew it for so long publishes no more, in time before another may.
const HELD: Duration = Duration::from_millis(900);
/// Between two renewals, and between two looks at another's.
const BEAT: Duration = Duration::from_millis(200);
/// A renewal that takes longer has failed.
const ANSWER_MAX: Duration = Duration::from_millis(400);
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

/// Tries to hold the lease, for ever; `held` is told each renewal and each loss. Comes back where the bucket is gone.
pub(super) async fn run(nats: &Nats, bucket: &kv::Store, node: &str, held: &watch::Sender<Option<Held>>) {
    let me = Bytes::copy_from_slice(node.as_bytes());
    let mut seen = None;
    let mut failures = 0;
    while failures < 10 {
        let asked = Instant::now();
        let looked = timeout(ANSWER_MAX, attempt(nats, bucket, &me, &mut seen)).await.unwrap_or(Err(()));
        failures = if looked.is_ok() { 0 } else { failures + 1 };
        let Ok(Some(revision)) = looked else {
            let pause = BEAT.mul_f64(rand::rng().random_range(0.8..1.2));
            sleep(pause).await;
            continue;
        };
        info!(fence = revision, "this node publishes from now on");
        keep(nats, bucket, &me, revision, asked, held).await;
        held.send_replace(None);
        warn!(fence = revision, "this node publishes no more: it could not renew its lease");
        seen = None;
    }
}

/// One look at the lease, and an attempt to take it where it is free. Returns the revision at which it was taken.
async fn attempt(
    nats: &Nats,
    bucket: &kv::Store,
    me: &Bytes,
    seen: &mut Option<Seen>,
) -> Result<Option<u64>, ()> {
    let entry = bucket.entry(KEY).await.map_err(drop)?;
    let Some(entry) = entry else {
        // Whoever is first has it.
        return Ok(bucket.create(KEY, me.clone()).await.ok());
    };
    // Ours, where we lost the way to it.
    let is_free = entry.operation != Operation::Put || entry.value.as_ref() == FREE || entry.value == me;
    let now = Instant::now();
    let unchanged = seen.filter(|seen| seen.revision == entry.revision);
    let is_over = unchanged.is_some_and(|seen| now.duration_since(seen.since) > TERM);
    if is_free || is_over {
        let taken = bucket.update(KEY, me.clone(), entry.revision).await;
        told(nats, taken.as_ref().err());
        return Ok(taken.ok());
    }
    if unchanged.is_none() {
        // Somebody else's renewal was taken: there is room.
        nats.refuses(None);
        *seen = Some(Seen { revision: entry.revision, since: now });
    }
    Ok(None)
}

/// Notes what NATS said of the lease, where that is more than that somebody else has it.
fn told(nats: &Nats, error: Option<&kv::UpdateError>) {
    match error {
        None => nats.refuses(None),
        Some(error) if error.kind() == kv::UpdateErrorKind::Other => {
            nats.refuses(Some(&Refusal::of(error)));
        }
        Some(_) => {}
    }
}

/// Renews the lease until that fails for too long, or somebody else has it.
async fn keep(
    nats: &Nats,
    bucket: &kv::Store,
    me: &Bytes,
    fence: u64,
    asked: Instant,
    held: &watch::Sender<Option<Held>>,
) {
    let mut revision = fence;
    let mut lease = Held { fence, until: asked + HELD };
    held.send_replace(Some(lease));
    while lease.holds() {
        sleep(BEAT).await;
        // Before the question: the server counts from when it came there, which is later.
        let asked = Instant::now();
        let renewed = timeout(ANSWER_MAX, bucket.update(KEY, me.clone(), revision)).await;
        if let Ok(renewed) = &renewed {
            told(nats, renewed.as_ref().err());
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
                    _ => return,
                }
            }
            // It may work the next time, and no longer than the lease holds.
            Ok(Err(_)) | Err(_) => {}
        }
    }
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
