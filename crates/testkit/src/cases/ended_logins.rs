//! What logins may do once they have ended, and while a password must be changed (L1, L3).

use std::sync::{Arc, Mutex};

use mosaic_domain::account::{AccountChange, UpdateOutcome};
use mosaic_domain::login::{LoginRefusal, Rotation};
use mosaic_domain::pull::PullRequest;
use mosaic_domain::write::{Locked, WritePlan, WriteScope, decide};
use mosaic_domain::{FamilyId, Stamp, UserId};
use mosaic_ports::{CommitListener, WriteError};

use super::accounts::{closed, new_password, update};
use crate::{Device, Gate, Harness, by, memo, memo_key, put};

/// What a login asks for, by whichever instance.
struct Asked {
    written: Result<WritePlan, WriteError>,
    pulled: Result<(), LoginRefusal>,
    clock: Result<(), LoginRefusal>,
    standing: Result<(), LoginRefusal>,
}

impl Asked {
    async fn by(h: &Harness, user: UserId, login: FamilyId) -> Self {
        let device = Device::new("phone");
        let request = PullRequest {
            login: Some(login),
            ..device.request()
        };
        let pulled = h
            .stores
            .feed
            .snapshot(user, &request, device.limits())
            .await
            .unwrap();
        let clock = h.stores.feed.clock(user, Some(login)).await.unwrap();
        Self {
            written: write(h, user, login, 7).await,
            pulled: pulled.map(drop),
            clock: clock.map(drop),
            standing: h.stores.tokens.standing(user, login).await.unwrap(),
        }
    }

    #[track_caller]
    fn assert_refused(&self, expected: LoginRefusal) {
        let written = matches!(&self.written, Err(WriteError::Login(refusal)) if *refusal == expected);
        assert!(written, "{:?}", self.written);
        let read = [self.pulled, self.clock, self.standing];
        assert_eq!(read, [Err(expected); 3]);
    }

    #[track_caller]
    fn assert_granted(&self) {
        assert!(self.written.is_ok(), "{:?}", self.written);
        assert_eq!([self.pulled, self.clock, self.standing], [Ok(()); 3]);
    }
}

async fn write(h: &Harness, user: UserId, login: FamilyId, n: u64) -> Result<WritePlan, WriteError> {
    let edits = vec![put(memo_key(n), memo(&format!("words {}", h.new_id())))];
    let scope = WriteScope::of(user, &edits).by(Some(login));
    let decide = Arc::new(move |locked: &Locked| decide(locked, &edits));
    h.stores.write.write(scope, decide).await
}

/// Whatever ends a login, it may neither write nor pull nor anything else from then on, on any instance, whatever the clock
/// says; the logins of others may, and so may the server itself.
pub async fn l1_a_login_that_ended_may_do_nothing(h: &Harness) {
    let other = h.user().await;
    let others = h.log_in(other, 250).await;
    for n in 1..=7 {
        let user = h.user().await;
        let login = h.log_in(user, n).await.family;
        Asked::by(h, user, login).await.assert_granted();
        let ended = match n {
            1 => update(h, user, closed_for_good()).await,
            // Closed, and its logins left as they are: they don't count.
            2 => update(h, user, closed(true)).await,
            3 => update(h, user, new_password()).await,
            4 => {
                h.stores.tokens.end_client(user, &by("phone")).await.unwrap();
                continue_with(h, user).await
            }
            5 => {
                h.stores.tokens.end_family(h.presented(n)).await.unwrap();
                continue_with(h, user).await
            }
            6 => {
                h.rotate(n, 100, 1_010).await;
                assert!(matches!(h.rotate(n, 101, 1_090).await, Rotation::Reused { .. }));
                continue_with(h, user).await
            }
            _ => {
                h.stores.accounts.remove(user, 1_000, None).await.unwrap();
                UpdateOutcome::NotFound
            }
        };
        h.clock.set(1);
        for h in [h, &h.elsewhere()] {
            let asked = Asked::by(h, user, login).await;
            if ended == UpdateOutcome::NotFound {
                assert!(matches!(asked.written, Err(WriteError::UnknownUser)), "{n}");
                assert_eq!(
                    (asked.pulled, asked.standing),
                    (Err(LoginRefusal::Ended), Err(LoginRefusal::Ended))
                );
            } else {
                asked.assert_refused(LoginRefusal::Ended);
                h.write(user, [put(memo_key(8), memo("by the server itself"))])
                    .await;
            }
            Asked::by(h, other, others.family).await.assert_granted();
        }
        // A login of somebody else is none of this user.
        Asked::by(h, other, login)
            .await
            .assert_refused(LoginRefusal::Ended);
        if n == 1 {
            update(h, user, closed(false)).await;
            Asked::by(h, user, login)
                .await
                .assert_refused(LoginRefusal::Ended);
        }
    }
}

