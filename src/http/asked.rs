//! What a client asks of `/prices` and `/prices/snapshot`: a request's parameters, understood.

mod parameters;

use std::collections::HashSet;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use parameters::{CURSORS, HEARTBEAT_MAX, THROTTLE_MAX};
pub(super) use parameters::{FIELDS, PRICES, STRICT, SYMBOLS};

use super::auth::Visitor;
use super::params::{Params, near};
use super::problem::{Kind, Problem, echo};
use super::{State, candles};
use crate::candles::Interval;
use crate::catalogue::{Catalogue, SymbolId};
use crate::config::NAME_MAX;
use crate::fanout::{Hold, MinChange};
use crate::fields::{Field, FieldSet, UnknownField};

/// Shorter wishes are raised to it: a heartbeat is for noticing silence, not for load.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
/// A request does not wait longer for prices that have to be brought.
const BRING_MAX: Duration = Duration::from_secs(1);
/// Unknown symbols that get near misses with them.
const SUGGESTED_MAX: usize = 10;

/// A request's parameters, understood.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) symbols: Vec<SymbolId>,
    /// Each name as it was asked for, and what it means.
    pub(super) names: Vec<(String, SymbolId)>,
    pub(super) rejected: Vec<Rejected>,
    /// `*` was asked for.
    pub(super) all: bool,
    /// Names that no symbol has, and that one could have.
    pub(super) unknown: Vec<Box<str>>,
    /// [`Latest::revision`](crate::latest::Latest::revision) of the catalogue that answered, or of one before it.
    pub(super) revision: u64,
    pub(super) throttle: Duration,
    pub(super) min_change: Option<MinChange>,
    pub(super) fields: FieldSet,
    /// Mode `ticks`.
    pub(super) every_trade: bool,
    /// Bars beside the prices.
    pub(super) candles: Option<Interval>,
    pub(super) heartbeat: Duration,
    pub(super) errors_as_status: bool,
    pub(super) cursor: Option<String>,
}

impl Asked {
    pub(super) fn read(state: &State, visitor: &Visitor, params: &Params) -> Result<Self, Problem> {
        params.check(PRICES)?;
        let throttle = params.duration("throttle", Duration::from_millis(1), THROTTLE_MAX)?;
        let heartbeat = params.duration("heartbeat", Duration::from_secs(1), HEARTBEAT_MAX)?;
        let heartbeat = heartbeat.map(|every| if every.is_zero() { every } else { every.max(HEARTBEAT_MIN) });
        let errors_as_status = match params.one("errors")? {
            None => false,
            Some("status") => true,
            Some(other) => return Err(Problem::bad_value("errors", other, "`status`")),
        };
        let every_trade = match params.one("mode")? {
            None | Some("latest") => false,
            Some("ticks") => true,
            Some(other) => return Err(Problem::bad_value("mode", other, "`latest` or `ticks`")),
        };
        if every_trade {
            check_ticks(params, throttle)?;
            if !state.fanout.latest().has_trades() {
                let expected = "`latest`: no trades come over the bus to this edge ([bus] history is 0)";
                return Err(Problem::bad_value("mode", "ticks", expected));
            }
        }
        let min_change = params.one("min_change")?.map(min_change).transpose()?;
        let fields = fields(params)?;
        let candles = candles::interval(state, params, "candles")?;
        // The header wins; a cursor that is no good is no error, it only brings the full snapshot (P38).
        let cursor = CURSORS.iter().find_map(|name| params.all(name).next()).map(str::to_owned);
        let revision = state.fanout.latest().revision();
        let chosen = Chosen::read(state, visitor, params)?;
        Ok(Self {
            symbols: chosen.symbols,
            names: chosen.names,
            rejected: chosen.rejected,
            all: chosen.all,
            unknown: chosen.unknown,
            revision,
            throttle: if every_trade {
                Duration::ZERO
            } else {
                throttle.unwrap_or(state.stream.throttle_default).max(visitor.terms.throttle_min)
            },
            min_change,
            fields,
            every_trade,
            candles,
            heartbeat: heartbeat.unwrap_or(state.stream.heartbeat),
            errors_as_status,
            cursor,
        })
    }
}

