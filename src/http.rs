//! The routes, as a table one can read, and what they share.

mod asked;
pub mod auth;
mod body;
mod candles;
pub mod client;
pub mod cors;
mod dashboard;
mod docs;
mod events;
mod feeds;
pub mod framing;
#[cfg(any(test, fuzzing))]
pub mod hostile;
pub mod limits;
pub mod link;
mod list;
pub mod openapi;
mod ops;
mod parameter;
mod params;
mod prices;
mod problem;
mod refusal;
mod route;
pub mod server;
mod snapshot;
pub mod sse;
mod stream;
mod symbols;
mod tickets;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use bytes::{Buf, Bytes, BytesMut};
use tokio_util::sync::CancellationToken;
use warp::http::{HeaderMap, HeaderValue};
use warp::{Filter, Rejection};

use crate::catalogue::Catalogue;
use crate::config;
use crate::fanout::Fanout;
use crate::ingest::Board;
use crate::metrics::{ByLimit, ByReason, Exposition, Metrics};
use auth::{Auth, Denied, Door, Visitor};
use cors::Cors;
use limits::Limits;
use params::Params;
use prices::Caller;
use problem::{Kind, Problem};
pub use route::Route;
use server::Peer;

/// What every route answers with.
pub type Answer = warp::reply::Response;

/// Bytes of a request's body: some 8,000 symbols.
const BODY_BYTES_MAX: usize = 64 << 10;
/// A body has to be there whole within this.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// What the routes share. Every clone is the same.
#[derive(Clone)]
pub struct State {
    /// Where prices come from.
    pub fanout: Fanout,
    /// The feeds' health.
    pub board: Board,
    /// Who asks, and what he may have.
    pub auth: Arc<Auth>,
    /// How much of it, and who has it now.
    pub limits: Arc<Limits>,
    /// Everything that is counted.
    pub metrics: Arc<Metrics>,
    /// Which pages may read answers.
    pub cors: Arc<Cors>,
    /// How streams behave.
    pub stream: Arc<config::Stream>,
    /// How the server behaves.
    pub http: Arc<config::Http>,
    /// Cancelled when the server is about to stop.
    pub closing: CancellationToken,
}

impl State {
    /// The symbols of now.
    fn catalogue(&self) -> Guard<Arc<Catalogue>> {
        self.fanout.latest().catalogue()
    }

    /// Counts a limit that was met.
    fn limited(&self, limit: &'static str) {
        self.metrics.limited.get_or_create(&ByLimit { limit }).inc();
    }

    /// Counts a request that is not let in.
    fn denied(&self, denied: &Denied) {
        let reason = denied.reason();
        self.metrics.denied.get_or_create(&ByReason { reason }).inc();
        if let Denied::Later(refusal) = denied {
            self.limited(refusal.code.name());
        }
        tracing::debug!(reason, "request not let in");
    }

    /// Finds out who asks, and takes his credential out of the parameters.
    fn admit(&self, door: Door, caller: &Caller, params: &mut Params) -> Result<Visitor, Denied> {
        let address = self.auth.address(caller.peer.0.ip(), &caller.headers);
        let admitted = self.auth.admit(door, address, &caller.headers, params);
        admitted.inspect_err(|denied| self.denied(denied))
    }
}

/// A probe (`HEAD`): it gets the head of the answer, and no stream is opened for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe;

