//! `GET /prices/snapshot`: the same objects as on the stream, once.

use bytes::{BufMut, BytesMut};

use super::asked::{self, Chosen};
use super::auth::Visitor;
use super::params::Params;
use super::problem::Problem;
use super::{Answer, State, json};
use crate::clock;
use crate::fields;

/// Answers with the present state of the symbols asked for.
pub(super) fn get(state: &State, visitor: &Visitor, params: &Params) -> Result<Answer, Problem> {
    params.check(&["symbols", "fields", "strict"])?;
    let chosen = Chosen::read(state, visitor, params)?;
    let fields = asked::fields(params)?;
    let now = clock::wall();
    let mut out = BytesMut::with_capacity(256 * chosen.symbols.len());
    out.put_slice(b"{\"prices\":[");
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
    out.put_slice(b"],\"rejected\":");
    serde_json::to_writer((&mut out).writer(), &chosen.rejected)
        .expect("our own messages have no failing parts");
    out.put_u8(b'}');
    Ok(json(out.freeze()))
}
