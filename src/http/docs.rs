//! `GET /docs` and `GET /docs/...`: a page that reads `/openapi.json` to people, and its files. It asks nobody else for
//! anything.

use super::Answer;
use super::dashboard::{HTML, SCRIPT, STYLE, answer};

const PAGE: &str = include_str!("docs/index.html");
/// The page's files: name, media type, text.
const FILES: &[(&str, &str, &str)] = &[
    ("docs.js", SCRIPT, include_str!("docs/docs.js")),
    ("style.css", STYLE, include_str!("docs/style.css")),
];

/// The page.
pub(super) fn page() -> Answer {
    answer(HTML, PAGE)
}

/// One of the page's files; `None` where there is none of this name.
pub(super) fn file(name: &str) -> Option<Answer> {
    FILES.iter().find(|(file, ..)| *file == name).map(|(_, media_type, text)| answer(media_type, text))
}
