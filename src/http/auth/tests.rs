//! Who is let in by which door, and with what.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;
use crate::config;
use crate::http::limits::Allowance;

const CONFIG: &str = r#"
[feeds.sim]
[[instrument]]
symbol = "BTC"
class = "crypto"
sources = ["sim:BTC-USD"]
[[instrument]]
symbol = "AAPL"
class = "stock"
sources = ["sim:AAPL"]
[plans.free]
symbols = ["class:crypto"]
streams_per_client = 2
throttle_min = "1s"
symbols_max = 5_000
[plans.ops]
operator = true
messages_per_second = 9
bytes_per_second = 9_000
"#;

struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tickcast-auth-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a scratch file can be written");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn entry(id: &str, more: &str) -> String {
    format!("[[key]]\nid = \"{id}\"\nhash = \"{}\"\n{more}\n", hash(&format!("tick_{id}")))
}

fn config(text: &str) -> Config {
    let config = config::load(&format!("{CONFIG}{text}"), "test.toml", std::iter::empty());
    config.unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn catalogue() -> Catalogue {
    Catalogue::new(config("").instruments)
}

fn auth(text: &str) -> Auth {
    Auth::new(&config(text))
}

/// Lets in who shows this key, if any.
fn let_in(auth: &Auth, door: Door, key: Option<&str>) -> Result<Visitor, Denied> {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        headers.insert("x-api-key", key.parse().expect("a header's value"));
    }
    auth.admit(door, IpAddr::from([10, 0, 0, 1]), &headers, &mut Params::default())
}

fn denied(auth: &Auth, door: Door, key: Option<&str>) -> Option<Denied> {
    let_in(auth, door, key).err()
}

#[test]
fn without_a_mode_everybody_is_let_in_as_his_address() {
    let auth = auth("");
    for door in [Door::Stream, Door::Data, Door::Operator] {
        for key in [None, Some("anything")] {
            let visitor = let_in(&auth, door, key).expect("let in");
            assert_eq!(visitor.client, ClientId::address(IpAddr::from([10, 0, 0, 1])));
            assert!(
                visitor.may_follow(&catalogue(), SymbolId(0))
                    && visitor.may_follow(&catalogue(), SymbolId(1))
            );
        }
    }
}

#[test]
fn a_key_opens_the_doors_of_its_plan() {
    let keys = entry("plain", "") + &entry("free", "plan = \"free\"") + &entry("ops", "plan = \"ops\"");
    let file = File::new("doors", &(keys + &entry("old", "expires = 2020-01-01")));
    let auth = auth(&format!("[auth]\nmode = \"keys\"\nkeys_file = {:?}\n", file.0));
    for door in [Door::Stream, Door::Data, Door::Ticket, Door::Operator] {
        assert_eq!(denied(&auth, door, None), Some(Denied::Missing));
        assert_eq!(denied(&auth, door, Some("tick_nobody")), Some(Denied::Unknown));
        assert_eq!(denied(&auth, door, Some("tick_old")), Some(Denied::Expired));
        assert_eq!(denied(&auth, door, Some("tick_ops")), None);
    }
    assert_eq!(denied(&auth, Door::Operator, Some("tick_free")), Some(Denied::NoOperator));
    let free = let_in(&auth, Door::Data, Some("tick_free")).expect("let in");
    assert_eq!(free.client, ClientId::Credential { id: "free".into(), plan: "free".into() });
    assert!(free.may_follow(&catalogue(), SymbolId(0)) && !free.may_follow(&catalogue(), SymbolId(1)));
    let (terms, all) = (&free.terms, config::Limits::default());
    assert_eq!(
        (terms.allowance.streams_per_client, terms.allowance.opens_per_minute),
        (2, all.opens_per_minute)
    );
    assert_eq!(
        (terms.throttle_min, terms.symbols_max),
        (Duration::from_secs(1), 1_000),
        "a plan narrows only"
    );
    let ops = let_in(&auth, Door::Data, Some("tick_ops")).expect("let in").terms.allowance;
    assert_eq!((ops.messages_per_second, ops.bytes_per_second), (Some(9), Some(9_000)));
    let plain = let_in(&auth, Door::Stream, Some("tick_plain")).expect("let in");
    assert_eq!((plain.terms.name.as_deref(), plain.terms.allowance), (None, Allowance::of(&all)));
}

