//! The parameters of a request: name and value pairs from the query or from a JSON body, checked to be ones that
//! the route knows. What they mean is the route's business.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::parameter::Parameter;
use super::problem::{Kind, Problem, echo};
use crate::config::near;

/// Name and value pairs in the order they were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query string. `+` is a blank, as browsers write it.
    ///
    /// # Errors
    ///
    /// A [`Problem`] that names the part with a malformed percent-encoding.
    pub fn from_query(query: &str) -> Result<Self, Problem> {
        let pairs = query.split('&').filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name).ok_or_else(|| malformed("query", name))?;
            let value = decode(value).ok_or_else(|| malformed(&name, value))?;
            Ok((name, value))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// Reads a JSON object: lists are joined by commas, numbers and booleans become their text.
    ///
    /// # Errors
    ///
    /// A [`Problem`] where it is no such object.
    pub fn from_json(body: &[u8]) -> Result<Self, Problem> {
        let expected = r#"a JSON object such as {"symbols":["BTC"],"throttle":"250ms"}"#;
        let bad = |detail: String| Problem::new(Kind::BadBody, detail).expecting(expected);
        let object: serde_json::Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
            // Its own words for what is no object repeat it, and it may be a token.
            let why = if error.is_data() { "it is no object".to_owned() } else { error.to_string() };
            bad(format!("the body could not be read: {why}"))
        })?;
        let pairs = object.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
            let text = match &value {
                Value::Array(items) => {
                    items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|all| all.join(","))
                }
                other => scalar(other),
            };
            let what = if value.is_object() { "an object" } else { "a nested list" };
            text.map(|text| (name.clone(), text))
                .ok_or_else(|| bad(format!("`{}` is {what}", echo(&name))).about(&name, what))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// Refuses names that the route does not know.
    ///
    /// # Errors
    ///
    /// A [`Problem`] that names the first one, what the route knows, and what was probably meant.
    pub fn check(&self, known: &[Parameter]) -> Result<(), Problem> {
        let known: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
        let Some((name, value)) = self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) else {
            return Ok(());
        };
        let suggestions = near(name, &known);
        let detail = format!("unknown parameter `{}`; known are {}", echo(name), known.join(", "));
        let value = if is_secret(name) { "***" } else { value };
        Err(Problem::new(Kind::UnknownParameter, detail)
            .about(name, value)
            .expecting(known.join(", "))
            .suggesting(suggestions))
    }

    /// The value of a parameter that may be given once.
    ///
    /// # Errors
    ///
    /// A [`Problem`] where it is given more often.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            Some(second) => Err(Problem::bad_value(name, second, "the parameter once")),
            None => Ok(first),
        }
    }

    /// Takes a parameter out, as often as it is there.
    pub fn take(&mut self, name: &str) -> Vec<String> {
        let is_it = |pair: &mut (String, String)| pair.0 == name;
        self.0.extract_if(.., is_it).map(|(_, value)| value).collect()
    }

    /// The values of a parameter that may be repeated.
    pub fn all<'p>(&'p self, name: &str) -> impl Iterator<Item = &'p str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All of them, in order.
    #[cfg(any(test, fuzzing))]
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A switch: `true` or `false`, off where it is not given.
    ///
    /// # Errors
    ///
    /// A [`Problem`] where it is neither.
    pub fn switch(&self, name: &str) -> Result<bool, Problem> {
        match self.one(name)? {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(Problem::bad_value(name, other, "true or false")),
        }
    }

    /// A number from 1 up.
    ///
    /// # Errors
    ///
    /// A [`Problem`] where it is none, or above `most`.
    pub fn count(&self, name: &str, most: usize) -> Result<Option<usize>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let count = text.parse().ok().filter(|count| (1..=most).contains(count));
        count.map(Some).ok_or_else(|| Problem::bad_value(name, text, format!("a number from 1 to {most}")))
    }

    /// A duration. A bare number counts in `unit`.
    ///
    /// # Errors
    ///
    /// A [`Problem`] where it is none, or longer than `most`.
    pub fn duration(&self, name: &str, unit: Duration, most: Duration) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let bare = text.parse::<u32>().ok().and_then(|count| unit.checked_mul(count));
        let duration =
            bare.or_else(|| humantime::parse_duration(text).ok()).filter(|duration| *duration <= most);
        let example = if unit == Duration::from_secs(1) {
            "`15` (seconds), `15s`"
        } else {
            "`250` (milliseconds), `250ms`, `1s`"
        };
        let expected =
            || format!("a duration such as {example}, at most {}", humantime::format_duration(most));
        duration.map(Some).ok_or_else(|| Problem::bad_value(name, text, expected()))
    }
}

