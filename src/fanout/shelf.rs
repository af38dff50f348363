//! What one fan-out thread keeps at hand for its streams: the newest messages, without a lock, and the flushes that
//! streams at the same place share.

use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use tickcast_feeds::UnixNanos;

use super::Fanout;
use super::choice::Choice;
use super::encodings::{self, CHOICES_MAX, Look};
use super::known::{Known, Through};
use crate::candles::{Interval, Stamp};
use crate::catalogue::SymbolId;
use crate::fields::FieldSet;
use crate::http::framing::Framing;

/// Messages of a choice of fields that nobody asked for in so many rounds make room for others.
const ROUNDS_KEPT: u64 = 1_000;

/// Streams of one wish from which on sharing pays: fewer are seldom at the same place in the same round, and keeping a step
/// for nobody costs more than is saved.
const CROWD: usize = 32;

/// One thread's shelf. What is taken from it is as new as the store.
#[derive(Debug)]
pub struct Shelf {
    framing: Framing,
    keeps: bool,
    crowd: usize,
    choices: SmallVec<[Looks; 1]>,
    steps: FxHashMap<(usize, Through), Step>,
    /// The newest message of each open bar.
    bars: FxHashMap<(SymbolId, Interval), (Stamp, Bytes)>,
    round: u64,
    /// The store's, of what is kept.
    edition: u64,
}

/// The newest of each symbol, for one choice of fields.
#[derive(Debug)]
struct Looks {
    fields: FieldSet,
    /// By symbol; `None` where nobody looked yet.
    looks: Vec<Option<Look>>,
    /// The round in which somebody looked last.
    used: u64,
}

/// From one place to the next.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) known: Arc<Known>,
    pub(super) parcel: Option<Parcel>,
}

/// The messages of one flush as they go out.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) bytes: Bytes,
    /// Of the messages alone.
    pub(super) payload: usize,
    pub(super) messages: usize,
    pub(super) conflated: u64,
    /// The version of the last of them.
    pub(super) last: u64,
}

impl Shelf {
    /// A shelf for many streams that are served one after the other.
    pub fn new(framing: Framing) -> Self {
        Self { keeps: true, crowd: CROWD, ..Self::alone(framing) }
    }

    /// The same, sharing from so many streams of a wish on.
    #[cfg(test)]
    pub(super) fn sharing_from(crowd: usize, framing: Framing) -> Self {
        Self { crowd, ..Self::new(framing) }
    }

    /// One that stays empty, for a stream that is served by itself.
    pub fn alone(framing: Framing) -> Self {
        Self {
            framing,
            keeps: false,
            crowd: usize::MAX,
            choices: SmallVec::new(),
            steps: FxHashMap::default(),
            bars: FxHashMap::default(),
            round: 0,
            edition: 0,
        }
    }

    /// Begins a round of serving streams. To be called after the marks of what changed were taken: steps of the round
    /// before may lack that.
    pub fn begin(&mut self) {
        self.steps.clear();
        self.round += 1;
    }

    /// Lets go of what was kept, where the store has something else without a version to tell it by.
    pub(super) fn renew(&mut self, edition: u64) {
        if std::mem::replace(&mut self.edition, edition) != edition {
            self.choices.clear();
            self.steps.clear();
        }
    }

    /// How flushes are framed.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) fn look(
        &mut self,
        fanout: &Fanout,
        id: SymbolId,
        fields: FieldSet,
    ) -> Option<(Look, Option<UnixNanos>)> {
        let version = fanout.latest.version(id);
        let Some(looks) = self.looks(fields) else { return encodings::look(fanout, id, fields) };
        if id.index() >= looks.len() {
            looks.resize(id.index() + 1, None);
        }
        let kept = &mut looks[id.index()];
        if let Some(kept) = kept.as_ref().filter(|kept| kept.version == version) {
            return Some((kept.clone(), None));
        }
        let look = encodings::look(fanout, id, fields)?;
        *kept = Some(look.0.clone());
        Some(look)
    }

    /// The message of an open bar in this state, as `make` makes it when asked first.
    pub(super) fn bar(
        &mut self,
        id: SymbolId,
        interval: Interval,
        stamp: Stamp,
        make: impl FnOnce() -> Bytes,
    ) -> Bytes {
        if !self.keeps {
            return make();
        }
        if let Some((kept, message)) = self.bars.get(&(id, interval))
            && *kept == stamp
        {
            return message.clone();
        }
        let message = make();
        self.bars.insert((id, interval), (stamp, message.clone()));
        message
    }

    fn looks(&mut self, fields: FieldSet) -> Option<&mut Vec<Option<Look>>> {
        if !self.keeps {
            return None;
        }
        let place = self.choices.iter().position(|choice| choice.fields == fields);
        let place = place.or_else(|| self.make_room(fields))?;
        let choice = &mut self.choices[place];
        choice.used = self.round;
        Some(&mut choice.looks)
    }

    fn make_room(&mut self, fields: FieldSet) -> Option<usize> {
        let new = Looks { fields, looks: Vec::new(), used: self.round };
        if self.choices.len() < CHOICES_MAX {
            self.choices.push(new);
            return Some(self.choices.len() - 1);
        }
        let (place, oldest) = self.choices.iter_mut().enumerate().min_by_key(|(_, choice)| choice.used)?;
        if oldest.used + ROUNDS_KEPT > self.round {
            return None;
        }
        *oldest = new;
        Some(place)
    }

    /// Whether streams of this wish are to share steps.
    pub(super) fn shares(&self, choice: &Choice) -> bool {
        choice.streams() >= self.crowd
    }

    /// The step that another stream of the same wish has made from the same place in this round.
    pub(super) fn step(&self, choice: &Choice, known: &Known) -> Option<Step> {
        self.steps.get(&(choice.name(), known.place()?)).cloned()
    }

    /// Keeps a step for other streams of the wish.
    pub(super) fn keep(&mut self, choice: &Choice, from: Through, step: Step) {
        if step.known.place().is_some() {
            self.steps.insert((choice.name(), from), step);
        }
    }
}
