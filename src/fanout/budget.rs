//! How many messages and bytes a second a client may be sent, over all its streams. Nothing is dropped for it: a stream
//! that is over the budget flushes less often, so more of its changes are conflated.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::{Reading, TokioClock};

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Price messages.
    Messages,
    /// Bytes of their blocks, as a client reads them: without chunks, frames, TLS.
    Bytes,
}

impl Counted {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Messages, Self::Bytes];

    /// The limit's name in the config, in messages and metrics.
    pub fn limit(self) -> &'static str {
        match self {
            Self::Messages => "messages_per_second",
            Self::Bytes => "bytes_per_second",
        }
    }
}

/// One client's budget, shared by its streams.
#[derive(Debug)]
pub struct Budget {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
}

/// What was sent and not paid for yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owed {
    pub(super) messages: u32,
    pub(super) bytes: u32,
}

impl Budget {
    /// So many in any second; as many at once after a quiet one. `None` is without a limit, and without both there is no
    /// budget.
    pub fn new(messages_per_second: Option<u32>, bytes_per_second: Option<u32>) -> Option<Self> {
        let [messages, bytes] = [messages_per_second, bytes_per_second]
            .map(|per_second| per_second.and_then(NonZeroU32::new).map(Bucket::new));
        (messages.is_some() || bytes.is_some()).then_some(Self { messages, bytes })
    }

    /// How many a second; `None` is without a limit.
    pub fn per_second(&self, counted: Counted) -> Option<u32> {
        let bucket = match counted {
            Counted::Messages => &self.messages,
            Counted::Bytes => &self.bytes,
        };
        bucket.as_ref().map(|bucket| bucket.per_second.get())
    }

    /// Pays for what was sent, as far as the budget goes. `Err` says how long to wait before the rest of `owed` can be
    /// paid, and which limit makes the wait; a debt larger than a second's worth is paid in parts.
    pub(super) fn pay(&self, owed: &mut Owed) -> Result<(), (Counted, Duration)> {
        let pay = |bucket: &Option<Bucket>, owed: &mut u32| {
            bucket.as_ref().map_or(Ok(()), |bucket| bucket.pay(owed))
        };
        let messages = pay(&self.messages, &mut owed.messages);
        match (messages, pay(&self.bytes, &mut owed.bytes)) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(messages), Err(bytes)) if messages >= bytes => Err((Counted::Messages, messages)),
            (_, Err(bytes)) => Err((Counted::Bytes, bytes)),
            (Err(messages), Ok(())) => Err((Counted::Messages, messages)),
        }
    }
}

/// One limit of it.
#[derive(Debug)]
struct Bucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Reading>>,
    per_second: NonZeroU32,
}

impl Bucket {
    fn new(per_second: NonZeroU32) -> Self {
        let limiter = RateLimiter::direct_with_clock(Quota::per_second(per_second), TokioClock);
        Self { limiter, per_second }
    }

    fn pay(&self, owed: &mut u32) -> Result<(), Duration> {
        while let Some(part) = NonZeroU32::new((*owed).min(self.per_second.get())) {
            // A part is at most the quota's burst, so the limiter always has the capacity for it.
            if let Ok(Err(until)) = self.limiter.check_n(part) {
                return Err(until.wait_time_from(TokioClock.now()));
            }
            *owed -= part.get();
        }
        Ok(())
    }
}
