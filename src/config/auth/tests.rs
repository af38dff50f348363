//! `[auth]` and `[plans]`: what loads, and that every mistake is told with its line and without a secret.

use std::path::PathBuf;

use super::super::{Class, Config, Forwarded, Plan, SymbolPattern, load};
use super::*;

const RIGHT: &str =
    "[feeds.sim]\n[[instrument]]\nsymbol = \"BTC\"\nclass = \"crypto\"\nsources = [\"sim:BTC-USD\"]\n";
const SECRET: &str = "a-secret-of-thirty-two-bytes-001";

struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tickcast-config-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a scratch file can be written");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn read(text: &str, env: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(&format!("{RIGHT}{text}"), "test.toml", env)
        .map_err(|mistakes| mistakes.to_string().lines().map(str::to_owned).collect())
}

fn mistakes(text: &str) -> Vec<String> {
    read(text, &[]).expect_err("it is wrong")
}

#[test]
fn a_keys_file_is_read_with_the_config_and_its_mistakes_are_told_with_both_lines() {
    let hash = KeyHash([7; 32]);
    let file = File::new("keys", &format!("[[key]]\nid = \"a\"\nhash = \"{hash}\"\nplan = \"gold\"\n"));
    let auth = format!("[auth]\nmode = \"keys\"\nkeys_file = {:?}\n", file.0);
    let config = read(&format!("[plans.gold]\n{auth}"), &[]).expect("it is right");
    let key = ApiKey { id: "a".to_owned(), hash, plan: Some("gold".to_owned()), expires: None };
    assert_eq!(config.auth.mode, AuthMode::Keys(KeysFile { path: file.0.clone(), keys: vec![key] }));
    let told = mistakes(&auth);
    assert_eq!(
        told,
        [format!(
            "test.toml:8: [auth] keys_file: {}:4: [[key]] a plan: there is no plan `gold`; the config has no [plans.NAME] at all",
            file.0.display()
        )]
    );
    assert_eq!(mistakes("[auth]\nmode = \"keys\"\n"), ["test.toml:6: [auth] keys_file: is missing"]);
    let lost = mistakes("[auth]\nmode = \"keys\"\nkeys_file = \"/no/such/file\"\n");
    assert!(lost[0].starts_with("test.toml:8: [auth] keys_file: /no/such/file: "), "{lost:?}");
    read("[auth]\nkeys_file = \"/no/such/file\"\n", &[])
        .expect("of a mode that is off only the spelling counts");
}

#[test]
fn whose_tokens_are_good_is_a_secret_or_a_file_of_keys() {
    let jwt = |keys: &str| format!("[auth]\nmode = \"jwt\"\n[auth.jwt]\n{keys}");
    let env = [("MY_SECRET", SECRET), ("SHORT", "s3cret-of-too-few-bytes")];
    let config =
        read(&jwt("secret_env = \"MY_SECRET\"\nissuer = \"me\"\nleeway = \"0s\"\n"), &env).expect("right");
    let AuthMode::Jwt(by_secret) = &config.auth.mode else { panic!("{config:?}") };
    let SignedBy::Secret(secret) = &by_secret.signed_by else { panic!("{by_secret:?}") };
    assert_eq!(
        (secret.expose(), by_secret.issuer.as_deref(), by_secret.leeway),
        (SECRET, Some("me"), Duration::ZERO)
    );
    assert_eq!((by_secret.subject_claim.as_str(), by_secret.plan_claim.as_str()), ("sub", "plan"));
    assert!(!format!("{config:?}").contains(SECRET));
    let x = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    let jwks =
        format!("{{\"keys\":[\n{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"1\",\"x\":\"{x}\"}}]}}");
    let file = File::new("jwks", &jwks);
    let config = read(&jwt(&format!("jwks_file = {:?}\n", file.0)), &[]).expect("right");
    let AuthMode::Jwt(Jwt { signed_by: SignedBy::Jwks { keys, .. }, .. }) = config.auth.mode else {
        panic!("a file")
    };
    assert_eq!(keys, [(Some("1".to_owned()), JwtKey::EdDsa(vec![7; 32]))]);

    let told = |keys: &str| read(&jwt(keys), &env).expect_err("it is wrong");
    let short = told("secret_env = \"SHORT\"\n");
    assert!(
        short.len() == 1 && short[0].starts_with("test.toml:8: [auth.jwt] the secret: is shorter than 32"),
        "{short:?}"
    );
    assert!(!short[0].contains("s3cret"), "{short:?}");
    let none = ["test.toml:8: [auth.jwt] secret_env: is missing: or secret_file (HS256), or jwks_file"];
    assert_eq!(told("leeway = \"1s\"\n"), none);
    assert_eq!(
        told("secret_env = \"GONE\"\n"),
        ["test.toml:9: [auth.jwt] secret_env: the variable GONE is not set"]
    );
    let both = told(&format!("secret_env = \"MY_SECRET\"\njwks_file = {:?}\n", file.0));
    assert!(
        both.len() == 1 && both[0].starts_with("test.toml:10: [auth.jwt] jwks_file: is there beside"),
        "{both:?}"
    );
    std::fs::write(&file.0, "{\n\"keys\": [\n}").expect("written");
    let broken = told(&format!("jwks_file = {:?}\naudience = \"\"\n", file.0));
    assert!(
        broken[0].starts_with("test.toml:9: ") && broken[0].contains(": line 3: expected "),
        "{broken:?}"
    );
    assert_eq!(broken[1], "test.toml:10: [auth.jwt] audience: is empty; leave it out where anything will do");
    let missing = "test.toml:6: [auth] jwt: is missing: [auth.jwt] says whose tokens are good";
    assert_eq!(mistakes("[auth]\nmode = \"jwt\"\n"), [missing]);
}

