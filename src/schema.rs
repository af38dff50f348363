//! What schemas are made of, where a type is written by hand and no derive can say what it looks like.

use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};

/// Names and schemas of types.
pub(crate) type Schemas = Vec<(String, RefOr<Schema>)>;

/// A plain value.
pub(crate) fn value(kind: Type, about: &str) -> Object {
    ObjectBuilder::new().schema_type(kind).description(Some(about)).build()
}

/// A plain value that may be null.
pub(crate) fn value_or_null(kind: Type, about: &str) -> Object {
    let kinds = SchemaType::from_iter([kind, Type::Null]);
    ObjectBuilder::new().schema_type(kinds).description(Some(about)).build()
}

/// One of some words.
pub(crate) fn word<'w>(words: impl IntoIterator<Item = &'w str>, about: &str) -> Object {
    ObjectBuilder::new().schema_type(Type::String).description(Some(about)).enum_values(Some(words)).build()
}

/// A named type, and what it says here.
pub(crate) fn named<T: ToSchema>(about: &str) -> RefOr<Schema> {
    let mut named = Ref::from_schema_name(T::name());
    about.clone_into(&mut named.description);
    RefOr::Ref(named)
}

/// A named type that may be null.
pub(crate) fn named_or_null<T: ToSchema>(about: &str) -> RefOr<Schema> {
    let null = ObjectBuilder::new().schema_type(Type::Null);
    let named = Ref::from_schema_name(T::name());
    OneOfBuilder::new().item(null).item(named).description(Some(about)).into()
}

/// A list of a named type.
pub(crate) fn list_of<T: ToSchema>(about: &str) -> RefOr<Schema> {
    ArrayBuilder::new().items(Ref::from_schema_name(T::name())).description(Some(about)).into()
}

/// Adds a type and those that it names.
pub(crate) fn add<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}
