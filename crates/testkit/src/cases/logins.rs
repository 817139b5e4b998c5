//! Logins and their refresh tokens, and what they may do once they have ended.

use futures_util::future::join_all;
use mosaic_domain::UserId;
use mosaic_domain::account::{PasswordHash, UpdateOutcome};
use mosaic_domain::login::{
    IssueOutcome, KeptLogin, LOGINS_MAX, LoginRefusal, NewRefreshToken, PresentedToken, Rotation,
    StoredRefreshToken, TokenHash, TokenSeed,
};
use mosaic_ports::EarlierToken;

use super::accounts::{closed, new_password, password, update};
use crate::Harness;

async fn issue(h: &Harness, stored: StoredRefreshToken, proved_by: PasswordHash) -> IssueOutcome {
    h.stores.tokens.issue(stored, proved_by).await.unwrap()
}

fn reused(first: &StoredRefreshToken) -> Rotation {
    Rotation::Reused {
        user: first.user,
        family: first.family,
    }
}

/// A token is spent for the next one, which has the same user, family and device.
pub async fn a_token_is_spent_for_the_next_one(h: &Harness) {
    let first = h.log_in(h.user().await, 1).await;
    let next = |n, now| {
        Rotation::Rotated(StoredRefreshToken {
            token: h.token(n, now),
            ..first.clone()
        })
    };
    assert_eq!(h.rotate(1, 2, 1_010).await, next(2, 1_010));
    assert_eq!(h.rotate(2, 3, 1_020).await, next(3, 1_020));
    assert_eq!(h.rotate(99, 4, 1_030).await, Rotation::Refused);
}

/// A login may name no device.
pub async fn a_token_may_belong_to_no_device(h: &Harness) {
    h.log_in_as(h.user().await, 1, None, 1_000).await;
    let Rotation::Rotated(next) = h.rotate(1, 2, 1_010).await else {
        panic!("it was good")
    };
    assert_eq!((next.client, next.device_name), (None, None));
}

/// A token that was spent a moment ago answers what it was spent for once more, as often as it comes, on another instance too
/// and also where the clock stepped back meanwhile: an answer was lost, or two parts of an app came at once.
pub async fn l2_a_spent_token_answers_the_same_again_for_a_while(h: &Harness) {
    let first = h.log_in(h.user().await, 1).await;
    let Rotation::Rotated(second) = h.rotate(1, 2, 1_010).await else {
        panic!("it was good")
    };
    let again = Rotation::Again(second.clone());
    assert_eq!(h.rotate(1, 3, 1_010 + Harness::GRACE_MS).await, again);
    assert_eq!(h.elsewhere().rotate(1, 4, 1_012).await, again);
    assert_eq!(h.rotate(1, 5, 500).await, again);
    // None of the others was given out; what was, works.
    assert!(matches!(h.rotate(2, 6, 1_013).await, Rotation::Rotated(_)));
    assert_eq!(second.token.seed, TokenSeed([2; 32]));
    assert_eq!(second.family, first.family);
}

/// A token that is spent again after the grace, or after what it was spent for was used, ends its login, and no other.
pub async fn l2_a_token_that_is_used_again_ends_its_login(h: &Harness) {
    let user = h.user().await;
    let (late, followed) = (h.log_in(user, 1).await, h.log_in(user, 11).await);
    let other = h.log_in(user, 21).await;
    h.rotate(1, 2, 1_010).await;
    assert_eq!(h.rotate(1, 3, 1_011 + Harness::GRACE_MS).await, reused(&late));
    h.rotate(11, 12, 1_010).await;
    h.rotate(12, 13, 1_011).await;
    assert_eq!(h.rotate(11, 14, 1_012).await, reused(&followed));
    for ended in [1, 2, 3, 11, 12, 13, 14] {
        assert_eq!(h.rotate(ended, 99, 1_013).await, Rotation::Refused, "{ended}");
    }
    let Rotation::Rotated(next) = h.rotate(21, 22, 1_030).await else {
        panic!("the other login goes on")
    };
    assert_eq!(next.family, other.family);
    for (login, expected) in [
        (late, Err(LoginRefusal::Ended)),
        (followed, Err(LoginRefusal::Ended)),
        (other, Ok(())),
    ] {
        let standing = h.stores.tokens.standing(user, login.family).await.unwrap();
        assert_eq!(standing, expected);
    }
}

