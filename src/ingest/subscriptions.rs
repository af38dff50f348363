//! What is wanted on one connection and how far each of it has come: `wanted -> sent -> acknowledged -> live`, or
//! refused. Pure: it says which instruments to ask for next; the asking is the connection's.
//!
//! Venues differ in what their answers name. One that names the instrument settles that instrument. One that
//! does not is about the oldest request without an answer; if that is a refusal, its instruments are asked for
//! again in halves, one request at a time, until the refusal is about one of them.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

/// Instruments asked for at once. No codec makes more than a few frames of that.
const BATCH_MAX: usize = 50;
/// An answer takes at most this long; then the request is taken for lost.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A request that has met a refusal may have been dropped whole: what is left of it is asked for again so soon.
const AGAIN: Duration = Duration::from_millis(500);
/// Asking again waits twice as long each time, up to this.
const AGAIN_MAX: Duration = Duration::from_mins(5);
/// Venues have refused good symbols for 45 minutes (finnhubio/Finnhub-API#472): they are asked for again.
const REFUSED: Duration = Duration::from_mins(5);
/// Quiet for so many times its usual gap, an instrument is asked for again.
const USUAL_GAPS: u32 = 20;
/// The weight of the newest gap in the moving average is one in so many.
const GAP_WEIGHT: u32 = 16;

/// All instruments of one connection.
#[derive(Debug)]
pub struct Subscriptions {
    wires: Vec<Wire>,
    index: FxHashMap<String, usize>,
    /// Requests without an answer, the oldest first; each instrument is in one at most.
    unanswered: VecDeque<Request>,
    silence_max: Duration,
    newest: Option<Instant>,
    /// Whether a request may void those before it.
    is_whole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Wanted,
    Sent,
    Acknowledged,
    Live,
    Refused,
}

#[derive(Debug)]
struct Wire {
    name: String,
    phase: Phase,
    /// When it was last asked for, or refused.
    since: Instant,
    /// How often it was asked for since it ticked.
    times: u32,
    /// It is asked for again then, whatever else holds.
    again: Option<Instant>,
    newest: Option<Instant>,
    gap: Option<Duration>,
    /// With how many others it may be asked for.
    batch_max: usize,
}

#[derive(Debug)]
struct Request {
    wires: Vec<usize>,
    /// How many of its frames have no answer yet.
    frames: usize,
    is_refused: bool,
}

impl Subscriptions {
    /// Everything is wanted, nothing is sent.
    pub fn new(wires: &[String], silence_max: Duration, now: Instant) -> Self {
        let wire = |name: &String| Wire {
            name: name.clone(),
            phase: Phase::Wanted,
            since: now,
            times: 0,
            again: None,
            newest: None,
            gap: None,
            batch_max: BATCH_MAX,
        };
        let index = wires.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect();
        let wires = wires.iter().map(wire).collect();
        Self { wires, index, unanswered: VecDeque::new(), silence_max, newest: None, is_whole: false }
    }

    /// From now on, whenever something is due, all that is not refused is asked for in one request.
    pub fn ask_whole(&mut self) {
        self.is_whole = true;
    }

    /// When the newest tick of any came.
    pub fn newest(&self) -> Option<Instant> {
        self.newest
    }

    /// How many are acknowledged or ticking.
    pub fn acknowledged_count(&self) -> usize {
        let there = |wire: &&Wire| matches!(wire.phase, Phase::Acknowledged | Phase::Live);
        self.wires.iter().filter(there).count()
    }

    /// Whether each has been asked for.
    pub fn is_all_sent(&self) -> bool {
        self.wires.iter().all(|wire| wire.phase != Phase::Wanted)
    }

    /// Whether the venue has refused everything.
    pub fn is_all_refused(&self) -> bool {
        self.wires.iter().all(|wire| wire.phase == Phase::Refused)
    }

