//! The parameters in the document against those that the service takes: their names, their values, their defaults.

use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::document::Document;
use super::request;
use super::support::Node;

/// The parameters that an operation has in its query.
fn in_query(said: &Value) -> Vec<&Value> {
    said["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|parameter| parameter["in"] == "query")
        .collect()
}

fn names(said: &Value) -> BTreeSet<&str> {
    in_query(said).iter().map(|parameter| parameter["name"].as_str().unwrap()).collect()
}

/// Whether a parameter is taken as it is given, `x=1` or not at all, everything else that has to be given being well. A
/// probe, so that no stream is opened.
async fn is_well(node: &Node, path: &str, said: &Value, name: &str, given: &str) -> bool {
    let others =
        in_query(said).into_iter().filter(|other| other["required"] == true && other["name"] != name);
    // What has to be given is a symbol, or several.
    let others: String = others.flat_map(|other| [other["name"].as_str().unwrap(), "=BTC&"]).collect();
    let answer = request(node, "HEAD", &format!("{path}?{others}{given}"), "").await;
    assert!([200, 400].contains(&answer.head.status()), "{path}: {given}: {answer:?}");
    answer.head.status() == 200
}

async fn is_taken(node: &Node, path: &str, said: &Value, name: &str, value: &str) -> bool {
    let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
    is_well(node, path, said, name, &format!("{name}={value}")).await
}

#[tokio::test]
async fn every_parameter_is_told_of_and_no_other() {
    let node = Node::start("").await;
    let document = Document::of(&node).await;
    for (method, path, said) in document.operations() {
        let refused = if method == "POST" {
            node.connect().await.post(&path, "", "{\"symbols\":\"BTC\",\"nonsense\":1}").await
        } else if said["responses"].get("400").is_some() {
            node.get(&format!("{path}?nonsense=1")).await
        } else {
            assert!(names(said).is_empty(), "{path}");
            continue;
        };
        if path == "/tickets" {
            // Nobody needs one here.
            assert_eq!(refused.head.status(), 404);
            continue;
        }
        assert_eq!(refused.head.status(), 400, "{path}: {refused:?}");
        let expected = refused.json()["expected"].as_str().unwrap().to_owned();
        let taken: BTreeSet<&str> = expected.split(", ").filter(|name| !name.is_empty()).collect();
        let body = said["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
        let told = match body {
            Some(schema) => {
                let properties = document.resolve(schema)["properties"].as_object().unwrap();
                properties.keys().map(String::as_str).collect()
            }
            None => names(said),
        };
        assert_eq!(taken, told, "{method} {path}");
    }
}

#[tokio::test]
async fn values_within_what_is_told_are_taken_and_others_are_not() {
    let node = Node::start("").await;
    let document = Document::of(&node).await;
    let mut checked = 0;
    for (_, path, said) in document.operations() {
        for parameter in in_query(said) {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            let is_list = schema["type"] == "array";
            let schema = if is_list { &schema["items"] } else { schema };
            let schema = schema["$ref"].as_str().map_or(schema, |reference| document.resolve(reference));
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let mut good: Vec<String> = Vec::new();
            for values in [&schema["enum"], &schema["examples"]] {
                good.extend(values.as_array().into_iter().flatten().map(text));
            }
            for value in [&schema["default"], &schema["minimum"], &schema["maximum"]] {
                good.extend((!value.is_null()).then(|| text(value)));
            }
            let is_free =
                schema["type"] == "string" && schema.get("enum").is_none() && schema.get("pattern").is_none();
            let mut bad: Vec<String> = if is_free {
                Vec::new()
            } else {
                vec!["nonsense".to_owned(), "-1".to_owned(), String::new()]
            };
            // An empty list of fields is as good as none.
            bad.retain(|value| !(is_list && value.is_empty()));
            if schema["type"] == "boolean" {
                good.extend(["true", "false"].map(str::to_owned));
            }
            if let (Some(least), Some(most)) = (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
                bad.extend([(least - 1).to_string(), (most + 1).to_string()]);
            }
            assert!(!good.is_empty(), "{name}: nothing to try");
            for value in good {
                assert!(
                    is_taken(&node, &path, said, name, &value).await,
                    "{path}: {name}={value} is not taken"
                );
                checked += 1;
            }
            for value in bad {
                assert!(!is_taken(&node, &path, said, name, &value).await, "{path}: {name}={value} is taken");
                checked += 1;
            }
            let is_required = !is_well(&node, &path, said, name, "").await;
            assert_eq!(parameter["required"], is_required, "{path}: {name}");
        }
    }
    assert!(checked > 100, "{checked}");
}

#[tokio::test]
async fn defaults_are_those_of_the_server_whatever_its_config_says() {
    for (config, throttle, heartbeat, symbols) in [
        ("", "100ms", "15s", 1000),
        ("[stream]\nthrottle_default = \"2s\"\nheartbeat = \"30s\"\nsymbols_max = 7", "2s", "30s", 7),
    ] {
        let node = Node::start(config).await;
        let document = Document::of(&node).await;
        let said = &document.whole["paths"]["/prices"]["get"];
        let of = |name: &str| {
            &in_query(said).into_iter().find(|parameter| parameter["name"] == name).unwrap()["schema"]
        };
        let default = |name: &str| of(name)["default"].clone();
        assert_eq!((default("throttle"), default("heartbeat")), (json!(throttle), json!(heartbeat)));
        let hello = node.stream("symbols=BTC").await.hello();
        let ms = |name: &str| {
            let duration = humantime::parse_duration(default(name).as_str().unwrap()).unwrap();
            json!(u64::try_from(duration.as_millis()).unwrap())
        };
        assert_eq!((&hello["throttle_ms"], &hello["heartbeat_ms"]), (&ms("throttle"), &ms("heartbeat")));
        assert_eq!((&hello["fields"], &hello["mode"]), (&default("fields"), &default("mode")));
        assert_eq!(hello["rejected"], json!([]));
        assert_eq!(hello["limits"]["symbols_max"], of("symbols")["maxItems"]);
        assert_eq!(of("symbols")["maxItems"], symbols);
        // What the schema of the body takes, the server takes.
        let body = json!({"symbols": ["BTC"], "throttle": 250, "heartbeat": "5s", "strict": true, "fields": ["price"], "min_change": "0.05%"});
        document.valid(document.schema("PricesRequest"), &body, "a body");
        assert!(
            !document
                .errors(document.schema("PricesRequest"), &json!({"symbols": "BTC", "nonsense": 1}))
                .is_empty()
        );
        assert!(
            !document.errors(document.schema("PricesRequest"), &json!({"throttle": 1})).is_empty(),
            "no symbols"
        );
        let mut client = node.connect().await;
        let body = body.to_string();
        client
            .send(&format!(
                "POST /prices HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        let hello = client.opened().await.hello();
        assert_eq!((&hello["throttle_ms"], &hello["fields"]), (&json!(250), &json!(["symbol", "price"])));
    }
}
