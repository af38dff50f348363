//! `GET /feeds`: whether every feed is alive, one object per connection.

use serde_json::json;

use super::params::Params;
use super::problem::Problem;
use super::{Answer, State, json_of};

/// Answers with the state of every connection.
pub(super) fn get(state: &State, params: &Params) -> Result<Answer, Problem> {
    params.check(&[])?;
    Ok(json_of(&json!({ "feeds": state.board.report() })))
}
