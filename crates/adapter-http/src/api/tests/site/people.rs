//! Whom these tests know.

use mosaic_domain::account::PasswordHash;
use mosaic_domain::login::{NewRefreshToken, StoredRefreshToken, TokenHash, TokenSeed};
use mosaic_domain::{FamilyId, UserId};
use mosaic_ports::{Clock as _, MockPasswordHasher, MockRandomness};
use mosaic_testkit::ManualClock;
use uuid::Uuid;

pub(in super::super) fn user(number: u8) -> UserId {
    UserId::new(Uuid::from_u128(number.into()))
}

pub(super) fn password() -> PasswordHash {
    PasswordHash::new("$argon2id$".to_owned())
}

/// A login of a user: the one that the tests' tokens are of, or that of a device.
pub(in super::super) fn login(number: u8, client: Option<&str>) -> StoredRefreshToken {
    let id = if client.is_some() { number + 100 } else { number };
    let now = ManualClock::default().now();
    StoredRefreshToken {
        token: NewRefreshToken {
            key: TokenHash([id; 32]),
            hash: TokenHash([id + 10; 32]),
            seed: TokenSeed([3; 32]),
            issued_at: now,
            expires_at: now.plus(1_000_000_000),
        },
        user: user(number),
        family: FamilyId::new(Uuid::from_u128(id.into())),
        client: client.map(|name| name.parse().unwrap()),
        device_name: None,
    }
}

/// Each is another one.
pub(super) fn secrets() -> MockRandomness {
    let (mut randomness, mut given) = (MockRandomness::new(), 100);
    randomness.expect_secret().returning(move || {
        given += 1;
        [given; 32]
    });
    randomness
}

pub(super) fn no_password_is_right() -> MockPasswordHasher {
    let mut passwords = MockPasswordHasher::new();
    passwords.expect_verify().returning(|_, _| Ok(false));
    passwords.expect_hash().returning(|_| Ok(password()));
    passwords
}
