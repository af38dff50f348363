//! What is where on the bus: subjects of symbols, and the names of what NATS keeps.

use std::fmt::Write as _;

use crate::config::Bus;

/// Version of this layout: part of every subject, so that nodes of another one neither hear nor hurt each other.
const LAYOUT: &str = "v1";

/// What is published of symbols, each in a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The newest state.
    Tickers,
    /// Every trade.
    Trades,
}

impl What {
    /// In a sentence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tickers => "tickers",
            Self::Trades => "trades",
        }
    }
}

/// The names that one installation uses.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
    /// The stream of tickers.
    pub stream: String,
    /// The stream of trades.
    pub trades: String,
    /// The bucket of the lease.
    pub lease: String,
    /// The bucket of the catalogue.
    pub catalogue: String,
}

impl Names {
    /// The names of a config.
    pub fn new(config: &Bus) -> Self {
        let stream = config.stream.clone();
        let prefix = format!("{}.{LAYOUT}", config.subjects);
        let of = |what| format!("{stream}_{what}");
        Self { prefix, trades: of("trades"), lease: of("lease"), catalogue: of("catalogue"), stream }
    }

    /// Where something of a symbol is published; of all of them with `*`.
    pub fn stored(&self, what: What, token: &str) -> String {
        let kind = match what {
            What::Tickers => "last",
            What::Trades => "trades",
        };
        format!("{}.{kind}.{token}", self.prefix)
    }

    /// Where it comes out again once it is stored, with its sequence.
    pub fn live(&self, what: What, token: &str) -> String {
        let kind = match what {
            What::Tickers => "live",
            What::Trades => "prints",
        };
        format!("{}.{kind}.{token}", self.prefix)
    }

    /// Where the node that publishes says that it is there.
    pub fn beat(&self) -> String {
        format!("{}.beat", self.prefix)
    }

    /// Where a node says that it waits for the lease, and that its feeds are well.
    pub fn able(&self) -> String {
        format!("{}.able", self.prefix)
    }

    /// Where it says how its feeds are.
    pub fn feeds(&self) -> String {
        format!("{}.feeds", self.prefix)
    }
}

/// A symbol as one token of a subject: letters, digits, `-` and `_` as they are, the rest as `=` and two hex digits. NATS
/// gives `.`, `*`, `>` and `$` a meaning.
pub fn token(symbol: &str) -> String {
    let mut token = String::with_capacity(symbol.len() + 8);
    for byte in symbol.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            token.push(char::from(byte));
        } else {
            write!(token, "={byte:02X}").expect("a String grows");
        }
    }
    token
}

/// The symbol of a token; nothing where it is no symbol's.
pub fn symbol(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().filter(|symbol| self::token(symbol) == token)
}

/// The last token of a subject.
pub fn token_of(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or(subject)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The characters that the config allows in a symbol.
    const ALLOWED: &str = "[A-Z0-9.\\-_/:=^$&]{1,32}";

    proptest! {
        #[test]
        fn every_symbol_is_one_token_and_comes_back(name in ALLOWED) {
            let token = token(&name);
            prop_assert!(token.bytes().all(|b| b.is_ascii_graphic() && !b".*>$".contains(&b)), "{token}");
            prop_assert_eq!(symbol(&token), Some(name));
        }

        #[test]
        fn no_two_symbols_share_a_token(a in ALLOWED, b in ALLOWED) {
            prop_assert_eq!(token(&a) == token(&b), a == b);
        }

        #[test]
        fn a_token_that_no_symbol_has_is_none(text in "\\PC{0,40}") {
            if let Some(symbol) = symbol(&text) {
                prop_assert_eq!(token(&symbol), text);
            }
        }
    }

    #[test]
    fn tokens_stay_readable() {
        assert_eq!(
            (token("BTC"), token("BRK.B"), token("BTC/USD")),
            ("BTC".into(), "BRK=2EB".into(), "BTC=2FUSD".into())
        );
        assert_eq!((symbol("BRK=2eB"), symbol("A="), symbol("A=4")), (None, None, None));
        assert_eq!(token_of("tickcast.v1.live.BRK=2EB"), "BRK=2EB");
    }
}
