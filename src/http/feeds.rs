//! `GET /feeds`: whether every feed is alive, one object per connection.

use serde::Serialize;
use utoipa::ToSchema;

use super::params::Params;
use super::problem::Problem;
use super::{Answer, State, json_of};
use crate::ingest::Report;

/// How every feed is.
#[derive(Serialize, ToSchema)]
pub(super) struct Feeds {
    /// One for each connection.
    feeds: Vec<Report>,
}

/// Answers with the state of every connection.
pub(super) fn get(state: &State, params: &Params) -> Result<Answer, Problem> {
    params.check(&[])?;
    // An edge has none of its own.
    if let Some(feeds) = state.board.told() {
        return Ok(json_of(&serde_json::json!({ "feeds": feeds })));
    }
    Ok(json_of(&Feeds { feeds: state.board.report() }))
}
