//! Tokens, good and forged ones. Each is signed here, by the keys that an issuer would hold.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::json;

use super::*;

/// For tests alone: everybody can read it.
const RSA: &[u8] = include_bytes!("rsa_for_tests.der");
const SECRET: &[u8] = b"a secret of thirty-two bytes, 01";
const NOW: UnixNanos = UnixNanos(1_800_000_000_000_000_000);

fn rsa() -> RsaKeyPair {
    RsaKeyPair::from_der(RSA).expect("a key")
}

fn ed(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed")
}

fn rsa_key() -> JwtKey {
    let RsaPublicKeyComponents { n, e } = rsa().public().into();
    JwtKey::Rs256 { n, e }
}

fn ed_key(seed: u8) -> JwtKey {
    JwtKey::EdDsa(ed(seed).public_key().as_ref().to_vec())
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn sign(header: &Value, claims: &Value, by: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(by(message.as_bytes())))
}

fn by_secret(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    move |message| ring::hmac::sign(&key, message).as_ref().to_vec()
}

fn by_rsa(message: &[u8]) -> Vec<u8> {
    let pair = rsa();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).expect("signed");
    signature
}

fn by_ed(seed: u8) -> impl Fn(&[u8]) -> Vec<u8> {
    move |message| ed(seed).sign(message).as_ref().to_vec()
}

fn seconds(from_now: i64) -> i64 {
    NOW.0 / 1_000_000_000 + from_now
}

fn claims() -> Value {
    json!({ "sub": "alice", "exp": seconds(600) })
}

fn rules(issuer: Option<&str>, audience: Option<&str>) -> Rules {
    Rules::new(&Jwt {
        signed_by: SignedBy::Nobody,
        issuer: issuer.map(str::to_owned),
        audience: audience.map(str::to_owned),
        leeway: Duration::from_secs(30),
        subject_claim: "sub".to_owned(),
        plan_claim: "plan".to_owned(),
    })
}

fn signers(keys: &[(&str, JwtKey)]) -> Signers {
    let keys = keys.iter().map(|(kid, key)| (Some((*kid).to_owned()), key.clone()));
    Signers::new(keys.collect(), &Signers::default())
}

fn all_three() -> Signers {
    signers(&[("h", JwtKey::Hs256(SECRET.to_vec())), ("r", rsa_key()), ("e", ed_key(1))])
}

/// Whose it is, by rules without issuer and audience.
fn judged(token: &str, signers: &Signers) -> Result<String, Denied> {
    rules(None, None).judge(token, signers, NOW).map(|claims| claims.subject)
}

#[test]
fn a_token_of_each_of_the_three_algorithms_is_good() {
    let signers = all_three();
    let good = Ok("alice".to_owned());
    assert_eq!(
        judged(&sign(&json!({"alg": "HS256", "kid": "h"}), &claims(), by_secret(SECRET)), &signers),
        good
    );
    assert_eq!(judged(&sign(&json!({"alg": "RS256", "kid": "r"}), &claims(), by_rsa), &signers), good);
    assert_eq!(judged(&sign(&json!({"alg": "EdDSA", "kid": "e"}), &claims(), by_ed(1)), &signers), good);
    // Without `kid` there is one key for each algorithm; with two it is nobody's.
    let bare = sign(&json!({"alg": "EdDSA", "typ": "JWT"}), &claims(), by_ed(1));
    assert_eq!(judged(&bare, &signers), good);
    assert_eq!(
        judged(&bare, &super::tests::signers(&[("a", ed_key(1)), ("b", ed_key(2))])),
        Err(Denied::Unknown)
    );
    // A single secret has no `kid`.
    let secret = Signers::new(vec![(None, JwtKey::Hs256(SECRET.to_vec()))], &Signers::default());
    assert_eq!(
        judged(&sign(&json!({"alg": "HS256", "kid": "any"}), &claims(), by_secret(SECRET)), &secret),
        good
    );
}

