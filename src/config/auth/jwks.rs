//! Whose signatures on a token are good: a secret, or the keys of a JWKS file (RFC 7517).

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::super::secret::Secret;

/// Keys in one file: an issuer has a handful, one before and one after the present one.
const KEYS_MAX: usize = 100;
/// Bytes of the modulus: 2,048 bits, the least that RS256 allows (RFC 7518, section 3.3).
const RSA_MODULUS_MIN: usize = 256;

/// Whose signatures are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// Nobody's: what is left of a config that has a mistake here.
    Nobody,
    /// Who knows the secret, by HS256.
    Secret(Secret),
    /// The keys of a file.
    Jwks {
        /// Where it is.
        path: PathBuf,
        /// What it said when the config was read.
        keys: Vec<(Option<String>, JwtKey)>,
    },
}

/// A key, which decides by itself how signatures are made: a token's own word on that is only compared with it.
#[derive(Clone, PartialEq, Eq)]
pub enum JwtKey {
    /// HS256: a secret.
    Hs256(Vec<u8>),
    /// RS256: the public modulus and exponent, big-endian.
    Rs256 {
        /// Modulus.
        n: Vec<u8>,
        /// Exponent.
        e: Vec<u8>,
    },
    /// `EdDSA` by Ed25519: the public key's 32 bytes.
    EdDsa(Vec<u8>),
}

impl JwtKey {
    /// The algorithm's name in a token's header.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Rs256 { .. } => "RS256",
            Self::EdDsa(_) => "EdDSA",
        }
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(***)", self.algorithm())
    }
}

/// What is wrong with a JWKS file.
#[derive(Debug, thiserror::Error)]
pub enum BadJwks {
    /// It is no JSON, or not of the right form. The reader's own words would repeat what stands there.
    #[error(
        "line {line}: expected {{\"keys\":[...]}}, each key an object with `kty` and text in its members"
    )]
    Form {
        /// Where reading ended, from 1.
        line: usize,
    },
    /// A key cannot be used.
    #[error("key {index} of `keys`: {problem}")]
    Key {
        /// Which, from 1.
        index: usize,
        /// Why.
        problem: &'static str,
    },
    /// There is none that we could use.
    #[error("none of its {0} keys is for HS256, RS256 or EdDSA (Ed25519) signatures")]
    Nothing(usize),
    /// There are too many.
    #[error("{0} keys, more than {KEYS_MAX}")]
    TooMany(usize),
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// The members of RFC 7517 and 7518 that are looked at.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    k: Option<String>,
}

/// Reads a JWKS. Keys for other algorithms or for encryption are passed over: issuers publish all they have.
///
/// # Errors
///
/// [`BadJwks`]; it repeats nothing of a key.
pub fn read_jwks(text: &str) -> Result<Vec<(Option<String>, JwtKey)>, BadJwks> {
    let Jwks { keys: all } =
        serde_json::from_str(text).map_err(|error| BadJwks::Form { line: error.line() })?;
    if all.len() > KEYS_MAX {
        return Err(BadJwks::TooMany(all.len()));
    }
    let mut keys = Vec::new();
    for (index, jwk) in all.iter().enumerate() {
        let key = read_key(jwk).map_err(|problem| BadJwks::Key { index: index + 1, problem })?;
        keys.extend(key.map(|key| (jwk.kid.clone(), key)));
    }
    let is_double = |index: usize| keys[..index].iter().any(|(kid, _)| *kid == keys[index].0);
    if let Some(index) = (1..keys.len()).find(|&index| keys[index].0.is_some() && is_double(index)) {
        return Err(BadJwks::Key { index: index + 1, problem: "its `kid` is another one's too" });
    }
    if keys.is_empty() { Err(BadJwks::Nothing(all.len())) } else { Ok(keys) }
}

