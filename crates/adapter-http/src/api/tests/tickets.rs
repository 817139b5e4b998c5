//! Tickets: for what can send no headers (L5).

use mosaic_application::sessions::TICKET_TTL_MS;
use mosaic_domain::account::AccountChange;

use super::auth::owe_a_password;
use super::site::{Incoming, TOKEN_TTL_MS, user};
use super::*;

const OTHER_ID: &str = "0198f3a2-7b1c-7def-8000-1234567890ac";

impl Site {
    async fn ticket(&self, body: &Value) -> Value {
        self.post("/auth/tickets", body).await.assert_ok().body
    }

    /// The address of a ticket for nudges.
    async fn for_events(&self) -> String {
        address(&self.ticket(&json!({"purpose": "events"})).await)
    }

    async fn for_download(&self, id: &str) -> String {
        address(
            &self
                .ticket(&json!({"purpose": "download", "resourceId": id}))
                .await,
        )
    }

    /// Stores a file; its id.
    async fn file(&self) -> String {
        let form = concat!(
            "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n",
            "Content-Type: image/png\r\n\r\n\u{89}PNG 0123456789\r\n--x--\r\n"
        );
        let form: Vec<u8> = form
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect();
        let upload = ask("POST", "/resources/upload")
            .insert_header(("content-type", "multipart/form-data; boundary=x"))
            .insert_header(("content-length", form.len().to_string()));
        let stored = self.send(upload.set_payload(form)).await.assert_ok();
        stored.body["id"].as_str().unwrap().to_owned()
    }

    /// Asks without a header.
    async fn show(&self, address: &str) -> Answer {
        self.send(request("GET", address)).await
    }
}

