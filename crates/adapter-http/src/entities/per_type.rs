//! Objects of the document that have a member for each entity type.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};

use super::document::{Changed, Edits};
use super::entity::ApiEntity;
use super::of_each_type;
use crate::schema::{Named, UnixMs, add};

/// What the document says of each entity type.
pub(crate) trait OfEachType {
    /// What it says of this one. What that refers to is added to the schemas.
    fn member<E: ApiEntity>(schemas: &mut Named) -> RefOr<Schema>;
}

/// An object with a member for each entity type, any of which may be missing, and no others.
pub(crate) fn object_of_types<T: OfEachType>(description: &str) -> RefOr<Schema> {
    let members = of_each_type::<T>(&mut Named::new()).into_iter();
    members
        .fold(ObjectBuilder::new(), |object, (entity, schema)| {
            object.property(entity.name(), schema)
        })
        .schema_type(Type::Object)
        .description(Some(description.trim()))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .into()
}

/// Defines such objects, each with what it is, and its member for the entity type `E`.
macro_rules! per_type {
    ($(#[doc = $about:literal] $object:ident = $member:expr;)*) => {$(
        #[doc = $about]
        #[derive(Debug)]
        pub(crate) struct $object;

        impl $crate::entities::OfEachType for $object {
            fn member<E: $crate::entities::ApiEntity>(
                schemas: &mut $crate::schema::Named,
            ) -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                ($member)(schemas).into()
            }
        }

        impl utoipa::PartialSchema for $object {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $crate::entities::object_of_types::<Self>($about)
            }
        }

        impl utoipa::ToSchema for $object {
            fn schemas(schemas: &mut $crate::schema::Named) {
                $crate::entities::of_each_type::<Self>(schemas);
            }
        }
    )*};
}
pub(crate) use per_type;

per_type! {
    /// Up to where a device was served, for each entity type.
    Cursors = add::<UnixMs>;
    /// What changed, for each entity type that was asked for.
    PullChanges = add::<Changed<E>>;
    /// The edits, for each entity type that has any.
    PushChanges = add::<Edits<E>>;
}
