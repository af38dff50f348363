//! Tickets: what a page shows instead of its key where it can send no header (P64). Random, good for one stream, for 30
//! seconds, and only as long as the credential behind it is (P65).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::Instant;

use super::Visitor;
use crate::http::client::ClientId;

/// How long a ticket is good.
pub const LIFETIME: Duration = Duration::from_secs(30);
/// Tickets of one client that are not used up: a page needs one for each stream that it opens.
pub const PER_CLIENT_MAX: u32 = 100;
/// Tickets in all. Each is some 300 bytes.
const TOTAL_MAX: usize = 100_000;

/// What a ticket is known by: 192 random bits.
type Number = [u8; 24];

/// The tickets that are out.
#[derive(Debug)]
pub(super) struct Tickets {
    random: SystemRandom,
    out: HashMap<Number, Ticket>,
    /// How many each client has, and when the last of them ends.
    per_client: HashMap<ClientId, (u32, Instant)>,
    /// Oldest first: all live equally long. Numbers that are used up stay in it until their time.
    by_age: VecDeque<(Instant, Number)>,
}

#[derive(Debug)]
struct Ticket {
    visitor: Visitor,
    origin: Option<String>,
    until: Instant,
}

/// Why there is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTicket {
    /// The client has as many as it may; the last of them ends in so long.
    Client(Duration),
    /// There are as many as there may be, or the system gives no random numbers.
    Node,
}

impl Default for Tickets {
    fn default() -> Self {
        Self {
            random: SystemRandom::new(),
            out: HashMap::new(),
            per_client: HashMap::new(),
            by_age: VecDeque::new(),
        }
    }
}

impl Tickets {
    /// Gives one out. `origin` is the page that asked, if it was a page.
    pub(super) fn give(
        &mut self,
        visitor: Visitor,
        origin: Option<String>,
        now: Instant,
    ) -> Result<String, NoTicket> {
        self.forget(now);
        if let Some((PER_CLIENT_MAX.., last)) = self.per_client.get(&visitor.client) {
            return Err(NoTicket::Client(last.saturating_duration_since(now)));
        }
        if self.by_age.len() >= TOTAL_MAX {
            return Err(NoTicket::Node);
        }
        let mut number = Number::default();
        self.random.fill(&mut number).map_err(|_| NoTicket::Node)?;
        let until = now + LIFETIME;
        let (count, last) = self.per_client.entry(visitor.client.clone()).or_insert((0, until));
        (*count, *last) = (*count + 1, until);
        self.out.insert(number, Ticket { visitor, origin, until });
        self.by_age.push_back((until, number));
        Ok(URL_SAFE_NO_PAD.encode(number))
    }

    /// Who stands behind a ticket. It is not used up yet: a request that is refused for another reason may come again with it.
    pub(super) fn look(
        &self,
        ticket: &str,
        origin: Option<&str>,
        now: Instant,
    ) -> Result<Visitor, BadTicket> {
        let found = number(ticket).and_then(|number| self.out.get(&number));
        let Ticket { visitor, origin: given_to, until } = found.ok_or(BadTicket::Unknown)?;
        if *until <= now {
            return Err(BadTicket::Unknown);
        }
        // A page's own GET names no origin, so only another one's is told by it.
        match (given_to, origin) {
            (Some(given_to), Some(origin)) if given_to != origin => Err(BadTicket::Origin),
            _ => Ok(visitor.clone()),
        }
    }

    /// Uses a ticket up. `false` where somebody else has meanwhile.
    pub(super) fn take(&mut self, ticket: &str, now: Instant) -> bool {
        let is_good = number(ticket).and_then(|number| self.remove(&number)).is_some_and(|until| until > now);
        self.forget(now);
        is_good
    }

    /// Drops what is too old.
    pub(super) fn forget(&mut self, now: Instant) {
        while self.by_age.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, number)) = self.by_age.pop_front() {
                self.remove(&number);
            }
        }
    }

    fn remove(&mut self, number: &Number) -> Option<Instant> {
        let ticket = self.out.remove(number)?;
        if let Some((count, _)) = self.per_client.get_mut(&ticket.visitor.client) {
            *count -= 1;
            if *count == 0 {
                self.per_client.remove(&ticket.visitor.client);
            }
        }
        Some(ticket.until)
    }
}

