//! Which instruments go onto which connection: the venue's list, cut by what one connection takes.

use tickcast_feeds::Profile;

/// Shares of the instruments, one for each connection, in order; none where there are no instruments.
pub fn shares<'w>(profile: &Profile, wires: &[&'w str]) -> Vec<Vec<&'w str>> {
    wires.chunks(profile.instruments_max.max(1)).map(<[&str]>::to_vec).collect()
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
}
