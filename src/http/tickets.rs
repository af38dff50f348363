//! `POST /tickets`: something to show instead of a key, for an EventSource, which can send no header (P64).

use std::collections::HashSet;

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::asked::{self, Chosen};
use super::auth::Door;
use super::parameter::Parameter;
use super::params::Params;
use super::prices::Caller;
use super::problem::{Kind, Problem};
use super::{Answer, State, json_of, refusal};
use crate::clock::millis;

pub(super) const PARAMETERS: &[Parameter] = &[asked::SYMBOLS];

/// What opens one stream.
#[derive(Serialize, ToSchema)]
pub(super) struct Ticket {
    /// For the parameter `ticket` of `/prices`.
    ticket: String,
    /// How long it is good.
    expires_in_ms: u64,
}

/// Gives a ticket to who shows a credential. With `{"symbols":[...]}` in the body it is for those only.
pub(super) fn post(state: &State, caller: &Caller, body: Result<Bytes, Problem>) -> Answer {
    give(state, caller, body).unwrap_or_else(|problem| problem.answer())
}

fn give(state: &State, caller: &Caller, body: Result<Bytes, Problem>) -> Result<Answer, Problem> {
    if !state.auth.is_on() {
        let detail = "this server asks for no credential (auth.mode = \"none\"): open /prices without";
        return Err(Problem::new(Kind::NoTickets, detail));
    }
    let visitor = state.admit(Door::Ticket, caller, &mut Params::default())?;
    let body = body?;
    let params = if body.is_empty() { Params::default() } else { Params::from_json(&body)? };
    params.check(PARAMETERS)?;
    let is_for_some = params.all("symbols").next().is_some();
    let only: Option<HashSet<_>> = if is_for_some {
        Some(Chosen::read(state, &visitor, &params)?.symbols.into_iter().collect())
    } else {
        None
    };
    match state.auth.ticket(&visitor, only, &caller.headers) {
        Ok(given) => Ok(json_of(&Ticket { ticket: given.ticket, expires_in_ms: millis(given.expires_in) })),
        Err(refused) => {
            state.limited(refused.code.name());
            Ok(refusal::by_status(&refused))
        }
    }
}
