//! What a stream says, event by event: the blocks of `text/event-stream`, and what their `data` is.

use std::borrow::Cow;

use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::candles::CandleEvent;
use crate::fanout::Gap;
use crate::fields::PriceMessage;
use crate::http::events::{Bye, Fault, Heartbeat, Notice};
use crate::http::prices::Hello;
use crate::http::sse::{Cursor, EventName};
use crate::schema::{Schemas, add, named, value};

/// The name of an event that has none.
const MESSAGE: &str = "message";

/// Every event: its name and what its `data` is, the message first.
fn events() -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
    let named = EventName::ALL.iter().map(|&event| (event.name(), data(event)));
    std::iter::once((MESSAGE, PriceMessage::name())).chain(named)
}

/// The type of an event's data.
fn data(event: EventName) -> Cow<'static, str> {
    match event {
        EventName::Hello => Hello::name(),
        EventName::Heartbeat => Heartbeat::name(),
        EventName::Gap => Gap::name(),
        EventName::Candle => CandleEvent::name(),
        EventName::Notice => Notice::name(),
        EventName::Fault => Fault::name(),
        EventName::Bye => Bye::name(),
    }
}

fn add_data(schemas: &mut Schemas) {
    add::<PriceMessage>(schemas);
    for event in EventName::ALL {
        match event {
            EventName::Hello => add::<Hello<'_>>(schemas),
            EventName::Heartbeat => add::<Heartbeat>(schemas),
            EventName::Gap => add::<Gap<'_>>(schemas),
            EventName::Candle => add::<CandleEvent<'_>>(schemas),
            EventName::Notice => add::<Notice>(schemas),
            EventName::Fault => add::<Fault>(schemas),
            EventName::Bye => add::<Bye>(schemas),
        }
    }
}

/// Each event's data by the event's name: for generators of types, since nothing sends all of it at once.
pub(super) struct EventDataByName;

impl ToSchema for EventDataByName {
    fn name() -> Cow<'static, str> {
        "EventData".into()
    }

    fn schemas(schemas: &mut Schemas) {
        add_data(schemas);
    }
}

impl PartialSchema for EventDataByName {
    fn schema() -> RefOr<Schema> {
        let about = "What the `data` of each event is, once read as JSON, by the name of the event. Never sent as a whole: \
                     for generators of types";
        let mut by_name = ObjectBuilder::new().description(Some(about));
        for (name, data) in events() {
            by_name = by_name.property(name, Ref::from_schema_name(data)).required(name);
        }
        by_name.into()
    }
}

/// One block of a stream, its lines by their names.
pub(super) struct StreamEvent;

impl ToSchema for StreamEvent {
    fn schemas(schemas: &mut Schemas) {
        add::<Cursor>(schemas);
        add_data(schemas);
    }
}

impl PartialSchema for StreamEvent {
    fn schema() -> RefOr<Schema> {
        let about = "One block of a stream, its lines by their names. `data` is one line of JSON";
        let blocks =
            events().fold(OneOfBuilder::new(), |blocks, (name, data)| blocks.item(block(name, data)));
        blocks.description(Some(about)).into()
    }
}

fn block(name: &str, data: Cow<'static, str>) -> Object {
    let mut line = value(Type::String, "JSON");
    "application/json".clone_into(&mut line.content_media_type);
    line.content_schema = Some(Box::new(Ref::from_schema_name(data).into()));
    let mut event = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([name])).build();
    let mut retry = value(Type::Integer, "ms after which a client may come back when the stream ends");
    retry.minimum = Some(1.into());
    let is_named = name != MESSAGE;
    if !is_named {
        event.description = Some("Not sent: a block without a name is a message".to_owned());
    }
    let block = ObjectBuilder::new()
        .title(Some(name))
        .property("retry", retry)
        .property("event", event)
        .property("data", line)
        .property("id", named::<Cursor>("Where the stream is after this"))
        .required("data");
    if is_named { block.required("event").build() } else { block.build() }
}
