//! Who shows credentials that nobody has, and how often: keys must not be guessed as fast as the line goes.
//!
//! A guess is counted for the address that it comes from. Over the limit that address learns nothing more for a while: not
//! even whether a key is good, unless it has shown that key before. So whoever shares its address with somebody who guesses
//! goes on with the key that it has.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
/// Addresses remembered at once, each some 50 bytes. All others beyond that are counted together.
const ADDRESSES_MAX: usize = 100_000;
/// Addresses of one key that are remembered: the newest.
const PROVEN_MAX: usize = 8;

/// Bad credentials by address.
#[derive(Debug)]
pub(super) struct Guesses {
    per_minute: u32,
    /// What one costs: so much of a minute.
    each: Duration,
    /// Until when each address has used up its time. One that is a minute ahead may not go on.
    until: DashMap<IpAddr, Instant>,
    others: Mutex<Option<Instant>>,
}

impl Guesses {
    /// So many in a minute; as many at once after a quiet one.
    pub(super) fn new(per_minute: u32) -> Self {
        let per_minute = per_minute.max(1);
        Self { per_minute, each: MINUTE / per_minute, until: DashMap::new(), others: Mutex::new(None) }
    }

    /// How many.
    pub(super) fn per_minute(&self) -> u32 {
        self.per_minute
    }

    /// Whether an address may try another one now. `Err` says when.
    pub(super) fn may_try(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let own = self.until.get(&address).map(|until| *until);
        // Nobody who is remembered, and no room: then it is one of the others.
        let until = own.or_else(|| if self.is_full() { *self.others() } else { None });
        let ahead = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now)) + self.each;
        match ahead.checked_sub(MINUTE) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    /// Counts one that was bad.
    pub(super) fn count(&self, address: IpAddr, now: Instant) {
        let later = |until: Option<Instant>| {
            // However many come at the same time, no address waits for more than a minute.
            (until.unwrap_or(now).max(now) + self.each).min(now + MINUTE)
        };
        if let Some(mut until) = self.until.get_mut(&address) {
            *until = later(Some(*until));
        } else if self.is_full() {
            let mut others = self.others();
            *others = Some(later(*others));
        } else {
            self.until.insert(address, later(None));
        }
    }

    /// Forgets the addresses whose guesses are a minute ago. To be called now and then.
    pub(super) fn forget(&self, now: Instant) {
        self.until.retain(|_, until| *until > now);
    }

    fn is_full(&self) -> bool {
        self.until.len() >= ADDRESSES_MAX
    }

    fn others(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From which addresses a key has come, the newest last.
#[derive(Debug, Default)]
pub(super) struct Proven(Mutex<Vec<IpAddr>>);

impl Proven {
    /// Whether this is one of them.
    pub(super) fn from(&self, address: IpAddr) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }

    /// Notes that it has.
    pub(super) fn add(&self, address: IpAddr) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.last() == Some(&address) {
            return;
        }
        all.retain(|other| *other != address);
        if all.len() == PROVEN_MAX {
            all.remove(0);
        }
        all.push(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u32) -> IpAddr {
        IpAddr::from(last.to_be_bytes())
    }

    #[test]
    fn as_many_as_a_minute_has_are_free_and_then_one_at_a_time() {
        let (guesses, start) = (Guesses::new(6), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..6 {
            assert_eq!(guesses.may_try(ip(1), start), Ok(()));
            guesses.count(ip(1), start);
        }
        assert_eq!(guesses.may_try(ip(1), start), Err(Duration::from_secs(10)));
        assert_eq!(guesses.may_try(ip(2), start), Ok(()), "another's are another's");
        assert_eq!(guesses.may_try(ip(1), after(9)), Err(Duration::from_secs(1)));
        assert_eq!(guesses.may_try(ip(1), after(10)), Ok(()));
        guesses.count(ip(1), after(10));
        assert_eq!(guesses.may_try(ip(1), after(10)), Err(Duration::from_secs(10)));
        // Many at the same time, before any was counted.
        (0..1_000).for_each(|_| guesses.count(ip(1), after(10)));
        assert_eq!(guesses.may_try(ip(1), after(10)), Err(Duration::from_secs(10)));
        guesses.forget(after(69));
        assert_eq!(guesses.until.len(), 1);
        guesses.forget(after(70));
        assert_eq!(guesses.until.len(), 0);
        assert_eq!(guesses.may_try(ip(1), after(70)), Ok(()));
    }

    #[test]
    fn p68_from_however_many_addresses_the_guesses_are_counted() {
        let (guesses, now) = (Guesses::new(2), Instant::now());
        let most = u32::try_from(ADDRESSES_MAX).expect("a few");
        (0..most + 1_000).for_each(|address| guesses.count(ip(address), now));
        assert_eq!(guesses.until.len(), ADDRESSES_MAX);
        assert_eq!(guesses.may_try(ip(5), now), Ok(()), "who is known counts for himself");
        assert!(guesses.may_try(ip(most + 5_000), now).is_err(), "the others together");
        guesses.forget(now + MINUTE);
        assert_eq!(guesses.may_try(ip(most + 5_000), now + MINUTE), Ok(()));
    }

    #[test]
    fn a_key_is_known_from_its_newest_addresses() {
        let proven = Proven::default();
        (0..8).for_each(|address| proven.add(ip(address)));
        proven.add(ip(0));
        proven.add(ip(8));
        assert!(proven.from(ip(0)) && proven.from(ip(8)));
        assert!(!proven.from(ip(1)), "the one that was longest ago");
    }
}
