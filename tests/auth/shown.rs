//! What clients show: keys with their file, and tokens.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tickcast::clock;
use tickcast::http::auth::hash;

/// By which tokens are signed.
pub const SECRET: &str = "a-secret-of-thirty-two-bytes-001";
/// A `[[key]]` for the keys file; the key itself is `tick_` and the id.
pub fn entry(id: &str, more: &str) -> String {
    format!("[[key]]\nid = \"{id}\"\nhash = \"{}\"\n{more}\n", hash(&format!("tick_{id}")))
}

pub fn bearer(id: &str) -> String {
    format!("authorization: Bearer tick_{id}\r\n")
}

/// A token that ends so many seconds from now.
pub fn token(claims: &Value, ends_in: i64) -> String {
    let mut claims = claims.clone();
    claims["exp"] = json!(clock::wall().as_millis() / 1000 + ends_in);
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "JWT"})), encode(&claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Replaces a file as careful writers do.
pub fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}
