//! Log-ins that fail are limited.

use super::*;

/// Tries until the limit answers; returns how many attempts it let pass.
async fn attempts_until_limited(
    client: &Client,
    mut username: impl FnMut(usize) -> String,
) -> (usize, Answer) {
    for attempt in 0..100 {
        let answer = try_login(client, &username(attempt), "not the password").await;
        if answer.status == 429 {
            return (attempt, answer);
        }
        answer.problem(401, "bad_credentials");
    }
    panic!("100 attempts and no limit");
}

#[track_caller]
fn assert_limited(answer: Answer) {
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    answer.problem(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_at_one_account_is_limited_and_harms_no_other() {
    let server = Server::start_with(&["--auth-account-attempts-per-minute", "4"]);
    let admin = server.device("phone").await;
    make(&admin, "anna").await;
    let names = ["anna", "ANNA", " anna", "Anna"];
    let (passed, limited) = attempts_until_limited(&server.anonymous(), |n| names[n % 4].to_owned()).await;
    assert_eq!(passed, 4, "letter case makes no other account");
    assert_limited(limited);
    assert_limited(try_login(&server.anonymous(), "anna", PASSWORD).await);
    Login::new(&server, "admin", ADMIN_PASSWORD).await.me().await.ok();
    admin.get("/memos").await.ok();
}

/// Right passwords never count, and a device that is known to the account gets in while strangers guess: also after a
/// restart, when only the store knows it.
#[tokio::test(flavor = "multi_thread")]
async fn only_failures_count_and_strangers_lock_no_known_device_out() {
    let flags = [
        "--auth-account-attempts-per-minute",
        "3",
        "--auth-address-attempts-per-minute",
        "5",
    ];
    let server = Server::start_with(&flags);
    make(&server.device("phone").await, "anna").await;
    let from = async |server: &Server, device: Option<&str>, password: &str| {
        let body = json!({"username": "anna", "password": password, "clientId": device});
        server.anonymous().post("/auth/login", &body).await
    };
    for _ in 0..12 {
        from(&server, Some("annas-phone"), PASSWORD).await.ok();
    }
    let server = server.kill().start(&flags);
    for _ in 0..3 {
        let guess = from(&server, Some("stranger"), "not the password").await;
        guess.problem(401, "bad_credentials");
    }
    assert_limited(from(&server, Some("stranger"), PASSWORD).await);
    assert_limited(from(&server, None, PASSWORD).await);
    let login = from(&server, Some("annas-phone"), PASSWORD).await.ok();
    for n in 0..2 {
        try_login(&server.anonymous(), &format!("nobody{n}"), "guess").await;
    }
    from(&server, Some("annas-phone"), PASSWORD).await.ok();

    // The old password is guessed at no faster, and that keeps nobody out.
    let anna = Login::of(&server.anonymous(), login);
    let change = |old| json!({"oldPassword": old, "newPassword": "another password"});
    for _ in 0..3 {
        let guess = anna
            .client
            .post("/auth/change-password", &change("a guess"))
            .await;
        guess.problem(422, "wrong_password");
    }
    assert_limited(anna.client.post("/auth/change-password", &change(PASSWORD)).await);
    from(&server, Some("annas-phone"), PASSWORD).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_from_one_address_is_limited_whatever_the_account() {
    let server = Server::start_with(&[
        "--auth-address-attempts-per-minute",
        "5",
        "--registration",
        "open",
    ]);
    let (passed, limited) = attempts_until_limited(&server.anonymous(), |n| format!("user{n}")).await;
    assert_eq!(passed, 5);
    assert_limited(limited);
    let register = json!({"username": "anna", "password": PASSWORD});
    assert_limited(server.anonymous().post("/auth/register", &register).await);
    let forwarded = login_from(&server, "203.0.113.9").await;
    assert_limited(forwarded);
}

async fn login_from(server: &Server, address: &str) -> Answer {
    let client = server.anonymous();
    let body = json!({"username": "nobody", "password": "not the password"});
    let request = client.request(reqwest::Method::POST, "/auth/login").json(&body);
    client.send(request.header("x-forwarded-for", address)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_address_has_a_budget_of_its_own() {
    let flags = ["--auth-address-attempts-per-minute", "2", "--http-trust-proxy"];
    let server = Server::start_with(&flags);
    for _ in 0..2 {
        login_from(&server, "203.0.113.9")
            .await
            .problem(401, "bad_credentials");
    }
    assert_limited(login_from(&server, "203.0.113.9").await);
    assert_limited(login_from(&server, "198.51.100.1, 203.0.113.9").await);
    login_from(&server, "203.0.113.10")
        .await
        .problem(401, "bad_credentials");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_survive_a_restart() {
    let server = Server::start();
    let login = Login::new(&server, "admin", ADMIN_PASSWORD).await;
    let server = server.kill().start(&[]);
    let again = Login::of(&server.anonymous(), login.body);
    again.me().await.ok();
    again.refresh().await.ok();
}
