//! What streams ask for, kept once for all that ask for the same: so that those can share what is made for them.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxBuildHasher;

use super::interest::Interest;
use crate::catalogue::SymbolId;
use crate::fields::FieldSet;

/// Which symbols, each once, and which fields of them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    pub(super) symbols: Box<[SymbolId]>,
    pub(super) fields: FieldSet,
    /// Trades and not states.
    pub(super) every_trade: bool,
}

/// All that is wished for now. Bounded by the open streams: a wish goes with its last one.
#[derive(Debug, Default)]
pub(super) struct Choices {
    known: Mutex<HashSet<Shared, FxBuildHasher>>,
    /// Who brings in what is wished for, where not everything comes by itself.
    interest: Option<Arc<Interest>>,
}

/// Hashed and compared by what is wished for.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shared(Arc<Wish>);

impl std::borrow::Borrow<Wish> for Shared {
    fn borrow(&self) -> &Wish {
        &self.0
    }
}

/// One stream's wish.
#[derive(Debug)]
pub(super) struct Choice {
    wish: Arc<Wish>,
    choices: Arc<Choices>,
}

impl Choices {
    /// The wishes of which the interest is to hear.
    pub(super) fn of(interest: Option<Arc<Interest>>) -> Self {
        Self { interest, ..Self::default() }
    }

    pub(super) fn choose(
        self: &Arc<Self>,
        symbols: &[SymbolId],
        fields: FieldSet,
        every_trade: bool,
    ) -> Choice {
        let wish = Wish { symbols: symbols.into(), fields, every_trade };
        let mut known = self.known();
        let wish = if let Some(Shared(wish)) = known.get(&wish) {
            Arc::clone(wish)
        } else {
            let wish = Arc::new(wish);
            known.insert(Shared(Arc::clone(&wish)));
            if let Some(interest) = self.interest_in(&wish) {
                interest.add(symbols);
            }
            wish
        };
        Choice { wish, choices: Arc::clone(self) }
    }

    /// Who is to hear of a wish: only states are brought in for it.
    fn interest_in(&self, wish: &Wish) -> Option<&Arc<Interest>> {
        self.interest.as_ref().filter(|_| !wish.every_trade)
    }

    fn known(&self) -> MutexGuard<'_, HashSet<Shared, FxBuildHasher>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Choice {
    /// Names the wish among those of now: equal ones have the same name.
    pub(super) fn name(&self) -> usize {
        Arc::as_ptr(&self.wish).addr()
    }

    /// Streams with this wish, on all threads.
    pub(super) fn streams(&self) -> usize {
        // One more is the list's.
        Arc::strong_count(&self.wish) - 1
    }
}

impl Deref for Choice {
    type Target = Wish;

    fn deref(&self) -> &Wish {
        &self.wish
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        // Counted under the lock, where alone the number grows.
        let mut known = self.choices.known();
        if self.streams() == 1 {
            known.remove(&*self.wish);
            if let Some(interest) = self.choices.interest_in(&self.wish) {
                interest.remove(&self.wish.symbols);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_kept_once_and_goes_with_its_last_stream() {
        let choices = Arc::new(Choices::default());
        let choose = |symbols: &[u32], fields| {
            choices.choose(&symbols.iter().copied().map(SymbolId).collect::<Vec<_>>(), fields, false)
        };
        let one = choose(&[1, 2], FieldSet::DEFAULT);
        assert_eq!(one.streams(), 1);
        let same = choose(&[1, 2], FieldSet::DEFAULT);
        let others = [choose(&[2, 1], FieldSet::DEFAULT), choose(&[1, 2], FieldSet::SYMBOL)];
        assert_eq!((one.streams(), same.name()), (2, one.name()));
        assert!(others.iter().all(|other| other.name() != one.name() && other.streams() == 1));
        drop(one);
        assert_eq!(choices.known().len(), 3);
        assert_eq!(same.streams(), 1);
        drop(same);
        drop(others);
        assert!(choices.known().is_empty());
    }
}
