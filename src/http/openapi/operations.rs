//! What each route takes and answers.

use std::collections::BTreeMap;

use utoipa::ToSchema;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, Ref, RefOr, Required};

use super::Server;
use super::events::StreamEvent;
use crate::config;
use crate::http::auth::Door;
use crate::http::parameter::Parameter;
use crate::http::problem::{self, Kind};
use crate::http::route::Route;
use crate::http::sse::{self, Cursor};
use crate::http::{asked, candles, feeds, ops, snapshot, symbols, tickets};
use crate::schema::{named, value};

const JSON: &str = "application/json";
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

const RETRY_AFTER: &str = "Retry-After";
const RATE_LIMIT: &str = "RateLimit";
const RATE_LIMIT_POLICY: &str = "RateLimit-Policy";
const AUTHENTICATE: &str = "WWW-Authenticate";
const ALLOW: &str = "Allow";

/// What answers may carry besides their content.
pub(super) fn headers() -> [(&'static str, Header); 5] {
    let text = |about: &str, example: &str| {
        let schema = ObjectBuilder::new().schema_type(Type::String).examples([example]);
        HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build()
    };
    let mut seconds = value(Type::Integer, "Whole seconds to wait");
    seconds.minimum = Some(1.into());
    [
        (
            RETRY_AFTER,
            HeaderBuilder::new().schema(Some(seconds)).description(Some("Whole seconds to wait")).build(),
        ),
        (RATE_LIMIT, text("What is left of the limit that was met, and when more is", "\"opens\";r=0;t=12")),
        (RATE_LIMIT_POLICY, text("The limit that was met", "\"opens\";q=600;w=60")),
        (AUTHENTICATE, text("What would open it", "Bearer realm=\"tickcast\"")),
        (ALLOW, text("The methods that there are", "GET, HEAD, OPTIONS")),
    ]
}

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
/// What any route may answer, told once as `default`.
const ANY: &[Kind] = &[Kind::NoSuchRoute, Kind::MethodNotAllowed, Kind::TooManyHeaders];

/// What a route takes and answers.
#[derive(Default)]
struct Told {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    about: &'static str,
    door: Option<Door>,
    parameters: &'static [Parameter],
    takes_cursor: bool,
    takes_file: bool,
    body: Option<RequestBody>,
    answers: Vec<(u16, Response)>,
    problems: Vec<&'static [Kind]>,
}

/// What the document says of a route.
pub(super) fn operation(route: Route, server: Server<'_>) -> Operation {
    told(route).operation(server)
}

fn told(route: Route) -> Told {
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
            problems: vec![QUERY, ENTRY, CHOICE],
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
            answers: vec![text(media_type(ops::METRICS_TYPE), "OpenMetrics")],
            problems: vec![QUERY, QUERY_KEY, ENTRY],
            ..Told::default()
        },
        Route::OpenApi => Told {
            id: "getOpenApi",
            tag: PAGES,
            summary: "This document",
            answers: vec![(200, content(JSON, ObjectBuilder::new().into(), "An OpenAPI 3.1 document"))],
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
    let (answers, problems) = (vec![(200, response.build())], vec![&[Kind::NoSuchRoute][..]]);
    Told { id, tag: PAGES, summary, takes_file: true, answers, problems, ..Told::default() }
}

impl Told {
    fn operation(self, server: Server<'_>) -> Operation {
        let keys = server.asks.keys_to(self.door, self.body.is_some());
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .tag(self.tag)
            .summary(Some(self.summary))
            .description(Some(self.about).filter(|about| !about.is_empty()))
            .request_body(self.body);
        for parameter in self.parameters {
            operation = operation.parameter(parameter.in_query(server.stream));
        }
        if self.takes_cursor {
            let cursor = ParameterBuilder::new()
                .name("Last-Event-ID")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "Resume behind this id; an EventSource sends it by itself when it comes back",
                ))
                .schema(Some(Ref::from_schema_name(Cursor::name())));
            operation = operation.parameter(cursor);
        }
        if self.takes_file {
            let name = ParameterBuilder::new()
                .name("file")
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
            operation = operation.parameter(name);
        }
        for (status, response) in self.answers {
            operation = operation.response(status.to_string(), response);
        }
        let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
        for &kind in self.problems.into_iter().flatten() {
            let kinds = by_status.entry(kind.status().as_u16()).or_default();
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        for (status, kinds) in by_status {
            operation = operation.response(status.to_string(), refusal(&kinds));
        }
        operation = operation.response("default", refusal(ANY));
        if keys.is_empty() { operation.build() } else { operation.securities(Some(keys)).build() }
    }
}