/// RFC 7515, appendices A.1 and A.2: signed by somebody else's code.
#[test]
fn the_examples_of_rfc_7515_are_good() {
    let payload =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-\
        SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7W\
        TBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk\
        2PAcDTW9gb54h4FRWyuXpoQ";
    let rs256 = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJ\
        dbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcO\
        Ln6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB\
        p0igcN_IoypGlUPQGe77Rw";
    let jwks =
        json!({"keys": [{"kty": "oct", "alg": "HS256", "k": secret}, {"kty": "RSA", "n": n, "e": "AQAB"}]});
    let keys = crate::config::read_jwks(&jwks.to_string()).expect("a JWKS");
    let signers = Signers::new(keys, &Signers::default());
    let rules = Rules { subject_claim: "iss".to_owned(), ..rules(None, None) };
    let now = UnixNanos::from_secs(1_300_819_379).expect("in range");
    let (hs256, late) = ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", UnixNanos::from_secs(1_300_819_410));
    for (header, signature) in
        [("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", hs256), ("eyJhbGciOiJSUzI1NiJ9", rs256)]
    {
        let token = format!("{header}.{payload}.{signature}");
        assert_eq!(rules.judge(&token, &signers, now).map(|claims| claims.subject), Ok("joe".to_owned()));
        let late = rules.judge(&token, &signers, late.expect("in range")).map(|claims| claims.subject);
        assert_eq!(late, Err(Denied::Expired));
    }
}

#[test]
fn a_key_is_never_used_by_another_algorithm_than_its_own() {
    let signers = all_three();
    let JwtKey::Rs256 { n, .. } = rsa_key() else { panic!("it is one") };
    let JwtKey::EdDsa(x) = ed_key(1) else { panic!("it is one") };
    // The public key taken for a secret, by which everybody could sign.
    for public in [&n, &x] {
        for kid in ["r", "e", "h"] {
            let forged = sign(&json!({"alg": "HS256", "kid": kid}), &claims(), by_secret(public));
            assert_eq!(judged(&forged, &signers), Err(Denied::Unknown), "{kid}");
        }
    }
    for alg in ["none", "None", "NONE", "", "HS384", "RS384", "PS256", "ES256", "hs256"] {
        for kid in ["r", "e", "h", "x"] {
            let unsigned = format!("{}.{}.", encode(&json!({"alg": alg, "kid": kid})), encode(&claims()));
            assert_eq!(judged(&unsigned, &signers), Err(Denied::Unknown), "{alg}");
        }
    }
    // A key that the token brings along, or says where to get, is none of ours.
    let own = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(ed(9).public_key())});
    let header = json!({"alg": "EdDSA", "kid": "e", "jwk": own, "jku": "https://evil.example/jwks"});
    assert_eq!(judged(&sign(&header, &claims(), by_ed(9)), &signers), Err(Denied::Unknown));
    let critical = json!({"alg": "EdDSA", "kid": "e", "crit": ["b64"], "b64": false});
    assert_eq!(judged(&sign(&critical, &claims(), by_ed(1)), &signers), Err(Denied::Unknown));
}

#[test]
fn times_are_kept_with_the_leeway_and_a_token_without_an_end_is_refused() {
    let signers = all_three();
    let of = |claims: Value| {
        let token = sign(&json!({"alg": "EdDSA", "kid": "e"}), &claims, by_ed(1));
        rules(None, None).judge(&token, &signers, NOW).map(|claims| claims.expires)
    };
    let ends = |from_now: i64| UnixNanos::from_secs(seconds(from_now + 30)).expect("in range");
    assert_eq!(of(json!({"sub": "a", "exp": seconds(1)})), Ok(ends(1)));
    assert_eq!(of(json!({"sub": "a", "exp": seconds(-29)})), Ok(ends(-29)));
    assert_eq!(of(json!({"sub": "a", "exp": seconds(-30)})), Err(Denied::Expired));
    assert_eq!(of(json!({"sub": "a"})), Err(Denied::Claim("exp")), "P66: it would outlive everything");
    for exp in [json!("soon"), json!(null), json!(1e300)] {
        assert_eq!(of(json!({"sub": "a", "exp": exp})), Err(Denied::Claim("exp")), "{exp}");
    }
    assert_eq!(of(json!({"sub": "a", "exp": [1]})), Err(Denied::Unknown), "no claims set at all");
    assert_eq!(of(json!({"sub": "a", "exp": i64::MAX})), Ok(UnixNanos(i64::MAX)));
    let fraction: Value =
        serde_json::from_str(&format!("{{\"sub\":\"a\",\"exp\":{}.75}}", seconds(1))).expect("JSON");
    assert_eq!(of(fraction), Ok(ends(1)));
    assert_eq!(of(json!({"sub": "a", "exp": seconds(9), "nbf": seconds(31)})), Err(Denied::Early));
    assert_eq!(of(json!({"sub": "a", "exp": seconds(9), "nbf": seconds(30)})), Ok(ends(9)));
    assert_eq!(of(json!({"sub": "a", "exp": seconds(9), "nbf": "x"})), Err(Denied::Claim("nbf")));
}

