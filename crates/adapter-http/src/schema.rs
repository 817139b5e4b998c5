//! What values look like: a JSON Schema for each kind of value that goes over the wire, with the limits that the domain has.
//! A field or a parameter names one of these, so that the document can't be looser, or stricter, than the server.

use std::borrow::Cow;

use mosaic_domain::account::{Password as AnyPassword, Username as AnyUsername};
use mosaic_domain::entity::{
    Diary, Filename as AnyFilename, MimeType as AnyMimeType, MoodScore as AnyMoodScore,
};
use mosaic_domain::invite::InviteLifetime;
use mosaic_domain::query::PageNumber;
use mosaic_domain::search::SearchTerms;
use mosaic_domain::text::{self, Label, Tags as AnyTags, Text};
use mosaic_domain::{ClientId as AnyClientId, EntityType, MAX_SAFE_INTEGER, TimeZone as AnyTimeZone};
use serde_json::{Value, json};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::field::MOST_ITEMS;
use crate::names::{EntityName, PurposeName};

/// Any characters but U+0000.
const NO_NUL: &str = r"^[^\u0000]*$";
/// No control characters.
const ONE_LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// Neither control characters nor white space.
const ONE_WORD: &str = r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$";
/// Of what the profile UsernameCasePreserved refuses (RFC 8265), as much as an expression can say: the same, and nothing invisible.
const CHOSEN_NAME: &str = concat!(
    r"^[^\u0000-\u0020\u007f-\u00a0\u00ad\u034f\u115f\u1160\u1680\u180b-\u180f\u2000-\u200b\u200e\u200f\u2028-\u202f",
    r"\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ue000-\uf8ff]*$"
);
/// No control characters but those that count as a space.
const SEARCHED: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$";
/// A name, never a path, not even where the letters are left out that would mislead.
const FILE_NAME: &str = concat!(
    r"^(?!([\u00ad\u180e\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]*\.){1,2}",
    r"[\u00ad\u180e\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]*$)",
    r"[^/\\\u0000-\u001f\u007f-\u009f]*$"
);
/// Neither control characters nor quotation marks.
const FIELD_NAME: &str = r#"^[^"\u0000-\u001f\u007f-\u009f]*$"#;
/// `type/subtype`.
const MEDIA_TYPE: &str = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+/[A-Za-z0-9!#$%&'*+.^_`|~-]+$";
/// The same, with parameters. What stands before them is a type of at most 127 characters.
const DECLARED_TYPE: &str =
    r"^(?![^;]{128})[A-Za-z0-9!#$%&'*+.^_`|~-]{1,125}/[A-Za-z0-9!#$%&'*+.^_`|~-]{1,125}(;[^\u0000]*)?$";
/// Visible ASCII, with spaces in between: what every client can put into a header.
const IN_A_HEADER: &str = r"^[!-~]([ -~]*[!-~])?$";
/// 20 or 32 bytes in base64.
const CHECKSUM: &str =
    "^(sha1 [A-Za-z0-9+/]{26}[AEIMQUYcgkosw048]=?|sha256 [A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=?)$";
/// Any year but 0000, which the format would take.
const FROM_YEAR_ONE: &str = r"^(?!0000)\d{4}-\d{2}-\d{2}$";

/// A text of the domain.
trait Bounded {
    fn shape() -> ObjectBuilder;
}

impl<const MAX_BYTES: usize> Bounded for Text<MAX_BYTES> {
    fn shape() -> ObjectBuilder {
        string().max_length(Some(MAX_BYTES)).pattern(Some(NO_NUL))
    }
}

impl<const MAX_CHARS: usize> Bounded for Label<MAX_CHARS> {
    fn shape() -> ObjectBuilder {
        chars(1, MAX_CHARS).pattern(Some(ONE_LINE))
    }
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn chars(min: usize, max: usize) -> ObjectBuilder {
    string().min_length(Some(min)).max_length(Some(max))
}

fn formatted(format: KnownFormat) -> ObjectBuilder {
    string().format(Some(SchemaFormat::KnownFormat(format)))
}

/// A whole number within limits.
pub(crate) fn integer(min: i64, max: i64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(min))
        .maximum(Some(max))
}

fn always(value: bool) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([value]))
}

fn list_of<T: ToSchema>(max: usize) -> ArrayBuilder {
    ArrayBuilder::new().items(reference::<T>()).max_items(Some(max))
}

/// Schemas with their names.
pub(crate) type Named = Vec<(String, RefOr<Schema>)>;

/// A reference to a schema, which is added to these together with all that it refers to.
pub(crate) fn add<T: ToSchema>(schemas: &mut Named) -> Ref {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    reference::<T>()
}

/// A reference to a schema by its name.
pub(crate) fn reference<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

