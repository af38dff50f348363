//! Why a request is not let in, and how that is told. What was shown is never repeated: not to the client, not in a log.

use warp::http::header::WWW_AUTHENTICATE;

use crate::http::limits::Refusal;
use crate::http::problem::{Kind, Problem, echo};
use crate::http::refusal;

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It shows nothing.
    Missing,
    /// What it shows is no key and no token.
    Malformed,
    /// Nobody has this key, or nobody we know made this token.
    Unknown,
    /// It was good once.
    Expired,
    /// It will be good later.
    Early,
    /// The token is one of theirs that is not for us: this claim says so.
    Claim(&'static str),
    /// The ticket was never given out, is used up, or is too old.
    Ticket,
    /// The ticket was given to a page of another origin.
    TicketOrigin,
    /// This route takes no ticket.
    NoTicketHere,
    /// Keys in the query are switched off.
    QueryIsOff,
    /// It names a plan that there is not.
    NoSuchPlan(String),
    /// Its plan is none of an operator's.
    NoOperator,
    /// Its address has shown too many that nobody has: whether this one is good is not told now.
    Later(Refusal),
}

const SHOW: &str =
    "`Authorization: Bearer`, `X-API-Key`, or a ticket of POST /tickets as `ticket` in the query of /prices";

impl Denied {
    /// The word in metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Early | Self::Claim(_) => "claim",
            Self::Ticket | Self::TicketOrigin | Self::NoTicketHere => "ticket",
            Self::QueryIsOff => "query",
            Self::NoSuchPlan(_) | Self::NoOperator => "plan",
            Self::Later(_) => "too_often",
        }
    }

    /// All words of [`reason`](Self::reason).
    pub(crate) const REASONS: [&'static str; 9] =
        ["missing", "malformed", "unknown", "expired", "claim", "ticket", "query", "plan", "too_often"];

    /// As the client is told.
    pub(crate) fn problem(&self) -> Problem {
        let unauthorized = |kind, detail: String, challenge| {
            Problem::new(kind, detail).expecting(SHOW).with_header(WWW_AUTHENTICATE, challenge)
        };
        let bare = "Bearer realm=\"tickcast\"";
        let invalid = "Bearer realm=\"tickcast\", error=\"invalid_token\"";
        let bad = |detail: &str| unauthorized(Kind::BadCredential, detail.to_owned(), invalid);
        match self {
            Self::Missing => {
                unauthorized(Kind::NoCredential, "the request shows no key, token or ticket".to_owned(), bare)
            }
            Self::Malformed => bad("it is given more than once, has another scheme than Bearer, or is no key or token"),
            Self::Unknown => bad("nobody has this key, or its token was not signed by whom we know"),
            Self::Expired => {
                unauthorized(Kind::ExpiredCredential, "it was good once; get another".to_owned(), invalid)
            }
            Self::Early => bad("the token is not good yet (`nbf`)"),
            Self::Claim(claim) => {
                bad(&format!("the token's claim `{claim}` is missing, or is not for this server"))
            }
            Self::Ticket => bad("the ticket is used up, older than 30 s, or was never given out: ask for another"),
            Self::TicketOrigin => bad("the ticket was given to a page of another origin"),
            Self::NoTicketHere => bad("a ticket opens /prices only, and nothing else"),
            Self::QueryIsOff => Problem::new(
                Kind::QueryCredentialOff,
                "`api_key` in the query is off (auth.query), since logs of proxies keep it; it is not repeated here",
            )
            .expecting(SHOW),
            Self::NoSuchPlan(plan) => Problem::new(
                Kind::NotEntitled,
                format!("the credential names the plan `{}`, which this server does not have", echo(plan)),
            ),
            Self::Later(refusal) => refusal::problem(refusal),
            Self::NoOperator => {
                Problem::new(Kind::NotEntitled, "this route is for operators: a plan with `operator = true`")
            }
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        denied.problem()
    }
}
