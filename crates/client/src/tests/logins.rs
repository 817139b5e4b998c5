//! Tokens that are refused, and logins that end.

use super::{Device, a_problem, tokens};
use crate::Error;

#[tokio::test]
async fn l2_only_a_refused_token_ends_the_login() {
    for (refusal, goes_on) in [
        (a_problem(413, "body_too_large"), true),
        (a_problem(400, "bad_request"), true),
        (a_problem(429, "rate_limited"), true),
        ("408 Slow".into(), true),
        (a_problem(401, "invalid_refresh_token"), false),
        (a_problem(401, "login_ended"), false),
    ] {
        let said = refusal.clone();
        let phone = Device::at(move |_, request| {
            let is_renewal = request.starts_with("POST /auth/refresh");
            Some(if is_renewal {
                said.clone()
            } else {
                a_problem(401, "token_expired")
            })
        })
        .await;
        let error = phone.app.sync(|_| {}).await.unwrap_err();
        assert_eq!(matches!(error, Error::LoggedOut), !goes_on, "{refusal}: {error}");
        assert_eq!(phone.app.status().unwrap().is_logged_in, goes_on, "{refusal}");
    }
}

#[tokio::test]
async fn l3_the_tokens_of_another_password_are_kept_though_the_old_login_was_seen_to_end() {
    let renewed = r#"{"accessToken": "second-access", "refreshToken": "second-refresh"}"#;
    let phone = Device::at(move |app, request| {
        let is_change = request.starts_with("POST /auth/change-password");
        is_change.then(|| {
            // What a sync does that is told so before this answer comes.
            app.store().renew(&tokens("first"), None).unwrap();
            format!("200 OK\r\n\r\n{renewed}")
        })
    })
    .await;
    phone.app.change_password("old", "new").await.unwrap();
    assert_eq!(phone.app.store().tokens().unwrap(), Some(tokens("second")));
    phone.app.sync(|_| {}).await.unwrap();
}

#[tokio::test]
async fn l3_another_password_is_sent_once() {
    let phone = Device::at(|_, _| Some("503 Busy".to_owned())).await;
    let error = phone.app.change_password("old", "new").await.unwrap_err();
    assert!(matches!(error, Error::Later { .. }), "{error}");
    assert_eq!(phone.asked("").len(), 1);
}

#[tokio::test]
async fn l3_a_request_of_a_login_that_another_password_ended_goes_on_with_the_new_one() {
    let phone = Device::at(|app, request| {
        request.contains("Bearer first-access").then(|| {
            app.store().set_tokens(&tokens("second")).unwrap();
            a_problem(401, "login_ended")
        })
    })
    .await;
    phone.app.sync(|_| {}).await.unwrap();
    assert!(phone.app.status().unwrap().is_logged_in);
}
