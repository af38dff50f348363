//! What each route takes and answers, as a table: the one place to write for a new one.

use utoipa::ToSchema;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, Ref, RefOr};

use super::events::StreamEvent;
use super::operations::{
    Answered, JSON, PricesRequest, TicketRequest, Told, answer, body, content, media_type, plain, text,
};
use crate::http::auth::Door;
use crate::http::problem::Kind;
use crate::http::route::Route;
use crate::http::sse;
use crate::http::{asked, candles, feeds, ops, snapshot, symbols, tickets};
use crate::metrics::Exposition;
use crate::schema::add;

const HTML: &str = "text/html";
const SCRIPT: &str = "text/javascript";
const STYLE: &str = "text/css";

const PRICES: &str = "prices";
const CATALOGUE: &str = "catalogue";
const ACCESS: &str = "access";
const OPERATOR: &str = "operator";
const PAGES: &str = "pages";

/// What routes are grouped by.
pub(super) const TAGS: [(&str, &str); 5] = [
    (PRICES, "What symbols cost"),
    (CATALOGUE, "What symbols there are"),
    (ACCESS, "Something to show instead of a key"),
    (OPERATOR, "How the service is"),
    (PAGES, "Pages for people, and this document"),
];

/// What can be wrong with any query.
const QUERY: &[Kind] = &[Kind::UnknownParameter, Kind::MalformedEncoding, Kind::UrlTooLong];
/// What can be wrong with a key in a query.
const QUERY_KEY: &[Kind] = &[Kind::QueryCredentialOff];
/// What can be wrong with any body.
const BODY: &[Kind] = &[Kind::BadBody, Kind::UnknownParameter, Kind::BodyTooSlow, Kind::BodyTooLarge];
/// Who may not get in.
const ENTRY: &[Kind] = &[
    Kind::NoCredential,
    Kind::BadCredential,
    Kind::ExpiredCredential,
    Kind::NotEntitled,
    Kind::TooManyBadCredentials,
];
/// What can be wrong with symbols.
const CHOICE: &[Kind] =
    &[Kind::BadValue, Kind::NoSymbols, Kind::TooManySymbols, Kind::NotEntitled, Kind::UnknownSymbol];
/// Why there is no stream now.
const LIMITS: &[Kind] = &[Kind::RateLimited, Kind::TooManyStreams, Kind::Overloaded, Kind::Draining];

