//! From a written value to a typed one, or to the words for what is wrong with it and what would work.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use rust_decimal::Decimal;
use tickcast_feeds::number::parse_decimal;

use super::mistake::Place;
use super::section::Parsed;
use super::tree::{Node, Value};

/// Returns the text. From the environment, `5` and `true` are text too where text is wanted.
pub(super) fn text(node: &Node) -> Parsed<&str> {
    match (&node.value, &node.place) {
        (Value::Text(text), _) => Ok(text),
        (Value::Integer(_) | Value::Float | Value::Bool(_) | Value::Time, Place::Variable(_)) => {
            Ok(&node.written)
        }
        _ => Err(format!("expected text in quotes, found {}", node.kind())),
    }
}

/// `true` or `false`.
pub(super) fn boolean(node: &Node) -> Parsed<bool> {
    match node.value {
        Value::Bool(yes) => Ok(yes),
        _ => Err(format!("expected true or false, found {}", node.kind())),
    }
}

/// A whole number within the bounds.
pub(super) fn whole<N>(bounds: RangeInclusive<N>) -> impl Fn(&Node) -> Parsed<N>
where
    N: TryFrom<i64> + PartialOrd + Display,
{
    move |node| {
        let Value::Integer(number) = node.value else {
            return Err(format!("expected a whole number, found {}", node.kind()));
        };
        N::try_from(number)
            .ok()
            .filter(|value| bounds.contains(value))
            .ok_or_else(|| format!("{number} is out of bounds: from {} to {}", bounds.start(), bounds.end()))
    }
}

/// A number of any kind, exact as written, within the bounds. Both `0.2` and `"0.2"` will do.
pub(super) fn decimal(bounds: RangeInclusive<Decimal>) -> impl Fn(&Node) -> Parsed<Decimal> {
    move |node| {
        // TOML allows `1_000`; a decimal's text does not.
        let written = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float => node.written.replace('_', ""),
            _ => return Err(format!("expected a number, found {}", node.kind())),
        };
        let value = parse_decimal(&written).ok().flatten();
        let value = value.ok_or_else(|| format!("`{}` is not a number", written.escape_debug()))?;
        if !bounds.contains(&value) {
            return Err(format!("{value} is out of bounds: from {} to {}", bounds.start(), bounds.end()));
        }
        Ok(value)
    }
}

/// A duration with its unit, within the bounds. A bare 0 needs no unit.
pub(super) fn duration(bounds: RangeInclusive<Duration>) -> impl Fn(&Node) -> Parsed<Duration> {
    move |node| {
        let value = match &node.value {
            Value::Integer(0) => Duration::ZERO,
            Value::Text(text) => humantime::parse_duration(text).map_err(|_| {
                format!("`{}` is no duration, such as \"250ms\" or \"10s\"", text.escape_debug())
            })?,
            _ => {
                let found = node.kind();
                return Err(format!(
                    "expected a duration with its unit, such as \"250ms\" or \"10s\", found {found}"
                ));
            }
        };
        if !bounds.contains(&value) {
            let [value, least, most] =
                [value, *bounds.start(), *bounds.end()].map(humantime::format_duration);
            return Err(format!("{value} is out of bounds: from {least} to {most}"));
        }
        Ok(value)
    }
}

/// An address and port to listen on.
pub(super) fn socket_address(node: &Node) -> Parsed<SocketAddr> {
    let text = text(node)?;
    let what = "is no address and port, such as 127.0.0.1:8080 or [::1]:8080";
    text.parse().map_err(|_| format!("`{}` {what}", text.escape_debug()))
}

/// A network such as `10.0.0.0/8`; an address alone is a network of one.
pub(super) fn network(node: &Node) -> Parsed<IpNet> {
    let text = text(node)?;
    let alone = || text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or_else(|_| alone());
    let what = "is no address or network, such as 10.0.0.0/8 or ::1";
    network.map(|network| network.trunc()).map_err(|_| format!("`{}` {what}", text.escape_debug()))
}

/// A value of the `Origin` header, in the lower case in which browsers send it, or `*` for all.
pub(super) fn origin(node: &Node) -> Parsed<String> {
    let text = text(node)?;
    let lower = text.to_ascii_lowercase();
    let host = lower.split_once("://").map(|(scheme, host)| (!scheme.is_empty()).then_some(host));
    let is_host =
        |host: &str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@,".contains(&b));
    if lower == "*" || lower == "null" || host.flatten().is_some_and(is_host) {
        return Ok(lower);
    }
    let what = "is no origin, such as https://example.com (no path, no slash at the end) or *";
    Err(format!("`{}` {what}", text.escape_debug()))
}

/// A WebSocket address. The text is never repeated in a mistake: it may hold a token.
pub(super) fn socket_url(node: &Node) -> Parsed<String> {
    let text = text(node)?;
    let rest = text.strip_prefix("wss://").or_else(|| text.strip_prefix("ws://"));
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':'])) && is_plain {
        return Ok(text.to_owned());
    }
    Err("no WebSocket address: it must start with ws:// or wss://, name a host and hold no blanks".to_owned())
}

/// A folder, which need not be there yet.
pub(super) fn folder(node: &Node) -> Parsed<PathBuf> {
    match text(node)? {
        "" => Err("names no folder".to_owned()),
        path => Ok(PathBuf::from(path)),
    }
}

/// A file, which is looked at later.
pub(super) fn file(node: &Node) -> Parsed<PathBuf> {
    match text(node)? {
        "" => Err("names no file".to_owned()),
        path => Ok(PathBuf::from(path)),
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let text = text(node)?;
        if let Some(&(_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(value);
        }
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Err(format!("`{}` is none of: {}", text.escape_debug(), words.join(", ")))
    }
}
