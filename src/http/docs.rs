//! `GET /docs` and `GET /docs/...`: a page that reads `/openapi.json` to people, and its files. It asks nobody else for
//! anything.

use super::Answer;
use super::dashboard::{HTML, SCRIPT, STYLE, answer};

const PAGE: &str = include_str!("docs/index.html");
/// The page's files: name, media type, text.
const FILES: &[(&str, &str, &str)] = &[
    ("docs.js", SCRIPT, include_str!("docs/docs.js")),
    ("make.js", SCRIPT, include_str!("docs/make.js")),
    ("try.js", SCRIPT, include_str!("docs/try.js")),
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics to fail")]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_beside_the_page_is_served_and_none_names_another_host_or_what_the_policy_refuses() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/docs");
        let there: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "index.html")
            .collect();
        let served: BTreeSet<String> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(there, served);
        let texts = FILES.iter().map(|(.., text)| *text).chain([PAGE]);
        for text in texts {
            // A namespace is a name, no address.
            let text = text.replace("http://www.w3.org/", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "another host: {text}");
            for refused in ["style=\"", "onclick=", "<script>", "<style>", "innerHTML"] {
                assert!(!text.contains(refused), "{refused}");
            }
        }
        assert!(file("docs.js").is_some() && file("index.html").is_none());
    }
}
