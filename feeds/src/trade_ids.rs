//! The newest trade id of each instrument on one connection, for venues that number an instrument's trades
//! without holes: a jump tells how many were lost.

use std::collections::HashMap;

/// More instruments are not watched, so no hostile frame makes the map grow. Far above any profile's
/// `instruments_max`.
const INSTRUMENTS_MAX: usize = 4_096;

/// Newest ids by wire name.
#[derive(Debug, Default)]
pub(crate) struct TradeIds {
    newest: HashMap<Box<str>, u64>,
}

impl TradeIds {
    /// Takes note of a live trade. Returns how many are missing before it; `None` where none are, where it is
    /// the first, and where it is a resend.
    #[inline]
    pub(crate) fn live(&mut self, wire: &str, id: u64) -> Option<u64> {
        let missing = self.jump(wire, id)?.checked_sub(1)?;
        (missing > 0).then_some(missing)
    }

    /// Takes note that trades up to this id exist. Returns how many of them never came; `None` where all did
    /// and where none was seen before.
    pub(crate) fn exists(&mut self, wire: &str, id: u64) -> Option<u64> {
        self.jump(wire, id)
    }

    /// Takes note of a past trade: live ones are counted from the newest of them.
    pub(crate) fn past(&mut self, wire: &str, id: u64) {
        self.jump(wire, id);
    }

    /// How far this id is above the newest; `None` where it is not, and where there is none yet.
    #[inline]
    fn jump(&mut self, wire: &str, id: u64) -> Option<u64> {
        if let Some(newest) = self.newest.get_mut(wire) {
            let jump = id.checked_sub(*newest).filter(|&jump| jump > 0)?;
            *newest = id;
            return Some(jump);
        }
        if self.newest.len() < INSTRUMENTS_MAX {
            self.newest.insert(wire.into(), id);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m37_a_jump_is_a_gap_and_a_lower_id_a_resend() {
        let mut ids = TradeIds::default();
        assert_eq!(ids.live("A", 10), None);
        assert_eq!(ids.live("A", 11), None);
        assert_eq!(ids.live("B", 99), None);
        assert_eq!(ids.live("A", 15), Some(3));
        assert_eq!(ids.live("A", 12), None);
        assert_eq!(ids.live("A", 16), None);
        assert_eq!(ids.exists("A", 16), None);
        assert_eq!(ids.exists("A", 18), Some(2));
        assert_eq!(ids.live("A", 19), None);
    }

    #[test]
    fn past_trades_are_the_start_of_the_count_and_never_a_gap() {
        let mut ids = TradeIds::default();
        ids.past("A", 10);
        ids.past("A", 5);
        ids.past("A", 20);
        assert_eq!(ids.live("A", 21), None);
        assert_eq!(ids.live("A", u64::MAX), Some(u64::MAX - 22));
    }

    #[test]
    fn names_beyond_the_bound_are_not_kept() {
        let mut ids = TradeIds::default();
        for n in 0..2 * INSTRUMENTS_MAX {
            ids.live(&n.to_string(), 1);
        }
        assert_eq!(ids.newest.len(), INSTRUMENTS_MAX);
    }
}