fn address(ticket: &Value) -> String {
    ticket["address"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn l5_a_ticket_says_what_it_opens_and_until_when() {
    let site = Site::new().await;
    for (body, path) in [
        (json!({"purpose": "events"}), "/api/sync/events".to_owned()),
        (
            json!({"purpose": "download", "resourceId": ID}),
            format!("/api/resources/{ID}/download"),
        ),
        (
            json!({"purpose": "avatar", "avatarId": ID}),
            format!("/api/avatars/{ID}/download"),
        ),
    ] {
        let made = site.ticket(&body).await;
        let ticket = made["ticket"].as_str().unwrap();
        assert_eq!(made["address"], format!("{path}?ticket={ticket}"));
        assert_eq!(made["expiresAt"], NOW + TICKET_TTL_MS);
    }
    for (body, path, code) in [
        (json!({}), "purpose", "required"),
        (json!({"purpose": "everything"}), "purpose", "unknown_value"),
        (json!({"purpose": "download"}), "resourceId", "required"),
        (
            json!({"purpose": "download", "avatarId": ID}),
            "resourceId",
            "required",
        ),
        (
            json!({"purpose": "avatar", "resourceId": ID}),
            "avatarId",
            "required",
        ),
        (
            json!({"purpose": "events", "resourceId": 1}),
            "resourceId",
            "invalid_type",
        ),
    ] {
        site.post("/auth/tickets", &body).await.assert_refuses(path, code);
    }
}

#[actix_web::test]
async fn l5_a_ticket_for_nudges_opens_one_stream() {
    let site = Site::new().await;
    let address = site.for_events().await;
    let answer = site.start(request("GET", &address).to_request()).await;
    assert_eq!(answer.status(), 200);
    let mut stream = Incoming::of(answer);
    stream.until("event: changed\n").await;
    site.show(&address).await.assert_is(401, "invalid_ticket");
    // By the login that made it, and after that the stream of another ticket.
    site.log_out().await;
    stream.rest().await;
}

#[actix_web::test]
async fn l5_a_stream_ends_with_the_token_that_its_ticket_was_asked_for_with() {
    let site = Site::new().await;
    let address = site.for_events().await;
    let answer = site.start(request("GET", &address).to_request()).await;
    let mut stream = Incoming::of(answer);
    stream.until("event: changed\n").await;
    site.clock.advance(TICKET_TTL_MS);
    stream.until(": heartbeat\n\n").await;
    site.clock.advance(TOKEN_TTL_MS - TICKET_TTL_MS);
    stream.rest().await;
}

#[actix_web::test]
async fn l5_a_ticket_for_a_file_opens_its_bytes_in_any_ranges_and_smaller_pictures() {
    let site = Site::new().await;
    let id = site.file().await;
    let address = site.for_download(&id).await;
    let (path, query) = address.split_once('?').unwrap();
    let whole = site.show(&address).await.assert_ok();
    whole.assert_headers(&[
        ("cache-control", "private, max-age=60"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ]);
    assert!(whole.text.ends_with("PNG 0123456789"), "{}", whole.text);
    for (range, text) in [("bytes=-3", "789"), ("bytes=-10", "0123456789")] {
        let part = request("GET", &address).insert_header(("range", range));
        let part = site.send(part).await;
        assert_eq!((part.status, &*part.text), (206, text));
    }
    assert_eq!(site.send(request("HEAD", &address)).await.status, 200);
    for address in [
        format!("{path}?variant=thumb&{query}"),
        format!("/resources/{id}/thumbnail?{query}"),
    ] {
        site.show(&address).await.assert_ok();
    }
    // Beside a header only that counts.
    for (token, status) in [("user", 200), ("other", 404), ("forged", 401), ("old", 401)] {
        let answer = site.send(by(token, request("GET", &address))).await;
        assert_eq!(answer.status, status, "{token}");
    }
    let basic = request("GET", &address).insert_header(("authorization", "Basic user"));
    site.refuses(basic, 401, "unauthenticated").await;
}

#[actix_web::test]
async fn l5_a_ticket_opens_an_avatar() {
    let site = Site::new().await;
    let ticket = site.ticket(&json!({"purpose": "avatar", "avatarId": ID})).await;
    site.show(&address(&ticket)).await.assert_is(404, "not_found");
    let other = address(&ticket).replace(ID, OTHER_ID);
    site.show(&other).await.assert_is(401, "invalid_ticket");
}

#[actix_web::test]
async fn l5_a_ticket_opens_nothing_else() {
    let site = Site::new().await;
    let id = site.file().await;
    let (events, download) = (site.for_events().await, site.for_download(&id).await);
    let (events, download) = (
        events.split_once('?').unwrap().1,
        download.split_once('?').unwrap().1,
    );
    for address in [
        format!("/sync/events?{download}"),
        format!("/resources/{id}/download?{events}"),
        format!("/resources/{OTHER_ID}/download?{download}"),
        format!("/resources/{OTHER_ID}/thumbnail?{download}"),
        format!("/resources/no-id/download?{download}"),
        format!("/avatars/{id}/download?{download}"),
        "/sync/events?ticket=user".to_owned(),
    ] {
        let answer = site.show(&address).await;
        assert_eq!(answer.status, 401, "{address}");
        assert!(answer.header("www-authenticate").is_some());
    }
    // What was shown to another route is not used by that.
    site.start(request("GET", &format!("/sync/events?{events}")).to_request())
        .await;
    site.show(&format!("/sync/events?{events}&{events}"))
        .await
        .assert_refuses("ticket", "repeated");
    // A ticket is no access token.
    let ticket = download.strip_prefix("ticket=").unwrap();
    site.refuses(by(ticket, request("GET", "/auth/me")), 401, "invalid_token")
        .await;
}

/// Wherever else it is sent it counts for nothing, and so do the tickets of those who may not sign in.
#[actix_web::test]
async fn l5_only_the_routes_that_say_so_take_a_ticket() {
    let site = Site::new().await;
    let id = site.file().await;
    let query = site.for_download(&id).await;
    let query = query.split_once('?').unwrap().1;
    let mut takes = Vec::new();
    for (method, path, operation) in documented() {
        if operation["security"] == json!([]) {
            continue;
        }
        let answer = site.send(request(&method, &format!("{path}?{query}"))).await;
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let says = parameters
            .into_iter()
            .any(|parameter| parameter["name"] == "ticket");
        let expected = if says { "invalid_ticket" } else { "unauthenticated" };
        assert_eq!((answer.status, answer.code()), (401, expected), "{method} {path}");
        let security = if says {
            json!([{"bearer": []}, {"ticket": []}])
        } else {
            json!([{"bearer": []}])
        };
        assert_eq!(operation["security"], security, "{method} {path}");
        if says {
            takes.push(format!("{method} {path}"));
        }
    }
    takes.sort();
    assert_eq!(
        takes,
        [
            "GET /avatars/{id}/download",
            "GET /resources/{id}/download",
            "GET /resources/{id}/thumbnail",
            "GET /sync/events",
        ]
    );
}

#[actix_web::test]
async fn l5_a_ticket_ends_after_a_minute() {
    let site = Site::new().await;
    let id = site.file().await;
    let (events, download) = (site.for_events().await, site.for_download(&id).await);
    site.clock.advance(TICKET_TTL_MS - 1);
    site.show(&download).await.assert_ok();
    site.clock.advance(1);
    for address in [&events, &download] {
        site.show(address).await.assert_is(401, "invalid_ticket");
    }
}

#[actix_web::test]
async fn l5_a_ticket_ends_with_its_login() {
    let ends = [
        ("logged out", 401, "login_ended"),
        ("closed", 401, "login_ended"),
        ("owes a password", 403, "password_change_required"),
    ];
    for (how, status, code) in ends {
        let site = Site::new().await;
        let id = site.file().await;
        let (events, download) = (site.for_events().await, site.for_download(&id).await);
        match how {
            "logged out" => site.log_out().await,
            "closed" => close(&site).await,
            _ => owe_a_password(&site).await,
        }
        for address in [&events, &download] {
            site.show(address).await.assert_is(status, code);
        }
    }
}

async fn close(site: &Site) {
    let change = AccountChange {
        disabled: Some(true),
        ..AccountChange::default()
    };
    let now = site.state().clock.now();
    let closed = site.stores.accounts.update(user(1), change, now, None).await;
    closed.unwrap();
}

#[actix_web::test]
async fn l5_a_ticket_of_somebody_else_opens_what_is_theirs() {
    let site = Site::new().await;
    let id = site.file().await;
    let body = json!({"purpose": "download", "resourceId": id});
    let made = by("other", request("POST", "/auth/tickets").set_json(&body));
    let other = site.send(made).await.assert_ok();
    site.show(&address(&other.body)).await.assert_is(404, "not_found");
}
