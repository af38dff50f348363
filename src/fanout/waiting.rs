//! Which of one fan-out thread's streams wait for the next change of which symbol.

use std::sync::Arc;

use super::bells::Bell;
use crate::catalogue::SymbolId;

/// The lists of one thread. A stream is named by a key that its owner chooses.
pub struct Waiting {
    bell: Arc<Bell>,
    lists: Vec<Vec<Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u32,
    /// Which of the stream's own symbols this list is.
    position: u32,
}

/// A stream's places in the lists of its symbols, by position: the index plus one; 0 while it is in none.
pub type Places = Box<[u32]>;

impl Waiting {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        Self { bell, lists: Vec::new() }
    }

    /// Whether something changed for which somebody waits.
    pub fn is_rung(&self) -> bool {
        self.bell.is_marked()
    }

    /// Puts a stream into the lists it is not in yet. The caller must look again for changes after this.
    pub fn join(&mut self, key: u32, symbols: &[SymbolId], places: &mut [u32]) {
        for (position, (place, &id)) in (0..).zip(places.iter_mut().zip(symbols)) {
            if *place == 0 {
                if id.index() >= self.lists.len() {
                    self.lists.resize_with(id.index() + 1, Vec::new);
                }
                let list = &mut self.lists[id.index()];
                list.push(Entry { key, position });
                *place = u32::try_from(list.len()).expect("streams are counted in u32");
                self.bell.wait(id, list.len());
            }
        }
    }

    /// Takes a stream out of all lists. `moved` is told each other stream's new place in a list.
    pub fn leave(
        &mut self,
        symbols: &[SymbolId],
        places: &mut [u32],
        mut moved: impl FnMut(u32, usize, u32),
    ) {
        for (place, &id) in places.iter_mut().zip(symbols) {
            let Some(index) = std::mem::take(place).checked_sub(1) else { continue };
            let list = &mut self.lists[id.index()];
            list.swap_remove(index as usize);
            if let Some(other) = list.get(index as usize) {
                moved(other.key, other.position as usize, index + 1);
            }
            self.bell.wait(id, list.len());
        }
    }

    /// Empties the lists of all symbols that changed: `woken` is told each stream and which of its places is void now.
    pub fn take(&mut self, mut woken: impl FnMut(u32, usize)) {
        let Self { bell, lists } = self;
        bell.marks(|id| {
            bell.wait(id, 0);
            for Entry { key, position } in lists[id.index()].drain(..) {
                woken(key, position as usize);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::Bells;

    struct Stream {
        symbols: Vec<SymbolId>,
        places: Places,
    }

    fn stream(symbols: &[u32]) -> Stream {
        Stream {
            symbols: symbols.iter().copied().map(SymbolId).collect(),
            places: vec![0; symbols.len()].into(),
        }
    }

    fn lists(bells: &Bells) -> Waiting {
        Waiting::new(bells.listen(|| {}).expect("room"))
    }

    #[test]
    fn p57_streams_on_quiet_symbols_that_leave_in_any_order_leave_nothing_behind() {
        let bells = Bells::default();
        let mut waiting = lists(&bells);
        let mut streams: Vec<_> = (0..1000).map(|key| stream(&[key % 7, 100, 129])).collect();
        for (key, stream) in (0..).zip(&mut streams) {
            waiting.join(key, &stream.symbols, &mut stream.places);
            // Waiting again, as after a timer, must not join a list twice.
            waiting.join(key, &stream.symbols, &mut stream.places);
        }
        assert_eq!(waiting.lists.iter().map(Vec::len).sum::<usize>(), 3000);
        // Every third, then backwards.
        let order = (0..1000).step_by(3).chain((0..1000).rev().filter(|key| key % 3 != 0));
        for key in order {
            let mut gone = std::mem::replace(&mut streams[key], stream(&[]));
            waiting.leave(&gone.symbols, &mut gone.places, |other, position, place| {
                streams[other as usize].places[position] = place;
            });
            for (key, stream) in (0..).zip(&streams) {
                for (place, id) in stream.places.iter().zip(&stream.symbols) {
                    assert_eq!(waiting.lists[id.index()][*place as usize - 1].key, key);
                }
            }
        }
        assert!(waiting.lists.iter().all(Vec::is_empty));
        bells.ring(SymbolId(100));
        waiting.take(|_, _| unreachable!("nobody waits"));
    }

    #[test]
    fn a_ring_wakes_whoever_waits_for_that_symbol_once_and_nobody_else() {
        let bells = Bells::default();
        let mut waiting = lists(&bells);
        let mut streams = [stream(&[0, 129]), stream(&[65, 129]), stream(&[64])];
        for (key, stream) in (0..).zip(&mut streams) {
            waiting.join(key, &stream.symbols, &mut stream.places);
        }
        let mut take = || {
            let mut woken = Vec::new();
            waiting.take(|key, position| woken.push((key, position)));
            woken
        };
        bells.ring(SymbolId(1));
        assert!(take().is_empty());
        bells.ring(SymbolId(65));
        bells.ring(SymbolId(65));
        assert_eq!(take(), [(1, 0)]);
        bells.ring(SymbolId(65));
        assert!(take().is_empty());
        bells.ring(SymbolId(129));
        assert_eq!(take(), [(0, 1), (1, 1)]);
    }
}
