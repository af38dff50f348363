//! US sale conditions: which prints may set the last price, the session's range and its volume. Data, one row a
//! condition, with where each was read and how sure that is. What a vendor writes for a condition is here too;
//! what a vendor's frame looks like is not.
//!
//! A print often carries several conditions: the most restrictive one wins, field by field ([`Moves::and`]). A
//! condition that no table has moves volume only. That is our choice: a price that was missed is old by a
//! moment, a price that was never at the market is wrong.

use crate::{LastKind, Moves};

/// Who reports a listing's prints, so what its letters mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tape {
    /// Tapes A and B, the Consolidated Tape Association's: listed at NYSE, NYSE Arca, Cboe and others.
    Cta,
    /// Tape C, the UTP plan's: listed at Nasdaq.
    Utp,
}

impl Tape {
    /// From the tape's letter, as Alpaca writes it. `None` for others.
    pub fn from_letter(letter: &str) -> Option<Self> {
        match letter {
            "A" | "B" => Some(Self::Cta),
            "C" => Some(Self::Utp),
            _ => None,
        }
    }
}

/// How sure a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sure {
    /// The vendor's own page or its own table of conditions says so.
    Published,
    /// Tables that other vendors publish of the tapes' flags agree on it (`dxFeed`, `ThetaData`; read 2026-07).
    Tables,
    /// Recorded prints fit nothing else.
    Seen,
    /// General knowledge, read nowhere.
    Unconfirmed,
}

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition<C: 'static> {
    /// What the tape or the vendor writes.
    pub code: C,
    /// In words.
    pub meaning: &'static str,
    /// What a print with nothing else on it may move.
    pub moves: Moves,
    /// How sure that is.
    pub sure: Sure,
}

/// Late reports and prices that were agreed on before: they were at the market some time today, but are not now.
/// The tapes let the first or only print of a day set the last price even so; we cannot know that it is the only
/// one, so it does not.
const NOT_LAST: Moves = Moves { last: LastKind::No, range: true, volume: true };
/// Not at a price of the market.
const VOLUME: Moves = Moves { last: LastKind::No, range: false, volume: true };
/// Outside regular hours.
const EXTENDED: Moves = Moves { last: LastKind::Extended, range: false, volume: true };
/// No print at all: a marker that repeats one.
const NOTHING: Moves = Moves { last: LastKind::No, range: false, volume: false };
/// A correction of the day's close. The tapes let it set the last price; here a correction of another print never
/// does.
const CORRECTION: Moves = Moves { last: LastKind::No, range: true, volume: false };

const fn row<C>(code: C, meaning: &'static str, moves: Moves, sure: Sure) -> Condition<C> {
    Condition { code, meaning, moves, sure }
}

/// Letters that mean the same on both tapes, the frequent ones first. Alpaca sends these.
pub const LETTERS: &[Condition<&str>] = &[
    row("@", "regular", Moves::ALL, Sure::Tables),
    row(" ", "regular", Moves::ALL, Sure::Tables),
    row("", "regular", Moves::ALL, Sure::Tables),
    row("F", "intermarket sweep", Moves::ALL, Sure::Tables),
    row("I", "odd lot", VOLUME, Sure::Tables),
    row("T", "form T: extended hours", EXTENDED, Sure::Published),
    row("4", "derivatively priced", NOT_LAST, Sure::Tables),
    row("7", "qualified contingent", VOLUME, Sure::Unconfirmed),
    row("C", "cash: settled today", VOLUME, Sure::Tables),
    row("H", "price variation", VOLUME, Sure::Unconfirmed),
    row("K", "rule 127 or 155", Moves::ALL, Sure::Unconfirmed),
    row("L", "sold last: reported late", NOT_LAST, Sure::Tables),
    row("M", "a market's official close, no print", NOTHING, Sure::Tables),
    row("N", "next day: settled tomorrow", VOLUME, Sure::Tables),
    row("O", "opening", Moves::ALL, Sure::Unconfirmed),
    row("P", "prior reference price", NOT_LAST, Sure::Tables),
    row("Q", "a market's official open, no print", NOTHING, Sure::Tables),
    row("R", "seller: settled later", VOLUME, Sure::Tables),
    row("U", "extended hours, out of sequence", VOLUME, Sure::Tables),
    row("V", "contingent", VOLUME, Sure::Unconfirmed),
    row("X", "cross", Moves::ALL, Sure::Unconfirmed),
    row("Z", "sold out of sequence", NOT_LAST, Sure::Tables),
    row("5", "reopening", Moves::ALL, Sure::Unconfirmed),
    row("6", "closing", Moves::ALL, Sure::Unconfirmed),
    row("9", "corrected consolidated close", CORRECTION, Sure::Tables),
];