/// A token that was spent for another one long before is known as one of its login all the same.
pub async fn l2_a_token_that_was_spent_long_ago_ends_its_login(h: &Harness) {
    let first = h.log_in(h.user().await, 1).await;
    for n in 1..50 {
        let now = 1_000 + i64::from(n);
        assert!(matches!(h.rotate(n, n + 1, now).await, Rotation::Rotated(_)));
    }
    assert_eq!(h.rotate(7, 99, 1_050).await, reused(&first));
    assert_eq!(h.rotate(50, 99, 1_050).await, Rotation::Refused);
}

/// Who knows no key of a login can't end it: only its own tokens do.
pub async fn a_token_that_no_login_gave_out_ends_nothing(h: &Harness) {
    let user = h.user().await;
    h.log_in(user, 1).await;
    let forged = PresentedToken {
        key: TokenHash([98; 32]),
        hash: TokenHash([1; 32]),
    };
    let next = h.token(2, 1_010);
    let refused = h
        .stores
        .tokens
        .rotate(forged, next, Harness::GRACE_MS)
        .await
        .unwrap();
    assert_eq!(refused, Rotation::Refused);
    assert_eq!(h.stores.tokens.end_family(forged).await.unwrap(), None);
    assert!(matches!(h.rotate(1, 2, 1_010).await, Rotation::Rotated(_)));
}

/// Of two that spend one token at the same time, on two instances, both get the same next one.
pub async fn l2_two_that_spend_one_token_at_once_get_the_same(h: &Harness) {
    let user = h.user().await;
    for round in 0..10 {
        let (spent, next) = (round * 10 + 1, [round * 10 + 2, round * 10 + 3]);
        h.log_in(user, spent).await;
        let both = [(h.clone(), next[0]), (h.elsewhere(), next[1])]
            .map(|(h, next)| tokio::spawn(async move { h.rotate(spent, next, 1_010).await }));
        let outcomes: Vec<_> = join_all(both).await.into_iter().map(Result::unwrap).collect();
        let [one, other] = outcomes.as_slice() else {
            panic!("two")
        };
        let (Rotation::Rotated(given), Rotation::Again(again)) = (match (one, other) {
            (Rotation::Again(_), _) => (other, one),
            _ => (one, other),
        }) else {
            panic!("{outcomes:?}")
        };
        assert_eq!(given, again);
        let TokenHash([given, ..]) = given.token.hash;
        let next = h.rotate(given, round * 10 + 4, 1_020).await;
        assert!(matches!(next, Rotation::Rotated(_)), "{next:?}");
    }
}

/// However often a login is renewed, there is one of it, and of no token but the current one and the one before anything.
pub async fn l2_what_is_kept_does_not_grow_with_renewals(h: &Harness) {
    let user = h.user().await;
    let first = h.log_in(user, 1).await;
    for n in 1..40 {
        h.rotate(n, n + 1, 1_001).await;
        h.rotate(n, 99, 1_001).await;
    }
    let dump = h.stores.dump_reader.dump_user(user).await.unwrap().unwrap();
    let kept = KeptLogin {
        stored: StoredRefreshToken {
            token: h.token(40, 1_001),
            ..first
        },
        spent: Some(TokenHash([39; 32])),
    };
    assert_eq!((dump.logins, dump.earlier_tokens), (vec![kept], vec![]));
}

