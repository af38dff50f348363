//! Each change of a symbol as the bytes of its message, made once for all streams that want the same fields.

use std::hash::{DefaultHasher, Hasher};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tickcast_feeds::{Price, UnixNanos};

use super::Fanout;
use crate::catalogue::{Entry, SymbolId};
use crate::clock;
use crate::fields::{self, FieldSet};
use crate::growing::Growing;
use crate::http::sse::{self, Cursor, Epoch};
use crate::latest::View;
use crate::ticker::Status;

/// Choices of fields kept per symbol. Clients choose them, so there is a bound: beyond it a message is encoded
/// for each stream that wants it.
pub(super) const CHOICES_MAX: usize = 16;

/// The newest message of each symbol, per choice of fields.
#[derive(Debug)]
pub(super) struct Encodings(Growing<Mutex<Choices>>);

/// One symbol's newest message, per choice of fields. Most have one.
type Choices = SmallVec<[(FieldSet, Arc<Message>); 1]>;

/// One message, shared by all who send it.
#[derive(Debug)]
pub(super) struct Message {
    /// The version at which any of its fields changed last.
    pub(super) version: u64,
    /// [`View::edition`] of what it says.
    edition: u32,
    /// Of what it says, without the numbers that only count messages: equal ones say the same.
    pub(super) digest: NonZeroU64,
    /// What `min_change` is judged by.
    pub(super) price: Option<Price>,
    pub(super) status: Status,
    block: Bytes,
    /// Where the `id` line begins.
    id_at: usize,
}

impl Message {
    /// The whole block, with its id.
    pub(super) fn block(&self) -> &Bytes {
        &self.block
    }

    /// The block up to its id line.
    pub(super) fn data(&self) -> &[u8] {
        &self.block[..self.id_at]
    }
}

/// One symbol, looked at.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// The version of its newest change, of whatever field.
    pub(super) version: u64,
    /// How many changes it has had.
    pub(super) count: u64,
    /// Its newest message.
    pub(super) message: Arc<Message>,
}

/// Looks at a symbol; `None` where there is none of that id. Also says how long after the frame its message was made,
/// where it was made now.
pub(super) fn look(fanout: &Fanout, id: SymbolId, fields: FieldSet) -> Option<(Look, Option<UnixNanos>)> {
    let catalogue = fanout.latest.catalogue();
    let entry = catalogue.entry(id);
    fanout.latest.read(id, |view| {
        let (message, made) = fanout.encodings.get(id, entry, fields, view, fanout.latest.epoch());
        let delay =
            made.zip(view.ticker.ts_recv).map(|(at, from)| UnixNanos(at.0.saturating_sub(from.0).max(0)));
        (Look { version: view.version, count: view.count, message }, delay)
    })
}

impl Encodings {
    pub(super) fn new() -> Self {
        Self(Growing::with(0))
    }

    /// The message of what `view` shows, from the shelf or made now, and when, if it was made now.
    pub(super) fn get(
        &self,
        id: SymbolId,
        entry: &Entry,
        fields: FieldSet,
        view: View<'_>,
        epoch: Epoch,
    ) -> (Arc<Message>, Option<UnixNanos>) {
        let version = view.changes.newest(fields);
        let mut kept = self.0[id.index()].lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(choice, _)| *choice == fields);
        if let Some(place) = place
            && (kept[place].1.version, kept[place].1.edition) == (version, view.edition)
        {
            return (Arc::clone(&kept[place].1), None);
        }
        let now = clock::wall();
        let message = Arc::new(encode(entry, fields, view, Cursor { epoch, version }, now));
        // A choice that missed the symbol's last changes has no stream any more, or a very slow one.
        let oldest =
            || kept.iter().enumerate().min_by_key(|(_, (_, kept))| kept.version).map(|(place, _)| place);
        match place {
            Some(place) => kept[place].1 = Arc::clone(&message),
            None if kept.len() < CHOICES_MAX => kept.push((fields, Arc::clone(&message))),
            None => {
                if let Some(place) = oldest().filter(|&place| kept[place].1.version < version) {
                    kept[place] = (fields, Arc::clone(&message));
                }
            }
        }
        (message, Some(now))
    }
}

fn encode(entry: &Entry, fields: FieldSet, view: View<'_>, id: Cursor, now: UnixNanos) -> Message {
    let mut out = BytesMut::with_capacity(320);
    sse::price_data(&mut out, |out| fields::write_json(out, fields, entry, view.ticker, id.version, now));
    let id_at = out.len();
    sse::price_end(&mut out, id);
    let mut hasher = DefaultHasher::new();
    if fields == fields.without_counters() {
        hasher.write(&out[..id_at]);
    } else {
        let mut said = BytesMut::with_capacity(out.len());
        fields::write_json(&mut said, fields.without_counters(), entry, view.ticker, 0, UnixNanos(0));
        hasher.write(&said);
    }
    Message {
        version: id.version,
        edition: view.edition,
        // One in 2^64 is as good as any other.
        digest: NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN),
        price: view.ticker.price,
        status: view.ticker.status,
        block: out.freeze(),
        id_at,
    }
}
