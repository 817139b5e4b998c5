//! The page behind the link of an invite. What its script does, a test of the whole program shows.

use super::*;

#[actix_web::test]
async fn the_page_of_an_invite_is_served_by_us_alone_and_labels_what_it_asks_for() {
    let server = run(&settings());
    for root in ["", "/api"] {
        let page = server.get(&format!("{root}/invite")).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, Some("text/html; charset=utf-8"))
        );
        let html = String::from_utf8(page.body.clone()).unwrap();
        assert!(!html.contains("://") && !html.contains("\"//"), "{html}");
        let files: Vec<&str> = html
            .split('"')
            .filter(|text| [".js", ".css"].iter().any(|kind| text.ends_with(kind)))
            .collect();
        assert_eq!(files, ["invite/page.css", "invite/page.js"]);
        for (path, kind) in [
            ("invite", "text/html"),
            (files[0], "text/css"),
            (files[1], "text/javascript"),
        ] {
            let answer = server.get(&format!("{root}/{path}")).await;
            assert!(answer.header("content-type").unwrap().starts_with(kind), "{path}");
            let policy = answer.header("content-security-policy").unwrap();
            assert!(
                policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
                "{policy}"
            );
            assert!(policy.contains("form-action 'none'"), "{policy}");
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        }
        for input in html.split("<input id=\"").skip(1) {
            let id = input.split('"').next().unwrap();
            assert!(html.contains(&format!("<label for=\"{id}\">")), "{id}");
        }
        // What runs or looks otherwise than in its files, the policy forbids.
        let is_handler = |word: &str| word.starts_with("on") && word.contains('=');
        assert!(!html.split_whitespace().any(is_handler), "{html}");
        assert!(!html.contains("<style") && !html.contains("style="), "{html}");
    }
}
