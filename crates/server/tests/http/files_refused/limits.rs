//! What is too large, or too much (A4), and what would be useless.

use super::*;

const LIMITS: [&str; 4] = [
    "--attachments-max-file-bytes",
    "1000000",
    "--attachments-user-quota-bytes",
    "2500000",
];

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_file_may_be_as_large_as_the_limit_and_no_larger() {
    let calm = Calm::new(&LIMITS).await;
    for bytes in [1_000_001, 1_500_000, 5 * MIB] {
        let refused = calm.phone.upload(file("a.bin", "", &noise(24, bytes))).await;
        let problem = refused.problem(413, "file_too_large");
        assert_eq!(problem["limit"], 1_000_000, "{problem}");
        calm.assert_untouched("a file that is too large").await;
    }
    let whole = noise(24, 1_000_000);
    let resource = calm.phone.upload(file("a.bin", "", &whole)).await.ok();
    assert!(calm.phone.download(&bytes_of(&resource)).await.whole() == whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_file_without_an_announced_length_is_held_to_the_limit_too() {
    let calm = Calm::new(&LIMITS).await;
    let headers = [
        ("content-type", Form::CONTENT_TYPE),
        ("transfer-encoding", "chunked"),
    ];
    for (bytes, status) in [(2_000_000, 413), (1_000_000, 200)] {
        let mut wire = Wire::open(&calm.phone, &format!("POST {UPLOAD}"), &headers).await;
        let body = file("a.bin", "", &noise(25, bytes)).finished();
        for chunk in body.chunks(16 * KIB) {
            let size = format!("{:x}\r\n", chunk.len());
            wire.send(&[size.as_bytes(), chunk, b"\r\n"].concat())
                .await
                .expect("a server that reads");
        }
        wire.send(b"0\r\n\r\n").await.expect("a server that reads");
        let told = wire.answer().await;
        assert_eq!(told.status, status, "{}", told.body);
        if status == 413 {
            assert_eq!(told.body["code"], "file_too_large");
            calm.assert_untouched("chunks that are too many").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_what_is_announced_as_too_large_is_refused_before_it_is_sent() {
    let gib = (KIB * MIB) as u64;
    let calm = Calm::new(&[]).await;
    // Of ten gigabytes the first few come.
    for sent in [0, 64 * KIB, MIB] {
        let begun = file("a.bin", "", &noise(26, sent)).unfinished();
        let mut wire = calm.begin(10 * gib, &begun).await;
        let told = wire.answer().await;
        assert_eq!(
            (told.status, &told.body["code"]),
            (413, &json!("file_too_large")),
            "{sent}"
        );
        calm.assert_untouched("ten gigabytes").await;
        if sent == MIB {
            assert!(wire.is_closed().await, "what is not read can not be skipped");
        }
    }
    // A client that asks first is told before it has sent anything.
    let length = (10 * gib).to_string();
    let headers = [
        ("content-type", Form::CONTENT_TYPE),
        ("content-length", &*length),
        ("expect", "100-continue"),
    ];
    let mut wire = Wire::open(&calm.phone, &format!("POST {UPLOAD}"), &headers).await;
    assert_eq!(wire.answer().await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_client_that_sends_all_before_it_reads_gets_its_answer() {
    let calm = Calm::new(&LIMITS).await;
    for megabytes in [1, 4] {
        let body = file("a.bin", "", &noise(27, megabytes * MIB)).finished();
        let mut wire = calm.begin(body.len() as u64, &[]).await;
        // It may be cut off meanwhile, but not before it was told why.
        for piece in body.chunks(64 * KIB) {
            if wire.send(piece).await.is_err() {
                break;
            }
        }
        let told = wire.answer().await;
        assert_eq!(told.body["code"], "file_too_large", "{megabytes} MiB");
        calm.assert_untouched("a client that does not listen").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_user_may_have_so_much_and_no_more() {
    let calm = Calm::new(&LIMITS).await;
    let of = |n: u64| file(&format!("{n}.bin"), "", &noise(n, 1_000_000));
    let first = calm.phone.upload(of(1)).await.ok();
    let calm = calm.with(of(2)).await;
    let problem = calm.phone.upload(of(3)).await.problem(413, "quota_exceeded");
    assert_eq!(
        (&problem["used"], &problem["quota"]),
        (&json!(2_000_000), &json!(2_500_000))
    );
    calm.assert_untouched("a file for which there is no room").await;
    // Before the bytes are read, where their number is announced.
    let begun = of(3).unfinished();
    let mut wire = calm.begin(1_000_000, &begun[..1_000]).await;
    assert_eq!(wire.answer().await.body["code"], "quota_exceeded");
    // An avatar takes room like anything else.
    let avatar = [crate::files_pictures::png(4, 4), noise(4, 600_000)].concat();
    let refused = calm
        .phone
        .send_form("/resources/upload-avatar", file("a.png", "", &avatar))
        .await;
    refused.problem(413, "quota_exceeded");
    calm.assert_untouched("an avatar for which there is no room")
        .await;
    // What is there counts once, and a retry is no question of room.
    let id = first["id"].as_str().unwrap();
    let retry = Form::new()
        .field("id", id)
        .file("1.bin", "", &noise(1, 1_000_000));
    assert_eq!(calm.phone.upload(retry).await.ok(), first);
    let other = calm.server.new_user("anna", "phone").await;
    other.upload(of(3)).await.ok();
    calm.phone
        .upload(file("small.bin", "", &noise(5, 500_000)))
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_uploads_at_once_do_not_slip_past_the_quota_together() {
    let data = Data::new();
    let server = data.start(&LIMITS);
    let phone = server.device("phone").await;
    let uploads: Vec<_> = (0..8)
        .map(|n| {
            let phone = phone.clone();
            tokio::spawn(async move { phone.upload(file("a.bin", "", &noise(30 + n, 900_000))).await })
        })
        .collect();
    let mut stored = 0;
    for upload in uploads {
        let answer = upload.await.expect("an answer");
        if answer.status.is_success() {
            stored += 1;
        } else {
            answer.problem(413, "quota_exceeded");
        }
    }
    assert_eq!(stored, 2);
    assert_eq!(phone.get("/resources").await.ok()["total"], 2);
    Folder::of(&data).assert_holds(2, "eight uploads at once").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_what_would_be_useless_is_refused_before_it_is_sent() {
    let calm = Calm::new(&[]).await;
    MEMO.create(&calm.phone, 1, "one", &json!({"updatedAt": T}))
        .await
        .ok();
    RESOURCE
        .create(&calm.phone, 1, "a.bin", &json!({"updatedAt": T}))
        .await
        .ok();
    RESOURCE.delete(&calm.phone, 1, Some(T + 1)).await.ok();
    let before = calm.phone.everything().await;
    for (form, status, code) in [
        (Form::new().field("memoId", &MEMO.key(9)), 422, "unknown_memo"),
        (Form::new().field("id", &RESOURCE.key(1)), 409, "deleted"),
        (Form::new().field("id", "x"), 422, "validation_failed"),
    ] {
        // The file begins, and more of it never comes.
        let begun = form.file("a.bin", "", &noise(28, 1_000)).unfinished();
        let mut wire = calm.begin(20 * MIB as u64, &begun).await;
        let told = wire.answer().await;
        assert_eq!((told.status, &told.body["code"]), (status, &json!(code)));
        calm.phone.assert_untouched(&before, code).await;
        calm.folder.assert_holds(0, code).await;
    }
}
