//! For the operator: health and metrics.

use serde::Serialize;
use utoipa::ToSchema;
use warp::http::header::CONTENT_TYPE;
use warp::http::{HeaderValue, StatusCode};

use super::params::Params;
use super::problem::Problem;
use super::{Answer, State, json_of};

/// The media type of what is counted.
pub(super) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
    /// Why it is not ready; empty where it is.
    reasons: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Readiness {
    /// Some feed is ticking, and the server is not about to stop.
    Ready,
    /// Not so.
    NotReady,
}

/// Alive: it answers.
pub(super) fn live(_: &State, params: &Params) -> Result<Answer, Problem> {
    params.check(&[])?;
    Ok(json_of(&Live { status: Liveness::Live }))
}

/// Ready: some feed has delivered a tick and is not silent, and the server is not about to stop.
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
    let status = if ready { Readiness::Ready } else { Readiness::NotReady };
    let mut answer = json_of(&Ready { status, reasons });
    if !ready {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
}

/// Everything that is counted, for Prometheus.
pub(super) fn metrics(state: &State, params: &Params) -> Result<Answer, Problem> {
    params.check(&[])?;
    let mut answer = Answer::new(state.metrics.text().into());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    Ok(answer)
}
