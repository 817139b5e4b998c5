//! What the columns of rows mean: written once for every store that keeps a record as a document with its facets
//! beside it, and what belongs to accounts and attachments in columns ([`Columns`] reads them). The SQL, and how a driver gives a
//! column, are the store's own.
//!
//! A value that no version would have written is told with its column, never with its content ([`CorruptColumn`]). A
//! document that this version can't read is no error: it concerns its record alone (P8).

mod activity;
mod attachments;
mod documents;
mod invites;

use std::str::FromStr;

use mosaic_domain::account::{Account, PasswordHash, User};
use mosaic_domain::entity::Sha256;
use mosaic_domain::lease::Lease;
use mosaic_domain::login::{
    FoundLogin, KeptLogin, LoginAccount, LoginAge, NewRefreshToken, StoredRefreshToken, TokenHash, TokenSeed,
};
use mosaic_domain::text::Label;
use mosaic_domain::{
    ClientId, Content, EditTime, EntityType, FamilyId, MemoId, Quota, Record, RecordKey, Revision,
    RevisionId, Stamp, State, UnixMillis, UserId, Version, Violation,
};
use uuid::Uuid;

use crate::error::{BoxError, StoreError};
use crate::logins::DeviceLogin;
use crate::store::KeptRevision;
use crate::transfer::EarlierToken;

pub use activity::{ACTIVITY_COLUMNS, activity, kind_names};
pub use documents::{PULLED_WIDTH, pulled, stored};
pub use invites::{INVITE_COLUMNS, INVITE_WIDTH, invite};

pub use attachments::{
    AVATAR_COLUMNS, CONTENT_COLUMNS, PART_COLUMNS, UPLOAD_COLUMNS, VARIANT_COLUMNS, avatar, content, part,
    upload, variant,
};

/// The names of some types, as a list in a statement. No type is `NULL`, since a list can't be empty everywhere.
pub fn type_names(types: impl IntoIterator<Item = EntityType>) -> String {
    let quoted: Vec<_> = types.into_iter().map(|entity| format!("'{entity}'")).collect();
    if quoted.is_empty() {
        "NULL".to_owned()
    } else {
        quoted.join(", ")
    }
}

/// A column that holds what no version wrote.
#[derive(Debug, thiserror::Error)]
#[error("the store holds a corrupt {what}")]
pub struct CorruptColumn {
    /// The column.
    pub what: &'static str,
    /// Why it can't be read; never its content.
    #[source]
    pub source: BoxError,
}

impl CorruptColumn {
    /// A column that can't be read.
    pub fn new(what: &'static str, source: impl Into<BoxError>) -> Self {
        Self {
            what,
            source: source.into(),
        }
    }
}

impl From<CorruptColumn> for StoreError {
    fn from(CorruptColumn { what, source }: CorruptColumn) -> Self {
        Self::Corrupt { what, source }
    }
}

/// A row as a driver gives it: columns by their place, `None` for NULL. `what` names the column in errors.
#[expect(
    missing_docs,
    reason = "each reads a column of the kind that it is named after"
)]
#[expect(
    clippy::missing_errors_doc,
    reason = "all fail where the column is of another kind"
)]
pub trait Columns {
    /// What reading fails with.
    type Error: From<CorruptColumn>;

