//! Whether the process has memory left for another stream.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::process;

/// The kernel is asked once in so long: a crowd that knocks would else spend its time in `/proc`.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Compares what the process has resident with what it may have. Where the system does not tell (other than Linux), there
/// is always room.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: Option<u64>,
    asked: Mutex<Option<Instant>>,
    is_over: AtomicBool,
    resident: fn() -> Option<u64>,
}

impl Memory {
    /// `None` is without a limit.
    pub(super) fn new(bytes_max: Option<u64>) -> Self {
        Self::with(bytes_max, process::resident_bytes)
    }

    fn with(bytes_max: Option<u64>, resident: fn() -> Option<u64>) -> Self {
        Self { bytes_max, asked: Mutex::new(None), is_over: AtomicBool::new(false), resident }
    }

    /// Whether it has more than it may, by a figure at most a second old.
    pub(super) fn is_over(&self) -> bool {
        let Some(most) = self.bytes_max else { return false };
        let now = Instant::now();
        let is_due = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_EVERY);
            if is_due {
                *asked = Some(now);
            }
            is_due
        };
        // Outside the lock: who comes meanwhile takes the last figure.
        if is_due {
            let is_over = (self.resident)().is_some_and(|resident| resident > most);
            self.is_over.store(is_over, Ordering::Relaxed);
        }
        self.is_over.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    static RESIDENT: AtomicU64 = AtomicU64::new(100);
    static ASKED: AtomicU64 = AtomicU64::new(0);

    #[tokio::test(start_paused = true)]
    async fn p74_memory_is_looked_at_once_a_second_and_no_limit_never_looks() {
        let read = || {
            ASKED.fetch_add(1, Ordering::Relaxed);
            Some(RESIDENT.load(Ordering::Relaxed))
        };
        let memory = Memory::with(Some(100), read);
        assert!(!memory.is_over());
        RESIDENT.store(101, Ordering::Relaxed);
        assert!(!memory.is_over(), "the figure is less than a second old");
        tokio::time::advance(ASK_EVERY).await;
        assert!(memory.is_over() && memory.is_over());
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
        RESIDENT.store(100, Ordering::Relaxed);
        tokio::time::advance(ASK_EVERY).await;
        assert!(!memory.is_over());
        assert!(!Memory::with(None, read).is_over());
        assert_eq!(ASKED.load(Ordering::Relaxed), 3);
        assert!(!Memory::with(Some(1), || None).is_over());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_knows_its_own_memory() {
        let resident = process::resident_bytes().expect("Linux tells");
        assert!(resident > 1 << 20, "{resident}");
        assert!(Memory::new(Some(1 << 20)).is_over());
    }
}
