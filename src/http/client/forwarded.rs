//! What proxies write about who asked them: `X-Forwarded-For`, and `Forwarded` of RFC 7239. Pure; whom to believe is not
//! decided here.

use std::net::{IpAddr, SocketAddr};

use crate::config::Forwarded;

/// Hops looked at. Who stands behind more proxies than that is taken for the last of them.
const HOPS_MAX: usize = 32;

/// The hops in order, the last one nearest to us, at most the nearest 32; `None` for one that is no address (`unknown`, an
/// obfuscated name, junk).
pub(super) fn hops(kind: Forwarded, values: &[&[u8]]) -> Vec<Option<IpAddr>> {
    let mut hops = Vec::new();
    for value in values {
        let before = hops.len();
        // What is not text, or not of the form, names nobody; and what stands left of it is not looked at.
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let read = match kind {
            // Of a list without quotes each part is told from the others whatever they are: a client's junk does not hide
            // what our proxy wrote behind it.
            Forwarded::XForwardedFor => {
                hops.extend(value.split(|&byte| byte == b',').map(|hop| node(text(hop)?.trim())));
                true
            }
            Forwarded::Standard => text(value).is_some_and(|text| elements(text, &mut hops)),
            // It is no header.
            Forwarded::ProxyProtocol => false,
        };
        if !read {
            hops.truncate(before);
            hops.push(None);
        }
    }
    let far = hops.len().saturating_sub(HOPS_MAX);
    if far > 0 {
        hops.drain(..far);
        hops[0] = None;
    }
    hops
}

/// Reads the elements of one `Forwarded` value: `for=192.0.2.43;proto=http, for="[2001:db8::17]:4711"`. `false` where it is
/// not of that form, since then nobody knows where one element ends and the next begins.
fn elements(text: &str, hops: &mut Vec<Option<IpAddr>>) -> bool {
    let mut rest = text.trim();
    while !rest.is_empty() {
        let mut hop = None;
        loop {
            let Some((name, value, after)) = pair(rest) else { return false };
            if name.eq_ignore_ascii_case("for") {
                if hop.is_some() {
                    return false;
                }
                hop = Some(node(&value));
            }
            rest = after.trim_start();
            match rest.strip_prefix(';') {
                Some(more) => rest = more.trim_start(),
                None => break,
            }
        }
        // An element without `for` is a proxy that does not say.
        hops.push(hop.flatten());
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => break,
            None => return false,
        }
    }
    true
}

