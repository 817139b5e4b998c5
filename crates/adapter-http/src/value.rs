//! The values of fields and parameters: what a client sends for each kind, how that is read, and what the document says of it.
//! How a value is shown, the domain says.

use mosaic_domain::activity::ActivityKind;
use mosaic_domain::entity::{
    Diary, FileSize, Filename, GenerationSource, KeptObject, MimeType, MoodKey, MoodScore, Sha256,
    StorageType, Variant,
};
use mosaic_domain::text::{DisplayName, LongText, ModelName, PictureAddress, ShortText, Tags};
use mosaic_domain::{
    ActivityId, AvatarId, BotId, ClientId, DiaryDate, EditTime, InviteId, MemoId, ResourceId, RevisionId,
    UnixMillis, UploadId, UserId, Violation,
};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};

use crate::field::{Check, Field, FieldValue, Int, from_text, ids, in_range, sort_order};
use crate::names::{ActivityName, MoodName, SourceName, StorageName, VariantName};
use crate::schema;

/// A value that a field or a parameter may have.
pub(crate) trait Value: Sized {
    /// What a client sends.
    type Sent: FieldValue;
    /// What it looks like.
    type Schema: ToSchema;

    /// Reads what was sent.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(sent: Self::Sent) -> Result<Self, Violation>;

    /// Reads a field that may be left out: of a value that may be missing, `null` clears it.
    fn read_field(path: &str, field: Field<Self::Sent>, check: &mut Check) -> Option<Self> {
        check.optional(path, field, Self::read)
    }

    /// What the document says where such a value stands.
    fn described(description: Option<&str>) -> RefOr<Schema> {
        Ref::builder()
            .ref_location_from_schema_name(Self::Schema::name())
            .description(description)
            .into()
    }

    /// Adds the schemas that this refers to.
    fn register(schemas: &mut schema::Named) {
        schema::add::<Self::Schema>(schemas);
    }
}

impl<T: Value> Value for Option<T> {
    type Sent = T::Sent;
    type Schema = T::Schema;

    fn read(sent: T::Sent) -> Result<Self, Violation> {
        T::read(sent).map(Some)
    }

    fn read_field(path: &str, field: Field<T::Sent>, check: &mut Check) -> Option<Self> {
        check.nullable(path, field, T::read)
    }

    fn described(description: Option<&str>) -> RefOr<Schema> {
        let null = ObjectBuilder::new().schema_type(Type::Null);
        OneOfBuilder::new()
            .item(T::described(description))
            .item(null)
            .into()
    }

    fn register(schemas: &mut schema::Named) {
        T::register(schemas);
    }
}

impl Value for bool {
    type Sent = Self;
    type Schema = Self;

    fn read(sent: Self) -> Result<Self, Violation> {
        Ok(sent)
    }

    fn described(description: Option<&str>) -> RefOr<Schema> {
        let object = ObjectBuilder::new().schema_type(Type::Boolean);
        object.description(description).into()
    }

    fn register(_: &mut schema::Named) {}
}

macro_rules! values {
    ($($value:ty: $sent:ty as $schema:ty, $given:pat => $read:expr;)*) => {$(
        impl Value for $value {
            type Sent = $sent;
            type Schema = $schema;

            fn read($given: $sent) -> Result<Self, Violation> {
                $read
            }
        }
    )*};
}

values! {
    LongText: String as schema::LongText, text => Self::new(text);
    ShortText: String as schema::ShortText, text => Self::new(text);
    DisplayName: String as schema::DisplayName, text => Self::new(text);
    PictureAddress: String as schema::PictureAddress, text => Self::new(text);
    ModelName: String as schema::ModelName, text => Self::new(text);
    Filename: String as schema::Filename, text => Self::new(text);
    MimeType: String as schema::MimeType, text => Self::new(&text);
    Sha256: String as schema::Sha256, text => from_text(text);
    MoodKey: String as MoodName, text => from_text(text);
    GenerationSource: String as SourceName, text => from_text(text);
    StorageType: String as StorageName, text => from_text(text);
    Variant: String as VariantName, text => from_text(text);
    MemoId: String as schema::Id, text => from_text(text);
    ResourceId: String as schema::Id, text => from_text(text);
    BotId: String as schema::Id, text => from_text(text);
    UserId: String as schema::Id, text => from_text(text);
    UploadId: String as schema::Id, text => from_text(text);
    AvatarId: String as schema::Id, text => from_text(text);
    InviteId: String as schema::Id, text => from_text(text);
    ActivityId: String as schema::Id, text => from_text(text);
    ActivityKind: String as ActivityName, text => from_text(text);
    RevisionId: String as schema::Id, text => from_text(text);
    ClientId: String as schema::ClientId, text => from_text(text);
    DiaryDate: String as schema::Day, text => from_text(text);
    Tags: Vec<String> as schema::Tags, texts => Self::new(texts);
    // A summary may name a memo twice, a memo names each of its resources once.
    Vec<MemoId>: Vec<String> as schema::SourceIds, texts => Diary::parse_sources(&texts);
    Vec<ResourceId>: Vec<String> as schema::Ids, texts => ids(&texts);
    MoodScore: Int as schema::MoodScore, Int(score) => Self::new(score);
    FileSize: Int as schema::Count, Int(bytes) => Self::new(bytes);
    UnixMillis: Int as schema::UnixMs, Int(ms) => Self::new(ms);
    EditTime: Int as schema::UnixMs, Int(ms) => Self::new(ms);
    // No field is a plain number but the place among siblings, and no parameter but the number of a revision.
    i64: Int as schema::SortOrder, place => sort_order(place);
    u32: Int as schema::RevisionNumber, number => in_range(number, 0, Self::MAX);
    KeptObject: KeptObject as schema::KeptObject, object => Ok(object);
}
