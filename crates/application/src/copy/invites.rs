//! Invites: what is good in the target is good in the source, too.

use std::collections::BTreeMap;

use mosaic_domain::InviteId;
use mosaic_domain::invite::{Invite, InviteEnd};
use mosaic_domain::query::PageNumber;
use mosaic_ports::{StoreError, Stores};

use super::{Copy, CopyError};

/// How many are written at once.
const AT_ONCE: usize = 500;

impl Copy {
    /// Writes what [`Copy::other_invites`] says.
    pub(super) async fn copy_invites(&self) -> Result<(), CopyError> {
        for some in self.other_invites().await?.chunks(AT_ONCE) {
            self.to.dump_writer.load_invites(some.to_vec()).await?;
        }
        Ok(())
    }

    /// The invites that are otherwise in the target, as they are to be there. One that is over there stays so: it was used or
    /// taken back there since. One that is open there, and which the source has not any more, was over in the source.
    pub(super) async fn other_invites(&self) -> Result<Vec<Invite>, CopyError> {
        let (ours, theirs) = (by_id(&self.from).await?, by_id(&self.to).await?);
        let is_other = |invite: &&Invite| {
            let there = theirs.get(&invite.id);
            there.is_none_or(|there| there != *invite && there.end.is_none())
        };
        let is_gone = |invite: &&Invite| invite.end.is_none() && !ours.contains_key(&invite.id);
        let gone = theirs.values().filter(is_gone).map(|invite| Invite {
            end: Some(InviteEnd::Revoked { at: invite.made_at }),
            ..invite.clone()
        });
        Ok(ours.values().filter(is_other).cloned().chain(gone).collect())
    }
}

async fn by_id(store: &Stores) -> Result<BTreeMap<InviteId, Invite>, StoreError> {
    let found = store.invites.list(PageNumber::EVERYTHING).await?.items;
    Ok(found
        .into_iter()
        .map(|found| (found.invite.id, found.invite))
        .collect())
}