/// Letters of tapes A and B alone.
pub const CTA_LETTERS: &[Condition<&str>] = &[
    row("B", "average price", VOLUME, Sure::Tables),
    row("E", "automatic execution", Moves::ALL, Sure::Tables),
];

/// Letters of tape C alone.
pub const UTP_LETTERS: &[Condition<&str>] = &[
    row("A", "acquisition", Moves::ALL, Sure::Tables),
    row("B", "bunched", Moves::ALL, Sure::Tables),
    row("D", "distribution", Moves::ALL, Sure::Tables),
    row("G", "bunched, sold out of sequence", NOT_LAST, Sure::Unconfirmed),
    row("S", "split", Moves::ALL, Sure::Unconfirmed),
    row("W", "average price", VOLUME, Sure::Tables),
    row("Y", "yellow flag", Moves::ALL, Sure::Unconfirmed),
    row("1", "stopped stock", Moves::ALL, Sure::Unconfirmed),
];

/// Massive's numbers (formerly Polygon's), in order, as its `/v3/reference/conditions` has them; read 2026-11 in
/// copies of that table, 12 in its knowledge base too. Where it lets a late report set the close (30, 31), the
/// tapes' stricter word holds.
pub const MASSIVE: &[Condition<u16>] = &[
    row(0, "regular", Moves::ALL, Sure::Unconfirmed),
    row(1, "acquisition", Moves::ALL, Sure::Published),
    row(2, "average price", VOLUME, Sure::Published),
    row(3, "automatic execution", Moves::ALL, Sure::Published),
    row(4, "bunched", Moves::ALL, Sure::Published),
    row(5, "bunched, sold out of sequence", NOT_LAST, Sure::Published),
    row(6, "CAP election", Moves::ALL, Sure::Published),
    row(7, "cash: settled today", VOLUME, Sure::Published),
    row(8, "closing", Moves::ALL, Sure::Published),
    row(9, "cross", Moves::ALL, Sure::Published),
    row(10, "derivatively priced", NOT_LAST, Sure::Published),
    row(11, "distribution", Moves::ALL, Sure::Published),
    row(12, "form T: extended hours", EXTENDED, Sure::Published),
    row(13, "extended hours, out of sequence", VOLUME, Sure::Published),
    row(14, "intermarket sweep", Moves::ALL, Sure::Published),
    row(15, "a market's official close, no print", NOTHING, Sure::Published),
    row(16, "a market's official open, no print", NOTHING, Sure::Published),
    row(17, "a market's opening", Moves::ALL, Sure::Published),
    row(18, "a market's reopening", Moves::ALL, Sure::Published),
    row(19, "a market's closing", Moves::ALL, Sure::Published),
    row(20, "next day: settled tomorrow", VOLUME, Sure::Published),
    row(21, "price variation", VOLUME, Sure::Published),
    row(22, "prior reference price", NOT_LAST, Sure::Published),
    row(23, "rule 155", Moves::ALL, Sure::Published),
    row(24, "rule 127", Moves::ALL, Sure::Published),
    row(25, "opening", Moves::ALL, Sure::Published),
    row(27, "stopped stock", Moves::ALL, Sure::Published),
    row(28, "reopening", Moves::ALL, Sure::Published),
    row(29, "seller: settled later", VOLUME, Sure::Published),
    row(30, "sold last: reported late", NOT_LAST, Sure::Tables),
    row(31, "sold last, stopped stock", NOT_LAST, Sure::Tables),
    row(32, "sold out of sequence", NOT_LAST, Sure::Published),
    row(33, "sold out of sequence, stopped stock", NOT_LAST, Sure::Published),
    row(34, "split", Moves::ALL, Sure::Published),
    row(35, "stock option", Moves::ALL, Sure::Published),
    row(36, "yellow flag", Moves::ALL, Sure::Published),
    row(37, "odd lot", VOLUME, Sure::Published),
    row(38, "corrected consolidated close", CORRECTION, Sure::Published),
    row(41, "exempt from the trade-through rule", Moves::ALL, Sure::Published),
    row(52, "contingent", VOLUME, Sure::Published),
    row(53, "qualified contingent", VOLUME, Sure::Published),
    row(55, "opening or reopening, in detail", Moves::ALL, Sure::Published),
];