#[test]
fn issuer_audience_subject_and_plan_are_as_the_config_wants() {
    let signers = all_three();
    let of = |rules: &Rules, more: &[(&str, Value)]| {
        let mut claims = claims();
        for (name, value) in more {
            claims[*name] = value.clone();
        }
        let token = sign(&json!({"alg": "EdDSA", "kid": "e"}), &claims, by_ed(1));
        rules.judge(&token, &signers, NOW).map(|claims| (claims.subject, claims.plan))
    };
    let strict = rules(Some("https://me"), Some("prices"));
    let (iss, aud) = (("iss", json!("https://me")), ("aud", json!(["other", "prices"])));
    let good = |plan: Option<&str>| Ok(("alice".to_owned(), plan.map(str::to_owned)));
    assert_eq!(of(&strict, &[iss.clone(), aud.clone()]), good(None));
    assert_eq!(
        of(&strict, &[iss.clone(), ("aud", json!("prices")), ("plan", json!("gold"))]),
        good(Some("gold"))
    );
    for wrong in [json!("https://you"), json!(5), json!(null), json!("")] {
        assert_eq!(of(&strict, &[("iss", wrong), aud.clone()]), Err(Denied::Claim("iss")));
    }
    for wrong in [json!("price"), json!([]), json!({"prices": 1}), json!(null)] {
        assert_eq!(of(&strict, &[iss.clone(), ("aud", wrong)]), Err(Denied::Claim("aud")));
    }
    let lax = rules(None, None);
    assert_eq!(of(&lax, &[("iss", json!("anybody"))]), good(None));
    assert_eq!(of(&lax, &[aud]), Err(Denied::Claim("aud")), "it was made for others (RFC 7519, 4.1.3)");
    assert_eq!(of(&lax, &[("sub", json!(17))]), Ok(("17".to_owned(), None)));
    for wrong in [json!(""), json!(null), json!("a".repeat(SUBJECT_MAX + 1)), json!(true)] {
        assert_eq!(of(&lax, &[("sub", wrong)]), Err(Denied::Claim("sub")));
    }
    assert_eq!(of(&lax, &[("plan", json!(["gold"]))]), Err(Denied::Claim("plan")));
}

#[test]
fn p66_a_key_that_is_taken_out_of_the_file_takes_its_tokens_along() {
    let before = all_three();
    let of = |kid: &str, seed| sign(&json!({"alg": "EdDSA", "kid": kid}), &claims(), by_ed(seed));
    let standing = rules(None, None).judge(&of("e", 1), &before, NOW).expect("good").standing;
    let lease = super::super::lease::Lease::new(None, standing);
    let now = tokio::time::Instant::now();
    let keys = |kid: &str, seed| {
        vec![(Some("h".to_owned()), JwtKey::Hs256(SECRET.to_vec())), (Some(kid.to_owned()), ed_key(seed))]
    };
    let next = Signers::new(keys("e", 1), &before);
    assert_eq!(next.settle(&before), Read { keys: 2, added: 0, changed: 0, revoked: 1 });
    assert_eq!(lease.end(now), None, "its key is still there");
    let last = Signers::new(keys("e", 2), &next);
    assert_eq!(last.settle(&next), Read { keys: 2, added: 1, changed: 0, revoked: 1 });
    assert_eq!(lease.end(now), Some(super::super::lease::LeaseEnd::Revoked), "another key by the same name");
    assert_eq!(judged(&of("e", 1), &last), Err(Denied::Unknown));
    assert_eq!(judged(&of("e", 2), &last), Ok("alice".to_owned()));
}

proptest! {
    #[test]
    fn any_text_is_refused_without_a_panic(text in ".{0,120}", parts in proptest::collection::vec("[A-Za-z0-9_-]{0,40}", 3)) {
        let signers = all_three();
        prop_assert_eq!(judged(&text, &signers), Err(Denied::Unknown));
        prop_assert_eq!(judged(&parts.join("."), &signers), Err(Denied::Unknown));
    }

    #[test]
    fn a_token_with_any_character_changed_is_refused(at in 0_usize..400, to in "[A-Za-z0-9_.-]") {
        let good = sign(&json!({"alg": "HS256", "kid": "h"}), &claims(), by_secret(SECRET));
        let at = at % good.len();
        let mut changed = good.clone();
        changed.replace_range(at..=at, &to);
        // The last character of a signature carries bits that nobody reads; such a change is none.
        let is_same = good.rsplit_once('.').zip(changed.rsplit_once('.')).is_some_and(|((m, s), (n, t))| {
            m == n && URL_SAFE_NO_PAD.decode(s).ok() == URL_SAFE_NO_PAD.decode(t).ok()
        });
        prop_assert_eq!(judged(&changed, &all_three()).is_ok(), is_same);
    }
}
