//! `GET /symbols`: the catalogue, searched and ranked, as far as it is for who asks.

use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Visitor;
use super::parameter::{Form, Parameter};
use super::params::Params;
use super::problem::Problem;
use super::{Answer, State, json_of};
use crate::config::Class;
use crate::fields::class_name;
use crate::ticker::Status;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "query",
        about: "What a symbol, an alias or a name has to contain, in any case",
        form: Form::Text { pattern: None, examples: &["bt"] },
    },
    Parameter {
        name: "class",
        about: "What kind of instrument it has to be",
        form: Form::Word { words: &["crypto", "stock"], default: None },
    },
    Parameter {
        name: "limit",
        about: "How many of them, the best",
        form: Form::Count { least: 1, most: LIMIT_MAX, default: LIMIT_DEFAULT },
    },
];

/// What was found in the catalogue.
#[derive(Serialize, ToSchema)]
#[schema(as = Symbols)]
pub(super) struct Found<'a> {
    /// The best match first: exact, then what begins so, then what contains it.
    symbols: Vec<Symbol<'a>>,
    /// How many there are, beyond `limit` too.
    total: usize,
}

/// A symbol that can be followed.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogueSymbol)]
struct Symbol<'a> {
    /// As messages name it.
    symbol: &'a str,
    /// For people.
    name: &'a str,
    #[schema(value_type = Class)]
    class: &'static str,
    /// What its price is in.
    currency: &'a str,
    /// How many decimals to show; prices may have more.
    decimals: u32,
    /// What else it can be asked for by.
    aliases: &'a [String],
    #[schema(value_type = Status)]
    status: &'static str,
}

/// Answers with the symbols that match, best first.
pub(super) fn get(state: &State, visitor: &Visitor, params: &Params) -> Result<Answer, Problem> {
    params.check(PARAMETERS)?;
    let query = params.one("query")?.unwrap_or_default();
    let class = match params.one("class")? {
        None => None,
        Some("crypto") => Some(Class::Crypto),
        Some("stock") => Some(Class::Stock),
        Some(other) => return Err(Problem::bad_value("class", other, "`crypto` or `stock`")),
    };
    let limit = params.count("limit", LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
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
            status: state
                .fanout
                .latest()
                .read(id, |view| view.ticker.status.name())
                .unwrap_or(Status::Stale.name()),
        }
    });
    Ok(json_of(&Found { symbols: symbols.collect(), total }))
}
