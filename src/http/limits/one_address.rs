//! Notices that all clients seem to be one: a proxy stands before us that the config does not name, so everybody shares
//! one client's limits (P69).

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Streams from one address before it looks like a proxy's.
const SUSPICIOUS: u32 = 200;

/// What makes it look so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// The peer has a private address and says that it forwards.
    Header,
    /// Many streams, all from one private address.
    Alone,
}

/// Watches until it is clear how things stand, then never looks again.
#[derive(Debug, Default)]
pub(super) struct OneAddress {
    is_settled: AtomicBool,
    seen: Mutex<Option<(IpAddr, u32)>>,
}

impl OneAddress {
    /// Looks at where a stream's request came from. Says at most once what it found.
    pub(super) fn look(&self, peer: IpAddr, is_forwarded: bool) -> Option<Sign> {
        if self.is_settled.load(Ordering::Relaxed) {
            return None;
        }
        let (is_clear, sign) = if is_forwarded && is_private(peer) {
            (true, Some(Sign::Header))
        } else {
            match self.count(peer) {
                None => (true, None),
                Some(count) => (count >= SUSPICIOUS, Some(Sign::Alone)),
            }
        };
        // Two that find it at the same time say it once.
        if is_clear && !self.is_settled.swap(true, Ordering::Relaxed) { sign } else { None }
    }

    /// How many there were, all from this private address; `None` where there are others.
    fn count(&self, peer: IpAddr) -> Option<u32> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (address, count) = seen.get_or_insert((peer, 0));
        if *address != peer || !is_private(peer) {
            return None;
        }
        *count += 1;
        Some(*count)
    }
}

/// An address that no client on the internet has.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            // 100.64.0.0/10: shared between a carrier and its customers, and what clouds give their balancers (RFC 6598).
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || is_shared
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(streams: impl IntoIterator<Item = (&'static str, bool)>) -> Vec<Sign> {
        let watch = OneAddress::default();
        let look = |(peer, forwarded): (&str, bool)| watch.look(peer.parse().expect("an address"), forwarded);
        streams.into_iter().filter_map(look).collect()
    }

    #[test]
    fn p69_a_proxy_that_nobody_named_is_noticed_once() {
        assert_eq!(looks([("10.0.0.1", false), ("10.0.0.1", true), ("10.0.0.1", true)]), [Sign::Header]);
        assert_eq!(looks([("fd00::1", true)]), [Sign::Header]);
        assert_eq!(looks([("100.100.0.1", true)]), [Sign::Header]);
        assert_eq!(looks(vec![("192.168.0.1", false); 1_000]), [Sign::Alone]);
    }

    #[test]
    fn p69_clients_of_their_own_addresses_are_no_sign_of_one() {
        assert_eq!(looks(vec![("192.168.0.1", false); 199]), []);
        assert_eq!(looks(vec![("8.8.8.8", false); 1_000]), []);
        assert_eq!(looks(vec![("8.8.8.8", true); 1_000]), [], "anybody on the internet may write the header");
        let two = [("10.0.0.1", false), ("10.0.0.2", false)];
        assert_eq!(looks(two.into_iter().chain(vec![("10.0.0.1", false); 1_000])), []);
    }
}
