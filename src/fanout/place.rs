//! One stream's place in the fan-out: the newest not yet sent, no sooner than the throttle allows. It waits for
//! nothing itself; it says what to wait for.

use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut;
use tokio::time::Instant;

use super::budget::{Budget, Counted, Owed};
use super::candles::Bars;
use super::choice::Choice;
use super::encodings::Message;
use super::known::{Found, Known, Messages};
use super::min_change::Withheld;
use super::shelf::{Parcel, Shelf, Step};
use super::ticks::Ticks;
use super::{Fanout, Flush, Mode, Wanted};
use crate::catalogue::SymbolId;
use crate::http::sse::{Cursor, Epoch};

/// Of the kernel's and the runtime's timers.
const GRAIN: Duration = Duration::from_millis(1);

/// A stream's place. It holds no queue: memory is bounded by its symbols.
#[derive(Debug)]
pub struct Place {
    choice: Choice,
    sent: Sent,
    bars: Option<Box<Bars>>,
    throttle: Duration,
    /// The window of the last flush: none before this.
    window_end: Option<Instant>,
    /// The version of the last id sent, or passed.
    position: u64,
    /// Whose version that is.
    epoch: Epoch,
    /// The store's edition that this has taken note of.
    edition: u64,
    budget: Option<Arc<Budget>>,
    /// Sent and not yet paid for.
    owed: Owed,
    /// The window is the budget's.
    held: Option<Counted>,
    /// A flush had to wait for the budget: by [`Counted`].
    slowed: [bool; 2],
}

/// What the client was sent.
#[derive(Debug)]
enum Sent {
    /// The newest of each symbol.
    Latest { known: Arc<Known>, withheld: Option<Box<Withheld>> },
    /// Every trade.
    Ticks(Box<Ticks>),
}

/// What a stream's turn comes to.
#[derive(Debug)]
pub enum Turn {
    /// This is to be sent.
    Flush(Flush),
    /// There is nothing to send before this.
    Wait(Wait),
    /// Something is just being written: the next turn may be taken at once.
    Again,
}

/// What a stream waits for: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// This moment.
    pub until: Option<Instant>,
    /// The next change of any of its symbols. Whoever waits for it must ask [`Place::is_behind`] once more after
    /// having begun to wait.
    pub change: bool,
}

impl Place {
    pub(super) fn new(fanout: &Fanout, wanted: Wanted, now: Instant) -> Self {
        // In this order: what the store does meanwhile is seen at the first turn.
        let edition = fanout.latest.edition();
        let epoch = match wanted.mode {
            Mode::Latest => fanout.latest.epoch(),
            Mode::Ticks { .. } => fanout.latest.trades_epoch(),
        };
        let since = wanted.since(epoch);
        let Wanted { symbols, fields, mode, throttle, min_change, max_silence, budget, candles, .. } = wanted;
        let (sent, position) = match mode {
            Mode::Latest => {
                let withheld = min_change.map(|least| Withheld::new(least, max_silence, symbols.len(), now));
                let known = Arc::new(Known::new(symbols.len(), since));
                (Sent::Latest { known, withheld: withheld.map(Box::new) }, since.unwrap_or(0))
            }
            Mode::Ticks { from, history } => {
                let ticks = Ticks::new(fanout, &symbols, from, history);
                let position = ticks.through();
                (Sent::Ticks(Box::new(ticks)), position)
            }
        };
        Self {
            choice: fanout.choices.choose(&symbols, fields, matches!(mode, Mode::Ticks { .. })),
            sent,
            bars: candles.map(|interval| Box::new(Bars::new(fanout, interval, &symbols))),
            throttle,
            window_end: None,
            position,
            epoch,
            edition,
            budget,
            owed: Owed::default(),
            held: None,
            slowed: [false; 2],
        }
    }

    /// The symbols it follows.
    pub fn symbols(&self) -> &[SymbolId] {
        &self.choice.symbols
    }

    /// Follows other symbols from now on, each given once. Of those that it followed before, the client has what it has. Who
    /// waits for changes of the old ones must let go of them before this.
    pub fn follow(&mut self, fanout: &Fanout, symbols: &[SymbolId], now: Instant) {
        let before = &self.choice.symbols;
        match &mut self.sent {
            Sent::Latest { known, withheld } => {
                *known = Arc::new(known.of(symbols, before));
                if let Some(withheld) = withheld {
                    **withheld = withheld.of(symbols, before, now);
                }
            }
            Sent::Ticks(ticks) => ticks.follow(symbols),
        }
        if let Some(bars) = &mut self.bars {
            bars.follow(symbols);
        }
        self.choice = fanout.choices.choose(symbols, self.choice.fields, self.choice.every_trade);
    }

