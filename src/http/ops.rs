//! For the operator: health and metrics.

use serde_json::json;
use warp::http::header::CONTENT_TYPE;
use warp::http::{HeaderValue, StatusCode};

use super::params::Params;
use super::problem::Problem;
use super::{Answer, State, json_of};

/// Alive: it answers.
pub(super) fn live(_: &State, params: &Params) -> Result<Answer, Problem> {
    params.check(&[])?;
    Ok(json_of(&json!({ "status": "live" })))
}

/// Ready: some feed has delivered a tick and is not silent, or an edge has something to serve; and the server is not about to
/// stop. What is wrong with the bus is told in any case.
pub(super) fn ready(state: &State, params: &Params) -> Result<Answer, Problem> {
    params.check(&[])?;
    let mut reasons = Vec::new();
    if state.closing.is_cancelled() {
        reasons.push("draining".to_owned());
    }
    if !state.board.any_live() {
        reasons.extend(state.board.reasons());
    }
    let ready = reasons.is_empty();
    reasons.extend(state.board.bus_problem().filter(|problem| !reasons.contains(problem)));
    let mut answer =
        json_of(&json!({ "status": if ready { "ready" } else { "not_ready" }, "reasons": reasons }));
    if !ready {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
}

/// Everything that is counted, for Prometheus.
pub(super) fn metrics(state: &State, params: &Params) -> Result<Answer, Problem> {
    params.check(&[])?;
    let mut answer = Answer::new(state.metrics.text().into());
    let media_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(answer)
}
