//! `GET /candles`: one symbol's bars of one interval, the oldest first.

use serde::Serialize;
use tickcast_feeds::UnixNanos;
use utoipa::ToSchema;

use super::asked;
use super::auth::Visitor;
use super::parameter::{Form, Parameter};
use super::params::Params;
use super::problem::{Kind, Problem};
use super::{Answer, State, json_of};
use crate::candles::{Alignment, Candle, Interval};
use crate::catalogue::SymbolId;

/// Bars of an answer for which no number was given.
const LIMIT_DEFAULT: usize = 500;
/// As many as may be kept.
const LIMIT_MAX: usize = 10_000;

/// What it takes.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "symbol", about: "Whose bars, by any of its names", form: Form::Name },
    Parameter {
        name: "interval",
        about: "How long a bar lasts. Which ones there are is the server's choice",
        form: Form::Word { words: Interval::NAMES, default: Some(Interval::Minute.name()) },
    },
    Parameter {
        name: "limit",
        about: "At most so many bars, the newest of those there are",
        form: Form::Count { least: 1, most: LIMIT_MAX, default: LIMIT_DEFAULT },
    },
    Parameter {
        name: "before",
        about: "Only bars that begin before this, in ms since 1970: the `time` of the first bar of the last answer",
        form: Form::Text { pattern: Some("^[0-9]+$"), examples: &["1764039600000"] },
    },
];

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Candles<'a> {
    /// The catalogue's name.
    symbol: &'a str,
    /// How long a bar lasts.
    interval: Interval,
    /// What bars begin at: `utc` or `session`.
    alignment: Alignment,
    currency: &'a str,
    decimals: u32,
    /// How many bars are kept of this interval.
    kept: usize,
    candles: Vec<Candle>,
}

/// Answers with the newest bars there are.
pub(super) fn get(state: &State, visitor: &Visitor, params: &Params) -> Result<Answer, Problem> {
    params.check(PARAMETERS)?;
    let id = symbol(state, visitor, params)?;
    let interval = interval(state, params, "interval")?.unwrap_or(Interval::Minute);
    let limit = params.count("limit", LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    let before = params.one("before")?.map(before).transpose()?;
    let latest = state.fanout.latest();
    let catalogue = state.catalogue();
    let entry = catalogue.entry(id);
    let found = latest.candles(id, interval, before, limit);
    let (alignment, bars) =
        found.ok_or_else(|| asked::unknown_symbol("symbol", &entry.symbol, Vec::new()))?;
    Ok(json_of(&Candles {
        symbol: &entry.symbol,
        interval,
        alignment,
        currency: &entry.currency,
        decimals: entry.decimals,
        kept: latest.candles_kept(interval),
        candles: bars.iter().map(|(bar, is_final)| Candle::new(bar, *is_final)).collect(),
    }))
}

/// The symbol that is asked for.
fn symbol(state: &State, visitor: &Visitor, params: &Params) -> Result<SymbolId, Problem> {
    let catalogue = state.catalogue();
    let Some(name) = params.one("symbol")?.map(str::trim).filter(|name| !name.is_empty()) else {
        let detail = "the parameter `symbol` is required; GET /symbols lists what there is";
        return Err(Problem::new(Kind::NoSymbols, detail)
            .about("symbol", "")
            .expecting("one symbol such as `BTC`"));
    };
    let Some(id) = catalogue.find(name) else {
        let near = catalogue.suggestions(name).into_iter().map(str::to_owned).collect();
        return Err(asked::unknown_symbol("symbol", name, near));
    };
    if visitor.may_follow(&catalogue, id) { Ok(id) } else { Err(asked::not_entitled("symbol", name)) }
}

/// An interval of which bars are kept; `None` where none is asked for.
pub(super) fn interval(
    state: &State,
    params: &Params,
    name: &'static str,
) -> Result<Option<Interval>, Problem> {
    let latest = state.fanout.latest();
    let kept = || Interval::ALL.into_iter().filter(|&interval| latest.candles_kept(interval) > 0);
    let asked = match params.one(name)? {
        // The default has to be there too.
        None if name == "interval" => Interval::Minute.name(),
        None => return Ok(None),
        Some(text) => text,
    };
    let found = kept().find(|interval| interval.name() == asked);
    found.map(Some).ok_or_else(|| {
        let names: Vec<&str> = kept().map(Interval::name).collect();
        if names.is_empty() {
            return Problem::bad_value(name, asked, "nothing: this server keeps no candles");
        }
        let suggestions = super::params::near(asked, &names);
        Problem::bad_value(name, asked, format!("one of {}", names.join(", "))).suggesting(suggestions)
    })
}

fn before(text: &str) -> Result<UnixNanos, Problem> {
    let ms = text.parse().ok().filter(|&ms: &i64| ms >= 0);
    ms.and_then(UnixNanos::from_millis).ok_or_else(|| {
        Problem::bad_value("before", text, "milliseconds since 1970, such as the `time` of a candle")
    })
}