    /// The version that it starts from, or has got to.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The cursor of a version of this place's.
    pub fn at(&self, version: u64) -> Cursor {
        Cursor { epoch: self.epoch, version }
    }

    /// The newest version that this stream has passed: every change up to it was sent, replaced or withheld.
    pub fn pass(&mut self, fanout: &Fanout) -> u64 {
        let newest = match &self.sent {
            Sent::Latest { .. } => fanout.latest.committed(),
            Sent::Ticks(ticks) => ticks.newest(),
        };
        if !self.lacks_prices(fanout) && newest > self.position {
            self.position = newest;
        }
        self.position
    }

    /// Whether any symbol has changed since the last flush. Does not count what is withheld.
    pub fn is_behind(&self, fanout: &Fanout) -> bool {
        self.lacks_prices(fanout) || self.bars.as_ref().is_some_and(|bars| bars.is_behind())
    }

    fn lacks_prices(&self, fanout: &Fanout) -> bool {
        if self.edition != fanout.latest.edition() && self.misses(fanout) {
            return true;
        }
        match &self.sent {
            Sent::Latest { known, .. } => known.any(&self.choice, fanout),
            Sent::Ticks(ticks) => ticks.is_behind(),
        }
    }

    /// Whether a flush had to wait for this part of its client's budget.
    pub fn is_slowed_by(&self, counted: Counted) -> bool {
        self.slowed[counted as usize]
    }

    /// Takes the stream's turn. Not to be called while the last flush is still unwritten: what is taken here counts as
    /// sent.
    pub fn turn(&mut self, fanout: &Fanout, shelf: &mut Shelf, now: Instant) -> Turn {
        let edition = fanout.latest.edition();
        shelf.renew(edition);
        if edition != self.edition {
            self.renew(fanout, edition, now);
        }
        // The bars of a flush go out behind it.
        if self.bars.as_ref().is_some_and(|bars| bars.is_due())
            && let Some(parcel) = self.take_bars(fanout, shelf)
        {
            return Turn::Flush(self.out(parcel));
        }
        if let Some(end) = self.window_end.filter(|&end| now < end) {
            return Turn::Wait(Wait { until: Some(end), change: false });
        }
        if let Some(budget) = &self.budget
            && let Err((counted, wait)) = budget.pay(&mut self.owed)
        {
            // Rounded up: the timers' own grain is a millisecond, and a wait of nothing would spin.
            let end = now + wait.max(Duration::from_millis(1));
            self.window_end = Some(end);
            self.held = Some(counted);
            return Turn::Wait(Wait { until: Some(end), change: false });
        }
        match self.step(fanout, shelf, now) {
            // The versions have begun anew while it was made: it belongs to neither.
            _ if self.epoch_of(fanout) != self.epoch => Turn::Again,
            Ok(Some(parcel)) => {
                if parcel.conflated > 0 {
                    fanout.metrics.conflated.inc_by(parcel.conflated);
                }
                if let Some(bars) = &mut self.bars {
                    bars.set_due();
                }
                Turn::Flush(self.flush(parcel, now))
            }
            Err(Unfinished) => Turn::Again,
            Ok(None) => {
                if let Some(parcel) = self.take_bars(fanout, shelf) {
                    return Turn::Flush(self.flush(parcel, now));
                }
                // Quiet for a whole window: the next change goes out at once. Only what is withheld has a time.
                (self.window_end, self.held) = (None, None);
                let until = match &self.sent {
                    Sent::Latest { withheld: Some(withheld), .. } => withheld.until(),
                    _ => None,
                };
                Turn::Wait(Wait { until, change: true })
            }
        }
    }

    /// Whether the store has something that versions don't tell of.
    fn misses(&self, fanout: &Fanout) -> bool {
        let is_late = |&id: &SymbolId| fanout.latest.is_late(id, self.edition);
        self.epoch_of(fanout) != self.epoch || self.choice.symbols.iter().any(is_late)
    }

    /// Whose versions those of its mode are now.
    fn epoch_of(&self, fanout: &Fanout) -> Epoch {
        match self.sent {
            Sent::Latest { .. } => fanout.latest.epoch(),
            Sent::Ticks(_) => fanout.latest.trades_epoch(),
        }
    }