/// What problems are answered with; they have one status.
fn refusal(kinds: &[Kind]) -> Response {
    let lines: Vec<String> =
        kinds.iter().map(|kind| format!("* `{}`: {}", kind.urn(), kind.title())).collect();
    let problem: RefOr<Schema> = named::<problem::Document<'_>>("");
    let response = ResponseBuilder::new()
        .description(lines.join("\n"))
        .content(problem::MEDIA_TYPE, Content::new(Some(problem)));
    let names: &[&str] = match kinds.first().map_or(0, |kind| kind.status().as_u16()) {
        401 => &[AUTHENTICATE],
        429 => &[RETRY_AFTER, RATE_LIMIT, RATE_LIMIT_POLICY],
        503 => &[RETRY_AFTER],
        _ if kinds.contains(&Kind::MethodNotAllowed) => &[ALLOW],
        _ => &[],
    };
    names.iter().fold(response, |response, name| response.header_ref(*name, header(name))).build()
}

fn header(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

fn content(media_type: &str, schema: RefOr<Schema>, about: &str) -> Response {
    ResponseBuilder::new().description(about).content(media_type, Content::new(Some(schema))).build()
}

fn answer<T: ToSchema>(status: u16, about: &str) -> (u16, Response) {
    (status, content(JSON, Ref::from_schema_name(T::name()).into(), about))
}

fn text(media_type: &str, about: &str) -> (u16, Response) {
    (200, content(media_type, ObjectBuilder::new().schema_type(Type::String).into(), about))
}

/// A stream, as the list of its events.
fn stream_answer() -> (u16, Response) {
    let events = ArrayBuilder::new().items(Ref::from_schema_name(StreamEvent::name()));
    let about = "The stream: `hello`, then prices and what else there is to say. Comment lines keep it from looking dead. \
                 Who looks like a browser's EventSource and is refused for now gets a `fault` event and the end";
    (200, content(media_type(sse::MEDIA_TYPE), events.into(), about))
}

/// A media type without its parameters.
fn media_type(text: &'static str) -> &'static str {
    text.split(';').next().unwrap_or(text)
}

fn body(name: &'static str, is_required: bool) -> RequestBody {
    RequestBodyBuilder::new()
        .content(JSON, Content::new(Some(Ref::from_schema_name(name))))
        .required(Some(if is_required { Required::True } else { Required::False }))
        .build()
}

/// The body of `POST /prices`.
pub(super) struct PricesRequest;

impl PricesRequest {
    pub(super) const NAME: &'static str = "PricesRequest";

    pub(super) fn schema(stream: &config::Stream) -> RefOr<Schema> {
        request(asked::PRICES, stream, "The parameters of `GET /prices`", true)
    }
}

/// The body of `POST /tickets`.
pub(super) struct TicketRequest;

impl TicketRequest {
    pub(super) const NAME: &'static str = "TicketRequest";

    pub(super) fn schema(stream: &config::Stream) -> RefOr<Schema> {
        request(
            tickets::PARAMETERS,
            stream,
            "What the ticket is for; without symbols, all that its client may have",
            false,
        )
    }
}

fn request(
    parameters: &[Parameter],
    stream: &config::Stream,
    about: &str,
    needs_symbols: bool,
) -> RefOr<Schema> {
    let mut object = ObjectBuilder::new()
        .description(Some(about))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    for parameter in parameters {
        object = object.property(parameter.name, parameter.in_body(stream));
        if needs_symbols && parameter.is_required() {
            object = object.required(parameter.name);
        }
    }
    object.into()
}
