//! What time brings to an edge: silence, symbols that nobody wants, messages that may have been lost.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::gather::Batch;
use super::{Done, Edge, FOLLOWED_MAX};
use crate::catalogue::SymbolId;

/// A symbol that nobody wants is let go of after this: who lost his connection comes back within it.
const GRACE: Duration = Duration::from_secs(60);
/// Without a sign of life of who publishes for so long, nothing can be relied on.
const SILENCE_MAX: Duration = Duration::from_millis(900);
/// What is told of that.
pub(super) const NOBODY: &str = "nobody publishes";
/// After so much silence the connection is made anew: it may be one that only looks alive.
const DEAD_AFTER: Duration = Duration::from_secs(5);
/// A symbol that was not heard of for so long is asked for: a message may have been lost on the way.
const ASK_AFTER: Duration = Duration::from_secs(10);
/// Questions of that kind in one sweep.
const ASKED_MAX: usize = 10;

impl Edge {
    /// What time brings: silence, symbols that nobody wants, messages that may have been lost.
    pub(super) fn judge(&mut self) {
        let is_connected = self.nats.is_connected();
        if !is_connected {
            self.around.interest.served(false);
            let problem = self.nats.problem().unwrap_or_else(|| "not connected yet".to_owned());
            self.report(problem);
        } else if self.nats.connects() != self.connects || self.nats.overflows() != self.overflows {
            self.overflows = self.nats.overflows();
            self.doubt();
        }
        let silence = self.beat.elapsed();
        if silence > SILENCE_MAX && !std::mem::replace(&mut self.is_cut, true) {
            warn!("nobody publishes, or the bus is away: all prices are stale");
            self.around.latest.cut();
        }
        if silence > DEAD_AFTER && is_connected && self.told.insert("reconnected") {
            let client = self.nats.client.clone();
            self.work.push(Box::pin(async move {
                // It ends in the next attempts where it does not help.
                drop(client.force_reconnect().await);
                Done::Catalogue(Ok(None))
            }));
        }
        if self.stream.is_some() {
            if silence > SILENCE_MAX && is_connected && self.problem.is_none() {
                self.around.board.bus(Some(NOBODY.to_owned()));
                self.problem = Some(NOBODY.to_owned());
            }
            if self.listed.is_none() {
                self.fetch_catalogue();
            }
            self.let_go();
            self.ask();
        }
    }

    fn let_go(&mut self) {
        let now = Instant::now();
        let interest = &self.around.interest;
        let mut unwanted = Vec::new();
        for (&id, followed) in &mut self.followed {
            if interest.is_wanted(id) {
                followed.unwanted = None;
            } else if now.duration_since(*followed.unwanted.get_or_insert(now)) > GRACE {
                unwanted.push(id);
            }
        }
        // Where everything comes, only a smaller list of wishes changes that.
        if self.all && self.followed.len() - unwanted.len() > FOLLOWED_MAX / 2 {
            return;
        }
        if unwanted.is_empty() {
            return;
        }
        for id in unwanted {
            interest.left(id);
            self.around.latest.cut_one(id);
            self.lines.remove(id);
            self.followed.remove(&id);
        }
        if std::mem::take(&mut self.all) {
            self.lines.clear();
            let rest: Vec<SymbolId> = self.followed.drain().map(|(id, _)| id).collect();
            self.coming.extend(&rest);
            self.gather(rest, Batch::Some);
        }
        self.around.metrics.bus_followed.set(i64::try_from(self.followed.len()).unwrap_or(i64::MAX));
        // Whoever came while we let go of it.
        self.follow();
    }

    fn ask(&mut self) {
        let now = Instant::now();
        let quiet =
            self.followed.iter().filter(|(_, followed)| now.duration_since(followed.heard) > ASK_AFTER);
        let ids: Vec<SymbolId> = quiet.map(|(&id, _)| id).take(ASKED_MAX).collect();
        for id in &ids {
            if let Some(followed) = self.followed.get_mut(id) {
                followed.heard = now;
            }
        }
        self.gather(ids, Batch::Refresh);
    }
}