/// Every trade is every trade.
fn check_ticks(params: &Params, throttle: Option<Duration>) -> Result<(), Problem> {
    let conflict =
        |name, value| Err(Problem::bad_value(name, value, "nothing: with `mode=ticks` every trade is sent"));
    if let Some(throttle) =
        params.one("throttle")?.filter(|_| throttle.is_some_and(|throttle| !throttle.is_zero()))
    {
        return conflict("throttle", throttle);
    }
    params.one("min_change")?.map_or(Ok(()), |least| conflict("min_change", least))
}

/// The fields that are asked for.
pub(super) fn fields(params: &Params) -> Result<FieldSet, Problem> {
    let text = params.all("fields").collect::<Vec<_>>().join(",");
    if text.is_empty() {
        return Ok(FieldSet::DEFAULT);
    }
    FieldSet::parse(&text).map_err(|UnknownField(name)| {
        let names: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
        Problem::bad_value("fields", &name, names.join(", ")).suggesting(near(&name, &names))
    })
}

fn min_change(text: &str) -> Result<MinChange, Problem> {
    let number = |digits: &str| tickcast_feeds::number::parse_decimal(digits).ok().flatten();
    let scaled = |digits: &str, per_unit: Decimal| number(digits).and_then(|n| n.checked_mul(per_unit));
    let change = if let Some(percent) = text.strip_suffix('%') {
        scaled(percent, Decimal::new(1, 2)).map(MinChange::Fraction)
    } else if let Some(points) = text.strip_suffix("bp") {
        scaled(points, Decimal::new(1, 4)).map(MinChange::Fraction)
    } else {
        number(text).map(MinChange::Amount)
    };
    let positive = |change: &MinChange| match change {
        MinChange::Amount(value) | MinChange::Fraction(value) => *value > Decimal::ZERO,
    };
    let expected = "an amount above zero such as `0.5` (in the currency), `0.05%` or `10bp`";
    change.filter(positive).ok_or_else(|| Problem::bad_value("min_change", text, expected))
}

/// Where prices are brought in by who wants them: has those brought that a request asks for, and waits for them a moment. They are
/// wanted as long as the answer is kept.
pub(super) async fn bring(state: &State, visitor: &Visitor, params: &Params) -> Option<Hold> {
    let interest = state.fanout.interest()?;
    if params.one("mode") == Ok(Some("ticks")) {
        // A stream of trades waits by itself for those; only what a cursor is worth must be known before. Who comes too early is
        // told that it is not.
        let latest = state.fanout.latest();
        if latest.has_trades() {
            let _ = timeout(BRING_MAX, latest.trades_begun()).await;
        }
        return None;
    }
    let chosen = Chosen::read(state, visitor, params).ok()?;
    let hold = interest.hold(chosen.symbols);
    hold.here(BRING_MAX).await;
    Some(hold)
}

/// The symbols of a request.
pub(super) struct Chosen {
    /// Each once, in the order asked.
    pub(super) symbols: Vec<SymbolId>,
    pub(super) names: Vec<(String, SymbolId)>,
    pub(super) rejected: Vec<Rejected>,
    /// `*` was asked for.
    pub(super) all: bool,
    /// Names that no symbol has, and that one could have.
    pub(super) unknown: Vec<Box<str>>,
}

impl Chosen {
    /// Reads `symbols`, and `strict`. One bad symbol does not hurt the others.
    pub(super) fn read(state: &State, visitor: &Visitor, params: &Params) -> Result<Self, Problem> {
        let catalogue = state.catalogue();
        let mut asked: Vec<&str> =
            params.all("symbols").flat_map(|list| list.split(',')).map(str::trim).collect();
        asked.retain(|name| !name.is_empty());
        if asked.is_empty() {
            let detail = "the parameter `symbols` is required; GET /symbols lists what there is";
            return Err(Problem::new(Kind::NoSymbols, detail)
                .about("symbols", "")
                .expecting("a comma separated list such as `BTC,AAPL`, or `*` for all"));
        }
        let most = visitor.terms.symbols_max;
        // All that there is for this client: the rest it did not ask for by name.
        let allowed = || catalogue.ids().filter(|id| visitor.may_follow(&catalogue, *id));
        let all = if asked.contains(&"*") { allowed().count() } else { 0 };
        // Before any is looked up: a list of any length costs nothing.
        if asked.len().max(all) > most {
            return Err(too_many(asked.len().max(all), most));
        }
        let mut chosen = Self {
            symbols: Vec::new(),
            names: Vec::new(),
            rejected: Vec::new(),
            all: asked.contains(&"*"),
            unknown: Vec::new(),
        };
        let mut seen = (HashSet::new(), HashSet::new());
        if chosen.all {
            asked.retain(|name| *name != "*");
            asked.push("*");
        }
        for name in asked {
            if name == "*" {
                for id in allowed() {
                    chosen.follow(&catalogue.entry(id).symbol, id, &mut seen);
                }
            } else if let Some(id) = catalogue.find(name) {
                if visitor.may_follow(&catalogue, id) {
                    chosen.follow(name, id, &mut seen);
                } else {
                    chosen.withhold(name);
                }
            } else {
                chosen.reject(&catalogue, name);
            }
        }
        chosen.check(params.switch("strict")?)?;
        Ok(chosen)
    }

