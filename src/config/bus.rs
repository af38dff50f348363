//! `[bus]`: which part of a larger whole this node is, and the NATS that holds it together. Without it a node is the
//! whole, and knows of no NATS.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::parse::{duration, file, text, whole, word};
use super::secret::{self, Secret};
use super::section::{Parsed, Section};
use super::tree::{Node, Value};

/// Servers that may be named; any of them tells of the others.
const URLS_MAX: usize = 32;
/// Bytes in a stream's name and in the subjects' prefix.
const NAME_MAX: usize = 64;

/// A node's part in a larger whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bus {
    /// What it does.
    pub role: Role,
    /// The NATS servers, each `nats://host:port` or `tls://host:port`. At least one.
    pub urls: Vec<String>,
    /// How it says who it is. Default: not at all.
    pub login: Login,
    /// Who vouches for the servers' certificates, as PEM, in place of the system's own. Default: those.
    pub tls_ca: Option<PathBuf>,
    /// The JetStream stream of tickers; the buckets' names begin with it. Default: `TICKCAST`.
    pub stream: String,
    /// What all subjects begin with. Default: `tickcast`.
    pub subjects: String,
    /// Copies of everything in a cluster of NATS servers. 1 to 5. Default: 1.
    pub replicas: usize,
    /// Where NATS keeps it. Default: in memory.
    pub storage: Storage,
    /// Least time between two messages of one symbol on the bus. 0 to 10 s. Default: 20 ms.
    pub interval: Duration,
    /// Messages with trades that NATS keeps of each symbol, for mode `ticks` at edges: each is one trade, or those of one
    /// `interval`. 0 to 100,000; 0: trades are not published. Default: 500.
    pub history: u32,
    /// Where it keeps them. Default: on disk.
    pub history_storage: Storage,
}

/// What a node of several does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Listens to the venues; one of these at a time publishes.
    Ingest,
    /// Serves clients what comes over the bus, and listens to no venue.
    Edge,
}

/// How a node says who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// Not at all.
    #[default]
    None,
    /// By a token.
    Token(Secret),
    /// By a name and a password.
    Password {
        /// The name.
        user: Secret,
        /// Its password.
        password: Secret,
    },
    /// By the credentials file that `nsc` writes.
    Credentials(PathBuf),
}

/// Where NATS keeps the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// In memory: a NATS that is started again begins anew, and so do all cursors.
    #[default]
    Memory,
    /// On disk.
    File,
}

impl Bus {
    /// Reads `[bus]`; none where the node is the whole.
    pub(super) fn read(section: &mut Section<'_>, env: &HashMap<String, String>) -> Option<Self> {
        let roles = &[("all", None), ("ingest", Some(Role::Ingest)), ("edge", Some(Role::Edge))];
        let role = section.get("role", None, word(roles));
        let is_on = role.is_some();
        let urls = section.optional("url", urls);
        if is_on {
            section.require("url");
        } else if section.is_there("url") {
            let place = section.place_of("url");
            let problem = "goes not with role = \"all\", which needs no NATS: say role = \"ingest\" or \"edge\", or leave url out";
            section.add(&place, "url", problem);
        }
        let login = Login::read(section, is_on, env);
        let storage = || word(&[("memory", Storage::Memory), ("file", Storage::File)]);
        let bus = Self {
            role: role.unwrap_or(Role::Ingest),
            urls: urls.unwrap_or_default(),
            login,
            tls_ca: section.optional("tls_ca", |node| there(node, is_on)),
            stream: section.get("stream", "TICKCAST".to_owned(), name),
            subjects: section.get("subjects", "tickcast".to_owned(), prefix),
            replicas: section.get("replicas", 1, whole(1..=5)),
            storage: section.get("storage", Storage::default(), storage()),
            interval: section.get(
                "interval",
                Duration::from_millis(20),
                duration(Duration::ZERO..=Duration::from_secs(10)),
            ),
            history: section.get("history", 500, whole(0..=100_000)),
            history_storage: section.get("history_storage", Storage::File, storage()),
        };
        is_on.then_some(bus)
    }

