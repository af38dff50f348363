//! The document of a running service, and answers held against it.

use std::collections::BTreeSet;
use std::sync::Mutex;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::support::{Answer, Head, Node};

/// The document as it came, and with every object closed: in an answer of this server nothing may be that is not told of.
pub struct Document {
    pub whole: Value,
    closed: Value,
    /// What was seen: `GET /prices 200`.
    seen: Mutex<BTreeSet<String>>,
    problems: Mutex<BTreeSet<String>>,
}

impl Document {
    pub async fn of(node: &Node) -> Self {
        let answer = node.get("/openapi.json").await;
        assert_eq!(
            (answer.head.status(), answer.head.get("content-type")),
            (200, Some("application/json")),
            "{answer:?}"
        );
        let whole = answer.json();
        let mut closed = whole.clone();
        for schema in closed["components"]["schemas"].as_object_mut().unwrap().values_mut() {
            close(schema);
        }
        Self { whole, closed, seen: Mutex::default(), problems: Mutex::default() }
    }

    /// Every operation: method in upper case, path, and what is said of it.
    pub fn operations(&self) -> Vec<(String, String, &Value)> {
        let paths = self.whole["paths"].as_object().unwrap().iter();
        paths
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().iter();
                methods.map(move |(method, said)| (method.to_uppercase(), path.clone(), said))
            })
            .collect()
    }

    pub fn schema(&self, name: &str) -> &Value {
        let schema = &self.whole["components"]["schemas"][name];
        assert!(!schema.is_null(), "there is no schema {name}");
        schema
    }

    /// Holds an answer against what is said of it: status, content type, headers and content.
    pub fn check(&self, operation: &str, answer: &Answer) {
        let status = answer.head.status().to_string();
        let response = self.response(operation, &answer.head);
        let media_type = media_type(&answer.head);
        let content = &response["content"][&media_type];
        assert!(content.is_object(), "{operation} {status}: nothing is said of {media_type}");
        if media_type.ends_with("json") {
            let body = answer.json();
            self.valid(&content["schema"], &body, &format!("{operation} {status}"));
            if media_type == "application/problem+json" {
                self.problem(operation, response, &body);
            }
        } else if media_type == "text/event-stream" {
            for block in answer.body.split_inclusive("\n\n") {
                self.block(block);
            }
        } else {
            assert_eq!(content["schema"]["type"], "string", "{operation} {status}");
        }
    }

    /// Holds a head against what is said of it, and returns that.
    pub fn response(&self, operation: &str, head: &Head) -> &Value {
        let status = head.status().to_string();
        let (method, path) = operation.split_once(' ').unwrap();
        let responses = &self.whole["paths"][path][method.to_lowercase()]["responses"];
        assert!(responses.is_object(), "nothing is said of {operation}");
        let own = &responses[&status];
        let response = if own.is_null() { &responses["default"] } else { own };
        for name in ["retry-after", "ratelimit", "ratelimit-policy", "www-authenticate", "allow"] {
            let Some(value) = head.get(name) else { continue };
            let said = response["headers"].as_object().into_iter().flatten();
            let header =
                said.filter(|(said, _)| said.eq_ignore_ascii_case(name)).map(|(_, header)| header).next();
            let header = header.unwrap_or_else(|| panic!("{operation} {status}: nothing is said of {name}"));
            let schema = &self.resolve(header["$ref"].as_str().unwrap())["schema"];
            let value = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
            self.valid(schema, &value, &format!("{operation} {status} {name}"));
        }
        self.seen.lock().unwrap().insert(format!("{operation} {status}"));
        response
    }

    /// The kind of a problem stands where its status is told of.
    fn problem(&self, operation: &str, response: &Value, body: &Value) {
        let kind = body["type"].as_str().unwrap();
        let told = response["description"].as_str().unwrap();
        assert!(told.contains(&format!("`{kind}`")), "{operation}: {kind} is not among {told}");
        self.problems.lock().unwrap().insert(kind.to_owned());
    }

    /// Holds one block of a stream against what is said of it; returns the name of its event. Comments are passed over.
    pub fn block(&self, block: &str) -> Option<String> {
        let mut lines = Map::new();
        for line in block.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
            let (name, value) = line.split_once(": ").unwrap();
            let value = if name == "retry" { json!(value.parse::<u64>().unwrap()) } else { json!(value) };
            assert!(lines.insert(name.to_owned(), value).is_none(), "twice: {block}");
        }
        let data: Value = serde_json::from_str(lines.get("data")?.as_str().unwrap()).unwrap();
        let name = lines.get("event").map_or("message", |name| name.as_str().unwrap()).to_owned();
        self.valid(&json!({"$ref": "#/components/schemas/StreamEvent"}), &Value::Object(lines), block);
        let by_name = &self.schema("EventData")["properties"][&name];
        self.valid(by_name, &data, block);
        // What a reader of the block's own schema takes `data` for is the same.
        let blocks = self.schema("StreamEvent")["oneOf"].as_array().unwrap();
        let own = blocks.iter().find(|block| block["title"] == name.as_str()).unwrap();
        assert_eq!(&own["properties"]["data"]["contentSchema"], by_name);
        Some(name)
    }

    /// Holds a value against a schema of the document.
    pub fn valid(&self, schema: &Value, value: &Value, what: &str) {
        let errors = self.errors(schema, value);
        assert!(errors.is_empty(), "{what}: {errors:?} in {value}");
    }

    pub fn errors(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut closed = schema.clone();
        close(&mut closed);
        closed["components"] = self.closed["components"].clone();
        let validator: Validator = jsonschema::draft202012::new(&closed).unwrap();
        validator.iter_errors(value).map(|error| format!("{} at {}", error, error.instance_path())).collect()
    }

    /// What `#/a/b` stands for.
    pub fn resolve(&self, reference: &str) -> &Value {
        let found = reference.strip_prefix('#').and_then(|pointer| self.whole.pointer(pointer));
        found.unwrap_or_else(|| panic!("nothing is at {reference}"))
    }

    /// Every answer that was seen: `GET /prices 200`.
    pub fn seen(&self) -> BTreeSet<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Every kind of problem that was seen.
    pub fn problems(&self) -> BTreeSet<String> {
        self.problems.lock().unwrap().clone()
    }
}

/// Closes the objects in a schema: what has properties has no others.
fn close(schema: &mut Value) {
    let Value::Object(keywords) = schema else { return };
    let closes = |keywords: &Map<String, Value>| {
        keywords.contains_key("properties") && !keywords.contains_key("additionalProperties")
    };
    // Of a composition the whole is closed, not each of its parts.
    if let Some(Value::Array(parts)) = keywords.get_mut("allOf") {
        for part in parts {
            let Value::Object(part) = part else { continue };
            for property in part.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
                close(property.1);
            }
        }
        keywords.insert("unevaluatedProperties".to_owned(), json!(false));
        return;
    }
    if closes(keywords) {
        keywords.insert("unevaluatedProperties".to_owned(), json!(false));
    }
    for keyword in ["oneOf", "anyOf"] {
        for part in keywords.get_mut(keyword).and_then(Value::as_array_mut).into_iter().flatten() {
            close(part);
        }
    }
    for property in keywords.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        close(property.1);
    }
    if let Some(items) = keywords.get_mut("items") {
        close(items);
    }
}

fn media_type(head: &Head) -> String {
    let full = head.get("content-type").unwrap_or_default();
    full.split(';').next().unwrap_or_default().to_owned()
}
