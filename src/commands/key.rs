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
