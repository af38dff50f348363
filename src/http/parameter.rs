//! What a parameter is, as a route declares it: the list that names are checked against is the one that the document is
//! made of, so that none is taken without a word.

use std::time::Duration;

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::{Parameter as Said, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr, Required};

use crate::config;
use crate::fields::{Field, FieldSet};

/// A parameter that a route takes.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name, in a query and in a body.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What values it has.
    pub form: Form,
}

/// What values a parameter has.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// Names with commas between them, at least one of which has to be given.
    Names,
    /// Names of fields with commas between them.
    Fields,
    /// Text of a pattern.
    Text {
        /// As ECMAScript writes it; `None` where nothing is refused.
        pattern: Option<&'static str>,
        /// Values that would do.
        examples: &'static [&'static str],
    },
    /// One of some words.
    Word {
        /// Those.
        words: &'static [&'static str],
        /// What counts where it is not given.
        default: Option<&'static str>,
    },
    /// One name, which has to be given.
    Name,
    /// `true` or `false`; not given, it is off.
    Switch,
    /// A whole number.
    Count {
        /// The least.
        least: usize,
        /// The most.
        most: usize,
        /// What counts where it is not given.
        default: usize,
    },
    /// A time that passes: a bare number, or one with `ms`, `s`, `m` or `h` behind it.
    Duration {
        /// What a bare number counts in.
        unit: &'static str,
        /// The longest.
        most: Duration,
        /// What counts where it is not given.
        default: fn(&config::Stream) -> Duration,
    },
}

impl Parameter {
    /// As it stands in a query.
    pub(super) fn in_query(&self, stream: &config::Stream) -> Said {
        let is_list = matches!(self.form, Form::Names | Form::Fields);
        let is_required = self.is_required();
        ParameterBuilder::new()
            .name(self.name)
            .parameter_in(ParameterIn::Query)
            .required(if is_required { Required::True } else { Required::False })
            .description(Some(self.sentence()))
            // With commas: `BTC,AAPL`.
            .style(is_list.then_some(ParameterStyle::Form))
            .explode(is_list.then_some(false))
            .schema(Some(self.form.text(stream)))
            .build()
    }

    /// As it stands in a body: numbers may be numbers there, and lists lists.
    pub(super) fn in_body(&self, stream: &config::Stream) -> RefOr<Schema> {
        let about = Some(self.sentence());
        let mut said = self.form.text(stream);
        let other: Object = match self.form {
            Form::Names | Form::Fields => ObjectBuilder::new().schema_type(Type::String).build(),
            Form::Duration { .. } => ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).build(),
            Form::Name | Form::Text { .. } | Form::Word { .. } | Form::Switch | Form::Count { .. } => {
                if let RefOr::T(Schema::Object(object)) = &mut said {
                    object.description = about;
                }
                return said;
            }
        };
        AnyOfBuilder::new().item(said).item(other).description(about).into()
    }

    /// Whether it has to be given.
    pub(super) fn is_required(&self) -> bool {
        matches!(self.form, Form::Names | Form::Name)
    }

    fn sentence(&self) -> String {
        let about = self.about;
        match self.form {
            Form::Duration { unit, most, .. } => {
                let most = humantime::format_duration(most);
                format!("{about}. A bare number counts in {unit}; at most {most}")
            }
            _ => about.to_owned(),
        }
    }
}

impl Form {
    /// What a value looks like, where all are text.
    fn text(self, stream: &config::Stream) -> RefOr<Schema> {
        let object = ObjectBuilder::new();
        match self {
            Self::Names => {
                let (name, most) = (object.schema_type(Type::String).examples(["BTC"]), stream.symbols_max);
                ArrayBuilder::new().items(name).min_items(Some(1)).max_items(Some(most)).into()
            }
            Self::Name => object.schema_type(Type::String).examples(["BTC"]).into(),
            Self::Fields => {
                let default = FieldSet::DEFAULT.iter().map(|field| Value::from(field.name())).collect();
                let fields = ArrayBuilder::new().items(Ref::from_schema_name(<Field as ToSchema>::name()));
                fields.default(Some(Value::Array(default))).into()
            }
            Self::Text { pattern, examples } => {
                object.schema_type(Type::String).pattern(pattern).examples(examples.iter().copied()).into()
            }
            Self::Word { words, default } => object
                .schema_type(Type::String)
                .enum_values(Some(words.iter().copied()))
                .default(default.map(Value::from))
                .into(),
            Self::Switch => object.schema_type(Type::Boolean).default(Some(false.into())).into(),
            Self::Count { least, most, default } => object
                .schema_type(Type::Integer)
                .minimum(Some(least))
                .maximum(Some(most))
                .default(Some(default.into()))
                .into(),
            Self::Duration { unit, default, .. } => {
                let default = humantime::format_duration(default(stream)).to_string();
                let examples = if unit == "ms" { ["250", "250ms", "1s"] } else { ["15", "15s", "1m"] };
                object
                    .schema_type(Type::String)
                    .pattern(Some("^[0-9]+(ms|s|m|h)?( [0-9]+(ms|s|m|h))*$"))
                    .default(Some(default.into()))
                    .examples(examples)
                    .into()
            }
        }
    }
}
