//! `[auth]`: how clients prove who they are. What they may have then stands in `[plans]`, and which keys there are in
//! a file of their own, so that it can change while the service runs.

mod jwks;
mod keys;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

pub use jwks::{BadJwks, JwtKey, SignedBy, read_jwks};
pub use keys::{ApiKey, KeyHash, check_key};

pub(crate) use keys::read_keys;

use super::mistake::Mistakes;
use super::parse::{boolean, duration, text, word};
use super::secret::{self, Secret};
use super::section::{Parsed, Section};
use super::tree::Node;

/// Bytes in a keys file or a JWKS file: some 100,000 keys. A larger one is a mistake, or a mishap.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// Bytes of an HS256 secret: as many as its hash has (RFC 7518, section 3.2).
const HMAC_SECRET_MIN: usize = 32;
/// Bytes in a plan's name, a cookie's, a claim's.
const NAME_MAX: usize = 64;

/// Who clients are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// How they prove it. Default: nobody has to.
    pub mode: AuthMode,
    /// The cookie that holds a key or a token. Default: none.
    pub cookie: Option<String>,
    /// Whether a key or a token may stand in the query, as `api_key`, where logs of proxies keep it. Default: false.
    pub query: bool,
    /// The plan of who shows nothing. Default: they are refused.
    pub anonymous: Option<String>,
    /// The plan of a key or a token that names none. Default: `[limits]` and every symbol.
    pub plan: Option<String>,
    /// Who reads `/feeds` and `/metrics`. Default: holders of a plan with `operator = true`.
    pub operators: Operators,
}

/// How clients prove who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// Not at all: a client is an address.
    #[default]
    None,
    /// By an API key.
    Keys(KeysFile),
    /// By a JSON Web Token.
    Jwt(Jwt),
}

/// The file of API keys, and what stood in it at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysFile {
    /// Where it is. Required in mode `keys`.
    pub path: PathBuf,
    /// What it said when the config was read.
    pub keys: Vec<ApiKey>,
}

/// How tokens are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// Whose signatures are good.
    pub signed_by: SignedBy,
    /// What `iss` must be. Default: anything.
    pub issuer: Option<String>,
    /// What `aud` must be, or hold. Default: the token has none.
    pub audience: Option<String>,
    /// How far the issuer's clock may be off. 0 to 5 min. Default: 30 s.
    pub leeway: Duration,
    /// The claim that says whose the token is. Default: `sub`.
    pub subject_claim: String,
    /// The claim that names the plan. Default: `plan`.
    pub plan_claim: String,
}

/// Who reads what is for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operators {
    /// Who holds a plan with `operator = true`.
    #[default]
    Plan,
    /// Everybody who reaches the port.
    Open,
}

#[derive(Clone, Copy)]
enum Kind {
    None,
    Keys,
    Jwt,
}

impl Auth {
    /// Reads `[auth]`. Of a mode that is off only the spelling is looked at.
    pub(super) fn read(section: &mut Section<'_>, plans: &[String], env: &HashMap<String, String>) -> Self {
        let kind = word(&[("none", Kind::None), ("keys", Kind::Keys), ("jwt", Kind::Jwt)]);
        let kind = section.get("mode", Kind::None, kind);
        let keys = read_keys_file(section, matches!(kind, Kind::Keys), plans);
        let jwt = section.table("jwt", |section| Jwt::read(section, matches!(kind, Kind::Jwt), env));
        let named = |node: &Node| plan(node, plans);
        Self {
            mode: match kind {
                Kind::None => AuthMode::None,
                Kind::Keys => keys.map_or(AuthMode::None, AuthMode::Keys),
                Kind::Jwt => {
                    if jwt.is_none() {
                        let place = section.place.clone();
                        section.add(&place, "jwt", "is missing: [auth.jwt] says whose tokens are good");
                    }
                    jwt.flatten().map_or(AuthMode::None, AuthMode::Jwt)
                }
            },
            cookie: section.optional("cookie", name),
            query: section.get("query", false, boolean),
            anonymous: section.optional("anonymous", named),
            plan: section.optional("plan", named),
            operators: section.get(
                "operators",
                Operators::Plan,
                word(&[("plan", Operators::Plan), ("open", Operators::Open)]),
            ),
        }
    }
}