    fn follow(
        &mut self,
        name: &str,
        id: SymbolId,
        (names, symbols): &mut (HashSet<String>, HashSet<SymbolId>),
    ) {
        if names.insert(name.to_owned()) {
            self.names.push((name.to_owned(), id));
        }
        if symbols.insert(id) {
            self.symbols.push(id);
        }
    }

    fn reject(&mut self, catalogue: &Catalogue, name: &str) {
        if name.len() <= NAME_MAX {
            self.unknown.push(name.into());
        }
        // Near misses cost a comparison with the whole catalogue.
        let near = if self.rejected.len() < SUGGESTED_MAX { catalogue.suggestions(name) } else { Vec::new() };
        let suggestions = near.into_iter().map(str::to_owned).collect();
        self.rejected.push(Rejected { symbol: echo(name), code: RejectedCode::UnknownSymbol, suggestions });
    }

    fn withhold(&mut self, name: &str) {
        self.rejected.push(Rejected {
            symbol: echo(name),
            code: RejectedCode::NotEntitled,
            suggestions: Vec::new(),
        });
    }

    fn check(&self, strict: bool) -> Result<(), Problem> {
        if !self.symbols.is_empty() && (!strict || self.rejected.is_empty()) {
            return Ok(());
        }
        let Some(first) = self.rejected.iter().find(|rejected| rejected.code != RejectedCode::NotEntitled)
        else {
            return Err(not_entitled("symbols", self.rejected.first().map_or("*", |first| &first.symbol)));
        };
        Err(unknown_symbol("symbols", &first.symbol, first.suggestions.clone()))
    }
}

/// A symbol that is not in the catalogue, and what was probably meant.
pub(super) fn unknown_symbol(parameter: &str, name: &str, suggestions: Vec<String>) -> Problem {
    let hint = suggestions.first().map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    Problem::new(Kind::UnknownSymbol, format!("unknown symbol `{}`{hint}", echo(name)))
        .about(parameter, name)
        .expecting("a symbol or alias that GET /symbols lists")
        .suggesting(suggestions)
}

/// Symbols that there are, and none of them for this client.
pub(super) fn not_entitled(parameter: &str, name: &str) -> Problem {
    let detail = format!("`{}` is there, but not in this plan or for this ticket", echo(name));
    Problem::new(Kind::NotEntitled, detail)
        .about(parameter, name)
        .expecting("a symbol that GET /symbols lists for this credential")
}

fn too_many(asked: usize, most: usize) -> Problem {
    let detail = format!("{asked} symbols were asked for, and one stream has at most {most}");
    Problem::new(Kind::TooManySymbols, detail)
        .about("symbols", &asked.to_string())
        .expecting(format!("at most {most} (symbols_max)"))
}

/// A name that is not followed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Rejected {
    /// As it was asked for, cut to a length that fits.
    symbol: String,
    code: RejectedCode,
    /// Symbols that were probably meant.
    suggestions: Vec<String>,
}

/// Why a name is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RejectedCode {
    /// There is no such symbol.
    UnknownSymbol,
    /// It is there, but not for this client.
    NotEntitled,
}

/// What a stream sends: the newest, or every trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Mode)]
pub(super) enum ModeName {
    /// The newest value always arrives; older ones that were not sent yet are replaced.
    Latest,
    /// Every trade, in order.
    Ticks,
}