/// The same, or nothing: what a query or a form leaves empty counts as left out.
pub(crate) fn or_empty(schema: impl Into<RefOr<Schema>>) -> RefOr<Schema> {
    or_one_of([""], schema)
}

/// The same, or one of these texts.
pub(crate) fn or_one_of<const N: usize>(texts: [&str; N], schema: impl Into<RefOr<Schema>>) -> RefOr<Schema> {
    let texts = string().enum_values(Some(texts));
    AnyOfBuilder::new().item(schema).item(texts).into()
}

macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident $(of $item:ident)? = $schema:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }

            $(fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                schemas.push(($item::name().into_owned(), $item::schema()));
                // One that names itself is there already.
                if stringify!($name) != stringify!($item) {
                    $item::schemas(schemas);
                }
            })?
        }
    )*};
}

schemas! {
    /// A time, or a place in a user's history: Unix milliseconds that every JSON reader keeps exactly (S5).
    UnixMs = integer(0, MAX_SAFE_INTEGER).description(Some("Unix milliseconds"));
    /// What a live record says of itself, where it says so.
    NotDeleted = always(false).description(Some("Always false: deleted records are sent as ids"));
    /// What a tombstone says of itself.
    IsDeleted = always(true);
    /// A number of bytes, or of anything else that only counts up.
    Count = integer(0, MAX_SAFE_INTEGER);
    /// A place among siblings.
    SortOrder = integer(i32::MIN.into(), i32::MAX.into());
    /// How strong a mood is.
    MoodScore = integer(AnyMoodScore::MIN.into(), AnyMoodScore::MAX.into());
    /// The number of a page.
    Page = integer(1, u32::MAX.into()).default(Some(1.into()));
    /// How many records a page has.
    PageSize = integer(1, PageNumber::MAX_SIZE.into()).default(Some(PageNumber::DEFAULT_SIZE.into()));
    /// The number of a revision: they are counted from 1.
    RevisionNumber = integer(0, u32::MAX.into());

    /// Up to 1 MiB of UTF-8, without U+0000; may be empty.
    LongText = text::LongText::shape().description(Some("At most 1 MiB of UTF-8"));
    /// Up to 64 KiB of UTF-8, without U+0000; may be empty.
    ShortText = text::ShortText::shape().description(Some("At most 64 KiB of UTF-8"));
    /// What a person calls a bot or a device.
    DisplayName = text::DisplayName::shape();
    /// Where a picture is.
    PictureAddress = text::PictureAddress::shape();
    /// What a model is called.
    ModelName = text::ModelName::shape();
    /// A tag.
    Tag = text::Tag::shape();
    /// Tags in their order.
    Tags of Tag = list_of::<Tag>(AnyTags::MAX).unique_items(true).description(Some("In the order given, none twice"));
    /// What a person searches for.
    Search = string().max_length(Some(SearchTerms::MAX_CHARS)).pattern(Some(SEARCHED));

    /// The name of a device.
    ClientId = chars(1, AnyClientId::MAX_CHARS).pattern(Some(ONE_LINE));
    /// The name of a device as every client can put it into a header.
    ClientIdHeader = chars(1, AnyClientId::MAX_CHARS).pattern(Some(IN_A_HEADER));
    /// The name that somebody logs in with.
    Username = chars(1, AnyUsername::MAX_CHARS).pattern(Some(ONE_WORD))
        .description(Some("Without white space; unique whatever its letter case"));
    /// A name that is being given to an account.
    NewUsername = chars(1, AnyUsername::MAX_CHARS).pattern(Some(CHOSEN_NAME)).description(Some(
        "Letters, digits and the signs of ASCII, without white space, in one direction; unique whatever its letter case. The \
         profile UsernameCasePreserved of RFC 8265, of which the pattern says a part",
    ));
    /// What an account may store.
    Quota = string().pattern(Some("^(default|none|[0-9]{1,16}( ?([KMGTP]iB|B))?)$"));
    /// A time zone of the IANA database, like `Asia/Shanghai`.
    TimeZone = chars(1, AnyTimeZone::MAX_CHARS);
    /// A password that is being set.
    NewPassword = formatted(KnownFormat::Password).min_length(Some(AnyPassword::MIN_CHARS))
        .max_length(Some(AnyPassword::MAX_BYTES)).pattern(Some(ONE_LINE)).description(Some(
            "At most 1,024 bytes of UTF-8, without control characters and what has no meaning yet: the profile OpaqueString of RFC 8265",
        ));
    /// A password that somebody logs in with.
    GivenPassword = formatted(KnownFormat::Password).max_length(Some(AnyPassword::MAX_BYTES));
    /// Tags that a memo must have.
    SearchedTags of Tag = ArrayBuilder::new().items(or_empty(Tag::schema())).max_items(Some(AnyTags::MAX));
    /// The secret of an invite.
    InviteSecret = string().max_length(Some(REFRESH_TOKEN_CHARS));
    /// How long an invite works.
    InviteLifetimeMs = integer(InviteLifetime::MIN_MS, InviteLifetime::MAX_MS)
        .default(Some(InviteLifetime::DEFAULT.ms().into())).description(Some("Milliseconds: a minute to 90 days"));
    /// A refresh token.
    RefreshToken = string().max_length(Some(REFRESH_TOKEN_CHARS));

    /// A UUID with its hyphens.
    Id = formatted(KnownFormat::Uuid);
    /// Ids of sources: any number of times each.
    SourceIds of Id = list_of::<Id>(Diary::MAX_SOURCES);
    /// Ids, none of them twice.
    Ids of Id = list_of::<Id>(MOST_ITEMS).unique_items(true);
    /// A calendar day.
    Day = formatted(KnownFormat::Date).pattern(Some(FROM_YEAR_ONE)).description(Some("A day from 0001-01-01 on"));
    /// The entity types that a pull asks for.
    EntityNames of EntityName = list_of::<EntityName>(EntityType::ALL.len()).min_items(Some(1));

    /// The name of a file.
    Filename = chars(1, AnyFilename::MAX_CHARS).pattern(Some(FILE_NAME)).description(Some("A name, never a path"));
    /// What a file is.
    MimeType = string().max_length(Some(AnyMimeType::MAX_CHARS)).pattern(Some(MEDIA_TYPE));
    /// What a file is said to be: browsers add parameters.
    DeclaredType = string().max_length(Some(DECLARED_TYPE_CHARS)).pattern(Some(DECLARED_TYPE));
    /// What stands in the place of a record's key.
    Key = string().max_length(Some(AnyClientId::MAX_CHARS));
    /// A SHA-256.
    Sha256 = string().pattern(Some("^[0-9A-Fa-f]{64}$"));
    /// An id in a form.
    FilledId = or_empty(Id::schema());
    /// The name of a file in a form.
    FilledFilename = or_empty(Filename::schema());
    /// The name of a field of a form: it stands between quotation marks in the head of a part.
    FieldName = string().pattern(Some(FIELD_NAME));
    /// What a file is said to be in a form.
    FilledType = or_empty(DeclaredType::schema());
    /// A time in a form.
    FilledTime = or_empty(UnixMs::schema());
    /// Whose picture it is, in a form.
    FilledPurpose = or_empty(PurposeName::schema());
    /// What is ignored where it makes no sense: a header, or a ticket beside one.
    Unforced = string();
    /// The version of tus.
    TusVersion = string().enum_values(Some([TUS_VERSION]));
    /// That the length of an upload is told later.
    Deferred = string().enum_values(Some(["1"]));
    /// Pairs of a name and a text in base64.
    UploadMetadata = string().pattern(Some(IN_A_HEADER)).examples(["filename Zmlncy5qcGc=,filetype aW1hZ2UvanBlZw=="]);
    /// A checksum, with the name of its algorithm.
    UploadChecksum = string().pattern(Some(CHECKSUM)).examples(["sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk="]);
    /// The method that a `POST` stands for.
    MethodOverride = string().enum_values(Some(["PATCH", "HEAD", "DELETE"]));
    /// A JSON object that is kept as given.
    KeptObject of KeptValue = with_names(Type::Object).additional_properties(Some(reference::<KeptValue>()))
        .description(Some("Up to 16 KiB of JSON, 16 levels deep"));
    /// Some members of a record.
    SomeMembers of KeptValue = ObjectBuilder::new().schema_type(Type::Object)
        .additional_properties(Some(reference::<KeptValue>()));
    /// What may stand in such an object: anything, within its limits.
    // What has a type or `additionalProperties` generators take for an object, or for a choice that they can't read.
    KeptValue of KeptValue = AnyOfBuilder::new()
        .item(
            with_names(SchemaType::AnyValue)
                .pattern(Some(NO_NUL))
                .extensions(Some(keyword("unevaluatedProperties", json!(reference::<Self>())))),
        )
        .extensions(Some(keyword("items", json!(reference::<Self>()))));
}

/// The version of tus that is spoken here.
pub(crate) const TUS_VERSION: &str = "1.0.0";
/// The most characters that somebody may say a file's type in.
pub(crate) const DECLARED_TYPE_CHARS: usize = 255;
/// The most characters that are taken for a refresh token: those of the server are shorter.
pub(crate) const REFRESH_TOKEN_CHARS: usize = 1_024;

/// What may have members, whose names are without U+0000.
fn with_names(schema_type: impl Into<SchemaType>) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(schema_type)
        .property_names(Some(string().pattern(Some(NO_NUL))))
}

/// A keyword of JSON Schema that utoipa does not know. One for each schema: it keeps several in no order.
fn keyword(name: &str, value: Value) -> Extensions {
    Extensions::from_iter([(name, value)])
}
