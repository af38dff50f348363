//! What NATS servers may be and may do: a cluster that loses its leader, TLS by a private authority, tokens and credentials, a
//! server that is full or slow. `scripts/test` installs NATS; where it is missing that is said.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test panics to fail, waits for programs of others in real time, prints how long they took, and ends with its tasks"
)]

#[path = "support/nats.rs"]
mod nats;
#[path = "support/programs.rs"]
mod programs;
mod support;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use async_nats::ServerAddr;
use async_nats::jetstream::{self, stream};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer};
use serde_json::{Value, json};
use support::{App, INSTRUMENTS, Scratch, soon};
use tickcast::app::Drive;
use tickcast::config;
use tickcast::ingest::FeedState;
use tickcast::metrics::ByReason;

use nats::{Ingest, Nats, QUERY, is_ready, load, until, version};

/// The epoch of a cursor.
fn epoch(id: &str) -> &str {
    id.split_once('.').unwrap().0
}

/// What makes a server hand over all that it leads, before it goes; `nats-server --signal ldm` sends it.
const HANDS_OVER: &str = "USR2";
/// Servers that hear no leader wait for so long before they elect another.
const ELECTION_MIN: Duration = Duration::from_secs(4);

/// Three servers that keep everything three times.
struct Cluster {
    servers: Vec<Nats>,
    routes: Vec<SocketAddr>,
}

impl Cluster {
    async fn start(name: &str) -> Option<Self> {
        let servers: Option<Vec<Nats>> =
            (0..3).map(|index| Nats::unstarted(&format!("{name}-{index}"))).collect();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        // All at once, so that they differ.
        let routes = [free(), free(), free()].map(|route| route.local_addr().unwrap()).to_vec();
        let mut cluster = Self { servers: servers?, routes };
        for index in 0..3 {
            cluster.run(index).await;
        }
        Some(cluster)
    }

    async fn run(&mut self, index: usize) {
        let routes: Vec<String> = self.routes.iter().map(|route| format!("nats://{route}")).collect();
        let (own, all) = (&routes[index], routes.join(","));
        let name = format!("n{index}");
        let more = ["-n", &name, "--cluster_name", "test", "--cluster", own, "--routes", &all];
        self.servers[index].again(&more).await;
    }

    fn section(&self, role: &str, storage: &str) -> String {
        let urls: Vec<String> =
            self.servers.iter().map(|server| format!("\"nats://{}\"", server.address)).collect();
        let urls = urls.join(", ");
        format!("[bus]\nrole = \"{role}\"\nurl = [{urls}]\nreplicas = 3\nstorage = \"{storage}\"\n")
    }

    /// Which of them leads the stream of tickers, once all have everything again.
    async fn leader(&self) -> usize {
        let address = |server: &Nats| server.address.to_string().parse::<ServerAddr>().unwrap();
        let addresses: Vec<ServerAddr> = self.servers.iter().map(address).collect();
        let client = async_nats::connect(addresses).await.unwrap();
        let context = jetstream::new(client);
        let leader_of = async |name: &str| {
            let stream = context.get_stream(name).await.ok()?;
            let found = stream.cached_info().cluster.clone()?;
            let is_whole = found.replicas.iter().filter(|it| it.current && !it.offline).count() == 2;
            found.leader.filter(|_| is_whole)
        };
        soon("leaders whose followers are up to date", async {
            loop {
                let all = [
                    leader_of("TICKCAST").await,
                    leader_of("KV_TICKCAST_lease").await,
                    leader_of("KV_TICKCAST_catalogue").await,
                ];
                if let [Some(leader), Some(_), Some(_)] = all {
                    return leader.strip_prefix('n').unwrap().parse().unwrap();
                }
            }
        })
        .await
    }
}

