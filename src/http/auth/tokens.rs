//! Whose token it is and how long it is good. The key decides how a signature is checked; what the token says about that
//! must agree and decides nothing, so a public key is never taken for a secret and `none` for no signature.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use tickcast_feeds::UnixNanos;

use super::Read;
use super::denied::Denied;
use super::lease::Standing;
use super::signatures;
use crate::config::{Jwt, JwtKey, SignedBy};

/// Bytes in a subject: more is nobody's name.
const SUBJECT_MAX: usize = 256;

/// How tokens are judged.
#[derive(Debug)]
pub(super) struct Rules {
    validation: Validation,
    leeway: Duration,
    subject_claim: String,
    plan_claim: String,
}

/// The keys whose signatures are good, at one moment.
#[derive(Debug, Default)]
pub(super) struct Signers(Vec<Signer>);

#[derive(Debug)]
struct Signer {
    kid: Option<String>,
    key: JwtKey,
    algorithm: Algorithm,
    decoding: DecodingKey,
    standing: Arc<Standing>,
}

/// What a good token says.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) subject: String,
    pub(super) plan: Option<String>,
    /// Leeway included.
    pub(super) expires: UnixNanos,
    pub(super) standing: Arc<Standing>,
}

impl Rules {
    pub(super) fn new(jwt: &Jwt) -> Self {
        signatures::use_ring();
        // Times are ours to compare: the crate reads a clock of its own, and takes a missing `nbf` and a malformed one alike.
        let mut validation = Validation { validate_exp: false, validate_nbf: false, ..Validation::default() };
        let mut required = Vec::new();
        if let Some(issuer) = &jwt.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &jwt.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Self {
            validation,
            leeway: jwt.leeway,
            subject_claim: jwt.subject_claim.clone(),
            plan_claim: jwt.plan_claim.clone(),
        }
    }

    /// Judges a token.
    pub(super) fn judge(&self, token: &str, signers: &Signers, now: UnixNanos) -> Result<Claims, Denied> {
        let header = decode_header(token).map_err(|_| Denied::Unknown)?;
        // What must be understood and is not (RFC 7515, section 4.1.11): we know no extension.
        if header.crit.is_some() {
            return Err(Denied::Unknown);
        }
        let signer = signers.find(header.kid.as_deref(), header.alg).ok_or(Denied::Unknown)?;
        let mut validation = self.validation.clone();
        validation.algorithms = vec![signer.algorithm];
        let claims: Map<String, Value> =
            decode(token, &signer.decoding, &validation).map_err(|error| denied(&error))?.claims;
        let expires = time(&claims, "exp")?.ok_or(Denied::Claim("exp"))?;
        let leeway = i64::try_from(self.leeway.as_nanos()).unwrap_or(i64::MAX);
        let expires = UnixNanos(expires.0.saturating_add(leeway));
        if expires <= now {
            return Err(Denied::Expired);
        }
        if time(&claims, "nbf")?.is_some_and(|from| from.0.saturating_sub(leeway) > now.0) {
            return Err(Denied::Early);
        }
        let subject = match claims.get(&self.subject_claim) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        if subject.is_empty() || subject.len() > SUBJECT_MAX {
            return Err(Denied::Claim("sub"));
        }
        let plan = match claims.get(&self.plan_claim) {
            None | Some(Value::Null) => None,
            Some(Value::String(plan)) => Some(plan.clone()),
            Some(_) => return Err(Denied::Claim("plan")),
        };
        Ok(Claims { subject, plan, expires, standing: Arc::clone(&signer.standing) })
    }
}

fn denied(error: &jsonwebtoken::errors::Error) -> Denied {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidIssuer => Denied::Claim("iss"),
        ErrorKind::InvalidAudience => Denied::Claim("aud"),
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => Denied::Claim("iss"),
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => Denied::Claim("aud"),
        _ => Denied::Unknown,
    }
}

/// A claim that is a `NumericDate`: seconds since 1970, decimals allowed (RFC 7519, section 2). `None` where it is not there.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<UnixNanos>, Denied> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(Denied::Claim(name)) };
    let text = number.to_string();
    let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
    let seconds = whole.parse::<i64>().map_err(|_| Denied::Claim(name))?;
    // Further than the clock counts is far enough.
    Ok(Some(UnixNanos::from_secs(seconds).unwrap_or(UnixNanos(if seconds < 0 {
        i64::MIN
    } else {
        i64::MAX
    }))))
}

impl Signers {
    /// The signers of the config.
    pub(super) fn of(signed_by: &SignedBy) -> Self {
        match signed_by {
            SignedBy::Nobody => Self::default(),
            SignedBy::Secret(secret) => {
                let key = JwtKey::Hs256(secret.expose().as_bytes().to_vec());
                Self::new(vec![(None, key)], &Self::default())
            }
            SignedBy::Jwks { keys, .. } => Self::new(keys.clone(), &Self::default()),
        }
    }

    /// The keys of a file that replaces `before`. What stands in both keeps its streams; see [`settle`](Self::settle).
    pub(super) fn new(keys: Vec<(Option<String>, JwtKey)>, before: &Self) -> Self {
        let signer = |(kid, key): (Option<String>, JwtKey)| {
            let (algorithm, decoding) = match &key {
                JwtKey::Hs256(secret) => (Algorithm::HS256, DecodingKey::from_secret(secret)),
                JwtKey::Rs256 { n, e } => (Algorithm::RS256, DecodingKey::from_rsa_raw_components(n, e)),
                // Raw bytes, whatever the name says: what ring takes.
                JwtKey::EdDsa(x) => (Algorithm::EdDSA, DecodingKey::from_ed_der(x)),
            };
            let same = before.0.iter().find(|old| old.kid == kid && old.key == key);
            let standing = same.map(|old| Arc::clone(&old.standing)).unwrap_or_default();
            Signer { kid, key, algorithm, decoding, standing }
        };
        Self(keys.into_iter().map(signer).collect())
    }

    /// Ends the streams of tokens whose signer is gone.
    pub(super) fn settle(&self, before: &Self) -> Read {
        let is_in =
            |one: &Signer, all: &Self| all.0.iter().any(|other| Arc::ptr_eq(&one.standing, &other.standing));
        let gone = before.0.iter().filter(|old| !is_in(old, self)).map(|old| old.standing.revoke()).count();
        let added = self.0.iter().filter(|new| !is_in(new, before)).count();
        Read { keys: self.0.len(), added, changed: 0, revoked: gone }
    }

    /// The key that a token names and that is for its algorithm. A token that names none is of the only one that there is for
    /// that, or of nobody: trying one key after another would let anybody have us do the work.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Signer> {
        let mut fitting = self.0.iter().filter(|signer| signer.algorithm == algorithm);
        let Some(kid) = kid else {
            let only = fitting.next()?;
            return fitting.next().is_none().then_some(only);
        };
        // A single secret has no `kid` of its own; issuers write one all the same.
        let is_lone = self.0.len() == 1;
        fitting.find(|signer| signer.kid.as_deref().map_or(is_lone, |own| own == kid))
    }
}

#[cfg(test)]
mod tests;