/// `name=token` or `name="quoted"`, and what stands behind it.
fn pair(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    if !is_token(name) {
        return None;
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([';', ',', ' ', '\t']).unwrap_or(rest.len());
        let (value, rest) = rest.split_at(end);
        // Colons and brackets want quotes by the RFC; an address with its port is understood without.
        return Some((name, value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((name, value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// An address, with a port or without: `192.0.2.43`, `192.0.2.43:80`, `2001:db8::17`, `[2001:db8::17]:4711`.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(kind: Forwarded, text: &str) -> Vec<String> {
        let hops = hops(kind, &[text.as_bytes()]);
        hops.into_iter().map(|hop| hop.map_or("-".to_owned(), |hop| hop.to_string())).collect()
    }

    #[test]
    fn the_examples_of_rfc_7239_are_read() {
        let read = |text| read(Forwarded::Standard, text);
        assert_eq!(read("for=\"_gazonk\""), ["-"]);
        assert_eq!(read("For=\"[2001:db8:cafe::17]:4711\""), ["2001:db8:cafe::17"]);
        assert_eq!(read("for=192.0.2.60;proto=http;by=203.0.113.43"), ["192.0.2.60"]);
        assert_eq!(read("for=192.0.2.43, for=198.51.100.17"), ["192.0.2.43", "198.51.100.17"]);
        assert_eq!(
            read("for=192.0.2.43,for=\"[2001:db8:cafe::17]\";by=unknown"),
            ["192.0.2.43", "2001:db8:cafe::17"]
        );
        assert_eq!(read("by=10.0.0.1"), ["-"]);
        assert_eq!(read(""), [""; 0]);
    }

    #[test]
    fn p68_a_client_cannot_hide_a_comma_or_a_quote_to_shift_the_hops() {
        // The client wrote what is left of the last comma; the proxy appended the rest.
        for forged in ["for=\"1.1.1.1", "for=1.1.1.1;for=2.2.2.2", "for=\"a\\", "=", "for", "for=a b=c"] {
            let text = format!("{forged}, for=5.5.5.5");
            let hops = read(Forwarded::Standard, &text);
            assert!(hops == ["-"] || hops.last().map(String::as_str) == Some("5.5.5.5"), "{text}: {hops:?}");
            assert!(!hops.contains(&"1.1.1.1".to_owned()), "{text}: {hops:?}");
        }
        assert_eq!(read(Forwarded::Standard, "for=\"1.1.1.1, for=2.2.2.2\", for=5.5.5.5"), ["-", "5.5.5.5"]);
        assert_eq!(read(Forwarded::XForwardedFor, "a, 1.1.1.1:80 ,[::1]"), ["-", "1.1.1.1", "::1"]);
    }

    #[test]
    fn p68_what_a_client_wrote_that_is_no_text_does_not_hide_the_hop_behind_it() {
        let read = hops(Forwarded::XForwardedFor, &[b"\x80\xff, 1.1.1.1\xff, 5.5.5.5"]);
        assert_eq!(read, [None, None, Some(IpAddr::from([5, 5, 5, 5]))]);
    }

    #[test]
    fn of_an_endless_list_only_the_near_end_is_looked_at() {
        let hops = read(Forwarded::XForwardedFor, &"1.1.1.1,".repeat(10_000));
        assert_eq!((hops.len(), hops[0].as_str(), hops[31].as_str()), (HOPS_MAX, "-", "-"));
        assert!(hops[1..31].iter().all(|hop| hop == "1.1.1.1"));
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for kind in [Forwarded::XForwardedFor, Forwarded::Standard] {
                prop_assert!(hops(kind, &[&bytes]).len() <= HOPS_MAX);
            }
        }

        #[test]
        fn any_list_that_a_proxy_writes_is_read_back(list in proptest::collection::vec((any_address(), any::<u16>()), 1..10)) {
            let wanted: Vec<_> = list.iter().map(|(address, _)| Some(*address)).collect();
            let bare: Vec<String> = list.iter().map(|(address, _)| address.to_string()).collect();
            let (bare, sockets) = (bare.join(", "), list.iter().map(|pair| SocketAddr::from(*pair).to_string()));
            let quoted = |socket: &String| format!("proto=https;for=\"{socket}\"");
            let sockets: Vec<String> = sockets.collect();
            prop_assert_eq!(hops(Forwarded::XForwardedFor, &[bare.as_bytes()]), wanted.clone());
            prop_assert_eq!(hops(Forwarded::XForwardedFor, &[sockets.join(",").as_bytes()]), wanted.clone());
            let quoted: Vec<String> = sockets.iter().map(quoted).collect();
            prop_assert_eq!(hops(Forwarded::Standard, &[quoted.join(", ").as_bytes()]), wanted.clone());
            // Several lines are one list.
            let lines: Vec<&[u8]> = quoted.iter().map(String::as_bytes).collect();
            prop_assert_eq!(hops(Forwarded::Standard, &lines), wanted);
        }

        #[test]
        fn p68_whatever_a_client_wrote_the_hop_that_our_proxy_appends_on_a_line_of_its_own_is_the_last(
            forged in "[ -~]{0,60}", address in any_address()
        ) {
            let own = format!("for=\"{}\"", SocketAddr::new(address, 1));
            let read = hops(Forwarded::Standard, &[forged.as_bytes(), own.as_bytes()]);
            prop_assert_eq!(read.last(), Some(&Some(address)));
        }

        #[test]
        fn p68_whatever_a_client_wrote_our_proxys_hop_in_the_same_line_is_the_last_or_nobody_is(
            forged in "[ -~]{0,60}", address in any_address()
        ) {
            let text = format!("{forged}, for=\"{}\"", SocketAddr::new(address, 1));
            let last = *hops(Forwarded::Standard, &[text.as_bytes()]).last().expect("one at least");
            prop_assert!(last.is_none() || last == Some(address), "{text}: {last:?}");
        }
    }
}
