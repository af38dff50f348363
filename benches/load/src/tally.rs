//! What all streams together brought: counts, and the delays of a sample of messages.

use memchr::memmem;

use crate::latency::Latency;

const STAMP: &[u8] = b"\"recv_us\":";

/// What was counted over all streams.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Whole events: blocks with a `data:` line, ended by their blank line.
    pub events: u64,
    /// Those of them without a name, which is what prices are.
    pub messages: u64,
    /// Comment lines.
    pub comments: u64,
    /// Versions that ids have passed. Each stream's first message counts as one.
    pub ticks: u64,
    /// Messages that were to be timed and carried no `recv_us`.
    pub untimed: u64,
    /// Arrival after `recv_us`, of one message in `every`.
    pub latency: Latency,
    every: u64,
    until_next: u64,
    clock: fn() -> u64,
}

impl Tally {
    /// Nothing counted yet; one message in `every` (at least 1) will be timed by `clock`, which gives microseconds
    /// since 1970.
    pub fn new(every: u64, clock: fn() -> u64) -> Self {
        let every = every.max(1);
        Self {
            events: 0,
            messages: 0,
            comments: 0,
            ticks: 0,
            untimed: 0,
            latency: Latency::default(),
            every,
            until_next: every,
            clock,
        }
    }

    /// Begins again at zero.
    pub fn clear(&mut self) {
        let Self { events, messages, comments, ticks, untimed, .. } = self;
        for count in [events, messages, comments, ticks, untimed] {
            *count = 0;
        }
        self.latency.clear();
    }

    /// Takes note of a message's first `data:` line, and times it if it is its turn.
    pub(crate) fn message_data(&mut self, line: &[u8]) {
        self.until_next -= 1;
        if self.until_next > 0 {
            return;
        }
        self.until_next = self.every;
        match stamp(line) {
            Some(recv_us) => self.latency.record((self.clock)().saturating_sub(recv_us)),
            None => self.untimed += 1,
        }
    }
}

/// The microseconds of `recv_us`, which is searched for from the end, where it stands.
fn stamp(line: &[u8]) -> Option<u64> {
    let at = memmem::rfind(line, STAMP)? + STAMP.len();
    number(line[at..].trim_ascii_start()).map(|(value, _)| value)
}

/// The number that the text begins with, and how many digits it has.
pub(crate) fn number(text: &[u8]) -> Option<(u64, usize)> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = text[..length]
        .iter()
        .try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    (length > 0).then_some((value, length))
}