/// The key; `None` where it is for something else.
fn read_key(jwk: &Jwk) -> Result<Option<JwtKey>, &'static str> {
    if jwk.used_for.as_deref().is_some_and(|used_for| used_for != "sig") {
        return Ok(None);
    }
    let bytes = |member: &Option<String>, problem| {
        let text = member.as_deref().ok_or(problem)?;
        URL_SAFE_NO_PAD.decode(text).map_err(|_| problem)
    };
    let is_for = |algorithm: &str| jwk.alg.as_deref().is_none_or(|alg| alg == algorithm);
    let key = match jwk.kty.as_str() {
        "RSA" if is_for("RS256") => {
            let n = bytes(&jwk.n, "its modulus `n` is missing or no base64url")?;
            let e = bytes(&jwk.e, "its exponent `e` is missing or no base64url")?;
            if n.len() < RSA_MODULUS_MIN {
                return Err("its modulus has less than 2,048 bits");
            }
            JwtKey::Rs256 { n, e }
        }
        "OKP" if is_for("EdDSA") && jwk.crv.as_deref() == Some("Ed25519") => {
            let x = bytes(&jwk.x, "its public key `x` is missing or no base64url")?;
            if x.len() != 32 {
                return Err("its public key `x` has not 32 bytes");
            }
            JwtKey::EdDsa(x)
        }
        // A bare secret is believed to be for HS256 only where it says so: it may be meant for anything.
        "oct" if jwk.alg.as_deref() == Some("HS256") => {
            let k = bytes(&jwk.k, "its secret `k` is missing or no base64url")?;
            if k.len() < super::HMAC_SECRET_MIN {
                return Err("its secret has less than 32 bytes");
            }
            JwtKey::Hs256(k)
        }
        _ => return Ok(None),
    };
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_for_other_purposes_are_passed_over_and_none_left_is_a_mistake() {
        let x = URL_SAFE_NO_PAD.encode([7; 32]);
        let ed = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"one","x":"{x}"}}"#);
        let others = r#"{"kty":"EC","crv":"P-256","x":"a","y":"b"},{"kty":"RSA","use":"enc"},{"kty":"RSA","alg":"PS256"},
            {"kty":"oct","k":"c2VjcmV0"},{"kty":"OKP","crv":"X25519","x":"a"}"#;
        let keys = read_jwks(&format!(r#"{{"keys":[{others},{ed}]}}"#)).expect("one is left");
        assert_eq!(keys, [(Some("one".to_owned()), JwtKey::EdDsa(vec![7; 32]))]);
        let none = read_jwks(&format!(r#"{{"keys":[{others}]}}"#)).expect_err("none is left");
        assert!(none.to_string().starts_with("none of its 5 keys"), "{none}");
        let double = read_jwks(&format!(r#"{{"keys":[{ed},{ed}]}}"#)).expect_err("the same kid");
        assert_eq!(double.to_string(), "key 2 of `keys`: its `kid` is another one's too");
    }

    #[test]
    fn a_broken_file_is_told_by_line_or_key_and_nothing_of_a_secret_is_repeated() {
        let line = read_jwks("{\n\"keys\": [\n{\"kty\": 5}]}").expect_err("no text");
        assert!(line.to_string().starts_with("line 3: "), "{line}");
        for (key, problem) in [
            (r#"{"kty":"oct","alg":"HS256","k":"czNjcmV0"}"#, "its secret has less than 32 bytes"),
            (r#"{"kty":"oct","alg":"HS256","k":"s3cret!"}"#, "its secret `k` is missing or no base64url"),
            (r#"{"kty":"RSA","n":"czNjcmV0","e":"AQAB"}"#, "its modulus has less than 2,048 bits"),
            (r#"{"kty":"RSA"}"#, "its modulus `n` is missing or no base64url"),
        ] {
            let error = read_jwks(&format!(r#"{{"keys":[{key}]}}"#)).expect_err(problem).to_string();
            assert_eq!(error, format!("key 1 of `keys`: {problem}"));
        }
        assert_eq!(format!("{:?}", JwtKey::Hs256(b"s3cret".to_vec())), "HS256(***)");
    }
}
