//! The routes by name: their methods and paths, and filters that let just those through. A route that is not in the list
//! cannot be served, and one that is must be told of in `openapi`.

use warp::http::Method;
use warp::path::FullPath;
use warp::{Filter, Rejection};

macro_rules! routes {
    ($($(#[$about:meta])* $variant:ident $method:ident $path:literal),+ $(,)?) => {
        /// A method and a path.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Route { $($(#[$about])* $variant),+ }

        impl Route {
            /// All of them, those first that clients begin with.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The method. Where it is `GET`, `HEAD` is answered too, and `OPTIONS` always.
            pub const fn method(self) -> Method {
                match self { $(Self::$variant => Method::$method),+ }
            }

            /// The path; `{file}` stands for a last part that may be another.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$variant => $path),+ }
            }
        }
    };
}

routes! {
    /// The stream.
    Prices GET "/prices",
    /// The same, with its parameters in the body.
    PricesByBody POST "/prices",
    /// The same objects once.
    Snapshot GET "/prices/snapshot",
    /// Bars of one symbol.
    Candles GET "/candles",
    /// The catalogue.
    Symbols GET "/symbols",
    /// Something to show instead of a key.
    Tickets POST "/tickets",
    /// How every feed is.
    Feeds GET "/feeds",
    /// Whether the process answers.
    Live GET "/health/live",
    /// Whether there are prices.
    Ready GET "/health/ready",
    /// What is counted.
    Metrics GET "/metrics",
    /// The document about all this.
    OpenApi GET "/openapi.json",
    /// The same, to be read.
    Docs GET "/docs",
    /// The files of that page.
    DocsFile GET "/docs/{file}",
    /// The dashboard.
    Dashboard GET "/",
    /// The files of that page.
    DashboardFile GET "/dashboard/{file}",
}

/// What stands in a path for a last part.
const FILE: &str = "{file}";
/// The name of what is no route.
const OTHER: &str = "other";

impl Route {
    /// All paths, each once, as an answer names them to who has missed them.
    pub fn paths() -> String {
        let mut paths: Vec<&str> = Vec::new();
        for path in Self::ALL.iter().map(|route| route.path()).filter(|path| !path.ends_with(FILE)) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths.join(", ")
    }

    /// The names of all routes in metrics and spans: a closed set, whatever is asked for.
    pub fn names() -> Vec<&'static str> {
        let mut names: Vec<&str> = Self::ALL.iter().map(|route| route.name()).chain([OTHER]).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The name of the route that a path belongs to.
    pub(super) fn name_of(path: &str) -> &'static str {
        let is_of = |route: &&Self| match route.path().strip_suffix(FILE) {
            Some(folder) => path.starts_with(folder),
            None => path == route.path(),
        };
        Self::ALL.iter().find(is_of).map_or(OTHER, |route| route.name())
    }

    /// Its path; the files of a page count together.
    fn name(self) -> &'static str {
        self.path().strip_suffix(FILE).map_or(self.path(), |folder| folder.trim_end_matches('/'))
    }

    /// Lets through what has the route's path, and nothing before or behind it.
    pub(super) fn here(self) -> impl Filter<Extract = (), Error = Rejection> + Copy {
        warp::path::full()
            .and_then(move |full: FullPath| {
                let same = full.as_str() == self.path();
                std::future::ready(if same { Ok(()) } else { Err(warp::reject::not_found()) })
            })
            .untuple_one()
    }

    /// The last part of the path, where what is before it is the route's.
    pub(super) fn file(self) -> impl Filter<Extract = (String,), Error = Rejection> + Copy {
        warp::path::full().and_then(move |full: FullPath| {
            let folder = self.path().strip_suffix(FILE);
            let name = folder.and_then(|folder| full.as_str().strip_prefix(folder)).map(str::to_owned);
            std::future::ready(name.ok_or_else(warp::reject::not_found))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_name_of_its_route_and_no_path_makes_a_name() {
        for (path, name) in [
            ("/", "/"),
            ("/prices", "/prices"),
            ("/prices/snapshot", "/prices/snapshot"),
            ("/dashboard/app.js", "/dashboard"),
            ("/docs", "/docs"),
            ("/docs/docs.js", "/docs"),
            ("/dashboardx", "other"),
            ("/prices/", "other"),
            ("/PRICES", "other"),
            ("/../etc/passwd", "other"),
            ("other", "other"),
            ("", "other"),
        ] {
            assert_eq!(Route::name_of(path), name, "{path}");
            assert!(Route::names().contains(&name));
        }
    }
}
