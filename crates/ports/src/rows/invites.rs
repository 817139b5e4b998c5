//! What the columns of invites mean.

use mosaic_domain::invite::{FoundInvite, Invite, InviteEnd};
use mosaic_domain::login::TokenHash;
use mosaic_domain::{InviteId, Quota, UnixMillis, UserId};

use super::{Columns, flag, hash, id, parsed, time, valid};

/// The columns that [`invite`] reads, in its order, of a table called `i`. The last one is whether who made it administers the
/// server.
pub const INVITE_COLUMNS: &str = "i.invite_id, i.secret_hash, i.made_by, i.role, i.quota_bytes, i.made_at, \
     i.expires_at, i.used_by, i.ended_at, i.made_by IS NULL OR EXISTS ( \
         SELECT 1 FROM users AS u WHERE u.user_id = i.made_by AND u.role = 'admin' AND NOT u.is_disabled)";

/// How many they are.
pub const INVITE_WIDTH: usize = 10;

/// Reads an invite.
///
/// # Errors
/// As [`checked`](super::checked).
pub fn invite<C: Columns>(row: &C) -> Result<FoundInvite, C::Error> {
    let user = |at, what| -> Result<_, C::Error> { Ok(row.uuid(at, what)?.map(UserId::new)) };
    let ended_at = row.integer(8, "invites.ended_at")?.map(UnixMillis::new);
    let ended_at = valid(ended_at.transpose(), "invites.ended_at")?;
    Ok(FoundInvite {
        invite: Invite {
            id: InviteId::new(id(row, 0, "invites.invite_id")?),
            secret: TokenHash(hash(row, 1, "invites.secret_hash")?),
            made_by: user(2, "invites.made_by")?,
            role: parsed(row, 3, "invites.role")?,
            quota: Quota::of_stored(row.integer(4, "invites.quota_bytes")?),
            made_at: time(row, 5, "invites.made_at")?,
            expires_at: time(row, 6, "invites.expires_at")?,
            end: InviteEnd::of_stored(ended_at, user(7, "invites.used_by")?),
        },
        maker_administers: flag(row, 9, "users.role")?,
    })
}