    /// A tick came. Returns whether the instrument was not known to be there before.
    pub fn ticked(&mut self, name: &str, now: Instant) -> bool {
        self.newest = Some(now);
        let Some(&index) = self.index.get(name) else { return false };
        let wire = &mut self.wires[index];
        if let Some(before) = wire.newest {
            let gap = now.saturating_duration_since(before);
            wire.gap = Some(wire.gap.map_or(gap, |usual| (usual * (GAP_WEIGHT - 1) + gap) / GAP_WEIGHT));
        }
        let is_new = !matches!(wire.phase, Phase::Acknowledged | Phase::Live);
        (wire.newest, wire.phase, wire.times, wire.again) = (Some(now), Phase::Live, 0, None);
        if is_new {
            self.answer(index);
        }
        is_new
    }

    /// The venue accepted an instrument, or the oldest request.
    pub fn acknowledged(&mut self, name: Option<&str>) {
        let Some(name) = name else {
            if self.unanswered.front_mut().is_some_and(Request::answer) {
                self.settle();
            }
            return;
        };
        if let Some(&index) = self.index.get(name) {
            self.accept(index);
            self.answer(index);
        }
    }

    /// The venue refused an instrument, or the oldest request. Returns the instrument that is now known to be
    /// refused.
    pub fn refused(&mut self, name: Option<&str>, now: Instant) -> Option<&str> {
        let index = if let Some(&index) = name.and_then(|name| self.index.get(name)) {
            // Who ticks and is asked for again may hear that it is subscribed already.
            let is_there = matches!(self.wires[index].phase, Phase::Acknowledged | Phase::Live);
            if is_there && self.wires[index].times > 0 {
                return None;
            }
            if let Some(at) = self.unanswered.iter().position(|request| request.wires.contains(&index)) {
                let mates = self.unanswered.remove(at).map(|request| request.wires).unwrap_or_default();
                self.ask_again(&mates, BATCH_MAX, now + AGAIN);
            }
            index
        } else {
            let request = self.unanswered.front_mut()?;
            request.is_refused = true;
            if !request.answer() {
                return None;
            }
            self.settle()?
        };
        let wire = &mut self.wires[index];
        (wire.phase, wire.since, wire.again, wire.times) = (Phase::Refused, now, None, 0);
        Some(&self.wires[index].name)
    }

    /// What to ask for now; empty where nothing is due. It counts as sent.
    pub fn due(&mut self, now: Instant) -> Vec<&str> {
        let due = |wire: &Wire| wire.due(self.silence_max) <= now;
        let Some(first) = self.wires.iter().find(|wire| due(wire)) else { return Vec::new() };
        let most = first.batch_max;
        // While halves are tried out, an answer must be about one request.
        if most < BATCH_MAX && !self.unanswered.is_empty() {
            let lost = |wire: &Wire| now.saturating_duration_since(wire.since) >= ANSWER_MAX;
            self.unanswered.retain(|request| !request.wires.iter().all(|&index| lost(&self.wires[index])));
            if !self.unanswered.is_empty() {
                return Vec::new();
            }
        }
        let is_chosen = |wire: &Wire| {
            let goes_along = self.is_whole && wire.phase != Phase::Refused;
            goes_along || due(wire) && (self.is_whole || wire.batch_max == most)
        };
        let most = if self.is_whole { usize::MAX } else { most };
        let chosen = (0..self.wires.len()).filter(|&index| is_chosen(&self.wires[index])).take(most);
        let chosen: Vec<usize> = chosen.collect();
        for request in &mut self.unanswered {
            request.wires.retain(|index| !chosen.contains(index));
        }
        self.unanswered.retain(|request| !request.wires.is_empty());
        for &index in &chosen {
            let wire = &mut self.wires[index];
            (wire.since, wire.again, wire.times) = (now, None, wire.times.saturating_add(1));
            if matches!(wire.phase, Phase::Wanted | Phase::Refused) {
                wire.phase = Phase::Sent;
            }
        }
        let names = chosen.iter().map(|&index| self.wires[index].name.as_str()).collect();
        self.unanswered.push_back(Request { wires: chosen, frames: 1, is_refused: false });
        names
    }

    /// The newest request went out as so many frames, each of which gets an answer of its own.
    pub fn sent_as(&mut self, frames: usize) {
        if let Some(request) = self.unanswered.back_mut() {
            request.frames = frames.max(1);
        }
    }