async fn a_cluster_loses_its_leader(storage: &str, signals: &[&str]) {
    let Some(mut cluster) = Cluster::start(&format!("cluster-{storage}")).await else { return };
    let mut ingest = Ingest::of_config(load(&format!("{}{INSTRUMENTS}", cluster.section("ingest", storage))));
    ingest.publishes().await;
    let edge = App::start(load(&cluster.section("edge", storage)), Drive::Feeds);
    is_ready(&edge).await;
    ingest.trade("ETH-USD", "10");
    ingest.trade("BTC-USD", "100");
    let mut stream = edge.connect().await.stream(QUERY, "").await;
    let mut newest = until(&mut stream, "BTC=100 live").await;
    // One after the other, each back before the next one goes: as servers are updated, only ruder.
    for (signal, price) in signals.iter().zip(101..) {
        let leader = cluster.leader().await;
        let since = Instant::now();
        cluster.servers[leader].signal(signal);
        ingest.trade("BTC-USD", &price.to_string());
        let id = until(&mut stream, &format!("BTC={price} live")).await;
        let after = since.elapsed();
        println!("{storage}: a price {after:?} after the leader got {signal}");
        if *signal == HANDS_OVER {
            assert!(after < ELECTION_MIN, "{after:?}");
        }
        assert_eq!(epoch(&id), epoch(&newest), "nothing was lost, so no cursor is void");
        assert!(version(&id) > version(&newest), "{id} after {newest}");
        newest = id;
        cluster.servers[leader].kill();
        cluster.run(leader).await;
    }
    let snapshot = edge.get("/prices/snapshot?symbols=ETH,BTC&fields=price,status").await.json();
    let prices: Vec<&Value> = snapshot["prices"].as_array().unwrap().iter().map(|it| &it["price"]).collect();
    assert_eq!(prices, ["10", format!("{}", 100 + signals.len()).as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_its_store_in_memory_hands_over_and_clients_lose_no_price() {
    a_cluster_loses_its_leader("memory", &[HANDS_OVER]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_its_store_on_disk_loses_its_leader_and_clients_no_price() {
    a_cluster_loses_its_leader("file", &["KILL", HANDS_OVER]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_vouches_for_the_server_and_another_one_does_not() {
    let Some(mut nats) = Nats::unstarted("tls") else { return };
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (Issuer::new(params, key), Scratch::new(&format!("nats-{name}.pem"), &pem))
    };
    let ((issuer, ours), (_, other)) = (authority("ca"), authority("other-ca"));
    let key = rcgen::KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let cert = Scratch::new("nats-cert.pem", &params.signed_by(&key, &issuer).unwrap().pem());
    let key = Scratch::new("nats-key.pem", &key.serialize_pem());
    let [cert, key] = [&cert, &key].map(|file| file.0.to_str().unwrap());
    nats.again(&["--tls", "--tlscert", cert, "--tlskey", key]).await;
    let section = |role: &str, authority: &Scratch| {
        let section = nats.section(role, &format!("tls_ca = {:?}", authority.0));
        section.replace("nats://", "tls://")
    };
    let mut ingest = Ingest::of_config(load(&format!("{}{INSTRUMENTS}", section("ingest", &ours))));
    ingest.trade("BTC-USD", "100");
    let edge = App::start(load(&section("edge", &ours)), Drive::Feeds);
    is_ready(&edge).await;
    let mut stream = edge.connect().await.stream(QUERY, "").await;
    until(&mut stream, "BTC=100 live").await;

    let wrong = App::start(load(&section("edge", &other)), Drive::Feeds);
    let answer = wrong.until("/health/ready", |answer| answer.body.contains("certificate")).await;
    assert_eq!(answer.head.status(), 503);
    let reasons = answer.json()["reasons"].clone();
    let wanted = format!("the bus is away: {}: invalid peer certificate: UnknownIssuer", nats.address);
    assert_eq!(reasons, json!([wanted]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_by_environment_or_file_is_taken_and_a_wrong_one_is_told() {
    let Some(mut nats) = Nats::unstarted("token") else { return };
    nats.again(&["--auth", "right-4711"]).await;
    let env = |token: &str| [("NATS_TOKEN".to_owned(), token.to_owned())].into_iter();
    let right = Scratch::new("nats-token", "right-4711\n");
    let from_file = nats.section("ingest", &format!("token_file = {:?}", right.0));
    let mut ingest = Ingest::of_config(load(&format!("{from_file}{INSTRUMENTS}")));
    ingest.trade("BTC-USD", "100");
    let from_env = nats.section("edge", "token_env = \"NATS_TOKEN\"");
    let edge =
        |token: &str| App::start(config::load(&from_env, "test.toml", env(token)).unwrap(), Drive::Feeds);
    let (right, wrong) = (edge("right-4711"), edge("wrong-4712"));
    is_ready(&right).await;
    until(&mut right.connect().await.stream(QUERY, "").await, "BTC=100 live").await;
    let answer = wrong.until("/health/ready", |answer| answer.body.contains("authorization")).await;
    assert_eq!(answer.head.status(), 503);
    assert!(!answer.body.contains("4712"), "{}", answer.body);
}

/// A JWT as NATS has them, signed by `by`.
fn jwt(by: &KeyPair, subject: &KeyPair, name: &str, mut nats: Value) -> String {
    nats["version"] = json!(2);
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "iss": by.public_key(), "name": name, "sub": subject.public_key(), "nats": nats
    });
    let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), encode(&claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(by.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// An account that may do this with JetStream.
fn account(operator: &KeyPair, key: &KeyPair, name: &str, storage: i64) -> String {
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage
    });
    let nats =
        json!({ "type": "account", "limits": limits, "default_permissions": { "pub": {}, "sub": {} } });
    jwt(operator, key, name, nats)
}

/// The file that `nsc` makes for a user of the account.
fn credentials(account: &KeyPair, name: &str) -> Scratch {
    let user = KeyPair::new_user();
    let nats = json!({ "type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1 });
    let (jwt, seed) = (jwt(account, &user, name, nats), user.seed().unwrap());
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         ************************* IMPORTANT *************************\n\
         NKEY Seed printed below can be used to sign and prove identity.\n\
         NKEYs are sensitive and should be treated as secrets.\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n\
         *************************************************************\n"
    );
    Scratch::new(&format!("nats-{name}.creds"), &text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_credentials_file_of_an_account_is_taken_and_that_of_a_stranger_is_told() {
    let Some(mut nats) = Nats::unstarted("creds") else { return };
    let operator = KeyPair::new_operator();
    let [ours, system, stranger] = [(); 3].map(|()| KeyPair::new_account());
    let operator_jwt = jwt(&operator, &operator, "operator", json!({ "type": "operator" }));
    let accounts = [(&ours, "ours", -1), (&system, "system", 0)].map(|(key, name, storage)| {
        format!("{}: {}\n", key.public_key(), account(&operator, key, name, storage))
    });
    let text = format!(
        "operator: {operator_jwt}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{\n{}}}\n",
        system.public_key(),
        accounts.concat()
    );
    let server = Scratch::new("nats-creds.conf", &text);
    nats.again(&["-c", server.0.to_str().unwrap()]).await;
    let section =
        |role: &str, file: &Scratch| nats.section(role, &format!("credentials_file = {:?}", file.0));
    let (right, wrong) = (credentials(&ours, "ours"), credentials(&stranger, "stranger"));
    let mut ingest = Ingest::of_config(load(&format!("{}{INSTRUMENTS}", section("ingest", &right))));
    ingest.trade("BTC-USD", "100");
    let edge = App::start(load(&section("edge", &right)), Drive::Feeds);
    is_ready(&edge).await;
    until(&mut edge.connect().await.stream(QUERY, "").await, "BTC=100 live").await;
    let edge = App::start(load(&section("edge", &wrong)), Drive::Feeds);
    let answer = edge.until("/health/ready", |answer| answer.body.contains("authorization")).await;
    assert_eq!(answer.head.status(), 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_full_is_told_of_and_heals_when_there_is_room() {
    let Some(mut nats) = Nats::unstarted("full") else { return };
    let server = Scratch::new("nats-full.conf", "jetstream { max_mem: 1MB }\n");
    nats.again(&["-c", server.0.to_str().unwrap()]).await;
    let instruments = INSTRUMENTS.replace("rate = 0.001", "rate = 20");
    let ingest = App::start(load(&format!("{}{instruments}", nats.section("ingest", ""))), Drive::Feeds);
    let edge = nats.edge("");
    is_ready(&edge).await;
    let mut stream = edge.connect().await.stream(QUERY, "").await;
    while stream.message().await.text("status") != "live" {}

    let context = jetstream::new(async_nats::connect(nats.address.to_string()).await.unwrap());
    let filler = stream::Config {
        name: "FILLER".to_owned(),
        subjects: vec!["filler".to_owned()],
        storage: stream::StorageType::Memory,
        ..stream::Config::default()
    };
    context.create_stream(filler).await.unwrap();
    for size in [64 << 10, 4 << 10, 64] {
        while context.publish("filler", vec![b'x'; size].into()).await.unwrap().await.is_ok() {}
    }
    let counted = "tickcast_bus_failed_total{reason=\"full\"}";
    ingest.until("/metrics", |answer| answer.metric(counted).is_some_and(|count| count > 0)).await;
    ingest.until("/health/ready", |answer| answer.body.contains("NATS has no room")).await;
    while stream.message().await.text("status") != "stale" {}
    edge.until("/health/ready", |answer| answer.body.contains("nobody publishes")).await;

    context.delete_stream("FILLER").await.unwrap();
    while stream.message().await.text("status") != "live" {}
    for node in [&ingest, &edge] {
        node.until("/health/ready", |answer| answer.body == r#"{"status":"ready","reasons":[]}"#).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_for_seconds_makes_prices_stale_and_loses_none() {
    let Some(nats) = Nats::start("slow").await else { return };
    let mut ingest = Ingest::start(&nats, "");
    let edge = nats.edge("");
    is_ready(&edge).await;
    ingest.trade("BTC-USD", "100");
    ingest.trade("ETH-USD", "10");
    let mut stream = edge.connect().await.stream(QUERY, "").await;
    until(&mut stream, "BTC=100 live").await;
    let before = until(&mut stream, "ETH=10 live").await;

    let since = Instant::now();
    nats.signal("STOP");
    // On its way when nobody answers, and replaced while it waits.
    ingest.trade("BTC-USD", "101");
    until(&mut stream, "ETH=10 stale").await;
    ingest.trade("BTC-USD", "102");
    ingest.trade("ETH-USD", "11");
    let unanswered = ByReason { reason: "unanswered" };
    soon("a message without an answer", async {
        while ingest.metrics.bus_failed.get_or_create(&unanswered).get() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Its length is what is tried.
    tokio::time::sleep_until((since + Duration::from_secs(3)).into()).await;
    nats.signal("CONT");
    let mut last = (String::new(), String::new());
    while (last.0.as_str(), last.1.as_str()) != ("BTC=102 live", "ETH=11 live") {
        let message = stream.message().await;
        if let Some(id) = &message.id {
            assert_eq!(epoch(id), epoch(&before));
        }
        let said = format!("{}={} {}", message.text("symbol"), message.text("price"), message.text("status"));
        if said.starts_with("BTC") { last.0 = said } else { last.1 = said }
    }
    println!("as before {:?} after it hung", since.elapsed());
    ingest.trade("BTC-USD", "103");
    assert!(version(&until(&mut stream, "BTC=103 live").await) > version(&before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_feeds_are_all_dead_leaves_the_lease_to_one_that_hears_something() {
    let Some(nats) = Nats::start("deaf").await else { return };
    let mut first = Ingest::start(&nats, "");
    first.trade("BTC-USD", "100");
    first.publishes().await;
    let edge = nats.edge("");
    is_ready(&edge).await;
    let mut stream = edge.connect().await.stream(QUERY, "").await;
    let mut newest = until(&mut stream, "BTC=100 live").await;
    let mut second = Ingest::start(&nats, "");
    second.trade("BTC-USD", "101");

    // It waits, and hears what the first one hears no more.
    first.feed.enter(FeedState::Waiting);
    second.trade("BTC-USD", "102");
    let id = until(&mut stream, "BTC=102 live").await;
    assert!(version(&id) > version(&newest), "{id} after {newest}");
    newest = id;
    assert_eq!((first.metrics.bus_publishes.get(), second.metrics.bus_publishes.get()), (0, 1));
    // And the other way round: who hears something again is as good as any.
    first.trade("BTC-USD", "103");
    second.feed.enter(FeedState::Silent);
    let id = until(&mut stream, "BTC=103 live").await;
    assert!(version(&id) > version(&newest), "{id} after {newest}");
    assert_eq!((first.metrics.bus_publishes.get(), second.metrics.bus_publishes.get()), (1, 0));
    // Nobody hears anything, and the one that publishes is gone: somebody has to say that prices are stale.
    drop(first);
    second.publishes().await;
}
