//! What the document says of records: as they are shown, stored, edited, pushed and deleted. All of it follows from the
//! declaration of a type.

use std::borrow::Cow;
use std::marker::PhantomData;

use mosaic_domain::{EditTime, EntityType, ResourceId, UnixMillis};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::declare::{Member, Named};
use super::entity::{ApiEntity, RESOURCE_IDS, needed, takes_attachments};
use super::record::RecordDto;
use crate::schema;

fn key<E: ApiEntity>() -> Member {
    Member::of::<E::Key>(E::KEY, "")
}

/// The fields of a record, and its times.
fn members<E: ApiEntity>() -> impl Iterator<Item = Member> {
    let updated_at = "The edit time, in Unix milliseconds: the newest edit wins.";
    E::members().into_iter().chain([
        Member::of::<UnixMillis>("createdAt", ""),
        Member::of::<EditTime>("updatedAt", updated_at),
    ])
}

/// What only a record that others belong to takes.
fn attachments<E: ApiEntity>() -> Option<Member> {
    takes_attachments::<E>().then(|| {
        Member::of::<Vec<ResourceId>>(
            RESOURCE_IDS,
            "The memo's resources from now on, in order: others are detached.",
        )
    })
}

fn object(description: &str, members: impl IntoIterator<Item = Member>) -> ObjectBuilder {
    let object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(description).filter(|text| !text.is_empty()));
    members.into_iter().fold(object, |object, member| {
        object.property(member.name, member.schema)
    })
}

fn register<E: ApiEntity>(schemas: &mut Named) {
    for member in members::<E>().chain([key::<E>()]).chain(attachments::<E>()) {
        (member.register)(schemas);
    }
}

impl<E: ApiEntity> PartialSchema for RecordDto<E> {
    fn schema() -> RefOr<Schema> {
        let mut shown = object(E::DESCRIPTION.trim(), members::<E>().chain([key::<E>()])).build();
        if let RefOr::T(Schema::Object(derived)) = E::Derived::schema() {
            shown.properties.extend(derived.properties);
        }
        shown.required = shown.properties.keys().cloned().collect();
        RefOr::T(Schema::Object(shown))
    }
}

impl<E: ApiEntity> ToSchema for RecordDto<E> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed(E::NAME)
    }

    fn schemas(schemas: &mut Named) {
        register::<E>(schemas);
        E::Derived::schemas(schemas);
    }
}

/// Defines how a type is described in one of its parts.
macro_rules! described {
    ($($(#[$doc:meta])* $part:ident = $schema:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $part<E>(PhantomData<E>);

        impl<E: ApiEntity> PartialSchema for $part<E> {
            fn schema() -> RefOr<Schema> {
                $schema
            }
        }

        impl<E: ApiEntity> ToSchema for $part<E> {
            fn name() -> Cow<'static, str> {
                Cow::Owned(stringify!($part).to_owned() + E::NAME)
            }

            fn schemas(schemas: &mut Named) {
                register::<E>(schemas);
            }
        }
    )*};
}

described! {
    /// A partial edit: absent fields stay, `null` clears a nullable one.
    Edit = object(SOME_FIELDS, members::<E>().chain(attachments::<E>())).into();
    /// A create: a partial edit with what a new record must have.
    New = new::<E>();
    /// A record of a bulk push: a partial edit with its key. The resources of a push tell their memos themselves.
    Pushed = object(SOME_FIELDS, members::<E>().chain([key::<E>()])).required(E::KEY).into();
    /// A deleted record.
    Deleted = deleted::<E>();
}

const SOME_FIELDS: &str = "Some fields of a record, or all of them.";

fn new<E: ApiEntity>() -> RefOr<Schema> {
    let about = "A record to store. Over one that is stored already, and with `updatedAt`, it is a partial edit: what it leaves \
        out stays, and nothing is required.";
    let new = object(
        about,
        members::<E>().chain(attachments::<E>()).chain([key::<E>()]),
    );
    needed::<E>()
        .into_iter()
        .fold(new, ObjectBuilder::required)
        .into()
}

fn deleted<E: ApiEntity>() -> RefOr<Schema> {
    let by = |name| {
        let updated_at = "When the record was deleted, by the device's clock. Now, where it is not given";
        let members = [
            Member::of::<E::Key>(name, ""),
            Member::of::<EditTime>("updatedAt", updated_at),
        ];
        object("", members).required(name)
    };
    match E::TYPE {
        // Where there is a `date`, nobody looks at `id`.
        EntityType::Diary => AnyOfBuilder::new()
            .item(by(E::KEY))
            .item(by("id").property(E::KEY, key::<E>().schema))
            .into(),
        _ => by(E::KEY).into(),
    }
}

/// The edits of one type in a bulk push.
pub(super) fn edits<E: ApiEntity>() -> RefOr<Schema> {
    let list = |description, of: RefOr<Schema>| {
        let list = ArrayBuilder::new().items(of).max_items(Some(200));
        list.description(Some(description))
    };
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "The edits of one entity type: at most 200, updated and deleted ones counted together.",
        ))
        .property(
            "updated",
            list(
                "Records, as a pull sends them. What the server makes itself (`isDeleted`, `revisionCount`, `url` and the \
                 like) is ignored. What is left out stays as it is stored, or gets its default in a new record, which must \
                 have what a create must have.",
                schema::reference::<Pushed<E>>().into(),
            ),
        )
        .property(
            "deleted",
            list("Deleted records.", schema::reference::<Deleted<E>>().into()),
        )
        .into()
}

/// Adds the schemas that these refer to.
pub(super) fn register_edits<E: ApiEntity>(schemas: &mut Named) {
    schemas.push((Pushed::<E>::name().into_owned(), Pushed::<E>::schema()));
    schemas.push((Deleted::<E>::name().into_owned(), Deleted::<E>::schema()));
    register::<E>(schemas);
}

/// An object with members for entity types, and no others.
pub(super) fn closed(of_types: impl IntoIterator<Item = (EntityType, RefOr<Schema>)>) -> RefOr<Schema> {
    let members = of_types.into_iter();
    members
        .fold(ObjectBuilder::new(), |object, (entity, schema)| {
            object.property(entity.name(), schema)
        })
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .into()
}
