//! The config as written: values with the place each came from, the file's and the environment's in one tree.

use toml_edit::{Document, Item, TableLike, TomlError};

use super::mistake::{Mistakes, Place};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
    /// A single value as it was written, for keys that want its digits or, from the environment, its text.
    pub(super) written: String,
}

/// The kinds of value that TOML knows.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float,
    Bool(bool),
    Time,
    List(Vec<Node>),
    Table(Table),
}

/// Keys and values, in no promised order.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(Vec<Pair>);

/// One key and its value.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Node {
    /// A table that nobody has written anything into.
    pub(super) fn empty_table(place: Place) -> Self {
        Self { place, value: Value::Table(Table::default()), written: String::new() }
    }

    /// What it is, for "expected ..., found ...". Never the value: it may be a secret in the wrong place.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Float => "a number with decimals",
            Value::Bool(_) => "true or false",
            Value::Time => "a date or time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

impl Table {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Pair> {
        self.0.iter()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Pair> {
        self.0.iter().find(|pair| pair.key == key)
    }

    /// Where the value at the end of the path was written, or as much of the path as was.
    pub(super) fn place_of(&self, path: &[&str]) -> Place {
        let (mut table, mut place) = (self, Place::Line(1));
        for key in path {
            let Some(pair) = table.get(key) else { break };
            place = pair.node.place.clone();
            let Value::Table(inner) = &pair.node.value else { break };
            table = inner;
        }
        place
    }

    /// Returns the value under the key, made by `absent` where there is none.
    pub(super) fn entry(&mut self, key: &str, absent: impl FnOnce() -> Node) -> &mut Node {
        let index = self.0.iter().position(|pair| pair.key == key).unwrap_or_else(|| {
            let node = absent();
            self.0.push(Pair { key: key.to_owned(), place: node.place.clone(), node });
            self.0.len() - 1
        });
        &mut self.0[index].node
    }

    /// Sets the value under the key; what was there before is gone, and its place with it.
    pub(super) fn set(&mut self, key: &str, node: Node) {
        self.0.retain(|pair| pair.key != key);
        self.0.push(Pair { key: key.to_owned(), place: node.place.clone(), node });
    }
}

/// Reads TOML text into a tree; nothing where it is no TOML, which is a mistake.
pub(super) fn read(text: &str, mistakes: &mut Mistakes) -> Option<Table> {
    match parse(text) {
        Ok(root) => Some(root),
        Err(error) => {
            // The error's own text repeats the line, which may hold a secret.
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let problem = format!("not TOML: {}", error.message().replace('\n', "; "));
            mistakes.add(&Place::Line(line), "", problem);
            None
        }
    }
}

/// Reads TOML text into a tree.
pub(super) fn parse(text: &str) -> Result<Table, TomlError> {
    let document = Document::parse(text)?;
    let lines = Lines::new(text);
    Ok(table(document.as_table(), &Place::Line(1), &lines))
}

/// Returns the value that a variable's text is: TOML where it is a TOML value, else the text itself.
pub(super) fn from_variable(name: &str, text: &str) -> Node {
    let place = Place::Variable(name.to_owned());
    let line = format!("v = {text}");
    let mut parsed = Document::parse(line.as_str()).ok().map(|document| {
        let lines = Lines { text: &line, starts: Vec::new(), variable: Some(&place) };
        table(document.as_table(), &place, &lines).0
    });
    // More than the one key means that the text had line breaks and keys of its own: then it is no value.
    match parsed.as_mut().and_then(|pairs| (pairs.len() == 1).then(|| pairs.pop()).flatten()) {
        Some(pair) => pair.node,
        None => Node { place, value: Value::Text(text.to_owned()), written: text.to_owned() },
    }
}

/// Returns the line, from 1, that a byte of the text is in.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

/// A text, where its lines start, and the variable that it came from if it is no file.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    variable: Option<&'t Place>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let starts =
            text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1).collect();
        Self { text, starts, variable: None }
    }

    fn place(&self, offset: usize) -> Place {
        match self.variable {
            Some(place) => place.clone(),
            None => Place::Line(self.starts.partition_point(|&start| start <= offset) + 1),
        }
    }
}

fn table(table: &dyn TableLike, parent: &Place, lines: &Lines<'_>) -> Table {
    let mut pairs = Vec::with_capacity(table.len());
    for (key, item) in table.iter() {
        let key_span = table.key(key).and_then(toml_edit::Key::span);
        let place = key_span.map_or_else(|| parent.clone(), |span| lines.place(span.start));
        if let Some(node) = node(item, &place, lines) {
            pairs.push(Pair { key: key.to_owned(), place, node });
        }
    }
    Table(pairs)
}

/// Returns nothing for an item that was not written.
fn node(item: &Item, key_place: &Place, lines: &Lines<'_>) -> Option<Node> {
    let place = item.span().map_or_else(|| key_place.clone(), |span| lines.place(span.start));
    let value = match item {
        Item::None => return None,
        Item::Table(inner) => Value::Table(table(inner, &place, lines)),
        Item::ArrayOfTables(tables) => {
            let tables = tables.iter().map(|inner| {
                let place = inner.span().map_or_else(|| place.clone(), |span| lines.place(span.start));
                let value = Value::Table(table(inner, &place, lines));
                Node { place, value, written: String::new() }
            });
            Value::List(tables.collect())
        }
        Item::Value(value) => return Some(value_node(value, key_place, lines)),
    };
    Some(Node { place, value, written: String::new() })
}

fn value_node(value: &toml_edit::Value, key_place: &Place, lines: &Lines<'_>) -> Node {
    let span = value.span();
    let place = span.clone().map_or_else(|| key_place.clone(), |span| lines.place(span.start));
    let written = span.and_then(|span| lines.text.get(span)).unwrap_or_default().to_owned();
    let value = match value {
        toml_edit::Value::String(text) => Value::Text(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::Integer(*number.value()),
        toml_edit::Value::Float(_) => Value::Float,
        toml_edit::Value::Boolean(yes) => Value::Bool(*yes.value()),
        toml_edit::Value::Datetime(_) => Value::Time,
        toml_edit::Value::Array(list) => {
            Value::List(list.iter().map(|inner| value_node(inner, &place, lines)).collect())
        }
        toml_edit::Value::InlineTable(inner) => Value::Table(table(inner, &place, lines)),
    };
    Node { place, value, written }
}
