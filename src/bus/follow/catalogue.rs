//! The catalogue of an edge: that of the bus, whenever it is another.

use std::collections::HashMap;

use tracing::{error, info};

use super::super::{listing, names};
use super::{Done, Edge, gather};
use crate::catalogue::{Catalogue, SymbolId};
use crate::clock;

impl Edge {
    /// Asks for it, unless that is done already.
    pub(super) fn fetch_catalogue(&mut self) {
        if std::mem::replace(&mut self.is_listing, true) {
            return;
        }
        let nats = self.nats.clone();
        self.work.push(Box::pin(async move { Done::Catalogue(gather::catalogue(nats).await) }));
    }

    /// Goes over to this one.
    pub(super) fn list(&mut self, revision: u64, bytes: &[u8]) {
        if self.listed == Some(revision) {
            return;
        }
        let instruments = match listing::decode(bytes) {
            Ok(instruments) => instruments,
            Err(error) => {
                if self.told.insert("catalogue") {
                    error!(%error, "the catalogue on the bus is of no use");
                }
                return;
            }
        };
        let latest = &self.around.latest;
        let before = latest.catalogue();
        let catalogue = before.revised(instruments);
        self.tokens = tokens(&catalogue);
        info!(symbols = catalogue.len(), "the catalogue is that of the bus");
        let gone: Vec<SymbolId> = before.ids().filter(|&id| !catalogue.has(id)).collect();
        drop(before);
        latest.revise(catalogue, &[], clock::now());
        for id in gone {
            self.lines.remove(id);
            self.followed.remove(&id);
            self.around.interest.left(id);
        }
        self.listed = Some(revision);
        self.told.remove("catalogue");
        self.around.board.serves(true);
        self.follow();
    }
}

fn tokens(catalogue: &Catalogue) -> HashMap<String, SymbolId> {
    catalogue.ids().map(|id| (names::token(&catalogue.entry(id).symbol), id)).collect()
}
