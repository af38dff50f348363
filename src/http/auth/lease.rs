//! How long a credential is good, as an open stream asks: it must not outlive what opened it (P66). Pure; time is passed in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::guesses::Proven;

/// A stream is warned so long before its credential expires.
pub const WARN_AHEAD: Duration = Duration::from_secs(60);

/// Until when, and on whose word, a stream may go on. Cheap to clone and to ask.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    expires_at: Option<Instant>,
    standing: Option<Arc<Standing>>,
}

/// Whether a key still is what it was when its stream was opened. Shared by all that it opened.
#[derive(Debug, Default)]
pub struct Standing {
    state: AtomicU8,
    /// Where the key has come from.
    pub(super) proven: Proven,
}

const GOOD: u8 = 0;
const CHANGED: u8 = 1;
const REVOKED: u8 = 2;

/// What a stream has to say about its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEvent {
    /// It ends in so long. To be told once.
    Expiring(Duration),
    /// It has ended, and the stream with it.
    Ended(LeaseEnd),
}

/// Why a credential is good no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEnd {
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
    /// What it stands for is another now: who comes back with it gets that.
    Changed,
}

impl LeaseEnd {
    /// All words of [`reason`](Self::reason).
    pub(crate) const REASONS: [&'static str; 3] =
        ["credential_expired", "credential_revoked", "credential_changed"];

    /// The word in metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Expired => "credential_expired",
            Self::Revoked => "credential_revoked",
            Self::Changed => "credential_changed",
        }
    }
}

impl Standing {
    /// Ends what it opened: it was taken back.
    pub(super) fn revoke(&self) {
        self.state.store(REVOKED, Ordering::Release);
    }

    /// Ends what it opened: it stands for something else now.
    pub(super) fn change(&self) {
        self.state.store(CHANGED, Ordering::Release);
    }

    fn end(&self) -> Option<LeaseEnd> {
        match self.state.load(Ordering::Acquire) {
            GOOD => None,
            CHANGED => Some(LeaseEnd::Changed),
            _ => Some(LeaseEnd::Revoked),
        }
    }
}

impl Lease {
    /// One that never ends: of who needs no credential.
    pub fn endless() -> Self {
        Self::default()
    }

    /// One that ends at that moment, if at any, or with its key's standing.
    pub fn new(expires_at: Option<Instant>, standing: Arc<Standing>) -> Self {
        Self { expires_at, standing: Some(standing) }
    }

    /// What is to be said now. Expiry is told for a minute before it comes; the stream remembers that it was.
    pub fn say(&self, now: Instant) -> Option<LeaseEvent> {
        if let Some(end) = self.standing.as_ref().and_then(|standing| standing.end()) {
            return Some(LeaseEvent::Ended(end));
        }
        match self.expires_at?.saturating_duration_since(now) {
            Duration::ZERO => Some(LeaseEvent::Ended(LeaseEnd::Expired)),
            left if left <= WARN_AHEAD => Some(LeaseEvent::Expiring(left)),
            _ => None,
        }
    }

    /// When time alone will next change what [`say`](Self::say) says: the warning, then the end. `None`: never. A key that is
    /// taken back comes without a time; it is seen by asking at each heartbeat.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let end = self.expires_at?;
        // A start of the process less than a minute ago has no such instant; then the warning is due now.
        let warning = end.checked_sub(WARN_AHEAD).filter(|warning| *warning > now);
        Some(warning.unwrap_or(end))
    }

    /// How long it is good; `None`: without end.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.expires_at.map(|end| end.saturating_duration_since(now))
    }

    /// Whether it has ended, and why.
    pub fn end(&self, now: Instant) -> Option<LeaseEnd> {
        match self.say(now) {
            Some(LeaseEvent::Ended(end)) => Some(end),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p66_a_credential_is_warned_of_for_a_minute_and_then_ends() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let lease = Lease::new(Some(at(100)), Arc::default());
        assert_eq!(lease.say(at(0)), None);
        assert_eq!(lease.due(at(0)), Some(at(40)));
        assert_eq!(lease.say(at(39)), None);
        assert_eq!(lease.say(at(40)), Some(LeaseEvent::Expiring(WARN_AHEAD)));
        assert_eq!(lease.due(at(40)), Some(at(100)));
        assert_eq!(lease.say(at(99)), Some(LeaseEvent::Expiring(Duration::from_secs(1))));
        assert_eq!(lease.left(at(99)), Some(Duration::from_secs(1)));
        assert_eq!(lease.end(at(99)), None);
        for late in [100, 100_000] {
            assert_eq!(lease.say(at(late)), Some(LeaseEvent::Ended(LeaseEnd::Expired)));
        }
        let short = Lease::new(Some(at(5)), Arc::default());
        assert_eq!(
            (short.say(at(0)), short.due(at(0))),
            (Some(LeaseEvent::Expiring(Duration::from_secs(5))), Some(at(5)))
        );
    }

    #[test]
    fn p66_a_revoked_key_ends_all_that_it_opened_whatever_its_time() {
        let now = Instant::now();
        let standing = Arc::new(Standing::default());
        let leases = [Lease::new(None, Arc::clone(&standing)), Lease::new(Some(now), Arc::clone(&standing))];
        assert_eq!((leases[0].say(now), leases[0].due(now)), (None, None));
        standing.change();
        assert_eq!(leases[0].say(now), Some(LeaseEvent::Ended(LeaseEnd::Changed)));
        standing.revoke();
        for lease in leases {
            assert_eq!(lease.clone().say(now), Some(LeaseEvent::Ended(LeaseEnd::Revoked)));
            assert_eq!(lease.end(now).map(LeaseEnd::reason), Some("credential_revoked"));
        }
    }

    #[test]
    fn who_needs_no_credential_has_no_end() {
        let now = Instant::now();
        let lease = Lease::endless();
        assert_eq!(
            (lease.say(now), lease.due(now), lease.left(now), lease.end(now)),
            (None, None, None, None)
        );
    }
}