/// What the document says of a route.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn told(route: Route) -> Told {
    match route {
        Route::Prices => Told {
            id: "streamPrices",
            tag: PRICES,
            summary: "Prices, as they change",
            about: "Each price is a `message` event; the other events are named. A client that comes back sends the last \
                    id, as every EventSource does by itself, and gets only what changed since.",
            door: Some(Door::Stream),
            parameters: asked::PRICES,
            takes_cursor: true,
            answers: vec![stream_answer()],
            problems: vec![QUERY, QUERY_KEY, ENTRY, CHOICE, LIMITS],
            ..Told::default()
        },
        Route::PricesByBody => Told {
            id: "streamPricesByBody",
            tag: PRICES,
            summary: "The same, with its parameters in the body",
            about: "For lists of symbols that are too long for a URL. What will pass is told by 429 or 503, never inside a \
                    stream.",
            door: Some(Door::Data),
            takes_cursor: true,
            body: Some(body(PricesRequest::NAME, true)),
            answers: vec![stream_answer()],
            problems: vec![BODY, ENTRY, CHOICE, LIMITS],
            ..Told::default()
        },
        Route::Snapshot => Told {
            id: "getSnapshot",
            tag: PRICES,
            summary: "Prices as they are now",
            about: "The same objects as on the stream, once.",
            door: Some(Door::Data),
            parameters: snapshot::PARAMETERS,
            answers: vec![answer::<snapshot::Snapshot<'_>>(200, "Each symbol once, and what was rejected")],
            problems: vec![QUERY, QUERY_KEY, ENTRY, CHOICE],
            ..Told::default()
        },
        Route::Candles => Told {
            id: "getCandles",
            tag: PRICES,
            summary: "Bars of one symbol, the oldest first",
            about: "The newest bars there are, made of trades; the last one may not be over. A stream that wants them as they \
                    change asks for `candles`.",
            door: Some(Door::Data),
            parameters: candles::PARAMETERS,
            answers: vec![answer::<candles::Candles<'_>>(200, "The bars")],
            problems: vec![QUERY, QUERY_KEY, ENTRY, &[Kind::BadValue, Kind::NoSymbols, Kind::UnknownSymbol]],
            ..Told::default()
        },
        Route::Symbols => Told {
            id: "findSymbols",
            tag: CATALOGUE,
            summary: "The symbols that there are for who asks",
            about: "All of them, or what contains `query`, the best match first.",
            door: Some(Door::Data),
            parameters: symbols::PARAMETERS,
            answers: vec![answer::<symbols::Found<'_>>(200, "The best matches, and how many there are")],
            problems: vec![QUERY, QUERY_KEY, ENTRY, &[Kind::BadValue]],
            ..Told::default()
        },
        Route::Tickets => Told {
            id: "createTicket",
            tag: ACCESS,
            summary: "A ticket that opens one stream",
            about: "For a browser's EventSource, which can send no header: the page shows its credential here and opens \
                    `/prices` with `ticket` in the query, once, within 30 s. With symbols in the body it is for those only.",
            door: Some(Door::Ticket),
            body: Some(body(TicketRequest::NAME, false)),
            answers: vec![answer::<tickets::Ticket>(200, "The ticket")],
            problems: vec![BODY, ENTRY, CHOICE, &[Kind::NoTickets, Kind::TooManyTickets, Kind::Overloaded]],
            ..Told::default()
        },
        Route::Feeds => Told {
            id: "getFeeds",
            tag: OPERATOR,
            summary: "How every feed is",
            door: Some(Door::Operator),
            answers: vec![answer::<feeds::Feeds>(200, "One object for each connection")],
            problems: vec![QUERY, QUERY_KEY, ENTRY],
            ..Told::default()
        },
        Route::Live => Told {
            id: "getLive",
            tag: OPERATOR,
            summary: "Whether the process answers",
            answers: vec![answer::<ops::Live>(200, "It does")],
            problems: vec![QUERY],
            ..Told::default()
        },
        Route::Ready => Told {
            id: "getReady",
            tag: OPERATOR,
            summary: "Whether there are prices",
            about: "Ready: some feed is ticking, and the server is not about to stop.",
            answers: vec![
                answer::<ops::Ready>(200, "Ready"),
                answer::<ops::Ready>(503, "Not ready, and why"),
            ],
            problems: vec![QUERY],
            ..Told::default()
        },
        Route::Metrics => Told {
            id: "getMetrics",
            tag: OPERATOR,
            summary: "What is counted, for Prometheus",
            door: Some(Door::Operator),
            answers: vec![metrics_answer()],
            problems: vec![QUERY, QUERY_KEY, ENTRY],
            ..Told::default()
        },
        Route::OpenApi => Told {
            id: "getOpenApi",
            tag: PAGES,
            summary: "This document",
            answers: vec![plain(content(JSON, ObjectBuilder::new().into(), "An OpenAPI 3.1 document"))],
            problems: vec![QUERY],
            ..Told::default()
        },
        Route::Docs => Told {
            id: "getDocs",
            tag: PAGES,
            summary: "This document, to be read",
            answers: vec![text(HTML, "A page")],
            ..Told::default()
        },
        Route::Dashboard => Told {
            id: "getDashboard",
            tag: PAGES,
            summary: "The dashboard",
            answers: vec![text(HTML, "A page")],
            ..Told::default()
        },
        Route::DocsFile => file("getDocsFile", "A file of the page at `/docs`"),
        Route::DashboardFile => file("getDashboardFile", "A file of the dashboard"),
    }
}

fn file(id: &'static str, summary: &'static str) -> Told {
    let schema: RefOr<Schema> = ObjectBuilder::new().schema_type(Type::String).into();
    let response = ResponseBuilder::new()
        .description("The file")
        .content(SCRIPT, Content::new(Some(schema.clone())))
        .content(STYLE, Content::new(Some(schema)));
    let (answers, problems) = (vec![plain(response.build())], vec![&[Kind::NoSuchRoute][..]]);
    Told { id, tag: PAGES, summary, takes_file: true, answers, problems, ..Told::default() }
}

/// A stream, as the list of its events.
fn stream_answer() -> Answered {
    let events = ArrayBuilder::new().items(Ref::from_schema_name(StreamEvent::name()));
    let about = "The stream: `hello`, then prices and what else there is to say. Comment lines keep it from looking dead. \
                 Who looks like a browser's EventSource and is refused for now gets a `fault` event and the end";
    let response = content(media_type(sse::MEDIA_TYPE), events.into(), about);
    Answered { status: 200, response, add_types: add::<StreamEvent> }
}

/// What is counted, in either of Prometheus's formats.
fn metrics_answer() -> Answered {
    let text = || Content::new(Some(ObjectBuilder::new().schema_type(Type::String).build()));
    let formats = [Exposition::Text, Exposition::OpenMetrics].map(|format| media_type(format.media_type()));
    let about = "Prometheus's text format, or OpenMetrics for who accepts it";
    let response = formats
        .into_iter()
        .fold(ResponseBuilder::new(), |response, format| response.content(format, text()))
        .description(about);
    plain(response.build())
}
