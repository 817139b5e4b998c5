//! Tokens that expire, logins that end, nudges.

use futures_util::StreamExt as _;
use mosaic_client::{Error, Login};
use mosaic_testkit::proxy::Proxy;

use super::{Device, assert_alike, two_devices};
use crate::harness::{ADMIN_PASSWORD, Server};

/// Makes the server refuse the access token of this device, as one whose time is up.
fn spoil_token(device: &Device) {
    let database = rusqlite::Connection::open(device.database()).unwrap();
    let spoil = "UPDATE state SET value = json_set(value, '$.accessToken', 'spoilt') WHERE name = 'tokens'";
    assert_eq!(database.execute(spoil, []).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn l2_a_token_that_is_refused_in_the_middle_is_renewed_once() {
    let server = Server::start();
    let proxy = Proxy::before(&server.program).await;
    let (phone, tablet) = (Device::at(&server.url).await, Device::at(proxy.url()).await);
    for n in 0..450 {
        phone.write(&n.to_string());
    }
    phone.sync().await;
    tablet.write("of the tablet");
    let done = tablet.app.sync(|progress| {
        if progress.pulled == 200 {
            spoil_token(&tablet);
        }
    });
    let done = done.await.unwrap();
    assert_eq!((done.pulled, done.pushed), (450, 1));
    assert_eq!(proxy.count("POST /auth/refresh"), 1);

    // Whoever asks at the same time waits for the one who renews it; another process may renew it, too (L2).
    spoil_token(&tablet);
    let other = tablet.another_process(6);
    let (first, second) = tokio::join!(tablet.app.digest(), tablet.app.digest());
    assert!(first.unwrap() == second.unwrap());
    assert_eq!(proxy.count("POST /auth/refresh"), 2);
    spoil_token(&tablet);
    let (here, there) = tokio::join!(tablet.app.digest(), other.digest());
    assert!(here.unwrap() == there.unwrap());
    // The answer to a renewal is lost: it is asked for again, and the tokens are the same.
    spoil_token(&tablet);
    proxy.lose("POST /auth/refresh", 0);
    tablet.sync().await;
    phone.sync().await;
    assert_alike(&[&phone, &tablet]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn l1_a_login_that_ends_keeps_the_edits_until_the_next_one() {
    let (server, phone, tablet) = two_devices().await;
    phone.sync().await;
    let id = phone.write("typed after the login ended");
    let forgotten = server.device("a browser").await;
    let device = format!("/devices/{}", phone.app.client_id());
    forgotten.delete(&device).await.ok();
    let error = phone.app.sync(|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::LoggedOut), "{error}");
    let status = phone.app.status().unwrap();
    assert_eq!((status.is_logged_in, status.waiting), (false, 1));
    phone.log_in(&server.url).await;
    phone.sync().await;
    tablet.sync().await;
    assert_eq!(tablet.text(id).unwrap(), "typed after the login ended");

    tablet.app.logout().await.unwrap();
    assert!(matches!(tablet.app.sync(|_| {}).await, Err(Error::LoggedOut)));
    assert_eq!(
        tablet.text(id).unwrap(),
        "typed after the login ended",
        "the data stays"
    );
    server.new_user("anna", "a browser").await;
    let login = Login {
        server: &server.url,
        username: "anna",
        password: "a password of theirs",
        device_name: None,
    };
    assert!(matches!(tablet.app.login(login).await, Err(Error::OtherUser)));
    let nowhere = Login {
        server: "mosaic.example.org",
        ..login
    };
    assert!(matches!(tablet.app.login(nowhere).await, Err(Error::Invalid(_))));
    let wrong = Login {
        username: "admin",
        password: "wrong",
        ..login
    };
    assert!(
        tablet
            .app
            .login(wrong)
            .await
            .unwrap_err()
            .is_refused("bad_credentials")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn l3_another_password_keeps_this_login_and_ends_the_others() {
    let (_server, phone, tablet) = two_devices().await;
    phone
        .app
        .change_password(ADMIN_PASSWORD, "a better password")
        .await
        .unwrap();
    phone.sync().await;
    assert!(matches!(tablet.app.sync(|_| {}).await, Err(Error::LoggedOut)));
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_a_device_is_told_when_another_one_has_synced() {
    let server = Server::start();
    let proxy = Proxy::before(&server.program).await;
    let (phone, tablet) = (Device::at(&server.url).await, Device::at(proxy.url()).await);
    let mut nudges = Box::pin(tablet.app.nudges());
    nudges.next().await.unwrap().unwrap();
    let id = phone.write("news");
    phone.sync().await;
    let nudge = nudges.next().await.unwrap().unwrap();
    assert!(nudge.has_changed);
    tablet.sync().await;
    assert_eq!(tablet.text(id).unwrap(), "news");
    tablet.app.logout().await.unwrap();
    while let Some(nudge) = nudges.next().await {
        if let Err(error) = nudge {
            assert!(matches!(error, Error::LoggedOut), "{error}");
        }
    }
}
