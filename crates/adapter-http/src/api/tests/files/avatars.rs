//! Pictures of accounts and bots.

use super::super::site::AVATAR_BYTES;
use super::*;

fn avatar(parts: &[Vec<u8>]) -> TestRequest {
    post("/resources/upload-avatar", form(parts))
}

fn picture() -> Vec<u8> {
    file("me.png", "image/png", PNG)
}

#[actix_web::test]
async fn an_avatar_becomes_that_of_the_account_or_gets_an_address() {
    let site = Site::new().await;
    for (parts, is_of_user) in [
        (vec![picture()], true),
        (vec![field("purpose", "user"), picture()], true),
        (vec![picture(), field("purpose", "bot")], false),
    ] {
        let body = site.send(avatar(&parts)).await.assert_ok().body;
        let (id, url) = (&body["id"], body["avatarUrl"].as_str().unwrap());
        assert_eq!(url, format!("/api/avatars/{}/download", id.as_str().unwrap()));
        assert_eq!(body["user"]["username"], "user-1");
        assert_eq!(body["user"]["avatarUrl"] == *url, is_of_user);
        let shown = site.get(url).await;
        assert_eq!(shown.text, String::from_utf8_lossy(PNG));
        shown.assert_headers(&[
            ("content-type", "image/png"),
            (
                "content-disposition",
                "inline; filename=\"avatar.png\"; filename*=UTF-8''avatar.png",
            ),
        ]);
    }
    site.assert_holds(1);
    let unknown = site.get(&format!("/avatars/{ID}/download")).await;
    unknown.assert_is(404, "not_found");
}

#[actix_web::test]
async fn only_small_pictures_become_avatars() {
    let site = Site::new().await;
    let most = usize::try_from(AVATAR_BYTES).unwrap();
    for length in [most, most + 200_000] {
        let content = [PNG, &bytes(length)].concat();
        let answer = site.send(avatar(&[file("a.png", "image/png", &content)])).await;
        let answer = answer.assert_is(413, "file_too_large");
        assert_eq!(answer.body["limit"], AVATAR_BYTES);
    }
    site.refuses(avatar(&[text()]), 422, "not_a_picture").await;
    for (path, code, parts) in [
        (
            "purpose",
            "unknown_value",
            vec![picture(), field("purpose", "cat")],
        ),
        ("file", "required", vec![field("purpose", "bot")]),
        ("file", "duplicate", vec![picture(), picture()]),
    ] {
        site.send(avatar(&parts)).await.assert_refuses(path, code);
    }
    site.assert_empty("").await;
    assert_eq!(
        site.get("/auth/me").await.assert_ok().body["avatarUrl"],
        Value::Null
    );
}
