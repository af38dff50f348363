//! `GET /openapi.json`: the document about the routes, made of the lists and types that they are served with. What a route
//! takes and answers stands in `operations`, what a stream says in `events`.

mod events;
mod operations;
mod security;
mod told;

use utoipa::openapi::path::{HttpMethod, PathsBuilder};
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use warp::http::Method;

use super::params::Params;
use super::problem::{self, Problem};
use super::route::Route;
use super::{Answer, State, json};
use crate::config;
use crate::fields::Field;
use crate::schema::{Schemas, add};
use events::EventDataByName;
use operations::{PricesRequest, TicketRequest};

pub use security::{Asks, Whom};

const ABOUT: &str = "Prices of stocks and crypto, exact and explained, over server-sent events. `/prices` is the stream; the \
    rest is about it.\n\nPrices are text with all their digits. A message holds the whole state of the fields that were \
    asked for. What a client does wrong is answered by a problem document that names the parameter, the value and what \
    would work.\n\n`HEAD` answers the head of any `GET` and opens no stream; `OPTIONS` answers what a page of another \
    origin asks first. Clients should pass over properties and events that they do not know.";

/// What the document says differently from server to server.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// How its streams behave unless asked otherwise.
    pub stream: &'a config::Stream,
    /// What it wants to be shown.
    pub asks: &'a Asks,
}

/// Answers with the document.
pub(super) fn get(state: &State, params: &Params) -> Result<Answer, Problem> {
    params.check(&[])?;
    let asks = state.auth.asks();
    Ok(json(text(Server { stream: &state.stream, asks: &asks }).into()))
}

/// The document, for people to read too. The same server says the same, byte by byte.
pub fn text(server: Server<'_>) -> String {
    let mut text = document(server).to_pretty_json().expect("a document has text keys and no failing parts");
    text.push('\n');
    text
}

fn document(server: Server<'_>) -> OpenApi {
    let mut paths = PathsBuilder::new().build();
    for &route in Route::ALL {
        let method = match route.method() {
            Method::POST => HttpMethod::Post,
            _ => HttpMethod::Get,
        };
        paths.add_path_operation(route.path(), vec![method], operations::operation(route, server));
    }
    let info = InfoBuilder::new()
        .title("tickcast")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .build();
    let tags = told::TAGS.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build());
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .tags(Some(tags))
        .components(Some(components(server)))
        .build()
}

fn components(server: Server<'_>) -> utoipa::openapi::Components {
    let mut schemas = Schemas::new();
    for &route in Route::ALL {
        for answer in told::told(route).answers {
            (answer.add_types)(&mut schemas);
        }
    }
    add::<EventDataByName>(&mut schemas);
    add::<Field>(&mut schemas);
    add::<problem::Document<'_>>(&mut schemas);
    schemas.push((PricesRequest::NAME.to_owned(), PricesRequest::schema(server.stream)));
    schemas.push((TicketRequest::NAME.to_owned(), TicketRequest::schema(server.stream)));
    let mut components = ComponentsBuilder::new().schemas_from_iter(schemas);
    for (name, header) in operations::headers() {
        components = components.header(name, header);
    }
    for (name, scheme) in server.asks.schemes() {
        components = components.security_scheme(name, scheme);
    }
    components.build()
}