    /// The servers without what a URL may hold of secrets, for logs.
    pub fn servers(&self) -> String {
        let shown = self.urls.iter().map(|url| match url.split_once("://") {
            Some((scheme, rest)) => {
                let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
                format!("{scheme}://{host}")
            }
            None => url.clone(),
        });
        shown.collect::<Vec<_>>().join(",")
    }
}

impl Login {
    fn read(section: &mut Section<'_>, is_on: bool, env: &HashMap<String, String>) -> Self {
        let token = secret::either(section, ["token_env", "token_file"], is_on, env);
        let user = secret::either(section, ["user_env", "user_file"], is_on, env);
        let password = secret::either(section, ["password_env", "password_file"], is_on, env);
        let credentials = section.optional("credentials_file", |node| there(node, is_on));
        let is_half = user.is_some() != password.is_some();
        let ways = [token.is_some(), user.is_some() || password.is_some(), credentials.is_some()];
        if ways.into_iter().filter(|is_there| *is_there).count() > 1 {
            let place = section.place.clone();
            let problem =
                "are several: a token, a user with a password, or a credentials_file, one of them, please";
            section.add(&place, "credentials", problem);
        } else if is_half {
            let place = section.place.clone();
            let problem = "go together: user_env or user_file, and password_env or password_file";
            section.add(&place, "user and password", problem);
        }
        match (token, user, password, credentials) {
            (Some(token), ..) => Self::Token(token),
            (_, Some(user), Some(password), _) => Self::Password { user, password },
            (.., Some(path)) => Self::Credentials(path),
            _ => Self::None,
        }
    }
}

/// A file that has to be there where the section is in force.
fn there(node: &Node, is_on: bool) -> Parsed<PathBuf> {
    let path = file(node)?;
    if is_on {
        std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(path)
}

/// One server or several, in a list or with commas between them. The text is never repeated: it may hold a password.
fn urls(node: &Node) -> Parsed<Vec<String>> {
    let written = match &node.value {
        Value::List(nodes) => nodes.iter().map(text).collect::<Parsed<Vec<_>>>()?.join(","),
        _ => text(node)?.to_owned(),
    };
    let urls: Vec<String> =
        written.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect();
    let is_url = |url: &String| {
        let rest = url.strip_prefix("nats://").or_else(|| url.strip_prefix("tls://"));
        let host = rest.map(|rest| rest.rsplit_once('@').map_or(rest, |(_, host)| host));
        let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
        host.is_some_and(|host| !host.is_empty() && !host.starts_with([':', '/']) && !host.contains('/'))
            && is_plain
            && url.parse::<async_nats::ServerAddr>().is_ok()
    };
    if urls.is_empty() || urls.len() > URLS_MAX || !urls.iter().all(is_url) {
        return Err(format!(
            "no NATS address: it is written nats://host:4222 or tls://host:4222, up to {URLS_MAX} of them with commas"
        ));
    }
    Ok(urls)
}

/// A stream's name, which is part of subjects and of folders.
fn name(node: &Node) -> Parsed<String> {
    let text = text(node)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(is_allowed) {
        let shown = text.escape_debug();
        return Err(format!("`{shown}` is no name: 1 to {NAME_MAX} characters of A-Z a-z 0-9 _ -"));
    }
    Ok(text.to_owned())
}

/// What subjects begin with: tokens with dots between them.
fn prefix(node: &Node) -> Parsed<String> {
    let text = text(node)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_whole = text.split('.').all(|token| !token.is_empty());
    if !is_whole || text.len() > NAME_MAX || !text.bytes().all(is_allowed) {
        let shown = text.escape_debug();
        return Err(format!(
            "`{shown}` begins no subject: tokens of A-Z a-z 0-9 _ - with dots between them, {NAME_MAX} characters at most"
        ));
    }
    Ok(text.to_owned())
}
