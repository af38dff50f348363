//! What one stream's list of symbols comes to once the catalogue has changed: a stream outlives many catalogues.

use std::collections::{BTreeMap, HashSet};

use bytes::{Bytes, BytesMut};

use super::State;
use super::asked::Asked;
use super::auth::Visitor;
use super::events::Notice;
use super::sse;
use crate::catalogue::{Catalogue, SymbolId};

/// What a stream keeps of what was asked, as far as another catalogue may answer it otherwise.
#[derive(Debug, Default)]
pub(super) struct List {
    /// The catalogue it was answered by.
    revision: u64,
    /// `None` where every name was found: then symbols can only go.
    open: Option<Box<Open>>,
}

/// What may be found yet.
#[derive(Debug)]
struct Open {
    visitor: Visitor,
    /// `*` was among it.
    all: bool,
    /// Names that no symbol had.
    unknown: Vec<Box<str>>,
}

/// What is different for a stream.
pub(super) struct Change {
    /// What it follows from now on.
    pub(super) symbols: Vec<SymbolId>,
    /// What its client is told; `None` where nothing is different.
    pub(super) notice: Option<Bytes>,
}

impl List {
    /// The list of a stream that is about to open.
    pub(super) fn new(visitor: &Visitor, asked: &Asked) -> Self {
        let open = (asked.all || !asked.unknown.is_empty()).then(|| {
            Box::new(Open { visitor: visitor.clone(), all: asked.all, unknown: asked.unknown.clone() })
        });
        Self { revision: asked.revision, open }
    }

    /// Whether there is another catalogue than the one that it was answered by.
    pub(super) fn is_outdated(&self, state: &State) -> bool {
        self.revision != state.fanout.latest().revision()
    }

    /// Answers it by the catalogue of now. `followed` is what the stream follows.
    pub(super) fn renew(&mut self, state: &State, followed: &[SymbolId]) -> Change {
        // Before the catalogue is looked at: where another comes meanwhile, this is done again.
        self.revision = state.fanout.latest().revision();
        let catalogue = state.catalogue();
        let (mut symbols, removed): (Vec<_>, Vec<_>) = followed.iter().partition(|&&id| catalogue.has(id));
        let mut added = BTreeMap::new();
        if let Some(open) = &mut self.open {
            open.find(&catalogue, &mut symbols, &mut added);
        }
        if added.is_empty() && removed.is_empty() {
            return Change { symbols: followed.to_vec(), notice: None };
        }
        let removed = removed.iter().map(|id| catalogue.entry(*id).symbol.clone()).collect();
        let mut out = BytesMut::with_capacity(128);
        sse::event(&mut out, &Notice::Symbols { added, removed }, None);
        Change { symbols, notice: Some(out.freeze()) }
    }
}

impl Open {
    /// Adds what can be found now, as far as the stream may have so many.
    fn find(
        &mut self,
        catalogue: &Catalogue,
        symbols: &mut Vec<SymbolId>,
        added: &mut BTreeMap<String, String>,
    ) {
        let Self { visitor, all, unknown } = self;
        let known: HashSet<SymbolId> = symbols.iter().copied().collect();
        let most = visitor.terms.symbols_max;
        let mut follow = |name: &str, id: SymbolId| {
            let is_new = !known.contains(&id) && !symbols.contains(&id);
            if !visitor.may_follow(catalogue, id) || (is_new && symbols.len() >= most) {
                return false;
            }
            if is_new {
                symbols.push(id);
            }
            added.insert(name.to_owned(), catalogue.entry(id).symbol.clone());
            true
        };
        unknown.retain(|name| !catalogue.find(name).is_some_and(|id| follow(name, id)));
        if *all {
            for id in catalogue.ids().filter(|id| !known.contains(id)) {
                follow(&catalogue.entry(id).symbol, id);
            }
        }
    }
}
