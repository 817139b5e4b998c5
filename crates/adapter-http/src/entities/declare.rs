//! How the fields of a type are declared on the wire: once, for what is sent, how it is read, and what the document says.

use mosaic_domain::Entity;
use serde::de::DeserializeOwned;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use crate::field::{Check, Field, Int};
use crate::schema::Named;
use crate::value::Value;

/// What a type's declaration says. Implemented by [`fields!`].
pub(crate) trait Declared: Entity<Key: Value<Sent = String>> {
    /// What the document calls one of them.
    const NAME: &'static str;
    /// What it is, for people.
    const DESCRIPTION: &'static str;
    /// What a client sends: some fields of a record, or all of them.
    type Body: DeserializeOwned + Send + 'static;

    /// What the fields are called.
    const NAMES: &'static [&'static str];

    /// The fields, as the document describes them.
    fn members() -> Vec<Member>;

    /// Takes out of a body what is no field of the record.
    fn take_around(body: &mut Self::Body) -> Around;

    /// Reads the fields, and notes everything that is wrong with them.
    fn read_fields(body: Self::Body, check: &mut Check) -> Self::Changes;
}

/// A member of an object.
pub(crate) struct Member {
    pub(super) name: &'static str,
    pub(super) schema: RefOr<Schema>,
    pub(super) register: fn(&mut Named),
}

impl Member {
    /// A member with that value.
    pub(super) fn of<T: Value>(name: &'static str, description: &str) -> Self {
        let description = Some(description.trim()).filter(|text| !text.is_empty());
        Self {
            name,
            schema: T::described(description),
            register: T::register,
        }
    }
}

/// What a body may have besides fields, whatever the type.
#[derive(Debug)]
pub(crate) struct Around {
    /// The key that the client made.
    pub(super) key: Field<String>,
    /// The records that belong to it, in order.
    pub(super) resource_ids: Field<Vec<String>>,
    pub(super) created_at: Field<Int>,
    pub(super) updated_at: Field<Int>,
}

/// Declares the fields of a type, each with its value and its name. Makes the body that a client sends, where every field may
/// be left out, and what reads it.
macro_rules! fields {
    (
        #[doc = $about:literal]
        $entity:ident, edited by $patch:ident, sent as $body:ident {
            $($(#[doc = $doc:literal])* $field:ident: $value:ty = $name:literal,)*
        }
    ) => {
        #[doc = concat!("Some fields of a [`", stringify!($entity), "`], or all of them.")]
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(crate) struct $body {
            id: $crate::field::Field<String>,
            $(#[serde(rename = $name)] $field: $crate::field::Field<<$value as $crate::value::Value>::Sent>,)*
            resource_ids: $crate::field::Field<Vec<String>>,
            created_at: $crate::field::Field<$crate::field::Int>,
            updated_at: $crate::field::Field<$crate::field::Int>,
        }

        impl $crate::entities::declare::Declared for $entity {
            const NAME: &'static str = stringify!($entity);
            const DESCRIPTION: &'static str = $about;
            type Body = $body;
            const NAMES: &'static [&'static str] = &[$($name),*];

            fn members() -> Vec<$crate::entities::declare::Member> {
                vec![$($crate::entities::declare::Member::of::<$value>($name, concat!($($doc),*)),)*]
            }

            fn take_around(body: &mut $body) -> $crate::entities::declare::Around {
                $crate::entities::declare::Around {
                    key: std::mem::take(&mut body.id),
                    resource_ids: std::mem::take(&mut body.resource_ids),
                    created_at: std::mem::take(&mut body.created_at),
                    updated_at: std::mem::take(&mut body.updated_at),
                }
            }

            fn read_fields(body: $body, check: &mut $crate::field::Check) -> $patch {
                $patch {
                    $($field: $crate::value::Value::read_field($name, body.$field, check),)*
                }
            }
        }
    };
}
pub(super) use fields;
