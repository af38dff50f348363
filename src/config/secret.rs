//! Secrets: from a variable or a file that the config names, never from the config itself, and never printed.

use std::collections::HashMap;
use std::fmt;

use super::parse::text;
use super::section::{Parsed, Section};

/// Bytes in a secret's file; more is not a key.
const SECRET_MAX: usize = 4096;

/// Text that is shown as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What the operator shows a venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key, or token.
    pub key: Secret,
    /// Its secret half, where there is one.
    pub secret: Option<Secret>,
}

impl Secret {
    /// The text itself, for the one frame or address that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn of(text: &str) -> Parsed<Self> {
        let text = text.trim();
        let is_key =
            !text.is_empty() && text.len() <= SECRET_MAX && text.bytes().all(|b| b.is_ascii_graphic());
        if is_key {
            Ok(Self(text.to_owned()))
        } else {
            Err("holds no key: it is empty, or has blanks in it".to_owned())
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Key {
    /// Reads `key_env` or `key_file`, and `secret_env` or `secret_file`. Of a feed that is off only their spelling
    /// is looked at.
    pub(super) fn read(
        section: &mut Section<'_>,
        is_on: bool,
        env: &HashMap<String, String>,
    ) -> Option<Self> {
        let key = either(section, ["key_env", "key_file"], is_on, env);
        let secret = either(section, ["secret_env", "secret_file"], is_on, env);
        if key.is_none() && secret.is_some() {
            let place = section.place_of("secret_env");
            section.add(&place, "secret_env", "is of no use without a key: key_env or key_file");
        }
        Some(Self { key: key?, secret })
    }
}

/// Reads the variable or the file that a secret is in.
pub(super) fn either(
    section: &mut Section<'_>,
    [variable, file]: [&'static str; 2],
    is_on: bool,
    env: &HashMap<String, String>,
) -> Option<Secret> {
    let named = section.optional(variable, |node| {
        let name = text(node)?;
        match env.get(name) {
            _ if !is_on => Ok(None),
            Some(text) => {
                Secret::of(text).map(Some).map_err(|problem| format!("the variable {name} {problem}"))
            }
            None => Err(format!("the variable {name} is not set")),
        }
    });
    let kept = section.optional(file, |node| {
        let path = text(node)?;
        if !is_on {
            return Ok(None);
        }
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        Secret::of(&text).map(Some).map_err(|problem| format!("{path} {problem}"))
    });
    if named.is_some() && kept.is_some() {
        let place = section.place_of(file);
        section.add(&place, file, format!("is there beside {variable}: one of them, please"));
    }
    named.or(kept).flatten()
}