/// Why a ticket opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadTicket {
    /// Not one that is out.
    Unknown,
    /// Another page's.
    Origin,
}

fn number(ticket: &str) -> Option<Number> {
    let mut number = Number::default();
    // Anything longer or shorter is none of ours.
    let length = URL_SAFE_NO_PAD.decode_slice(ticket, &mut number).ok()?;
    (length == number.len()).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::config::Limits;

    fn visitor(last: u8) -> Visitor {
        Visitor::at(IpAddr::from([10, 0, 0, last]), &Limits::default())
    }

    #[test]
    fn p65_a_ticket_is_good_once_and_for_thirty_seconds() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        let late = now + LIFETIME;
        let [one, two] = [1, 2].map(|last| tickets.give(visitor(last), None, now).expect("a ticket"));
        assert_ne!(one, two);
        assert_eq!(one.len(), 32);
        let client = |found: Result<Visitor, BadTicket>| found.map(|visitor| visitor.client);
        for _ in 0..2 {
            assert_eq!(
                client(tickets.look(&one, None, now)),
                Ok(visitor(1).client),
                "a look does not use it up"
            );
        }
        assert!(tickets.take(&one, now) && !tickets.take(&one, now));
        assert_eq!(client(tickets.look(&one, None, now)), Err(BadTicket::Unknown));
        assert_eq!(client(tickets.look(&two, None, late)), Err(BadTicket::Unknown));
        assert!(!tickets.take(&two, late));
        for junk in ["", "a", &one[1..], &format!("{one}A"), &"=".repeat(32), &"A".repeat(32)] {
            assert_eq!(client(tickets.look(junk, None, now)), Err(BadTicket::Unknown), "{junk}");
        }
        assert!(tickets.out.is_empty() && tickets.per_client.is_empty() && tickets.by_age.is_empty());
    }

    #[test]
    fn p65_a_ticket_given_to_one_page_does_not_open_anothers_stream() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        let page = Some("https://a.example");
        let ticket = tickets.give(visitor(1), page.map(str::to_owned), now).expect("a ticket");
        let look = |origin| tickets.look(&ticket, origin, now).map(|_| ());
        assert_eq!(look(page), Ok(()));
        assert_eq!(look(None), Ok(()), "a page's own stream, or a proxy that strips the header");
        assert_eq!(look(Some("https://b.example")), Err(BadTicket::Origin));
        let server = tickets.give(visitor(1), None, now).expect("a ticket");
        assert!(tickets.look(&server, page, now).is_ok(), "a server asked for its page");
    }

    #[test]
    fn p58_no_client_and_not_all_together_make_the_tickets_grow() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        let later = now + Duration::from_secs(10);
        let mut last = String::new();
        for _ in 0..PER_CLIENT_MAX {
            last = tickets.give(visitor(1), None, now).expect("within the limit");
        }
        let refused = tickets.give(visitor(1), None, later);
        assert_eq!(refused, Err(NoTicket::Client(Duration::from_secs(20))));
        assert!(tickets.give(visitor(2), None, now).is_ok());
        assert!(tickets.take(&last, now));
        assert!(tickets.give(visitor(1), None, later).is_ok(), "one was used up");
        assert!(tickets.give(visitor(1), None, now + LIFETIME).is_ok(), "the others are too old");
        assert_eq!((tickets.out.len(), tickets.by_age.len()), (2, 2));
        tickets.forget(now + LIFETIME * 3);
        assert!(tickets.out.is_empty() && tickets.per_client.is_empty());
        let someone = visitor(1);
        for client in 0..=u32::try_from(TOTAL_MAX).expect("it fits") {
            let address = ClientId::address(IpAddr::from(client.to_be_bytes()));
            let given = tickets.give(Visitor { client: address, ..someone.clone() }, None, now);
            assert_eq!(given.is_ok(), (client as usize) < TOTAL_MAX, "{client}");
        }
    }
}
