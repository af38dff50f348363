//! How a client shows who it is, as far as this server asks.

use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

use crate::http::auth::{API_KEY, API_KEY_HEADER, Door, TICKET};

/// What a server wants to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks {
    /// Whom it asks.
    pub whom: Whom,
    /// Whether what is the operator's is open to everybody.
    pub operators: bool,
    /// The cookie that counts, if one does.
    pub cookie: Option<String>,
    /// Whether a key may stand in the query.
    pub query: bool,
}

/// Whom a server asks to show something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Nobody.
    Nobody,
    /// Who wants more than the anonymous may have.
    Some,
    /// Everybody.
    Everybody,
}

const BEARER: &str = "bearer";
const HEADER: &str = "apiKeyHeader";
const COOKIE: &str = "cookie";
const TICKET_SCHEME: &str = "ticket";
const QUERY: &str = "apiKeyQuery";

impl Asks {
    /// Every way that there is here, by its name.
    pub(super) fn schemes(&self) -> Vec<(&'static str, SecurityScheme)> {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "An API key, or a token (JWT), as `auth.mode` of the server says. With `auth.mode = \"none\"` nobody is asked",
        ));
        let header = ApiKeyValue::with_description(API_KEY_HEADER, "The same, in a header of its own");
        let ticket = "What `POST /tickets` gives: opens one stream within 30 s, for who can send no header";
        let mut schemes = vec![
            (BEARER, SecurityScheme::Http(bearer.build())),
            (HEADER, SecurityScheme::ApiKey(ApiKey::Header(header))),
            (
                TICKET_SCHEME,
                SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::with_description(TICKET, ticket))),
            ),
        ];
        if let Some(name) = &self.cookie {
            let about = "The same, in a cookie: for pages of this origin and of those in `http.cors_origins`";
            let cookie = ApiKeyValue::with_description(name.as_str(), about);
            schemes.push((COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(cookie))));
        }
        if self.query {
            let about = "The same, where nothing else can be sent: proxies write it into their logs";
            let query = ApiKeyValue::with_description(API_KEY, about);
            schemes.push((QUERY, SecurityScheme::ApiKey(ApiKey::Query(query))));
        }
        schemes
    }

    /// What opens a door: any one of these. Nothing where it is open. Of a request with a body the query is not read.
    pub(super) fn keys_to(&self, door: Option<Door>, has_body: bool) -> Vec<SecurityRequirement> {
        let Some(door) =
            door.filter(|door| self.whom != Whom::Nobody && (*door != Door::Operator || !self.operators))
        else {
            return Vec::new();
        };
        let mut keys: Vec<SecurityRequirement> = Vec::new();
        if self.whom == Whom::Some && matches!(door, Door::Stream | Door::Data) {
            keys.push(SecurityRequirement::default());
        }
        let opens = |name: &str| match name {
            TICKET_SCHEME => door == Door::Stream,
            QUERY => !has_body,
            _ => true,
        };
        let schemes = self.schemes();
        let names = schemes.iter().map(|(name, _)| *name).filter(|name| opens(name));
        keys.extend(names.map(|name| SecurityRequirement::new(name, [""; 0])));
        keys
    }
}
