//! Who asks, and what he may have: from what a request shows to a [`Visitor`], or to why it is not let in.
//!
//! Three modes: nobody is asked (a client is an address), API keys, and tokens (JWT). Where credentials are told and kept
//! from logs is in the files below; what they are worth in streams and messages is counted in `limits`.

mod credential;
mod denied;
mod guesses;
mod keyring;
pub mod lease;
pub mod reload;
mod signatures;
mod terms;
mod tickets;
mod tokens;

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tickcast_feeds::UnixNanos;
use tokio::time::Instant;
use warp::http::HeaderMap;
use warp::http::header::{HOST, ORIGIN};

pub use keyring::hash;
pub use terms::Terms;
pub use tickets::LIFETIME as TICKET_LIFETIME;

pub(super) use credential::{API_KEY, API_KEY_HEADER, TICKET};
pub(crate) use denied::Denied;

use super::client::{self, ClientId};
use super::limits::{Code, Refusal, Scope, jittered, overloaded, spread};
use super::openapi::{Asks, Whom};
use super::params::Params;
use crate::catalogue::{Catalogue, SymbolId};
use crate::clock;
use crate::config::{self, AuthMode, Config, Operators, SignedBy, read_file, read_jwks, read_keys};
use credential::{Places, Shown};
use guesses::Guesses;
use keyring::Keyring;
use lease::{Lease, Standing};
use terms::Plans;
use tickets::{BadTicket, NoTicket, Tickets};
use tokens::{Rules, Signers};

/// Who asks, and what he may have.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Whose limits it counts against.
    pub client: ClientId,
    /// What he may have.
    pub terms: Arc<Terms>,
    /// How long.
    pub lease: Lease,
    /// What his ticket is for, where it is for less than the plan.
    only: Option<Arc<HashSet<SymbolId>>>,
    /// The ticket that he came with, until it is used up.
    ticket: Option<Arc<str>>,
}

impl Visitor {
    /// Whether he may follow the symbol.
    pub fn may_follow(&self, catalogue: &Catalogue, symbol: SymbolId) -> bool {
        self.terms.allows(catalogue.entry(symbol))
            && self.only.as_ref().is_none_or(|only| only.contains(&symbol))
    }

    /// Somebody without a credential.
    #[cfg(test)]
    pub(super) fn at(address: IpAddr, limits: &config::Limits) -> Self {
        let config = Config { limits: limits.clone(), ..Config::default() };
        stranger(address, Plans::new(&config).unnamed())
    }
}

/// What a request wants to get at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The stream: a ticket opens it too.
    Stream,
    /// The other routes with prices and symbols.
    Data,
    /// That for tickets, for which a credential must be shown, whatever the anonymous may have.
    Ticket,
    /// What is the operator's.
    Operator,
}

/// Knows everybody.
#[derive(Debug)]
pub struct Auth {
    mode: Mode,
    plans: Plans,
    anonymous: Option<Arc<Terms>>,
    cookie: Option<String>,
    query: bool,
    operators: Operators,
    tickets: Mutex<Tickets>,
    guesses: Guesses,
    http: config::Http,
}

#[derive(Debug)]
enum Mode {
    None,
    Keys { path: PathBuf, ring: RwLock<Arc<Keyring>> },
    Jwt { path: Option<PathBuf>, rules: Box<Rules>, signers: RwLock<Arc<Signers>> },
}

/// What reading a file again came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Read {
    keys: usize,
    added: usize,
    changed: usize,
    revoked: usize,
}

impl Read {
    fn is_change(self) -> bool {
        self.added + self.changed + self.revoked > 0
    }
}

/// A ticket, as a client gets it.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) ticket: String,
    pub(super) expires_in: Duration,
}

impl Auth {
    /// What the config says.
    pub fn new(config: &Config) -> Self {
        let plans = Plans::new(config);
        let mode = match &config.auth.mode {
            AuthMode::None => Mode::None,
            AuthMode::Keys(file) => {
                let ring = Keyring::new(file.keys.clone(), &Keyring::default());
                Mode::Keys { path: file.path.clone(), ring: RwLock::new(Arc::new(ring)) }
            }
            AuthMode::Jwt(jwt) => {
                let path = match &jwt.signed_by {
                    SignedBy::Jwks { path, .. } => Some(path.clone()),
                    SignedBy::Secret(_) | SignedBy::Nobody => None,
                };
                let signers = RwLock::new(Arc::new(Signers::of(&jwt.signed_by)));
                Mode::Jwt { path, rules: Box::new(Rules::new(jwt)), signers }
            }
        };
        let anonymous = config.auth.anonymous.as_deref().and_then(|name| plans.find(Some(name)).cloned());
        Self {
            mode,
            anonymous,
            plans,
            cookie: config.auth.cookie.clone(),
            query: config.auth.query,
            operators: config.auth.operators,
            tickets: Mutex::default(),
            guesses: Guesses::new(config.limits.bad_credentials_per_minute),
            http: config.http.clone(),
        }
    }