/// Finnhub's numbers. It publishes a list that we could not read; these four are plain in recordings: of 61 prints of
/// AAPL on 2023-03-31 those below 100 shares have 12 and no others do, 8 is on sweeps of one moment at one price, and
/// prints after 17:00 have 24. All others count as unknown.
pub const FINNHUB: &[Condition<u16>] = &[
    row(1, "regular", Moves::ALL, Sure::Seen),
    row(8, "intermarket sweep", Moves::ALL, Sure::Seen),
    row(12, "odd lot", VOLUME, Sure::Seen),
    row(24, "form T: extended hours", EXTENDED, Sure::Seen),
];

/// What a print with this letter may move. Without a tape only letters that mean the same on both are known.
pub fn letter(tape: Option<Tape>, code: &str) -> Moves {
    let own: &[_] = match tape {
        Some(Tape::Cta) => CTA_LETTERS,
        Some(Tape::Utp) => UTP_LETTERS,
        None => &[],
    };
    LETTERS.iter().chain(own).find(|row| row.code == code).map_or(VOLUME, |row| row.moves)
}

/// What a print with this number of Massive's may move.
pub fn massive(code: &str) -> Moves {
    number(MASSIVE, code)
}

/// What a print with this number of Finnhub's may move.
pub fn finnhub(code: &str) -> Moves {
    number(FINNHUB, code)
}

/// The tables of numbers are in order.
fn number(table: &[Condition<u16>], code: &str) -> Moves {
    let row = code.parse().ok().and_then(|code| table.binary_search_by_key(&code, |row| row.code).ok());
    row.map_or(VOLUME, |at| table[at].moves)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(tape: Tape, codes: &[&str]) -> Moves {
        codes.iter().fold(Moves::ALL, |moves, code| moves.and(letter(Some(tape), code)))
    }

    #[test]
    fn the_most_restrictive_condition_wins_field_by_field() {
        assert_eq!(letters(Tape::Utp, &["@", "F"]), Moves::ALL);
        assert_eq!(letters(Tape::Utp, &["@", "T"]), EXTENDED);
        // An odd lot outside regular hours sets no last price at all.
        assert_eq!(letters(Tape::Utp, &["@", "F", "T", "I"]), VOLUME);
        assert_eq!(letters(Tape::Cta, &[" ", "9"]), CORRECTION);
        assert_eq!(letters(Tape::Cta, &["T", "9"]), NOTHING);
        assert_eq!(letters(Tape::Cta, &[]), Moves::ALL);
    }

    #[test]
    fn a_letter_means_what_its_tape_says() {
        assert_eq!(letter(Some(Tape::Cta), "B"), VOLUME);
        assert_eq!(letter(Some(Tape::Utp), "B"), Moves::ALL);
        assert_eq!(letter(Tape::from_letter("O"), "B"), VOLUME);
        assert_eq!(letter(Tape::from_letter("C"), "W"), VOLUME);
        assert_eq!(Tape::from_letter("A"), Some(Tape::Cta));
    }

    #[test]
    fn what_nobody_knows_moves_volume_only() {
        assert_eq!(letters(Tape::Utp, &["@", "§"]), VOLUME);
        for code in ["999", "26", "", "-1", "x", "65536"] {
            assert_eq!(massive(code), VOLUME, "{code}");
        }
        assert_eq!((finnhub("2"), finnhub("0")), (VOLUME, VOLUME));
    }

    #[test]
    fn m63_form_t_sets_the_extended_last_and_nothing_of_the_regular_day() {
        for moves in [letter(Some(Tape::Cta), "T"), massive("12"), finnhub("24")] {
            assert_eq!(moves, Moves { last: LastKind::Extended, range: false, volume: true });
        }
    }

    #[test]
    fn m58_an_odd_lot_counts_for_volume_only() {
        for moves in [letter(Some(Tape::Utp), "I"), massive("37"), finnhub("12")] {
            assert_eq!(moves, Moves { last: LastKind::No, range: false, volume: true });
        }
    }

    #[test]
    fn tables_are_in_order_and_say_each_thing_once() {
        for table in [MASSIVE, FINNHUB] {
            assert!(table.is_sorted_by(|a, b| a.code < b.code));
        }
        for own in [CTA_LETTERS, UTP_LETTERS] {
            let mut codes: Vec<_> = LETTERS.iter().chain(own).map(|row| row.code).collect();
            let all = codes.len();
            codes.sort_unstable();
            codes.dedup();
            assert_eq!(codes.len(), all);
        }
    }
}
