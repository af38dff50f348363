//! The files of `deploy` for several nodes fit each other and the program: configs, what compose and Kubernetes name, what is
//! mounted where. Their NATS servers are started as they are written there; proxies are tried in `proxies.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test panics to fail; it waits for programs in real time"
)]

#[path = "support/programs.rs"]
mod programs;
mod support;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use async_nats::ServerAddr;
use async_nats::jetstream::{self, stream};
use serde_json::Value;
use support::{Client, Scratch, soon};
use tickcast::config::{self, Bus, Config, Role};

use programs::Running;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn file(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A config of `deploy`, with more by environment.
fn load(path: &str, env: &[(String, String)]) -> Config {
    config::load(&file(path), path, env.iter().cloned()).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The documents of a YAML file. One that has a key twice is none.
fn yaml(path: &str) -> Vec<Value> {
    let text = file(path);
    let documents = text.split("\n---\n").map(serde_saphyr::from_str::<Value>);
    documents.map(|document| document.unwrap_or_else(|error| panic!("{path}: {error}"))).collect()
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("{list} is no list"));
    list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn keys(map: &Value) -> BTreeSet<&str> {
    map.as_object().unwrap_or_else(|| panic!("{map} is no map")).keys().map(String::as_str).collect()
}

/// The keys anywhere within it, but not those of `free` maps, where anybody names things.
fn all_keys(value: &Value, free: &[&str], found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                found.insert(key.clone());
                if !free.contains(&key.as_str()) {
                    all_keys(value, free, found);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| all_keys(value, free, found)),
        _ => {}
    }
}

/// What both sides of the bus have to agree on.
fn agree(ingest: &Config, edge: &Config, servers: &[&str]) {
    let (ingest, edge) = (ingest.bus.as_ref().unwrap(), edge.bus.as_ref().unwrap());
    assert_eq!((ingest.role, edge.role), (Role::Ingest, Role::Edge));
    let as_ingest = Bus { role: Role::Ingest, ..edge.clone() };
    assert_eq!(&as_ingest, ingest);
    let hosts: Vec<_> = servers.iter().map(|host| format!("nats://{host}:4222")).collect();
    assert_eq!((&ingest.urls, ingest.replicas), (&hosts, servers.len()));
}

#[test]
fn of_several_nodes_each_has_a_config_that_fits_the_others() {
    let [ingest, edge] = ["ingest", "edge"].map(|role| load(&format!("deploy/scaled/{role}.toml"), &[]));
    agree(&ingest, &edge, &["nats"]);
    let three = yaml("deploy/scaled/compose.nats3.yml").remove(0);
    let env = |service: &str| -> Vec<(String, String)> {
        let env = three["services"][service]["environment"].as_object().unwrap();
        env.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
    };
    let ingests = ["ingest1", "ingest2"].map(|name| load("deploy/scaled/ingest.toml", &env(name)));
    let edges = ["edge1", "edge2"].map(|name| load("deploy/scaled/edge.toml", &env(name)));
    for (ingest, edge) in ingests.iter().zip(&edges) {
        agree(ingest, edge, &["nats", "nats2", "nats3"]);
    }
    let [ingest, edge] =
        ["ingest", "edge"].map(|role| load(&format!("deploy/kubernetes/scaled/{role}.toml"), &[]));
    agree(&ingest, &edge, &["nats-0.nats", "nats-1.nats", "nats-2.nats"]);
    // What they listen at is what is asked.
    for config in ingests.iter().chain(&edges).chain([&ingest, &edge]) {
        assert_eq!(config.http.listen.to_string(), "0.0.0.0:8080");
    }
}

#[test]
fn compose_names_what_compose_knows_and_what_is_there() {
    let [one, three] =
        ["compose.yml", "compose.nats3.yml"].map(|name| yaml(&format!("deploy/scaled/{name}")).remove(0));
    let known = BTreeSet::from([
        "build",
        "command",
        "depends_on",
        "entrypoint",
        "environment",
        "image",
        "ports",
        "restart",
        "stop_grace_period",
        "ulimits",
        "volumes",
    ]);
    let mut services = keys(&one["services"]);
    services.extend(keys(&three["services"]));
    let mut kept = keys(&one["volumes"]);
    kept.extend(keys(&three["volumes"]));
    for file in [&one, &three] {
        let top = |key: &&str| ["services", "volumes"].contains(key) || key.starts_with("x-");
        assert!(keys(file).iter().all(top), "{:?}", keys(file));
        for (name, service) in file["services"].as_object().unwrap() {
            let fields = keys(service);
            assert!(fields.is_subset(&known), "{name}: {fields:?}");
            for other in service.get("depends_on").map(texts).unwrap_or_default() {
                assert!(services.contains(other.as_str()), "{name} waits for {other}");
            }
            let volumes = service.get("volumes").map(texts).unwrap_or_default();
            for volume in &volumes {
                let (from, _) = volume.split_once(':').unwrap();
                let is_there = match from.strip_prefix("./") {
                    Some(file) => path(&format!("deploy/scaled/{file}")).is_file(),
                    None => kept.contains(from),
                };
                assert!(is_there, "{name}: {volume}");
            }
            let command = service.get("command").map(texts).unwrap_or_default();
            if command.first().is_some_and(|word| word == "serve") {
                assert_eq!((command.len(), command[1].as_str()), (3, "--config"));
                let path = &command[2];
                assert!(
                    volumes.iter().any(|volume| volume.ends_with(&format!(":{path}:ro"))),
                    "{name}: {path}"
                );
            }
        }
    }
    let dockerfile = one["services"]["edge1"]["build"]["dockerfile"].as_str().unwrap();
    assert!(path(dockerfile).is_file());
    let grace = one["services"]["edge1"]["stop_grace_period"].as_str().unwrap();
    let edge = load("deploy/scaled/edge.toml", &[]);
    let grace = Duration::from_secs(grace.trim_end_matches('s').parse().unwrap());
    assert!(grace > edge.http.drain_max, "{grace:?}");
}

#[test]
fn on_kubernetes_what_belongs_together_finds_each_other() {
    let folder = "deploy/kubernetes/scaled";
    let list = yaml(&format!("{folder}/kustomization.yaml")).remove(0);
    let files = texts(&list["resources"]);
    let all: Vec<Value> = files.iter().flat_map(|name| yaml(&format!("{folder}/{name}"))).collect();
    let mut found = BTreeSet::new();
    all.iter().for_each(|object| {
        all_keys(object, &["data", "matchLabels", "labels", "limits", "requests"], &mut found);
    });
    let unknown: Vec<_> = found.iter().filter(|key| !KUBERNETES.contains(&key.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");

    let of_kind = |kind: &'static str| all.iter().filter(move |object| object["kind"] == kind);
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    let mut maps: HashMap<String, BTreeSet<String>> = HashMap::new();
    for map in of_kind("ConfigMap") {
        maps.insert(name(map), keys(&map["data"]).into_iter().map(str::to_owned).collect());
    }
    for made in list["configMapGenerator"].as_array().unwrap() {
        let files = texts(&made["files"]);
        files.iter().for_each(|name| drop(file(&format!("{folder}/{name}"))));
        maps.insert(made["name"].as_str().unwrap().to_owned(), files.into_iter().collect());
    }
    let mut pods = Vec::new();
    for set in of_kind("Deployment").chain(of_kind("StatefulSet")) {
        let (spec, pod) = (&set["spec"], &set["spec"]["template"]);
        let labels = &pod["metadata"]["labels"];
        assert_eq!(&spec["selector"]["matchLabels"], labels, "{}", name(set));
        pods.push((labels.clone(), spec["replicas"].as_u64().unwrap()));
        let container = &pod["spec"]["containers"][0];
        // Each file that its program is started with is one of a ConfigMap that is mounted there.
        let (mounts, volumes) = (&container["volumeMounts"], &pod["spec"]["volumes"]);
        for path in texts(&container["args"]).iter().filter(|arg| arg.starts_with("/etc/")) {
            let (folder, file) = path.rsplit_once('/').unwrap();
            let mount = mounts.as_array().unwrap().iter().find(|mount| mount["mountPath"] == folder).unwrap();
            let volume = volumes.as_array().unwrap().iter().find(|it| it["name"] == mount["name"]).unwrap();
            let map = volume["configMap"]["name"].as_str().unwrap();
            assert!(maps[map].contains(file), "{path} is not in {map}");
        }
        let ports: Vec<&Value> = container["ports"].as_array().unwrap().iter().collect();
        for probe in ["livenessProbe", "readinessProbe"].iter().filter_map(|probe| container.get(probe)) {
            let port = &probe["httpGet"]["port"];
            assert!(
                ports.iter().any(|it| it["name"] == *port || it["containerPort"] == *port),
                "{}: {port}",
                name(set)
            );
        }
    }
    for (kind, labels) in
        [("Service", "/spec/selector"), ("PodDisruptionBudget", "/spec/selector/matchLabels")]
    {
        for object in of_kind(kind) {
            let wanted = object.pointer(labels).unwrap();
            assert!(pods.iter().any(|(labels, _)| labels == wanted), "{kind} {}", name(object));
        }
    }
    // The pods of a StatefulSet are called by its name, and found by its Service's.
    let nats = of_kind("StatefulSet").next().unwrap();
    let service = nats["spec"]["serviceName"].as_str().unwrap();
    assert!(of_kind("Service").any(|it| name(it) == service));
    let bus = load(&format!("{folder}/edge.toml"), &[]).bus.unwrap();
    let count = nats["spec"]["replicas"].as_u64().unwrap();
    let hosts: Vec<_> =
        (0..count).map(|index| format!("nats://{}-{index}.{service}:4222", name(nats))).collect();
    assert_eq!(bus.urls, hosts);
    let edges = all.iter().find(|it| it["kind"] == "Deployment" && name(it) == "tickcast-edge").unwrap();
    let grace = edges["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(Duration::from_secs(grace) > load(&format!("{folder}/edge.toml"), &[]).http.drain_max);
}

/// The fields of Kubernetes that these objects use, so that a slip of the pen is none of them.
const KUBERNETES: [&str; 60] = [
    "accessModes",
    "affinity",
    "apiVersion",
    "app",
    "args",
    "clusterIP",
    "command",
    "configMap",
    "containerPort",
    "containers",
    "data",
    "env",
    "exec",
    "fieldPath",
    "fieldRef",
    "httpGet",
    "image",
    "kind",
    "labelSelector",
    "labels",
    "lifecycle",
    "limits",
    "livenessProbe",
    "matchLabels",
    "maxSkew",
    "maxSurge",
    "maxUnavailable",
    "metadata",
    "mountPath",
    "name",
    "path",
    "periodSeconds",
    "podAffinityTerm",
    "podAntiAffinity",
    "podManagementPolicy",
    "port",
    "ports",
    "preStop",
    "preferredDuringSchedulingIgnoredDuringExecution",
    "publishNotReadyAddresses",
    "readinessProbe",
    "replicas",
    "requests",
    "resources",
    "rollingUpdate",
    "selector",
    "serviceName",
    "spec",
    "strategy",
    "targetPort",
    "template",
    "terminationGracePeriodSeconds",
    "topologyKey",
    "topologySpreadConstraints",
    "valueFrom",
    "volumeClaimTemplates",
    "volumeMounts",
    "volumes",
    "weight",
    "whenUnsatisfiable",
];

/// Three NATS servers on loopback, and what they are started with.
struct Servers {
    addresses: Vec<SocketAddr>,
    running: Vec<Running>,
    folder: PathBuf,
}

impl Servers {
    /// `command` gets a server's number, its port for clients, all ports for routes and a folder, and returns what is said to it.
    fn start(name: &str, command: impl Fn(usize, SocketAddr, &[SocketAddr], &Path) -> Command) -> Self {
        let folder = std::env::temp_dir().join(format!("tickcast-{}-{name}", std::process::id()));
        let free = || {
            let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            listeners.iter().map(|listener| listener.local_addr().unwrap()).collect::<Vec<_>>()
        };
        let (addresses, routes) = (free(), free());
        let start = |index: usize| {
            let folder = folder.join(index.to_string());
            fs::create_dir_all(&folder).unwrap();
            let mut command = command(index, addresses[index], &routes, &folder);
            Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
        };
        let running = (0..3).map(start).collect();
        Self { addresses, running, folder }
    }

    /// They have found each other: they keep a stream three times.
    async fn are_one(&self) {
        let addresses =
            self.addresses.iter().map(|address| address.to_string().parse::<ServerAddr>().unwrap());
        let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
        let client = options.connect(addresses.collect::<Vec<_>>()).await.unwrap();
        let context = jetstream::new(client);
        let config = stream::Config {
            name: "TICKCAST".to_owned(),
            subjects: vec!["tickcast.>".to_owned()],
            num_replicas: 3,
            ..stream::Config::default()
        };
        soon("a cluster", async {
            while context.create_stream(config.clone()).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.running.clear();
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn nats_server() -> Option<PathBuf> {
    programs::need("TICKCAST_TEST_NATS", "nats-server", programs::find("nats-server"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_three_nats_servers_of_compose_find_each_other() {
    let Some(program) = nats_server() else { return };
    let three = yaml("deploy/scaled/compose.nats3.yml").remove(0);
    let names = ["nats", "nats2", "nats3"];
    let servers = Servers::start("compose", |index, address, routes, folder| {
        let mut command = Command::new(&program);
        command.args(["-a", "127.0.0.1", "-p", &address.port().to_string()]);
        for arg in texts(&three["services"][names[index]]["command"]) {
            let mut arg = arg.replace("0.0.0.0:6222", &routes[index].to_string());
            arg = arg.replace("/data", folder.to_str().unwrap());
            for (name, route) in names.iter().zip(routes) {
                arg = arg.replace(&format!("nats://{name}:6222"), &format!("nats://{route}"));
            }
            command.arg(arg);
        }
        command
    });
    servers.are_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_three_nats_servers_of_kubernetes_find_each_other_and_say_that_they_are_ready() {
    let Some(program) = nats_server() else { return };
    let all = yaml("deploy/kubernetes/scaled/nats.yaml");
    let text = all[0]["data"]["nats.conf"].as_str().unwrap();
    let pod = &all.iter().find(|object| object["kind"] == "StatefulSet").unwrap()["spec"]["template"]["spec"];
    let probe = &pod["containers"][0]["readinessProbe"]["httpGet"];
    let (path, port) = (probe["path"].as_str().unwrap(), &probe["port"]);
    let monitor = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let servers = Servers::start("kubernetes", |index, address, routes, folder| {
        let replaced = |text: &str, key: &str, value: &str| {
            assert_eq!(text.matches(key).count(), 1, "{key} in {text}");
            text.replace(key, value)
        };
        let host = |address: &SocketAddr| format!("host: 127.0.0.1\n port: {}", address.port());
        let mut conf = replaced(text, "port: 4222", &host(&address));
        // Only one of them is asked.
        let http = if index == 0 { format!("http: {monitor:?}").replace('"', "") } else { String::new() };
        conf = replaced(&conf, &format!("http_port: {port}"), &http);
        conf = replaced(&conf, "port: 6222", &host(&routes[index]));
        conf = replaced(&conf, "/data", folder.to_str().unwrap());
        conf = replaced(&conf, "/tmp/nats.pid", folder.join("pid").to_str().unwrap());
        for (number, route) in routes.iter().enumerate() {
            conf = replaced(&conf, &format!("nats-{number}.nats:6222"), &route.to_string());
        }
        let path = folder.join("nats.conf");
        fs::write(&path, conf).unwrap();
        let mut command = Command::new(&program);
        command.arg("-c").arg(path).env("POD_NAME", format!("nats-{index}"));
        command
    });
    servers.are_one().await;
    let ready = Client::connect(monitor).await.request("GET", path, "").await;
    assert_eq!(ready.head.status(), 200, "{}", ready.body);

    // Before a pod is stopped its server hands over what it leads.
    let [shell, c, line]: [String; 3] =
        texts(&pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]).try_into().unwrap();
    let (line, wait) = line.split_once(" && ").unwrap();
    assert_eq!((wait, line.matches("/tmp/nats.pid").count()), ("sleep 5", 1));
    let line = line.replace("/tmp/nats.pid", servers.folder.join("0/pid").to_str().unwrap());
    let line = line.replace("nats-server", program.to_str().unwrap());
    let said = Command::new(shell).args([c, line]).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    soon("a server that takes no more clients", async {
        while tokio::net::TcpStream::connect(servers.addresses[0]).await.is_ok() {}
    })
    .await;
}

#[test]
fn compose_turns_the_recipe_of_haproxy_into_one_that_it_takes() {
    let found = programs::find("haproxy");
    let Some(program) = programs::need("TICKCAST_TEST_PROXIES", "haproxy", found) else { return };
    let one = yaml("deploy/scaled/compose.yml").remove(0);
    let [shell, c, line] = texts(&one["services"]["haproxy"]["entrypoint"]).try_into().unwrap();
    assert_eq!((shell.as_str(), c.as_str()), ("sh", "-c"));
    // As compose reads it.
    let line = line.replace("$$", "$");
    let (line, last) = line.split_once(" && exec ").unwrap();
    assert_eq!(last, "haproxy -f /tmp/haproxy.cfg");
    let recipe = path("deploy/scaled/haproxy.cfg");
    let made = Scratch::new("haproxy.cfg", "");
    let line = line
        .replace("/recipe.cfg", recipe.to_str().unwrap())
        .replace("/tmp/haproxy.cfg", made.0.to_str().unwrap());
    assert!(Command::new(shell).args([&c, &line]).status().unwrap().success());
    let text = fs::read_to_string(&made.0).unwrap();
    for edge in ["edge1", "edge2"] {
        assert!(text.contains(&format!("    server {edge} {edge}:8080 check\n")), "{text}");
    }
    assert!(text.contains("    bind :8080\n") && !text.contains("bind :80\n"), "{text}");
    assert_eq!(texts(&one["services"]["haproxy"]["ports"]), ["8080:8080"]);
    // Names that nobody knows here yet are no mistake: edges may come later.
    let checked = Command::new(program).args(["-c", "-f"]).arg(&made.0).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