#[test]
fn p70_who_shows_nothing_may_have_a_plan_of_its_own_and_is_then_an_address() {
    let file = File::new("anonymous", &entry("plain", ""));
    let more = "anonymous = \"free\"\nplan = \"ops\"\noperators = \"open\"";
    let auth = auth(&format!("[auth]\nmode = \"keys\"\nkeys_file = {:?}\n{more}", file.0));
    let stranger = let_in(&auth, Door::Stream, None).expect("let in");
    assert_eq!(stranger.client, ClientId::address(IpAddr::from([10, 0, 0, 1])));
    assert_eq!(stranger.terms.name.as_deref(), Some("free"));
    assert_eq!(denied(&auth, Door::Stream, Some("wrong")), Some(Denied::Unknown), "not let in as a stranger");
    assert_eq!(denied(&auth, Door::Ticket, None), Some(Denied::Missing), "he needs none");
    assert_eq!(denied(&auth, Door::Operator, None), None, "it is open");
    let plain = let_in(&auth, Door::Stream, Some("tick_plain")).expect("let in");
    assert_eq!(plain.terms.name.as_deref(), Some("ops"), "auth.plan");
}

#[test]
fn p66_reading_the_file_again_ends_what_is_gone_and_a_broken_file_keeps_what_was() {
    let file = File::new("again", &(entry("one", "") + &entry("two", "")));
    let auth = auth(&format!("[auth]\nmode = \"keys\"\nkeys_file = {:?}\n", file.0));
    let [one, two] =
        ["tick_one", "tick_two"].map(|key| let_in(&auth, Door::Stream, Some(key)).expect("let in"));
    let now = Instant::now();
    std::fs::write(&file.0, "[[key]]\nid = \"two\"\nhash = \"tick_two\"\n").expect("written");
    let problem = auth.read_again().expect_err("a key instead of its hash");
    assert!(
        problem.contains(":3: [[key]] two hash: is no hash") && !problem.contains("tick_two"),
        "{problem}"
    );
    assert_eq!((one.lease.end(now), denied(&auth, Door::Stream, Some("tick_one"))), (None, None));
    std::fs::write(&file.0, entry("two", "") + &entry("three", "")).expect("written");
    assert_eq!(auth.read_again(), Ok(Read { keys: 2, added: 1, changed: 0, revoked: 1 }));
    assert_eq!(one.lease.end(now), Some(lease::LeaseEnd::Revoked));
    assert_eq!(
        (two.lease.end(now), denied(&auth, Door::Stream, Some("tick_one"))),
        (None, Some(Denied::Unknown))
    );
    assert_eq!(denied(&auth, Door::Stream, Some("tick_three")), None);
    std::fs::remove_file(&file.0).expect("it is ours");
    assert!(auth.read_again().expect_err("it is gone").starts_with(&file.0.display().to_string()));
    assert_eq!(denied(&auth, Door::Stream, Some("tick_three")), None);
}

#[test]
fn p66_an_issuer_that_changes_its_key_ends_what_the_old_one_signed() {
    let pair = |seed: u8| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed");
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwks = |seed: u8| {
        let x = encode(pair(seed).public_key().as_ref());
        format!("{{\"keys\":[{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k{seed}\",\"x\":\"{x}\"}}]}}")
    };
    let token = |seed: u8| {
        let header = format!("{{\"alg\":\"EdDSA\",\"kid\":\"k{seed}\"}}");
        let claims = format!("{{\"sub\":\"alice\",\"exp\":{}}}", clock::wall().as_millis() / 1000 + 600);
        let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        format!("{message}.{}", encode(pair(seed).sign(message.as_bytes()).as_ref()))
    };
    let file = File::new("jwks", &jwks(1));
    let auth = auth(&format!("[auth]\nmode = \"jwt\"\n[auth.jwt]\njwks_file = {:?}\n", file.0));
    let (old, new) = (token(1), token(2));
    let visitor = let_in(&auth, Door::Stream, Some(&old)).expect("let in");
    assert_eq!(visitor.client, ClientId::Credential { id: "alice".into(), plan: "".into() });
    let left = visitor.lease.left(Instant::now()).expect("it ends");
    assert!(left > Duration::from_secs(620) && left <= Duration::from_secs(630), "{left:?}");
    std::fs::write(&file.0, "{\n\"keys\": []}").expect("written");
    let problem = auth.read_again().expect_err("nobody could come in any more");
    assert!(problem.contains("none of its 0 keys"), "{problem}");
    assert_eq!((visitor.lease.end(Instant::now()), denied(&auth, Door::Stream, Some(&old))), (None, None));
    std::fs::write(&file.0, jwks(2)).expect("written");
    assert_eq!(auth.read_again(), Ok(Read { keys: 1, added: 1, changed: 0, revoked: 1 }));
    assert_eq!(visitor.lease.end(Instant::now()), Some(lease::LeaseEnd::Revoked));
    assert_eq!(denied(&auth, Door::Stream, Some(&old)), Some(Denied::Unknown));
    assert_eq!(denied(&auth, Door::Stream, Some(&new)), None);
}

