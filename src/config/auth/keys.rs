//! The file of API keys: one `[[key]]` each, with the hash of the key instead of the key.
//!
//! The hash is plain SHA-256. A slow, salted one (argon2) is there to make the guessing of passwords dear; a key made by
//! `tickcast key` is 256 random bits, which nobody guesses at any speed, and a slow hash would let anybody load the
//! server by sending wrong keys.

use std::collections::HashMap;
use std::fmt;

use tickcast_feeds::UnixNanos;

use super::super::mistake::{Mistakes, Place};
use super::super::parse::text;
use super::super::section::{Parsed, Section};
use super::super::tree::{self, Node, Value};
use super::plan;

/// Characters in a key's id.
const ID_MAX: usize = 64;

/// One API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name in logs, and whose limits it counts against. Required.
    pub id: String,
    /// What the key hashes to. Required.
    pub hash: KeyHash,
    /// What it may have. Default: `auth.plan`.
    pub plan: Option<String>,
    /// From when on it is good no more. Default: never.
    pub expires: Option<UnixNanos>,
}

/// The SHA-256 of a key. It prints as hex: of 256 random bits it tells nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads a keys file. `origin` is its name where a mistake is printed, `plans` those that a key may have.
///
/// # Errors
///
/// [`Mistakes`], each with its line.
pub(crate) fn read_keys(text: &str, origin: &str, plans: &[String]) -> Result<Vec<ApiKey>, Mistakes> {
    let mut mistakes = Mistakes::new(origin);
    let Some(root) = tree::read(text, &mut mistakes) else { return mistakes.or(Vec::new()) };
    let read = |section: &mut Section<'_>| read_key(section, plans);
    let top = |top: &mut Section<'_>| top.tables("key", read);
    let drafts = Section::read(String::new(), Place::Line(1), &root, &mut mistakes, top);
    let mut seen: HashMap<String, Place> = HashMap::new();
    let mut keys = Vec::with_capacity(drafts.len());
    for (key, place) in drafts {
        let Some(key) = key else { continue };
        for (what, name) in [("id", key.id.clone()), ("hash", key.hash.to_string())] {
            if let Some(Place::Line(line)) = seen.insert(name, place.clone()) {
                let problem = format!("is the same as in line {line}: each key has its own");
                mistakes.add(&place, format!("[[key]] {} {what}", key.id), problem);
            }
        }
        keys.push(key);
    }
    mistakes.or(keys)
}

/// Whether a key with this id, plan and end could stand in a keys file. Which plans there are is not known here.
///
/// # Errors
///
/// The words for what is wrong.
pub fn check_key(key_id: &str, plan: Option<&str>, expires_at: Option<&str>) -> Result<(), String> {
    let node = |text: &str| Node {
        place: Place::Line(1),
        value: Value::Text(text.to_owned()),
        written: text.to_owned(),
    };
    let about = |what: &'static str| move |problem: String| format!("{what}: {problem}");
    id(&node(key_id)).map_err(about("the id"))?;
    plan.map(|plan| super::name(&node(plan))).transpose().map_err(about("--plan"))?;
    expires_at.map(|at| expires(&node(at))).transpose().map_err(about("--expires"))?;
    Ok(())
}

fn read_key(section: &mut Section<'_>, plans: &[String]) -> (Option<ApiKey>, Place) {
    let id = section.required("id", id);
    if let Some(id) = &id {
        section.title = format!("[[key]] {id}");
    }
    let hash = section.required("hash", hash);
    let plan = section.optional("plan", |node| plan(node, plans));
    let expires = section.optional("expires", expires);
    let key = id.zip(hash).map(|(id, hash)| ApiKey { id, hash, plan, expires });
    (key, section.place.clone())
}

fn id(node: &Node) -> Parsed<String> {
    let id = text(node)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    if id.is_empty() || id.len() > ID_MAX || !id.bytes().all(is_allowed) {
        // Not repeated: somebody may have put the key itself here.
        return Err(format!("is no id: 1 to {ID_MAX} characters of A-Z a-z 0-9 . _ - @"));
    }
    Ok(id.to_owned())
}