    /// The newest request has gone out only now: its answers take their time from here.
    pub fn is_out(&mut self, now: Instant) {
        for &index in self.unanswered.back().into_iter().flat_map(|request| &request.wires) {
            self.wires[index].since = now;
        }
    }

    /// Takes an instrument out of the request that asked for it.
    fn answer(&mut self, index: usize) {
        for request in &mut self.unanswered {
            request.wires.retain(|&other| other != index);
        }
        self.unanswered.retain(|request| !request.wires.is_empty());
    }

    fn accept(&mut self, index: usize) {
        let wire = &mut self.wires[index];
        if wire.phase != Phase::Live {
            wire.phase = Phase::Acknowledged;
        }
        wire.batch_max = BATCH_MAX;
    }

    /// The oldest request has all its answers. Returns the instrument that it shows to be refused.
    fn settle(&mut self) -> Option<usize> {
        let request = self.unanswered.pop_front()?;
        if !request.is_refused {
            request.wires.iter().for_each(|&index| self.accept(index));
            return None;
        }
        if let [index] = request.wires[..] {
            return Some(index);
        }
        // What must be asked for as a whole cannot be tried in parts.
        if self.is_whole {
            return None;
        }
        let now = request.wires.iter().map(|&index| self.wires[index].since).max()?;
        self.ask_again(&request.wires, request.wires.len().div_ceil(2), now);
        None
    }

    fn ask_again(&mut self, wires: &[usize], batch_max: usize, at: Instant) {
        for &index in wires {
            let wire = &mut self.wires[index];
            if wire.phase == Phase::Sent {
                wire.again = Some(at);
                wire.batch_max = wire.batch_max.min(batch_max);
            }
        }
    }
}

impl Request {
    /// One more answer. Returns whether that was the last.
    fn answer(&mut self) -> bool {
        self.frames = self.frames.saturating_sub(1);
        self.frames == 0
    }
}