/// Reads `keys_file`, and the file where it is wanted.
fn read_keys_file(section: &mut Section<'_>, is_on: bool, plans: &[String]) -> Option<KeysFile> {
    if is_on {
        section.require("keys_file");
    }
    section.optional("keys_file", |node| {
        let path = PathBuf::from(text(node)?);
        if !is_on {
            return Ok(None);
        }
        let text = read_file(&path)?;
        let keys =
            read_keys(&text, &path.display().to_string(), plans).map_err(|mistakes| first_of(&mistakes))?;
        Ok(Some(KeysFile { path, keys }))
    })?
}

impl Jwt {
    fn read(section: &mut Section<'_>, is_on: bool, env: &HashMap<String, String>) -> Option<Self> {
        let mistakes_before = section.mistakes();
        let secret = secret::either(section, ["secret_env", "secret_file"], is_on, env);
        let is_short = |secret: &Secret| secret.expose().len() < HMAC_SECRET_MIN;
        if secret.as_ref().is_some_and(is_short) {
            let place = section.place.clone();
            let problem = format!(
                "is shorter than {HMAC_SECRET_MIN} bytes, so it could be found out from one token (RFC 7518, 3.2)"
            );
            section.add(&place, "the secret", problem);
        }
        let jwks = section.optional("jwks_file", |node| {
            let path = PathBuf::from(text(node)?);
            if !is_on {
                return Ok(None);
            }
            let text = read_file(&path)?;
            let keys = read_jwks(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Some(SignedBy::Jwks { path, keys }))
        });
        let signed_by = match (secret, jwks.flatten()) {
            (Some(_), Some(_)) => {
                let place = section.place_of("jwks_file");
                let problem = "is there beside a secret: one of them, please; a JWKS may hold a secret too";
                section.add(&place, "jwks_file", problem);
                None
            }
            (Some(secret), None) => Some(SignedBy::Secret(secret)),
            (None, jwks) => jwks,
        };
        if is_on && signed_by.is_none() && section.mistakes() == mistakes_before {
            let place = section.place.clone();
            section.add(&place, "secret_env", "is missing: or secret_file (HS256), or jwks_file");
        }
        let leeway = duration(Duration::ZERO..=Duration::from_mins(5));
        let read = |signed_by| Self {
            signed_by,
            issuer: section.optional("issuer", claim),
            audience: section.optional("audience", claim),
            leeway: section.get("leeway", Duration::from_secs(30), leeway),
            subject_claim: section.get("subject_claim", "sub".to_owned(), name),
            plan_claim: section.get("plan_claim", "plan".to_owned(), name),
        };
        // Read all the same where nothing is signed: every mistake is told.
        let jwt = read(signed_by.clone().unwrap_or(SignedBy::Nobody));
        signed_by.map(|_| jwt)
    }
}

/// Reads a file that clients depend on, whole.
pub(crate) fn read_file(path: &std::path::Path) -> Result<String, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let bytes = std::fs::metadata(path).map_err(told)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("{}: {bytes} bytes, more than {FILE_BYTES_MAX}", path.display()));
    }
    std::fs::read_to_string(path).map_err(told)
}

/// The first of a file's mistakes, and how many more there are: it stands in one line of the config's own.
fn first_of(mistakes: &Mistakes) -> String {
    let all = mistakes.to_string();
    let first = all.lines().next().unwrap_or_default();
    match mistakes.count() {
        0 | 1 => first.to_owned(),
        count => format!("{first} (and {} more)", count - 1),
    }
}

/// A plan that there is.
pub(super) fn plan(node: &Node, plans: &[String]) -> Parsed<String> {
    let name = text(node)?;
    if plans.iter().any(|plan| plan == name) {
        return Ok(name.to_owned());
    }
    let shown = name.escape_debug();
    let near = super::near::misses(name, plans.iter().map(String::as_str), 1);
    Err(match (near.first(), plans) {
        (Some(meant), _) => format!("there is no plan `{shown}`; did you mean `{meant}`?"),
        (None, []) => format!("there is no plan `{shown}`; the config has no [plans.NAME] at all"),
        (None, plans) => format!("there is no plan `{shown}`; there are: {}", plans.join(", ")),
    })
}

/// The name of a cookie or a claim: a token of RFC 9110, and the dots and colons that claims have.
fn name(node: &Node) -> Parsed<String> {
    let text = text(node)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(is_allowed) {
        let shown = text.escape_debug();
        return Err(format!("`{shown}` is no name: 1 to {NAME_MAX} characters of A-Z a-z 0-9 _ - . : /"));
    }
    Ok(text.to_owned())
}

/// What a claim must be.
fn claim(node: &Node) -> Parsed<String> {
    match text(node)? {
        "" => Err("is empty; leave it out where anything will do".to_owned()),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests;
