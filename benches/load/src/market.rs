//! The ticks of the servers to compare with: as many as the service's simulator makes, evenly spread, in messages of
//! the same fields and length. The prices themselves say nothing.

use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::symbols;

/// Cents around which all prices move.
const LEVEL: u64 = 6_701_234;

/// Ticks that are later than this are left out.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Symbols that change in turn, by the clock that the caller hands in.
#[derive(Debug)]
pub struct Market {
    symbols: usize,
    /// Between two ticks; `None` for a market without any.
    gap: Option<Duration>,
    next: Instant,
    version: u64,
}

/// One price change.
#[derive(Clone, Debug, Serialize)]
pub struct Tick {
    /// Its number, over all symbols, from 1.
    #[serde(skip)]
    pub version: u64,
    /// Which of the symbols, from 0.
    #[serde(skip)]
    pub index: usize,
    /// The name of the symbol.
    pub symbol: String,
    /// Decimal text, as are the next two.
    pub price: String,
    /// One cent less.
    pub bid: String,
    /// The price.
    pub ask: String,
    /// Always `live`.
    pub status: &'static str,
    /// Milliseconds since 1970.
    pub time: u64,
    /// Microseconds since 1970, when the tick was made.
    pub recv_us: u64,
}

impl Market {
    /// A market that begins now, in which each symbol changes `rate` times a second.
    pub fn new(symbols: usize, rate: f64, now: Instant) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 symbols")]
        let per_second = symbols as f64 * rate;
        let gap = Duration::try_from_secs_f64(1.0 / per_second).ok().filter(|gap| !gap.is_zero());
        Self { symbols, gap, next: now, version: 0 }
    }

    /// When the next tick is due; `None` for never.
    pub fn due(&self) -> Option<Instant> {
        self.gap.map(|_| self.next)
    }

    /// The next tick, where it is due. What is late is made up for, so the rate holds on average; what is later than a
    /// second is left out, so that a server soon recovers from what was too much for it.
    pub fn tick(&mut self, now: Instant, wall_us: u64) -> Option<Tick> {
        let gap = self.gap.filter(|_| self.next <= now)?;
        let oldest = now.checked_sub(LATE_MAX).unwrap_or(now);
        self.next = self.next.max(oldest) + gap;
        self.version += 1;
        let index = usize::try_from(self.version % self.symbols as u64).unwrap_or(0);
        let cents = LEVEL + self.version * 7919 % 1000;
        Some(Tick {
            version: self.version,
            index,
            symbol: symbols::name(index),
            price: price(cents),
            bid: price(cents - 1),
            ask: price(cents),
            status: "live",
            time: wall_us / 1000,
            recv_us: wall_us,
        })
    }
}

impl Tick {
    /// The message as the service writes it, in one chunk.
    pub fn chunk(&self) -> String {
        let Self { version, symbol, price, bid, ask, status, time, recv_us, .. } = self;
        let message = format!(
            "data: {{\"symbol\":\"{symbol}\",\"price\":\"{price}\",\"bid\":\"{bid}\",\"ask\":\"{ask}\",\
             \"status\":\"{status}\",\"time\":{time},\"recv_us\":{recv_us}}}\nid: 7f3a12cd.{version}\n\n"
        );
        let mut chunk = String::with_capacity(message.len() + 8);
        let _ = write!(chunk, "{:x}\r\n{message}\r\n", message.len());
        chunk
    }
}

fn price(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Microseconds since 1970.
pub fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_as_many_ticks_as_asked_for_and_each_symbol_its_share() {
        let start = Instant::now();
        let mut market = Market::new(10, 20.0, start);
        let mut counts = [0; 10];
        for step in 1..=100 {
            let now = start + Duration::from_millis(step * 10);
            while let Some(tick) = market.tick(now, 5) {
                counts[tick.index] += 1;
            }
        }
        // The first one is due at once.
        assert_eq!(counts.iter().sum::<u32>(), 201);
        assert!(counts.iter().all(|count| (20..=21).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_is_later_than_a_second_is_left_out() {
        let start = Instant::now();
        let mut market = Market::new(1, 10.0, start);
        let late = start + Duration::from_secs(60);
        assert_eq!(std::iter::from_fn(|| market.tick(late, 5)).count(), 11);
    }

    #[test]
    fn without_a_rate_nothing_is_ever_due() {
        let now = Instant::now();
        let mut market = Market::new(10, 0.0, now);
        assert!(market.due().is_none() && market.tick(now + Duration::from_secs(9), 5).is_none());
    }

    #[test]
    fn a_message_has_the_fields_of_the_services_and_says_what_serde_says() {
        let now = Instant::now();
        let tick = Market::new(1, 1.0, now).tick(now, 1_764_039_600_101_600).unwrap();
        let chunk = tick.chunk();
        let (size, rest) = chunk.split_once("\r\n").unwrap();
        assert_eq!(usize::from_str_radix(size, 16).unwrap(), rest.len() - 2);
        let data = rest.lines().next().unwrap().strip_prefix("data: ").unwrap();
        assert_eq!(data, serde_json::to_string(&tick).unwrap());
        assert!((145..165).contains(&rest.len()), "{} bytes", rest.len());
    }
}