    /// Finds out who asks. `address` is where the request comes from. Credentials are taken out of the parameters.
    ///
    /// # Errors
    ///
    /// [`Denied`] where he is not let in.
    pub(super) fn admit(
        &self,
        door: Door,
        address: IpAddr,
        headers: &HeaderMap,
        params: &mut Params,
    ) -> Result<Visitor, Denied> {
        let cookie = self.cookie.as_deref().filter(|_| self.is_cookie_good(headers));
        let places = Places { cookie, query: self.query, ticket: door == Door::Stream };
        if matches!(self.mode, Mode::None) {
            // Who sends one all the same is not refused for it: there is nothing to compare it with.
            return Ok(stranger(address, self.plans.unnamed()));
        }
        if door == Door::Operator && self.operators == Operators::Open {
            return Ok(stranger(address, self.plans.unnamed()));
        }
        let shown = credential::find(headers, params, places)?;
        let visitor = match (shown, &self.anonymous) {
            (Some(Shown::Secret(secret)), _) => {
                self.visitor(&secret, client::network(address), clock::wall())?
            }
            (Some(Shown::Ticket(ticket)), _) => self.with_ticket(&ticket, headers)?,
            (None, Some(terms)) if door != Door::Ticket => stranger(address, terms),
            (None, _) => return Err(Denied::Missing),
        };
        if door == Door::Operator && !visitor.terms.operator {
            // Who shows nothing is asked for something first.
            let is_stranger = matches!(visitor.client, ClientId::Address(_));
            return Err(if is_stranger { Denied::Missing } else { Denied::NoOperator });
        }
        Ok(visitor)
    }

    /// Who stands behind a key or a token. Who guesses learns only so often whether it is one.
    fn visitor(&self, secret: &str, address: IpAddr, now: UnixNanos) -> Result<Visitor, Denied> {
        match &self.mode {
            Mode::None => Err(Denied::Unknown),
            Mode::Keys { ring, .. } => {
                let ring = Arc::clone(&ring.read().unwrap_or_else(PoisonError::into_inner));
                let found = ring.find(secret);
                // A key may be one that people made up, and there are not many of those.
                if !found.as_ref().is_some_and(|found| found.standing.proven.from(address)) {
                    self.may_try(address)?;
                }
                let found = found.ok_or_else(|| self.guessed(address))?;
                let visitor = self.known(found.id, found.plan, found.expires, found.standing, now)?;
                found.standing.proven.add(address);
                Ok(visitor)
            }
            Mode::Jwt { rules, signers, .. } => {
                let signers = Arc::clone(&signers.read().unwrap_or_else(PoisonError::into_inner));
                // A signature is not to be guessed: one that is good always passes, so that nobody is kept out by whom he
                // shares an address with.
                let claims = rules.judge(secret, &signers, now).map_err(|denied| match denied {
                    Denied::Unknown => {
                        self.may_try(address).map_or_else(|later| later, |()| self.guessed(address))
                    }
                    other => other,
                })?;
                let plan = claims.plan.as_deref();
                self.known(&claims.subject, plan, Some(claims.expires), &claims.standing, now)
            }
        }
    }

    /// Whether an address may show another credential that it has not shown before.
    fn may_try(&self, address: IpAddr) -> Result<(), Denied> {
        self.guesses.may_try(address, Instant::now()).map_err(|wait| {
            let wait = wait.max(Duration::from_secs(1));
            Denied::Later(Refusal {
                code: Code::TooManyBadCredentials,
                limit: Some(self.guesses.per_minute().into()),
                scope: Scope::Client,
                retry: spread(wait),
            })
        })
    }

    fn guessed(&self, address: IpAddr) -> Denied {
        self.guesses.count(address, Instant::now());
        Denied::Unknown
    }