#[test]
fn plans_say_which_symbols_and_how_much() {
    let plans = "[plans.free]\nsymbols = [\"btc\", \"class:crypto\", \"B*\"]\nthrottle_min = \"1s\"\nstreams_per_client = 2\n\
                 [plans.Gold_2]\noperator = true\n";
    let config = read(plans, &[("TICKCAST__PLANS__FREE__SYMBOLS_MAX", "7")]).expect("it is right");
    let [free, gold] = &config.plans[..] else { panic!("two plans") };
    let name = |text: &str| SymbolPattern::Name(text.to_owned());
    assert_eq!(free.symbols, [name("BTC"), SymbolPattern::Class(Class::Crypto), name("B*")]);
    assert_eq!((free.throttle_min, free.streams_per_client), (Some(Duration::from_secs(1)), Some(2)));
    assert_eq!((free.symbols_max, free.operator, free.opens_per_minute), (Some(7), false, None));
    let all = Plan { name: "Gold_2".to_owned(), symbols: vec![name("*")], operator: true, ..Plan::default() };
    assert_eq!(*gold, all);
}

#[test]
fn mistakes_in_plans_and_auth_are_told_together() {
    let text = "[plans]\n\"a b\" = {}\nflat = 1\n[plans.free]\nsymbols = [\"BTX\", \"class:bond\", \"ZZ*\"]\nstream = 1\n\
                [plans.none]\nsymbols = []\n\
                [auth]\nanonymous = \"fre\"\nplan = \"gold\"\ncookie = \"a b\"\noperators = \"all\"\nquerry = true\n";
    assert_eq!(
        mistakes(text),
        [
            "test.toml:7: [plans] `a b`: is no name of a plan: 1 to 32 characters of A-Z a-z 0-9 _ -",
            "test.toml:8: [plans] flat: expected a table, [plans.flat], found a whole number",
            "test.toml:10: [plans.free] symbols: `bond` is no class: crypto or stock",
            "test.toml:10: [plans.free] symbols: no symbol is `BTX`; did you mean `BTC`?",
            "test.toml:10: [plans.free] symbols: no symbol is like `ZZ*`; a plan names symbols, not aliases",
            "test.toml:11: [plans.free]: unknown key `stream`; here may stand: symbols, streams_per_client, \
             opens_per_minute, messages_per_second, bytes_per_second, throttle_min, symbols_max, operator",
            "test.toml:13: [plans.none] symbols: holds no symbol; leave it out for all of them",
            "test.toml:15: [auth] anonymous: there is no plan `fre`; did you mean `free`?",
            "test.toml:16: [auth] plan: there is no plan `gold`; there are: a b, free, none",
            "test.toml:17: [auth] cookie: `a b` is no name: 1 to 64 characters of A-Z a-z 0-9 _ - . : /",
            "test.toml:18: [auth] operators: `all` is none of: plan, open",
            "test.toml:19: [auth]: unknown key `querry`; did you mean `query`?",
        ]
    );
}

#[test]
fn p67_a_cookie_wants_its_pages_listed() {
    let file = File::new("cookie", "");
    let auth = format!("[auth]\nmode = \"keys\"\ncookie = \"k\"\nkeys_file = {:?}\n", file.0);
    let told = mistakes(&auth);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("test.toml:8: [auth] cookie: goes not with cors_origins = [\"*\"]"),
        "{told:?}"
    );
    for origins in ["[]", "[\"https://a.example\"]"] {
        read(&format!("[http]\ncors_origins = {origins}\n{auth}"), &[]).expect("it is right");
    }
}

#[test]
fn p68_which_header_proxies_write_is_said() {
    let config = read("[http]\nforwarded = \"forwarded\"\n", &[]).expect("it is right");
    assert_eq!(
        (config.http.forwarded, Config::default().http.forwarded),
        (Forwarded::Standard, Forwarded::XForwardedFor)
    );
    let ahead = "[http]\nforwarded = \"proxy-protocol\"\n";
    let config = read(&format!("{ahead}trusted_proxies = [\"10.0.0.1\"]"), &[]).expect("it is right");
    assert_eq!(config.http.forwarded, Forwarded::ProxyProtocol);
    for nobody in ["", "trusted_proxies = []"] {
        let told = mistakes(&format!("{ahead}{nobody}"));
        let [told] = &told[..] else { panic!("{told:?}") };
        assert!(told.contains("[http] forwarded: proxy-protocol is believed from nobody"), "{told}");
    }
}