fn closed_for_good() -> AccountChange {
    AccountChange {
        end_logins: true,
        ..closed(true)
    }
}

/// Changes nothing.
async fn continue_with(h: &Harness, user: UserId) -> UpdateOutcome {
    update(h, user, AccountChange::default()).await
}

/// While the password must be changed a login may do nothing else, and goes on after that.
pub async fn l3_a_login_whose_password_must_be_changed_waits(h: &Harness) {
    let user = h.user().await;
    let login = h.log_in(user, 1).await.family;
    let must = |must_change_password| AccountChange {
        must_change_password: Some(must_change_password),
        ..AccountChange::default()
    };
    update(h, user, must(true)).await;
    for h in [h, &h.elsewhere()] {
        let asked = Asked::by(h, user, login).await;
        asked.assert_refused(LoginRefusal::PasswordChangeRequired);
    }
    assert!(matches!(h.rotate(1, 2, 1_010).await, Rotation::Rotated(_)));
    update(h, user, must(false)).await;
    Asked::by(h, user, login).await.assert_granted();
}

/// A write that waits for its turn while its login ends is refused, or was committed before the end was answered: nothing
/// comes after it.
pub async fn l1_a_login_that_ended_writes_nothing_from_then_on(h: &Harness) {
    for n in 0..8 {
        let user = h.user().await;
        let login = h.log_in(user, n).await.family;
        let gate = Gate::default();
        let first = tokio::spawn({
            let (h, door) = (h.clone(), gate.door());
            async move { h.write_through(door, user, [put(memo_key(1), memo("x"))]).await }
        });
        gate.reached().await;
        let waits = |h: Harness| tokio::spawn(async move { write(&h, user, login, 2).await });
        let before = waits(h.elsewhere());
        tokio::task::yield_now().await;
        let end = tokio::spawn({
            let h = h.clone();
            async move {
                if n % 2 == 0 {
                    update(&h, user, closed_for_good()).await;
                } else {
                    h.stores.tokens.end_family(h.presented(n)).await.unwrap();
                }
                h.stores.dump_reader.dump_user(user).await.unwrap().unwrap().clock
            }
        });
        let after = waits(h.clone());
        tokio::task::yield_now().await;
        gate.open();
        first.await.unwrap().unwrap();
        let clock = end.await.unwrap();
        for written in [before.await.unwrap(), after.await.unwrap()] {
            match written {
                Ok(plan) => assert!(plan.clock <= clock, "{plan:?} came after {clock}"),
                Err(WriteError::Login(LoginRefusal::Ended)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(
            h.stores.dump_reader.dump_user(user).await.unwrap().unwrap().clock,
            clock
        );
    }
}

#[derive(Default)]
struct Listener(Mutex<Vec<UserId>>);

impl CommitListener for Listener {
    fn committed(&self, _: UserId, _: Stamp) {}

    fn logins_ended(&self, user: UserId) {
        self.0.lock().unwrap().push(user);
    }

    fn missed(&self) {}
}

/// Whoever listens hears whose logins ended, on every instance, soon after.
pub async fn l1_whoever_listens_hears_of_ended_logins(h: &Harness) {
    let listeners = [Arc::<Listener>::default(), Arc::default()];
    for (h, listener) in [h.clone(), h.elsewhere()].iter().zip(&listeners) {
        h.stores.commits.listen(listener.clone());
    }
    let mut users = Vec::new();
    for n in 1..=5 {
        let user = h.user().await;
        h.log_in(user, n).await;
        users.push(user);
    }
    let quiet = users[4];
    update(h, quiet, AccountChange::default()).await;
    h.rotate(5, 15, 1_010).await;
    update(h, users[0], closed_for_good()).await;
    h.stores.tokens.end_client(users[1], &by("phone")).await.unwrap();
    h.stores.tokens.end_family(h.presented(3)).await.unwrap();
    h.rotate(4, 14, 1_010).await;
    h.rotate(4, 24, 1_090).await;
    for listener in listeners {
        let has_all = || {
            let heard = listener.0.lock().unwrap();
            users[..4].iter().all(|user| heard.contains(user))
        };
        // Another instance may begin to listen only after all this: it is told that it missed something then.
        for _ in 0..200 {
            if has_all() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            for (n, user) in (1..).zip(&users[..4]) {
                h.log_in(*user, 50 + n).await;
                h.stores.tokens.end_family(h.presented(50 + n)).await.unwrap();
            }
        }
        assert!(has_all());
        assert!(!listener.0.lock().unwrap().contains(&quiet));
    }
}
