//! What happened to accounts.

use futures_util::future::join_all;
use mosaic_domain::account::RemoveOutcome;
use mosaic_domain::activity::{
    Activity, ActivityKind, ActivityQuery, Doer, KEPT_OF_A_KIND, Note, Origin, SERVER,
};
use mosaic_domain::{ActivityId, ClientId, UserId};

use super::full_account::remove_all;
use crate::{Harness, at};

/// An event of that kind, which is newer than those before.
pub(super) fn event(h: &Harness, user: UserId, kind: ActivityKind, ms: i64) -> Activity {
    Activity {
        id: ActivityId::new(h.new_id()),
        user,
        kind,
        at: at(ms),
        by: Doer::User(user),
        origin: Origin::default(),
        detail: None,
    }
}

pub(super) async fn trail(h: &Harness, user: UserId) -> Vec<Activity> {
    let all = ActivityQuery::newest(u32::MAX);
    h.stores.activity.trail(user, all).await.unwrap()
}

async fn keep(h: &Harness, event: &Activity) {
    h.stores.activity.keep(event.clone()).await.unwrap();
}

/// Events come back as they were kept, the newest first, of each kind and whoever did it.
pub async fn what_happened_comes_back_as_it_was_kept(h: &Harness) {
    let user = h.user().await;
    let longest = ClientId::try_from("日".repeat(ClientId::MAX_CHARS)).unwrap();
    let mut kept = Vec::new();
    for (n, kind) in (0_u8..).zip(ActivityKind::ALL) {
        let doers = [Doer::User(user), Doer::CommandLine, Doer::Server, Doer::Stranger];
        let addresses = ["198.51.100.7", "2001:db8::7"].map(|address| Some(address.parse().unwrap()));
        let event = Activity {
            by: doers[usize::from(n % 4)],
            origin: Origin {
                address: [addresses[0], addresses[1], None][usize::from(n % 3)],
                client: (n > 0).then(|| longest.clone()),
                agent: Note::of(&"日".repeat(usize::from(n) * 10)),
            },
            detail: Note::of(&"x".repeat(usize::from(n) * 30)),
            ..event(h, user, *kind, 1_000 + i64::from(n))
        };
        keep(h, &event).await;
        keep(&h.elsewhere(), &event).await;
        kept.insert(0, event);
    }
    assert_eq!(trail(h, user).await, kept);
    assert_eq!(trail(&h.elsewhere(), user).await, kept);
    assert_eq!(trail(h, h.user().await).await, []);
}

/// A look may be at one kind, at what is recent, and at a few at a time.
pub async fn a_trail_is_looked_at_in_parts(h: &Harness) {
    let user = h.user().await;
    let kinds = [ActivityKind::LoggedIn, ActivityKind::LoginFailed];
    let mut kept = Vec::new();
    for n in 0..6 {
        let event = event(h, user, kinds[usize::from(n % 2 == 1)], n);
        keep(h, &event).await;
        kept.insert(0, event);
    }
    let look = async |query| h.stores.activity.trail(user, query).await.unwrap();
    let all = ActivityQuery::newest(10);
    let failed = ActivityQuery {
        kind: Some(ActivityKind::LoginFailed),
        ..all
    };
    assert_eq!(look(failed).await, [0, 2, 4].map(|n| kept[n].clone()));
    assert_eq!(look(ActivityQuery { since: at(3), ..all }).await, kept[..3]);
    assert_eq!(look(ActivityQuery::newest(2)).await, kept[..2]);
    let next = ActivityQuery {
        before: Some(kept[1].id),
        limit: 3,
        ..all
    };
    assert_eq!(look(next).await, kept[2..5]);
}

/// Whoever tries many passwords takes the place of earlier attempts at this account, and of nothing else.
pub async fn of_each_kind_the_newest_thousand_stay(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let attempt = |user, ms| event(h, user, ActivityKind::LoginFailed, ms);
    let login = event(h, user, ActivityKind::LoggedIn, 1);
    let others = attempt(other, 1);
    for event in [&login, &others] {
        keep(h, event).await;
    }
    let attempts: Vec<_> = (2..)
        .map(|ms| attempt(user, ms))
        .take(KEPT_OF_A_KIND as usize)
        .collect();
    let writer = &h.stores.dump_writer;
    writer.load_activity(user, attempts.clone()).await.unwrap();
    let most = KEPT_OF_A_KIND as usize + 1;
    assert_eq!(trail(h, user).await.len(), most);
    let newer: Vec<_> = (0..8).map(|n| attempt(user, 5_000 + n)).collect();
    join_all(newer.iter().map(|event| keep(h, event))).await;
    // Of those that come at once none may see the others: the next one does.
    let last = attempt(user, 6_000);
    keep(h, &last).await;
    let left = trail(h, user).await;
    assert_eq!(left.len(), most);
    assert_eq!(left.last(), Some(&login));
    assert!(newer.iter().chain([&last]).all(|event| left.contains(event)));
    assert!(!left.contains(&attempts[8]) && left.contains(&attempts[9]));
    assert_eq!(trail(h, other).await, [others]);
}

/// What is older than a moment goes, of this user alone.
pub async fn old_events_are_forgotten(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let of = |user| [1, 2, 3].map(|ms| event(h, user, ActivityKind::LoggedIn, ms));
    let trails = [user, other, SERVER].map(of);
    for event in trails.iter().flatten() {
        keep(h, event).await;
    }
    let forget = async |user| h.stores.activity.forget_before(user, at(3)).await.unwrap();
    assert_eq!((forget(user).await, forget(user).await), (2, 0));
    assert_eq!(trail(h, user).await, [trails[0][2].clone()]);
    assert_eq!(trail(h, other).await.len(), 3);
    assert_eq!(forget(SERVER).await, 2);
}

/// A stranger has no trail to fill, and what comes after a removal leaves nothing behind.
pub async fn only_accounts_and_the_server_have_a_trail(h: &Harness) {
    let nobody = UserId::new(h.new_id());
    keep(h, &event(h, nobody, ActivityKind::LoginFailed, 1)).await;
    assert_eq!(trail(h, nobody).await, []);
    let event = |user| event(h, user, ActivityKind::LoginFailed, 1);
    keep(h, &event(SERVER)).await;
    assert_eq!(trail(h, SERVER).await.len(), 1);
    for _ in 0..10 {
        let user = h.user().await;
        let events: Vec<_> = (0..20).map(|_| event(user)).collect();
        let keeping = join_all(events.iter().map(|event| keep(h, event)));
        let (removed, _) = tokio::join!(remove_all(h, user, 3), keeping);
        assert_eq!(removed, RemoveOutcome::Removed);
        assert_eq!(trail(h, user).await, []);
    }
    assert_eq!(trail(h, SERVER).await.len(), 1, "that of the server stays");
}

/// A trail is loaded into another store as it was, and again.
pub async fn a_trail_moves_with_its_account(h: &Harness) {
    let user = h.user().await;
    for (user, ms) in [(user, 1), (user, 2), (SERVER, 3)] {
        keep(h, &event(h, user, ActivityKind::LoggedIn, ms)).await;
    }
    let there = h.another_store().await;
    let dump = h.stores.dump_reader.dump_user(user).await.unwrap().unwrap();
    there.stores.dump_writer.load_user(dump).await.unwrap();
    for user in [user, SERVER] {
        let events = trail(h, user).await;
        for _ in 0..2 {
            let writer = &there.stores.dump_writer;
            writer.load_activity(user, events.clone()).await.unwrap();
            assert_eq!(trail(&there, user).await, events);
        }
    }
}