/// With one login more than a user may have, the one that was renewed longest ago ends, at once; nobody else's does.
pub async fn l4_a_user_has_only_so_many_logins(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    let bens = h.log_in(ben, 200).await;
    let most = u8::try_from(LOGINS_MAX).unwrap();
    let mut logins = Vec::new();
    for n in 0..most {
        logins.push(h.log_in_as(anna, n, None, 1_000 + i64::from(n % 50)).await);
    }
    h.rotate(0, 210, 1_060).await;
    for n in [201, 202] {
        logins.push(h.log_in_as(anna, n, Some("new"), 1_070).await);
    }
    let ended = [logins[50].family, logins[51].family];
    for login in logins {
        let standing = h.stores.tokens.standing(anna, login.family).await.unwrap();
        assert_eq!(standing.is_err(), ended.contains(&login.family), "{login:?}");
    }
    assert_eq!(h.stores.tokens.standing(ben, bens.family).await.unwrap(), Ok(()));
    let dump = h.stores.dump_reader.dump_user(anna).await.unwrap().unwrap();
    assert_eq!(dump.logins.len(), usize::from(most));
}

/// A token of a version before, which carries no key, goes on; a spent one of its login still ends it.
pub async fn l2_a_token_of_a_version_before_goes_on(h: &Harness) {
    let user = h.user().await;
    let earlier = |n: u8, login: &StoredRefreshToken| EarlierToken {
        hash: TokenHash([n; 32]),
        family: login.family,
        expires_at: login.token.expires_at,
    };
    for (n, again) in [(1, 101), (11, 2)] {
        let login = h.log_in(user, n).await;
        let mut dump = h.stores.dump_reader.dump_user(user).await.unwrap().unwrap();
        dump.earlier_tokens = vec![earlier(n, &login), earlier(100 + n, &login)];
        h.stores.dump_writer.load_user(dump).await.unwrap();
        let key = TokenHash([150 + n; 32]);
        let next = NewRefreshToken {
            key,
            ..h.token(2, 1_010)
        };
        let rotate = |spent: u8, next| {
            let spent = PresentedToken {
                key: TokenHash([spent; 32]),
                hash: TokenHash([spent; 32]),
            };
            h.stores.tokens.rotate(spent, next, Harness::GRACE_MS)
        };
        let rotated = rotate(n, next.clone()).await.unwrap();
        let Rotation::Rotated(second) = rotated else {
            panic!("{rotated:?}")
        };
        assert_eq!((second.family, &second.token), (login.family, &next));
        assert_eq!(
            rotate(n, h.token(3, 1_011)).await.unwrap(),
            Rotation::Again(second)
        );
        if again > 100 {
            // Spent before this version knew of it.
            assert_eq!(rotate(again, h.token(4, 1_012)).await.unwrap(), reused(&login));
            assert_eq!(rotate(n, h.token(4, 1_012)).await.unwrap(), Rotation::Refused);
        } else {
            let current = PresentedToken { key, hash: next.hash };
            let third = NewRefreshToken {
                key,
                ..h.token(5, 1_013)
            };
            let rotated = h
                .stores
                .tokens
                .rotate(current, third, Harness::GRACE_MS)
                .await
                .unwrap();
            assert!(matches!(rotated, Rotation::Rotated(_)), "{rotated:?}");
            assert_eq!(rotate(n, h.token(6, 1_014)).await.unwrap(), reused(&login));
        }
    }
}

/// A token works until the moment it expires.
pub async fn a_token_expires(h: &Harness) {
    let user = h.user().await;
    h.log_in(user, 1).await;
    h.log_in(user, 11).await;
    assert_eq!(h.rotate(1, 2, 1_100).await, Rotation::Refused);
    assert!(matches!(h.rotate(11, 12, 1_099).await, Rotation::Rotated(_)));
}

/// A token that was spent, and whose login has expired since, is refused like any that expired: nothing is left to
/// end, and nobody is told of a copy.
pub async fn l2_a_token_that_was_spent_and_has_expired_is_refused(h: &Harness) {
    h.log_in(h.user().await, 1).await;
    h.rotate(1, 2, 1_050).await;
    h.rotate(2, 3, 1_060).await;
    for spent in [1, 2, 3] {
        assert_eq!(h.rotate(spent, 4, 1_160).await, Rotation::Refused, "{spent}");
    }
}

