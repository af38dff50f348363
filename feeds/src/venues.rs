//! The one list: a [`Venue`] to its profile, its codec and its spelling.

pub mod binance;
pub mod coinbase;
pub mod kraken;

use crate::{Codec, Pair, Profile, Venue};

impl Venue {
    /// Facts about the venue's socket; `None` for the simulator, which has none.
    pub fn profile(self) -> Option<&'static Profile> {
        match self {
            Self::Binance => Some(&binance::PROFILE),
            Self::Coinbase => Some(&coinbase::PROFILE),
            Self::Kraken => Some(&kraken::PROFILE),
            Self::Sim => None,
        }
    }

    /// A codec for one new connection; `None` for the simulator, which sends no frames.
    pub fn codec(self) -> Option<Box<dyn Codec>> {
        match self {
            Self::Binance => Some(Box::<binance::Binance>::default()),
            Self::Coinbase => Some(Box::<coinbase::Coinbase>::default()),
            Self::Kraken => Some(Box::<kraken::Kraken>::default()),
            Self::Sim => None,
        }
    }

    /// What a wire name is in common asset codes; `None` where the venue's own list does not tell.
    pub fn pair(self, wire: &str) -> Option<Pair<'_>> {
        match self {
            Self::Binance => binance::pair(wire),
            Self::Coinbase => coinbase::pair(wire),
            Self::Kraken => kraken::pair(wire),
            Self::Sim => Some(match wire.split_once('-') {
                Some((base, quote)) => Pair { base, quote: Some(quote) },
                None => Pair { base: wire, quote: None },
            }),
        }
    }
}
