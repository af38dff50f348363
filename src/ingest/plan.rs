//! Which instruments go onto which connection: the venue's list, cut by what one connection takes.

use std::collections::HashMap;

use tickcast_feeds::Profile;

/// Shares of the instruments, one for each connection, in order; none where there are no instruments.
pub fn shares<'w>(profile: &Profile, wires: &[&'w str]) -> Vec<Vec<&'w str>> {
    wires.chunks(profile.instruments_max.max(1)).map(<[&str]>::to_vec).collect()
}

/// The shares once the venue's list has changed: what is still wanted stays on its connection, what is new goes where there
/// is room, and then onto further connections. A share that is empty needs its connection no more.
pub fn reshared<'w>(
    profile: &Profile,
    shares: &[impl AsRef<[String]>],
    wires: &[&'w str],
) -> Vec<Vec<&'w str>> {
    let max = profile.instruments_max.max(1);
    let places: HashMap<&str, usize> = shares
        .iter()
        .enumerate()
        .flat_map(|(place, share)| share.as_ref().iter().map(move |wire| (wire.as_str(), place)))
        .collect();
    let mut reshared: Vec<Vec<&str>> = vec![Vec::new(); shares.len()];
    let (kept, new): (Vec<&str>, Vec<&str>) = wires.iter().partition(|wire| places.contains_key(**wire));
    for wire in kept {
        reshared[places[wire]].push(wire);
    }
    let mut new = new.into_iter();
    for share in &mut reshared {
        let room = max.saturating_sub(share.len());
        share.extend(new.by_ref().take(room));
    }
    reshared.extend(self::shares(profile, new.as_slice()));
    reshared
}

#[cfg(test)]
mod tests {
    use tickcast_feeds::Venue;

    use super::*;

    #[test]
    fn m87_each_instrument_is_on_one_connection_and_none_holds_too_many() {
        let profile = Venue::Coinbase.profile().unwrap();
        let max = profile.instruments_max;
        let names: Vec<String> = (0..=max * 2).map(|index| format!("A{index}-USD")).collect();
        let wires: Vec<&str> = names.iter().map(String::as_str).collect();
        let shares = shares(profile, &wires);
        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [max, max, 1]);
        assert_eq!(shares.concat(), wires);
        assert!(super::shares(profile, &[]).is_empty());
    }

    #[test]
    fn what_is_still_wanted_stays_on_its_connection() {
        let profile = Profile { instruments_max: 3, ..*Venue::Coinbase.profile().unwrap() };
        let before = [["A", "B", "C"], ["D", "E", "F"]].map(|share| share.map(str::to_owned));
        let shares = |wires: &[&str]| {
            let shares = reshared(&profile, &before, wires);
            shares.iter().map(|share| share.concat()).collect::<Vec<_>>().join("|")
        };
        assert_eq!(shares(&["F", "E", "D", "C", "B", "A"]), "CBA|FED");
        assert_eq!(shares(&["A", "C", "D", "E", "F", "G"]), "ACG|DEF");
        assert_eq!(shares(&["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"]), "ABC|DEF|GHI|J");
        assert_eq!(shares(&["D"]), "|D");
        assert_eq!(shares(&[]), "|");
    }
}
