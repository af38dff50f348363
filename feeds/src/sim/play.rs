//! A scenario on a stage of venues and instruments: whom it strikes and how. Pure: what happens depends on the
//! seed, the roles, the steps taken and the time that is passed in, and on nothing else.

use std::borrow::Cow;
use std::time::Duration;

use super::scenario::{Scenario, Scene};
use super::{MILLION, Market, Upset};
use crate::hours;
use crate::{Event, Events, LastKind, Moves, Status, UnixNanos, Venue};

/// How deep the flash crash goes, in millionths, and where it leaves prices.
const CRASH: i64 = -100_000;
const CRASH_LEFT: i64 = -10_000;
/// How much wider spreads are at its bottom.
const CRASH_SPREAD: i64 = 4_000;
/// How far beside all others the bad print is.
const BAD_PRINT: i64 = 50_000;
/// Steps of all instruments in one second of a burst. Each is a quote and a trade.
const BURST_STEPS: u64 = 25_000;
/// How often a connection is lost in the reconnect storm, and tried while nothing can be reached.
const ROUND: Duration = Duration::from_secs(5);
/// What stock venues say of prints outside regular hours.
const EXTENDED: Moves = Moves { last: LastKind::Extended, range: false, volume: true };

/// One instrument at one venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Whose part is played.
    pub venue: Venue,
    /// The venue's spelling of the instrument.
    pub wire: String,
    /// What it is in the simulator's own spelling, by which venues have the same instrument. Dollars and what
    /// is worth one are the same here.
    pub(super) name: String,
}

impl Role {
    /// A role of this instrument at this venue.
    pub fn new(venue: Venue, wire: &str) -> Self {
        let name = match venue.pair(wire) {
            Some(pair) if venue != Venue::Sim => match pair.quote.as_deref() {
                Some("USD" | "USDT" | "USDC") => format!("{}-USD", pair.base),
                Some(quote) => format!("{}-{quote}", pair.base),
                None => pair.base.to_string(),
            },
            _ => wire.to_owned(),
        };
        Self { venue, wire: wire.to_owned(), name }
    }

    fn is_stock(&self) -> bool {
        !self.name.contains('-')
    }
}

/// What a venue's connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is open, and ticks come.
    Open,
    /// It is open, and nothing comes.
    Mute,
    /// It is closed, and the next attempt is made after so long.
    Closed(Duration),
    /// It is being opened.
    Dialling,
    /// It is open, and no tick has come yet.
    Subscribing,
}

/// A scenario being played.
#[derive(Debug)]
pub struct Play {
    scenario: Scenario,
    market: Market,
    roles: Vec<Role>,
    /// The one venue that a scenario of one venue strikes.
    venue: Option<Venue>,
    /// Which roles it strikes.
    struck: Vec<bool>,
    /// Which roles were told that they are halted.
    halted: Vec<bool>,
}

