//! For the operator: health and metrics.

use serde::Serialize;
use utoipa::ToSchema;
use warp::http::header::{CONTENT_TYPE, VARY};
use warp::http::{HeaderValue, StatusCode};

use super::auth::Visitor;
use super::params::Params;
use super::problem::Problem;
use super::{Answer, State, json_of};
use crate::clock;
use crate::metrics::{ByStatus, Exposition, Levels};
use crate::ticker::Status;

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Live {
    status: Liveness,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Liveness {
    Live,
}

/// Whether there are prices.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    status: Readiness,
    /// Why it is not ready, and what is wrong with the bus while there are prices all the same.
    reasons: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Readiness {
    /// Some feed is ticking, or an edge has something to serve, and the server is not about to stop.
    Ready,
    /// Not so.
    NotReady,
}

/// Alive: it answers.
pub(super) fn live(_: &State, params: &Params) -> Result<Answer, Problem> {
    params.check(&[])?;
    Ok(json_of(&Live { status: Liveness::Live }))
}

/// Ready: some feed has delivered a tick and is not silent, or an edge has something to serve; and the server is not about to
/// stop. What is wrong with the bus is told in any case.
pub(super) fn ready(state: &State, params: &Params) -> Result<Answer, Problem> {
    params.check(&[])?;
    let mut reasons = reasons(state);
    let ready = reasons.is_empty();
    reasons.extend(state.board.bus_problem().filter(|problem| !reasons.contains(problem)));
    let status = if ready { Readiness::Ready } else { Readiness::NotReady };
    let mut answer = json_of(&Ready { status, reasons });
    if !ready {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
}

/// Why this node is not ready; none where it is.
fn reasons(state: &State) -> Vec<String> {
    let mut reasons = Vec::new();
    if state.closing.is_cancelled() {
        reasons.push("draining".to_owned());
    }
    if !state.board.any_live() {
        reasons.extend(state.board.reasons());
    }
    reasons
}

/// Everything that is counted, for Prometheus: in its text format.
pub(super) fn metrics(state: &State, _: &Visitor, params: &Params) -> Result<Answer, Problem> {
    metrics_as(state, params, Exposition::Text)
}

/// The same for who asks for OpenMetrics.
pub(super) fn open_metrics(state: &State, _: &Visitor, params: &Params) -> Result<Answer, Problem> {
    metrics_as(state, params, Exposition::OpenMetrics)
}

fn metrics_as(state: &State, params: &Params, exposition: Exposition) -> Result<Answer, Problem> {
    params.check(&[])?;
    let mut answer = Answer::new(state.metrics.exposed(&levels(state), exposition).into());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(exposition.media_type()));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    Ok(answer)
}

/// Looks up what nobody counts.
fn levels(state: &State) -> Levels {
    let levels = Levels { memory_max: state.limits.config().memory_max, ..Levels::default() };
    levels.ready.set(reasons(state).is_empty().into());
    levels.streams_max.set(state.limits.config().streams_total.into());
    levels.connections_max.set(state.http.connections_max(state.limits.config()).into());
    state.board.measure(&levels, clock::now());
    let symbols = |status: Status| levels.symbols.get_or_create(&ByStatus { status: status.name() });
    Status::ALL.into_iter().for_each(|status| drop(symbols(status)));
    let latest = state.fanout.latest();
    for status in latest.catalogue().ids().filter_map(|id| latest.read(id, |view| view.ticker.status)) {
        symbols(status).inc();
    }
    levels
}
