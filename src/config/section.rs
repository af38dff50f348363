//! Reading one table: takes the keys it is asked for, notes every mistake and goes on with the default, and
//! refuses whatever nobody asked for.
//!
//! Not serde: that stops at the first mistake, and an operator with three of them wants to see three.

use std::collections::HashMap;

use super::mistake::{Mistakes, Place};
use super::near;
use super::proxy::Surroundings;
use super::tree::{Node, Table, Value};

/// What a key's value was found to be, or the words for what is wrong with it.
pub(super) type Parsed<T> = Result<T, String>;

/// One table of the config while it is being read.
pub(super) struct Section<'r> {
    /// As printed before the key: `[http]`; empty for the top.
    pub(super) title: String,
    pub(super) place: Place,
    table: &'r Table,
    known: Vec<&'static str>,
    /// Whether any name may stand here.
    is_open: bool,
    mistakes: &'r mut Mistakes,
}

impl<'r> Section<'r> {
    /// Reads a table with `read`, then reports the keys that `read` did not ask for.
    pub(super) fn read<T>(
        title: String,
        place: Place,
        table: &'r Table,
        mistakes: &'r mut Mistakes,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let mut section = Section { title, place, table, known: Vec::new(), is_open: false, mistakes };
        let value = read(&mut section);
        section.refuse_unknown();
        value
    }

    /// Returns the key's value, or the default where it is absent or wrong.
    pub(super) fn get<T>(&mut self, key: &'static str, default: T, parse: impl Fn(&Node) -> Parsed<T>) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// Returns the key's value; nothing where it is absent or wrong.
    pub(super) fn optional<T>(&mut self, key: &'static str, parse: impl Fn(&Node) -> Parsed<T>) -> Option<T> {
        let node = self.node(key)?;
        match parse(node) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.add(&node.place, key, problem);
                None
            }
        }
    }

    /// Returns the key's value; where it is absent, that is a mistake too.
    pub(super) fn required<T>(&mut self, key: &'static str, parse: impl Fn(&Node) -> Parsed<T>) -> Option<T> {
        self.require(key);
        self.optional(key, parse)
    }

    /// Notes it where the key is absent.
    pub(super) fn require(&mut self, key: &'static str) {
        if self.node(key).is_none() {
            let place = self.place.clone();
            self.add(&place, key, "is missing");
        }
    }

    /// Returns the values of a list that are right, each with its place; nothing where the key is absent or no
    /// list. From the environment, plain text counts as a list with commas.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Node) -> Parsed<T>,
    ) -> Option<Vec<(Place, T)>> {
        let node = self.node(key)?;
        let split: Vec<Node>;
        let nodes = match (&node.value, &node.place) {
            (Value::List(nodes), _) => nodes,
            (Value::Text(text), Place::Variable(_)) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let text_node = |part: &str| Node {
                    place: node.place.clone(),
                    value: Value::Text(part.to_owned()),
                    written: part.to_owned(),
                };
                split = parts.map(text_node).collect();
                &split
            }
            _ => {
                self.add(&node.place, key, format!("expected a list in brackets, found {}", node.kind()));
                return None;
            }
        };
        let mut values = Vec::with_capacity(nodes.len());
        for node in nodes {
            match parse(node) {
                Ok(value) => values.push((node.place.clone(), value)),
                Err(problem) => self.add(&node.place, key, problem),
            }
        }
        Some(values)
    }

    /// Reads the table under the key; nothing where it is absent or no table.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> Option<T> {
        let parent = self.title.trim_matches(['[', ']']);
        let title = if parent.is_empty() { format!("[{key}]") } else { format!("[{parent}.{key}]") };
        let node = self.node(key)?;
        let Value::Table(table) = &node.value else {
            self.add(&node.place, key, format!("expected a table, {title}, found {}", node.kind()));
            return None;
        };
        Some(Section::read(title, node.place.clone(), table, self.mistakes, read))
    }

    /// Reads each table of a list of tables.
    pub(super) fn tables<T>(&mut self, key: &'static str, read: impl Fn(&mut Section<'_>) -> T) -> Vec<T> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Value::List(nodes) = &node.value else {
            let problem = format!("expected tables, each under its own [[{key}]], found {}", node.kind());
            self.add(&node.place, key, problem);
            return Vec::new();
        };
        let mut values = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let Value::Table(table) = &node.value else {
                self.add(&node.place, key, format!("expected a table, found {}", node.kind()));
                continue;
            };
            let title = format!("[[{key}]] #{}", index + 1);
            values.push(Section::read(title, node.place.clone(), table, self.mistakes, &read));
        }
        values
    }

    /// Reads each table in this one, whatever its name, in the file's order.
    pub(super) fn each_table<T>(
        &mut self,
        read: impl Fn(&mut Section<'_>, &str) -> T,
    ) -> Vec<(String, Place, T)> {
        self.is_open = true;
        let parent = self.title.trim_matches(['[', ']']).to_owned();
        let mut pairs: Vec<_> = self.table.iter().collect();
        pairs.sort_by(|a, b| a.place.cmp(&b.place));
        let mut values = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let (name, shown) = (&pair.key, pair.key.escape_debug().to_string());
            let Value::Table(table) = &pair.node.value else {
                let found = pair.node.kind();
                self.add(&pair.place, &shown, format!("expected a table, [{parent}.{shown}], found {found}"));
                continue;
            };
            let title = format!("[{parent}.{shown}]");
            let read = |section: &mut Section<'_>| read(section, name);
            let value = Section::read(title, pair.node.place.clone(), table, self.mistakes, read);
            values.push((name.clone(), pair.place.clone(), value));
        }
        values
    }

    /// Whether the key was written.
    pub(super) fn is_there(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Where the key was written; the table's place where it was not.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.table.get(key).map_or_else(|| self.place.clone(), |pair| pair.node.place.clone())
    }

    /// What the environment says about proxies; a mistake in it is told once, however many ask.
    pub(super) fn surroundings(&mut self, env: &HashMap<String, String>) -> Surroundings {
        Surroundings::of(env, self.mistakes)
    }

    /// How many mistakes there are by now, in this table and before.
    pub(super) fn mistakes(&self) -> usize {
        self.mistakes.count()
    }

    /// Notes what is wrong with a key.
    pub(super) fn add(&mut self, place: &Place, key: &str, problem: impl Into<String>) {
        let space = if self.title.is_empty() { "" } else { " " };
        self.mistakes.add(place, format!("{}{space}{key}", self.title), problem);
    }

    fn node(&mut self, key: &'static str) -> Option<&'r Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table.get(key).map(|pair| &pair.node)
    }

    fn refuse_unknown(self) {
        for pair in self.table.iter() {
            if self.is_open || self.known.contains(&pair.key.as_str()) {
                continue;
            }
            let key = pair.key.escape_debug();
            let problem = match near::misses(&pair.key, self.known.iter().copied(), 1).first() {
                Some(meant) => format!("unknown key `{key}`; did you mean `{meant}`?"),
                None => format!("unknown key `{key}`; here may stand: {}", self.known.join(", ")),
            };
            self.mistakes.add(&pair.place, self.title.clone(), problem);
        }
    }
}
