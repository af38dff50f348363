//! What the fields of a price message are, for who reads them by a schema: made of the same table that messages are.

use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::Field;
use crate::config::Class;
use crate::schema::{Schemas, add, list_of, named, named_or_null, value, value_or_null, word};
use crate::ticker::{Part, Session, Status};

impl Field {
    /// What it says, in a sentence.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Symbol => "The catalogue's name; in every message",
            Self::Price => "What the symbol costs now, by the instrument's rule; null before the first price",
            Self::Bid => "Best bid of the venue that made the price",
            Self::Ask => "Best offer of the venue that made the price",
            Self::BidSize => "Size of the best bid",
            Self::AskSize => "Size of the best offer",
            Self::Spread => "Ask minus bid; null while they cross",
            Self::Mid => "Half-way between bid and ask; null while they cross",
            Self::Last => "Last eligible trade",
            Self::LastSize => "Size of the last eligible trade",
            Self::Open => "First price of the last 24 h (crypto) or of the session (stock)",
            Self::High => "Highest price of the last 24 h (crypto) or of the session (stock)",
            Self::Low => "Lowest price of the last 24 h (crypto) or of the session (stock)",
            Self::Volume => "Volume of the last 24 h (crypto) or of the session (stock)",
            Self::PrevClose => "The price 24 h ago (crypto) or the last official close (stock)",
            Self::Change => "The price minus `prev_close`",
            Self::ChangePct => "`change` in percent of `prev_close`, with two decimals",
            Self::Currency => "What the price is in",
            Self::Class => "What kind of instrument it is",
            Self::Venue => "Who made the price; null before the first price",
            Self::Sources => "What each source says, and whether it counts",
            Self::Session => "Where the market is in its day",
            Self::Status => "Whether the price can be relied on",
            Self::Time => {
                "The venue's clock, ours where it gives none, in ms since 1970; null before the first tick"
            }
            Self::EventUs => "The venue's clock, in µs since 1970; null where it gives none",
            Self::RecvUs => {
                "Our clock when the frame was read whole, in µs since 1970; null before the first tick"
            }
            Self::SentUs => "Our clock when the message was written, in µs since 1970",
            Self::Version => "The number in the message's id",
        }
    }

    /// What stands in a message for it.
    fn form(self) -> RefOr<Schema> {
        let about = self.about();
        match self {
            Self::Symbol | Self::Currency => value(Type::String, about).into(),
            Self::Price
            | Self::Bid
            | Self::Ask
            | Self::BidSize
            | Self::AskSize
            | Self::Spread
            | Self::Mid
            | Self::Last
            | Self::LastSize
            | Self::Open
            | Self::High
            | Self::Low
            | Self::Volume
            | Self::PrevClose
            | Self::Change
            | Self::ChangePct => named_or_null::<Decimal>(about),
            Self::Venue => value_or_null(Type::String, about).into(),
            Self::Class => named::<Class>(about),
            Self::Sources => list_of::<Source>(about),
            Self::Session => named::<Session>(about),
            Self::Status => named::<Status>(about),
            Self::Time | Self::EventUs | Self::RecvUs => value_or_null(Type::Integer, about).into(),
            Self::SentUs | Self::Version => value(Type::Integer, about).into(),
        }
    }
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl ToSchema for Field {}

impl PartialSchema for Field {
    fn schema() -> RefOr<Schema> {
        let names = Self::ALL.iter().map(|field| field.name());
        word(names, "The name of a field of price messages").into()
    }
}

/// The object that [`write_json`](super::write_json) writes.
#[derive(Debug)]
pub struct PriceMessage;

impl ToSchema for PriceMessage {
    fn schemas(schemas: &mut Schemas) {
        add::<Decimal>(schemas);
        add::<Source>(schemas);
        add::<Class>(schemas);
        add::<Session>(schemas);
        add::<Status>(schemas);
    }
}

impl PartialSchema for PriceMessage {
    fn schema() -> RefOr<Schema> {
        let about = "The whole state of a symbol, as far as it was asked for: the fields that `fields` names, in this order";
        let mut message = ObjectBuilder::new().description(Some(about)).required(Field::Symbol.name());
        for field in Field::ALL {
            message = message.property(field.name(), field.form());
        }
        message.into()
    }
}

/// A number in a message.
#[derive(Debug)]
struct Decimal;

impl ToSchema for Decimal {}

impl PartialSchema for Decimal {
    fn schema() -> RefOr<Schema> {
        let about = "A decimal with all its digits, as text: no exponent, no rounding on the way";
        let mut decimal = value(Type::String, about);
        decimal.pattern = Some("^-?[0-9]+(\\.[0-9]+)?$".to_owned());
        decimal.examples = vec!["67012.34".into()];
        decimal.into()
    }
}

/// One entry of `sources`.
#[derive(Debug)]
struct Source;

impl ToSchema for Source {
    fn schemas(schemas: &mut Schemas) {
        add::<Part>(schemas);
    }
}

impl PartialSchema for Source {
    fn schema() -> RefOr<Schema> {
        let age = "ms since its newest tick; null before the first";
        ObjectBuilder::new()
            .description(Some("What one venue says, and whether it counts"))
            .property("venue", value(Type::String, "Whose word it is"))
            .property("price", named_or_null::<Decimal>("Its price; null before its first"))
            .property("age_ms", value_or_null(Type::Integer, age))
            .property("used", value(Type::Boolean, "Whether it makes the price, alone or with others"))
            .property("reason", named::<Part>("Why not, where it does not"))
            .required("venue")
            .required("price")
            .required("age_ms")
            .required("used")
            .into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fields::class_name;

    /// The words that a type has by its schema.
    fn words<T: ToSchema>() -> Value {
        serde_json::to_value(T::schema()).expect("a schema is JSON")["enum"].take()
    }

    #[test]
    fn the_words_in_schemas_are_those_that_messages_are_written_with() {
        let session =
            [Session::Pre, Session::Open, Session::Post, Session::Closed, Session::Halted, Session::Unknown];
        let status = [Status::Live, Status::Degraded, Status::Stale, Status::Closed, Status::Halted];
        let part = [
            Part::Used,
            Part::Standby,
            Part::Settling,
            Part::Outlier,
            Part::Stale,
            Part::Down,
            Part::NoPrice,
        ];
        assert_eq!(words::<Session>(), json!(session.map(Session::name)));
        assert_eq!(words::<Status>(), json!(status.map(Status::name)));
        assert_eq!(words::<Part>(), json!(part.map(Part::name)));
        assert_eq!(words::<Class>(), json!([Class::Crypto, Class::Stock].map(class_name)));
    }

    #[test]
    fn the_fields_in_the_schema_have_the_order_of_a_message() {
        let RefOr::T(Schema::Object(message)) = PriceMessage::schema() else {
            unreachable!("it is an object")
        };
        let names: Vec<&str> = message.properties.keys().map(String::as_str).collect();
        assert_eq!(names, Field::ALL.iter().map(|field| field.name()).collect::<Vec<_>>());
    }
}