#[test]
fn p65_a_ticket_is_worth_what_its_key_is_worth_when_it_is_shown() {
    let file = File::new("tickets", &entry("one", ""));
    let auth = auth(&format!("[auth]\nmode = \"keys\"\nkeys_file = {:?}\n", file.0));
    let one = let_in(&auth, Door::Ticket, Some("tick_one")).expect("let in");
    let only = HashSet::from([SymbolId(1)]);
    let ticket = |only| auth.ticket(&one, only, &HeaderMap::new()).expect("a ticket");
    let show = |door, ticket: &str| {
        let mut params = Params::from_query(&format!("ticket={ticket}")).expect("a query");
        auth.admit(door, IpAddr::from([10, 0, 0, 9]), &HeaderMap::new(), &mut params)
    };
    let given = ticket(Some(only));
    assert_eq!(given.expires_in, TICKET_LIFETIME);
    let visitor = show(Door::Stream, &given.ticket).expect("let in");
    assert_eq!(visitor.client, one.client, "the key's limits, not the address's");
    assert!(visitor.may_follow(&catalogue(), SymbolId(1)) && !visitor.may_follow(&catalogue(), SymbolId(0)));
    assert_eq!(show(Door::Data, &given.ticket).err(), Some(Denied::NoTicketHere));
    assert_eq!((auth.use_ticket(&visitor), auth.use_ticket(&visitor)), (Ok(()), Err(Denied::Ticket)));
    assert_eq!(auth.use_ticket(&one), Ok(()), "who came with none has none to use up");
    assert_eq!(show(Door::Stream, &given.ticket).err(), Some(Denied::Ticket));
    let given = ticket(None);
    std::fs::write(&file.0, entry("two", "")).expect("written");
    auth.read_again().expect("it is right");
    assert_eq!(show(Door::Stream, &given.ticket).err(), Some(Denied::Ticket), "its key is revoked");
}

#[test]
fn p67_a_cookie_counts_from_our_own_pages_and_listed_ones_only() {
    let file = File::new("cookies", &entry("one", ""));
    let text = format!(
        "[http]\ncors_origins = [\"https://a.example\"]\n[auth]\nmode = \"keys\"\ncookie = \"k\"\nkeys_file = {:?}\n",
        file.0
    );
    let auth = auth(&text);
    let from = |origin: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", "k=tick_one".parse().expect("a value"));
        headers.insert("host", "prices.example:8080".parse().expect("a value"));
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().expect("a value"));
        }
        auth.admit(Door::Stream, IpAddr::from([10, 0, 0, 1]), &headers, &mut Params::default()).err()
    };
    for good in [None, Some("https://a.example"), Some("http://prices.example:8080")] {
        assert_eq!(from(good), None, "{good:?}");
    }
    for other in ["https://b.example", "https://a.example.evil", "null", "http://prices.example"] {
        assert_eq!(from(Some(other)), Some(Denied::Missing), "{other}");
    }
}

#[test]
fn no_answer_says_what_was_shown_and_each_says_what_would_work() {
    let all = [
        Denied::Missing,
        Denied::Malformed,
        Denied::Unknown,
        Denied::Expired,
        Denied::Early,
        Denied::Claim("aud"),
        Denied::Ticket,
        Denied::TicketOrigin,
        Denied::NoTicketHere,
        Denied::QueryIsOff,
        Denied::NoSuchPlan("x".to_owned()),
        Denied::NoOperator,
        Denied::Later(overloaded(None)),
    ];
    for denied in all {
        assert!(Denied::REASONS.contains(&denied.reason()), "{denied:?}");
        let answer = denied.problem().answer();
        let status = answer.status().as_u16();
        let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().expect("text"));
        match denied {
            Denied::QueryIsOff => assert_eq!((status, challenge), (400, None)),
            Denied::NoSuchPlan(_) | Denied::NoOperator => assert_eq!((status, challenge), (403, None)),
            Denied::Later(_) => assert_eq!((status, challenge), (503, None)),
            Denied::Missing => assert_eq!((status, challenge), (401, Some("Bearer realm=\"tickcast\""))),
            _ => assert_eq!(
                (status, challenge),
                (401, Some("Bearer realm=\"tickcast\", error=\"invalid_token\""))
            ),
        }
    }
}

