//! `tickcast key`: makes an API key. The key is shown once and kept nowhere; what goes into the keys file is its hash.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::http::auth;

/// What our keys begin with, so that scanners for leaked secrets can find them.
const PREFIX: &str = "tick_";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// It could not be printed.
    #[error("could not print it")]
    Print(#[from] io::Error),
}

/// Prints a new key, alone on a line, to `key`, and the lines for the keys file to `entry`.
///
/// # Errors
///
/// [`KeyError`].
pub fn run(
    id: &str,
    plan: Option<&str>,
    expires: Option<&str>,
    key: &mut impl Write,
    entry: &mut impl Write,
) -> Result<(), KeyError> {
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).map_err(|_| KeyError::Random)?;
    let made = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    writeln!(key, "{made}")?;
    writeln!(entry, "\n# For the keys file. The key itself was shown once and is kept nowhere.")?;
    writeln!(entry, "[[key]]\nid = {}\nhash = \"{}\"", quoted(id), auth::hash(&made))?;
    if let Some(plan) = plan {
        writeln!(entry, "plan = {}", quoted(plan))?;
    }
    if let Some(expires) = expires {
        writeln!(entry, "expires = {}", quoted(expires))?;
    }
    Ok(entry.flush()?)
}

/// As TOML writes a text.
fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_keys;

    #[test]
    fn a_new_key_is_good_by_the_lines_that_are_printed_for_the_file_and_they_do_not_hold_it() {
        let (mut keys, mut file) = (Vec::new(), Vec::new());
        for (id, plan, expires) in [("alice@a.b", None, None), ("bob", Some("gold"), Some("2030-01-31"))] {
            run(id, plan, expires, &mut keys, &mut file).expect("printed");
        }
        let (keys, file) = (String::from_utf8(keys).expect("text"), String::from_utf8(file).expect("text"));
        let read = read_keys(&file, "keys.toml", &["gold".to_owned()]).expect("a keys file");
        assert_eq!((read[0].id.as_str(), read[1].id.as_str(), keys.lines().count()), ("alice@a.b", "bob", 2));
        assert_eq!((read[1].plan.as_deref(), read[1].expires.is_some()), (Some("gold"), true));
        for (key, entry) in keys.lines().zip(&read) {
            assert_eq!(auth::hash(key), entry.hash);
            assert!(key.len() == 48 && key.starts_with(PREFIX) && !file.contains(key), "{key}");
        }
        assert_ne!(read[0].hash, read[1].hash);
    }
}
