//! The two texts in which Prometheus reads metrics. The library writes OpenMetrics; the older text format, which tools
//! such as `promtool check metrics` read, is made of that.

use std::fmt::Write as _;

use warp::http::HeaderMap;
use warp::http::header::ACCEPT;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' own text format, 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Exposition {
    /// What a request's `Accept` asks for: OpenMetrics for who names it, the older format for everybody else.
    pub fn wanted(headers: &HeaderMap) -> Self {
        let mut accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let names_it = |value: &str| value.to_ascii_lowercase().contains("application/openmetrics-text");
        if accepts.any(names_it) { Self::OpenMetrics } else { Self::Text }
    }

    /// Its `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes OpenMetrics in the older format: there a counter's own name ends in `_total`, and units and the end are not
/// said.
pub(super) fn in_text_format(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        let comment = line.strip_prefix("# ").map(|comment| comment.split_once(' ').unwrap_or((comment, "")));
        // Writing to a String cannot fail.
        let _ = match comment {
            None => writeln!(text, "{line}"),
            Some(("HELP", rest)) => {
                help = rest;
                Ok(())
            }
            Some(("TYPE", rest)) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
                let about = help.strip_prefix(name).unwrap_or_default().trim_start();
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "unknown" => ("", "untyped"),
                    _ => ("", kind),
                };
                writeln!(text, "# HELP {name}{suffix} {about}\n# TYPE {name}{suffix} {kind}")
            }
            // UNIT, and EOF.
            Some(_) => Ok(()),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::HeaderValue;

    #[test]
    fn the_older_format_names_counters_by_their_samples_and_says_no_unit_and_no_end() {
        let open_metrics = "# HELP a_seconds How long.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n\
            a_seconds_sum 0.5\na_seconds_count 1\na_seconds_bucket{le=\"+Inf\"} 1\n\
            # HELP b # of things.\n# TYPE b counter\nb_total{venue=\"sim\"} 3\n\
            # HELP c Now.\n# TYPE c gauge\nc 1\n# EOF\n";
        let text = "# HELP a_seconds How long.\n# TYPE a_seconds histogram\n\
            a_seconds_sum 0.5\na_seconds_count 1\na_seconds_bucket{le=\"+Inf\"} 1\n\
            # HELP b_total # of things.\n# TYPE b_total counter\nb_total{venue=\"sim\"} 3\n\
            # HELP c Now.\n# TYPE c gauge\nc 1\n";
        assert_eq!(in_text_format(open_metrics), text);
    }

    #[test]
    fn open_metrics_is_for_who_names_it() {
        let wanted = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            Exposition::wanted(&headers)
        };
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(wanted(prometheus), Exposition::OpenMetrics);
        for other in ["*/*", "text/plain", "text/html,application/xhtml+xml"] {
            assert_eq!(wanted(other), Exposition::Text, "{other}");
        }
        assert_eq!(Exposition::wanted(&HeaderMap::new()), Exposition::Text);
    }
}
