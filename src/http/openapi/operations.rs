//! From what a route takes and answers to its part of the document.

use std::collections::BTreeMap;

use utoipa::ToSchema;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, Ref, RefOr, Required};

use super::Server;
use super::told::told;
use crate::config;
use crate::http::auth::Door;
use crate::http::parameter::Parameter;
use crate::http::problem::{self, Kind};
use crate::http::route::Route;
use crate::http::sse::Cursor;
use crate::http::{asked, tickets};
use crate::schema::{Schemas, add, named, value};

pub(super) const JSON: &str = "application/json";

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

/// What any route may answer, told once as `default`.
const ANY: &[Kind] = &[Kind::NoSuchRoute, Kind::MethodNotAllowed, Kind::TooManyHeaders];

/// What a route takes and answers.
#[derive(Default)]
pub(super) struct Told {
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) door: Option<Door>,
    pub(super) parameters: &'static [Parameter],
    pub(super) takes_cursor: bool,
    pub(super) takes_file: bool,
    pub(super) body: Option<RequestBody>,
    pub(super) answers: Vec<Answered>,
    pub(super) problems: Vec<&'static [Kind]>,
}

/// What is answered when nothing is wrong.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) response: Response,
    /// Adds the types that the response names.
    pub(super) add_types: fn(&mut Schemas),
}

/// What the document says of a route.
pub(super) fn operation(route: Route, server: Server<'_>) -> Operation {
    told(route).operation(server)
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
        for answer in self.answers {
            operation = operation.response(answer.status.to_string(), answer.response);
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

pub(super) fn content(media_type: &str, schema: RefOr<Schema>, about: &str) -> Response {
    ResponseBuilder::new().description(about).content(media_type, Content::new(Some(schema))).build()
}

/// A value of a type.
pub(super) fn answer<T: ToSchema>(status: u16, about: &str) -> Answered {
    let response = content(JSON, Ref::from_schema_name(T::name()).into(), about);
    Answered { status, response, add_types: add::<T> }
}

/// What names no type.
pub(super) fn plain(response: Response) -> Answered {
    Answered { status: 200, response, add_types: |_| {} }
}

pub(super) fn text(media_type: &str, about: &str) -> Answered {
    plain(content(media_type, ObjectBuilder::new().schema_type(Type::String).into(), about))
}

/// A media type without its parameters.
pub(super) fn media_type(text: &'static str) -> &'static str {
    text.split(';').next().unwrap_or(text)
}

pub(super) fn body(name: &'static str, is_required: bool) -> RequestBody {
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