/// Every route of the service.
pub fn routes(state: State) -> impl Filter<Extract = (Answer,), Error = Infallible> + Clone {
    let state = Arc::new(state);
    let state = warp::any().map(move || Arc::clone(&state));
    let get = |route: Route| route.here().and(warp::get());
    let post = |route: Route| route.here().and(warp::post());
    let query = query();

    let prices =
        get(Route::Prices).and(state.clone()).and(caller()).and(query).and(probe()).then(open_by_query);
    let prices_by_body =
        post(Route::PricesByBody).and(state.clone()).and(caller()).and(json_body()).then(open_by_body);
    let tickets = post(Route::Tickets)
        .and(state.clone())
        .and(caller())
        .and(body())
        .map(|state: Arc<State>, caller: Caller, body| tickets::post(&state, &caller, body));
    let other_method_of_tickets =
        Route::Tickets.here().map(|| Problem::method_not_allowed("POST, OPTIONS").answer());
    let guarded = |route| get(route).and(state.clone()).and(caller()).and(query);
    let snapshot = guarded(Route::Snapshot).then(look_once);
    let candles = guarded(Route::Candles).map(admitted(Door::Data, candles::get));
    let symbols = guarded(Route::Symbols).map(admitted(Door::Data, symbols::get));
    let feeds =
        guarded(Route::Feeds).map(admitted(Door::Operator, |state, _, params| feeds::get(state, params)));
    let live = get(Route::Live).and(state.clone()).and(query).map(answered(ops::live));
    let ready = get(Route::Ready).and(state.clone()).and(query).map(answered(ops::ready));
    let metrics = guarded(Route::Metrics).map(|state, caller: Caller, query| {
        let route = match Exposition::wanted(&caller.headers) {
            Exposition::Text => ops::metrics,
            Exposition::OpenMetrics => ops::open_metrics,
        };
        admitted(Door::Operator, route)(state, caller, query)
    });
    let openapi = get(Route::OpenApi).and(state.clone()).and(query).map(answered(openapi::get));
    let file = |route: Route, find: fn(&str) -> Option<Answer>| {
        route
            .file()
            .and(warp::get())
            .and_then(move |name: String| std::future::ready(find(&name).ok_or_else(warp::reject::not_found)))
    };
    let docs = get(Route::Docs).map(docs::page);
    let docs_file = file(Route::DocsFile, docs::file);
    let dashboard = get(Route::Dashboard).map(dashboard::page);
    let dashboard_file = file(Route::DashboardFile, dashboard::file);
    let other_method_of_prices =
        Route::Prices.here().map(|| Problem::method_not_allowed("GET, HEAD, POST, OPTIONS").answer());

    // In boxes, since the compiler's work would double with each route.
    let streams = prices.or(prices_by_body).unify().boxed();
    let once = snapshot.or(candles).unify().or(symbols).unify().or(tickets).unify().boxed();
    let operator = feeds.or(metrics).unify().boxed();
    let health = live.or(ready).unify().boxed();
    let pages = dashboard.or(docs).unify().or(openapi).unify().boxed();
    let files = dashboard_file.or(docs_file).unify().boxed();
    let other_methods = other_method_of_prices.or(other_method_of_tickets).unify().boxed();

    streams
        .or(once)
        .unify()
        .or(operator)
        .unify()
        .or(health)
        .unify()
        .or(pages)
        .unify()
        .or(files)
        .unify()
        .or(other_methods)
        .unify()
        .recover(|rejection: Rejection| std::future::ready(Ok::<_, Infallible>(refused(&rejection))))
        .unify()
}

/// `GET /prices`. A probe gets the head of the answer.
async fn open_by_query(
    state: Arc<State>,
    caller: Caller,
    query: Result<Params, Problem>,
    probe: bool,
) -> Answer {
    let mut params = match query {
        Ok(params) => params,
        Err(problem) => return problem.answer(),
    };
    let visitor = match state.admit(Door::Stream, &caller, &mut params) {
        Ok(visitor) => visitor,
        Err(Denied::Later(refusal)) if !probe && !refusal::reads_status(&caller.headers, &params) => {
            return refusal::in_stream(&refusal);
        }
        Err(denied) => return Problem::from(denied).answer(),
    };
    if probe {
        return prices::probe(&state, &visitor, &params);
    }
    let _brought = asked::bring(&state, &visitor, &params).await;
    prices::open(&state, &caller, &visitor, &params, false)
}

/// `POST /prices`.
async fn open_by_body(state: Arc<State>, caller: Caller, body: Result<Params, Problem>) -> Answer {
    // A credential in a body is none: it stands in a header, where nobody keeps it.
    let visitor = state.admit(Door::Data, &caller, &mut Params::default()).map_err(Problem::from);
    match visitor.and_then(|visitor| Ok((visitor, body?))) {
        Err(problem) => problem.answer(),
        Ok((visitor, params)) => {
            let _brought = asked::bring(&state, &visitor, &params).await;
            prices::open(&state, &caller, &visitor, &params, true)
        }
    }
}

/// `GET /prices/snapshot`.
async fn look_once(state: Arc<State>, caller: Caller, query: Result<Params, Problem>) -> Answer {
    let admitted = query.and_then(|mut params| {
        let visitor = state.admit(Door::Data, &caller, &mut params)?;
        Ok((visitor, params))
    });
    let answer = match admitted {
        Err(problem) => Err(problem),
        Ok((visitor, params)) => {
            let _brought = asked::bring(&state, &visitor, &params).await;
            snapshot::get(&state, &visitor, &params)
        }
    };
    answer.unwrap_or_else(|problem| problem.answer())
}

