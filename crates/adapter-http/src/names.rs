//! The closed sets of names that fields may have, as the OpenAPI document describes them. The names come from the
//! domain.

use std::borrow::Cow;

use mosaic_domain::EntityType;
use mosaic_domain::account::Role;
use mosaic_domain::activity::{ActivityKind, Doer};
use mosaic_domain::entity::{GenerationSource, MoodKey, ResourceKind, StorageType, Variant};
use mosaic_domain::invite::FoundInvite;
use mosaic_domain::record::RevisionReason;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident as $wire:literal = $values:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some($values)).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($wire)
            }
        }
    )*};
}

names! {
    /// An entity type.
    EntityName as "EntityType" = EntityType::ALL.map(EntityType::name);
    /// The mood of a day.
    MoodName as "MoodKey" = MoodKey::NAMES.iter().copied();
    /// Who wrote a summary.
    SourceName as "GenerationSource" = GenerationSource::NAMES.iter().copied();
    /// Where the bytes of an attachment are.
    StorageName as "StorageType" = StorageType::NAMES.iter().copied();
    /// What an attachment is to a person.
    KindName as "ResourceType" = ResourceKind::NAMES.iter().copied();
    /// What a user may do.
    RoleName as "Role" = [Role::Admin, Role::User].map(Role::name);
    /// What became of an invite.
    InviteState as "InviteState" = FoundInvite::STATES;
    /// What happened to an account.
    ActivityName as "ActivityKind" = ActivityKind::ALL.iter().map(|kind| kind.name());
    /// Who did it.
    DoerName as "Doer" = Doer::NAMES.iter().copied();
    /// A smaller picture.
    VariantName as "Variant" = Variant::NAMES.iter().copied();
    /// What an event is called.
    NudgeName as "Nudge" = ["changed", "unchanged"];
    /// Whose picture it is.
    PurposeName as "AvatarPurpose" = ["user", "bot"];
    /// What a ticket is for.
    TicketName as "TicketPurpose" = ["events", "download", "avatar"];
    /// Why a version is not current.
    ReasonName as "RevisionReason" =
        [RevisionReason::Overwritten, RevisionReason::Superseded, RevisionReason::Deleted].map(RevisionReason::name);
}
