//! `GET /symbols`: the catalogue, searched and ranked, as far as it is for who asks.

use serde::Serialize;

use super::auth::Visitor;
use super::params::Params;
use super::problem::Problem;
use super::{Answer, State, json_of};
use crate::config::Class;
use crate::fields::class_name;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

#[derive(Serialize)]
struct Found<'a> {
    symbols: Vec<Symbol<'a>>,
    total: usize,
}

#[derive(Serialize)]
struct Symbol<'a> {
    symbol: &'a str,
    name: &'a str,
    class: &'static str,
    currency: &'a str,
    decimals: u32,
    aliases: &'a [String],
    status: &'static str,
}

/// Answers with the symbols that match, best first.
pub(super) fn get(state: &State, visitor: &Visitor, params: &Params) -> Result<Answer, Problem> {
    params.check(&["query", "class", "limit"])?;
    let query = params.one("query")?.unwrap_or_default();
    let class = match params.one("class")? {
        None => None,
        Some("crypto") => Some(Class::Crypto),
        Some("stock") => Some(Class::Stock),
        Some(other) => return Err(Problem::bad_value("class", other, "`crypto` or `stock`")),
    };
    let limit = match params.one("limit")? {
        None => LIMIT_DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
            .ok_or_else(|| Problem::bad_value("limit", text, format!("a number from 1 to {LIMIT_MAX}")))?,
    };
    let catalogue = state.catalogue();
    let (ids, total) = catalogue.search(query, class, limit, |id| visitor.may_follow(&catalogue, id));
    let symbols = ids.into_iter().map(|id| {
        let entry = catalogue.entry(id);
        Symbol {
            symbol: &entry.symbol,
            name: &entry.name,
            class: class_name(entry.class),
            currency: &entry.currency,
            decimals: entry.decimals,
            aliases: &entry.aliases,
            status: state.fanout.latest().read(id, |view| view.ticker.status.name()).unwrap_or("stale"),
        }
    });
    Ok(json_of(&Found { symbols: symbols.collect(), total }))
}
