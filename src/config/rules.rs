//! What must hold between the parts of a config: names that are nobody else's, sources that are what the
//! instrument says it is, and a feed for each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::auth::{Auth, AuthMode};
use super::feeds::Feeds;
use super::instrument::{Draft, Instrument, PriceRule};
use super::mistake::{Mistakes, Place};
use super::section::Section;

/// Each name, with the instrument that has it.
struct Names<'d> {
    drafts: &'d [Draft],
    owners: HashMap<String, usize>,
}

impl Names<'_> {
    /// Gives the name to an instrument, or returns where another has it already.
    fn claim(&mut self, name: String, index: usize) -> Result<(), String> {
        match self.owners.entry(name) {
            Entry::Vacant(free) => {
                free.insert(index);
                Ok(())
            }
            Entry::Occupied(taken) if *taken.get() == index => Ok(()),
            Entry::Occupied(taken) => {
                let owner = &self.drafts[*taken.get()];
                let at = match &owner.symbol_at {
                    Place::Line(line) => format!("line {line}"),
                    Place::Variable(variable) => variable.clone(),
                };
                Err(format!("`{}` is also a name of {} ({at})", taken.key(), owner.instrument.symbol))
            }
        }
    }
}

/// No name may mean two instruments: not a symbol, not an alias, and not one that comes by itself.
///
/// Symbols first, then what the operator wrote, then what comes by itself: so the mistake is told where it is
/// easiest to mend.
pub(super) fn check_names(
    drafts: &[Draft],
    generated: &[Instrument],
    generate_at: &Place,
    mistakes: &mut Mistakes,
) {
    let mut names = Names { drafts, owners: HashMap::new() };
    // An instrument that is there twice would only repeat the mistake with each of its aliases.
    let mut has_own_symbol = vec![false; drafts.len()];
    for (index, draft) in drafts.iter().enumerate().filter(|(_, draft)| !draft.instrument.symbol.is_empty()) {
        match names.claim(draft.instrument.symbol.clone(), index) {
            Ok(()) => has_own_symbol[index] = true,
            Err(problem) => mistakes.add(&draft.symbol_at, format!("{} symbol", draft.title), problem),
        }
    }
    let own = || drafts.iter().enumerate().filter(|(index, _)| has_own_symbol[*index]);
    for (index, draft) in own() {
        for (alias, place) in draft.instrument.aliases.iter().zip(&draft.aliases_at) {
            if let Err(problem) = names.claim(alias.clone(), index) {
                mistakes.add(place, format!("{} aliases", draft.title), problem);
            }
        }
    }
    for (index, draft) in own() {
        let mut claims =
            draft.instrument.automatic_aliases().into_iter().map(|alias| names.claim(alias, index));
        // The three differ by their punctuation only; one of them says it all.
        if let Some(problem) = claims.find_map(Result::err) {
            let problem = format!("the automatic alias {problem}; without `base` there is none");
            mistakes.add(&draft.base_at, format!("{} base", draft.title), problem);
        }
    }
    // Generated ones cannot clash with each other; one that clashes with an instrument tells of all that do.
    let mut claims = generated.iter().map(|instrument| names.claim(instrument.symbol.clone(), drafts.len()));
    if let Some(problem) = claims.find_map(Result::err) {
        mistakes.add(generate_at, "[feeds.sim] generate", problem);
    }
}

/// A source must be priced in the instrument's currency and be of its base, and be there once.
pub(super) fn check_sources(drafts: &[Draft], mistakes: &mut Mistakes) {
    for draft in drafts {
        check_sources_of(draft, mistakes);
    }
}

/// A cookie goes with every request of every page, so who may read the answers must be listed: browsers refuse `*` with
/// cookies anyway (P67).
pub(super) fn check_cookie(section: &mut Section<'_>, auth: &Auth, cors_origins: &[String]) {
    let is_any = cors_origins.iter().any(|origin| origin == "*");
    if auth.cookie.is_some() && auth.mode != AuthMode::None && is_any {
        let place = section.place_of("cookie");
        let problem = "goes not with cors_origins = [\"*\"]: list the pages that may use it in [http] cors_origins, or none";
        section.add(&place, "cookie", problem);
    }
}

/// Each instrument needs a source whose venue is on; the others' may be off.
pub(super) fn check_feeds(drafts: &[Draft], feeds: &Feeds, mistakes: &mut Mistakes) {
    for draft in drafts.iter().filter(|draft| draft.has_all_sources) {
        let sources = &draft.instrument.sources;
        if sources.is_empty() || sources.iter().any(|source| feeds.is_on(source.venue)) {
            continue;
        }
        let mut off: Vec<&str> = sources.iter().map(|source| source.venue.name()).collect();
        off.sort_unstable();
        off.dedup();
        let problem = match off[..] {
            [venue] => format!("no source is left: {venue} is off; switch on [feeds.{venue}]"),
            _ => format!("no source is left: {} are off; switch on one of them in [feeds]", off.join(", ")),
        };
        mistakes.add(&draft.sources_at, format!("{} sources", draft.title), problem);
    }
}

fn check_sources_of(draft: &Draft, mistakes: &mut Mistakes) {
    let instrument = &draft.instrument;
    let key = format!("{} sources", draft.title);
    for (index, (source, place)) in instrument.sources.iter().zip(&draft.source_at).enumerate() {
        if instrument.sources[..index].contains(source) {
            mistakes.add(place, &key, format!("`{source}` is there twice"));
            continue;
        }
        // A venue whose spelling does not tell is believed.
        let Some(pair) = source.venue.pair(&source.wire) else { continue };
        if let Some(quote) =
            pair.quote.as_deref().filter(|quote| !quote.eq_ignore_ascii_case(&instrument.currency))
        {
            let currency = &instrument.currency;
            let problem = format!(
                "`{source}` is priced in {quote}, the instrument in {currency}, which is not the same"
            );
            mistakes.add(place, &key, problem);
        }
        if let Some(base) = instrument.base.as_deref().filter(|base| !base.eq_ignore_ascii_case(&pair.base)) {
            mistakes.add(
                place,
                &key,
                format!("`{source}` is {}, the instrument's base is {base}", pair.base),
            );
        }
    }
    if draft.has_all_sources && instrument.sources.is_empty() {
        mistakes.add(&draft.sources_at, &key, "is empty; a price needs a source, such as coinbase:BTC-USD");
    }
    let can_be_met = instrument.min_sources <= instrument.sources.len() || instrument.sources.is_empty();
    if draft.has_all_sources && instrument.price == PriceRule::Median && !can_be_met {
        let (wanted, there) = (instrument.min_sources, instrument.sources.len());
        let problem =
            format!("{wanted} wanted, yet there are {there} sources: the price would always be degraded");
        mistakes.add(&draft.min_sources_at, format!("{} min_sources", draft.title), problem);
    }
}
