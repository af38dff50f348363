//! The document in itself: that it is whole, the same each time, and the same without a server.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tickcast::commands::openapi;

use super::document::Document;
use super::keyed;
use super::shown::bearer;
use super::support::{Node, config};

/// Calls `see` with every object in it.
fn walk<'v>(value: &'v Value, see: &mut impl FnMut(&'v serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            see(object);
            object.values().for_each(|value| walk(value, see));
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, see)),
        _ => {}
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere_and_everything_named_is_used() {
    let node = Node::start("").await;
    let document = Document::of(&node).await;
    assert_eq!(document.whole["openapi"], "3.1.0");
    assert_eq!(document.whole["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut used = BTreeSet::new();
    walk(&document.whole, &mut |object| {
        if let Some(reference) = object.get("$ref") {
            let reference = reference.as_str().unwrap();
            document.resolve(reference);
            used.insert(reference.to_owned());
        }
    });
    let components = document.whole["components"].as_object().unwrap();
    for (kind, named) in components.iter().filter(|(kind, _)| *kind != "securitySchemes") {
        for name in named.as_object().unwrap().keys() {
            let is_used = used.contains(&format!("#/components/{kind}/{name}"));
            assert!(is_used || name == "EventData", "nothing names {kind}/{name}");
        }
    }
}

#[tokio::test]
async fn operations_have_a_name_of_their_own_a_known_group_an_answer_and_all_parts_of_their_path() {
    let node = Node::start("").await;
    let document = Document::of(&node).await;
    let tags: BTreeSet<&str> =
        document.whole["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    let mut used = BTreeSet::new();
    for (_, path, said) in document.operations() {
        assert!(
            ids.insert(said["operationId"].as_str().unwrap().to_owned()),
            "twice: {}",
            said["operationId"]
        );
        assert!(said["summary"].is_string());
        used.extend(said["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()));
        let responses = said["responses"].as_object().unwrap();
        assert!(responses.contains_key("200") && responses.contains_key("default"), "{path}");
        let parameters = said["parameters"].as_array().into_iter().flatten();
        let in_path: Vec<&Value> = parameters.filter(|parameter| parameter["in"] == "path").collect();
        assert_eq!(in_path.len(), path.matches('{').count(), "{path}");
        assert!(
            in_path
                .iter()
                .all(|parameter| path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap())))
        );
    }
    assert_eq!(used, tags);
}

#[tokio::test]
async fn schemas_are_json_schemas_and_their_examples_and_defaults_are_of_them() {
    let node = Node::start("").await;
    let document = Document::of(&node).await;
    let mut schemas: Vec<&Value> =
        document.whole["components"]["schemas"].as_object().unwrap().values().collect();
    walk(&document.whole, &mut |object| schemas.extend(object.get("schema")));
    let mut values = 0;
    for schema in schemas {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{schema}");
        walk(schema, &mut |part| {
            let examples = part.get("examples").and_then(Value::as_array).into_iter().flatten();
            for value in examples.chain(part.get("default")) {
                document.valid(&Value::Object(part.clone()), value, "an example or a default");
                values += 1;
            }
        });
    }
    assert!(values > 20, "{values}");
}

#[tokio::test]
async fn the_document_is_what_openapi_says_that_one_is() {
    let Some(path) = std::env::var_os("TICKCAST_TEST_OPENAPI") else {
        let is_required = std::env::var("TICKCAST_TEST_CLIENTS").is_ok_and(|wanted| wanted == "required");
        assert!(!is_required, "TICKCAST_TEST_OPENAPI does not name its schema");
        return;
    };
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    for more in ["", "cookie = \"session\"\nquery = true\n[http]\ncors_origins = []"] {
        let (node, _file) = keyed(&format!("openapi-{}", more.len()), more).await;
        let document = Document::of(&node).await.whole;
        let errors: Vec<String> = schema
            .iter_errors(&document)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
        let mut bad = document.clone();
        bad["paths"]["/prices"]["get"]["responses"] = json!([]);
        assert!(!schema.is_valid(&bad), "the schema looks at operations");
    }
}

#[tokio::test]
async fn the_document_is_the_same_each_time_and_without_a_server() {
    let node = Node::start("").await;
    let served = node.get("/openapi.json").await.body;
    assert_eq!(node.get("/openapi.json").await.body, served);
    let config = config("");
    let mut printed = Vec::new();
    openapi::run(&config, &mut printed).unwrap();
    assert_eq!(String::from_utf8(printed).unwrap(), served);
}

#[tokio::test]
async fn what_has_to_be_shown_is_told_as_the_server_asks_for_it() {
    let schemes = |document: &Document, method: &str, path: &str| -> Vec<Vec<String>> {
        let security = document.whole["paths"][path][method]["security"].as_array().into_iter().flatten();
        security.map(|any| any.as_object().unwrap().keys().cloned().collect()).collect()
    };
    let open = Document::of(&Node::start("").await).await;
    assert!(open.operations().iter().all(|(.., said)| said.get("security").is_none()));
    let (node, _file) =
        keyed("openapi-security", "cookie = \"session\"\nquery = true\n[http]\ncors_origins = []").await;
    let document = Document::of(&node).await;
    let one = |names: &[&str]| names.iter().map(|name| vec![(*name).to_owned()]).collect::<Vec<_>>();
    assert_eq!(
        schemes(&document, "get", "/prices"),
        one(&["bearer", "apiKeyHeader", "ticket", "cookie", "apiKeyQuery"])
    );
    for (method, path) in
        [("get", "/symbols"), ("get", "/metrics"), ("post", "/tickets"), ("post", "/prices")]
    {
        let told = schemes(&document, method, path);
        assert_eq!(told[..3], one(&["bearer", "apiKeyHeader", "cookie"]), "{path}");
        // In a body or beside one there is no query that counts.
        assert_eq!(told.len() == 4, method == "get", "{path}: {told:?}");
    }
    for path in ["/health/live", "/docs", "/", "/openapi.json"] {
        assert!(schemes(&document, "get", path).is_empty(), "{path}");
        assert_eq!(node.get(path).await.head.status(), 200);
    }
    // Each of them opens it, as it is told.
    let declared = document.whole["components"]["securitySchemes"].as_object().unwrap();
    let ticket = node.connect().await.post("/tickets", &bearer("ops"), "").await.json()["ticket"].clone();
    for (name, scheme) in declared {
        let key = if name == "ticket" { ticket.as_str().unwrap() } else { "tick_ops" };
        let place = scheme["name"].as_str().unwrap_or_default();
        let (query, headers) = match scheme["in"].as_str() {
            None => (String::new(), bearer("ops")),
            Some("header") => (String::new(), format!("{place}: {key}\r\n")),
            Some("cookie") => (String::new(), format!("cookie: {place}={key}\r\n")),
            Some(_) => (format!("&{place}={key}"), String::new()),
        };
        let stream = node.connect().await.stream(&format!("symbols=BTC{query}"), &headers).await;
        assert_eq!(stream.hello()["plan"], json!("ops"), "{name}");
    }
    let used: BTreeSet<String> = schemes(&document, "get", "/prices").into_iter().flatten().collect();
    assert_eq!(used, declared.keys().cloned().collect());
}