impl Play {
    /// Sets the stage. The order of the roles says whom a scenario of one venue or one instrument strikes.
    pub fn new(seed: u64, scenario: Scenario, roles: Vec<Role>) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for role in &roles {
            if !names.contains(&role.name.as_str()) {
                names.push(&role.name);
            }
        }
        // The venues of the first instrument that has the most of them.
        let venues = |name: &str| -> Vec<Venue> {
            roles.iter().filter(|role| role.name == name).map(|role| role.venue).collect()
        };
        let most = names.iter().map(|name| venues(name)).rev().max_by_key(Vec::len).unwrap_or_default();
        let venue = match scenario {
            // Not the first, which makes the price of every `primary`.
            Scenario::BadPrint => most.get(1).or(most.first()).copied(),
            Scenario::ReconnectStorm => most.first().copied(),
            _ => None,
        };
        let halted = roles.iter().find(|role| role.is_stock()).or(roles.first()).map(|role| &role.name);
        let strikes = |role: &Role| match scenario {
            Scenario::FlashCrash => {
                names.iter().position(|name| *name == role.name).is_some_and(|n| n % 2 == 0)
            }
            Scenario::Halt => Some(&role.name) == halted,
            Scenario::BadPrint | Scenario::ReconnectStorm => Some(role.venue) == venue,
            Scenario::Outage | Scenario::Burst => true,
            Scenario::MarketClose => role.is_stock(),
        };
        let struck = roles.iter().map(strikes).collect();
        let halted = vec![false; roles.len()];
        Self { scenario, market: Market::of_venues(seed, &roles), roles, venue, struck, halted }
    }

    /// The roles, in the order of the steps' indices.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The venue that a scenario of one venue strikes.
    pub fn venue(&self) -> Option<Venue> {
        self.venue
    }

    /// What this venue's connection does after so long.
    pub fn link(&self, venue: Venue, at: Duration) -> Link {
        let scene = self.scenario.at(at);
        let round =
            Duration::from_nanos(u64::try_from(scene.elapsed.as_nanos() % ROUND.as_nanos()).unwrap_or(0));
        let tenths = round.as_millis() / 500;
        let rest = |tenths_waited: u32| Link::Closed((ROUND / 10 * tenths_waited).saturating_sub(round));
        match (self.scenario, scene.phase.name) {
            (Scenario::Outage, "silent") => Link::Mute,
            (Scenario::Outage, "unreachable") if tenths < 8 => rest(8),
            (Scenario::Outage, "unreachable") => Link::Dialling,
            (Scenario::ReconnectStorm, "storm") if Some(venue) == self.venue => match tenths {
                0..3 => rest(3),
                3 => Link::Dialling,
                4 => Link::Subscribing,
                _ => Link::Open,
            },
            _ => Link::Open,
        }
    }

    /// Whether it is right that nothing of this venue ticks: its instruments are halted, or their market closed.
    pub fn is_at_rest(&self, venue: Venue, at: Duration) -> bool {
        let scene = self.scenario.at(at);
        let of_venue = self.roles.iter().enumerate().filter(|(_, role)| role.venue == venue);
        of_venue.fold(true, |all, (index, _)| all && self.rests(index, &scene))
    }

    /// Where the stocks' day is: open, unless the scenario is about it.
    pub fn session(&self, at: Duration) -> hours::Phase {
        match (self.scenario, self.scenario.at(at).phase.name) {
            (Scenario::MarketClose, "post") => hours::Phase::Post,
            (Scenario::MarketClose, "closed") => hours::Phase::Closed,
            (Scenario::MarketClose, "pre") => hours::Phase::Pre,
            _ => hours::Phase::Open,
        }
    }

    /// How many steps to take where one is due, when so many are due in a second.
    pub fn steps_at_once(&self, at: Duration, due_in_a_second: u64) -> u64 {
        match (self.scenario, self.scenario.at(at).phase.name) {
            (Scenario::Burst, "burst") => (BURST_STEPS / due_in_a_second.max(1)).max(1),
            _ => 1,
        }
    }

    /// The next step of the role at `index`, `at` so long after the beginning, at the time `now`. Appends what its
    /// venue says, which is nothing where that one cannot be heard. Venues stay in step with each other only
    /// where all roles take the same number of steps.
    pub fn step<'p>(&'p mut self, index: usize, at: Duration, now: UnixNanos, events: &mut Events<'p>) {
        let scene = self.scenario.at(at);
        let Some(role) = self.roles.get(index) else { return };
        let is_heard = self.link(role.venue, at) == Link::Open;
        let rests = self.rests(index, &scene);
        let upset = if self.struck[index] { upset(self.scenario, &scene) } else { Upset::default() };
        let before = events.len();
        if is_heard && self.scenario == Scenario::Halt && rests != self.halted[index] {
            self.halted[index] = rests;
            let text = Cow::Borrowed(if rests { "Trading Halt" } else { "Trading Resumption" });
            let wire = Cow::Borrowed(self.roles[index].wire.as_str());
            events.push(Event::Status(Status { wire, halted: rests, text, ts_event: Some(now) }));
        }
        let said = events.len();
        let session = self.session(at);
        let is_closing = self.scenario == Scenario::MarketClose && self.struck[index];
        self.market.step_upset(index, upset, now, events);
        if !is_heard || rests {
            events.truncate(if is_heard { said } else { before });
            return;
        }
        for event in events.iter_mut().skip(said).filter(|_| is_closing) {
            match event {
                Event::Trade(trade) if session != hours::Phase::Open => trade.moves = EXTENDED,
                // A day that ends has figures of its own; the simulator's are of one that never does.
                Event::Summary(summary) => {
                    (summary.open, summary.high, summary.low, summary.volume) = (None, None, None, None);
                    summary.prev_close =
                        summary.prev_close.filter(|_| scene.round == 0 && session == hours::Phase::Open);
                }
                _ => {}
            }
        }
    }

    fn rests(&self, index: usize, scene: &Scene) -> bool {
        self.struck[index]
            && matches!(
                (self.scenario, scene.phase.name),
                (Scenario::Halt, "halted") | (Scenario::MarketClose, "closed")
            )
    }
}

/// What a scenario does to the prices of those whom it strikes.
fn upset(scenario: Scenario, scene: &Scene) -> Upset {
    let between = |from: i64, to: i64| from + (to - from) * scene.done() / MILLION;
    let crash = |from, to, spread_from, spread_to| Upset {
        shift: between(from, to),
        spread: between(spread_from, spread_to),
        ..Upset::default()
    };
    match (scenario, scene.phase.name) {
        (Scenario::FlashCrash, "fall") => crash(0, CRASH, CRASH_SPREAD / 4, CRASH_SPREAD),
        (Scenario::FlashCrash, "bottom") => crash(CRASH, CRASH, CRASH_SPREAD, CRASH_SPREAD),
        (Scenario::FlashCrash, "recovery") => crash(CRASH, CRASH_LEFT, CRASH_SPREAD, 0),
        (Scenario::FlashCrash, "settling") => crash(CRASH_LEFT, 0, 0, 0),
        (Scenario::BadPrint, "bad print") => Upset { print: BAD_PRINT, ..Upset::default() },
        (Scenario::Burst, "burst") => Upset { is_still: true, ..Upset::default() },
        _ => Upset::default(),
    }
}

#[cfg(test)]
mod tests;
