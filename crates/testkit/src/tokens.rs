//! Refresh tokens by number: token `n` has the hash `[n; 32]`, and the key of the first token of its login.

use mosaic_domain::FamilyId;
use mosaic_domain::UserId;
use mosaic_domain::login::{
    IssueOutcome, NewRefreshToken, PresentedToken, Rotation, StoredRefreshToken, TokenHash, TokenSeed,
};
use mosaic_domain::text::Label;

use crate::edits::by;
use crate::harness::{Harness, at};

/// How long tokens by number live, in milliseconds.
const LIFE_MS: i64 = 100;

impl Harness {
    /// How long a spent token by number is good again, in milliseconds.
    pub const GRACE_MS: i64 = 5;

    /// Token `n`, given out at a moment. As the first one of its login, unless it was got by [`Self::rotate`].
    pub fn token(&self, n: u8, issued_at: i64) -> NewRefreshToken {
        let PresentedToken { key, hash } = self.presented(n);
        NewRefreshToken {
            key,
            hash,
            seed: TokenSeed([n; 32]),
            issued_at: at(issued_at),
            expires_at: at(issued_at + LIFE_MS),
        }
    }

    /// Token `n` as a device presents it.
    pub fn presented(&self, n: u8) -> PresentedToken {
        let key = self.keys.lock().unwrap().get(&n).copied().unwrap_or(n);
        PresentedToken {
            key: TokenHash([key; 32]),
            hash: TokenHash([n; 32]),
        }
    }

    /// A login with token `n`, given out at a moment, of a device or none. It is not stored yet.
    pub fn login(&self, user: UserId, n: u8, client: Option<&str>, issued_at: i64) -> StoredRefreshToken {
        StoredRefreshToken {
            token: self.token(n, issued_at),
            user,
            family: FamilyId::new(self.new_id()),
            client: client.map(by),
            device_name: client.map(|client| Label::new(format!("the {client}")).unwrap()),
        }
    }

    /// Logs a phone in with token `n`, at 1,000.
    pub async fn log_in(&self, user: UserId, n: u8) -> StoredRefreshToken {
        self.log_in_as(user, n, Some("phone"), 1_000).await
    }

    /// Logs a device or none in with token `n`, at a moment.
    pub async fn log_in_as(
        &self,
        user: UserId,
        n: u8,
        client: Option<&str>,
        issued_at: i64,
    ) -> StoredRefreshToken {
        let stored = self.login(user, n, client, issued_at);
        let account = self.stores.accounts.by_id(user).await.unwrap().unwrap();
        let issued = self
            .stores
            .tokens
            .issue(stored.clone(), account.password)
            .await
            .unwrap();
        assert_eq!(issued, IssueOutcome::Issued(account.user));
        stored
    }

    /// Spends one token for another one of its login, at a moment.
    pub async fn rotate(&self, spent: u8, next: u8, now: i64) -> Rotation {
        let spent = self.presented(spent);
        self.keys.lock().unwrap().insert(next, spent.key.0[0]);
        let next = self.token(next, now);
        self.stores
            .tokens
            .rotate(spent, next, Self::GRACE_MS)
            .await
            .unwrap()
    }
}