/// A closed account's tokens don't work.
pub async fn a_closed_account_s_tokens_are_refused(h: &Harness) {
    let user = h.user().await;
    h.log_in(user, 1).await;
    update(h, user, closed(true)).await;
    assert_eq!(h.rotate(1, 2, 1_010).await, Rotation::Refused);
    assert_eq!(h.rotate(2, 3, 1_010).await, Rotation::Refused);
}

/// Logging out ends the family of the token, whichever of its tokens is named.
pub async fn logging_out_ends_a_family(h: &Harness) {
    let user = h.user().await;
    let (first, _other) = (h.log_in(user, 1).await, h.log_in(user, 11).await);
    h.rotate(1, 2, 1_010).await;
    let ended = h.stores.tokens.end_family(h.presented(2)).await.unwrap();
    assert_eq!(ended, Some((user, first.family)));
    assert_eq!(h.rotate(2, 3, 1_020).await, Rotation::Refused);
    assert!(matches!(h.rotate(11, 12, 1_020).await, Rotation::Rotated(_)));
    assert_eq!(h.stores.tokens.end_family(h.presented(99)).await.unwrap(), None);
}

/// A change that ends logins ends all of that account's, and nobody else's.
pub async fn a_change_can_end_every_login(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    for n in [1, 2] {
        h.log_in(anna, n).await;
    }
    h.log_in(ben, 3).await;
    update(h, anna, new_password()).await;
    assert_eq!(h.rotate(1, 11, 1_010).await, Rotation::Refused);
    assert_eq!(h.rotate(2, 12, 1_010).await, Rotation::Refused);
    assert!(matches!(h.rotate(3, 13, 1_010).await, Rotation::Rotated(_)));
}

/// A login that was proved by a password which has been changed since is none.
pub async fn a_token_is_not_issued_for_an_outdated_password(h: &Harness) {
    let user = h.user().await;
    let old = password(h, user).await;
    update(h, user, new_password()).await;
    let outcome = issue(h, h.login(user, 1, None, 1_000), old).await;
    assert_eq!(outcome, IssueOutcome::StaleCredential);
    assert_eq!(h.rotate(1, 2, 1_010).await, Rotation::Refused);
    h.log_in(user, 3).await;
    assert!(matches!(h.rotate(3, 4, 1_010).await, Rotation::Rotated(_)));
    let nobody = h.login(UserId::new(h.new_id()), 5, None, 1_000);
    let outcome = issue(h, nobody, password(h, user).await).await;
    assert_eq!(outcome, IssueOutcome::StaleCredential);
}

/// A closed account gets no token, also none for when it is opened again; that it is closed is said only of the right
/// password.
pub async fn a_token_is_not_issued_for_a_closed_account(h: &Harness) {
    let user = h.user().await;
    let known = password(h, user).await;
    update(h, user, closed(true)).await;
    let outcome = issue(h, h.login(user, 1, None, 1_000), known).await;
    assert_eq!(outcome, IssueOutcome::Closed);
    let outcome = issue(
        h,
        h.login(user, 2, None, 1_000),
        PasswordHash::new("other".into()),
    )
    .await;
    assert_eq!(outcome, IssueOutcome::StaleCredential);
    update(h, user, closed(false)).await;
    for n in [1, 2] {
        assert_eq!(h.rotate(n, 3, 1_010).await, Rotation::Refused);
    }
}

/// Of a login and a new password at the same time, the login comes first and ends, or comes too late.
pub async fn a_login_does_not_outlive_a_new_password(h: &Harness) {
    for n in 0..20 {
        let user = h.user().await;
        let old = password(h, user).await;
        let first = h.login(user, n, None, 1_000);
        let login = tokio::spawn({
            let h = h.clone();
            async move { issue(&h, first, old).await }
        });
        let change = tokio::spawn({
            let h = h.clone();
            async move { update(&h, user, new_password()).await }
        });
        login.await.unwrap();
        assert!(matches!(change.await.unwrap(), UpdateOutcome::Updated { .. }));
        assert_eq!(h.rotate(n, 100 + n, 1_010).await, Rotation::Refused);
    }
}
