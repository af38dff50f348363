//! `GET /` and `GET /dashboard/...`: the dashboard, a page and its files, as they were when the program was built.

use warp::http::HeaderValue;
use warp::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use super::Answer;

/// The page loads these files, asks this service, and nobody else for anything.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
const PAGE: &str = include_str!("dashboard/index.html");
/// The media types of pages and their files.
pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const STYLE: &str = "text/css; charset=utf-8";

macro_rules! scripts {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_str!(concat!("dashboard/", $name)))),+] };
}

const SHEET: &str = include_str!("dashboard/style.css");
const SCRIPTS: &[(&str, &str)] = scripts![
    "address.js",
    "app.js",
    "bars.js",
    "builder.js",
    "candles.js",
    "chart.js",
    "detail.js",
    "feeds.js",
    "health.js",
    "history.js",
    "latency.js",
    "search.js",
    "stream.js",
    "table.js",
    "tabs.js",
    "text.js",
];

/// The page.
pub(super) fn page() -> Answer {
    answer(HTML, PAGE)
}

/// One of the page's files; `None` where there is none of this name.
pub(super) fn file(name: &str) -> Option<Answer> {
    if name == "style.css" {
        return Some(answer(STYLE, SHEET));
    }
    SCRIPTS.iter().find(|(script, _)| *script == name).map(|(_, text)| answer(SCRIPT, text))
}

/// An answer with a page or one of its files, as all pages are sent.
pub(super) fn answer(content_type: &'static str, text: &'static str) -> Answer {
    let mut answer = Answer::new(text.into());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // All of a page is of one version: after an upgrade nothing old is left beside what is new.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics to fail")]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// What stands between two texts, each time.
    fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
    }

    #[test]
    fn every_file_beside_the_page_is_served_and_every_file_it_names_is_there() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/dashboard");
        let there: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "index.html")
            .collect();
        for name in &there {
            assert!(file(name).is_some(), "{name} is not served");
        }
        let named = between(PAGE, "\"dashboard/", "\"")
            .chain(SCRIPTS.iter().flat_map(|(_, script)| between(script, "from './", "'")));
        let named: BTreeSet<String> = named.map(str::to_owned).collect();
        assert_eq!(named, there);
    }

    #[test]
    fn the_page_and_its_files_name_no_other_host_and_hold_nothing_the_policy_refuses() {
        let scripts = SCRIPTS.iter().map(|(_, script)| *script);
        for text in scripts.chain([PAGE, SHEET]) {
            // A namespace is a name, no address.
            let text = text.replace("http://www.w3.org/", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "another host: {text}");
        }
        for refused in ["style=\"", "onclick=", "<script>", "<style>"] {
            assert!(!PAGE.contains(refused), "{refused}");
        }
    }
}