fn caller() -> impl Filter<Extract = (prices::Caller,), Error = Rejection> + Clone {
    warp::header::headers_cloned()
        .and(warp::ext::get::<Peer>())
        .map(|headers: HeaderMap, peer| prices::Caller { headers, peer })
}

fn probe() -> impl Filter<Extract = (bool,), Error = Infallible> + Copy {
    warp::ext::optional::<Probe>().map(|probe: Option<Probe>| probe.is_some())
}

/// The query's parameters.
fn query() -> impl Filter<Extract = (Result<Params, Problem>,), Error = Infallible> + Copy {
    let raw = warp::query::raw().or(warp::any().map(String::new)).unify();
    raw.map(|query: String| {
        if query.len() > server::URL_BYTES_MAX {
            return Err(url_too_long(query.len()));
        }
        Params::from_query(&query)
    })
}

fn url_too_long(bytes: usize) -> Problem {
    let detail = format!("the query has {bytes} bytes; a list this long goes into the body of POST /prices");
    let most = server::URL_BYTES_MAX;
    Problem::new(Kind::UrlTooLong, detail).expecting(format!("at most {most} bytes"))
}

/// The body's parameters.
fn json_body() -> impl Filter<Extract = (Result<Params, Problem>,), Error = Rejection> + Copy {
    body().map(|body: Result<Bytes, Problem>| body.and_then(|bytes| Params::from_json(&bytes)))
}

/// The body, if it is neither too long nor too slow.
fn body() -> impl Filter<Extract = (Result<Bytes, Problem>,), Error = Rejection> + Copy {
    warp::body::stream().then(|body| async {
        tokio::time::timeout(BODY_TIME_MAX, collect(body)).await.unwrap_or_else(|_| Err(body_too_slow()))
    })
}

async fn collect(body: impl warp::Stream<Item = Result<impl Buf, warp::Error>>) -> Result<Bytes, Problem> {
    let mut body = std::pin::pin!(body);
    let mut whole = BytesMut::new();
    while let Some(part) = std::future::poll_fn(|cx| body.as_mut().poll_next(cx)).await {
        // A body that breaks off is no body; its client is gone.
        let mut part = part.map_err(|_| body_too_slow())?;
        if whole.len() + part.remaining() > BODY_BYTES_MAX {
            return Err(body_too_large());
        }
        whole.extend_from_slice(&part.copy_to_bytes(part.remaining()));
    }
    Ok(whole.freeze())
}

fn body_too_large() -> Problem {
    let detail = format!("the body is longer than {BODY_BYTES_MAX} bytes");
    Problem::new(Kind::BodyTooLarge, detail).expecting(format!("at most {BODY_BYTES_MAX} bytes"))
}

fn body_too_slow() -> Problem {
    let detail = format!("the body did not come whole within {} s", BODY_TIME_MAX.as_secs());
    Problem::new(Kind::BodyTooSlow, detail)
}

/// Makes a route of a function that answers or says what is wrong.
fn answered(
    route: fn(&State, &Params) -> Result<Answer, Problem>,
) -> impl Fn(Arc<State>, Result<Params, Problem>) -> Answer + Clone {
    move |state, query| {
        query.and_then(|params| route(&state, &params)).unwrap_or_else(|problem| problem.answer())
    }
}

/// Makes a route of a function that answers who is let in by this door.
fn admitted(
    door: Door,
    route: fn(&State, &Visitor, &Params) -> Result<Answer, Problem>,
) -> impl Fn(Arc<State>, Caller, Result<Params, Problem>) -> Answer + Clone {
    move |state, caller, query| {
        let answer = query.and_then(|mut params| {
            let visitor = state.admit(door, &caller, &mut params)?;
            route(&state, &visitor, &params)
        });
        answer.unwrap_or_else(|problem| problem.answer())
    }
}

/// What no route took.
fn refused(rejection: &Rejection) -> Answer {
    if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        return Problem::method_not_allowed("GET, HEAD, OPTIONS").answer();
    }
    let routes = Route::paths();
    Problem::new(Kind::NoSuchRoute, format!("the routes are {routes}")).expecting(routes).answer()
}

/// An answer of JSON that is written already.
fn json(bytes: Bytes) -> Answer {
    let mut answer = Answer::new(bytes.into());
    let headers = answer.headers_mut();
    headers.insert(warp::http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(warp::http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// An answer of JSON.
fn json_of(value: &impl serde::Serialize) -> Answer {
    json(serde_json::to_vec(value).expect("our own answers have text keys and no failing parts").into())
}