    /// Takes note of what versions don't tell of.
    fn renew(&mut self, fanout: &Fanout, edition: u64, now: Instant) {
        let before = std::mem::replace(&mut self.edition, edition);
        let epoch = self.epoch_of(fanout);
        let begins = std::mem::replace(&mut self.epoch, epoch) != epoch;
        let Self { choice, sent, position, .. } = self;
        let (known, withheld) = match sent {
            Sent::Latest { known, withheld } => (known, withheld),
            Sent::Ticks(ticks) => {
                if begins {
                    ticks.begin(epoch);
                    *position = ticks.through();
                }
                return;
            }
        };
        if begins {
            *position = 0;
            *known = Arc::new(Known::new(choice.symbols.len(), None));
            if let Some(withheld) = withheld {
                **withheld = withheld.of(&choice.symbols, &[], now);
            }
            return;
        }
        let is_due = |id| fanout.latest.is_late(id, before);
        if choice.symbols.iter().copied().any(is_due) {
            let mut own = known.copy();
            own.look_again(choice, is_due);
            *known = Arc::new(own);
        }
    }

    fn step(
        &mut self,
        fanout: &Fanout,
        shelf: &mut Shelf,
        now: Instant,
    ) -> Result<Option<Parcel>, Unfinished> {
        let Self { choice, sent, position, .. } = self;
        let (known, withheld) = match sent {
            Sent::Ticks(ticks) => return Ok(ticks.take(choice, fanout, shelf)),
            Sent::Latest { known, withheld } => (known, withheld),
        };
        let shares = withheld.is_none() && shelf.shares(choice);
        let from = known.place().filter(|_| shares);
        if from.is_some()
            && let Some(step) = shelf.step(choice, known)
        {
            *known = step.known;
            return Ok(step.parcel);
        }
        if Arc::get_mut(known).is_none() {
            *known = Arc::new(known.copy());
        }
        let own = Arc::get_mut(known).expect("it was made just now");
        let fields = choice.fields;
        let parcel = match own.take(choice, fanout, withheld, now, |id| shelf.look(fanout, id, fields)) {
            Found::Messages { messages, conflated } => Some(parcel(shelf, *position, &messages, conflated)),
            Found::Nothing => None,
            Found::Unfinished => return Err(Unfinished),
        };
        if let Some(from) = from {
            shelf.keep(choice, from, Step { known: Arc::clone(known), parcel: parcel.clone() });
        }
        Ok(parcel)
    }

    fn take_bars(&mut self, fanout: &Fanout, shelf: &mut Shelf) -> Option<Parcel> {
        self.bars.as_mut()?.take(fanout, shelf)
    }

    /// Begins a window with this.
    fn flush(&mut self, parcel: Parcel, now: Instant) -> Flush {
        // Timers have a grain: what is late by less than that begins its window when it should have, so that a steady
        // stream keeps its pace.
        let begin = self.window_end.filter(|&end| now.saturating_duration_since(end) <= GRAIN).unwrap_or(now);
        self.window_end = (!self.throttle.is_zero()).then(|| begin + self.throttle);
        if let Some(counted) = self.held.take() {
            self.slowed[counted as usize] = true;
        }
        self.out(parcel)
    }

    fn out(&mut self, parcel: Parcel) -> Flush {
        let Parcel { bytes, payload, messages, last, .. } = parcel;
        if self.budget.is_some() {
            let add = |owed: u32, more| owed.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
            let Owed { messages: owed, bytes } = self.owed;
            self.owed = Owed { messages: add(owed, messages), bytes: add(bytes, payload) };
        }
        self.position = self.position.max(last);
        Flush { bytes, payload, messages }
    }
}

/// Whatever there is, is just being written.
struct Unfinished;

/// Messages as one piece. `position` is the version of the client's last id: where a message is older, its id is left
/// out, since it would take the client's cursor back.
fn parcel(shelf: &Shelf, position: u64, messages: &Messages, conflated: u64) -> Parcel {
    let moves = |message: &Message| message.version >= position;
    let bytes = |message: &Message| {
        if moves(message) { message.block().len() } else { message.data().len() + 1 }
    };
    let payload = messages.iter().map(|message| bytes(message)).sum();
    let framed = shelf.framing().piece(payload, |out| {
        for message in messages {
            if moves(message) {
                out.put_slice(message.block());
            } else {
                out.put_slice(message.data());
                out.put_u8(b'\n');
            }
        }
    });
    let last = messages.last().map_or(0, |message| message.version);
    Parcel { bytes: framed, payload, messages: messages.len(), conflated, last }
}