/// `sha256:` and 64 hex digits. What else stands there may be the key itself, so it is never repeated.
fn hash(node: &Node) -> Parsed<KeyHash> {
    let problem = "is no hash: `sha256:` and 64 hex digits, as `tickcast key` prints it";
    let digits = text(node)?.strip_prefix("sha256:").ok_or(problem)?;
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(problem.to_owned());
    }
    let mut hash = [0; 32];
    for (byte, index) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[index..index + 2], 16).map_err(|_| problem)?;
    }
    Ok(KeyHash(hash))
}

/// A time with its zone, or a day: its first moment, UTC.
fn expires(node: &Node) -> Parsed<UnixNanos> {
    let written = match &node.value {
        Value::Time => node.written.as_str(),
        _ => text(node)?,
    };
    let whole = if written.len() == 10 { format!("{written}T00:00:00Z") } else { written.to_owned() };
    let problem = "is no time, such as 2030-01-31 or 2030-01-31T12:00:00Z";
    UnixNanos::from_rfc3339(&whole).ok_or_else(|| format!("`{}` {problem}", written.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn read(text: &str) -> Result<Vec<ApiKey>, String> {
        read_keys(text, "keys.toml", &["gold".to_owned()]).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn a_key_has_an_id_and_a_hash_and_may_have_a_plan_and_an_end() {
        let text = format!(
            "[[key]]\nid = \"a@b.c\"\nhash = \"{HASH}\"\n[[key]]\nid = \"d\"\nhash = \"{}\"\nplan = \"gold\"\n\
             expires = 2030-01-31\n",
            HASH.replace("2c", "2d")
        );
        let keys = read(&text).expect("it is right");
        assert_eq!((keys[0].id.as_str(), keys[0].plan.as_deref(), keys[0].expires), ("a@b.c", None, None));
        assert_eq!(keys[0].hash.to_string(), HASH);
        assert_eq!(keys[1].plan.as_deref(), Some("gold"));
        assert_eq!(keys[1].expires, UnixNanos::from_rfc3339("2030-01-31T00:00:00Z"));
        assert_eq!(read(""), Ok(Vec::new()));
        for time in ["2030-01-31T12:00:00+01:00", "\"2030-01-31T11:00:00Z\""] {
            let text = format!("[[key]]\nid = \"d\"\nhash = \"{HASH}\"\nexpires = {time}\n");
            let expires = read(&text).expect("a time")[0].expires;
            assert_eq!(expires, UnixNanos::from_rfc3339("2030-01-31T11:00:00Z"), "{time}");
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_line_and_no_key_is_repeated() {
        let text = format!(
            "[[key]]\nid = \"a\"\nhash = \"tick_s3cret\"\n\n[[key]]\nid = \"s3cret key\"\nhash = \"{HASH}\"\n\n[[key]]\n\
             id = \"b\"\nhash = \"{HASH}\"\nplan = \"glod\"\nexpire = 2030-01-01\n\n[[key]]\nid = \"b\"\nhash = \"{HASH}\"\n"
        );
        let printed = read(&text).expect_err("it is wrong");
        let wanted = [
            "keys.toml:3: [[key]] a hash: is no hash: `sha256:` and 64 hex digits, as `tickcast key` prints it",
            "keys.toml:6: [[key]] #2 id: is no id: 1 to 64 characters of A-Z a-z 0-9 . _ - @",
            "keys.toml:12: [[key]] b plan: there is no plan `glod`; did you mean `gold`?",
            "keys.toml:13: [[key]] b: unknown key `expire`; did you mean `expires`?",
            "keys.toml:15: [[key]] b id: is the same as in line 9: each key has its own",
            "keys.toml:15: [[key]] b hash: is the same as in line 9: each key has its own",
        ];
        assert_eq!(printed.lines().collect::<Vec<_>>(), wanted);
        assert!(!printed.contains("s3cret"));
        assert!(read("[[key]\n").expect_err("no TOML").starts_with("keys.toml:1: not TOML: "));
    }
}
