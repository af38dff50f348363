//! A list by index that grows by itself: for what is kept per symbol, since symbols can be added while others are read.

use std::ops::Index;
use std::sync::{Mutex, PoisonError};

/// Things by index, each made when it is first asked for, with all before it. None ever moves or goes, so a look takes no
/// lock. Indices must come from something bounded, such as a catalogue.
#[derive(Debug)]
pub struct Growing<T> {
    things: boxcar::Vec<T>,
    growth: Mutex<()>,
}

impl<T: Default> Growing<T> {
    /// A list with so many things at once.
    pub fn with(count: usize) -> Self {
        Self { things: (0..count).map(|_| T::default()).collect(), growth: Mutex::default() }
    }

    /// All that were made so far, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.things.iter().map(|(_, thing)| thing)
    }

    #[cold]
    fn grow(&self, index: usize) -> &T {
        // Who finds the thing missing meets its maker here, and then sees all that was done to it before.
        let _growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        while self.things.count() <= index {
            self.things.push(T::default());
        }
        &self.things[index]
    }
}

impl<T: Default> Index<usize> for Growing<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        self.things.get(index).unwrap_or_else(|| self.grow(index))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn whoever_asks_first_every_index_is_one_thing() {
        let counts = Growing::<AtomicUsize>::with(3);
        assert_eq!(counts.iter().count(), 3);
        std::thread::scope(|threads| {
            for thread in 0..4 {
                let counts = &counts;
                threads.spawn(move || {
                    for index in 0..1_000 {
                        counts[(index * 7 + thread) % 1_000].fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(counts.iter().count(), 1_000);
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 4));
    }
}