/// Whether a parameter of this name may hold a key or a token, which no answer repeats.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "token", "ticket", "secret", "auth", "jwt", "pass", "bearer", "cred"]
        .iter()
        .any(|part| name.contains(part))
}

/// The names that were probably meant.
pub(super) fn near(name: &str, known: &[&str]) -> Vec<String> {
    near::misses(name, known.iter().copied(), 3).into_iter().map(str::to_owned).collect()
}

/// A query's text decoded; `None` where a `%` has no two hex digits behind it or the bytes are no UTF-8.
fn decode(text: &str) -> Option<String> {
    let whole = text.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes();
        matches!((digits.next(), digits.next()), (Some(a), Some(b)) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
    });
    if !whole {
        return None;
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn malformed(parameter: &str, value: &str) -> Problem {
    let value = if is_secret(parameter) { "***" } else { value };
    let detail = format!("`{}` is not properly percent-encoded UTF-8", echo(value));
    Problem::new(Kind::MalformedEncoding, detail)
        .about(parameter, value)
        .expecting("`%` followed by two hex digits, the bytes being UTF-8")
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(switch) => Some(switch.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::asked::SYMBOLS;

    fn pairs(query: &str) -> Vec<(String, String)> {
        Params::from_query(query).expect("well-formed").0
    }

    #[test]
    fn a_query_is_decoded_once_and_repeats_are_kept() {
        let own = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(
            pairs("symbols=BTC%2FUSD&symbols=a+b&x"),
            own(&[("symbols", "BTC/USD"), ("symbols", "a b"), ("x", "")])
        );
        assert_eq!(pairs("a=%2525"), own(&[("a", "%25")]));
    }

    #[test]
    fn malformed_percent_encoding_is_refused() {
        for query in ["symbols=%", "symbols=%2", "symbols=%zz", "symbols=BTC%ff", "%C3=1"] {
            assert!(Params::from_query(query).is_err(), "{query}");
        }
    }

    #[test]
    fn what_looks_like_a_secret_is_not_repeated() {
        for query in [
            "token=s3cret",
            "API-Key=s3cret",
            "x-ticket=s3cret",
            "password=s3cret%",
            "Authorization=s3cret%zz",
        ] {
            let refused = Params::from_query(query).and_then(|params| params.check(&[SYMBOLS]));
            let said = format!("{:?}", refused.expect_err("it is unknown"));
            assert!(said.contains("***") && !said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn a_json_body_says_the_same_as_a_query() {
        let json = br#"{"symbols":["BTC","AAPL"],"throttle":250,"strict":true,"min_change":null}"#;
        let read = Params::from_json(json).expect("an object");
        assert_eq!(read.one("symbols"), Ok(Some("BTC,AAPL")));
        assert_eq!(
            read.duration("throttle", Duration::from_millis(1), Duration::MAX),
            Ok(Some(Duration::from_millis(250)))
        );
        assert_eq!(read.switch("strict"), Ok(true));
        assert_eq!(read.one("min_change"), Ok(None));
        let said = Params::from_json(b"\"s3cret\"").expect_err("no object");
        assert!(!format!("{said:?}").contains("s3cret"), "{said:?}");
        for bad in ["", "[]", "{", r#"{"symbols":{"a":1}}"#, r#"{"symbols":[["a"]]}"#] {
            assert!(Params::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in ".*") {
            drop(Params::from_query(&query));
        }

        #[test]
        fn what_a_browser_encodes_is_read_back(value in ".*") {
            let encoded = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
            prop_assert_eq!(pairs(&format!("symbols={encoded}")), vec![("symbols".to_owned(), value)]);
        }
    }
}
