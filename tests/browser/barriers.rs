//! What keeps people from using a page: things without a name, and what axe-core finds.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::webdriver::Browser;

/// The script that finds faint text, ids that are there twice, and what is beyond the edge.
pub const LOOKS: &str = include_str!("looks.js");

/// Shows the page on a screen so wide, to somebody who likes it `light` or `dark`.
pub fn show_on(browser: &Browser, width: u32, scheme: &str) {
    let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
    browser.devtools("Emulation.setDeviceMetricsOverride", &size);
    let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.devtools("Emulation.setEmulatedMedia", &media);
}

/// What can be used and has no name, in the tree that the browser gives to a screen reader. Fewer than `least` things with
/// a name are too few to have seen the page.
pub fn nameless(browser: &Browser, least: usize) -> Vec<String> {
    let roles = BTreeSet::from([
        "button", "link", "slider", "checkbox", "radio", "combobox", "listbox", "option", "table", "log",
        "img", "textbox",
    ]);
    let tree = browser.devtools("Accessibility.getFullAXTree", &json!({}));
    let nodes = tree["nodes"].as_array().unwrap();
    let used = nodes.iter().filter(|node| {
        node["ignored"] == false && roles.contains(node["role"]["value"].as_str().unwrap_or_default())
    });
    let (named, nameless): (Vec<_>, Vec<_>) =
        used.partition(|node| !node["name"]["value"].as_str().unwrap_or_default().is_empty());
    assert!(named.len() > least, "the check saw little: {}", named.len());
    nameless.into_iter().map(Value::to_string).collect()
}

/// axe-core's findings, where `TICKCAST_TEST_AXE` names its script: none may be serious.
pub fn axe(browser: &Browser) {
    let Some(path) = std::env::var_os("TICKCAST_TEST_AXE") else { return };
    browser.run(&std::fs::read_to_string(&path).unwrap());
    let found = browser.run(
        "const { violations } = await axe.run();
         return violations.filter(v => v.impact === 'serious' || v.impact === 'critical').map(v => ({ id: v.id, where: v.nodes.map(n => n.html) }));",
    );
    assert_eq!(found, json!([]));
}