fn shown_from(auth: &Auth, address: [u8; 4], key: &str) -> Option<Denied> {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", key.parse().expect("a header's value"));
    auth.admit(Door::Data, IpAddr::from(address), &headers, &mut Params::default()).err()
}

fn is_later(denied: Option<&Denied>) -> bool {
    matches!(denied, Some(Denied::Later(refusal)) if refusal.code == Code::TooManyBadCredentials)
}

#[tokio::test(start_paused = true)]
async fn keys_are_not_guessed_faster_than_the_limit_and_neighbours_of_who_guesses_go_on() {
    let file = File::new(
        "guesses",
        &(entry("mine", "") + &entry("theirs", "") + &entry("old", "expires = 2020-01-01")),
    );
    let auth = auth(&format!(
        "[auth]\nmode = \"keys\"\nkeys_file = {:?}\n[limits]\nbad_credentials_per_minute = 5",
        file.0
    ));
    let office = [10, 0, 0, 1];
    assert_eq!(shown_from(&auth, office, "tick_mine"), None);
    for guess in 0..5 {
        assert_eq!(shown_from(&auth, office, &format!("guess{guess}")), Some(Denied::Unknown));
    }
    // Not even whether a key is good, or once was.
    for guess in ["guess5", "tick_theirs", "tick_old"] {
        let denied = shown_from(&auth, office, guess);
        assert!(is_later(denied.as_ref()), "{guess}: {denied:?}");
        let Some(Denied::Later(refusal)) = denied else { panic!("{denied:?}") };
        assert_eq!((refusal.limit, refusal.scope), (Some(5), Scope::Client));
        let (turn, spread) = (Duration::from_secs(12), Duration::from_secs(18));
        assert!(refusal.retry >= turn && refusal.retry <= spread, "{refusal:?}");
    }
    assert_eq!(shown_from(&auth, office, "tick_mine"), None, "it has come from there before");
    assert_eq!(shown_from(&auth, [10, 0, 0, 2], "tick_theirs"), None, "another address");
    tokio::time::advance(Duration::from_secs(12)).await;
    assert_eq!(shown_from(&auth, office, "guess5"), Some(Denied::Unknown), "one a turn");
    assert!(is_later(shown_from(&auth, office, "tick_theirs").as_ref()));
    tokio::time::advance(Duration::from_secs(12)).await;
    assert_eq!(shown_from(&auth, office, "tick_theirs"), None);
    // What is no guess is not counted: nothing shown, no key at all, one that was good once.
    for _ in 0..20 {
        assert_eq!(denied(&auth, Door::Data, None), Some(Denied::Missing));
        assert_eq!(shown_from(&auth, [10, 0, 0, 3], "a b"), Some(Denied::Malformed));
        assert_eq!(shown_from(&auth, [10, 0, 0, 3], "tick_old"), Some(Denied::Expired));
    }
    assert_eq!(shown_from(&auth, [10, 0, 0, 3], "guess"), Some(Denied::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_kept_by_a_new_file_is_still_known_from_where_it_came() {
    let file = File::new("guesses-kept", &entry("mine", ""));
    let auth = auth(&format!(
        "[auth]\nmode = \"keys\"\nkeys_file = {:?}\n[limits]\nbad_credentials_per_minute = 1",
        file.0
    ));
    assert_eq!(shown_from(&auth, [10, 0, 0, 1], "tick_mine"), None);
    std::fs::write(&file.0, entry("mine", "") + &entry("new", "")).expect("writable");
    assert_eq!(auth.read_again().map(|read| read.added), Ok(1));
    assert_eq!(shown_from(&auth, [10, 0, 0, 1], "guess"), Some(Denied::Unknown));
    assert_eq!(shown_from(&auth, [10, 0, 0, 1], "tick_mine"), None);
    assert!(is_later(shown_from(&auth, [10, 0, 0, 1], "tick_new").as_ref()));
}
