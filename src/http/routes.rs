//! The routes' names for metrics and spans: a closed set, whatever is asked for.

/// Every route's name; `other` is what is none.
pub const ROUTES: [&str; 14] = [
    "/",
    "/prices",
    "/prices/snapshot",
    "/tickets",
    "/symbols",
    "/candles",
    "/feeds",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/dashboard",
    "other",
];

/// The route of a path.
pub(super) fn of(path: &str) -> &'static str {
    // The dashboard's and the docs' files count together.
    let path = ["/dashboard", "/docs"].into_iter().find(|folder| is_below(path, folder)).unwrap_or(path);
    ROUTES.into_iter().find(|route| *route == path).unwrap_or("other")
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_name_of_its_route_and_no_path_makes_a_name() {
        for (path, route) in [
            ("/", "/"),
            ("/prices", "/prices"),
            ("/prices/snapshot", "/prices/snapshot"),
            ("/dashboard/app.js", "/dashboard"),
            ("/dashboardx", "other"),
            ("/prices/", "other"),
            ("/PRICES", "other"),
            ("/../etc/passwd", "other"),
            ("other", "other"),
            ("", "other"),
        ] {
            assert_eq!(of(path), route, "{path}");
        }
    }
}