impl Wire {
    /// When to ask for it again.
    fn due(&self, silence_max: Duration) -> Instant {
        let doubled = |least: Duration| {
            let times = self.times.saturating_sub(1).min(16);
            least.saturating_mul(1 << times).min(AGAIN_MAX.max(least))
        };
        // Before the whole connection counts as silent, each has been asked for again.
        let early = silence_max / 2;
        if let Some(again) = self.again {
            return again;
        }
        match self.phase {
            Phase::Wanted => self.since,
            Phase::Sent => self.since + doubled(early.min(ANSWER_MAX)),
            Phase::Acknowledged => self.since + doubled(early),
            Phase::Refused => self.since + REFUSED,
            Phase::Live => {
                let quiet = early.max(self.gap.unwrap_or_default() * USUAL_GAPS);
                let newest = self.newest.unwrap_or(self.since);
                newest.max(self.since) + if self.times == 0 { quiet } else { doubled(quiet) * 2 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(10);

    fn of(wires: &[&str], now: Instant) -> Subscriptions {
        let wires: Vec<String> = wires.iter().map(|&wire| wire.to_owned()).collect();
        Subscriptions::new(&wires, SILENCE, now)
    }

    /// Asks for all that is due; returns the requests.
    fn ask(subscriptions: &mut Subscriptions, now: Instant) -> Vec<Vec<String>> {
        let mut requests = Vec::new();
        loop {
            let due: Vec<String> = subscriptions.due(now).into_iter().map(str::to_owned).collect();
            if due.is_empty() {
                return requests;
            }
            requests.push(due);
        }
    }

    #[test]
    fn m75_a_refused_symbol_never_hurts_its_batch() {
        let now = Instant::now();
        let mut subscriptions = of(&["A", "FOO", "B"], now);
        assert_eq!(ask(&mut subscriptions, now), [["A", "FOO", "B"]]);
        subscriptions.acknowledged(Some("A"));
        assert_eq!(subscriptions.refused(Some("FOO"), now), Some("FOO"));
        assert_eq!(ask(&mut subscriptions, now), Vec::<Vec<String>>::new());
        // The venue may have dropped the whole request: what is left of it is asked for again.
        assert_eq!(ask(&mut subscriptions, now + AGAIN), [["B"]]);
        subscriptions.acknowledged(Some("B"));
        assert_eq!(subscriptions.acknowledged_count(), 2);
    }

    #[test]
    fn a_refusal_that_names_nothing_is_narrowed_down_to_its_symbol() {
        let now = Instant::now();
        let names: Vec<String> = (0..40).map(|index| format!("S{index}")).collect();
        let mut subscriptions = Subscriptions::new(&names, SILENCE, now);
        let (mut refused, mut requests) = (Vec::new(), 0);
        for _ in 0..200 {
            let due: Vec<String> = subscriptions.due(now).into_iter().map(str::to_owned).collect();
            if due.is_empty() {
                break;
            }
            requests += 1;
            // The venue refuses each request that has S17 or S31 in it, and says no more than that.
            if due.iter().any(|wire| wire == "S17" || wire == "S31") {
                refused.extend(subscriptions.refused(None, now).map(str::to_owned));
            } else {
                subscriptions.acknowledged(None);
            }
        }
        refused.sort();
        assert_eq!(refused, ["S17", "S31"]);
        assert_eq!(subscriptions.acknowledged_count(), 38);
        assert!(requests < 30, "{requests} requests");
    }

    #[test]
    fn where_a_request_may_void_those_before_all_is_asked_for_each_time() {
        let now = Instant::now();
        let mut subscriptions = of(&["A", "B", "C"], now);
        subscriptions.ask_whole();
        assert_eq!(ask(&mut subscriptions, now), [["A", "B", "C"]]);
        subscriptions.ticked("A", now);
        subscriptions.refused(Some("B"), now);
        // C is due, and A must not be left out.
        assert_eq!(ask(&mut subscriptions, now + SILENCE), [["A", "C"]]);
        assert_eq!(subscriptions.refused(None, now), None);
        assert!(ask(&mut subscriptions, now + SILENCE).is_empty(), "no storm of parts");
    }

    #[test]
    fn m81_a_refused_symbol_is_asked_for_again_slowly() {
        let now = Instant::now();
        let mut subscriptions = of(&["A"], now);
        ask(&mut subscriptions, now);
        subscriptions.refused(Some("A"), now);
        assert!(ask(&mut subscriptions, now + REFUSED - Duration::from_secs(1)).is_empty());
        assert_eq!(ask(&mut subscriptions, now + REFUSED), [["A"]]);
        subscriptions.acknowledged(Some("A"));
        assert_eq!(subscriptions.acknowledged_count(), 1);
    }

    #[test]
    fn m7_what_is_not_acknowledged_or_never_ticks_is_asked_for_again_ever_more_slowly() {
        for is_acknowledged in [false, true] {
            let mut now = Instant::now();
            let start = now;
            let mut subscriptions = of(&["A"], now);
            let mut times = Vec::new();
            while now < start + Duration::from_secs(400) {
                if !ask(&mut subscriptions, now).is_empty() {
                    times.push((now - start).as_secs());
                    if is_acknowledged {
                        subscriptions.acknowledged(Some("A"));
                    }
                }
                now += Duration::from_secs(1);
            }
            assert_eq!(times, [0, 5, 15, 35, 75, 155, 315], "{is_acknowledged}");
        }
    }

    #[test]
    fn m8_a_symbol_that_is_usually_quiet_is_not_asked_for_again_at_each_pause() {
        let mut now = Instant::now();
        let mut subscriptions = of(&["A"], now);
        ask(&mut subscriptions, now);
        for _ in 0..20 {
            subscriptions.ticked("A", now);
            now += Duration::from_secs(30);
            assert!(subscriptions.newest().is_some());
        }
        assert!(ask(&mut subscriptions, now).is_empty());
        assert_eq!(ask(&mut subscriptions, now + Duration::from_secs(600)), [["A"]]);
        // Who is subscribed already is not refused by being told so.
        assert_eq!(subscriptions.refused(Some("A"), now), None);
        assert_eq!(subscriptions.acknowledged_count(), 1);
    }
}