    fn integer(&self, at: usize, what: &'static str) -> Result<Option<i64>, Self::Error>;
    fn boolean(&self, at: usize, what: &'static str) -> Result<Option<bool>, Self::Error>;
    fn text(&self, at: usize, what: &'static str) -> Result<Option<&str>, Self::Error>;
    fn bytes(&self, at: usize, what: &'static str) -> Result<Option<&[u8]>, Self::Error>;
    fn uuid(&self, at: usize, what: &'static str) -> Result<Option<Uuid>, Self::Error>;

    /// The document of a record or revision.
    fn document(&self, at: usize, what: &'static str) -> Result<Option<&[u8]>, Self::Error>;
}

/// What is in a column that is never NULL.
///
/// # Errors
/// It is NULL.
pub fn some<T, E: From<CorruptColumn>>(value: Option<T>, what: &'static str) -> Result<T, E> {
    value.ok_or_else(|| CorruptColumn::new(what, "it is NULL").into())
}

fn valid<T, E: From<CorruptColumn>>(
    value: Result<T, impl Into<BoxError>>,
    what: &'static str,
) -> Result<T, E> {
    value.map_err(|error| CorruptColumn::new(what, error).into())
}

/// Reads an integer that must be in some range.
///
/// # Errors
/// It is not, or the column can't be read. So for all that follow.
pub fn checked<C: Columns, T>(
    row: &C,
    at: usize,
    what: &'static str,
    check: impl Fn(i64) -> Result<T, Violation>,
) -> Result<T, C::Error> {
    valid(check(some(row.integer(at, what)?, what)?), what)
}

/// Reads a text that means something.
///
/// # Errors
/// As [`checked`].
pub fn parsed<C: Columns, T>(row: &C, at: usize, what: &'static str) -> Result<T, C::Error>
where
    T: FromStr<Err: Into<BoxError>>,
{
    valid(some(row.text(at, what)?, what)?.parse::<T>(), what)
}

/// Reads a text that may be NULL.
///
/// # Errors
/// As [`checked`].
pub fn optional<C: Columns, T>(
    row: &C,
    at: usize,
    what: &'static str,
    parse: impl Fn(String) -> Result<T, Violation>,
) -> Result<Option<T>, C::Error> {
    let text = row.text(at, what)?.map(str::to_owned);
    valid(text.map(parse).transpose(), what)
}

/// Reads a number of rows, or how often something happened.
///
/// # Errors
/// As [`checked`].
pub fn count<C: Columns>(row: &C, at: usize, what: &'static str) -> Result<u32, C::Error> {
    valid(u32::try_from(some(row.integer(at, what)?, what)?), what)
}

/// Reads a number of bytes.
///
/// # Errors
/// As [`checked`].
pub fn size<C: Columns>(row: &C, at: usize, what: &'static str) -> Result<u64, C::Error> {
    valid(u64::try_from(some(row.integer(at, what)?, what)?), what)
}

/// A number of bytes as databases keep it. There is nothing as long as the greatest one.
pub fn stored_size(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Reads a hash.
///
/// # Errors
/// As [`checked`].
pub fn sha256<C: Columns>(row: &C, at: usize, what: &'static str) -> Result<Sha256, C::Error> {
    Ok(Sha256::from_bytes(hash(row, at, what)?))
}

fn hash<C: Columns>(row: &C, at: usize, what: &'static str) -> Result<[u8; 32], C::Error> {
    valid(some(row.bytes(at, what)?, what)?.try_into(), what)
}

fn id<C: Columns>(row: &C, at: usize, what: &'static str) -> Result<Uuid, C::Error> {
    some(row.uuid(at, what)?, what)
}

fn flag<C: Columns>(row: &C, at: usize, what: &'static str) -> Result<bool, C::Error> {
    some(row.boolean(at, what)?, what)
}

fn time<C: Columns>(row: &C, at: usize, what: &'static str) -> Result<UnixMillis, C::Error> {
    checked(row, at, what, UnixMillis::new)
}

/// Reads the key of a record of a known type.
///
/// # Errors
/// As [`checked`].
pub fn key<C: Columns>(row: &C, at: usize, entity_type: EntityType) -> Result<RecordKey, C::Error> {
    let what = "record_key";
    valid(entity_type.parse_key(some(row.text(at, what)?, what)?), what)
}

fn version<C: Columns>(row: &C, at: usize) -> Result<Version, C::Error> {
    Ok(Version::new(
        checked(row, at, "edit_time", EditTime::new)?,
        parsed::<_, ClientId>(row, at + 1, "author")?,
    ))
}

/// What stands beside a document, as far as that can be read: the memo that the record belongs to, and the content of
/// the attachment that it names.
fn beside<C: Columns>(row: &C, parent: Option<usize>, attachment: usize) -> (Option<MemoId>, Option<Sha256>) {
    let parent = parent.and_then(|at| row.text(at, "parent_key").ok()??.parse().ok());
    (parent, sha256(row, attachment, "attachment").ok())
}

/// How many columns [`record`] reads.
pub const RECORD_WIDTH: usize = 10;

/// Reads a record of a known type from the columns that begin at a place: key, stamp, edit time, author, creation
/// time, number of revisions, whether it is deleted, parent, attachment, document.
///
/// # Errors
/// As [`checked`].
pub fn record<C: Columns>(row: &C, at: usize, entity_type: EntityType) -> Result<Record, C::Error> {
    let document = row.document(at + 9, "document")?;
    let content = |document| entity_type.stored_content(document, || beside(row, Some(at + 7), at + 8));
    let state = if flag(row, at + 6, "records.is_deleted")? {
        State::Deleted(document.map(content))
    } else {
        State::Live(content(document.unwrap_or_default()))
    };
    Ok(Record {
        key: key(row, at, entity_type)?,
        stamp: checked(row, at + 1, "records.stamp", Stamp::new)?,
        version: version(row, at + 2)?,
        created_at: time(row, at + 4, "records.created_at")?,
        revision_count: count(row, at + 5, "records.revision_count")?,
        state,
    })
}

/// How many columns [`revision`] reads.
pub const REVISION_WIDTH: usize = 10;

/// Reads a revision of a record of a known type from the columns that begin at a place: key, id, edit time, author,
/// creation time, reason, when it was recorded, number, attachment, document.
///
/// # Errors
/// As [`checked`].
pub fn revision<C: Columns>(row: &C, at: usize, entity_type: EntityType) -> Result<KeptRevision, C::Error> {
    let document = some(row.document(at + 9, "document")?, "revisions.document")?;
    let content: Content = entity_type.stored_content(document, || beside(row, None, at + 8));
    let revision = Revision {
        id: RevisionId::new(id(row, at + 1, "revisions.revision_id")?),
        key: key(row, at, entity_type)?,
        version: version(row, at + 2)?,
        created_at: time(row, at + 4, "revisions.created_at")?,
        content,
        reason: parsed(row, at + 5, "revisions.reason")?,
        recorded_at: time(row, at + 6, "revisions.recorded_at")?,
    };
    Ok(KeptRevision {
        number: count(row, at + 7, "revisions.revision_number")?,
        revision,
    })
}

/// The columns that [`user`] and [`account`] read, in their order.
pub const ACCOUNT_COLUMNS: &str = "user_id, username, avatar_url, role, must_change_password, is_disabled, \
     created_at, updated_at, time_zone, quota_bytes, password_hash";

/// How many they are.
pub const ACCOUNT_WIDTH: usize = 11;

/// Reads a user from the first columns of a row.
///
/// # Errors
/// As [`checked`].
pub fn user<C: Columns>(row: &C) -> Result<User, C::Error> {
    Ok(User {
        id: UserId::new(id(row, 0, "users.user_id")?),
        username: parsed(row, 1, "users.username")?,
        avatar_url: optional(row, 2, "users.avatar_url", Label::new)?,
        role: parsed(row, 3, "users.role")?,
        must_change_password: flag(row, 4, "users.must_change_password")?,
        disabled: flag(row, 5, "users.is_disabled")?,
        created_at: time(row, 6, "users.created_at")?,
        updated_at: time(row, 7, "users.updated_at")?,
        // A zone that only the database of a later version knows must not lock its user out.
        time_zone: row.text(8, "users.time_zone")?.and_then(|name| name.parse().ok()),
        quota: quota(row, 9)?,
    })
}

/// Reads what a user may store.
///
/// # Errors
/// As [`checked`].
pub fn quota<C: Columns>(row: &C, at: usize) -> Result<Quota, C::Error> {
    Ok(Quota::of_stored(row.integer(at, "users.quota_bytes")?))
}

/// Reads an account from the first columns of a row.
///
/// # Errors
/// As [`checked`].
pub fn account<C: Columns>(row: &C) -> Result<Account, C::Error> {
    let what = "users.password_hash";
    Ok(Account {
        user: user(row)?,
        password: PasswordHash::new(some(row.text(10, what)?, what)?.to_owned()),
    })
}

/// The columns that [`login`] reads, in its order, of a table called `l`.
pub const LOGIN_COLUMNS: &str = "l.user_id, l.login_id, l.client_id, l.device_name, l.key_hash, l.token_hash, l.seed, \
     l.issued_at, l.expires_at, l.spent_hash";

/// How many they are.
pub const LOGIN_WIDTH: usize = 10;

/// Reads a login.
///
/// # Errors
/// As [`checked`].
pub fn login<C: Columns>(row: &C) -> Result<KeptLogin, C::Error> {
    let what = "logins.spent_hash";
    let spent = row.bytes(9, what)?.map(<[u8; 32]>::try_from);
    Ok(KeptLogin {
        stored: StoredRefreshToken {
            token: NewRefreshToken {
                key: TokenHash(hash(row, 4, "logins.key_hash")?),
                hash: TokenHash(hash(row, 5, "logins.token_hash")?),
                seed: TokenSeed(hash(row, 6, "logins.seed")?),
                issued_at: time(row, 7, "logins.issued_at")?,
                expires_at: time(row, 8, "logins.expires_at")?,
            },
            user: UserId::new(id(row, 0, "logins.user_id")?),
            family: FamilyId::new(id(row, 1, "logins.login_id")?),
            client: optional(row, 2, "logins.client_id", ClientId::try_from)?,
            device_name: optional(row, 3, "logins.device_name", Label::new)?,
        },
        spent: valid(spent.transpose(), what)?.map(TokenHash),
    })
}

/// Reads a login, and whether its account is closed from the column behind it.
///
/// # Errors
/// As [`checked`].
pub fn found_login<C: Columns>(row: &C) -> Result<FoundLogin, C::Error> {
    Ok(FoundLogin {
        kept: login(row)?,
        disabled: flag(row, LOGIN_WIDTH, "users.is_disabled")?,
    })
}

/// Reads how old a login is: its id, when its token was given out, when that expires.
///
/// # Errors
/// As [`checked`].
pub fn login_age<C: Columns>(row: &C) -> Result<LoginAge, C::Error> {
    Ok(LoginAge {
        family: FamilyId::new(id(row, 0, "logins.login_id")?),
        issued_at: time(row, 1, "logins.issued_at")?,
        expires_at: time(row, 2, "logins.expires_at")?,
    })
}

/// Reads the login of a device: the device, its name, when the token was given out.
///
/// # Errors
/// As [`checked`].
pub fn device_login<C: Columns>(row: &C) -> Result<DeviceLogin, C::Error> {
    Ok(DeviceLogin {
        client: parsed(row, 0, "logins.client_id")?,
        device_name: optional(row, 1, "logins.device_name", Label::new)?,
        issued_at: time(row, 2, "logins.issued_at")?,
    })
}

/// Reads a token of a version before: its hash, its login, when it expires.
///
/// # Errors
/// As [`checked`].
pub fn earlier_token<C: Columns>(row: &C) -> Result<EarlierToken, C::Error> {
    Ok(EarlierToken {
        hash: TokenHash(hash(row, 0, "earlier_tokens.token_hash")?),
        family: FamilyId::new(id(row, 1, "earlier_tokens.login_id")?),
        expires_at: time(row, 2, "earlier_tokens.expires_at")?,
    })
}

/// How many columns [`login_account`] reads.
pub const LOGIN_ACCOUNT_WIDTH: usize = 2;

/// Reads the account of a login from the columns that begin at a place: whether it is closed, and whether its
/// password must be changed. NULL: there is no such login.
///
/// # Errors
/// As [`checked`].
pub fn login_account<C: Columns>(row: &C, at: usize) -> Result<Option<LoginAccount>, C::Error> {
    let disabled = row.boolean(at, "users.is_disabled")?;
    let must_change_password = row.boolean(at + 1, "users.must_change_password")?;
    let account = |(disabled, must_change_password)| LoginAccount {
        disabled,
        must_change_password,
    };
    Ok(disabled.zip(must_change_password).map(account))
}

/// Reads the lease of a job: its holder, until when it is held, when the job was done.
///
/// # Errors
/// As [`checked`].
pub fn lease<C: Columns>(row: &C) -> Result<Lease, C::Error> {
    let time = |at, what| -> Result<_, C::Error> {
        valid(row.integer(at, what)?.map(UnixMillis::new).transpose(), what)
    };
    let until = time(1, "jobs.held_until")?;
    Ok(Lease {
        held: row.uuid(0, "jobs.holder")?.zip(until),
        done_at: time(2, "jobs.done_at")?,
    })
}
