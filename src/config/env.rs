//! The environment's say: `TICKCAST__HTTP__LISTEN=0.0.0.0:8080` sets `listen` in `[http]`, whatever the file says.

use std::collections::HashMap;

use super::mistake::{Mistakes, Place};
use super::tree::{self, Node, Table, Value};

/// What the names of our variables start with. One underscore (`TICKCAST_HOME`) is somebody else's.
const PREFIX: &str = "TICKCAST__";
/// Between two levels of a key.
const SEPARATOR: &str = "__";

/// Writes the variables into the tree. What they name is judged later, like the file's keys; only a way that ends
/// at something that holds no keys is a mistake here.
pub(super) fn overlay(root: &mut Table, variables: &HashMap<String, String>, mistakes: &mut Mistakes) {
    let mut ours: Vec<_> = variables.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    // Shorter names first, so that `__HTTP` sets the table and `__HTTP__LISTEN` then a key of it.
    ours.sort();
    for (name, text) in ours {
        let place = Place::Variable(name.clone());
        let path = name[PREFIX.len()..].to_lowercase();
        let levels: Vec<&str> = path.split(SEPARATOR).collect();
        let Some((key, tables)) = levels.split_last().filter(|_| !levels.contains(&"")) else {
            mistakes.add(&place, "", "names no key; a key is named like TICKCAST__HTTP__LISTEN");
            continue;
        };
        match descend(root, tables, &place) {
            Ok(table) => table.set(key, tree::from_variable(name, text)),
            Err(what) => {
                let problem = format!("`{what}` is not a table, so there is no key in it");
                mistakes.add(&place, "", problem);
            }
        }
    }
}

/// Returns the table at the end of the path, made on the way where it is missing, or the part of the path that
/// is no table. A number picks from a list, counted from 0.
fn descend<'t>(root: &'t mut Table, path: &[&str], place: &Place) -> Result<&'t mut Table, String> {
    let mut table = root;
    let mut levels = path.iter().enumerate();
    while let Some((depth, level)) = levels.next() {
        table = match &mut table.entry(level, || Node::empty_table(place.clone())).value {
            Value::Table(inner) => inner,
            Value::List(list) => {
                let number = levels.next().and_then(|(_, number)| number.parse::<usize>().ok());
                match number.and_then(|number| list.get_mut(number)).map(|node| &mut node.value) {
                    Some(Value::Table(inner)) => inner,
                    _ => return Err(path[..path.len().min(depth + 2)].join(".")),
                }
            }
            _ => return Err(path[..=depth].join(".")),
        };
    }
    Ok(table)
}
