//! Lists: pages, filters, days, tags, search.

use serde_json::{Value, json};

use crate::harness::{Client, Server};
use crate::kinds::{BOT, DIARY, MEMO, RESOURCE, T, column};

const DAY: i64 = 86_400_000;

async fn phone() -> (Server, Client) {
    let server = Server::start();
    let phone = server.device("phone").await;
    (server, phone)
}

/// Creates memos with these texts, a second after each other from T on.
async fn memos(phone: &Client, texts: &[&str]) {
    for (n, text) in texts.iter().enumerate() {
        let made = T + 1_000 * i64::try_from(n).unwrap();
        MEMO.create(phone, n, text, &json!({"createdAt": made}))
            .await
            .ok();
    }
}

async fn contents(phone: &Client, path: &str) -> Vec<String> {
    let answer = phone.get(path).await.ok();
    let list = [&answer["items"], &answer["memos"], &answer]
        .into_iter()
        .find(|list| list.is_array())
        .expect("a list");
    column(list, "content").into_iter().map(str::to_owned).collect()
}

fn shape(page: &Value) -> [i64; 4] {
    ["total", "page", "pageSize", "totalPages"].map(|name| page[name].as_i64().expect(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn memos_come_newest_first_in_pages() {
    let (_server, phone) = phone().await;
    memos(&phone, &["0", "1", "2", "3", "4"]).await;
    assert_eq!(shape(&phone.get("/memos").await.ok()), [5, 1, 20, 1]);
    let first = phone.get("/memos?pageSize=2").await.ok();
    assert_eq!(
        (shape(&first), column(&first["items"], "content")),
        ([5, 1, 2, 3], vec!["4", "3"])
    );
    let last = phone.get("/memos?page=3&pageSize=2").await.ok();
    assert_eq!(
        (shape(&last), column(&last["items"], "content")),
        ([5, 3, 2, 3], vec!["0"])
    );
    let beyond = phone.get("/memos?page=4294967295&pageSize=200").await.ok();
    assert_eq!(
        (shape(&beyond), &beyond["items"]),
        ([5, 4_294_967_295, 200, 1], &json!([]))
    );
    // An edit does not move a memo to the front, and a deleted one is no longer there.
    MEMO.edit(&phone, 0, "edited", &json!({})).await.ok();
    MEMO.delete(&phone, 4, None).await.ok();
    assert_eq!(contents(&phone, "/memos").await, ["3", "2", "1", "edited"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn memos_of_the_same_moment_are_on_exactly_one_page() {
    let (_server, phone) = phone().await;
    for n in 0..9 {
        MEMO.create(&phone, n, &n.to_string(), &json!({"createdAt": T}))
            .await
            .ok();
    }
    let mut seen = Vec::new();
    for page in 1..=5 {
        seen.extend(contents(&phone, &format!("/memos?pageSize=2&page={page}")).await);
    }
    seen.sort_unstable();
    assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_lists_are_lists() {
    let (_server, phone) = phone().await;
    for list in ["/memos", "/diaries", "/resources"] {
        let page = phone.get(list).await.ok();
        assert_eq!(
            (shape(&page), &page["items"]),
            ([0, 1, 20, 0], &json!([])),
            "{list}"
        );
    }
    let found = json!({"memos": [], "total": 0, "page": 1, "pageSize": 20, "semanticEnabled": false});
    assert_eq!(phone.get("/memos/search").await.ok(), found);
    for list in ["/bots", "/memos/tags", "/memos/date/2026-05-16"] {
        assert_eq!(phone.get(list).await.ok(), json!([]), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memos_are_filtered_by_archive_day_and_words() {
    let (_server, phone) = phone().await;
    for (n, text, more) in [
        (0, "apple pie", json!({"createdAt": T})),
        (1, "apple tree", json!({"createdAt": T + 1, "isArchived": true})),
        (
            2,
            "pear pie",
            json!({"createdAt": T + 2, "diaryDate": "2026-05-16"}),
        ),
        (
            3,
            "apple cake",
            json!({"createdAt": T + 3, "diaryDate": "2026-05-16", "isArchived": true}),
        ),
    ] {
        MEMO.create(&phone, n, text, &more).await.ok();
    }
    for (query, found) in [
        ("", vec!["apple cake", "pear pie", "apple tree", "apple pie"]),
        ("archived=true", vec!["apple cake", "apple tree"]),
        ("archived=false", vec!["pear pie", "apple pie"]),
        ("archived=1", vec!["apple cake", "apple tree"]),
        ("diaryDate=2026-05-16", vec!["apple cake", "pear pie"]),
        ("diaryDate=2026-05-17", vec![]),
        ("search=apple", vec!["apple cake", "apple tree", "apple pie"]),
        ("search=apple&archived=false", vec!["apple pie"]),
        ("search=pie&diaryDate=2026-05-16&archived=false", vec!["pear pie"]),
        (
            "search=&archived=&diaryDate=&unknown=1",
            vec!["apple cake", "pear pie", "apple tree", "apple pie"],
        ),
    ] {
        assert_eq!(
            contents(&phone, &format!("/memos?{query}")).await,
            found,
            "{query}"
        );
        let total = phone.get(&format!("/memos?pageSize=1&{query}")).await.ok()["total"].clone();
        assert_eq!(total, json!(found.len()), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_every_term_in_text_tags_and_summary_whatever_the_case_and_the_script() {
    let (_server, phone) = phone().await;
    let texts = [
        "Buy FIGS and bread",
        "今天天气很好，我们去公园",
        "毎日日記を書く。ニッキ",
        "Straße nach Überlingen",
        "100% sure_thing \"quoted\" -minus* (x)",
        "nothing else",
    ];
    memos(&phone, &texts).await;
    phone
        .put(
            &MEMO.path(5),
            &json!({"tags": ["Gardening", "园艺"], "aiSummary": "About roses"}),
        )
        .await
        .ok();
    for (query, found) in [
        ("figs", vec![0]),
        ("bread BUY", vec![0]),
        ("ead", vec![0]),
        ("figs roses", vec![]),
        ("天气", vec![1]),
        ("天", vec![1]),
        ("公园 今天", vec![1]),
        ("日記", vec![2]),
        ("ﾆｯｷ", vec![2]),
        ("天気", vec![]),
        ("überlingen", vec![3]),
        ("ÜBER", vec![3]),
        ("Ｆｉｇｓ", vec![0]),
        ("100%", vec![4]),
        ("%", vec![4]),
        ("sure_th", vec![4]),
        ("\"quoted\"", vec![4]),
        ("-minus*", vec![4]),
        ("(x)", vec![4]),
        ("figs OR roses", vec![]),
        ("NOT", vec![5]),
        ("garden", vec![5]),
        ("园艺 rose", vec![5]),
        (" \t ", vec![5, 4, 3, 2, 1, 0]),
    ] {
        let expected: Vec<&str> = found.into_iter().map(|n: usize| texts[n]).collect();
        for (route, name, list) in [("/memos/search", "query", "memos"), ("/memos", "search", "items")] {
            let request = phone.request(reqwest::Method::GET, &format!("{route}?{}", encoded(name, query)));
            let answer = phone.send(request).await.ok();
            assert_eq!(column(&answer[list], "content"), expected, "{route} {query:?}");
            assert_eq!(answer["total"], json!(expected.len()), "{route} {query:?}");
        }
    }
}

/// `name=value`, every byte of the value percent-encoded.
fn encoded(name: &str, value: &str) -> String {
    use std::fmt::Write;
    value.bytes().fold(format!("{name}="), |mut query, byte| {
        write!(query, "%{byte:02x}").unwrap();
        query
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_sees_edits_and_deletes_at_once() {
    let (_server, phone) = phone().await;
    memos(&phone, &["alpha", "alpha"]).await;
    MEMO.edit(&phone, 0, "beta", &json!({})).await.ok();
    assert_eq!(contents(&phone, "/memos/search?query=alpha").await, ["alpha"]);
    assert_eq!(contents(&phone, "/memos/search?query=beta").await, ["beta"]);
    MEMO.delete(&phone, 1, None).await.ok();
    assert_eq!(phone.get("/memos/search?query=alpha").await.ok()["total"], 0);
    MEMO.edit(
        &phone,
        1,
        "alpha again",
        &json!({"updatedAt": phone.server_time().await + 1_000}),
    )
    .await
    .ok();
    assert_eq!(
        contents(&phone, "/memos/search?query=alpha").await,
        ["alpha again"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_narrowed_by_tags_dates_and_archive_and_paged() {
    let (_server, phone) = phone().await;
    let first = 1_778_889_600_000; // 2026-05-16T00:00:00Z
    for (n, made, tags, archived) in [
        (0, first - 1, json!(["a"]), false),
        (1, first, json!(["a", "b"]), false),
        (2, first + DAY - 1, json!(["b"]), true),
        (3, first + DAY, json!(["a", "b", "c d"]), false),
    ] {
        let more = json!({"createdAt": made, "tags": tags, "isArchived": archived});
        MEMO.create(&phone, n, &format!("memo {n}"), &more).await.ok();
    }
    for (query, found) in [
        ("query=memo", vec![3, 2, 1, 0]),
        ("tags=a", vec![3, 1, 0]),
        ("tags=a&tags=b", vec![3, 1]),
        ("tags[]=a&tags[]=b", vec![3, 1]),
        ("tags%5B%5D=c+d", vec![3]),
        ("tags=A", vec![]),
        ("startDate=2026-05-16", vec![3, 2, 1]),
        ("endDate=2026-05-16", vec![2, 1, 0]),
        ("startDate=2026-05-16&endDate=2026-05-16", vec![2, 1]),
        ("startDate=2026-05-17&endDate=2026-05-16", vec![]),
        ("isArchived=true", vec![2]),
        (
            "isArchived=false&query=memo&tags=b&startDate=2026-05-16",
            vec![3, 1],
        ),
    ] {
        let expected: Vec<String> = found.iter().map(|n| format!("memo {n}")).collect();
        assert_eq!(
            contents(&phone, &format!("/memos/search?{query}")).await,
            expected,
            "{query}"
        );
    }
    let page = phone.get("/memos/search?query=memo&page=2&pageSize=3").await.ok();
    assert_eq!(column(&page["memos"], "content"), ["memo 0"]);
    assert_eq!(
        [&page["total"], &page["page"], &page["pageSize"]],
        [&json!(4), &json!(2), &json!(3)]
    );
    assert_eq!(page["semanticEnabled"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_counted_over_live_memos_alone() {
    let (_server, phone) = phone().await;
    for (n, tags) in [
        json!(["b", "a"]),
        json!(["b", "日記"]),
        json!(["b", "B"]),
        json!(["gone"]),
    ]
    .iter()
    .enumerate()
    {
        MEMO.create(&phone, n, "x", &json!({"tags": tags})).await.ok();
    }
    BOT.create(&phone, 1, "bot", &json!({"tags": ["of a bot"]}))
        .await
        .ok();
    MEMO.delete(&phone, 3, None).await.ok();
    let counts =
        [("b", 3), ("B", 1), ("a", 1), ("日記", 1)].map(|(tag, count)| json!({"tag": tag, "count": count}));
    assert_eq!(phone.get("/memos/tags").await.ok(), json!(counts));
    phone.put(&MEMO.path(0), &json!({"tags": []})).await.ok();
    assert_eq!(
        phone.get("/memos/tags").await.ok()[0],
        json!({"tag": "b", "count": 2})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memos_of_a_day_are_those_made_on_it_in_utc_or_filed_under_it() {
    let (_server, phone) = phone().await;
    let first = 1_778_889_600_000; // 2026-05-16T00:00:00Z
    for (n, made, day, archived) in [
        (0, first - 1, None, false),
        (1, first, None, false),
        (2, first + DAY - 1, None, true),
        (3, first + DAY, None, false),
        (4, T, Some("2026-05-16"), false),
        (5, first + 5, Some("2026-05-16"), false),
        (6, first + 6, Some("2026-05-20"), false),
    ] {
        let more = json!({"createdAt": made, "diaryDate": day, "isArchived": archived});
        MEMO.create(&phone, n, &n.to_string(), &more).await.ok();
    }
    RESOURCE
        .create(&phone, 1, "a.png", &json!({"memoId": MEMO.key(5)}))
        .await
        .ok();
    assert_eq!(
        contents(&phone, "/memos/date/2026-05-16").await,
        ["2", "6", "5", "1", "4"]
    );
    assert_eq!(
        contents(&phone, "/memos/date/2026-05-16?archived=false").await,
        ["6", "5", "1", "4"]
    );
    assert_eq!(
        contents(&phone, "/memos/date/2026-05-16?archived=true").await,
        ["2"]
    );
    assert_eq!(contents(&phone, "/memos/date/2026-05-20").await, ["6"]);
    let of_day = phone.get("/memos/date/2026-05-16").await.ok();
    assert_eq!(of_day[2]["resources"][0]["filename"], "a.png");
}

#[tokio::test(flavor = "multi_thread")]
async fn diaries_come_latest_day_first_and_between_days() {
    let (_server, phone) = phone().await;
    for n in 1..=5 {
        DIARY
            .create(
                &phone,
                n,
                "x",
                &json!({"createdAt": T - i64::try_from(n).unwrap()}),
            )
            .await
            .ok();
    }
    DIARY.delete(&phone, 3, None).await.ok();
    let day = |n: usize| DIARY.key(n);
    let dates = |page: &Value| {
        column(&page["items"], "date")
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let all = phone.get("/diaries").await.ok();
    assert_eq!(
        (dates(&all), shape(&all)),
        (vec![day(5), day(4), day(2), day(1)], [4, 1, 20, 1])
    );
    let second = phone.get("/diaries?page=2&pageSize=3").await.ok();
    assert_eq!((dates(&second), shape(&second)), (vec![day(1)], [4, 2, 3, 2]));
    let between = phone
        .get(&format!("/diaries?startDate={}&endDate={}", day(2), day(4)))
        .await
        .ok();
    assert_eq!(
        (dates(&between), shape(&between)),
        (vec![day(4), day(2)], [2, 1, 20, 1])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_listed_newest_first_and_by_memo() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 1, "memo", &json!({})).await.ok();
    for (n, memo) in [(1, None), (2, Some(MEMO.key(1))), (3, Some(MEMO.key(1)))] {
        let more = json!({"memoId": memo, "createdAt": T + i64::try_from(n).unwrap()});
        RESOURCE.create(&phone, n, &n.to_string(), &more).await.ok();
    }
    let all = phone.get("/resources?pageSize=2").await.ok();
    assert_eq!(
        (column(&all["items"], "filename"), shape(&all)),
        (vec!["3", "2"], [3, 1, 2, 2])
    );
    let of_memo = phone
        .get(&format!("/resources?memoId={}", MEMO.key(1)))
        .await
        .ok();
    assert_eq!(
        (column(&of_memo["items"], "filename"), shape(&of_memo)),
        (vec!["3", "2"], [2, 1, 20, 1])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tags_than_a_memo_may_have_are_refused() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 1, "memo", &json!({"tags": ["a"]})).await.ok();
    let search = |times: usize| format!("/memos/search?{}", vec!["tags=a"; times].join("&"));
    let found = phone.get(&search(100)).await.ok();
    assert_eq!(found["total"], 1);
    for times in [101, 995] {
        let refused = phone.get(&search(times)).await;
        assert_eq!(refused.status, 422, "{times}");
        let error = &refused.body["errors"][0];
        assert_eq!(
            (&error["path"], &error["code"]),
            (&json!("tags"), &json!("too_many"))
        );
    }
}

/// The days of those who have no time zone of their own.
#[tokio::test(flavor = "multi_thread")]
async fn days_are_those_of_the_server_s_time_zone() {
    let server = Server::start_with(&["--time-zone", "Asia/Shanghai"]);
    let phone = server.device("phone").await;
    // 23:30 in Greenwich.
    let early = json!({"content": "early", "createdAt": 1_778_887_800_000_i64});
    phone.post("/memos", &early).await.ok();
    assert!(contents(&phone, "/memos/date/2026-05-15").await.is_empty());
    assert_eq!(contents(&phone, "/memos/date/2026-05-16").await, ["early"]);
}
