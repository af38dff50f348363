//! `GET /prices/snapshot`: the same objects as on the stream, once.

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::asked::{self, Chosen, Rejected};
use super::auth::Visitor;
use super::parameter::Parameter;
use super::params::Params;
use super::problem::Problem;
use super::{Answer, State, json_of};
use crate::clock;
use crate::fields::{self, PriceMessage};

pub(super) const PARAMETERS: &[Parameter] = &[asked::SYMBOLS, asked::FIELDS, asked::STRICT];

/// The present state of symbols.
#[derive(Serialize, ToSchema)]
pub(super) struct Snapshot<'a> {
    /// Each symbol once, in the order asked.
    #[schema(value_type = Vec<PriceMessage>)]
    prices: &'a RawValue,
    /// What was asked for and is not there.
    rejected: &'a [Rejected],
}

/// Answers with the present state of the symbols asked for.
pub(super) fn get(state: &State, visitor: &Visitor, params: &Params) -> Result<Answer, Problem> {
    params.check(PARAMETERS)?;
    let chosen = Chosen::read(state, visitor, params)?;
    let fields = asked::fields(params)?;
    let now = clock::wall();
    let mut out = BytesMut::with_capacity(256 * chosen.symbols.len());
    out.put_u8(b'[');
    for (position, &id) in chosen.symbols.iter().enumerate() {
        if position > 0 {
            out.put_u8(b',');
        }
        let catalogue = state.catalogue();
        let entry = catalogue.entry(id);
        state.fanout.latest().read(id, |view| {
            fields::write_json(&mut out, fields, entry, view.ticker, view.changes.newest(fields), now);
        });
    }
    out.put_u8(b']');
    let prices = serde_json::from_slice(&out).expect("our own messages are JSON");
    Ok(json_of(&Snapshot { prices, rejected: &chosen.rejected }))
}
