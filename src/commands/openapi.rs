//! `tickcast openapi`: what `GET /openapi.json` of a server with this config answers, without a server.

use std::io::{self, Write};

use crate::config::Config;
use crate::http::auth::Auth;
use crate::http::openapi::{self, Server};

/// Writes the document.
///
/// # Errors
///
/// Those of the output.
pub fn run(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let asks = Auth::new(config).asks();
    out.write_all(openapi::text(Server { stream: &config.stream, asks: &asks }).as_bytes())
}