    fn known(
        &self,
        id: &str,
        plan: Option<&str>,
        expires: Option<UnixNanos>,
        standing: &Arc<Standing>,
        now: UnixNanos,
    ) -> Result<Visitor, Denied> {
        let terms =
            self.plans.find(plan).ok_or_else(|| Denied::NoSuchPlan(plan.unwrap_or_default().to_owned()))?;
        let left = expires.map(|expires| expires.0.saturating_sub(now.0));
        if left.is_some_and(|left| left <= 0) {
            return Err(Denied::Expired);
        }
        let left = left.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos);
        // Later than the clock counts is never.
        let expires_at = left.and_then(|left| Instant::now().checked_add(left));
        Ok(Visitor {
            client: ClientId::Credential { id: id.into(), plan: terms.name.clone().unwrap_or_default() },
            terms: Arc::clone(terms),
            lease: Lease::new(expires_at, Arc::clone(standing)),
            only: None,
            ticket: None,
        })
    }

    fn with_ticket(&self, ticket: &str, headers: &HeaderMap) -> Result<Visitor, Denied> {
        let (origin, now) = (origin(headers), Instant::now());
        let found = self.tickets.lock().unwrap_or_else(PoisonError::into_inner).look(ticket, origin, now);
        let visitor = found.map_err(|bad| match bad {
            BadTicket::Unknown => Denied::Ticket,
            BadTicket::Origin => Denied::TicketOrigin,
        })?;
        // It is worth what is behind it, now (P65).
        if visitor.lease.end(now).is_some() {
            return Err(Denied::Ticket);
        }
        Ok(Visitor { ticket: Some(ticket.into()), ..visitor })
    }

    /// Uses up the ticket that a visitor came with, if it was one. To be called when all else is settled, so that a ticket is
    /// not lost to a refusal that says "come again".
    pub(super) fn use_ticket(&self, visitor: &Visitor) -> Result<(), Denied> {
        let Some(ticket) = &visitor.ticket else { return Ok(()) };
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.take(ticket, Instant::now()) { Ok(()) } else { Err(Denied::Ticket) }
    }

    /// Gives out a ticket, for some symbols or for all that the plan has. `None` where nobody needs one.
    pub(super) fn ticket(
        &self,
        visitor: &Visitor,
        only: Option<HashSet<SymbolId>>,
        headers: &HeaderMap,
    ) -> Result<Given, Refusal> {
        let (now, origin) = (Instant::now(), origin(headers).map(str::to_owned));
        let left = visitor.lease.left(now);
        let visitor = Visitor { only: only.map(Arc::new), ..visitor.clone() };
        let scope = Scope::of(&visitor.client);
        let given = self.tickets.lock().unwrap_or_else(PoisonError::into_inner).give(visitor, origin, now);
        let expires_in = left.map_or(TICKET_LIFETIME, |left| left.min(TICKET_LIFETIME));
        given.map(|ticket| Given { ticket, expires_in }).map_err(|no_ticket| match no_ticket {
            NoTicket::Client(wait) => {
                let limit = Some(tickets::PER_CLIENT_MAX.into());
                let retry = wait.max(Duration::from_secs(1)) + jittered(Duration::from_millis(500));
                Refusal { code: Code::TooManyTickets, limit, scope, retry }
            }
            NoTicket::Node => overloaded(None),
        })
    }

    /// Whether clients show credentials at all.
    pub(super) fn is_on(&self) -> bool {
        !matches!(self.mode, Mode::None)
    }

    /// What clients are asked to show, as the document says it.
    pub fn asks(&self) -> Asks {
        Asks {
            whom: match self.anonymous {
                _ if !self.is_on() => Whom::Nobody,
                Some(_) => Whom::Some,
                None => Whom::Everybody,
            },
            operators: self.operators == Operators::Open,
            cookie: self.cookie.clone(),
            query: self.query,
        }
    }

    /// Drops tickets that are too old, and addresses whose bad credentials are. To be called now and then.
    pub fn forget(&self) {
        let now = Instant::now();
        self.guesses.forget(now);
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).forget(now);
    }

    /// The file that credentials come from.
    fn file(&self) -> Option<&Path> {
        match &self.mode {
            Mode::None => None,
            Mode::Keys { path, .. } => Some(path),
            Mode::Jwt { path, .. } => path.as_deref(),
        }
    }

    /// Reads that file again. It blocks.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with its line; then nothing has changed.
    fn read_again(&self) -> Result<Read, String> {
        let Some(path) = self.file() else { return Ok(Read::default()) };
        let text = read_file(path)?;
        match &self.mode {
            Mode::None => Ok(Read::default()),
            Mode::Keys { ring, .. } => {
                let keys = read_keys(&text, &path.display().to_string(), &self.plans.names());
                let keys = keys.map_err(|mistakes| mistakes.to_string())?;
                let before = Arc::clone(&ring.read().unwrap_or_else(PoisonError::into_inner));
                let now = Arc::new(Keyring::new(keys, &before));
                *ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&now);
                Ok(now.settle(&before))
            }
            Mode::Jwt { signers, .. } => {
                let keys = read_jwks(&text).map_err(|error| format!("{}: {error}", path.display()))?;
                let before = Arc::clone(&signers.read().unwrap_or_else(PoisonError::into_inner));
                let now = Arc::new(Signers::new(keys, &before));
                *signers.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&now);
                Ok(now.settle(&before))
            }
        }
    }

    /// Whether a cookie may count: a browser sends it with whatever page made the request, so a page of another origin must
    /// be one that the config lists.
    fn is_cookie_good(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let is_own = origin.split_once("://").is_some_and(|(_, own)| Some(own) == host);
        is_own || self.http.cors_origins.iter().any(|listed| listed == origin)
    }

    /// Where a request comes from, seen through the proxies that we trust.
    pub(super) fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        client::address(&self.http, peer, headers)
    }
}

/// Who shows nothing.
fn stranger(address: IpAddr, terms: &Arc<Terms>) -> Visitor {
    Visitor {
        client: ClientId::address(address),
        terms: Arc::clone(terms),
        lease: Lease::endless(),
        only: None,
        ticket: None,
    }
}

fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(ORIGIN).and_then(|origin| origin.to_str().ok())
}

#[cfg(test)]
mod tests;
