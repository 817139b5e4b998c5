//! What the document says of records: as they are shown, stored, edited, pulled, pushed and deleted. All of it follows from
//! the declaration of a type.

use std::borrow::Cow;

use mosaic_domain::{EditTime, EntityType, ResourceId, UnixMillis};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::declare::Member;
use super::entity::{ApiEntity, RESOURCE_IDS, needed, takes_attachments};
use super::of_each_type;
use super::per_type::OfEachType;
use super::record::RecordDto;
use crate::schema::{self, Named, add, reference};

fn key<E: ApiEntity>() -> Member {
    Member::of::<E::Key>(E::TYPE.key_name(), "")
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

/// Adds the schemas that the fields of a record refer to.
pub(crate) fn register<E: ApiEntity>(schemas: &mut Named) {
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
        all_required(shown)
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

/// Defines how a type is described in one of its parts: what the part of a `Memo` is called, what adds the schemas that it
/// refers to, and what it looks like.
macro_rules! described {
    ($($(#[$doc:meta])* $part:ident ($name:literal, $register:expr) = $schema:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $part<E>(std::marker::PhantomData<E>);

        impl<E: $crate::entities::ApiEntity> utoipa::PartialSchema for $part<E> {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $schema
            }
        }

        impl<E: $crate::entities::ApiEntity> utoipa::ToSchema for $part<E> {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Owned(format!($name, E::NAME))
            }

            fn schemas(schemas: &mut $crate::schema::Named) {
                ($register)(schemas);
            }
        }
    )*};
}
pub(crate) use described;

described! {
    /// A partial edit: absent fields stay, `null` clears a nullable one.
    Edit ("Edit{}", register::<E>) = object(SOME_FIELDS, members::<E>().chain(attachments::<E>())).into();
    /// A create: a partial edit with what a new record must have.
    New ("New{}", register::<E>) = new::<E>();
    /// A record of a bulk push: a partial edit with its key. The resources of a push tell their memos themselves.
    Pushed ("Pushed{}", register::<E>) =
        object(SOME_FIELDS, members::<E>().chain([key::<E>()])).required(E::TYPE.key_name()).into();
    /// A deleted record.
    Deleted ("Deleted{}", register::<E>) = deleted::<E>();
    /// The edits of one type in a bulk push.
    Edits ("{}Edits", register_edits::<E>) = edits::<E>();
    /// What changed of one type, in a pull.
    Changed ("{}Changes", register_changes::<E>) = changes::<E>();
    /// What is left of a record that was deleted.
    Tombstone ("{}Tombstone", register::<E>) = tombstone::<E>();
    /// A record as it is stored (W4).
    Stored ("Stored{}", register_stored::<E>) = OneOfBuilder::new()
        .item(reference::<RecordDto<E>>())
        .item(reference::<Tombstone<E>>())
        .description(Some("A record, or what is left of it where it was deleted."))
        .into();
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
            .item(by(E::TYPE.key_name()))
            .item(by("id").property(E::TYPE.key_name(), key::<E>().schema))
            .into(),
        _ => by(E::TYPE.key_name()).into(),
    }
}

fn tombstone<E: ApiEntity>() -> RefOr<Schema> {
    let members = [
        key::<E>(),
        Member::of::<UnixMillis>("createdAt", ""),
        Member::of::<EditTime>("updatedAt", "When the record was deleted, in Unix milliseconds."),
    ];
    let members = object("What is left of a record that was deleted.", members)
        .property("isDeleted", schema::IsDeleted::schema());
    all_required(members.build())
}

fn register_stored<E: ApiEntity>(schemas: &mut Named) {
    add::<RecordDto<E>>(schemas);
    add::<Tombstone<E>>(schemas);
}

fn changes<E: ApiEntity>() -> RefOr<Schema> {
    let updated = ArrayBuilder::new().items(reference::<RecordDto<E>>());
    let deleted = ArrayBuilder::new().items(reference::<schema::Key>());
    let members = object("What changed of one entity type.", [])
        .property(
            "updated",
            updated.description(Some("Live records, in the order of their changes.")),
        )
        .property(
            "deletedIds",
            deleted.description(Some("The keys of deleted records.")),
        );
    all_required(members.build())
}

fn register_changes<E: ApiEntity>(schemas: &mut Named) {
    add::<RecordDto<E>>(schemas);
    add::<schema::Key>(schemas);
}

fn edits<E: ApiEntity>() -> RefOr<Schema> {
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
                reference::<Pushed<E>>().into(),
            ),
        )
        .property(
            "deleted",
            list("Deleted records.", reference::<Deleted<E>>().into()),
        )
        .into()
}

fn register_edits<E: ApiEntity>(schemas: &mut Named) {
    add::<Pushed<E>>(schemas);
    add::<Deleted<E>>(schemas);
}

/// A record of any type as it is stored (W4).
#[derive(Debug)]
pub(crate) struct StoredRecord;

impl OfEachType for StoredRecord {
    fn member<E: ApiEntity>(schemas: &mut Named) -> RefOr<Schema> {
        add::<Stored<E>>(schemas).into()
    }
}

impl PartialSchema for StoredRecord {
    fn schema() -> RefOr<Schema> {
        // Tombstones of different types look alike.
        let types = of_each_type::<Self>(&mut Named::new()).into_iter();
        types
            .fold(AnyOfBuilder::new(), |any, (_, schema)| any.item(schema))
            .description(Some(
                "A record of any type, or what is left of it where it was deleted.",
            ))
            .into()
    }
}

impl ToSchema for StoredRecord {
    fn schemas(schemas: &mut Named) {
        of_each_type::<Self>(schemas);
    }
}

/// The same object, in which what is a [`StoredRecord`] is one of this type.
pub(crate) fn of_type<E: ApiEntity>(schema: RefOr<Schema>) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut object)) = schema else {
        return schema;
    };
    let any = reference::<StoredRecord>().ref_location;
    for member in object.properties.values_mut() {
        if let RefOr::Ref(one) = member
            && one.ref_location == any
        {
            one.ref_location = reference::<Stored<E>>().ref_location;
        }
    }
    object.into()
}

/// The same object, with the fields of a record of this type, and its key under the name that it has elsewhere.
pub(crate) fn with_content<E: ApiEntity>(schema: RefOr<Schema>) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut object)) = schema else {
        return schema;
    };
    let fields = E::members().into_iter();
    for field in fields.chain([Member::of::<E::Key>(E::FOREIGN_KEY, "")]) {
        object.properties.insert(field.name.to_owned(), field.schema);
    }
    all_required(object)
}

/// An object whose members are never left out.
fn all_required(mut object: Object) -> RefOr<Schema> {
    object.required = object.properties.keys().cloned().collect();
    object.into()
}
